"""Challenging a result or its delivery: what it costs and what each outcome pays is said before anything is paid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.errors import RequestInvalid
from lilypad_agents.agents.creator.journal import Job
from lilypad_agents.chain.codec import to_bytes
from lilypad_agents.chain.outbox import Receipt
from lilypad_agents.errors import InsufficientFunds
from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.deal import Deal, deadlines
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.price import challenge_fee, charge, delivery_fee, locked_total
from lilypad_agents.protocol.units import Amount, Bps, Timestamp, Units

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator


@dataclass(frozen=True)
class ChallengePlan:
    """`fee` and `endings` in smallest units; an ending is what it does to the creator's money, from before the deal on."""

    delivery: bool
    fee: Amount
    drawn: bool
    endings: tuple[tuple[str, int], ...]
    deadline: Timestamp

    @property
    def call(self) -> str:
        return "challengeDelivery" if self.delivery else "challenge"


@dataclass(frozen=True)
class Challenged:
    """A challenge that is on the chain."""

    job: Job
    plan: ChallengePlan
    transaction: bytes

    def as_json(self, token: Token) -> dict[str, Any]:
        return {
            "job": self.job.id,
            "deal": self.job.deal_text,
            "delivery": self.plan.delivery,
            "why": self.job.why,
            "fee": token.decimal(self.plan.fee),
            "drawn": self.plan.drawn,
            "endings": {name: token.decimal(amount) for name, amount in self.plan.endings},
            "transaction": "0x" + self.transaction.hex(),
        }


class Challenging:
    """Challenges one deal. `plan` looks and promises nothing; `carry_out` pays the fee."""

    def __init__(self, creator: Creator, job: Job, *, delivery: bool) -> None:
        self.creator = creator
        self.job = job
        self.delivery = delivery

    def plan(self) -> ChallengePlan:
        """Raises RequestInvalid when the deal cannot be challenged (any more), InsufficientFunds without the fee."""
        job, session = self.job, self.creator.session
        if job.deal is None or job.record is None:
            raise RequestInvalid(f"The job {job.name} has not become a deal; there is nothing to challenge.")
        if not job.record.is_verified:
            raise RequestInvalid(f"The deal {job.deal_text} is in the Unverified pool, where nobody judges: silence pays.")
        state, now = session.chain.state(job.deal)
        if state.status is not Status.RESULTS_SUBMITTED:
            raise RequestInvalid(f"The deal {job.deal_text} is {state.status.name}; only a posted result can be challenged.")
        judge = deadlines(job.record, state, session.chain.parameters).judge
        assert judge is not None
        if now > judge:
            raise RequestInvalid(f"The judge deadline of deal {job.deal_text} passed {now - judge} s ago.")
        if self.delivery and state.delivery_challenged:
            raise RequestInvalid(f"The delivery of deal {job.deal_text} was challenged already; that can be done once.")
        drawn = session.chain.lottery(job.deal, job.record, state.period) is True
        fee = delivery_fee(job.record) if self.delivery else challenge_fee(job.record)
        self._require(fee)
        return ChallengePlan(self.delivery, fee, drawn, self._endings(job.record, drawn=drawn), judge)

    def _require(self, fee: Amount) -> None:
        session = self.creator.session
        free, token = session.chain.ledger(session.account).free, session.token
        if free < fee:
            raise InsufficientFunds(
                f"The challenge costs {token.show(fee)}, your ledger balance has {token.show(free)} free.",
                hint=f"Run `lilypad deposit {token.decimal(fee - free)}` before the judge deadline.",
                has=free,
                needed=fee,
            )

    def carry_out(self, plan: ChallengePlan, why: str) -> Challenged:
        """Pays the fee and notes the reason; the plan of the answer is what the chain took. Raises what the chain says against it."""
        session = self.creator.session
        assert self.job.deal is not None and self.job.record is not None
        self.job = session.journal.update(self.job, why=why)
        receipt = session.wallet.step(plan.call, self.job.deal, self.job.record)
        if self._kind(receipt) is DisputeKind.CHALLENGE_DRAWN and not plan.drawn:  # the seed came between plan and block
            plan = replace(plan, drawn=True, endings=self._endings(self.job.record, drawn=True))
        return Challenged(self.job, plan, receipt.transaction_hash)

    def _kind(self, receipt: Receipt) -> DisputeKind:
        """What the chain took the challenge for: its receipt says so, and the chain may be away by now."""
        event = self.creator.session.chain.resolver.abi.event("DisputeOpened")
        for log in receipt.logs:
            topics = [to_bytes(topic) for topic in log["topics"]]
            if topics[:1] == [event.topic]:
                return DisputeKind(event.decode(topics, to_bytes(log["data"]))["kind"])
        return DisputeKind.NONE

    def _endings(self, record: Deal, *, drawn: bool) -> tuple[tuple[str, int], ...]:
        fee_bps = self.creator.session.chain.parameters.protocol_fee_bps
        return endings(record, fee_bps, delivery=self.delivery, drawn=drawn)


def endings(deal: Deal, protocol_fee_bps: Bps, *, delivery: bool, drawn: bool) -> tuple[tuple[str, int], ...]:
    """What each outcome of a challenge does to the creator's money, smallest units, from before the deal on.

    The fee comes back where the challenge was right. Source: docs/protocol.md sections 4, 6.2 and 6.7.
    """
    locked = locked_total(deal, protocol_fee_bps)
    void = payouts.no_fault(deal, protocol_fee_bps).creator - locked
    paid = -charge(deal, Units(deal.max_units), protocol_fee_bps).total
    if delivery:
        fee = delivery_fee(deal)
        missing = payouts.timed_out(deal, protocol_fee_bps, had_result=True).creator - locked
        return (
            ("not delivered: refunded, penalty, fee back", int(missing)),
            ("delivered: the fee is spent, then accepted", int(paid - fee)),
            ("nobody's fault, at worst", int(void - fee)),
        )
    fee = challenge_fee(deal)
    wrong = payouts.found_wrong(deal, protocol_fee_bps, bounty=not drawn)
    reward = wrong.creator - locked + wrong.challenger
    bounty = "" if drawn else ", bounty"
    return (
        (f"found wrong: refunded, value, fee back{bounty}", int(reward)),
        ("confirmed: the fee is spent, and the price paid", int(paid - fee)),
        ("nobody's fault, at worst", int(void - fee)),
    )
