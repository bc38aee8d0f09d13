"""Stakers, a strategy and the clock do anything in any order; contract, model and the twin of the events stay one.

In the end every stake can be taken out, and the contract's ledger account holds what was given to it, to the wei.
inv:I11 inv:I23 inv:I24 inv:I34 inv:T31 inv:T57 beh:D11 beh:D13
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lilypad_agents.protocol.draw import PoolTree, draw_round
from lilypad_agents.protocol.rounds import RoundQueue
from lilypad_agents.protocol.ids import NOBODY
from tests.support.evm import Reverted
from tests.reference.staking import LOST, NOT_KNOWN, PoolModel, Refused
from tests.reference.staking import DRAWN as SEATED
from tests.support.staking import DRAWN, EXCLUDE_NOBODY, SEAT, UNBONDING, StakingSite, build_staking, name
from tests.support.world import COIN

_LONG = os.environ.get("LILYPAD_INVARIANTS") == "long"
SIZE: dict[str, Any] = (
    {"max_examples": 2_000, "stateful_step_count": 100} if _LONG else {"max_examples": 20, "stateful_step_count": 40}
)
PEOPLE = [f"person {number}" for number in range(6)]

people = st.sampled_from(PEOPLE)
amounts = st.sampled_from([0, 1, SEAT - 1, SEAT, SEAT, SEAT + 1, 2 * SEAT, 2 * SEAT, 5 * SEAT, 9 * SEAT + 7])
losses = st.sampled_from([0, 0, 0, 1, SEAT // 4, SEAT, SEAT, SEAT + 1])
index = st.integers(0, 30)


@lru_cache(maxsize=1)
def _site() -> StakingSite:
    """Deployed once; each run starts from there."""
    site = build_staking()
    for person in PEOPLE:
        site.fund(site.account(person), 10**9 * COIN)
    return site


class StakingMachine(RuleBasedStateMachine):
    """One pool after the other on the same site."""

    def __init__(self) -> None:
        super().__init__()
        self.site = _site()
        self.checkpoint = self.site.evm.checkpoint()
        self.site.twins[self.site.pool.id] = PoolTree()
        self.site.queues[self.site.pool.id] = RoundQueue()
        self.addresses = {person: self.site.account(person).address for person in PEOPLE}
        self.names = {address: person for person, address in self.addresses.items()}
        self.seeds: dict[int, bytes | str] = {}
        self.model = PoolModel(SEAT, UNBONDING, lambda period: self.seeds.get(period, NOT_KNOWN))
        self.seats: list[str] = []  # open, by person
        self.frozen_tree: tuple[object, ...] | None = None
        self.given = 0
        self.failed = False
        self._clock()
        for person in PEOPLE[:4]:
            self.stake(person, 3 * SEAT)

    def teardown(self) -> None:
        try:
            if not self.failed:
                self.drain()
        finally:
            self.site.evm.rollback(self.checkpoint)

    def _clock(self) -> None:
        self.model.period, self.model.time = self.site.period, self.site.evm.timestamp

    def _both(self, expected: Callable[[], Any], found: Callable[[], Any]) -> tuple[Any, Any] | None:
        """Does it in model and contract: both refuse for the same reason, or both answer."""
        self.failed = True  # until the invariants hold again
        try:
            answer = expected()
        except Refused as refusal:
            try:
                found()
            except Reverted as reverted:
                assert reverted.name == refusal.args[0]
                return None
            raise AssertionError(f"the contract did what should be refused with {refusal.args[0]}") from None
        return answer, found()

    # ---- stakers

    @rule(person=people, amount=amounts)
    def stake(self, person: str, amount: int) -> None:
        account = self.site.account(person)
        self._both(
            lambda: self.model.stake(person, amount),
            lambda: self.site.note(self.site.staking.stake(self.site.pool, amount, [], sender=account)),
        )

    @rule(person=people, amount=amounts, everything=st.booleans())
    def unbond(self, person: str, amount: int, everything: bool) -> None:
        amount = self.model.member(person).staked if everything else amount
        self._both(
            lambda: self.model.unbond(person, amount), lambda: self.site.unbond(self.site.account(person), amount)
        )

    @rule(person=people)
    def withdraw(self, person: str) -> None:
        both = self._both(lambda: self.model.withdraw(person), lambda: self.site.withdraw(self.addresses[person]))
        if both:
            assert both[1].event("StakeWithdrawn")["amount"] == both[0]

    @rule(most=st.integers(0, 4))
    def apply(self, most: int) -> None:
        self.site.apply(most)
        self.model.step(most)

    @rule(amount=st.integers(1, COIN))
    def give(self, amount: int) -> None:
        """Credit that belongs to nobody here changes nothing."""
        world = self.site.world
        world.core.transferCredit(world.token, [self.site.staking.address], [amount], sender=world.creator)
        self.given += amount

    # ---- the strategy

    @rule(seats=st.sampled_from([0, 1, 1, 2, 3, 3, 7, 99]), excluded=st.lists(people, max_size=4))
    def queue(self, seats: int, excluded: list[str]) -> None:
        text = f"round {len(self.model.tickets)}"
        places = tuple([self.addresses[person] for person in excluded] + [NOBODY] * (4 - len(excluded)))
        both = self._both(
            lambda: self.model.queue(name(text), seats, tuple(excluded)), lambda: self.site.queue(text, seats, places)
        )
        assert both is None or both[0] == both[1]

    def _arguments(self, number: int) -> tuple[int, str, int, tuple[str, ...]]:
        if number >= len(self.model.tickets):
            return number, "none", 1, EXCLUDE_NOBODY
        ticket = self.model.tickets[number]
        places = [self.addresses[person] for person in ticket.excluded]
        return number, f"round {number}", ticket.seats, tuple(places + [NOBODY] * (4 - len(places)))

    @rule(ahead=st.sampled_from([0, 0, 0, 0, 1, -1]))
    def draw(self, ahead: int) -> None:
        number = max(0, self.model.front() + ahead)
        period = self.site.staking.queueOf(self.site.pool.id)[2]
        seed = self.seeds.get(period)
        _, text, seats, excluded = self._arguments(number)
        told = None
        if isinstance(seed, bytes) and self.site.twin.capacity:
            told = draw_round(self.site.twin, seed, name(text), seats, excluded)
        both = self._both(lambda: self.model.draw(number), lambda: self.site.draw(*self._arguments(number)))
        if both:
            (result, accounts), (code, found) = both
            assert (result == SEATED, accounts) == (code == DRAWN, tuple(self.names[account] for account in found))
            self.seats += accounts
            if result == SEATED:
                assert told is not None and told.accounts == found

    @rule(ahead=st.sampled_from([0, 0, 1, 2, 3]))
    def cancel(self, ahead: int) -> None:
        number = self.model.front() + ahead
        self.model.cancel(number)
        self.site.cancel(number)

    @rule(ahead=st.sampled_from([0, 0, 0, 1]))
    def draw_cancelled(self, ahead: int) -> None:
        number = self.model.front() + ahead
        both = self._both(
            lambda: self.model.draw_cancelled(number), lambda: self.site.draw_cancelled(*self._arguments(number))
        )
        assert both is None or (both[0] == SEATED) == (both[1] == DRAWN)

    @rule(picks=st.lists(st.tuples(index, losses), min_size=1, max_size=3), strange=st.sampled_from([False] * 9 + [True]))
    def release(self, picks: list[tuple[int, int]], strange: bool) -> None:
        """Open seats; sometimes one that is not open."""
        left, chosen = list(self.seats), []
        for pick, loss in picks:
            if left:
                chosen.append((left.pop(pick % len(left)), loss))
        if strange:
            chosen.append((PEOPLE[5], 0))
        accounts = [self.addresses[person] for person, _ in chosen]
        both = self._both(
            lambda: self.model.release(chosen), lambda: self.site.release(accounts, [loss for _, loss in chosen])
        )
        if both:
            assert both[0] == both[1]
            for person, _ in chosen:
                self.seats.remove(person)

    # ---- the clock

    @rule(blocks=st.sampled_from([1, 2, 5, 6, 6, 6, 7, 20]))
    def mine(self, blocks: int) -> None:
        self.site.evm.mine(blocks)
        self._clock()

    @rule()
    def wait(self) -> None:
        """As long as unbonding takes."""
        self.site.evm.mine(UNBONDING)
        self._clock()

    @rule(number=st.integers(0, 10**6), back=st.integers(0, 3))
    def know(self, number: int, back: int) -> None:
        """The seed of the period that draws next, or of one near it."""
        period = self.site.staking.queueOf(self.site.pool.id)[2] + back
        if period <= self.site.period and period not in self.seeds:
            self.seeds[period] = self.site.know(period, number)

    @rule()
    def lose(self) -> None:
        period = self.site.staking.queueOf(self.site.pool.id)[2]
        if period <= self.site.period:
            self.seeds[period] = LOST
            self.site.world.randomness.setExpired(period)

    # ---- what always holds

    @invariant()
    def contract_and_model_agree(self) -> None:
        self.failed = True
        site, model = self.site, self.model
        tree = []
        for person, address in self.addresses.items():
            member = model.member(person)
            staked, unbonding, until, open_seats = site.stake_of(address)
            assert (staked, unbonding, open_seats) == (member.staked, member.unbonding, member.drawn - member.released)
            assert until == member.until
            leaf = tuple(site.staking.weightOf(site.pool.id, address))
            assert leaf == (member.leaf, member.weight)
            tree.append(leaf)
            assert staked + unbonding >= (max(member.weight, member.drawn) - member.released) * SEAT
        held, drawn, capacity = site.staking.poolOf(site.pool.id)
        assert (held, drawn, capacity) == (model.held, model.drawn, sum(weight for _, weight in tree))
        assert site.free(site.staking) == held + self.given
        assert tuple(site.staking.pendingOf(site.pool.id)) == (model.frozen, len(model.waiting))
        front, end, period = site.staking.queueOf(site.pool.id)
        assert (front, end) == (model.front(), len(model.tickets))
        following = site.queues[site.pool.id]
        assert following.period == (None if front == end else period)
        if following.front is not None:
            state = model.tickets[front].state
            assert (following.front.ticket, following.front.unwanted) == (front, state == "cancelled")
            assert (following.front.seats, following.front.round) == (model.tickets[front].seats, model.tickets[front].round)
        assert (site.twin.capacity, site.twin.open_seats) == (capacity, drawn)
        # A tree that stays frozen stays as it is.
        if model.frozen and self.frozen_tree is not None:
            assert self.frozen_tree == (capacity, tree)
        self.frozen_tree = (capacity, tree) if model.frozen else None
        self.failed = False

    # ---- the end

    def drain(self) -> None:
        """The strategy lets go, time passes, everybody leaves; each unit went to a staker or the strategy."""
        site, model = self.site, self.model
        if self.seats:
            self.release([(0, 0)] * len(self.seats), False)
        assert not self.seats
        for number in range(model.front(), len(model.tickets)):
            self.cancel(number - model.front())
        while model.front() < len(model.tickets):
            self.know(len(self.seeds), 0)
            self.draw_cancelled(0)
        self.apply(1_000)
        for person in PEOPLE:
            self.unbond(person, 0, True)
        self.wait()
        for person in PEOPLE:
            self.withdraw(person)
        self.contract_and_model_agree()
        assert site.staking.poolOf(site.pool.id) == (0, 0, 0)
        assert site.free(site.staking) == self.given


TestStakingMachine = StakingMachine.TestCase
TestStakingMachine.settings = settings(**SIZE, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
