"""Long walks through a market with even odds, seeded: what the shrinking machine seldom reaches, at depth.

inv:I1 inv:I2 inv:I3 inv:I4 inv:I5 inv:I6 inv:I15 inv:I28 inv:I38 inv:I40 inv:I44

A failing walk names its seed; `LILYPAD_INVARIANTS=long` takes a thousand others.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from lilypad_agents.protocol.lifecycle import Agreement, Status
from tests.invariants.market import COIN, PEOPLE, Market, Site, build_site
from tests.invariants.moves import ANY, found_market, go_on

_LONG = os.environ.get("LILYPAD_INVARIANTS") == "long"
SEEDS = range(1_000) if _LONG else range(10)
STEPS = 600 if _LONG else 300
_PRESETS = [(800, 162_000), (800, 162_000), (400, 333_000), (2_000, 80_000), (10_000, 80_000), (799, 162_000)]
_AMOUNTS = [0, 1, COIN, 7 * COIN, 100 * COIN, 10**24]
_SHARES = [0, 0, 1, 300, 1_000, 1_001]


@pytest.fixture(scope="module")
def _site() -> Site:
    return build_site()


@pytest.fixture
def site(_site: Site) -> Iterator[Site]:
    with _site.evm.snapshot():
        yield _site


class Walk:
    """One seeded walk."""

    def __init__(self, site: Site, seed: int) -> None:
        self.choose = random.Random(seed)
        self.market = Market(site)
        found_market(self.market)

    def take(self, steps: int) -> None:
        for number in range(steps):
            self._move()
            self.market.check_locked()
            if number % 5 == 0:
                self.check()
        self.check()

    def check(self) -> None:
        self.market.check_ledger()
        self.market.check_deals()
        self.market.check_offers()

    def _move(self) -> None:
        moves = [self._go_on] * 12 + [self._open] * 4 + [self._open_more, self._money, self._anything, self._batch, self._cancel,
                                                         self._wait]  # fmt: skip
        self.choose.choice(moves)()

    def _some(self) -> int:
        live = [n for n, entry in enumerate(self.market.entries) if not entry.model.status.is_final]
        every = range(len(self.market.entries))
        return self.choose.choice(live if live and self.choose.random() < 0.9 else every)

    def _go_on(self) -> None:
        choose = self.choose
        go_on(self.market, self._some(), choose.randrange(60), choose.choice(_SHARES), choose.choice(_AMOUNTS))

    def _anything(self) -> None:
        choose = self.choose
        actor = choose.choice([*PEOPLE, "keeper", "solver", "creator", "provider", "honest", "greedy"])
        self.market.step(self._some(), choose.choice(ANY), actor, share=choose.choice(_SHARES), advance=choose.choice(_AMOUNTS))

    def _open(self) -> None:
        choose, market = self.choose, self.market
        creator = choose.choice(PEOPLE)
        provider = choose.choice([name for name in PEOPLE if name != creator or choose.random() < 0.1])
        blank = market.resource(
            provider, choose.choice([0, 0, 0, 1, 1, 2, 3]), volume=choose.choice([1, 3, 2**32 - 1]),
            module=choose.choice([0, 0, 0, 1]), price=choose.choice([COIN, COIN + 7, 2 * COIN, 1]),
            unit_price=choose.choice([0, 1, COIN // 100]), token=choose.choice([0, 1]),
        )  # fmt: skip
        windows = choose.randrange(5, 400), choose.randrange(5, 400)
        pair = market.pair(creator, blank, preset=choose.choice(_PRESETS), windows=windows, solver=choose.random() < 0.7)
        market.open([pair], batch=choose.random() < 0.5)

    def _open_more(self) -> None:
        choose, market = self.choose, self.market
        recent = market.resources[-12:]
        pairs = [market.pair(choose.choice(PEOPLE), choose.choice(recent)[1]) for _ in range(choose.randrange(1, 6))]
        market.open(pairs, batch=True, sender=choose.choice(PEOPLE))

    def _money(self) -> None:
        choose, market = self.choose, self.market
        token, amount = choose.choice([0, 0, 1]), choose.choice(_AMOUNTS[:5])
        kind = choose.randrange(6)
        if kind == 0:
            market.withdraw(choose.choice(PEOPLE), token, amount)
        elif kind == 1:
            market.transfer(choose.choice(PEOPLE), choose.choice(PEOPLE), token, amount)
        elif kind == 2:
            market.donate(choose.choice(PEOPLE), choose.randrange(3), choose.choice([1, COIN, 7 * COIN]))
        elif kind == 3:
            market.gift(token, amount)
        elif kind == 4:
            market.collect(self._some())
        else:
            market.deposit(choose.choice(PEOPLE), choose.choice(PEOPLE), token, 40 * COIN)

    def _batch(self) -> None:
        chosen = [self._some() for _ in range(self.choose.randrange(2, 8))]
        if self.choose.random() < 0.5:
            self.market.settle_batch(chosen, self.choose.choice(list(Agreement)), self.choose.choice(PEOPLE))
        else:
            self.market.submit_signed(chosen)

    def _cancel(self) -> None:
        choose, counters = self.choose, self.market.counters
        resource = choose.random() < 0.5
        nonce = choose.randrange(counters["resource" if resource else "job"] + 2)
        self.market.cancel(choose.choice(PEOPLE), resource, nonce)

    def _wait(self) -> None:
        if self.choose.random() < 0.5:
            self.market.wait(self.choose.randrange(60))
        else:
            self.market.wait_for(self._some(), self.choose.randrange(3), self.choose.choice([-1, 0, 1]))


_ends_seen: set[Status] = set()


@pytest.mark.parametrize("seed", SEEDS)
def test_walk__of_many_steps__keeps_every_unit_and_ends_with_nothing_stuck(site: Site, seed: int) -> None:
    """After each fifth step all sums and states; in the end one party alone ends its deals and all is taken out."""
    walk = Walk(site, seed)
    walk.take(STEPS)
    _ends_seen.update(entry.model.status for entry in walk.market.entries)
    walk.market.drain(["creator", "provider", "anybody"][seed % 3])


def test_walks__together__reach_every_state() -> None:
    """A walk that ends everything early would prove little."""
    if not _ends_seen:
        pytest.skip("no walk ran in this process")
    assert _ends_seen == set(Status) - {Status.NONE}
