"""Fees of transactions: what to offer at first, when to raise it, and when to wait. Pure; all amounts wei per gas.

A replacement raises both fields by 12.5 % (nodes ask for 10 %), rounded up, and never passes the cap. Source: EIP-1559
and the replacement rule of the common transaction pools.
"""

from __future__ import annotations

from dataclasses import dataclass

from lilypad_agents.chain.types import Wei


@dataclass(frozen=True)
class Fees:
    """`max_fee`: the most paid in total, `tip`: the most paid to the block's proposer; wei per gas."""

    max_fee: Wei
    tip: Wei


@dataclass(frozen=True)
class FeeMarket:
    """What a block asked (`base_fee`) and what a node suggests as a tip."""

    base_fee: Wei
    tip: Wei


def first_fees(market: FeeMarket, cap: Wei) -> Fees | None:
    """Twice the base fee plus the tip, at most `cap`; None while even one base fee plus the tip is above the cap."""
    if market.base_fee + market.tip > cap:
        return None
    return Fees(Wei(min(cap, 2 * market.base_fee + market.tip)), market.tip)


def raised_fees(old: Fees, market: FeeMarket, cap: Wei) -> Fees | None:
    """Fees of a replacement, or None when the cap leaves no room for a rise that a node accepts."""
    least = Fees(raise_up(old.max_fee), raise_up(old.tip))
    tip = int(max(least.tip, market.tip))
    max_fee = min(cap, max(least.max_fee, 2 * market.base_fee + tip))
    tip = min(tip, max_fee)
    if max_fee < least.max_fee or tip < least.tip:
        return None
    return Fees(Wei(max_fee), Wei(tip))


def raise_up(amount: Wei) -> Wei:
    """`amount` plus 12.5 %, rounded up, and at least 1 more."""
    return Wei(max(amount + 1, -(-amount * 9 // 8)))


def covers(fees: Fees, market: FeeMarket) -> bool:
    """Whether a block with this base fee can include the transaction."""
    return fees.max_fee >= market.base_fee
