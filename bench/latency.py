"""Time from `lilypad run` to verified output on a devnet; writes bench/results/latency.json. Run: python -m bench.latency

Wall time of whole processes, start of the interpreter included, less the job's own time as its receipt states it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.gas_world import ROOT

RUNS = 15
WARM_UP = 2


def lilypad(folder: Path, *words: str) -> dict[str, Any]:
    """Runs the command in `folder` and returns the data of its JSON answer. Raises RuntimeError with what it printed."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lilypad")), *words, "--json"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"lilypad {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout)["data"]


def one_run(folder: Path, index: int) -> tuple[float, float]:
    """Seconds of the command, and of the job inside it."""
    started = time.perf_counter()
    answer = lilypad(folder, "run", "cowsay:v0.0.1", "-i", f"Message=run {index}")
    seconds = time.perf_counter() - started
    if not answer["verified"]:
        raise RuntimeError(f"run {index} was not verified: {answer}")
    receipt = json.loads((Path(answer["results"]) / "receipt.json").read_text())["receipt"]
    return seconds, receipt["wallMs"] / 1_000


def measure(folder: Path) -> list[tuple[float, float]]:
    lilypad(folder, "devnet", "up")  # mixed mining: a transaction is mined at once, and blocks keep coming
    try:
        return [one_run(folder, index) for index in range(WARM_UP + RUNS)][WARM_UP:]
    finally:
        lilypad(folder, "devnet", "down")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="lilypad-latency-") as name:
        runs = measure(Path(name))
    net = sorted(whole - job for whole, job in runs)
    report = {
        "about": "seconds from `lilypad run` to verified output, job time taken off; mixed mining (a block at once for a transaction, and one a second); python -m bench.latency",
        "runs": RUNS,
        "median_s": round(statistics.median(net), 3),
        "fastest_s": round(net[0], 3),
        "slowest_s": round(net[-1], 3),
        "median_job_s": round(statistics.median(job for _, job in runs), 3),
        "target_median_s": 1.5,
    }
    (ROOT / "bench/results/latency.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
