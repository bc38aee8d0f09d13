"""Who owns what of each token. Protocol sections 3.5 (accruals and fees), 3.4 (nonces), 6.5 (funds), 10 (delegates), 13 (a).

The sum of free and locked credit, funds, accruals and waiting fees is what the core holds of a token; what it has beyond that
was sent past the ledger and belongs to nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from tests.reference.words import NOBODY


class Refused(Exception):
    """The call reverts with the custom error of this name and changes nothing."""


def require(holds: bool, error: str) -> None:
    if not holds:
        raise Refused(error)


class Accrual(NamedTuple):
    """Where the fees of deals with equal terms accrue."""

    token: str
    version: bytes
    solver: str
    strategy: str
    pool: bytes

    @property
    def fees(self) -> tuple[str, bytes, str]:
        return self.token, self.version, self.solver

    @property
    def fund(self) -> tuple[str, str, bytes]:
        return self.strategy, self.token, self.pool


OFFERS, RESULTS, ACCEPTANCE = 1, 2, 4  # scopes of delegates
CANCELLED = 2**32 - 1


class Ledger:
    """`wallet`: tokens that accounts hold themselves, with allowances for the protocol's contracts."""

    def __init__(self) -> None:
        self.wallet: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.free: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.locked: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.funds: defaultdict[tuple[str, str, bytes], int] = defaultdict(int)
        self.accrued: defaultdict[Accrual, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.fees: defaultdict[tuple[str, bytes, str], list[int]] = defaultdict(lambda: [0, 0])
        self.held: defaultdict[str, int] = defaultdict(int)
        self.gifts: defaultdict[tuple[str, str], int] = defaultdict(int)  # sent past the ledger, by token and receiver
        self.floors: dict[tuple[str, str], tuple[int, int]] = {}  # job and resource floor
        self.used: set[tuple[str, int]] = set()  # nonces of job offers
        self.cancelled: set[tuple[str, int]] = set()
        self.uses: dict[tuple[str, int], int] = {}  # of resource offers
        self.delegates: dict[tuple[str, str], tuple[int, int]] = {}  # scope and expiry, by account and key

    # ---- in, out and across

    def pay_token(self, token: str, start: str, to: str, amount: int) -> None:
        require(self.wallet[token, start] >= amount, "TokenRefuses")
        self.wallet[token, start] -= amount
        self.wallet[token, to] += amount

    def deposit(self, core: str, token: str, payer: str, account: str, amount: int) -> None:
        require(amount > 0, "AmountZero")
        require(account != NOBODY, "RecipientZero")
        self.pay_token(token, payer, core, amount)
        self.held[token] += amount
        self.free[token, account] += amount

    def withdraw(self, core: str, token: str, account: str, to: str, amount: int) -> None:
        require(amount > 0, "AmountZero")
        require(to != NOBODY, "RecipientZero")
        self.take(token, account, amount)
        self.held[token] -= amount
        self.pay_token(token, core, to, amount)

    def take(self, token: str, account: str, amount: int) -> None:
        require(self.free[token, account] >= amount, "CreditInsufficient")
        self.free[token, account] -= amount

    def move(self, token: str, start: str, parts: Iterable[tuple[str, int]]) -> None:
        """One account pays several; all or none."""
        parts = list(parts)
        require(all(to != NOBODY for to, _ in parts), "RecipientZero")
        self.take(token, start, sum(amount for _, amount in parts))
        for to, amount in parts:
            self.free[token, to] += amount

    def donate(self, fund: tuple[str, str, bytes], account: str, amount: int) -> None:
        self.take(fund[1], account, amount)
        self.funds[fund] += amount

    # ---- fees

    def accrue(self, place: Accrual, royalty: int, solver_fee: int, to_fund: int) -> None:
        parts = self.accrued[place]
        self.accrued[place] = [parts[0] + royalty, parts[1] + solver_fee, parts[2] + to_fund]

    def sweep(self, place: Accrual) -> None:
        royalty, solver_fee, to_fund = self.accrued[place]
        self.accrued[place] = [0, 0, 0]
        self.add_fees(place.fees, royalty, solver_fee)
        self.funds[place.fund] += to_fund

    def add_fees(self, key: tuple[str, bytes, str], royalty: int, solver_fee: int) -> None:
        waiting = self.fees[key]
        self.fees[key] = [waiting[0] + royalty, waiting[1] + solver_fee]

    def claim_royalty(self, key: tuple[str, bytes, str], royalty_to: str, caller: str) -> None:
        require(caller == royalty_to, "RoyaltyNotYours")
        self.free[key[0], caller] += self.fees[key][0]
        self.fees[key] = [0, self.fees[key][1]]

    def claim_solver_fee(self, key: tuple[str, bytes, str]) -> None:
        self.free[key[0], key[2]] += self.fees[key][1]
        self.fees[key] = [self.fees[key][0], 0]

    # ---- escrow

    def lock(self, token: str, account: str, amount: int) -> None:
        self.free[token, account] -= amount
        self.locked[token, account] += amount

    def release(self, token: str, account: str, unlocked: int, received: int) -> None:
        self.locked[token, account] -= unlocked
        self.free[token, account] += received

    # ---- offers that end, and who may speak for whom

    def is_actor(self, account: str, caller: str, scope: int, now: int) -> bool:
        """The account itself, or its delegate in this scope until it expires."""
        if caller == account:
            return True
        given, expiry = self.delegates.get((account, caller), (0, 0))
        return bool(given & scope) and now <= expiry

    def grant(self, account: str, key: str, scope: int, expiry: int) -> None:
        require(key not in (NOBODY, account) and 0 < scope <= 7, "DelegateInvalid")
        self.delegates[account, key] = scope, expiry

    def revoke(self, account: str, key: str) -> None:
        self.delegates.pop((account, key), None)

    def cancel(self, account: str, resource: bool, nonce: int) -> None:
        if resource:
            self.uses[account, nonce] = CANCELLED
        else:
            self.cancelled.add((account, nonce))

    def cancel_below(self, account: str, token: str, job: int, resource: int) -> None:
        old = self.floors.get((token, account), (0, 0))
        self.floors[token, account] = max(old[0], job), max(old[1], resource)

    # ---- sums

    def owed(self, token: str) -> int:
        """The sum of all parts. Section 13 (a): equal to `held[token]`."""
        return (
            sum(amount for (t, _), amount in self.free.items() if t == token)
            + sum(amount for (t, _), amount in self.locked.items() if t == token)
            + sum(amount for (_, t, _), amount in self.funds.items() if t == token)
            + sum(sum(parts) for place, parts in self.accrued.items() if place.token == token)
            + sum(sum(parts) for key, parts in self.fees.items() if key[0] == token)
        )
