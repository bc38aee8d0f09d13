"""Points at which a test may kill the process, so that a sweep can show that no point loses or repeats an action."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


def _kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()  # SIGKILL may take a moment to arrive


@dataclass
class CrashPlan:
    """Dies at the `number`-th crash point passed (from 1), of those named `only` if given; 0 never dies.

    `passed` lists the names in order, so that a run that survived tells how many points a sweep has. Handed in by
    tests; agents without one use `NEVER`, which does nothing.
    """

    number: int = 0
    only: str = ""
    die: Callable[[], None] = _kill_this_process
    passed: list[str] = field(default_factory=list)

    def point(self, name: str) -> None:
        """Marks one point between two durable steps."""
        if self.only and name != self.only:
            return
        self.passed.append(name)
        if len(self.passed) == self.number:
            self.die()


class _Never(CrashPlan):
    def point(self, name: str) -> None:
        return None


NEVER: CrashPlan = _Never()
