"""What a deal costs, in smallest units of its token. Twin of contracts/core/LilypadRules.sol, protocol 3.5 and 6.

Fees are rounded down (the creator keeps the rest); the premium and the seat fee are rounded up, as their names say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from lilypad_agents.protocol.ids import NOBODY
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import (
    AUDIT_SEATS,
    CHALLENGER_BOUNTY_BPS,
    DECLINE_BPS,
    KEEPER_BOUNTY_BPS,
    PANEL_SEATS,
    PREMIUM_TENTHS,
    SEAT_FEE_BPS,
    SEAT_FLOOR_BPS,
    SEAT_STAKE_TENTHS,
    WHOLE,
    Amount,
    Bps,
    Units,
)


class Priced(Protocol):
    """The terms of a deal record that its price follows from; `deal.Deal` is one."""

    @property
    def price(self) -> Amount: ...
    @property
    def unit_price(self) -> Amount: ...
    @property
    def max_units(self) -> Units: ...
    @property
    def collateral(self) -> Amount: ...
    @property
    def seat_fee(self) -> Amount: ...
    @property
    def seat_floor(self) -> Amount: ...
    @property
    def audit_bps(self) -> Bps: ...
    @property
    def royalty_bps(self) -> Bps: ...
    @property
    def solver_fee_bps(self) -> Bps: ...
    @property
    def is_verified(self) -> bool: ...


class Figures(NamedTuple):
    """The terms that a pair of offers would be priced by; unlike a Deal it may hold numbers that the core refuses."""

    price: Amount
    unit_price: Amount
    max_units: Units
    collateral: Amount
    seat_fee: Amount
    seat_floor: Amount
    audit_bps: Bps
    royalty_bps: Bps
    solver_fee_bps: Bps
    is_verified: bool

    @property
    def value(self) -> Amount:
        return value_of(self.price, self.unit_price, self.max_units)


def figures_of(job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms) -> Figures:
    """What an opening of these offers would be priced by. Whoever names a solver makes the creator pay its fee."""
    value = value_of(resource.price, resource.unit_price, job.max_units)
    verified = pool.is_verified
    return Figures(
        price=resource.price,
        unit_price=resource.unit_price,
        max_units=job.max_units,
        collateral=Amount(value * job.collateral_bps // WHOLE),
        seat_fee=seat_fee_up(value, pool.seat_fee_floor, module.min_seat_fee) if verified else Amount(0),
        seat_floor=pool.seat_fee_floor,
        audit_bps=job.audit_bps,
        royalty_bps=module.royalty_bps,
        solver_fee_bps=Bps(0) if job.solver == NOBODY == resource.solver else job.solver_fee_bps,
        is_verified=verified,
    )


@dataclass(frozen=True)
class Charge:
    """What a deal costs at some number of units."""

    gross: Amount  # to the provider
    royalty: Amount
    solver_fee: Amount
    protocol_fee: Amount  # to the audit fund
    premium: Amount  # to the audit fund

    @property
    def to_fund(self) -> Amount:
        return Amount(self.protocol_fee + self.premium)

    @property
    def total(self) -> Amount:
        """What the creator pays."""
        return Amount(self.gross + self.royalty + self.solver_fee + self.to_fund)


def value_of(price: int, unit_price: int, max_units: int) -> Amount:
    """The most the provider can earn. May exceed 96 bits; the core refuses that at opening."""
    return Amount(price + unit_price * max_units)


def charge(deal: Priced, units: Units, protocol_fee_bps: Bps) -> Charge:
    """The charge for `units` metered units; more than the signed maximum count as that."""
    gross = deal.price + deal.unit_price * min(units, deal.max_units)
    return Charge(
        Amount(gross),
        Amount(gross * deal.royalty_bps // WHOLE),
        Amount(gross * deal.solver_fee_bps // WHOLE),
        Amount(gross * protocol_fee_bps // WHOLE if deal.is_verified else 0),
        premium_of(deal),
    )


def locked_total(deal: Priced, protocol_fee_bps: Bps) -> Amount:
    """What the creator locks at opening: the total at the maximum of units."""
    return charge(deal, deal.max_units, protocol_fee_bps).total


def premium_of(deal: Priced) -> Amount:
    """The deal's premium; none in the Unverified pool."""
    return premium_up(deal.seat_fee, deal.audit_bps) if deal.is_verified else Amount(0)


def premium_up(seat_fee: int, audit_bps: int) -> Amount:
    """1.1 times audit rate times seat fee, rounded up: the fund must not lose by dust."""
    return Amount(_divide_up(seat_fee * audit_bps * PREMIUM_TENTHS, WHOLE * 10))


def seat_fee_up(value: int, floor: int, module_minimum: int) -> Amount:
    """125 % of the value rounded up, at least the pool's floor and the module's minimum. Protocol 6.2."""
    return Amount(max(_divide_up(value * SEAT_FEE_BPS, WHOLE), floor, module_minimum))


def least_seat_floor_up(max_value: int) -> Amount:
    """The smallest fee floor of a pool with this maximum value: less would let disputes over dust block its audits."""
    return Amount(_divide_up(max_value * SEAT_FLOOR_BPS, WHOLE))


def least_seat_stake_up(seat_fee: int) -> Amount:
    """The smallest seat stake for a pool whose largest seat fee this is."""
    return Amount(_divide_up(seat_fee * SEAT_STAKE_TENTHS, 10))


def penalty(deal: Priced) -> Amount:
    """What a late provider pays: min(collateral, value)."""
    return Amount(min(deal.collateral, value_of(deal.price, deal.unit_price, deal.max_units)))


def keeper_bounty(deal: Priced) -> Amount:
    """What the penalty leaves to whoever claims the timeout."""
    return Amount(penalty(deal) * KEEPER_BOUNTY_BPS // WHOLE)


def decline_cost(deal: Priced) -> Amount:
    """What a provider that declines pays: 1 % of the value, at most its collateral."""
    return Amount(min(value_of(deal.price, deal.unit_price, deal.max_units) * DECLINE_BPS // WHOLE, deal.collateral))


def challenger_bounty(deal: Priced) -> Amount:
    """5 % of the collateral, before what is left of it bounds the bounty. Protocol 6.7."""
    return Amount(deal.collateral * CHALLENGER_BOUNTY_BPS // WHOLE)


def audit_fee(deal: Priced) -> Amount:
    """What an audit costs the fund: four seat fees, of which what is not used returns."""
    return Amount(AUDIT_SEATS * deal.seat_fee)


def challenge_fee(deal: Priced) -> Amount:
    """What a challenge of the result costs."""
    return Amount(PANEL_SEATS * deal.seat_fee)


def delivery_fee(deal: Priced) -> Amount:
    """What a challenge of the delivery costs."""
    return Amount(PANEL_SEATS * deal.seat_floor)


def _divide_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
