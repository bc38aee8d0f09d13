"""The provider as a process of its own: start, readiness, signals, draining."""

from __future__ import annotations

import json
import signal as signals
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lilypad_agents.agents.provider.agent import drain_file
from lilypad_agents.protocol.lifecycle import Status
from tests.agents.provider.harness import Stage
from tests.agents.provider.relay import Relay
from tests.support.chain import PROJECT
from tests.support.network import Network, signer

ACCOUNTS = iter((10, 11, 12, 13, 14))  # of the test mnemonic, one for each test
PROGRAM = """
import json, sys
from lilypad_agents.agents.provider.config import ProviderSettings
from lilypad_agents.agents.provider.run import run
sys.exit(run(ProviderSettings.load(flags=json.loads(sys.argv[1]))))
"""


class Process:
    """A provider that `lilypad provider start` would run."""

    def __init__(self, stage: Stage, account: int) -> None:
        self.data = stage.folder / "provider"
        flags = {
            "data": str(self.data), "state": str(stage.folder / "state"), "rpc": list(stage.network.rpc.config.urls),
            "address_book": str(stage.network.book_path), "solver_urls": [stage.relay.url], "selftest": False,
            "durable_content": False, "log_stderr": False, "test_account": account, "slots": 1,
        }  # fmt: skip
        command = [sys.executable, "-c", PROGRAM, json.dumps(flags)]
        self.process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def get(self, path: str) -> dict[str, object] | None:
        """The answer of its health endpoint; None while there is none."""
        try:
            url = json.loads((self.data / "health.json").read_text())["url"]
            with urllib.request.urlopen(url + path, timeout=2) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as refusal:
            return dict(json.loads(refusal.read()))
        except (OSError, ValueError):
            return None

    def wait_ready(self) -> None:
        wait(lambda: (self.get("/readyz") or {}).get("ready") is True)

    def end(self, seconds: float = 12) -> int:
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()


def wait(condition: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not get there in time"
        time.sleep(0.02)


@pytest.fixture
def account() -> int:
    return next(ACCOUNTS)


@pytest.fixture
def stage(network: Network, relay: Relay, tmp_path: Path, account: int) -> Iterator[Stage]:
    stage = Stage(network, relay, tmp_path, provider=signer(account))
    yield stage
    stage.close()


@pytest.fixture
def start(stage: Stage, account: int) -> Iterator[object]:
    running: list[Process] = []

    def start() -> Process:
        running.append(Process(stage, account))
        return running[-1]

    yield start
    for process in running:
        process.process.kill()
        process.process.wait()


def test_process__asked_to_stop_in_the_middle_of_a_run__ends_well_and_serves_the_deal_after_a_restart(
    stage: Stage, start: object
) -> None:
    """flt:F3 beh:J2 Exit 0 within ten seconds; no job outlives it; the next life runs it again."""
    module = stage.module("primes")
    pair = stage.pair(module, stage.inputs(module, {"Limit": 1_000_000_000}), {"submit_window": 600})
    first = start()  # type: ignore[operator]
    first.wait_ready()
    deal_id, _ = stage.open(pair)[0]
    wait((first.data / "work" / "jobs" / deal_id.hex() / "process").exists)
    first.process.send_signal(signals.SIGTERM)
    assert first.end() == 0
    assert stage.status(deal_id) is Status.AGREED
    second = start()  # type: ignore[operator]
    wait(lambda: bool(stage.relay.of_kind(deal_id, "result")), 60)
    wait(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    second.process.send_signal(signals.SIGTERM)
    assert second.end() == 0


def test_process__a_second_signal__ends_at_once(stage: Stage, start: object) -> None:
    """flt:F3"""
    process = start()  # type: ignore[operator]
    process.wait_ready()
    process.process.send_signal(signals.SIGSTOP)
    process.process.send_signal(signals.SIGTERM)
    process.process.send_signal(signals.SIGINT)
    process.process.send_signal(signals.SIGCONT)
    assert process.end(5) in (128 + signals.SIGTERM, 128 + signals.SIGINT, 0)


def test_process__drained__ends_by_itself(stage: Stage, start: object) -> None:
    """beh:J26"""
    process = start()  # type: ignore[operator]
    process.wait_ready()
    wait(lambda: len(stage.relay.offers) == 1)
    drain_file(process.data).touch()
    assert process.end(20) == 0
    assert not stage.relay.offers


def test_process__chain_does_not_answer__says_so_and_ends(stage: Stage, tmp_path: Path) -> None:
    """flt:F6 At the start there is nothing to wait for: the exit code is that of an unreachable chain."""
    from lilypad_agents.agents.provider.run import run
    from lilypad_agents.errors import ChainUnreachable

    settings = stage.options(data=tmp_path / "other", rpc=("http://127.0.0.1:9",))
    with pytest.raises(ChainUnreachable):
        run(settings, signals=False, signer=stage.provider)
