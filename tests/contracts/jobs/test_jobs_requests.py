"""Asking for a job from a contract: what is refused, what an agent reads, what it costs. beh:F1 beh:F2 beh:F4 beh:F5"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from lilypad_agents.protocol.ids import NOBODY, ZERO, keccak256
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.price import figures_of, locked_total
from lilypad_agents.protocol.requests import MAX_INPUTS_BYTES, JobOutcome, RequestState
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.support.evm import Contract, expect_revert
from tests.support.requests import CALLBACK_GAS, COIN, START_CREDIT, Habit, Requests, fund

MOST_CALLBACK_GAS = 10_000_000


def request_data(desk: Requests, client: Contract, **changes: object) -> bytes:
    terms = desk.terms(**changes)
    desk.approve(client, terms)
    return desk.jobs.calldata("request", terms, b"{}", CALLBACK_GAS)


# ---- refusals


def test_request__by_an_account_without_code__is_refused(desk: Requests) -> None:
    """inv:T11: an EOA has nothing to be called back."""
    terms = desk.terms()
    with expect_revert("RequesterDenied", requester=desk.world.creator):
        desk.jobs.request(terms, b"{}", CALLBACK_GAS, sender=desk.world.creator)


@pytest.mark.parametrize("who", ["token", "core", "resolver"])
def test_request__by_what_must_not_be_called_back__is_refused(desk: Requests, who: str) -> None:
    """inv:T11 beh:F11: not the token of the offer, not core or resolver, even if one could be made to ask."""
    world = desk.world
    resolver = world.evm.deploy("PuppetToolkit", world.parameters, NOBODY)
    core = world.evm.deploy("PuppetToolkit", world.parameters, resolver)
    jobs = world.evm.deploy("LilypadJobs", core)
    caller = {"token": desk.hostile, "core": core, "resolver": resolver}[who]
    terms = desk.terms(token=caller if who == "token" else world.token)
    with expect_revert("RequesterDenied", requester=caller):
        caller.execute(jobs, jobs.calldata("request", terms, b"{}", CALLBACK_GAS))


def test_request__by_a_precompile__is_refused(desk: Requests) -> None:
    """inv:T11"""
    for caller in ("0x" + "00" * 19 + "04", "0x" + "00" * 18 + "FFff"):
        with expect_revert("RequesterDenied", requester=caller):
            desk.jobs.request(desk.terms(), b"{}", CALLBACK_GAS, sender=caller)


def test_request__without_the_offers_approval__is_refused(desk: Requests) -> None:
    """beh:F2: consent is the requester's call of the core, nothing else."""
    terms = desk.terms()
    request_id = terms.offer(desk.hostile.address, hashlib.sha256(b"{}").digest()).struct_hash
    with expect_revert("RequestNotApproved", requestId=request_id, requester=desk.hostile):
        desk.hostile.execute(desk.jobs, desk.jobs.calldata("request", terms, b"{}", CALLBACK_GAS))


def test_request__of_an_offer_that_another_approved__is_refused(desk: Requests) -> None:
    """inv:I17: nobody asks at another's expense: the creator is the caller."""
    terms = desk.terms()
    desk.approve(desk.hostile, terms)
    other = desk.world.evm.deploy("HostileClient", Habit.TAKE)
    with expect_revert("RequestNotApproved"):
        other.execute(desk.jobs, desk.jobs.calldata("request", terms, b"{}", CALLBACK_GAS))


def test_request__twice__is_refused(desk: Requests) -> None:
    data = request_data(desk, desk.hostile)
    desk.hostile.execute(desk.jobs, data)
    with expect_revert("RequestExists"):
        desk.hostile.execute(desk.jobs, data)


def test_request__with_a_cancelled_or_used_nonce__is_refused(desk: Requests) -> None:
    request = desk.ask_raw()
    desk.matched(request)
    with expect_revert("RequestNonceSpent", requester=desk.hostile, nonce=request.terms.nonce):
        desk.hostile.execute(desk.jobs, request_data(desk, desk.hostile, nonce=request.terms.nonce, max_price=7 * COIN))
    world = desk.world
    desk.hostile.execute(world.core, world.core.calldata("cancel", desk.hostile, False, [7]))
    with expect_revert("RequestNonceSpent", requester=desk.hostile, nonce=7):
        desk.hostile.execute(desk.jobs, request_data(desk, desk.hostile, nonce=7))


def test_request__after_its_own_expiry__is_refused_and_counts_at_that_second(desk: Requests) -> None:
    now = desk.world.evm.timestamp
    with expect_revert("RequestExpired", expiry=now - 1, time=now):
        desk.hostile.execute(desk.jobs, request_data(desk, desk.hostile, expiry=now - 1))
    desk.hostile.execute(desk.jobs, request_data(desk, desk.hostile, expiry=now))


def test_request__with_more_callback_gas_than_a_block_can_spare__is_refused(desk: Requests) -> None:
    with expect_revert("CallbackGasTooHigh", callbackGas=MOST_CALLBACK_GAS + 1, most=MOST_CALLBACK_GAS):
        desk.ask(gas=MOST_CALLBACK_GAS + 1)
    desk.ask(gas=MOST_CALLBACK_GAS)


def test_request__with_inputs_over_32_kib__is_refused(desk: Requests) -> None:
    with expect_revert("InputsTooLarge", size=MAX_INPUTS_BYTES + 1, most=MAX_INPUTS_BYTES):
        desk.ask(inputs=b" " * (MAX_INPUTS_BYTES + 1))
    desk.ask(inputs=b" " * MAX_INPUTS_BYTES)


# ---- what it does


def test_request__in_one_inherited_call__tells_every_solver_all_that_it_signed(desk: Requests) -> None:
    """beh:F1: version, inputs, price cap, deadline, machine, target and pool; the id is that of the signed offer."""
    world = desk.world
    request = desk.ask(
        inputs=b'{"a":"\\""}', max_price=5 * COIN, cpu_milli=250, ram_mib=64, provider=world.provider,
        expiry=world.evm.timestamp + 99, flags=2**63, gpu_count=1, vram_mib=7,
    )  # fmt: skip
    offer = request.offer
    assert (offer.creator, offer.nonce, offer.provider) == (desk.client.address, 1, world.provider.address)
    assert (offer.max_price, offer.cpu_milli, offer.ram_mib, offer.flags) == (5 * COIN, 250, 64, 2**63)
    assert (offer.inputs, request.inputs) == (hashlib.sha256(b'{"a":"\\""}').digest(), b'{"a":"\\""}')
    assert desk.jobs.requestOf(request.id) == (
        desk.client.address, world.evm.timestamp + 99, CALLBACK_GAS, RequestState.REQUESTED, JobOutcome.NONE,
    )  # fmt: skip
    assert world.core.approverOf(desk.client, world.domain.digest(request.id)) == desk.client.address


def test_requests__of_equal_terms__get_ids_of_their_own(desk: Requests) -> None:
    assert len({desk.ask().id for _ in range(10)}) == 10


def test_request__until_it_is_matched__locks_nothing_and_its_money_can_go(desk: Requests) -> None:
    """beh:F4 beh:F5"""
    before = desk.money()
    desk.ask()
    assert desk.money() == before
    desk.client.withdraw(desk.world.token, START_CREDIT, desk.world.keeper)
    assert desk.world.free(desk.client) == 0


def test_request__once_opened_by_anyone__charges_the_client_what_the_quote_said(desk: Requests) -> None:
    """beh:F3: only the requester's ledger balance, and the exact amount is a view."""
    named = desk.world.solver.address
    for pool, solver, fee in ((UNVERIFIED, NOBODY, 0), (UNVERIFIED, NOBODY, 100), (desk.world.pool, named, 100)):
        scene = replace(desk, pool=pool)
        request = scene.ask(solver=solver, solver_fee_bps=fee)
        quoted = desk.jobs.quote(request.terms, desk.world.module, pool, COIN, COIN // 100)
        pair = scene.pair(request)
        figures = figures_of(pair.job, pair.resource, pair.module, pair.pool)
        before = scene.money()
        deal = scene.matched(request)
        after = scene.money()
        assert quoted == locked_total(figures, desk.world.parameters.protocol_fee_bps) <= request.terms.max_price
        moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        assert moved == {
            "client free": -quoted, "client locked": quoted,
            "provider free": -deal.collateral, "provider locked": deal.collateral,
        }  # fmt: skip


def test_quote__with_the_terms_of_another_module_or_pool__is_refused(desk: Requests) -> None:
    terms = desk.terms()
    with expect_revert("TermsMismatch"):
        desk.jobs.quote(terms, replace(desk.world.module, royalty_bps=1), UNVERIFIED, COIN, 0)
    with expect_revert("TermsMismatch"):
        desk.jobs.quote(terms, desk.world.module, desk.world.pool, COIN, 0)


def test_request__with_a_target__is_opened_by_no_other_provider(desk: Requests) -> None:
    """beh:F1: a target that is not there leaves the request to expire."""
    request = desk.ask(provider=desk.world.challenger)
    with expect_revert("SignatureInvalid"):  # the offer rebuilt for another provider is not the one that was approved
        desk.matched(request)


def test_request__cancelled__is_never_opened(desk: Requests) -> None:
    """beh:F5"""
    request = desk.ask()
    desk.client.cancel(request.id)
    with expect_revert("OfferCancelled", offerHash=request.id, account=desk.client, nonce=request.terms.nonce):
        desk.matched(request)
    with expect_revert("RequestNotOurs"):
        desk.client.cancel(ZERO)


def test_request__at_one_core__is_worth_nothing_at_another(desk: Requests) -> None:
    """The approval that a request needs is a digest in the domain of its own core."""
    world = desk.world
    second = world.evm.deploy("LilypadJobs", world.evm.deploy("Lilypad", replace(world.parameters, protocol_fee_bps=7)))
    terms = desk.terms()
    desk.approve(desk.hostile, terms)
    with expect_revert("RequestNotApproved"):
        desk.hostile.execute(second, second.calldata("request", terms, b"{}", CALLBACK_GAS))
    assert second.requestOf(desk.ask().id)[0] == NOBODY


# ---- funding


def test_ask_from_allowance__takes_the_price_cap_from_the_caller_and_nothing_else(desk: Requests) -> None:
    world, before = desk.world, desk.world.free(desk.client)
    world.token.mint(world.creator, 9 * COIN)
    world.token.approve(desk.client, 9 * COIN, sender=world.creator)
    desk.client.askFromAllowance(desk.terms(max_price=9 * COIN), b"{}", CALLBACK_GAS, sender=world.creator)
    assert world.free(desk.client) == before + 9 * COIN
    assert world.token.balanceOf(world.creator) == world.token.balanceOf(desk.client) == 0
    assert world.token.allowance(desk.client, world.core) == 0


def test_ask_from_allowance__without_one__asks_for_nothing(desk: Requests) -> None:
    with expect_revert("ERC20InsufficientAllowance"):
        desk.client.askFromAllowance(desk.terms(), b"{}", CALLBACK_GAS, sender=desk.world.creator)


def permit(desk: Requests, owner, amount: int) -> tuple[int, int, bytes, bytes]:
    token, deadline = desk.world.token, desk.world.evm.timestamp + 60
    kind = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    words = [int(owner.address, 16), int(desk.client.address, 16), amount, token.nonces(owner), deadline]
    struct = keccak256(keccak256(kind.encode()) + b"".join(word.to_bytes(32, "big") for word in words))
    signature = owner.sign(keccak256(b"\x19\x01" + token.DOMAIN_SEPARATOR() + struct))
    return (deadline, signature[64], signature[:32], signature[32:64])


def test_ask_with_permit__needs_no_earlier_transaction_and_survives_a_carried_permit(desk: Requests) -> None:
    """flt:F34: somebody else carries the permit first; the owner's own call goes on with the allowance that stands."""
    world = desk.world
    for carried in (False, True):
        before = world.free(desk.client)
        world.token.mint(world.creator, 4 * COIN)
        signed = permit(desk, world.creator, 4 * COIN)
        if carried:
            world.token.permit(world.creator, desk.client, 4 * COIN, *signed, sender=world.challenger)
        desk.client.askWithPermit(desk.terms(max_price=4 * COIN), b"{}", CALLBACK_GAS, signed, sender=world.creator)
        assert world.free(desk.client) == before + 4 * COIN


def test_ask_with_permit__of_another__takes_nothing_from_it(desk: Requests) -> None:
    """The payer is the caller: a victim's standing allowance for the client is not the thief's money."""
    world = desk.world
    world.token.mint(world.creator, 4 * COIN)
    signed = permit(desk, world.creator, 4 * COIN)
    world.token.approve(desk.client, 4 * COIN, sender=world.creator)
    with expect_revert("ERC20InsufficientAllowance"):
        desk.client.askWithPermit(desk.terms(max_price=4 * COIN), b"{}", CALLBACK_GAS, signed, sender=world.challenger)
    assert world.token.balanceOf(world.creator) == 4 * COIN


def test_deposit_with_permit__credits_the_client(desk: Requests) -> None:
    world, before = desk.world, desk.world.free(desk.client)
    world.token.mint(world.creator, 2 * COIN)
    desk.client.depositWithPermit(world.token, 2 * COIN, permit(desk, world.creator, 2 * COIN), sender=world.creator)
    assert desk.client.freeBalance(world.token) == before + 2 * COIN


def test_ask_with_native_coin__pays_in_its_wrapped_form(desk: Requests) -> None:
    """beh:F1: coin in, a deal in the wrapped token, what is left withdrawable."""
    world = desk.world
    wrapped = world.evm.deploy("WrappedCoin")
    terms = desk.terms(token=wrapped, max_price=3 * COIN)
    desk.client.askWithNative(terms, b"{}", CALLBACK_GAS, sender=world.creator, value=3 * COIN)
    assert world.core.accountOf(wrapped, desk.client)[0] == 3 * COIN
    desk.client.withdraw(wrapped, 3 * COIN, world.keeper)
    assert wrapped.balanceOf(world.keeper) == 3 * COIN


def test_deal__of_a_client_that_withdrew_meanwhile__does_not_open(desk: Requests) -> None:
    request = desk.ask()
    desk.client.withdraw(desk.world.token, START_CREDIT, desk.world.keeper)
    with expect_revert("FundsMissing"):
        desk.matched(request)
    fund(desk.world, desk.client, 10_000 * COIN)
    assert desk.world.state(desk.matched(request)).status is Status.AGREED
