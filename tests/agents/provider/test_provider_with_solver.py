"""Provider and real solver: offers match, deals open, content and notes go through the relay, deals are paid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lilypad_agents.agents.creator.delivery import read_note, verify
from lilypad_agents.agents.solver.client import SolverClient
from lilypad_agents.agents.solver.wire import PUBLIC, Scope
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.importer import add_bytes
from lilypad_agents.content.store import LocalStore
from lilypad_agents.protocol.consent import Acceptance, by_own_key
from lilypad_agents.protocol.ids import DealId, hex_of
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.offers import JobOffer
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.agents.provider.harness import Stage, TestModule
from tests.support.network import TOKEN, Network
from tests.support.solver import RunningSolver, open_solver


@pytest.fixture
def solver(network: Network, tmp_path: Path) -> Iterator[RunningSolver]:
    running = open_solver(network, tmp_path / "solver").start()
    yield running
    running.stop()


class Creator:
    """A creator by hand: pushes, posts, takes delivery, accepts."""

    def __init__(self, stage: Stage, solver: RunningSolver, folder: Path) -> None:
        self.stage = stage
        self.client: SolverClient = solver.client(stage.creator)
        self.store = LocalStore(folder, durable=False)

    def publish(self, module: TestModule) -> None:
        """Manifest and artefact, for everybody."""
        manifest = add_bytes(self.store, module.manifest.canonical)
        wasm = Cid.parse(module.manifest.wasm.module)
        add_bytes(self.store, self.stage.relay.store.get(wasm))
        for cid in (manifest, wasm):
            self.client.put_content(cid, self.store, PUBLIC)

    def offer(self, module: TestModule, message: str) -> JobOffer:
        digest = self.stage.inputs(module, {"Message": message})
        document = self.stage.relay.store.get(Cid.raw(digest))
        add_bytes(self.store, document)
        job = self.stage.network.job(self.stage.creator.address, module.terms, inputs=digest, submit_window=90)
        self.client.put_content(Cid.raw(digest), self.store, Scope("offer", job.struct_hash), "inputs")
        self.client.post_job_offer(job, self.stage.network.sign(job, self.stage.creator), module.terms, UNVERIFIED)
        return job

    def deal_of(self, job: JobOffer) -> DealId | None:
        return self.client.offer(job.struct_hash).deal_id

    def take(self, deal_id: DealId, module: TestModule) -> bytes:
        """Downloads, verifies, accepts; stdout."""
        note = next(read_note(m.body) for m in self.client.messages(deal_id) if m.kind == "result")
        assert note is not None
        self.client.fetch(note.data_id, self.store)
        record = self.client.deal(deal_id).record
        delivered = verify(self.store, module.manifest, record, deal_id, note)
        message = Acceptance(deal_id, delivered.digest)
        network = self.stage.network
        argument = by_own_key(self.stage.creator.sign_digest(network.domain.digest(message.struct_hash)))
        self.client.message(deal_id, "acceptance", {"signature": hex_of(argument)})
        return delivered.files.stdout


def delivered(creator: Creator, deal_id: DealId | None) -> bool:
    return deal_id is not None and any(m.kind == "result" for m in creator.client.messages(deal_id))


def test_job__posted_at_a_solver__is_matched_run_delivered_and_paid(
    stage: Stage, solver: RunningSolver, tmp_path: Path
) -> None:
    """beh:C4 beh:J3 The whole way with no party trusting another; the solver only carries."""
    creator, module = Creator(stage, solver, tmp_path / "creator"), stage.module()
    before = stage.network.free(stage.provider.address)
    life = stage.start(solver_urls=(solver.url,), allow_versions=(hex_of(module.terms.id),))
    creator.publish(module)
    job = creator.offer(module, "from one stranger to another")
    life.until(lambda: creator.deal_of(job) is not None)
    deal_id = creator.deal_of(job)
    assert deal_id is not None
    life.until(lambda: delivered(creator, deal_id))
    assert b"from one stranger to another" in creator.take(deal_id, module)
    life.until(stage.is_in(deal_id, Status.ACCEPTED))
    assert stage.network.free(stage.provider.address) == before + TOKEN


def test_jobs__several_creators_offers__all_end_paid_and_the_provider_never_exceeds_its_slots(
    stage: Stage, solver: RunningSolver, tmp_path: Path
) -> None:
    """beh:J8 beh:J4"""
    creator, module = Creator(stage, solver, tmp_path / "creator"), stage.module()
    life = stage.start(solver_urls=(solver.url,), allow_versions=(hex_of(module.terms.id),), slots=2)
    creator.publish(module)
    jobs = [creator.offer(module, f"number {n}") for n in range(10)]
    open_ = list(jobs)
    most = 0

    def served() -> bool:
        nonlocal most
        most = max(most, len(life.agent.workshop.running))
        for job in list(open_):
            deal_id = creator.deal_of(job)
            if delivered(creator, deal_id):
                assert deal_id is not None
                creator.take(deal_id, module)
                open_.remove(job)
        return not open_

    life.until(served, 60)
    deals = [creator.deal_of(job) for job in jobs]
    life.until(lambda: all(stage.status(deal_id) is Status.ACCEPTED for deal_id in deals if deal_id), 30)
    assert 1 <= most <= 2


def test_solver__dies_after_the_match__the_deal_is_still_paid(own_stage: Stage, tmp_path: Path) -> None:
    """flt:F33 beh:J7 Without a relay nothing can be delivered or accepted; silence pays, and a new solver gets the offers."""
    stage = own_stage
    first = open_solver(stage.network, tmp_path / "first").start()
    creator, module = Creator(stage, first, tmp_path / "creator"), stage.module()
    life = stage.start(solver_urls=(first.url,), allow_versions=(hex_of(module.terms.id),))
    creator.publish(module)
    job = creator.offer(module, "alone")
    life.until(lambda: creator.deal_of(job) is not None)
    deal_id = creator.deal_of(job)
    assert deal_id is not None
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED), guarded=True)
    first.stop()
    life.until(stage.is_in(deal_id, Status.ACCEPTED), 60, guarded=True)
