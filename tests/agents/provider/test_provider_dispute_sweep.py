"""kill -9 at the points of a dispute: after a restart the provider opens once, appeals once, and has its money back."""

from __future__ import annotations

import os
import signal as signals
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lilypad_agents.chain.crash import CrashPlan
from lilypad_agents.protocol.deal import Deal, DealState, deal_from_offers
from lilypad_agents.protocol.dispute import Finding, Phase, appeal_fee
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.lifecycle import Status
from tests.agents.provider.harness import Stage
from tests.support.network import TOKEN, signer
from tests.support.panel import Panel

WRONG = b"\xee" * 32
CHALLENGER = 3
KILLED_AT = (
    "provider.before_serving", "provider.draw.queued", "provider.open-result.before", "provider.open-result.queued",
    "provider.fund-appeal.queued", "provider.appeal.queued", "provider.execute.queued",
)  # fmt: skip


@dataclass
class Seats:
    """Plays everybody but the provider: a challenger, three bribed seats, seven honest ones; and lets time pass."""

    stage: Stage
    panel: Panel
    deal_id: DealId
    deal: Deal
    right: bytes
    challenged: bool = False
    waited: set[int] = field(default_factory=set)

    def play(self) -> None:
        self.stage.network.rpc.request("anvil_mine", "0x1")
        status = self.stage.status(self.deal_id)
        if status is Status.RESULTS_SUBMITTED and not self.challenged:
            self.challenged = True
            self.stage.network.send(CHALLENGER, "LilypadResolver", "challenge", self.deal.words)
        if status is not Status.IN_MEDIATION:
            return
        found = self.panel.dispute(self.deal_id)
        vote = WRONG if found.round == 1 else self.right
        if found.phase is Phase.COMMIT:
            self.panel.commit(self.deal_id, lambda seat, account: vote)
        elif found.phase is Phase.REVEAL:
            self.panel.reveal(self.deal_id, lambda seat, account: vote)
        elif found.phase is Phase.APPEALABLE and found.finding is Finding.CONFIRMED and found.round not in self.waited:
            self.waited.add(found.round)
            self.stage.pass_time(13)


def life(stage: Stage, panel: Panel, deal_id: DealId, crash: CrashPlan, play: Callable[[], None]) -> int:
    """Wait status of a forked provider that serves until the deal has ended, or until it dies; the others play meanwhile."""
    child = os.fork()
    if not child:
        status = 3
        try:
            running = stage.start(crash=crash, pools=(panel.terms,), step_after_s=0)
            core = running.context.core  # a connection of this process; the parent's must not be used here
            ended = lambda: DealState.of(core.call("dealOf", deal_id)).status.is_final  # noqa: E731
            running.until(ended, 50)
            running.until(lambda: running.agent.actor.is_idle and deal_id not in running.agent.entries, 30)
            running.close()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        play()
        time.sleep(0.03)


@pytest.mark.timeout(280)
def test_provider__killed_at_points_of_a_dispute__opens_and_appeals_once_and_is_made_whole(own_stage: Stage) -> None:
    """flt:F1 beh:J2 beh:J3 beh:D18 beh:D19"""
    stage, panel = own_stage, Panel(own_stage.network, mediators=4, seats_each=60)
    stage.network.fund([stage.provider.address, signer(CHALLENGER).address], 5_000 * TOKEN)
    right = stage.digest_of("cowsay", {})
    module = stage.module()
    terms = {
        "pool": panel.terms.id, "audit_bps": 1_000, "collateral_bps": 130_000, "max_price": 4 * TOKEN, "judge_window": 60,
    }  # fmt: skip
    for point in KILLED_AT:
        pair = stage.pair(module, stage.inputs(module, {}), terms, pool=panel.terms.id)._replace(pool=panel.terms)
        stage.open(pair)
        deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
        deal_id = deal.id(stage.network.domain)
        seats = Seats(stage, panel, deal_id, deal, right)
        before = _money(stage)
        assert life(stage, panel, deal_id, CrashPlan(1, only=point), seats.play) == signals.SIGKILL, point
        assert life(stage, panel, deal_id, CrashPlan(0), seats.play) == 0, f"killed at {point}: it did not get there"
        assert stage.status(deal_id) is Status.MEDIATION_ACCEPTED, point
        facts = panel.dispute(deal_id).facts
        opened = [event for event in panel.events(deal_id) if event.name == "ResultOpened"]
        assert len(opened) == 1 and facts.paid_by(stage.provider.address) == appeal_fee(deal, 2), point
        assert _money(stage) >= before + TOKEN, f"killed at {point}: it lost money"


def _money(stage: Stage) -> int:
    """Ledger credit, free and locked, and tokens of the provider."""
    account = stage.provider.address
    free, locked = stage.network.contracts.core.call("accountOf", stage.network.token, account)[:2]
    return int(free) + int(locked) + int(stage.network.contracts["LilypadToken"].call("balanceOf", account))
