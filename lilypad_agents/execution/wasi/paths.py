"""Host calls on paths (path_*). There are no links of any kind; every path starts at an open directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lilypad_agents.execution.names import MAX_PATH_BYTES
from lilypad_agents.execution.schedule import ENTRY_FUEL
from lilypad_agents.execution.wasi.abi import (
    EEXIST,
    EINVAL,
    EISDIR,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ENOTSUP,
    EROFS,
    ESUCCESS,
    FD_FLAGS_ALL,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_TRUNC,
    RIGHT_WRITE,
    Errno,
)
from lilypad_agents.execution.wasi.files import filestat
from lilypad_agents.execution.wasi.host import Host
from lilypad_agents.execution.wasi.memfs import Place


def _place(host: Host, directory: int, path_at: int, length: int) -> Place:
    start = host.directory(directory)
    if length > MAX_PATH_BYTES:
        raise Errno(ENAMETOOLONG)
    host.charge_bytes(length)
    return host.tree.resolve(start, host.memory.read(path_at, length))


def path_create_directory(host: Host, directory: int, path_at: int, length: int) -> int:
    host.tree.create(_place(host, directory, path_at, length), directory=True)
    return ESUCCESS


def path_filestat_get(host: Host, directory: int, lookup: int, path_at: int, length: int, result_at: int) -> int:
    place = _place(host, directory, path_at, length)
    if place.node is None:
        return ENOENT
    host.memory.write(result_at, filestat(place.node, 0))
    return ESUCCESS


def path_filestat_set_times(
    host: Host, directory: int, lookup: int, path_at: int, length: int, accessed: int, modified: int, flags: int
) -> int:
    place = _place(host, directory, path_at, length)
    return ESUCCESS if place.node is not None else ENOENT


def path_link(
    host: Host, source: int, lookup: int, path_at: int, length: int, target: int, target_at: int, target_length: int
) -> int:
    return ENOTSUP


def path_symlink(host: Host, text_at: int, text_length: int, directory: int, path_at: int, length: int) -> int:
    return ENOTSUP


def path_readlink(
    host: Host, directory: int, path_at: int, length: int, buffer_at: int, buffer_length: int, stored_at: int
) -> int:
    place = _place(host, directory, path_at, length)
    return EINVAL if place.node is not None else ENOENT


def path_open(
    host: Host,
    directory: int,
    lookup: int,
    path_at: int,
    length: int,
    flags: int,
    rights: int,
    inheriting: int,
    descriptor_flags: int,
    result_at: int,
) -> int:
    if descriptor_flags & ~FD_FLAGS_ALL:
        return EINVAL
    host.memory.check(result_at, 4)
    place = _place(host, directory, path_at, length)
    number = host.allocate_descriptor()
    node = place.node
    if node is not None:
        _check_existing(place, flags, rights)
        if flags & O_TRUNC:
            host.tree.resize(node, 0)
    else:
        _check_missing(place, flags)
        node = host.tree.create(place, directory=False)
    host.open_node(number, node, rights, inheriting, descriptor_flags)
    host.memory.write_u32(result_at, number)
    return ESUCCESS


def _check_existing(place: Place, flags: int, rights: int) -> None:
    node = place.node
    if flags & O_CREAT and flags & O_EXCL:
        raise Errno(EEXIST)
    if node.is_directory:
        if flags & (O_TRUNC | O_CREAT) or rights & RIGHT_WRITE and not flags & O_DIRECTORY:
            raise Errno(EISDIR)
        return
    if flags & O_DIRECTORY:
        raise Errno(ENOTDIR)
    if node.area.read_only and (flags & O_TRUNC or rights & RIGHT_WRITE):
        raise Errno(EROFS)


def _check_missing(place: Place, flags: int) -> None:
    if not flags & O_CREAT:
        raise Errno(ENOENT)
    if flags & O_DIRECTORY:
        raise Errno(EINVAL)
    if place.wants_directory:
        raise Errno(EISDIR)


def path_remove_directory(host: Host, directory: int, path_at: int, length: int) -> int:
    host.tree.remove(_place(host, directory, path_at, length), directory=True)
    return ESUCCESS


def path_unlink_file(host: Host, directory: int, path_at: int, length: int) -> int:
    host.tree.remove(_place(host, directory, path_at, length), directory=False)
    return ESUCCESS


def path_rename(
    host: Host, source: int, path_at: int, length: int, target: int, target_at: int, target_length: int
) -> int:
    moved = _place(host, source, path_at, length)
    onto = _place(host, target, target_at, target_length)
    if moved.node is not None and moved.node.is_directory:
        # Moving a folder looks at every node below it.
        host.charge(ENTRY_FUEL * (moved.node.area.files + moved.node.area.directories))
    host.tree.rename(moved, onto)
    return ESUCCESS


CALLS: Mapping[str, Callable[..., int]] = {
    call.__name__: call
    for call in (
        path_create_directory,
        path_filestat_get,
        path_filestat_set_times,
        path_link,
        path_open,
        path_readlink,
        path_remove_directory,
        path_rename,
        path_symlink,
        path_unlink_file,
    )
}
