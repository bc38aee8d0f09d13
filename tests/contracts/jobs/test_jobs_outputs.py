"""Output files, proved on chain against the root that a result opened. beh:F14"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from lilypad_agents.content.cid import Cid
from lilypad_agents.content.dagpb import Link, Node, encode_node
from lilypad_agents.content.importer import put_tree
from lilypad_agents.content.limits import CHUNK_BYTES
from lilypad_agents.protocol.ids import ZERO
from tests.support.evm import expect_revert
from tests.support.outputs import Blocks, follow
from tests.support.requests import Requests

TREE = {
    "report.json": b'{"rows": 3}\n',
    "a" * 200: b"a sibling whose name takes two bytes of length",
    "empty": b"",
    "deep": {"er": {"x.bin": bytes(range(256)) * 20}, "y": b"y"},
    "large.bin": b"z" * (CHUNK_BYTES + 1),
}


@pytest.fixture(scope="module")
def blocks() -> Blocks:
    return Blocks()


@pytest.fixture(scope="module")
def root(blocks: Blocks) -> bytes:
    return put_tree(blocks, TREE).digest


@pytest.mark.parametrize("path", [[b"report.json"], [b"a" * 200], [b"empty"], [b"deep", b"er", b"x.bin"], [b"deep", b"y"]])
def test_require_file__every_small_file__is_proved_and_nothing_else_is(
    desk: Requests, blocks: Blocks, root: bytes, path: list[bytes]
) -> None:
    content = TREE
    for name in path:
        content = content[name.decode()]
    proof, _ = follow(blocks, root, path)
    desk.client.requireFile(root, proof, path, content)
    with expect_revert("ContentMismatch"):
        desk.client.requireFile(root, proof, path, content + b"!")
    with expect_revert("NodeMismatch", depth=0, needed=ZERO):
        desk.client.requireFile(ZERO, proof, path, content)


def test_entry_at__a_file_over_one_mib__gives_the_root_of_its_tree(desk: Requests, blocks: Blocks, root: bytes) -> None:
    path = [b"large.bin"]
    proof, cid = follow(blocks, root, path)
    assert not cid.is_raw and desk.client.entryAt(root, proof, path) == (False, cid.digest)
    with expect_revert("NotASmallFile", name=b"large.bin"):
        desk.client.requireFile(root, proof, path, TREE["large.bin"][:10])


def test_entry_at__a_wrong_way__is_refused(desk: Requests, blocks: Blocks, root: bytes) -> None:
    client, top = desk.client, blocks[Cid.dag_pb(root)]
    with expect_revert("EntryMissing", name=b"nothing"):
        client.entryAt(root, [top], [b"nothing"])
    with expect_revert("NotAFolder", name=b"report.json"):
        client.entryAt(root, [top, top], [b"report.json", b"x"])
    with expect_revert("NodeMismatch", depth=1):
        client.entryAt(root, [top, top], [b"deep", b"er"])
    for proof, path in (([top], []), ([], []), ([top, top], [b"deep"])):
        with expect_revert("ProofLengthsDiffer", nodes=len(proof), names=len(path)):
            client.entryAt(root, proof, path)
    _, large = follow(blocks, root, [b"large.bin"])
    with expect_revert("NodeMalformed"):  # the tree of a file is no folder: its links have no names
        client.entryAt(root, [top, blocks[large]], [b"large.bin", b""])


def link(name: bytes, data: bytes = b"data") -> Link:
    return Link(Cid.raw(hashlib.sha256(data).digest()), name, 4)


GOOD = encode_node(Node((link(b"a"), link(b"b")), b"\x08\x01"))
FORGERIES: dict[str, Callable[[], bytes]] = {
    "a name twice": lambda: encode_node(Node((link(b"a", b"one"), link(b"a", b"two")), b"\x08\x01")),
    "names out of order": lambda: encode_node(Node((link(b"b"), link(b"a")), b"\x08\x01")),
    "a file's type": lambda: encode_node(Node((link(b"a"),), b"\x08\x02")),
    "a sharded folder": lambda: encode_node(Node((link(b"a"),), b"\x08\x05")),
    "no data": lambda: GOOD[:-4],
    "bytes after the data": lambda: GOOD + b"\x00",
    "data before links": lambda: GOOD[-4:] + GOOD[:-4],
    "cut short": lambda: GOOD[:-6],
    "another hash function": lambda: GOOD.replace(b"\x12\x20", b"\x16\x20", 1),
    "another codec": lambda: GOOD.replace(b"\x01\x55", b"\x01\x71", 1),
    "a long length": lambda: GOOD.replace(b"\x12\x2b", b"\x12\xab\x00", 1),
    "a length beyond the node": lambda: GOOD.replace(b"\x12\x2b", b"\x12\xff\x7f", 1),
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_entry_at__a_node_that_lilypad_would_not_write__is_refused(desk: Requests, kind: str) -> None:
    """One root and path have one answer: the provider cannot commit to a folder that reads in two ways."""
    node = FORGERIES[kind]()
    assert node != GOOD
    with expect_revert("NodeMalformed"):
        desk.client.entryAt(hashlib.sha256(node).digest(), [node], [b"a"])
    assert desk.client.entryAt(hashlib.sha256(GOOD).digest(), [GOOD], [b"a"]) == (True, hashlib.sha256(b"data").digest())


def test_proof__against_a_delivered_result__names_the_same_root(desk: Requests, blocks: Blocks, root: bytes) -> None:
    """beh:F14: from the opened digest to the bytes of a file, all on chain."""
    deal, parts = desk.paid(desk.ask(), None, outputs=root)
    desk.deliver(deal, parts, b"")
    delivered = desk.client.lastResult()[8]
    path = [b"deep", b"er", b"x.bin"]
    desk.client.requireFile(delivered, follow(blocks, root, path)[0], path, TREE["deep"]["er"]["x.bin"])
