"""The machinery as a weapon: stake moves around a draw, dust disputes that fill a pool, tokens that call back."""

from __future__ import annotations

from dataclasses import replace

from tests.adversaries.arena import SEAT_STAKE, VALUE, Game, Part, Plan, Scenario
from tests.adversaries.cheating import alone, honest_deal
from tests.support.panels import RIGHT, Case

CHEATS = frozenset({"provider", "challenger"})


def grinds(game: Game) -> None:
    """Each time the seed is known and the draw not made, as much stake again as the pool has comes in, and leaves after it."""
    world, court = game.world, game.court
    amount = 200 * SEAT_STAKE

    def before(case: Case) -> None:
        world.core.withdraw(world.token, amount, world.challenger, sender=world.challenger)
        world.token.approve(court.staking, amount, sender=world.challenger)
        court.staking.stake(court.pool, amount, [], sender=world.challenger)
        court.staking.requestUnbonding(court.pool, amount, sender=world.challenger)

    game.before_draw = before
    case = game.deal(honest=False, work=False)
    if game.lottery(case):
        game.judge(case, Plan(hostile=alone(RIGHT)))
    assert world.challenger.address not in game.touched


def hostile_token(game: Game) -> None:
    """A token of its own that calls back in every transfer; the pool's real token and its owners must not notice."""
    world, court = game.world, game.court
    hook = world.evm.deploy("HookToken")
    game.belongings["challenger"] = [hook]
    pool = replace(court.pool, token=hook.address)
    attempts = (
        (world.core, world.core.calldata("withdraw", world.token, VALUE, hook)),
        (world.core, world.core.calldata("transferCredit", world.token, [hook.address], [VALUE])),
        (court.staking, court.staking.calldata("stake", court.pool, SEAT_STAKE, [])),
        (court.staking, court.staking.calldata("stake", pool, SEAT_STAKE, [])),
        (court.staking, court.staking.calldata("withdraw", court.pool, court.mediators[0])),
    )
    hook.arm([(contract.address, data) for contract, data in attempts])
    me = world.challenger
    hook.mint(me, 100 * SEAT_STAKE)
    hook.approve(court.staking, 100 * SEAT_STAKE, sender=me)
    court.staking.stake(pool, 4 * SEAT_STAKE, [], sender=me)
    assert hook.endings(), "the token did not call back"
    hook.arm([])
    assert world.core.accountOf(hook, court.staking)[0] == 4 * SEAT_STAKE
    assert court.staking.poolOf(pool.id)[0] == 4 * SEAT_STAKE


SCENARIOS = (
    Scenario("grinds the draw by stake moves", "T31", "doubles the pool once the seed is known", CHEATS, (Part(grinds, honest_deal),), lottery=True),
    Scenario("hostile token, calls back", "T42 T49", "in every transfer of its own pool", frozenset({"challenger"}), (Part(hostile_token),), by_share=False),
)  # fmt: skip
