"""Prices, fees and endings add up to the unit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.price import (
    audit_fee,
    challenge_fee,
    challenger_bounty,
    charge,
    decline_cost,
    delivery_fee,
    keeper_bounty,
    least_seat_stake_up,
    locked_total,
    penalty,
    premium_of,
    premium_up,
    seat_fee_up,
)
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from tests.support.values import structs

COIN = 10**18


@pytest.fixture
def deal(job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms) -> Deal:
    """Price 1, unit price 0.01, at most 10 units; royalty 5 %, solver 1 %; audit 8 %, collateral 16.2 times."""
    return deal_from_offers(job, resource, module, pool)


def openable(verified: st.SearchStrategy[bool] = st.booleans()) -> st.SearchStrategy[Deal]:
    """Deals whose figures hang together as an opening makes them: values from dust to 2^86, any rates it allows."""

    def build(deal: Deal, verified: bool, value: int, unit_price: int, rate: int) -> Deal:
        unit_price = min(unit_price, value // max(deal.max_units, 1))
        value = (value - unit_price * deal.max_units) + unit_price * deal.max_units
        seat_fee = seat_fee_up(value, deal.seat_floor % 10**20, 0) if verified else 0
        audit = deal.audit_bps % 10_001 if verified else 0
        least = value + premium_up(seat_fee, audit) + 4 * seat_fee if verified else 0
        return replace(
            deal, price=value - unit_price * deal.max_units, unit_price=unit_price, seat_fee=seat_fee, audit_bps=audit,
            pool=b"\1" * 32 if verified else bytes(32), collateral=least + rate,
            royalty_bps=deal.royalty_bps % 3_001, solver_fee_bps=deal.solver_fee_bps % 1_001,
        )  # fmt: skip

    return st.builds(
        build, structs(Deal), verified, st.integers(1, 2**86), st.integers(0, 2**80), st.integers(0, 2**80)
    )


units = st.one_of(st.sampled_from((0, 1, 2**64 - 1)), st.integers(0, 2**64 - 1))
fees = st.integers(0, 1_000)


def test_charge__plain_deal__is_the_quote(deal: Deal) -> None:
    """The figures of protocol 3.5, by hand."""
    due = charge(deal, 3, 100)
    assert due.gross == 103 * COIN // 100
    assert due.royalty == 515 * COIN // 10_000
    assert due.solver_fee == 103 * COIN // 10_000
    assert due.protocol_fee == 103 * COIN // 10_000
    assert due.premium == 121 * COIN // 1_000  # 1.1 * 8 % * 125 % of 1.1
    assert due.total == due.gross + due.royalty + due.solver_fee + due.protocol_fee + due.premium


def test_charge__more_units_than_signed__counts_the_signed_maximum(deal: Deal) -> None:
    """beh:C7 in part: units never exceed the signed limit."""
    assert charge(deal, 11, 100) == charge(deal, 10, 100) == charge(deal, 2**64 - 1, 100)
    assert charge(deal, 9, 100).gross < charge(deal, 10, 100).gross


def test_charge__rounding__is_down_for_fees_and_up_for_seat_fee_and_premium(deal: Deal) -> None:
    dust = replace(deal, price=1, unit_price=0, seat_fee=1, audit_bps=1)
    due = charge(dust, 0, 100)
    assert (due.royalty, due.solver_fee, due.protocol_fee) == (0, 0, 0)
    assert due.premium == 1
    assert (seat_fee_up(1, 0, 0), seat_fee_up(4, 0, 0), seat_fee_up(5, 0, 0)) == (2, 5, 7)
    assert (premium_up(0, 800), premium_up(100_000, 1), premium_up(100_001, 1)) == (0, 11, 12)
    assert (least_seat_stake_up(10), least_seat_stake_up(1)) == (64, 7)


def test_seat_fee__below_floor_or_minimum__is_the_larger() -> None:
    assert seat_fee_up(100, 0, 0) == 125
    assert seat_fee_up(100, 126, 0) == 126
    assert seat_fee_up(100, 126, 200) == 200


def test_charge__unverified__has_no_protocol_fee_and_no_premium(deal: Deal) -> None:
    due = charge(replace(deal, pool=bytes(32)), 10, 100)
    assert due.to_fund == 0
    assert due.royalty > 0


def test_figures__of_a_plain_deal__are_those_of_section_15(deal: Deal) -> None:
    value = deal.value
    assert value == 11 * COIN // 10
    assert penalty(deal) == value
    assert penalty(replace(deal, collateral=5)) == 5
    assert keeper_bounty(deal) == value // 100
    assert decline_cost(deal) == value // 100
    assert decline_cost(replace(deal, collateral=5)) == 5
    assert challenger_bounty(deal) == deal.collateral // 20
    assert (audit_fee(deal), challenge_fee(deal)) == (4 * deal.seat_fee, 3 * deal.seat_fee)
    assert delivery_fee(deal) == 3 * deal.seat_floor


@given(deal=openable(), used=units, fee=fees)
def test_charge__any_deal__never_exceeds_what_was_locked(deal: Deal, used: int, fee: int) -> None:
    """inv:I14 in Python: at most the locked total, the provider's part exactly price and units."""
    due = charge(deal, used, fee)
    assert due.total <= locked_total(deal, fee)
    assert due.gross == deal.price + deal.unit_price * min(used, deal.max_units)
    assert due.premium == premium_of(deal)


@given(deal=openable(), used=units, fee=fees, share=st.integers(0, 10_000), bounty=st.booleans(), paid=st.booleans())
def test_payouts__at_every_ending__add_up_to_the_escrow(
    deal: Deal, used: int, fee: int, share: int, bounty: bool, paid: bool
) -> None:
    """beh:A2 in the reference: every ending gives away exactly what was locked, and nobody a negative amount."""
    paid = paid and deal.is_verified
    whole = payouts.escrow(deal, fee)
    spent = audit_fee(deal) if paid else 0  # went to the strategy before
    endings = {
        "accepted": payouts.accepted(deal, used, fee),
        "correct": payouts.accepted(deal, used, fee, challenge_fee(deal) * share // 10_000),
        "declined": payouts.declined(deal, fee),
        "late": payouts.timed_out(deal, fee, had_result=False, keeper=bounty),
        "closed": payouts.closed(deal, fee, whole * share // 20_000, had_result=False),
    }
    if deal.is_verified:
        left = deal.collateral - deal.value - premium_of(deal)
        endings["unopened"] = payouts.timed_out(deal, fee, True, left * share // 10_000, bounty)
        endings["wrong"] = payouts.found_wrong(deal, fee, left * share // 10_000, bounty)
        endings["closed late"] = payouts.closed(deal, fee, 0, had_result=True)
    for name, payout in endings.items():
        assert payout.total == whole, name
        assert min(vars(payout).values()) >= 0, name
    claim = min(challenge_fee(deal), deal.collateral - spent + charge(deal, used, fee).gross) * share // 10_000
    for name, payout in {
        "correct": payouts.accepted(deal, used, fee, claim, paid_audit=paid),
        "no fault": payouts.no_fault(deal, fee, paid),
        **({"wrong": payouts.found_wrong(deal, fee, bounty=bounty, paid_audit=paid)} if deal.is_verified else {}),
    }.items():
        assert payout.total + spent == whole, name
        assert min(vars(payout).values()) >= 0, name


@given(deal=openable(st.just(True)), fee=fees, bounty=st.booleans())
def test_payouts__found_wrong__make_the_creator_whole_first(deal: Deal, fee: int, bounty: bool) -> None:
    """beh:D7 in the reference: refund and compensation whatever the claim, nothing to anybody privileged."""
    most = deal.collateral - deal.value - premium_of(deal)
    for claim in (0, most):
        payout = payouts.found_wrong(deal, fee, claim, bounty)
        assert payout.creator == locked_total(deal, fee) + deal.value
        assert payout.provider == 0
        assert payout.fund >= premium_of(deal)
        assert payout.challenger <= (challenger_bounty(deal) if bounty else 0)
    with pytest.raises(FieldInvalid, match="claim"):
        payouts.found_wrong(deal, fee, most + 1, bounty)


@given(deal=openable(st.just(True)), fee=fees, used=units)
def test_payouts__endings_with_a_result__pay_the_premium(deal: Deal, fee: int, used: int) -> None:
    """inv:I43 in the reference."""
    premium = premium_of(deal)
    for payout in (
        payouts.accepted(deal, used, fee),
        payouts.timed_out(deal, fee, had_result=True),
        payouts.found_wrong(deal, fee),
        payouts.no_fault(deal, fee),
        payouts.closed(deal, fee, 0, had_result=True),
    ):
        assert payout.fund >= premium
    assert payouts.timed_out(deal, fee, had_result=False).fund == 0


def test_payouts__claims_beyond_their_bounds__are_refused(deal: Deal) -> None:
    with pytest.raises(FieldInvalid, match="claim"):
        payouts.accepted(deal, 1, 100, challenge_fee(deal) + 1)
    with pytest.raises(FieldInvalid, match="claim"):
        payouts.timed_out(deal, 100, had_result=False, claim=1)
    poor = replace(deal, collateral=audit_fee(deal) + 5)
    held = 5 + charge(poor, 1, 100).gross
    assert payouts.accepted(poor, 1, 100, held, paid_audit=True).provider == 0
    with pytest.raises(FieldInvalid, match="claim"):
        payouts.accepted(poor, 1, 100, held + 1, paid_audit=True)
    with pytest.raises(FieldInvalid, match="toCreator"):
        payouts.closed(deal, 100, payouts.escrow(deal, 100) + 1, had_result=False)


def test_payouts__keeper__earns_less_than_the_late_party_pays(deal: Deal) -> None:
    """beh:E6, inv:T46 in the reference: claiming one's own timeout loses."""
    late = payouts.timed_out(deal, 100, had_result=False)
    assert 0 < late.keeper < penalty(deal)
    assert late.provider + late.keeper < deal.collateral
    assert payouts.timed_out(deal, 100, had_result=False, keeper=False).creator == late.creator + late.keeper


def test_unverified__terms__price_a_deal_without_fund(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms
) -> None:
    free = deal_from_offers(replace(job, pool=bytes(32)), replace(resource, pool=bytes(32)), module, UNVERIFIED)
    assert payouts.accepted(free, 1, 100).fund == 0
