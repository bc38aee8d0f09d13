"""Output folders in memory, and the blocks that prove a file of them."""

from __future__ import annotations

from lilypad_agents.content.cid import Cid
from lilypad_agents.content.dagpb import decode_node


class Blocks(dict):
    """A store of blocks in memory."""

    def put(self, cid: Cid, data: bytes) -> None:
        self[cid] = data

    def size(self, cid: Cid) -> int:
        return len(self[cid])


def follow(blocks: Blocks, root: bytes, path: list[bytes]) -> tuple[list[bytes], Cid]:
    """The folder blocks on the way to a path, and what stands there."""
    found, cid = [], Cid.dag_pb(root)
    for name in path:
        found.append(blocks[cid])
        cid = next(link.cid for link in decode_node(blocks[cid]).links if link.name == name)
    return found, cid
