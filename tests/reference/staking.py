"""A pool of staked mediators and its queue of rounds. Protocol section 7: no packed words, no tree, no clever order.

Every action raises Refused with the contract's error name, or changes the model and answers what the contract answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.reference.ledger import Refused
from tests.reference.words import keccak, number_of, words

DRAWN, POSTPONED = "drawn", "postponed"
NOT_KNOWN, LOST = "not known", "lost"


@dataclass
class Member:
    """What one account has in the pool."""

    staked: int = 0
    unbonding: int = 0
    until: int = 0
    drawn: int = 0
    released: int = 0
    weight: int = 0  # in the draws as they are now
    leaf: int = 0


@dataclass
class Ticket:
    round: bytes
    seats: int
    excluded: tuple[str, ...]
    queued_in: int
    queued_at: int
    state: str = "waiting"  # waiting, cancelled, gone


@dataclass
class PoolModel:
    """`seed_of(period)`: the seed, or NOT_KNOWN or LOST. Clock: `period` and `time` are set by the test."""

    seat_stake: int
    unbonding_time: int
    seed_of: Callable[[int], bytes | str]
    period: int = 0
    time: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    tickets: list[Ticket] = field(default_factory=list)
    floor: int = 0
    waiting: list[str] = field(default_factory=list)  # changes to apply, oldest first
    applied: int = 0  # changes that waited and were applied
    free_leaves: list[int] = field(default_factory=list)
    leaves: int = 0
    stepped: int = 0  # tickets that nobody has to look at again
    operators: dict[str, str] = field(default_factory=dict)  # who may act for a seat's account; shared by all pools
    _gone: int = 0  # so many tickets in front have left

    def member(self, who: str) -> Member:
        return self.members.setdefault(who, Member())

    # ---- what is there

    @property
    def held(self) -> int:
        return sum(m.staked + m.unbonding for m in self.members.values())

    @property
    def drawn(self) -> int:
        return sum(m.drawn for m in self.members.values())

    @property
    def capacity(self) -> int:
        return sum(m.weight for m in self.members.values())

    def front(self) -> int:
        """The first ticket in the queue, or how many there ever were."""
        while self._gone < len(self.tickets) and self.tickets[self._gone].state == "gone":
            self._gone += 1
        return self._gone

    def period_of(self, number: int) -> int:
        return max(self.tickets[number].queued_in + 1, self.floor)

    @property
    def frozen(self) -> bool:
        front = self.front()
        return front < len(self.tickets) and self.period_of(front) <= self.period

    # ---- stakers

    def stake(self, who: str, amount: int) -> None:
        member = self.member(who)
        if amount == 0:
            raise Refused("AmountZero")
        if member.staked + amount < self.seat_stake:
            raise Refused("StakeBelowSeat")
        member.staked += amount
        self._changed(who)

    def unbond(self, who: str, amount: int) -> None:
        member = self.member(who)
        if amount == 0:
            raise Refused("AmountZero")
        if amount > member.staked:
            raise Refused("StakeInsufficient")
        if 0 < member.staked - amount < self.seat_stake:
            raise Refused("StakeBelowSeat")
        member.staked -= amount
        member.unbonding += amount
        member.until = self.time + self.unbonding_time
        self._changed(who)

    def withdraw(self, who: str) -> int:
        member = self.member(who)
        if member.unbonding == 0:
            raise Refused("NothingToWithdraw")
        if self.time < member.until:
            raise Refused("UnbondingNotOver")
        open_now, weight = member.drawn - member.released, member.weight - member.released
        if not self.frozen:
            weight = member.staked // self.seat_stake
        spare = member.staked + member.unbonding - max(open_now, weight) * self.seat_stake
        if spare <= 0:
            raise Refused("StakeBacksSeats")
        if not self.frozen:
            self._changed(who)
        paid = min(spare, member.unbonding)
        member.unbonding -= paid
        return paid

    def step(self, most: int) -> None:
        """Work that is due: rounds in front that were cancelled early, then changes."""
        while most and self.stepped < self.front():
            self.stepped, most = self.stepped + 1, most - 1
        self.apply(most)

    def apply(self, most: int) -> None:
        if self.frozen:
            return
        for who in self.waiting[:most]:
            self._count(who)
        self.applied += len(self.waiting[:most])
        del self.waiting[:most]

    def _changed(self, who: str) -> None:
        if not self.frozen:
            self._count(who)
        elif who not in self.waiting:
            self.waiting.append(who)

    def _count(self, who: str) -> None:
        member = self.member(who)
        member.drawn -= member.released
        member.released = 0
        member.weight = member.staked // self.seat_stake
        if member.weight and not member.leaf:
            if self.free_leaves:
                member.leaf = self.free_leaves.pop()
            else:
                self.leaves += 1
                member.leaf = self.leaves
        if not member.weight and member.leaf:
            self.free_leaves.append(member.leaf)
            member.leaf = 0

    # ---- the strategy

    def can_queue(self, seats: int, excluded: tuple[str, ...]) -> bool:
        """Whether so many seats could sit without the excluded accounts when the pool is idle, once up to four changes are applied."""
        after = [] if self.frozen else self.waiting[:4]
        weights = {who: m.weight for who, m in self.members.items()}
        weights |= {who: self.member(who).staked // self.seat_stake for who in after}
        return 0 < seats <= sum(weight for who, weight in weights.items() if who not in excluded)

    def queue(self, round_: bytes, seats: int, excluded: tuple[str, ...]) -> int:
        if not self.can_queue(seats, excluded):
            raise Refused("SeatsUnavailable")
        self.apply(4)
        self.tickets.append(Ticket(round_, seats, excluded, self.period, self.time))
        return len(self.tickets) - 1

    def cancel(self, number: int) -> None:
        if number >= len(self.tickets) or self.tickets[number].state != "waiting":
            return
        begun = self.period_of(number) <= self.period
        self.tickets[number].state = "cancelled" if begun else "gone"

    def _next(self, number: int) -> None:
        if number != self.front() or number == len(self.tickets):
            raise Refused("TicketNotNext")

    def draw(self, number: int) -> tuple[str, tuple[str, ...]]:
        self._next(number)
        if self.tickets[number].state == "cancelled":
            raise Refused("TicketCancelled")
        return self._draw(number)

    def draw_cancelled(self, number: int) -> str:
        self._next(number)
        ticket = self.tickets[number]
        if ticket.state != "cancelled" and self.time <= ticket.queued_at + self.unbonding_time:
            raise Refused("TicketWanted")
        result, accounts = (POSTPONED, ()) if self.period_of(number) > self.period else self._draw(number)
        if result == POSTPONED and self.period_of(number) > self.period:
            self._leave(number)
        for who in accounts:
            self._release(who, 0)
        return result

    def _draw(self, number: int) -> tuple[str, tuple[str, ...]]:
        ticket, period = self.tickets[number], self.period_of(number)
        if period > self.period:
            raise Refused("SeedPending")
        after = self.drawn + ticket.seats
        fits = after <= self.capacity and (self.drawn == 0 or after <= 4 or after <= self.capacity / 2)
        if fits:
            seed = self.seed_of(period)
            if seed == NOT_KNOWN:
                raise Refused("SeedPending")
            self.stepped = number
            if seed != LOST:
                return self._draw_from(number, bytes(seed))
        self.stepped, self.floor = number, self.period + 1
        return POSTPONED, ()

    def _leave(self, number: int) -> None:
        self.tickets[number].state = "gone"
        self.stepped = number + 1

    def _draw_from(self, number: int, seed: bytes) -> tuple[str, tuple[str, ...]]:
        ticket = self.tickets[number]
        in_order = sorted((m.leaf, who) for who, m in self.members.items() if m.leaf)
        lots = [who for _, who in in_order for _ in range(self.members[who].weight)]
        room = {who: self.members[who].weight - self.members[who].drawn for who in lots}
        accounts: list[str] = []
        for seat in range(ticket.seats):
            hits = [lots[_number(seed, ticket.round, seat, attempt) % len(lots)] for attempt in range(4)]
            good = [who for who in hits if who not in ticket.excluded and room[who] > 0]
            if not good:
                self.floor = self.period_of(number) + 1
                return POSTPONED, ()
            room[good[0]] -= 1
            accounts.append(good[0])
        for who in accounts:
            self.members[who].drawn += 1
        self._leave(number)
        return DRAWN, tuple(accounts)

    def release(self, seats: list[tuple[str, int]]) -> int:
        ended: dict[str, int] = {}
        for who, loss in seats:
            ended[who] = ended.get(who, 0) + 1
            if ended[who] > self.member(who).drawn - self.member(who).released:
                raise Refused("SeatNotOpen")
            if loss > self.seat_stake:
                raise Refused("LossTooHigh")
        for who, loss in seats:
            self._release(who, loss)
        return sum(loss for _, loss in seats)

    def _release(self, who: str, loss: int) -> None:
        member = self.member(who)
        member.released += 1
        from_stake = min(loss, member.staked)
        member.staked -= from_stake
        member.unbonding -= loss - from_stake
        assert member.unbonding >= 0, "a loss was not covered"
        self._changed(who)


def _number(seed: bytes, round_: bytes, seat: int, attempt: int) -> int:
    return number_of(keccak(words(seed, round_, seat, attempt)))
