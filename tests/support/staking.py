"""A pool of stakers whose strategy does what the test says, seeds at will, and the twin that follows its events.

    site = build_staking(stakers=3, seats=10)            # three accounts with ten seat stakes each
    ticket = site.queue(b"a", 3)
    site.begin(ticket, seed=7)                            # the first block of the period that draws it; its seed
    result, accounts = site.draw(ticket, b"a", 3)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lilypad_agents.protocol.draw import PoolTree, pool_event
from lilypad_agents.protocol.ids import NOBODY, ZERO, keccak256
from lilypad_agents.protocol.rounds import RoundQueue
from lilypad_agents.protocol.terms import PoolTerms
from tests.support.evm import Account, Contract, Evm, Receipt
from tests.support.world import COIN, PERIOD_BLOCKS, World, build_world

SEAT = 100 * COIN
UNBONDING = 700  # seconds; the devnet's mediation limit is 600
DRAWN, POSTPONED = 0, 1
EXCLUDE_NOBODY = (NOBODY,) * 4


def name(text: str | bytes) -> bytes:
    """The 32 bytes by which a strategy calls a round."""
    return keccak256(text.encode() if isinstance(text, str) else text)


def excluding(*accounts: Any) -> tuple[str, ...]:
    plain = [getattr(account, "address", account) for account in accounts]
    return tuple(plain + [NOBODY] * (4 - len(plain)))


@dataclass
class StakingSite:
    """`strategy` is a plain account here: the contract asks nothing of it but its address."""

    world: World
    staking: Contract
    strategy: Account
    pool: PoolTerms
    twins: dict[bytes, PoolTree] = field(default_factory=dict)
    queues: dict[bytes, RoundQueue] = field(default_factory=dict)

    @property
    def evm(self) -> Evm:
        return self.world.evm

    # ---- stakers

    def account(self, text: str) -> Account:
        return self.evm.account(text)

    def fund(self, account: Any, amount: int, token: Contract | None = None) -> None:
        """Mints, and approves the staking contract."""
        token = token or self.world.token
        token.mint(account, amount)
        token.approve(self.staking, 2**256 - 1, sender=account)

    def stake(self, account: Account, amount: int = SEAT, pool: PoolTerms | None = None, proof: Sequence[bytes] = ()) -> Receipt:
        """Mints what it stakes."""
        self.fund(account, amount)
        return self.note(self.staking.stake(pool or self.pool, amount, list(proof), sender=account))

    def unbond(self, account: Account, amount: int) -> Receipt:
        return self.note(self.staking.requestUnbonding(self.pool, amount, sender=account))

    def withdraw(self, account: Any, sender: Any = None) -> Receipt:
        return self.note(self.staking.withdraw(self.pool, account, sender=sender or self.world.keeper))

    def apply(self, most: int = 100) -> Receipt:
        return self.note(self.staking.applyPending(self.pool, most, sender=self.world.keeper))

    # ---- the strategy

    def queue(self, round_: str, seats: int = 1, excluded: Sequence[str] = EXCLUDE_NOBODY) -> int:
        receipt = self.staking.queueRound(self.pool, name(round_), seats, excluded, sender=self.strategy)
        self.note(receipt)
        return receipt.value

    def draw(
        self, ticket: int, round_: str, seats: int = 1, excluded: Sequence[str] = EXCLUDE_NOBODY, pool: PoolTerms | None = None
    ) -> tuple[int, tuple[str, ...]]:
        receipt = self.staking.draw(pool or self.pool, ticket, name(round_), seats, excluded, sender=self.strategy)
        result, accounts = self.note(receipt).value
        return result, tuple(accounts)

    def draw_cancelled(self, ticket: int, round_: str, seats: int = 1, excluded: Sequence[str] = EXCLUDE_NOBODY) -> int:
        receipt = self.staking.drawCancelled(self.pool, ticket, name(round_), seats, excluded, sender=self.world.keeper)
        return self.note(receipt).value

    def cancel(self, ticket: int) -> Receipt:
        return self.note(self.staking.cancelRound(self.pool, ticket, sender=self.strategy))

    def release(self, accounts: Sequence[Any], losses: Sequence[int] | None = None) -> int:
        losses = [0] * len(accounts) if losses is None else losses
        plain = [getattr(account, "address", account) for account in accounts]
        return self.note(self.staking.releaseSeats(self.pool, plain, list(losses), sender=self.strategy)).value

    # ---- time and chance

    @property
    def period(self) -> int:
        return self.evm.number // PERIOD_BLOCKS

    def to_period(self, period: int) -> None:
        """The first block of a period; one second a block."""
        blocks = period * PERIOD_BLOCKS - self.evm.number
        if blocks:
            self.evm.mine(blocks)

    def know(self, period: int, seed: int) -> bytes:
        """Makes a seed known."""
        value = keccak256(seed.to_bytes(32, "big"))
        self.world.randomness.setSeed(period, value)
        return value

    def begin(self, seed: int = 0) -> bytes:
        """Goes to the period that draws what is next in the queue, unless it runs already, and makes its seed known."""
        period = self.staking.queueOf(self.pool.id)[2]
        if period > self.period:
            self.to_period(period)
        return self.know(period, seed)

    # ---- what is there

    def free(self, account: Any) -> int:
        return self.world.free(account)

    def stake_of(self, account: Any) -> tuple[int, int, int, int]:
        """Staked, unbonding, withdrawable at, open seats."""
        return tuple(self.staking.stakeOf(self.pool.id, account))

    def weight(self, account: Any) -> int:
        return self.staking.weightOf(self.pool.id, account)[1]

    @property
    def frozen(self) -> bool:
        return self.staking.pendingOf(self.pool.id)[0]

    @property
    def twin(self) -> PoolTree:
        """The tree of the pool, rebuilt from its events alone."""
        return self.twins.setdefault(self.pool.id, PoolTree())

    def note(self, receipt: Receipt) -> Receipt:
        """Lets the twin follow what a transaction did."""
        for log in receipt.logs:
            if log.address != self.staking.address or "pool" not in log.args:
                continue
            if event := pool_event(log.name, log.args):
                self.twins.setdefault(log.args["pool"], PoolTree()).apply(event)
            if log.args["pool"] in self.queues:
                self.queues[log.args["pool"]].apply(log.name, log.args)
        return receipt


def build_staking(stakers: int = 0, seats: int = 10, world: World | None = None) -> StakingSite:
    """A pool, on a fresh chain unless told; `stakers` accounts "staker 0", "staker 1"... hold `seats` seat stakes each."""
    world = world or build_world()
    strategy = world.evm.account("strategy")
    staking = world.evm.deploy("LilypadStaking", world.core, UNBONDING)
    pool = PoolTerms(
        strategy.address, world.token.address, 5 * COIN // 4, SEAT, 10 * COIN, ZERO, 12, 8, 12, ZERO,
    )  # fmt: skip
    site = StakingSite(world, staking, strategy, pool)
    for number in range(stakers):
        site.stake(site.account(f"staker {number}"), seats * SEAT)
    return site
