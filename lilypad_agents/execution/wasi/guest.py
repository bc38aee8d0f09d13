"""Access to a guest's linear memory in which no length or pointer is trusted."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable

from lilypad_agents.execution.wasi.abi import EFAULT, EINVAL, IOVEC_SIZE, Errno

MAX_IOVECS = 1024
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class GuestMemory:
    """Bounds-checked reads and writes; every access outside the memory is Errno(EFAULT).

    Before `attach` (that is, in a module's start function) the memory has no bytes. The base address is asked for at
    each access because `memory.grow` may move it.
    """

    def __init__(self) -> None:
        self._size: Callable[[], int] = lambda: 0
        self._base: Callable[[], int] = lambda: 0

    def attach(self, size: Callable[[], int], base: Callable[[], int]) -> None:
        """Connects the memory: `size` gives its length in bytes now, `base` its address now."""
        self._size, self._base = size, base

    @property
    def size(self) -> int:
        return self._size()

    def check(self, pointer: int, length: int) -> None:
        """Raises Errno(EFAULT) unless all of pointer..pointer+length lies inside."""
        if pointer + length > self._size():
            raise Errno(EFAULT)

    def read(self, pointer: int, length: int) -> bytes:
        self.check(pointer, length)
        return ctypes.string_at(self._base() + pointer, length) if length else b""

    def write(self, pointer: int, data: bytes | bytearray) -> None:
        self.check(pointer, len(data))
        if data:
            ctypes.memmove(self._base() + pointer, bytes(data), len(data))

    def write_u32(self, pointer: int, value: int) -> None:
        self.write(pointer, _U32.pack(value & 0xFFFFFFFF))

    def write_u64(self, pointer: int, value: int) -> None:
        self.write(pointer, _U64.pack(value & 0xFFFFFFFFFFFFFFFF))

    def iovecs(self, pointer: int, count: int) -> list[tuple[int, int]]:
        """The (pointer, length) pairs of an iovec array, each checked to lie inside. Errno(EINVAL) above 1024."""
        if count > MAX_IOVECS:
            raise Errno(EINVAL)
        vectors = list(struct.iter_unpack("<II", self.read(pointer, count * IOVEC_SIZE)))
        size = self._size()
        if any(start + length > size for start, length in vectors):
            raise Errno(EFAULT)
        return vectors
