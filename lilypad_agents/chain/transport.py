"""HTTP to one JSON-RPC endpoint: few connections, one hard time limit per exchange, every failure named.

`httpcore` (the part below httpx) carries the bytes: one connection object per exchange, so that a *new* connection is
visible to the caller, which checks the chain id on it. The time limit is enforced on every single read and write of the
socket, so that a server that sends one byte a second cannot stretch it. Name look-ups are the resolver's (not limited).
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore

from lilypad_agents.errors import ConfigurationError

MAX_RETRY_AFTER_S = 300.0


class EndpointFailure(Exception):
    """An exchange with one endpoint failed; `retry_after_s` is what it asked for, `timed_out` that it hung or was slow.

    `stale`: a kept connection turned out closed before any answer, which says nothing about the endpoint.
    `sent`: the request may have reached the node.
    """

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
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.timed_out = timed_out
        self.stale = stale
        self.sent = sent
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

    scheme: bytes
    host: bytes
    port: int
    target: bytes = field(repr=False)
    authorization: bytes | None = field(repr=False)
    label: str

    @classmethod
    def parse(cls, url: str) -> EndpointUrl:
        """Raises ConfigurationError when `url` is not http(s) with a host."""
        parts = urlsplit(url)
        try:
            port = parts.port
            host = (parts.hostname or "").encode("idna")
        except ValueError:
            port, host = -1, b""
        if parts.scheme not in ("http", "https") or not host or port == -1:
            raise ConfigurationError("An RPC endpoint is no http(s) address.", hint="Write it as http://host:port")
        port = port or (443 if parts.scheme == "https" else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        shown = f"[{parts.hostname}]" if b":" in host else host.decode()
        return cls(
            scheme=parts.scheme.encode(),
            host=host,
            port=port,
            target=target.encode(),
            authorization=_basic(parts.username, parts.password),
            label=f"{shown}:{port}",
        )


def _basic(user: str | None, password: str | None) -> bytes | None:
    if user is None:
        return None
    import base64

    return b"Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode())


class _DeadlineStream(httpcore.NetworkStream):
    """A socket whose every operation ends at the current deadline of its connection."""

    def __init__(self, inner: httpcore.NetworkStream, remaining: Callable[[], float]) -> None:
        self._inner = inner
        self._remaining = remaining

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._limit(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._limit(httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._inner.start_tls(ssl_context, server_hostname, self._limit(httpcore.ConnectTimeout))
        return _DeadlineStream(stream, self._remaining)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def _limit(self, error: type[Exception]) -> float:
        remaining = self._remaining()
        if remaining <= 0:
            raise error("time limit of the exchange")
        return remaining


class _DeadlineBackend(httpcore.NetworkBackend):
    def __init__(self, remaining: Callable[[], float]) -> None:
        self._inner = httpcore.SyncBackend()
        self._remaining = remaining

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        remaining = self._remaining()
        if remaining <= 0:
            raise httpcore.ConnectTimeout("time limit of the exchange")
        inner = self._inner.connect_tcp(host, port, remaining, local_address, socket_options)
        return _DeadlineStream(inner, self._remaining)


class Connection:
    """One connection, used by one thread at a time."""

    def __init__(self, url: EndpointUrl, max_body: int, clock: Callable[[], float], tls: ssl.SSLContext | None) -> None:
        self._url = url
        self._max_body = max_body
        self._clock = clock
        self._deadline = 0.0
        self.fresh = True
        self._http = httpcore.HTTPConnection(
            httpcore.Origin(url.scheme, url.host, url.port),
            ssl_context=tls,
            keepalive_expiry=60.0,
            network_backend=_DeadlineBackend(lambda: self._deadline - self._clock()),
        )
        self._headers = [
            (b"host", url.label.encode()),
            (b"content-type", b"application/json"),
            (b"accept", b"application/json"),
            (b"accept-encoding", b"identity"),
        ]
        if url.authorization:
            self._headers.append((b"authorization", url.authorization))

    def post(self, body: bytes, deadline: float) -> HttpAnswer:
        """Sends `body` and reads the whole answer before `deadline` (of the clock given). Raises EndpointFailure."""
        self._deadline = deadline
        reused, self.fresh = not self.fresh, False
        request = httpcore.Request(
            b"POST",
            httpcore.URL(scheme=self._url.scheme, host=self._url.host, port=self._url.port, target=self._url.target),
            headers=[*self._headers, (b"content-length", str(len(body)).encode())],
            content=body,
        )
        started = False
        try:
            response = self._http.handle_request(request)
            started = True
            return self._read(response)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            slow = isinstance(error, httpcore.ConnectTimeout)
            raise EndpointFailure("does not accept connections", timed_out=slow, sent=False) from error
        except httpcore.TimeoutException as error:
            raise EndpointFailure("does not answer in time", timed_out=True) from error
        except (httpcore.ProtocolError, httpcore.NetworkError, httpcore.ConnectionNotAvailable) as error:
            raise EndpointFailure("broke the connection", stale=reused and not started) from error

    def _read(self, response: httpcore.Response) -> HttpAnswer:
        chunks, size = [], 0
        try:
            for chunk in response.iter_stream():
                size += len(chunk)
                if size > self._max_body:
                    raise EndpointFailure(f"answered with more than {self._max_body} bytes")
                chunks.append(chunk)
        finally:
            response.close()
        headers = {name.lower(): value for name, value in response.headers}
        wait = parse_retry_after(headers.get(b"retry-after", b"").decode("latin-1"), time.time())
        return HttpAnswer(response.status, b"".join(chunks), wait)

    def reusable(self) -> bool:
        """Whether the next exchange may use this connection (kept alive, not closed by the server)."""
        return self._http.is_idle() and not self._http.has_expired()

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
        self._tls = ssl.create_default_context() if url.scheme == b"https" else None

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
