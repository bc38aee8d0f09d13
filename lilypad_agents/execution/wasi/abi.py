"""Numbers and layouts of WASI preview 1 (snapshot_preview1, 46 functions).

Source: the witx files of WebAssembly/WASI, `legacy/preview1`. Only what `execution.wasi` uses is named.
"""

from __future__ import annotations

from collections.abc import Mapping

MODULE = "wasi_snapshot_preview1"

ESUCCESS, EBADF, EEXIST, EFAULT, EFBIG, EILSEQ, EINVAL, EISDIR = 0, 8, 20, 21, 22, 25, 28, 31
EMFILE, ENAMETOOLONG, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY, ENOTSOCK, ENOTSUP = 33, 37, 44, 51, 54, 55, 57, 58
EROFS, ESPIPE, EXDEV, ENOTCAPABLE = 69, 70, 75, 76

TYPE_UNKNOWN, TYPE_DIRECTORY, TYPE_REGULAR = 0, 3, 4

O_CREAT, O_DIRECTORY, O_EXCL, O_TRUNC = 1, 2, 4, 8
FD_APPEND = 1
FD_FLAGS_ALL = 0x1F
RIGHT_READ, RIGHT_SEEK, RIGHT_WRITE, RIGHT_READDIR = 1 << 1, 1 << 2, 1 << 6, 1 << 14
RIGHTS_ALL = (1 << 30) - 1
RIGHTS_STREAM = RIGHT_READ | RIGHT_WRITE | 1 << 21 | 1 << 27  # read, write, filestat_get, poll
RIGHTS_FILE = (1 << 9) - 1 | 0b111 << 21 | 1 << 27  # datasync to allocate, filestat get and set, poll

CLOCK_REALTIME, CLOCK_THREAD = 0, 3
EVENT_CLOCK, EVENT_FD_READ, EVENT_FD_WRITE = 0, 1, 2
SUBSCRIPTION_SIZE, EVENT_SIZE, IOVEC_SIZE = 48, 32, 8

# One letter per parameter: i = u32, I = u64, S = s64 (only the seek offset is signed). Every function but proc_exit
# returns an errno.
SIGNATURES: Mapping[str, str] = {
    "args_get": "ii",
    "args_sizes_get": "ii",
    "environ_get": "ii",
    "environ_sizes_get": "ii",
    "clock_res_get": "ii",
    "clock_time_get": "iIi",
    "fd_advise": "iIIi",
    "fd_allocate": "iII",
    "fd_close": "i",
    "fd_datasync": "i",
    "fd_fdstat_get": "ii",
    "fd_fdstat_set_flags": "ii",
    "fd_fdstat_set_rights": "iII",
    "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_pread": "iiiIi",
    "fd_prestat_get": "ii",
    "fd_prestat_dir_name": "iii",
    "fd_pwrite": "iiiIi",
    "fd_read": "iiii",
    "fd_readdir": "iiiIi",
    "fd_renumber": "ii",
    "fd_seek": "iSii",
    "fd_sync": "i",
    "fd_tell": "ii",
    "fd_write": "iiii",
    "path_create_directory": "iii",
    "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii",
    "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii",
    "path_remove_directory": "iii",
    "path_rename": "iiiiii",
    "path_symlink": "iiiii",
    "path_unlink_file": "iii",
    "poll_oneoff": "iiii",
    "proc_exit": "i",
    "proc_raise": "i",
    "sched_yield": "",
    "random_get": "ii",
    "sock_accept": "iii",
    "sock_recv": "iiiiii",
    "sock_send": "iiiii",
    "sock_shutdown": "ii",
}


class Errno(Exception):
    """A host call fails with a WASI error number, which becomes its return value."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
