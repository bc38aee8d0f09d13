"""Tree and draw of the contract against Python, on many leaves and many rounds. inv:I11 inv:I24 beh:D11"""

from __future__ import annotations

import random
from collections import Counter
from itertools import accumulate

from lilypad_agents.protocol.draw import draw_round
from tests.support.evm import Evm
from tests.support.staking import DRAWN, SEAT, build_staking, name

MOST = 2**64 - 1


def test_sum_tree__random_weights_and_points__as_prefix_sums() -> None:
    """Through all depths from one word to six levels, with weights set, changed and taken away."""
    chance = random.Random(7)
    harness = Evm().deploy("SumTreeHarness")
    weights: dict[int, int] = {}
    for size in (3, 4, 15, 16, 63, 300, 1_024, 4_000):
        leaves = [chance.randrange(size + 1) for _ in range(40)] + [size]
        values = [chance.choice([0, 1, 2, 7, 2**40, chance.randrange(2**55)]) for _ in leaves]
        harness.set(leaves, values)
        weights |= dict(zip(leaves, values, strict=True))
        order = sorted(leaf for leaf, weight in weights.items() if weight)
        sums = list(accumulate(weights[leaf] for leaf in order))
        assert harness.total() == sums[-1]
        points = [chance.randrange(sums[-1]) for _ in range(30)] + [0, sums[-1] - 1, *sums[:-1][:20]]
        expected = [next(leaf for leaf, top in zip(order, sums, strict=True) if point < top) for point in points]
        assert list(harness.find(points)[0]) == expected
        for leaf in leaves[:5]:
            assert harness.weightOf(leaf) == weights[leaf]


def test_sum_tree__weights_at_their_most__do_not_spill() -> None:
    harness = Evm().deploy("SumTreeHarness")
    for leaf in (1, 2, 7, 16):
        harness.set([leaf], [MOST])
        assert harness.total() == MOST
        assert list(harness.find([0, MOST - 1])[0]) == [leaf, leaf]
        harness.set([leaf, leaf + 1], [0, MOST])
        assert (harness.weightOf(leaf), harness.weightOf(leaf + 1), harness.total()) == (0, MOST, MOST)
        harness.set([leaf + 1], [0])


def test_draws__on_the_contract__follow_the_weights_and_the_twin() -> None:
    """inv:I11: 400 rounds of one seat over weights 1 to 8, each as the twin says; the proportions are right too."""
    site = build_staking()
    for number in range(1, 9):
        site.stake(site.account(f"staker {number}"), number * SEAT)
    found: Counter[str] = Counter()
    for number in range(400):
        ticket = site.queue(f"{number}")
        seed = site.begin(number)
        told = draw_round(site.twin, seed, name(f"{number}"), 1).accounts
        result, accounts = site.draw(ticket, f"{number}")
        assert (result, accounts) == (DRAWN, told)
        site.release(accounts)
        found.update(accounts)
    expected = {site.account(f"staker {number}").address: 400 * number / 36 for number in range(1, 9)}
    assert sum((found[who] - count) ** 2 / count for who, count in expected.items()) < 24.322  # p = 0.001, 7 degrees
