"""The short form of the adversary gym: every script once, exact money where no stake is hostile, and what the long form relies on.

The table of all shares is bench/results/gym.json (`make gym`). Every play asserts that not a unit was made or lost.
"""

from __future__ import annotations

import json
from fractions import Fraction
from functools import lru_cache

import pytest

from tests.adversaries.accusing import false_alarm
from tests.adversaries.arena import HONEST, HOSTILE, VALUE, WORK, Arena, Part, Scenario, seed_of
from tests.adversaries.cheating import PROVIDER, alone, honest_deal, skip_work
from tests.adversaries.estimate import Memory, estimate, run
from tests.adversaries.flooding import DUST, FLOODERS, flood
from tests.adversaries.gym import RESULTS, SCENARIOS
from tests.adversaries.withholding import unserved_alone
from tests.support.panels import BROKEN, CANNOT_RUN, RIGHT

FEE = 5 * VALUE // 4
COLLATERAL = 162 * VALUE // 10  # of the standard preset
NOBODY_HOSTILE, FIFTH = Fraction(0), Fraction(1, 5)
QUICK = [one for one in SCENARIOS if "dust" not in one.name]
IN_FULL = json.loads(RESULTS.read_text(encoding="utf-8"))["scenarios"]


@lru_cache(maxsize=1)
def arena() -> Arena:
    return Arena()


@pytest.mark.parametrize("scenario", QUICK, ids=lambda one: one.name)
def test_play__without_hostile_stake__costs_the_attackers_what_the_table_says(scenario: Scenario) -> None:
    """inv:T16 inv:T19 inv:T20 inv:T22 inv:T23 inv:T24 inv:T31 inv:T32 inv:T34 inv:T37 inv:T46 inv:T49 inv:T50 inv:T53 inv:T54
    inv:T55 inv:T56 inv:T58 inv:T59 inv:I38 beh:D29 beh:L19: nothing is left to chance here, so one seed is exact."""
    (written,) = [one for one in IN_FULL if one["name"] == scenario.name]
    found = estimate(arena(), scenario, NOBODY_HOSTILE, seeds=1)
    assert round(found.profit / VALUE, 6) == written["shares"]["0"]["profit"]
    assert found.profit <= 0 or scenario.known


def test_skip_work__caught_for_sure__loses_to_the_wei() -> None:
    """inv:T20 beh:D29: 8 % of audits cost collateral and pay, 92 % bring the price of work that was not done."""
    scenario = Scenario("", "", "", PROVIDER, (Part(skip_work(), honest_deal),), lottery=True)
    drawn, spared = -COLLATERAL, VALUE
    assert estimate(arena(), scenario, NOBODY_HOSTILE, seeds=1).profit == (8 * drawn + 92 * spared) // 100 - VALUE // 5


def test_starve_lone_seats__a_hostile_second_one_confirms__the_panel_sits_all_the_same() -> None:
    """inv:T56 inv:T20: a seed whose first lone seat is honest and whose second is hostile, once the way to escape."""
    script = skip_work(alone(RIGHT), honest=unserved_alone)
    for seed in range(40):
        money, asked = run(arena(), script, FIFTH, seed, "standard", drawn=True)
        if [draw.hostile for draw in asked[:2]] == [0, 1]:
            assert [draw.seats for draw in asked] == [1, 1, 3]
            assert money["provider"] == -COLLATERAL
            return
    raise AssertionError("no such seed")


@pytest.mark.parametrize("word", [BROKEN, CANNOT_RUN])
def test_false_alarm__of_a_lone_seat__another_one_is_asked_and_the_fund_pays_no_panel(word: str) -> None:
    """inv:T24 inv:I38: the first seat is not paid, the second is, and what three more would have cost stays in the fund."""
    for seed in range(40):
        money, asked = run(arena(), false_alarm(word), FIFTH, seed, "standard", drawn=True)
        if [draw.hostile for draw in asked[:2]] == [1, 0]:
            assert [draw.seats for draw in asked] == [1, 1]
            assert money[HOSTILE] == 0 and money[HONEST] == FEE - FEE // 50 - WORK
            assert money["provider"] == VALUE - WORK
            return
    raise AssertionError("no such seed")


def test_reuse__of_a_pattern__gives_the_money_of_a_fresh_play() -> None:
    """What the long form saves: seeds that draw the same numbers of hostile seats have the same money."""
    memory = Memory()
    compared = 0
    for seed in range(24):
        known = memory.recall(arena(), arena().hostile(FIFTH), seed)
        if known is None or compared < 4:
            money, asked = run(arena(), skip_work(), FIFTH, seed, "standard", drawn=True)
            if known is not None:
                compared += 1
                assert money == known
            memory.keep(asked, money)
    assert compared == 4


def test_prediction__of_the_first_seat__is_the_contract_s() -> None:
    """inv:T31: the draw is a function of seed, tree and round."""
    for seed in range(6):
        _, asked = run(arena(), honest_deal, FIFTH, seed, "standard", drawn=True)
        found = arena().seats(seed_of(seed, 0), asked[0].round, 1, ())
        assert found is not None
        assert (found[0] in arena().hostile(FIFTH)) == bool(asked[0].hostile)


def test_flood__of_a_pool_of_24_seats__is_judged_as_far_as_the_pool_reaches() -> None:
    """inv:T52: ten dust disputes delay a drawn cheat, they do not save it; it pays for each of them."""
    scenario = Scenario("", "", "", FLOODERS, (Part(flood(10)),), lottery=True, by_share=False, mediators=6)
    money, _ = run(Arena(6), scenario.parts[0].play, NOBODY_HOSTILE, 0, "standard", drawn=True)
    assert money["provider"] == -COLLATERAL
    floor = VALUE // 8
    premium, protocol_fee = floor * 11 // 10_000, DUST // 100  # of a tenth of a per cent of audits, and one per cent
    assert money["challenger"] + money["solver"] == -10 * (3 * floor + premium + protocol_fee)
    assert money[HOSTILE] == 0
