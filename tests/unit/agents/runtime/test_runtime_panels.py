"""An event of the pools that a node never delivered: a soak's mediator failed in every cycle after its restart, for ever."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lilypad_agents.agents.runtime.panels import Panels
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import PoolId
from tests.support.chain import Events

POOL, STAKING = b"\x11" * 32, "0x" + "22" * 20


def _event(name: str, **args: Any) -> Any:
    return SimpleNamespace(name=name, address=STAKING, args={"pool": POOL, **args})


def _queued(ticket: int) -> Any:
    return _event("RoundQueued", ticket=ticket, round=b"\x01" * 32, seats=1, excluded=("0x" + "00" * 20,) * 4, period=ticket)


class Cursor:
    """Stored events, of which some were never delivered; asked again, it finds those that lie `depth` blocks back or less."""

    def __init__(self, chain: list[Any], hidden: set[int], depth: int = 0, place: int = 5_000) -> None:
        self.chain, self.hidden, self.depth, self.place = chain, hidden, depth, place
        self.asked: list[int] = []
        self.new: tuple[Any, ...] = ()

    def events(self) -> list[Any]:
        return [event for number, event in enumerate(self.chain) if number not in self.hidden]

    def advance(self, _seen: Any = None) -> Any:
        new, self.new = self.new, ()
        return SimpleNamespace(cursor=self.place, caught_up=True, reorganisation=None, new_logs=new)

    def rescan(self, blocks: int) -> tuple[Any, ...]:
        self.asked.append(blocks)
        if blocks < self.depth:
            return ()
        found, self.hidden = self.hidden, set()
        return tuple(self.chain[number] for number in found)


def _panels(cursor: Cursor, events: Events) -> Panels:
    panels = Panels.__new__(Panels)
    panels.cursor = cursor  # type: ignore[assignment]
    panels.staking = panels.mediation = SimpleNamespace(address=STAKING)  # type: ignore[assignment]
    panels._notify, panels._loaded, panels._head, panels.place = events, False, b"", 0
    panels._clear()
    return panels


def _head(number: int) -> Any:
    return SimpleNamespace(hash=number.to_bytes(32, "big"))


def test_follow__after_a_restart_with_an_event_missing__asks_again_and_goes_on() -> None:
    """flt:F24 beh:L18"""
    chain = [_queued(1), _queued(2), _event("RoundDrawn", ticket=1), _event("RoundDrawn", ticket=2)]
    cursor, events = Cursor(chain, {1}), Events()
    panels = _panels(cursor, events)
    assert panels.follow(_head(1))
    assert panels.pools[PoolId(POOL)].queue.front is None
    assert cursor.asked == [256] and events.named("events_missed") == [{"blocks": 256, "found": 1}]
    assert not panels.follow(_head(1)), "one head is read once"


def test_follow__while_it_runs__a_missing_event_does_not_leave_a_wrong_queue_behind() -> None:
    """flt:F24 Events that came after the missing one are not skipped either."""
    chain = [_queued(1)]
    cursor, events = Cursor(chain, set()), Events()
    panels = _panels(cursor, events)
    panels.follow(_head(1))
    chain += [_queued(2), _event("RoundDrawn", ticket=1), _event("RoundDrawn", ticket=2), _queued(3)]
    cursor.hidden, cursor.new = {1}, (chain[2], chain[3], chain[4])
    assert panels.follow(_head(2))
    assert list(panels.pools[PoolId(POOL)].queue.waiting) == [3]


def test_follow__missing_long_ago__is_found_by_looking_further_back() -> None:
    """flt:F24"""
    cursor = Cursor([_queued(7), _event("RoundDrawn", ticket=7)], {0}, depth=4_000)
    panels = _panels(cursor, Events())
    assert panels.follow(_head(1))
    assert cursor.asked == [256, 1024, 4096]


def test_follow__chain_never_shows_it__is_an_error_each_time_and_no_endless_loop() -> None:
    cursor = Cursor([_event("RoundDrawn", ticket=7)], set())
    panels = _panels(cursor, Events())
    for asked in (4, 8):
        with pytest.raises(FieldInvalid):
            panels.follow(_head(1))
        assert len(cursor.asked) == asked
