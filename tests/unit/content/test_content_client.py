"""Fetching from sources that fail, lie or stall, and pushing to endpoints that refuse."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lilypad_agents.content.blocks import iter_dag
from lilypad_agents.content.car import car_header, write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.client import fetch, push
from lilypad_agents.content.sources import Source, fetch_blocking, push_blocking
from lilypad_agents.content.errors import (
    BlockMissing,
    ContentError,
    InvalidBlock,
    LimitExceeded,
    PushRefused,
    StoreFull,
)
from lilypad_agents.content.gateway import create_gateway, error_response
from lilypad_agents.content.importer import Stored, add_bytes, put_tree
from lilypad_agents.content.limits import CHUNK_BYTES, Limits
from lilypad_agents.content.reader import read_tree
from lilypad_agents.content.store import LocalStore
from lilypad_agents.content.transfer import import_car_async
from lilypad_agents.errors import ContentUnavailable

TREE = {"stdout": b"moo\n", "outputs": {"a": b"1", "big": bytes(CHUNK_BYTES) + b"x"}}
Answer = Callable[[httpx.Request], httpx.Response]


class Network:
    """Hosts by name, each a function from request to answer; remembers who was asked what."""

    def __init__(self, unread: Callable[[httpx.Response], httpx.Response]) -> None:
        self._unread = unread
        self.hosts: dict[str, Answer] = {}
        self.asked: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        kind = request.url.params.get("format", request.method)
        self.asked.append((request.url.host, kind))
        return self._unread(self.hosts[request.url.host](request))

    def fetch(self, store: LocalStore, root: Cid, *names: str, **options: Any) -> Any:
        sources = [Source(f"http://{name}") for name in names]

        async def run() -> Any:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
                return await fetch(store, root, sources, http=client, **options)

        return asyncio.run(run())


@pytest.fixture
def network(store: LocalStore, unread: Callable[[httpx.Response], httpx.Response]) -> Network:
    """`honest` serves everything of `store`; the others fail in the way that their name says."""
    made = Network(unread)

    def honest(request: httpx.Request) -> httpx.Response:
        cid = Cid.parse(request.url.path.removeprefix("/ipfs/"))
        try:
            if request.url.params["format"] == "car":
                return httpx.Response(200, content=b"".join(write_car(store, cid)))
            return httpx.Response(200, content=store.get(cid))
        except BlockMissing as error:
            return httpx.Response(404, json={"error": error.as_dict()})

    def only_raw(request: httpx.Request) -> httpx.Response:
        return httpx.Response(406) if request.url.params["format"] == "car" else honest(request)

    def lying(request: httpx.Request) -> httpx.Response:
        content = bytearray(honest(request).content)
        content[-1] ^= 1
        return httpx.Response(200, content=bytes(content))

    def empty(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"")

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    def failing(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, content=b"<html>\x1b[2J oops")

    def redirecting(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": "http://honest" + request.url.path})

    def nosy(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": {"code": "access-denied", "message": "not for everybody"}})

    made.hosts = dict(
        honest=honest, only_raw=only_raw, lying=lying, empty=empty, broken=broken, failing=failing,
        redirecting=redirecting, nosy=nosy,
    )  # fmt: skip
    return made


@pytest.fixture
def root(store: LocalStore) -> Cid:
    return put_tree(store, TREE)


# -- good days


def test_fetch__honest_source__brings_the_tree_in_one_request(network, other_store, root: Cid) -> None:
    seen: list[tuple[int, int]] = []
    summary = network.fetch(other_store, root, "honest", on_progress=lambda *counts: seen.append(counts))

    assert read_tree(other_store, root, Limits()) == TREE
    assert (summary.bytes, summary.entries) == (CHUNK_BYTES + 6, 4)
    assert network.asked == [("honest", "car")]
    assert seen[-1][0] == 7 and seen == sorted(seen)


def test_fetch__source_without_cars__brings_it_block_by_block(network, other_store, root: Cid) -> None:
    network.fetch(other_store, root, "only_raw")
    assert read_tree(other_store, root, Limits()) == TREE
    assert network.asked == [("only_raw", "car")] + [("only_raw", "raw")] * 7


def test_fetch__single_raw_block__is_asked_for_as_a_block(network, store, other_store) -> None:
    cid = add_bytes(store, b"inputs document")
    network.fetch(other_store, cid, "honest")
    assert other_store.get(cid) == b"inputs document"
    assert network.asked == [("honest", "raw")]


def test_fetch__everything_here_already__asks_nobody(network, store, root: Cid) -> None:
    """beh:I15"""
    network.fetch(store, root, "broken")
    network.fetch(store, root)
    assert network.asked == []


def test_fetch__partly_here__asks_only_for_the_rest(network, store, other_store, root: Cid) -> None:
    """beh:I15: transfers resume."""
    order = list(iter_dag(store.get, root))
    for cid in order[:4]:
        other_store.put(cid, store.get(cid))
    network.fetch(other_store, root, "honest")
    assert network.asked == [("honest", "raw")] * 3


def test_fetch__block_damaged_on_disk__is_fetched_again(network, store, other_store, root: Cid) -> None:
    network.fetch(other_store, root, "honest")
    (other_store._root / "blocks" / str(root)[-3:-1] / str(root)).write_bytes(b"")
    network.fetch(other_store, root, "honest")
    assert read_tree(other_store, root, Limits()) == TREE


def test_fetch__signed_source__signs_every_request_and_names_the_tree(network, unread, other_store, root: Cid) -> None:
    requests: list[httpx.Request] = []

    def sign(request: httpx.Request) -> None:
        request.headers["Signature"] = f"over {request.url}"

    def checking(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        plain = httpx.Request("GET", str(request.url).replace("/base/", "/"))
        return unread(network.hosts["only_raw"](plain))

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(checking)) as client:
            await fetch(other_store, root, [Source("http://x/base/", sign)], http=client)

    asyncio.run(run())
    assert len(requests) == 8
    for request in requests:
        assert request.headers["Signature"] == f"over {request.url}"
        inside = request.url.path != f"/base/ipfs/{root}"
        assert request.url.params.get("root") == (str(root) if inside else None)


# -- bad days


@pytest.mark.parametrize("bad", ["lying", "empty", "broken", "failing", "redirecting", "nosy"])
def test_fetch__first_source_is_bad__the_next_one_serves(network, other_store, root: Cid, bad: str) -> None:
    """flt:F32: source down, or bytes not matching their hash; beh:I15: any mirror may serve."""
    network.fetch(other_store, root, bad, "honest")
    assert read_tree(other_store, root, Limits()) == TREE
    hosts = [host for host, _ in network.asked]
    assert hosts[0] == bad and hosts == sorted(hosts, key=lambda host: host != bad)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("lying", "do not have the hash"),
        ("empty", "do not have the hash"),
        ("broken", "connection refused"),
        ("failing", "HTTP 500"),
        ("redirecting", "HTTP 302"),
        ("nosy", "HTTP 401 access-denied: not for everybody"),
    ],
)
def test_fetch__only_bad_sources__says_what_each_answered(network, other_store, root: Cid, bad: str, told: str) -> None:
    """flt:F32, beh:C8: nothing unverified is ever stored."""
    with pytest.raises(ContentUnavailable) as caught:
        network.fetch(other_store, root, bad, "broken")

    answers = {item["source"]: item["answer"] for item in caught.value.figures["answers"]}
    assert set(answers) == {f"http://{bad}", "http://broken"}
    assert told in answers[f"http://{bad}"] and told in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.exit_code == 41


def test_fetch__no_sources__says_so(network, other_store, root: Cid) -> None:
    with pytest.raises(ContentUnavailable, match="no source was asked"):
        network.fetch(other_store, root)


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "file:///etc/passwd", "http://u:p@x", "http://x?a=b", "nothing", ""]
)
def test_fetch__address_that_is_none__is_reported_and_skipped(network, other_store, root: Cid, url: str) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(network)) as client:
            await fetch(other_store, root, [Source(url), Source("http://honest")], http=client)

    asyncio.run(run())
    assert network.asked == [("honest", "car")]


def test_fetch__each_source_has_another_half__they_complete_each_other(network, store, other_store, root) -> None:
    """flt:F32, beh:I15"""
    order = list(iter_dag(store.get, root))

    def holds(part: list[Cid]) -> Answer:
        def answer(request: httpx.Request) -> httpx.Response:
            cid = Cid.parse(request.url.path.removeprefix("/ipfs/"))
            if request.url.params["format"] == "car":
                return httpx.Response(406)
            if cid not in part:
                return httpx.Response(404)
            return httpx.Response(200, content=store.get(cid))

        return answer

    network.hosts |= {"left": holds(order[1::2]), "right": holds(order[0::2])}
    network.fetch(other_store, root, "left", "right")
    assert read_tree(other_store, root, Limits()) == TREE


def test_fetch__liar_is_found_out__is_asked_no_more(network, other_store, root: Cid) -> None:
    """The liar's CAR is right but for its last block; the other has nothing. A second round asks only that one."""
    network.hosts["poor"] = lambda request: httpx.Response(404)
    with pytest.raises(ContentUnavailable):
        network.fetch(other_store, root, "lying", "poor")
    assert [host for host, _ in network.asked] == ["lying", "poor", "poor"]


def test_fetch__car_cut_in_the_middle__goes_on_with_single_blocks(network, other_store, root: Cid) -> None:
    """beh:I15: transfers resume."""

    def cutting(request: httpx.Request) -> httpx.Response:
        whole = network.hosts["honest"](request)
        cut = whole.content[:-600_000] if request.url.params["format"] == "car" else whole.content
        return httpx.Response(200, content=cut)

    network.hosts["cutting"] = cutting
    network.fetch(other_store, root, "cutting")
    assert read_tree(other_store, root, Limits()) == TREE
    assert 0 < network.asked.count(("cutting", "raw")) < 7


def test_fetch__car_of_something_else__falls_back_to_blocks(network, store, other_store, root: Cid) -> None:
    other = put_tree(store, {"x": b"other"})

    def confused(request: httpx.Request) -> httpx.Response:
        if request.url.params["format"] == "car":
            return httpx.Response(200, content=b"".join(write_car(store, other)))
        return network.hosts["honest"](request)

    network.hosts["confused"] = confused
    network.fetch(other_store, root, "confused")
    assert read_tree(other_store, root, Limits()) == TREE
    assert not other_store.has(other)


def test_fetch__endless_car_and_endless_block__stop_at_their_limits(network, store, other_store) -> None:
    """flt:F31 (10 GB)"""
    limits = Limits(max_bytes=2 << 20, max_entries=4)
    root = put_tree(store, {"a": b"1"})
    sent = {"car": 0, "raw": 0}

    async def endless(kind: str, first: bytes):
        yield first
        while True:
            sent[kind] += 1 << 16
            yield bytes(1 << 16)

    def flooding(request: httpx.Request) -> httpx.Response:
        kind = request.url.params["format"]
        block = b"\x25" + bytes(Cid.of(b"1")) + b"1"
        start = car_header(root) + bytes([36 + store.size(root)]) + bytes(root) + store.get(root) + block * 1000
        return httpx.Response(200, content=endless(kind, start if kind == "car" else b""))

    network.hosts["flooding"] = flooding
    raw = add_bytes(store, b"x")
    for cid in (root, raw):
        with contextlib.suppress(ContentUnavailable):
            network.fetch(other_store, cid, "flooding", limits=limits)
    assert 0 < sent["raw"] <= CHUNK_BYTES + (1 << 18)
    assert sent["car"] <= limits.max_wire_bytes


def test_fetch__compressed_answer__is_refused_unread(network, other_store, root: Cid) -> None:
    """flt:S9: no decompression bombs."""
    network.hosts["gzip"] = lambda request: httpx.Response(
        200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b")
    )
    with pytest.raises(ContentUnavailable, match="compressed"):
        network.fetch(other_store, root, "gzip")


@pytest.mark.parametrize("form", ["honest", "only_raw"])
def test_fetch__tree_over_the_limit__is_refused_and_no_source_blamed(network, other_store, root, form: str) -> None:
    """flt:F31"""
    with pytest.raises(LimitExceeded):
        network.fetch(other_store, root, form, limits=Limits(max_bytes=CHUNK_BYTES))


def test_fetch__claimed_terabytes__cost_one_request(network, hostile, store, other_store) -> None:
    """flt:F31 (10 GB)"""
    leaf = hostile.raw(b"x")
    root = hostile.folder((b"a", Stored(leaf.cid, 1 << 40))).cid
    store.put(root, hostile.get(root))
    with pytest.raises(LimitExceeded):
        network.fetch(other_store, root, "only_raw")
    assert network.asked == [("only_raw", "car"), ("only_raw", "raw")]


def test_fetch__content_itself_is_no_tree__is_not_retried(network, hostile, store, other_store) -> None:
    """flt:F31 (links): every source would send the same."""
    link = hostile.node([], b"\x08\x04\x12\x0b/etc/passwd")
    root = hostile.folder((b"passwd", link)).cid
    for cid in (root, link.cid):
        store.put(cid, hostile.get(cid))
    with pytest.raises(InvalidBlock):
        network.fetch(other_store, root, "honest", "honest")
    assert network.asked == [("honest", "car")]


def test_fetch__disk_full_here__is_not_blamed_on_a_source(network, other_store, root, monkeypatch) -> None:
    """flt:F27"""

    def full(cid: Cid, data: bytes) -> None:
        raise StoreFull("no space left")

    monkeypatch.setattr(other_store, "put", full)
    with pytest.raises(StoreFull):
        network.fetch(other_store, root, "honest", "only_raw")
    assert network.asked == [("honest", "car")]


# -- sources on a real socket that take their time


@contextlib.contextmanager
def _raw_server(behave: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Accepts connections and lets `behave` do to them what it likes until the test is over."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve_one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65_536)
            behave(connection, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve_one, args=(listener.accept()[0],), daemon=True))
                threads[-1].start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(5)


def _silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait(30)


def _dripping_headers(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not over.wait(0.05):
        connection.sendall(b"a")


def _dripping_body(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not over.wait(0.05):
        connection.sendall(b"\x00")


def _closing_in_the_middle(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc")


def _babbling(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"\x00\xff" * 1000)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("behave", [_silent, _dripping_headers, _dripping_body], ids=lambda behave: behave.__name__)
def test_fetch__source_that_never_ends__ends_with_the_time_limit(other_store, root: Cid, behave) -> None:
    """flt:F32"""
    raw = Cid.of(b"some raw block")
    with _raw_server(behave) as url:
        started = time.monotonic()
        with pytest.raises(ContentUnavailable, match="within 0.5 seconds") as caught:
            fetch_blocking(other_store, raw, [Source(url)], seconds=0.5)
        assert time.monotonic() - started < 10
    assert caught.value.figures["answers"] == [{"source": url, "answer": "had not answered when the time was over"}]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("behave", [_closing_in_the_middle, _babbling], ids=lambda behave: behave.__name__)
def test_fetch__source_that_breaks_off__the_next_one_serves(serve, store, other_store, root: Cid, behave) -> None:
    """flt:F32"""
    good = serve(create_gateway(store, lambda *_: True))
    with _raw_server(behave) as url:
        fetch_blocking(other_store, root, [Source(url), Source(good)], seconds=20)
    assert read_tree(other_store, root, Limits()) == TREE


def test_fetch__nobody_listens__is_reported_at_once(other_store, root: Cid) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(ContentUnavailable, match="Connect"):
        fetch_blocking(other_store, root, [Source(url)], seconds=20)


def test_fetch__own_gateway_with_rights__serves_the_party_only(serve, store, other_store, root: Cid) -> None:
    """Block by block through the real gateway: the right to the tree carries over to what is inside it."""

    def sign(request: httpx.Request) -> None:
        request.headers["x-who"] = "creator"

    def may(cid: Cid, who: str | None) -> bool:
        return (cid, who) == (root, "creator")

    url = serve(create_gateway(store, may, identify=lambda request: request.headers.get("x-who")))
    with pytest.raises(ContentUnavailable, match="HTTP 401 access-denied"):
        fetch_blocking(other_store, root, [Source(url)])
    other_store.put(root, store.get(root))
    fetch_blocking(other_store, root, [Source(url, sign)])
    assert read_tree(other_store, root, Limits()) == TREE


# -- push


@pytest.fixture
def relay(other_store: LocalStore) -> Starlette:
    """The server's side as the solver will have it: a signed PUT into `other_store`."""

    async def take(request: Request) -> Response:
        if request.headers.get("x-who") == "stranger":
            return Response("who are you?", 403)
        digest = hashlib.sha256()

        async def body():
            async for chunk in request.stream():
                digest.update(chunk)
                yield chunk

        try:
            cid = Cid.parse(request.path_params["cid"])
            await import_car_async(body(), other_store, cid, Limits(max_bytes=2 << 20))
        except ContentError as error:
            return error_response(error)
        stated = request.headers["content-digest"]
        fits = stated == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
        return Response(status_code=201 if fits else 400)

    return Starlette(routes=[Route("/v1/content/{cid}", take, methods=["PUT"])])


def test_push__relay__has_the_tree_and_a_second_time_changes_nothing(serve, relay, store, other_store, root) -> None:
    """beh:I5, beh:I15"""
    url = serve(relay)
    push_blocking(store, root, url)
    push_blocking(store, root, url + "/")
    assert read_tree(other_store, root, Limits()) == TREE


def test_push__signer__sees_method_path_length_and_digest(serve, relay, store, root: Cid) -> None:
    seen: dict[str, str] = {}

    def sign(request: httpx.Request) -> None:
        seen.update(request.headers, method=request.method, path=request.url.path)

    push_blocking(store, root, serve(relay), sign=sign)
    archive = b"".join(write_car(store, root))
    assert (seen["method"], seen["path"]) == ("PUT", f"/v1/content/{root}")
    assert seen["content-length"] == str(len(archive)) and "transfer-encoding" not in seen
    assert seen["content-digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(archive).digest()).decode()}:"


@pytest.mark.timeout(60)
def test_push__tree_over_the_relays_limit__says_what_the_relay_answered(serve, relay, store) -> None:
    root = put_tree(store, {"a": bytes(9 << 20) + b"x"})
    with pytest.raises(PushRefused) as caught:
        push_blocking(store, root, serve(relay), seconds=30)
    assert caught.value.figures["status"] == 413 and "content-limit" in caught.value.message


def test_push__not_allowed__is_refused_with_the_status(serve, relay, store, root: Cid) -> None:
    def sign(request: httpx.Request) -> None:
        request.headers["x-who"] = "stranger"

    with pytest.raises(PushRefused) as caught:
        push_blocking(store, root, serve(relay), sign=sign)
    assert caught.value.figures["status"] == 403


def test_push__incomplete_here__is_not_even_tried(network, store, root: Cid) -> None:
    store.delete(Cid.of(b"1"))

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(network)) as client:
            await push(store, root, "http://honest", http=client)

    with pytest.raises(BlockMissing):
        asyncio.run(run())
    assert network.asked == []


@pytest.mark.timeout(30)
@pytest.mark.parametrize("behave", [_silent, _dripping_headers, _babbling], ids=lambda behave: behave.__name__)
def test_push__endpoint_that_stalls_or_babbles__ends_in_time(store, root: Cid, behave) -> None:
    with _raw_server(behave) as url, pytest.raises(PushRefused):
        push_blocking(store, root, url, seconds=1)


@pytest.mark.parametrize("url", ["ftp://x", "", "http://u:p@x/"])
def test_push__address_that_is_none__is_refused(store, root: Cid, url: str) -> None:
    with pytest.raises(PushRefused):
        push_blocking(store, root, url)
