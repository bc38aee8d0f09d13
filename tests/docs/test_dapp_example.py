"""The contract of docs/dapp-developer.md, compiled against the package as a consumer would, and taken through its jobs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lilypad_agents.chain.abi import Abi
from lilypad_agents.protocol.requests import JobOutcome, JobRequest
from scripts.build_npm import build
from tests.docs.markdown import DOCS, ROOT, blocks
from tests.support import evm as evm_module
from tests.support.evm import Artefact, Contract, Reverted
from tests.support.requests import COIN, Requests, build_requests

PAGE = DOCS / "dapp-developer.md"
NAME = "CowOracle"
PRICE = 2 * COIN
CONSUMER_TEST = ROOT / "tests" / "contracts" / "jobs" / "test_jobs_consumer.py"


def compiled(source: str, package: Path) -> Artefact:
    """The example by the pinned compiler, with nothing but the package and OpenZeppelin to import."""
    question = {
        "language": "Solidity",
        "sources": {"Example.sol": {"content": source}},
        "settings": {
            "evmVersion": "cancun",
            "viaIR": True,
            "optimizer": {"enabled": True, "runs": 200},
            "outputSelection": {"Example.sol": {NAME: ["abi", "evm.bytecode.object"]}},
        },
    }
    modules = package / "node_modules"
    build(modules / "lilypad-contracts")
    (modules / "@openzeppelin").symlink_to(ROOT / "node_modules" / "@openzeppelin")
    command = ["node", ROOT / "tools" / "solc.js", "--standard-json", "--base-path", ".", "--allow-paths", "node_modules"]
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        command, input=json.dumps(question), capture_output=True, text=True, cwd=package, check=True, env={**os.environ, "PATH": path}
    )
    answer = json.loads(run.stdout)
    errors = [item["formattedMessage"] for item in answer.get("errors", []) if item["severity"] == "error"]
    assert errors == []
    contract = answer["contracts"]["Example.sol"][NAME]
    functions = [entry for entry in contract["abi"] if entry["type"] == "function"]
    views = frozenset(entry["name"] for entry in functions if entry["stateMutability"] in ("view", "pure"))
    return Artefact(Abi(NAME, contract["abi"]), bytes.fromhex(contract["evm"]["bytecode"]["object"]), views)


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    (source,) = [block.text for block in blocks(PAGE) if block.language == "solidity"]
    return compiled(source, tmp_path_factory.mktemp("consumer"))


@pytest.fixture
def desk() -> Requests:
    return build_requests()


@pytest.fixture
def oracle(desk: Requests, artefact: Artefact, monkeypatch: pytest.MonkeyPatch) -> Iterator[Contract]:
    """The example, and a caller who allowed it to take ten tokens."""
    of_build = evm_module._artefact
    monkeypatch.setattr(evm_module, "_artefact", lambda name: artefact if name == NAME else of_build(name))
    world = desk.world
    oracle = world.evm.deploy(NAME, desk.jobs, world.module.id, world.token)
    world.token.mint(world.creator, 10 * COIN)
    world.token.approve(oracle, 10 * COIN, sender=world.creator)
    yield oracle


def asked(desk: Requests, oracle: Contract, message: str = "moo") -> JobRequest:
    return desk.requested(oracle.ask(message, sender=desk.world.creator))


def served(desk: Requests, request: JobRequest):
    """A deal at one token without units, which the example's price cap covers."""
    return replace(desk).matched(request, unit_price=0)


def test_ask__by_a_caller__is_served_and_pays_back_what_it_did_not_cost(desk: Requests, oracle: Contract) -> None:
    """beh:F1 beh:F12"""
    world, request = desk.world, asked(desk, oracle, 'a "quoted"\nmoo')
    assert json.loads(request.inputs)["values"] == {"Message": 'a "quoted"\nmoo'}
    before = world.free(world.creator)
    deal = served(desk, request)
    desk.deliver(deal, desk.settled(deal))
    assert oracle.answer() == b"moo\n"
    assert world.free(world.creator) - before == PRICE - COIN - COIN // 20
    assert world.free(oracle) == world.locked(oracle) == 0


def test_ask__a_job_that_failed_by_itself__leaves_no_answer(desk: Requests, oracle: Contract) -> None:
    deal = served(desk, asked(desk, oracle))
    desk.deliver(deal, desk.settled(deal, exit_code=7))
    assert oracle.answer() == b""


def test_ask__a_late_provider__is_a_failure_with_refund_and_penalty(desk: Requests, oracle: Contract) -> None:
    """beh:F6"""
    world, deal = desk.world, served(desk, asked(desk, oracle))
    before = world.free(world.creator)
    world.pass_to(world.evm.timestamp + deal.submit_window + 1)
    world.resolver.timeoutSubmit(deal.words, sender=world.keeper)
    desk.jobs.deliverFailure(deal.words)
    penalty = min(deal.collateral, deal.value)
    assert oracle.failure() == JobOutcome.LATE
    assert world.free(world.creator) - before == PRICE + penalty - penalty // 100


def test_cancel__by_the_payer__ends_it_with_the_money_back(desk: Requests, oracle: Contract) -> None:
    world, request = desk.world, asked(desk, oracle)
    before = world.free(world.creator)
    with pytest.raises(Reverted, match="not yours"):
        oracle.cancel(request.id, sender=world.keeper)
    oracle.cancel(request.id, sender=world.creator)
    desk.jobs.deliverUnopened(request.requester, request.terms, request.inputs_digest)
    assert oracle.failure() == JobOutcome.CANCELLED and world.free(world.creator) - before == PRICE


def test_answer__from_anyone_but_lilypad__is_refused(desk: Requests, oracle: Contract) -> None:
    """beh:F12"""
    request = asked(desk, oracle)
    with pytest.raises(Reverted, match="CallerNotJobs"):
        oracle.onJobFailure(request.id, (JobOutcome.LATE, bytes(32), 0, 0), sender=desk.world.keeper)


def test_consumers_test__on_the_page__is_the_one_that_is_run() -> None:
    """beh:F16"""
    (shown,) = [block.text for block in blocks(PAGE) if block.language == "python"]
    run = CONSUMER_TEST.read_text(encoding="utf-8").split("# --- as a consumer writes it\n")[1].split("# --- end")[0]
    assert shown.strip() == run.strip()
