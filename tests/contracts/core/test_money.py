"""What everybody owns after each ending, to the last unit, by the formulas of the pure protocol package.

beh:A2 beh:A4 beh:C4 beh:C5 beh:C7 beh:C12 beh:C13 beh:C15 beh:E6 inv:I6 inv:I9 inv:I13 inv:I14 inv:I37 inv:I39 inv:I43 inv:I44
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.digest import result_digest
from lilypad_agents.protocol.ids import NOBODY, PoolId
from lilypad_agents.protocol.lifecycle import Agreement, Verdict
from lilypad_agents.protocol.opening import waived_at_once
from lilypad_agents.protocol.payouts import Payout
from lilypad_agents.protocol.price import (
    audit_fee,
    challenge_fee,
    charge,
    delivery_fee,
    locked_total,
    penalty,
    premium_of,
)
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.support.evm import expect_revert
from tests.support.world import COIN, START_FUND, World, build_world


@dataclass(frozen=True)
class Fees:
    """One set of prices: rates in basis points, amounts in smallest units."""

    protocol: int = 100
    royalty: int = 500
    solver: int | None = 100  # None: nobody is named
    audit: int = 800
    collateral: int = 162_000
    price: int = COIN
    unit_price: int = COIN // 100
    seat_floor: int = 5 * COIN // 4  # an eighth of its pool's maximum value
    min_seat_fee: int = 0


VERIFIED = {
    "standard": Fees(),
    "light": Fees(audit=400, collateral=333_000),
    "strict": Fees(audit=2_000, collateral=65_000),
    "every time": Fees(audit=10_000, collateral=80_000),
    "no fees at all": Fees(protocol=0, royalty=0, solver=None),
    "zero rates": Fees(protocol=0, royalty=0, solver=0),
    "highest fees": Fees(protocol=1_000, royalty=3_000, solver=1_000),
    "odd amounts": Fees(protocol=333, royalty=777, solver=999, price=10**18 + 7, unit_price=12_345_678_901),
    "single units": Fees(price=1, unit_price=0, seat_floor=1, collateral=4_000_000),
    "units only": Fees(price=0, unit_price=3, seat_floor=4),
    "dear seats of the pool": Fees(seat_floor=2 * COIN, collateral=200_000),
    "dear seats of the module": Fees(min_seat_fee=3 * COIN, collateral=200_000),
    "collateral at its least": Fees(audit=10_000, collateral=73_750, unit_price=0),
}
UNVERIFIED_FEES = {
    "unverified": Fees(audit=0, collateral=1_000),
    "unverified, no collateral": Fees(audit=0, collateral=0),
    "unverified, collateral as the value": Fees(audit=0, collateral=10_000),
    "unverified, much collateral": Fees(audit=0, collateral=200_000),
    "unverified, no fees": Fees(protocol=1_000, royalty=0, solver=None, audit=0, collateral=50),
    "unverified, one unit": Fees(price=1, unit_price=0, audit=0, collateral=9_999),
}
ALL = VERIFIED | UNVERIFIED_FEES


@pytest.fixture(scope="module")
def _worlds() -> dict[int, World]:
    return {rate: build_world(protocol_fee_bps=rate) for rate in {fees.protocol for fees in ALL.values()}}


class Bank:
    """One open deal, and what everybody owned before it was opened."""

    def __init__(self, world: World, fees: Fees) -> None:
        self.world, self.fees = world, fees
        module = replace(world.module, royalty_bps=fees.royalty, min_seat_fee=fees.min_seat_fee)
        pool = UNVERIFIED
        if fees.audit:
            pool = replace(world.pool, seat_fee_floor=fees.seat_floor, seat_stake=10_000 * COIN, max_value=8 * fees.seat_floor)
            world.deposit(world.keeper, START_FUND)
            world.core.donate(world.strategy, world.token, PoolId(pool.id), START_FUND, sender=world.keeper)
        job: dict[str, Any] = {
            "audit_bps": fees.audit,
            "collateral_bps": fees.collateral,
            "solver": NOBODY if fees.solver is None else world.solver,
            "solver_fee_bps": fees.solver or 0,
        }
        resource = {"price": fees.price, "unit_price": fees.unit_price, "max_collateral_bps": 2**32 - 1}
        self.pair = world.pair(job, resource, module=module, pool=pool)
        self.pool = pool
        held = world.core.heldOf(world.token)
        self.deal, self.id = world.open(self.pair)
        self.held = held
        self.total = locked_total(self.deal, fees.protocol)
        assert world.locked(world.creator) == self.total
        assert world.locked(world.provider) == self.deal.collateral
        self.start = world.ledger(self.deal)

    @property
    def rate(self) -> int:
        return self.fees.protocol

    def submit(self, units: int = 4) -> Bank:
        self.result = self.world.submit(self.deal, units)
        self.units = units if self.deal.unit_price else 0
        return self

    def seed(self, *, drawn: bool) -> Bank:
        if self.deal.audit_bps == 10_000:
            drawn = True
        if self.deal.audit_bps:
            self.world.set_seed(self.deal, drawn=drawn)
        return self

    def later(self, seconds: int) -> Bank:
        self.world.pass_to(self.world.evm.timestamp + seconds)
        return self

    def expect(self, payout: Payout, **flows: int) -> None:
        """The escrow went where the payout says; `flows`: what a dispute moved besides (ledger names, smallest units)."""
        ledger, deal, world = self.world.ledger(self.deal), self.deal, self.world
        escrow = payouts.escrow(deal, self.rate) - flows.pop("paid_audit", 0)
        assert payout.total == escrow, "the reference itself loses money"
        expected = dict(self.start)
        expected["creator locked"] -= self.total
        expected["provider locked"] -= deal.collateral
        for name, amount in {
            "creator": payout.creator,
            "provider": payout.provider,
            "royalty": payout.royalty,
            "solver fee": payout.solver,
            "fund": payout.fund,
            "keeper": payout.keeper,
            "challenger": payout.challenger,
            "strategy": payout.strategy,
        }.items():
            expected[name] += amount
        for name, amount in flows.items():
            expected[name] += amount
        assert ledger == expected
        assert world.core.heldOf(world.token) == self.held
        assert world.token.balanceOf(world.core) == self.held


@pytest.fixture
def bank(request: pytest.FixtureRequest, _worlds: dict[int, World]) -> Iterator[Bank]:
    fees = ALL[request.param]
    world = _worlds[fees.protocol]
    with world.evm.snapshot():
        yield Bank(world, fees)


def every(fees: dict[str, Fees]) -> Callable[[Any], Any]:
    return pytest.mark.parametrize("bank", fees, indirect=True)


def no_certain_audit(fees: dict[str, Fees]) -> dict[str, Fees]:
    """Deals that the lottery can spare."""
    return {name: each for name, each in fees.items() if each.audit < 10_000}


# ---- paid


@every(no_certain_audit(ALL))
@pytest.mark.parametrize("units", [0, 4, 10, 11, 2**64 - 1])
def test_settle__by_silence__pays_each_part_of_the_charge(bank: Bank, units: int) -> None:
    """beh:C4 beh:C5 beh:C7 beh:C15 inv:I13 inv:I14 inv:I43"""
    deal = bank.deal
    bank.submit(units).seed(drawn=False).later(61)
    receipt = bank.world.settle(deal, bank.result)
    payout = payouts.accepted(deal, bank.units, bank.rate)
    bank.expect(payout)
    due = charge(deal, bank.units, bank.rate)
    assert receipt.event("DealAccepted")["gross"] == due.gross
    assert deal.price <= due.gross <= deal.value
    assert bank.total - payout.creator == due.total <= bank.pair.job.max_price
    assert payout.fund >= premium_of(deal)


@every(no_certain_audit(ALL))
def test_settle__by_acceptance__pays_the_same(bank: Bank) -> None:
    bank.submit().seed(drawn=False)
    bank.world.settle(bank.deal, bank.result, Agreement.ACCEPTANCE)
    bank.expect(payouts.accepted(bank.deal, bank.units, bank.rate))


@every(ALL)
def test_settle__by_waiver_before_the_draw__pays_the_same(bank: Bank) -> None:
    """inv:I43"""
    bank.submit()
    bank.world.settle(bank.deal, bank.result, Agreement.WAIVER)
    bank.expect(payouts.accepted(bank.deal, bank.units, bank.rate))


@every(ALL)
def test_submit_and_settle__with_a_waiver__pays_the_same(bank: Bank) -> None:
    world, deal = bank.world, bank.deal
    result = world.result(deal, units=4)
    world.core.submitAndSettle(*waived_at_once(deal, result, world.waiver(deal, result)), sender=world.provider)
    bank.expect(payouts.accepted(deal, 4 if deal.unit_price else 0, bank.rate))


# ---- no result, or none that opens


@every(ALL)
def test_decline__costs_one_percent_of_the_value_at_most_the_collateral(bank: Bank) -> None:
    """beh:C12 inv:I9"""
    world, deal = bank.world, bank.deal
    receipt = world.resolver.decline(deal.words, bank.pair.job.words(), sender=world.provider)
    payout = payouts.declined(deal, bank.rate)
    bank.expect(payout)
    assert receipt.event("DealDeclined")["compensation"] == min(deal.value // 100, deal.collateral)
    assert payout.creator - bank.total == min(deal.value // 100, deal.collateral)


@every(ALL)
def test_timeout_submit__refunds_with_the_penalty_less_the_bounty(bank: Bank) -> None:
    """beh:C12 beh:E2 beh:E6 inv:I9"""
    world, deal = bank.world, bank.deal
    receipt = bank.later(61).world.resolver.timeoutSubmit(deal.words, sender=world.keeper)
    payout = payouts.timed_out(deal, bank.rate, had_result=False)
    bank.expect(payout)
    assert payout.fund == 0 and payout.keeper == penalty(deal) // 100 == receipt.event("DealTimedOut")["bounty"]
    assert payout.creator + payout.keeper == bank.total + penalty(deal)


@every(no_certain_audit(ALL))
def test_timeout_reveal__takes_the_premium_on_top_of_the_penalty(bank: Bank) -> None:
    """beh:E2 inv:I43"""
    world, deal = bank.world, bank.deal
    bank.submit().seed(drawn=False).later(60 + 31)
    receipt = world.resolver.timeoutReveal(deal.words, sender=world.keeper)
    payout = payouts.timed_out(deal, bank.rate, had_result=True)
    bank.expect(payout)
    assert payout.fund == premium_of(deal)
    assert receipt.event("DealTimedOut") == {
        "dealId": bank.id, "creator": deal.creator, "provider": deal.provider, "penalty": penalty(deal),
        "bounty": payout.keeper, "keeper": world.keeper.address, "premium": payout.fund, "claim": 0,
    }  # fmt: skip


def test_timeout__claimed_by_the_late_party_itself__loses_it_more_than_the_bounty(world: World) -> None:
    """inv:T46"""
    deal, _ = world.open()
    before = world.free(world.provider) + deal.collateral
    world.pass_to(world.evm.timestamp + 61)
    world.resolver.timeoutSubmit(deal.words, sender=world.provider)
    assert world.free(world.provider) == before - penalty(deal) + penalty(deal) // 100


# ---- by agreement


@every(ALL)
@pytest.mark.parametrize("share", [0, 1, 3])
@pytest.mark.parametrize("with_result", [False, True])
def test_close__divides_the_escrow_as_both_signed(bank: Bank, share: int, with_result: bool) -> None:
    """beh:C13 inv:I41 inv:I43"""
    deal = bank.deal
    if with_result:
        bank.submit()
    rest = payouts.escrow(deal, bank.rate) - (premium_of(deal) if with_result else 0)
    to_creator = rest * share // 3
    receipt = bank.world.close(deal, to_creator, rest - to_creator)
    bank.expect(payouts.closed(deal, bank.rate, to_creator, had_result=with_result))
    assert receipt.event("DealClosed") == {
        "dealId": bank.id, "creator": deal.creator, "provider": deal.provider,
        "toCreator": to_creator, "toProvider": rest - to_creator, "premium": premium_of(deal) if with_result else 0,
    }  # fmt: skip


@every(ALL)
@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("with_result", [False, True])
def test_close__one_unit_off__is_refused(bank: Bank, by: int, with_result: bool) -> None:
    """inv:I41"""
    deal = bank.deal
    if with_result:
        bank.submit()
    rest = payouts.escrow(deal, bank.rate) - (premium_of(deal) if with_result else 0)
    with expect_revert("SplitUnbalanced", dealId=bank.id, found=rest + by, needed=rest):
        bank.world.close(deal, rest + by, 0)


# ---- judged: what the dispute cost is with the strategy


def _challenged(bank: Bank) -> dict[str, int]:
    bank.submit()
    bank.world.resolver.challenge(bank.deal.words, sender=bank.world.challenger)
    fee = challenge_fee(bank.deal)
    return {"challenger": -fee, "strategy": fee}


def _challenged_after_the_draw(bank: Bank) -> dict[str, int]:
    bank.submit().seed(drawn=True)
    bank.world.resolver.challenge(bank.deal.words, sender=bank.world.challenger)
    fee = challenge_fee(bank.deal)
    return {"challenger": -fee, "strategy": fee}


def _audited(bank: Bank) -> dict[str, int]:
    bank.submit().seed(drawn=True)
    bank.world.resolver.audit(bank.deal.words, 0, sender=bank.world.keeper)
    fee = audit_fee(bank.deal)
    return {"fund": -fee, "strategy": fee}


def _audited_by_the_collateral(bank: Bank) -> dict[str, int]:
    bank.submit()
    bank.world.lose_seed(bank.deal)
    bank.world.resolver.audit(bank.deal.words, 0, sender=bank.world.keeper)
    fee = audit_fee(bank.deal)
    return {"paid_audit": fee, "strategy": fee}


def _delivery_challenged(bank: Bank) -> dict[str, int]:
    bank.submit()
    bank.world.resolver.challengeDelivery(bank.deal.words, sender=bank.world.creator)
    fee = delivery_fee(bank.deal)
    return {"creator": -fee, "strategy": fee}


DISPUTES = {
    "challenge": _challenged,
    "challenge after the draw": _challenged_after_the_draw,
    "audit": _audited,
    "audit by the collateral": _audited_by_the_collateral,
}
disputes = pytest.mark.parametrize("dispute", DISPUTES)


@every(VERIFIED)
@disputes
@pytest.mark.parametrize("claimed", ["nothing", "a unit", "the most"])
def test_resolve_correct__pays_as_a_settlement_less_the_claim(bank: Bank, dispute: str, claimed: str) -> None:
    """beh:C5 inv:I43 inv:I44"""
    deal = bank.deal
    flows = DISPUTES[dispute](bank)
    most = _most_claim_when_correct(bank, dispute)
    claim = {"nothing": 0, "a unit": 1, "the most": most}[claimed]
    receipt = bank.world.resolve(deal, Verdict.CORRECT, bank.result, claim)
    bank.expect(payouts.accepted(deal, bank.units, bank.rate, claim, paid_audit="paid_audit" in flows), **flows)
    assert receipt.event("DealMediationAccepted") == {
        "dealId": bank.id, "creator": deal.creator, "provider": deal.provider, "claim": claim,
        "resultDigest": result_digest(bank.result.head, bank.result.content),
        "gross": charge(deal, bank.units, bank.rate).gross,
    }  # fmt: skip


@every(VERIFIED)
@disputes
def test_resolve_correct__claiming_a_unit_too_much__is_refused(bank: Bank, dispute: str) -> None:
    """inv:I44"""
    DISPUTES[dispute](bank)
    most = _most_claim_when_correct(bank, dispute)
    with expect_revert("ClaimTooHigh", dealId=bank.id, claim=most + 1, most=most):
        bank.world.resolve(bank.deal, Verdict.CORRECT, bank.result, most + 1)


def _most_claim_when_correct(bank: Bank, dispute: str) -> int:
    """Three seat fees; after a lost seed not more than the provider still has in the deal."""
    deal = bank.deal
    has = deal.collateral + charge(deal, bank.units, bank.rate).gross
    if dispute == "audit by the collateral":
        has -= audit_fee(deal)
    return min(challenge_fee(deal), has)


@every(VERIFIED)
@disputes
@pytest.mark.parametrize("claimed", ["nothing", "a unit", "some", "the most"])
@pytest.mark.parametrize("bounty", [False, True])
def test_resolve_wrong__makes_the_creator_whole_then_claim_bounty_fund(
    bank: Bank, dispute: str, claimed: str, bounty: bool
) -> None:
    """beh:D7 inv:I9 inv:I43 inv:I44"""
    world, deal = bank.world, bank.deal
    flows = DISPUTES[dispute](bank)
    most = deal.collateral - premium_of(deal) - deal.value - flows.get("paid_audit", 0)
    claim = {"nothing": 0, "a unit": min(1, most), "some": most - most // 50, "the most": most}[claimed]
    receipt = world.resolve(deal, Verdict.WRONG, claim=claim, bounty_to=world.challenger if bounty else NOBODY)
    earned = bounty and dispute == "challenge"
    payout = payouts.found_wrong(deal, bank.rate, claim, bounty=earned, paid_audit="paid_audit" in flows)
    bank.expect(payout, **flows)
    assert payout.creator == bank.total + deal.value
    assert payout.challenger == (min(deal.collateral // 20, most - claim) if earned else 0)
    assert receipt.event("DealMediationRejected") == {
        "dealId": bank.id, "creator": deal.creator, "provider": deal.provider, "claim": claim, "bounty": payout.challenger,
        "bountyTo": world.challenger.address if bounty else NOBODY, "toFund": payout.fund - premium_of(deal),
    }  # fmt: skip


@every(VERIFIED)
@disputes
def test_resolve_wrong__claiming_a_unit_too_much__is_refused(bank: Bank, dispute: str) -> None:
    """inv:I44"""
    deal = bank.deal
    flows = DISPUTES[dispute](bank)
    most = deal.collateral - premium_of(deal) - deal.value - flows.get("paid_audit", 0)
    with expect_revert("ClaimTooHigh", dealId=bank.id, claim=most + 1, most=most):
        bank.world.resolve(deal, Verdict.WRONG, claim=most + 1, bounty_to=bank.world.challenger)


@every(VERIFIED)
@pytest.mark.parametrize("dispute", [*DISPUTES, "delivery"])
@pytest.mark.parametrize("by_time", [False, True])
def test_no_fault__refunds_less_the_premium_and_frees_the_collateral(bank: Bank, dispute: str, by_time: bool) -> None:
    """beh:E3 beh:D26 inv:I39 inv:I43"""
    world, deal = bank.world, bank.deal
    flows = (DISPUTES | {"delivery": _delivery_challenged})[dispute](bank)
    if by_time:
        bank.later(601)
        receipt = world.resolver.timeoutMediation(deal.words, sender=world.solver)
    else:
        receipt = world.resolve(deal, Verdict.NO_FAULT)
    bank.expect(payouts.no_fault(deal, bank.rate, paid_audit="paid_audit" in flows), **flows)
    assert receipt.event("DealNoFault") == {
        "dealId": bank.id, "creator": deal.creator, "provider": deal.provider,
        "premium": premium_of(deal), "collateral": deal.collateral - flows.get("paid_audit", 0),
    }  # fmt: skip


@every(VERIFIED)
@pytest.mark.parametrize("lost", [False, True])
def test_no_fault__of_a_drawn_deal_that_nobody_audited__frees_the_whole_collateral(bank: Bank, lost: bool) -> None:
    """inv:I39 inv:I43"""
    bank.submit()
    if lost:
        bank.world.lose_seed(bank.deal)
    else:
        bank.seed(drawn=True)
    bank.later(60 + 601)
    bank.world.resolver.timeoutMediation(bank.deal.words, sender=bank.world.solver)
    bank.expect(payouts.no_fault(bank.deal, bank.rate))


@every(VERIFIED)
def test_resolve_no_fault__with_a_claim__is_refused(bank: Bank) -> None:
    """inv:I44"""
    _challenged(bank)
    with expect_revert("ClaimTooHigh", claim=1, most=0):
        bank.world.resolve(bank.deal, Verdict.NO_FAULT, claim=1)


# ---- delivery


@every(VERIFIED)
def test_resolve_delivered__moves_no_money_and_leaves_the_deal_to_be_settled(bank: Bank) -> None:
    """beh:C10"""
    world, deal = bank.world, bank.deal
    flows = _delivery_challenged(bank)
    before = world.ledger(deal)
    with expect_revert("ClaimTooHigh", claim=1, most=0):
        world.resolve(deal, Verdict.DELIVERED, claim=1)
    world.resolve(deal, Verdict.DELIVERED)
    assert world.ledger(deal) == before
    world.settle(deal, bank.result, Agreement.WAIVER)
    bank.expect(payouts.accepted(deal, bank.units, bank.rate), **flows)


@every(VERIFIED)
@pytest.mark.parametrize("claimed", ["nothing", "the fee", "the most"])
@pytest.mark.parametrize("keeper", [False, True])
def test_resolve_not_delivered__ends_as_an_opening_that_timed_out_plus_the_claim(
    bank: Bank, claimed: str, keeper: bool
) -> None:
    """beh:C10 inv:I43 inv:I44"""
    world, deal = bank.world, bank.deal
    flows = _delivery_challenged(bank)
    most = deal.collateral - penalty(deal) - premium_of(deal)
    claim = {"nothing": 0, "the fee": min(delivery_fee(deal), most), "the most": most}[claimed]
    with expect_revert("ClaimTooHigh", claim=most + 1, most=most):
        world.resolve(deal, Verdict.NOT_DELIVERED, claim=most + 1)
    receipt = world.resolve(deal, Verdict.NOT_DELIVERED, claim=claim, bounty_to=world.keeper if keeper else NOBODY)
    payout = payouts.timed_out(deal, bank.rate, had_result=True, claim=claim, keeper=keeper)
    bank.expect(payout, **flows)
    assert receipt.event("DealTimedOut") == {
        "dealId": bank.id, "creator": deal.creator, "provider": deal.provider, "penalty": penalty(deal),
        "bounty": payout.keeper, "keeper": world.keeper.address if keeper else NOBODY,
        "premium": payout.fund, "claim": claim,
    }  # fmt: skip


@every(VERIFIED)
def test_audit_by_the_collateral__leaves_enough_to_make_the_creator_whole(bank: Bank) -> None:
    """beh:B8 inv:I37"""
    _audited_by_the_collateral(bank)
    assert bank.world.locked(bank.world.provider) >= bank.deal.value + premium_of(bank.deal)
