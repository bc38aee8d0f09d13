"""State of one run behind the host calls: descriptors, streams, clock, randomness and the charge for calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lilypad_agents.execution.job import JobSpec
from lilypad_agents.execution.schedule import BYTE_FUEL, CALL_FUEL
from lilypad_agents.execution.wasi.abi import EBADF, EMFILE, ENOTDIR, RIGHTS_ALL, RIGHTS_FILE, RIGHTS_STREAM, Errno
from lilypad_agents.execution.wasi.ends import OutOfFuel, QuotaExceeded
from lilypad_agents.execution.wasi.guest import GuestMemory
from lilypad_agents.execution.wasi.memfs import Area, MemoryTree, Node

EPOCH_NS = 1_700_000_000 * 1_000_000_000  # the clock's start and every file's times, ns since 1970
CALL_NS = 1_000  # each host call moves the clock on by this, ns
MAX_DESCRIPTORS = 256
SCRATCH_NODES = 10_000
OUTPUT_DIRECTORIES = 1_000
_RANDOM_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a program may see of its surroundings. Every run has the default; `certify` alone changes it, to learn what
    a program's result leans on.
    """

    epoch_ns: int = EPOCH_NS
    call_ns: int = CALL_NS
    names_reversed: bool = False  # order of directory entries


STANDARD = Circumstances()


@dataclass(slots=True)
class Descriptor:
    """An open file, directory or stream. `kind` is one of stdin, stdout, stderr, file, directory."""

    kind: str
    node: Node | None = None
    position: int = 0
    flags: int = 0
    rights: int = RIGHTS_ALL
    inheriting: int = RIGHTS_ALL
    preopen: bytes | None = None
    listing: tuple[list[bytes], list[Node]] | None = None


class Stream:
    """What the program writes to stdout or stderr, up to its limit in bytes; beyond it the run ends."""

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit, self.data = name, limit, bytearray()

    def room_for(self, count: int) -> None:
        if len(self.data) + count > self.limit:
            raise QuotaExceeded(self.name)


class Host:
    """Everything that host calls of one run share. Fuel is reached by two callables: no engine is in here."""

    def __init__(self, spec: JobSpec, circumstances: Circumstances = STANDARD) -> None:
        limits = spec.limits
        self.circumstances = circumstances
        self.memory = GuestMemory()
        self.tree = MemoryTree()
        self.args = [arg.encode("utf-8") + b"\0" for arg in spec.args]
        self.environ = [f"{key}={value}".encode() + b"\0" for key, value in spec.env]
        self.seed = spec.seed
        self.stdout = Stream("stdout", limits.stdout_bytes)
        self.stderr = Stream("stderr", limits.stderr_bytes)
        self.nanoseconds = 0
        self._random_counter = 0
        self._get_fuel: Callable[[], int] = lambda: 0
        self._set_fuel: Callable[[int], None] = lambda fuel: None
        self.outputs = self._areas(spec.files, limits)

    def _areas(self, files: Mapping[str, bytes], limits) -> Node:
        unlimited = 1 << 62
        inputs = self.tree.root(Area("inputs", unlimited, unlimited, unlimited, read_only=True))
        MemoryTree.import_files(inputs, files, self.tree)
        outputs = self.tree.root(
            Area("outputs", limits.output_bytes, limits.output_files, OUTPUT_DIRECTORIES, strict=True)
        )
        scratch = self.tree.root(Area("tmp", limits.scratch_bytes, SCRATCH_NODES, SCRATCH_NODES))
        self.descriptors: dict[int, Descriptor] = {
            0: Descriptor("stdin", rights=RIGHTS_STREAM, inheriting=0),
            1: Descriptor("stdout", rights=RIGHTS_STREAM, inheriting=0),
            2: Descriptor("stderr", rights=RIGHTS_STREAM, inheriting=0),
            3: Descriptor("directory", inputs, preopen=b"/inputs"),
            4: Descriptor("directory", outputs, preopen=b"/outputs"),
            5: Descriptor("directory", scratch, preopen=b"/tmp"),
        }
        return outputs

    def attach_fuel(self, get: Callable[[], int], put: Callable[[int], None]) -> None:
        self._get_fuel, self._set_fuel = get, put

    def begin_call(self) -> None:
        """Charges a call and moves the clock on."""
        self.nanoseconds += self.circumstances.call_ns
        self.charge(CALL_FUEL)

    def charge(self, fuel: int) -> None:
        """Takes `fuel`; with less left, all of it is used and the run ends as out of fuel."""
        left = self._get_fuel()
        if fuel > left:
            self._set_fuel(0)
            raise OutOfFuel
        self._set_fuel(left - fuel)

    def charge_bytes(self, count: int) -> None:
        self.charge(count * BYTE_FUEL)

    def random_block(self, length: int) -> bytes:
        """SHAKE-256(seed || counter), at most 64 KiB at a time; the counter has 8 big-endian bytes."""
        data = hashlib.shake_256(self.seed + self._random_counter.to_bytes(8, "big")).digest(min(length, _RANDOM_BLOCK))
        self._random_counter += 1
        return data

    def descriptor(self, number: int) -> Descriptor:
        found = self.descriptors.get(number)
        if found is None:
            raise Errno(EBADF)
        return found

    def directory(self, number: int) -> Node:
        found = self.descriptor(number)
        if found.kind != "directory":
            raise Errno(ENOTDIR)
        return found.node

    def file(self, number: int) -> Descriptor:
        found = self.descriptor(number)
        if found.kind != "file":
            raise Errno(EBADF)
        return found

    def allocate_descriptor(self) -> int:
        """The lowest free number, as POSIX has it."""
        for number in range(MAX_DESCRIPTORS):
            if number not in self.descriptors:
                return number
        raise Errno(EMFILE)

    def open_node(self, number: int, node: Node, rights: int, inheriting: int, flags: int) -> None:
        self.tree.opened(node)
        if node.is_directory:
            self.descriptors[number] = Descriptor("directory", node, 0, flags, RIGHTS_ALL, RIGHTS_ALL)
        else:
            self.descriptors[number] = Descriptor(
                "file", node, 0, flags, rights & RIGHTS_FILE, inheriting & RIGHTS_FILE
            )

    def close(self, number: int) -> None:
        closed = self.descriptor(number)
        del self.descriptors[number]
        if closed.node is not None:
            self.tree.closed(closed.node)
