"""The report of a soak, and whether it passed."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.gas_world import ROOT
from bench.soak.watch import Found
from lilypad_agents.devnet.cheater import lies_about
from lilypad_agents.protocol.lifecycle import DisputeKind, Status

RESULT = ROOT / "bench/results/soak.json"
MOST_GROWTH = 10.0  # percent an hour
LEAST_MINUTES, LEAST_JOBS = 30.0, 2000
_QUIET_LEVELS = ("debug", "info")


def commit() -> str:
    """The commit of this checkout, marked when files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "HEAD") + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def endings(statuses: Iterable[Status]) -> dict[str, int]:
    return dict(sorted(Counter(status.name for status in statuses).items()))


def disputes(found: Found) -> dict[str, int]:
    return {DisputeKind(int(kind)).name: count for kind, count in sorted(found.disputes.items())}


def lies(found: Found, cheater: str, percent: int) -> dict[str, Any]:
    """What became of the results that the cheat made up."""
    told = [deal for deal, provider in found.providers.items() if provider == cheater and deal in found.answered and lies_about(deal, percent)]
    return {"told": len(told), "ended_as": endings(found.statuses[deal] for deal in told)}


def loud_lines(log: Path) -> Counter[str]:
    """Warnings and errors of an agent's log by level and event; tracebacks apart."""
    counts: Counter[str] = Counter()
    for path in (log.with_suffix(".log.1"), log):
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            try:
                entry = json.loads(line)
                level, event = str(entry.get("level", "")), str(entry.get("event", ""))
            except (ValueError, AttributeError):
                level, event = "not JSON", line[:60]
            if level not in _QUIET_LEVELS:
                counts[f"{level}: {event}"] += 1
            if "Traceback" in line:
                counts["traceback"] += 1
    return counts


def failures(report: Mapping[str, Any]) -> list[str]:
    """What of the report is not as it has to be; empty when the soak passed."""
    found = []
    if report["violations"]["count"]:
        found.append(f"{report['violations']['count']} violations")
    if report["blocks"]["checked"] != report["blocks"]["last"] - report["blocks"]["first"] + 1:
        found.append("not every block was checked")
    if report["deals"]["stuck"]:
        found.append(f"{len(report['deals']['stuck'])} deals are stuck")
    if report["left"]["locked"] or report["left"]["open_seats"]:
        found.append("money or seats are still locked")
    if report["left"]["orphans"]:
        found.append("processes were left behind")
    if report["faults"]["restarts_failed"]:
        found.append("an agent did not come up again")
    if report["creators"]["unexpected"]:
        found.append("the client failed in a way that it does not name")
    for name, agent in report["memory"].items():
        growth = agent["growth_percent_per_hour"]
        if agent["judged"] and growth is not None and growth > MOST_GROWTH:
            found.append(f"{name} grows by {growth} % an hour")
    if report["long_enough"] and not any(agent["judged"] and agent["growth_percent_per_hour"] is not None for agent in report["memory"].values()):
        found.append("no agent lived long enough to say whether it grows")
    return found
