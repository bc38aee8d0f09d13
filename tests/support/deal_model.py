"""The life of one deal as protocol section 4 tells it: who may do what and when, and what becomes of it.

An oracle for tests, written from the table and from the order in which the interfaces promise their errors; it shares no
code with the contracts and reads nothing from them. Times are unix seconds.

    model = opened(deal, now, parameters)
    refusal(model, "decline", Caller.of(Role.PROVIDER), now)   # None, or the name of the error
    model = after(model, "decline", now)                       # the state that the contract has to show then
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from lilypad_agents.protocol.consent import Scope
from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.lifecycle import FINAL, DisputeKind, Status, Verdict
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.price import audit_fee, challenge_fee, delivery_fee

UNBOUNDED = 2**128
VERDICTS = {
    "resolve Correct": Verdict.CORRECT,
    "resolve Wrong": Verdict.WRONG,
    "resolve NoFault": Verdict.NO_FAULT,
    "resolve Delivered": Verdict.DELIVERED,
    "resolve NotDelivered": Verdict.NOT_DELIVERED,
}
_VERDICT_ENDS = {
    "resolve Correct": Status.MEDIATION_ACCEPTED,
    "resolve Wrong": Status.MEDIATION_REJECTED,
    "resolve NoFault": Status.NO_FAULT,
    "resolve NotDelivered": Status.TIMED_OUT,
}
_ENDS = {
    "submitAndSettle": Status.ACCEPTED,
    "decline": Status.DECLINED,
    "timeoutSubmit": Status.TIMED_OUT,
    "settle": Status.ACCEPTED,
    "settle accepted": Status.ACCEPTED,
    "settle waived": Status.ACCEPTED,
    "timeoutReveal": Status.TIMED_OUT,
    "timeoutMediation": Status.NO_FAULT,
    "close": Status.CLOSED_BY_AGREEMENT,
} | _VERDICT_ENDS
CALLS = (
    "open", "submitResult", "submitSigned", "submitAndSettle", "decline", "timeoutSubmit", "settle", "settle accepted",
    "settle waived", "challenge", "challengeDelivery", "audit", "timeoutReveal", "timeoutMediation", "close",
    *VERDICTS, "repayAdvance",
)  # fmt: skip


class Seed(IntEnum):
    """What the lottery says of a deal."""

    PENDING = 0
    SPARED = 1
    DRAWN = 2
    LOST = 3

    @property
    def draws(self) -> bool:
        return self in (Seed.DRAWN, Seed.LOST)


@dataclass(frozen=True)
class Caller:
    """Who calls: its rights for creator and provider, whether it is the deal's strategy, its free credit."""

    creator: Scope = Scope(0)
    provider: Scope = Scope(0)
    is_strategy: bool = False
    credit: int = UNBOUNDED


@dataclass(frozen=True)
class DealModel:
    """What is known of a deal. `owed`: what the beginner of its audit advanced and did not get back."""

    deal: Deal
    parameters: Parameters
    status: Status = Status.NONE
    kind: DisputeKind = DisputeKind.NONE
    delivery_challenged: bool = False
    deadline: int = 0
    period: int = 0
    commitment: int = 0
    seed: Seed = Seed.PENDING
    owed: int = 0

    @property
    def state(self) -> DealState:
        """What `dealOf` has to answer."""
        return DealState(
            self.status, self.kind, self.delivery_challenged, self.deadline, self.period, self.commitment
        )

    @property
    def lottery(self) -> Seed:
        return self.seed if self.deal.audit_bps else Seed.SPARED

    @property
    def decline_end(self) -> int:
        return self.deadline - self.deal.submit_window + self.deal.submit_window // 4

    @property
    def reveal_end(self) -> int:
        return self.deadline + self.parameters.reveal_window

    @property
    def audit_end(self) -> int:
        return self.deadline + self.parameters.mediation_limit

    @property
    def moments(self) -> tuple[int, ...]:
        """The clocks that run, as last seconds at which something counts."""
        if self.status == Status.AGREED:
            return (self.decline_end, self.deadline)
        if self.status == Status.RESULTS_SUBMITTED:
            return (self.deadline, self.reveal_end, self.audit_end)
        return (self.deadline,)

    @property
    def paid_audit(self) -> bool:
        """Whether the collateral paid the running audit."""
        return self.status == Status.IN_MEDIATION and self.kind == DisputeKind.AUDIT_EXPIRED


def opened(deal: Deal, now: int, parameters: Parameters) -> DealModel:
    return DealModel(deal, parameters, Status.AGREED, deadline=now + deal.submit_window)


# ---- who may do what when


def refusal(model: DealModel, call: str, caller: Caller, now: int, *, fund: int = UNBOUNDED, advance: int = 0) -> str | None:
    """The error that the call has to revert with, all its signatures being right; None: it succeeds.

    `fund`: what the pool's fund holds; `advance`: the most that an auditor would add to it.
    """
    for name, broken in _checks(model, call, caller, now, fund, advance):
        if broken:
            return name
    return None


def _checks(
    model: DealModel, call: str, caller: Caller, now: int, fund: int, advance: int
) -> tuple[tuple[str, bool], ...]:
    """Names of errors in the order in which they are due, each with whether its reason holds."""
    m, deal = model, model.deal
    agreed, submitted = ("DealNotIn", m.status != Status.AGREED), ("DealNotIn", m.status != Status.RESULTS_SUBMITTED)
    works = bool(caller.provider & Scope.RESULTS)
    accepts = bool(caller.creator & Scope.ACCEPTANCE)
    late, late_reveal = ("DeadlinePassed", now > m.deadline), ("DeadlinePassed", now > m.reveal_end)
    drawn, unknown = ("DealDrawn", m.lottery.draws), ("SeedPending", m.lottery == Seed.PENDING)
    not_drawn = ("DealNotDrawn", m.lottery == Seed.SPARED)
    if call == "open":
        return (("DealExists", m.status != Status.NONE),)
    if call in ("submitResult", "submitAndSettle"):
        return (agreed, ("NotAuthorised", not works), late)
    if call == "submitSigned":
        return (agreed, late)
    if call == "decline":
        return (agreed, ("NotAuthorised", not works), ("DeadlinePassed", now > m.decline_end))
    if call == "timeoutSubmit":
        return (agreed, ("DeadlineAhead", now <= m.deadline))
    if call == "settle":
        silent = ("AgreementMissing", now <= m.deadline and not accepts)
        return (submitted, late_reveal, silent, unknown, drawn)
    if call == "settle accepted":
        return (submitted, late_reveal, unknown, drawn)
    if call == "settle waived":
        return (submitted, late_reveal, drawn)
    if call == "challenge":
        return (*_challengeable(m, now), ("FundsMissing", caller.credit < challenge_fee(deal)))
    if call == "challengeDelivery":
        again = ("DeliveryChallengedBefore", m.delivery_challenged)
        poor = ("FundsMissing", caller.credit < delivery_fee(deal))
        return (*_challengeable(m, now), ("NotAuthorised", not accepts), again, poor)
    if call == "audit":
        return (submitted, ("DeadlinePassed", now > m.audit_end), unknown, not_drawn, *_short(m, caller, fund, advance))
    if call == "timeoutReveal":
        return (submitted, ("DeadlineAhead", now <= m.reveal_end), unknown, drawn)
    if call == "timeoutMediation":
        if m.status == Status.RESULTS_SUBMITTED:
            return (unknown, not_drawn, ("DeadlineAhead", now <= m.audit_end))
        return (("DealNotIn", m.status != Status.IN_MEDIATION), ("DeadlineAhead", now <= m.deadline))
    if call == "close":
        if m.status == Status.RESULTS_SUBMITTED:
            return (drawn, late_reveal)
        return (agreed, late)
    if call == "repayAdvance":
        return (("AdvanceNotDue", m.status not in FINAL or not min(m.owed, fund)),)
    return _resolve_checks(m, VERDICTS[call], caller, now)


def _challengeable(m: DealModel, now: int) -> tuple[tuple[str, bool], ...]:
    return (
        ("DealNotIn", m.status != Status.RESULTS_SUBMITTED),
        ("DealUnverified", not m.deal.is_verified),
        ("DeadlinePassed", now > m.deadline),
    )


def _short(m: DealModel, caller: Caller, fund: int, advance: int) -> tuple[tuple[str, bool], ...]:
    if m.lottery == Seed.LOST:
        return ()
    missing = max(audit_fee(m.deal) - fund, 0)
    return (("FundShort", missing > advance), ("FundsMissing", caller.credit < missing))


def _resolve_checks(m: DealModel, verdict: Verdict, caller: Caller, now: int) -> tuple[tuple[str, bool], ...]:
    about_delivery = verdict in (Verdict.DELIVERED, Verdict.NOT_DELIVERED)
    mismatch = about_delivery != (m.kind == DisputeKind.DELIVERY)
    return (
        ("DealNotIn", m.status != Status.IN_MEDIATION),
        ("StrategyOnly", not caller.is_strategy),
        ("DeadlinePassed", now > m.deadline),
        ("VerdictNotPossible", verdict != Verdict.NO_FAULT and mismatch),
    )


# ---- what becomes of it


def after(
    model: DealModel, call: str, now: int, *, commitment: int = 0, period: int = 0, fund: int = UNBOUNDED
) -> DealModel:
    """The deal after a call that succeeded. `commitment` and `period`: of a result that is posted."""
    deal = model.deal
    if call == "open":
        return opened(deal, now, model.parameters)
    if call in ("submitResult", "submitSigned"):
        period = period if deal.audit_bps else 0
        model = replace(
            model, status=Status.RESULTS_SUBMITTED, deadline=now + deal.judge_window, period=period, commitment=commitment
        )
    if call == "submitAndSettle":
        model = replace(model, commitment=commitment)
    if call == "repayAdvance":
        return replace(model, owed=model.owed - min(model.owed, fund))
    if call in ("challenge", "challengeDelivery", "audit"):
        return _disputed(model, call, now, fund)
    if call == "resolve Delivered":
        return replace(
            model, status=Status.RESULTS_SUBMITTED, kind=DisputeKind.NONE, deadline=now + deal.judge_window
        )
    if call in _ENDS:
        return replace(model, status=_ENDS[call], deadline=now)
    return model


def _disputed(model: DealModel, call: str, now: int, fund: int) -> DealModel:
    lost = model.lottery == Seed.LOST
    if call == "audit":
        kind = DisputeKind.AUDIT_EXPIRED if lost else DisputeKind.AUDIT
    elif call == "challenge":
        kind = DisputeKind.CHALLENGE_DRAWN if model.lottery.draws else DisputeKind.CHALLENGE
    else:
        kind = DisputeKind.DELIVERY
    return replace(
        model,
        status=Status.IN_MEDIATION,
        kind=kind,
        delivery_challenged=model.delivery_challenged or kind == DisputeKind.DELIVERY,
        deadline=now + model.parameters.mediation_limit,
        owed=max(audit_fee(model.deal) - fund, 0) if kind == DisputeKind.AUDIT else 0,
    )
