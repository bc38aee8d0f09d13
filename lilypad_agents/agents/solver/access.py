"""Who is asking, and whether it may ask now: rate limits, the client's version, the request's signature."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from lilypad_agents.agents.runtime import http_signature
from lilypad_agents.agents.runtime.errors import RequestForged, RequestUnsigned
from lilypad_agents.agents.runtime.http_signature import NonceStore, ReceivedRequest, Signed
from lilypad_agents.agents.solver.errors import BadRequest, ClientOutdated
from lilypad_agents.agents.solver.limits import Buckets, client_address
from lilypad_agents.agents.solver.settings import SolverSettings
from lilypad_agents.agents.solver.wire import API_VERSION, OLDEST_CLIENT, VERSION_HEADER
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol.ids import Address

_FORGERIES_RATE, _FORGERIES_BURST = 2.0, 50
_STANDING_S = 600.0
_MOST_STANDING = 10_000


class Access:
    """Decides on every request before anything else is done. Used in one event loop."""

    def __init__(
        self,
        settings: SolverSettings,
        served_as: Collection[str],
        *,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._served_as = frozenset(served_as)
        self._proxies = frozenset(settings.proxies)
        self._scheme = settings.public_scheme
        self._wall_clock = wall_clock
        self._clock = clock
        # Requests signed before the start cannot be told from replays: their nonces are gone.
        self._nonces = NonceStore(since=int(wall_clock()))
        self._addresses = Buckets("network address", settings.address_rate, settings.address_burst, clock)
        self._accounts = Buckets("account", settings.account_rate, settings.account_burst, clock)
        self._forgeries = Buckets("network address", _FORGERIES_RATE, _FORGERIES_BURST, clock)
        self._standing: dict[Address, float] = {}

    def admit(self, scope: Mapping[str, Any]) -> None:
        """Counts a request for its network address. Raises RateLimited.

        Beyond the address's limit, accounts that signed a request lately are still heard, within their own limit: a
        flood from one address does not silence those behind the same address who are known.
        """
        address = self.address(scope)
        wait = self._addresses.try_take(address)
        if wait <= 0:
            return
        claimed = http_signature.claimed_account(received(scope, self._scheme))
        known = claimed is not None and self._clock() - self._standing.get(claimed, float("-inf")) < _STANDING_S
        if not known or self._forgeries.left(address) < 1.0:  # a claim is not a proof: who forged too much is not heard
            self._addresses.take(address)

    def identify(self, scope: Mapping[str, Any]) -> Signed:
        """Checks the signature and counts the request for its account.

        Raises RequestUnsigned and its kin, RateLimited, ClientOutdated.
        """
        request = received(scope, self._scheme)
        try:
            signed = http_signature.verify(
                request, now=int(self._wall_clock()), nonces=self._nonces, served_as=self._served_as
            )
        except (RequestForged, RequestUnsigned):
            self._forgeries.try_take(self.address(scope))
            raise
        self._accounts.take(signed.account)
        self._standing.pop(signed.account, None)
        self._standing[signed.account] = self._clock()
        if len(self._standing) > _MOST_STANDING:
            del self._standing[next(iter(self._standing))]
        return signed

    def check_version(self, scope: Mapping[str, Any]) -> None:
        """Raises ClientOutdated for a client that says it is older than we serve, BadRequest for no version at all."""
        text = received(scope, self._scheme).one(VERSION_HEADER)
        if text is None:
            return
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and len(part) < 6 for part in parts):
            raise BadRequest("The version is not of the form 1.2.3.", field=VERSION_HEADER, problem="malformed")
        if tuple(map(int, parts)) < OLDEST_CLIENT:
            least = ".".join(map(str, OLDEST_CLIENT))
            raise ClientOutdated(
                f"This client has version {text}, this solver ({API_VERSION}) serves from {least} on.", found=text, least=least
            )

    def address(self, scope: Mapping[str, Any]) -> str:
        """The network address for which a request counts."""
        peer = scope["client"][0] if scope.get("client") else None
        forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return client_address(peer, forwarded, self._proxies)


def received(scope: Mapping[str, Any], scheme: str) -> ReceivedRequest:
    """An ASGI request as the signature sees it."""
    raw = scope.get("raw_path") or scope["path"].encode("utf-8")
    return ReceivedRequest(
        method=scope["method"],
        scheme=scheme,
        path=raw.partition(b"?")[0].decode("latin-1"),
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=[(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]],
    )


def retry_after(error: LilypadError) -> dict[str, str]:
    """The header that tells when to come again."""
    seconds = getattr(error, "retry_after", None)
    return {} if seconds is None else {"Retry-After": str(seconds)}

