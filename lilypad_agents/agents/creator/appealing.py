"""Appealing a finding: the creator pays for the next size of panel, in tokens of its wallet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.disputes import FINDINGS
from lilypad_agents.agents.creator.errors import RequestInvalid
from lilypad_agents.agents.creator.journal import Job
from lilypad_agents.agents.runtime.disputes import Dispute
from lilypad_agents.errors import InsufficientFunds
from lilypad_agents.protocol.dispute import Finding, Phase, Seating, appeal_fee, next_round, seats_of
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.mediation import Side, side_of
from lilypad_agents.protocol.units import Amount, Timestamp

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator


@dataclass(frozen=True)
class AppealPlan:
    """`fee` in smallest units, from the wallet; `deadline`: the last second (unix, block time) at which it counts."""

    round: int
    fee: Amount
    finding: Finding
    seating: Seating
    deadline: Timestamp

    @property
    def helps(self) -> bool:
        """Whether there is something to win: the finding that stands is not against the provider already."""
        return side_of(self.finding) is not Side.AGAINST

    def lines(self, token: Token) -> list[str]:
        """What it costs and what may come of it, for people."""
        found = [
            f"The finding that stands: {FINDINGS[self.finding]}. {seats_of(self.round)} seats would judge anew for {token.show(self.fee)} from "
            "your wallet.",
            "Should they turn it in your favour, the fee comes back as far as the lost stakes and the provider's collateral reach; else it is spent.",
        ]
        if not self.helps:
            found.insert(0, "The finding is against the provider already: an appeal can only lose.")
        return found


@dataclass(frozen=True)
class Appealed:
    """An appeal that is on the chain."""

    job: Job
    plan: AppealPlan
    transaction: bytes

    def as_json(self, token: Token) -> dict[str, Any]:
        return {
            "job": self.job.id,
            "deal": self.job.deal_text,
            "round": self.plan.round,
            "seats": seats_of(self.plan.round),
            "fee": token.decimal(self.plan.fee),
            "finding": self.plan.finding.name,
            "transaction": "0x" + self.transaction.hex(),
        }


class Appealing:
    """Appeals in the dispute over one deal. `plan` looks and promises nothing; `carry_out` pays the fee."""

    def __init__(self, creator: Creator, job: Job) -> None:
        self.creator = creator
        self.job = job

    def plan(self) -> AppealPlan:
        """Raises RequestInvalid when there is nothing to appeal against (any more), InsufficientFunds without the fee."""
        job, chain = self.job, self.creator.session.chain
        if job.deal is None or job.record is None:
            raise RequestInvalid(f"The job {job.name} has not become a deal; there is nothing to appeal against.")
        state, now = chain.state(job.deal)
        if state.status is not Status.IN_MEDIATION:
            raise RequestInvalid(f"The deal {job.deal_text} is {state.status.name}; only the finding of a running dispute can be appealed.")
        dispute = chain.dispute(job.deal, job.record, state.kind, job.opened_block)
        if dispute is None:
            raise RequestInvalid(f"The strategy {job.record.strategy} of deal {job.deal_text} is not one that this deployment knows.")
        return self._plan(dispute, now)

    def _plan(self, dispute: Dispute, now: int) -> AppealPlan:
        job = self.job
        assert job.record is not None
        if dispute.phase is not Phase.APPEALABLE or now > dispute.deadline:
            raise RequestInvalid(
                f"The dispute over {job.deal_text} is at {dispute.phase.name}; a finding can be appealed in its appeal window only.",
                hint=f"See when that is: lilypad job show {job.name}",
            )
        round_ = next_round(dispute.round)
        if round_ is None:
            raise RequestInvalid(f"The round of {seats_of(dispute.round)} seats is the last one: its finding is final.")
        fee = appeal_fee(job.record, round_)
        self._require(fee)
        return AppealPlan(round_, fee, dispute.standing, dispute.facts.seating, dispute.deadline)

    def _require(self, fee: Amount) -> None:
        session = self.creator.session
        ledger, token = session.chain.ledger(session.account), session.token
        if ledger.wallet < fee:
            lacks = fee - ledger.wallet
            hint = f"Run `lilypad withdraw {token.decimal(lacks)}` first." if ledger.free >= lacks else "Send tokens to the account first."
            raise InsufficientFunds(
                f"The appeal costs {token.show(fee)} from your wallet, which has {token.show(ledger.wallet)}.",
                hint=hint,
                has=ledger.wallet,
                needed=fee,
            )

    def carry_out(self, plan: AppealPlan) -> Appealed:
        """Pays the fee; raises what the chain says against it."""
        assert self.job.deal is not None and self.job.record is not None
        wallet = self.creator.session.wallet
        receipt = wallet.appeal(self.job.deal, self.job.record, self.job.pool, plan.round, plan.seating, plan.fee)
        return Appealed(self.job, plan, receipt.transaction_hash)
