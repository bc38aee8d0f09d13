"""The stake-weighted draw of a round's seats, from what the chain shows. Twin of contracts/staking/, protocol 7.

    tree = PoolTree.replay(events)                     # of one pool, in order, up to the draw
    draw = draw_round(tree, seed, round, 3, excluded)
    draw.accounts                                      # as RoundDrawn, or None when it was postponed
    draw.tries                                         # why: every try of every seat
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate
from typing import Any

from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import Address, Bytes32, keccak256
from lilypad_agents.protocol.units import Amount, Period

TRIES = 4
ALWAYS_OPEN = 4  # a lone seat and the panel of three that may have to follow it


@dataclass(frozen=True)
class WeightApplied:
    """The account has this weight (whole seat stakes) at this leaf (0: none), and its ended seats are free again."""

    account: Address
    leaf: int
    weight: int


@dataclass(frozen=True)
class RoundDrawn:
    """One account a seat."""

    accounts: tuple[Address, ...]


@dataclass(frozen=True)
class SeatReleased:
    """A seat ended; draws count it until the account's next WeightApplied."""

    account: Address


PoolEvent = WeightApplied | RoundDrawn | SeatReleased


def pool_event(name: str, arguments: Mapping[str, Any]) -> PoolEvent | None:
    """An event of LilypadStaking as it decodes (Solidity names); None for those that change no draw."""
    match name:
        case "WeightApplied":
            return WeightApplied(arguments["account"], arguments["leaf"], arguments["weight"])
        case "RoundDrawn":
            return RoundDrawn(tuple(arguments["seats"]))
        case "SeatReleased":
            return SeatReleased(arguments["account"])
    return None


class Outcome(Enum):
    """What became of a try."""

    SEATED = "seated"
    EXCLUDED = "excluded"  # a party of the deal
    FULL = "full"  # its whole weight is in open seats


@dataclass(frozen=True)
class Try:
    """One try of one seat. `point`: where the hash fell, below the tree's root; `open_seats`: before this seat."""

    seat: int
    attempt: int
    point: int
    leaf: int
    account: Address
    weight: int
    open_seats: int
    outcome: Outcome


@dataclass(frozen=True)
class Draw:
    """A round's tries. `accounts` is None when the tries of a seat ran out: the round takes the next period's seed."""

    root: int
    tries: tuple[Try, ...]
    accounts: tuple[Address, ...] | None


@dataclass
class PoolTree:
    """Weights by leaf, and open seats, of one pool at one moment."""

    leaves: dict[int, tuple[Address, int]] = field(default_factory=dict)
    drawn: dict[Address, int] = field(default_factory=dict)
    released: dict[Address, int] = field(default_factory=dict)
    _sums: tuple[list[int], list[int]] | None = None

    @classmethod
    def replay(cls, events: Iterable[PoolEvent]) -> PoolTree:
        """The tree after all of a pool's events, which must be complete and in the chain's order."""
        tree = cls()
        for event in events:
            tree.apply(event)
        return tree

    def apply(self, event: PoolEvent) -> None:
        """Raises FieldInvalid for what cannot follow on what was before: an event is missing."""
        match event:
            case WeightApplied(account, leaf, weight):
                self._weigh(account, leaf, weight)
            case RoundDrawn(accounts):
                for account in accounts:
                    self.drawn[account] = self.drawn.get(account, 0) + 1
            case SeatReleased(account):
                self.released[account] = self.released.get(account, 0) + 1
                if self.released[account] > self.drawn.get(account, 0):
                    raise FieldInvalid("events", "SeatReleased", f"of {account} without an open seat")

    def _weigh(self, account: Address, leaf: int, weight: int) -> None:
        there = self.leaves.get(leaf)
        if (leaf == 0 and weight) or (there is not None and there[0] != account):
            raise FieldInvalid("events", "WeightApplied", f"of {account} names leaf {leaf}, which is not its own")
        if ended := self.released.pop(account, 0):
            self.drawn[account] -= ended
        if weight:
            self.leaves[leaf] = (account, weight)
        else:
            self.leaves.pop(leaf, None)
        self._sums = None

    @property
    def capacity(self) -> int:
        """Seats that could be open in all: the root of the tree."""
        _, sums = self._summed()
        return sums[-1] if sums else 0

    @property
    def open_seats(self) -> int:
        """Seats that draws count as open."""
        return sum(self.drawn.values())

    def find(self, point: int) -> tuple[int, Address, int]:
        """The leaf that covers `point`, its account and weight. Raises FieldInvalid for a point outside the tree."""
        order, sums = self._summed()
        if not sums or not 0 <= point < sums[-1]:
            raise FieldInvalid("tree", "point", f"{point} is not below the root {self.capacity}")
        leaf = order[bisect_right(sums, point)]
        return (leaf, *self.leaves[leaf])

    def _summed(self) -> tuple[list[int], list[int]]:
        """The leaves in order and their running sums, kept until a weight changes."""
        if self._sums is None:
            order = sorted(self.leaves)
            self._sums = (order, list(accumulate(self.leaves[leaf][1] for leaf in order)))
        return self._sums


def weight_of(stake: Amount, seat_stake: Amount) -> int:
    """Whole seat stakes in a stake, rounded down. The rest waits for more."""
    return stake // seat_stake


def may_open(open_seats: int, seats: int, capacity: int) -> bool:
    """Whether a round of `seats` may be drawn: at most half of the capacity is open then, or four seats, or only it."""
    after = open_seats + seats
    return after <= capacity and (open_seats == 0 or after <= ALWAYS_OPEN or 2 * after <= capacity)


def first_period(queued_in: Period, floor: Period) -> Period:
    """The period whose seed draws a round: the one after it was queued, or a later one that the queue was postponed to."""
    return Period(max(queued_in + 1, floor))


def point_of(seed: bytes, round_: bytes, seat: int, attempt: int, root: int) -> int:
    """keccak256(abi.encode(seed, round, seat, try)) modulo the root."""
    word = keccak256(seed + round_ + seat.to_bytes(32, "big") + attempt.to_bytes(32, "big"))
    return int.from_bytes(word, "big") % root


def draw_round(tree: PoolTree, seed: Bytes32, round_: bytes, seats: int, excluded: Collection[Address] = ()) -> Draw:
    """The seats of a round, which `may_open`, from the seed of its period and the tree before it. Changes nothing.

    Raises FieldInvalid for seed or name of another length than 32 bytes, and for an empty tree.
    """
    if len(seed) != 32 or len(round_) != 32:
        raise FieldInvalid("draw", "seed and round", "must be 32 bytes each")
    root = tree.capacity
    if root == 0:
        raise FieldInvalid("draw", "tree", "must not be empty")
    tries: list[Try] = []
    accounts: list[Address] = []
    for seat in range(seats):
        seated = _tries_of_seat(tree, root, seed, round_, seat, excluded, accounts)
        tries += seated
        if seated[-1].outcome is not Outcome.SEATED:
            return Draw(root, tuple(tries), None)
        accounts.append(seated[-1].account)
    return Draw(root, tuple(tries), tuple(accounts))


def _tries_of_seat(
    tree: PoolTree, root: int, seed: bytes, round_: bytes, seat: int, excluded: Collection[Address], before: list[Address]
) -> list[Try]:
    """Until one sits, at most four."""
    found: list[Try] = []
    for attempt in range(TRIES):
        point = point_of(seed, round_, seat, attempt, root)
        leaf, account, weight = tree.find(point)
        open_seats = tree.drawn.get(account, 0) + before.count(account)
        full = Outcome.SEATED if open_seats < weight else Outcome.FULL
        outcome = Outcome.EXCLUDED if account in excluded else full
        found.append(Try(seat, attempt, point, leaf, account, weight, open_seats, outcome))
        if outcome is Outcome.SEATED:
            break
    return found
