"""What actors can expect: against plain enumeration, against the inequality of 6.6, and against what the gym measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import pytest

from lilypad_agents.protocol.deterrence import PRESETS, Preset, preset
from lilypad_agents.protocol.economics import (
    RUN,
    Terms,
    accusing,
    breaks_even,
    capture_chance,
    copying,
    crying,
    escape_chance,
    lazy_limit,
    self_dealing,
    skipping,
    working,
)
from lilypad_agents.protocol.errors import FieldInvalid
from tests.docs.markdown import ROOT

STANDARD = Terms.of(preset("standard"))
BELOW_A_QUARTER = [Fraction(per_cent, 100) for per_cent in range(25)]
GYM = {one["name"]: one for one in json.loads((ROOT / "bench/results/gym.json").read_text(encoding="utf-8"))["scenarios"]}
# Scenarios of the gym that this module computes too. Their coalitions are no wiser than the model's, so it is an upper bound.
TWINS: dict[str, Callable[[Fraction], Fraction]] = {
    "skips the work": lambda share: skipping(STANDARD, share),
    "skips the work, nobody appeals": lambda share: skipping(STANDARD, share, appeals=False),
    "skips the work, light": lambda share: skipping(Terms.of(preset("light")), share),
    "skips the work, strict": lambda share: skipping(Terms.of(preset("strict")), share),
    "starves honest lone seats": lambda share: skipping(STANDARD, share, starves=True),
    "starves lone seats, nobody appeals": lambda share: skipping(STANDARD, share, starves=True, appeals=False),
    "deals with itself": lambda share: self_dealing(STANDARD, share),
    "deals with itself, flaky module": lambda share: self_dealing(STANDARD, share, flaky=True),
    "false alarm: module broken": lambda share: crying(STANDARD, share),
    "creator accuses, nobody appeals": lambda share: accusing(STANDARD, share, appeals=False),
}


@pytest.mark.parametrize("share", [Fraction(-1, 100), Fraction(101, 100)])
def test_capture_chance__of_no_share__is_refused(share: Fraction) -> None:
    with pytest.raises(FieldInvalid):
        capture_chance(share, 3)


@pytest.mark.parametrize("seats", [1, 3, 7])
def test_capture_chance__is_what_counting_all_benches_gives(seats: int) -> None:
    """beh:D2: a quarter of the stake is hostile: each seat is one of four accounts, the first of which is."""
    benches = list(product(range(4), repeat=seats))
    captured = sum(2 * bench.count(0) > seats for bench in benches)
    assert capture_chance(Fraction(1, 4), seats) == Fraction(captured, len(benches))


def test_escape_chance__grows_when_nobody_appeals() -> None:
    share = Fraction(1, 5)
    assert escape_chance(share, appeals=False) == 1 - Fraction(4, 5) * (1 - capture_chance(share, 3))
    assert escape_chance(share) < escape_chance(share, appeals=False)
    assert escape_chance(Fraction(0)) == 0


@pytest.mark.parametrize("one", PRESETS, ids=lambda one: one.name)
def test_skipping__without_hostile_stake__is_the_inequality(one: Preset) -> None:
    """beh:D3: what it saves, less the audit rate times pay and collateral."""
    terms = Terms.of(one)
    assert skipping(terms, Fraction(0)) == RUN - terms.audit * (1 + terms.collateral)
    assert working(terms) == 1 - RUN


@pytest.mark.parametrize("one", PRESETS, ids=lambda one: one.name)
def test_presets__below_a_quarter__lose_by_cheating_accusing_and_self_dealing(one: Preset) -> None:
    """inv:T20 inv:T22 inv:T37 inv:T56 inv:I38: whether somebody appeals or not, whether inputs are served or not."""
    terms = Terms.of(one)
    for share in BELOW_A_QUARTER:
        for appeals, starves in product((True, False), repeat=2):
            assert skipping(terms, share, appeals=appeals, starves=starves) < 0
        assert share == 0 or crying(terms, share) < 0
        assert accusing(terms, share) < 0
        assert self_dealing(terms, share) < 0
        assert self_dealing(terms, share, flaky=True) < 0


def test_copying__is_worth_it_below_the_limit_and_not_above() -> None:
    """inv:T55"""
    assert copying(lazy_limit()) == 0
    assert copying(lazy_limit() - Fraction(1, 1_000)) > 0 > copying(lazy_limit() + Fraction(1, 1_000))


def test_breaks_even__is_the_first_thousandth_that_pays() -> None:
    def profit(share: Fraction) -> Fraction:
        return share - Fraction(1_234, 10_000)

    assert breaks_even(profit) == Fraction(124, 1_000)
    assert breaks_even(lambda share: Fraction(-1)) is None
    assert breaks_even(lambda share: Fraction(1)) == 0


@pytest.mark.parametrize("name", TWINS)
def test_model__and_the_gym__agree(name: str) -> None:
    """beh:L19: within four standard errors, and a hundredth of the value for seats that are not quite drawn with replacement."""
    for share, measured in GYM[name]["shares"].items():
        expected = float(TWINS[name](Fraction(int(share), 100)))
        assert measured["profit"] == pytest.approx(expected, abs=4 * measured["error"] + 0.01), f"{share} %"
