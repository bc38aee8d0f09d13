"""The local store: whole blocks or none, pins that hold what they say, several processes at once."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.content import store as store_module
from lilypad_agents.content.cid import Cid, sha256
from lilypad_agents.content.cidset import CidSet
from lilypad_agents.content.errors import (
    BlockMismatch,
    BlockMissing,
    BlockPinned,
    InvalidPin,
    LimitExceeded,
    StoreFull,
)
from lilypad_agents.content.importer import add_bytes, put_tree
from lilypad_agents.content.limits import MAX_BLOCK_BYTES, Limits
from lilypad_agents.content.reader import read_tree
from lilypad_agents.content.store import LocalStore, Pin

TREE = {"stdout": b"moo\n", "outputs": {"a": b"1", "big": bytes(MAX_BLOCK_BYTES + 1)}}
NOW = 1_700_000_000
Files = Callable[[Path], list[Path]]


def _root(store: LocalStore) -> Path:
    return store._root


def _file(store: LocalStore, cid: Cid) -> Path:
    return _root(store) / "blocks" / str(cid)[-3:-1] / str(cid)


def _age(store: LocalStore, seconds: int = 7200) -> None:
    """Make every block look untouched for a while."""
    past = time.time() - seconds
    for path in (_root(store) / "blocks").rglob("*"):
        if path.is_file():
            os.utime(path, (past, past))


# -- blocks


def test_put_and_get__block__comes_back_and_is_private(store: LocalStore) -> None:
    cid = add_bytes(store, b"moo")

    assert store.has(cid) and store.size(cid) == 3 and store.get(cid) == b"moo"
    assert _file(store, cid).stat().st_mode & 0o777 == 0o600
    assert _root(store).stat().st_mode & 0o777 == 0o700


def test_put__wrong_hash__stores_nothing(store: LocalStore, block_files: Files) -> None:
    """beh:I5: checked against the hash, kept under a name of our own."""
    with pytest.raises(BlockMismatch):
        store.put(Cid.of(b"moo"), b"mop")
    assert block_files(_root(store)) == []


def test_put__one_mib_and_one_more__is_taken_and_refused(store: LocalStore, block_files: Files) -> None:
    largest = bytes(MAX_BLOCK_BYTES)
    store.put(Cid.of(largest), largest)
    with pytest.raises(LimitExceeded):
        store.put(Cid.of(largest + b"x"), largest + b"x")
    assert len(block_files(_root(store))) == 1


def test_put__same_block_twice__keeps_one_file_and_freshens_it(store: LocalStore, block_files: Files) -> None:
    """beh:I15: repeated, it gives the same id."""
    cid = add_bytes(store, b"moo")
    _age(store)
    assert add_bytes(store, b"moo") == cid
    assert len(block_files(_root(store))) == 1
    assert _file(store, cid).stat().st_mtime > time.time() - 60


def test_same_digest__raw_and_dag_pb__are_two_blocks(store: LocalStore) -> None:
    folder = put_tree(store, {})
    assert not store.has(Cid.raw(folder.digest))
    add_bytes(store, store.get(folder))
    assert store.has(Cid.raw(folder.digest))


def test_get__unknown__names_the_cid(store: LocalStore) -> None:
    cid = Cid.of(b"none")
    for read in (store.get, store.size):
        with pytest.raises(BlockMissing) as caught:
            read(cid)
        assert caught.value.figures == {"cid": str(cid)}
    assert not store.has(cid)


@pytest.mark.parametrize("damage", [b"", b"mop", b"moo!", b"\0\0\0", bytes(MAX_BLOCK_BYTES + 10)])
def test_get__file_damaged_on_disk__is_missing_and_can_be_put_again(store: LocalStore, damage: bytes) -> None:
    cid = add_bytes(store, b"moo")
    _file(store, cid).write_bytes(damage)

    with pytest.raises(BlockMissing, match="damaged"):
        store.get(cid)
    assert not store.has(cid)

    add_bytes(store, b"moo")
    assert store.get(cid) == b"moo"


def test_put__over_a_damaged_file__heals_it(store: LocalStore) -> None:
    cid = add_bytes(store, b"moo")
    _file(store, cid).write_bytes(b"\0\0\0")
    add_bytes(store, b"moo")
    assert store.get(cid) == b"moo"


def test_open__existing_folder__finds_blocks_and_pins(store: LocalStore) -> None:
    root = put_tree(store, TREE)
    store.pin(root, "deal 1", NOW)
    again = LocalStore(_root(store))
    assert read_tree(again, root, Limits()) == TREE
    assert list(again.pins()) == [Pin("deal 1", root, NOW)]


# -- full disks


def test_put__reserve_reached__is_refused_with_the_figures(tmp_path: Path, block_files: Files) -> None:
    """flt:F27"""
    status = os.statvfs(tmp_path)
    store = LocalStore(tmp_path / "s", reserve_bytes=2 * status.f_blocks * status.f_frsize)

    assert store.free_bytes() == 0
    with pytest.raises(StoreFull) as caught:
        add_bytes(store, b"moo")
    assert caught.value.figures["size"] == 3
    assert block_files(tmp_path / "s") == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_put__disk_full_in_the_middle__leaves_no_half_file(
    store: LocalStore, block_files: Files, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """flt:F27"""
    root = put_tree(store, TREE)
    before = block_files(_root(store))
    real_write, calls = os.write, []

    def filling(descriptor: int, data: bytes) -> int:
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(code, os.strerror(code))
        return real_write(descriptor, bytes(data[:10]))

    monkeypatch.setattr(store_module.os, "write", filling)
    with pytest.raises(StoreFull):
        add_bytes(store, b"something new")
    calls.clear()
    with pytest.raises(StoreFull):
        store.pin(root, "deal")
    monkeypatch.undo()

    assert sorted(block_files(_root(store))) == sorted(before)
    assert list(store.pins()) == []
    assert read_tree(store, root, Limits()) == TREE


def _fill(folder: Path) -> int:
    """Put random blocks until the store is full; exit status 0 if that is how it ended."""
    code = """
import random, resource, signal, sys
from lilypad_agents.content.errors import StoreFull
from lilypad_agents.content.importer import add_bytes
from lilypad_agents.content.store import LocalStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
store, draw = LocalStore(sys.argv[1]), random.Random(1)
try:
    for length in (1000, 300_000) * 20:
        add_bytes(store, draw.randbytes(length))
except StoreFull:
    sys.exit(0)
sys.exit(1)
"""
    limit = ["200000"] if folder.name == "limited" else []
    return subprocess.run([sys.executable, "-c", code, str(folder), *limit], timeout=60).returncode


def _check_after_full(folder: Path, block_files: Files) -> None:
    store = LocalStore(folder)
    files = block_files(folder)
    assert files and not list((folder / "tmp").iterdir())
    for path in files:
        assert store.get(Cid.parse(path.name))


def test_put__file_size_limit_of_the_system__refuses_and_keeps_what_is_whole(
    tmp_path: Path, block_files: Files
) -> None:
    """flt:F27: a file-size limit."""
    assert _fill(tmp_path / "limited") == 0
    _check_after_full(tmp_path / "limited", block_files)


def test_put__four_mib_disk__refuses_and_keeps_what_is_whole(tmp_path: Path, block_files: Files) -> None:
    """flt:F27: a 4 MB file system."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a file system is refused here; the file-size limit covers the same path")
    try:
        assert _fill(disk / "store") == 0
        _check_after_full(disk / "store", block_files)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_put__killed_at_any_moment__leaves_only_whole_blocks(tmp_path: Path, block_files: Files) -> None:
    """Ten processes are killed (-9) while they write; what is visible is whole, what is not is collected."""
    for turn in range(10):
        process = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(tmp_path, turn))
        process.start()
        time.sleep(0.03 + 0.01 * turn)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
    store = LocalStore(tmp_path)
    for path in block_files(tmp_path / "."):
        if path.parent.name != "tmp":
            assert Cid.of(path.read_bytes()) == Cid.parse(path.name)
    store.collect(NOW)
    assert not list((tmp_path / "tmp").iterdir())
    assert any((tmp_path / "blocks").iterdir())


def _write_for_ever(folder: Path, seed: int) -> None:
    store, draw = LocalStore(folder), random.Random(seed)
    while True:
        add_bytes(store, draw.randbytes(200_000))


# -- pins


@pytest.mark.parametrize("durable", [False, True])
def test_pin__until_expiry__keeps_the_whole_tree_and_no_longer(tmp_path: Path, durable: bool) -> None:
    """beh:I14: content lives exactly as long as its pin; then it is deleted."""
    store = LocalStore(tmp_path, durable=durable)
    root, other = put_tree(store, TREE), add_bytes(store, b"other")
    store.pin(root, "deal 7", expires_at=NOW)
    _age(store)

    assert store.collect(NOW - 1).pins == 0
    assert read_tree(store, root, Limits()) == TREE
    assert not store.has(other)

    collected = store.collect(NOW)
    assert collected.pins == 1 and collected.blocks == 7 and collected.bytes > MAX_BLOCK_BYTES
    assert not store.has(root) and list(store.pins()) == []


def test_pin__several_names_and_shared_blocks__the_last_one_decides(store: LocalStore) -> None:
    first, second = put_tree(store, {"a": b"1", "b": b"2"}), put_tree(store, {"b": b"2", "c": b"3"})
    store.pin(first, "one")
    store.pin(first, "two")
    store.pin(second, "two")
    _age(store)

    store.unpin("two", first)
    store.collect(NOW)
    assert store.has(first) and store.has(second)

    store.unpin("one")
    store.collect(NOW)
    assert not store.has(first) and not store.has(Cid.of(b"1"))
    assert read_tree(store, second, Limits()) == {"b": b"2", "c": b"3"}

    store.unpin("two")
    store.unpin("two")
    store.unpin("never there", first)
    store.collect(NOW)
    assert not store.has(second)
    assert not list((_root(store) / "pins").iterdir())


def test_pin__again__replaces_the_expiry(store: LocalStore) -> None:
    """beh:I14: a dispute prolongs."""
    root = put_tree(store, TREE)
    store.pin(root, "deal", NOW)
    store.pin(root, "deal", NOW + 100)
    assert list(store.pins("deal")) == [Pin("deal", root, NOW + 100)]
    store.pin(root, "deal")
    assert list(store.pins("deal")) == [Pin("deal", root, None)]
    assert list(store.pins("other")) == []


@pytest.mark.parametrize("earlier", [None, NOW])
def test_pin__incomplete_content__is_refused_and_the_earlier_pin_stays(store: LocalStore, earlier: int | None) -> None:
    root = put_tree(store, TREE)
    if earlier is not None:
        store.pin(root, "deal", earlier)
    _file(store, Cid.of(b"1")).unlink()

    with pytest.raises(BlockMissing):
        store.pin(root, "deal", NOW + 5)
    assert [pin.expires_at for pin in store.pins()] == ([] if earlier is None else [NOW])


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\x1b[2J", "\ud800", 7])
def test_pin__unusable_name__is_refused(store: LocalStore, name: str) -> None:
    with pytest.raises(InvalidPin):
        store.pin(put_tree(store, TREE), name)


@pytest.mark.parametrize("expiry", [-1, 1.5, "1", True])
def test_pin__unusable_expiry__is_refused(store: LocalStore, expiry: int) -> None:
    with pytest.raises(InvalidPin):
        store.pin(put_tree(store, TREE), "deal", expiry)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", ".", "\u00e9" * 200, "0x" + "f" * 64 + ":result"])
def test_pin__odd_name__stays_inside_the_store(store: LocalStore, name: str) -> None:
    """beh:I5: names on disk are ours."""
    root = put_tree(store, TREE)
    store.pin(root, name)
    assert list(store.pins()) == [Pin(name, root, None)]
    assert sorted(path.name for path in _root(store).parent.iterdir()) == ["store"]


@pytest.mark.parametrize("record", [b"", b"{}", b"[]", b"\xff", b'{"name": 1, "root": "x", "expires_at": null}'])
def test_collect__unreadable_pin__keeps_the_content(store: LocalStore, record: bytes) -> None:
    root = put_tree(store, TREE)
    store.pin(root, "deal", NOW)
    next((_root(store) / "pins").rglob("b*")).write_bytes(record)
    _age(store)

    store.collect(NOW + 10)
    assert read_tree(store, root, Limits()) == TREE
    assert [pin.root for pin in store.pins()] == [root]


def test_collect__folder_of_pins_was_taken_away__takes_nothing_for_unpinned(store: LocalStore) -> None:
    """An unmounted disk, or a hand that moved it: what it held may come back, blocks do not."""
    root = put_tree(store, TREE)
    store.pin(root, "deal", None)
    _age(store)
    pins = _root(store) / "pins"
    away = pins.rename(pins.with_name("away"))

    with pytest.raises(FileNotFoundError):
        store.collect(NOW)
    away.rename(pins)
    assert read_tree(store, root, Limits()) == TREE


def test_pin_record__on_disk__is_plain_json(store: LocalStore) -> None:
    root = put_tree(store, TREE)
    store.pin(root, "deal", NOW)
    (path,) = (path for path in (_root(store) / "pins").rglob("b*") if path.is_file())
    assert json.loads(path.read_bytes()) == {"name": "deal", "root": str(root), "expires_at": NOW}


# -- collection


def test_collect__fresh_blocks__stay_until_the_grace_is_over(store: LocalStore) -> None:
    cid = add_bytes(store, b"arriving")
    assert store.collect(NOW, grace_seconds=3600).blocks == 0
    _age(store, 3000)
    assert store.collect(NOW, grace_seconds=3600).blocks == 0
    _age(store, 3700)
    assert store.collect(NOW, grace_seconds=3600).blocks == 1
    assert not store.has(cid)


def test_collect__files_that_are_not_blocks__are_left_alone(store: LocalStore) -> None:
    add_bytes(store, b"moo")
    foreign = _root(store) / "blocks" / "README"
    odd = next((_root(store) / "blocks").iterdir()) / "notes.txt"
    foreign.touch()
    odd.touch()
    _age(store)
    assert store.collect(NOW).blocks == 1
    assert foreign.exists() and odd.exists()


def test_collect__pinned_tree_with_a_hole__keeps_what_is_reachable(store: LocalStore) -> None:
    root = put_tree(store, TREE)
    store.pin(root, "deal")
    _file(store, Cid.of(b"1")).write_bytes(b"bad")
    _age(store)
    store.collect(NOW)
    assert store.has(root) and store.has(Cid.of(b"moo\n"))


def test_collect__disk_error_while_marking__removes_nothing(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    root = put_tree(store, TREE)
    store.pin(root, "deal")
    _age(store)

    def broken(descriptor: int, length: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(store_module, "_read_up_to", broken)
    with pytest.raises(OSError, match="Input/output"):
        store.collect(NOW)
    monkeypatch.undo()
    assert read_tree(store, root, Limits()) == TREE


def test_collect__pin_set_after_the_marking__loses_no_block(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    root = put_tree(store, TREE)
    _age(store)
    mark = LocalStore._mark

    def mark_then_pin(self: LocalStore, live: CidSet) -> None:
        mark(self, live)
        LocalStore(_root(store), durable=False).pin(root, "late")

    monkeypatch.setattr(LocalStore, "_mark", mark_then_pin)
    assert store.collect(NOW, grace_seconds=0).blocks == 0
    assert read_tree(store, root, Limits()) == TREE


def test_collect__twenty_times_the_content__takes_no_more_memory(tmp_path: Path) -> None:
    """beh:L18: a solver's memory grew by 20 % an hour with what it kept of a day's jobs; here that would be 2.2 MB.

    The interpreter's own table of path names may grow once, by less than one.
    """
    peaks = []
    for number, count in enumerate((300, 6_000)):
        store = LocalStore(tmp_path / str(number), durable=False)
        for index in range(count):
            data = index.to_bytes(4, "big")
            store.put(Cid.raw(sha256(data)), data)
            store.pin(Cid.raw(sha256(data)), f"job {index}")
        _age(store)
        tracemalloc.start()
        assert store.collect(NOW).blocks == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000


def test_collect__pin_renewed_while_it_expires__stays(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    root = put_tree(store, TREE)
    store.pin(root, "deal", NOW)
    expired = Pin.expired

    def renewed_meanwhile(pin: Pin, now: int) -> bool:
        LocalStore(_root(store), durable=False).pin(root, "deal", NOW + 100)
        return expired(pin, now)

    monkeypatch.setattr(Pin, "expired", renewed_meanwhile)
    assert store.collect(NOW).pins == 0
    assert list(store.pins()) == [Pin("deal", root, NOW + 100)]


def test_delete__pinned_and_free_block__is_refused_and_done(store: LocalStore) -> None:
    root = put_tree(store, TREE)
    store.pin(root, "deal", NOW)
    leaf = Cid.of(b"moo\n")

    for cid in (root, leaf):
        with pytest.raises(BlockPinned):
            store.delete(cid)
    store.unpin("deal")
    store.delete(leaf)
    store.delete(leaf)
    assert not store.has(leaf)


def test_lock__worker_forked_while_it_is_held__does_not_keep_it(store: LocalStore) -> None:
    """Provider workers are forked at any moment; one that inherits the lock must not stop deletions."""
    with store._lock(fcntl.LOCK_SH):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(reader)
    try:
        descriptor = os.open(_root(store) / "lock", os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def _churn(folder: Path, seed: int, removed: Any) -> None:
    """Pins trees that share blocks with others' while everything idle is collected as fast as possible."""
    store, draw = LocalStore(folder, durable=False), random.Random(seed)
    for _ in range(60):
        tree = {f"{draw.randrange(9)}": b"%d" % draw.randrange(9) for _ in range(3)}
        root = put_tree(store, {"d": tree, "x": b"shared"})
        time.sleep(draw.random() / 20)
        try:
            store.pin(root, f"worker {seed}")
        except BlockMissing:
            continue
        with removed.get_lock():
            removed.value += store.collect(NOW, grace_seconds=0).blocks
        assert read_tree(store, root, Limits()) == {"d": tree, "x": b"shared"}
        store.unpin(f"worker {seed}")


@pytest.mark.timeout(120)
def test_several_processes__putting_pinning_and_collecting__no_pinned_block_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_CLOCK_GRAIN_SECONDS", 0.02)
    context = multiprocessing.get_context("fork")
    removed = context.Value("q", 0)
    workers = [context.Process(target=_churn, args=(tmp_path, seed, removed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(100)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert removed.value > 0, "nothing was collected, so nothing was tested"
