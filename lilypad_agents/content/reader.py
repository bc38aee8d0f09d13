"""From blocks to files: one verified walk over a tree, on which every reader builds.

The walk trusts nothing: shape, sizes, names and order are checked before anything below them is read, and the limits
are counted along every path. Cycles cannot exist (a block would have to contain its own hash); shared subtrees that
multiply run into the limits. Everything raises BlockMissing, InvalidBlock, UnsafeName, LimitExceeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lilypad_agents.content.blocks import BlockSource, Get
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.dagpb import Node, decode_node, node_tree_size
from lilypad_agents.content.errors import InvalidBlock, UnexpectedKind
from lilypad_agents.content.limits import CHUNK_BYTES, MAX_FOLDER_ENTRIES, Limits
from lilypad_agents.content.unixfs import (
    FilePart,
    check_name,
    file_height,
    file_parts,
    folder_entries,
    is_folder,
    read_file_size,
)

Path = tuple[str, ...]
LeafSize = Callable[[Cid], int]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder begins; what follows with a longer path lies in it. The root has the empty path."""

    path: Path
    cid: Cid


@dataclass(frozen=True, slots=True)
class File:
    """A file of `size` bytes begins; its chunks follow."""

    path: Path
    cid: Cid
    size: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next bytes of the file that began last."""

    data: bytes


Event = Folder | File | Chunk


@dataclass(frozen=True, slots=True)
class TreeSummary:
    """What a checked tree holds: bytes of contents and number of files and folders, the root not counted."""

    bytes: int
    entries: int


def walk(source: BlockSource, root: Cid, limits: Limits) -> Iterator[Event]:
    """Read a tree depth first in the order of names; memory stays at one chunk and the open nodes."""
    yield from _Walk(source.get, None, limits).run(root)


def check_tree(source: BlockSource, root: Cid, limits: Limits) -> TreeSummary:
    """Check shape, sizes, names and presence of a whole tree without reading its leaves."""
    state = _Walk(source.get, source.size, limits)
    for _ in state.run(root):
        pass
    return TreeSummary(state.bytes, state.entries)


def iter_file(source: BlockSource, cid: Cid, max_bytes: int) -> Iterator[bytes]:
    """The bytes of one file in chunks of at most 1 MiB. Raises UnexpectedKind for a folder."""
    for event in walk(source, cid, Limits(max_bytes=max_bytes, max_entries=MAX_FOLDER_ENTRIES, max_depth=1)):
        if isinstance(event, Folder):
            raise UnexpectedKind("the CID names a folder, not a file", cid=str(cid))
        if isinstance(event, Chunk):
            yield event.data


def read_file(source: BlockSource, cid: Cid, max_bytes: int) -> bytes:
    """A whole file of at most `max_bytes`. Raises UnexpectedKind for a folder."""
    return b"".join(iter_file(source, cid, max_bytes))


def read_tree(source: BlockSource, root: Cid, limits: Limits) -> "Contents":
    """A whole folder as nested dictionaries of names to bytes. Raises UnexpectedKind for a file."""
    tree: Contents = {}
    parts: list[bytes] = []
    open_file: File | None = None
    for event in walk(source, root, limits):
        if isinstance(event, Chunk):
            parts.append(event.data)
            continue
        if open_file is not None:
            _place(tree, open_file.path, b"".join(parts))
            parts, open_file = [], None
        if isinstance(event, File):
            if not event.path:
                raise UnexpectedKind("the CID names a file, not a folder", cid=str(root))
            open_file = event
        elif event.path:
            _place(tree, event.path, {})
    if open_file is not None:
        _place(tree, open_file.path, b"".join(parts))
    return tree


def find(source: BlockSource, root: Cid, path: Path) -> Cid | None:
    """The CID at `path` below a folder, or None; reads only the folders on the way."""
    cid = root
    for name in path:
        check_name(name)
        if cid.is_raw:
            return None
        node = decode_node(source.get(cid))
        if not is_folder(node):
            return None
        found = [link.cid for entry, link in folder_entries(node) if entry == name]
        if not found:
            return None
        cid = found[0]
    return cid


@dataclass(frozen=True, slots=True)
class _Entry:
    """A named thing whose kind is not known before its block is read; `tree_size` None for the root."""

    path: Path
    cid: Cid
    tree_size: int | None


class _Walk:
    """The walk and its counters. `leaf_size` given: leaves are only measured, and no chunks come out."""

    def __init__(self, get: Get, leaf_size: LeafSize | None, limits: Limits) -> None:
        self._get = get
        self._leaf_size = leaf_size
        self._limits = limits
        self._pending: list[_Entry | FilePart] = []
        self.bytes = 0
        self.entries = 0

    def run(self, root: Cid) -> Iterator[Event]:
        self._pending = [_Entry((), root, None)]
        while self._pending:
            item = self._pending.pop()
            if isinstance(item, FilePart):
                yield from self._part(item)
            elif item.cid.is_raw:
                yield from self._small_file(item)
            else:
                yield self._node(item)

    def _part(self, part: FilePart) -> Iterator[Chunk]:
        if part.height == 0:
            yield from self._leaf(part.cid, part.size)
            return
        node = self._read_node(part.cid, part.tree_size)
        self._pending.extend(reversed(file_parts(node, part.size, part.height)))

    def _small_file(self, entry: _Entry) -> Iterator[Event]:
        data = None if self._leaf_size else self._get(entry.cid)
        size = self._leaf_size(entry.cid) if data is None else len(data)
        if size > CHUNK_BYTES or entry.tree_size not in (None, size):
            raise InvalidBlock("a raw block does not have the size that was stated", cid=str(entry.cid), size=size)
        self._count_bytes(size)
        yield File(entry.path, entry.cid, size)
        if data:
            yield Chunk(data)

    def _node(self, entry: _Entry) -> Event:
        node = self._read_node(entry.cid, entry.tree_size)
        if is_folder(node):
            self._enter(entry.path, node)
            return Folder(entry.path, entry.cid)
        size = read_file_size(node)
        self._count_bytes(size)
        self._pending.extend(reversed(file_parts(node, size, file_height(size))))
        return File(entry.path, entry.cid, size)

    def _enter(self, path: Path, node: Node) -> None:
        entries = [_Entry((*path, name), link.cid, link.tree_size) for name, link in folder_entries(node)]
        self.entries += len(entries)
        self._limits.check_entries(self.entries, "the tree")
        if entries:
            self._limits.check_depth(len(path) + 1, "a path of the tree")
        self._pending.extend(reversed(entries))

    def _leaf(self, cid: Cid, size: int) -> Iterator[Chunk]:
        data = None if self._leaf_size else self._get(cid)
        found = self._leaf_size(cid) if data is None else len(data)
        if found != size:
            raise InvalidBlock("a leaf of a file does not have its stated size", cid=str(cid), found=found, stated=size)
        if data is not None:
            yield Chunk(data)

    def _read_node(self, cid: Cid, tree_size: int | None) -> Node:
        block = self._get(cid)
        node = decode_node(block)
        found = node_tree_size(block, node)
        if tree_size not in (None, found):
            raise InvalidBlock("a link states a wrong tree size", cid=str(cid), found=found, stated=tree_size)
        return node

    def _count_bytes(self, size: int) -> None:
        self.bytes += size
        self._limits.check_bytes(self.bytes, "the tree")


def _place(tree: "Contents", path: Path, content: "bytes | Contents") -> None:
    folder = tree
    for name in path[:-1]:
        folder = folder[name]  # type: ignore[assignment]
    folder[path[-1]] = content


Contents = dict[str, "bytes | Contents"]
