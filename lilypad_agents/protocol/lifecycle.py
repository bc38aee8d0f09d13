"""Where deals can stand and how they move: the table of protocol section 4 as data.

Twin of contracts/types/DealWord.sol and of the table of contracts/core/LilypadStorage.sol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType


class Status(IntEnum):
    NONE = 0
    AGREED = 1
    RESULTS_SUBMITTED = 2
    IN_MEDIATION = 3
    ACCEPTED = 4
    MEDIATION_ACCEPTED = 5
    MEDIATION_REJECTED = 6
    NO_FAULT = 7
    TIMED_OUT = 8
    DECLINED = 9
    CLOSED_BY_AGREEMENT = 10

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset(
    {
        Status.ACCEPTED,
        Status.MEDIATION_ACCEPTED,
        Status.MEDIATION_REJECTED,
        Status.NO_FAULT,
        Status.TIMED_OUT,
        Status.DECLINED,
        Status.CLOSED_BY_AGREEMENT,
    }
)
PAID = frozenset({Status.ACCEPTED, Status.MEDIATION_ACCEPTED})
REFUNDED = frozenset({Status.TIMED_OUT, Status.DECLINED, Status.MEDIATION_REJECTED, Status.NO_FAULT})


class DisputeKind(IntEnum):
    """Why a deal is in mediation."""

    NONE = 0
    CHALLENGE = 1  # the result, before the lottery drew the deal
    CHALLENGE_DRAWN = 2  # the result, after the draw: no bounty
    DELIVERY = 3  # the delivery, by the creator
    AUDIT = 4  # paid by the fund
    AUDIT_EXPIRED = 5  # the seed was lost: paid by the collateral


class Verdict(IntEnum):
    CORRECT = 0
    WRONG = 1
    NO_FAULT = 2
    DELIVERED = 3
    NOT_DELIVERED = 4


class Agreement(IntEnum):
    """How a creator agreed to a result before the judge deadline."""

    NONE = 0
    ACCEPTANCE = 1
    WAIVER = 2


class Step(IntEnum):
    """Steps that need nothing but the record, for `stepBatch`."""

    TIMEOUT_SUBMIT = 0
    TIMEOUT_REVEAL = 1
    TIMEOUT_MEDIATION = 2
    CHALLENGE = 3
    CHALLENGE_DELIVERY = 4
    AUDIT = 5
    REPAY_ADVANCE = 6


class Term(IntEnum):
    """Numbers whose limits an opening checks."""

    CPU = 0
    RAM = 1
    DISK = 2
    GPU_COUNT = 3
    VRAM = 4
    FLAGS = 5
    UNITS = 6
    SUBMIT_WINDOW = 7
    JUDGE_WINDOW = 8
    COLLATERAL_BPS = 9
    AUDIT_BPS = 10
    ROYALTY_BPS = 11
    SOLVER_FEE_BPS = 12
    VALUE = 13
    PRICE = 14
    COLLATERAL = 15
    SEAT_STAKE = 16
    POOL_WINDOWS = 17
    FUND_COVER = 18
    SEAT_FEE_FLOOR = 19


class Actor(StrEnum):
    """Who may take a step; every one may be a contract or act through a delegate."""

    ANYONE = "anyone"
    CREATOR = "creator"
    PROVIDER = "provider"
    BOTH = "creator and provider"
    STRATEGY = "strategy"


class Clock(StrEnum):
    """The last second (`until`) or the second after which (`after`) a step counts, from the record and the deal word."""

    DECLINE = "first quarter of the submit window"
    SUBMIT = "submit deadline"
    JUDGE = "judge deadline"
    REVEAL = "judge deadline plus reveal window"
    AUDIT = "judge deadline plus mediation limit"
    MEDIATION = "mediation deadline"


@dataclass(frozen=True)
class Transition:
    """One row of the table. `until` is inclusive, `after` exclusive; None: no such bound.

    `needs`: what else the core asks for: `spared`, `drawn` (by the lottery) or `not drawn` (spared or not yet known).
    """

    start: Status
    call: str
    actor: Actor
    to: Status
    until: Clock | None = None
    after: Clock | None = None
    needs: str = ""


_AGREED, _SUBMITTED, _MEDIATION = Status.AGREED, Status.RESULTS_SUBMITTED, Status.IN_MEDIATION

TRANSITIONS = (
    Transition(Status.NONE, "open", Actor.BOTH, _AGREED),
    Transition(_AGREED, "submitResult", Actor.PROVIDER, _SUBMITTED, until=Clock.SUBMIT),
    Transition(_AGREED, "decline", Actor.PROVIDER, Status.DECLINED, until=Clock.DECLINE),
    Transition(_AGREED, "timeoutSubmit", Actor.ANYONE, Status.TIMED_OUT, after=Clock.SUBMIT),
    Transition(_AGREED, "close", Actor.BOTH, Status.CLOSED_BY_AGREEMENT, until=Clock.SUBMIT),
    Transition(_SUBMITTED, "settle", Actor.ANYONE, Status.ACCEPTED, until=Clock.REVEAL, after=Clock.JUDGE, needs="spared"),
    Transition(_SUBMITTED, "settle accepted", Actor.CREATOR, Status.ACCEPTED, until=Clock.REVEAL, needs="spared"),
    Transition(_SUBMITTED, "settle waived", Actor.CREATOR, Status.ACCEPTED, until=Clock.REVEAL, needs="not drawn"),
    Transition(_SUBMITTED, "challenge", Actor.ANYONE, _MEDIATION, until=Clock.JUDGE),
    Transition(_SUBMITTED, "challengeDelivery", Actor.CREATOR, _MEDIATION, until=Clock.JUDGE),
    Transition(_SUBMITTED, "audit", Actor.ANYONE, _MEDIATION, until=Clock.AUDIT, needs="drawn"),
    Transition(_SUBMITTED, "timeoutReveal", Actor.ANYONE, Status.TIMED_OUT, after=Clock.REVEAL, needs="spared"),
    Transition(_SUBMITTED, "timeoutMediation", Actor.ANYONE, Status.NO_FAULT, after=Clock.AUDIT, needs="drawn"),
    Transition(_SUBMITTED, "close", Actor.BOTH, Status.CLOSED_BY_AGREEMENT, until=Clock.REVEAL, needs="not drawn"),
    Transition(_MEDIATION, "resolve Correct", Actor.STRATEGY, Status.MEDIATION_ACCEPTED, until=Clock.MEDIATION),
    Transition(_MEDIATION, "resolve Wrong", Actor.STRATEGY, Status.MEDIATION_REJECTED, until=Clock.MEDIATION),
    Transition(_MEDIATION, "resolve NoFault", Actor.STRATEGY, Status.NO_FAULT, until=Clock.MEDIATION),
    Transition(_MEDIATION, "resolve Delivered", Actor.STRATEGY, _SUBMITTED, until=Clock.MEDIATION),
    Transition(_MEDIATION, "resolve NotDelivered", Actor.STRATEGY, Status.TIMED_OUT, until=Clock.MEDIATION),
    Transition(_MEDIATION, "timeoutMediation", Actor.ANYONE, Status.NO_FAULT, after=Clock.MEDIATION),
)


def _legal() -> Mapping[Status, frozenset[Status]]:
    edges: dict[Status, set[Status]] = {status: set() for status in Status}
    for transition in TRANSITIONS:
        edges[transition.start].add(transition.to)
    return MappingProxyType({status: frozenset(targets) for status, targets in edges.items()})


LEGAL: Mapping[Status, frozenset[Status]] = _legal()
