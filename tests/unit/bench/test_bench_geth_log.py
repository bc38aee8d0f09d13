"""The record that `make test-geth` keeps of its tests: a run that was broken off goes on, and the report tells of what has not run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.geth_log import Log, summary
from tests.support.chain import PROJECT

TESTS = """
import pathlib, pytest
broken = pathlib.Path("broken").exists()

@pytest.fixture
def undone():
    yield
    assert not broken

def test_good(): pathlib.Path("good").open("a").write("x")
def test_bad(): assert not broken
def test_teardown(undone): pass
def test_interrupted():
    if broken:
        raise KeyboardInterrupt
def test_last(): pass
"""


def _run(folder: Path, commit: str) -> None:
    words = ["-p", "no:cacheprovider", "-p", "bench.geth_log", "-c", os.devnull, "--rootdir", ".", "-q", "test_some.py"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "GETH_LOG": "log.jsonl", "GETH_LOG_COMMIT": commit}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    subprocess.run([sys.executable, "-m", "pytest", *words], cwd=folder, env=environment, capture_output=True, check=False, timeout=60)


def test_log__interrupted_run_and_the_next__run_what_has_not_passed_and_say_at_which_commit(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "broken").touch()
    log = Log(tmp_path / "log.jsonl")
    _run(tmp_path, "one")
    broken_off = summary(log.last("found"), log.ended())
    assert (broken_off["complete"], broken_off["found"], broken_off["passed"]) == (False, 5, 1)
    assert broken_off["failed"] == ["test_some.py::test_bad", "test_some.py::test_teardown"]
    assert broken_off["not_reached"] == ["test_some.py::test_interrupted", "test_some.py::test_last"]

    (tmp_path / "broken").unlink()
    _run(tmp_path, "two")
    whole = summary(log.last("found"), log.ended())
    assert (whole["complete"], whole["passed"], whole["failed"], whole["not_reached"]) == (True, 5, [], [])
    assert whole["at"] == {"one": 1, "two": 4} and whole["each"]["test_some.py::test_good"]["commit"] == "one"
    assert (tmp_path / "good").read_text() == "x", "what had passed did not run again"


def test_summary__nothing_found__is_not_complete() -> None:
    assert not summary([], {})["complete"]
