"""How a job ended, in words, money and exit codes: a pure reading of the chain's last word about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.delivery import Delivered
from lilypad_agents.agents.creator.errors import (
    ChallengeLost,
    JobCancelled,
    NoFaultFound,
    ProviderDeclined,
    ProviderLate,
    ResultRejected,
    ResultWithheld,
)
from lilypad_agents.agents.creator.journal import Job
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import NOBODY, hex_of
from lilypad_agents.protocol.lifecycle import PAID, Status
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.price import Charge, charge, locked_total
from lilypad_agents.protocol.units import Amount, Bps, Units

JOB_FAILED = 23  # exit code: the job itself ended non-zero; its result is verified and paid


@dataclass(frozen=True)
class Payment:
    """Who got what by the end of a deal, smallest units. `paid`: what the creator is poorer by; `back`: what returned."""

    paid: Amount
    back: Amount
    parts: Mapping[str, int]


@dataclass(frozen=True)
class Outcome:
    """Where a job stands when nobody waits any longer.

    `status`: of the deal, None when there was none. `delivered`: the verified result, if it is here. `payment`: of a
    final deal. `error`: what the command ends with, None for success.
    """

    job: Job
    status: Status | None
    delivered: Delivered | None
    payment: Payment | None
    error: LilypadError | None

    @property
    def is_final(self) -> bool:
        return self.status is not None and self.status.is_final

    @property
    def exit_code(self) -> int:
        """Of the command line: 0, 23 for a job that ended non-zero, else that of the error."""
        if self.error is not None:
            return self.error.exit_code
        return JOB_FAILED if self.delivered is not None and self.delivered.files.exit_code else 0


def payment_of(deal: Deal, status: Status, ending: DecodedEvent, parameters: Parameters) -> Payment:
    """What the ending's event says, with the formulas of protocol section 4 where the event leaves them out."""
    fee = parameters.protocol_fee_bps
    locked = locked_total(deal, fee)
    if status in PAID:
        due = charge_of(deal, int(ending.args["gross"]), fee)
        return Payment(due.total, Amount(locked - due.total), _parts(deal, due))
    credited = _credited(deal, status, ending, fee)
    parts = {"you": credited - locked}
    return Payment(Amount(locked - credited), Amount(credited), {name: amount for name, amount in parts.items() if amount})


def charge_of(deal: Deal, gross: int, fee: Bps) -> Charge:
    """The charge that belongs to a gross: the event names it, the units follow."""
    units = (gross - deal.price) // deal.unit_price if deal.unit_price else 0
    return charge(deal, Units(units), fee)


def _parts(deal: Deal, due: Charge) -> dict[str, int]:
    named = {
        f"provider {deal.provider}": due.gross,
        f"royalty to {deal.royalty_to}": due.royalty,
        f"solver {deal.solver}": due.solver_fee if deal.solver != NOBODY else 0,
        "audit fund": due.to_fund,
    }
    return {name: int(amount) for name, amount in named.items() if amount}


def _credited(deal: Deal, status: Status, ending: DecodedEvent, fee: Bps) -> int:
    """What the creator got back, compensation included."""
    locked, args = locked_total(deal, fee), ending.args
    if status is Status.DECLINED:
        return locked + int(args["compensation"])
    if status is Status.TIMED_OUT:
        to_others = args["keeper"] not in (NOBODY, deal.creator)  # who claims it itself keeps the bounty
        return locked + int(args["penalty"]) - (int(args["bounty"]) if to_others else 0)
    if status is Status.CLOSED_BY_AGREEMENT:
        return int(args["toCreator"])
    if status is Status.MEDIATION_REJECTED:
        return payouts.found_wrong(deal, fee).creator
    return payouts.no_fault(deal, fee).creator


def error_of(job: Job, status: Status, delivered: Delivered | None, challenged: bool) -> LilypadError | None:
    """What a final deal means for the command that waited for it; None for a paid job whose result is here.

    `challenged`: whether it was this creator who began the dispute that ended the deal.
    """
    deal = job.deal_text
    if status in PAID:
        if status is Status.MEDIATION_ACCEPTED and challenged:
            return ChallengeLost(f"The panel confirmed the result of deal {deal}.", deal=deal)
        if delivered is None:
            return ResultWithheld(f"The deal {deal} was paid, but its result cannot be had.", deal=deal)
        return None
    provider = job.record.provider if job.record is not None else ""
    found: dict[Status, LilypadError] = {
        Status.TIMED_OUT: ProviderLate(f"The provider {provider} missed its deadline in deal {deal}.", deal=deal),
        Status.DECLINED: ProviderDeclined(f"The provider {provider} gave deal {deal} back.", deal=deal, provider=provider),
        Status.CLOSED_BY_AGREEMENT: JobCancelled(f"Both parties closed deal {deal}.", deal=deal),
        Status.MEDIATION_REJECTED: ResultRejected(f"The panel found the result of deal {deal} wrong.", deal=deal),
        Status.NO_FAULT: NoFaultFound(f"Nobody was found at fault in deal {deal}.", deal=deal),
    }
    return found[status]


def as_json(outcome: Outcome, token: Token) -> dict[str, Any]:
    """The outcome as data; amounts as decimal strings of the token."""
    job, payment, delivered = outcome.job, outcome.payment, outcome.delivered
    return {
        "job": job.id,
        "deal": job.deal_text or None,
        "module": job.label,
        "state": outcome.status.name if outcome.status is not None else str(job.stage),
        "verified": delivered is not None,
        "exitCode": None if delivered is None else delivered.files.exit_code,
        "exitClass": None if delivered is None else str(delivered.files.exit_class),
        "resultDigest": None if delivered is None else hex_of(delivered.digest),
        "dataId": None if delivered is None else str(delivered.note.data_id),
        "agreed": job.agreed or None,
        "results": job.results or None,
        "provider": None if job.record is None else job.record.provider,
        "pool": {"id": hex_of(job.pool.id), "verified": job.pool.is_verified},
        "payment": None if payment is None else payment_json(payment, token),
    }


def payment_json(payment: Payment, token: Token) -> dict[str, Any]:
    return {
        "token": token.symbol,
        "paid": token.decimal(payment.paid),
        "back": token.decimal(payment.back),
        "parts": {name: token.decimal(amount) for name, amount in payment.parts.items()},
    }
