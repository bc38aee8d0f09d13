"""CAR archives: written the same every time, taken only when they hold one whole tree and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.content.blocks import iter_dag
from lilypad_agents.content.car import CarDecoder, car_header, car_size, read_car, write_block_car, write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import (
    BlockMismatch,
    BlockMissing,
    InvalidBlock,
    InvalidCar,
    LimitExceeded,
    UnsafeName,
)
from lilypad_agents.content.importer import Stored, add_bytes, put_tree
from lilypad_agents.content.limits import CHUNK_BYTES, Limits
from lilypad_agents.content.reader import read_tree
from lilypad_agents.content.store import LocalStore
from lilypad_agents.content.transfer import DagProgress, import_car, import_car_async
from lilypad_agents.content.varint import VarintError, decode_varint, encode_varint

TREE = {"stdout": b"moo\n", "stderr": b"moo\n", "outputs": {"a": b"1", "big": bytes(CHUNK_BYTES) + b"x"}}


def _section(cid: Cid, data: bytes) -> bytes:
    return encode_varint(36 + len(data)) + bytes(cid) + data


def _car(root: Cid, *blocks: tuple[Cid, bytes]) -> bytes:
    return car_header(root) + b"".join(_section(*block) for block in blocks)


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


# -- the bytes


def test_write_car__one_block__has_the_bytes_of_the_specification() -> None:
    """Header in dag-cbor: {"roots": [CID], "version": 1}, map keys in order of length."""
    cid = Cid.of(b"moo")
    header = bytes.fromhex("3a a2 65 726f6f7473 81 d82a 5825 00") + bytes(cid) + bytes.fromhex("67 76657273696f6e 01")
    assert write_block_car(cid, b"moo") == header + b"\x27" + bytes(cid) + b"moo"


def test_write_car__tree__holds_each_block_once_parents_first(store: LocalStore) -> None:
    root = put_tree(store, TREE)
    archive = b"".join(write_car(store, root))
    order = [cid for cid, _ in read_car([archive])]

    assert order == list(iter_dag(store.get, root))
    assert len(order) == len(set(order)) == 7
    assert car_size(store, root) == len(archive)
    assert b"".join(write_car(store, root)) == archive


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 30])
def test_read_car__in_pieces_of_any_size__gives_the_same_blocks(store: LocalStore, size: int) -> None:
    root = put_tree(store, {"stdout": b"moo\n", "outputs": {"a": bytes(5000)}})
    archive = b"".join(write_car(store, root))
    assert list(read_car(_pieces(archive, size))) == list(read_car([archive]))


def test_write_car__block_missing__is_known_from_the_size_already(store: LocalStore) -> None:
    root = put_tree(store, TREE)
    store.delete(Cid.of(b"1"))
    with pytest.raises(BlockMissing):
        car_size(store, root)
    with pytest.raises(BlockMissing):
        list(write_car(store, root))


def test_car_size__too_many_blocks__is_refused(store: LocalStore) -> None:
    root = put_tree(store, TREE)
    assert car_size(store, root, 7)
    with pytest.raises(LimitExceeded):
        car_size(store, root, 6)


@pytest.mark.parametrize(
    "change",
    [
        lambda car: b"",
        lambda car: car[:-1],
        lambda car: car[:30],
        lambda car: car + b"\x00",
        lambda car: car + b"\x80",
        lambda car: b"\xff" * 10 + car,
        lambda car: car[:1] + b"\xa3" + car[2:],
        lambda car: car[:58] + b"\x02" + car[59:],
        lambda car: b"\x3b" + car[1:],
        lambda car: b"\xba\x00" + car[1:],
        lambda car: bytes.fromhex("0aa16776657273696f6e02") + car,
        lambda car: car + encode_varint(34 + 3) + b"\x12\x20" + bytes(32) + b"moo",
        lambda car: car + encode_varint(36) + b"\x01\x71\x12\x20" + bytes(32),
        lambda car: car + encode_varint(36 + CHUNK_BYTES + 1),
        lambda car: car + encode_varint(1 << 62),
        lambda car: car + encode_varint(35) + bytes(35),
        lambda car: car + car,
    ],
    ids=(
        "empty,cut,cut header,padding,open number,long number,other map,version 2,longer header,long varint,carv2,"
        "cidv0,other codec,block too long,length of years,no room for a cid,header again"
    ).split(","),
)
def test_read_car__malformed__is_refused(change) -> None:
    """flt:S9, flt:F31"""
    car = _car(Cid.of(b"moo"), (Cid.of(b"moo"), b"moo"))
    with pytest.raises(InvalidCar):
        list(read_car([change(car)]))


def test_decoder__endless_length__holds_no_more_than_a_section() -> None:
    """flt:S9: a section that claims more than a block is refused before it is collected."""
    decoder = CarDecoder()
    list(decoder.feed(car_header(Cid.of(b""))))
    with pytest.raises(InvalidCar, match="impossible length"):
        list(decoder.feed(encode_varint(37 + CHUNK_BYTES)))


def test_read_car__one_changed_byte_in_a_block__is_refused(store: LocalStore) -> None:
    archive = bytearray(b"".join(write_car(store, put_tree(store, {"a": b"moo"}))))
    archive[-1] ^= 1
    with pytest.raises(BlockMismatch):
        list(read_car([bytes(archive)]))


@given(st.binary(max_size=200))
def test_read_car__any_bytes_behind_a_header__are_blocks_or_refused(tail: bytes) -> None:
    root = Cid.of(b"x")
    try:
        blocks = list(read_car([car_header(root) + tail]))
    except (InvalidCar, BlockMismatch):
        return
    assert _car(root, *blocks) == car_header(root) + tail


@given(st.integers(0, (1 << 63) - 1))
def test_varint__any_number__comes_back_and_has_one_form(value: int) -> None:
    encoded = encode_varint(value)
    assert decode_varint(encoded, 0) == (value, len(encoded))
    assert decode_varint(encoded[:-1], 0) is None


@pytest.mark.parametrize("data", [b"\x80\x00", b"\xff" * 9, b"\x80" * 9 + b"\x01"])
def test_varint__longer_than_needed_or_allowed__is_refused(data: bytes) -> None:
    with pytest.raises(VarintError):
        decode_varint(data, 0)


@pytest.mark.parametrize("value", [-1, 1 << 63])
def test_varint__number_out_of_range__is_refused(value: int) -> None:
    with pytest.raises(VarintError):
        encode_varint(value)


# -- taking a whole tree


@pytest.mark.parametrize("size", [13, 65_536, 1 << 30])
def test_import_car__own_archive__gives_the_tree(store: LocalStore, other_store: LocalStore, size: int) -> None:
    """beh:I5: streamed, stored under names of our own, checked."""
    root = put_tree(store, TREE)
    archive = b"".join(write_car(store, root))
    summary = import_car(_pieces(archive, size), other_store, root, Limits())

    assert read_tree(other_store, root, Limits()) == TREE
    assert (summary.bytes, summary.entries) == (CHUNK_BYTES + 10, 5)


def test_import_car__asynchronous_stream__gives_the_tree(store: LocalStore, other_store: LocalStore) -> None:
    root = put_tree(store, TREE)

    async def body() -> AsyncIterator[bytes]:
        for chunk in write_car(store, root):
            yield chunk

    asyncio.run(import_car_async(body(), other_store, root, Limits()))
    assert read_tree(other_store, root, Limits()) == TREE


def test_import_car__file_of_one_raw_block__is_taken(store: LocalStore, other_store: LocalStore) -> None:
    cid = add_bytes(store, b"inputs")
    assert import_car(write_car(store, cid), other_store, cid, Limits()).bytes == 6
    assert other_store.get(cid) == b"inputs"


def test_import_car__blocks_repeated_and_in_another_order__are_taken(
    store: LocalStore, other_store: LocalStore
) -> None:
    root = put_tree(store, TREE)
    blocks = list(read_car(write_car(store, root)))
    by_width = sorted(blocks[1:], key=lambda block: block[0].is_raw)
    folders = [block for block in by_width if not block[0].is_raw]
    folders.sort(key=lambda block: list(iter_dag(store.get, root)).index(block[0]))
    leaves = [block for block in by_width if block[0].is_raw][::-1]
    archive = _car(root, blocks[0], *folders, *leaves, *leaves)

    import_car([archive], other_store, root, Limits())
    assert read_tree(other_store, root, Limits()) == TREE


def test_import_car__foreign_block__is_refused_and_not_stored(store: LocalStore, other_store: LocalStore) -> None:
    """flt:F31 (unknown files)"""
    root = put_tree(store, {"a": b"1"})
    archive = b"".join(write_car(store, root)) + _section(Cid.of(b"stowaway"), b"stowaway")
    with pytest.raises(InvalidCar, match="does not belong"):
        import_car([archive], other_store, root, Limits())
    assert not other_store.has(Cid.of(b"stowaway"))


def test_import_car__child_before_its_parent__is_refused(store: LocalStore, other_store: LocalStore) -> None:
    root = put_tree(store, {"a": b"1"})
    with pytest.raises(InvalidCar, match="before its parent"):
        import_car([_car(root, (Cid.of(b"1"), b"1"), (root, store.get(root)))], other_store, root, Limits())


def test_import_car__another_root__is_refused(store: LocalStore, other_store: LocalStore) -> None:
    root, other = put_tree(store, {"a": b"1"}), put_tree(store, {"a": b"2"})
    with pytest.raises(InvalidCar, match="another root"):
        import_car(write_car(store, other), other_store, root, Limits())


def test_import_car__block_held_by_somebody_else_left_out__is_refused(
    store: LocalStore, other_store: LocalStore
) -> None:
    """Naming the CID of a stranger's private block below an own root must not give a right to it."""
    secret = add_bytes(other_store, b"a stranger's private result")
    add_bytes(store, b"a stranger's private result")
    root = put_tree(store, {"mine": secret})
    store.delete(secret)

    with pytest.raises(InvalidCar, match="does not hold all blocks"):
        import_car([_car(root, (root, store.get(root)))], other_store, root, Limits())


def test_import_car__cut_anywhere__is_refused(store: LocalStore, other_store: LocalStore) -> None:
    root = put_tree(store, {"a": b"1", "b": {"c": b"2"}})
    archive = b"".join(write_car(store, root))
    for length in range(len(archive)):
        with pytest.raises(InvalidCar):
            import_car([archive[:length]], other_store, root, Limits())


def test_import_car__block_with_wrong_bytes__is_refused(store: LocalStore, other_store: LocalStore) -> None:
    """flt:F32"""
    root = put_tree(store, {"a": b"1"})
    with pytest.raises(BlockMismatch):
        import_car([_car(root, (root, store.get(root)), (Cid.of(b"1"), b"2"))], other_store, root, Limits())
    with pytest.raises(BlockMismatch):
        twice = ((Cid.of(b"1"), b"1"), (Cid.of(b"1"), b"2"))
        import_car([_car(root, (root, store.get(root)), *twice)], other_store, root, Limits())


def test_import_car__at_and_over_each_limit__is_taken_and_refused(store: LocalStore, other_store: LocalStore) -> None:
    """beh:I5: size-limited."""
    root = put_tree(store, {"a": {"b": b"1234"}, "c": bytes(2 * CHUNK_BYTES)})
    bounds = {"max_bytes": 2 * CHUNK_BYTES + 4, "max_entries": 3, "max_depth": 2}
    archive = b"".join(write_car(store, root))

    import_car([archive], other_store, root, Limits(**bounds))
    for tighter in ({"max_bytes": 2 * CHUNK_BYTES + 3}, {"max_bytes": 10}, {"max_entries": 2}, {"max_depth": 1}):
        with pytest.raises(LimitExceeded):
            import_car([archive], other_store, root, Limits(**(bounds | tighter)))


def test_import_car__stream_without_end__stops_at_the_limit(hostile, other_store: LocalStore) -> None:
    """flt:F31 (10 GB)"""
    limits, taken = Limits(max_bytes=1000, max_entries=5), 0
    leaf = hostile.raw(b"x" * 900)
    root = hostile.folder((b"a", leaf))

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield _car(root.cid, (root.cid, hostile.get(root.cid)))
        while True:
            taken += 1
            yield _section(leaf.cid, b"x" * 900)

    with pytest.raises(LimitExceeded):
        import_car(endless(), other_store, root.cid, limits)
    assert taken * 900 <= limits.max_wire_bytes + 900


def test_import_car__claimed_terabytes__are_refused_at_the_root(hostile, other_store: LocalStore) -> None:
    """flt:F31"""
    leaf = hostile.raw(b"x")
    root = hostile.folder((b"a", Stored(leaf.cid, 1 << 40)))
    with pytest.raises(LimitExceeded):
        import_car([_car(root.cid, (root.cid, hostile.get(root.cid)))], other_store, root.cid, Limits())


def test_import_car__more_blocks_than_any_tree_has__is_refused(hostile, other_store: LocalStore) -> None:
    limits = Limits(max_bytes=100, max_entries=10)
    leaves = [hostile.raw(b"%d" % i) for i in range(limits.max_blocks)]
    root = hostile.folder(*((b"%04d" % i, leaf) for i, leaf in enumerate(leaves)))
    with pytest.raises(LimitExceeded, match="blocks"):
        import_car([_car(root.cid, (root.cid, hostile.get(root.cid)))], other_store, root.cid, limits)


@pytest.mark.parametrize("kind", ["parent path", "twice", "symlink", "wrong size", "no node"])
def test_import_car__tree_that_is_none__is_refused(hostile, other_store: LocalStore, kind: str) -> None:
    """beh:K7, flt:F31 (links), flt:S9 (parent paths): right hashes over a wrong tree."""
    leaf = hostile.raw(b"x")
    root = {
        "parent path": lambda: hostile.folder((b"../x", leaf)),
        "twice": lambda: hostile.folder((b"a", leaf), (b"a", leaf)),
        "symlink": lambda: hostile.folder((b"a", hostile.node([], b"\x08\x04\x12\x0b/etc/passwd"))),
        "wrong size": lambda: hostile.folder((b"a", Stored(leaf.cid, 2))),
        "no node": lambda: hostile.block(b"garbage"),
    }[kind]()
    archive = _car(root.cid, *((cid, hostile.get(cid)) for cid in _reachable(hostile, root.cid)))
    with pytest.raises((InvalidBlock, UnsafeName)):
        import_car([archive], other_store, root.cid, Limits())


def _reachable(hostile, root: Cid) -> list[Cid]:
    try:
        return list(iter_dag(hostile.get, root))
    except InvalidBlock:
        return [root]


def test_progress__partly_held__asks_only_for_the_rest(store: LocalStore, other_store: LocalStore) -> None:
    """beh:I15: transfers resume."""
    root = put_tree(store, TREE)
    for cid in (root, Cid.of(b"1"), Cid.of(b"moo\n")):
        other_store.put(cid, store.get(cid))
    progress = DagProgress(root, Limits())
    progress.absorb(other_store)

    asked = []
    while not progress.complete:
        asked.append(progress.next())
        progress.accept(asked[-1], store.get(asked[-1]))
        progress.absorb(other_store)
    assert len(asked) == 4 and Cid.of(b"1") not in asked and root not in asked
    assert (progress.blocks, progress.bytes) == (7, sum(store.size(cid) for cid in iter_dag(store.get, root)))


def test_limits__largest_trees__fit_into_the_derived_bounds(store: LocalStore) -> None:
    limits = Limits(max_bytes=4 * CHUNK_BYTES, max_entries=4, max_depth=4)
    name = "\u00e9" * 127
    trees = [
        {name: {name: {name: {name: bytes(4 * CHUNK_BYTES)}}}},
        {f"{i}{name[2:]}": bytes([i]) * CHUNK_BYTES for i in range(4)},
        {"a": bytes(range(256)) * 16384},
    ]
    for tree in trees:
        root = put_tree(store, tree)
        assert len(list(iter_dag(store.get, root))) <= limits.max_blocks
        assert car_size(store, root) <= limits.max_wire_bytes
