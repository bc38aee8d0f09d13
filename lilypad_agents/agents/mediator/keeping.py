"""What a mediator looks up about its pools each block: whose turn a step is, queues, seeds, our own stake, our money."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lilypad_agents.agents.mediator.view import Money
from lilypad_agents.agents.provider.view import SeedView
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.panels import Panels
from lilypad_agents.agents.runtime.seeds import SeedStatus, proving_of
from lilypad_agents.chain.contract import Contract, PreparedCall, call_many
from lilypad_agents.protocol.digest import deciding_block
from lilypad_agents.protocol.ids import Address, PoolId, keccak256
from lilypad_agents.protocol.terms import PoolTerms
from lilypad_agents.protocol.units import Amount, Period, Seconds, Timestamp


MOST_TURNS = 10


@dataclass(frozen=True)
class Queue:
    """A pool's queue: next ticket, tickets given out, and the period whose seed draws the next."""

    next: int
    end: int
    period: Period


@dataclass(frozen=True)
class Stake:
    """Ours in one pool, smallest units: what counts, what unbonds and until when (unix seconds), and seats that are open.

    `frozen`: the tree may not change now. `pending`: accounts of the pool with changes that it does not count yet. `weight`:
    whole seat stakes of ours that draws count.
    """

    staked: int = 0
    unbonding: int = 0
    withdrawable_at: int = 0
    open_seats: int = 0
    frozen: bool = False
    pending: int = 0
    weight: int = 0

    def withdrawable(self, now: int) -> Amount:
        """What can be withdrawn at this second, as far as open seats allow."""
        return Amount(self.unbonding if self.unbonding and now >= self.withdrawable_at else 0)


@dataclass
class Lookup:
    """Answers of the chain at the cycle's block. `seeds`: asked for in this cycle, by period."""

    context: AgentContext
    panels: Panels
    account: Address
    pools: Sequence[PoolTerms]
    randomness: Contract
    lifetime: Seconds = Seconds(0)
    proving: tuple[int, int] | None = None
    queues: dict[PoolId, Queue] = field(default_factory=dict)
    stakes: dict[PoolId, Stake] = field(default_factory=dict)
    seeds: dict[Period, SeedStatus] = field(default_factory=dict)
    values: dict[Period, bytes] = field(default_factory=dict)
    _first_seen: dict[Period, Timestamp] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lifetime = Seconds(int(self.randomness.call("lifetime")))
        self.proving = proving_of(self.randomness)

    def look_at_pools(self) -> None:
        """Queue and own stake of every pool. Raises ChainUnreachable, RpcError."""
        staking, calls = self.panels.staking, list[PreparedCall]()
        for pool in self.pools:
            calls += [
                staking.prepare("queueOf", pool.id),
                staking.prepare("stakeOf", pool.id, self.account),
                staking.prepare("pendingOf", pool.id),
                staking.prepare("weightOf", pool.id, self.account),
            ]
        answers = self._ask(calls)
        for index, pool in enumerate(self.pools):
            queue, stake, pending, weight = answers[4 * index : 4 * index + 4]
            self.queues[pool.id] = Queue(int(queue[0]), int(queue[1]), Period(queue[2]))
            self.stakes[pool.id] = Stake(*map(int, stake), frozen=bool(pending[0]), pending=int(pending[1]), weight=int(weight[1]))

    def look_at_seeds(self, periods: Iterable[Period]) -> None:
        """Whether the seeds of these periods are known. Raises ChainUnreachable, RpcError."""
        wanted = sorted(set(periods))
        answers = self._ask([self.randomness.prepare("seed", period) for period in wanted])
        self.seeds, self.values = {}, {}
        self._first_seen = {period: at for period, at in self._first_seen.items() if period in wanted}
        for period, answer in zip(wanted, answers, strict=True):
            self.seeds[period] = SeedStatus(answer[0])
            self.values[period] = bytes(answer[1])
            if self.seeds[period] is SeedStatus.KNOWN or self._is_awaited(period):
                self._first_seen.setdefault(period, self.context.now)

    def seed_views(self, is_recorded: Callable[[Period], bool]) -> dict[Period, SeedView]:
        """Age and life of the seeds that can be recorded; the age is counted from when this process saw them first."""
        found = {}
        for period, status in self.seeds.items():
            awaited = self._is_awaited(period)
            if status is SeedStatus.KNOWN or awaited:
                age = Seconds(max(0, self.context.now - self._first_seen[period]))
                found[period] = SeedView(age, self.lifetime, is_recorded(period), awaited)
        return found

    def _is_awaited(self, period: Period) -> bool:
        """Whether the chain waits for a header that exists by now."""
        if self.proving is None or self.seeds.get(period) is not SeedStatus.PENDING:
            return False
        return self.context.head.number > deciding_block(period, *self.proving)

    def is_known(self, period: Period) -> bool:
        """Whether a draw with this period's seed can be asked for: it is known, or lost (then the queue moves on)."""
        return self.seeds.get(period, SeedStatus.PENDING) is not SeedStatus.PENDING

    def money(self, tokens: Iterable[Address], appealed: Mapping[Address, int]) -> dict[Address, Money]:
        """Our wallet and allowance in these tokens. Raises ChainUnreachable, RpcError."""
        wanted = sorted(set(tokens))
        abi, calls = self.context.contracts["LilypadToken"].abi, list[PreparedCall]()
        for address in wanted:
            token = Contract(address, abi, self.context.rpc)
            calls.append(token.prepare("balanceOf", self.context.address))
            calls.append(token.prepare("allowance", self.context.address, self.panels.mediation.address))
        answers = self._ask(calls)
        return {
            address: Money(Amount(answers[2 * n]), Amount(answers[2 * n + 1]), Amount(appealed.get(address, 0)))
            for n, address in enumerate(wanted)
        }

    def _ask(self, calls: Sequence[PreparedCall]) -> list[Any]:
        if not calls:
            return []
        answers = call_many(self.context.rpc, calls, self.context.head)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers


def turn_of(panels: Panels, pool: PoolTerms, subject: bytes, account: Address, each: int) -> Seconds:
    """How long we leave a step to others: our place in an order of the pool's stakers that the subject shuffles.

    Everybody computes the same order, so usually one transaction is sent for a step and not one by each. Nobody waits for
    more than ten others: many accounts of one owner that do nothing hold a step up no longer than that.
    """
    log = panels.pools.get(pool.id)
    stakers = set() if log is None else {staker for staker, weight in log.weights.items() if weight}
    order = sorted(stakers | {account}, key=lambda staker: keccak256(subject + bytes.fromhex(staker[2:])))
    return Seconds(min(order.index(account), MOST_TURNS) * each)
