"""Odd tokens, and tokens that call back in the middle of a transfer.

beh:A3 beh:A6 beh:A10 beh:A11 inv:I1 inv:I29 inv:I30 inv:T1 inv:T2 inv:T3
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lilypad_agents.protocol.consent import Closing, Result
from lilypad_agents.protocol.ids import NOBODY, PoolId, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, Status, Step, Verdict
from lilypad_agents.protocol.opening import NO_OPENING, Settling, SignedResult, closing_of, opening_of, settlements_of, waived_at_once
from lilypad_agents.protocol.price import locked_total
from tests.support.evm import Contract, Reverted, decode_error, expect_revert
from tests.support.world import COIN, World


def give(world: World, token: Contract, account: Any, amount: int, *, deposit: bool = True) -> None:
    token.mint(account, amount)
    token.approve(world.core, amount, sender=account)
    if deposit:
        world.core.deposit(token, amount, account, sender=account)


def in_token(world: World, token: Contract, amount: int) -> World:
    """The same world with another currency: both sides and the fund have `amount` of it."""
    other = replace(world, token=token, pool=replace(world.pool, token=token.address))
    for account in (world.creator, world.provider, world.challenger):
        give(other, token, account, amount)
    world.core.donate(world.strategy, token, PoolId(other.pool.id), amount // 2, sender=world.challenger)
    return other


# ---- tokens that deliver less, or say nothing


@pytest.mark.parametrize("fee_bps", [1, 100, 10_000])
def test_deposit__of_a_token_that_takes_a_fee__is_refused_by_name(world: World, fee_bps: int) -> None:
    """beh:A10 inv:T3"""
    token = world.evm.deploy("FeeToken", fee_bps)
    give(world, token, world.keeper, 10_000, deposit=False)
    with expect_revert("TokenDeliveredLess", token=token, asked=10_000, received=10_000 - fee_bps):
        world.core.deposit(token, 10_000, world.keeper, sender=world.keeper)
    assert world.core.heldOf(token) == 0 and token.balanceOf(world.keeper) == 10_000


def test_deposit__of_a_token_that_answers_false__is_refused(world: World) -> None:
    """inv:T3"""
    token = world.evm.deploy("FalseReturnToken")
    give(world, token, world.keeper, 10, deposit=False)
    with expect_revert("SafeERC20FailedOperation", token=token):
        world.core.deposit(token, 10, world.keeper, sender=world.keeper)


def test_deposit__of_a_token_that_brings_more_than_asked__is_refused(world: World) -> None:
    """inv:T3: what nobody asked for would have no owner."""
    token = world.evm.deploy("HookToken")
    give(world, token, world.keeper, 10, deposit=False)
    token.arm([(token, token.calldata("mint", world.core, 1))])
    with expect_revert("TokenDeliveredLess", token=token, asked=10, received=11):
        world.core.deposit(token, 10, world.keeper, sender=world.keeper)


def test_deposit__of_a_token_that_shrinks_meanwhile__is_refused(world: World) -> None:
    """inv:T3"""
    token = world.evm.deploy("HookToken")
    give(world, token, world.keeper, 100)
    give(world, token, world.keeper, 10, deposit=False)
    token.arm([(token, token.calldata("burn", world.core, 50))])
    with expect_revert("TokenDeliveredLess", token=token, asked=10, received=0):
        world.core.deposit(token, 10, world.keeper, sender=world.keeper)


@pytest.mark.parametrize("name, arguments", [
    ("NoReturnToken", ()), ("PlainToken", ("Six", 6)), ("PlainToken", ("Many", 27)), ("BlacklistToken", ()),
    ("RebasingToken", ()), ("HookToken", ()),
])  # fmt: skip
def test_a_deal__in_any_plain_token__runs_to_its_payment(world: World, name: str, arguments: tuple[Any, ...]) -> None:
    """beh:A10 beh:A14"""
    other = in_token(world, world.evm.deploy(name, *arguments), 100_000 * COIN)
    deal, _ = other.open()
    result = other.submit(deal, units=5)
    other.set_seed(deal, drawn=False)
    other.settle(deal, result, by=other.creator)
    other.sweep(deal)
    other.core.claimRoyalty(other.token, other.module, other.solver, sender=other.publisher)
    for account in (other.creator, other.provider, other.publisher):
        free, before = other.free(account), other.token.balanceOf(account)
        other.core.withdraw(other.token, free, account, sender=account)
        assert other.token.balanceOf(account) == before + free and other.free(account) == 0
    rest = other.fund() + other.free(other.challenger) + sum(other.fees(deal))
    assert other.core.heldOf(other.token) == other.token.balanceOf(other.core) == rest


# ---- tokens that change their mind


def test_blocked_payee__stops_nobody_else_and_loses_nothing(world: World) -> None:
    """beh:A6 beh:A11 inv:T3"""
    token = world.evm.deploy("BlacklistToken")
    other = in_token(world, token, 100_000 * COIN)
    deal, _ = other.open()
    result = other.submit(deal, units=5)
    for blocked in (other.provider, other.publisher, other.solver):
        token.setBlocked(blocked, True)
    other.set_seed(deal, drawn=False)
    other.settle(deal, result, by=other.creator)
    other.core.withdraw(token, other.free(other.creator), other.creator, sender=other.creator)
    free = other.free(other.provider)
    with expect_revert("Blocked", account=other.provider):
        other.core.withdraw(token, 1, other.provider, sender=other.provider)
    assert other.free(other.provider) == free
    other.core.withdraw(token, free, other.keeper, sender=other.provider)  # or to where it is not blocked
    assert token.balanceOf(other.keeper) == free


def test_paused_token__does_not_stop_the_life_of_a_deal(world: World) -> None:
    """beh:A11 inv:I19 inv:T3"""
    token = world.evm.deploy("BlacklistToken")
    other = in_token(world, token, 100_000 * COIN)
    token.setPaused(True)
    deal, _ = other.open()
    result = other.submit(deal)
    other.resolver.challenge(deal.words, sender=other.challenger)
    other.resolve(deal, Verdict.CORRECT, result)
    assert other.state(deal).status == Status.MEDIATION_ACCEPTED
    with expect_revert("Paused"):
        other.core.withdraw(token, 1, other.creator, sender=other.creator)
    plain, _ = world.open()  # the other currencies do not notice
    world.submit(plain)
    token.setPaused(False)
    other.core.withdraw(token, other.free(other.creator), other.creator, sender=other.creator)


def test_rebased_token__harms_only_those_who_withdraw_last_in_it(world: World) -> None:
    """beh:A11"""
    token = world.evm.deploy("RebasingToken")
    other = in_token(world, token, 1_000)
    before = world.core.heldOf(world.token), world.free(world.creator)
    token.rebase(5_000)
    assert other.core.heldOf(token) == 3_000  # numbers stay, tokens are missing
    with expect_revert("TokenDeliveredLess"):
        give(other, token, other.keeper, 3)
    assert (world.core.heldOf(world.token), world.free(world.creator)) == before
    world.core.withdraw(world.token, 1, world.creator, sender=world.creator)


# ---- tokens that call back


class Hooked:
    """A market in a token whose hook re-enters, beside the plain one; with a deal in each state and every call on it."""

    def __init__(self, world: World) -> None:
        self.token = world.evm.deploy("HookToken")
        self.world = in_token(world, self.token, 100_000 * COIN)
        # The token speaks for nobody but itself: it has credit of its own.
        self.token.mint(world.keeper, 100 * COIN)
        self.token.approve(world.core, 100 * COIN, sender=world.keeper)
        self.world.core.deposit(self.token, 10 * COIN, self.token, sender=world.keeper)

    def calls(self) -> dict[str, tuple[Contract, bytes]]:
        """Every function of core and resolver that changes something, with arguments that would work for somebody."""
        world, core, resolver = self.world, self.world.core, self.world.resolver
        pair = world.pair()
        agreed, agreed_id = world.open()
        submitted, _ = world.open()
        result = world.submit(submitted)
        disputed, _ = world.open()
        world.submit(disputed)
        resolver.challenge(disputed.words, sender=world.challenger)
        commitment = world.commitment(agreed, world.result(agreed))
        signed = SignedResult(agreed_id, commitment, world.sign(Result(agreed_id, commitment), world.provider))
        settlement = settlements_of([Settling(submitted, result, Agreement.WAIVER, world.waiver(submitted, result))])
        rest = locked_total(agreed, 100) + agreed.collateral
        terms = Closing(agreed_id, rest, 0, 2**40 - 1)
        closing = closing_of(terms, world.sign(terms, world.creator), world.sign(terms, world.provider))
        words, opening = agreed.words, opening_of([pair])
        waived = (pair, world.result(agreed))
        arguments: dict[str, tuple[Contract, tuple[Any, ...]]] = {
            "deposit": (core, (self.token, 1, self.token)),
            "depositWithPermit": (core, (self.token, world.keeper, 1, 2**40, 27, bytes(32), bytes(32))),
            "withdraw": (core, (self.token, COIN, world.keeper)),
            "transferCredit": (core, (self.token, [world.keeper], [COIN])),
            "donate": (core, (world.strategy, self.token, PoolId(world.pool.id), COIN)),
            "sweep": (core, (self.token, submitted.module, submitted.solver, submitted.strategy, submitted.pool)),
            "claimRoyalty": (core, (self.token, world.module, world.solver)),
            "claimSolverFee": (core, (self.token, world.module.id, world.solver)),
            "approve": (core, (self.token, keccak256(b"x"), True)),
            "grantDelegate": (core, (world.keeper, 7, 2**40 - 1, [])),
            "revokeDelegate": (core, (world.keeper,)),
            "cancel": (core, (self.token, False, [1])),
            "cancelBelow": (core, (self.token, [self.token], 1, 1)),
            "open": (core, (opening,)),
            "openBatch": (core, ([opening],)),
            "openAndSubmit": (core, (opening, [1])),
            "openSubmitAndSettle": (core, (opening, waived[1].head, waived[1].content, b"")),
            "submitResult": (core, (agreed_id, commitment)),
            "submitResults": (core, ([agreed_id], [commitment])),
            "submitSignedResults": (core, ([signed],)),
            "submitAndSettle": (core, waived_at_once(agreed, result, b"")),
            "settle": (core, (settlement[0],)),
            "settleBatch": (core, (settlement,)),
            "conclude": (core, ((agreed_id, 1, 8, int(self.token.address, 16), [], 0, bytes(32), 0, 0, bytes(32), 0, 0, 0),)),
            "releaseNonce": (core, (world.creator, 1)),
            "payFromFund": (core, (world.strategy, self.token, PoolId(world.pool.id), self.token, 1)),
            "decline": (resolver, (words, pair.job.words())),
            "declineBatch": (resolver, ([words], [pair.job.words()])),
            "timeoutSubmit": (resolver, (words,)),
            "timeoutReveal": (resolver, (submitted.words,)),
            "close": (resolver, (words, closing)),
            "closeBatch": (resolver, ([words], [closing])),
            "challenge": (resolver, (submitted.words,)),
            "challengeDelivery": (resolver, (submitted.words,)),
            "audit": (resolver, (submitted.words, 0)),
            "repayAdvance": (resolver, (submitted.words,)),
            "timeoutMediation": (resolver, (disputed.words,)),
            "stepBatch": (resolver, (Step.CHALLENGE, [submitted.words], 0)),
            "resolve": (resolver, (disputed.words, 0, NO_OPENING, 0, NOBODY)),
        }
        self.deals = (agreed, submitted, disputed)
        return {name: (contract, contract.calldata(name, *values)) for name, (contract, values) in arguments.items()}

    def parts(self) -> int:
        """The sum of everything that the ledger owes in the hooked token."""
        world, token = self.world, self.token
        people = [world.creator, world.provider, world.solver, world.publisher, world.challenger, world.keeper,
                  world.strategy, token]  # fmt: skip
        total = 0
        for account in people:
            free, locked, *_ = world.core.accountOf(token, account)
            total += free + locked
        deal = self.deals[0]
        return total + world.fund() + sum(world.accrued(deal)) + sum(world.fees(deal))


GUARDED = ("deposit", "depositWithPermit", "withdraw")


@pytest.fixture
def hooked(world: World) -> Iterator[Hooked]:
    yield Hooked(world)


def test_the_list_of_calls__holds_every_function_that_changes_something(hooked: Hooked) -> None:
    """What the next tests re-enter is all there is."""
    calls = hooked.calls()
    for contract in (hooked.world.core, hooked.world.resolver):
        changing = set(contract._artefact.abi.functions) - set(contract._artefact.views)
        assert {name for name in changing if "(" not in name} <= set(calls), contract


@pytest.mark.parametrize("outer", ["deposit", "withdraw"])
def test_token_hook__re_entering_every_function__moves_nothing_that_is_not_its_own(hooked: Hooked, outer: str) -> None:
    """inv:T1 inv:I29: each alone, and what it does stands beside what the outer call does; sums hold in between."""
    calls, world, token = hooked.calls(), hooked.world, hooked.token
    for name, (target, data) in calls.items():
        with world.evm.snapshot():
            token.arm([(target, data)])
            before = _everybody(hooked)
            _outer(hooked, outer)
            ((ok, answer),) = token.endings()
            if name in GUARDED:
                assert not ok, name
                assert decode_error(answer).name == "ReentrancyGuardReentrantCall", name
            held = world.core.heldOf(token)
            assert held == hooked.parts() == token.balanceOf(world.core), name
            after = _everybody(hooked)
            if not ok:
                expected = {"keeper": 5} if outer == "deposit" else {"creator": -5}
                assert {who: after[who] - before[who] for who in before if after[who] != before[who]} == expected, name


def _outer(hooked: Hooked, outer: str) -> None:
    world = hooked.world
    if outer == "deposit":
        world.core.deposit(hooked.token, 5, world.keeper, sender=world.keeper)
    else:
        world.core.withdraw(hooked.token, 5, world.creator, sender=world.creator)


def _everybody(hooked: Hooked) -> dict[str, int]:
    world = hooked.world
    names = ("creator", "provider", "solver", "publisher", "challenger", "keeper")
    found = {name: world.free(getattr(world, name)) for name in names}
    return found | {f"{name} locked": world.locked(getattr(world, name)) for name in names}


@pytest.mark.parametrize("outer", ["deposit", "withdraw"])
def test_token_hook__reading_the_ledger__never_sees_it_owe_more_than_it_holds(hooked: Hooked, outer: str) -> None:
    """inv:T2 inv:I29"""
    hooked.calls()
    world, token = hooked.world, hooked.token
    reads = [
        (world.core, world.core.calldata("heldOf", token)),
        (token, token.calldata("balanceOf", world.core)),
        *(
            (world.core, world.core.calldata("accountOf", token, account))
            for account in (world.creator, world.provider, world.solver, world.publisher, world.challenger, world.keeper,
                            world.strategy, token)
        ),
    ]  # fmt: skip
    token.arm(reads)
    _outer(hooked, outer)
    answers = [bytes(answer) for ok, answer in token.endings()]
    held, balance = (int.from_bytes(answer, "big") for answer in answers[:2])
    owed = sum(int.from_bytes(answer[:32], "big") + int.from_bytes(answer[32:64], "big") for answer in answers[2:])
    deal = hooked.deals[0]
    owed += world.fund() + sum(world.accrued(deal)) + sum(world.fees(deal))
    assert owed == held <= balance


def test_token_hook__withdrawing_the_same_credit_again__gets_it_once(hooked: Hooked) -> None:
    """inv:T1: the token itself withdraws, and its hook tries to do so once more with what it had before."""
    hooked.calls()
    world, token = hooked.world, hooked.token
    free = world.free(token)
    spend = [
        (world.core, world.core.calldata("withdraw", token, free, world.keeper)),
        (world.core, world.core.calldata("transferCredit", token, [world.keeper], [free])),
        (world.core, world.core.calldata("donate", world.strategy, token, PoolId(world.pool.id), free)),
        (world.core, world.core.calldata("transferCredit", token, [world.keeper], [1])),
    ]
    token.arm(spend)
    before = world.free(world.keeper)
    world.core.deposit(token, 5, world.keeper, sender=world.keeper)
    results = [(ok, decode_error(answer).name if not ok else "") for ok, answer in token.endings()]
    assert results == [
        (False, "ReentrancyGuardReentrantCall"), (True, ""), (False, "CreditInsufficient"), (False, "CreditInsufficient")
    ]  # fmt: skip
    assert world.free(world.keeper) == before + 5 + free and world.free(token) == 0
    assert world.core.heldOf(token) == hooked.parts() == token.balanceOf(world.core)


def test_token_that_lies_about_everything__reaches_no_other_currency(hooked: Hooked, world: World) -> None:
    """inv:I30 inv:T3 inv:T49"""
    deal, _ = world.open()
    before = world.ledger(deal), world.core.heldOf(world.token), world.token.balanceOf(world.core)
    token = hooked.token
    token.burn(world.core, token.balanceOf(world.core))
    token.mint(world.challenger, 10**40)
    with pytest.raises(Reverted):
        world.core.withdraw(token, 1, hooked.world.creator, sender=hooked.world.creator)
    assert (world.ledger(deal), world.core.heldOf(world.token), world.token.balanceOf(world.core)) == before
    world.core.withdraw(world.token, 1, world.creator, sender=world.creator)
