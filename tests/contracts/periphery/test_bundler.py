"""The bundler: funds by permit and opens in one transaction, and can hurt nobody. beh:A12 inv:T27"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from eth_utils import keccak

from lilypad_agents.protocol.consent import APPROVED
from lilypad_agents.protocol.ids import NOBODY
from lilypad_agents.protocol.opening import Pair, openings_of
from tests.support.evm import Account, Contract, decode_error, expect_revert
from tests.support.registry import Market, Version

GROSS = 10**18
TOTAL = GROSS + GROSS // 10  # with a royalty of 10 %; pool 0 takes no protocol fee
PERMIT = keccak(text="Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
AGREED, NONE = 1, 0
Permit = tuple[str, str, int, int, int, bytes, bytes]


@pytest.fixture(scope="module")
def _market() -> Market:
    return Market()


@pytest.fixture(scope="module")
def _bundler(_market: Market) -> Contract:
    return _market.evm.deploy("LilypadBundler", _market.core)


@pytest.fixture
def market(_market: Market) -> Iterator[Market]:
    with _market.evm.snapshot():
        yield _market


@pytest.fixture
def bundler(market: Market, _bundler: Contract) -> Contract:
    return _bundler


@pytest.fixture
def newcomer(market: Market) -> Account:
    """Has tokens in its wallet, no credit, no allowance."""
    account = market.account("newcomer")
    market.token.transfer(account, 10 * TOTAL)
    return account


@pytest.fixture
def module(market: Market) -> Version:
    return market.published(market.account("author"))


@pytest.fixture
def relay(market: Market) -> Account:
    return market.account("relay")


def word(value: object) -> bytes:
    return int(str(value), 0).to_bytes(32, "big")


def permit(market: Market, owner: Account, amount: int, *, token: Contract | None = None, spender: str = "") -> Permit:
    coin = token or market.token
    deadline = market.evm.timestamp + 60
    fields = (owner.address, spender or market.core.address, amount, coin.nonces(owner), deadline)
    struct = keccak(PERMIT + b"".join(word(field) for field in fields))
    signature = owner.sign(keccak(b"\x19\x01" + coin.DOMAIN_SEPARATOR() + struct))
    return (coin.address, owner.address, amount, deadline, signature[64], signature[:32], signature[32:64])


def status(market: Market, pair: Pair) -> int:
    return int(market.core.dealOf(market.deal(pair).id(market.domain)).status)


def assert_bundler_is_empty(market: Market, bundler: Contract, *owners: Account) -> None:
    """inv:T27: no token, no credit, no allowance from or to anybody."""
    assert market.token.balanceOf(bundler) == market.free(bundler.address) == 0
    assert market.token.allowance(bundler, market.core) == 0
    for owner in owners:
        assert market.token.allowance(owner, bundler) == market.token.allowance(owner, market.core) == 0


def test_depositAndOpen__fresh_wallet__funds_and_opens_at_once(
    market: Market, bundler: Contract, newcomer: Account, module: Version, relay: Account
) -> None:
    """beh:A12: one transaction, which anyone may carry; exactly the signed amount moves."""
    pair = market.offers(module.terms, GROSS, creator=newcomer)
    receipt = bundler.depositAndOpen([permit(market, newcomer, TOTAL)], market.opening(pair), sender=relay)
    assert receipt.value == (market.deal(pair).id(market.domain),)
    assert status(market, pair) == AGREED
    assert market.token.balanceOf(newcomer) == 9 * TOTAL
    assert tuple(market.core.accountOf(market.token, newcomer))[:2] == (0, TOTAL)
    assert_bundler_is_empty(market, bundler, newcomer, relay)


def test_depositAndOpen__both_sides_fresh__funds_both(
    market: Market, bundler: Contract, newcomer: Account, module: Version
) -> None:
    market.core.withdraw(market.token, market.free(market.provider), market.provider, sender=market.provider)
    pair = market.offers(module.terms, GROSS, creator=newcomer)
    permits = [permit(market, newcomer, TOTAL), permit(market, market.provider, GROSS)]
    bundler.depositAndOpen(permits, market.opening(pair))
    assert status(market, pair) == AGREED
    assert tuple(market.core.accountOf(market.token, market.provider))[:2] == (GROSS - GROSS // 10, GROSS // 10)


def test_depositAndOpen__from_earlier_credit__needs_no_permit(
    market: Market, bundler: Contract, module: Version, relay: Account
) -> None:
    """beh:A12"""
    pair = market.offers(module.terms, GROSS)
    bundler.depositAndOpen([], market.opening(pair), sender=relay)
    assert status(market, pair) == AGREED


def test_depositAndOpen__deposit_carried_by_somebody_a_moment_before__opens_all_the_same(
    market: Market, bundler: Contract, newcomer: Account, module: Version, relay: Account
) -> None:
    """inv:T6: copying the deposit out of the pool of transactions does the owner's work."""
    signed = permit(market, newcomer, TOTAL)
    market.core.depositWithPermit(*signed, sender=relay)
    pair = market.offers(module.terms, GROSS, creator=newcomer)
    receipt = bundler.depositAndOpen([signed], market.opening(pair))
    skipped = receipt.event("DepositSkipped")
    assert (skipped["index"], skipped["owner"], skipped["token"]) == (0, newcomer.address, market.token.address)
    assert decode_error(bytes(skipped["reason"])).name == "PermitRefused"
    assert status(market, pair) == AGREED
    assert market.token.balanceOf(newcomer) == 9 * TOTAL, "deposited once"


def test_depositAndOpen__permit_alone_used_up_by_a_griefer__changes_nothing_and_names_the_lack(
    market: Market, bundler: Contract, newcomer: Account, module: Version, relay: Account
) -> None:
    """inv:T40 beh:B17: the griefer pays gas; the owner goes on by its own deposit."""
    signed = permit(market, newcomer, TOTAL)
    token, owner, amount, *rest = signed
    market.token.permit(owner, market.core, amount, *rest, sender=relay)
    pair = market.offers(module.terms, GROSS, creator=newcomer)
    with expect_revert("FundsMissing", account=newcomer, has=0, needed=TOTAL):
        bundler.depositAndOpen([signed], market.opening(pair), sender=newcomer)
    market.core.deposit(token, amount, newcomer, sender=newcomer)
    market.core.open(market.opening(pair))
    assert status(market, pair) == AGREED


def test_depositAndOpen__opening_refused__takes_the_deposit_back(
    market: Market, bundler: Contract, newcomer: Account, module: Version
) -> None:
    """beh:A8: all or nothing."""
    pair = market.offers(module.terms, GROSS, creator=newcomer)
    market.core.cancel(newcomer, False, [pair.job.nonce], sender=newcomer)
    with expect_revert("OfferCancelled", account=newcomer):
        bundler.depositAndOpen([permit(market, newcomer, TOTAL)], market.opening(pair))
    assert market.token.balanceOf(newcomer) == 10 * TOTAL
    assert market.free(newcomer) == 0


def test_depositAndOpenBatch__one_bad_pair_and_one_bad_permit__leaves_the_others(
    market: Market, bundler: Contract, newcomer: Account, module: Version, relay: Account
) -> None:
    """beh:B13"""
    good, bad = market.offers(module.terms, GROSS, creator=newcomer), market.offers(module.terms, GROSS)
    bad = bad._replace(job_signature=good.job_signature)
    forged = (*permit(market, market.creator, TOTAL)[:5], b"\1" * 32, b"\2" * 32)
    permits = [forged, permit(market, newcomer, 2 * TOTAL)]
    receipt = bundler.depositAndOpenBatch(permits, openings_of([bad, good]), sender=relay)
    assert receipt.event("DepositSkipped")["index"] == 0
    assert decode_error(bytes(receipt.event("Skipped")["reason"])).name == "SignatureInvalid"
    assert (status(market, good), status(market, bad)) == (AGREED, NONE)
    assert market.free(newcomer) == TOTAL, "what was deposited and not needed is the owner's credit"
    assert_bundler_is_empty(market, bundler, newcomer, relay)


# ---- nobody can be hurt


def test_allowance__given_to_the_core_for_another_purpose__is_not_used(
    market: Market, bundler: Contract, newcomer: Account, module: Version, relay: Account
) -> None:
    """inv:T27 beh:A8: without a valid permit nobody's tokens move, also when the core could take them."""
    market.token.approve(market.core, 10 * TOTAL, sender=newcomer)
    forged = (*permit(market, newcomer, TOTAL)[:5], b"\1" * 32, b"\2" * 32)
    bundler.depositAndOpenBatch([forged], [], sender=relay)
    assert market.free(newcomer) == 0
    assert market.token.balanceOf(newcomer) == 10 * TOTAL


def test_approval__given_to_the_bundler_by_mistake__cannot_be_used_by_anybody(
    market: Market, bundler: Contract, newcomer: Account, relay: Account
) -> None:
    """inv:T27: it has no function that would move a token by its own allowance."""
    market.token.approve(bundler, 10 * TOTAL, sender=newcomer)
    signed = permit(market, newcomer, TOTAL, spender=bundler.address)
    bundler.depositAndOpenBatch([signed], [], sender=relay)
    assert market.token.balanceOf(newcomer) == 10 * TOTAL
    assert set(bundler._artefact.abi.functions) - bundler._artefact.views == {"depositAndOpen", "depositAndOpenBatch"}


def test_permit__with_another_owner_or_amount__is_refused_by_the_token(
    market: Market, bundler: Contract, newcomer: Account, relay: Account
) -> None:
    """inv:T41: what was signed cannot be bent."""
    token, _, amount, *rest = permit(market, newcomer, TOTAL)
    for owner, bent in ((market.creator.address, amount), (newcomer.address, amount + 1)):
        receipt = bundler.depositAndOpenBatch([(token, owner, bent, *rest)], [], sender=relay)
        assert len(receipt.events("DepositSkipped")) == 1
    assert market.free(newcomer) == 0


def test_credit_sent_to_the_bundler__stays_where_it_is(market: Market, bundler: Contract, relay: Account) -> None:
    """inv:T29: nobody can take it, and it changes nothing; the bundler speaks for nobody, itself included."""
    market.core.transferCredit(market.token, [bundler.address], [5], sender=market.creator)
    market.token.transfer(bundler, 7)
    bundler.depositAndOpenBatch([], [], sender=relay)
    assert (market.free(bundler.address), market.token.balanceOf(bundler)) == (5, 7)


def test_offer__that_was_only_approved__is_judged_by_the_account_and_not_by_the_bundler(
    market: Market, bundler: Contract, module: Version
) -> None:
    """beh:B11 inv:I32: the bundler's call is no consent of anybody."""
    pair = market.offers(module.terms, GROSS)._replace(job_signature=APPROVED)
    with expect_revert("SignatureInvalid", account=market.creator):
        bundler.depositAndOpen([], market.opening(pair), sender=market.creator)
    digest = market.domain.digest(pair.job.struct_hash)
    market.core.approve(market.creator, digest, True, sender=market.creator)
    bundler.depositAndOpen([], market.opening(pair))
    assert status(market, pair) == AGREED


def test_token__that_calls_back_in_the_middle__reaches_nothing(
    market: Market, bundler: Contract, newcomer: Account, module: Version
) -> None:
    """inv:T1: a hook that opens, deposits and withdraws through core and bundler moves nobody's money."""
    hook = market.evm.deploy("HookToken")
    hook.mint(newcomer, TOTAL)
    again = permit(market, newcomer, TOTAL)
    hook.arm(
        [
            (market.core.address, market.core.calldata("withdraw", market.token, 1, hook)),
            (market.core.address, market.core.calldata("depositWithPermit", *again)),
            (bundler.address, bundler.calldata("depositAndOpenBatch", [again], [])),
        ]
    )
    receipt = bundler.depositAndOpenBatch([permit(market, newcomer, TOTAL, token=hook)], [])
    assert receipt.events("Deposited")[-1]["amount"] == TOTAL
    assert market.free(newcomer, hook) == TOTAL
    assert market.free(newcomer) == 0 and market.token.balanceOf(newcomer) == 10 * TOTAL, "locked out while it runs"
    assert_bundler_is_empty(market, bundler)


@pytest.mark.parametrize("kind", ["fee", "false", "no-code"])
def test_token__that_delivers_nothing_or_less__is_skipped(
    market: Market, bundler: Contract, newcomer: Account, module: Version, kind: str
) -> None:
    """inv:T3 beh:A10: the deposit is left out with the core's reason, and the rest goes on."""
    if kind == "fee":
        token = market.evm.deploy("FeeToken", 100)
        token.mint(newcomer, TOTAL)
        signed = permit(market, newcomer, TOTAL, token=token)
    elif kind == "false":
        signed = permit(market, newcomer, TOTAL, token=market.evm.deploy("FalseReturnToken"))
    else:
        signed = (market.account("no code").address, *permit(market, newcomer, TOTAL)[1:])
    pair = market.offers(module.terms, GROSS)
    receipt = bundler.depositAndOpenBatch([signed], [market.opening(pair)])
    assert len(receipt.events("DepositSkipped")) == 1
    assert status(market, pair) == AGREED
    assert market.core.heldOf(signed[0]) == 0


def test_expired__permit__is_skipped_with_the_cores_reason(
    market: Market, bundler: Contract, newcomer: Account
) -> None:
    signed = permit(market, newcomer, TOTAL)
    market.evm.set_block(timestamp=signed[3] + 1)
    reason = bundler.depositAndOpenBatch([signed], []).event("DepositSkipped")["reason"]
    assert decode_error(bytes(reason)).name == "PermitRefused"


def test_offers__with_a_solver__pay_him_and_not_the_bundler(market: Market, bundler: Contract, module: Version) -> None:
    """beh:B12 inv:I32"""
    solver = market.account("solver")
    pair = market.offers(module.terms, GROSS, solver=solver)
    job = replace(pair.job, solver_fee_bps=100)
    pair = pair._replace(job=job, job_signature=market.sign(job, market.creator))
    bundler.depositAndOpen([], market.opening(pair))
    assert market.deal(pair).solver == solver.address != NOBODY
    assert status(market, pair) == AGREED
