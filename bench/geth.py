"""Everything that can run on geth, on geth; writes bench/results/geth.json. Run: python -m bench.geth (make test-geth)

A devnet on geth by the command line: deployment, a job without and one with mediators, settled. Then the tests: outbox and
deployment on geth, and the end-to-end tests with geth as the chain of their networks.

Each test is written down as it ends (.cache/geth.jsonl). `--continue` goes on after a run that was broken off or in which
something failed: it runs what has not passed yet. The report names the commit of every test, and says `complete` only when
each has run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.gas_world import ROOT
from bench.geth_log import Log, summary
from bench.soak.report import commit
from tests.e2e.anvil_only import ANVIL_ONLY

RESULT = ROOT / "bench/results/geth.json"
LOG = ROOT / ".cache/geth.jsonl"
GETH = ROOT / ".geth/bin/geth"
END_TO_END = ("run", "disputes", "bad_days", "client", "contracts", "modules", "devnet", "soak")  # the last but one starts from nothing again
TESTS = ("tests/geth", "tests/contracts/deploy/test_deploy_geth.py", *(f"tests/e2e/test_e2e_{name}.py" for name in END_TO_END))
TEST_TIMEOUT_S = 900  # of one test, the start of its network included
# Tests of other folders that drive anvil itself; their subjects are on geth in the end-to-end tests.
OTHER_TESTS = {
    "tests/agents": "move time, balances, code and reorganisations of the chain by anvil's own calls",
    "tests/contracts but the deployment on geth": "run in an EVM in this process, without a chain",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--continue", dest="go_on", action="store_true", help="run what has not passed yet, by .cache/geth.jsonl")
    go_on = parser.parse_args().go_on
    LOG.parent.mkdir(exist_ok=True)
    if not go_on:
        LOG.unlink(missing_ok=True)
    log, began, on = Log(LOG), time.monotonic(), commit()
    if log.last("devnet") is None:
        log.add(devnet={"commit": on, **devnet_run()})
    run_tests(on)
    log.add(run_seconds=round(time.monotonic() - began))
    report = report_of(log, on)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    good = all(job["state"] in ("ACCEPTED", "MEDIATION_ACCEPTED") for job in report["devnet"]["jobs"])
    tests = report["tests"]
    return 0 if good and tests["complete"] and not tests["failed"] + tests["skipped"] else 1


def report_of(log: Log, on: str) -> dict[str, Any]:
    version = re.search(r"^Version: (\S+)", _run([str(GETH), "version"]), re.MULTILINE)
    return {
        "about": "the end-to-end tests, the deployment and the outbox on geth in development mode; python -m bench.geth (make test-geth)",
        "geth": version.group(1) if version else "unknown",
        "commit": on,
        "devnet": log.last("devnet"),
        "tests": summary(log.last("found") or [], log.ended()),
        "left_out": {**ANVIL_ONLY, **OTHER_TESTS},
        "load_at_the_end": round(os.getloadavg()[2], 1),
        "seconds": log.last("run_seconds"),
    }


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


def run_tests(on: str) -> None:
    """Runs pytest over TESTS, which writes to the log; when interrupted, waits until the network under test is down."""
    environment = {
        **os.environ,
        "LILYPAD_E2E_CHAIN": "geth",
        "GETH_LOG": str(LOG),
        "GETH_LOG_COMMIT": on,
        "PATH": f"{GETH.parent}{os.pathsep}{os.environ['PATH']}",
    }
    words = ["-p", "no:ape_test", "-p", "bench.geth_log", "-v", "--tb=short", "-o", f"timeout={TEST_TIMEOUT_S}"]
    process = subprocess.Popen([sys.executable, "-m", "pytest", *words, *TESTS], cwd=ROOT, env=environment)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()


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
