"""Host calls about the process: arguments, environment, clock, randomness, waiting, ending; sockets are absent."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from lilypad_agents.execution.wasi.abi import (
    CLOCK_REALTIME,
    CLOCK_THREAD,
    EBADF,
    EINVAL,
    ENOTSUP,
    ESUCCESS,
    EVENT_CLOCK,
    EVENT_FD_READ,
    EVENT_FD_WRITE,
    EVENT_SIZE,
    SUBSCRIPTION_SIZE,
    Errno,
)
from lilypad_agents.execution.wasi.ends import GuestExit
from lilypad_agents.execution.wasi.host import CALL_NS, Host

MAX_SUBSCRIPTIONS = 256
_CLOCK_ABSOLUTE = 1
_HANGUP = 1
_MASK64 = (1 << 64) - 1


def _strings_sizes(host: Host, strings: list[bytes], count_at: int, bytes_at: int) -> int:
    host.memory.check(bytes_at, 4)
    host.memory.write_u32(count_at, len(strings))
    host.memory.write_u32(bytes_at, sum(map(len, strings)))
    return ESUCCESS


def _strings_get(host: Host, strings: list[bytes], pointers_at: int, text_at: int) -> int:
    total = sum(map(len, strings))
    host.charge_bytes(total + 4 * len(strings))
    host.memory.check(pointers_at, 4 * len(strings))
    host.memory.check(text_at, total)
    place = text_at
    for index, text in enumerate(strings):
        host.memory.write_u32(pointers_at + 4 * index, place)
        place += len(text)
    host.memory.write(text_at, b"".join(strings))
    return ESUCCESS


def args_get(host: Host, pointers_at: int, text_at: int) -> int:
    return _strings_get(host, host.args, pointers_at, text_at)


def args_sizes_get(host: Host, count_at: int, bytes_at: int) -> int:
    return _strings_sizes(host, host.args, count_at, bytes_at)


def environ_get(host: Host, pointers_at: int, text_at: int) -> int:
    return _strings_get(host, host.environ, pointers_at, text_at)


def environ_sizes_get(host: Host, count_at: int, bytes_at: int) -> int:
    return _strings_sizes(host, host.environ, count_at, bytes_at)


def _clock(host: Host, clock: int) -> int:
    if clock > CLOCK_THREAD:
        raise Errno(EINVAL)
    return host.nanoseconds + (host.circumstances.epoch_ns if clock == CLOCK_REALTIME else 0)


def clock_res_get(host: Host, clock: int, result_at: int) -> int:
    _clock(host, clock)
    host.memory.write_u64(result_at, CALL_NS)
    return ESUCCESS


def clock_time_get(host: Host, clock: int, precision: int, result_at: int) -> int:
    host.memory.write_u64(result_at, _clock(host, clock))
    return ESUCCESS


def random_get(host: Host, buffer_at: int, length: int) -> int:
    host.memory.check(buffer_at, length)
    host.charge_bytes(length)
    end = buffer_at + length
    while buffer_at < end:
        block = host.random_block(end - buffer_at)
        host.memory.write(buffer_at, block)
        buffer_at += len(block)
    return ESUCCESS


def sched_yield(host: Host) -> int:
    return ESUCCESS


def proc_exit(host: Host, status: int) -> None:
    raise GuestExit(status)


def not_supported(host: Host, *arguments: int) -> int:
    return ENOTSUP


def poll_oneoff(host: Host, subscriptions_at: int, events_at: int, count: int, stored_at: int) -> int:
    """Files and streams are always ready. With clocks alone the clock moves to the first deadline, at once."""
    if not 0 < count <= MAX_SUBSCRIPTIONS:
        return EINVAL
    memory = host.memory
    memory.check(events_at, count * EVENT_SIZE)
    memory.check(stored_at, 4)
    raw = memory.read(subscriptions_at, count * SUBSCRIPTION_SIZE)
    host.charge_bytes(len(raw))
    waits = [_subscription(host, raw[at : at + SUBSCRIPTION_SIZE]) for at in range(0, len(raw), SUBSCRIPTION_SIZE)]
    if all(event is None for _, event in waits):
        host.nanoseconds = max(host.nanoseconds, min(deadline for deadline, _ in waits))
    events = []
    for index, (deadline, event) in enumerate(waits):
        userdata = raw[index * SUBSCRIPTION_SIZE : index * SUBSCRIPTION_SIZE + 8]
        if event is None and deadline <= host.nanoseconds:
            event = (ESUCCESS, EVENT_CLOCK, 0, 0)
        if event is not None:
            error, kind, ready, flags = event
            events.append(userdata + struct.pack("<HBxxxxxQHxxxxxx", error, kind, ready, flags))
    memory.write(events_at, b"".join(events))
    memory.write_u32(stored_at, len(events))
    return ESUCCESS


def _subscription(host: Host, raw: bytes) -> tuple[int, tuple[int, int, int, int] | None]:
    """(deadline in ns of the monotonic clock, event that is ready now or None) of one 48-byte subscription."""
    kind = raw[8]
    if kind in (EVENT_FD_READ, EVENT_FD_WRITE):
        return 0, _descriptor_event(host, kind, struct.unpack_from("<I", raw, 16)[0])
    if kind != EVENT_CLOCK:
        raise Errno(EINVAL)
    clock, timeout, flags = struct.unpack_from("<IxxxxQxxxxxxxxH", raw, 16)
    if clock > CLOCK_THREAD:
        return 0, (EINVAL, EVENT_CLOCK, 0, 0)
    if not flags & _CLOCK_ABSOLUTE:
        return min(host.nanoseconds + timeout, _MASK64), None
    return timeout - (host.circumstances.epoch_ns if clock == CLOCK_REALTIME else 0), None


def _descriptor_event(host: Host, kind: int, number: int) -> tuple[int, int, int, int]:
    found = host.descriptors.get(number)
    if found is None or found.kind == "directory":
        return EBADF, kind, 0, 0
    if found.kind == "file":
        return ESUCCESS, kind, max(len(found.node.data) - found.position, 0) if kind == EVENT_FD_READ else 65536, 0
    return ESUCCESS, kind, 0 if kind == EVENT_FD_READ else 65536, _HANGUP if kind == EVENT_FD_READ else 0


CALLS: Mapping[str, Callable[..., int | None]] = {
    call.__name__: call
    for call in (
        args_get,
        args_sizes_get,
        environ_get,
        environ_sizes_get,
        clock_res_get,
        clock_time_get,
        random_get,
        sched_yield,
        proc_exit,
        poll_oneoff,
    )
} | {name: not_supported for name in ("proc_raise", "sock_accept", "sock_recv", "sock_send", "sock_shutdown")}
