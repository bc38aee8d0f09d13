"""From bytes to blocks: files as streams, folders from what they hold. One chunk of a file is in memory at a time."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Union

from lilypad_agents.content.blocks import BlockSink, Store
from lilypad_agents.content.cid import Cid, Codec
from lilypad_agents.content.dagpb import Link, Node, decode_node, encode_node, node_tree_size
from lilypad_agents.content.limits import CHUNK_BYTES, MAX_FANOUT
from lilypad_agents.content.unixfs import FilePart, check_folder_block, check_name, file_node, folder_node


class Readable(Protocol):
    """A binary stream; a read may give fewer bytes than asked for, and gives none at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """A subtree that is in the store: `tree_size` is the Tsize that a link to it carries."""

    cid: Cid
    tree_size: int


class HashOnly:
    """A sink that keeps nothing: for learning a CID without storing its content."""

    def put(self, cid: Cid, data: bytes) -> None:
        """Forget the block."""


def add_bytes(store: BlockSink, data: bytes) -> Cid:
    """Store a file held in memory; its CID is raw up to 1 MiB, dag-pb above."""
    return import_file(store, io.BytesIO(data)).cid


def add_file(store: BlockSink, stream: Readable) -> Cid:
    """Store a file from a binary stream, one MiB at a time."""
    return import_file(store, stream).cid


def put_tree(store: Store, tree: "Tree") -> Cid:
    """Store a folder given as names to contents: bytes, nested mappings, or CIDs of what the store already holds.

    Folders that hold no file anywhere are left out, as in results (the root excepted). Raises UnsafeName,
    LimitExceeded, BlockMissing for an unknown CID.
    """
    return (_import_tree(store, store, tree) or import_folder(store, {})).cid


def tree_cid(tree: "Tree") -> Cid:
    """The CID that `put_tree` would give, without storing anything. The tree must not contain CIDs."""
    sink = HashOnly()
    return (_import_tree(sink, None, tree) or import_folder(sink, {})).cid


def import_file(store: BlockSink, stream: Readable) -> Stored:
    """Store a file and say what a link to it needs. Reads until the stream ends; the caller bounds it."""
    builder = _FileBuilder(store)
    while chunk := _read_chunk(stream):
        builder.add(chunk)
    return builder.finish()


def import_folder(store: BlockSink, entries: Mapping[str, Stored]) -> Stored:
    """Store a folder over subtrees that are stored already. Raises UnsafeName, LimitExceeded."""
    links = [Link(entry.cid, check_name(name), entry.tree_size) for name, entry in entries.items()]
    return _put_node(store, folder_node(links))


def stored_at(store: Store, cid: Cid) -> Stored:
    """What a link to a root that the store holds needs. Raises BlockMissing, InvalidBlock."""
    if cid.is_raw:
        return Stored(cid, store.size(cid))
    block = store.get(cid)
    return Stored(cid, node_tree_size(block, decode_node(block)))


class _FileBuilder:
    """Builds the balanced tree from the left: a full level of 1024 parts becomes one part of the next level."""

    def __init__(self, store: BlockSink) -> None:
        self._store = store
        self._levels: list[list[FilePart]] = [[]]

    def add(self, chunk: bytes) -> None:
        cid = Cid.of(chunk)
        self._store.put(cid, chunk)
        self._push(FilePart(cid, len(chunk), 0, len(chunk)))

    def finish(self) -> Stored:
        if self._levels == [[]]:
            self.add(b"")
        height = 0
        while height < len(self._levels) - 1 or len(self._levels[height]) > 1:
            if self._levels[height]:
                self._close(height)
            height += 1
        root = self._levels[height][0]
        return Stored(root.cid, root.tree_size)

    def _push(self, part: FilePart) -> None:
        if part.height == len(self._levels):
            self._levels.append([])
        level = self._levels[part.height]
        level.append(part)
        if len(level) == MAX_FANOUT:
            self._close(part.height)

    def _close(self, height: int) -> None:
        parts = self._levels[height]
        self._levels[height] = []
        stored = _put_node(self._store, file_node(parts))
        self._push(FilePart(stored.cid, sum(part.size for part in parts), height + 1, stored.tree_size))


def _put_node(store: BlockSink, node: Node) -> Stored:
    block = encode_node(node)
    check_folder_block(block)
    cid = Cid.of(block, Codec.DAG_PB)
    store.put(cid, block)
    return Stored(cid, node_tree_size(block, node))


def _read_chunk(stream: Readable) -> bytes:
    first = stream.read(CHUNK_BYTES)
    if len(first) in (0, CHUNK_BYTES):
        return first
    chunk = bytearray(first)
    while len(chunk) < CHUNK_BYTES and (more := stream.read(CHUNK_BYTES - len(chunk))):
        chunk += more
    return bytes(chunk)


def _import_tree(sink: BlockSink, held: Store | None, tree: "Tree") -> Stored | None:
    """The folder, or None when nothing in it is a file. Recursion is as deep as the caller's own mapping."""
    entries: dict[str, Stored] = {}
    for name, content in tree.items():
        check_name(name)
        stored = _import_entry(sink, held, content)
        if stored is not None:
            entries[name] = stored
    return import_folder(sink, entries) if entries else None


def _import_entry(sink: BlockSink, held: Store | None, content: "bytes | Cid | Tree") -> Stored | None:
    if isinstance(content, Cid):
        if held is None:
            raise TypeError("a tree that names CIDs needs the store that holds them")
        return stored_at(held, content)
    if isinstance(content, Mapping):
        return _import_tree(sink, held, content)
    return import_file(sink, io.BytesIO(content))


Tree = Mapping[str, Union[bytes, Cid, "Tree"]]
