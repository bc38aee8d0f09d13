"""Disputes at the real panel strategy: the provider answers by itself, the test plays the seats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lilypad_agents.agents.provider.income import earnings
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.dispute import Phase, appeal_fee
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.price import charge
from lilypad_agents.protocol.terms import UNVERIFIED
from lilypad_agents.protocol.units import Units
from tests.agents.provider.harness import Running, Stage
from tests.support.network import TOKEN, signer
from tests.support.panel import SERVED, Panel

WRONG = b"\xee" * 32
START = 1_000 * TOKEN  # the ledger credit of every account of a stage


@dataclass
class Court:
    """A stage whose deals are judged by a panel that the test plays."""

    stage: Stage
    panel: Panel

    def start(self, **changes: Any) -> Running:
        return self.stage.start(pools=(UNVERIFIED, self.panel.terms), step_after_s=0, **changes)

    def deal(self, audit_bps: int = 10_000, collateral_bps: int = 80_000, **job: Any) -> tuple[DealId, Deal]:
        stage, module = self.stage, self.stage.module()
        changes = {
            "pool": self.panel.terms.id, "audit_bps": audit_bps, "collateral_bps": collateral_bps, "max_price": 4 * TOKEN,
            "judge_window": 40,
        } | job  # fmt: skip
        pair = stage.pair(module, stage.inputs(module, {}), changes, pool=self.panel.terms.id)._replace(pool=self.panel.terms)
        stage.open(pair)
        deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
        return deal.id(stage.network.domain), deal

    def submitted(self, life: Running, **options: Any) -> tuple[DealId, Deal]:
        deal_id, deal = self.deal(**options)
        life.until(self.stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
        life.until(lambda: bool(self.stage.relay.of_kind(deal_id, "result")))
        return deal_id, deal

    def right(self, life: Running, deal_id: DealId) -> bytes:
        """The digest that the provider stored."""
        result = life.agent.store.result(deal_id)
        assert result is not None
        return result.opening.opened.digest

    def until(self, life: Running, deal_id: DealId, phase: Phase, **options: Any) -> None:
        """Turns the provider's loop, mining a block before each look, until the dispute is in a phase."""
        life.until(self.mining(lambda: self.panel.is_in(deal_id, phase, **options)))

    def mining(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        def look() -> bool:
            self.stage.network.rpc.request("anvil_mine", "0x1")
            return condition()

        return look


@pytest.fixture
def court(own_stage: Stage) -> Iterator[Court]:
    yield Court(own_stage, Panel(own_stage.network))


def test_drawn_deal__nobody_else_acts__the_provider_brings_it_to_its_payment(court: Court) -> None:
    """beh:D21 beh:D27 beh:D28 beh:E7 It calls the audit, queues, draws, serves, opens and executes; seats only vote."""
    stage, life, panel = court.stage, court.start(), court.panel
    deal_id, deal = court.submitted(life)
    court.until(life, deal_id, Phase.COMMIT)
    assert not panel.dispute(deal_id).opened
    right = court.right(life, deal_id)
    panel.commit(deal_id, lambda seat, account: right)
    court.until(life, deal_id, Phase.REVEAL)
    panel.reveal(deal_id, lambda seat, account: right)
    life.turn(2)
    stage.pass_time(13)
    life.until(stage.is_in(deal_id, Status.MEDIATION_ACCEPTED))
    due = charge(deal, Units(0), stage.network.parameters.protocol_fee_bps)
    keeper = deal.seat_fee * 2 // 100  # audit, draw and execution were all ours: two parts of it are paid
    life.until(lambda: deal_id not in life.agent.entries)
    gained = stage.network.free(stage.provider.address) - START - due.gross
    assert 0 < gained <= keeper
    assert stage.lines.named("dispute_served")
    (dispute,) = life.agent.store.disputes()
    assert (dispute.finding.name, dispute.paid, dispute.phase) == ("CONFIRMED", 0, Phase.EXECUTED)


def test_challenge__panel_is_bribed__the_provider_runs_again_appeals_and_gets_everything_back(court: Court) -> None:
    """beh:D16 beh:D18 beh:D19 inv:T32 A wrong verdict of three costs an honest provider nothing that is not repaid."""
    stage, life, panel = court.stage, court.start(), court.panel
    deal_id, deal = court.submitted(life, audit_bps=2_000, collateral_bps=65_000)
    stage.network.fund([signer(3).address])
    stage.network.rpc.request("anvil_setBalance", signer(3).address, hex(10**20))
    stage.network.send(3, "LilypadResolver", "challenge", deal.words)
    court.until(life, deal_id, Phase.COMMIT)
    panel.commit(deal_id, lambda seat, account: WRONG)
    court.until(life, deal_id, Phase.REVEAL)
    panel.reveal(deal_id, lambda seat, account: WRONG)
    court.until(life, deal_id, Phase.COMMIT, round_=2)
    assert stage.lines.named("result_rerun")[-1]["same"] is True
    fee = appeal_fee(deal, 2)
    assert panel.dispute(deal_id).facts.paid_by(stage.provider.address) == fee
    allowance = stage.network.contracts["LilypadToken"].call(
        "allowance", stage.provider.address, stage.network.contracts["LilypadMediation"].address
    )
    assert allowance == 0, "no more was allowed than was taken"
    right = court.right(life, deal_id)
    panel.commit(deal_id, lambda seat, account: right)
    court.until(life, deal_id, Phase.REVEAL)
    panel.reveal(deal_id, lambda seat, account: right)
    life.turn(2)
    stage.pass_time(13)
    life.until(stage.is_in(deal_id, Status.MEDIATION_ACCEPTED))
    life.until(lambda: deal_id not in life.agent.entries)
    (dispute,) = life.agent.store.disputes()
    assert dispute.paid == fee and dispute.back >= fee
    assert stage.network.free(stage.provider.address) >= START + TOKEN
    found = earnings(life.context.database, stage.provider.address)
    assert (found.appeals_paid, found.appeals_back) == (fee, dispute.back)
    assert found.net == TOKEN + dispute.back - fee


def test_challenge__own_result_was_altered__the_provider_does_not_throw_money_after_it(court: Court, monkeypatch: Any) -> None:
    """beh:D18 Whoever runs its job again and finds another digest knows that an appeal is lost."""
    stage, life, panel = court.stage, court.start(), court.panel
    workshop = life.agent.workshop
    finish = workshop._finish

    def alter(deal_id: Any, deal: Any, life_: Any, obtained: Any, outcome: Any, *more: Any) -> Any:
        from dataclasses import replace

        return finish(deal_id, deal, life_, obtained, replace(outcome, result=replace(outcome.result, stdout=b"moo?\n")), *more)

    monkeypatch.setattr(workshop, "_finish", alter)
    deal_id, deal = court.submitted(life, audit_bps=2_000, collateral_bps=65_000)
    stage.network.fund([signer(3).address])
    stage.network.rpc.request("anvil_setBalance", signer(3).address, hex(10**20))
    stage.network.send(3, "LilypadResolver", "challenge", deal.words)
    court.until(life, deal_id, Phase.COMMIT)
    right = stage.digest_of("cowsay", {})
    panel.commit(deal_id, lambda seat, account: right)
    court.until(life, deal_id, Phase.REVEAL)
    panel.reveal(deal_id, lambda seat, account: right)
    life.until(lambda: bool(stage.lines.named("result_rerun")))
    assert stage.lines.named("result_rerun")[-1]["same"] is False
    stage.pass_time(13)
    life.turn(5)
    assert stage.status(deal_id) is Status.IN_MEDIATION, "it does not hasten a verdict against itself"
    assert panel.is_in(deal_id, Phase.EXECUTABLE)
    facts = panel.dispute(deal_id).facts
    stage.network.send(3, "LilypadMediation", "execute", deal.words, panel.terms, facts.seatings, facts.opening)
    life.until(lambda: earnings(life.context.database, stage.provider.address).lost == deal.collateral)


def test_delivery_challenge__the_provider_names_its_data__and_settles_after_the_panel_found_it(court: Court) -> None:
    """beh:C10 beh:D28"""
    stage, life, panel = court.stage, court.start(), court.panel
    deal_id, deal = court.submitted(life, audit_bps=800, collateral_bps=162_000)
    stage.network.rpc.request("anvil_setBalance", stage.creator.address, hex(10**20))
    resolver = stage.network.contracts["LilypadResolver"]
    from lilypad_agents.chain.deployer import RpcSender
    from tests.support.chain import CHAIN

    sender = RpcSender(stage.network.rpc, stage.creator, CHAIN)
    sender.send(resolver.address, resolver.encode("challengeDelivery", deal.words))
    court.until(life, deal_id, Phase.COMMIT, delivery=True)
    result = life.agent.store.result(deal_id)
    assert result is not None
    dispute = panel.dispute(deal_id, delivery=True)
    assert dispute.facts.seating.opened == result.opening.data_id.digest
    assert stage.state(deal_id).commitment == result.opening.commitment(deal_id, deal), "the commitment stays sealed"
    panel.commit(deal_id, lambda seat, account: SERVED, delivery=True)
    panel.reveal(deal_id, lambda seat, account: SERVED, delivery=True)
    stage.pass_time(13)
    life.until(court.mining(stage.is_in(deal_id, Status.RESULTS_SUBMITTED)))
    seed = stage.network.contracts["BlockHashRandomness"].call("seed", stage.state(deal_id).period + 1)
    from lilypad_agents.protocol.digest import is_drawn

    if seed[0] == 1 and is_drawn(bytes(seed[1]), deal_id, 800):
        return  # a later audit is another story
    stage.accept(deal_id)
    life.until(court.mining(stage.is_in(deal_id, Status.ACCEPTED)))


def test_dispute__ends_by_time_after_our_appeal__the_fee_comes_back_by_our_own_unwinding(court: Court) -> None:
    """beh:D19 beh:E7"""
    stage, life, panel = court.stage, court.start(), court.panel
    deal_id, deal = court.submitted(life, audit_bps=2_000, collateral_bps=65_000)
    stage.network.fund([signer(3).address])
    stage.network.rpc.request("anvil_setBalance", signer(3).address, hex(10**20))
    stage.network.send(3, "LilypadResolver", "challenge", deal.words)
    court.until(life, deal_id, Phase.COMMIT)
    panel.commit(deal_id, lambda seat, account: WRONG)
    court.until(life, deal_id, Phase.REVEAL)
    panel.reveal(deal_id, lambda seat, account: WRONG)
    life.until(court.mining(lambda: panel.dispute(deal_id).round == 2))
    stage.pass_time(stage.network.parameters.mediation_limit + 5)
    life.until(stage.is_in(deal_id, Status.NO_FAULT))
    life.until(lambda: panel.dispute(deal_id).facts.ended == "unwound")
    life.until(lambda: any(item.back > 0 for item in life.agent.store.disputes()))
    (dispute,) = life.agent.store.disputes()
    drawer = deal.seat_fee * 7 * 2 // 100  # what a draw of the appealed round may have cost
    assert appeal_fee(deal, 2) - drawer <= dispute.back
