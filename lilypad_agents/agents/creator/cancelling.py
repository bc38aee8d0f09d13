"""Taking a job back: for good while it is an offer, by agreement once it is a deal. What it costs is said before."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.errors import RequestInvalid
from lilypad_agents.agents.creator.journal import Job, Stage
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.consent import Closing, by_own_key
from lilypad_agents.protocol.ids import hex_of
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.price import decline_cost, locked_total, premium_of
from lilypad_agents.protocol.units import Amount, Timestamp

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator

_CLOSING_S = 120  # how long a proposal to close stands


class Way(StrEnum):
    FORGET = "forget"  # nobody has the offer
    WITHDRAW = "withdraw"  # from the solver only
    INVALIDATE = "invalidate"  # on chain, for good
    PROPOSE = "propose"  # to close the deal by both signatures


@dataclass(frozen=True)
class CancelPlan:
    """What will be done and what it costs, smallest units. `to_creator`, `to_provider`: the split that is proposed."""

    way: Way
    text: str
    to_creator: Amount = Amount(0)
    to_provider: Amount = Amount(0)


@dataclass(frozen=True)
class Cancelled:
    """What was done."""

    job: Job
    plan: CancelPlan
    text: str

    def as_json(self, token: Token) -> dict[str, Any]:
        return {
            "job": self.job.id,
            "deal": self.job.deal_text or None,
            "way": str(self.plan.way),
            "toCreator": token.decimal(self.plan.to_creator),
            "toProvider": token.decimal(self.plan.to_provider),
            "text": self.text,
        }


class Cancelling:
    """Cancels one job. `plan` looks and promises nothing; `carry_out` acts."""

    def __init__(self, creator: Creator, job: Job) -> None:
        self.creator = creator
        self.job = job

    def plan(self, *, offer_only: bool = False) -> CancelPlan:
        """Raises RequestInvalid when there is nothing left to cancel."""
        job = self._seen()
        if job.deal is None:
            if job.stage is Stage.ENDED or job.offer is None:
                raise RequestInvalid(f"The job {job.name} has ended; there is nothing to cancel.")
            if job.stage is Stage.SIGNED:
                return CancelPlan(Way.FORGET, "Nobody has the offer yet; it is forgotten. That costs nothing.")
            if offer_only:
                return CancelPlan(Way.WITHDRAW, "The solver forgets the offer; whoever else has it could still open it.")
            return CancelPlan(Way.INVALIDATE, "The offer is made invalid on chain for good. That costs gas and nothing else.")
        return self._plan_closing(job)

    def _seen(self) -> Job:
        """The job after one look at the chain: it may have become a deal meanwhile."""
        if self.job.deal is None and self.job.stage is not Stage.ENDED:
            runner = self.creator.runner(self.job)
            runner.look()
            self.job = runner.job
        return self.job

    def _plan_closing(self, job: Job) -> CancelPlan:
        """In Agreed the provider gets 1 % of the value for its trouble; with a result on chain it gets the full price."""
        assert job.deal is not None and job.record is not None
        session = self.creator.session
        state, _ = session.chain.state(job.deal)
        fee, token, record = session.chain.parameters.protocol_fee_bps, session.token, job.record
        locked = locked_total(record, fee)
        if state.status is Status.AGREED:
            cost = decline_cost(record)
            to_creator = Amount(locked - cost)
            text = (
                f"The deal is open, so both must agree to close it: you offer the provider {token.show(cost)} (1 % of the value) "
                f"and get {token.show(to_creator)} back. It may refuse; then the job goes on."
            )
        elif state.status is Status.RESULTS_SUBMITTED:
            accepted = payouts.accepted(record, record.max_units, fee)
            to_creator = accepted.creator
            text = (
                f"The result is on chain already: closing would cost as much as accepting it, {token.show(locked - to_creator)}. "
                "Closing needs the provider's signature too."
            )
        else:
            raise RequestInvalid(f"The deal {job.deal_text} is {state.status.name}; it cannot be cancelled.")
        premium = premium_of(record) if state.status is Status.RESULTS_SUBMITTED else Amount(0)
        escrow = payouts.escrow(record, fee) - premium
        return CancelPlan(Way.PROPOSE, text, to_creator, Amount(escrow - to_creator))

    def carry_out(self, plan: CancelPlan) -> Cancelled:
        """Does what the plan says. Raises errors of chain and solver."""
        job, session = self.job, self.creator.session
        if plan.way is Way.PROPOSE:
            return self._propose(plan)
        if plan.way is not Way.FORGET:
            try:
                session.solver.withdraw_offer(bytes.fromhex(job.id[2:]))
            except LilypadError:
                if plan.way is Way.WITHDRAW:
                    raise
        if plan.way is Way.INVALIDATE:
            assert job.offer is not None
            session.wallet.cancel(job.offer)
        job = session.journal.update(job, stage=Stage.ENDED, ended="cancelled", cost=0)
        return Cancelled(job, plan, f"The offer {job.id} is cancelled; nothing was paid.")

    def _propose(self, plan: CancelPlan) -> Cancelled:
        job, session = self.job, self.creator.session
        assert job.deal is not None
        expiry = Timestamp(session.chain.now() + _CLOSING_S)
        terms = Closing(job.deal, plan.to_creator, plan.to_provider, expiry)
        signature = by_own_key(session.signer.sign_digest(session.chain.domain.digest(terms.struct_hash)))
        body = {
            "toCreator": str(plan.to_creator),
            "toProvider": str(plan.to_provider),
            "expiry": int(expiry),
            "signature": hex_of(signature),
        }
        session.solver.message(job.deal, "closing", body)
        text = f"Proposed to close deal {job.deal_text}; the provider has {_CLOSING_S} s. See `lilypad job show {job.deal_text}`."
        return Cancelled(job, plan, text)
