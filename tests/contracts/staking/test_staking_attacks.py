"""Tries to move a draw once its seed can be known: by staking, leaving, ordering, waiting, cancelling, filling the pool,
skipping blocks, or from a contract that takes back what it dislikes. None changes who sits.

Property (f) of protocol 13. beh:D10 beh:D13 inv:I12 inv:I24 inv:T15 inv:T19 inv:T31 inv:T33 inv:T51 inv:T52 inv:T54 inv:T57
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import pytest

from lilypad_agents.protocol.draw import draw_round
from tests.support.evm import Account, expect_revert
from tests.support.staking import (
    DRAWN,
    EXCLUDE_NOBODY,
    POSTPONED,
    SEAT,
    UNBONDING,
    StakingSite,
    build_staking,
    name,
)
from tests.support.world import PERIOD_BLOCKS


def root(site: StakingSite) -> int:
    return site.staking.poolOf(site.pool.id)[2]


def weights(site: StakingSite, accounts: list[Account]) -> list[tuple[int, int]]:
    return [tuple(site.staking.weightOf(site.pool.id, account)) for account in accounts]


# ---- stake moves

MOVES: dict[str, Callable[[StakingSite, Account, Account], object]] = {
    "buy": lambda site, attacker, victim: site.stake(attacker, 500 * SEAT),
    "leave": lambda site, attacker, victim: site.unbond(victim, 10 * SEAT),
    "shrink": lambda site, attacker, victim: site.unbond(victim, 9 * SEAT),
    "apply": lambda site, attacker, victim: site.apply(),
    "buy, apply": lambda site, attacker, victim: (site.stake(attacker, 500 * SEAT), site.apply()),
    "leave, come again": lambda site, attacker, victim: (site.unbond(victim, 10 * SEAT), site.stake(victim, 10 * SEAT)),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("block", [0, 1, PERIOD_BLOCKS - 1, PERIOD_BLOCKS, 50 * PERIOD_BLOCKS])
def test_stake_moves__from_the_periods_first_block__wait_for_the_draw(
    site: StakingSite, stakers: list[Account], newcomer: Account, move: str, block: int
) -> None:
    """inv:T31 inv:I24 beh:D13: whatever the block, as long as the round is not drawn."""
    ticket = site.queue("a", 7)
    seed = site.begin(11)
    expected = draw_round(site.twin, seed, name("a"), 7).accounts
    everybody = [*stakers, newcomer]
    before = weights(site, everybody)
    site.evm.mine(block)
    MOVES[move](site, newcomer, stakers[0])
    assert site.frozen
    assert (root(site), weights(site, everybody)) == (30, before)
    assert site.draw(ticket, "a", 7) == (DRAWN, expected)
    site.apply()
    assert site.staking.pendingOf(site.pool.id) == (False, 0)
    assert [weight for _, weight in weights(site, everybody)] == [site.stake_of(who)[0] // SEAT for who in everybody]


def test_stake_moves__before_the_periods_first_block__count(site: StakingSite, newcomer: Account) -> None:
    """beh:D13: the last block before the period is in time, the next one is not."""
    site.queue("a", 3)
    site.to_period(site.period + 1)
    site.evm.set_block(site.evm.number - 1)
    assert not site.frozen
    site.stake(newcomer, SEAT)
    assert root(site) == 31
    site.evm.mine(1)
    assert site.frozen
    site.stake(newcomer, SEAT)
    assert root(site) == 31


def test_stake_moves__before_the_round_is_queued__count_though_others_wait(site: StakingSite, newcomer: Account) -> None:
    """A round queued in period p freezes from p + 1 on; the one before it is drawn, then the tree thaws until then."""
    first = site.queue("a", 3)
    site.begin(1)
    second = site.queue("b", 3)
    site.stake(newcomer, 5 * SEAT)
    assert (site.frozen, root(site)) == (True, 30)
    site.draw(first, "a", 3)
    assert not site.frozen
    site.apply()
    assert root(site) == 35
    seed = site.begin(2)
    assert site.frozen
    expected = draw_round(site.twin, seed, name("b"), 3).accounts
    assert site.draw(second, "b", 3)[1] == (expected or ())


def test_leaving__in_a_frozen_tree__keeps_the_stake_behind_every_seat(site: StakingSite, stakers: list[Account]) -> None:
    """inv:I23 inv:T31: unbonding is over, the round is not drawn: the stake that may still be seated stays."""
    ticket = site.queue("a", 15)
    site.begin(3)
    site.unbond(stakers[0], 10 * SEAT)
    site.evm.mine(UNBONDING)
    with expect_revert("StakeBacksSeats", account=stakers[0].address, stake=10 * SEAT, needed=10 * SEAT):
        site.withdraw(stakers[0])
    _, accounts = site.draw(ticket, "a", 15)
    held = accounts.count(stakers[0].address)
    assert held > 0
    assert site.withdraw(stakers[0]).event("StakeWithdrawn")["amount"] == (10 - held) * SEAT
    site.release([stakers[0]] * held, [SEAT] * held)
    assert site.stake_of(stakers[0])[:2] == (0, 0)
    assert site.free(site.strategy) == held * SEAT


# ---- order, waiting and callers


def test_order__of_draws__is_the_queues(site: StakingSite) -> None:
    """inv:T57: six own rounds around a target; every other order of calls is refused, and the target's seats are the same."""
    texts = ["own 0", "own 1", "own 2", "target", "own 3", "own 4", "own 5"]
    tickets = [site.queue(text, 1) for text in texts]
    seed = site.begin(21)
    panels = set()
    for order in list(permutations(range(7)))[:: 5_040 // 40]:
        with site.evm.snapshot():
            done = 0
            for index in order:
                if index == done:
                    result, accounts = site.draw(tickets[index], texts[index])
                    done += 1
                    if texts[index] == "target":
                        panels.add(accounts)
                else:
                    with expect_revert("TicketNotNext", ticket=tickets[index], next=tickets[done]):
                        site.draw(tickets[index], texts[index])
            for index in range(done, 7):
                result, accounts = site.draw(tickets[index], texts[index])
                if texts[index] == "target":
                    panels.add(accounts)
        site.twin.drawn.clear()
    assert len(panels) == 1
    assert panels == {draw_round(site.twin, seed, name("target"), 1).accounts}


def test_waiting__any_number_of_blocks__gives_the_same_seats(site: StakingSite) -> None:
    """inv:T57 inv:T15: the seed is the one of the period after the one in which it was queued, whatever block the call comes in."""
    ticket = site.queue("a", 3)
    period = site.period + 1
    seeds = [site.know(number, number) for number in range(period, period + 40)]
    expected = draw_round(site.twin, seeds[0], name("a"), 3).accounts
    site.to_period(period)
    for blocks in (0, 1, 5, 6, 7, 100, 200):
        with site.evm.snapshot():
            site.evm.mine(blocks)
            assert site.draw(ticket, "a", 3) == (DRAWN, expected)
        site.twin.drawn.clear()


def test_waiting__for_seeds_to_die__never_chooses_among_known_ones(site: StakingSite) -> None:
    """inv:T51 inv:I12: with the seed lost, every later seed that is known already is out; the next one nobody can know."""
    ticket = site.queue("a", 3)
    period = site.period + 1
    for late in range(1, 8):
        with site.evm.snapshot():
            site.to_period(period + late)
            for lost in range(period, period + late):
                site.world.randomness.setExpired(lost)
            site.know(period + late, 1)
            assert site.draw(ticket, "a", 3)[0] == POSTPONED
            assert site.staking.queueOf(site.pool.id)[2] == period + late + 1
            assert not site.frozen


def test_contract_that_dislikes_the_draw__reverting_it__gets_the_same_again(newcomer_pool: StakingSite) -> None:
    """inv:T33 inv:T57: taking the call back, waiting, and calling through another contract change nothing."""
    site = newcomer_pool
    puppet = site.evm.at("Puppet", site.pool.strategy)
    queue = site.staking.calldata("queueRound", site.pool, name("a"), 3, EXCLUDE_NOBODY)
    puppet.execute(site.staking, queue)
    seed = site.begin(8)
    expected = draw_round(site.twin, seed, name("a"), 3).accounts
    assert expected is not None
    draw = site.staking.calldata("draw", site.pool, 0, name("a"), 3, EXCLUDE_NOBODY)
    failing = site.staking.calldata("draw", site.pool, 1, name("a"), 3, EXCLUDE_NOBODY)
    for blocks in range(3):
        # The draw, then a failing call that takes all of it back.
        with expect_revert("TicketNotNext"):
            puppet.execute(puppet.address, puppet.calldata("execute", site.staking.address, failing))
        site.evm.mine(blocks)
        with site.evm.snapshot():
            puppet.execute(site.staking, draw)
            found = [who for who in expected if site.stake_of(who)[3] == expected.count(who)]
            assert sorted(found) == sorted(expected)


@pytest.fixture
def newcomer_pool() -> StakingSite:
    """Five stakers in a pool whose strategy is a contract that does what anyone tells it."""
    site = build_staking()
    puppet = site.evm.deploy("Puppet")
    site.pool = replace(site.pool, strategy=puppet.address)
    for number in range(5):
        site.stake(site.account(f"staker {number}"), 4 * SEAT)
    return site


# ---- cancelling


def test_cancelling__a_round_in_front__does_not_move_the_one_behind() -> None:
    """inv:T57: in a small pool the first round's seats decide which tries of the second fail; giving it up moves nothing.

    Over many seeds: drawn and cancelled fronts give the same panel, or the same postponement, to the round behind.
    """
    site = build_staking(stakers=4, seats=1)

    def behind(number: int, cancelled: bool) -> tuple[object, ...]:
        with site.evm.snapshot():
            front, target = site.queue("front", 2), site.queue("target", 2)
            site.begin(number)
            if cancelled:
                site.cancel(front)
                result = site.staking.drawCancelled(site.pool, front, name("front"), 2, EXCLUDE_NOBODY).value
            else:
                result = draw(site, front, "front", 2)[0]
            after = draw(site, target, "target", 2) if result == DRAWN else None
            return result, after, site.staking.queueOf(site.pool.id)[2]

    outcomes = [(behind(number, False), behind(number, True)) for number in range(40)]
    assert all(drawn == cancelled for drawn, cancelled in outcomes)
    assert {after[0] for (_, after, _), _ in outcomes if after} == {DRAWN, POSTPONED}


def draw(site: StakingSite, ticket: int, text: str, seats: int) -> tuple[object, ...]:
    """Without the twin, which does not follow snapshots."""
    answer = site.staking.draw(site.pool, ticket, name(text), seats, EXCLUDE_NOBODY, sender=site.strategy)
    return tuple(answer.value)


def test_cancelling__a_round_whose_tries_fail__still_postpones_those_behind(site: StakingSite, stakers: list[Account]) -> None:
    """inv:T57: the owner of a failing round cannot choose between this seed and the next for the others."""
    excluded = (stakers[0].address, stakers[1].address, *EXCLUDE_NOBODY[2:])
    front, target = site.queue("front", 9, excluded), site.queue("target", 3)
    site.begin(0)
    period = site.period
    for cancelled in (False, True):
        with site.evm.snapshot():
            if cancelled:
                site.cancel(front)
                assert site.draw_cancelled(front, "front", 9, excluded) == POSTPONED
            else:
                assert site.draw(front, "front", 9, excluded)[0] == POSTPONED
            assert site.staking.queueOf(site.pool.id)[2] == period + 1
            with expect_revert("SeedPending" if cancelled else "TicketNotNext"):
                site.draw(target, "target", 3)


def test_cancelling__in_time__moves_nobody_to_a_known_seed(site: StakingSite) -> None:
    """A round may leave the queue as long as its seed, and that of all behind it, is not knowable."""
    first, second = site.queue("a", 3), site.queue("b", 3)
    site.cancel(first)
    seed = site.begin(5)
    expected = draw_round(site.twin, seed, name("b"), 3).accounts
    assert site.draw(second, "b", 3) == (DRAWN, expected)


# ---- seats and room


def test_releasing__in_a_frozen_tree__gives_no_room_back(site: StakingSite) -> None:
    """Seats that end while rounds wait stay closed until the tree thaws, so that nobody clears a favourite's way."""
    first = site.queue("a", 14)
    site.begin(6)
    _, seats = site.draw(first, "a", 14)
    second = site.queue("b", 3)
    site.begin(7)
    site.release(seats)
    assert sum(site.stake_of(who)[3] for who in set(seats)) == 0
    assert site.staking.poolOf(site.pool.id)[1] == 14
    assert site.draw(second, "b", 3)[0] == POSTPONED
    site.apply()
    assert site.staking.poolOf(site.pool.id)[1] == 0
    site.begin(7)
    assert site.draw(second, "b", 3)[0] == DRAWN


def test_slashing__in_a_frozen_tree__keeps_weights_and_covers_later_losses(site: StakingSite, stakers: list[Account]) -> None:
    """inv:I34 inv:I24: an account that loses its stake in a frozen tree weighs the same in it, and owes no more than it has."""
    first = site.queue("a", 9)
    site.begin(6)
    _, seats = site.draw(first, "a", 9)
    second = site.queue("b", 6)
    seed = site.begin(9)
    expected = draw_round(site.twin, seed, name("b"), 6).accounts
    site.release(seats, [SEAT] * 9)
    assert root(site) == 30
    result, more = site.draw(second, "b", 6)
    assert more == (expected or ())
    site.release(more, [SEAT] * len(more))
    lost = 9 + len(more)
    assert site.free(site.strategy) == lost * SEAT
    assert site.staking.poolOf(site.pool.id)[0] == (30 - lost) * SEAT
    site.apply()
    assert root(site) == 30 - lost
    assert sum(site.stake_of(who)[0] for who in stakers) == (30 - lost) * SEAT


def test_filling__the_pool_with_own_rounds__delays_but_does_not_choose(site: StakingSite) -> None:
    """inv:T52: at most half of the seats are open, so that the target's tries meet free stake; its seed stays the queue's."""
    own = [site.queue(f"own {number}", 5) for number in range(4)]
    target = site.queue("target", 3)
    site.begin(1)
    period = site.period
    for number in range(3):
        assert site.draw(own[number], f"own {number}", 5)[0] == DRAWN
    assert site.draw(own[3], "own 3", 5)[0] == POSTPONED
    with expect_revert("TicketNotNext"):
        site.draw(target, "target", 3)
    assert site.staking.queueOf(site.pool.id) == (own[3], target + 1, period + 1)
    assert site.staking.poolOf(site.pool.id)[1] == 15


def test_splitting__a_stake_over_many_accounts__gains_no_weight(site: StakingSite) -> None:
    """inv:T19 beh:G3: weight is stake; ten accounts weigh together what one does, and parts of a seat weigh nothing."""
    for number in range(10):
        site.stake(site.account(f"sybil {number}"), SEAT + SEAT // 2)
    assert root(site) == 40
    site.stake(site.account("whole"), 15 * SEAT)
    assert root(site) == 55


def test_flooding__two_hundred_rounds__are_all_drawn_in_a_few_periods(site: StakingSite) -> None:
    """inv:T52: released as they are drawn, a queue of 200 rounds with an honest one at its end empties within the limit."""
    tickets = [site.queue(f"flood {number}", 1) for number in range(200)] + [site.queue("honest", 3)]
    texts = [f"flood {number}" for number in range(200)] + ["honest"]
    started, index = site.period, 0
    while index <= 200:
        site.begin(site.period + 1)
        seats = 3 if index == 200 else 1
        result, accounts = site.draw(tickets[index], texts[index], seats)
        if result == DRAWN:
            index += 1
            site.release(accounts)
        else:
            site.apply(20)
    assert (site.period - started) * 300 * 12 < 604_800  # seconds, with the periods and the limit of production
