"""The ledger in Python: who owns what of each token, moved by the payouts of the pure protocol package. Smallest units."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import NOBODY
from lilypad_agents.protocol.payouts import Payout
from lilypad_agents.protocol.price import audit_fee, locked_total

Key = tuple[str, str]  # token, account
FundKey = tuple[str, str, bytes]  # strategy, token, pool
FeeKey = tuple[str, bytes, str]  # token, version, solver
AccrualKey = tuple[str, bytes, str, str, bytes]  # token, version, solver, strategy, pool


def _triples() -> defaultdict[AccrualKey, list[int]]:
    return defaultdict(lambda: [0, 0, 0])


def _pairs() -> defaultdict[FeeKey, list[int]]:
    return defaultdict(lambda: [0, 0])


def fund_key(deal: Deal) -> FundKey:
    return deal.strategy, deal.token, deal.pool


def fee_key(deal: Deal) -> FeeKey:
    return deal.token, deal.module, deal.solver


def accrual_key(deal: Deal) -> AccrualKey:
    return deal.token, deal.module, deal.solver, deal.strategy, deal.pool


@dataclass
class Book:
    """All that the core keeps of money. `gifts`: tokens that were sent past the ledger."""

    protocol_fee_bps: int
    free: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    locked: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    funds: defaultdict[FundKey, int] = field(default_factory=lambda: defaultdict(int))
    accrued: defaultdict[AccrualKey, list[int]] = field(default_factory=_triples)
    fees: defaultdict[FeeKey, list[int]] = field(default_factory=_pairs)
    held: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    gifts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    # ---- in, out and across

    def deposit(self, token: str, account: str, amount: int) -> None:
        self.free[token, account] += amount
        self.held[token] += amount

    def withdraw(self, token: str, account: str, amount: int) -> None:
        self.free[token, account] -= amount
        self.held[token] -= amount

    def move(self, token: str, start: str, to: str, amount: int) -> None:
        self.free[token, start] -= amount
        self.free[token, to] += amount

    def donate(self, key: FundKey, account: str, amount: int) -> None:
        self.free[key[1], account] -= amount
        self.funds[key] += amount

    def sweep(self, key: AccrualKey) -> None:
        token, version, solver, strategy, pool = key
        royalty, solver_fee, to_fund = self.accrued.pop(key, [0, 0, 0])
        self._add_fees((token, version, solver), royalty, solver_fee)
        self.funds[strategy, token, pool] += to_fund

    def claim(self, key: FeeKey, part: int, account: str) -> int:
        """`part`: 0 the royalty, 1 the solver fee."""
        amount = self.fees[key][part]
        self.fees[key][part] = 0
        self.free[key[0], account] += amount
        return amount

    # ---- deals

    def open(self, deal: Deal) -> None:
        self._lock(deal.token, deal.creator, locked_total(deal, self.protocol_fee_bps))
        self._lock(deal.token, deal.provider, deal.collateral)

    def end(
        self, deal: Deal, payout: Payout, *, settled: bool, paid_audit: bool, keeper: str = NOBODY, challenger: str = NOBODY
    ) -> None:
        """Pays the escrow out. `settled`: fees and the fund's part wait in an accrual; else they are where they belong."""
        token = deal.token
        self.locked[token, deal.creator] -= locked_total(deal, self.protocol_fee_bps)
        self.locked[token, deal.provider] -= deal.collateral - (audit_fee(deal) if paid_audit else 0)
        for account, amount in (
            (deal.creator, payout.creator), (deal.provider, payout.provider), (keeper, payout.keeper),
            (challenger, payout.challenger), (deal.strategy, payout.strategy),
        ):  # fmt: skip
            self.free[token, account] += amount
        if settled:
            for index, amount in enumerate((payout.royalty, payout.solver, payout.fund)):
                self.accrued[accrual_key(deal)][index] += amount
        else:
            self._add_fees(fee_key(deal), payout.royalty, payout.solver)
            self.funds[fund_key(deal)] += payout.fund

    def dispute(self, deal: Deal, by: str, fee: int, from_fund: int = 0, from_collateral: int = 0) -> None:
        """The strategy's account gets the fee."""
        self.free[deal.token, by] -= fee - from_fund - from_collateral
        self.funds[fund_key(deal)] -= from_fund
        self.locked[deal.token, deal.provider] -= from_collateral
        self.free[deal.token, deal.strategy] += fee

    def repay(self, deal: Deal, to: str, amount: int) -> None:
        self.funds[fund_key(deal)] -= amount
        self.free[deal.token, to] += amount

    # ---- sums

    def owed(self, token: str) -> int:
        """The sum of all parts in a token."""
        return (
            sum(amount for (t, _), amount in self.free.items() if t == token)
            + sum(amount for (t, _), amount in self.locked.items() if t == token)
            + sum(amount for (_, t, _), amount in self.funds.items() if t == token)
            + sum(sum(parts) for key, parts in self.accrued.items() if key[0] == token)
            + sum(sum(parts) for key, parts in self.fees.items() if key[0] == token)
        )

    def _lock(self, token: str, account: str, amount: int) -> None:
        self.free[token, account] -= amount
        self.locked[token, account] += amount

    def _add_fees(self, key: FeeKey, royalty: int, solver_fee: int) -> None:
        self.fees[key][0] += royalty
        self.fees[key][1] += solver_fee
