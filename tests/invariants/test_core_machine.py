"""Everybody does anything in any order; chain, twin and events stay one, and in the end everything can be taken out.

inv:I1 inv:I2 inv:I3 inv:I4 inv:I5 inv:I6 inv:I8 inv:I13 inv:I14 inv:I15 inv:I16 inv:I20 inv:I26 inv:I28 inv:I30 inv:I37
inv:I38 inv:I40 inv:I43 inv:I44 inv:T21 inv:T29 inv:T42 inv:T49 beh:A3 beh:A5 beh:E8

`LILYPAD_INVARIANTS=long` runs much more (hours); a failure prints the steps to repeat it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lilypad_agents.protocol.lifecycle import Agreement
from tests.invariants.market import COIN, PEOPLE, Disagreement, Market, Site, build_site
from tests.invariants.moves import ANY, found_market, go_on

_LONG = os.environ.get("LILYPAD_INVARIANTS") == "long"
_QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
SIZE: dict[str, Any] = {"max_examples": 3_000, "stateful_step_count": 120} if _LONG else {"max_examples": 40, "stateful_step_count": 25}

people = st.sampled_from(PEOPLE)
pools = st.sampled_from([0, 0, 0, 1, 1, 2, 3])
tokens = st.sampled_from([0, 0, 1])
index = st.integers(0, 30)
presets = st.sampled_from([(800, 162_000)] * 3 + [(400, 333_000), (2_000, 80_000), (10_000, 80_000), (799, 162_000)])
prices = st.sampled_from([COIN, COIN, COIN, COIN + 7, 3 * COIN, 1, 101 * COIN])
unit_prices = st.sampled_from([0, 1, COIN // 100])
windows = st.tuples(st.integers(5, 400), st.integers(5, 400))
volumes = st.sampled_from([1, 2, 2**32 - 1, 2**32 - 1])
actors = st.sampled_from([*PEOPLE, "keeper", "solver", "creator", "creator", "provider", "provider", "honest", "greedy"])
amounts = st.sampled_from([0, 1, COIN, 7 * COIN, 300 * COIN, 10**24])
shares = st.sampled_from([0, 0, 1, 500, 1_000, 1_001])
moves = st.tuples(index, st.integers(0, 59), shares, amounts)
@lru_cache(maxsize=1)
def _site() -> Site:
    """Deployed and funded once; each run starts from there."""
    return build_site()


class CoreMachine(RuleBasedStateMachine):
    """One market after the other on the same site."""

    def __init__(self) -> None:
        super().__init__()
        site = _site()
        self.checkpoint = site.evm.checkpoint()
        self.market = Market(site)
        self.party = "keeper"
        self.failed = False
        found_market(self.market)

    def teardown(self) -> None:
        try:
            if not self.failed:
                self.market.drain(self.party)
        finally:
            _site().evm.rollback(self.checkpoint)

    # ---- money

    @rule(
        kind=st.sampled_from(["deposit", "withdraw", "transfer", "donate", "gift", "collect"]), account=people, other=people,
        token=tokens, amount=amounts, which=index,
    )  # fmt: skip
    def money(self, kind: str, account: str, other: str, token: int, amount: int, which: int) -> None:
        """In, out, across; also more than there is."""
        market = self.market
        if kind == "deposit":
            market.deposit(account, other, token, amount)
        elif kind == "withdraw":
            market.withdraw(account, token, amount)
        elif kind == "transfer":
            market.transfer(account, other, token, amount)
        elif kind == "donate":
            market.donate(account, which % 3, amount)
        elif kind == "gift":
            market.gift(token, amount)
        else:
            market.collect(which)

    # ---- offers

    @rule(
        creator=people, ahead=st.integers(0, 4), pool=pools, preset=presets, price=prices, unit_price=unit_prices,
        window=windows, solver=st.booleans(), volume=volumes, module=st.sampled_from([0] * 5 + [1]), token=tokens,
        batch=st.booleans(),
    )  # fmt: skip
    def open(
        self, creator: str, ahead: int, pool: int, preset: tuple[int, int], price: int, unit_price: int,
        window: tuple[int, int], solver: bool, volume: int, module: int, token: int, batch: bool,
    ) -> None:  # fmt: skip
        """A fresh pair of offers; sometimes one that must not open, sometimes with oneself."""
        market = self.market
        provider = PEOPLE[(PEOPLE.index(creator) + ahead) % len(PEOPLE)]
        blank = market.resource(provider, pool, volume=volume, module=module, price=price, unit_price=unit_price, token=token)
        pair = market.pair(creator, blank, preset=preset, windows=window, solver=solver)
        market.open([pair], batch=batch)

    @rule(chosen=st.lists(st.tuples(people, index), min_size=1, max_size=5), batch=st.booleans(), sender=people)
    def open_more(self, chosen: list[tuple[str, int]], batch: bool, sender: str) -> None:
        """Several jobs for offers that were there before, some creators twice: of one offer, or as a batch over many."""
        market = self.market
        if not batch:
            chosen = [(creator, chosen[0][1]) for creator, _ in chosen]
        pairs = [market.pair(creator, market.resources[which % len(market.resources)][1]) for creator, which in chosen]
        market.open(pairs, batch=batch, sender=sender)

    @rule(which=index, other=index)
    def open_again(self, which: int, other: int) -> None:
        """The nonce of a job offer that was opened before, perhaps free again, with another offer."""
        market = self.market
        entry = market.entries[which % len(market.entries)]
        _, blank = market.resources[other % len(market.resources)]
        creator = next(name for name in PEOPLE if market.account(name) == entry.deal.creator)
        market.open([market.pair(creator, blank, nonce=entry.job.nonce)], batch=False)

    @rule(account=people, kind=st.sampled_from(["job", "resource", "below"]), token=tokens, ahead=st.integers(-8, 3))
    def cancel(self, account: str, kind: str, token: int, ahead: int) -> None:
        counters = {name: max(number + ahead, 0) for name, number in self.market.counters.items()}
        if kind == "below":
            self.market.cancel_below(account, token, max(counters["job"] - 4, 0), max(counters["resource"] - 4, 0))
        else:
            self.market.cancel(account, kind == "resource", counters[kind])

    # ---- deals

    @rule(chosen=st.lists(moves, min_size=3, max_size=8))
    def go_on(self, chosen: list[tuple[int, int, int, int]]) -> None:
        """Steps that the states know, each by somebody who may take it, and what the world does meanwhile."""
        for which, choice, share, advance in chosen:
            live = [n for n, entry in enumerate(self.market.entries) if not entry.model.status.is_final]
            go_on(self.market, live[which % len(live)] if live else which, choice, share, advance)
            self.check_money()

    @rule(which=index, chosen=st.lists(moves, min_size=3, max_size=8))
    def go_on_with_one(self, which: int, chosen: list[tuple[int, int, int, int]]) -> None:
        """The same for one deal, to its end and beyond."""
        for _, choice, share, advance in chosen:
            go_on(self.market, which, choice, share, advance)
            self.check_money()

    @rule(which=index, call=st.sampled_from(ANY), actor=actors, share=shares, advance=amounts)
    def try_anything(self, which: int, call: str, actor: str, share: int, advance: int) -> None:
        """Any call by anybody."""
        self.market.step(which, call, actor, share=share, advance=advance)

    @rule(chosen=st.lists(index, min_size=2, max_size=8), agreement=st.sampled_from(Agreement), sender=people, settle=st.booleans())
    def batches(self, chosen: list[int], agreement: Agreement, sender: str, settle: bool) -> None:
        if settle:
            self.market.settle_batch(chosen, agreement, sender)
        else:
            self.market.submit_signed(chosen)

    # ---- time

    @rule(
        seconds=st.integers(0, 40), blocks=st.integers(0, 20), which=index, clock=st.integers(0, 2), shift=st.integers(-1, 1),
        until=st.booleans(), party=st.sampled_from(["creator", "provider", "anybody"]),
    )  # fmt: skip
    def time_passes(self, seconds: int, blocks: int, which: int, clock: int, shift: int, until: bool, party: str) -> None:
        """A little, or to one second around a deadline. `party`: who will be the only one to act in the end."""
        self.party = party
        if until:
            self.market.wait_for(which, clock, shift)
        else:
            self.market.wait(seconds, blocks)

    # ---- what holds after every step

    @invariant()
    def check_money(self) -> None:
        """Paid in = held = owed; what is locked is what open deals lock."""
        self._check(self.market.check_ledger, self.market.check_locked)

    @invariant()
    def check_deals(self) -> None:
        """Chain, twin and events agree on every deal and every offer."""
        self._check(self.market.check_deals, self.market.check_offers)

    def _check(self, *checks: Callable[[], None]) -> None:
        try:
            for check in checks:
                check()
        except Disagreement:
            self.failed = True
            raise


CoreMachine.TestCase.settings = settings(**SIZE, **_QUIET)
TestCoreMachine = pytest.mark.timeout(6 * 3_600 if _LONG else 900)(CoreMachine.TestCase)
