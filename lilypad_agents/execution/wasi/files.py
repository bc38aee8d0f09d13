"""Host calls on descriptors (fd_*). Pointers are checked before anything changes, so a failing call has no effect."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from lilypad_agents.execution.schedule import BYTE_FUEL, ENTRY_FUEL
from lilypad_agents.execution.wasi.abi import (
    EBADF,
    EFBIG,
    EINVAL,
    EISDIR,
    ENOTCAPABLE,
    ESPIPE,
    ESUCCESS,
    FD_APPEND,
    FD_FLAGS_ALL,
    RIGHT_READ,
    RIGHT_WRITE,
    TYPE_DIRECTORY,
    TYPE_REGULAR,
    TYPE_UNKNOWN,
    Errno,
)
from lilypad_agents.execution.wasi.host import EPOCH_NS, Descriptor, Host
from lilypad_agents.execution.wasi.memfs import Node

_MAX_OFFSET = (1 << 63) - 1
_DEVICE = 1


def filestat(node: Node | None, number: int) -> bytes:
    """The 64 bytes of a filestat: device 1, the node's inode, one link, times all at the epoch."""
    if node is None:
        return struct.pack("<QQB7xQQQQQ", _DEVICE, (1 << 32) + number, TYPE_UNKNOWN, 1, 0, EPOCH_NS, EPOCH_NS, EPOCH_NS)
    kind = TYPE_DIRECTORY if node.is_directory else TYPE_REGULAR
    size = 0 if node.is_directory else len(node.data)
    return struct.pack("<QQB7xQQQQQ", _DEVICE, node.inode, kind, node.links, size, EPOCH_NS, EPOCH_NS, EPOCH_NS)


def fd_advise(host: Host, number: int, offset: int, length: int, advice: int) -> int:
    host.file(number)
    return EINVAL if advice > 5 else ESUCCESS


def fd_allocate(host: Host, number: int, offset: int, length: int) -> int:
    found = _writable(host.file(number))
    end = offset + length
    if length == 0:
        return EINVAL
    if end > _MAX_OFFSET:
        return EFBIG
    if end > len(found.node.data):
        _grow(host, found.node, end)
    return ESUCCESS


def fd_close(host: Host, number: int) -> int:
    host.close(number)
    return ESUCCESS


def fd_sync(host: Host, number: int) -> int:
    host.descriptor(number)
    return ESUCCESS


def fd_fdstat_get(host: Host, number: int, result_at: int) -> int:
    found = host.descriptor(number)
    kind = {"directory": TYPE_DIRECTORY, "file": TYPE_REGULAR}.get(found.kind, TYPE_UNKNOWN)
    host.memory.write(result_at, struct.pack("<BxHxxxxQQ", kind, found.flags, found.rights, found.inheriting))
    return ESUCCESS


def fd_fdstat_set_flags(host: Host, number: int, flags: int) -> int:
    found = host.descriptor(number)
    if flags & ~FD_FLAGS_ALL:
        return EINVAL
    found.flags = flags
    return ESUCCESS


def fd_fdstat_set_rights(host: Host, number: int, rights: int, inheriting: int) -> int:
    found = host.descriptor(number)
    if rights & ~found.rights or inheriting & ~found.inheriting:
        return ENOTCAPABLE
    found.rights, found.inheriting = rights, inheriting
    return ESUCCESS


def fd_filestat_get(host: Host, number: int, result_at: int) -> int:
    host.memory.write(result_at, filestat(host.descriptor(number).node, number))
    return ESUCCESS


def fd_filestat_set_size(host: Host, number: int, size: int) -> int:
    found = _writable(host.file(number))
    if size > _MAX_OFFSET:
        return EFBIG
    _grow(host, found.node, size)
    return ESUCCESS


def fd_filestat_set_times(host: Host, number: int, accessed: int, modified: int, flags: int) -> int:
    host.descriptor(number)
    return ESUCCESS  # times are fixed; touching a file is not an error


def fd_prestat_get(host: Host, number: int, result_at: int) -> int:
    found = host.descriptor(number)
    if found.preopen is None:
        return EBADF
    host.memory.write(result_at, struct.pack("<II", 0, len(found.preopen)))
    return ESUCCESS


def fd_prestat_dir_name(host: Host, number: int, name_at: int, length: int) -> int:
    found = host.descriptor(number)
    if found.preopen is None:
        return EBADF
    if length < len(found.preopen):
        return EINVAL
    host.memory.write(name_at, found.preopen)
    return ESUCCESS


def fd_read(host: Host, number: int, iovecs_at: int, count: int, stored_at: int) -> int:
    found = _readable(host.descriptor(number))
    read = _scatter(host, found, iovecs_at, count, stored_at, found.position)
    found.position += read
    return ESUCCESS


def fd_pread(host: Host, number: int, iovecs_at: int, count: int, offset: int, stored_at: int) -> int:
    _scatter(host, _readable(_seekable(host.descriptor(number))), iovecs_at, count, stored_at, offset)
    return ESUCCESS


def fd_write(host: Host, number: int, iovecs_at: int, count: int, stored_at: int) -> int:
    found = _writable(host.descriptor(number))
    if found.kind == "file":
        start = len(found.node.data) if found.flags & FD_APPEND else found.position
        written = _gather_file(host, found.node, iovecs_at, count, stored_at, start)
        found.position = start + written
        return ESUCCESS
    stream = host.stdout if found.kind == "stdout" else host.stderr
    host.memory.check(stored_at, 4)
    vectors = host.memory.iovecs(iovecs_at, count)
    total = sum(length for _, length in vectors)
    host.charge_bytes(total)
    stream.room_for(total)
    for start, length in vectors:
        stream.data += host.memory.read(start, length)
    host.memory.write_u32(stored_at, total)
    return ESUCCESS


def fd_pwrite(host: Host, number: int, iovecs_at: int, count: int, offset: int, stored_at: int) -> int:
    found = _writable(_seekable(host.descriptor(number)))
    _gather_file(host, found.node, iovecs_at, count, stored_at, offset)
    return ESUCCESS


def fd_readdir(host: Host, number: int, buffer_at: int, length: int, cookie: int, stored_at: int) -> int:
    """`.`, `..`, then names in byte order. The listing is taken at cookie 0 and kept while the guest reads on."""
    node = host.directory(number)
    found = host.descriptor(number)
    host.memory.check(buffer_at, length)
    host.memory.check(stored_at, 4)
    if cookie == 0 or found.listing is None:
        host.charge(ENTRY_FUEL * (len(node.names) + 2))
        found.listing = _listing(node, reverse=host.circumstances.names_reversed)
    names, nodes = found.listing
    chunks, used = [], 0
    for index in range(cookie, len(names)):
        if used >= length:
            break
        name, entry_node = names[index], nodes[index]
        kind = TYPE_DIRECTORY if entry_node.is_directory else TYPE_REGULAR
        entry = struct.pack("<QQIBxxx", index + 1, entry_node.inode, len(name), kind) + name
        chunks.append(entry[: length - used])
        used += len(chunks[-1])
    host.charge_bytes(used)
    host.memory.write(buffer_at, b"".join(chunks))
    host.memory.write_u32(stored_at, used)
    return ESUCCESS


def fd_renumber(host: Host, source: int, target: int) -> int:
    moved = host.descriptor(source)
    host.descriptor(target)
    if source != target:
        host.close(target)
        del host.descriptors[source]
        host.descriptors[target] = moved
    return ESUCCESS


def fd_seek(host: Host, number: int, offset: int, whence: int, result_at: int) -> int:
    found = _seekable(host.descriptor(number))
    if whence > 2:
        return EINVAL
    start = (0, found.position, len(found.node.data))[whence]
    position = start + offset
    if not 0 <= position <= _MAX_OFFSET:
        return EINVAL
    host.memory.write_u64(result_at, position)
    found.position = position
    return ESUCCESS


def fd_tell(host: Host, number: int, result_at: int) -> int:
    found = _seekable(host.descriptor(number))
    host.memory.write_u64(result_at, found.position)
    return ESUCCESS


def _readable(found: Descriptor) -> Descriptor:
    if found.kind == "directory":
        raise Errno(EISDIR)
    if found.kind in ("stdout", "stderr") or not found.rights & RIGHT_READ:
        raise Errno(EBADF)
    return found


def _writable(found: Descriptor) -> Descriptor:
    if found.kind == "directory":
        raise Errno(EISDIR)
    if found.kind == "stdin" or not found.rights & RIGHT_WRITE:
        raise Errno(EBADF)
    return found


def _seekable(found: Descriptor) -> Descriptor:
    if found.kind == "directory":
        raise Errno(EISDIR)
    if found.kind != "file":
        raise Errno(ESPIPE)
    return found


def _grow(host: Host, node: Node, size: int) -> None:
    """Resizes; the quota is asked first, so that no charge is needed for what is refused."""
    growth = size - len(node.data)
    if growth > 0:
        if node.area.bytes + growth <= node.area.max_bytes:
            host.charge(growth * BYTE_FUEL)
    host.tree.resize(node, size)


def _scatter(host: Host, found: Descriptor, iovecs_at: int, count: int, stored_at: int, position: int) -> int:
    host.memory.check(stored_at, 4)
    vectors = host.memory.iovecs(iovecs_at, count)
    data = found.node.data if found.node is not None else b""
    wanted = sum(length for _, length in vectors)
    total = min(wanted, max(len(data) - position, 0))
    host.charge_bytes(total)
    left, place = total, position
    for start, length in vectors:
        part = min(length, left)
        if part:
            host.memory.write(start, data[place : place + part])
        place += part
        left -= part
    host.memory.write_u32(stored_at, total)
    return total


def _gather_file(host: Host, node: Node, iovecs_at: int, count: int, stored_at: int, position: int) -> int:
    host.memory.check(stored_at, 4)
    vectors = host.memory.iovecs(iovecs_at, count)
    total = sum(length for _, length in vectors)
    end = position + total
    if end > _MAX_OFFSET:
        raise Errno(EFBIG)
    host.charge_bytes(total)
    if total and end > len(node.data):
        _grow(host, node, end)
    place = position
    for start, length in vectors:
        if length:
            node.data[place : place + length] = host.memory.read(start, length)
        place += length
    host.memory.write_u32(stored_at, total)
    return total


def _listing(node: Node, *, reverse: bool) -> tuple[list[bytes], list[Node]]:
    # The parent of a preopened directory is itself: nothing above it exists.
    names = list(reversed(node.names)) if reverse else list(node.names)
    return [b".", b"..", *names], [node, node.parent or node, *(node.children[name] for name in names)]


CALLS: Mapping[str, Callable[..., int]] = {
    call.__name__: call
    for call in (
        fd_advise,
        fd_allocate,
        fd_close,
        fd_sync,
        fd_fdstat_get,
        fd_fdstat_set_flags,
        fd_fdstat_set_rights,
        fd_filestat_get,
        fd_filestat_set_size,
        fd_filestat_set_times,
        fd_pread,
        fd_prestat_get,
        fd_prestat_dir_name,
        fd_pwrite,
        fd_read,
        fd_readdir,
        fd_renumber,
        fd_seek,
        fd_tell,
        fd_write,
    )
} | {"fd_datasync": fd_sync}
