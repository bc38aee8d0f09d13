"""Worker processes: results, limits, crashes at every level, adoption after the agent was killed."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import textwrap
import threading
from pathlib import Path

import pytest
from execution_support import EMPTY_PROGRAM, FIXTURES, fingerprint, job, limits, program, write_all

from lilypad_agents.errors import UsageError
from lilypad_agents.execution import forkserver, jobfolder, wire, worker
from lilypad_agents.execution.errors import CapacityExceeded, ResultRefused, WorkerUnavailable
from lilypad_agents.execution.framing import pack, pack_result, pack_spec, unpack, unpack_result, unpack_spec
from lilypad_agents.execution.job import ExitClass
from lilypad_agents.execution.jobfolder import JobFolder, boot_id, start_time
from lilypad_agents.execution.worker import WorkerPool

WAIT = 30
HELLO = program(write_all(5) + "(call $proc_exit (i32.const 3))", "fd_write", "proc_exit")
FOREVER = job(program("(loop (br 0))"), limits=limits(fuel=1 << 60, wall_seconds=60))


def wait_until(holds, seconds: float = 10) -> None:
    """Returns when `holds()` is true; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.005)


def wait_gone(pid: int) -> None:
    """Returns when process `pid` has ended; fails after 10 s."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    assert poller.poll(10_000), f"process {pid} still runs"
    os.close(descriptor)


def process_of(pool: WorkerPool, label: str) -> int:
    """The job's process id, once it runs (the file is written before the job is released)."""
    path = pool._jobs / label / "process"
    for _ in range(1000):
        try:
            return json.loads(path.read_text())["pid"]
        except (OSError, ValueError):
            threading.Event().wait(0.01)
    raise AssertionError("the job did not start")


def sandboxed(pool: WorkerPool, label: str) -> tuple[int, dict[str, str]]:
    """Process id and status of a spinning job once it is sandboxed and has used 50 ms: its own time has started."""
    pid = process_of(pool, label)
    for _ in range(1000):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        used = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11])
        if status["Seccomp"].strip() == "2" and used >= 5:
            return pid, {name: value.strip() for name, value in status.items()}
        threading.Event().wait(0.01)
    raise AssertionError("the job was not sandboxed")


def test_submit__program__gives_the_same_result_as_in_process(pool, engine):
    """beh:K11, beh:K12: a worker changes nothing about a run."""
    spec = job((FIXTURES / "probe.wasm").read_bytes(), files={"inputs.json": b"{}", "x/y": b"z"}, seed=b"s" * 32)
    outcome = pool.submit("deal-1", spec).wait(WAIT)
    assert outcome.failure is None
    assert fingerprint(outcome.result) == fingerprint(engine.run(spec))


def test_submit__broken_module__is_a_failure_with_the_reason(pool):
    outcome = pool.submit("a", job(b"\0asm\x01\0\0\0garbage")).wait(WAIT)
    assert (outcome.result, outcome.failure) == (None, "module-broken") and "compile" in outcome.message


def test_submit__wall_time_passed__is_a_timeout_result_and_the_slot_is_free(pool):
    """flt:S5, flt:F37, beh:K9."""
    spec = job(program("(loop (br 0))"), limits=limits(fuel=1 << 60, wall_seconds=1))
    outcome = pool.submit("a", spec).wait(WAIT)
    assert outcome.result.exit_class is ExitClass.TIMEOUT and outcome.result.fuel == 0
    assert pool.free() == 2 and pool.running() == ()


def test_submit__stopped_job__is_ended_at_its_wall_time(pool):
    """flt:F37: SIGSTOP does not keep a slot."""
    handle = pool.submit("a", job(FOREVER.wasm, limits=limits(fuel=1 << 60, wall_seconds=2)))
    pid, _ = sandboxed(pool, "a")
    os.kill(pid, signal.SIGSTOP)
    assert handle.wait(WAIT).result.exit_class is ExitClass.TIMEOUT
    wait_gone(pid)


def test_submit__job_stuck_before_its_run__is_a_crash_and_no_result(pool, monkeypatch, tmp_path):
    """A machine that does not get the module compiled in time has no timeout of the job to report."""
    boot = worker._BOOT.replace(
        "sys.exit(main", "import lilypad_agents.execution.forkserver as f; f.COMPILE_SECONDS = 0; sys.exit(main"
    )
    monkeypatch.setattr(worker, "_BOOT", boot)
    outcome = pool.submit("a", job(FOREVER.wasm)).wait(WAIT)
    assert (outcome.result, outcome.failure) == (None, "crashed") and "compile" in outcome.message


def test_submit__more_than_capacity__is_refused_until_a_slot_is_free(pool):
    """beh:J8: never more than the capacity."""
    first, second = pool.submit("a", FOREVER), pool.submit("b", FOREVER)
    assert pool.running() == ("a", "b") and pool.free() == 0
    with pytest.raises(CapacityExceeded):
        pool.submit("c", FOREVER)
    first.kill()
    assert first.wait(WAIT).failure == "killed" and pool.free() == 1
    assert pool.submit("c", job(EMPTY_PROGRAM)).wait(WAIT).result.exit_code == 0
    assert second.poll() is None


def test_kill__running_job__ends_its_whole_process_group(pool):
    """flt:S20."""
    handle = pool.submit("a", FOREVER)
    pid = process_of(pool, "a")
    wait_until(lambda: os.getpgid(pid) == pid)  # the job makes its own group in its first steps
    handle.kill()
    assert handle.wait(WAIT).failure == "killed"
    wait_gone(pid)
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)
    assert not (pool._jobs / "a").exists()


@pytest.mark.parametrize("label", ["", "..", "a/b", ".hidden", "x" * 129, "a\0b", "ü"])
def test_submit__bad_label__is_refused(pool, label):
    with pytest.raises(UsageError):
        pool.submit(label, FOREVER)


def test_submit__label_in_use__is_refused_until_it_is_forgotten(pool):
    """beh:J2: one label runs once."""
    assert pool.submit("a", job(HELLO)).wait(WAIT).result.exit_code == 3
    with pytest.raises(UsageError, match="forget"):
        pool.submit("a", job(HELLO))
    pool.forget("a")
    handle = pool.submit("a", FOREVER)
    for action in (lambda: pool.submit("a", FOREVER), lambda: pool.forget("a")):
        with pytest.raises(UsageError):
            action()
    handle.kill()


def test_submit__disk_full__leaves_nothing_behind(pool, monkeypatch):
    """flt:F27: no half job."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jobfolder, "write_atomically", full)
    with pytest.raises(WorkerUnavailable, match="No space"):
        pool.submit("a", job(HELLO))
    assert list(pool._jobs.iterdir()) == [] and pool.free() == 2


def test_crash__job_process_killed__is_a_failure_and_the_pool_goes_on(pool):
    """A dying child never harms the agent, and is no result: the job may run again."""
    handle = pool.submit("a", FOREVER)
    os.kill(process_of(pool, "a"), signal.SIGKILL)
    assert handle.wait(WAIT).failure == "crashed"
    assert pool.submit("a", job(HELLO)).wait(WAIT).result.exit_code == 3


def test_crash__fork_server_killed__jobs_are_lost_and_a_new_one_serves(pool):
    handle = pool.submit("a", FOREVER)
    pid = process_of(pool, "a")
    server = pool._server._process.pid
    os.kill(server, signal.SIGKILL)
    assert handle.wait(WAIT).failure == "lost"
    wait_gone(pid)  # the child died with its parent
    assert pool.submit("a", job(HELLO)).wait(WAIT).result.exit_code == 3
    assert pool._server._process.pid != server


def test_crash__jobs_submitted_while_the_fork_server_dies__all_get_an_outcome(pool):
    """No job is forgotten between the old server and the new one, and no slot is lost."""
    for turn in range(5):
        first = pool.submit(f"a{turn}", FOREVER)
        os.kill(pool._server._process.pid, signal.SIGKILL)
        second = pool.submit(f"b{turn}", job(HELLO))
        assert first.wait(WAIT).failure == "lost"
        assert second.wait(WAIT).failure in (None, "lost")
    assert pool.free() == 2 and pool.submit("c", job(HELLO)).wait(WAIT).result.exit_code == 3


def test_fork_server__no_process_can_be_made__fails_that_job_only(tmp_path, monkeypatch):
    """The server answers and goes on when the machine has no processes left."""
    ours, theirs = socket.socketpair()

    def refused():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(forkserver.os, "fork", refused)
    before = len(os.listdir("/proc/self/fd"))
    server = forkserver.ForkServer(theirs, tmp_path, True)
    server._fork(JobFolder(tmp_path, "a"), 1)
    (message,) = wire.Decoder().feed(ours.recv(1000))
    assert message == {"event": "ended", "job": "a", "code": 71, "cause": "exit"}
    server._selector.close()
    assert len(os.listdir("/proc/self/fd")) == before
    ours.close()
    theirs.close()


def test_crash__fork_server_hangs__is_killed_after_the_job_must_have_ended(pool, monkeypatch):
    """flt:F37: a stopped fork server does not stop the agent."""
    monkeypatch.setattr(worker, "HANG_SECONDS", 1)
    pool.submit("warm", job(HELLO)).wait(WAIT)
    os.kill(pool._server._process.pid, signal.SIGSTOP)
    handle = pool.submit("a", job(HELLO, limits=limits(wall_seconds=1)))
    assert handle.wait(WAIT).failure == "lost"
    assert pool.submit("b", job(HELLO)).wait(WAIT).result.exit_code == 3


@pytest.mark.parametrize("garbage", ["b'\\xff' * 100", "b'\\0\\0\\0\\3abc'", "b'\\0\\0\\0\\2[]'", "b''"])
def test_crash__fork_server_talks_nonsense__is_replaced(tmp_path, monkeypatch, garbage):
    """flt:F31: a garbage reply is an outcome, not an exception."""
    honest = worker._BOOT
    fake = (
        "import sys, socket; s = socket.socket(fileno=int(sys.argv[1])); "
        'm = b\'{"event":"ready","network":"none"}\'; s.sendall(len(m).to_bytes(4, \'big\') + m); '
        f"s.recv(100); s.sendall({garbage})"
    )
    with WorkerPool(1, tmp_path) as pool:
        monkeypatch.setattr(worker, "_BOOT", fake)
        assert pool.submit("a", job(HELLO)).wait(WAIT).failure == "lost"
        monkeypatch.setattr(worker, "_BOOT", honest)
        assert pool.submit("a", job(HELLO)).wait(WAIT).result.exit_code == 3


def test_start__fork_server_dies_at_once__is_told_with_the_log(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "_BOOT", "raise SystemExit('no')")
    with WorkerPool(1, tmp_path) as pool, pytest.raises(WorkerUnavailable, match="forkserver.log"):
        pool.submit("a", job(HELLO))
    assert "no" in (tmp_path / "forkserver.log").read_text()


def test_close__running_jobs__are_killed_and_later_use_is_refused(tmp_path):
    """flt:F3: stopping takes far less than 10 s."""
    pool = WorkerPool(1, tmp_path)
    handle = pool.submit("a", FOREVER)
    pid, server = process_of(pool, "a"), pool._server._process.pid
    pool.close()
    pool.close()
    assert handle.wait(1).failure == "killed"
    for gone in (pid, server):
        wait_gone(gone)
    with pytest.raises(WorkerUnavailable):
        pool.submit("b", FOREVER)


def test_callback__is_called_once_with_the_outcome(pool):
    seen, done = [], threading.Event()
    handle = pool.submit("a", job(HELLO))
    handle.add_done_callback(lambda outcome: (seen.append(outcome), done.set()))
    assert done.wait(WAIT) and handle.wait(WAIT) is seen[0] and len(seen) == 1
    handle.add_done_callback(seen.append)
    assert len(seen) == 2


AGENT = """
    import os, sys
    sys.path[:] = sys.argv[2:]
    from pathlib import Path
    from execution_support import job
    from test_execution_worker import FOREVER, HELLO, process_of
    from lilypad_agents.execution.worker import WorkerPool
    pool = WorkerPool(2, Path(sys.argv[1]))
    pool.submit("finished", job(HELLO)).wait(30)
    pool.submit("running", FOREVER)
    print(process_of(pool, "running"), pool._server._process.pid, flush=True)
    sys.stdin.read()
"""


def test_agent_killed__finished_job_is_adopted_and_running_one_is_stopped(tmp_path):
    """flt:F2, beh:J2, flt:S5: after kill -9 nothing runs on, and no result is lost or made twice."""
    agent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(AGENT), str(tmp_path), *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    running, server = map(int, agent.stdout.readline().split())
    agent.kill()
    agent.communicate()
    for pid in (server, running):
        wait_gone(pid)
    with WorkerPool(2, tmp_path) as pool:
        assert pool.lost == ("running",) and set(pool.recovered) == {"finished"}
        outcome = pool.recovered["finished"]
        assert (outcome.result.exit_code, len(outcome.result.stdout)) == (3, 5)
        with pytest.raises(UsageError):
            pool.submit("finished", job(HELLO))
        pool.forget("finished")
        assert not pool.recovered
        assert pool.submit("running", job(HELLO)).wait(WAIT).result.exit_code == 3


@pytest.fixture
def bystander():
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, start_new_session=True
    )
    yield process
    process.kill()
    process.communicate()


def test_leftover__found_by_its_label__is_killed(tmp_path, bystander):
    """flt:F2: also when the fork server could not do it."""
    folder = JobFolder(tmp_path / "jobs", "a")
    folder.create(pack_spec(FOREVER))
    folder.record_process(bystander.pid)
    with WorkerPool(1, tmp_path) as pool:
        assert pool.lost == ("a",)
    assert bystander.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize(
    "wrong", [{"started": 1}, {"boot": "another"}, {"pid": 1}, {"pid": -1}, {"pid": "x"}, {"pid": 1 << 40}]
)
def test_leftover__number_now_belongs_to_another_process__is_left_alone(tmp_path, bystander, wrong):
    folder = JobFolder(tmp_path, "a")
    folder.create(b"")
    identity = {"pid": bystander.pid, "started": start_time(bystander.pid), "boot": boot_id()} | wrong
    folder.process.write_text(json.dumps(identity))
    assert not folder.stop_leftover()
    assert bystander.poll() is None


def test_recover__odd_things_in_the_folder__are_cleared_away(tmp_path):
    """flt:F28, flt:F31: cut, linked, foreign and nonsense results are lost, never adopted."""
    jobs = tmp_path / "jobs"
    result = pack_result(worker.timeout_result(FOREVER.limits))
    for label, content in {
        "cut": result[:-1] + b"",
        "longer": result + b"x",
        "noise": b"\xff" * 50,
        "empty": b"",
    }.items():
        folder = JobFolder(jobs, label)
        folder.create(pack_spec(FOREVER))
        folder.result.write_bytes(content)
    linked = JobFolder(jobs, "linked")
    linked.create(pack_spec(FOREVER))
    (tmp_path / "elsewhere").write_bytes(result)
    linked.result.symlink_to(tmp_path / "elsewhere")
    good = JobFolder(jobs, "good")
    good.create(pack_spec(FOREVER))
    good.result.write_bytes(result)
    (jobs / ".partial-thing").mkdir()
    (jobs / "a-file").write_text("")
    (jobs / "a-link").symlink_to(tmp_path)
    with WorkerPool(1, tmp_path) as pool:
        assert set(pool.recovered) == {"good"}
        assert set(pool.lost) == {"longer", "noise", "empty", "linked", "cut"}
        assert [path.name for path in jobs.iterdir()] == ["good"] and (tmp_path / "elsewhere").exists()


def result_bytes(**changes):
    result = worker.timeout_result(FOREVER.limits)
    header, parts = unpack(pack_result(result))
    extra = changes.pop("parts", {})
    return pack(header | changes, parts | extra)


@pytest.mark.parametrize(
    "changes",
    [
        {"exit_code": 0},
        {"exit_code": -1},
        {"exit_code": 3.0},
        {"exit_code": True},
        {"exit_class": "great"},
        {"fuel": 1 << 61},
        {"fuel": -1},
        {"engine": 5},
        {"engine": "x" * 101},
        {"detail": "\x1b]0;title\x07"},
        {"schedule": None},
        {"parts": {"outputs/../x": b""}},
        {"parts": {"outputs//x": b""}},
        {"parts": {"outputs/": b""}},
        {"parts": {"other": b""}},
        {"parts": {"outputs/a\0": b""}},
        {"parts": {"stdout": b"x" * 65_537}},
        {"parts": {"outputs/big": b"x" * 100_001}},
        {"parts": {f"outputs/{n}": b"" for n in range(11)}},
    ],
)
def test_result_file__with_an_oddity__is_refused(changes):
    """flt:F31, flt:S9: a worker that was taken over can only fail."""
    with pytest.raises(ResultRefused):
        unpack_result(result_bytes(**changes), FOREVER.limits)


def test_result_file__every_flipped_byte_or_cut__is_refused_or_read_within_limits():
    raw = result_bytes(parts={"outputs/a": b"data"})
    unpack_result(raw, FOREVER.limits)
    for place in range(len(raw)):
        for damaged in (raw[:place], raw[:place] + bytes((raw[place] ^ 0x41,)) + raw[place + 1 :]):
            try:
                unpack_result(damaged, FOREVER.limits)
            except ResultRefused:
                pass


def test_spec_file__round_trip__is_equal():
    spec = job(HELLO, args=("a", 'ü\n"'), env=(("K", "V"),), files={"x/y": b"1", "inputs.json": b"{}"}, seed=b"s" * 32)
    assert unpack_spec(pack_spec(spec)) == spec


def test_jobs__one_after_another__see_nothing_of_each_other(pool):
    """flt:S20: no file, process or memory of the first is there for the second."""
    body = (
        "(drop (call $path_open (i32.const 5) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const {flags})"
        " (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 16)))"
        "(call $proc_exit (i32.load (i32.const 16)))"
    )
    more = '(data (i32.const 64) "file")'
    maker, looker = (program(body.format(flags=flags), "path_open", "proc_exit", more=more) for flags in (1, 0))
    assert pool.submit("a", job(maker)).wait(WAIT).result.exit_code == 6
    assert pool.submit("b", job(looker)).wait(WAIT).result.exit_code == 0
    assert os.listdir(pool._folder / "empty") == []


def test_process__while_a_job_runs__has_no_rights_descriptors_or_environment(pool, monkeypatch):
    """flt:S2, flt:S16, beh:K8, beh:K17: what the kernel says about a running job."""
    monkeypatch.setenv("LILYPAD_PLANTED_SECRET", "planted")
    handle = pool.submit("a", FOREVER)
    pid, status = sandboxed(pool, "a")
    assert status["NoNewPrivs"] == "1" and status["Threads"] == "1"
    assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0
    assert b"planted" not in Path(f"/proc/{pid}/environ").read_bytes()
    targets = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    assert all(t == "/dev/null" or t.startswith("pipe:") or t.endswith("result.partial") for t in targets)
    if os.geteuid() == 0:
        assert status["Uid"].split()[0] == "65534" and os.readlink(f"/proc/{pid}/root").endswith("/empty")
    handle.kill()


def test_bounds__of_the_process__are_wider_than_the_jobs_own():
    found = forkserver.bounds_for(FOREVER.limits, 1000)
    assert found.data_bytes > FOREVER.limits.host_bytes and found.file_bytes > FOREVER.limits.result_bytes
    assert found.cpu_seconds > FOREVER.limits.wall_seconds


def test_jobs__many_at_once_from_threads__all_end_well(tmp_path):
    """beh:K16: a cold cache under parallel loads; every job has its own result."""
    with WorkerPool(6, tmp_path) as pool:
        found, lock = {}, threading.Lock()

        def work(number: int) -> None:
            wasm = program(f"(call $proc_exit (i32.const {number % 3}))", "proc_exit")
            for turn in range(4):
                outcome = pool.submit(f"{number}-{turn}", job(wasm)).wait(WAIT)
                with lock:
                    found[number, turn] = outcome.result.exit_code

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {(n, t): n % 3 for n in range(6) for t in range(4)}
        zombies = [
            p for p in Path(f"/proc/{pool._server._process.pid}/task").glob("*/children") if p.read_text().split()
        ]
        assert zombies == [] and len(list((tmp_path / "compiled").glob("*.cwasm"))) == 3


def test_pool__capacity_below_one__is_refused(tmp_path):
    with pytest.raises(UsageError):
        WorkerPool(0, tmp_path)
