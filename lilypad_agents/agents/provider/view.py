"""What the provider sees when it decides: one moment of the chain and of its own work, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lilypad_agents.agents.provider.capacity import NOTHING, Need
from lilypad_agents.agents.provider.policy import Refusal
from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.dispute import Phase, SeatState
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.lifecycle import Agreement, Verdict
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.units import Amount, Period, Seconds, Timestamp


class Stage(StrEnum):
    """How far our own work on a deal is."""

    NEW = "new"
    FETCHING = "fetching"
    READY = "ready"  # everything is here and checked
    RUNNING = "running"
    DONE = "done"  # result, salt and commitment are stored durably
    REFUSED = "refused"  # the gate, or a run that cannot succeed


class Lottery(StrEnum):
    """What the seed says of a deal with a posted result."""

    NONE = "none"  # no audit rate: always spared
    PENDING = "pending"
    SPARED = "spared"
    DRAWN = "drawn"
    LOST = "lost"  # the seed expired unrecorded: counts as drawn


class Action(StrEnum):
    """What is done for one deal; together with its id the natural key of an intent."""

    FETCH = "fetch"
    RUN = "run"
    STOP = "stop"
    PUBLISH = "publish"
    SUBMIT = "submit"
    SETTLE = "settle"
    DECLINE = "decline"
    CLOSE = "close"
    TIMEOUT_SUBMIT = "timeout-submit"
    TIMEOUT_REVEAL = "timeout-reveal"
    TIMEOUT_MEDIATION = "timeout-mediation"
    RECORD = "record"
    RELEASE = "release"
    OPEN = "open"  # by ourselves, from an offer that we were given
    SERVE = "serve"  # everything about a disputed deal, to the relays again
    RERUN = "rerun"
    AUDIT = "audit"
    OPEN_RESULT = "open-result"
    NAME_DATA = "name-data"
    QUEUE = "queue"
    DRAW = "draw"
    EXECUTE = "execute"
    FUND_APPEAL = "fund-appeal"
    APPROVE_APPEAL = "approve-appeal"
    APPEAL = "appeal"
    UNWIND = "unwind"
    CANCEL_OFFERS = "cancel-offers"
    DELIVER = "deliver"  # an outcome, to the contract that asked for the job


@dataclass(frozen=True)
class Work:
    """Our own progress with one deal. Times are unix seconds of block time.

    `commitment`: of the stored result, None before there is one. `retry_at`: not before that a failed fetch or
    delivery is tried again. `estimate_ms`: how long a run probably takes. `published`: the relay has result and receipt.
    `served`: it has everything that a dispute needs, since that began. `reran`: whether our own second run gave the same
    digest, None before there was one.
    """

    stage: Stage = Stage.NEW
    refusal: Refusal | None = None
    commitment: int | None = None
    published: bool = False
    served: bool = False
    reran: bool | None = None
    released: bool = False
    retry_at: Timestamp = Timestamp(0)
    need: Need = NOTHING
    estimate_ms: int = 0


@dataclass(frozen=True)
class ClosingOffer:
    """A split that the creator signed and the provider has not: smallest units, `expiry` unix seconds."""

    to_creator: Amount
    to_provider: Amount
    expiry: Timestamp
    signature: bytes


@dataclass(frozen=True)
class DisputeView:
    """The dispute of a deal of ours at a strategy that we know. Amounts in smallest units, `deadline` unix seconds.

    `phase` and `verdict` (what would be executed; None: nothing yet) count in what time has done. `paid`: for our appeals
    so far. `wallet`, `allowance`, `free`: our tokens, what the strategy may take of them, our free credit in the core.
    `ended`: the strategy has divided the money of the dispute.
    """

    delivery: bool
    phase: Phase
    deadline: Timestamp
    round: int
    opened: bool = False
    seats: tuple[SeatState, ...] = ()
    verdict: Verdict | None = None
    paid: Amount = Amount(0)
    wallet: Amount = Amount(0)
    allowance: Amount = Amount(0)
    free: Amount = Amount(0)
    ended: bool = False

    @property
    def holds_our_money(self) -> bool:
        """Whether something that we paid for an appeal has not been divided yet."""
        return bool(self.paid) and not self.ended


@dataclass(frozen=True)
class DealView:
    """One deal of ours: its terms, where it stands on the chain, and how far we are.

    `gross`: what a settlement would pay, smallest units (None before there is a result). `agreement`: what the creator
    signed, verified against our digest. `under_way`: actions whose transaction is in the outbox and not over. `dispute`:
    None without one, and at a strategy that we do not know. `possible`: steps that anyone may take, and for how long
    (seconds) the chain has accepted them.
    """

    id: DealId
    deal: Deal
    state: DealState
    work: Work = Work()
    agreement: Agreement = Agreement.NONE
    closing: ClosingOffer | None = None
    lottery: Lottery = Lottery.NONE
    gross: Amount | None = None
    dispute: DisputeView | None = None
    possible: Mapping[Action, Seconds] = field(default_factory=dict)
    under_way: frozenset[Action] = frozenset()


@dataclass(frozen=True)
class SeedView:
    """A period's seed that can be recorded: seconds since then, and how long it lives unrecorded.

    `is_awaited`: the contracts do not know it before it is recorded, so nothing that hangs on it can be settled.
    `recorded`: our record is under way or done.
    """

    age: Seconds
    lifetime: Seconds
    recorded: bool = False
    is_awaited: bool = False


@dataclass(frozen=True)
class ProviderView:
    """Everything that a decision depends on. `time`: block time. `free_slots`, `free`: what running jobs leave.

    `backlog_ms`: what the jobs that run now still take, spread over the slots; `slots`: runs at a time.
    """

    time: Timestamp
    deals: tuple[DealView, ...]
    parameters: Parameters
    slots: int
    free_slots: int
    free: Need
    backlog_ms: int = 0
    seeds: Mapping[Period, SeedView] = field(default_factory=dict)
