"""F1 to F4, F27 to F29, F36 to F39: what may happen to the process, its disk, its clock, its files and its keys."""

from __future__ import annotations

import json
import os
import shutil
import signal as signals
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.chain.deployer import Deployment, RpcSender
from lilypad_agents.chain.deployment_plan import overridden, preset
from lilypad_agents.chain.keys import Secret, write_keystore
from lilypad_agents.cli.checks import run_checks
from tests.faults.places import AGENTS, ALL, MEDIATOR, PROVIDER, SOLVER
from tests.faults.process import AgentProcess, RecordedPlan
from tests.faults.rpc_faults import sent_are_stored
from tests.faults.run import Run, fault
from tests.faults.scene import Scene
from tests.faults.scenes import ProviderScene
from tests.support.network import DEPLOYER, signer
from tests.unit.execution.execution_support import document, wat

SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop $l br $l)))'
STOP_S = 10.0
POINTS = {"provider": 40, "mediator": 40, "keeper": 20, "solver": 14, "creator": 14}  # that every life passes at the least


@fault("F1", ALL)
def killed_at_a_numbered_point(run: Run) -> None:
    """One point drawn from the seed; the crash sweep goes over all of them."""
    scene = run.make()
    plan = RecordedPlan(number=run.rng.randint(1, POINTS[run.role]), path=scene.folder / "points")
    run.inject(lambda: None)
    try:
        scene.start(plan, ready=False)
        scene.reach(run.state)
        scene.release()
    except Exception:  # the agent may be gone before the deal is in its state
        scene.release()
    run.notice(lambda: not scene.agent.alive, 60, f"it did not come to point {plan.number}")
    run.expect(scene.agent.code == -signals.SIGKILL, f"it ended with {scene.agent.code}")
    run.notes.append(f"point {plan.number}, {(scene.folder / 'points').read_text().splitlines()[-1]}")
    scene.start()
    if not scene.deals and not getattr(scene, "jobs", []) and run.role != "creator":
        scene.reach(scene.states[0])
    run.end()
    if run.role != "creator":
        sent_are_stored(run, scene)


@fault("F2", {"provider": ("running",)})
def killed_while_a_job_runs(run: Run) -> None:
    scene = run.begin()
    process = scene.agent.data / "work" / "jobs" / scene.deals[0].hex() / "process"
    job = psutil.Process(json.loads(process.read_text())["pid"])
    run.inject(scene.agent.kill)
    run.mend(scene.start)
    adopted = job.is_running() and job.status() != psutil.STATUS_ZOMBIE
    run.notes.append("the job was adopted" if adopted else "the job ended with the agent")
    run.end()
    run.expect(not job.is_running() or job.status() == psutil.STATUS_ZOMBIE, "its old process is left")


@fault("F3", AGENTS)
def asked_to_stop(run: Run) -> None:
    scene = run.begin()
    run.inject(lambda: scene.agent.signal(signals.SIGTERM))
    began = time.monotonic()
    code = scene.agent.wait(STOP_S + 2)
    run.noticed = time.monotonic() - began
    run.expect(code == 0, f"it ended with {code}")
    run.expect(run.noticed <= STOP_S, f"it took {run.noticed:.1f} s")
    run.mend(scene.start)
    for number in (signals.SIGSTOP, signals.SIGTERM, signals.SIGINT, signals.SIGCONT):
        scene.agent.signal(number)
    began = time.monotonic()
    code = scene.agent.wait(5)
    run.expect(code is not None and time.monotonic() - began <= 3, "a second signal does not end it at once")
    run.notes.append(f"the second signal ended it with {code}")
    scene.start()
    run.end()


@fault("F4", AGENTS)
def started_twice(run: Run) -> None:
    """With the same data folder, and with the same key in another folder."""
    scene = run.begin()
    sent = len(scene.proxy.raw_transactions)
    second = AgentProcess(scene.folder / "second", scene.agent.live)
    run.inject(second.start)
    run.notice(lambda: not second.alive, 20, "the second copy runs")
    told = json.dumps(second.ended())
    run.expect("already-running" in told, f"it ended by {told[:200]}")
    run.expect(str(scene.agent.pid) in told, "it does not name the holder")
    scene.changes["data"] = scene.folder / "elsewhere"
    second.start()
    run.expect(second.wait(20) not in (0, None), "the second copy with the same key runs")
    run.expect("already-running" in json.dumps(second.ended()), f"it ended by {second.ended()}")
    run.expect(len(scene.proxy.raw_transactions) >= sent, "transactions went missing")
    scene.changes.pop("data")
    run.end()


@fault("F27", {"provider": ("agreed", "running"), **SOLVER, "mediator": ("challenged", "committed")})
def disk_is_full(run: Run) -> None:
    """A file system of its own for everything that the agent writes; filled to the last byte in the middle of a deal."""
    scene = run.make(changes={"reserve_bytes": 0, "durable_content": True, "log_file_bytes": 0})
    folder = scene.agent.data
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        run.misses.append(f"not run: mounting is refused here ({mounted.stderr.decode().strip()})")
        return
    filler = folder / "filler"
    try:
        scene.start()
        scene.reach(run.state)
        run.inject(lambda: _fill(filler))
        scene.release()
        run.notice(lambda: scene.troubled("disk") or run.told("cycle_failed", "disk-full"), 40, "it did not say that the disk is full")
        run.expect(scene.agent.alive, "it died")
        scene.rest(2)
        run.mend(filler.unlink)
        run.recover(scene.ready, 10)
        run.expect(_is_sound(folder / "agent.sqlite"), "the database is damaged")
        half = [path for path in folder.rglob("*.tmp")]
        run.expect(not half, f"half files are left: {half[:3]}")
        scene.finish(90)
    finally:
        scene.agent.kill()
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 64, 1):
            try:
                while True:
                    file.write(b"\xff" * size)
            except OSError:
                continue


def _is_sound(path: Path) -> bool:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return bool(database.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    finally:
        database.close()


@fault("F28", {"provider": ("agreed", "submitted"), "mediator": ("committed", "revealed"), "keeper": ("committed",), "solver": ("opened",)})
def database_is_not_what_it_was(run: Run) -> None:
    """Damaged, of a newer version, or yesterday's: the first two are refused loudly, and what the chain has is found again."""
    scene = run.make()
    scene.start()
    path, copy = scene.agent.data / "agent.sqlite", scene.folder / "yesterday"
    how = run.rng.choice(("flipped bytes", "newer version", "backup"))
    if how == "backup":
        scene.agent.kill()
        shutil.copytree(scene.agent.data, copy)
        scene.start()
    scene.reach(run.state)
    scene.agent.kill()
    run.inject(lambda: _spoil(path, copy, how))
    if how == "backup":
        scene.start()
    else:
        scene.agent.start()
        run.notice(lambda: not scene.agent.alive, 20, "it started all the same")
        told = json.dumps(scene.agent.ended())
        run.expect("database-" in told, f"it ended by {told[:200]}")
        for file in scene.agent.data.glob("agent.sqlite*"):
            file.unlink()
        run.mend(scene.start)
    run.notes.append(how)
    run.end()


def _spoil(path: Path, copy: Path, how: str) -> None:
    if how == "backup":
        for file in path.parent.glob("agent.sqlite*"):
            file.unlink()
        for file in copy.glob("agent.sqlite*"):
            shutil.copy(file, path.parent / file.name)
        return
    database = sqlite3.connect(path)
    if how == "newer version":
        database.execute("UPDATE schema_version SET version = version + 1")
        database.commit()
        database.close()
        return
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for place in range(4096, size, 4096):  # every page but the first loses its header
            file.seek(place)
            file.write(b"\xa5" * 64)


def _clock(off: float) -> Callable[[], None]:
    """Moves the wall clock of a process, for everything that asks Python for it."""

    def move() -> None:
        true, true_ns = time.time, time.time_ns
        time.time = lambda: true() + off
        time.time_ns = lambda: true_ns() + int(off * 10**9)

    return move


@fault("F29", ALL)
def clock_is_off(run: Run) -> None:
    scene = run.make()
    off = run.rng.choice((-7_200, 7_200))
    run.inject(lambda: None)
    scene.start(None, _clock(off))
    scene.reach(run.state)
    run.end()
    verdict = _doctor(run, scene, off)
    run.noticed = 0.0
    run.expect(verdict == "warn", f"the doctor says {verdict!r} of the clock")
    run.notes.append(f"{off:+d} s")


def _doctor(run: Run, scene: Scene, off: float) -> str:
    """What `lilypad doctor` says of the clock on such a machine."""
    folder = scene.folder / "doctor"

    def look(_: Any) -> int:
        settings = CreatorSettings(
            data=folder / "data", state=folder / "state", rpc=(scene.network.chain.url,), address_book=scene.network.book_path,
            solvers=("http://127.0.0.1:9",), test_account=1,
        )  # fmt: skip
        with Session(settings) as session:
            found = {check.name: check.verdict for check in run_checks(session, sandbox=False)}
        (folder / "verdict").write_text(str(found["clock"]))
        return 0

    doctor = AgentProcess(folder, look)
    doctor.start(None, _clock(off))
    code = doctor.wait(40)
    return (folder / "verdict").read_text() if code == 0 else f"{code}: {doctor.output()[-300:]}"


@fault("F36", AGENTS)
def log_is_down(run: Run) -> None:
    """The file is a full device, standard error a pipe that nobody reads, and the metrics are asked by nobody."""
    scene = run.make(changes={"log_stderr": True})
    scene.agent.data.mkdir(parents=True, exist_ok=True)
    (scene.agent.data / "agent.log").symlink_to("/dev/full")

    def close_the_pipe() -> None:
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 2)

    run.inject(lambda: None)
    scene.start(None, close_the_pipe)
    scene.reach(run.state)
    run.end()
    run.expect(scene.agent.alive, "it stopped for its log")


@fault("F37", {"provider": ("running",)})
def executor_hangs(run: Run) -> None:
    scene = run.make(changes={"slots": 1})
    assert isinstance(scene, ProviderScene)
    stage, made = scene.stage, document()
    made["limits"] = made["limits"] | {"fuel": (1 << 53) - 1, "wallSeconds": 4}
    scene.start()
    module = stage.made_module(made, wat(SPIN))
    deal, _ = stage.open(stage.pair(module, stage.inputs(module, {})))[0]
    scene.deals.append(deal)
    process = scene.agent.data / "work" / "jobs" / deal.hex() / "process"
    scene.until(lambda: process.exists() and process.read_text(), 20, "the job did not start")
    job = psutil.Process(json.loads(process.read_text())["pid"])
    scene.until(lambda: job.cpu_times().user > 0.3, 10, "the job does not run")
    scene.accepts = False
    run.inject(job.suspend)
    run.notice(lambda: scene.relay.of_kind(deal, "result"), 20, "the slot is not freed")
    exit_class = stage.result(deal)["receipt"]["receipt"]["exitClass"]
    run.expect(exit_class == "timeout", f"its exit class is {exit_class}")
    run.expect(not job.is_running() or job.status() == psutil.STATUS_ZOMBIE, "its process is left")
    scene.accepts = True
    scene.open({"Message": "next"}, submit_window=120)
    run.end()


@fault("F38", ALL)
def address_book_names_other_code(run: Run) -> None:
    """Code that was swapped is not trusted; a newer deployment beside the old one leaves open deals where they are."""
    scene = run.begin()
    network = scene.network
    path, text = network.book_path, network.book_path.read_text()
    book = json.loads(text)
    book["contracts"]["LilypadResolver"]["codeHash"] = "0x" + "11" * 32
    scene.agent.kill()
    sent = len(scene.proxy.raw_transactions)
    run.inject(lambda: path.write_text(json.dumps(book)))
    scene.agent.start()
    run.notice(lambda: not scene.agent.alive, 20, "it started all the same")
    told = json.dumps(scene.agent.ended())
    run.expect("deployment-mismatch" in told and "LilypadResolver" in told, f"it ended by {told[:300]}")
    run.expect(len(scene.proxy.raw_transactions) == sent, "it sent a transaction")
    _deploy_newer(scene)
    path.write_text(text)
    run.mend(scene.start)
    run.recover(scene.ready, 10)
    run.end()


def _deploy_newer(scene: Scene) -> None:
    rpc, chain = scene.network.rpc, scene.network.book.chain_id
    scene.mine_by_itself()
    wanted = overridden(preset("devnet"), {"protocolFeeBps": "90"})
    Deployment(rpc, RpcSender(rpc, signer(DEPLOYER), chain), wanted, scene.folder / "newer.json").run()


@fault("F39", {**PROVIDER, **MEDIATOR, **SOLVER})
def key_file_is_unusable(run: Run) -> None:
    """Missing, readable by others, or with another password: it says which, and shows no secret."""
    scene = run.begin()
    scene.agent.kill()
    password, wrong = "canary-" + os.urandom(12).hex(), "canary-" + os.urandom(12).hex()
    key = scene.folder / "key.json"
    write_keystore(Secret(os.urandom(32)), key, Secret(password.encode()))
    (scene.folder / "password").write_text(password)
    (scene.folder / "wrong").write_text(wrong)
    for name in ("password", "wrong"):
        (scene.folder / name).chmod(0o600)
    shutil.copy(key, scene.folder / "open.json")
    (scene.folder / "open.json").chmod(0o640)
    run.inject(lambda: None)
    for file, secret, words in (
        ("missing.json", "password", "cannot be read"), ("open.json", "password", "by others"), ("key.json", "wrong", "does not open"),
    ):  # fmt: skip
        scene.keys = {"keystore": scene.folder / file, "password_file": scene.folder / secret, "test_account": None}
        scene.agent.start()
        code = scene.agent.wait(20)
        told = json.dumps(scene.agent.ended()) + scene.agent.output()
        run.expect(code not in (0, None), f"it started with {file}")
        run.expect("key-unusable" in told and words in told, f"{file}: it ended by {told[:300]}")
        run.expect(password not in told and wrong not in told, f"{file}: a secret is shown")
    run.noticed = 0.0
    scene.keys = {}
    run.mend(scene.start)
    run.recover(scene.ready, 10)
    run.end()


