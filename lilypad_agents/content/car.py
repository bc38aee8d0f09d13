"""CAR version 1: one root and its blocks in one stream, parents before children.

A header (`{"roots": [root], "version": 1}` in dag-cbor, behind its length), then per block the length of the rest, the
36-byte CID and the bytes. Exactly one root is written and read. Source: IPLD CARv1 specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lilypad_agents.content.blocks import BlockSource, iter_dag
from lilypad_agents.content.cid import CID_BYTES, Cid
from lilypad_agents.content.errors import InvalidCar, InvalidCid
from lilypad_agents.content.limits import MAX_BLOCK_BYTES
from lilypad_agents.content.varint import VarintError, decode_varint, encode_varint

_ROOTS = bytes.fromhex("a265") + b"roots" + bytes.fromhex("81d82a582500")
_VERSION = bytes.fromhex("67") + b"version" + bytes.fromhex("01")
_HEADER_BYTES = len(_ROOTS) + CID_BYTES + len(_VERSION)
_FLUSH_BYTES = 64 << 10

Block = tuple[Cid, bytes]


def car_header(root: Cid) -> bytes:
    """The first bytes of a CAR with this one root."""
    return encode_varint(_HEADER_BYTES) + _ROOTS + bytes(root) + _VERSION


def write_car(source: BlockSource, root: Cid) -> Iterator[bytes]:
    """The whole DAG of `root` as chunks of a CAR, each block once, depth first; the same bytes every time.

    Raises BlockMissing in the middle when the DAG is not complete: `car_size` finds out before.
    """
    nodes: dict[Cid, bytes] = {}
    pending = bytearray(car_header(root))
    for cid in iter_dag(nodes.pop, root):
        data = source.get(cid)
        if not cid.is_raw:
            nodes[cid] = data
        pending += _encode_section(cid, data)
        if len(pending) >= _FLUSH_BYTES:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)


def write_block_car(cid: Cid, data: bytes) -> bytes:
    """A CAR of one block only, its children left out."""
    return car_header(cid) + _encode_section(cid, data)


def car_size(source: BlockSource, root: Cid, max_blocks: int | None = None) -> int:
    """Bytes that `write_car` will give, reading only the inner nodes.

    Raises BlockMissing when any block is missing, LimitExceeded above `max_blocks`.
    """
    total = len(car_header(root))
    for cid in iter_dag(source.get, root, max_blocks):
        length = CID_BYTES + source.size(cid)
        total += len(encode_varint(length)) + length
    return total


def _encode_section(cid: Cid, data: bytes) -> bytes:
    return encode_varint(CID_BYTES + len(data)) + bytes(cid) + data


def read_car(chunks: Iterable[bytes]) -> Iterator[Block]:
    """The blocks of a CAR in their order, each verified; at most one block is in memory.

    Says nothing about whether they belong together: `transfer.import_car` does. Raises InvalidCar, BlockMismatch.
    """
    decoder = CarDecoder()
    for chunk in chunks:
        for cid, data in decoder.feed(chunk):
            cid.verify(data)
            yield cid, data
    decoder.finish()


class CarDecoder:
    """Cuts a CAR into blocks as its bytes arrive. It does not hash them: whoever takes a block verifies it.

    `root`: the only root to accept, or None for any; afterwards the root that was read. Holds at most one section and
    the chunk that was fed last.
    """

    def __init__(self, root: Cid | None = None) -> None:
        self.root = root
        self._buffer = bytearray()
        self._header_read = False

    def feed(self, chunk: bytes) -> Iterator[Block]:
        """The blocks that are complete with this chunk. Must be exhausted before the next call. Raises InvalidCar."""
        self._buffer += chunk
        position = 0
        try:
            while (section := self._section(position)) is not None:
                start, position = section
                if self._header_read:
                    yield self._block(start, position)
                else:
                    self._read_header(start, position)
        finally:
            del self._buffer[:position]

    def finish(self) -> None:
        """Raise InvalidCar unless the stream ended behind a section, with a header at least."""
        if self._buffer or not self._header_read:
            raise InvalidCar("the CAR ends in the middle of a section", left=len(self._buffer))

    def _section(self, position: int) -> tuple[int, int] | None:
        """Start and end of the section at `position`, None while it is not complete; refuses one that is too long."""
        try:
            read = decode_varint(self._buffer, position)
        except VarintError as error:
            raise InvalidCar(f"the length of a section is malformed: {error}") from error
        if read is None:
            return None
        length, start = read
        allowed = CID_BYTES + MAX_BLOCK_BYTES if self._header_read else _HEADER_BYTES
        needed = CID_BYTES if self._header_read else _HEADER_BYTES
        if not needed <= length <= allowed:
            raise InvalidCar("a section of the CAR has an impossible length", found=length, allowed=allowed)
        return (start, start + length) if start + length <= len(self._buffer) else None

    def _read_header(self, start: int, end: int) -> None:
        header = bytes(self._buffer[start:end])
        named = self._cid(header[len(_ROOTS) : len(_ROOTS) + CID_BYTES])
        if encode_varint(len(header)) + header != car_header(named):
            raise InvalidCar("the header is not that of a CAR version 1 with one root")
        if self.root not in (None, named):
            raise InvalidCar("the CAR has another root", found=str(named), expected=str(self.root))
        self.root = named
        self._header_read = True

    def _block(self, start: int, end: int) -> Block:
        body = start + CID_BYTES
        return self._cid(bytes(self._buffer[start:body])), bytes(self._buffer[body:end])

    def _cid(self, data: bytes) -> Cid:
        try:
            return Cid.from_bytes(data)
        except InvalidCid as error:
            raise InvalidCar(f"the CAR names a block in a way that is not used here: {error}") from error
