"""Runs jobs in processes of their own, so that nothing a job does reaches the agent.

`WorkerPool` keeps one fork server (see `forkserver`), gives it jobs up to its capacity and reads their results from
job folders. A dying child, a dying or hanging fork server or a nonsense reply ends in an outcome, never in an
exception of the agent. Results stay on disk until `forget`, so a restarted agent finds them in `recovered`.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilypad_agents.errors import LilypadError, UsageError
from lilypad_agents.execution import wire
from lilypad_agents.execution.errors import CapacityExceeded, WorkerUnavailable
from lilypad_agents.execution.framing import MAX_HEADER_BYTES, pack_spec, unpack, unpack_result, unpack_spec
from lilypad_agents.execution.job import ENGINE_EXIT_CODES, MIB, ExitClass, JobOutcome, JobSpec, Limits, RunResult
from lilypad_agents.execution.jobfolder import JobFolder
from lilypad_agents.execution.plainfile import read_plain
from lilypad_agents.execution.schedule import ENGINE_ID, FUEL_SCHEDULE

START_SECONDS = 20
# Beside its wall time a job gets this long, for compiling and writing, until its fork server counts as hanging.
HANG_SECONDS = 150
_MAX_SPEC_FILE = 1 << 36
_NEVER = float("inf")


@dataclass(slots=True)
class _Running:
    folder: JobFolder
    limits: Limits
    future: Future[JobOutcome]
    submitted: float
    server: _Server
    killed: bool = False


class JobHandle:
    """A submitted job. Its outcome comes from a thread of the pool; callbacks run there and must be short."""

    def __init__(self, job_id: str, future: Future[JobOutcome], kill: Callable[[str], None]) -> None:
        self.job_id = job_id
        self._future = future
        self._kill = kill

    def poll(self) -> JobOutcome | None:
        """The outcome, or None while the job runs."""
        return self._future.result() if self._future.done() else None

    def wait(self, timeout: float | None = None) -> JobOutcome:
        """Blocks until the outcome is there; raises TimeoutError after `timeout` seconds."""
        return self._future.result(timeout)

    def kill(self) -> None:
        """Ends the job; the outcome is then a failure `killed`, unless the job was faster."""
        self._kill(self.job_id)

    def add_done_callback(self, callback: Callable[[JobOutcome], None]) -> None:
        """Calls `callback(outcome)` once, at once if the job has ended. Its exceptions are logged, not raised."""
        self._future.add_done_callback(lambda future: callback(future.result()))


class WorkerPool:
    """At most `capacity` jobs at a time below `folder`, which belongs to one agent alone.

    Construction stops what an earlier agent left running and adopts what it left finished: `recovered` maps labels to
    outcomes, `lost` lists labels whose run has to be repeated. Methods can be called from any thread.
    """

    def __init__(self, capacity: int, folder: Path) -> None:
        if capacity < 1:
            raise UsageError(f"the capacity of a worker pool is at least 1, not {capacity}", capacity=capacity)
        self.capacity = capacity
        self._folder = Path(folder).resolve()
        self._jobs = self._folder / "jobs"
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        self._server: _Server | None = None
        self._closed = False
        for name in ("jobs", "compiled", "empty"):
            (self._folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.recovered, self.lost = self._recover()

    def submit(self, job_id: str, spec: JobSpec) -> JobHandle:
        """Starts a job under a label that finds it again.

        Raises CapacityExceeded when all slots are taken, UsageError for a bad label or one in use, WorkerUnavailable
        when the fork server does not start or the disk refuses the job's files (nothing is left behind then).
        """
        folder = JobFolder(self._jobs, job_id)
        with self._lock:
            self._check_free(job_id)
            server = self._started_server()
            try:
                folder.create(pack_spec(spec))
            except FileExistsError:
                raise UsageError(f"job {job_id} already has a folder: adopt its outcome or forget it first") from None
            except OSError as failure:
                raise WorkerUnavailable(f"the job's files cannot be written: {failure.strerror}") from None
            future: Future[JobOutcome] = Future()
            self._running[job_id] = _Running(folder, spec.limits, future, time.monotonic(), server)
            server.send({"op": "run", "job": job_id, "wall": spec.limits.wall_seconds})
        return JobHandle(job_id, future, self.kill)

    def running(self) -> tuple[str, ...]:
        """Labels of the jobs that hold a slot, oldest first."""
        with self._lock:
            return tuple(self._running)

    def free(self) -> int:
        """Slots that are free now."""
        with self._lock:
            return self.capacity - len(self._running)

    def kill(self, job_id: str) -> None:
        """Ends a running job; nothing happens for a label that does not run."""
        with self._lock:
            job = self._running.get(job_id)
            if job is not None:
                job.killed = True
                job.server.send({"op": "kill", "job": job_id})

    def forget(self, job_id: str) -> None:
        """Deletes the files of an ended job; raises UsageError while it runs."""
        with self._lock:
            if job_id in self._running:
                raise UsageError(f"job {job_id} is running: kill it first")
            JobFolder(self._jobs, job_id).remove()
            self.recovered.pop(job_id, None)

    def close(self) -> None:
        """Ends all jobs (outcome `killed`) and the fork server. Idempotent."""
        with self._lock:
            self._closed = True
            server, self._server = self._server, None
            for job in self._running.values():
                job.killed = True
        if server is not None:
            server.stop()
            self._server_gone(server)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_free(self, job_id: str) -> None:
        if self._closed:
            raise WorkerUnavailable("the worker pool is closed")
        if job_id in self._running:
            raise UsageError(f"job {job_id} runs already")
        if len(self._running) >= self.capacity:
            raise CapacityExceeded(
                f"all {self.capacity} job slots are taken", capacity=self.capacity, running=len(self._running)
            )

    def _started_server(self) -> _Server:
        if self._server is None or not self._server.alive:
            self._server = _Server(self._folder, self._ended, self._server_gone, self._oldest_deadline)
        return self._server

    def _jobs_of(self, server: _Server) -> list[_Running]:
        with self._lock:
            return [job for job in self._running.values() if job.server is server]

    def _oldest_deadline(self, server: _Server) -> float:
        """Monotonic time in s at which a running job proves that its fork server hangs."""
        return (
            min((job.submitted + job.limits.wall_seconds for job in self._jobs_of(server)), default=_NEVER)
            + HANG_SECONDS
        )

    def _ended(self, server: _Server, message: Mapping[str, Any]) -> None:
        for job in self._jobs_of(server):
            if job.folder.label == message.get("job"):
                self._settle(job, _outcome(job, str(message.get("cause")), message.get("code")))

    def _server_gone(self, server: _Server) -> None:
        with self._lock:
            if self._server is server:
                self._server = None
        for job in self._jobs_of(server):
            job.folder.stop_leftover()
            reason = "killed" if job.killed else "lost"
            self._settle(job, JobOutcome(job.folder.label, failure=reason, message="the fork server ended"))

    def _settle(self, job: _Running, outcome: JobOutcome) -> None:
        with self._lock:
            if self._running.get(job.folder.label) is not job:
                return
            del self._running[job.folder.label]
        if outcome.result is None:
            job.folder.remove()  # nothing in it is worth adopting
        job.future.set_result(outcome)

    def _recover(self) -> tuple[dict[str, JobOutcome], tuple[str, ...]]:
        found, lost = {}, []
        for path in sorted(self._jobs.iterdir()):
            try:
                folder = JobFolder(self._jobs, path.name)
            except UsageError:
                folder = None
            if folder is None or path.is_symlink() or not path.is_dir():
                _remove(path)
                continue
            folder.stop_leftover()
            try:
                limits = unpack_spec(read_plain(folder.spec, _MAX_SPEC_FILE)).limits
                found[folder.label] = _read_outcome(folder, limits)
            except (OSError, LilypadError, KeyError, TypeError, ValueError):
                folder.remove()
                lost.append(folder.label)
        return found, tuple(lost)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _outcome(job: _Running, cause: str, code: object) -> JobOutcome:
    """What an ended child means; a job that passed its wall time is a result, everything else odd a failure."""
    label = job.folder.label
    if cause == "timeout":
        return JobOutcome(label, result=timeout_result(job.limits))
    if job.killed or cause == "killed":
        return JobOutcome(label, failure="killed", message="ended on request")
    if code != 0:
        reason = "took too long to compile the module or to write the result" if cause == "stuck" else "ended early"
        return JobOutcome(label, failure="crashed", message=f"the worker {reason} (status {code})")
    try:
        return _read_outcome(job.folder, job.limits)
    except (OSError, LilypadError) as failure:
        return JobOutcome(label, failure="crashed", message=str(failure))


def _read_outcome(folder: JobFolder, limits: Limits) -> JobOutcome:
    raw = read_plain(folder.result, limits.result_bytes + MAX_HEADER_BYTES + MIB)
    header, _ = unpack(raw)
    if header.get("failure") == "module-broken":
        message = header.get("message")
        text = message if isinstance(message, str) and len(message) <= 1000 and message.isprintable() else ""
        return JobOutcome(folder.label, failure="module-broken", message=text)
    return JobOutcome(folder.label, result=unpack_result(raw, limits))


def timeout_result(limits: Limits) -> RunResult:
    """The result of a run that passed its wall time: equal on every machine where that happens."""
    return RunResult(
        exit_code=ENGINE_EXIT_CODES[ExitClass.TIMEOUT],
        exit_class=ExitClass.TIMEOUT,
        stdout=b"",
        stderr=b"",
        outputs={},
        fuel=0,
        peak_memory=0,
        wall_ms=limits.wall_seconds * 1000,
        cpu_ms=0,
        engine=ENGINE_ID,
        schedule=FUEL_SCHEDULE,
        detail="wall time",
    )


class _Server:
    """The fork server's process, its channel, and the thread that listens to it."""

    def __init__(
        self,
        folder: Path,
        ended: Callable[[_Server, Mapping[str, Any]], None],
        gone: Callable[[_Server], None],
        deadline: Callable[[_Server], float],
    ) -> None:
        self._ended, self._gone, self._deadline = ended, gone, deadline
        self._ready = threading.Event()
        self.isolation = "unknown"
        ours, theirs = socket.socketpair()
        self._channel = ours
        log = os.open(folder / "forkserver.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, str(theirs.fileno()), str(folder), *search_path()],
                pass_fds=(theirs.fileno(),),
                env={},
                cwd=folder,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        except OSError as failure:
            ours.close()
            raise WorkerUnavailable(f"the fork server cannot be started: {failure.strerror}") from None
        finally:
            theirs.close()
            os.close(log)
        self._thread = threading.Thread(target=self._listen, name="lilypad-workers", daemon=True)
        self._thread.start()
        in_time = self._ready.wait(START_SECONDS)
        if not in_time or self.isolation == "unknown":
            self.kill()
            self._process.wait()  # the listener ends by itself; it may wait for the lock that our caller holds
            reason = "ended at its start" if in_time else f"was not ready within {START_SECONDS} s"
            raise WorkerUnavailable(f"the fork server {reason}; see forkserver.log in {folder}")

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and self._process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        try:
            self._channel.sendall(wire.encode(message))
        except OSError:
            self.kill()  # the listener then reports every job as lost

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        """Closes the channel, on which the server ends all jobs and itself; kills it if it does not."""
        try:
            self._channel.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        if threading.current_thread() is not self._thread:
            self._thread.join(5)
        self._channel.close()

    def _listen(self) -> None:
        decoder = wire.Decoder()
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        try:
            while True:
                # Until it is ready its starter holds the pool's lock.
                if self._ready.is_set() and time.monotonic() > self._deadline(self):
                    break
                if not poller.poll(1000):
                    continue
                data = self._channel.recv(65536)
                if not data:
                    break
                for message in decoder.feed(data):
                    self._take(message)
        except (OSError, wire.MalformedMessage):
            pass
        finally:
            self.kill()
            self._process.wait()
            self._ready.set()
            self._gone(self)

    def _take(self, message: Mapping[str, Any]) -> None:
        if message.get("event") == "ready":
            self.isolation = str(message.get("network"))[:20]
            self._ready.set()
        elif message.get("event") == "ended":
            self._ended(self, message)


def search_path() -> list[str]:
    """Where this process finds modules, as absolute paths: a child works in another folder."""
    return [os.path.abspath(entry) for entry in sys.path]


# The server starts with our search path and nothing of our environment.
_BOOT = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from lilypad_agents.execution.forkserver import main; sys.exit(main(sys.argv[1:3]))"
)
