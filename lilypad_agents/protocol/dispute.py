"""Rounds and findings of disputes, as their parties need them: sizes, prices, what a finding becomes. Protocol section 6.2.

A round is a number: its low two bits say the size, 4 is added in disputes about delivery. What rounds are made of is in
`mediation`, the strategy's twin.
"""

from __future__ import annotations

from lilypad_agents.protocol import mediation
from lilypad_agents.protocol.ids import NOBODY, ZERO
from lilypad_agents.protocol.lifecycle import DisputeKind, Verdict
from lilypad_agents.protocol.mediation import DELIVERY, LAST_SIZE, Finding, Phase, Seating, SeatState, round_size
from lilypad_agents.protocol.price import Priced
from lilypad_agents.protocol.units import Amount, Seconds

AGAINST_PROVIDER = frozenset({SeatState.UNSERVED, SeatState.OTHER_DIGEST, SeatState.UNAVAILABLE})
NO_SEATING = Seating(NOBODY, Seconds(0), Seconds(0), ZERO, ())


def seats_of(round_: int) -> int:
    """How many seats a round has."""
    return round_size(round_)


def next_round(round_: int) -> int | None:
    """The round that an appeal pays for; None after the largest."""
    return None if round_ & 3 == LAST_SIZE else round_ + 1


def is_about_delivery(round_: int) -> bool:
    return bool(round_ & DELIVERY)


def seat_price(deal: Priced, round_: int) -> Amount:
    """What one seat of a round is paid, smallest units: the seat fee, about delivery the pool's floor."""
    return deal.seat_floor if is_about_delivery(round_) else deal.seat_fee


def appeal_fee(deal: Priced, round_: int) -> Amount:
    """What the appeal costs that brings about this round, smallest units."""
    return Amount(seats_of(round_) * seat_price(deal, round_))


def verdict_of(finding: Finding, *, delivery: bool) -> Verdict:
    """What a standing finding becomes in the core."""
    return mediation.verdict_of(DisputeKind.DELIVERY if delivery else DisputeKind.AUDIT, finding)


__all__ = [
    "AGAINST_PROVIDER", "NO_SEATING", "Finding", "Phase", "SeatState", "Seating", "appeal_fee", "is_about_delivery",
    "next_round", "seat_price", "seats_of", "verdict_of",
]  # fmt: skip
