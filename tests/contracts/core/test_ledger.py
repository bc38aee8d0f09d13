"""Moving money in, out and inside the ledger: plain tokens, permits, donations, accrued fees and their owners.

beh:A1 beh:A3 beh:A4 beh:A5 beh:A6 beh:A7 beh:A10 beh:A12 beh:A14 inv:I1 inv:I7 inv:I19 inv:I33 inv:T27 inv:T28 inv:T29 inv:T30
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lilypad_agents.protocol.ids import NOBODY, PoolId, keccak256
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.price import charge, locked_total
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms
from lilypad_agents.protocol.units import UINT96_MAX
from tests.support.evm import Account, Contract, Evm, Reverted, expect_revert
from tests.support.world import COIN, START_CREDIT, World

PERMIT = keccak256(b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
ACCRUED_MOST = 2**80 - 1


@pytest.fixture
def saver(world: World) -> Account:
    """Holds a thousand coins in its wallet and lets the core take them."""
    account = world.evm.account("saver")
    world.token.mint(account, 1_000 * COIN)
    world.token.approve(world.core, 2**256 - 1, sender=account)
    return account


# ---- deposit


def test_deposit__credits_the_named_account_and_says_so(world: World, saver: Account) -> None:
    """beh:A5"""
    held = world.core.heldOf(world.token)
    receipt = world.core.deposit(world.token, 7, world.keeper, sender=saver)
    assert receipt.event("Deposited") == {
        "token": world.token.address, "account": world.keeper.address, "from": saver.address, "amount": 7
    }  # fmt: skip
    assert (world.free(world.keeper), world.free(saver)) == (7, 0)
    assert world.core.heldOf(world.token) == held + 7
    assert world.token.balanceOf(saver) == 1_000 * COIN - 7


def test_deposit__of_nothing_or_to_nobody__is_refused(world: World, saver: Account) -> None:
    with expect_revert("AmountZero"):
        world.core.deposit(world.token, 0, saver, sender=saver)
    with expect_revert("RecipientZero"):
        world.core.deposit(world.token, 1, NOBODY, sender=saver)


def test_deposit__without_allowance_or_tokens__is_the_token_s_refusal(world: World, saver: Account) -> None:
    with expect_revert("ERC20InsufficientBalance"):
        world.core.deposit(world.token, 1_000 * COIN + 1, saver, sender=saver)
    world.token.approve(world.core, 5, sender=saver)
    with expect_revert("ERC20InsufficientAllowance"):
        world.core.deposit(world.token, 6, saver, sender=saver)


def test_deposit__up_to_96_bits_in_all__and_not_a_unit_more(world: World, saver: Account) -> None:
    """inv:I33 inv:T43: the sum of all accounts fits the fields, so no field can overflow."""
    held = world.core.heldOf(world.token)
    room = UINT96_MAX - held
    world.token.mint(saver, 2**97)
    with expect_revert("LedgerFull", token=world.token, held=held, received=room + 1):
        world.core.deposit(world.token, room + 1, saver, sender=saver)
    world.core.deposit(world.token, room, saver, sender=saver)
    assert world.free(saver) == room
    with expect_revert("LedgerFull", held=UINT96_MAX, received=1):
        world.core.deposit(world.token, 1, world.keeper, sender=saver)
    world.core.withdraw(world.token, 1, saver, sender=saver)
    world.core.deposit(world.token, 1, world.keeper, sender=saver)


def test_deposit__of_a_number_beyond_any_ledger__is_refused(evm: Evm, world: World) -> None:
    token = world.evm.deploy("PlainToken", "Endless", 0)
    token.mint(world.keeper, 2**256 - 1)
    token.approve(world.core, 2**256 - 1, sender=world.keeper)
    for amount in (2**256 - 1, 2**96, 2**128 + 1):
        with expect_revert("LedgerFull", token=token, held=0, received=amount):
            world.core.deposit(token, amount, world.keeper, sender=world.keeper)
    world.core.deposit(token, UINT96_MAX, world.keeper, sender=world.keeper)
    assert world.core.accountOf(token, world.keeper)[0] == UINT96_MAX


def test_deposit__from_a_token_that_is_none__is_refused(world: World) -> None:
    for token in (world.keeper, world.core, world.randomness, "0x" + "00" * 19 + "04"):
        with pytest.raises(Reverted):
            world.core.deposit(token, 1, world.keeper, sender=world.keeper)


# ---- withdraw


def test_withdraw__in_part_and_in_full__needs_nobody_s_consent(world: World) -> None:
    """beh:A7 inv:I19"""
    fresh = "0x" + "77" * 20
    held = world.core.heldOf(world.token)
    receipt = world.core.withdraw(world.token, 1, fresh, sender=world.creator)
    assert receipt.event("Withdrawn") == {
        "token": world.token.address, "account": world.creator.address, "to": world.evm.at("PlainToken", fresh).address,
        "amount": 1,
    }  # fmt: skip
    world.core.withdraw(world.token, START_CREDIT - 1, fresh, sender=world.creator)
    assert world.token.balanceOf(fresh) == START_CREDIT and world.free(world.creator) == 0
    assert world.core.heldOf(world.token) == held - START_CREDIT == world.token.balanceOf(world.core)


def test_withdraw__of_nothing_to_nobody_or_beyond_free_credit__is_refused(world: World) -> None:
    with expect_revert("AmountZero"):
        world.core.withdraw(world.token, 0, world.creator, sender=world.creator)
    with expect_revert("RecipientZero"):
        world.core.withdraw(world.token, 1, NOBODY, sender=world.creator)
    with expect_revert(
        "CreditInsufficient", account=world.creator, token=world.token, has=START_CREDIT, needed=START_CREDIT + 1
    ):
        world.core.withdraw(world.token, START_CREDIT + 1, world.creator, sender=world.creator)
    for huge in (2**96, 2**96 + 1, 2**192, 2**256 - 1):
        with expect_revert("CreditInsufficient", needed=huge):
            world.core.withdraw(world.token, huge, world.creator, sender=world.creator)


def test_withdraw__of_what_is_locked__is_refused(world: World) -> None:
    """beh:A1"""
    deal, _ = world.open()
    for account, locked in ((world.creator, locked_total(deal, 100)), (world.provider, deal.collateral)):
        free = START_CREDIT - locked
        with expect_revert("CreditInsufficient", account=account, has=free, needed=free + 1):
            world.core.withdraw(world.token, free + 1, account, sender=account)
        world.core.withdraw(world.token, free, account, sender=account)
        assert world.locked(account) == locked


def test_withdraw__keeps_the_floors_of_the_account(world: World) -> None:
    world.core.cancelBelow(world.creator, [world.token], 5, 6, sender=world.creator)
    world.core.withdraw(world.token, START_CREDIT, world.creator, sender=world.creator)
    world.deposit(world.creator, 3)
    assert world.core.accountOf(world.token, world.creator) == (3, 0, 5, 6)


# ---- credit inside the ledger


def test_transfer_credit__moves_free_credit_only(world: World) -> None:
    """inv:I7 beh:A5"""
    deal, _ = world.open()
    free = world.free(world.creator)
    receipt = world.core.transferCredit(
        world.token, [world.keeper, world.creator, world.keeper], [5, 6, 7], sender=world.creator
    )
    assert [event["amount"] for event in receipt.events("CreditTransferred")] == [5, 6, 7]
    assert (world.free(world.keeper), world.free(world.creator)) == (12, free - 12)
    with expect_revert("CreditInsufficient", has=free - 12, needed=free - 11):
        world.core.transferCredit(world.token, [world.keeper], [free - 11], sender=world.creator)
    with expect_revert("RecipientZero"):
        world.core.transferCredit(world.token, [world.keeper, NOBODY], [1, 1], sender=world.creator)
    assert world.free(world.keeper) == 12 and world.locked(world.creator) == locked_total(deal, 100)


def test_one_unit__moves_like_any_other_amount(world: World, saver: Account) -> None:
    """inv:I1 inv:I6: a mutant that credited nothing for an amount of one passed every other test."""
    keeper, fund = world.evm.account("keeper of one"), world.fund()
    world.core.deposit(world.token, 1, keeper, sender=saver)
    assert world.free(keeper) == 1
    world.core.transferCredit(world.token, [world.solver], [1], sender=keeper)
    assert (world.free(keeper), world.free(world.solver)) == (0, 1)
    world.core.donate(world.pool.strategy, world.token, world.pool.id, 1, sender=world.solver)
    assert (world.free(world.solver), world.fund()) == (0, fund + 1)
    world.core.deposit(world.token, 1, keeper, sender=saver)
    world.core.withdraw(world.token, 1, saver, sender=keeper)
    assert (world.free(keeper), world.token.balanceOf(saver)) == (0, 1_000 * COIN - 1)


def test_transfer_credit__spending_the_same_twice__is_refused_as_a_whole(world: World) -> None:
    """inv:T28"""
    with expect_revert("CreditInsufficient", has=0, needed=1):
        world.core.transferCredit(world.token, [world.keeper, world.solver], [START_CREDIT, 1], sender=world.creator)
    assert world.free(world.creator) == START_CREDIT


@pytest.mark.parametrize("amounts", [[], [1], [1, 2, 3]])
def test_transfer_credit__with_lists_of_different_lengths__is_refused(world: World, amounts: list[int]) -> None:
    with expect_revert("BatchLengthsDiffer", left=2, right=len(amounts)):
        world.core.transferCredit(world.token, [world.keeper, world.solver], amounts, sender=world.creator)


def test_donate__moves_free_credit_into_one_fund_for_good(world: World) -> None:
    """inv:I38 inv:T49"""
    before = world.fund()
    receipt = world.core.donate(world.strategy, world.token, PoolId(world.pool.id), 9, sender=world.creator)
    assert receipt.event("FundDonated")["amount"] == 9
    assert world.fund() == before + 9 and world.free(world.creator) == START_CREDIT - 9
    assert world.core.fundOf(world.keeper, world.token, world.pool.id) == 0
    assert world.core.fundOf(world.strategy, world.token, bytes(32)) == 0
    with expect_revert("CreditInsufficient"):
        world.core.donate(world.strategy, world.token, PoolId(world.pool.id), START_CREDIT, sender=world.creator)


# ---- gifts


def test_tokens_sent_past_the_ledger__change_no_number_and_nobody_gets_them(world: World) -> None:
    """beh:A3 inv:I1 inv:T29"""
    deal, _ = world.open()
    held, before = world.core.heldOf(world.token), world.ledger(deal)
    world.token.mint(world.core, 10**30)
    assert world.core.heldOf(world.token) == held and world.ledger(deal) == before
    with expect_revert("CreditInsufficient"):
        world.core.withdraw(world.token, START_CREDIT + 1, world.challenger, sender=world.challenger)
    world.deposit(world.challenger, 5)  # measured by what arrives, not by what is there
    assert world.core.heldOf(world.token) == held + 5


def test_coins__are_refused_by_every_contract_of_the_core(world: World) -> None:
    """inv:T29"""
    for contract in (world.core, world.resolver):
        with pytest.raises(Reverted):
            world.evm.transact(contract, value=1, sender=world.keeper)
        with pytest.raises(Reverted):
            world.evm.transact(contract, world.core.calldata("open", _empty_opening()), value=1, sender=world.keeper)


def _empty_opening() -> tuple[Any, ...]:
    return ((bytes(32),) * 6, b"", (bytes(32),) * 6, (bytes(32),) * 5, (), ())


# ---- permits


def permit(world: World, token: Contract, owner: Account, amount: int, **changes: Any) -> list[Any]:
    """Arguments of depositWithPermit."""
    fields = {"spender": world.core.address, "nonce": token.nonces(owner), "deadline": world.evm.timestamp + 60} | changes
    words = (int(owner.address, 16), int(fields["spender"], 16), amount, fields["nonce"], fields["deadline"])
    struct = keccak256(PERMIT + b"".join(word.to_bytes(32, "big") for word in words))
    signature = owner.sign(keccak256(b"\x19\x01" + token.DOMAIN_SEPARATOR() + struct))
    return [token, owner, amount, fields["deadline"], signature[64], signature[:32], signature[32:64]]


@pytest.fixture
def signer(world: World) -> Account:
    """Has tokens, and gave no allowance."""
    account = world.evm.account("signer")
    world.token.mint(account, 100 * COIN)
    return account


def test_deposit_with_permit__carried_by_anyone__credits_the_owner(world: World, signer: Account) -> None:
    """beh:A12 inv:T27"""
    world.core.depositWithPermit(*permit(world, world.token, signer, COIN), sender=world.keeper)
    assert (world.free(signer), world.free(world.keeper)) == (COIN, 0)
    assert world.token.allowance(signer, world.core) == 0


def test_deposit_with_permit__used_by_somebody_before__is_for_the_owner_to_finish(world: World, signer: Account) -> None:
    """beh:A12: a front-runner can send the permit itself, which only costs the owner a call."""
    arguments = permit(world, world.token, signer, COIN)
    _, _, amount, deadline, v, r, s = arguments
    world.token.permit(signer, world.core, amount, deadline, v, r, s, sender=world.challenger)
    with expect_revert("PermitRefused", token=world.token, owner=signer, allowance=COIN, needed=COIN):
        world.core.depositWithPermit(*arguments, sender=world.keeper)
    world.core.depositWithPermit(*arguments, sender=signer)
    assert world.free(signer) == COIN


@pytest.mark.parametrize("change", ["spender", "nonce", "deadline", "amount", "owner"])
def test_deposit_with_permit__that_is_not_this_one__moves_nothing(world: World, signer: Account, change: str) -> None:
    """inv:T27 beh:A8"""
    world.token.approve(world.core, 100 * COIN, sender=signer)  # for another purpose
    wrong: dict[str, Any] = {"spender": world.keeper.address, "nonce": 7, "deadline": world.evm.timestamp - 1}
    arguments = permit(world, world.token, signer, COIN, **({change: wrong[change]} if change in wrong else {}))
    if change == "amount":
        arguments[2] = 2 * COIN
    if change == "owner":
        arguments[1] = world.creator
        world.token.approve(world.core, 100 * COIN, sender=world.creator)
    with expect_revert("PermitRefused"):
        world.core.depositWithPermit(*arguments, sender=world.keeper)
    assert world.token.balanceOf(signer) == 100 * COIN


def test_deposit_with_permit__twice__moves_once(world: World, signer: Account) -> None:
    arguments = permit(world, world.token, signer, COIN)
    world.core.depositWithPermit(*arguments, sender=world.keeper)
    world.token.approve(world.core, COIN, sender=signer)
    with expect_revert("PermitRefused", allowance=COIN):
        world.core.depositWithPermit(*arguments, sender=world.keeper)


def test_deposit_with_permit__of_a_token_that_swallows_every_call__moves_nothing_for_strangers(world: World) -> None:
    """beh:A8 inv:T27: wrapped coin has no permits, and its fallback refuses nothing."""
    coin = world.evm.deploy("WrappedCoin")
    owner = world.evm.account("coin owner")
    world.evm.transact(coin, value=10 * COIN, sender=owner)
    coin.approve(world.core, 10 * COIN, sender=owner)
    with pytest.raises(Reverted):
        world.core.depositWithPermit(coin, owner, COIN, 2**40, 27, bytes(32), bytes(32), sender=world.keeper)
    assert coin.balanceOf(owner) == 10 * COIN and world.core.heldOf(coin) == 0
    world.core.depositWithPermit(coin, owner, COIN, 2**40, 27, bytes(32), bytes(32), sender=owner)
    world.core.deposit(coin, COIN, owner, sender=owner)
    assert world.core.accountOf(coin, owner)[0] == 2 * COIN


def test_deposit_with_permit__of_nothing__is_refused(world: World, signer: Account) -> None:
    with expect_revert("AmountZero"):
        world.core.depositWithPermit(*permit(world, world.token, signer, 0), sender=world.keeper)


# ---- fees that accrue


def settled(world: World, price: int, **changes: Any) -> Any:
    """A deal at this price without units, settled by its creator."""
    options: dict[str, Any] = {"resource": {"price": price, "unit_price": 0, **changes.pop("resource", {})}}
    options["job"] = {"max_price": UINT96_MAX, "solver_fee_bps": 1_000} | changes.pop("job", {})
    deal, _ = world.open(**options, **changes)
    result = world.submit(deal)
    if deal.audit_bps:
        world.set_seed(deal, drawn=False)
    receipt = world.settle(deal, result, by=world.creator)
    return deal, receipt


def rich(world: World, amount: int = 2**92) -> World:
    for account in (world.creator, world.provider):
        world.deposit(account, amount)
    return world


@pytest.mark.parametrize("verified", [False, True])
def test_accrued_fees__are_swept_to_their_owners_by_anyone__to_the_unit(world: World, verified: bool) -> None:
    """beh:A4 beh:A6 beh:C15 beh:E5 inv:I13 inv:T30"""
    options = {} if verified else world.unverified()
    deal, _ = world.open(**options)
    result = world.submit(deal, units=7)
    if verified:
        world.set_seed(deal, drawn=False)
    fund = world.core.fundOf(deal.strategy, deal.token, deal.pool)
    world.settle(deal, result, by=world.creator)
    due = charge(deal, 7, 100)
    assert world.accrued(deal) == (due.royalty, due.solver_fee, due.to_fund)
    assert world.fees(deal) == (0, 0)
    receipt = world.sweep(deal)
    swept = receipt.event("AccrualSwept")
    assert (swept["token"], swept["version"], swept["solver"]) == (deal.token, deal.module, deal.solver)
    assert (swept["strategy"], swept["pool"]) == (deal.strategy, deal.pool)
    assert world.accrued(deal) == (0, 0, 0) and world.fees(deal) == (due.royalty, due.solver_fee)
    assert world.core.fundOf(deal.strategy, deal.token, deal.pool) == fund + due.to_fund
    world.sweep(deal)  # does no harm
    assert world.fees(deal) == (due.royalty, due.solver_fee)
    _claim_both(world, world.module, deal, due.royalty, due.solver_fee)


def _claim_both(world: World, module: ModuleTerms, deal: Any, royalty: int, solver_fee: int) -> None:
    token, solver = world.token, world.solver
    with expect_revert("RoyaltyNotYours", version=module.id, royaltyTo=world.publisher, caller=world.keeper):
        world.core.claimRoyalty(token, module, solver, sender=world.keeper)
    before = world.free(world.publisher), world.free(solver)
    receipt = world.core.claimRoyalty(token, module, solver, sender=world.publisher)
    assert receipt.value == receipt.event("RoyaltyClaimed")["amount"] == royalty
    assert world.fees(deal) == (0, solver_fee)
    receipt = world.core.claimSolverFee(token, module.id, solver, sender=world.keeper)
    assert receipt.value == receipt.event("SolverFeeClaimed")["amount"] == solver_fee
    assert world.fees(deal) == (0, 0)
    assert (world.free(world.publisher) - before[0], world.free(solver) - before[1]) == (royalty, solver_fee)
    assert world.core.claimRoyalty(token, module, solver, sender=world.publisher).value == 0
    assert world.core.claimSolverFee(token, module.id, solver).value == 0


def test_claim_royalty__with_terms_that_are_not_the_version_s__gets_nothing_of_it(world: World) -> None:
    """inv:T30: whoever writes itself into the terms has another version id."""
    deal, _ = settled(world, COIN)
    world.sweep(deal)
    forged = replace(world.module, royalty_to=world.keeper.address)
    assert world.core.claimRoyalty(world.token, forged, world.solver, sender=world.keeper).value == 0
    assert world.core.claimRoyalty(world.token, world.module, NOBODY, sender=world.publisher).value == 0
    assert world.core.claimRoyalty(world.token, world.module, world.solver, sender=world.publisher).value == COIN // 20


def test_sweep__under_other_terms__moves_nothing_of_these(world: World) -> None:
    """inv:T49"""
    deal, _ = settled(world, COIN)
    accrued = world.accrued(deal)
    core, token = world.core, world.token
    core.sweep(token, deal.module, world.keeper, deal.strategy, deal.pool)
    core.sweep(token, deal.module, deal.solver, world.keeper, deal.pool)
    core.sweep(token, deal.module, deal.solver, deal.strategy, bytes(32))
    core.sweep(world.keeper, deal.module, deal.solver, deal.strategy, deal.pool)
    assert world.accrued(deal) == accrued and world.fees(deal) == (0, 0)


def test_sweep__of_a_single_unit_for_the_fund__carries_it_there(world: World) -> None:
    """beh:A4 inv:I13 inv:I37: what the smallest verified deal owes, a premium rounded up to one unit."""
    pool = replace(world.pool, max_value=8, seat_fee_floor=1)
    world.core.donate(world.strategy, world.token, PoolId(pool.id), 100, sender=world.creator)
    terms = {"job": {"collateral_bps": 4_000_000}, "resource": {"max_collateral_bps": 4_000_000}}
    deal, _ = settled(world, 1, pool=pool, **terms)
    assert world.accrued(deal) == (0, 0, 1)
    world.sweep(deal)
    assert (world.accrued(deal), world.fees(deal), world.fund(pool)) == ((0, 0, 0), (0, 0), 101)


@pytest.mark.parametrize("royalty_bps, solver_bps", [(1_000, 0), (0, 1_000), (1_000, 1_000)])
def test_sweep__of_a_single_unit_of_a_fee__carries_it_to_its_owner(world: World, royalty_bps: int, solver_bps: int) -> None:
    """beh:A4 inv:I13: the least that a settlement can owe them."""
    options = world.unverified()
    options["job"] = options["job"] | {"solver_fee_bps": solver_bps}
    module = replace(world.module, royalty_bps=royalty_bps)
    deal, _ = settled(world, 10, module=module, **options)
    world.sweep(deal)
    _claim_both(world, module, deal, royalty_bps // 1_000, solver_bps // 1_000)


# A royalty of 10 % and a solver fee of 10 %: a price of ten times the most fills a field exactly.
FULL = ACCRUED_MOST * 10


@pytest.mark.parametrize("first, then", [
    (FULL, None),  # fits to the unit
    (FULL + 10, None),  # one unit more does not
    (FULL - 10, 10),  # two that fill it
    (FULL, 10),  # a unit on top of a full field
    (FULL // 2, FULL),
    (FULL + 10, FULL),  # the second finds the field empty
    (2**90, 2**90),
])  # fmt: skip
def test_accrued_fees__that_outgrow_their_field__wait_beside_it(world: World, first: int, then: int | None) -> None:
    """beh:A4 inv:I33 inv:T43: to the unit, and a sweep carries on both."""
    rich(world)
    module = replace(world.module, royalty_bps=1_000)
    options = {"module": module, **world.unverified()}
    royalty = solver_fee = 0
    for price in (first, then):
        if price is not None:
            deal, receipt = settled(world, price, **options)
            royalty, solver_fee = royalty + price // 10, solver_fee + price // 10
            assert (world.accrued(deal), world.fees(deal)) == ((royalty, solver_fee, 0), (0, 0))
    world.sweep(deal)
    assert (world.accrued(deal), world.fees(deal)) == ((0, 0, 0), (royalty, solver_fee))
    world.sweep(deal)  # does no harm
    _claim_both(world, module, deal, royalty, solver_fee)


@pytest.mark.parametrize("royalty_bps, solver_bps", [(3_000, 0), (0, 1_000), (1, 1_000), (3_000, 1)])
def test_accrued_fees__of_which_one_outgrows_its_field__go_each_to_its_owner(
    world: World, royalty_bps: int, solver_bps: int
) -> None:
    """inv:I33: verified, so that the fund's part rides in the same word."""
    rich(world, 2**94)
    module = replace(world.module, royalty_bps=royalty_bps)
    pool = replace(world.pool, max_value=2**89, seat_fee_floor=2**86, seat_stake=2**92)
    world.core.donate(world.strategy, world.token, PoolId(pool.id), 2**92, sender=world.provider)
    price = 2**85
    fund, royalty, solver_fee, to_fund = 2**92, 0, 0, 0
    for _ in range(3):
        deal, _ = settled(world, price, job={"solver_fee_bps": solver_bps}, module=module, pool=pool)
        due = charge(deal, 0, 100)
        royalty, solver_fee, to_fund = royalty + due.royalty, solver_fee + due.solver_fee, to_fund + due.to_fund
        assert world.accrued(deal) == (royalty, solver_fee, to_fund)
    world.sweep(deal)
    assert (world.fees(deal), world.fund(pool)) == ((royalty, solver_fee), fund + to_fund)
    assert world.state(deal).status == Status.ACCEPTED


@pytest.mark.parametrize("royalty_bps, solver_bps", [(1_000, 999), (999, 1_000)])
def test_accrued_fees__of_which_one_is_a_unit_too_large__both_wait_beside_their_field(
    world: World, royalty_bps: int, solver_bps: int
) -> None:
    """inv:I33 inv:T43: each of the two is compared with its field."""
    rich(world)
    options = world.unverified()
    options["job"] = options["job"] | {"solver_fee_bps": solver_bps}
    deal, _ = settled(world, FULL + 10, module=replace(world.module, royalty_bps=royalty_bps), **options)
    due = charge(deal, 0, 100)
    assert max(due.royalty, due.solver_fee) == ACCRUED_MOST + 1 > min(due.royalty, due.solver_fee) > 0
    assert (world.accrued(deal), world.fees(deal)) == ((due.royalty, due.solver_fee, 0), (0, 0))
    world.sweep(deal)
    assert (world.accrued(deal), world.fees(deal)) == ((0, 0, 0), (due.royalty, due.solver_fee))


def test_accrued_fees__of_a_version_that_owes_nobody__cannot_arise(world: World) -> None:
    """beh:A4 beh:B6: a royalty without an owner would be stuck for ever."""
    module = replace(world.module, royalty_to=NOBODY)
    with expect_revert("TermAbove", term=11, found=500, most=0):
        world.open(module=module)
    world.open(module=replace(module, royalty_bps=0))


def test_settlements__of_different_terms__accrue_apart(world: World) -> None:
    """beh:B12 inv:I30"""
    rival = world.evm.account("another solver")
    first, _ = settled(world, COIN)
    second, _ = settled(world, 2 * COIN, job={"solver": rival}, resource={"solver": rival})
    third, _ = settled(world, 4 * COIN, job={"solver": NOBODY, "solver_fee_bps": 0})
    fourth, _ = settled(world, 8 * COIN, **world.unverified())
    for deal in (first, second, third):
        due = charge(deal, 0, 100)
        assert world.accrued(deal) == (due.royalty, due.solver_fee, due.to_fund)
    assert world.accrued(fourth) == (8 * COIN // 20, 0, 0) or fourth.solver != NOBODY


def test_settled_in_the_unverified_pool__owes_no_fund(world: World) -> None:
    assert UNVERIFIED.id == bytes(32)
    deal, _ = settled(world, COIN, **world.unverified())
    assert world.accrued(deal)[2] == 0
    world.sweep(deal)
    assert world.core.fundOf(NOBODY, world.token, bytes(32)) == 0


@pytest.mark.parametrize("royalty_bps, solver_bps", [(1_000, 0), (0, 500)])
def test_settled_in_the_unverified_pool__with_one_fee_only__keeps_that_fee(
    world: World, royalty_bps: int, solver_bps: int
) -> None:
    """inv:I1 inv:I13: nothing goes to a fund there, so a mutant that looked for both fees at once lost the only one."""
    module = replace(world.module, royalty_bps=royalty_bps)
    options = world.unverified()
    options["job"] = options["job"] | {"solver_fee_bps": solver_bps}
    deal, _ = settled(world, COIN, module=module, **options)
    due = charge(deal, 0, 100)
    assert (due.royalty, due.solver_fee, due.to_fund) == (COIN * royalty_bps // 10_000, COIN * solver_bps // 10_000, 0)
    assert due.royalty + due.solver_fee > 0
    assert world.accrued(deal) == (due.royalty, due.solver_fee, 0)
    world.sweep(deal)
    assert world.fees(deal) == (due.royalty, due.solver_fee)
