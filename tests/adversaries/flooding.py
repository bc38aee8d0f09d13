"""Two hundred dust disputes at once in front of a provider's own audit: does it run out of time?"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from lilypad_agents.protocol.deal import deal_from_offers
from lilypad_agents.protocol.ids import NOBODY
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.mediation import Phase
from lilypad_agents.protocol.opening import Pair
from tests.adversaries.arena import HONEST, Game, GymCase, Part, Play, Scenario, seed_of
from tests.adversaries.cheating import honest_deal
from tests.support.evm import Receipt
from tests.support.panels import LAST_CALL, RIGHT
from tests.support.world import COIN, PERIOD_BLOCKS

FLOODERS = frozenset({"provider", "challenger", "solver"})
DUST = COIN // 1_000  # value of a flooding deal; its seat fee is the pool's floor, an eighth of the dearest deal's value
BATCH = 25
STEP = 2  # seconds


@dataclass
class Flood:
    """A docket of disputes that are worked off as fast as the pool allows: honest seats act at once, the flooders as late as
    they may, and keepers call everything that is due."""

    game: Game
    waiting: deque[GymCase] = field(default_factory=deque)
    running: dict[int, tuple[GymCase, int]] = field(default_factory=dict)  # when something is next due

    def queue(self, case: GymCase) -> None:
        case.queue()
        self.waiting.append(case)

    def step(self) -> None:
        """A moment later: draws, votes, ends."""
        world = self.game.world
        world.evm.mine(STEP)
        period = world.evm.number // PERIOD_BLOCKS
        world.randomness.setSeed(period, seed_of(self.game.seed, period))
        self.game.court.staking.applyPending(self.game.court.pool, 200)
        self._draw(period)
        for key, (case, due) in list(self.running.items()):
            if world.evm.timestamp >= due:
                del self.running[key]
                self._go_on(case)

    def _draw(self, period: int) -> None:
        while self.waiting and self.game.court.staking.queueOf(self.game.court.pool.id)[2] <= period:
            case = self.waiting[0]
            for event in case.draw().events("RoundDrawn"):
                for address in event["seats"]:
                    self.game.touched[address] = self.game.court.account_of(address)
            if case.phase == Phase.QUEUED:
                return
            self.waiting.popleft()
            mine = case.truth == RIGHT
            for seat in range(len(case.seating.accounts)):
                case.commit(seat, case.truth)
                self.game.works(HONEST, 0 if mine else 1)  # a run of dust costs dust
            self.running[id(case)] = (case, case.now()[1] - STEP if mine else self.game.world.evm.timestamp)

    def _go_on(self, case: GymCase) -> None:
        if case.phase == Phase.OPEN:
            case.open()
        if case.phase == Phase.REVEAL:
            for seat in range(len(case.seating.accounts)):
                case.reveal(seat, case.truth)
        if case.phase == Phase.DUE:
            return self.queue(case)
        if case.phase == Phase.APPEALABLE:
            self.running[id(case)] = (case, case.now()[1] + 1)
            return None
        return self.execute(case)

    def execute(self, case: GymCase) -> None:
        court = self.game.court
        seatings = [seating.argument for seating in case.seatings]
        court.mediation.execute(case.deal.words, court.pool, seatings, case.result, sender=self.game.world.keeper)


def dust_deals(game: Game, number: int) -> list[GymCase]:
    """Deals of the challenger with the solver's account, opened in batches, each with a right result."""
    world = game.world
    world.core.transferCredit(world.token, [world.solver.address], [400 * COIN], sender=world.challenger)
    cases = []
    for start in range(0, number, BATCH):
        resource = world.resource(provider=world.solver, price=DUST, unit_price=0, max_collateral_bps=20_000_000)
        consent = world.sign(resource, world.solver)
        pairs = []
        for _ in range(min(BATCH, number - start)):
            job = world.job(
                creator=world.challenger, solver=NOBODY, solver_fee_bps=0, audit_bps=10, collateral_bps=14_000_000, judge_window=3_600
            )
            pairs.append(Pair(job, world.sign(job, world.challenger), resource, consent, world.module, world.pool, ()))
        cases += _submitted(game, pairs)
    return cases


def _submitted(game: Game, pairs: list[Pair]) -> list[GymCase]:
    world = game.world
    world.open(*pairs, sender=world.challenger)
    found = []
    for pair in pairs:
        deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
        result = world.result(deal)
        world.core.submitResult(deal.id(world.domain), world.commitment(deal, result), sender=world.solver)
        game.deals.append(deal)
        found.append(FloodCase(game.court, deal, deal.id(world.domain), result))
    return found


class FloodCase(GymCase):
    """A case whose provider is the solver's account."""

    def open(self, sender: Any = None, exact: bool = False) -> Receipt:
        return super().open(sender or self.world.solver, exact)


def flood(number: int) -> Play:
    """Only when its deal is drawn: that is when it pays."""

    def play(game: Game) -> None:
        world = game.world
        case = game.deal(honest=False, work=False)
        if not game.drawn:
            return game.settle(game.spared(case))
        docket = Flood(game)
        for dust in dust_deals(game, number):
            docket.queue(game.challenge(dust))
        game.lottery(case)
        docket.queue(case)
        last = world.state(case.deal).deadline - LAST_CALL
        while case.status == Status.IN_MEDIATION and world.evm.timestamp + STEP <= last:
            docket.step()
        if case.status == Status.IN_MEDIATION:
            world.pass_to(last + 1)
            docket.execute(case)
        clean_up(game, docket)
        return None

    return play


def clean_up(game: Game, docket: Flood) -> None:
    """What is left of the flood runs out of time; fees come back as the rules say."""
    world, court = game.world, game.court
    left = [*docket.waiting, *(case for case, _ in docket.running.values())]
    world.pass_to(world.evm.timestamp + 1_300)
    for case in left:
        if case.status != Status.IN_MEDIATION:
            continue
        world.resolver.timeoutMediation(case.deal.words)
        seatings = [seating.argument for seating in case.seatings]
        court.mediation.unwind(case.deal.words, court.pool, seatings, sender=world.keeper)


SCENARIOS = (
    Scenario("200 dust disputes, pool of 200 seats", "T52 T58", "in front of its own audit", FLOODERS, (Part(flood(200), honest_deal),),
             lottery=True, by_share=False),
    Scenario("200 dust disputes, pool of 24 seats", "T52 T58", "in front of its own audit", FLOODERS, (Part(flood(200), honest_deal),),
             lottery=True, by_share=False, mediators=6),
)  # fmt: skip
