"""Who was heard of lately: a provider that vanished must not get jobs that it will not do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from lilypad_agents.protocol.ids import Address


class Presence:
    """Accounts by when they last made a signed request; open event streams count as long as they stand. Thread safe."""

    def __init__(self, heartbeat_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.heartbeat_s = heartbeat_s
        self._clock = clock
        self._heard: dict[Address, float] = {}
        self._lock = threading.Lock()

    def touch(self, account: Address) -> bool:
        """Notes a sign of life; True when the account was absent before."""
        now = self._clock()
        with self._lock:
            before = self._heard.get(account)
            self._heard[account] = now
            if len(self._heard) > 50_000:
                self._heard = {key: at for key, at in self._heard.items() if now - at <= self.heartbeat_s}
            return before is None or now - before > self.heartbeat_s

    def silence(self, accounts: Iterable[Address]) -> float | None:
        """Seconds since any of the accounts was heard of; None for never (since the start)."""
        with self._lock:
            heard = [self._heard[account] for account in accounts if account in self._heard]
        return self._clock() - max(heard) if heard else None

    def is_present(self, accounts: Iterable[Address]) -> bool:
        silence = self.silence(accounts)
        return silence is not None and silence <= self.heartbeat_s
