"""Which periods a participant asks the contract about, though it knows no event."""

from __future__ import annotations

from lilypad_agents.agents.seeds.book import Book
from lilypad_agents.protocol.commit_reveal import Rounds


def in_reach(rounds: Rounds, time: int) -> list[int]:
    book = Book.__new__(Book)  # which would ask a chain for them
    book.rounds = rounds
    return list(book.in_reach(time))


def test_in_reach__usual_times__from_the_first_open_to_the_next() -> None:
    rounds = Rounds(period_s=1_000, lookahead_s=100, reveal_s=300, bond=1)
    assert in_reach(rounds, 7_400) == [7, 8]
    assert in_reach(rounds, 7_401) == [8]


def test_in_reach__more_open_periods_than_are_asked_for__those_whose_secrets_are_due_and_the_next() -> None:
    """flt:F28 Without its folder the last 64 would be asked for alone, of which none is due before its window ends."""
    rounds = Rounds(period_s=10, lookahead_s=1_000, reveal_s=500, bond=1)
    found = in_reach(rounds, 100_000)
    assert found == [*range(9_850, 9_850 + 64), 10_001]
    assert rounds.reveal_end(found[0]) == 100_000
    assert rounds.reveal_start(found[50]) == 100_000
