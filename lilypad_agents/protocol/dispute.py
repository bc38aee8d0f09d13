"""Where a dispute stands at the panel strategy: phases, seats, findings, rounds. Twin of contracts/types/Dispute.sol.

A round is a number: its low two bits say the size, 4 is added in disputes about delivery. Protocol section 6.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from lilypad_agents.protocol.ids import NOBODY, ZERO, Address
from lilypad_agents.protocol.lifecycle import DisputeKind, Verdict
from lilypad_agents.protocol.price import Priced
from lilypad_agents.protocol.units import Amount, Seconds

SIZES = (1, 3, 7, 15)  # seats of a round, by its low two bits
DELIVERY_ROUND = 4  # added to rounds that ask for the data alone


class Phase(IntEnum):
    """Where a dispute stands."""

    NONE = 0  # the strategy has not been told of it
    DUE = 1  # a draw has to be asked for
    QUEUED = 2
    COMMIT = 3
    OPEN = 4
    REVEAL = 5
    APPEALABLE = 6
    EXECUTABLE = 7
    EXECUTED = 8


class SeatState(IntEnum):
    """What is known of one seat; from CONFIRMS on it has revealed."""

    SILENT = 0
    COMMITTED = 1
    CONFIRMS = 2
    UNSERVED = 3
    OTHER_DIGEST = 4
    UNAVAILABLE = 5
    MODULE_BROKEN = 6
    CANNOT_RUN = 7


class Finding(IntEnum):
    """What a round came to."""

    NONE = 0
    CONFIRMED = 1
    OTHER_DIGEST = 2
    UNSERVED = 3
    NOT_OPENED = 4
    BROKEN = 5
    DIVIDED = 6
    ABSENT = 7


_WRONG = frozenset({Finding.OTHER_DIGEST, Finding.UNSERVED, Finding.NOT_OPENED})
AGAINST_PROVIDER = frozenset({SeatState.UNSERVED, SeatState.OTHER_DIGEST, SeatState.UNAVAILABLE})


@dataclass(frozen=True)
class Seating:
    """Facts of a drawn round, which callers bring back: the chain keeps their hash. Windows in seconds.

    `opened`: the provider's digest (delivery: its data id), 32 zero bytes until it opened. An account may hold several seats.
    """

    provider: Address
    reveal_window: Seconds
    appeal_window: Seconds
    opened: bytes
    accounts: tuple[Address, ...]

    @classmethod
    def of(cls, record: Sequence[object]) -> Seating:
        """From a decoded `Seating` of an event or an answer."""
        provider, reveal, appeal, opened, accounts = record
        return cls(
            Address(str(provider)),
            Seconds(int(reveal)),  # type: ignore[call-overload]
            Seconds(int(appeal)),  # type: ignore[call-overload]
            bytes(opened),  # type: ignore[call-overload]
            tuple(Address(str(account)) for account in accounts),  # type: ignore[attr-defined]
        )


NO_SEATING = Seating(NOBODY, Seconds(0), Seconds(0), ZERO, ())


def seats_of(round_: int) -> int:
    """How many seats a round has."""
    return SIZES[round_ & 3]


def next_round(round_: int) -> int | None:
    """The round that an appeal pays for; None after the largest."""
    return None if round_ & 3 == 3 else round_ + 1


def first_round(kind: DisputeKind) -> int:
    """With which round a dispute of this kind begins."""
    if kind is DisputeKind.DELIVERY:
        return DELIVERY_ROUND + 1
    return 1 if kind in (DisputeKind.CHALLENGE, DisputeKind.CHALLENGE_DRAWN) else 0


def is_about_delivery(round_: int) -> bool:
    return bool(round_ & DELIVERY_ROUND)


def seat_price(deal: Priced, round_: int) -> Amount:
    """What one seat of a round is paid, smallest units: the seat fee, about delivery the pool's floor."""
    return deal.seat_floor if is_about_delivery(round_) else deal.seat_fee


def appeal_fee(deal: Priced, round_: int) -> Amount:
    """What the appeal costs that brings about this round, smallest units."""
    return Amount(seats_of(round_) * seat_price(deal, round_))


def verdict_of(finding: Finding, *, delivery: bool) -> Verdict:
    """What a standing finding becomes in the core. Source: docs/protocol.md section 6.2."""
    if finding is Finding.CONFIRMED:
        return Verdict.DELIVERED if delivery else Verdict.CORRECT
    if finding in _WRONG:
        return Verdict.NOT_DELIVERED if delivery else Verdict.WRONG
    return Verdict.NO_FAULT
