"""The default store: one file per block in a folder of this machine, safe for several processes at once.

    blocks/<2 letters>/<cid>      the bytes; the letters are the last but one two of the CID, so 1024 shards
    pins/<hash of name>/<cid>     one JSON object: name, root, expiry in unix seconds or null, blocks of a small DAG
    boot                          the start of the system under which the blocks of all pins were found or restored
    tmp/<random>                  files being written; renamed into place, or left by a kill and collected later
    lock                          shared by writers, exclusive for the moments in which something is deleted

A block becomes visible by one rename, so there are no half files, whatever happens. Blocks are not flushed one by one:
`pin` flushes the whole DAG and then the pin, so what is pinned survives a power cut. The record of a small DAG carries its
blocks and is flushed instead; after the system was started anew, blocks that were lost are restored from the records.
Reads verify the hash and drop a file that lost its bytes, which makes it a missing block that can be fetched again.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lilypad_agents.content.blocks import iter_dag, links_of
from lilypad_agents.content.cid import Cid, sha256
from lilypad_agents.content.cidset import CidSet
from lilypad_agents.content.errors import (
    NO_SPACE,
    BlockMismatch,
    BlockMissing,
    BlockPinned,
    InvalidBlock,
    InvalidCid,
    LimitExceeded,
    StoreFull,
)
from lilypad_agents.content.limits import MAX_BLOCK_BYTES
from lilypad_agents.content.pins import MOST_CARRIED, Pin, PinRecord

DEFAULT_GRACE_SECONDS = 3600
_SWEEP_BATCH = 64
# File times come from a coarser clock than `time.time()`; a block touched after the cut-off must never look older.
_CLOCK_GRAIN_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Collected:
    """What one garbage collection removed."""

    blocks: int
    bytes: int
    pins: int


class LocalStore:
    """Blocks and pins below one folder.

    `reserve_bytes`: free space that must remain on the disk, so that databases beside the store stay writable.
    `durable` False leaves flushing to the system: for caches and development networks.
    """

    def __init__(self, root: Path | str, *, reserve_bytes: int = 0, durable: bool = True) -> None:
        self._root = Path(root)
        self._blocks = self._root / "blocks"
        self._pins = self._root / "pins"
        self._temporary = self._root / "tmp"
        self._reserve = reserve_bytes
        self._durable = durable
        for folder in (self._root, self._blocks, self._pins, self._temporary):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if durable:
            self._restore()

    def put(self, cid: Cid, data: bytes) -> None:
        """Keep a block, or mark it as used again when it is here.

        Raises BlockMismatch, LimitExceeded above 1 MiB, StoreFull (and then leaves nothing behind).
        """
        if len(data) > MAX_BLOCK_BYTES:
            raise LimitExceeded(
                f"a block has {len(data)} bytes, possible are {MAX_BLOCK_BYTES}",
                found=len(data),
                allowed=MAX_BLOCK_BYTES,
            )
        cid.verify(data)
        path = self._path(cid)
        with self._lock(fcntl.LOCK_SH):
            if _read(path) == data:
                os.utime(path)
                return
            self._write(path, data)

    def get(self, cid: Cid) -> bytes:
        """The bytes of a block. Raises BlockMissing, also when the file on disk no longer has its hash."""
        try:
            return _read_verified(self._path(cid), cid)
        except BlockMismatch as error:
            self._drop_damaged(cid)
            raise BlockMissing("a block was damaged on disk and removed", cid=str(cid)) from error

    def size(self, cid: Cid) -> int:
        """Length of a block in bytes. Raises BlockMissing."""
        try:
            return self._path(cid).stat().st_size
        except FileNotFoundError as error:
            raise BlockMissing("the store does not hold a block", cid=str(cid)) from error

    def has(self, cid: Cid) -> bool:
        """Whether a file for the block exists; `get` still verifies it."""
        return self._path(cid).exists()

    def pin(self, root: Cid, name: str, expires_at: int | None = None) -> None:
        """Keep the DAG of `root` under `name` until `expires_at` (unix seconds); replaces an earlier expiry.

        Costs a look at every block, and a flush of each when durable. Raises InvalidPin, BlockMissing, InvalidBlock,
        StoreFull; the earlier pin of that name and root then stays as it was.
        """
        pin = Pin(name, root, expires_at)
        pin.check()
        earlier = _read_record(self._pin_path(pin.name, root))
        carried = {} if earlier is None or earlier.pin.name != name else earlier.blocks
        # First the pin, then the blocks: a collection that started before the pin was visible sees every block that
        # is touched from now on as fresh, and one that starts later sees the pin. No order of steps loses a block.
        self._write_record(PinRecord(pin, carried), flush=self._durable and earlier is not None)
        try:
            self._keep_blocks(pin, carried, new=earlier is None)
        except BaseException:
            self._put_back(pin, earlier)
            raise

    def unpin(self, name: str, root: Cid | None = None) -> None:
        """Remove the pins of `name`, or only the one on `root`. Blocks go with the next collection."""
        folder = self._pin_path(name, None)
        paths = [folder / str(root)] if root is not None else list(_entries(folder))
        for path in paths:
            path.unlink(missing_ok=True)

    def pins(self, name: str | None = None) -> Iterator[Pin]:
        """All pins, or those of one name, expired ones included until they are collected."""
        folders = [self._pin_path(name, None)] if name is not None else _walk(self._pins)
        for folder in folders:
            for path in _entries(folder):
                record = _read_record(path)
                if record is not None:
                    yield record.pin

    def delete(self, cid: Cid) -> None:
        """Remove one block now, if it is here. Walks every pinned DAG first and keeps writers waiting meanwhile.

        Raises BlockPinned while any pin, expired or not, needs the block.
        """
        with self._lock(fcntl.LOCK_EX):
            with CidSet() as live:
                self._mark(live)
                if cid in live:
                    raise BlockPinned("a pin needs the block", cid=str(cid))
            self._path(cid).unlink(missing_ok=True)

    def collect(self, now: int, grace_seconds: int = DEFAULT_GRACE_SECONDS) -> Collected:
        """Remove pins expired at `now` (unix seconds, block time for agents) and blocks that no pin needs.

        Blocks put or touched within the last `grace_seconds` of this machine's clock stay: they may belong to content
        that is still arriving. Several processes may collect, write and pin at once. Memory does not grow with what is kept.
        """
        cutoff = time.time() - max(0, grace_seconds) - _CLOCK_GRAIN_SECONDS
        expired = self._drop_expired(now)
        blocks = size = 0
        with CidSet() as live:
            self._mark(live)
            for batch in _batches(self._idle_blocks(live, cutoff), _SWEEP_BATCH):
                for removed in self._sweep(batch, cutoff):
                    blocks, size = blocks + 1, size + removed
        self._clean_up()
        return Collected(blocks, size, expired)

    def free_bytes(self) -> int:
        """Bytes that may still be written before the reserve is touched; 0 when there are none."""
        status = os.statvfs(self._root)
        return max(0, status.f_bavail * status.f_frsize - self._reserve)

    # -- paths and files

    def _path(self, cid: Cid) -> Path:
        text = str(cid)
        return self._blocks / text[-3:-1] / text

    def _pin_path(self, name: str, root: Cid | None) -> Path:
        folder = self._pins / sha256(name.encode("utf-8", "surrogatepass")).hex()[:40]
        return folder if root is None else folder / str(root)

    def _write(self, path: Path, data: bytes, *, flush: bool = False) -> None:
        """Write a file whole or not at all. The shared lock must be held, so that `tmp` is not cleaned meanwhile."""
        if self._reserve and self.free_bytes() < len(data):
            raise StoreFull("less space is left than the configured reserve", reserve=self._reserve, size=len(data))
        temporary = self._temporary / secrets.token_hex(16)
        try:
            with open(temporary, "xb", opener=_private_opener, buffering=0) as file:
                _write_all(file.fileno(), data)
                if flush:
                    os.fsync(file.fileno())
            self._rename(temporary, path)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise StoreFull("no space left for content", size=len(data), cause=os.strerror(error.errno)) from error
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def _rename(self, temporary: Path, path: Path) -> None:
        try:
            os.rename(temporary, path)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            os.rename(temporary, path)

    @contextmanager
    def _lock(self, mode: int) -> Iterator[None]:
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, mode)
            try:
                yield
            finally:
                # Closing is not enough: a worker forked in this moment holds the same open file, and its lock.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    # -- pins

    def _write_record(self, record: PinRecord, *, flush: bool) -> None:
        """`flush` before the rename: an earlier record must not give way to one that a power cut empties."""
        with self._lock(fcntl.LOCK_SH):
            self._write(self._pin_path(record.pin.name, record.pin.root), record.to_bytes(), flush=flush)

    def _put_back(self, pin: Pin, earlier: PinRecord | None) -> None:
        if earlier is None:
            self.unpin(pin.name, pin.root)
        else:
            self._write_record(earlier, flush=self._durable)

    def _keep_blocks(self, pin: Pin, carried: Mapping[Cid, bytes], *, new: bool) -> None:
        """Touch every block of the DAG; when durable, flush them or a record that carries them, and the pin's folders."""
        blocks: dict[Cid, bytes] = {}
        paths, size = [], 0
        for cid in iter_dag(self.get, pin.root):
            path = self._path(cid)
            self._touch(cid, path)
            paths.append(path)
            if self._durable and not carried and size <= MOST_CARRIED:
                blocks[cid] = self.get(cid)
                size += len(blocks[cid])
        if not self._durable:
            return
        folders = {self._pin_path(pin.name, None), *((self._pins,) if new else ())}
        if not carried:
            small = size <= MOST_CARRIED
            if not small:
                for path in paths:
                    _flush(path)
                folders |= {self._blocks, *(path.parent for path in paths)}
            self._write_record(PinRecord(pin, blocks if small else {}), flush=True)
        for folder in folders:
            _flush(folder)

    def _restore(self) -> None:
        """After a start of the system, which may have followed a power cut: what small pins promised is put back."""
        mark, boot = self._root / "boot", _boot()
        if boot and _read(mark) == boot:
            return
        records = (_read_record(path) for folder in _walk(self._pins) for path in _entries(folder))
        try:
            for record in records:
                for cid, data in (() if record is None else record.blocks.items()):
                    if _read(self._path(cid)) != data:
                        self.put(cid, data)
            with self._lock(fcntl.LOCK_SH):
                self._write(mark, boot)
        except StoreFull:
            return  # the next start tries again; what is missing can be fetched meanwhile

    def _touch(self, cid: Cid, path: Path) -> None:
        with self._lock(fcntl.LOCK_SH):
            try:
                os.utime(path)
            except FileNotFoundError as error:
                raise BlockMissing("content to be pinned is not complete", cid=str(cid)) from error

    # -- collection

    def _drop_expired(self, now: int) -> int:
        dropped = 0
        for pin in self.pins():
            if pin.expired(now):
                with self._lock(fcntl.LOCK_EX):
                    path = self._pin_path(pin.name, pin.root)
                    found = _read_record(path)
                    if found is not None and found.pin == pin:
                        path.unlink(missing_ok=True)
                        dropped += 1
        return dropped

    def _mark(self, live: CidSet) -> None:
        """Adds every block below the pins. What is missing or malformed keeps nothing; other errors end the collection."""
        for pin in self.pins():
            pending = [pin.root]
            while pending:
                cid = pending.pop()
                if not live.add(cid) or cid.is_raw:
                    continue
                with suppress(BlockMissing, BlockMismatch, InvalidBlock):
                    pending.extend(links_of(cid, _read_verified(self._path(cid), cid)))

    def _idle_blocks(self, live: CidSet, cutoff: float) -> Iterator[Path]:
        for shard in _entries(self._blocks):
            for path in _entries(shard):
                cid = _cid_of(path)
                if cid is not None and cid not in live and _idle_size(path, cutoff) is not None:
                    yield path

    def _sweep(self, paths: Iterable[Path], cutoff: float) -> list[int]:
        """Remove the blocks that are still idle under the lock; gives their sizes."""
        removed = []
        with self._lock(fcntl.LOCK_EX):
            for path in paths:
                size = _idle_size(path, cutoff)
                if size is not None:
                    path.unlink(missing_ok=True)
                    removed.append(size)
        return removed

    def _clean_up(self) -> None:
        """Under the exclusive lock nobody writes: whatever lies in `tmp` was left by a process that died."""
        with self._lock(fcntl.LOCK_EX):
            for path in _entries(self._temporary):
                path.unlink(missing_ok=True)
            for folder in _walk(self._pins):
                with suppress(OSError):
                    folder.rmdir()

    def _drop_damaged(self, cid: Cid) -> None:
        with self._lock(fcntl.LOCK_EX):
            path = self._path(cid)
            data = _read(path)
            if data is not None and sha256(data) != cid.digest:
                path.unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    """The file, or None when there is none; one byte more than a block may have shows that it is damaged."""
    try:
        with open(path, "rb", buffering=0) as file:
            return _read_up_to(file.fileno(), MAX_BLOCK_BYTES + 1)
    except FileNotFoundError:
        return None


def _read_verified(path: Path, cid: Cid) -> bytes:
    data = _read(path)
    if data is None:
        raise BlockMissing("the store does not hold a block", cid=str(cid))
    cid.verify(data)
    return data


def _read_up_to(descriptor: int, size: int) -> bytes:
    length = min(os.fstat(descriptor).st_size, size)
    data = os.read(descriptor, length)
    while len(data) < length and (more := os.read(descriptor, length - len(data))):
        data += more
    return data


def _read_record(path: Path) -> PinRecord | None:
    """The record in a file, None when it is gone."""
    data, root = _read(path), _cid_of(path)
    return None if data is None or root is None else PinRecord.parse(data, root, path.parent.name)


def _boot() -> bytes:
    """What tells one start of the system from another; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return b""


def _cid_of(path: Path) -> Cid | None:
    try:
        return Cid.parse(path.name)
    except InvalidCid:
        return None


def _walk(folder: Path) -> Iterator[Path]:
    """What lies in a folder of folders, read as one goes: there may be more of them than memory should hold.

    They come and go, but none is ever replaced, so that one which stays is not missed.
    """
    with os.scandir(folder) as listing:
        for entry in listing:
            yield folder / entry.name


def _entries(folder: Path) -> Iterator[Path]:
    """What lies in a folder now, read at once: files there are replaced, and a reading that takes its time could miss one."""
    try:
        with os.scandir(folder) as listing:
            names = [entry.name for entry in listing]
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from (folder / name for name in names)


def _idle_size(path: Path, cutoff: float) -> int | None:
    """Size of a file that nobody touched since `cutoff` (unix seconds), None for others and for what is gone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size if status.st_mtime <= cutoff else None


def _batches(paths: Iterable[Path], size: int) -> Iterator[list[Path]]:
    iterator = iter(paths)
    while batch := list(islice(iterator, size)):
        yield batch


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _flush(path: Path) -> None:
    """Bring a file or folder to the disk; one that was removed meanwhile needs no flush."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
