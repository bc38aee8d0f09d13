"""What starting a command imports: names of modules, since times differ from machine to machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Each of these costs a command tens of milliseconds of CPU; none of them is needed to order a job.
HEAVY = {
    "web3", "ape", "eth_abi", "eth_account", "eth_keyfile", "eth_keys", "eth_typing", "eth_utils", "rlp", "parsimonious",
    "httpx", "httpcore", "aiohttp", "requests", "asyncio", "rich", "starlette", "uvicorn", "wasmtime", "structlog",
    "prometheus_client", "psutil", "numpy",
}  # fmt: skip
# --help lists commands and their options without importing what they do.
HELP = HEAVY | {"pydantic", "jsonschema", "coincurve", "sqlite3", "ssl"}
RUN = (
    "import lilypad_agents.cli.commands.run, lilypad_agents.cli.commands.quote, lilypad_agents.cli.jobspec;"
    "import lilypad_agents.agents.creator.client, lilypad_agents.agents.solver.client, lilypad_agents.cli.screens"
)


def imported_by(code: str) -> set[str]:
    """Top-level names of all modules that a fresh interpreter holds after `code`."""
    show = "import sys; sys.stderr.write(' '.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["job", "--help"]], ids=" ".join)
def test_help__any_command__imports_nothing_heavy(words: list[str]) -> None:
    code = f"from lilypad_agents.cli.main import cli\ncli.main({words!r})"
    found = imported_by(code)
    assert "lilypad_agents" in found and not found & HELP


def test_run__all_that_ordering_a_job_needs__imports_nothing_heavy() -> None:
    """The time from `lilypad run` to its offer is mostly imports (bench/latency.py)."""
    found = imported_by(RUN)
    assert {"lilypad_agents", "coincurve"} <= found and not found & HEAVY


def test_run__key_of_the_devnet__imports_nothing_heavy() -> None:
    key = "from lilypad_agents.chain.keys import signer_from_test_mnemonic\nsigner_from_test_mnemonic(0, 1337)"
    assert not imported_by(key) & HEAVY
