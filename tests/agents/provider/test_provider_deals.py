"""A provider serves deals that others opened: runs, commits, delivers, settles, against a real chain and real contracts."""

from __future__ import annotations

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
    """beh:C4 A waiver that came first rides in the submission."""


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
    digests = {stage.result(deal_id)["resultDigest"] for deal_id, _ in deals}
    assert len(digests) == 12
    settled = {entry["key"] for entry in stage.lines.named("action_queued") if entry["action"] == "settle"}
    assert len(settled) < 12
