"""What a job's process can still do once it is sandboxed; run in a process of its own, prints one JSON object."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable

from lilypad_agents.execution import sandbox
from lilypad_agents.execution.job import MIB


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def attempts(parent: int) -> dict[str, Callable[[], object]]:
    """Things that must fail, by name."""
    return {
        "open a host file": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "list a host folder": lambda: os.listdir("/"),
        "make a file": lambda: os.open("/tmp/lilypad-selftest", os.O_WRONLY | os.O_CREAT, 0o600),
        "make a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "make a local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "start a process": _fork,
        "run a program": lambda: os.execv("/bin/true", ["true"]),
        "signal another process": lambda: os.kill(parent, signal.SIGCONT),
        "read the environment": lambda: os.environ["LILYPAD_SELFTEST_SECRET"],
    }


def main() -> int:
    """Sandboxes itself and tries everything; exit 0 with {"isolation": [...], "succeeded": [...]} on stdout."""
    out = os.dup(1)
    parent = os.getppid()
    tried = attempts(parent)
    sandbox.leave_network()
    sandbox.keep_only((out,))
    reached = sandbox.enter(sandbox.Bounds(512 * MIB, MIB, 10), sys.argv[1], parent)
    succeeded = []
    for name, attempt in tried.items():
        try:
            attempt()
        except (OSError, KeyError):
            continue
        succeeded.append(name)
    os.write(out, json.dumps({"isolation": reached, "succeeded": succeeded}).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
