"""Starting and stopping processes that outlive this one, without ever touching somebody else's.

A process is known by its id together with its start time and the boot it belongs to, so a number that was given to
another program meanwhile is never signalled.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilypad_agents.devnet.errors import DevnetPartFailed
from lilypad_agents.execution.jobfolder import boot_id, start_time

STOP_SECONDS = 12.0


@dataclass(frozen=True)
class Identity:
    """A running process: `started` in clock ticks since `boot`."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        return cls(pid, start_time(pid), boot_id())

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return (
            self.boot == boot_id() and self.started != 0 and start_time(self.pid) == self.started and not _is_zombie(self.pid)
        )

    def to_json(self) -> dict[str, Any]:
        return {"pid": self.pid, "started": self.started, "boot": self.boot}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Identity:
        return cls(int(document["pid"]), int(document["started"]), str(document["boot"]))


def spawn(name: str, command: Sequence[str], log: Path, folder: Path, environment: Mapping[str, str]) -> Identity:
    """Starts a program in a session of its own, with its output appended to `log`. Raises DevnetPartFailed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
            )
    except OSError as error:
        raise DevnetPartFailed(f"{name} does not start: {error.strerror}.", part=name, log=str(log)) from error
    return Identity.of(process.pid)


def stop(identity: Identity, seconds: float = STOP_SECONDS) -> bool:
    """Asks a process to end and kills it after `seconds`; False when it did not run any more."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except (OSError, OverflowError):
        return False
    try:
        # Looked at after the descriptor is open: from here on the number cannot pass to another process.
        if not identity.alive:
            return False
        for number in (signal.SIGCONT, signal.SIGTERM):
            signal.pidfd_send_signal(descriptor, number)
        if not _ended(descriptor, seconds):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            _ended(descriptor, 5.0)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)
    _reap(identity.pid)
    return True


def tail(log: Path, lines: int = 12) -> str:
    """The end of a log file, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8_192))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""


def _ended(descriptor: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def _reap(pid: int) -> None:
    """Forgets a child that has ended; other processes' children are their own business."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def _is_zombie(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return text[text.rindex(b")") + 2 :].split()[0] in (b"Z", b"X")
