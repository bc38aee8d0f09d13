"""What waits while the tree is frozen: in which order it is applied, how much of it at once, and what it holds back meanwhile.

beh:D13 inv:I23 inv:T31
"""

from __future__ import annotations

from tests.support.evm import Account, Receipt, expect_revert
from tests.support.staking import EXCLUDE_NOBODY, SEAT, UNBONDING, StakingSite, name


def _queue(site: StakingSite, round_: str) -> Receipt:
    return site.note(site.staking.queueRound(site.pool, name(round_), 1, EXCLUDE_NOBODY, sender=site.strategy))


def _applied(receipt: Receipt) -> list[str]:
    return [event["account"] for event in receipt.events("WeightApplied")]


def test_queue__applies_four_waiting_changes__in_a_frozen_tree_none(site: StakingSite) -> None:
    """inv:T31 beh:D13: a round that joins must not move stakes into a draw whose seed is known; afterwards it helps along."""
    first = site.queue("a")
    site.begin(1)
    newcomers = [site.account(f"newcomer {number}") for number in range(6)]
    for account in newcomers:
        site.stake(account)
    assert _applied(_queue(site, "b")) == []
    assert site.staking.pendingOf(site.pool.id) == (True, 6)
    assert site.staking.poolOf(site.pool.id)[2] == 30
    site.draw(first, "a")
    assert _applied(_queue(site, "c")) == [account.address for account in newcomers[:4]]
    assert site.staking.pendingOf(site.pool.id) == (False, 2)
    assert _applied(site.apply(1)) == [newcomers[4].address]
    assert _applied(site.apply(0)) == []
    assert _applied(_queue(site, "d")) == [newcomers[5].address]
    assert site.staking.poolOf(site.pool.id)[2] == 36


def test_changes__several_of_one_account__wait_once(site: StakingSite, stakers: list[Account]) -> None:
    """inv:T31: nobody makes the list long by moving often; the one place brings all that was changed."""
    first = site.queue("a")
    site.begin(1)
    site.stake(stakers[0], 2 * SEAT)
    site.unbond(stakers[0], SEAT)
    site.stake(stakers[1], 3 * SEAT)
    site.unbond(stakers[0], SEAT)
    assert site.staking.pendingOf(site.pool.id) == (True, 2)
    site.draw(first, "a")
    assert _applied(site.apply()) == [stakers[0].address, stakers[1].address]
    assert site.staking.pendingOf(site.pool.id) == (False, 0)
    assert [site.weight(account) for account in stakers] == [10, 13, 10]
    site.queue("b")
    site.begin(2)
    site.stake(stakers[0], SEAT)
    assert site.staking.pendingOf(site.pool.id) == (True, 1), "once applied it may wait again"


def test_withdraw__in_a_frozen_tree__sets_free_what_backed_the_seats_that_ended(site: StakingSite, stakers: list[Account]) -> None:
    """inv:I23: of ten seats that the frozen tree may give, those that were drawn before and have ended need no stake any more."""
    first = site.queue("a", 15)
    site.begin(3)
    _, accounts = site.draw(first, "a", 15)
    ended = accounts.count(stakers[0].address)
    assert 1 < ended < 10
    site.queue("b")
    site.begin(4)
    site.unbond(stakers[0], 10 * SEAT)
    site.evm.mine(UNBONDING)
    with expect_revert("StakeBacksSeats", stake=10 * SEAT, needed=10 * SEAT):
        site.withdraw(stakers[0])
    site.release([stakers[0]] * ended)
    assert site.frozen and site.weight(stakers[0]) == 10
    assert site.withdraw(stakers[0]).event("StakeWithdrawn")["amount"] == site.free(stakers[0]) == ended * SEAT
    with expect_revert("StakeBacksSeats", stake=(10 - ended) * SEAT, needed=(10 - ended) * SEAT):
        site.withdraw(stakers[0])


def test_leaf__given_back__is_kept_for_the_next_when_its_last_owner_withdraws(
    site: StakingSite, stakers: list[Account], newcomer: Account
) -> None:
    """Whoever weighs nothing any more has no leaf to give back a second time."""
    site.unbond(stakers[1], 10 * SEAT)
    site.evm.mine(UNBONDING)
    applied = site.withdraw(stakers[1]).event("WeightApplied")
    assert (applied["account"], applied["leaf"], applied["weight"]) == (stakers[1].address, 0, 0)
    assert site.stake(newcomer).event("WeightApplied")["leaf"] == 2
    assert site.stake(stakers[1]).event("WeightApplied")["leaf"] == 4
