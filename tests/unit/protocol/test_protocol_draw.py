"""The draw in Python: proportions, tries, room, and what events must not say. inv:I11 beh:D11 beh:D13"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from lilypad_agents.protocol.draw import (
    Outcome,
    PoolTree,
    RoundDrawn,
    SeatReleased,
    WeightApplied,
    draw_round,
    first_period,
    may_open,
    weight_of,
)
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import ZERO, keccak256
from tests.support.values import account

CHI_SQUARE_9 = 27.877  # p = 0.001 at nine degrees of freedom
SEED = keccak256(b"seed")


def tree(*weights: int) -> PoolTree:
    """Account `n` at leaf `n`, from 1 on."""
    return PoolTree.replay(WeightApplied(account(n), n, weight) for n, weight in enumerate(weights, 1))


def round_name(number: int) -> bytes:
    return keccak256(number.to_bytes(8, "big"))


def chi_square(found: Counter[str], expected: dict[str, float]) -> float:
    return sum((found[who] - count) ** 2 / count for who, count in expected.items())


def test_draw__a_hundred_thousand_seats__follow_the_weights() -> None:
    """inv:I11: chi-square p > 0.001 over 100,000 draws from the tree, weights 1 to 10."""
    pool = tree(*range(1, 11))
    found = Counter(draw_round(pool, SEED, round_name(number), 1).accounts[0] for number in range(100_000))
    expected = {account(n): 100_000 * n / 55 for n in range(1, 11)}
    assert chi_square(found, expected) < CHI_SQUARE_9


def test_chi_square__equal_draws_from_unequal_weights__fails_it() -> None:
    """The measure can fail: it tells weights 1 to 10 from equal ones."""
    pool = tree(*[1] * 10)
    found = Counter(draw_round(pool, SEED, round_name(number), 1).accounts[0] for number in range(2_000))
    assert chi_square(found, {account(n): 2_000 * n / 55 for n in range(1, 11)}) > CHI_SQUARE_9


def test_draw__seats_of_a_round__hash_apart() -> None:
    """Ten seats of one round differ as ten rounds of one seat do."""
    pool = tree(*[100] * 50)
    draw = draw_round(pool, SEED, ZERO, 10)
    assert len(set(draw.accounts)) > 5
    assert [found.seat for found in draw.tries] == list(range(10))


def test_draw__points_on_the_borders__belong_to_one_leaf_each() -> None:
    pool = tree(2, 3, 1)
    assert [pool.find(point)[0] for point in range(6)] == [1, 1, 2, 2, 2, 3]
    for point in (-1, 6):
        with pytest.raises(FieldInvalid):
            pool.find(point)


def test_draw__excluded_and_full__fail_tries_and_explain_them() -> None:
    pool = tree(1, 1, 1)
    pool.apply(RoundDrawn((account(1),)))
    outcomes: Counter[Outcome] = Counter()
    for number in range(100):
        draw = draw_round(pool, SEED, round_name(number), 1, {account(2)})
        outcomes.update(found.outcome for found in draw.tries)
        for found in draw.tries:
            assert pool.find(found.point) == (found.leaf, found.account, found.weight)
        assert all(before.attempt + 1 == after.attempt for before, after in pairwise(draw.tries))
        if draw.accounts is None:
            assert len(draw.tries) == 4 and draw.tries[-1].outcome is not Outcome.SEATED
        else:
            assert draw.accounts == (account(3),)
    assert set(outcomes) == set(Outcome)
    assert pool.drawn == {account(1): 1}, "a draw changes nothing"


def test_draw__own_seats_of_the_round__use_up_room() -> None:
    draw = draw_round(tree(2), SEED, ZERO, 3)
    assert draw.accounts is None
    assert [found.open_seats for found in draw.tries] == [0, 1, 2, 2, 2, 2]


@pytest.mark.parametrize(("seed", "round_"), [(b"", ZERO), (ZERO, b"a")])
def test_draw__seed_or_name_of_another_length__refused(seed: bytes, round_: bytes) -> None:
    with pytest.raises(FieldInvalid):
        draw_round(tree(1), seed, round_, 1)


def test_draw__empty_tree__refused() -> None:
    with pytest.raises(FieldInvalid):
        draw_round(PoolTree(), SEED, ZERO, 1)


def test_replay__seats_released__are_free_from_the_next_weight_on() -> None:
    pool = tree(2)
    pool.apply(RoundDrawn((account(1), account(1))))
    pool.apply(SeatReleased(account(1)))
    assert pool.open_seats == 2
    pool.apply(WeightApplied(account(1), 1, 1))
    assert (pool.open_seats, pool.capacity) == (1, 1)


def test_replay__leaf_given_back__belongs_to_the_next() -> None:
    pool = tree(2, 3)
    pool.apply(WeightApplied(account(1), 1, 0))
    pool.apply(WeightApplied(account(9), 1, 4))
    assert pool.find(0) == (1, account(9), 4)


@pytest.mark.parametrize(
    "event",
    [SeatReleased(account(1)), WeightApplied(account(5), 1, 2), WeightApplied(account(5), 0, 2)],
    ids=["seat that nobody drew", "leaf of another", "weight without a leaf"],
)
def test_replay__events_that_cannot_follow__refused(event: SeatReleased | WeightApplied) -> None:
    """A log with holes must not give a wrong tree."""
    with pytest.raises(FieldInvalid):
        tree(1, 1).apply(event)


@pytest.mark.parametrize(
    ("open_seats", "seats", "capacity", "may"),
    [
        (0, 1, 1, True), (0, 2, 1, False), (0, 15, 15, True), (1, 3, 4, True), (2, 3, 8, False), (1, 3, 3, False),
        (5, 5, 20, True), (5, 6, 20, False), (5, 6, 21, False), (5, 6, 22, True),
    ],
)  # fmt: skip
def test_may_open__half_of_the_capacity__or_four__or_alone(open_seats: int, seats: int, capacity: int, may: bool) -> None:
    assert may_open(open_seats, seats, capacity) is may


def test_figures__of_queue_and_weight() -> None:
    assert first_period(7, 0) == 8 and first_period(7, 8) == 8 and first_period(7, 12) == 12
    assert weight_of(299, 100) == 2 and weight_of(99, 100) == 0
