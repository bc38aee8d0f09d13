"""The one word that the panel strategy keeps of a round. Twin of contracts/types/RoundWord.sol."""

from __future__ import annotations

from dataclasses import dataclass

from lilypad_agents.protocol.dispute import Phase, SeatState, seats_of
from lilypad_agents.protocol.units import Timestamp

_SEATS_AT, _SEAT_BITS, _FACTS_AT = 50, 3, 96


@dataclass(frozen=True)
class RoundWord:
    """Phase as it was last written, round number, whether the provider opened, deadline (unix seconds), states of the seats.

    `facts`: while seats are queued for the first time the ticket, else the low 160 bits of the seating's hash.
    """

    phase: Phase
    round: int
    opened: bool
    redrawn: bool
    deadline: Timestamp
    seats: tuple[SeatState, ...]
    facts: int

    @classmethod
    def unpack(cls, word: int) -> RoundWord:
        """Fields from the least significant bit; zero means that there is no round."""
        if word == 0:
            return cls(Phase.NONE, 0, False, False, Timestamp(0), (), 0)
        round_ = word >> 3 & 7
        seats = tuple(SeatState(word >> _SEATS_AT + _SEAT_BITS * seat & 7) for seat in range(seats_of(round_)))
        return cls(
            phase=Phase((word & 7) + 1),
            round=round_,
            opened=bool(word >> 6 & 1),
            redrawn=bool(word >> 7 & 1),
            deadline=Timestamp(word >> 10 & (1 << 40) - 1),
            seats=seats,
            facts=word >> _FACTS_AT,
        )
