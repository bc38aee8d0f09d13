"""One table of what is known about the contracts and agents, and how: `make assure`.

Reads the committed reports of the long runs in bench/results and runs the short ones: the table of external calls and the word
proofs (`--no-run` leaves them out). The exit code is 1 when a report is missing, says that something is wrong, or a short run
fails. What each row means, and does not mean: docs/assurance.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.assurance.static_analysis import PROJECT
from tests.faults import table

RESULTS = PROJECT / "bench" / "results"
# Names that the reports use for what went wrong, and for how much was tried.
_WRONG = ("misses", "problems", "wrong", "failures", "violations", "divergences", "failed", "missed", "errors")
_EFFORT = ("calls", "steps", "traces", "depth", "runs", "seeds", "jobs", "deals", "minutes", "hours", "killed", "points", "mutants")


@dataclass(frozen=True)
class Row:
    subject: str
    method: str
    effort: str
    result: str
    seconds: float | None
    good: bool
    commit: str = ""


def from_static(report: dict[str, Any]) -> list[Row]:
    wrong = report["problems"]
    result = f"{report['findings']} findings of medium or higher, each with its reason" if not wrong else "; ".join(wrong)
    return [Row("known bad patterns", "slither, all detectors", f"{report['files']} files", result, report["seconds"], not wrong)]


def from_symbolic(report: dict[str, Any]) -> list[Row]:
    rows = [
        Row(row["property"], row["method"], "all arguments", row["outcome"], row["seconds"], row["outcome"] == "proved")
        for row in report["properties"]
    ]
    seen = len(report["false_ones_seen_to_fail"])
    return [*rows, Row("three false properties", "as above", "all arguments", f"{seen} of 3 seen to fail", None, seen == 3)]


def from_mutation(report: dict[str, Any]) -> list[Row]:
    unexplained = [survivor for survivor in report["survivors"] if not survivor["reason"]]
    result = f"{report['killed']} of {report['not_equivalent']} killed ({100 * report['score']:.1f} %), {len(unexplained)} survivors without a reason"
    effort = f"{report['run']} of {report['generated']} mutants, seed {report['seed']}"
    good = report["score"] >= 0.95 and not unexplained
    return [Row("wrong changes in the money contracts", "mutants behind switches", effort, result, report["seconds"], good)]


def from_gym(report: dict[str, Any]) -> list[Row]:
    """A finding there is an attack that pays below its stated share of hostile stake."""
    return [
        Row(f"attack: {scenario['name']}", "game simulation", f"{report['seeds']} seeds a share",
            f"pays from {scenario['pays_from_percent']} % hostile stake" if scenario["pays_from_percent"] else "never pays",
            None, not scenario["finding"] or bool(scenario["known"]))
        for scenario in report["scenarios"]
    ]  # fmt: skip


def from_faults(report: dict[str, Any]) -> list[Row]:
    ids: dict[str, list[bool]] = {}
    for line in report["lines"]:
        ids.setdefault(str(line["id"]), []).append(not line["missed"])
    return [
        Row(f"fault {id_}", "injected into real agents on a real chain", f"{len(good)} runs",
            f"{sum(good)} of {len(good)} as expected", None, all(good))
        for id_, good in ids.items()
    ]  # fmt: skip


def from_geth(report: dict[str, Any]) -> list[Row]:
    tests = report["tests"]
    result = f"{tests['passed']} passed, {len(tests['failed'])} failed, {len(tests['skipped'])} skipped, {len(tests['not_reached'])} not reached"
    good = tests["complete"] and tests["passed"] == tests["found"]
    return [Row("everything that can run on another chain", f"geth {report['geth']}", f"{tests['found']} tests", result, tests["seconds"], good)]


def from_any(subject: str, method: str) -> Callable[[dict[str, Any]], list[Row]]:
    """One row of a report that says itself what went wrong."""

    def rows(report: dict[str, Any]) -> list[Row]:
        wrong = [f"{name}: {report[name]}" for name in _WRONG if _says_something(report.get(name))]
        effort = ", ".join(f"{report[name]} {name}" for name in _EFFORT if isinstance(report.get(name), (int, float)))
        seconds = next((report[name] for name in ("wall_s", "seconds") if name in report), None)
        return [Row(subject, method, effort or "see the report", "; ".join(wrong)[:300] or "nothing wrong", seconds, not wrong)]

    return rows


def _says_something(value: Any) -> bool:
    """Whether anything is counted or listed: {"count": 0, "first": []} is nothing."""
    return any(value.values()) if isinstance(value, dict) else bool(value)


def from_faults_long(report: dict[str, Any]) -> list[Row]:
    result = f"{report['as_expected']} of {report['runs']} as expected"
    good = report["as_expected"] == report["runs"] and {line["id"] for line in report["lines"]} == set(table.IDS)
    return [Row("every fault in every role, state and side of a deadline", "injected into real agents on a real chain", f"{report['runs']} runs", result, report["wall_s"], good)]


REPORTS: dict[str, Callable[[dict[str, Any]], list[Row]]] = {
    "static": from_static,
    "symbolic": from_symbolic,
    "mutation": from_mutation,
    "assure_model": from_any("contracts equal the reference model", "random walks, step by step"),
    "gym": from_gym,
    "faults": from_faults,
    "faults_long": from_faults_long,
    "crash_sweep": from_any("a kill at every durable step", "real agents on a real chain"),
    "geth": from_geth,
    "soak": from_any("hours of ordinary work", "real agents on a real chain"),
    "disputes": from_any("a burst of disputes, open at once", "real mediators on a real chain"),
}
SHORT = {
    "every external call is in the table": ["-m", "pytest", "-p", "no:ape_test", "-q", "tests/contracts/test_external_calls.py"],
    "word proofs, quick form": ["-m", "tests.assurance.symbolic", "--quick"],
}


def rows_of(name: str) -> list[Row]:
    """The rows of one report; a single bad one when it is missing or cannot be read."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return [Row(name, "", "", "no report", None, False)]
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return [Row(**(row.__dict__ | {"commit": str(report.get("commit", ""))[:7]})) for row in REPORTS[name](report)]
    except (KeyError, TypeError, ValueError) as error:
        return [Row(name, "", "", f"unreadable report: {error!r}", None, False)]


def run_short(subject: str, words: list[str]) -> Row:
    began = time.monotonic()
    done = subprocess.run([sys.executable, *words], cwd=PROJECT, capture_output=True, text=True, check=False)
    result = "passed" if done.returncode == 0 else (done.stdout + done.stderr)[-200:].replace("\n", " ")
    return Row(subject, "run now", "", result, time.monotonic() - began, done.returncode == 0, "now")


def show(rows: list[Row]) -> str:
    head = ("", "property or fault", "method", "effort", "result", "time", "commit")
    lines = [
        ("ok" if row.good else "NOT OK", row.subject, row.method, row.effort, row.result,
         "" if row.seconds is None else f"{row.seconds:.0f} s", row.commit)
        for row in rows
    ]  # fmt: skip
    widths = [min(max(len(line[i]) for line in [head, *lines]), 70) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in [head, *lines])


def main() -> int:
    rows = [row for name in REPORTS for row in rows_of(name)]
    if "--no-run" not in sys.argv:
        rows += [run_short(subject, words) for subject, words in SHORT.items()]
    print(show(rows))
    bad = sum(not row.good for row in rows)
    print(f"{len(rows)} rows, {bad} not ok")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
