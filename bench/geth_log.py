"""A pytest plugin: writes down each test as it ends, so that a run which is broken off loses none of them. `-p bench.geth_log`

GETH_LOG names a file of JSON lines: one with all tests that were found, then one for each test that has ended.
GETH_LOG_COMMIT is what they ran at. A test that has passed according to the file is not run again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest


class Log:
    """The file. `ended`: the last line of each test by its name (pytest's node id)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, **line: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()] if self._path.exists() else []

    def last(self, name: str) -> Any:
        """The last value under this name; None without one."""
        return next((line[name] for line in reversed(self._lines()) if name in line), None)

    def ended(self) -> dict[str, dict[str, Any]]:
        return {line["test"]: line for line in self._lines() if "test" in line}


class Recorder:
    """What pytest tells of; times of a test are those of its set-up, call and teardown together, in seconds."""

    def __init__(self, log: Log, commit: str) -> None:
        self._log = log
        self._commit = commit
        self._seconds = 0.0
        self._outcome = "passed"

    @pytest.hookimpl(trylast=True)  # after the folder's own hook has left out what needs anvil
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self._log.add(found=[item.nodeid for item in items])
        passed = {name for name, line in self._log.ended().items() if line["outcome"] == "passed"}
        done = [item for item in items if item.nodeid in passed]
        items[:] = [item for item in items if item.nodeid not in passed]
        config.hook.pytest_deselected(items=done)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._seconds, self._outcome = 0.0, "passed"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds += report.duration
        if report.outcome != "passed" and self._outcome != "failed":
            self._outcome = report.outcome

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._log.add(test=nodeid, outcome=self._outcome, seconds=round(self._seconds, 1), commit=self._commit)


def pytest_configure(config: pytest.Config) -> None:
    path, commit = os.environ.pop("GETH_LOG"), os.environ.pop("GETH_LOG_COMMIT")
    config.pluginmanager.register(Recorder(Log(Path(path)), commit))


def summary(found: Sequence[str], ended: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The report of these tests: how many, which failed or did not run, at which commits, and a line for each."""
    ran = [ended[name] for name in found if name in ended]
    commits = sorted({line["commit"] for line in ran})
    by = {outcome: [line["test"] for line in ran if line["outcome"] == outcome] for outcome in ("passed", "failed", "skipped")}
    return {
        "complete": len(ran) == len(found) > 0,
        "found": len(found),
        "passed": len(by["passed"]),
        "failed": by["failed"],
        "skipped": by["skipped"],
        "not_reached": [name for name in found if name not in ended],
        "at": {commit: sum(line["commit"] == commit for line in ran) for commit in commits},
        "seconds": round(sum(line["seconds"] for line in ran)),
        "each": {line["test"]: {key: line[key] for key in ("outcome", "seconds", "commit")} for line in ran},
    }
