"""How much one key and one network address may ask: token buckets, kept for those seen lately."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from lilypad_agents.agents.solver.errors import RateLimited

_MOST_KEPT = 20_000


class Buckets:
    """A bucket of `burst` requests a name, refilled by `rate` a second. Thread safe; the oldest names are forgotten."""

    def __init__(self, what: str, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name -> (left, at)
        self._lock = threading.Lock()

    def take(self, name: str, cost: float = 1.0) -> None:
        """Raises RateLimited with the seconds until the bucket has enough again."""
        wait = self.try_take(name, cost)
        if wait > 0:
            seconds = max(1, math.ceil(wait))
            raise RateLimited(
                f"Too many requests of this {self._what}; go on in {seconds} s.", retry_after=seconds, what=self._what
            )

    def try_take(self, name: str, cost: float = 1.0) -> float:
        """0 when it was taken, else the seconds until it could be."""
        now = self._clock()
        with self._lock:
            left, at = self._buckets.get(name, (float(self._burst), now))
            left = min(float(self._burst), left + (now - at) * self._rate)
            taken = left >= cost
            self._buckets[name] = (left - cost if taken else left, now)
            self._buckets.move_to_end(name)
            if len(self._buckets) > _MOST_KEPT:
                self._buckets.popitem(last=False)
        return 0.0 if taken else (cost - left) / self._rate

    def left(self, name: str) -> float:
        """Requests that could be taken at once."""
        with self._lock:
            left, at = self._buckets.get(name, (float(self._burst), self._clock()))
        return min(float(self._burst), left + (self._clock() - at) * self._rate)

    def __len__(self) -> int:
        return len(self._buckets)


def client_address(peer: str | None, forwarded: Sequence[str], proxies: frozenset[str]) -> str:
    """The network address that a request counts for.

    `forwarded`: values of X-Forwarded-For. They count only as far as configured proxies wrote them: from the right, the
    first address that is no such proxy. IPv6 addresses count by their /64, which one customer has.
    """
    address = peer or "unknown"
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    while address in proxies and hops:
        candidate = hops.pop()
        if _parsed(candidate) is None:
            break
        address = candidate
    return _network_of(address)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network_of(address: str) -> str:
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address) + "/64"
    return address[:64]
