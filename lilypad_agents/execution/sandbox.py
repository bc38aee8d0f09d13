"""What a job's process gives up before it runs a program. Linux only; each step needs no helper binary.

WASM itself reaches nothing of the host; this is the second wall, for the case that the compiler has a bug. As root a
job loses its root folder, its user id and all capabilities; always it loses descriptors, environment, the right to
start processes (by system call filter), and memory, file and CPU limits are set. What the kernel refuses is left out,
and `enter` says what was reached.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

JOB_UID = 65534
_CLONE_NEWNET, _CLONE_NEWIPC, _CLONE_NEWUSER = 0x40000000, 0x08000000, 0x10000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522

# System calls that a running job needs: memory, its result file, signals, time, exit. Everything else is EPERM.
_ALLOWED = {
    "x86_64": (
        0xC000003E,
        {
            "read": 0,
            "write": 1,
            "close": 3,
            "fstat": 5,
            "lseek": 8,
            "mmap": 9,
            "mprotect": 10,
            "munmap": 11,
            "brk": 12,
            "rt_sigaction": 13,
            "rt_sigprocmask": 14,
            "rt_sigreturn": 15,
            "mremap": 25,
            "sched_yield": 24,
            "madvise": 28,
            "getpid": 39,
            "exit": 60,
            "getrusage": 98,
            "times": 100,
            "sigaltstack": 131,
            "gettid": 186,
            "futex": 202,
            "clock_gettime": 228,
            "exit_group": 231,
            "fsync": 74,
            "membarrier": 324,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "read": 63,
            "write": 64,
            "close": 57,
            "fstat": 80,
            "lseek": 62,
            "mmap": 222,
            "mprotect": 226,
            "munmap": 215,
            "brk": 214,
            "rt_sigaction": 134,
            "rt_sigprocmask": 135,
            "rt_sigreturn": 139,
            "mremap": 216,
            "sched_yield": 124,
            "madvise": 233,
            "getpid": 172,
            "exit": 93,
            "getrusage": 165,
            "times": 153,
            "sigaltstack": 132,
            "gettid": 178,
            "futex": 98,
            "clock_gettime": 113,
            "exit_group": 94,
            "fsync": 82,
            "membarrier": 283,
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a job's process: `data_bytes` of writable memory, `file_bytes` per file, `cpu_seconds` of CPU."""

    data_bytes: int
    file_bytes: int
    cpu_seconds: int


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """The kernel kills this process when `parent` (a process id) dies; exits at once if it already has."""
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(75)


def leave_network() -> bool:
    """Moves this process and its children to come into a network namespace without devices; false when refused.

    Without root rights that takes a user namespace, in which this user stays what it is. Call it from a process
    without threads.
    """
    if _libc().unshare(_CLONE_NEWNET | _CLONE_NEWIPC) == 0:
        return True
    if os.geteuid() == 0 or not _child_can(_enter_user_namespace):
        return False
    return _attempt(_enter_user_namespace)


def _enter_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    if _libc().unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    # Unmapped, this user could create no files, such as results.
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _child_can(step: Callable[[], object]) -> bool:
    """Tries an irreversible step in a child first: some systems refuse it half way."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if _attempt(step) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def keep_only(descriptors: Iterable[int]) -> None:
    """Closes every descriptor but these and 0, 1, 2, which become /dev/null."""
    kept = sorted({0, 1, 2, *descriptors})
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    start = 3
    for descriptor in kept[3:]:
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], start))


def enter(bounds: Bounds, empty_folder: str, parent: int) -> list[str]:
    """Gives up everything that a running job does not need; irreversible. Returns the names of what was reached.

    `empty_folder` becomes the root folder where permitted. Call it last: afterwards nothing can be opened or imported.
    """
    os.environ.clear()
    reached = [name for name, step in _steps(bounds, empty_folder) if _attempt(step)]
    die_with_parent(parent)  # changing the user id had cleared it
    if _attempt(filter_system_calls):
        reached.append("seccomp")
    return reached


def _steps(bounds: Bounds, empty_folder: str) -> list[tuple[str, Callable[[], object]]]:
    return [
        ("limits", lambda: _set_limits(bounds)),
        ("root", lambda: _change_root(empty_folder)),
        ("user", _drop_user),
        ("capabilities", _drop_capabilities),
        ("dumpable", lambda: _prctl(_PR_SET_DUMPABLE, 0)),
        ("no-new-privileges", lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1)),
    ]


def _attempt(step: Callable[[], object]) -> bool:
    try:
        step()
    except (OSError, ValueError):
        return False
    return True


def _set_limits(bounds: Bounds) -> None:
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: bounds.cpu_seconds,
        resource.RLIMIT_DATA: bounds.data_bytes,
        resource.RLIMIT_FSIZE: bounds.file_bytes,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_NPROC: 0,  # binds once the user id is dropped; the filter binds for every user
    }
    for which, value in wanted.items():
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def _change_root(empty_folder: str) -> None:
    os.chroot(empty_folder)
    os.chdir("/")


def _drop_user() -> None:
    if os.geteuid() != 0:
        raise PermissionError
    os.setgroups([])
    os.setresgid(JOB_UID, JOB_UID, JOB_UID)
    os.setresuid(JOB_UID, JOB_UID, JOB_UID)


def _drop_capabilities() -> None:
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    if _libc().capset(ctypes.c_char_p(header), ctypes.c_char_p(bytes(24))) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def filter_system_calls() -> None:
    """Lets this process make only the calls of a running job; others fail with EPERM. Raises OSError where unknown."""
    found = _ALLOWED.get(platform.machine())
    if found is None:
        raise OSError("no system call list for this processor")
    architecture, calls = found
    program = _filter_program(architecture, sorted(calls.values()))
    buffer = ctypes.create_string_buffer(program)
    fprog = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    if _libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(fprog), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def _filter_program(architecture: int, numbers: list[int]) -> bytes:
    """Classic BPF: another architecture is killed, listed numbers pass, the rest get EPERM."""
    load, equal, answer = 0x20, 0x15, 0x06
    kill, allow, refuse = 0x80000000, 0x7FFF0000, 0x00050001
    code = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, kill), (load, 0, 0, 0)]
    for index, number in enumerate(numbers):
        code.append((equal, len(numbers) - index, 0, number))
    code += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
    return b"".join(struct.pack("<HBBI", *line) for line in code)
