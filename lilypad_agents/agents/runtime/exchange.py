"""HTTP to one server of ours: requests that can be signed, answers that are read in pieces, connections that are kept."""

from __future__ import annotations

import functools
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import NamedTuple, Protocol
from urllib.parse import urlencode, urlsplit

from lilypad_agents.http_connection import HttpConnection, HttpFailure

_CONNECT_S = 5.0
_MOST_IDLE = 16
_MOST_LINE = 1 << 16
_SLOWEST = 1 << 16  # bytes a second
_PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    """Where a request goes: `raw_path` is path and query as sent, percent-encoded."""

    scheme: str
    raw_path: bytes


@dataclass
class Request:
    """One request; `headers` by lower-case name, the host among them."""

    method: str
    url: Place
    headers: dict[str, str]
    content: bytes = b""


class Answer(Protocol):
    """The head of an answer; its body is read once. Reading raises HttpFailure."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By name in any capitals."""
        ...

    def chunks(self) -> Iterator[bytes]: ...

    def lines(self, idle_s: float) -> Iterator[str]:
        """The body line by line, each within `idle_s` seconds, without line ends, for a stream that has no end."""
        ...

    def close(self) -> None: ...


class Exchange(Protocol):
    """What carries requests to the server."""

    def send(self, request: Request, seconds: float) -> Answer:
        """Raises HttpFailure without the head of an answer in `seconds`, or later when a piece of it takes longer.

        A long body gets the time that it takes at 64 KiB a second on top.
        """
        ...

    def close(self) -> None: ...


class Server:
    """The address of a server: `http(s)://host[:port][/path]`. Makes requests to it."""

    def __init__(self, base_url: str) -> None:
        """Raises ValueError for anything but an http(s) address up to a path."""
        parts = urlsplit(base_url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError("not an http(s) address of host, port and path")
        self.scheme = parts.scheme
        self.host = parts.hostname.encode("idna").decode()
        self.port = parts.port or _PORTS[parts.scheme]
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = shown if self.port == _PORTS[parts.scheme] else f"{shown}:{self.port}"
        self._prefix = parts.path.rstrip("/")

    def request(
        self, method: str, path: str, headers: Mapping[str, str], query: Mapping[str, object] | None = None, content: bytes = b""
    ) -> Request:
        """A request to `path` (percent-encoded) below the address."""
        target = self._prefix + path + (f"?{urlencode(query)}" if query else "")
        return Request(method, Place(self.scheme, target.encode("ascii")), {"host": self.authority, **headers}, content)


class KeptConnections:
    """An Exchange over connections that stay open. Safe for several threads; each call has a connection for itself."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._tls = _tls() if server.scheme == "https" else None
        self._lock = threading.Lock()
        self._idle: list[HttpConnection] = []
        self._busy: set[HttpConnection] = set()
        self._closed = False

    def send(self, request: Request, seconds: float) -> Answer:
        connection = self._take()
        now = time.monotonic()
        connection.deadline = now + (min(_CONNECT_S, seconds) if connection.fresh else seconds)
        try:
            connection.connect()
            connection.deadline = now + seconds + len(request.content) / _SLOWEST
            body = request.content if request.content or request.method in ("POST", "PUT") else None
            response = connection.send(request.method, request.url.raw_path.decode("ascii"), request.headers, body)
        except BaseException:
            self._give(connection)
            raise
        return _Kept(self, connection, response, seconds)

    def close(self) -> None:
        """Closes what is idle, and ends the exchanges that threads wait in."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for connection in idle:
            connection.close()
        for connection in busy:
            connection.abort()

    def _take(self) -> HttpConnection:
        with self._lock:
            if self._closed:
                raise HttpFailure("the client is closed", sent=False)
            while self._idle:
                connection = self._idle.pop()
                if connection.reusable():
                    break
                connection.close()
            else:
                connection = HttpConnection(self._server.host, self._server.port, self._tls)
            self._busy.add(connection)
            return connection

    def _give(self, connection: HttpConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
            if not self._closed and len(self._idle) < _MOST_IDLE and connection.reusable():
                self._idle.append(connection)
                return
        connection.close()


class _Kept:
    """An answer over a kept connection, which goes back when the answer is closed."""

    def __init__(self, owner: KeptConnections, connection: HttpConnection, response: HTTPResponse, seconds: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._owner = owner
        self._connection: HttpConnection | None = connection
        self._response = response
        self._seconds = seconds

    def chunks(self) -> Iterator[bytes]:
        assert self._connection is not None
        if self.headers.get("content-encoding", "identity") != "identity":
            raise HttpFailure("sent a compressed answer that was not asked for")
        for chunk in self._connection.chunks(self._response):
            yield chunk
            self._connection.deadline = time.monotonic() + self._seconds

    def lines(self, idle_s: float) -> Iterator[str]:
        assert self._connection is not None
        while True:
            self._connection.deadline = time.monotonic() + idle_s
            line = self._connection.line(self._response, _MOST_LINE)
            if not line:
                return
            yield line.decode("utf-8", "replace").rstrip("\r\n")

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._owner._give(connection)


@functools.cache
def _tls() -> ssl.SSLContext:
    """Loading the certificates takes longer than a call: once per process."""
    import certifi

    return ssl.create_default_context(cafile=certifi.where())
