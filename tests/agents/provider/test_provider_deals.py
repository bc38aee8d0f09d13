"""A provider serves deals that others opened: runs, commits, delivers, settles, against a real chain and real contracts."""

from __future__ import annotations

from lilypad_agents.agents.creator.delivery import read_note, verify
from lilypad_agents.protocol.deal import DealState
from lilypad_agents.protocol.digest import commitment
from lilypad_agents.protocol.lifecycle import Status
from tests.agents.provider.harness import Stage
from tests.support.network import TOKEN


def test_deal__accepted_by_its_creator__is_run_delivered_committed_and_paid(stage: Stage) -> None:
    """beh:C4 beh:C6 The gross is paid to the wei, the bond comes back, and nothing waits for the judge deadline."""
    before = stage.network.free(stage.provider.address)
    deal_id, deal = stage.deal({"Message": "hello"})
    assert stage.network.free(stage.provider.address) == before - deal.collateral
    life = stage.start()
    life.until(lambda: stage.status(deal_id) is Status.RESULTS_SUBMITTED and bool(stage.relay.of_kind(deal_id, "result")))
    stage.accept(deal_id)
    life.until(stage.is_in(deal_id, Status.ACCEPTED))
    assert stage.network.free(stage.provider.address) == before + TOKEN


def test_deal__nobody_says_anything__is_settled_after_the_judge_deadline(own_stage: Stage) -> None:
    """beh:E2 beh:E7 beh:C4 Silence pays in the Unverified pool, by the provider's own call, within the reveal window."""
    stage = own_stage
    before = stage.network.free(stage.provider.address)
    deal_id, _ = stage.deal(judge_window=5)
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    judge = stage.state(deal_id).deadline
    life.until(lambda: stage.network.now() >= judge - 1)
    assert stage.status(deal_id) is Status.RESULTS_SUBMITTED
    life.until(stage.is_in(deal_id, Status.ACCEPTED))
    assert stage.network.free(stage.provider.address) == before + TOKEN


def test_deal__waived_before_it_is_committed__is_submitted_and_settled_in_one_transaction(stage: Stage) -> None:
    """beh:C4 A waiver that came first rides in the submission. The digest of a deterministic job is known beforehand."""
    first, _ = stage.deal({"Message": "twice"})
    life = stage.start()
    life.until(lambda: bool(stage.relay.of_kind(first, "result")))
    stage.relay.faults.add("no content")
    for cid in list(life.context.store.pins()):
        life.context.store.unpin(cid.name)
    second, _ = stage.deal({"Message": "twice, again"})
    life.until(lambda: second in life.agent.workshop.jobs)
    digest = stage.digest_of("cowsay", {"Message": "twice, again"})
    stage.waive(second, digest)
    life.until(lambda: second in life.agent.agreements._early)
    stage.relay.faults.clear()
    life.until(stage.is_in(second, Status.ACCEPTED))
    sent = [e for e in stage.lines.named("action_queued") if second in e["deals"]]
    assert [e["action"] for e in sent] == ["submit"]


def test_deals__many_at_once__share_transactions(stage: Stage) -> None:
    """beh:J4 Batches: what is due in a cycle travels together, and each deal gets its own result."""
    module = stage.module()
    pairs = [stage.pair(module, stage.inputs(module, {"Message": f"number {n}"})) for n in range(12)]
    deals = stage.open(*pairs)
    life = stage.start(slots=4)
    life.until(lambda: all(stage.relay.of_kind(deal_id, "result") for deal_id, _ in deals), 40)
    for deal_id, _ in deals:
        stage.accept(deal_id)
    life.until(lambda: all(stage.status(deal_id) is Status.ACCEPTED for deal_id, _ in deals), 40)
    judged = [stage.network.contracts.core.call("dealOf", deal_id) for deal_id, _ in deals]
    assert all(DealState.of(found).commitment for found in judged)
    digests = {stage.result(deal_id)["resultDigest"] for deal_id, _ in deals}
    assert len(digests) == 12
    settled = {entry["key"] for entry in stage.lines.named("action_queued") if entry["action"] == "settle"}
    assert len(settled) < 12


def test_receipt__of_a_run__is_signed_by_the_provider_and_names_what_was_committed(stage: Stage) -> None:
    """beh:C3 beh:C8 beh:K5 The creator's own check takes what the provider delivered."""
    module = stage.module("wordcount")
    files = {"text.txt": b"one two two three three three\n"}
    name = module.manifest.files[0].name
    inputs = stage.inputs(module, {}, {name: files["text.txt"]})
    deal_id, deal = stage.open(stage.pair(module, inputs, {"submit_window": 120}))[0]
    life = stage.start()
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    note = read_note(stage.result(deal_id))
    assert note is not None
    delivered = verify(stage.relay.store, module.manifest, deal, deal_id, note)
    assert delivered.receipt.provider == stage.provider.address and delivered.receipt.exit_code == 0
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    salt = life.agent.workshop.salts.of(deal_id)
    assert stage.state(deal_id).commitment == commitment(deal_id, deal.provider, delivered.digest, salt)
    assert "salt" not in str(stage.relay.notes)  # it stays secret until the settlement


def test_units__priced__are_those_that_the_engine_counted_and_end_at_what_was_signed(stage: Stage) -> None:
    """beh:C7 beh:C11 Units are charged by the opened digest; fuel ends where the signed units end, and that is paid."""
    module = stage.module("primes")
    price = {"price": TOKEN, "unit_price": TOKEN // 100}
    job = {"max_price": 100 * TOKEN, "submit_window": 600}
    whole, cut = stage.open(
        stage.pair(module, stage.inputs(module, {"Limit": 2_000_000}), job | {"max_units": 1_000}, **price),
        stage.pair(module, stage.inputs(module, {"Limit": 2_000_001}), job | {"max_units": 0}, **price),
    )
    before = stage.network.free(stage.provider.address)
    life = stage.start()
    for deal_id, _ in (whole, cut):
        life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")), 40)
        stage.accept(deal_id)
        life.until(stage.is_in(deal_id, Status.ACCEPTED))
    receipts = [stage.result(deal_id)["receipt"]["receipt"] for deal_id, _ in (whole, cut)]
    assert receipts[0]["exitClass"] == "ok" and receipts[0]["units"] >= 1
    assert receipts[0]["units"] == int(receipts[0]["fuel"]) // 100_000_000
    assert (receipts[1]["exitClass"], receipts[1]["units"]) == ("fuel", 0)
    gross = 2 * TOKEN + receipts[0]["units"] * TOKEN // 100
    assert stage.network.free(stage.provider.address) == before + gross + whole[1].collateral + cut[1].collateral
