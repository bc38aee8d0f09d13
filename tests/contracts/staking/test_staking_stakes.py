"""Stake, unbond, withdraw: who may, when, how much, to the wei. beh:G3 beh:G4 inv:I23 inv:I24"""

from __future__ import annotations

from dataclasses import replace

import pytest

from lilypad_agents.protocol.ids import NOBODY
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.support.evm import Account, expect_revert
from tests.support.staking import SEAT, UNBONDING, StakingSite
from tests.support.world import COIN

LIMIT = 600  # the mediation limit of the world's core


def word(account: Account) -> bytes:
    return bytes(12) + bytes.fromhex(account.address[2:])


# ---- deployment


@pytest.mark.parametrize("unbonding", [0, LIMIT - 1, LIMIT])
def test_deploy__unbonding_not_above_the_mediation_limit__refused(site: StakingSite, unbonding: int) -> None:
    """beh:G4 inv:I23"""
    with expect_revert("UnbondingTooShort", unbondingTime=unbonding, mediationLimit=LIMIT):
        site.evm.deploy("LilypadStaking", site.world.core, unbonding)


def test_deploy__unbonding_above_the_mediation_limit__answers_its_parameters(site: StakingSite) -> None:
    staking = site.evm.deploy("LilypadStaking", site.world.core, LIMIT + 1)
    assert staking.unbondingTime() == LIMIT + 1
    assert staking.core() == site.world.core.address
    assert staking.RANDOMNESS() == site.world.randomness.address
    assert len(site.evm.code(staking)) < 24_576


# ---- staking


def test_stake__in_the_unverified_pool__refused(site: StakingSite, newcomer: Account) -> None:
    with expect_revert("PoolUnverified"):
        site.stake(newcomer, SEAT, UNVERIFIED)


def test_stake__in_a_pool_whose_seats_cost_nothing__refused(site: StakingSite, newcomer: Account) -> None:
    with expect_revert("PoolUnverified"):
        site.stake(newcomer, SEAT, replace(site.pool, seat_stake=0))


def test_stake__nothing__refused(site: StakingSite, stakers: list[Account]) -> None:
    with expect_revert("AmountZero"):
        site.stake(stakers[0], 0)


def test_stake__less_than_a_seat__refused(site: StakingSite, newcomer: Account) -> None:
    with expect_revert("StakeBelowSeat", pool=site.pool.id, stake=SEAT - 1, seatStake=SEAT):
        site.stake(newcomer, SEAT - 1)


def test_stake__without_tokens__refused(site: StakingSite, newcomer: Account) -> None:
    with expect_revert("ERC20InsufficientAllowance"):
        site.staking.stake(site.pool, SEAT, [], sender=newcomer)


def test_stake__above_what_the_tree_can_weigh__refused(site: StakingSite, newcomer: Account) -> None:
    """2^63 whole seat stakes are the most of one pool."""
    pool = replace(site.pool, seat_stake=2)
    site.stake(newcomer, 2 * (2**63 - 1), pool)
    site.stake(newcomer, 1, pool)
    with expect_revert("PoolFull", pool=pool.id, staked=2**64, most=2 * (2**63 - 1)):
        site.stake(newcomer, 1, pool)


def test_stake__first__becomes_ledger_credit_and_weight(site: StakingSite, newcomer: Account) -> None:
    """inv:I24"""
    before = site.free(site.staking)
    receipt = site.stake(newcomer, 3 * SEAT + SEAT // 2)
    assert receipt.event("Staked") == {"pool": site.pool.id, "account": newcomer.address, "amount": 350 * COIN}
    applied = receipt.event("WeightApplied")
    assert (applied["account"], applied["leaf"], applied["weight"]) == (newcomer.address, 4, 3)
    assert receipt.events("Approval") == [], "the core may take since the first stake of this token"
    assert site.free(site.staking) - before == 350 * COIN
    assert site.world.token.balanceOf(site.staking) == 0
    assert site.stake_of(newcomer) == (350 * COIN, 0, 0, 0)
    assert site.staking.poolOf(site.pool.id) == (3_350 * COIN, 0, 33)


def test_stake__more__adds_up_and_counts_whole_seats(site: StakingSite, stakers: list[Account]) -> None:
    site.stake(stakers[0], SEAT - 1)
    assert site.weight(stakers[0]) == 10
    site.stake(stakers[0], 1)
    assert site.weight(stakers[0]) == 11
    assert site.stake_of(stakers[0]) == (11 * SEAT, 0, 0, 0)


def test_stake__in_two_pools__is_apart(site: StakingSite, newcomer: Account) -> None:
    """A pool is its terms: another note is another pool."""
    other = replace(site.pool, note=b"\1" * 32)
    site.stake(newcomer, 2 * SEAT)
    site.stake(newcomer, 5 * SEAT, other)
    assert site.staking.stakeOf(site.pool.id, newcomer)[0] == 2 * SEAT
    assert site.staking.stakeOf(other.id, newcomer)[0] == 5 * SEAT
    assert site.staking.poolOf(other.id) == (5 * SEAT, 0, 5)
    assert site.staking.poolOf(site.pool.id) == (32 * SEAT, 0, 32)


def test_stake__in_a_members_pool__only_with_a_proof(site: StakingSite, newcomer: Account, stakers: list[Account]) -> None:
    """beh:D12: members of a pool are fixed by its terms."""
    tree = MerkleTree.of([word(newcomer), word(stakers[0])])
    pool = replace(site.pool, members=tree.root)
    with expect_revert("MembershipUnproved", pool=pool.id, account=newcomer.address):
        site.stake(newcomer, SEAT, pool)
    with expect_revert("MembershipUnproved", account=stakers[1].address):
        site.stake(stakers[1], SEAT, pool, tree.proof(word(newcomer)))
    site.stake(newcomer, SEAT, pool, tree.proof(word(newcomer)))
    assert site.staking.stakeOf(pool.id, newcomer)[0] == SEAT


def test_stake__donations_and_stray_tokens__change_nothing(site: StakingSite, newcomer: Account) -> None:
    """inv:I24: credit that somebody gives to the contract is nobody's stake."""
    world = site.world
    world.core.transferCredit(world.token, [site.staking.address], [7 * COIN], sender=world.creator)
    world.token.mint(site.staking, 5 * COIN)
    before = site.free(site.staking)
    site.stake(newcomer, SEAT)
    assert site.free(site.staking) - before == SEAT
    assert world.token.balanceOf(site.staking) == 5 * COIN
    assert site.staking.poolOf(site.pool.id)[0] == 31 * SEAT


# ---- odd tokens


@pytest.mark.parametrize(("kind", "arguments"), [("FeeToken", (100,)), ("FalseReturnToken", ())])
def test_stake__odd_token__refused(site: StakingSite, newcomer: Account, kind: str, arguments: tuple[int, ...]) -> None:
    """inv:T34 applies to stakes too: what does not arrive whole does not count."""
    token = site.evm.deploy(kind, *arguments)
    pool = replace(site.pool, token=token.address)
    site.fund(newcomer, SEAT, token)
    token.mint(site.staking, SEAT)  # stray tokens must not fill the gap
    error = "TokenDeliveredLess" if kind == "FeeToken" else "SafeERC20FailedOperation"
    with expect_revert(error):
        site.staking.stake(pool, SEAT, [], sender=newcomer)
    assert site.staking.poolOf(pool.id) == (0, 0, 0)


def test_stake__token_without_answers__works(site: StakingSite, newcomer: Account) -> None:
    token = site.evm.deploy("NoReturnToken")
    pool = replace(site.pool, token=token.address, seat_stake=10**6)
    site.fund(newcomer, 10**7, token)
    for _ in range(2):
        site.staking.stake(pool, 3 * 10**6, [], sender=newcomer)
    assert site.staking.poolOf(pool.id) == (6 * 10**6, 0, 6)


def test_stake__token_calls_back__counts_each_stake_once(site: StakingSite, newcomer: Account) -> None:
    """A stake in the middle of another counts for itself; before that, the pool is as if the first had not begun."""
    token = site.evm.deploy("HookToken")
    pool = replace(site.pool, token=token.address, strategy=token.address)
    site.fund(newcomer, 10 * SEAT, token)
    token.mint(token, SEAT)
    queue = site.staking.calldata("queueRound", pool, b"\1" * 32, 1, [NOBODY] * 4)
    approve = token.calldata("approve", site.staking.address, SEAT)
    again = site.staking.calldata("stake", pool, SEAT, [])
    token.arm([(site.staking.address, queue), (token.address, approve), (site.staking.address, again)])
    site.staking.stake(pool, 3 * SEAT, [], sender=newcomer)
    # Both legs of the outer transfer run the hooks; in the second one the inner stake and its seat are there.
    assert [ending.ok for ending in token.endings()] == [False, True, True, True, True, False]
    assert site.staking.stakeOf(pool.id, newcomer)[0] == 3 * SEAT
    assert site.staking.stakeOf(pool.id, token)[0] == SEAT
    assert site.staking.poolOf(pool.id) == (4 * SEAT, 0, 4)
    assert site.world.core.accountOf(token, site.staking)[0] == 4 * SEAT


# ---- unbonding


def test_unbond__nothing__refused(site: StakingSite, stakers: list[Account]) -> None:
    with expect_revert("AmountZero"):
        site.unbond(stakers[0], 0)


def test_unbond__more_than_there_is__refused(site: StakingSite, stakers: list[Account]) -> None:
    with expect_revert("StakeInsufficient", account=stakers[0].address, has=10 * SEAT, needed=10 * SEAT + 1):
        site.unbond(stakers[0], 10 * SEAT + 1)


def test_unbond__leaving_less_than_a_seat__refused(site: StakingSite, stakers: list[Account]) -> None:
    with expect_revert("StakeBelowSeat", stake=SEAT - 1, seatStake=SEAT):
        site.unbond(stakers[0], 9 * SEAT + 1)


def test_unbond__not_frozen__leaves_the_draws_at_once_and_the_pool_later(site: StakingSite, stakers: list[Account]) -> None:
    """beh:G4"""
    receipt = site.unbond(stakers[0], 4 * SEAT)
    until = site.evm.timestamp + UNBONDING
    assert receipt.event("UnbondingRequested") == {
        "pool": site.pool.id, "account": stakers[0].address, "amount": 4 * SEAT, "withdrawableAt": until,
    }  # fmt: skip
    assert site.stake_of(stakers[0]) == (6 * SEAT, 4 * SEAT, until, 0)
    assert site.staking.poolOf(site.pool.id) == (30 * SEAT, 0, 26)


def test_unbond__again__restarts_the_time_for_all(site: StakingSite, stakers: list[Account]) -> None:
    site.unbond(stakers[0], 4 * SEAT)
    site.evm.mine(UNBONDING - 1)
    site.unbond(stakers[0], SEAT)
    assert site.stake_of(stakers[0]) == (5 * SEAT, 5 * SEAT, site.evm.timestamp + UNBONDING, 0)
    site.evm.mine(1)
    with expect_revert("UnbondingNotOver"):
        site.withdraw(stakers[0])


def test_unbond__everything__gives_the_leaf_to_the_next(site: StakingSite, stakers: list[Account], newcomer: Account) -> None:
    """Leaves are used again, so that a tree does not outgrow its stakers."""
    receipt = site.unbond(stakers[1], 10 * SEAT)
    assert receipt.event("WeightApplied")["weight"] == 0
    assert site.staking.weightOf(site.pool.id, stakers[1]) == (0, 0)
    assert site.stake(newcomer, SEAT).event("WeightApplied")["leaf"] == 2
    assert site.stake(stakers[1], SEAT).event("WeightApplied")["leaf"] == 4


# ---- withdrawing


def test_withdraw__nothing_unbonding__refused(site: StakingSite, stakers: list[Account], newcomer: Account) -> None:
    for account in (stakers[0], newcomer):
        with expect_revert("NothingToWithdraw", pool=site.pool.id, account=account.address):
            site.withdraw(account)


def test_withdraw__one_second_early__refused(site: StakingSite, stakers: list[Account]) -> None:
    """beh:G4"""
    site.unbond(stakers[0], SEAT)
    until = site.evm.timestamp + UNBONDING
    site.evm.mine(UNBONDING - 1)
    with expect_revert("UnbondingNotOver", account=stakers[0].address, withdrawableAt=until, time=until - 1):
        site.withdraw(stakers[0])


def test_withdraw__at_the_second__by_anyone__credits_the_staker(site: StakingSite, stakers: list[Account]) -> None:
    site.unbond(stakers[0], 4 * SEAT)
    site.evm.mine(UNBONDING)
    receipt = site.withdraw(stakers[0], sender=site.world.solver)
    assert receipt.event("StakeWithdrawn") == {"pool": site.pool.id, "account": stakers[0].address, "amount": 4 * SEAT}
    assert site.free(stakers[0]) == 4 * SEAT
    assert site.stake_of(stakers[0])[:2] == (6 * SEAT, 0)
    assert site.staking.poolOf(site.pool.id)[0] == 26 * SEAT
    with expect_revert("NothingToWithdraw"):
        site.withdraw(stakers[0])


def test_withdraw__beside_a_stake_of_an_odd_size__pays_what_unbonds_and_no_more(site: StakingSite, newcomer: Account) -> None:
    """inv:I23: the half seat that backs no seat stays staked."""
    site.stake(newcomer, 3 * SEAT + SEAT // 2)
    until = site.evm.timestamp + UNBONDING
    site.unbond(newcomer, SEAT // 4)
    site.evm.mine(UNBONDING)
    receipt = site.withdraw(newcomer)
    assert receipt.event("StakeWithdrawn")["amount"] == site.free(newcomer) == SEAT // 4
    assert site.stake_of(newcomer) == (3 * SEAT + SEAT // 4, 0, until, 0)


def test_withdraw__paused_token_and_blocked_recipient__credits_nevertheless(site: StakingSite, newcomer: Account) -> None:
    """Only the ledger moves: no token can hold up an exit, a loss or a dispute."""
    token = site.evm.deploy("BlacklistToken")
    pool = replace(site.pool, token=token.address)
    site.fund(newcomer, SEAT, token)
    site.staking.stake(pool, SEAT, [], sender=newcomer)
    token.setPaused(True)
    token.setBlocked(newcomer, True)
    site.staking.requestUnbonding(pool, SEAT, sender=newcomer)
    site.evm.mine(UNBONDING)
    site.staking.withdraw(pool, newcomer)
    assert site.world.core.accountOf(token, newcomer)[0] == SEAT


# ---- operators


def test_operator__set_and_revoked(site: StakingSite, stakers: list[Account], newcomer: Account) -> None:
    assert site.staking.operatorOf(stakers[0]) == NOBODY
    receipt = site.staking.setOperator(newcomer, sender=stakers[0])
    assert receipt.event("OperatorSet") == {"account": stakers[0].address, "operator": newcomer.address}
    assert site.staking.operatorOf(stakers[0]) == newcomer.address
    assert site.staking.operatorOf(stakers[1]) == NOBODY
    site.staking.setOperator(NOBODY, sender=stakers[0])
    assert site.staking.operatorOf(stakers[0]) == NOBODY
