"""HTTP to one JSON-RPC endpoint: few connections, one hard time limit per exchange, every failure named.

One connection object per exchange, so that a *new* connection is visible to the caller, which checks the chain id on it.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

from lilypad_agents.errors import ConfigurationError
from lilypad_agents.http_connection import HttpConnection, HttpFailure

MAX_RETRY_AFTER_S = 300.0


class EndpointFailure(HttpFailure):
    """An exchange with one endpoint failed; `retry_after_s` is what it asked for, `limited` that it limits the rate."""

    def __init__(
        self,
        reason: str,
        *,
        retry_after_s: float | None = None,
        timed_out: bool = False,
        stale: bool = False,
        sent: bool = True,
        limited: bool = False,
    ) -> None:
        super().__init__(reason, timed_out=timed_out, stale=stale, sent=sent)
        self.retry_after_s = retry_after_s
        self.limited = limited


@dataclass(frozen=True)
class HttpAnswer:
    """Status, body and the wait the server asked for (seconds, None where it did not)."""

    status: int
    body: bytes
    retry_after_s: float | None


@dataclass(frozen=True)
class EndpointUrl:
    """One endpoint; `label` (host and port) is what logs and errors show, since paths and user parts hold API keys."""

    scheme: str
    host: str
    port: int
    target: str = field(repr=False)
    authorization: str | None = field(repr=False)
    label: str

    @classmethod
    def parse(cls, url: str) -> EndpointUrl:
        """Raises ConfigurationError when `url` is not http(s) with a host."""
        parts = urlsplit(url)
        try:
            port = parts.port
            host = (parts.hostname or "").encode("idna").decode()
        except ValueError:
            port, host = -1, ""
        if parts.scheme not in ("http", "https") or not host or port == -1:
            raise ConfigurationError("An RPC endpoint is no http(s) address.", hint="Write it as http://host:port")
        port = port or (443 if parts.scheme == "https" else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        shown = f"[{parts.hostname}]" if ":" in host else host
        return cls(
            scheme=parts.scheme,
            host=host,
            port=port,
            target=target,
            authorization=_basic(parts.username, parts.password),
            label=f"{shown}:{port}",
        )


def _basic(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    import base64

    return "Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()


class Connection:
    """One connection, used by one thread at a time."""

    def __init__(self, url: EndpointUrl, max_body: int, clock: Callable[[], float], tls: ssl.SSLContext | None) -> None:
        self._max_body = max_body
        self._http = HttpConnection(url.host, url.port, tls, clock)
        self._target = url.target
        self._headers = {
            "host": url.label,
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",
        }
        if url.authorization:
            self._headers["authorization"] = url.authorization

    @property
    def fresh(self) -> bool:
        """Whether nothing was sent over it yet."""
        return self._http.fresh

    def post(self, body: bytes, deadline: float) -> HttpAnswer:
        """Sends `body` and reads the whole answer before `deadline` (of the clock given). Raises EndpointFailure."""
        self._http.deadline = deadline
        try:
            response = self._http.send("POST", self._target, self._headers, body)
            chunks, size = [], 0
            for chunk in self._http.chunks(response):
                size += len(chunk)
                if size > self._max_body:
                    raise EndpointFailure(f"answered with more than {self._max_body} bytes")
                chunks.append(chunk)
        except EndpointFailure:
            raise
        except HttpFailure as failure:
            raise EndpointFailure(
                failure.reason, timed_out=failure.timed_out, stale=failure.stale, sent=failure.sent
            ) from failure
        wait = parse_retry_after(response.headers.get("retry-after", ""), time.time())
        return HttpAnswer(response.status, b"".join(chunks), wait)

    def reusable(self) -> bool:
        """Whether the next exchange may use this connection (kept alive, not closed by the server)."""
        return self._http.reusable()

    def close(self) -> None:
        self._http.close()


class ConnectionPool:
    """At most `size` connections to one endpoint; a caller waits for a free one until its deadline."""

    def __init__(
        self, url: EndpointUrl, *, size: int, max_body: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._max_body = max_body
        self._clock = clock
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._tls = ssl.create_default_context() if url.scheme == "https" else None

    def take(self, deadline: float) -> Connection:
        """A kept connection, or a fresh one. Raises EndpointFailure when all are busy until `deadline`."""
        if not self._slots.acquire(timeout=max(0.0, deadline - self._clock())):
            raise EndpointFailure("has all its connections busy", timed_out=True, sent=False)
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if connection.reusable():
                    return connection
                connection.close()
        return Connection(self._url, self._max_body, self._clock, self._tls)

    def give(self, connection: Connection, *, keep: bool) -> None:
        """Takes a connection back; `keep` only after a complete exchange with the right chain."""
        try:
            if keep and connection.reusable():
                with self._lock:
                    self._idle.append(connection)
            else:
                connection.close()
        finally:
            self._slots.release()

    def drop_idle(self) -> None:
        """Closes what is kept, so that the next exchange connects anew."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or an HTTP date, RFC 9110 10.2.3), at most 300; None without."""
    value = value.strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (TypeError, ValueError):
            return None
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
