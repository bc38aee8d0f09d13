"""Runs the fault matrix: every id once at a spot drawn from the seed, or (--long) every id at every spot.

    python -m tests.faults [--ids F6,F14] [--seed N] [--long] [--jobs 2] [--role provider] [--dry]

Prints a line a run and writes them to bench/results/faults.json (faults_long.json; with --ids: brings these lines up to
date); exit code 1 when a run is missed.
Each run has a process, a folder and a chain of its own; the seed gives the spots and everything that a run draws.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.faults import table
from tests.faults.run import FAULTS, Line, play
from tests.support.chain import PROJECT

RESULTS = PROJECT / "bench" / "results"
LIMIT_S = 300
Spot = tuple[str, tuple[str, str, str]]  # id; role, state, side


def chosen(ids: Sequence[str], seed: int, long: bool, role: str) -> list[Spot]:
    """What is to be run, in the order of the list."""
    found: list[Spot] = []
    for id_ in ids:
        spots = [spot for spot in FAULTS[id_].spots() if role in ("", spot[0])]
        if spots:
            found += [(id_, spot) for spot in (spots if long else [random.Random(f"{seed} {id_}").choice(spots)])]
    return found


def runs(spots: Sequence[Spot], seed: int, jobs: int) -> Iterator[Line]:
    """Plays the spots, `jobs` at a time, each in a forked process without threads; lines as they come."""
    waiting, running = list(reversed(spots)), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            spot = waiting.pop()
            folder = Path(tempfile.mkdtemp(prefix="lilypad-fault-"))
            running[_start(spot, seed, folder)] = (spot, folder, time.monotonic())
        for pid, (spot, folder, began) in list(running.items()):
            over = time.monotonic() - began > LIMIT_S
            if over:
                os.killpg(pid, 9)
            if os.waitpid(pid, 0 if over else os.WNOHANG)[0]:
                del running[pid]
                yield _line(folder, spot, seed, time.monotonic() - began)
                shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)


def _start(spot: Spot, seed: int, folder: Path) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        line = play(spot[0], seed, spot[1], folder / "run")
        (folder / "line.json").write_text(json.dumps(line.as_json()))
        status = 0
    finally:
        os._exit(status)


def _line(folder: Path, spot: Spot, seed: int, seconds: float) -> Line:
    path = folder / "line.json"
    if path.exists():
        return Line(**json.loads(path.read_text()))
    nothing: dict[str, Any] = {"injected_at": "not run", "noticed_after_s": None, "recovered_after_s": None}
    return Line(
        spot[0], seed, *spot[1], **nothing, wrong_actions=0, money_conserved=False, deals_stuck=0, deals=0, endings="",
        transactions=0, wall_s=round(seconds, 1), missed=f"the run did not end within {LIMIT_S} s, or died", note="",
    )  # fmt: skip


def commit_of(project: Path) -> str:
    """The commit that runs; "with changes" where files of agents, contracts or tests differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=project, check=True, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "contracts", "tests", "lilypad_agents")
    return git("rev-parse", "HEAD") + (" with changes" if changed else "")


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", default="", help="such as F6,F14; default: all")
    parser.add_argument("--seed", type=int, default=20_261_127)
    parser.add_argument("--long", action="store_true", help="every role, state and side")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--role", default="", help="only spots of this role")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args(words)
    ids = [id_ for id_ in options.ids.split(",") if id_] or list(table.IDS)
    commit, began, lines = commit_of(PROJECT), time.monotonic(), []
    for line in runs(chosen(ids, options.seed, options.long, options.role), options.seed, options.jobs):
        print(line, flush=True)
        lines.append(line)
    missed = [line for line in lines if line.missed] + [id_ for id_ in ids if not options.role and id_ not in {line.id for line in lines}]
    wall = round(time.monotonic() - began, 1)
    print(f"{len(lines) - sum(bool(line.missed) for line in lines)} of {len(lines)} runs as expected, {wall:.0f} s")
    if not (options.dry or options.role):
        _write(lines, commit, options.seed, options.long, wall, bool(options.ids))
    return 1 if missed else 0


def _write(lines: Sequence[Line], commit: str, seed: int, long: bool, wall: float, some: bool) -> None:
    """Each line says on which commit it ran; `some`: brings only the ids that ran up to date."""
    path = RESULTS / ("faults_long.json" if long else "faults.json")
    order = {id_: index for index, id_ in enumerate(table.IDS)}
    old = json.loads(path.read_text()) if some and path.exists() else {"lines": [], "wall_s": 0.0}
    ran = {line.id for line in lines}
    rows = [row for row in old["lines"] if row["id"] not in ran] + [line.as_json() | {"commit": commit} for line in lines]
    rows.sort(key=lambda row: order[row["id"]])
    report = {
        "about": f"faults of the acceptance list against real agents on a real chain; python -m tests.faults --seed {seed}"
        + (" --long" if long else ""),
        "commit": commit, "seed": seed, "wall_s": round(old["wall_s"] + wall, 1), "cores": os.cpu_count(), "runs": len(rows),
        "as_expected": sum(not row["missed"] for row in rows), "lines": rows,
    }  # fmt: skip
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
