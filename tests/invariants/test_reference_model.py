"""Contracts against the reference model: random histories of legal and illegal steps, everything compared after each of them.

inv:I1 inv:I2 inv:I3 inv:I4 inv:I5 inv:I6 inv:I7 inv:I8 inv:I9 inv:I13 inv:I14 inv:I15 inv:I16 inv:I20 inv:I21 inv:I24 inv:I26
inv:I30 inv:I33 inv:I34 inv:I35 inv:I37 inv:I38 inv:I39 inv:I40 inv:I43 inv:I44 inv:T21 inv:T29 inv:T33 inv:T42 inv:T49 beh:A3
beh:E8

A difference names its history; `python -m tests.reference.differential --seed N` plays it again. The long form is `make assure-model`.
"""

from __future__ import annotations

from typing import Any

import pytest

from lilypad_agents.protocol.lifecycle import Status
from tests.reference import division, terms
from tests.reference.chain import Site, build_site
from tests.reference.deals import Deals, Lottery
from tests.reference.differential import play
from tests.reference.ledger import Ledger, require
from tests.reference.rounds import SIZES
from tests.reference.staking import PoolModel
from tests.reference.terms import Price
from tests.reference.twin import Difference, Tally

TRANSACTIONS = 256_000
BLOCKS = 8  # a failure says which one it is in, and each has its own time limit
_tally = Tally()


@pytest.fixture(scope="module")
def site() -> Site:
    return build_site()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("block", range(BLOCKS))
def test_histories__of_any_steps__are_told_by_the_model_and_end_with_nothing_stuck(site: Site, block: int) -> None:
    """Outcome of each step to the error's name; every balance, deal, round, stake and request after it; in the end each party
    alone ends its deals, and everything is taken out but funds and gifts."""
    seed, start = block * 10_000, _tally.transactions
    while _tally.transactions - start < TRANSACTIONS // BLOCKS:
        play(site, seed, _tally)
        seed += 1


def test_histories__together__reach_every_ending_and_size_of_round(site: Site) -> None:
    """Histories that end everything early would prove little. Alone it plays some of its own."""
    seed = 400_000
    while _tally.histories < 60:
        play(site, seed, _tally)
        seed += 1
    assert set(_tally.endings) == {status.name for status in Status if status.is_final}
    assert set(_tally.sizes) == set(SIZES)
    refused = sum(_tally.refusals.values())
    assert _tally.transactions // 10 < refused < _tally.transactions // 2
    print(f"{_tally.steps:,} steps, {_tally.transactions:,} calls, {refused:,} refused, {_tally.words:,} words compared")


# Each of them has to be noticed: (where, what, the wrong rule).
_BUGS: dict[str, tuple[Any, str, Any]] = {
    "the keeper gets one unit more": (Price, "bounty", property(lambda price: price.penalty // 100 + 1)),
    "seat fee and premium are rounded down": (terms, "divided_up", lambda dividend, divisor: dividend // divisor),
    "a decline costs two hundredths": (Price, "decline_cost", property(lambda price: min(price.collateral, price.value // 50))),
    "a deadline ends a second early": (Deals, "by", lambda deals, end: require(deals.clock.time < end, "DeadlinePassed")),
    "a timeout works a second early": (Deals, "after", lambda deals, end: require(deals.clock.time >= end, "DeadlineAhead")),
    "a lost seed is a seed that is not known": (Lottery, "LOST", Lottery.PENDING),
    "keepers get three hundredths": (division, "keepers_part", lambda deal: division.fee_of(deal) * 3 // 100),
    "no appellant is paid back": (division, "brought", lambda *arguments: False),
    "no seat is ever contradicted": (division, "judged", lambda standing, *rest: (standing.side == "neither", False)),
    "the tree is never frozen": (PoolModel, "frozen", property(lambda pool: False)),
    "a sweep forgets the fund": (Ledger, "sweep", lambda ledger, place: ledger.accrued.update({place: [0, 0, 0]})),
}  # fmt: skip


@pytest.mark.parametrize("bug", _BUGS)
def test_model__with_a_planted_bug__differs(site: Site, bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that notices nothing would prove nothing."""
    where, what, wrong = _BUGS[bug]
    if isinstance(where, type) and issubclass(where, Lottery):
        honest = Deals.lottery
        monkeypatch.setattr(Deals, "lottery", lambda deals, deal: wrong if honest(deals, deal) == Lottery.LOST else honest(deals, deal))
    else:
        monkeypatch.setattr(where, what, wrong)
    with pytest.raises(Difference):
        for seed in range(500_000, 500_012):
            play(site, seed, Tally())
