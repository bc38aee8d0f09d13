"""Time from a challenge to its verdict on a devnet, when nobody appeals; writes bench/results/verdict.json.

    python -m bench.verdict

A devnet with a cheat and three mediators, all real processes on this machine. Each run: the creator orders a job from the
cheat, takes delivery without agreeing, challenges, and waits until the deal has ended. The time is wall time, the start of
both commands included.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.gas_world import ROOT
from lilypad_agents.devnet.funding import address_of
from lilypad_agents.devnet.layout import CHEATER

RUNS = 3
TARGET_S = 60
REJECTED = 30  # exit code


def lilypad(folder: Path, *words: str, codes: Sequence[int] = (0,)) -> Any:
    """The data of a command's JSON answer. Raises RuntimeError when it ends with another code."""
    program = str(Path(sys.executable).with_name("lilypad"))
    done = subprocess.run([program, *words, "--json"], cwd=folder, capture_output=True, text=True)
    if done.returncode not in codes:
        raise RuntimeError(f"lilypad {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout)["data"]


def one_run(folder: Path, index: int) -> float | None:
    """Seconds from the challenge to the end; None when the lottery had drawn the deal before it could be challenged."""
    words = ["run", "cowsay:v0.0.1", "-i", f"Message={index}", "--target", address_of(CHEATER), "--no-accept"]
    deal = lilypad(folder, *words)["deal"]
    began = time.monotonic()
    if lilypad(folder, "job", "show", deal)["state"] != "RESULTS_SUBMITTED":
        return None
    lilypad(folder, "job", "challenge", deal, "--why", "measured", "--yes")
    lilypad(folder, "job", "wait", deal, "--wait", "final", codes=(REJECTED,))
    return time.monotonic() - began


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="lilypad-verdict-") as name:
        folder = Path(name)
        lilypad(folder, "devnet", "up", "--cheater")
        try:
            found: list[float] = []
            index = 0
            while len(found) < RUNS:
                index += 1
                seconds = one_run(folder, index)
                found += [] if seconds is None else [seconds]
        finally:
            lilypad(folder, "devnet", "down")
    report = {
        "about": "wall seconds from `lilypad job challenge` to the executed verdict, nobody appeals; the appeal window of 12 s and both commands included; python -m bench.verdict",
        "runs": RUNS,
        "median_s": round(statistics.median(found), 1),
        "slowest_s": round(max(found), 1),
        "target_s": TARGET_S,
        "mediators": 3,
    }
    (ROOT / "bench/results/verdict.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
