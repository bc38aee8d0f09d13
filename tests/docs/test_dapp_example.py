"""The contract of docs/dapp-developer.md, compiled as it stands there and taken through a job."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from lilypad_agents.chain.abi import Abi
from lilypad_agents.protocol.ids import NOBODY, keccak256
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.offers import JobOffer
from lilypad_agents.protocol.opening import Pair, ResultOpening
from lilypad_agents.protocol.digest import Part, open_result
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.docs.markdown import DOCS, ROOT, blocks
from tests.support import evm as evm_module
from tests.support.evm import Artefact, Contract, Reverted
from tests.support.world import COIN, World, build_world

PAGE = DOCS / "dapp-developer.md"
NAME = "CowOracle"
PRICE = 2 * COIN


def compiled(source: str) -> Artefact:
    """The example by the pinned compiler, with the settings of ape-config.yaml."""
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
    command = ["node", "tools/solc.js", "--standard-json", "--base-path", ".", "--allow-paths", "node_modules"]
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        command, input=json.dumps(question), capture_output=True, text=True, cwd=ROOT, check=True, env={**os.environ, "PATH": path}
    )
    answer = json.loads(run.stdout)
    errors = [item["formattedMessage"] for item in answer.get("errors", []) if item["severity"] == "error"]
    assert errors == []
    contract = answer["contracts"]["Example.sol"][NAME]
    functions = [entry for entry in contract["abi"] if entry["type"] == "function"]
    views = frozenset(entry["name"] for entry in functions if entry["stateMutability"] in ("view", "pure"))
    return Artefact(Abi(NAME, contract["abi"]), bytes.fromhex(contract["evm"]["bytecode"]["object"]), views)


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    (source,) = [block.text for block in blocks(PAGE) if block.language == "solidity"]
    return compiled(source)


@pytest.fixture
def world() -> World:
    return build_world()


@pytest.fixture
def oracle(world: World, artefact: Artefact, monkeypatch: pytest.MonkeyPatch) -> Iterator[Contract]:
    """The example with ten tokens in its ledger balance."""
    of_build = evm_module._artefact
    monkeypatch.setattr(evm_module, "_artefact", lambda name: artefact if name == NAME else of_build(name))
    oracle = world.evm.deploy(NAME, world.core, world.token, world.module.id)
    world.token.mint(world.creator, 10 * COIN)
    world.token.approve(oracle, 10 * COIN, sender=world.creator)
    oracle.fund(10 * COIN, sender=world.creator)
    yield oracle


def opened(world: World, oracle: Contract):
    """The example asks, somebody opens, and the job offer that Python packs is the one that the contract hashed."""
    asked = oracle.ask(keccak256(b"inputs"), PRICE, sender=world.keeper).event("Asked")
    job: JobOffer = world.job(
        creator=oracle.address, module=world.module.id, inputs=asked["inputs"], max_price=PRICE, max_units=0,
        cpu_milli=100, ram_mib=64, disk_mib=1, submit_window=60, judge_window=60, collateral_bps=10_000, audit_bps=0,
        pool=UNVERIFIED.id, solver=NOBODY, solver_fee_bps=0, expiry=asked["expiry"], nonce=asked["nonce"],
    )  # fmt: skip
    assert job.struct_hash == asked["offerHash"]
    resource = world.resource(pool=UNVERIFIED.id, solver=NOBODY, unit_price=0)
    pair = Pair(job, b"", resource, world.sign(resource, world.provider), world.module, UNVERIFIED, ())
    return world.open(pair, sender=world.keeper)


def cow(world: World, stdout: bytes, exit_code: int = 0) -> ResultOpening:
    found = open_result(
        Part.EXIT_CODE | Part.STDOUT, exit_code=exit_code, units=0, stdout_hash=keccak256(stdout), stderr_hash=None,
        outputs_root=None,
    )  # fmt: skip
    return ResultOpening(found.head, found.content, keccak256(b"salt"))


def paid(world: World, oracle: Contract, result: ResultOpening):
    """A deal of the example, submitted and settled after its judge deadline."""
    deal, deal_id = opened(world, oracle)
    world.core.submitResult(deal_id, world.commitment(deal, result), sender=world.provider)
    world.pass_to(world.evm.timestamp + deal.judge_window + 1)
    world.settle(deal, result)
    assert world.state(deal).status is Status.ACCEPTED
    return deal


def test_ask__from_a_contract__opens_with_an_empty_signature_by_anyone(world: World, oracle: Contract) -> None:
    """beh:B1: anyone sends both offers; the contract consented by its own earlier call."""
    deal, _ = opened(world, oracle)
    assert (deal.creator, world.state(deal).status) == (oracle.address, Status.AGREED)
    assert world.locked(oracle) > 0


def test_take__the_committed_output__is_stored(world: World, oracle: Contract) -> None:
    result = cow(world, b"moo\n")
    deal = paid(world, oracle, result)
    oracle.take(deal.words, result.head, result.salt, b"moo\n", [bytes(32), bytes(32)], sender=world.keeper)
    assert oracle.answer() == b"moo\n"


@pytest.mark.parametrize(
    ("stdout", "salt"), [(b"MOO\n", keccak256(b"salt")), (b"moo\n", keccak256(b"other"))], ids=["output", "salt"]
)
def test_take__something_else__is_refused(world: World, oracle: Contract, stdout: bytes, salt: bytes) -> None:
    result = cow(world, b"moo\n")
    deal = paid(world, oracle, result)
    with pytest.raises(Reverted, match="not the result"):
        oracle.take(deal.words, result.head, salt, stdout, [bytes(32), bytes(32)], sender=world.keeper)


def test_take__before_the_deal_is_paid__is_refused(world: World, oracle: Contract) -> None:
    result = cow(world, b"moo\n")
    deal, deal_id = opened(world, oracle)
    world.core.submitResult(deal_id, world.commitment(deal, result), sender=world.provider)
    with pytest.raises(Reverted, match="not paid"):
        oracle.take(deal.words, result.head, result.salt, b"moo\n", [bytes(32), bytes(32)], sender=world.keeper)


def test_take__a_failed_job__is_refused(world: World, oracle: Contract) -> None:
    result = cow(world, b"moo\n", exit_code=7)
    deal = paid(world, oracle, result)
    with pytest.raises(Reverted, match="the job failed"):
        oracle.take(deal.words, result.head, result.salt, b"moo\n", [bytes(32), bytes(32)], sender=world.keeper)


def test_timeout__of_a_contracts_deal__refunds_and_compensates_its_balance(world: World, oracle: Contract) -> None:
    """beh:E5"""
    before = world.free(oracle)
    deal, _ = opened(world, oracle)
    world.pass_to(world.evm.timestamp + deal.submit_window + 1)
    world.resolver.timeoutSubmit(deal.words, sender=world.keeper)
    penalty = min(deal.collateral, deal.value)
    assert world.free(oracle) == before + penalty - penalty // 100
