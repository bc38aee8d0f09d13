"""Between a tree of blocks and the file system of this machine, for folders that a hostile job may have written.

Reading walks by descriptor: every name is opened relative to its open folder, never through a link, and checked again
after opening, so that nothing can be swapped in between. Modes, owners, times and empty folders are dropped.
Source: notes/execution.md section 7 and requirement S8.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lilypad_agents.content.blocks import BlockSink, BlockSource
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import NO_SPACE, StoreFull, TargetExists, UnexpectedKind, UnsafeFile
from lilypad_agents.content.importer import Stored, import_file, import_folder
from lilypad_agents.content.limits import MAX_FOLDER_ENTRIES, Limits
from lilypad_agents.content.reader import Chunk, Event, File, walk
from lilypad_agents.content.unixfs import check_name

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def add_directory(store: BlockSink, path: Path | str, limits: Limits = Limits()) -> Cid:
    """Store the folder at `path` as a tree and give its root.

    Refuses with UnsafeFile: symbolic links, pipes, sockets, devices, files with a second link, setuid and setgid
    files, other file systems mounted inside, files that change while they are read. Also raises UnsafeName and
    LimitExceeded. Folders above `path` itself are trusted; blocks stored before a refusal are left to collection.
    """
    try:
        root = os.open(Path(path), _OPEN_FOLDER)
    except OSError as error:
        raise UnsafeFile(f"not a folder that can be read: {error.strerror}", path=str(path)) from error
    try:
        collector = _Collector(store, limits, os.fstat(root).st_dev)
        return (collector.folder(root, ()) or import_folder(store, {})).cid
    finally:
        os.close(root)


def export_to_directory(source: BlockSource, root: Cid, target: Path | str, limits: Limits = Limits()) -> None:
    """Write a tree as the new folder `target`: all of it, or nothing.

    It grows beside the target under a hidden name and is renamed when complete. Modes are 0644 and 0755 less the
    umask. Raises TargetExists, UnexpectedKind when the root is a file, StoreFull, and what `walk` raises.
    """
    target = Path(target)
    _refuse_existing(target)
    partial = target.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        partial.mkdir(mode=0o755)
        with _open_folder(partial) as folder:
            writer = _TreeWriter(folder)
            try:
                for event in walk(source, root, limits):
                    writer.write(event)
            finally:
                writer.close()
        _refuse_existing(target)
        os.rename(partial, target)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StoreFull("no space left for the exported files", path=str(target)) from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Collector:
    """Reads one folder tree into a store, counting against the limits as it goes."""

    def __init__(self, store: BlockSink, limits: Limits, device: int) -> None:
        self._store = store
        self._limits = limits
        self._device = device
        self._entries = 0
        self._bytes = 0

    def folder(self, descriptor: int, path: tuple[str, ...]) -> Stored | None:
        """The folder's subtree, or None when it holds no file at any depth."""
        entries: dict[str, Stored] = {}
        for name in self._names(descriptor, path):
            stored = self._entry(descriptor, name, (*path, name))
            if stored is not None:
                entries[name] = stored
        return import_folder(self._store, entries) if entries else None

    def _names(self, descriptor: int, path: tuple[str, ...]) -> list[str]:
        """All names, in byte order, after the cheap checks; stops reading a folder that has too many."""
        names: list[str] = []
        folder_limit = Limits(max_entries=MAX_FOLDER_ENTRIES)
        with os.scandir(descriptor) as listing:
            for entry in listing:
                check_name(entry.name)
                names.append(entry.name)
                folder_limit.check_entries(len(names), f"the folder {_shown(path)}")
                self._entries += 1
                self._limits.check_entries(self._entries, "the folder tree")
        if names:
            self._limits.check_depth(len(path) + 1, "a path of the folder tree")
        return sorted(names, key=str.encode)

    def _entry(self, parent: int, name: str, path: tuple[str, ...]) -> Stored | None:
        expected = os.stat(name, dir_fd=parent, follow_symlinks=False)
        self._check_status(expected, path)
        is_folder = stat.S_ISDIR(expected.st_mode)
        try:
            descriptor = os.open(name, _OPEN_FOLDER if is_folder else _OPEN_FILE, dir_fd=parent)
        except OSError as error:
            raise UnsafeFile(f"a file cannot be opened: {error.strerror}", path=_shown(path)) from error
        try:
            opened = os.fstat(descriptor)
            if (opened.st_dev, opened.st_ino) != (expected.st_dev, expected.st_ino):
                raise UnsafeFile("a file was replaced while the folder was read", path=_shown(path))
            self._check_status(opened, path)
            return self.folder(descriptor, path) if is_folder else self._file(descriptor, opened, path)
        finally:
            os.close(descriptor)

    def _check_status(self, status: os.stat_result, path: tuple[str, ...]) -> None:
        problem = _problem(status)
        if problem is None and status.st_dev != self._device:
            problem = "another file system"
        if problem is not None:
            raise UnsafeFile(f"the folder contains {problem}", path=_shown(path))

    def _file(self, descriptor: int, before: os.stat_result, path: tuple[str, ...]) -> Stored:
        self._limits.check_bytes(self._bytes + before.st_size, "the folder tree")
        reader = _BoundedReader(descriptor, before.st_size)
        stored = import_file(self._store, reader)
        after = os.fstat(descriptor)
        if reader.left or os.read(descriptor, 1) or _fingerprint(before) != _fingerprint(after):
            raise UnsafeFile("a file changed while it was read", path=_shown(path))
        self._bytes += before.st_size
        return stored


class _BoundedReader:
    """Reads a descriptor up to the size that was measured when it was opened."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.left = size

    def read(self, size: int, /) -> bytes:
        data = os.read(self._descriptor, min(size, self.left)) if self.left else b""
        self.left -= len(data)
        return data


class _TreeWriter:
    """Writes the events of a walk below an open folder; holds one descriptor per level of the current path."""

    def __init__(self, root: int) -> None:
        self._folders = [root]
        self._file: int | None = None

    def write(self, event: Event) -> None:
        if isinstance(event, Chunk):
            _write_all(self._file, event.data)
            return
        if not event.path:
            if isinstance(event, File):
                raise UnexpectedKind("the CID names a file, not a folder", cid=str(event.cid))
            return
        self._leave(len(event.path))
        name, parent = event.path[-1], self._folders[-1]
        if isinstance(event, File):
            self._file = os.open(name, _CREATE_FILE, 0o644, dir_fd=parent)
        else:
            os.mkdir(name, 0o755, dir_fd=parent)
            self._folders.append(os.open(name, _OPEN_FOLDER, dir_fd=parent))

    def close(self) -> None:
        """Close every descriptor except the root's."""
        self._leave(1)

    def _leave(self, depth: int) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)
        while len(self._folders) > depth:
            os.close(self._folders.pop())


@contextmanager
def _open_folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, _OPEN_FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _problem(status: os.stat_result) -> str | None:
    if stat.S_ISDIR(status.st_mode):
        return None
    if stat.S_ISLNK(status.st_mode):
        return "a symbolic link"
    if not stat.S_ISREG(status.st_mode):
        return "a pipe, socket or device"
    if status.st_nlink != 1:
        return "a file with a second hard link"
    if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        return "a setuid or setgid file"
    return None


def _fingerprint(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _refuse_existing(target: Path) -> None:
    if os.path.lexists(target):
        raise TargetExists("the path exists already", path=str(target))


def _shown(path: tuple[str, ...]) -> str:
    return ascii("/".join(path) or ".")[:200]
