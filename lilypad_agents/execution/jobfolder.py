"""A job's folder: how a run is found, adopted or stopped by its label after the agent was killed.

`spec` is written by the agent, `process` (who runs it) by the fork server before the job may start, `result.partial`
by the job and renamed to `result` by the fork server once the job has ended well. A `result` is therefore whole.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
from pathlib import Path

from lilypad_agents.errors import UsageError
from lilypad_agents.execution.cache import write_atomically
from lilypad_agents.execution.errors import ResultRefused
from lilypad_agents.execution.plainfile import read_plain

_LABEL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
KILL_WAIT_MS = 5_000


class JobFolder:
    """Paths and processes of one job below the pool's folder; the label is checked, so it can be no path."""

    def __init__(self, jobs: Path, label: str) -> None:
        if not _LABEL.fullmatch(label):
            raise UsageError(
                f"a job label has letters, digits, `-`, `_` and `.` only, at most 128: {ascii(label[:80])}"
            )
        self.label = label
        self.path = jobs / label
        self.spec = self.path / "spec"
        self.process = self.path / "process"
        self.partial = self.path / "result.partial"
        self.result = self.path / "result"

    def create(self, spec: bytes) -> None:
        """Makes the folder with the job in it; raises OSError and leaves nothing behind when the disk refuses."""
        self.path.mkdir(mode=0o700, parents=True)
        try:
            write_atomically(self.spec, spec)
        except OSError:
            self.remove()
            raise

    def record_process(self, pid: int) -> None:
        identity = {"pid": pid, "started": start_time(pid), "boot": boot_id()}
        write_atomically(self.process, json.dumps(identity).encode())

    def stop_leftover(self) -> bool:
        """Kills the process group that the folder names, if it still is the one that was started. True if it was."""
        try:
            found = json.loads(read_plain(self.process, 4096))
            pid, started, boot = int(found["pid"]), int(found["started"]), str(found["boot"])
        except (OSError, ValueError, KeyError, TypeError, ResultRefused):
            return False
        try:
            descriptor = os.pidfd_open(pid)
        except (OSError, OverflowError):
            return False
        try:
            # Checked after the descriptor is open, so that the number cannot pass to another process in between.
            if pid <= 1 or boot != boot_id() or started != start_time(pid):
                return False
            _kill_group_only(pid)
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            poller.poll(KILL_WAIT_MS)
        finally:
            os.close(descriptor)
        return True

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def kill_group(pid: int) -> None:
    """Kills a child that was not yet waited for, with its whole process group if it already made one."""
    _kill_group_only(pid)
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _kill_group_only(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot (field 22 of /proc/<pid>/stat); 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(text[text.rindex(b")") + 2 :].split()[19])


def boot_id() -> str:
    """Identity of this boot of the machine; process ids mean nothing across boots."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
