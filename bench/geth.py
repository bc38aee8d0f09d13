"""Everything that can run on geth, on geth; writes bench/results/geth.json. Run: python -m bench.geth (make test-geth)

A devnet on geth by the command line: deployment, a job without and one with mediators, settled. Then the tests: outbox and
deployment on geth, and the end-to-end tests with geth as the chain of their networks.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path
from typing import Any

from bench.gas_world import ROOT
from bench.soak.report import commit
from tests.e2e.anvil_only import ANVIL_ONLY

RESULT = ROOT / "bench/results/geth.json"
GETH = ROOT / ".geth/bin/geth"
END_TO_END = ("run", "disputes", "bad_days", "client", "modules", "devnet", "soak")  # the last but one starts from nothing again
TESTS = ("tests/geth", "tests/contracts/deploy/test_deploy_geth.py", *(f"tests/e2e/test_e2e_{name}.py" for name in END_TO_END))
TEST_TIMEOUT_S = 900  # of one test, the start of its network included
# Tests of other folders that drive anvil itself; their subjects are on geth in the end-to-end tests.
OTHER_TESTS = {
    "tests/agents": "move time, balances, code and reorganisations of the chain by anvil's own calls",
    "tests/contracts but the deployment on geth": "run in an EVM in this process, without a chain",
}


def main() -> int:
    began = time.monotonic()
    version = re.search(r"^Version: (\S+)", _run([str(GETH), "version"]), re.MULTILINE)
    report: dict[str, Any] = {
        "about": "the end-to-end tests, the deployment and the outbox on geth in development mode; python -m bench.geth (make test-geth)",
        "geth": version.group(1) if version else "unknown",
        "commit": commit(),
        "devnet": devnet_run(),
        "tests": run_tests(sys.argv[1:]),
        "left_out": {**ANVIL_ONLY, **OTHER_TESTS},
    }
    report["seconds"] = round(time.monotonic() - began)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    good = all(job["state"] in ("ACCEPTED", "MEDIATION_ACCEPTED") for job in report["devnet"]["jobs"])
    tests = report["tests"]
    return 0 if good and tests["complete"] and tests["passed"] and not tests["failed"] else 1


def devnet_run() -> dict[str, Any]:
    """A network from nothing and two jobs on it, as a user would; raises RuntimeError with what a command printed."""
    with tempfile.TemporaryDirectory(prefix="lilypad-geth-") as name:
        folder = Path(name)
        began = time.monotonic()
        _lilypad(folder, "devnet", "up", "--dir", name, "--modules", str(ROOT / "modules"), "--chain", "geth")
        up = time.monotonic() - began
        try:
            jobs = [_job(folder, *words) for words in ((), ("--pool", "unverified"))]
        finally:
            _lilypad(folder, "devnet", "down")
        return {"up_seconds": round(up, 1), "jobs": jobs}


def _job(folder: Path, *words: str) -> dict[str, Any]:
    began = time.monotonic()
    data = _lilypad(folder, "run", "cowsay:v0.0.1", "-i", "Message=geth", "--wait", "final", *words)
    return {
        "pool": "mediated" if data["pool"]["verified"] else "unverified",
        "state": data["state"],
        "verified": data["verified"],
        "paid": data["payment"]["paid"],
        "seconds": round(time.monotonic() - began, 1),
    }


def run_tests(more: list[str]) -> dict[str, Any]:
    """Runs pytest over TESTS; counts, failures by name, and how long each file took."""
    with tempfile.TemporaryDirectory(prefix="lilypad-geth-") as name:
        results = Path(name) / "results.xml"
        environment = {**os.environ, "LILYPAD_E2E_CHAIN": "geth", "PATH": f"{GETH.parent}{os.pathsep}{os.environ['PATH']}"}
        command = [sys.executable, "-m", "pytest", "-p", "no:ape_test", "-q", "-o", f"timeout={TEST_TIMEOUT_S}", f"--junitxml={results}"]
        ended = subprocess.run([*command, *TESTS, *more], cwd=ROOT, env=environment, check=False).returncode
        cases = list(xml.parse(results).getroot().iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    files: Counter[str] = Counter(case.get("classname", "") for case in cases)
    return {
        "complete": ended in (0, 1),  # not when it was interrupted
        "run": len(cases),
        "passed": len(cases) - len(failed) - len(skipped),
        "failed": [f"{case.get('classname')}.{case.get('name')}" for case in failed],
        "skipped": len(skipped),
        "by_file": dict(files),
        "seconds": round(sum(float(case.get("time", 0)) for case in cases)),
    }


def _lilypad(folder: Path, *words: str) -> Any:
    """The data of a command's JSON answer."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LILYPAD_")}
    out = _run([sys.executable, "-m", "lilypad_agents.cli", *words, "--json"], cwd=folder, env=environment)
    return json.loads(out)["data"]


def _run(command: list[str], **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
