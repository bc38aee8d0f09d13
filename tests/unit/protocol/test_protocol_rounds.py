"""The queue of rounds from its events alone. beh:D11"""

from __future__ import annotations

from typing import Any

import pytest

from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import NOBODY, ZERO
from lilypad_agents.protocol.rounds import RoundQueue

Event = tuple[str, dict[str, Any]]


def queued(ticket: int, period: int) -> Event:
    return "RoundQueued", {"ticket": ticket, "round": ZERO, "seats": 3, "excluded": [NOBODY] * 4, "period": period}


def test_replay__nothing__waits_for_nothing() -> None:
    queue = RoundQueue.replay([("Staked", {"amount": 1})])
    assert queue.front is None and queue.period is None


def test_replay__rounds__come_in_their_order() -> None:
    queue = RoundQueue.replay([queued(0, 5), queued(1, 5), queued(2, 6)])
    assert (queue.front.ticket, queue.period) == (0, 5)
    queue.apply("RoundDrawn", {"ticket": 0, "seats": ()})
    queue.apply("RoundCancelled", {"ticket": 1, "inQueue": False})
    assert (queue.front.ticket, queue.period) == (2, 6)


def test_replay__postponed__moves_all_that_wait() -> None:
    queue = RoundQueue.replay([queued(0, 5), queued(1, 5), ("RoundPostponed", {"ticket": 0, "period": 9})])
    assert queue.period == 9
    queue.apply("RoundDrawn", {"ticket": 0, "seats": ()})
    assert (queue.front.ticket, queue.period) == (1, 9)


def test_replay__cancelled_late__stays_for_anyone_to_draw() -> None:
    queue = RoundQueue.replay([queued(0, 5), ("RoundCancelled", {"ticket": 0, "inQueue": True})])
    assert queue.front.unwanted
    queue.apply("RoundCancelled", {"ticket": 0, "inQueue": False})
    assert queue.front is None


@pytest.mark.parametrize("name", ["RoundDrawn", "RoundCancelled"])
def test_replay__of_a_round_that_was_never_queued__refused(name: str) -> None:
    with pytest.raises(FieldInvalid):
        RoundQueue.replay([(name, {"ticket": 3, "inQueue": False, "seats": ()})])
