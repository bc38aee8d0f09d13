"""Roles and factories for the tests of the content layer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from lilypad_agents.content.cid import Cid, Codec
from lilypad_agents.content.dagpb import Link, Node, encode_node, node_tree_size
from lilypad_agents.content.errors import BlockMissing
from lilypad_agents.content.importer import Stored
from lilypad_agents.content.store import LocalStore


@pytest.fixture(scope="session")
def pattern() -> Callable[[int], bytes]:
    """g(n) of the notes: x = 1; per byte x = (1664525 x + 1013904223) mod 2^32, byte = x >> 24."""
    made = bytearray()
    state = 1

    def make(length: int) -> bytes:
        nonlocal state
        while len(made) < length:
            state = (1664525 * state + 1013904223) & 0xFFFFFFFF
            made.append(state >> 24)
        return bytes(made[:length])

    return make


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", durable=False)


@pytest.fixture
def other_store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "other", durable=False)


class HostileBlocks:
    """Blocks as an attacker would write them: right hashes over anything."""

    def __init__(self) -> None:
        self.blocks: dict[Cid, bytes] = {}
        self.reads = 0

    def get(self, cid: Cid) -> bytes:
        self.reads += 1
        if cid not in self.blocks:
            raise BlockMissing("not here", cid=str(cid))
        return self.blocks[cid]

    def size(self, cid: Cid) -> int:
        return len(self.get(cid))

    def has(self, cid: Cid) -> bool:
        return cid in self.blocks

    def put(self, cid: Cid, data: bytes) -> None:
        self.blocks[cid] = data

    def raw(self, data: bytes) -> Stored:
        cid = Cid.of(data)
        self.blocks[cid] = data
        return Stored(cid, len(data))

    def block(self, data: bytes, tree_size: int | None = None) -> Stored:
        cid = Cid.of(data, Codec.DAG_PB)
        self.blocks[cid] = data
        return Stored(cid, len(data) if tree_size is None else tree_size)

    def node(self, links: list[Link], data: bytes) -> Stored:
        node = Node(tuple(links), data)
        block = encode_node(node)
        return self.block(block, node_tree_size(block, node))

    def folder(self, *entries: tuple[bytes, Stored]) -> Stored:
        """A folder with exactly these entries, in this order, whatever their names."""
        return self.node([Link(child.cid, name, child.tree_size) for name, child in entries], b"\x08\x01")


@pytest.fixture
def hostile() -> HostileBlocks:
    return HostileBlocks()


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Serves an ASGI application on a socket of its own and gives the base URL."""
    with contextlib.ExitStack() as stack:
        yield lambda app: stack.enter_context(_served(app))


@contextlib.contextmanager
def _served(app: Any) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started, "the test server did not start"
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


class AsgiClient:
    """Speaks to an ASGI application without a socket, one request at a time."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> httpx.Response:
        return self.request("HEAD", path, **options)


@pytest.fixture
def speak_to() -> type[AsgiClient]:
    return AsgiClient


def unread(response: httpx.Response) -> httpx.Response:
    """The response as it comes from a network: a stream that nobody has read yet."""
    if not response.is_stream_consumed:
        return response
    return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(response.content))


@pytest.fixture(name="unread")
def unread_fixture() -> Callable[[httpx.Response], httpx.Response]:
    return unread


@pytest.fixture
def block_files() -> Callable[[Path], list[Path]]:
    """All files of a store below `blocks/` and `tmp/`."""
    return lambda root: [path for part in ("blocks", "tmp") for path in (root / part).rglob("*") if path.is_file()]


def pytest_make_parametrize_id(config: Any, val: Any, argname: str) -> str | None:
    return ascii(val)[:40] if isinstance(val, (str, bytes)) else None
