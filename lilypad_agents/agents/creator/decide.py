"""What a creator does next about one job: a pure function of what it knows. Rules: protocol sections 4 and 5.4.

Stated rules of challenging (behaviour J11): a result that does not arrive, or is not what the provider signed, is
challenged as a failed delivery once four fifths of the judge window are over, in verified pools, once. In the
Unverified pool there is nobody to ask: silence pays the provider, and the creator only withholds its acceptance.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lilypad_agents.agents.creator.journal import Job, Stage
from lilypad_agents.protocol.deal import Deadlines, DealState, deadlines
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.units import Timestamp

_CHALLENGE_AT_TENTHS = 8  # of the judge window


class Intent(StrEnum):
    """One thing to do; doing it twice is harmless."""

    POST = "post the offer"
    FETCH = "fetch and verify the result"
    RERUN = "run the job on this machine"
    ACCEPT = "sign the acceptance"
    WAIVE = "sign the waiver"
    CHALLENGE_DELIVERY = "challenge the delivery"
    CLAIM_SUBMIT = "claim the missed submission"
    CLAIM_REVEAL = "claim the missed opening"
    CLAIM_MEDIATION = "claim the mediation's end"


@dataclass(frozen=True)
class Policy:
    """What the user wants beside the default: `rerun` checks by an own run and waives; `accept` False judges by hand.

    `insist`: agrees also to a result that an own run contradicted.
    """

    rerun: bool = False
    accept: bool = True
    insist: bool = False
    challenge: bool = True


@dataclass(frozen=True)
class View:
    """All that is known of a job at block time `now`.

    `state`: None without a deal. `offer_gone`: the offer can never be opened any more (cancelled). `result_known`: the
    provider's message about the result is here. `delivered`: its content is here and verified. `mismatch`: it arrived
    and is not what was signed. `reran`: the own run gave the same digest.
    """

    job: Job
    now: Timestamp
    state: DealState | None
    parameters: Parameters
    offer_gone: bool = False
    result_known: bool = False
    delivered: bool = False
    mismatch: bool = False
    reran: bool = False

    @property
    def clocks(self) -> Deadlines:
        if self.state is None or self.job.record is None:
            return Deadlines()
        return deadlines(self.job.record, self.state, self.parameters)

    @property
    def expired(self) -> bool:
        """Whether the offer can never become a deal by its time."""
        return self.job.offer is not None and self.now > self.job.offer.expiry

    @property
    def next_deadline(self) -> Timestamp | None:
        """The next moment at which something changes by time alone."""
        if self.state is None:
            return self.job.offer.expiry if self.job.offer is not None else None
        clocks = self.clocks
        if self.state.status == Status.RESULTS_SUBMITTED:
            return clocks.judge if clocks.judge is not None and self.now <= clocks.judge else clocks.reveal
        return clocks.submit or clocks.mediation


def decide(view: View, policy: Policy) -> tuple[Intent, ...]:
    """The next steps, in order. Nothing when it is somebody else's turn, or the job has ended."""
    if view.state is None:
        posted = view.job.stage is not Stage.SIGNED
        return () if posted or view.expired or view.offer_gone else (Intent.POST,)
    if view.state.status == Status.AGREED:
        if view.clocks.submit is not None and view.now > view.clocks.submit:
            return (Intent.CLAIM_SUBMIT,)
        return _take_delivery(view, policy)
    if view.state.status == Status.RESULTS_SUBMITTED:
        return _take_delivery(view, policy) + _defend(view, policy)
    if view.state.status == Status.IN_MEDIATION:
        late = view.clocks.mediation is not None and view.now > view.clocks.mediation
        return (Intent.CLAIM_MEDIATION,) if late else _fetch(view)
    return _fetch(view) if view.state.status in (Status.ACCEPTED, Status.MEDIATION_ACCEPTED) else ()


def _fetch(view: View) -> tuple[Intent, ...]:
    return (Intent.FETCH,) if view.result_known and not view.delivered and not view.mismatch else ()


def _take_delivery(view: View, policy: Policy) -> tuple[Intent, ...]:
    """Fetch, verify, agree. An agreement is worth signing before the deadline only; afterwards silence says the same."""
    if not view.delivered:
        return _fetch(view)
    judge = view.clocks.judge
    if view.job.agreed or (judge is not None and view.now > judge):
        return ()
    if policy.rerun:
        return (Intent.WAIVE,) if view.reran else (Intent.RERUN,)
    return (Intent.ACCEPT,) if policy.accept and (policy.insist or not view.job.doubted) else ()


def _defend(view: View, policy: Policy) -> tuple[Intent, ...]:
    """What is due when the result does not come, or nobody settles."""
    assert view.state is not None and view.job.record is not None
    clocks, record = view.clocks, view.job.record
    assert clocks.judge is not None and clocks.reveal is not None and clocks.audit is not None
    if view.now <= clocks.judge:
        urgent_from = clocks.judge - record.judge_window + record.judge_window * _CHALLENGE_AT_TENTHS // 10
        missing = not view.delivered and (view.mismatch or view.now >= urgent_from)
        allowed = policy.challenge and record.is_verified and not view.state.delivery_challenged
        return (Intent.CHALLENGE_DELIVERY,) if missing and allowed else ()
    if view.now > clocks.audit:
        return (Intent.CLAIM_MEDIATION,) if record.is_verified else (Intent.CLAIM_REVEAL,)
    return (Intent.CLAIM_REVEAL,) if view.now > clocks.reveal else ()
