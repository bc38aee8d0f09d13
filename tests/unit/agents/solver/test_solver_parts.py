"""The small parts of a solver: buckets, addresses, presence, hints, wire forms."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.agents.solver.errors import RateLimited
from lilypad_agents.agents.solver.hub import Hub
from lilypad_agents.agents.solver.limits import Buckets, client_address
from lilypad_agents.agents.solver.presence import Presence
from lilypad_agents.agents.solver.wire import PUBLIC, Scope, exact
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import checksummed

ALICE, BOB = checksummed("0x" + "a1" * 20), checksummed("0x" + "b0" * 20)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


# ---- buckets


def test_take__burst_used_up__is_refused_with_the_time_to_wait() -> None:
    """beh:I9"""
    clock = Clock()
    buckets = Buckets("account", 2.0, 3, clock)
    for _ in range(3):
        buckets.take("a")
    with pytest.raises(RateLimited) as caught:
        buckets.take("a")
    assert caught.value.retry_after == 1
    buckets.take("b")  # others have their own
    clock.now += 0.5
    buckets.take("a")
    with pytest.raises(RateLimited):
        buckets.take("a")


def test_take__long_pause__never_fills_beyond_the_burst() -> None:
    clock = Clock()
    buckets = Buckets("account", 10.0, 2, clock)
    clock.now += 1_000
    assert [buckets.try_take("a") for _ in range(3)] == [0.0, 0.0, pytest.approx(0.1)]


def test_buckets__million_names__memory_is_bounded() -> None:
    """flt:F35"""
    buckets = Buckets("network address", 1.0, 1)
    for number in range(50_000):
        buckets.try_take(str(number))
    assert len(buckets) <= 20_000


# ---- addresses


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "expected"),
    [
        ("9.9.9.9", ["1.1.1.1"], [], "9.9.9.9"),  # nobody's word counts
        ("10.0.0.1", ["1.1.1.1"], ["10.0.0.1"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1"], ["10.0.0.1"], "1.1.1.1"),  # what the client wrote itself is further left
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1, 10.0.0.2"], ["10.0.0.1", "10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["nonsense"], ["10.0.0.1"], "10.0.0.1"),
        ("10.0.0.1", [], ["10.0.0.1"], "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", [], [], "2001:db8:1:2::/64"),
        ("::ffff:7.7.7.7", [], [], "7.7.7.7"),
        (None, [], [], "unknown"),
    ],
)
def test_client_address__forwarded__counts_only_from_configured_proxies(
    peer: str | None, forwarded: list[str], proxies: list[str], expected: str
) -> None:
    """beh:I9"""
    assert client_address(peer, forwarded, frozenset(proxies)) == expected


# ---- presence


def test_presence__silent_beyond_the_heartbeat__is_away_until_it_is_heard_again() -> None:
    """beh:H12"""
    clock = Clock()
    presence = Presence(30, clock)
    assert not presence.is_present([ALICE])
    assert presence.touch(ALICE) is True
    clock.now += 30
    assert presence.is_present([ALICE]) and presence.touch(ALICE) is False
    clock.now += 30.1
    assert not presence.is_present([ALICE])
    assert presence.silence([ALICE]) == pytest.approx(30.1)
    assert presence.touch(ALICE) is True


def test_presence__poster_is_there__counts_for_its_account() -> None:
    presence = Presence(30, Clock())
    presence.touch(BOB)
    assert presence.is_present([ALICE, BOB])


# ---- hints


def hints(hub: Hub, accounts: set[Any], since: str | None, publish: Any) -> list[tuple[str, str]]:
    async def run() -> list[tuple[str, str]]:
        listener, missed = hub.listen(accounts, since)
        thread = threading.Thread(target=publish)
        thread.start()
        thread.join()
        found = [*missed, *await listener.next(1)]
        hub.leave(listener)
        return [(event.type, event.detail) for event in found]

    return asyncio.run(run())


def test_hub__hint_of_an_account__reaches_only_those_who_listen_for_it() -> None:
    """beh:I4"""

    def publish() -> None:
        hub.publish("deal", b"\x01", "AGREED", [ALICE])
        hub.publish("deal", b"\x02", "secret", [BOB])

    hub = Hub()
    assert hints(hub, {ALICE}, None, publish) == [("hello", ""), ("deal", "AGREED")]


def test_hub__back_after_a_pause__hears_what_it_missed() -> None:
    """beh:I4"""
    hub = Hub()
    hub.publish("deal", b"\x01", "one", [ALICE])
    since = hub._kept[-1][2].seq
    hub.publish("deal", b"\x01", "two", [ALICE])
    hub.publish("deal", b"\x01", "not mine", [BOB])
    found = hints(hub, {ALICE}, since, lambda: hub.publish("deal", b"\x01", "three", [ALICE]))
    assert found == [("hello", ""), ("deal", "two"), ("deal", "three")]


@pytest.mark.parametrize("since", ["another-boot-5", "x", "00000000-1"])
def test_hub__hint_of_another_life__is_told_to_look_at_everything(since: str) -> None:
    hub = Hub()
    found = hints(hub, {ALICE}, since, lambda: hub.publish("deal", b"\x01", "now", [ALICE]))
    assert found == [("hello", ""), ("resync", ""), ("deal", "now")]


def test_hub__listener_too_slow__loses_hints_but_learns_so() -> None:
    """flt:F35"""

    def publish() -> None:
        for _ in range(2_000):
            hub.publish("deal", b"\x01", "x", [ALICE])

    hub = Hub()
    found = hints(hub, {ALICE}, None, publish)
    assert found == [("hello", ""), ("resync", "")]


def test_hub__closed__ends_every_stream_at_once() -> None:
    hub = Hub()

    async def run() -> bool:
        listener, _ = hub.listen({ALICE}, None)
        hub.close()
        await listener.next(30)
        return listener.closed

    assert asyncio.run(asyncio.wait_for(run(), 5))


# ---- wire


@pytest.mark.parametrize("text", ["offer 0x" + "ab" * 32, "deal 0x" + "00" * 32, "public"])
def test_scope__text_and_back__is_the_same(text: str) -> None:
    assert str(Scope.parse(text)) == text


@pytest.mark.parametrize("text", ["", "offer", "offer 0x12", "deal " + "ab" * 32, "../etc", "public x", "private"])
def test_scope__anything_else__is_refused(text: str) -> None:
    with pytest.raises(FieldInvalid):
        Scope.parse(text)


def test_scope__public__has_no_id() -> None:
    assert Scope.parse("public") == PUBLIC


@given(st.recursive(st.integers() | st.text() | st.booleans() | st.none(), st.lists, max_leaves=10))
def test_exact__any_json__has_no_number_that_readers_round(value: Any) -> None:
    def numbers(found: Any) -> list[int]:
        if isinstance(found, list):
            return [number for item in found for number in numbers(item)]
        return [found] if isinstance(found, int) else []

    assert all(abs(number) < 2**53 for number in numbers(exact(value)))
