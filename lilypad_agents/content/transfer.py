"""Taking a whole DAG from somebody who is not trusted: what arrived, what is still wanted, and when to stop.

A CAR must hold every block of its root itself. Blocks that the store has already do not count: otherwise whoever knows
the CID of a stranger's private block could name it below a root of his own, and then read it as that root's owner.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable

from lilypad_agents.content.blocks import BlockSink, BlockSource, Store
from lilypad_agents.content.car import CarDecoder
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.dagpb import decode_node, node_tree_size
from lilypad_agents.content.errors import BlockMissing, InvalidCar, LimitExceeded
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.reader import TreeSummary, check_tree


class DagProgress:
    """Which blocks of one DAG were seen and which are wanted; blocks come in any order that has parents first."""

    def __init__(self, root: Cid, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        self._wanted: dict[Cid, None] = {root: None}
        self._seen: set[Cid] = set()
        self._bytes = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is wanted any more."""
        return not self._wanted

    @property
    def bytes(self) -> int:
        """Bytes of the blocks seen so far."""
        return self._bytes

    @property
    def blocks(self) -> int:
        """Number of blocks seen so far."""
        return len(self._seen)

    def next(self) -> Cid:
        """The block to ask for next, depth first. There must be one."""
        return next(reversed(self._wanted))

    def wants(self, cid: Cid) -> bool:
        """Whether the block is needed now. Raises InvalidCar when it belongs elsewhere or came before its parent."""
        if cid not in self._wanted and cid not in self._seen:
            raise InvalidCar("a block does not belong to the root, or comes before its parent", cid=str(cid))
        return cid in self._wanted

    def accept(self, cid: Cid, data: bytes) -> None:
        """Count a wanted and verified block and want its children. Raises InvalidBlock, LimitExceeded."""
        self._bytes += len(data)
        self._check(self._bytes, self._limits.max_wire_bytes, "bytes")
        del self._wanted[cid]
        self._seen.add(cid)
        if cid.is_raw:
            return
        node = decode_node(data)
        self._check(node_tree_size(data, node), self._limits.max_wire_bytes, "bytes")
        for link in reversed(node.links):
            if link.cid not in self._seen:
                self._wanted[link.cid] = None
        self._check(len(self._seen) + len(self._wanted), self._limits.max_blocks, "blocks")

    def absorb(self, source: BlockSource) -> None:
        """Count what `source` has already, so that only the rest is asked for."""
        absent: set[Cid] = set()
        while ahead := [cid for cid in self._wanted if cid not in absent]:
            for cid in ahead:
                try:
                    data = source.get(cid)
                except BlockMissing:
                    absent.add(cid)
                else:
                    self.accept(cid, data)

    def _check(self, found: int, allowed: int, unit: str) -> None:
        if found > allowed:
            raise LimitExceeded(
                f"the content has at least {found} {unit}, allowed are {allowed}",
                root=str(self._root),
                found=found,
                allowed=allowed,
                unit=unit,
            )


class CarImport:
    """Takes a CAR that must hold the complete tree of `root` and nothing else, chunk by chunk, into a store."""

    def __init__(self, store: Store, root: Cid, limits: Limits) -> None:
        self._store = store
        self._root = root
        self._limits = limits
        self._decoder = CarDecoder(root)
        self._progress = DagProgress(root, limits)
        self._received = 0

    def feed(self, chunk: bytes) -> None:
        """Store the blocks that are complete with this chunk. Raises what is wrong with them, and StoreFull."""
        self._received += len(chunk)
        if self._received > self._limits.max_wire_bytes:
            raise LimitExceeded(
                f"the CAR is larger than {self._limits.max_wire_bytes} bytes",
                found=self._received,
                allowed=self._limits.max_wire_bytes,
            )
        for cid, data in self._decoder.feed(chunk):
            take_block(self._store, self._progress, cid, data)

    def finish(self) -> TreeSummary:
        """Check that nothing is missing and that the tree is one. Raises InvalidCar, InvalidBlock, LimitExceeded."""
        self._decoder.finish()
        if not self._progress.complete:
            raise InvalidCar("the CAR does not hold all blocks of its root", missing=str(self._progress.next()))
        return check_tree(self._store, self._root, self._limits)


def take_block(store: BlockSink, progress: DagProgress, cid: Cid, data: bytes) -> None:
    """Store one block of a CAR if it is wanted; a repetition must at least have its hash."""
    if progress.wants(cid):
        store.put(cid, data)
        progress.accept(cid, data)
    else:
        cid.verify(data)


def import_car(chunks: Iterable[bytes], store: Store, root: Cid, limits: Limits) -> TreeSummary:
    """Take a CAR that must hold the complete tree of `root` and nothing else.

    Blocks are stored as they arrive; pin the root afterwards. After a refusal they stay unpinned and are collected.
    Raises InvalidCar, BlockMismatch, InvalidBlock, UnsafeName, LimitExceeded, StoreFull.
    """
    job = CarImport(store, root, limits)
    for chunk in chunks:
        job.feed(chunk)
    return job.finish()


async def import_car_async(chunks: AsyncIterable[bytes], store: Store, root: Cid, limits: Limits) -> TreeSummary:
    """`import_car` for a stream such as the body of a request; hashing and writing happen in a thread."""
    import asyncio

    job = CarImport(store, root, limits)
    async for chunk in chunks:
        await asyncio.to_thread(job.feed, chunk)
    return await asyncio.to_thread(job.finish)
