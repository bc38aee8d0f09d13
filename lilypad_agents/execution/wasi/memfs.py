"""The file tree of a run, held in memory: no host file is behind it.

Order of names is byte order; inode numbers come from a counter at creation, so they repeat from run to run. Each
preopened directory is an area of its own with its own quota; nothing can be moved from one to another.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lilypad_agents.execution.names import MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES, name_problem
from lilypad_agents.execution.wasi.abi import (
    EEXIST,
    EILSEQ,
    EINVAL,
    EISDIR,
    ENAMETOOLONG,
    ENOENT,
    ENOSPC,
    ENOTCAPABLE,
    ENOTDIR,
    ENOTEMPTY,
    EROFS,
    EXDEV,
    Errno,
)
from lilypad_agents.execution.wasi.ends import QuotaExceeded

# A UnixFS directory must fit one block of 256 KiB and 1000 entries (notes/execution.md section 6); a link costs its
# name plus at most 60 bytes of hash, size and framing.
DIRECTORY_BLOCK_BYTES = 256 * 1024
DIRECTORY_ENTRIES = 1000
LINK_OVERHEAD_BYTES = 64


@dataclass(slots=True)
class Area:
    """Quota of one preopened directory. `strict` areas end the run when passed, others answer ENOSPC."""

    name: str
    max_bytes: int
    max_files: int
    max_directories: int
    read_only: bool = False
    strict: bool = False
    bytes: int = 0
    files: int = 0
    directories: int = 0

    def _refuse(self, what: str) -> None:
        if self.strict:
            raise QuotaExceeded(what)
        raise Errno(ENOSPC)

    def add_bytes(self, count: int) -> None:
        if self.bytes + count > self.max_bytes:
            self._refuse("outputBytes")
        self.bytes += count

    def add_file(self) -> None:
        if self.files + 1 > self.max_files:
            self._refuse("outputFiles")
        self.files += 1

    def add_directory(self) -> None:
        if self.directories + 1 > self.max_directories:
            self._refuse("outputFiles")
        self.directories += 1

    def check_directory(self, node: Node, name: bytes) -> None:
        """Whether a result could still hold directory `node` with one more name; other areas have no such bound."""
        if not self.strict:
            return
        grown = node.name_bytes + len(name) + LINK_OVERHEAD_BYTES
        if grown > DIRECTORY_BLOCK_BYTES or len(node.names) >= DIRECTORY_ENTRIES:
            self._refuse("outputNames")


@dataclass(slots=True, eq=False)
class Node:
    """A file or directory. `links` is 0 after removal, `opens` counts descriptors; data lives until both are 0.

    `depth` and `path_bytes` are those of its path below the preopened directory, `name_bytes` what the names in a
    directory cost in its UnixFS block.
    """

    inode: int
    area: Area
    parent: Node | None
    depth: int
    path_bytes: int
    children: dict[bytes, Node] | None = None
    names: list[bytes] = field(default_factory=list)
    name_bytes: int = LINK_OVERHEAD_BYTES
    data: bytearray | bytes = b""
    links: int = 1
    opens: int = 0

    @property
    def is_directory(self) -> bool:
        return self.children is not None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads: `node` is None when nothing is there; `name` is None when the path ends in `.` or `..`."""

    parent: Node
    name: bytes | None
    node: Node | None
    wants_directory: bool


class MemoryTree:
    """All files of a run; methods raise Errno, or QuotaExceeded in a strict area."""

    def __init__(self) -> None:
        self._next_inode = 1

    def root(self, area: Area) -> Node:
        return self._node(area, None, b"", directory=True)

    def _node(self, area: Area, parent: Node | None, name: bytes, *, directory: bool) -> Node:
        depth = parent.depth + 1 if parent else 0
        node = Node(self._next_inode, area, parent, depth, parent.path_bytes + 1 + len(name) if parent else 0)
        self._next_inode += 1
        if directory:
            node.children = {}
        else:
            node.data = bytearray()
        return node

    def resolve(self, start: Node, path: bytes) -> Place:
        """Walks `path` from `start`. Absolute or above `start`: ENOTCAPABLE. Names that are not plain UTF-8: EILSEQ."""
        parts = _split(path)
        node, name, stack = start, None, [start]
        for index, part in enumerate(parts):
            if node.children is None:
                raise Errno(ENOTDIR)
            if part == b"":
                continue  # a doubled or trailing slash
            if part == b".":
                name = None
                continue
            if part == b"..":
                stack.pop()
                if not stack:
                    raise Errno(ENOTCAPABLE)
                node, name = stack[-1], None
                continue
            child = node.children.get(part)
            if child is None:
                if any(rest not in (b"", b".") for rest in parts[index + 1 :]):
                    raise Errno(ENOENT)
                return Place(node, part, None, wants_directory=index + 1 < len(parts))
            stack.append(child)
            parent, node, name = node, child, part
        ends_as_directory = parts[-1] in (b"", b".", b"..")
        if ends_as_directory and not node.is_directory:
            raise Errno(ENOTDIR)
        if name is None:
            return Place(node.parent or node, None, node, wants_directory=True)
        return Place(parent, name, node, wants_directory=ends_as_directory)

    def create(self, place: Place, *, directory: bool) -> Node:
        """Makes a node at an empty place."""
        parent = place.parent
        if place.node is not None or place.name is None:
            raise Errno(EEXIST)
        _writable(parent)
        if parent.links == 0:
            raise Errno(ENOENT)
        if parent.depth + 1 > MAX_DEPTH or parent.path_bytes + 1 + len(place.name) > MAX_PATH_BYTES:
            raise Errno(ENAMETOOLONG)
        area = parent.area
        area.check_directory(parent, place.name)
        if directory:
            area.add_directory()
        else:
            area.add_file()
        node = self._node(area, parent, place.name, directory=directory)
        _attach(parent, place.name, node)
        return node

    def remove(self, place: Place, *, directory: bool) -> None:
        """Unlinks a file or an empty directory."""
        node = place.node
        if node is None:
            raise Errno(ENOENT)
        _writable(node)
        if place.name is None:
            raise Errno(EINVAL)
        if directory and not node.is_directory:
            raise Errno(ENOTDIR)
        if not directory and node.is_directory:
            raise Errno(EISDIR)
        if not directory and place.wants_directory:
            raise Errno(ENOTDIR)
        if node.children:
            raise Errno(ENOTEMPTY)
        _detach(place.parent, place.name)
        self._drop(node)

    def rename(self, source: Place, target: Place) -> None:
        """POSIX rename inside one area; onto itself it does nothing, across areas it is EXDEV."""
        node = source.node
        if node is None:
            raise Errno(ENOENT)
        if source.name is None or target.name is None:
            raise Errno(EINVAL)
        if node.area is not target.parent.area:
            raise Errno(EXDEV)
        _writable(node)
        if target.parent.links == 0:
            raise Errno(ENOENT)
        if target.node is node:
            return
        _check_rename(node, source, target)
        if target.node is not None:
            _detach(target.parent, target.name)
            self._drop(target.node)
        _detach(source.parent, source.name)
        node.parent = target.parent
        grown = target.parent.path_bytes + 1 + len(target.name) - node.path_bytes
        _shift(node, target.parent.depth + 1 - node.depth, grown)
        _attach(target.parent, target.name, node)

    def opened(self, node: Node) -> None:
        node.opens += 1

    def closed(self, node: Node) -> None:
        node.opens -= 1
        self._release(node)

    def _drop(self, node: Node) -> None:
        node.links = 0
        if node.is_directory:
            node.area.directories -= 1
        else:
            node.area.files -= 1
        self._release(node)

    @staticmethod
    def _release(node: Node) -> None:
        if node.links == 0 and node.opens == 0 and not node.is_directory:
            node.area.bytes -= len(node.data)
            node.data = bytearray()

    @staticmethod
    def resize(node: Node, size: int) -> None:
        """Grows with zeros or cuts; the quota is asked before anything is allocated."""
        _writable(node)
        growth = size - len(node.data)
        if growth > 0:
            node.area.add_bytes(growth)
            node.data.extend(bytes(growth))
        elif growth < 0:
            del node.data[size:]
            node.area.bytes += growth

    @staticmethod
    def import_files(root: Node, files: Mapping[str, bytes], tree: MemoryTree) -> None:
        """Fills a read-only area before the run; the bytes are shared, not copied. Order of creation: byte order."""
        for path in sorted(files, key=lambda p: p.encode("utf-8")):
            node = root
            *folders, leaf = path.encode("utf-8").split(b"/")
            for folder in folders:
                child = node.children.get(folder)
                if child is None:
                    child = tree._node(root.area, node, folder, directory=True)
                    _attach(node, folder, child)
                node = child
            child = tree._node(root.area, node, leaf, directory=False)
            child.data = files[path]
            _attach(node, leaf, child)


def walk_files(root: Node, prefix: bytes = b"") -> Iterator[tuple[str, bytes]]:
    """(path, content) of every file below `root`, in byte order of names at each level; empty folders vanish."""
    for name in root.names:
        child = root.children[name]
        if child.is_directory:
            yield from walk_files(child, prefix + name + b"/")
        else:
            yield (prefix + name).decode("utf-8"), bytes(child.data)


def _split(path: bytes) -> list[bytes]:
    if not path:
        raise Errno(ENOENT)
    if path.startswith(b"/"):
        raise Errno(ENOTCAPABLE)
    if len(path) > MAX_PATH_BYTES:
        raise Errno(ENAMETOOLONG)
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        raise Errno(EILSEQ) from None
    for part in text.split("/"):
        if part in ("", ".", ".."):
            continue
        if len(part.encode()) > MAX_NAME_BYTES:
            raise Errno(ENAMETOOLONG)
        if name_problem(part) is not None:
            raise Errno(EILSEQ)
    return path.split(b"/")


def _writable(node: Node) -> None:
    if node.area.read_only:
        raise Errno(EROFS)


def _attach(parent: Node, name: bytes, node: Node) -> None:
    parent.children[name] = node
    insort(parent.names, name)
    parent.name_bytes += len(name) + LINK_OVERHEAD_BYTES


def _detach(parent: Node, name: bytes) -> None:
    del parent.children[name]
    del parent.names[bisect_left(parent.names, name)]
    parent.name_bytes -= len(name) + LINK_OVERHEAD_BYTES


def _check_rename(node: Node, source: Place, target: Place) -> None:
    above: Node | None = target.parent
    while above is not None:
        if above is node:
            raise Errno(EINVAL)  # a directory into itself
        above = above.parent
    existing = target.node
    if node.is_directory:
        if existing is not None and not existing.is_directory:
            raise Errno(ENOTDIR)
        if existing is not None and existing.children:
            raise Errno(ENOTEMPTY)
    else:
        if existing is not None and existing.is_directory:
            raise Errno(EISDIR)
        if target.wants_directory or source.wants_directory:
            raise Errno(ENOTDIR)
    height, longest = _extent(node)
    if target.parent.depth + height > MAX_DEPTH:
        raise Errno(ENAMETOOLONG)
    if target.parent.path_bytes + 1 + len(target.name) + longest > MAX_PATH_BYTES:
        raise Errno(ENAMETOOLONG)
    if existing is None and source.parent is not target.parent:
        node.area.check_directory(target.parent, target.name)


def _extent(node: Node) -> tuple[int, int]:
    """(levels, longest path in bytes below the node) of a tree; levels count the node itself."""
    below = [(*_extent(child), len(name)) for name, child in (node.children or {}).items()]
    height = max((levels for levels, _, _ in below), default=0)
    return 1 + height, max((1 + length + longest for _, longest, length in below), default=0)


def _shift(node: Node, levels: int, path_bytes: int) -> None:
    node.depth += levels
    node.path_bytes += path_bytes
    for child in (node.children or {}).values():
        _shift(child, levels, path_bytes)
