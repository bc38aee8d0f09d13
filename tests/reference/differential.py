"""Plays made-up histories on contracts and model, from the founded site to the drain.

    python -m tests.reference.differential --steps 1000000    # goes on where it was stopped; bench/results/assure_model.json
    python -m tests.reference.differential --seed 17          # one history, with the last steps of a difference

A history is told by its seed alone. The report is written as the run goes, so that it says what was done however it ends.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reference.chain import Site, build_site
from tests.reference.ending import PARTIES, end
from tests.reference.twin import Difference, Tally, Twin

LENGTH = 450  # steps of a history before its ending
ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "bench" / "results" / "assure_model.json"
FIRST_SEED = 1_000_000  # those of the test begin at 0
_EVERY = 20  # seconds between writings of the report


def play(site: Site, seed: int, tally: Tally, length: int = LENGTH) -> Twin:
    """One history with its ending, from the founded site and back to it. Raises Difference."""
    checkpoint = site.evm.checkpoint()
    twin = Twin(site, seed, tally)
    try:
        twin.run(length)
        end(twin, PARTIES[seed % len(PARTIES)])
    finally:
        site.evm.rollback(checkpoint)
    tally.histories += 1
    tally.endings.update(deal.status.name for deal in twin.model.deals.all.values())
    for dispute in twin.model.mediation.disputes.values():
        tally.sizes.update(round_.count for round_ in dispute.rounds if round_.is_drawn)
    return twin


@dataclass
class Run:
    """A long form that may be stopped at any time."""

    commit: str
    asked: int
    next_seed: int = FIRST_SEED
    seconds: float = 0.0
    processor_seconds: float = 0.0
    differences: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def load(cls, commit: str, asked: int) -> Run:
        """Goes on with the report of the same commit; another commit's counts for nothing here."""
        if not REPORT.exists():
            return cls(commit, asked)
        old = json.loads(REPORT.read_text(encoding="utf-8"))
        if old["commit"] != commit:
            return cls(commit, asked)
        refusals = Counter({tuple(key.split(": ")): count for key, count in old["refusals"].items()})
        tally = Tally(old["histories"], old["steps"], Counter(old["calls"]), refusals, Counter(old["endings of deals"]),
                      Counter({int(size): count for size, count in old["drawn rounds by seats"].items()}), old["words compared"])  # fmt: skip
        return cls(commit, asked, old["next seed"], old["seconds"], old["processor seconds"], old["differences"], tally)

    def save(self) -> None:
        document: dict[str, Any] = {
            "what": "contracts against the Python reference model (tests/reference), step by step on random histories",
            "commit": self.commit, "steps asked": self.asked, "steps": self.tally.steps, "transactions": self.tally.transactions,
            "differences": self.differences, "histories": self.tally.histories, "first seed": FIRST_SEED,
            "next seed": self.next_seed, "seconds": round(self.seconds, 1), "processor seconds": round(self.processor_seconds, 1),
            "words compared": self.tally.words, "refused": sum(self.tally.refusals.values()), "machine": platform.machine(),
            "python": platform.python_version(), "calls": dict(self.tally.calls.most_common()),
            "endings of deals": dict(self.tally.endings.most_common()),
            "drawn rounds by seats": {str(size): count for size, count in sorted(self.tally.sizes.items())},
            "refusals": {": ".join(key): count for key, count in self.tally.refusals.most_common()},
        }  # fmt: skip
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        fresh = REPORT.with_suffix(".new")
        fresh.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        fresh.replace(REPORT)

    def go(self, site: Site) -> None:
        """Until there are enough steps or a difference."""
        written = time.monotonic()
        while self.tally.steps < self.asked and not self.differences:
            start, used = time.monotonic(), time.process_time()
            try:
                play(site, self.next_seed, self.tally)
            except Difference as difference:
                self.differences.append(str(difference))
            self.seconds += time.monotonic() - start
            self.processor_seconds += time.process_time() - used
            self.next_seed += 1
            if time.monotonic() - written > _EVERY:
                written = time.monotonic()
                self.save()
                print(f"{self.tally.steps:,} steps, {self.tally.histories:,} histories, next seed {self.next_seed}", flush=True)
        self.save()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, help="one history only")
    arguments = parser.parse_args()
    site = build_site()
    if arguments.seed is not None:
        tally = Tally()
        play(site, arguments.seed, tally)
        print(f"history {arguments.seed}: {tally.steps} steps, no difference")
        return 0
    run = Run.load(_commit(), arguments.steps)
    run.asked = arguments.steps
    run.go(site)
    print(f"{run.tally.steps:,} steps, {len(run.differences)} differences, {run.seconds:.0f} s")
    print("\n".join(run.differences))
    return 1 if run.differences else 0


def _commit() -> str:
    """With a mark when contracts or model are not what is committed."""
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "contracts", "tests/reference", "lilypad_agents/protocol")
    return git("rev-parse", "HEAD") + (" and changes" if changed else "")


if __name__ == "__main__":
    sys.exit(main())
