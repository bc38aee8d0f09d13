"""dag-pb nodes in their one canonical byte form.

The schema is two protobuf messages: `PBLink {1: Hash, 2: Name, 3: Tsize}` and `PBNode {2: Links, 1: Data}`, links
written before data and all three link fields always present. The parser takes no other order, no unknown field and no
number that is longer than needed, so what it accepts is its own re-encoding: otherwise one tree could have many
identifiers. Source: IPLD dag-pb specification.
"""

from __future__ import annotations

from dataclasses import dataclass

from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import InvalidBlock, InvalidCid
from lilypad_agents.content.limits import MAX_NODE_BYTES
from lilypad_agents.content.varint import VarintError, decode_varint, encode_varint

_DATA = 1 << 3 | 2
_LINKS = 2 << 3 | 2
_HASH = 1 << 3 | 2
_NAME = 2 << 3 | 2
_TSIZE = 3 << 3


@dataclass(frozen=True, slots=True)
class Link:
    """An edge to a child block.

    `name`: bytes as stored, empty for the parts of a file. `tree_size` (Tsize): bytes of the child's block plus those
    of all blocks below it, counted along every path.
    """

    cid: Cid
    name: bytes
    tree_size: int


@dataclass(frozen=True, slots=True)
class Node:
    """A dag-pb node: ordered links and the data that says what they mean."""

    links: tuple[Link, ...]
    data: bytes


def encode_node(node: Node) -> bytes:
    """The canonical bytes of a node."""
    parts = bytearray()
    for link in node.links:
        body = _field(_HASH, bytes(link.cid)) + _field(_NAME, link.name)
        body += encode_varint(_TSIZE) + encode_varint(link.tree_size)
        parts += _field(_LINKS, body)
    parts += _field(_DATA, node.data)
    return bytes(parts)


def decode_node(block: bytes) -> Node:
    """Read a block. Raises InvalidBlock for more than 256 KiB and for all that `encode_node` would not have written."""
    if len(block) > MAX_NODE_BYTES:
        raise InvalidBlock("a dag-pb block is larger than 256 KiB", size=len(block), allowed=MAX_NODE_BYTES)
    try:
        return _parse_node(block)
    except (VarintError, InvalidCid) as error:
        raise InvalidBlock(f"a dag-pb block is malformed: {error}", size=len(block)) from error


def node_tree_size(block: bytes, node: Node) -> int:
    """Tsize of a node: its own bytes plus the Tsize of every link."""
    return len(block) + sum(link.tree_size for link in node.links)


def _parse_node(block: bytes) -> Node:
    links: list[Link] = []
    data = None
    position = 0
    while position < len(block):
        tag, body, position = _read_field(block, position)
        if tag == _LINKS and data is None:
            links.append(_parse_link(body))
        elif tag == _DATA and data is None:
            data = body
        else:
            raise InvalidBlock("a dag-pb block has an unknown, repeated or misplaced field", field=tag)
    if data is None:
        raise InvalidBlock("a dag-pb block has no data field", size=len(block))
    return Node(tuple(links), data)


def _parse_link(body: bytes) -> Link:
    hash_tag, cid, position = _read_field(body, 0)
    name_tag, name, position = _read_field(body, position)
    size_tag, position = _read_number(body, position)
    tree_size, position = _read_number(body, position)
    if (hash_tag, name_tag, size_tag) != (_HASH, _NAME, _TSIZE) or position != len(body):
        raise InvalidBlock("a dag-pb link does not have exactly hash, name and size", size=len(body))
    return Link(Cid.from_bytes(cid), name, tree_size)


def _field(tag: int, body: bytes) -> bytes:
    return encode_varint(tag) + encode_varint(len(body)) + body


def _read_field(data: bytes, position: int) -> tuple[int, bytes, int]:
    tag, position = _read_number(data, position)
    if tag & 7 != 2:
        raise InvalidBlock("a dag-pb field is not length-delimited", field=tag)
    length, position = _read_number(data, position)
    if length > len(data) - position:
        raise InvalidBlock("a dag-pb field is longer than its block", length=length, left=len(data) - position)
    return tag, data[position : position + length], position + length


def _read_number(data: bytes, position: int) -> tuple[int, int]:
    read = decode_varint(data, position)
    if read is None:
        raise InvalidBlock("a dag-pb block ends inside a number", size=len(data))
    return read
