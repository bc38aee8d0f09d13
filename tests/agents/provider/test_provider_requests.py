"""Jobs asked for by a contract, served by a real solver and provider: nobody posts anything. beh:F4 beh:F7 beh:F13"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.agents.solver.wire import PUBLIC
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.deployer import wait_for_receipt
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.importer import add_bytes
from lilypad_agents.content.store import LocalStore
from lilypad_agents.execution.inputs import make_inputs
from lilypad_agents.protocol.ids import Address, OfferHash, hex_of
from lilypad_agents.protocol.requests import JobOutcome, JobTerms, RequestState
from lilypad_agents.protocol.terms import PoolTerms
from tests.agents.provider.harness import Running, Stage, TestModule
from tests.support.evm import _artefact
from tests.support.network import TOKEN, signer
from tests.support.solver import RunningSolver, eventually, open_solver

CALLBACK_GAS = 400_000
PUBLISHER, ASKER = 9, 0  # accounts of the test mnemonic


class Asker:
    """A consumer's contract (RecordingClient) with tokens in the ledger, and what it asks for."""

    def __init__(self, stage: Stage) -> None:
        self.network = network = stage.network
        self.jobs = network.contracts["LilypadJobs"]
        artefact = _artefact("RecordingClient")
        code = artefact.creation_code + artefact.abi.encode_constructor(self.jobs.address)
        receipt = wait_for_receipt(network.rpc, network.sender(ASKER).send(None, code))
        self.contract = Contract(receipt["contractAddress"], artefact.abi, network.rpc, network.contracts.errors)
        network.fund([self.contract.address], 100 * TOKEN)

    def ask(self, module: TestModule, document: bytes, **changes: Any) -> bytes:
        """Asks in one call; the id of the request."""
        offer = self.network.job(self.contract.address, module.terms, judge_window=5, **changes)
        data = self.contract.encode("ask", JobTerms.of(offer), document, CALLBACK_GAS)
        transaction = self.network.sender(ASKER).send(self.contract.address, data)
        receipt = wait_for_receipt(self.network.rpc, transaction)
        topic = self.jobs.abi.event("JobRequested").topic
        (log,) = [log for log in receipt["logs"] if log["topics"][0] == hex_of(topic)]
        return bytes.fromhex(log["topics"][1][2:])

    def state(self, request: bytes) -> tuple[RequestState, JobOutcome]:
        *_, state, outcome = self.jobs.call("requestOf", request)
        return RequestState(state), JobOutcome(outcome)

    def is_delivered(self, *requests: bytes) -> bool:
        return all(self.state(request)[0] is RequestState.DELIVERED for request in requests)


@pytest.fixture
def solvers(own_stage: Stage, tmp_path: Path) -> Iterator[list[RunningSolver]]:
    running = [open_solver(own_stage.network, tmp_path / "solver", callback_gas_most=CALLBACK_GAS).start()]
    yield running
    running[-1].stop()


def published(stage: Stage, solver: RunningSolver, folder: Path) -> TestModule:
    """Terms in the registry, manifest and artefact at the relay: all that a publisher does."""
    module, store = stage.module(), LocalStore(folder, durable=False)
    wasm = Cid.parse(module.manifest.wasm.module)
    add_bytes(store, stage.relay.store.get(wasm))
    for cid in (add_bytes(store, module.manifest.canonical), wasm):
        solver.client(stage.creator).put_content(cid, store, PUBLIC)
    stage.network.send(PUBLISHER, "LilypadModules", "publish", module.terms, module.manifest.name, module.manifest.version, 0, 0)
    return module


def document(module: TestModule, message: str) -> bytes:
    return make_inputs(module.manifest, hex_of(module.terms.id), {"Message": message}, {}).document


def start(stage: Stage, solver: RunningSolver, module: TestModule) -> Running:
    return stage.start(solver_urls=(solver.url,), allow_versions=(hex_of(module.terms.id),))


def test_request__from_a_contract__is_matched_run_settled_and_answered(
    own_stage: Stage, solvers: list[RunningSolver], tmp_path: Path
) -> None:
    """beh:F4: offer and inputs come from the chain; nobody uses another's key, account or server."""
    stage, (solver,) = own_stage, solvers
    module, asker = published(stage, solver, tmp_path / "publisher"), Asker(stage)
    before = stage.network.free(stage.provider.address)
    life = start(stage, solver, module)
    spoilt = asker.ask(module, b'{"files":{},"module":"' + b'"', expiry=stage.network.now() + 10)
    request = asker.ask(module, document(module, 'a "contract" says\n'))
    life.until(lambda: asker.is_delivered(request), 60)
    assert asker.state(request) == (RequestState.DELIVERED, JobOutcome.FULFILLED)
    result = asker.contract.call("lastResult")
    assert b'a "contract" says' in result[11] and result[3] == 0 and result[10] is True
    assert stage.network.free(stage.provider.address) == before + TOKEN
    eventually(lambda: asker.is_delivered(spoilt), 40)  # never matched, and its end reported by the solver
    assert asker.state(spoilt)[1] is JobOutcome.EXPIRED
    assert stage.network.contracts.core.call("accountOf", stage.network.token, asker.contract.address)[:2] == (
        100 * TOKEN - result[9], 0,
    )  # fmt: skip


def test_request__for_a_pool_that_no_offer_showed__is_taken_with_the_terms_that_a_stake_showed(
    own_stage: Stage, solvers: list[RunningSolver], tmp_path: Path
) -> None:
    """beh:F1: the request names the pool by its id; the solver learns the terms from whoever staked, or is told what is missing."""
    stage, (solver,) = own_stage, solvers
    network = stage.network
    staking = network.contracts["LilypadStaking"]
    pool = PoolTerms(
        Address(network.contracts["LilypadMediation"].address), network.token, 5 * TOKEN // 4, 100 * TOKEN, 10 * TOKEN, bytes(32), 12, 8, 6,
        b"\x07" * 32,
    )  # fmt: skip
    network.fund([signer(0).address])
    network.send(0, "Lilypad", "donate", pool.strategy, network.token, pool.id, 200 * TOKEN)
    module, asker = published(stage, solver, tmp_path / "publisher"), Asker(stage)
    verified = {"pool": pool.id, "audit_bps": 10_000, "collateral_bps": 80_000, "max_price": 4 * TOKEN}
    request = asker.ask(module, document(module, "judged"), **verified)
    eventually(lambda: solver.agent._requests._waiting.get(OfferHash(request)), 20)
    eventually(lambda: "nobody staked" in solver.agent._requests._waiting[OfferHash(request)].why)
    assert solver.service.book.job(request) is None and solver.service.pools.terms(pool.id) is None
    network.send(0, "LilypadToken", "approve", staking.address, 100 * TOKEN)
    network.send(0, "LilypadStaking", "stake", pool, 100 * TOKEN, [])
    eventually(lambda: solver.service.book.job(request), 20)
    assert solver.service.book.job(request).pool == pool == solver.service.pools.terms(pool.id)


def test_ten_requests__across_a_restart_of_solver_and_provider__are_answered_once_each(
    own_stage: Stage, solvers: list[RunningSolver], tmp_path: Path
) -> None:
    """beh:F7"""
    stage, (solver,) = own_stage, solvers
    module, asker = published(stage, solver, tmp_path / "publisher"), Asker(stage)
    life = start(stage, solver, module)
    requests = [asker.ask(module, document(module, f"number {number}")) for number in range(5)]
    life.until(lambda: any(stage.network.contracts.core.call("jobNonce", asker.contract.address, n)[0] for n in range(1, 6)), 30)
    life.close()
    solver.stop()
    requests += [asker.ask(module, document(module, f"number {number}")) for number in range(5, 10)]
    solvers.append(open_solver(stage.network, tmp_path / "solver", callback_gas_most=CALLBACK_GAS).start())
    life = start(stage, solvers[-1], module)
    life.until(lambda: asker.is_delivered(*requests), 90)
    assert {asker.state(request) for request in requests} == {(RequestState.DELIVERED, JobOutcome.FULFILLED)}
    assert (asker.contract.call("results"), asker.contract.call("failures")) == (10, 0)
    assert stage.network.contracts.core.call("accountOf", stage.network.token, asker.contract.address)[1] == 0
