"""What a job would cost, what is at stake, and who could do it: pure, from a draft of the offer and offers that are open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.deterrence import Margin, margin
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.price import Charge, Figures, charge, decline_cost, figures_of, locked_total, penalty
from lilypad_agents.protocol.refusals import Refusal
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import Amount, Units


@dataclass(frozen=True)
class PricedOffer:
    """A resource offer that fits, with what a deal of it costs. `locked`: the creator's total at the most units."""

    offer: ResourceOffer
    figures: Figures
    least: Charge  # at no metered unit
    most: Charge  # at the most units
    locked: Amount


@dataclass(frozen=True)
class Quote:
    """The answer to "what would it cost?". `priced` is sorted: cheapest, then oldest; empty when nobody could take it.

    `refused`: for each failing condition how many offers fail by it first. `margin`: None in the Unverified pool.
    """

    offer: JobOffer
    pool: PoolTerms
    priced: tuple[PricedOffer, ...]
    refused: Mapping[str, int]
    parameters: Parameters
    margin: Margin | None

    @property
    def best(self) -> PricedOffer | None:
        return self.priced[0] if self.priced else None

    @property
    def is_verified(self) -> bool:
        return self.pool.is_verified


def price_offers(
    job: JobOffer, offers: Sequence[tuple[ResourceOffer, Sequence[Refusal]]], module: ModuleTerms, pool: PoolTerms,
    parameters: Parameters,
) -> Quote:
    """Prices the offers that nothing speaks against and counts what speaks against the others.

    `offers`: oldest first, each with the refusals that keep it from serving the job.
    """
    priced, refused = [], Counter[str]()
    for offer, refusals in offers:
        if refusals and offer.pool != job.pool:
            refused["it is for another pool"] += 1
        elif refusals:
            refused[str(refusals[0])] += 1
        else:
            priced.append(_priced(job, offer, module, pool, parameters))
    priced.sort(key=lambda item: item.locked)
    verified = margin(job.audit_bps, job.collateral_bps) if pool.is_verified else None
    return Quote(job, pool, tuple(priced), dict(refused), parameters, verified)


def _priced(
    job: JobOffer, offer: ResourceOffer, module: ModuleTerms, pool: PoolTerms, parameters: Parameters
) -> PricedOffer:
    figures = figures_of(job, offer, module, pool)
    fee = parameters.protocol_fee_bps
    return PricedOffer(
        offer, figures, charge(figures, Units(0), fee), charge(figures, figures.max_units, fee), locked_total(figures, fee)
    )


@dataclass(frozen=True)
class Ending:
    """One way in which the deal can end, and what it does to the creator's money, smallest units (negative: paid)."""

    name: str
    to_creator: int


def endings(quote: Quote) -> tuple[Ending, ...]:
    """What each ending pays the creator, relative to before the deal. Source: protocol section 4."""
    best = quote.best
    if best is None:
        return ()
    figures, fee = best.figures, quote.parameters.protocol_fee_bps
    locked = best.locked
    late = payouts.timed_out(figures, fee, had_result=False)
    found = [
        Ending("accepted at the most units", -best.most.total),
        Ending("provider late: refunded, penalty", late.creator - locked),
        Ending("provider declines: refunded, 1 %", payouts.declined(figures, fee).creator - locked),
    ]
    if quote.is_verified:
        found.append(Ending("found wrong: refunded, value", payouts.found_wrong(figures, fee).creator - locked))
        found.append(Ending("nobody's fault: premium lost", payouts.no_fault(figures, fee).creator - locked))
    return tuple(found)


def worst_loss(quote: Quote) -> int:
    """The most that the creator can lose by the deal, smallest units: what it locks. In pool 0 for nothing in return."""
    return quote.best.locked if quote.best else 0


def time_bound(quote: Quote) -> int:
    """Seconds after which the deal has certainly ended, whatever the others do, if one honest party acts."""
    job, parameters = quote.offer, quote.parameters
    waiting = max(0, job.submit_window) + job.judge_window + parameters.reveal_window
    return waiting + (parameters.mediation_limit if quote.is_verified else 0)


def as_json(quote: Quote, token: Token) -> dict[str, Any]:
    """The quote as data: amounts as decimal strings of the token."""
    job, best = quote.offer, quote.best

    def money(amount: int) -> str:
        return token.decimal(amount)

    return {
        "token": {"address": token.address, "symbol": token.symbol, "decimals": token.decimals},
        "pool": {"id": "0x" + job.pool.hex(), "verified": quote.is_verified},
        "matchingOffers": len(quote.priced),
        "refusedOffers": dict(quote.refused),
        "provider": best.offer.provider if best else None,
        "price": None if best is None else _price_json(best, money),
        "bonds": None
        if best is None
        else {
            "collateral": money(best.figures.collateral),
            "penaltyIfLate": money(penalty(best.figures)),
            "ifDeclined": money(decline_cost(best.figures)),
        },
        "auditBps": int(job.audit_bps),
        "deterrence": None if quote.margin is None else str(quote.margin),
        "windows": {
            "submitSeconds": int(job.submit_window),
            "judgeSeconds": int(job.judge_window),
            "revealSeconds": int(quote.parameters.reveal_window),
            "endsWithinSeconds": time_bound(quote),
        },
        "expiry": int(job.expiry),
        "worstLoss": money(worst_loss(quote)),
        "endings": {ending.name: money(ending.to_creator) for ending in endings(quote)},
    }


def _price_json(best: PricedOffer, money: Any) -> dict[str, Any]:
    most = best.most
    return {
        "gross": money(most.gross),
        "fixed": money(best.figures.price),
        "perUnit": money(best.figures.unit_price),
        "maxUnits": int(best.figures.max_units),
        "royalty": money(most.royalty),
        "solverFee": money(most.solver_fee),
        "protocolFee": money(most.protocol_fee),
        "premium": money(most.premium),
        "total": money(most.total),
        "least": money(best.least.total),
        "locked": money(best.locked),
    }


