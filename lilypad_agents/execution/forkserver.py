"""A single-threaded process with the engine loaded, which forks one child per job (`python -m ... forkserver FD`).

A fresh interpreter costs 70 ms of CPU per job, a fork about 1 ms (bench/). The server itself never reads a job; it
starts, times and ends children, and dies with all of them when the agent goes away.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilypad_agents.execution import sandbox, wire
from lilypad_agents.execution.cache import CompileCache
from lilypad_agents.execution.errors import ModuleBroken
from lilypad_agents.execution.framing import MAX_HEADER_BYTES, pack, pack_result, unpack_spec
from lilypad_agents.execution.job import MIB, Limits
from lilypad_agents.execution.jobfolder import JobFolder, kill_group
from lilypad_agents.execution.wasm import WasmEngine

COMPILE_SECONDS = 60  # for reading, checking and compiling, before the job's own time starts
WRITE_SECONDS = 60  # for writing the result, after the program has ended
_NEVER = float("inf")
_ENGINE_DATA_BYTES = 512 * MIB  # interpreter, engine and copies, beside what the job's limits add up to


@dataclass(slots=True)
class _Child:
    """`stage`: compile, run or write, as the child tells by one byte each. `cause` of its end: exit, timeout (of the
    run), stuck (in another stage) or killed (asked for).
    """

    folder: JobFolder
    wall_seconds: int
    notice: int
    deadline: float
    stage: str = "compile"
    cause: str = "exit"


class ForkServer:
    """The loop: messages of the agent, ended children, deadlines."""

    def __init__(self, channel: socket.socket, folder: Path, isolated: bool) -> None:
        self._channel = channel
        self._jobs = folder / "jobs"
        self._empty = str(folder / "empty")
        # Made once and shared by all forks: saves each job 1 ms. It starts no threads.
        self._engine = WasmEngine(CompileCache(folder / "compiled"))
        self._isolated = isolated
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._decoder = wire.Decoder()

    def serve(self) -> None:
        """Until the agent closes the channel or sends nonsense."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(self._channel, selectors.EVENT_READ, "channel")
        self._selector.register(wake_read, selectors.EVENT_READ, "signal")
        self._send({"event": "ready", "pid": os.getpid(), "network": "none" if self._isolated else "host"})
        try:
            while self._turn():
                pass
        finally:
            for pid in self._children:
                kill_group(pid)

    def _turn(self) -> bool:
        nearest = min((child.deadline for child in self._children.values()), default=_NEVER)
        timeout = None if nearest == _NEVER else max(nearest - time.monotonic(), 0)
        for key, _ in self._selector.select(timeout):
            if key.data == "channel":
                data = self._channel.recv(65536)
                if not data:
                    return False
                for message in self._decoder.feed(data):
                    self._handle(message)
            elif key.data == "signal":
                os.read(key.fd, 4096)
            else:
                self._advanced(key.data)
        self._enforce()
        self._reap()
        return True

    def _handle(self, message: dict[str, Any]) -> None:
        if message["op"] == "run":
            self._fork(JobFolder(self._jobs, message["job"]), int(message["wall"]))
        elif message["op"] == "kill":
            for pid, child in self._children.items():
                if child.folder.label == message["job"]:
                    child.cause = "killed"
                    kill_group(pid)

    def _fork(self, folder: JobFolder, wall_seconds: int) -> None:
        server, pipes = os.getpid(), []
        try:
            pipes += os.pipe2(os.O_CLOEXEC)
            pipes += os.pipe2(os.O_CLOEXEC)
            pid = os.fork()
        except OSError:  # no memory, processes or descriptors left: this job fails, the others go on
            for descriptor in pipes:
                os.close(descriptor)
            self._send({"event": "ended", "job": folder.label, "code": 71, "cause": "exit"})
            return
        notice_read, notice_write, release_read, release_write = pipes
        if pid == 0:
            _child(folder, self._engine, self._empty, server, release_read, notice_write)
        os.close(notice_write)
        os.close(release_read)
        self._children[pid] = _Child(folder, wall_seconds, notice_read, time.monotonic() + COMPILE_SECONDS)
        self._selector.register(notice_read, selectors.EVENT_READ, pid)
        try:
            folder.record_process(pid)
            os.write(release_write, b"g")
        except OSError:
            pass  # the child sees the pipe close without the byte and exits
        finally:
            os.close(release_write)

    def _advanced(self, pid: int) -> None:
        """A child told that its program starts or has ended; each stage has its own time."""
        child = self._children[pid]
        if not os.read(child.notice, 1):
            self._selector.unregister(child.notice)
        elif child.stage == "compile":
            child.stage, child.deadline = "run", time.monotonic() + child.wall_seconds
        elif child.stage == "run":
            child.stage, child.deadline = "write", time.monotonic() + WRITE_SECONDS

    def _enforce(self) -> None:
        now = time.monotonic()
        for pid, child in self._children.items():
            if now >= child.deadline:
                if child.cause == "exit":
                    child.cause = "timeout" if child.stage == "run" else "stuck"
                child.deadline = _NEVER
                kill_group(pid)

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            kill_group(pid)  # whatever else is in its group; before the wait, so that the number is still its own
            _, status = os.waitpid(pid, 0)
            child = self._children.pop(pid)
            if child.notice in self._selector.get_map():
                self._selector.unregister(child.notice)
            os.close(child.notice)
            self._finish(child, os.waitstatus_to_exitcode(status))

    def _finish(self, child: _Child, code: int) -> None:
        if code == 0 and child.cause == "exit":
            try:
                os.replace(child.folder.partial, child.folder.result)
            except OSError:
                code = 74
        self._send({"event": "ended", "job": child.folder.label, "code": code, "cause": child.cause})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._channel.sendall(wire.encode(message))
        except OSError:
            pass  # the agent is gone; the loop sees it at the next read


def _child(folder: JobFolder, engine: WasmEngine, empty: str, server: int, release: int, notice: int) -> None:
    """A job's process, from fork to exit; never returns. Exit status 0 means that the result file is complete."""
    status = 70
    try:
        os.setsid()
        sandbox.die_with_parent(server)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sandbox.keep_only((release, notice))
        if os.read(release, 1) == b"g":
            _run(folder, engine, empty, server, notice)
            status = 0
    except MemoryError:
        status = 71
    except BaseException:  # the status is the only word that leaves this process
        status = 70
    finally:
        os._exit(status)


def _run(folder: JobFolder, engine: WasmEngine, empty: str, server: int, notice: int) -> None:
    raw = folder.spec.read_bytes()
    spec = unpack_spec(raw)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    result_file = os.open(folder.partial, flags, 0o600)
    try:
        module = engine.compile(spec.wasm)
        sandbox.enter(bounds_for(spec.limits, len(raw)), empty, server)
        os.write(notice, b"s")
        result = engine.run_compiled(module, spec, timer=False)
        os.write(notice, b"d")
        packed = pack_result(result)
    except ModuleBroken as broken:
        packed = pack({"failure": "module-broken", "message": broken.message}, {})
    view = memoryview(packed)
    while view:
        view = view[os.write(result_file, view) :]


def bounds_for(limits: Limits, spec_bytes: int) -> sandbox.Bounds:
    """Limits of the process around a job's own limits, always reached first; `spec_bytes`: size of its spec."""
    held = limits.memory_bytes + 2 * limits.scratch_bytes + 4 * limits.result_bytes + 3 * spec_bytes
    return sandbox.Bounds(
        data_bytes=_ENGINE_DATA_BYTES + held,
        file_bytes=limits.result_bytes + MAX_HEADER_BYTES + MIB,
        cpu_seconds=COMPILE_SECONDS + limits.wall_seconds + 5,
    )


def main(arguments: list[str]) -> int:
    """`FD FOLDER`: serve the agent on that inherited socket; folder holds jobs/, compiled/ and empty/."""
    channel = socket.socket(fileno=int(arguments[0]))
    channel.set_inheritable(False)
    os.umask(0o077)
    isolated = sandbox.leave_network()
    gc.collect()
    gc.freeze()  # keeps the pages of what is loaded shared with the children
    ForkServer(channel, Path(arguments[1]), isolated).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
