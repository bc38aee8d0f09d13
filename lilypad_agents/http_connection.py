"""One HTTP/1.1 connection whose every exchange ends at a deadline; below the RPC client and the solver's client.

`http.client` carries the bytes: it costs a fifth of the CPU of httpx and a third of httpcore (measured for a call with a
1 KiB answer), and agents make many small calls. The time limit holds for every single read and write of the socket, so
that a server that sends one byte a second cannot stretch it. Name look-ups are the resolver's (not limited).
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_READ_BYTES = 1 << 18
_IDLE_S = 60.0


class HttpFailure(Exception):
    """An exchange failed; `timed_out`: the other side hung or was slow, `sent`: the request may have arrived.

    `stale`: a kept connection turned out closed before any answer, which says nothing about the other side.
    """

    def __init__(self, reason: str, *, timed_out: bool = False, sent: bool = True, stale: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.timed_out = timed_out
        self.sent = sent
        self.stale = stale


class _DeadlineSocket:
    """A socket as `http.client` uses it: it stays open until its last reader is closed."""

    def __init__(self, inner: socket.socket, remaining: Callable[[], float]) -> None:
        self.inner = inner
        self._remaining = remaining
        self.ended = False  # no more is read from the socket
        self.surplus = False  # more came than the answers that were read
        self._readers = 0
        self._closing = False

    def sendall(self, data: Any) -> None:
        view = memoryview(data)
        while view:
            self.limit()
            view = view[self.inner.send(view) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        self._readers += 1
        return _Buffer(_Reader(self), self)

    def limit(self) -> None:
        remaining = self._remaining()
        if remaining <= 0:
            raise TimeoutError("time limit of the exchange")
        self.inner.settimeout(remaining)

    def reader_closed(self) -> None:
        self._readers -= 1
        if self._closing and self._readers <= 0:
            self.inner.close()

    def close(self) -> None:
        self._closing = True
        if self._readers <= 0:
            self.inner.close()


class _Buffer(io.BufferedReader):
    """Notes at its end whether bytes are left that belong to no answer."""

    def __init__(self, raw: _Reader, owner: _DeadlineSocket) -> None:
        super().__init__(raw, 1 << 16)
        self._owner = owner

    def close(self) -> None:
        if not self.closed:
            self._owner.ended = True
            self._owner.surplus |= bool(self.peek(1))
            self._owner.ended = False
        super().close()


class _Reader(io.RawIOBase):
    def __init__(self, owner: _DeadlineSocket) -> None:
        self._owner = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._owner.ended:
            return 0
        self._owner.limit()
        return self._owner.inner.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._owner.reader_closed()


class _Client(http.client.HTTPConnection):
    """Connects within the deadline, with TLS where a context is given."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, remaining: Callable[[], float]) -> None:
        super().__init__(host, port)
        self._tls = tls
        self._remaining = remaining

    def connect(self) -> None:
        remaining = self._remaining()
        if remaining <= 0:
            raise TimeoutError("time limit of the exchange")
        inner = socket.create_connection((self.host, self.port), timeout=remaining)
        try:
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                inner = self._tls.wrap_socket(inner, server_hostname=self.host)
        except BaseException:
            inner.close()
            raise
        self.sock = _DeadlineSocket(inner, self._remaining)


class HttpConnection:
    """A connection to one host, used by one thread at a time. `deadline`: of the clock given; set it before each exchange."""

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`tls` None: plain text."""
        self.deadline = 0.0
        self.fresh = True
        self._clock = clock
        self._http = _Client(host, port, tls, lambda: self.deadline - self._clock())
        self._response: http.client.HTTPResponse | None = None
        self._complete = False
        self._kept_since = 0.0
        self._socket: _DeadlineSocket | None = None

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> http.client.HTTPResponse:
        """Sends a request and reads the head of its answer; the body is read with `chunks`. Raises HttpFailure.

        `headers` has the host; Content-Length is added.
        """
        reused, self.fresh, self._complete = not self.fresh, False, False
        self.connect()
        try:
            self._http.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                self._http.putheader(name, value)
            if body is not None:
                self._http.putheader("content-length", str(len(body)))
            self._http.endheaders(body)
            self._response = self._http.getresponse()
            return self._response
        except ValueError as error:  # a header or target that HTTP cannot carry
            raise HttpFailure(f"cannot be asked: {error}", sent=False) from error
        except TimeoutError as error:
            raise HttpFailure("does not answer in time", timed_out=True) from error
        except (http.client.HTTPException, OSError) as error:
            raise HttpFailure("broke the connection", stale=reused) from error

    def connect(self) -> None:
        """Connects, unless it is connected. Raises HttpFailure."""
        if self._http.sock is not None:
            return
        try:
            self._http.connect()
            self._socket = self._http.sock
        except TimeoutError as error:
            raise HttpFailure("does not accept connections", timed_out=True, sent=False) from error
        except (OSError, ValueError) as error:
            raise HttpFailure("does not accept connections", sent=False) from error

    def chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """The body as it comes, complete at its end. Raises HttpFailure."""
        while True:
            with _named():
                chunk = response.read1(_READ_BYTES)
            if not chunk:
                break
            yield chunk
        if response.length:
            raise HttpFailure("broke the connection")
        response.close()
        self._complete, self._kept_since = True, self._clock()

    def line(self, response: http.client.HTTPResponse, most: int) -> bytes:
        """The next line of a body that is a stream of lines, b"" at its end. Raises HttpFailure."""
        with _named():
            line = response.readline(most + 1)
        if len(line) > most:
            raise HttpFailure("sends endless lines")
        return line

    def reusable(self) -> bool:
        """Whether the next exchange may use this connection: the last one is read to its end, and nothing came since."""
        sock = self._http.sock
        if sock is None or sock.surplus or not self._complete or self._clock() - self._kept_since > _IDLE_S:
            return False
        poller = select.poll()
        poller.register(sock.inner, select.POLLIN | select.POLLHUP | select.POLLERR)
        return not poller.poll(0)

    def abort(self) -> None:
        """Ends an exchange that another thread waits in; that thread gets HttpFailure."""
        if self._socket is not None:  # `http.client` forgets it where the end of the answer closes the connection
            try:
                self._socket.inner.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
        self._http.close()


class _named:
    """Turns what a read raises into HttpFailure."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TimeoutError):
            raise HttpFailure("does not answer in time", timed_out=True) from error
        if isinstance(error, (http.client.HTTPException, OSError, ValueError)):
            raise HttpFailure("broke the connection") from error
