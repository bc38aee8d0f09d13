"""One process per key and per data folder, by advisory file locks that die with their holder."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from lilypad_agents.chain.errors import AlreadyRunning
from lilypad_agents.chain.types import ChainId


class ProcessLock:
    """Holds `path` until `release`, the end of the `with` block, or the end of the process.

    The file names the holder's process id for the second comer. A forked worker drops its inherited handle, so a job
    that outlives its agent does not keep the agent's lock.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        self._handle: int | None = None

    def acquire(self) -> ProcessLock:
        """Raises AlreadyRunning, naming the holder, when another process has the lock."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(handle)
            os.close(handle)
            raise AlreadyRunning(
                f"The {self.what} is in use by process {holder or 'unknown'}.", holder=holder, path=str(self.path)
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle
        os.register_at_fork(after_in_child=self._drop_in_child)
        return self

    def release(self) -> None:
        """Gives the lock up; a second call does nothing."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.ftruncate(handle, 0)
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)

    def _drop_in_child(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                os.close(handle)

    def __enter__(self) -> ProcessLock:
        return self if self._handle is not None else self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_folder(folder: Path) -> ProcessLock:
    """The lock of an agent's data folder. Raises AlreadyRunning."""
    return ProcessLock(folder / "agent.lock", f"data folder {folder}").acquire()


def lock_key(state_folder: Path, chain_id: ChainId, address: str) -> ProcessLock:
    """The lock of one key on one chain, in a folder shared by all agents of this user. Raises AlreadyRunning."""
    path = state_folder / "locks" / f"{chain_id}-{address.lower()}.lock"
    return ProcessLock(path, f"key of {address} on chain {chain_id}").acquire()


def _read_holder(handle: int) -> int | None:
    try:
        return int(os.pread(handle, 32, 0))
    except ValueError:
        return None
