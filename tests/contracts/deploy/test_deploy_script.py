"""`ape run deploy`, as an operator types it. beh:L2 beh:L3"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lilypad_agents.chain.anvil import Anvil
from lilypad_agents.chain.deployment_plan import PRESETS, contracts_of
from lilypad_agents.chain.rpc import Rpc
from tests.support.chain import PROJECT

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(node: Anvil, book_path: Path) -> Run:
    environment = os.environ | {
        "APE_DATA_FOLDER": str(PROJECT / ".ape"),
        "SOLCX_BINARY_PATH": str(PROJECT / ".solc"),
        "LILYPAD_RPC_URL": node.url,
    }
    ape = Path(sys.executable).with_name("ape")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(ape), "run", "deploy", "--network", "ethereum:devnet", "--book", str(book_path), *arguments]
        return subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120, check=False,
            stdin=subprocess.DEVNULL,
        )

    return run


def test_script__deploy_then_verify__prints_a_table_and_json(run: Run, book_path: Path, rpc: Rpc) -> None:
    """beh:L3: the table names every contract; --json is one object; a changed chain fails the verification."""
    done = run("--account", "TEST::0", "--set", "revealWindow=45")
    assert done.returncode == 0, done.stdout + done.stderr
    book = json.loads(book_path.read_text())
    assert book["parameters"]["revealWindow"] == 45
    for name in contracts_of(PRESETS["devnet"]):
        assert f"{name} " in done.stdout and book["contracts"][name]["address"] in done.stdout

    verified = run("--verify", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout) == book

    rpc.request("anvil_setCode", book["contracts"]["Lilypad"]["address"], "0x00")
    broken = run("--verify")
    assert broken.returncode == 1
    assert "Lilypad: its code has hash" in broken.stderr


def test_script__bad_parameter__names_it_and_sends_nothing(run: Run, book_path: Path) -> None:
    """beh:L2"""
    done = run("--account", "TEST::0", "--set", "revealWindow=1")
    assert done.returncode == 1 and not book_path.exists()
    assert "deployment-parameter: revealWindow is 1; it must be from 18" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_script__verify_without_a_book__says_so(run: Run) -> None:
    done = run("--verify")
    assert done.returncode == 1
    assert "There is no address book" in done.stderr
