"""Fees: first offer, rises that nodes accept, caps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.chain.fees import FeeMarket, Fees, covers, first_fees, raise_up, raised_fees
from lilypad_agents.chain.types import Wei

amounts = st.integers(0, 10**14).map(Wei)
markets = st.builds(FeeMarket, base_fee=amounts, tip=amounts)


@given(markets, amounts)
def test_first_fees__any_market__within_the_cap_and_minable_or_waiting(market: FeeMarket, cap: Wei) -> None:
    """flt:F19"""
    fees = first_fees(market, cap)
    if fees is None:
        assert market.base_fee + market.tip > cap
    else:
        assert fees.tip <= fees.max_fee <= cap and covers(fees, market)


@given(st.builds(Fees, max_fee=amounts, tip=amounts), markets, amounts)
def test_raised_fees__any_market__rises_both_by_an_eighth_or_waits(old: Fees, market: FeeMarket, cap: Wei) -> None:
    """flt:F19 Nodes take a replacement only when both fields rise by 10 %."""
    new = raised_fees(old, market, cap)
    if new is None:
        return
    assert new.max_fee <= cap and new.tip <= new.max_fee
    assert new.max_fee * 10 >= old.max_fee * 11 and new.tip * 10 >= old.tip * 11
    assert new.max_fee > old.max_fee and new.tip > old.tip


def test_raised_fees__at_the_cap__waits() -> None:
    """flt:F19"""
    market = FeeMarket(Wei(1_000), Wei(1))
    assert raised_fees(Fees(Wei(100), Wei(1)), market, Wei(112)) is None
    assert raised_fees(Fees(Wei(100), Wei(1)), market, Wei(113)) == Fees(Wei(113), Wei(2))


def test_raised_fees__room_below_the_cap__covers_the_market() -> None:
    market = FeeMarket(Wei(1_000), Wei(10))
    assert raised_fees(Fees(Wei(100), Wei(1)), market, Wei(10_000)) == Fees(Wei(2_010), Wei(10))


def test_raise_up__small_amounts__still_rise() -> None:
    assert [raise_up(Wei(amount)) for amount in (0, 1, 8, 9)] == [1, 2, 9, 11]
