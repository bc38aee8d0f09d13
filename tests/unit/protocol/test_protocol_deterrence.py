"""Honesty has to be the better deal: the inequality, its margin, the presets."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.protocol.deterrence import (
    PRESETS,
    Preset,
    audit_rate_floor,
    collateral_floor,
    is_deterrent,
    margin,
    preset,
)
from lilypad_agents.protocol.errors import TermsUnsafe
from lilypad_agents.protocol.price import premium_up, seat_fee_up

rates = st.integers(0, 10_000)
collaterals = st.integers(0, 2**32 - 1)


@given(rates, collaterals)
def test_is_deterrent__any_terms__is_the_inequality_of_section_6_6(audit_bps: int, collateral_bps: int) -> None:
    """beh:D3: auditBps/1e4 * 0.75 * (1 + collateralBps/1e4) >= 0.96, in exact fractions."""
    left = Fraction(audit_bps, 10_000) * Fraction(7, 10) * (1 + Fraction(collateral_bps, 10_000))
    assert is_deterrent(audit_bps, collateral_bps) == (left >= Fraction(96, 100))
    assert margin(audit_bps, collateral_bps).holds == is_deterrent(audit_bps, collateral_bps)


@given(rates, collaterals)
def test_margin__any_terms__is_what_a_cheat_loses_on_average(audit_bps: int, collateral_bps: int) -> None:
    """beh:D3: the calculator's figure against expected values: saves 80 %, caught it loses payment and collateral."""
    caught = Fraction(audit_bps, 10_000) * Fraction(7, 10)
    expected = (caught * (1 + Fraction(collateral_bps, 10_000)) - Fraction(8, 10)) * 10_000
    found = margin(audit_bps, collateral_bps)
    assert 0 <= expected - found.cheat_loses_bps < 1
    if found.holds:
        assert found.cheat_loses_bps >= 1_600  # 1.2 times the saving
        assert found.strength_bps >= 10_000


@pytest.mark.parametrize(
    ("name", "audit_bps", "collateral_times", "premium_percent"),
    [("standard", 800, 16.2, 11), ("light", 400, 33.3, 5.5), ("strict", 2_000, 6.5, 27.5), ("every time", 10_000, 8, 137.5)],
)
def test_preset__by_name__has_the_figures_of_the_protocol_and_holds(
    name: str, audit_bps: int, collateral_times: float, premium_percent: float
) -> None:
    found = preset(name)
    assert found == Preset(name, audit_bps, round(collateral_times * 10_000))
    assert found.premium_bps == premium_percent * 100
    assert margin(found.audit_bps, found.collateral_bps).holds
    assert found.collateral_bps >= collateral_floor(found.audit_bps)


def test_presets__with_a_tenth_of_the_value_less__no_longer_hold_where_they_are_tight() -> None:
    for tight in (preset("standard"), preset("light")):
        assert not is_deterrent(tight.audit_bps, tight.collateral_bps - 1_000)
    assert len(PRESETS) == 4


def test_preset__unknown__lists_the_names() -> None:
    with pytest.raises(TermsUnsafe, match="standard, light, strict, every time"):
        preset("free")


@given(collaterals)
def test_audit_rate_floor__is_the_smallest_that_holds(collateral_bps: int) -> None:
    if not is_deterrent(10_000, collateral_bps):
        with pytest.raises(TermsUnsafe):
            audit_rate_floor(collateral_bps)
        return
    rate = audit_rate_floor(collateral_bps)
    assert is_deterrent(rate, collateral_bps)
    assert not is_deterrent(rate - 1, collateral_bps)


@given(st.integers(1, 10_000), st.integers(10**6, 10**20))
def test_collateral_floor__suffices_for_both_rules_at_the_usual_seat_fee(audit_bps: int, value: int) -> None:
    least = collateral_floor(audit_bps)
    assert is_deterrent(audit_bps, least)
    seat_fee = seat_fee_up(value, 0, 0)
    needed = value + premium_up(seat_fee, audit_bps) + 4 * seat_fee
    assert value * least // 10_000 >= needed - 7  # roundings of seat fee, premium and collateral
    assert not is_deterrent(audit_bps, least - 1) or value * (least - 1) // 10_000 < needed


def test_collateral_floor__without_audits__is_refused() -> None:
    with pytest.raises(TermsUnsafe):
        collateral_floor(0)


def test_margin__in_words__says_verdict_and_money() -> None:
    """beh:D3: shown with its margin."""
    assert str(margin(800, 162_000)) == (
        "Audit rate 8 %, collateral 16.2 times the value: accepted, at 1.00 times what is needed; "
        "who skips the work loses 16.3 % of the value on average."
    )
    weak = str(margin(100, 10_000))
    assert "refused" in weak
    assert "gains 78.6 %" in weak
