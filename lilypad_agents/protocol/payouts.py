"""Who gets what at every ending of a deal, to the last unit. Protocol sections 4, 6.2 and 6.7.

The reference for the contracts' settlements and the figures of `lilypad job show`. Amounts are credits out of the
deal's escrow (creator's total and provider's collateral); in each ending they add up to it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.price import (
    Priced,
    audit_fee,
    challenge_fee,
    challenger_bounty,
    charge,
    decline_cost,
    keeper_bounty,
    locked_total,
    penalty,
    premium_of,
    value_of,
)
from lilypad_agents.protocol.units import Amount, Bps, Units

_NONE = Amount(0)


@dataclass(frozen=True)
class Payout:
    """Smallest units credited to each at the end of a deal."""

    creator: Amount = _NONE
    provider: Amount = _NONE
    royalty: Amount = _NONE
    solver: Amount = _NONE
    fund: Amount = _NONE
    keeper: Amount = _NONE  # whoever claimed a timeout, or the strategy named
    challenger: Amount = _NONE
    strategy: Amount = _NONE  # its claim

    @property
    def total(self) -> Amount:
        return Amount(sum(getattr(self, field.name) for field in fields(self)))


def escrow(deal: Priced, protocol_fee_bps: Bps) -> Amount:
    """What both sides lock at opening."""
    return Amount(locked_total(deal, protocol_fee_bps) + deal.collateral)


def accepted(
    deal: Priced, units: Units, protocol_fee_bps: Bps, claim: Amount = _NONE, paid_audit: bool = False
) -> Payout:
    """Settled, or found correct by the strategy, whose `claim` the provider pays.

    `claim`: at most three seat fees, and what gross and collateral hold. `paid_audit`: the seed was lost, so that the
    collateral has paid the audit already. Raises FieldInvalid for a larger claim.
    """
    due = charge(deal, units, protocol_fee_bps)
    _require_claim(claim, Amount(min(challenge_fee(deal), _collateral(deal, paid_audit) + due.gross)))
    return Payout(
        creator=Amount(locked_total(deal, protocol_fee_bps) - due.total),
        provider=Amount(_collateral(deal, paid_audit) + due.gross - claim),
        royalty=due.royalty,
        solver=due.solver_fee,
        fund=due.to_fund,
        strategy=claim,
    )


def declined(deal: Priced, protocol_fee_bps: Bps) -> Payout:
    cost = decline_cost(deal)
    return Payout(
        creator=Amount(locked_total(deal, protocol_fee_bps) + cost), provider=Amount(deal.collateral - cost)
    )


def timed_out(
    deal: Priced, protocol_fee_bps: Bps, had_result: bool, claim: Amount = _NONE, keeper: bool = True
) -> Payout:
    """Late with the result, or (`had_result`) with its opening or its delivery, where a strategy may `claim`.

    `keeper`: whether somebody earns the bounty; otherwise the creator gets it.
    """
    premium = premium_of(deal) if had_result else _NONE
    fine = penalty(deal)
    _require_claim(claim, Amount(deal.collateral - fine - premium) if had_result else _NONE)
    bounty = keeper_bounty(deal) if keeper else _NONE
    return Payout(
        creator=Amount(locked_total(deal, protocol_fee_bps) + fine - bounty),
        provider=Amount(deal.collateral - fine - premium - claim),
        fund=premium,
        keeper=bounty,
        strategy=claim,
    )


def found_wrong(
    deal: Priced, protocol_fee_bps: Bps, claim: Amount = _NONE, bounty: bool = False, paid_audit: bool = False
) -> Payout:
    """The slash, in the order of protocol 6.7. `bounty`: a challenger earned it before the deal was drawn."""
    premium = premium_of(deal)
    value = value_of(deal.price, deal.unit_price, deal.max_units)
    left = _collateral(deal, paid_audit) - premium - value
    _require_claim(claim, Amount(left))
    left -= claim
    reward = min(challenger_bounty(deal), left) if bounty else 0
    return Payout(
        creator=Amount(locked_total(deal, protocol_fee_bps) + value),
        fund=Amount(premium + left - reward),
        challenger=Amount(reward),
        strategy=claim,
    )


def no_fault(deal: Priced, protocol_fee_bps: Bps, paid_audit: bool = False) -> Payout:
    premium = premium_of(deal)
    return Payout(
        creator=Amount(locked_total(deal, protocol_fee_bps) - premium),
        provider=_collateral(deal, paid_audit),
        fund=premium,
    )


def closed(deal: Priced, protocol_fee_bps: Bps, to_creator: Amount, had_result: bool) -> Payout:
    """Divided by agreement; the provider's part follows, since the split must use up the escrow.

    Raises FieldInvalid when `to_creator` is more than there is to divide.
    """
    premium = premium_of(deal) if had_result else _NONE
    rest = escrow(deal, protocol_fee_bps) - premium - to_creator
    if rest < 0:
        raise FieldInvalid("Closing", "toCreator", "is more than the escrow less the premium", short=-rest)
    return Payout(creator=to_creator, provider=Amount(rest), fund=premium)


def _collateral(deal: Priced, paid_audit: bool) -> Amount:
    return Amount(deal.collateral - audit_fee(deal)) if paid_audit else deal.collateral


def _require_claim(claim: Amount, most: Amount) -> None:
    if claim > most:
        raise FieldInvalid("resolve", "claim", f"is at most {most}", claim=claim, most=most)
