"""The queue and the draw: who may ask, in which order, from which seed, onto whom; and how seats end.

beh:D10 beh:D11 beh:D12 beh:D13 inv:I10 inv:I12 inv:I34 inv:T33
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from lilypad_agents.protocol.draw import Outcome, draw_round
from lilypad_agents.protocol.ids import NOBODY
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.support.evm import Account, expect_revert
from tests.support.staking import (
    DRAWN,
    EXCLUDE_NOBODY,
    POSTPONED,
    SEAT,
    UNBONDING,
    StakingSite,
    build_staking,
    excluding,
    name,
)


def lose(site: StakingSite, period: int) -> None:
    site.world.randomness.setExpired(period)


# ---- who may ask


def test_strategy_functions__called_by_others__refused(site: StakingSite, stakers: list[Account]) -> None:
    """inv:T33: only the strategy that the pool's terms name asks for seats, draws, cancels or slashes."""
    pool, staking = site.pool, site.staking
    for stranger in (stakers[0], site.world.creator):
        who = {"pool": pool.id, "strategy": site.strategy.address, "caller": stranger.address}
        with expect_revert("PoolStrategyOnly", **who):
            staking.queueRound(pool, name("a"), 1, EXCLUDE_NOBODY, sender=stranger)
        with expect_revert("PoolStrategyOnly", **who):
            staking.draw(pool, 0, name("a"), 1, EXCLUDE_NOBODY, sender=stranger)
        with expect_revert("PoolStrategyOnly", **who):
            staking.cancelRound(pool, 0, sender=stranger)
        with expect_revert("PoolStrategyOnly", **who):
            staking.releaseSeats(pool, [], [], sender=stranger)


def test_strategy__of_another_pool__reaches_only_its_own(site: StakingSite, stakers: list[Account]) -> None:
    """inv:I10: terms that name another strategy are another pool, with nobody's stake in it."""
    mallory = site.account("mallory")
    pool = replace(site.pool, strategy=mallory.address)
    with expect_revert("SeatsUnavailable", pool=pool.id, seats=1, capacity=0):
        site.staking.queueRound(pool, name("a"), 1, EXCLUDE_NOBODY, sender=mallory)
    with expect_revert("SeatNotOpen", pool=pool.id, account=stakers[0].address):
        site.staking.releaseSeats(pool, [stakers[0]], [SEAT], sender=mallory)


def test_queue__unverified_pool__refused(site: StakingSite) -> None:
    with expect_revert("PoolUnverified"):
        site.staking.queueRound(UNVERIFIED, name("a"), 1, EXCLUDE_NOBODY)


# ---- queueing


@pytest.mark.parametrize("seats", [0, 31, 2**256 - 1])
def test_queue__more_than_the_pool_could_ever_seat__refused(site: StakingSite, seats: int) -> None:
    assert not site.staking.canSeat(site.pool, seats)
    with expect_revert("SeatsUnavailable", pool=site.pool.id, seats=seats, capacity=30):
        site.staking.queueRound(site.pool, name("a"), seats, EXCLUDE_NOBODY, sender=site.strategy)


def test_queue__excluded_accounts__do_not_count(site: StakingSite, stakers: list[Account]) -> None:
    """Named twice they are left out once."""
    excluded = excluding(stakers[0], stakers[1], stakers[0])
    with expect_revert("SeatsUnavailable", seats=11, capacity=10):
        site.queue("a", 11, excluded)
    assert site.queue("a", 10, excluded) == 0


def test_queue__unverified_or_empty_pool__cannot_seat(site: StakingSite) -> None:
    assert not site.staking.canSeat(UNVERIFIED, 1)
    assert not site.staking.canSeat(replace(site.pool, note=b"\2" * 32), 1)


def test_queue__a_round__waits_for_the_next_period(site: StakingSite, stakers: list[Account]) -> None:
    """beh:D10"""
    now = site.period
    assert site.staking.queueOf(site.pool.id) == (0, 0, now + 1)
    excluded = excluding(stakers[0])
    receipt = site.staking.queueRound(site.pool, name("a"), 3, excluded, sender=site.strategy)
    queued = receipt.event("RoundQueued")
    assert queued == {
        "pool": site.pool.id, "round": name("a"), "ticket": 0, "seats": 3, "excluded": excluded, "period": now + 1,
    }  # fmt: skip
    assert site.staking.queueOf(site.pool.id) == (0, 1, now + 1)
    site.to_period(now + 5)
    assert site.staking.queueOf(site.pool.id) == (0, 1, now + 1)


# ---- drawing: refusals


def test_draw__before_its_period_or_its_seed__refused(site: StakingSite) -> None:
    """beh:D10: also when a seed lies there before its time."""
    ticket = site.queue("a", 3)
    period = site.period + 1
    site.know(period, 1)
    with expect_revert("SeedPending", pool=site.pool.id, period=period):
        site.draw(ticket, "a", 3)
    site.world.randomness.setPending(period)
    site.to_period(period)
    with expect_revert("SeedPending", pool=site.pool.id, period=period):
        site.draw(ticket, "a", 3)


def test_draw__out_of_order_or_again__refused(site: StakingSite) -> None:
    """inv:T57"""
    first, second = site.queue("a"), site.queue("b")
    site.begin()
    with expect_revert("TicketNotNext", ticket=second, next=first):
        site.draw(second, "b")
    site.draw(first, "a")
    with expect_revert("TicketNotNext", ticket=first, next=second):
        site.draw(first, "a")
    site.draw(second, "b")
    for ticket in (second, second + 1):
        with expect_revert("TicketNotNext", ticket=ticket, next=second + 1):
            site.draw(ticket, "b")


def test_draw__other_round_seats_or_exclusions_than_queued__refused(site: StakingSite, stakers: list[Account]) -> None:
    """inv:T54: who may not sit is fixed with the ticket; renaming parties after the seed changes nothing."""
    excluded = excluding(stakers[0])
    ticket = site.queue("a", 2, excluded)
    site.begin()
    for changed in (("b", 2, excluded), ("a", 3, excluded), ("a", 2, EXCLUDE_NOBODY), ("a", 2, excluding(stakers[1]))):
        with expect_revert("TicketMismatch", pool=site.pool.id, ticket=ticket):
            site.draw(ticket, *changed)
    assert site.draw(ticket, "a", 2, excluded)[0] == DRAWN


# ---- drawing: who sits


@pytest.mark.parametrize("seats", [1, 3, 7, 15])
def test_draw__a_round__gives_the_seats_that_the_twin_computes(site: StakingSite, seats: int) -> None:
    """beh:D11"""
    ticket = site.queue("a", seats)
    seed = site.begin(5)
    expected = draw_round(site.twin, seed, name("a"), seats).accounts
    receipt = site.staking.draw(site.pool, ticket, name("a"), seats, EXCLUDE_NOBODY, sender=site.strategy)
    drawn = receipt.event("RoundDrawn")
    assert tuple(receipt.value.accounts) == expected == tuple(drawn["seats"])
    assert (drawn["round"], drawn["ticket"], drawn["period"]) == (name("a"), ticket, site.period)
    assert sum(site.stake_of(site.account(f"staker {n}"))[3] for n in range(3)) == seats
    assert site.staking.poolOf(site.pool.id) == (30 * SEAT, seats, 30)


def test_draw__parties_of_the_deal__never_sit(site: StakingSite, stakers: list[Account]) -> None:
    """beh:D12 inv:I10: over many seeds, with two of three stakers excluded in any of the four places."""
    seen: set[str] = set()
    postponed = 0
    for number in range(60):
        places = [NOBODY] * 4
        places[number % 4], places[(number + 1) % 4] = stakers[0].address, stakers[1].address
        with site.evm.snapshot():
            ticket = site.queue(f"round {number}", 2, tuple(places))
            site.begin(number)
            result, accounts = site.draw(ticket, f"round {number}", 2, tuple(places))
            seen |= set(accounts)
            postponed += result == POSTPONED
        site.twin.drawn.clear()
    assert seen == {stakers[2].address}
    assert 0 < postponed < 40


def test_draw__one_account_with_many_stakes__may_hold_several_seats() -> None:
    site = build_staking(stakers=1, seats=7)
    ticket = site.queue("a", 7)
    site.begin()
    alone = site.account("staker 0").address
    assert site.draw(ticket, "a", 7) == (DRAWN, (alone,) * 7)


def test_draw__account_without_a_free_seat_stake__fails_the_try() -> None:
    """Eight stakers with one seat each, three seats open: a hit on one of those is a failed try."""
    site = build_staking(stakers=8, seats=1)
    first = site.queue("a", 3)
    site.begin(1)
    _, taken = site.draw(first, "a", 3)
    assert len(set(taken)) == 3
    second = site.queue("b", 1)
    full = 0
    for number in range(30):
        with site.evm.snapshot():
            seed = site.begin(100 + number)
            draw = draw_round(site.twin, seed, name("b"), 1)
            full += any(found.outcome is Outcome.FULL for found in draw.tries)
            receipt = site.staking.draw(site.pool, second, name("b"), 1, EXCLUDE_NOBODY, sender=site.strategy)
            assert tuple(receipt.value.accounts) == (draw.accounts or ())
            assert not set(taken) & set(receipt.value.accounts)
    assert full > 5


def test_tiny_pool__one_mediator_with_one_seat__does_rounds_of_one() -> None:
    site = build_staking(stakers=1, seats=1)
    assert site.staking.canSeat(site.pool, 1) and not site.staking.canSeat(site.pool, 2)
    alone = site.account("staker 0")
    for text in ("a", "b"):
        ticket = site.queue(text, 1)
        site.begin()
        assert site.draw(ticket, text, 1) == (DRAWN, (alone.address,))
        site.release([alone])
        assert site.staking.poolOf(site.pool.id) == (SEAT, 0, 1)


# ---- half of the capacity


def test_half_rule__more_than_half_would_be_open__postpones_until_seats_end(site: StakingSite, stakers: list[Account]) -> None:
    """inv:T52: 15 of 30 seats may be open, not 16."""
    tickets = [site.queue("a", 12), site.queue("b", 3), site.queue("c", 1)]
    site.begin()
    _, seats = site.draw(tickets[0], "a", 12)
    assert site.draw(tickets[1], "b", 3)[0] == DRAWN
    assert site.draw(tickets[2], "c", 1) == (POSTPONED, ())
    assert site.staking.queueOf(site.pool.id) == (2, 3, site.period + 1)
    site.release(seats[:1])
    site.begin()
    assert site.draw(tickets[2], "c", 1)[0] == DRAWN


def test_half_rule__idle_pool__seats_one_panel_of_any_size(site: StakingSite) -> None:
    ticket = site.queue("a", 30)
    site.begin(9)
    result, accounts = site.draw(ticket, "a", 30)
    assert result == DRAWN
    assert sorted(accounts.count(account) for account in set(accounts)) == [10, 10, 10]


def test_half_rule__lone_seat_and_its_panel__always_fit_four() -> None:
    """A small pool can do a whole audit: the lone seat stays open while the panel of three sits."""
    site = build_staking(stakers=4, seats=1)
    lone = site.queue("lone", 1)
    site.begin(0)
    assert site.draw(lone, "lone", 1)[0] == DRAWN
    panel = site.queue("panel", 3)
    for number in range(200):
        site.begin(number)
        if site.draw(panel, "panel", 3)[0] == DRAWN:
            break
    assert site.staking.poolOf(site.pool.id)[1] == 4
    with expect_revert("SeatsUnavailable"):
        site.queue("more", 5)


def test_half_rule__five_of_eight__postpones() -> None:
    site = build_staking(stakers=8, seats=1)
    tickets = [site.queue("a", 3), site.queue("b", 1), site.queue("c", 1)]
    for number in range(50):
        site.begin(number)
        if site.draw(tickets[0], "a", 3)[0] == DRAWN:
            break
    for number in range(50):
        site.begin(number)
        if site.draw(tickets[1], "b", 1)[0] == DRAWN:
            break
    assert site.draw(tickets[2], "c", 1)[0] == POSTPONED


# ---- postponing


def test_draw__lost_seed__postpones_all_to_one_that_nobody_knows(site: StakingSite) -> None:
    """beh:D10 inv:I12 inv:T51: not to the next one that happens to live, or whoever waits would choose among the known."""
    tickets = [site.queue("a", 3), site.queue("b", 3)]
    period = site.period + 1
    site.to_period(period + 4)
    lose(site, period)
    for known in range(period + 1, period + 5):
        site.know(known, known)
    receipt = site.staking.draw(site.pool, tickets[0], name("a"), 3, EXCLUDE_NOBODY, sender=site.strategy)
    assert receipt.event("RoundPostponed") == {"pool": site.pool.id, "ticket": 0, "period": period + 5}
    with expect_revert("SeedPending", period=period + 5):
        site.draw(tickets[0], "a", 3)
    site.begin(3)
    assert site.period == period + 5
    for ticket, text in zip(tickets, "ab", strict=True):
        assert site.draw(ticket, text, 3)[0] == DRAWN


def test_draw__tries_ran_out__takes_the_next_period_whenever_called(site: StakingSite, stakers: list[Account]) -> None:
    """inv:I12 inv:T57: the seed is the next one at once and after ten periods alike."""
    excluded = excluding(stakers[0], stakers[1])
    ticket = site.queue("a", 9, excluded)
    behind = site.queue("b", 1)
    first = site.period + 1
    seeds = {period: site.know(period, period) for period in range(first, first + 12)}
    assert draw_round(site.twin, seeds[first], name("a"), 9, excluded).accounts is None
    assert draw_round(site.twin, seeds[first + 1], name("a"), 9, excluded).accounts is None
    for late in (0, 1, 10):
        with site.evm.snapshot():
            site.to_period(first + late)
            assert site.draw(ticket, "a", 9, excluded) == (POSTPONED, ())
            assert site.staking.queueOf(site.pool.id) == (ticket, 2, first + 1)
            site.to_period(max(first + 1, site.period))
            assert site.draw(ticket, "a", 9, excluded) == (POSTPONED, ())
            assert site.staking.queueOf(site.pool.id)[2] == first + 2
            with expect_revert("TicketNotNext", ticket=behind, next=ticket):
                site.draw(behind, "b")


def test_queue__while_postponed_far__joins_behind(site: StakingSite) -> None:
    """A round queued now is never drawn from an earlier seed than the ones before it."""
    ticket = site.queue("a", 3)
    site.to_period(site.period + 3)
    lose(site, site.period - 2)
    site.draw(ticket, "a", 3)
    assert site.staking.queueOf(site.pool.id)[2] == site.period + 1
    receipt = site.staking.queueRound(site.pool, name("b"), 1, EXCLUDE_NOBODY, sender=site.strategy)
    assert receipt.event("RoundQueued")["period"] == site.period + 1


# ---- cancelling


def test_cancel__before_its_period__leaves_the_queue(site: StakingSite) -> None:
    tickets = [site.queue(text) for text in "abcd"]
    assert site.cancel(tickets[1]).event("RoundCancelled") == {"pool": site.pool.id, "ticket": 1, "inQueue": False}
    site.cancel(tickets[0])
    site.cancel(tickets[3])
    assert site.staking.queueOf(site.pool.id)[:2] == (2, 4)
    site.begin()
    with expect_revert("TicketNotNext", ticket=0, next=2):
        site.draw(tickets[0], "a")
    assert site.draw(tickets[2], "c")[0] == DRAWN
    assert site.staking.queueOf(site.pool.id)[:2] == (4, 4)
    assert not site.frozen


def test_cancel__twice_or_drawn_or_never_there__does_nothing(site: StakingSite) -> None:
    """It must not hold up a strategy that clears up."""
    tickets = [site.queue(text) for text in "ab"]
    site.cancel(tickets[1])
    site.begin()
    site.draw(tickets[0], "a")
    for ticket in (0, 1, 2, 2**256 - 1):
        assert site.cancel(ticket).logs == ()


def test_cancel__after_its_period_began__takes_its_turn_and_gives_its_seats_back(site: StakingSite) -> None:
    tickets = [site.queue("a", 3), site.queue("b", 3)]
    seed = site.begin(4)
    assert site.cancel(tickets[0]).event("RoundCancelled")["inQueue"]
    assert site.cancel(tickets[0]).logs == ()
    with expect_revert("TicketNotNext", ticket=1, next=0):
        site.draw(tickets[1], "b", 3)
    with expect_revert("TicketCancelled", pool=site.pool.id, ticket=0):
        site.draw(tickets[0], "a", 3)
    with expect_revert("TicketMismatch"):
        site.draw_cancelled(tickets[0], "a", 2)
    ghosts = draw_round(site.twin, seed, name("a"), 3).accounts
    assert site.draw_cancelled(tickets[0], "a", 3) == DRAWN
    assert site.twin.drawn == {account: ghosts.count(account) for account in set(ghosts)}
    assert sum(site.stake_of(account)[3] for account in set(ghosts)) == 0
    assert site.staking.poolOf(site.pool.id)[1] == 3  # for draws they are open until the tree thaws
    with expect_revert("TicketWanted", pool=site.pool.id, ticket=1):
        site.draw_cancelled(tickets[1], "b", 3)
    assert site.draw(tickets[1], "b", 3)[0] == DRAWN
    site.apply()
    assert site.staking.poolOf(site.pool.id)[1] == 3


def test_cancel__of_many__is_stepped_over_in_bounded_work(site: StakingSite) -> None:
    """inv:T52: a front of 300 cancelled tickets needs one more call, and freezes the tree until then, no longer."""
    tickets = [site.queue(f"{number}") for number in range(301)]
    for ticket in tickets[:300]:
        site.cancel(ticket)
    assert site.frozen
    with expect_revert("TicketNotNext", ticket=300, next=256):
        site.draw(300, "300")
    site.apply(100)
    assert not site.frozen
    site.begin()
    assert site.draw(300, "300")[0] == DRAWN


def test_stale_round__older_than_the_unbonding_time__anyone_gives_its_turn(site: StakingSite) -> None:
    """A strategy that forgets its rounds cannot keep the stakes frozen: their disputes are over by then."""
    tickets = [site.queue("a", 3), site.queue("b", 3)]
    queued_at = site.evm.timestamp
    site.begin()
    site.evm.set_block(timestamp=queued_at + UNBONDING)
    with expect_revert("TicketWanted", pool=site.pool.id, ticket=0):
        site.draw_cancelled(tickets[0], "a", 3)
    site.evm.mine(1)
    assert site.draw_cancelled(tickets[0], "a", 3) == DRAWN
    assert site.draw_cancelled(tickets[1], "b", 3) == DRAWN
    site.apply()
    assert site.staking.queueOf(site.pool.id)[:2] == (2, 2)
    assert (site.frozen, site.staking.poolOf(site.pool.id)[1]) == (False, 0)


def test_cancelled_round__postponed_to_a_period_that_has_not_begun__leaves(site: StakingSite) -> None:
    """Also one that can never be seated again, because the stake has left, does not stop the queue."""
    tickets = [site.queue("a", 20), site.queue("b", 3)]
    site.begin()
    site.unbond(site.account("staker 0"), 10 * SEAT)
    site.unbond(site.account("staker 1"), 10 * SEAT)
    lose(site, site.period)
    assert site.draw(tickets[0], "a", 20)[0] == POSTPONED
    site.apply()
    site.to_period(site.period + 1)
    site.cancel(tickets[0])
    receipt = site.staking.drawCancelled(site.pool, tickets[0], name("a"), 20, EXCLUDE_NOBODY)
    assert receipt.value == POSTPONED
    assert receipt.event("RoundPostponed")["period"] == site.period + 1
    assert receipt.event("RoundCancelled") == {"pool": site.pool.id, "ticket": 0, "inQueue": False}
    site.begin(1)
    assert site.draw(tickets[1], "b", 3)[0] == DRAWN


def test_cancelled_rounds__postponed_by_one_in_front__leave_one_after_the_other(site: StakingSite) -> None:
    tickets = [site.queue("a", 3), site.queue("b", 3)]
    site.begin()
    for ticket in tickets:
        site.cancel(ticket)
    lose(site, site.period)
    for ticket, text in zip(tickets, "ab", strict=True):
        assert site.draw_cancelled(ticket, text, 3) == POSTPONED
    assert site.staking.queueOf(site.pool.id) == (2, 2, site.period + 1)


def test_cancelled_round__late_and_failing__takes_a_turn_in_each_period(site: StakingSite, stakers: list[Account]) -> None:
    """As the wanted one would: it stays until its period has not begun."""
    excluded = excluding(stakers[0], stakers[1])
    ticket = site.queue("a", 9, excluded)
    first = site.period + 1
    for period in range(first, first + 3):
        site.know(period, period)
    site.to_period(first + 2)
    site.cancel(ticket)
    for period in range(first, first + 3):
        assert site.staking.queueOf(site.pool.id) == (0, 1, period)
        assert site.frozen
        assert site.draw_cancelled(ticket, "a", 9, excluded) == POSTPONED
    assert site.staking.queueOf(site.pool.id)[:2] == (1, 1)
    assert not site.frozen


# ---- seats end


def test_release__lists_of_different_lengths__refused(site: StakingSite, stakers: list[Account]) -> None:
    with expect_revert("BatchLengthsDiffer", left=1, right=0):
        site.release([stakers[0]], [])


def test_release__seat_that_is_not_open__refused(site: StakingSite) -> None:
    """inv:I34: a seat ends, and is slashed, once."""
    ticket = site.queue("a", 1)
    site.begin()
    _, (account,) = site.draw(ticket, "a")
    site.release([account], [SEAT])
    with expect_revert("SeatNotOpen", pool=site.pool.id, account=account):
        site.release([account], [SEAT])


def test_release__loss_above_a_seat__refused(site: StakingSite) -> None:
    """inv:I34"""
    ticket = site.queue("a", 1)
    site.begin()
    _, (account,) = site.draw(ticket, "a")
    with expect_revert("LossTooHigh", pool=site.pool.id, account=account, loss=SEAT + 1, most=SEAT):
        site.release([account], [SEAT + 1])


def test_release__with_losses__moves_exactly_them_to_the_strategy(site: StakingSite) -> None:
    ticket = site.queue("a", 3)
    site.begin(2)
    _, accounts = site.draw(ticket, "a", 3)
    before = {account: site.stake_of(account) for account in accounts}
    credit = site.free(site.staking)
    losses = [SEAT, 0, SEAT // 4]
    receipt = site.note(site.staking.releaseSeats(site.pool, list(accounts), losses, sender=site.strategy))
    assert receipt.value == SEAT + SEAT // 4 == site.free(site.strategy)
    assert credit - site.free(site.staking) == SEAT + SEAT // 4
    assert [(log["account"], log["loss"]) for log in receipt.events("SeatReleased")] == list(
        zip(accounts, losses, strict=True)
    )
    for account in set(accounts):
        lost = sum(loss for other, loss in zip(accounts, losses, strict=True) if other == account)
        assert site.stake_of(account) == (before[account][0] - lost, 0, 0, 0)
        assert site.weight(account) == (before[account][0] - lost) // SEAT
    assert site.staking.poolOf(site.pool.id)[:2] == (30 * SEAT - SEAT - SEAT // 4, 0)


def test_release__stake_falls_below_a_seat__drops_out_of_the_draws(site: StakingSite, newcomer: Account) -> None:
    lonely = replace(site.pool, note=b"\3" * 32)
    site.stake(newcomer, SEAT, lonely)
    site.pool, kept = lonely, site.pool
    try:
        ticket = site.queue("a", 1)
        site.begin()
        site.draw(ticket, "a", 1)
        site.release([newcomer], [1])
        assert site.stake_of(newcomer) == (SEAT - 1, 0, 0, 0)
        assert site.staking.poolOf(lonely.id) == (SEAT - 1, 0, 0)
        assert not site.staking.canSeat(lonely, 1)
        with expect_revert("StakeBelowSeat"):
            site.unbond(newcomer, 1)
        with site.evm.snapshot():
            site.unbond(newcomer, SEAT - 1)
            assert site.stake_of(newcomer)[:2] == (0, SEAT - 1)
        site.stake(newcomer, 1)
        assert site.weight(newcomer) == 1
    finally:
        site.pool = kept


def test_release__unbonding_stake__covers_what_the_stake_cannot(site: StakingSite) -> None:
    """inv:I23: unbonding stake stays slashable for seats drawn before, and does not leave while they are open."""
    site = build_staking(stakers=1, seats=3)
    alone = site.account("staker 0")
    ticket = site.queue("a", 3)
    site.begin()
    site.draw(ticket, "a", 3)
    site.unbond(alone, 2 * SEAT)
    site.evm.mine(UNBONDING + 100)
    with expect_revert("StakeBacksSeats", account=alone.address, stake=3 * SEAT, needed=3 * SEAT):
        site.withdraw(alone)
    site.release([alone], [SEAT])
    assert site.stake_of(alone) == (0, 2 * SEAT, site.stake_of(alone)[2], 2)
    with expect_revert("StakeBacksSeats", stake=2 * SEAT, needed=2 * SEAT):
        site.withdraw(alone)
    site.release([alone], [SEAT // 2])
    receipt = site.withdraw(alone)
    assert receipt.event("StakeWithdrawn")["amount"] == SEAT // 2
    site.release([alone], [SEAT])
    with expect_revert("NothingToWithdraw"):
        site.withdraw(alone)
    assert (site.free(alone), site.free(site.strategy)) == (SEAT // 2, 2 * SEAT + SEAT // 2)
    assert site.staking.poolOf(site.pool.id) == (0, 0, 0)
    assert site.free(site.staking) == 0
