"""Events of pools that a node never delivered (a soak's mediator failed in every cycle after its restart, for ever), and
disputes that are over (a soak's agents kept them all in memory)."""

from __future__ import annotations

import threading
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from lilypad_agents.agents.runtime.panels import Panels
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import DealId, PoolId
from tests.support.chain import Events

POOL, STAKING, MEDIATION = b"\x11" * 32, "0x" + "22" * 20, "0x" + "33" * 20
DEAL, OTHER = DealId(b"\x44" * 32), DealId(b"\x55" * 32)


def _event(name: str, **args: Any) -> Any:
    return SimpleNamespace(name=name, address=STAKING, args={"pool": POOL, **args})


def _queued(ticket: int) -> Any:
    return _event("RoundQueued", ticket=ticket, round=b"\x01" * 32, seats=1, excluded=("0x" + "00" * 20,) * 4, period=ticket)


def _said(number: int, name: str, deal: DealId = DEAL) -> Any:
    """An event of the strategy; its number orders it."""
    return SimpleNamespace(name=name, address=MEDIATION, args={"dealId": deal}, block_number=number, log_index=0)


class Cursor:
    """Stored events, of which some were never delivered; asked again, it finds those that lie `depth` blocks back or less."""

    def __init__(self, chain: list[Any], hidden: set[int], depth: int = 0, place: int = 5_000) -> None:
        self.chain, self.hidden, self.depth, self.place = chain, hidden, depth, place
        self.asked: list[int] = []
        self.new: tuple[Any, ...] = ()

    def events(self, names: Collection[str] = (), topic1: bytes | None = None) -> list[Any]:
        stored = [event for number, event in enumerate(self.chain) if number not in self.hidden]
        return [
            event
            for event in stored
            if (not names or event.name in names) and (topic1 is None or event.args.get("dealId") == topic1)
        ]

    def deliver(self, *events: Any) -> None:
        self.chain += events
        self.new = events

    def advance(self, _seen: Any = None) -> Any:
        new, self.new = self.new, ()
        return SimpleNamespace(cursor=self.place, caught_up=True, reorganisation=None, new_logs=new)

    def rescan(self, blocks: int) -> tuple[Any, ...]:
        self.asked.append(blocks)
        if blocks < self.depth:
            return ()
        found, self.hidden = self.hidden, set()
        return tuple(self.chain[number] for number in found)


def _panels(cursor: Cursor, events: Events, again_every: int = 10**9) -> Panels:
    panels = Panels.__new__(Panels)
    panels.cursor = cursor  # type: ignore[assignment]
    panels.staking, panels.mediation = SimpleNamespace(address=STAKING), SimpleNamespace(address=MEDIATION)  # type: ignore[assignment]
    panels._names = {"RoundQueued", "SeatsDrawn", "Revealed", "MoneyDivided", "DisputeExecuted"}
    panels._reading = threading.Lock()
    panels._notify, panels._loaded, panels._head, panels.place = events, False, b"", 0
    panels._again_every, panels._asked_again_at = again_every, 0
    panels._clear()
    return panels


def _head(number: int) -> Any:
    return SimpleNamespace(hash=number.to_bytes(32, "big"), number=number)


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


def test_follow__every_few_blocks__asks_again_for_what_nothing_after_it_misses() -> None:
    """flt:F24 flt:F38 A draw that was kept back stood in the queue for good, and nobody drew those behind it any more."""
    chain = [_queued(1), _event("RoundDrawn", ticket=1)]
    cursor, events = Cursor(chain, {1}), Events()
    panels = _panels(cursor, events, again_every=64)
    panels.follow(_head(63))
    assert panels.pools[PoolId(POOL)].queue.front is not None and cursor.asked == []
    assert panels.follow(_head(64))
    assert panels.pools[PoolId(POOL)].queue.front is None
    assert cursor.asked == [128] and events.named("events_missed") == [{"blocks": 128, "found": 1}]
    assert not panels.follow(_head(127)) and not panels.follow(_head(128))
    assert cursor.asked == [128, 128]


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


def _heard(panels: Panels, deal: DealId = DEAL) -> list[int]:
    return [event.block_number for event in panels.events(deal)]


def test_follow__dispute_that_is_over__leaves_the_memory_and_is_read_back_when_asked_for() -> None:
    """beh:L18"""
    cursor = Cursor([_said(1, "RoundQueued"), _said(2, "RoundQueued", OTHER)], set())
    panels = _panels(cursor, Events())
    panels.follow(_head(2))
    assert set(panels.live()) == {DEAL, OTHER} and not panels.is_over(DEAL)
    cursor.deliver(_said(3, "SeatsDrawn"), _said(4, "DisputeExecuted"), _said(5, "MoneyDivided"))
    panels.follow(_head(5))
    assert panels.live() == (OTHER,) and set(panels._live) == {OTHER}
    assert panels.is_over(DEAL) and _heard(panels) == [1, 3, 4, 5]
    assert _heard(panels, DealId(bytes(32))) == [] and not panels.is_over(DealId(bytes(32)))


def test_follow__event_after_the_end__is_heard_although_the_dispute_was_read_back_before() -> None:
    cursor = Cursor([_said(1, "RoundQueued"), _said(2, "DisputeExecuted")], set())
    panels = _panels(cursor, Events())
    panels.follow(_head(2))
    assert _heard(panels) == [1, 2]
    cursor.deliver(_said(3, "MoneyDivided"))
    panels.follow(_head(3))
    assert _heard(panels) == [1, 2, 3] and panels.is_over(DEAL)


@pytest.mark.parametrize("restarted", [False, True])
def test_follow__another_dispute_about_the_deal__begins_with_its_first_round(restarted: bool) -> None:
    cursor = Cursor([_said(1, "RoundQueued"), _said(2, "DisputeExecuted"), _said(3, "MoneyDivided")], set())
    panels = _panels(cursor, Events())
    panels.follow(_head(3))
    cursor.deliver(_said(4, "RoundQueued"), _said(5, "SeatsDrawn"), _said(6, "RoundQueued"))
    if restarted:
        panels = _panels(cursor, Events())
    panels.follow(_head(6))
    assert _heard(panels) == [4, 5, 6] and panels.live() == (DEAL,)
    cursor.deliver(_said(7, "DisputeExecuted"))
    panels.follow(_head(7))
    assert panels.is_over(DEAL) and _heard(panels) == [4, 5, 6, 7]


def test_follow__beginning_never_delivered__dispute_is_not_taken_for_over() -> None:
    """flt:F24"""
    cursor = Cursor([_said(1, "RoundQueued")], {0})
    panels = _panels(cursor, Events())
    panels.follow(_head(1))
    cursor.deliver(_said(2, "SeatsDrawn"), _said(3, "Revealed"))
    panels.follow(_head(3))
    assert panels.live() == (DEAL,) and _heard(panels) == [2, 3] and not panels.is_over(DEAL)


def test_events__of_ever_more_disputes__keep_a_bounded_number_in_memory() -> None:
    deals = [DealId(number.to_bytes(32, "big")) for number in range(200)]
    chain = [_said(2 * number + step, name, deal) for number, deal in enumerate(deals)
             for step, name in enumerate(("RoundQueued", "DisputeExecuted"))]  # fmt: skip
    panels = _panels(Cursor(chain, set()), Events())
    panels.follow(_head(1))
    assert all(len(panels.events(deal)) == 2 for deal in deals)
    assert not panels._live and len(panels._past) == 64
