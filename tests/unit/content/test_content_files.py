"""Folders of this machine to trees and back: nothing but plain files goes in, nothing half comes out."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lilypad_agents.content import files
from lilypad_agents.content.errors import (
    BlockMissing,
    LimitExceeded,
    StoreFull,
    TargetExists,
    UnexpectedKind,
    UnsafeFile,
    UnsafeName,
)
from lilypad_agents.content.files import add_directory, export_to_directory
from lilypad_agents.content.importer import add_bytes, put_tree, tree_cid
from lilypad_agents.content.limits import CHUNK_BYTES, Limits
from lilypad_agents.content.reader import read_tree
from lilypad_agents.content.store import LocalStore

OUTPUTS = {"a": {"b": b"1"}, "big": bytes(CHUNK_BYTES + 1)}
TREE = {"exitCode": b"0", "stdout": b"moo\n", "stderr": b"", "outputs": OUTPUTS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "result"
    path.mkdir()
    (path / "stdout").write_bytes(b"moo\n")
    return path


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# -- from the file system


def test_add_directory__exported_tree__has_the_same_cid(store: LocalStore, tmp_path: Path) -> None:
    root = put_tree(store, TREE)
    export_to_directory(store, root, tmp_path / "out")
    assert add_directory(store, tmp_path / "out") == root


def test_add_directory__modes_times_and_empty_folders__do_not_count(store: LocalStore, folder: Path) -> None:
    (folder / "empty" / "deeper").mkdir(parents=True)
    (folder / "stdout").chmod(0o700)
    os.utime(folder / "stdout", (1, 1))
    assert add_directory(store, folder) == tree_cid({"stdout": b"moo\n"})


def test_add_directory__only_empty_folders__is_the_empty_folder(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "void" / "a" / "b").mkdir(parents=True)
    root = add_directory(store, tmp_path / "void")
    assert root == tree_cid({}) and store.has(root)


def _symlink_to_file(path: Path) -> None:
    (path / "odd").symlink_to("/etc/passwd")


def _symlink_to_folder(path: Path) -> None:
    (path / "odd").symlink_to("..")


def _dangling_symlink(path: Path) -> None:
    (path / "odd").symlink_to("nowhere")


def _fifo(path: Path) -> None:
    os.mkfifo(path / "odd")


def _socket(path: Path) -> None:
    here = os.open(path, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/odd")
    os.close(here)


def _hard_link(path: Path) -> None:
    outside = path.parent / "secret"
    outside.write_bytes(b"key")
    os.link(outside, path / "odd")


def _hard_link_inside(path: Path) -> None:
    os.link(path / "stdout", path / "odd")


def _setuid(path: Path) -> None:
    (path / "odd").write_bytes(b"")
    (path / "odd").chmod(stat.S_ISUID | 0o755)


def _setgid(path: Path) -> None:
    (path / "odd").write_bytes(b"")
    (path / "odd").chmod(stat.S_ISGID | 0o755)


HOSTILE = [
    _symlink_to_file, _symlink_to_folder, _dangling_symlink, _fifo, _socket, _hard_link, _hard_link_inside, _setuid,
    _setgid,
]  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", HOSTILE, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("inside", [False, True], ids=["at the top", "in a folder"])
def test_add_directory__not_a_plain_file__is_refused(
    store: LocalStore, folder: Path, plant: Callable[[Path], None], inside: bool
) -> None:
    """flt:S8, flt:F31, beh:K7"""
    place = folder / "outputs" if inside else folder
    place.mkdir(exist_ok=True)
    (place / "stdout").write_bytes(b"")
    plant(place)
    before = _open_descriptors()

    with pytest.raises(UnsafeFile):
        add_directory(store, folder)
    assert _open_descriptors() == before


def test_add_directory__device__is_refused(store: LocalStore, folder: Path) -> None:
    """flt:S8"""
    try:
        os.mknod(folder / "odd", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("making a device node needs a capability that this machine does not give")
    with pytest.raises(UnsafeFile, match="device"):
        add_directory(store, folder)


@pytest.mark.parametrize(
    "name", [b"\xff", b"a\nb", b"\x1b[31m", b"e\xcc\x81", b"\xc2\x85"], ids=["bytes", "newline", "escape", "nfd", "c1"]
)
def test_add_directory__unsafe_name__is_refused(store: LocalStore, folder: Path, name: bytes) -> None:
    """flt:S8"""
    try:
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(b"")
    except OSError:
        pytest.skip("this file system refuses the name itself")
    with pytest.raises(UnsafeName):
        add_directory(store, folder)


def test_add_directory__root_that_is_a_link_or_no_folder__is_refused(store: LocalStore, folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    for path in (folder.parent / "link", f"{folder.parent}/link/", folder / "stdout", folder / "none"):
        with pytest.raises(UnsafeFile):
            add_directory(store, path)


def test_add_directory__at_and_over_each_limit__is_taken_and_refused(store: LocalStore, folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "c").write_bytes(b"1234")
    bounds = {"max_bytes": 8, "max_entries": 4, "max_depth": 3}

    assert add_directory(store, folder, Limits(**bounds)) == tree_cid({"stdout": b"moo\n", "a": {"b": {"c": b"1234"}}})
    for tighter in ({"max_bytes": 7}, {"max_entries": 3}, {"max_depth": 2}):
        with pytest.raises(LimitExceeded):
            add_directory(store, folder, Limits(**(bounds | tighter)))


def test_add_directory__sparse_file_of_a_terabyte__is_refused_unread(store: LocalStore, folder: Path) -> None:
    """flt:F31"""
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(LimitExceeded, match="bytes"):
        add_directory(store, folder)


def test_add_directory__folder_of_many_names__stops_at_1001(store: LocalStore, folder: Path) -> None:
    for index in range(1001):
        (folder / f"{index}").touch()
    with pytest.raises(LimitExceeded, match="1001 entries"):
        add_directory(store, folder)


def test_add_directory__deep_folders__are_refused_and_closed(store: LocalStore, folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(200):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    before = _open_descriptors()
    with pytest.raises(LimitExceeded, match="levels"):
        add_directory(store, folder)
    assert _open_descriptors() == before


class _Meddler(LocalStore):
    """A store during whose first write somebody changes the folder that is being read."""

    def __init__(self, root: Path, meddle: Callable[[], None]) -> None:
        super().__init__(root, durable=False)
        self._meddle: Callable[[], None] | None = meddle

    def put(self, cid, data) -> None:
        meddle, self._meddle = self._meddle, None
        if meddle is not None:
            meddle()
        super().put(cid, data)


@pytest.mark.parametrize("change", ["grow", "shrink", "rewrite"])
def test_add_directory__file_that_changes_while_read__is_refused(tmp_path: Path, folder: Path, change: str) -> None:
    path = folder / "stdout"
    path.write_bytes(bytes(3 * CHUNK_BYTES))
    os.utime(path, (1, 1))

    def meddle() -> None:
        if change == "rewrite":
            with path.open("r+b") as file:
                file.write(b"x")
        else:
            os.truncate(path, CHUNK_BYTES if change == "shrink" else 4 * CHUNK_BYTES)

    with pytest.raises(UnsafeFile, match="changed"):
        add_directory(_Meddler(tmp_path / "store", meddle), folder)


def test_add_directory__file_swapped_for_a_link_between_look_and_open__is_refused(
    store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """flt:S8: the check and the open cannot be split."""
    secret = folder.parent / "secret"
    secret.write_bytes(b"key!")
    real_stat = os.stat

    def stat_then_swap(name, **options):
        status = real_stat(name, **options)
        (folder / "stdout").unlink()
        (folder / "stdout").symlink_to(secret)
        return status

    monkeypatch.setattr(files.os, "stat", stat_then_swap)
    with pytest.raises(UnsafeFile):
        add_directory(store, folder)


def test_add_directory__file_swapped_for_another_between_look_and_open__is_refused(
    store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """flt:S8"""
    real_stat = os.stat

    def stat_then_swap(name, **options):
        status = real_stat(name, **options)
        (folder.parent / "new").write_bytes(b"more")
        (folder.parent / "new").rename(folder / "stdout")
        return status

    monkeypatch.setattr(files.os, "stat", stat_then_swap)
    with pytest.raises(UnsafeFile, match="replaced"):
        add_directory(store, folder)


def test_add_directory__file_swapped_for_a_fifo_between_look_and_open__does_not_hang(
    store: LocalStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """flt:S8"""
    real_stat = os.stat

    def stat_then_swap(name, **options):
        status = real_stat(name, **options)
        (folder / "stdout").unlink()
        os.mkfifo(folder / "stdout")
        return status

    monkeypatch.setattr(files.os, "stat", stat_then_swap)
    outcome: list[BaseException] = []

    def attempt() -> None:
        try:
            add_directory(store, folder)
        except UnsafeFile as error:
            outcome.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(10)
    assert len(outcome) == 1


# -- to the file system


def _contents(path: Path) -> dict:
    return {
        child.name: _contents(child) if child.is_dir() else child.read_bytes()
        for child in path.iterdir()
        if not child.is_symlink()
    }


def test_export__tree__writes_the_files_and_nothing_else(store: LocalStore, tmp_path: Path) -> None:
    export_to_directory(store, put_tree(store, TREE), tmp_path / "out")

    assert _contents(tmp_path / "out") == TREE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]
    assert (tmp_path / "out" / "stdout").stat().st_mode & 0o7111 == 0


def test_export__empty_folder__writes_an_empty_folder(store: LocalStore, tmp_path: Path) -> None:
    export_to_directory(store, put_tree(store, {}), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder", "empty folder", "link"])
def test_export__target_exists__is_refused_and_untouched(store: LocalStore, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "out"
    if kind == "file":
        target.write_bytes(b"mine")
    elif kind == "link":
        target.symlink_to("/nowhere")
    else:
        target.mkdir()
        if kind == "folder":
            (target / "mine").touch()
    before = os.lstat(target)

    with pytest.raises(TargetExists):
        export_to_directory(store, put_tree(store, TREE), target)

    assert os.lstat(target) == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("limits", "missing", "error"),
    [(Limits(max_bytes=CHUNK_BYTES), None, LimitExceeded), (Limits(), b"moo\n", BlockMissing)],
    ids=["too large", "incomplete"],
)
def test_export__refused_in_the_middle__leaves_nothing(
    store: LocalStore, tmp_path: Path, limits: Limits, missing: bytes | None, error: type[Exception]
) -> None:
    """flt:F31"""
    root = put_tree(store, TREE)
    if missing is not None:
        store.delete(add_bytes(store, missing))
    before = _open_descriptors()

    with pytest.raises(error):
        export_to_directory(store, root, tmp_path / "out", limits)

    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert _open_descriptors() == before


def test_export__hostile_tree__leaves_nothing_outside(hostile, tmp_path: Path) -> None:
    """flt:S9, beh:K7"""
    leaf = hostile.raw(b"x")
    inner = hostile.folder((b"ok", leaf), (b"z/../../../escaped", leaf))
    root = hostile.folder((b"d", inner))

    with pytest.raises(UnsafeName):
        export_to_directory(hostile, root.cid, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_export__single_file__is_refused(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(UnexpectedKind):
        export_to_directory(store, add_bytes(store, b"x"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_export__disk_full__is_named_and_leaves_nothing(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """flt:F27"""
    root = put_tree(store, TREE)

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "write", full)
    with pytest.raises(StoreFull):
        export_to_directory(store, root, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_export__two_at_once_to_one_target__one_wins_whole(store: LocalStore, tmp_path: Path) -> None:
    root, failures = put_tree(store, TREE), []

    def attempt() -> None:
        try:
            export_to_directory(store, root, tmp_path / "out")
        except TargetExists as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(failures) == 3
    assert _contents(tmp_path / "out") == TREE == read_tree(store, root, Limits())
    assert not list(tmp_path.glob(".*"))
