"""kill -9 at every durable step of every agent: no deal is lost, nothing is paid or run twice for money.

    python -m tests.faults.crash_sweep [--sample N] [--seed N] [--roles provider,solver] [--jobs 2] [--minutes M] [--dry]

First a life that survives tells which points an agent passes from its start to the end of a deal, and how often. Then,
for each of them, an agent is started anew with a fresh deal, killed there by SIGKILL, and started again; the deal has to
end well. What the chain says of all of a role's deals together is audited as in the fault matrix. Points that a life passes
with every block are swept a few times each. Points are taken in an order drawn from the seed; where `--minutes` end a
sweep early, the report says how many are left. Writes (with --roles: brings up to date) bench/results/crash_sweep.json; exit code 1 for any miss.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal as signals
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.__main__ import RESULTS, commit_of
from tests.faults.process import RecordedPlan
from tests.faults.scene import Scene
from tests.faults.scenes import SCENES, CreatorScene, MediatorScene, ProviderScene, SolverScene
from tests.support.chain import PROJECT

ROLES = ("mediator", "keeper", "provider", "creator", "solver")  # the longest first
EACH_BLOCK = 3  # how often points are swept that come with every block
LEAST_POINTS = 150
Point = tuple[str, int]  # name, how often it was passed


@dataclass(frozen=True)
class Death:
    """One kill and what followed. `missed`: "" when the deal ended well."""

    role: str
    point: str
    passed: int
    died: bool
    recovered_after_s: float
    ended: str
    missed: str


class Sweep:
    """All lives of one role on one chain; each has a deal of its own."""

    def __init__(self, role: str, folder: Path, seed: int) -> None:
        self.role, self.rng = role, random.Random(f"{seed} {role}")
        self.scene: Scene = SCENES[role](folder, self.rng, block_time_s=1)
        self.scene.endings = frozenset(self.scene.endings)
        self.lives = 0

    def points(self) -> list[Point]:
        """What a life passes that is not killed, each as often as it does."""
        path = self.scene.folder / "points"
        self._life(RecordedPlan(path=path))
        counted = Counter(path.read_text().splitlines())
        found = []
        for name, count in sorted(counted.items()):
            most = min(count, EACH_BLOCK) if name.startswith("logs.") else count
            found += [(name, number) for number in range(1, most + 1)]
        return found

    def kill_at(self, point: Point) -> Death:
        """A life with a new deal that dies at the point, and one that carries it to its end."""
        name, number = point
        began = time.monotonic()
        try:
            self._fresh()
            self.scene.start(RecordedPlan(number=number, only=name), ready=False)
            self._deal()
            died = self._until_dead()
            again = time.monotonic()
            if died:
                self.scene.start()
            self._finish()
            seconds, missed = time.monotonic() - again, ""
        except Exception as error:
            died, seconds, missed = self.scene.agent.code == -signals.SIGKILL, time.monotonic() - began, str(error) or repr(error)
        ended = ", ".join(self.scene.status(deal).name for deal in self.scene.deals[-1:])
        self.scene.agent.kill()
        return Death(self.role, name, number, died, round(seconds, 2), ended, missed)

    # ---- a life

    def _fresh(self) -> None:
        """The next life's own deal, and nothing of an earlier one."""
        self.lives += 1
        scene = self.scene
        scene.release()
        if isinstance(scene, CreatorScene):
            scene.changes["data"] = scene.folder / f"data-{self.lives}"
            scene.values = {"Message": f"life {self.lives}"}
            scene.reruns = False
            if not scene.solver.pid:
                scene.start()
        if isinstance(scene, SolverScene):
            scene.forget()

    def _life(self, plan: RecordedPlan) -> None:
        self._fresh()
        self.scene.start(plan, ready=False)
        self._deal()
        self._finish()
        self.scene.agent.kill()

    def _deal(self) -> None:
        scene, text = self.scene, f"life {self.lives}"
        if isinstance(scene, ProviderScene):
            scene.open({"Message": text}, submit_window=300)
        elif isinstance(scene, MediatorScene):
            scene.cases.clear()
            scene.challenge()
        elif isinstance(scene, SolverScene):
            scene.offers_resource = True
            scene.want_job()

    def _until_dead(self) -> bool:
        """Plays until the agent is dead, or the deal is over without its having been."""
        scene, end = self.scene, time.monotonic() + 60
        while scene.agent.alive and time.monotonic() < end:
            scene.play()
            if self._over():
                scene.rest(1.0)
                break
            time.sleep(0.02)
        return scene.agent.wait(0.5) == -signals.SIGKILL

    def _over(self) -> bool:
        if isinstance(self.scene, CreatorScene):
            return self.scene.agent.code == 0
        return self.scene.ended()

    def _finish(self) -> None:
        scene = self.scene
        scene.until(self._over, 90, "the deal did not end")
        idle = lambda: not scene.pending()  # noqa: E731
        scene.until(idle, 10, "transactions stay in the pool")
        if isinstance(scene, (ProviderScene, SolverScene)):
            scene.rest(0.4)  # what follows an end is swept as well


def sweep(
    role: str, folder: Path, seed: int, choose: Callable[[list[Point]], Sequence[Point]], minutes: float = 1e9
) -> dict[str, Any]:
    """All deaths of a role, and what the chain says in the end."""
    made, end = Sweep(role, folder, seed), time.monotonic() + 60 * minutes
    try:
        points = made.points()
        deaths = []
        wanted = choose(points)
        for point in wanted:
            if time.monotonic() > end:
                break
            death = made.kill_at(point)
            print(f"{role} {death.point} {death.passed}: {'killed' if death.died else 'not reached'} {death.ended} {death.missed}", flush=True)
            deaths.append(death)
        found = made.scene.audit()
        return {
            "role": role, "points": len(points), "left": len(wanted) - len(deaths), "deaths": [asdict(death) for death in deaths], "wrong": list(found.wrong),
            "money": found.money, "stuck": list(found.open), "deals": len(found.endings),
            "endings": dict(Counter(status.name for status in found.endings.values())), "transactions": found.transactions,
        }  # fmt: skip
    finally:
        made.scene.close()


def failures(found: dict[str, Any]) -> list[str]:
    """Why a role's sweep is a miss; empty for none."""
    role, deaths = found["role"], found["deaths"]
    told = [f"{role} {death['point']} {death['passed']}: {death['missed']}" for death in deaths if death["missed"]]
    told += [f"{role}: {text}" for text in (*found["wrong"], *([found["money"]] if found["money"] else []))]
    told += [f"{role}: deal {deal} is stuck" for deal in found["stuck"]]
    unfit = set(found["endings"]) - {"ACCEPTED", "MEDIATION_ACCEPTED"}
    return told + ([f"{role}: deals ended {sorted(unfit)}"] if unfit else [])


def sampler(seed: int, count: int) -> Callable[[list[Point]], list[Point]]:
    """So many points, drawn from the seed; all for 0."""

    def choose(points: list[Point]) -> list[Point]:
        return random.Random(seed).sample(points, min(count or len(points), len(points)))

    return choose


def _fork(role: str, seed: int, sample: int, minutes: float, path: Path) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    folder = Path(tempfile.mkdtemp(prefix="lilypad-sweep-"))
    try:
        path.write_text(json.dumps(sweep(role, folder, seed, sampler(seed, sample), minutes)))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        sys.stdout.flush()
        os._exit(status)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, help="so many points of each role; 0: all")
    parser.add_argument("--seed", type=int, default=20_261_127)
    parser.add_argument("--roles", default=",".join(ROLES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=1e9, help="of each role, after which no more points are begun")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args(words)
    roles, commit = options.roles.split(","), commit_of(PROJECT)
    began = time.monotonic()
    found = {each["role"]: each for each in _all(roles, options.seed, options.sample, options.jobs, options.minutes)}
    wall = round(time.monotonic() - began, 1)
    for each in found.values():
        each |= {"commit": commit, "wall_s": wall}
    report = report_of(found, roles, options.seed)
    print("\n".join(report["misses"]))
    print(f"{report['killed']} deaths, {report['left']} points left, {len(report['misses'])} misses, {wall:.0f} s")
    if not (options.dry or options.sample):
        path = RESULTS / "crash_sweep.json"
        old = json.loads(path.read_text())["roles"] if path.exists() and set(roles) != set(ROLES) else []
        report = report_of({each["role"]: each for each in old} | found, ROLES, options.seed)
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if report["misses"] else 0


def report_of(found: Mapping[str, dict[str, Any]], roles: Sequence[str], seed: int) -> dict[str, Any]:
    """All roles together; each says on which commit it ran. A role that is not there is a miss."""
    misses = [text for each in found.values() for text in failures(each)]
    misses += [f"{role}: the sweep broke off, or was not run" for role in roles if role not in found]
    killed = sum(death["died"] for each in found.values() for death in each["deaths"])
    if set(roles) == set(ROLES) and killed < LEAST_POINTS:
        misses.append(f"killed at {killed} points, wanted are {LEAST_POINTS}")
    return {
        "about": "kill -9 at the durable steps of every agent; python -m tests.faults.crash_sweep", "seed": seed,
        "cores": os.cpu_count(), "killed": killed, "points": sum(each["points"] for each in found.values()),
        "left": sum(each["left"] for each in found.values()), "misses": misses, "roles": list(found.values()),
    }  # fmt: skip


def _all(roles: Sequence[str], seed: int, sample: int, jobs: int, minutes: float) -> Iterable[dict[str, Any]]:
    waiting, running = list(reversed(roles)), {}
    with tempfile.TemporaryDirectory(prefix="lilypad-sweeps-") as name:
        while waiting or running:
            while waiting and len(running) < jobs:
                role = waiting.pop()
                running[_fork(role, seed, sample, minutes, Path(name) / role)] = role
            pid, _ = os.wait()
            role = running.pop(pid)
            path = Path(name) / role
            if path.exists():
                yield json.loads(path.read_text())


if __name__ == "__main__":
    sys.exit(main())
