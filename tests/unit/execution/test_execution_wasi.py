"""Our WASI: every import with every hostile argument, the file tree, descriptors, clock and directory order."""

from __future__ import annotations

import ctypes
import random
import struct

import pytest
from execution_support import imports, job, limits, program, wat

from lilypad_agents.execution.job import ExitClass
from lilypad_agents.execution.wasi import abi, binding
from lilypad_agents.execution.wasi.ends import QuotaExceeded
from lilypad_agents.execution.wasi.host import CALL_NS, EPOCH_NS, Host

MEMORY = 1 << 16
RW = abi.RIGHT_READ | abi.RIGHT_WRITE


class Guest:
    """A program's side of the calls: a real memory, and paths and buffers at fixed places in it."""

    def __init__(self, **changes) -> None:
        self.host = Host(
            job(b"", files=changes.pop("files", {"a.txt": b"alpha", "d/b.txt": b"b"}), limits=limits(**changes))
        )
        self.memory = ctypes.create_string_buffer(MEMORY)
        self.fuel = 1 << 40
        self.host.attach_fuel(lambda: self.fuel, lambda fuel: setattr(self, "fuel", fuel))
        self.host.memory.attach(lambda: MEMORY, lambda: ctypes.addressof(self.memory))

    def call(self, name: str, *arguments: int) -> int | None:
        return binding._call(self.host, name)(*arguments)

    def put(self, at: int, data: bytes) -> tuple[int, int]:
        self.memory[at : at + len(data)] = data
        return at, len(data)

    def u32(self, at: int) -> int:
        return struct.unpack_from("<I", self.memory, at)[0]

    def u64(self, at: int) -> int:
        return struct.unpack_from("<Q", self.memory, at)[0]

    def open(self, path: str | bytes, directory: int = 4, flags: int = 0, rights: int = RW, fdflags: int = 0) -> int:
        """The descriptor (above 5) or minus the errno."""
        raw = path.encode() if isinstance(path, str) else path
        error = self.call("path_open", directory, 0, *self.put(1000, raw), flags, rights, rights, fdflags, 0)
        return -error if error else self.u32(0)

    def path(self, call: str, path: str | bytes, directory: int = 4) -> int:
        return self.call(call, directory, *self.put(1000, path.encode() if isinstance(path, str) else path))

    def rename(self, source: str, target: str, source_fd: int = 4, target_fd: int = 4) -> int:
        return self.call(
            "path_rename", source_fd, *self.put(1000, source.encode()), target_fd, *self.put(3000, target.encode())
        )

    def write(self, descriptor: int, data: bytes) -> int:
        """Bytes written or minus the errno."""
        self.put(8000, data)
        self.put(16, struct.pack("<II", 8000, len(data)))
        error = self.call("fd_write", descriptor, 16, 1, 24)
        return -error if error else self.u32(24)

    def read(self, descriptor: int, length: int = 1000) -> bytes | int:
        self.put(16, struct.pack("<II", 8000, length))
        error = self.call("fd_read", descriptor, 16, 1, 24)
        return -error if error else self.memory[8000 : 8000 + self.u32(24)]

    def names(self, descriptor: int) -> list[str]:
        assert self.call("fd_readdir", descriptor, 8000, 20_000, 0, 24) == 0
        raw, found = self.memory[8000 : 8000 + self.u32(24)], []
        while raw:
            length = struct.unpack_from("<I", raw, 16)[0]
            found.append(raw[24 : 24 + length].decode())
            raw = raw[24 + length :]
        return found


@pytest.fixture
def guest() -> Guest:
    return Guest()


def test_imports__all_46_functions_of_preview_1__are_bound(engine):
    assert len(abi.SIGNATURES) == 46 and set(binding.CALLS) == set(abi.SIGNATURES)
    wasm = wat(f'(module {imports(*abi.SIGNATURES)} (memory (export "memory") 1) (func (export "_start")))')
    assert engine.run(job(wasm)).exit_class is ExitClass.OK


@pytest.mark.parametrize("name", [name for name in abi.SIGNATURES if name != "proc_exit"])
@pytest.mark.parametrize("value", [-1, 0x7FFFFFFF, 65_535])
def test_call__every_argument_hostile__answers_an_errno_and_repeats(engine, name, value):
    """flt:S17: giant pointers, lengths and counts never reach Python's allocator or end in text of the host."""
    kinds = {"i": "i32", "I": "i64", "S": "i64"}
    arguments = " ".join(f"({kinds[letter]}.const {value})" for letter in abi.SIGNATURES[name])
    wasm = program(f"(call $proc_exit (call ${name} {arguments}))", name, "proc_exit")
    first, second = (engine.run(job(wasm)) for _ in range(2))
    assert first.exit_class in (ExitClass.OK, ExitClass.NONZERO) and first.exit_code <= abi.ENOTCAPABLE
    assert (first.exit_code, first.fuel) == (second.exit_code, second.fuel)


def test_call__random_arguments__never_raises_anything_but_an_end():
    """Seeded fuzz over all calls on one guest: only error numbers and declared ends come out."""
    chance = random.Random(20_240_601)
    interesting = [
        0,
        1,
        1,
        2,
        3,
        4,
        4,
        5,
        6,
        6,
        7,
        64,
        255,
        1000,
        4096,
        65_535,
        65_536,
        (1 << 31) - 1,
        1 << 31,
        (1 << 32) - 1,
    ]
    guest, ends = Guest(), set()
    names = [name for name in abi.SIGNATURES if name != "proc_exit"]
    for round_number in range(6_000):
        if round_number % 300 == 0:
            guest = Guest(stdout_bytes=100, stderr_bytes=100, output_bytes=100, output_files=1)
            guest.put(1000, b"file/dir/../x/./y")
            guest.put(4096, struct.pack("<II", 1000, 90))
        name = chance.choice(names)
        wide = {"i": interesting, "I": [*interesting, (1 << 64) - 1, 1 << 62], "S": [*interesting, -1, -(1 << 63)]}
        try:
            answer = guest.call(name, *(chance.choice(wide[letter]) for letter in abi.SIGNATURES[name]))
        except QuotaExceeded as end:
            ends.add(end.what)
            guest = Guest(stdout_bytes=100, stderr_bytes=100, output_bytes=100, output_files=1)
            continue
        assert isinstance(answer, int) and 0 <= answer <= abi.ENOTCAPABLE, name
        check_counters(guest)
    assert ends  # the fuzz reached limits too


def check_counters(guest: Guest) -> None:
    """What the quota counters say is what the tree holds."""
    for number in (4, 5):
        found = guest.host.descriptors.get(number)
        if found is None or found.preopen is None:
            continue
        files, folders, size, waiting = 0, 0, 0, [found.node]
        while waiting:
            node = waiting.pop()
            assert node.names == sorted(node.children)
            for child in node.children.values():
                files, folders = files + (not child.is_directory), folders + child.is_directory
                size += len(child.data)
                waiting += [child] if child.is_directory else []
        unlinked = {
            id(d.node): len(d.node.data)
            for d in guest.host.descriptors.values()
            if d.kind == "file" and d.node.links == 0 and d.node.area is found.node.area
        }
        area = found.node.area
        assert (area.files, area.directories, area.bytes) == (files, folders, size + sum(unlinked.values()))


@pytest.mark.parametrize(
    ("path", "errno"),
    [
        ("/etc/passwd", abi.ENOTCAPABLE),
        ("../inputs/a.txt", abi.ENOTCAPABLE),
        ("d/../../x", abi.ENOENT),
        ("a/../../../../etc/passwd", abi.ENOENT),
        ("..", abi.ENOTCAPABLE),
        ("", abi.ENOENT),
        (b"\xff\xfe", abi.EILSEQ),
        ("nul\0byte", abi.EILSEQ),
        ("line\nbreak", abi.EILSEQ),
        ("esc\x1b[2J", abi.EILSEQ),
        ("e\u0301", abi.EILSEQ),
        ("\u202egpj.exe", abi.EILSEQ),
        ("new\U0001fae8", abi.EILSEQ),
        ("x" * 256, abi.ENAMETOOLONG),
        ("x/" * 3000, abi.ENAMETOOLONG),
        ("missing/file", abi.ENOENT),
        ("file/", abi.ENOENT),
    ],
)
def test_path__escaping_or_odd__is_refused(guest, path, errno):
    """flt:S10: parent paths, absolute names, NUL, control and look-alike characters, over-long names."""
    assert guest.open(path) == -errno
    created = guest.open(path, flags=abi.O_CREAT)
    assert created == (-abi.EISDIR if path == "file/" else -errno)


def test_path__dots_and_slashes_inside__lead_to_the_same_file(guest):
    assert guest.path("path_create_directory", "d") == 0
    assert guest.write(guest.open("d/f", flags=abi.O_CREAT), b"x") == 1
    for spelling in ("./d/f", "d/./f", "d//f", "d/../d/f"):
        assert guest.read(guest.open(spelling)) == b"x"
    assert guest.open("d/../../x") == -abi.ENOTCAPABLE and guest.open("d/../..") == -abi.ENOTCAPABLE
    folder = guest.open("d", flags=abi.O_DIRECTORY, rights=abi.RIGHT_READ)
    assert guest.open("../d/f", folder) == -abi.ENOTCAPABLE and guest.read(guest.open("f", folder)) == b"x"
    assert (
        guest.open("d/f/") == -abi.ENOTDIR
        and guest.open("d/f/.") == -abi.ENOTDIR
        and guest.open("d/f/x") == -abi.ENOTDIR
    )


def test_inputs__any_change__is_refused_as_read_only(guest):
    """flt:S10: inputs are values; nothing can be written among them."""
    assert guest.read(guest.open("a.txt", 3, rights=abi.RIGHT_READ)) == b"alpha"
    assert guest.open("a.txt", 3) == -abi.EROFS
    assert guest.open("a.txt", 3, abi.O_TRUNC, abi.RIGHT_READ) == -abi.EROFS
    assert guest.open("new", 3, abi.O_CREAT) == -abi.EROFS
    assert guest.path("path_create_directory", "new", 3) == abi.EROFS
    assert guest.path("path_unlink_file", "a.txt", 3) == abi.EROFS
    assert guest.path("path_remove_directory", "d", 3) == abi.EROFS
    assert guest.rename("a.txt", "b.txt", 3, 3) == abi.EROFS
    descriptor = guest.open("a.txt", 3, rights=abi.RIGHT_READ)
    assert guest.write(descriptor, b"x") == -abi.EBADF
    assert guest.call("fd_filestat_set_size", descriptor, 0) == abi.EBADF


def test_descriptor__opened_from_another_preopen__stays_in_its_area(guest):
    assert guest.rename("a.txt", "stolen", 3, 4) == abi.EXDEV
    guest.open("x", 5, abi.O_CREAT)
    assert guest.rename("x", "y", 5, 4) == abi.EXDEV


@pytest.mark.parametrize("call", ["path_symlink", "path_link"])
def test_links__of_any_kind__are_not_supported(guest, call):
    """flt:S8: no link can be made, so none can be in a result."""
    count = len(abi.SIGNATURES[call])
    assert guest.call(call, *([4] * count)) == abi.ENOTSUP
    guest.open("f", flags=abi.O_CREAT)
    assert guest.call("path_readlink", 4, *guest.put(1000, b"f"), 0, 10, 20) == abi.EINVAL


@pytest.mark.parametrize("call", ["sock_accept", "sock_recv", "sock_send", "sock_shutdown", "proc_raise"])
def test_sockets_and_signals__are_not_supported(guest, call):
    """flt:S1, beh:K8: there is no network to ask for."""
    assert guest.call(call, *([3] * len(abi.SIGNATURES[call]))) == abi.ENOTSUP


def test_readdir__names_made_in_any_order__come_in_byte_order(guest):
    for name in ("é", "b", "Z", "a", "10", "9"):
        guest.open(name, flags=abi.O_CREAT)
    assert guest.names(4) == [".", "..", "10", "9", "Z", "a", "b", "é"]
    assert guest.names(3) == [".", "..", "a.txt", "d"]


def test_readdir__small_buffer_and_cookies__give_every_entry_once(guest):
    for number in range(8):
        guest.open(f"name-{number:03}", flags=abi.O_CREAT)
    cookie, found = 0, []
    while True:
        assert guest.call("fd_readdir", 4, 8000, 70, cookie, 24) == 0
        used = guest.u32(24)
        raw = guest.memory[8000 : 8000 + used]
        if not used:
            break
        while len(raw) >= 24:
            following, _, length = struct.unpack_from("<QQI", raw)
            if len(raw) < 24 + length:
                break
            found.append(raw[24 : 24 + length].decode())
            cookie, raw = following, raw[24 + length :]
    assert found == [".", ".."] + [f"name-{number:03}" for number in range(8)]
    assert guest.call("fd_readdir", 4, 8000, 70, (1 << 64) - 1, 24) == 0 and guest.u32(24) == 0


def test_readdir__entries_removed_while_reading__still_end(guest):
    for name in "abc":
        guest.open(name, flags=abi.O_CREAT)
    assert guest.call("fd_readdir", 4, 8000, 50, 0, 24) == 0
    for name in "abc":
        assert guest.path("path_unlink_file", name) == 0
    assert guest.call("fd_readdir", 4, 8000, 1000, 5, 24) == 0 and guest.u32(24) == 0
    assert guest.names(4) == [".", ".."]


def test_inodes__after_deletion__are_never_used_again(guest):
    """The counter, not an object's address: the same in every run."""
    inodes = []
    for name in ("one", "two", "three"):
        descriptor = guest.open(name, flags=abi.O_CREAT)
        assert guest.call("fd_filestat_get", descriptor, 100) == 0
        inodes.append(guest.u64(108))
        guest.call("fd_close", descriptor)
        guest.path("path_unlink_file", name)
    assert inodes == [inodes[0], inodes[0] + 1, inodes[0] + 2]


def test_filestat__times__are_the_fixed_epoch_and_setting_them_changes_nothing(guest):
    descriptor = guest.open("f", flags=abi.O_CREAT)
    assert guest.call("fd_filestat_set_times", descriptor, 1, 2, 5) == 0
    assert guest.call("fd_filestat_get", descriptor, 100) == 0
    assert [guest.u64(at) for at in (140, 148, 156)] == [EPOCH_NS] * 3


def test_clock__each_call__moves_on_by_a_microsecond_and_sleep_costs_no_time(guest):
    assert guest.call("clock_time_get", 0, 0, 0) == 0 and guest.call("clock_time_get", 1, 0, 8) == 0
    assert (guest.u64(0), guest.u64(8)) == (EPOCH_NS + CALL_NS, 2 * CALL_NS)
    guest.put(100, struct.pack("<QBxxxxxxxIxxxxQQHxxxxxx", 77, 0, 1, 5_000_000_000, 0, 0))
    assert guest.call("poll_oneoff", 100, 200, 1, 300) == 0
    assert (guest.u32(300), guest.u64(200), guest.memory[210]) == (1, 77, b"\0")
    guest.call("clock_time_get", 1, 0, 8)
    assert guest.u64(8) == 5_000_000_000 + 4 * CALL_NS
    assert guest.call("clock_time_get", 9, 0, 0) == abi.EINVAL


def test_poll__descriptors_and_clocks__only_what_is_ready_is_told(guest):
    clock = struct.pack("<QBxxxxxxxIxxxxQQHxxxxxx", 1, 0, 1, 1 << 62, 0, 0)
    stdin = struct.pack("<QBxxxxxxxI", 2, 1, 0).ljust(48, b"\0")
    absent = struct.pack("<QBxxxxxxxI", 3, 2, 99).ljust(48, b"\0")
    guest.put(100, clock + stdin + absent)
    assert guest.call("poll_oneoff", 100, 1000, 3, 300) == 0
    assert guest.u32(300) == 2
    assert (guest.u64(1000), guest.u64(1032)) == (2, 3)
    assert struct.unpack_from("<H", guest.memory, 1040)[0] == abi.EBADF
    guest.call("clock_time_get", 1, 0, 8)
    assert guest.u64(8) < 1_000_000  # no time passed
    assert guest.call("poll_oneoff", 100, 1000, 0, 300) == abi.EINVAL
    assert guest.call("poll_oneoff", 100, 1000, 257, 300) == abi.EINVAL


def test_write__seek_far_beyond_the_end__is_stopped_by_the_quota_before_memory_is_taken(guest):
    """flt:S6: writes stop at the limit; a hole of 2^62 bytes costs nothing."""
    descriptor = guest.open("f", 5, abi.O_CREAT)
    assert guest.call("fd_seek", descriptor, 1 << 62, 0, 0) == 0
    assert guest.write(descriptor, b"x") == -abi.ENOSPC
    assert guest.call("fd_filestat_set_size", descriptor, 1 << 61) == abi.ENOSPC
    assert guest.call("fd_allocate", descriptor, 0, 1 << 61) == abi.ENOSPC
    assert guest.call("fd_seek", descriptor, -1, 0, 0) == abi.EINVAL
    assert guest.write(guest.open("g", 5, abi.O_CREAT), b"y" * 1000) == 1000


def test_outputs__over_bytes_or_files__end_the_job(guest):
    """flt:S6: passing a declared limit is a failed run, never a cut file."""
    descriptor = guest.open("f", flags=abi.O_CREAT)
    with pytest.raises(QuotaExceeded, match="outputBytes"):
        guest.call("fd_filestat_set_size", descriptor, 100_001)
    for number in range(9):
        assert guest.open(f"g{number}", flags=abi.O_CREAT) > 5
    with pytest.raises(QuotaExceeded, match="outputFiles"):
        guest.open("one-too-many", flags=abi.O_CREAT)


def test_outputs__deleted_file_still_open__counts_until_it_is_closed(guest):
    descriptor = guest.open("f", 5, abi.O_CREAT)
    guest.call("fd_filestat_set_size", descriptor, 1 << 20)
    assert guest.path("path_unlink_file", "f", 5) == 0
    other = guest.open("g", 5, abi.O_CREAT)
    assert guest.write(other, b"x") == -abi.ENOSPC
    assert guest.call("fd_close", descriptor) == 0
    assert guest.write(other, b"x") == 1


def test_depth__more_than_31_levels__is_refused_also_by_rename(guest):
    path = "/".join(["d"] * 31)
    for depth in range(1, 32):
        assert guest.path("path_create_directory", "/".join(["d"] * depth)) == 0
    assert guest.path("path_create_directory", path + "/d") == abi.ENAMETOOLONG
    assert guest.open(path + "/f", flags=abi.O_CREAT) == -abi.ENAMETOOLONG
    assert guest.path("path_create_directory", "e") == 0
    assert guest.path("path_create_directory", "e/e") == 0
    assert guest.rename("e", "/".join(["d"] * 30) + "/e") == abi.ENAMETOOLONG


def test_path_bytes__built_up_by_short_steps__stay_below_4096(guest):
    """A path longer than a result may have cannot be made by opening one folder after another."""
    folder, name = 4, "n" * 250
    for _ in range(16):
        assert guest.path("path_create_directory", name, folder) == 0
        folder = guest.open(name, folder, abi.O_DIRECTORY, abi.RIGHT_READ)
    assert guest.path("path_create_directory", name, folder) == abi.ENAMETOOLONG
    assert guest.open(name, folder, abi.O_CREAT) == -abi.ENAMETOOLONG


def test_names__in_one_output_folder__fit_one_block():
    guest = Guest(output_files=5_000)
    with pytest.raises(QuotaExceeded, match="outputNames"):
        for number in range(2_000):
            descriptor = guest.open(f"{number:04}", flags=abi.O_CREAT)
            guest.call("fd_close", descriptor)
    assert number == 1_000
    guest = Guest(output_files=5_000)
    with pytest.raises(QuotaExceeded, match="outputNames"):
        for number in range(1_000):
            guest.call("fd_close", guest.open(f"{number:04}" + "x" * 250, flags=abi.O_CREAT))


def test_rename__onto_itself_file_folder_and_into_itself__follows_posix(guest):
    guest.write(guest.open("f", flags=abi.O_CREAT), b"f")
    guest.write(guest.open("g", flags=abi.O_CREAT), b"g")
    for folder in ("d", "e", "full"):
        guest.path("path_create_directory", folder)
    guest.open("full/x", flags=abi.O_CREAT)
    assert guest.rename("f", "f") == 0 and guest.read(guest.open("f")) == b"f"
    assert guest.rename("f", "g") == 0 and guest.read(guest.open("g")) == b"f" and guest.open("f") == -abi.ENOENT
    assert guest.rename("g", "d") == abi.EISDIR and guest.rename("d", "g") == abi.ENOTDIR
    assert guest.rename("d", "full") == abi.ENOTEMPTY and guest.rename("d", "d/inside") == abi.EINVAL
    assert guest.rename("d", "e") == 0 and guest.names(4) == [".", "..", "e", "full", "g"]
    assert guest.rename("absent", "x") == abi.ENOENT and guest.rename(".", "x") == abi.EINVAL
    assert guest.rename("g", "h/") in (abi.ENOTDIR, abi.ENOENT)
    check_counters(guest)


def test_remove__wrong_kind_or_not_empty__is_refused(guest):
    guest.path("path_create_directory", "d")
    guest.open("d/f", flags=abi.O_CREAT)
    assert guest.path("path_unlink_file", "d") == abi.EISDIR
    assert guest.path("path_remove_directory", "d/f") == abi.ENOTDIR
    assert guest.path("path_remove_directory", "d") == abi.ENOTEMPTY
    assert guest.path("path_unlink_file", "d/f") == 0 and guest.path("path_remove_directory", "d/") == 0
    assert guest.path("path_remove_directory", ".") == abi.EINVAL


def test_removed_folder__still_open__takes_no_new_files(guest):
    guest.path("path_create_directory", "d")
    folder = guest.open("d", flags=abi.O_DIRECTORY, rights=abi.RIGHT_READ)
    assert guest.path("path_remove_directory", "d") == 0
    assert guest.open("f", folder, abi.O_CREAT) == -abi.ENOENT
    guest.open("g", flags=abi.O_CREAT)
    assert guest.rename("g", "x", 4, folder) == abi.ENOENT


def test_open__flags__follow_posix(guest):
    guest.path("path_create_directory", "d")
    guest.write(guest.open("f", flags=abi.O_CREAT), b"old")
    assert guest.open("f", flags=abi.O_CREAT | abi.O_EXCL) == -abi.EEXIST
    assert guest.open("f", flags=abi.O_DIRECTORY) == -abi.ENOTDIR
    assert guest.open("d") == -abi.EISDIR and guest.open("d", flags=abi.O_TRUNC, rights=2) == -abi.EISDIR
    assert guest.open("new", flags=abi.O_CREAT | abi.O_DIRECTORY) == -abi.EINVAL
    append = guest.open("f", fdflags=abi.FD_APPEND)
    assert guest.write(append, b"+new") == 4 and guest.read(guest.open("f")) == b"old+new"
    assert guest.read(guest.open("f", flags=abi.O_TRUNC)) == b""


def test_descriptors__more_than_256__are_refused_and_the_lowest_is_reused(guest):
    guest.open("f", flags=abi.O_CREAT)
    numbers = [guest.open("f") for _ in range(249)]
    assert numbers[-1] == 255 and guest.open("f") == -abi.EMFILE
    assert guest.call("fd_close", 100) == 0 and guest.open("f") == 100
    assert guest.call("fd_close", 1000) == abi.EBADF


def test_renumber__moves_and_closes_the_target(guest):
    first, second = guest.open("f", flags=abi.O_CREAT), guest.open("g", flags=abi.O_CREAT)
    guest.write(first, b"f")
    assert guest.call("fd_renumber", first, second) == 0
    assert guest.call("fd_tell", second, 0) == 0 and guest.u64(0) == 1
    assert guest.call("fd_tell", first, 0) == abi.EBADF and guest.call("fd_renumber", second, 77) == abi.EBADF
    assert guest.call("fd_renumber", second, second) == 0


def test_rights__can_only_be_given_up(guest):
    descriptor = guest.open("f", flags=abi.O_CREAT)
    assert guest.call("fd_fdstat_set_rights", descriptor, abi.RIGHT_READ, 0) == 0
    assert guest.write(descriptor, b"x") == -abi.EBADF
    assert guest.call("fd_fdstat_set_rights", descriptor, RW, 0) == abi.ENOTCAPABLE


def test_streams__wrong_direction_or_seek__is_refused(guest):
    assert guest.read(0) == b"" and guest.read(1) == -abi.EBADF and guest.write(0, b"x") == -abi.EBADF
    assert guest.call("fd_seek", 1, 0, 0, 0) == abi.ESPIPE and guest.read(4) == -abi.EISDIR
    assert guest.write(1, b"out") == 3 and bytes(guest.host.stdout.data) == b"out"


def test_pread_and_pwrite__leave_the_position_alone(guest):
    descriptor = guest.open("f", flags=abi.O_CREAT)
    guest.write(descriptor, b"0123456789")
    guest.put(8000, b"AB")
    guest.put(16, struct.pack("<II", 8000, 2))
    assert guest.call("fd_pwrite", descriptor, 16, 1, 4, 24) == 0
    assert guest.call("fd_pread", descriptor, 16, 1, 3, 24) == 0 and guest.memory[8000:8002] == b"3A"
    assert guest.call("fd_tell", descriptor, 0) == 0 and guest.u64(0) == 10
    assert guest.call("fd_pread", descriptor, 16, 1, (1 << 64) - 1, 24) == 0 and guest.u32(24) == 0


def test_iovecs__overlapping_and_counted_many_times__are_bounded_by_count_and_quota(guest):
    descriptor = guest.open("f", 5, abi.O_CREAT)
    guest.put(16_000, struct.pack("<II", 0, 60_000) * 1024)
    assert guest.call("fd_write", descriptor, 16_000, 1024, 24) == abi.ENOSPC  # 61 MB against a scratch disk of 1 MiB
    assert guest.call("fd_write", descriptor, 16_000, 1025, 24) == abi.EINVAL
    with pytest.raises(QuotaExceeded, match="stdout"):
        guest.call("fd_write", 1, 16_000, 1024, 24)


def test_failed_call__bad_result_pointer__has_no_effect(guest):
    guest.put(16, struct.pack("<II", 0, 5))
    assert guest.call("fd_write", 1, 16, 1, MEMORY - 3) == abi.EFAULT and not guest.host.stdout.data
    guest.put(1000, b"f")
    assert guest.call("path_open", 4, 0, 1000, 1, abi.O_CREAT, RW, RW, 0, MEMORY) == abi.EFAULT
    assert guest.names(4) == [".", ".."]


def test_arguments_and_environment__exactly_what_the_job_lists__are_seen(guest):
    guest.host.args, guest.host.environ = [b"a\0", b"bc\0"], [b"K=V\0"]
    assert guest.call("args_sizes_get", 0, 4) == 0 and (guest.u32(0), guest.u32(4)) == (2, 5)
    assert guest.call("args_get", 100, 200) == 0
    assert (guest.u32(100), guest.u32(104), guest.memory[200:205]) == (200, 202, b"a\0bc\0")
    assert guest.call("environ_sizes_get", 0, 4) == 0 and (guest.u32(0), guest.u32(4)) == (1, 4)
    assert guest.call("args_get", MEMORY - 4, 200) == abi.EFAULT


def test_host_call__that_fails_inside__ends_as_indeterminate_without_text_of_the_host(engine, monkeypatch):
    """A fault of ours is one exit class, and nothing of the message reaches the result."""
    monkeypatch.setitem(binding.CALLS, "sched_yield", lambda host: 1 // 0)
    result = engine.run(job(program("(drop (call $sched_yield))", "sched_yield")))
    assert (result.exit_class, result.detail, result.stderr) == (ExitClass.INDETERMINATE, "host fault", b"")
