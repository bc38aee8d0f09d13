"""Deals of a verified pool: seeds are awaited and recorded, spared deals settled, drawn ones left to the strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lilypad_agents.agents.provider.income import earnings
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.digest import is_drawn
from lilypad_agents.protocol.ids import NOBODY, ZERO, Address, DealId
from lilypad_agents.protocol.lifecycle import Status, Verdict
from lilypad_agents.protocol.opening import NO_OPENING
from lilypad_agents.protocol.terms import UNVERIFIED, PoolTerms
from tests.agents.provider.harness import Running, Stage
from tests.support.network import TOKEN, signer

STRATEGY = 15  # the account that answers disputes here


@dataclass
class Pool:
    """A stage whose deals are audited; a plain account plays the strategy."""

    stage: Stage
    terms: PoolTerms

    def deal(self, audit_bps: int = 10_000, collateral_bps: int = 80_000, **job: Any) -> tuple[DealId, Deal]:
        stage, module = self.stage, self.stage.module()
        job_changes = {"pool": self.terms.id, "audit_bps": audit_bps, "collateral_bps": collateral_bps,
                       "max_price": 4 * TOKEN, "judge_window": 20} | job  # fmt: skip
        pair = stage.pair(module, stage.inputs(module, {}), job_changes, pool=self.terms.id)
        pair = pair._replace(pool=self.terms)
        stage.open(pair)
        deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
        return deal.id(stage.network.domain), deal

    def start(self) -> Running:
        return self.stage.start(pools=(UNVERIFIED, self.terms))

    def submitted(self, life: Running, **options: Any) -> tuple[DealId, Deal]:
        deal_id, deal = self.deal(**options)
        life.until(self.stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
        life.until(lambda: bool(self.stage.relay.of_kind(deal_id, "result")))
        return deal_id, deal

    def seed(self, deal_id: DealId) -> bytes:
        """The seed that decides, once it is known."""
        period = self.stage.state(deal_id).period + 1
        status, value = self.stage.network.contracts["BlockHashRandomness"].call("seed", period)
        return bytes(value) if status == 1 else b""


@pytest.fixture
def pool(own_stage: Stage) -> Iterator[Pool]:
    network, strategy = own_stage.network, signer(STRATEGY).address
    terms = PoolTerms(
        Address(strategy), network.token, 5 * TOKEN // 4, 100 * TOKEN, 10 * TOKEN, ZERO, 12, 8, 12, ZERO
    )
    network.fund([signer(0).address], 500 * TOKEN)
    network.send(0, "Lilypad", "donate", strategy, network.token, terms.id, 200 * TOKEN)
    yield Pool(own_stage, terms)


def mined(pool: Pool, condition: Callable[[], bool]) -> Callable[[], bool]:
    """The condition, with a block mined before each look, so that seeds come quickly."""

    def look() -> bool:
        pool.stage.network.rpc.request("anvil_mine", "0x1")
        return condition()

    return look


def test_audited_deals__accepted_at_once__settle_when_their_seed_spared_them(pool: Pool) -> None:
    """beh:C4 beh:E1 Acceptance counts once the lottery is known; what is drawn stays where it is."""
    stage, life = pool.stage, pool.start()
    deals = [pool.submitted(life, audit_bps=5_000, collateral_bps=80_000)[0] for _ in range(6)]
    for deal_id in deals:
        stage.accept(deal_id)
    life.until(mined(pool, lambda: all(pool.seed(deal_id) for deal_id in deals)))
    spared = [deal_id for deal_id in deals if not is_drawn(pool.seed(deal_id), deal_id, 5_000)]
    life.until(lambda: all(stage.status(deal_id) is Status.ACCEPTED for deal_id in spared))
    life.turn(5)
    for deal_id in set(deals) - set(spared):
        assert stage.status(deal_id) is Status.RESULTS_SUBMITTED
    assert not stage.lines.named("action_failed")  # nothing was tried that could not be


def test_drawn_deal__audited_and_found_right__ends_paid(pool: Pool) -> None:
    """beh:C4 beh:J1 The provider leaves the dispute to the strategy, keeps serving, and takes note of the end."""
    stage, life = pool.stage, pool.start()
    deal_id, deal = pool.submitted(life)
    life.until(mined(pool, lambda: bool(pool.seed(deal_id))))
    stage.network.send(0, "LilypadResolver", "audit", deal.words, 0)
    life.until(lambda: life.agent.entries[deal_id].state.status is Status.IN_MEDIATION)
    life.turn(3)
    result = life.agent.store.result(deal_id)
    assert result is not None
    arguments = (deal.words, int(Verdict.CORRECT), result.opening.words, 0, NOBODY)
    stage.network.send(STRATEGY, "LilypadResolver", "resolve", *arguments)
    life.until(lambda: deal_id not in life.agent.entries)
    assert stage.status(deal_id) is Status.MEDIATION_ACCEPTED
    life.until(lambda: earnings(life.context.database, stage.provider.address).net == TOKEN)


def test_drawn_deal__found_wrong__is_counted_as_the_loss_of_the_bond(pool: Pool) -> None:
    stage, life = pool.stage, pool.start()
    deal_id, deal = pool.submitted(life)
    life.until(mined(pool, lambda: bool(pool.seed(deal_id))))
    stage.network.send(0, "LilypadResolver", "audit", deal.words, 0)
    stage.network.send(STRATEGY, "LilypadResolver", "resolve", deal.words, int(Verdict.WRONG), NO_OPENING, 0, NOBODY)
    life.until(lambda: earnings(life.context.database, stage.provider.address).lost == deal.collateral)


def test_drawn_deal__nobody_audits_it__is_ended_by_the_provider_after_the_limit(pool: Pool) -> None:
    """beh:E3 beh:E7"""
    stage, life = pool.stage, pool.start()
    deal_id, _ = pool.submitted(life)
    life.until(mined(pool, lambda: bool(pool.seed(deal_id))))
    stage.pass_time(20 + stage.network.parameters.mediation_limit + 5)
    life.until(stage.is_in(deal_id, Status.NO_FAULT))


def test_dispute__not_resolved_in_time__is_ended_by_the_provider(pool: Pool) -> None:
    """beh:E3 beh:E7"""
    stage, life = pool.stage, pool.start()
    deal_id, deal = pool.submitted(life)
    life.until(mined(pool, lambda: bool(pool.seed(deal_id))))
    stage.network.send(0, "LilypadResolver", "audit", deal.words, 0)
    stage.pass_time(stage.network.parameters.mediation_limit + 5)
    life.until(stage.is_in(deal_id, Status.NO_FAULT))


def test_seed__grows_old_unrecorded__is_recorded_by_the_provider_once(pool: Pool) -> None:
    """flt:F16 beh:E7 A lost seed would make the audit certain and the provider pay for it."""
    stage, life = pool.stage, pool.start()
    deal_id, _ = pool.submitted(life)
    life.until(mined(pool, lambda: bool(pool.seed(deal_id))))
    life.turn(3)
    assert not stage.lines.named("seed_recording")
    stage.pass_time(life.agent.seeds.lifetime // 2 + 1)
    life.until(lambda: bool(stage.lines.named("seed_recording")) and life.agent.actor.is_idle)
    stage.network.rpc.request("anvil_mine", "0x1")
    life.turn(3)
    assert len(stage.lines.named("seed_recording")) == 1
    randomness = stage.network.contracts["BlockHashRandomness"]
    topic = "0x" + randomness.abi.event("SeedRecorded").topic.hex()
    logs = stage.network.rpc.request("eth_getLogs", {"address": randomness.address, "topics": [topic], "fromBlock": "0x0"})
    assert len(logs) == 1


def test_restart__result_submitted_in_an_audited_deal__goes_on_waiting_for_the_seed(pool: Pool) -> None:
    """beh:J1 beh:J2"""
    stage, life = pool.stage, pool.start()
    deal_id, _ = pool.submitted(life, audit_bps=800, collateral_bps=162_000)
    life.close()
    stage.accept(deal_id)
    life = pool.start()
    life.until(mined(pool, lambda: bool(pool.seed(deal_id))))
    if is_drawn(pool.seed(deal_id), deal_id, 800):
        life.turn(3)
        assert stage.status(deal_id) is Status.RESULTS_SUBMITTED
    else:
        life.until(stage.is_in(deal_id, Status.ACCEPTED))
