"""Kept connections to a server of ours: used again when that is safe, and never beyond the time that a caller gave."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lilypad_agents.agents.runtime.exchange import KeptConnections, Server
from lilypad_agents.http_connection import HttpFailure

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Script = Callable[[socket.socket, bytes], bool]


class Scripted:
    """A server that does with each request what the script says; it goes on with the connection while that returns True."""

    def __init__(self, script: Script) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._script = script
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while head := self._head(connection):
                self.requests.append(head)
                if not self._script(connection, head):
                    return

    @staticmethod
    def _head(connection: socket.socket) -> bytes:
        found = b""
        while b"\r\n\r\n" not in found:
            piece = connection.recv(65_536)
            if not piece:
                return b""
            found += piece
        return found

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Scripted]]:
    made: list[Scripted] = []

    def start(script: Script) -> Scripted:
        made.append(Scripted(script))
        return made[-1]

    yield start
    for server in made:
        server.close()


def answers(text: bytes, *, keep: bool = True) -> Script:
    def script(connection: socket.socket, head: bytes) -> bool:
        connection.sendall(text)
        return keep

    return script


def ask(client: KeptConnections, server: Scripted, seconds: float = 5.0, **headers: str) -> bytes:
    request = Server(server.url + "/base").request("GET", "/path", headers, {"a": "b c"})
    answer = client.send(request, seconds)
    try:
        return b"".join(answer.chunks())
    finally:
        answer.close()


def test_send__several_requests__one_connection_and_the_target_as_given(serve: Callable[[Script], Scripted]) -> None:
    server = serve(answers(OK))
    client = KeptConnections(Server(server.url))
    assert [ask(client, server) for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /base/path?a=b+c HTTP/1.1\r\nhost: 127.0.0.1:")


def test_send__chunked_answer__is_whole_and_the_connection_is_used_again(serve: Callable[[Script], Scripted]) -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nay!\r\n0\r\n\r\n"
    server = serve(answers(chunked))
    client = KeptConnections(Server(server.url))
    assert ask(client, server) == ask(client, server) == b"okay!"
    assert server.connections == 1


@pytest.mark.parametrize("keep", [True, False], ids=["bytes nobody asked for", "closed"])
def test_send__kept_connection_is_spoiled__a_new_one_is_made(serve: Callable[[Script], Scripted], keep: bool) -> None:
    """Bytes after an answer would be taken for the next one."""
    server = serve(answers(OK + (OK if keep else b""), keep=keep))
    client = KeptConnections(Server(server.url))
    for _ in range(2):
        assert ask(client, server) == b"ok"
        time.sleep(0.05)
    assert server.connections == 2


def test_close__answer_not_read_to_its_end__connection_is_not_used_again(serve: Callable[[Script], Scripted]) -> None:
    server = serve(answers(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"))
    client = KeptConnections(Server(server.url))
    for _ in range(2):
        client.send(Server(server.url).request("GET", "/", {}), 5.0).close()
    assert server.connections == 2


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=["short", "short chunk", "no chunk", "compressed", "endless head", "no HTTP", "nothing"],
)
def test_send__answer_that_cannot_be_used__http_failure(serve: Callable[[Script], Scripted], text: bytes) -> None:
    server = serve(answers(text, keep=False))
    with pytest.raises(HttpFailure):
        ask(KeptConnections(Server(server.url)), server)


def test_send__a_byte_now_and_then__ends_in_time(serve: Callable[[Script], Scripted]) -> None:
    """The limit is for the whole head, not for each byte of it. flt:F10"""

    def drip(connection: socket.socket, head: bytes) -> bool:
        try:
            for byte in OK * 20:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            pass  # the client has gone
        return False

    server, began = serve(drip), time.monotonic()
    with pytest.raises(HttpFailure) as caught:
        ask(KeptConnections(Server(server.url)), server, 0.4)
    assert caught.value.timed_out and time.monotonic() - began < 5


def test_send__nobody_listens__says_that_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(HttpFailure) as caught:
        KeptConnections(Server(url)).send(Server(url).request("GET", "/", {}), 1.0)
    assert not caught.value.sent


def test_send__header_with_a_line_break__is_not_sent(serve: Callable[[Script], Scripted]) -> None:
    server = serve(answers(OK))
    with pytest.raises(HttpFailure) as caught:
        ask(KeptConnections(Server(server.url)), server, note="a\r\nsignature: forged")
    assert not caught.value.sent and not server.requests


def test_close__while_a_thread_waits_for_lines__the_thread_ends(serve: Callable[[Script], Scripted]) -> None:
    server = serve(answers(b"HTTP/1.1 200 OK\r\n\r\nfirst\n"))
    client = KeptConnections(Server(server.url))
    heard, ended = threading.Event(), threading.Event()

    def listen() -> None:
        answer = client.send(Server(server.url).request("GET", "/", {}), 5.0)
        try:
            for line in answer.lines(30.0):
                assert line == "first"
                heard.set()
        except HttpFailure:
            pass
        finally:
            answer.close()
            ended.set()

    threading.Thread(target=listen, daemon=True).start()
    assert heard.wait(5)
    client.close()
    assert ended.wait(5)
    with pytest.raises(HttpFailure):
        client.send(Server(server.url).request("GET", "/", {}), 1.0)


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://me:pw@host", "http://host?x=1", "http://host#x", "host", "http://host:x"])
def test_server__no_plain_address__value_error(url: str) -> None:
    with pytest.raises(ValueError):
        Server(url)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://Host.example:80/", "host.example"),
        ("https://host.example", "host.example"),
        ("http://host.example:81", "host.example:81"),
        ("http://[::1]:8100", "[::1]:8100"),
    ],
)
def test_server__address__authority_as_it_is_signed(url: str, authority: str) -> None:
    assert Server(url).authority == authority
