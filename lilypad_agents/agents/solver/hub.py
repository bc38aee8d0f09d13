"""Hints to those who listen: something about one of their offers or deals changed. Lossy by design, never the truth.

Every listener has a short queue; who does not keep up, or asks for hints that are no longer here, is told to look at
everything (`resync`). Hints of an account reach only streams that act for it.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import Iterable

from lilypad_agents.agents.solver.wire import Event
from lilypad_agents.protocol.ids import Address

_KEPT = 5_000
_QUEUE = 500


class Listener:
    """One stream: the accounts it hears of and its queue. Lives in one event loop."""

    def __init__(self, accounts: frozenset[Address], loop: asyncio.AbstractEventLoop) -> None:
        self.accounts = accounts
        self._loop = loop
        self._queue: deque[Event] = deque()
        self._ready = asyncio.Event()
        self._lost = False
        self.closed = False

    def end(self) -> None:
        """Ends the waiting for good; in the listener's loop or from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._end)
        except RuntimeError:
            pass

    def _end(self) -> None:
        self.closed = True
        self._ready.set()

    def offer(self, event: Event) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._take, event)
        except RuntimeError:  # the loop is closed: nobody listens any more
            pass

    def _take(self, event: Event) -> None:
        if len(self._queue) >= _QUEUE:
            self._queue.clear()
            self._lost = True
        self._queue.append(event)
        self._ready.set()

    async def next(self, timeout_s: float) -> list[Event]:
        """What came, after waiting for at most `timeout_s`; empty when nothing did."""
        try:
            await asyncio.wait_for(self._ready.wait(), timeout_s)
        except TimeoutError:
            return []
        if not self.closed:
            self._ready.clear()
        found = list(self._queue)
        self._queue.clear()
        if self._lost:
            self._lost = False
            return [Event(found[-1].seq, "resync")]
        return found


class Hub:
    """Distributes hints. Thread safe."""

    def __init__(self) -> None:
        self._boot = secrets.token_hex(4)
        self._count = 0
        self._lock = threading.Lock()
        self._kept: deque[tuple[int, frozenset[Address], Event]] = deque(maxlen=_KEPT)
        self._listeners: set[Listener] = set()

    def publish(self, type_: str, id_: bytes, detail: str, accounts: Iterable[Address]) -> None:
        """Tells those who act for one of the accounts."""
        concerned = frozenset(accounts)
        with self._lock:
            self._count += 1
            event = Event(f"{self._boot}-{self._count}", type_, id_, detail)
            self._kept.append((self._count, concerned, event))
            listeners = [listener for listener in self._listeners if listener.accounts & concerned]
        for listener in listeners:
            listener.offer(event)

    def listen(self, accounts: Iterable[Address], since: str | None) -> tuple[Listener, list[Event]]:
        """A new listener in the running event loop, and what it missed since the hint `since`."""
        listener = Listener(frozenset(accounts), asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
            missed = [Event(f"{self._boot}-{self._count}", "hello"), *self._missed(listener, since)]
        return listener, missed

    def _missed(self, listener: Listener, since: str | None) -> list[Event]:
        if since is None:
            return []
        boot, _, number = since.partition("-")
        oldest = self._kept[0][0] if self._kept else self._count + 1
        if boot != self._boot or not number.isdecimal() or int(number) < oldest - 1:
            return [Event(f"{self._boot}-{self._count}", "resync")]
        return [event for count, of, event in self._kept if count > int(number) and of & listener.accounts]

    def leave(self, listener: Listener) -> None:
        with self._lock:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Ends all streams."""
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener.end()

    @property
    def listening(self) -> int:
        return len(self._listeners)
