"""Where jobs stand: the state on chain, who must act next and until when, and what each ending would pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lilypad_agents.agents.creator import disputes
from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.journal import Job, Stage
from lilypad_agents.agents.runtime.disputes import Dispute
from lilypad_agents.chain.contract import call_many
from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.deal import Deal, DealState, deadlines
from lilypad_agents.protocol.ids import NOBODY, Address, hex_of
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.price import charge, locked_total
from lilypad_agents.protocol.units import Timestamp, Units

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator


@dataclass(frozen=True)
class JobStatus:
    """One job as of block time `now`. `endings`: what each ending would do to the creator's money, smallest units.

    `dispute`: the running or last one, where it was asked for; `begun_by`: the account that challenged or called the audit.
    """

    job: Job
    state: str
    deadline: int | None
    next_step: str
    cost: int | None
    endings: tuple[tuple[str, int], ...]
    now: Timestamp
    dispute: Dispute | None = None
    kind: DisputeKind = DisputeKind.NONE
    begun_by: Address = NOBODY

    def as_json(self, token: Token) -> dict[str, Any]:
        job = self.job
        dispute = None if self.dispute is None else disputes.as_json(self.dispute, self.kind, self.begun_by, token)
        return {
            "job": job.id,
            "deal": job.deal_text or None,
            "module": job.label,
            "version": hex_of(job.terms.id),
            "state": self.state,
            "next": self.next_step,
            "deadline": self.deadline,
            "provider": None if job.record is None else job.record.provider,
            "cost": None if self.cost is None else token.decimal(self.cost),
            "token": token.symbol,
            "exitCode": job.exit_code,
            "resultDigest": None if job.digest is None else hex_of(job.digest),
            "dataId": job.data_id or None,
            "results": job.results or None,
            "agreed": job.agreed or None,
            "createdAt": job.created_at,
            "pool": {"id": hex_of(job.pool.id), "verified": job.pool.is_verified},
            "why": job.why or None,
            "dispute": dispute,
            "endings": {name: token.decimal(amount) for name, amount in self.endings},
        }


def statuses(creator: Creator, jobs: Sequence[Job]) -> list[JobStatus]:
    """All of them in one request to the chain."""
    chain, now = creator.session.chain, creator.session.chain.now()
    dealt = [job for job in jobs if job.deal is not None]
    answers = call_many(chain.rpc, [chain.core.prepare("dealOf", job.deal) for job in dealt])
    states: dict[str, DealState] = {}
    for job, answer in zip(dealt, answers, strict=True):
        if isinstance(answer, Exception):
            raise answer
        states[job.id] = DealState.of(answer)
    return [_status(job, states.get(job.id), chain.parameters, now) for job in jobs]


def status_with_dispute(creator: Creator, job: Job) -> JobStatus:
    """One job, with all that is known of its dispute."""
    found, chain = statuses(creator, [job])[0], creator.session.chain
    if job.deal is None or job.record is None:
        return found
    state, now = chain.state(job.deal)
    if state.kind is DisputeKind.NONE:
        return found
    dispute = chain.dispute(job.deal, job.record, state.kind, job.opened_block)
    found = replace(found, dispute=dispute, kind=state.kind, begun_by=chain.disputed_by(job.deal))
    if dispute is None or state.status is not Status.IN_MEDIATION:
        return found
    step, deadline = disputes.next_in_dispute(dispute, job.record, creator.session.token, now, state.deadline)
    return replace(found, next_step=step, deadline=deadline)


def _status(job: Job, state: DealState | None, parameters: Parameters, now: Timestamp) -> JobStatus:
    if state is None or job.record is None or state.status is Status.NONE:
        return _unopened(job, now)
    fee = parameters.protocol_fee_bps
    cost = job.cost
    if cost is None:
        final = state.status.is_final
        cost = None if final else locked_total(job.record, fee)
    step, deadline = next_step(job.record, state, parameters, now)
    endings = () if state.status.is_final else open_endings(job.record, state.status, parameters)
    return JobStatus(job, state.status.name, deadline, step, cost, endings, now)


def _unopened(job: Job, now: Timestamp) -> JobStatus:
    if job.stage is Stage.ENDED:
        return JobStatus(job, job.ended or "ended", None, "nothing: it never became a deal", 0, (), now)
    offer = job.offer
    expiry = None if offer is None else int(offer.expiry)
    if expiry is not None and now > expiry:
        return JobStatus(job, "expired", expiry, "nothing: the offer expired, nothing was paid", 0, (), now)
    if job.stage is Stage.SIGNED:
        step = "you: post the offer (`lilypad job resume`)"
    else:
        step = f"a solver: match the offer, within {0 if expiry is None else expiry - now} s"
    return JobStatus(job, str(job.stage), expiry, step, None if offer is None else offer.max_price, (), now)


def next_step(record: Deal, state: DealState, parameters: Parameters, now: Timestamp) -> tuple[str, int | None]:
    """Who must act, and the last second for it (unix)."""
    clocks = deadlines(record, state, parameters)
    if state.status is Status.AGREED:
        assert clocks.submit is not None
        if now > clocks.submit:
            return "anyone: claim the missed submission (`lilypad job resume`)", clocks.submit
        return f"the provider: post a result, within {clocks.submit - now} s", clocks.submit
    if state.status is Status.RESULTS_SUBMITTED:
        assert clocks.judge is not None and clocks.reveal is not None
        if now <= clocks.judge:
            return f"you: judge the result, within {clocks.judge - now} s; silence pays", clocks.judge
        if now <= clocks.reveal:
            return f"the provider: settle, within {clocks.reveal - now} s", clocks.reveal
        return "anyone: claim the missed opening (`lilypad job resume`)", clocks.reveal
    if state.status is Status.IN_MEDIATION:
        assert clocks.mediation is not None
        return f"the pool's strategy: answer, within {max(0, clocks.mediation - now)} s", clocks.mediation
    return "nobody: the deal has ended", None


def open_endings(record: Deal, status: Status, parameters: Parameters) -> tuple[tuple[str, int], ...]:
    """What the endings that are still possible would do to the creator's money. Source: protocol section 4."""
    fee = parameters.protocol_fee_bps
    locked = locked_total(record, fee)
    found = [("accepted, at most", -charge(record, Units(record.max_units), fee).total)]
    if status is Status.AGREED:
        found.append(("provider declines", payouts.declined(record, fee).creator - locked))
        found.append(("provider late", payouts.timed_out(record, fee, had_result=False).creator - locked))
    elif status is Status.RESULTS_SUBMITTED:
        found.append(("provider never opens its result", payouts.timed_out(record, fee, had_result=True).creator - locked))
    if record.is_verified and status is not Status.AGREED:
        found.append(("found wrong", payouts.found_wrong(record, fee).creator - locked))
        found.append(("nobody's fault", payouts.no_fault(record, fee).creator - locked))
    return tuple((name, int(amount)) for name, amount in found)
