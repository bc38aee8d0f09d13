"""Reading a file that somebody else may have put there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lilypad_agents.execution.errors import ResultRefused


def read_plain(path: Path, limit: int) -> bytes:
    """A regular file with one link, at most `limit` bytes; ResultRefused for anything else, OSError if unreadable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise ResultRefused(f"{path.name} is no plain file")
        if status.st_size > limit:
            raise ResultRefused(f"{path.name} has {status.st_size} bytes, {limit} are allowed", bytes=status.st_size)
        data = file.read(status.st_size + 1)
    if len(data) != status.st_size:
        raise ResultRefused(f"{path.name} changes while it is read")
    return data
