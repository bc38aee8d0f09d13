"""The IPFS backend against recorded answers of Kubo, and, where LILYPAD_IPFS_API names one, against a real node."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

import httpx
import pytest

from lilypad_agents.content.car import CarDecoder, write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import BlockMismatch, BlockMissing, InvalidCar, IpfsNodeError
from lilypad_agents.content.importer import put_tree
from lilypad_agents.content.kubo import KuboNode
from lilypad_agents.content.limits import CHUNK_BYTES, Limits
from lilypad_agents.content.reader import read_tree
from lilypad_agents.content.store import LocalStore
from lilypad_agents.content.transfer import import_car

TREE = {"stdout": b"moo\n", "outputs": {"a": b"1", "big": bytes(CHUNK_BYTES) + b"x"}}


class FakeKubo:
    """Answers as Kubo documents its RPC: lines of JSON, errors as status 500 with Message, Code and Type."""

    def __init__(self, store: LocalStore, unread: Callable[[httpx.Response], httpx.Response]) -> None:
        self._store = store
        self._unread = unread
        self.pinned: set[str] = set()
        self.override: dict[str, httpx.Response | Exception] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.method == "POST", "Kubo answers 405 to anything but POST"
        command = request.url.path.removeprefix("/api/v0/")
        if command in self.override:
            answer = self.override[command]
            if isinstance(answer, Exception):
                raise answer
            return self._unread(answer)
        return self._unread(getattr(self, command.replace("/", "_"))(request))

    def version(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"Version": "0.40.0", "Commit": "", "Repo": "18", "System": "amd64/linux"})

    def dag_import(self, request: httpx.Request) -> httpx.Response:
        assert request.url.params["pin-roots"] == "true"
        body = request.read()
        assert int(request.headers["Content-Length"]) == len(body)
        (archive,) = _parts(request.headers["Content-Type"], body)
        decoder = CarDecoder()
        list(decoder.feed(archive))
        root = decoder.root
        import_car([archive], self._store, root, Limits())
        self.pinned.add(str(root))
        return httpx.Response(200, text='{"Root":{"Cid":{"/":"%s"},"PinErrorMsg":""}}\n' % root)

    def dag_export(self, request: httpx.Request) -> httpx.Response:
        try:
            return httpx.Response(200, content=b"".join(write_car(self._store, Cid.parse(request.url.params["arg"]))))
        except BlockMissing:
            return _error("block was not found locally (offline): ipld: could not find " + request.url.params["arg"])

    def pin_rm(self, request: httpx.Request) -> httpx.Response:
        cid = request.url.params["arg"]
        if cid not in self.pinned:
            return _error("not pinned or pinned indirectly")
        self.pinned.remove(cid)
        return httpx.Response(200, json={"Pins": [cid]})


def _error(message: str) -> httpx.Response:
    return httpx.Response(500, json={"Message": message, "Code": 0, "Type": "error"})


def _parts(content_type: str, body: bytes) -> list[bytes]:
    """The parts of a multipart body (RFC 2046), which must end with its closing boundary."""
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    opening, *parts, closing = body.split(boundary)
    assert (opening, closing) == (b"", b"--\r\n")
    return [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts]


@pytest.fixture
def kubo(other_store: LocalStore, unread: Callable[[httpx.Response], httpx.Response]) -> FakeKubo:
    return FakeKubo(other_store, unread)


@pytest.fixture
def node(kubo: FakeKubo) -> KuboNode:
    return KuboNode("http://kubo:5001/", httpx.Client(transport=httpx.MockTransport(kubo)))


def test_version__recorded_answer__is_read(node: KuboNode) -> None:
    assert node.version() == "0.40.0"


def test_publish__tree__is_there_and_pinned(node: KuboNode, kubo, store, other_store) -> None:
    root = put_tree(store, TREE)
    node.publish(store, root)
    assert kubo.pinned == {str(root)}
    assert read_tree(other_store, root, Limits()) == TREE


def test_retrieve__tree__is_verified_and_stored(node: KuboNode, store, other_store) -> None:
    root = put_tree(other_store, TREE)
    assert node.retrieve(store, root).entries == 4
    assert read_tree(store, root, Limits()) == TREE


def test_retrieve__not_there__is_missing(node: KuboNode, store) -> None:
    with pytest.raises(BlockMissing):
        node.retrieve(store, Cid.of(b"none"))


def test_retrieve__wrong_or_cut_bytes__are_refused(node: KuboNode, kubo, store, other_store) -> None:
    """flt:F32"""
    root = put_tree(other_store, {"a": b"moo"})
    archive = b"".join(write_car(other_store, root))
    kubo.override["dag/export"] = httpx.Response(200, content=archive[:-1] + b"x")
    with pytest.raises(BlockMismatch):
        node.retrieve(store, root)
    kubo.override["dag/export"] = httpx.Response(200, content=archive[:-1])
    with pytest.raises(InvalidCar):
        node.retrieve(store, root)


def test_publish__incomplete_here__asks_nothing_of_the_node(node: KuboNode, kubo, store) -> None:
    root = put_tree(store, TREE)
    store.delete(Cid.of(b"1"))
    kubo.override["dag/import"] = AssertionError("must not be asked")
    with pytest.raises(BlockMissing):
        node.publish(store, root)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text=""),
        httpx.Response(200, text="no json"),
        httpx.Response(200, text="[]"),
        httpx.Response(200, text='{"Stats":{"BlockCount":1,"BlockBytesCount":3}}'),
        httpx.Response(200, text='{"Root":{"Cid":{"/":"%s"},"PinErrorMsg":""}}' % Cid.of(b"another")),
        httpx.Response(200, text='{"Root":{"Cid":{"/":"ROOT"},"PinErrorMsg":"disk full"}}'),
        httpx.Response(200, content=b" " * (1 << 21)),
        httpx.Response(500, json={"Message": "invalid header", "Code": 0, "Type": "error"}),
        httpx.Response(403, text="403 - Forbidden"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
    ],
    ids=["empty", "text", "list", "no root", "other root", "pin error", "huge", "error", "forbidden", "down", "slow"],
)
def test_publish__node_does_not_confirm__is_an_error(node: KuboNode, kubo, store, answer) -> None:
    root = put_tree(store, TREE)
    if isinstance(answer, httpx.Response) and b"ROOT" in answer.content:
        answer = httpx.Response(200, text=answer.text.replace("ROOT", str(root)))
    kubo.override["dag/import"] = answer
    with pytest.raises(IpfsNodeError):
        node.publish(store, root)


def test_unpin__pinned_and_not_pinned__are_both_done(node: KuboNode, kubo, store) -> None:
    root = put_tree(store, TREE)
    node.publish(store, root)
    node.unpin(root)
    node.unpin(root)
    assert kubo.pinned == set()
    kubo.override["pin/rm"] = _error("something else")
    with pytest.raises(IpfsNodeError, match="something else"):
        node.unpin(root)


def test_real_node__publish_and_retrieve__gives_the_same_tree(store: LocalStore, other_store: LocalStore) -> None:
    address = os.environ.get("LILYPAD_IPFS_API")
    if not address:
        pytest.skip("set LILYPAD_IPFS_API to the RPC address of a Kubo node to run this")
    with httpx.Client(timeout=60) as http:
        node = KuboNode(address, http)
        root = put_tree(store, {**TREE, "nonce": secrets.token_bytes(16)})
        node.publish(store, root)
        try:
            node.retrieve(other_store, root)
        finally:
            node.unpin(root)
    assert read_tree(other_store, root, Limits()) == read_tree(store, root, Limits())
