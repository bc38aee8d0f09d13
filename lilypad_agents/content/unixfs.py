"""Files and folders as blocks: the profile `unixfs-v1-2025` (IPIP-499), in its one possible layout.

Chunks of 1 MiB in raw leaves, balanced trees of 1024 links, folders with names in byte order. Readers accept exactly
what writers here produce, so one tree has one CID, and the size in a file's root fixes the shape of everything below.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from lilypad_agents.content.cid import Cid
from lilypad_agents.content.dagpb import Link, Node
from lilypad_agents.content.errors import InvalidBlock, LimitExceeded, UnsafeName
from lilypad_agents.content.limits import (
    CHUNK_BYTES,
    MAX_FANOUT,
    MAX_FOLDER_ENTRIES,
    MAX_NAME_BYTES,
    MAX_NODE_BYTES,
)
from lilypad_agents.content.varint import VarintError, decode_varint, encode_varint

_FOLDER_DATA = b"\x08\x01"
_FILE_TYPE = b"\x08\x02"
_FILE_SIZE = b"\x18"
_BLOCK_SIZE = b"\x20"


@dataclass(frozen=True, slots=True)
class FilePart:
    """A subtree of a file: `size` in bytes of content, `height` 0 for a raw leaf, `tree_size` as its parent says."""

    cid: Cid
    size: int
    height: int
    tree_size: int


def check_name(name: str) -> bytes:
    """The UTF-8 bytes of a file name. Raises UnsafeName for one that could escape, deceive or not travel."""
    problem = _name_problem(name)
    if problem is not None:
        raise UnsafeName(f"a file name {problem}", name=ascii(name)[:120])
    return name.encode()


def decode_name(raw: bytes) -> str:
    """The text of a stored name. Raises UnsafeName like `check_name`."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnsafeName("a file name is not UTF-8", name=ascii(raw)[:120]) from error
    check_name(name)
    return name


def file_height(size: int) -> int:
    """Levels of links above the leaves of a file of `size` bytes: 0 when it is a single raw block."""
    height, capacity = 0, CHUNK_BYTES
    while capacity < size:
        height += 1
        capacity *= MAX_FANOUT
    return height


def part_sizes(size: int, height: int) -> list[int]:
    """Bytes below each link of a node that holds `size` bytes at `height` >= 1: all full but the last."""
    capacity = CHUNK_BYTES * MAX_FANOUT ** (height - 1)
    full, rest = divmod(size, capacity)
    return [capacity] * full + ([rest] if rest else [])


def file_node(parts: Sequence[FilePart]) -> Node:
    """The inner node of a file over its parts, in order."""
    links = tuple(Link(part.cid, b"", part.tree_size) for part in parts)
    return Node(links, _file_data([part.size for part in parts]))


def is_folder(node: Node) -> bool:
    """Whether a node claims to be a folder. Raises InvalidBlock when it is neither folder nor file."""
    if node.data == _FOLDER_DATA:
        return True
    if node.data.startswith(_FILE_TYPE):
        return False
    raise InvalidBlock("a node is neither a plain folder nor a plain file", data=node.data[:16].hex())


def read_file_size(node: Node) -> int:
    """Bytes of the file whose root is `node`. The other fields are checked by `file_parts`. Raises InvalidBlock."""
    prefix = _FILE_TYPE + _FILE_SIZE
    if not node.data.startswith(prefix):
        raise InvalidBlock("a file node does not begin with type and size", data=node.data[:16].hex())
    try:
        read = decode_varint(node.data, len(prefix))
    except VarintError as error:
        raise InvalidBlock("the size of a file node is malformed", data=node.data[:16].hex()) from error
    if read is None:
        raise InvalidBlock("a file node ends inside its size", data=node.data.hex())
    return read[0]


def file_parts(node: Node, size: int, height: int) -> list[FilePart]:
    """The parts of the inner node that must hold `size` bytes at `height` >= 1. Raises InvalidBlock otherwise."""
    sizes = part_sizes(size, height) if height >= 1 else []
    if not 0 < len(sizes) <= MAX_FANOUT or node.data != _file_data(sizes):
        raise InvalidBlock("a file node does not have the sizes of the balanced layout", size=size, height=height)
    if len(node.links) != len(sizes) or any(link.name for link in node.links):
        raise InvalidBlock("the links of a file node do not fit its sizes", links=len(node.links), sizes=len(sizes))
    parts = [
        FilePart(link.cid, part_size, height - 1, link.tree_size)
        for link, part_size in zip(node.links, sizes, strict=True)
    ]
    for part in parts:
        _check_part(part)
    return parts


def folder_node(entries: Sequence[Link]) -> Node:
    """The node of a folder; brings the entries into byte order of their names.

    Raises LimitExceeded above 1000 entries (larger folders would need sharding, which the profile leaves out).
    """
    if len(entries) > MAX_FOLDER_ENTRIES:
        raise LimitExceeded(
            f"a folder has at least {len(entries)} entries, possible are {MAX_FOLDER_ENTRIES}",
            hint="Put the files into several folders.",
            found=len(entries),
            allowed=MAX_FOLDER_ENTRIES,
        )
    return Node(tuple(sorted(entries, key=lambda link: link.name)), _FOLDER_DATA)


def check_folder_block(block: bytes) -> None:
    """Raise LimitExceeded when the block of a folder is larger than 256 KiB, which other nodes would shard."""
    if len(block) > MAX_NODE_BYTES:
        raise LimitExceeded(
            f"the names of a folder need {len(block)} bytes, possible are {MAX_NODE_BYTES}",
            hint="Use shorter names or several folders.",
            found=len(block),
            allowed=MAX_NODE_BYTES,
        )


def folder_entries(node: Node) -> list[tuple[str, Link]]:
    """Names and links of a folder. Raises InvalidBlock for disorder or duplicates, UnsafeName, LimitExceeded."""
    if node.data != _FOLDER_DATA:
        raise InvalidBlock("a node is not a plain folder", data=node.data[:16].hex())
    folder_node(node.links)
    names = [link.name for link in node.links]
    if any(left >= right for left, right in zip(names, names[1:], strict=False)):
        raise InvalidBlock("the names of a folder are not in byte order, or one occurs twice", entries=len(names))
    return [(decode_name(link.name), link) for link in node.links]


def _file_data(sizes: Sequence[int]) -> bytes:
    head = _FILE_TYPE + _FILE_SIZE + encode_varint(sum(sizes))
    return head + b"".join(_BLOCK_SIZE + encode_varint(size) for size in sizes)


def _check_part(part: FilePart) -> None:
    if part.cid.is_raw != (part.height == 0):
        raise InvalidBlock("a leaf of a file stands at the wrong level", cid=str(part.cid), height=part.height)
    if part.height == 0 and part.tree_size != part.size:
        raise InvalidBlock("the sizes of a leaf differ", cid=str(part.cid), size=part.size, tree_size=part.tree_size)


def _name_problem(name: str) -> str | None:
    if name in ("", ".", ".."):
        return "is empty or names a folder itself"
    if "/" in name:
        return "contains a slash"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return "contains a control character or is not Unicode"
    if not unicodedata.is_normalized("NFC", name):
        return "is not in Unicode normal form C"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return None
