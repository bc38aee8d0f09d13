"""A real solver's relay in a dispute: what seats may read when, and what they leave for the parties."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.agents.runtime.http_signature import personal_digest
from lilypad_agents.agents.solver.errors import Forbidden
from lilypad_agents.agents.solver.wire import PUBLIC, ContentKind, MessageKind, Scope
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.content.cid import Cid
from lilypad_agents.execution.receipt import verify_receipt
from lilypad_agents.execution.strictjson import canonical
from lilypad_agents.protocol.consent import recover
from lilypad_agents.protocol.ids import hex_of
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.mediation import Phase
from tests.agents.mediator.court import Case, Court
from tests.support.network import signer
from tests.support.solver import RunningSolver, eventually, open_solver


@pytest.fixture
def solver(court: Court, tmp_path: Path) -> Iterator[RunningSolver]:
    """On the court's chain; the only source of the mediators here."""
    solver = open_solver(court.network, tmp_path / "solver").start()
    yield solver
    solver.stop()


def push(solver: RunningSolver, court: Court, case: Case) -> tuple[Cid, Cid]:
    """Creator and provider leave what belongs to the deal; inputs and result."""
    eventually(lambda: solver.context.deals.get(case.id))
    manifest = court.module()[0]
    inputs, result, store = Cid.raw(case.deal.inputs), Cid.dag_pb(case.data), court.relay.store
    for cid, kind in ((Cid.raw(manifest.digest), ContentKind.MANIFEST), (Cid.parse(manifest.wasm.module), ContentKind.ARTEFACT)):
        solver.client(court.provider).put_content(cid, store, PUBLIC, kind)
    solver.client(court.creator).put_content(inputs, store, Scope("offer", case.deal.job_offer_hash), ContentKind.INPUTS)
    solver.client(court.provider).put_content(result, store, Scope("deal", case.id), ContentKind.RESULT)
    return inputs, result


def test_relay__during_a_dispute__gives_seats_inputs_at_once_and_results_after_their_commits(
    court: Court, solver: RunningSolver
) -> None:
    """beh:D14 beh:I3 beh:D17 Nobody who may still choose a vote sees what the provider found; later both parties see all votes."""
    seated = court.mediator(solver_urls=(solver.url,))
    idle = signer(299)  # has no stake
    case = court.submitted("rights")
    inputs, result = push(solver, court, case)

    def may(key: LocalSigner, root: Cid) -> bool:
        return solver.request("GET", f"/ipfs/{root}?format=car", key).status_code == 200

    assert not may(seated.key, inputs) and not may(seated.key, result)
    court.challenge(case)
    court.until(lambda: (word := court.word(case)) is not None and word.phase is Phase.COMMIT)
    eventually(lambda: may(seated.key, inputs))
    assert not may(seated.key, result)
    assert not may(idle, inputs)
    with pytest.raises(Forbidden):  # what it found would tell other seats how to vote
        solver.client(seated.key).message(case.id, MessageKind.SEAT, {"vote": "0x"})
    court.until(lambda: (word := court.word(case)) is not None and word.phase is Phase.OPEN)
    eventually(lambda: may(seated.key, result))
    assert not may(idle, result) and not may(idle, inputs)
    with pytest.raises(Forbidden):
        solver.client(idle).message(case.id, MessageKind.SEAT, {"vote": "0x"})
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED

    court.until(lambda: bool(seated.lines.named("evidence_left")))
    for party in (court.creator, court.provider):
        notes = [note for note in solver.client(party).messages(case.id) if note.kind == MessageKind.SEAT]
        assert [note.sender for note in notes] == [seated.account]
        body: Any = notes[0].body
        assert body["vote"] == hex_of(case.opened.digest)
        receipt = verify_receipt(
            canonical(body["receipt"]), lambda message, signature: recover(personal_digest(message), signature),
            provider=seated.account, deal=hex_of(case.id), result_digest=body["vote"], data_id=str(result),
        )  # fmt: skip
        assert receipt.inputs == hex_of(case.deal.inputs)
    with pytest.raises(Forbidden):
        solver.client(idle).messages(case.id)
