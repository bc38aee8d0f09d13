"""What the rest of the package needs of a block store, and the walk over a DAG that needs no meaning of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from lilypad_agents.content.cid import Cid
from lilypad_agents.content.dagpb import decode_node
from lilypad_agents.content.errors import LimitExceeded

Get = Callable[[Cid], bytes]


class BlockSink(Protocol):
    """Takes blocks."""

    def put(self, cid: Cid, data: bytes) -> None:
        """Keep a block. Raises BlockMismatch when the bytes do not have the hash."""


class BlockSource(Protocol):
    """Gives blocks."""

    def get(self, cid: Cid) -> bytes:
        """The bytes of a block, verified against its hash. Raises BlockMissing."""

    def size(self, cid: Cid) -> int:
        """Length of a block in bytes without reading it. Raises BlockMissing."""

    def has(self, cid: Cid) -> bool:
        """Whether the block is here; says nothing about the blocks that it links to."""


class Store(BlockSink, BlockSource, Protocol):
    """Keeps blocks as long as a pin wants them.

    A pin has a name (for example a deal id and a role) and keeps the whole DAG of one root until it is removed or
    until its expiry, in unix seconds of whatever clock the caller passes to the garbage collection (agents: block
    time). Blocks without a pin may be collected once they have lain untouched for the grace period.
    """

    def pin(self, root: Cid, name: str, expires_at: int | None = None) -> None:
        """Keep the DAG of `root` under `name`; repeated for the same pair it replaces the expiry.

        Durable when it returns. Raises BlockMissing when the DAG is not complete.
        """

    def unpin(self, name: str, root: Cid | None = None) -> None:
        """Remove the pins of `name`, or only the one on `root`. Removing what is not there is no error."""

    def delete(self, cid: Cid) -> None:
        """Remove one block now. Raises BlockPinned while any pin, expired or not, needs it."""


def links_of(cid: Cid, data: bytes) -> tuple[Cid, ...]:
    """The children of a block in order: none for raw blocks. Raises InvalidBlock."""
    if cid.is_raw:
        return ()
    return tuple(link.cid for link in decode_node(data).links)


def iter_dag(get: Get, root: Cid, max_blocks: int | None = None) -> Iterator[Cid]:
    """Every block of a DAG once, parents before children, depth first in the order of the links.

    Only dag-pb blocks are read, so raw leaves need not exist: the caller checks them. Memory: the set of CIDs seen and
    the links still to visit. Raises BlockMissing, InvalidBlock, LimitExceeded above `max_blocks`.
    """
    seen: set[Cid] = set()
    pending = [root]
    while pending:
        cid = pending.pop()
        if cid in seen:
            continue
        seen.add(cid)
        if max_blocks is not None and len(seen) > max_blocks:
            raise LimitExceeded(
                f"the DAG has more than {max_blocks} blocks", root=str(root), found=len(seen), allowed=max_blocks
            )
        yield cid
        if not cid.is_raw:
            pending.extend(child for child in reversed(links_of(cid, get(cid))) if child not in seen)
