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
