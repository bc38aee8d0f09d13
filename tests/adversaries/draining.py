"""Creator, provider, publisher, keeper and seats in one hand, after the pool's fund: property (k) of protocol section 13."""

from __future__ import annotations

from dataclasses import replace

from lilypad_agents.protocol.ids import PoolId
from lilypad_agents.protocol.lifecycle import Agreement, Verdict
from lilypad_agents.protocol.opening import NO_OPENING
from tests.adversaries.arena import VALUE, Bench, Game, Part, Plan, Play, Scenario, captures
from tests.support.evm import Reverted
from tests.support.panels import BROKEN

CARTEL = frozenset({"creator", "provider", "publisher", "solver", "keeper", "challenger"})


def differs(bench: Bench) -> str:
    """What runs of a flaky module find: each something else."""
    return f"result {bench.number}.{bench.seat}"


def self_dealing(plan: Plan, lost_seed: bool = False) -> Play:
    """A deal with itself, of a job that costs nothing to run."""

    def play(game: Game) -> None:
        case = game.deal(work=False)
        if lost_seed:
            game.world.lose_seed(case.deal)
            case.beginner = game.world.keeper
            game.world.resolver.audit(case.deal.words, 0, sender=game.world.keeper)
            game.judge(case, plan)
        elif game.lottery(case):
            game.judge(case, plan)

    return play


def looks_first(game: Game) -> None:
    """The pair sees the seed, and tries every way out of a drawn deal before it gives in."""
    case = game.deal(work=False)
    world, deal = game.world, case.deal
    world.set_seed(deal, drawn=game.drawn)
    if not game.drawn:
        return game.settle(case)
    total = world.locked(world.creator) + world.locked(world.provider)
    exits = (
        lambda: world.settle(deal, case.result, Agreement.WAIVER),
        lambda: world.settle(deal, case.result, Agreement.ACCEPTANCE),
        lambda: world.settle(deal, case.result, by=world.creator),
        lambda: world.close(deal, total, 0),
        lambda: world.resolver.timeoutReveal(deal.words),
    )
    for leave in exits:
        refused(leave)
    case.beginner = world.keeper
    world.resolver.audit(deal.words, 0, sender=world.keeper)
    game.judge(case, Plan(knows=True))
    return None


def refused(action) -> None:
    """Raises AssertionError when an attack goes through."""
    try:
        action()
    except Reverted:
        return
    raise AssertionError("an attack went through")


def own_pool(game: Game) -> None:
    """A pool whose strategy is a puppet: it takes its own pool's fund, and tries the honest one's."""
    world, court = game.world, game.court
    honest, puppet = court.pool, world.evm.deploy("Puppet")
    game.belongings["challenger"] = [puppet]
    pool = replace(honest, strategy=puppet.address)
    game.own_funds.append(("challenger", puppet, PoolId(pool.id)))
    world.core.donate(puppet, world.token, PoolId(pool.id), 10 * VALUE, sender=world.challenger)
    victim = game.deal()
    own = game.deal(work=False, pool=pool)
    world.set_seed(own.deal, drawn=True)
    world.resolver.audit(own.deal.words, 0, sender=world.challenger)

    def pull(contract, name: str, *arguments) -> None:
        puppet.execute(contract, contract.calldata(name, *arguments))

    resolve = ("resolve", Verdict.WRONG, NO_OPENING, 0, puppet.address)
    attempts = (
        lambda: pull(world.resolver, resolve[0], victim.deal.words, *resolve[1:]),
        lambda: pull(world.core, "payFromFund", court.mediation, world.token, PoolId(honest.id), puppet, VALUE),
        lambda: pull(court.staking, "releaseSeats", honest, [court.mediators[0]], [VALUE]),
        lambda: pull(court.staking, "queueRound", honest, b"\1" * 32, 15, [world.creator] * 4),
        lambda: pull(court.mediation, "queue", own.deal.words, pool, _NO_SEATS),
    )
    for attempt in attempts:
        refused(attempt)
    claim = own.deal.collateral - 2 * VALUE
    pull(world.resolver, "resolve", own.deal.words, Verdict.WRONG, NO_OPENING, claim, world.challenger.address)
    game.settle(game.spared(victim))


_NO_SEATS = ("0x" + "0" * 40, 0, 0, b"\0" * 32, ())


def solver_matches_itself(game: Game) -> None:
    """As a party it is refused; a friend of the provider earns the fee that the creator signed, and no more."""
    world = game.world
    for name in ("creator", "provider"):
        refused(lambda name=name: game.deal(job={"solver": getattr(world, name), "solver_fee_bps": 100}))
    case = game.deal()
    if game.lottery(case):
        game.judge(case, Plan())


def honest_victim(game: Game) -> None:
    """What is not the attackers' doing in `own_pool`: an honest deal beside it."""
    game.settle(game.spared(game.deal()))


def flaky_sale(game: Game) -> None:
    """Publisher and provider sell a flaky module to an honest creator and never run it."""
    case = game.deal(honest=False, work=False)
    if game.lottery(case):
        game.judge(case, Plan(hostile=differs, honest=differs))


HONEST_RUN = Plan(knows=True)
CRIES = Plan(hostile=captures(BROKEN), knows=True)
FLAKY = Plan(hostile=differs, honest=differs)

SCENARIOS = (
    Scenario("deals with itself", "T37 I38 D29", "right results, own seats", CARTEL, (Part(self_dealing(HONEST_RUN)),), lottery=True),
    Scenario("deals with itself, false alarms", "T37 I38 D29", "its lone seats call the panel", CARTEL, (Part(self_dealing(CRIES)),), lottery=True),
    Scenario("deals with itself, flaky module", "T37 T24 T59 I38", "every audit ends without fault", CARTEL, (Part(self_dealing(FLAKY)),), lottery=True),
    Scenario("the same, audited every time", "T37 T24 I38", "preset every time", CARTEL, (Part(self_dealing(FLAKY)),), True, "every time"),
    Scenario("deals with itself, lost seed", "T37 I38", "the audit is paid out of its collateral", CARTEL,
             (Part(self_dealing(HONEST_RUN, lost_seed=True)),)),
    Scenario("flaky module and lost seed", "T37 T24 I38", "both", CARTEL, (Part(self_dealing(FLAKY, lost_seed=True)),)),
    Scenario("looks at the lottery first", "T50", "own deal; leaves before the audit, if it could", CARTEL, (Part(looks_first),), lottery=True),
    Scenario("own pool, own strategy", "T49", "and an honest deal beside it", frozenset({"challenger", "creator", "provider"}), (Part(own_pool, honest_victim),), by_share=False),
    Scenario("solver matching itself", "T37", "as creator or provider", frozenset({"provider", "solver"}), (Part(solver_matches_itself, solver_matches_itself),),
             lottery=True, by_share=False),
    Scenario("sells a flaky module", "T24 T59", "publisher and provider to an honest creator", frozenset({"provider", "publisher"}),
             (Part(flaky_sale),), lottery=True, known="a module is its publisher's word: no rule tells a flaky one from a random one; "
             "marks, lists and the deterministic engine do"),
)  # fmt: skip
