"""An agent as a process of its own, with its own loop, signals, sockets and files, forked from the one that tests it.

A fork lives as a started program does, a second of imports apart: it opens everything anew and shares nothing that is
open. What it did is read from outside: the chain, its health endpoint, its log file, its exit code.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lilypad_agents.chain.crash import CrashPlan
from lilypad_agents.errors import LilypadError

_LOOK_S = 0.02


@dataclass
class RecordedPlan(CrashPlan):
    """A crash plan that also writes the name of each point to a file, where it outlives the process."""

    path: Path = Path(os.devnull)

    def point(self, name: str) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(name + "\n")
        super().point(name)


@dataclass
class AgentProcess:
    """`live` runs the agent to its end and returns its exit code; `data` is the agent's folder.

    `before` is called in the new process first, to put limits or clocks in place.
    """

    data: Path
    live: Callable[[CrashPlan], int]
    pid: int = 0
    _code: int | None = field(default=None, repr=False)
    _health: str = field(default="", repr=False)

    # ---- lives

    def start(self, crash: CrashPlan | None = None, before: Callable[[], None] | None = None) -> None:
        """Starts a life. Raises AssertionError while one runs."""
        assert not self.alive, "it runs"
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.data / "health.json").unlink(missing_ok=True)
        (self.data / "ended.json").unlink(missing_ok=True)
        self._health, self._code = "", None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            self._live(crash or CrashPlan(), before)

    def _live(self, crash: CrashPlan, before: Callable[[], None] | None) -> None:
        status = 3
        try:
            _let_go(self.data / "output")
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if before is not None:
                before()
            status = self.live(crash)
        except LilypadError as error:
            (self.data / "ended.json").write_text(json.dumps(error.as_dict(), default=str))
            print(error.message, file=sys.stderr)
            status = error.exit_code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    @property
    def alive(self) -> bool:
        """Whether it runs or is suspended."""
        return bool(self.pid) and self.code is None

    @property
    def code(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs, and before its first life."""
        if self.pid and self._code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def signal(self, number: int) -> None:
        if self.alive:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Its exit code (minus a signal's number), None while it still runs after so long."""
        end = time.monotonic() + seconds
        while self.alive and time.monotonic() < end:
            time.sleep(_LOOK_S)
        return self.code

    def kill(self) -> None:
        """kill -9, and what it leaves is final when this returns."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    # ---- what it tells

    def get(self, path: str, seconds: float = 1.0) -> bytes | None:
        """The body of an answer of its health endpoint; None while there is none."""
        try:
            self._health = self._health or json.loads((self.data / "health.json").read_text())["url"]
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(self._health + path, timeout=seconds) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as refusal:
            return bytes(refusal.read())
        except (OSError, ValueError):
            return None

    def against(self) -> dict[str, str] | None:
        """Its reasons against being ready; None while it does not answer."""
        body = self.get("/readyz")
        return None if body is None else dict(json.loads(body)["reasons"])

    @property
    def ready(self) -> bool:
        return self.against() == {}

    def log(self, event: str = "") -> list[dict[str, Any]]:
        """Its log lines over all its lives, or those of an event."""
        lines: list[dict[str, Any]] = []
        for path in (self.data / "agent.log.1", self.data / "agent.log"):
            if path.is_file():  # not the device that a full disk is played with
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                    try:
                        lines.append(json.loads(line))
                    except ValueError:  # the last line of a killed process
                        continue
        return [line for line in lines if not event or line["event"] == event]

    def ended(self) -> dict[str, Any]:
        """The error by which it ended as `as_dict` tells it; empty for none."""
        path = self.data / "ended.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def output(self) -> str:
        path = self.data / "output"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _let_go(output: Path) -> None:
    """Turns every inherited descriptor to nowhere, so that a listener of the parent is not kept open here.

    The numbers stay taken: an object of the parent that is dropped here later closes nothing of ours.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for text in os.listdir("/proc/self/fd"):
        number = int(text)
        if number not in (0, 1, 2, nowhere, written):
            try:
                os.fstat(number)
                os.dup2(nowhere, number)
            except OSError:
                continue
    os.dup2(nowhere, 0)
    os.dup2(written, 1)
    os.dup2(written, 2)
