"""Files and folders to blocks and back: equal to IPFS, in one layout only, whatever an attacker writes."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lilypad_agents.content.blocks import iter_dag
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.dagpb import Link, Node, decode_node, encode_node
from lilypad_agents.content.errors import (
    BlockMissing,
    InvalidBlock,
    LimitExceeded,
    UnexpectedKind,
    UnsafeName,
)
from lilypad_agents.content.importer import HashOnly, Stored, add_bytes, add_file, put_tree, tree_cid
from lilypad_agents.content.limits import CHUNK_BYTES, MAX_FANOUT, Limits
from lilypad_agents.content.reader import check_tree, find, iter_file, read_file, read_tree, walk
from lilypad_agents.content.store import LocalStore
from lilypad_agents.content.unixfs import FilePart, check_name, file_height, file_node, part_sizes
from lilypad_agents.content.varint import encode_varint

MIB = CHUNK_BYTES
RUN = {"exitCode": b"0", "stdout": b"hello\n", "stderr": b""}
EMPTY_FOLDER = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
LOOSE = Limits(max_bytes=1 << 40)


# -- equal to IPFS: vectors of notes/execution.md section 6, made by another implementation


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (b"hello world\n", "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"),
        (MIB, "bafkreiep7x36nt66cvnlcghb64cdlw467uhjm5c6m5efjck63ult7rmrzi"),
        (MIB + 1, "bafybeihtedftjxy6bkqn6rdcfaov6mbrtqtta46qt6cfk42rr7ktkai4qm"),
    ],
)
def test_add_bytes__vector__has_the_cid_of_ipfs(
    pattern: Callable[[int], bytes], content: bytes | int, expected: str
) -> None:
    data = content if isinstance(content, bytes) else pattern(content)
    assert str(add_bytes(HashOnly(), data)) == expected


def test_put_tree__run_vector__has_the_cid_of_ipfs(store: LocalStore) -> None:
    root = put_tree(store, RUN)

    assert str(root) == "bafybeiegck5ddc55kuno7eigzpj5qpvjuntcosyjjkjzbjprrkegnvx3b4"
    assert root.digest.hex().startswith("8612ba31") and root.digest.hex().endswith("66d6fb0f")
    assert store.size(root) == 156


def test_tree_cid__vector_with_outputs__has_the_cid_of_ipfs(pattern: Callable[[int], bytes]) -> None:
    tree = {**RUN, "outputs": {"a.bin": pattern(300_000), "\u00e9.txt": pattern(3)}}
    assert str(tree_cid(tree)) == "bafybeid4ejf2kenszwlhzsra7guxaejeqmnkoazg7h22ebnq7o3op2sane"


def test_tree_cid__nothing_inside__is_the_empty_folder_of_ipfs() -> None:
    assert str(tree_cid({})) == EMPTY_FOLDER
    assert str(tree_cid({"a": {}, "b": {"c": {}}})) == EMPTY_FOLDER


# -- import


def test_add_file__stream_with_short_reads__gives_the_same_cid(pattern: Callable[[int], bytes]) -> None:
    data = pattern(MIB + 1)

    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 65_521))

    assert add_file(HashOnly(), Dribble(data)) == add_bytes(HashOnly(), data)


def test_add_file__two_levels_of_links__keeps_leaves_on_one_level_and_little_in_memory() -> None:
    """beh:I5 (streamed): 1025 MiB pass through with one chunk in memory at a time."""
    chunk, chunks, largest = bytes(MIB), MAX_FANOUT + 1, 0

    class Zeros:
        left = chunks

        def read(self, size: int, /) -> bytes:
            nonlocal largest
            largest = max(largest, size)
            self.left -= 1
            return chunk if self.left >= 0 else b""

    class Recorder:
        blocks: dict[Cid, bytes] = {}

        def put(self, cid: Cid, data: bytes) -> None:
            self.blocks[cid] = data

    sink = Recorder()
    root = decode_node(sink.blocks[add_file(sink, Zeros())])
    first, last = (decode_node(sink.blocks[link.cid]) for link in root.links)

    assert largest <= MIB
    assert (len(root.links), len(first.links), len(last.links)) == (2, MAX_FANOUT, 1)
    assert len(sink.blocks) == 4
    assert all(link.cid == Cid.of(chunk) for link in (*first.links, *last.links))


def test_put_tree__cid_of_stored_folder__equals_the_nested_form(store: LocalStore) -> None:
    outputs = put_tree(store, {"a": b"1", "b": {"c": bytes(2 * MIB)}})
    file = add_bytes(store, b"0")

    assert put_tree(store, {"exitCode": file, "outputs": outputs}) == tree_cid(
        {"exitCode": b"0", "outputs": {"a": b"1", "b": {"c": bytes(2 * MIB)}}}
    )


def test_put_tree__cid_that_is_not_stored__is_refused(store: LocalStore) -> None:
    with pytest.raises(BlockMissing):
        put_tree(store, {"a": Cid.of(b"elsewhere")})


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "a/b", "/a", "a\0b", "a\nb", "\x7f", "\x85", "\x1b[2J", "e\u0301", "\ud800", "x" * 256,
        "\u00e9" * 128,
    ],  # fmt: skip
)
def test_put_tree__unsafe_name__is_refused(name: str) -> None:
    """flt:S8, beh:K7"""
    with pytest.raises(UnsafeName):
        tree_cid({name: b""})


@pytest.mark.parametrize("name", ["...", "a b", "..a", "\\", "x" * 255, "\u00e9", "\U0001f404", "-rf", "~"])
def test_put_tree__odd_but_harmless_name__comes_back(store: LocalStore, name: str) -> None:
    root = put_tree(store, {name: b"1"})
    assert read_tree(store, root, Limits()) == {name: b"1"}


def test_put_tree__1000_and_1001_entries__are_taken_and_refused() -> None:
    assert tree_cid({f"{i}": b"" for i in range(1000)})
    with pytest.raises(LimitExceeded, match="1001 entries"):
        tree_cid({f"{i}": b"" for i in range(1001)})


def test_put_tree__folder_block_over_256_kib__is_refused() -> None:
    with pytest.raises(LimitExceeded, match="names of a folder need"):
        tree_cid({f"{i:04}" + "n" * 240: b"" for i in range(1000)})


# -- reading

NAMES = st.text(min_size=1, max_size=6).filter(lambda name: _is_name(name))
TREES = st.recursive(st.binary(max_size=50), lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=4))


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except UnsafeName:
        return False
    return True


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_read_tree__any_tree__is_what_was_put(tmp_path_factory: pytest.TempPathFactory, tree: dict) -> None:
    blocks = LocalStore(tmp_path_factory.mktemp("store"), durable=False)
    root = put_tree(blocks, tree)

    assert read_tree(blocks, root, Limits()) == tree
    summary = check_tree(blocks, root, Limits())
    assert summary.bytes == _count_bytes(tree)
    assert root == tree_cid(tree)


def _count_bytes(tree: dict | bytes) -> int:
    return len(tree) if isinstance(tree, bytes) else sum(map(_count_bytes, tree.values()))


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 7])
def test_read_file__around_the_chunk_border__is_what_was_added(store: LocalStore, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    cid = add_bytes(store, data[:size])

    assert read_file(store, cid, size) == data[:size]
    assert all(len(chunk) <= MIB for chunk in iter_file(store, cid, size))
    assert check_tree(store, cid, LOOSE).bytes == size


def test_read_file__one_byte_over_the_limit__reads_no_leaf(hostile) -> None:
    cid = add_bytes(hostile, bytes(3 * MIB))
    hostile.reads = 0

    with pytest.raises(LimitExceeded) as caught:
        read_file(hostile, cid, 3 * MIB - 1)

    assert hostile.reads == 1
    assert caught.value.figures == {"found": 3 * MIB, "allowed": 3 * MIB - 1, "unit": "bytes"}


def test_read_file__folder__is_refused_and_the_other_way_round(store: LocalStore) -> None:
    folder, file = put_tree(store, RUN), add_bytes(store, b"x")

    with pytest.raises(UnexpectedKind):
        read_file(store, folder, 100)
    with pytest.raises(UnexpectedKind):
        read_tree(store, file, Limits())


@pytest.mark.parametrize(
    ("path", "found"),
    [(("stdout",), True), (("none",), False), (("stdout", "x"), False), (("d", "e"), True), (("big", "x"), False)],
)
def test_find__path__gives_the_cid_or_nothing(store: LocalStore, path: tuple[str, ...], found: bool) -> None:
    root = put_tree(store, {**RUN, "d": {"e": b"hello\n"}, "big": bytes(MIB + 1)})
    assert find(store, root, path) == (Cid.of(b"hello\n") if found else None)


def test_read_tree__missing_leaf__is_reported_by_its_cid(store: LocalStore) -> None:
    root = put_tree(store, RUN)
    store.delete(Cid.of(b"hello\n"))

    for read in (read_tree, check_tree):
        with pytest.raises(BlockMissing) as caught:
            read(store, root, Limits())
        assert caught.value.figures["cid"] == str(Cid.of(b"hello\n"))


# -- limits, counted along every path


def test_walk__tree_at_and_over_each_limit__is_taken_and_refused(store: LocalStore) -> None:
    root = put_tree(store, {"a": {"b": {"c": b"1234"}}, "d": b"56"})
    exact = Limits(max_bytes=6, max_entries=4, max_depth=3)

    assert check_tree(store, root, exact).entries == 4
    for tighter in ({"max_bytes": 5}, {"max_entries": 3}, {"max_depth": 2}):
        bounds = {"max_bytes": 6, "max_entries": 4, "max_depth": 3} | tighter
        with pytest.raises(LimitExceeded):
            read_tree(store, root, Limits(**bounds))


def test_walk__small_dag_that_multiplies__stops_at_the_limits(hostile) -> None:
    """flt:S9 (nested bomb): 20 blocks that would unfold to 1000^19 files."""
    bomb = hostile.raw(b"boom")
    for _ in range(19):
        bomb = hostile.folder(*((b"%03d" % i, bomb) for i in range(1000)))
        bomb = Stored(bomb.cid, min(bomb.tree_size, 1 << 40))

    for read in (read_tree, check_tree):
        hostile.reads = 0
        with pytest.raises((LimitExceeded, InvalidBlock)):
            read(hostile, bomb.cid, Limits())
        assert hostile.reads < 20


def test_walk__honest_sizes_but_shared_subtrees__counts_every_path(hostile) -> None:
    leaf = hostile.raw(bytes(1000))
    level = hostile.folder(*((b"%03d" % i, leaf) for i in range(100)))
    root = hostile.folder(*((b"%03d" % i, level) for i in range(100)))

    assert len(hostile.blocks) == 3
    with pytest.raises(LimitExceeded, match="entries"):
        check_tree(hostile, root.cid, Limits(max_entries=10_099))
    with pytest.raises(LimitExceeded, match="bytes"):
        check_tree(hostile, root.cid, Limits(max_entries=10_100, max_bytes=9_999_999))
    assert check_tree(hostile, root.cid, Limits(max_entries=10_100, max_bytes=10_000_000)).bytes == 10_000_000


# -- folders that nobody honest writes


@pytest.mark.parametrize(
    "names",
    [(b"a", b"a"), (b"b", b"a"), (b"a", b"b", b"a")],
    ids=["twice", "disorder", "twice apart"],
)
def test_walk__names_out_of_order_or_twice__is_refused(hostile, names: tuple[bytes, ...]) -> None:
    leaf = hostile.raw(b"x")
    root = hostile.folder(*((name, leaf) for name in names))
    with pytest.raises(InvalidBlock, match="byte order"):
        list(walk(hostile, root.cid, Limits()))


@pytest.mark.parametrize(
    "name", [b"", b".", b"..", b"../x", b"/etc", b"a\0", b"\n", b"\xff", "e\u0301".encode(), b"x" * 256]
)
def test_walk__unsafe_name_in_a_folder__is_refused(hostile, name: bytes) -> None:
    """beh:K7, flt:S9: parent paths and absolute names."""
    root = hostile.folder((name, hostile.raw(b"x")))
    with pytest.raises(UnsafeName):
        list(walk(hostile, root.cid, Limits()))


def test_walk__1001_entries__is_refused(hostile) -> None:
    leaf = hostile.raw(b"x")
    root = hostile.folder(*((b"%04d" % i, leaf) for i in range(1001)))
    with pytest.raises(LimitExceeded, match="1001 entries"):
        list(walk(hostile, root.cid, Limits()))


def test_walk__wrong_tree_size_of_an_entry__is_refused(hostile) -> None:
    leaf, inner = hostile.raw(b"xyz"), hostile.folder((b"a", hostile.raw(b"1")))
    for child in (leaf, inner):
        for delta in (-1, 1):
            root = hostile.folder((b"a", Stored(child.cid, child.tree_size + delta)))
            with pytest.raises(InvalidBlock, match="stated|states"):
                list(walk(hostile, root.cid, Limits()))
            with pytest.raises(InvalidBlock, match="stated|states"):
                check_tree(hostile, root.cid, Limits())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x00",
        b"\x08\x03",
        b"\x08\x04\x12\x01x",
        b"\x08\x05",
        b"\x08\x01\x18\x00",
        b"\x08\x01\x38\x80\x05",
        b"\x08\x02",
        b"\x08\x02\x12\x01x\x18\x01",
        b"\x08\x02\x18\x01",
        b"\x08\x02\x18\xff",
        b"\x08\x02\x18\x80\x00",
        b"\x08\x02\x18" + b"\xff" * 9,
    ],
    ids="none raw metadata symlink shard folder-size folder-mode bare inline small cut long huge".split(),
)
def test_walk__node_of_another_kind__is_refused(hostile, data: bytes) -> None:
    """flt:F31, beh:K7 (links): symbolic links, shards, inline data and modes do not exist in the profile."""
    root = hostile.node([], data)
    with pytest.raises(InvalidBlock):
        list(walk(hostile, root.cid, Limits()))


# -- files that nobody honest writes


def _file(hostile, parts: list[tuple[Stored, int]], sizes: list[int] | None = None, total: int | None = None) -> Cid:
    stated = sizes if sizes is not None else [size for _, size in parts]
    data = b"\x08\x02\x18" + encode_varint(sum(stated) if total is None else total)
    data += b"".join(b"\x20" + encode_varint(size) for size in stated)
    return hostile.node([Link(part.cid, b"", part.tree_size) for part, _ in parts], data).cid


def _full_node(leaf: Stored) -> tuple[list[Link], bytes]:
    node = file_node([FilePart(leaf.cid, MIB, 0, MIB)] * MAX_FANOUT)
    return list(node.links), node.data


def test_walk__file_in_another_layout__is_refused(hostile) -> None:
    full, half, rest = hostile.raw(bytes(MIB)), hostile.raw(bytes(MIB // 2)), hostile.raw(b"x")
    mib = encode_varint(MIB)
    inner = hostile.node([Link(full.cid, b"", MIB)], b"\x08\x02\x18" + mib + b"\x20" + mib)
    empty = hostile.node([], b"\x08\x01")
    big = hostile.node(*_full_node(full))
    posing = hostile.raw(encode_node(Node((Link(rest.cid, b"", 1),), b"\x08\x02\x18\x01\x20\x01")))
    posing = Stored(posing.cid, posing.tree_size + 1)
    layouts = {
        "one chunk behind a link": _file(hostile, [(full, MIB)]),
        "short chunk first": _file(hostile, [(half, MIB // 2), (full, MIB)]),
        "other chunk size": _file(hostile, [(half, MIB // 2)] * 3),
        "empty chunk": _file(hostile, [(full, MIB), (hostile.raw(b""), 0), (rest, 1)]),
        "total too small": _file(hostile, [(full, MIB), (rest, 1)], total=MIB),
        "total too large": _file(hostile, [(full, MIB), (rest, 1)], total=MIB + 2),
        "size without link": _file(hostile, [(full, MIB)], sizes=[MIB, 1]),
        "link without size": _file(hostile, [(full, MIB), (rest, 1), (rest, 1)], sizes=[MIB, 1]),
        "node among leaves": _file(hostile, [(full, MIB), (inner, 1)]),
        "node block as leaf": _file(hostile, [(full, MIB), (Stored(empty.cid, 4), 4)]),
        "raw block as node": _file(hostile, [(big, MIB << 10), (posing, 1)]),
        "leaf longer than stated": _file(hostile, [(full, MIB), (half, 1)], sizes=[MIB, 1]),
    }
    for layout, root in layouts.items():
        for read in (lambda cid: list(walk(hostile, cid, LOOSE)), lambda cid: check_tree(hostile, cid, LOOSE)):
            with pytest.raises(InvalidBlock):
                read(root)
                pytest.fail(f"accepted: {layout}")


def test_walk__leaf_sizes_that_differ_from_the_block__is_refused(hostile) -> None:
    full, liar = hostile.raw(bytes(MIB)), Stored(hostile.raw(b"xy").cid, 1)
    root = _file(hostile, [(full, MIB), (liar, 1)])
    for read in (lambda: list(walk(hostile, root, LOOSE)), lambda: check_tree(hostile, root, LOOSE)):
        with pytest.raises(InvalidBlock, match="stated size"):
            read()


def test_walk__raw_root_over_one_mib__is_refused(hostile) -> None:
    with pytest.raises(InvalidBlock):
        list(walk(hostile, hostile.raw(bytes(MIB + 1)).cid, LOOSE))


def test_walk__claimed_exabytes__are_refused_before_any_leaf(hostile) -> None:
    """flt:F31: a result that claims more than the limit costs one block."""
    size = (1 << 63) - 1
    height = file_height(size)
    leaf = hostile.raw(b"x")
    parts = [FilePart(leaf.cid, part, height - 1, 1) for part in part_sizes(size, height)]
    root = hostile.node(list(file_node(parts).links), file_node(parts).data)
    hostile.reads = 0

    with pytest.raises(LimitExceeded, match="bytes"):
        list(walk(hostile, root.cid, LOOSE))
    assert hostile.reads == 1


@given(st.integers(0, 1 << 62))
def test_part_sizes__any_size__add_up_and_are_full_but_the_last(size: int) -> None:
    height = file_height(size)
    if height == 0:
        assert size <= MIB
        return
    sizes = part_sizes(size, height)
    assert sum(sizes) == size and 1 < len(sizes) <= MAX_FANOUT
    assert all(left == MIB * MAX_FANOUT ** (height - 1) for left, _ in pairwise(sizes))


# -- dag-pb: one byte form

LINKS = st.builds(
    Link,
    st.builds(Cid.raw, st.binary(min_size=32, max_size=32)),
    st.binary(max_size=20),
    st.integers(0, (1 << 63) - 1),
)


@given(st.lists(LINKS, max_size=5), st.binary(max_size=40))
def test_decode_node__own_encoding__gives_the_node(links: list[Link], data: bytes) -> None:
    node = Node(tuple(links), data)
    assert decode_node(encode_node(node)) == node


@given(st.binary(max_size=120))
def test_decode_node__any_bytes__is_canonical_or_refused(block: bytes) -> None:
    try:
        node = decode_node(block)
    except InvalidBlock:
        return
    assert encode_node(node) == block


@given(st.lists(LINKS, min_size=1, max_size=3), st.data())
def test_decode_node__one_changed_byte__is_canonical_or_refused(links: list[Link], data: st.DataObject) -> None:
    block = bytearray(encode_node(Node(tuple(links), b"\x08\x01")))
    index = data.draw(st.integers(0, len(block) - 1))
    block[index] ^= data.draw(st.integers(1, 255))
    try:
        node = decode_node(bytes(block))
    except InvalidBlock:
        return
    assert encode_node(node) == bytes(block)


def test_decode_node__other_encodings_of_the_same_node__are_refused() -> None:
    cid = bytes(Cid.of(b"x"))
    link = b"\x0a\x24" + cid + b"\x12\x01a\x18\x01"
    folder = b"\x0a\x02\x08\x01"
    good = b"\x12" + bytes([len(link)]) + link + folder
    nameless = b"\x0a\x24" + cid + b"\x18\x01"
    sizeless = b"\x0a\x24" + cid + b"\x12\x01a"
    swapped = b"\x12\x01a\x0a\x24" + cid + b"\x18\x01"
    assert decode_node(good)
    others = [
        folder + b"\x12" + bytes([len(link)]) + link,
        good + folder,
        good[: -len(folder)],
        good + b"\x1a\x00",
        good[:-1],
        b"\x12" + bytes([len(link) | 0x80, 0]) + link + folder,
        b"",
        *(b"\x12" + bytes([len(body)]) + body + folder for body in (nameless, sizeless, swapped, link + b"\x18\x01")),
    ]
    for block in others:
        with pytest.raises(InvalidBlock):
            decode_node(block)


def test_decode_node__over_256_kib__is_refused_unread() -> None:
    with pytest.raises(InvalidBlock, match="256 KiB"):
        decode_node(b"\x0a" + encode_varint(256 << 10) + bytes(256 << 10))


def test_iter_dag__shared_blocks__come_once_and_after_their_parents(store: LocalStore) -> None:
    root = put_tree(store, {"a": {"x": b"1", "y": b"2"}, "b": {"x": b"1", "y": b"2"}, "c": b"2"})
    order = list(iter_dag(store.get, root))

    assert order[0] == root
    assert len(order) == len(set(order)) == 4
    with pytest.raises(LimitExceeded):
        list(iter_dag(store.get, root, max_blocks=3))
