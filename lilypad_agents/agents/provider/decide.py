"""What to do next, as a pure function of what is seen: `decide(view, config) -> list[Intent]`.

Total: every status on both sides of every deadline has its answer, which may be nothing. Intents come with the nearest
deadline first. Repeating one is harmless: it names a deal and an action, and whoever acts knows what is under way.
Sources: docs/protocol.md sections 4, 5.4 and 6.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from lilypad_agents.agents.provider.capacity import Need
from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.defence import answer, audit, take_back
from lilypad_agents.agents.provider.intents import LAST, Intent, intent
from lilypad_agents.agents.provider.policy import Reason, Refusal, act_by
from lilypad_agents.agents.provider.view import Action, DealView, Lottery, ProviderView, Stage
from lilypad_agents.protocol.deal import Deadlines, deadlines
from lilypad_agents.protocol.digest import deciding_period
from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Status
from lilypad_agents.protocol.units import Timestamp

_SPARED = (Lottery.NONE, Lottery.SPARED)
_DRAWN = (Lottery.DRAWN, Lottery.LOST)


def decide(view: ProviderView, config: ProviderConfig) -> list[Intent]:
    """All that is to be done now, nearest deadline first. Pure and total."""
    found: list[Intent] = []
    for deal in view.deals:
        found += _DECIDERS[deal.state.status](deal, view, config)
    found += _runs(view)
    found += _seeds(view)
    return sorted(found, key=lambda item: (item.deadline, item.key))


# ---- one status each


def _agreed(deal: DealView, view: ProviderView, config: ProviderConfig) -> Iterator[Intent]:
    ends = deadlines(deal.deal, deal.state, view.parameters)
    if view.time > _end(ends.submit):
        yield from _stop(deal)
        yield from intent(Action.TIMEOUT_SUBMIT, deal, None)
        return
    if deal.work.stage is Stage.DONE:
        waived = deal.agreement if deal.agreement is Agreement.WAIVER else Agreement.NONE
        yield from intent(Action.SUBMIT, deal, ends.submit, agreement=waived)
        yield from _deliver(deal, view, ends.submit)
        return
    yield from _cancel(deal, view, config, ends)
    refusal = _refusal(deal, view, config, ends)
    if refusal is not None and view.time <= _end(ends.decline):
        yield from _stop(deal)
        yield from intent(Action.DECLINE, deal, ends.decline, refusal=refusal)
    elif deal.work.stage is Stage.NEW and view.time >= deal.work.retry_at:
        yield from intent(Action.FETCH, deal, ends.submit)


def _submitted(deal: DealView, view: ProviderView, config: ProviderConfig) -> Iterator[Intent]:
    ends = deadlines(deal.deal, deal.state, view.parameters)
    if deal.lottery in _DRAWN:
        yield from _deliver(deal, view, ends.audit)
        if view.time > _end(ends.audit):
            yield from intent(Action.TIMEOUT_MEDIATION, deal, None)
        else:
            yield from audit(deal, ends, config)
        return
    if view.time > _end(ends.reveal):
        if deal.lottery in _SPARED:
            yield from intent(Action.TIMEOUT_REVEAL, deal, None)
        return
    if deal.work.commitment is None:
        yield from _recover(deal, view, ends.reveal)
        return
    if deal.work.commitment == deal.state.commitment:
        yield from _settle(deal, view, ends)
        yield from _cancel(deal, view, config, ends)
    yield from _deliver(deal, view, ends.reveal)


def _settle(deal: DealView, view: ProviderView, ends: Deadlines) -> Iterator[Intent]:
    """A waiver counts unless the deal is drawn; everything else waits until the lottery spared it."""
    if deal.agreement is Agreement.WAIVER:
        yield from intent(Action.SETTLE, deal, ends.reveal, agreement=Agreement.WAIVER)
    elif deal.lottery is Lottery.PENDING:
        return
    elif view.time > _end(ends.judge):
        yield from intent(Action.SETTLE, deal, ends.reveal, agreement=Agreement.NONE)
    elif deal.agreement is Agreement.ACCEPTANCE:
        yield from intent(Action.SETTLE, deal, ends.reveal, agreement=Agreement.ACCEPTANCE)


def _in_mediation(deal: DealView, view: ProviderView, config: ProviderConfig) -> Iterator[Intent]:
    """The data stays served, the strategy gets its answers, and the limit is claimed."""
    ends = deadlines(deal.deal, deal.state, view.parameters)
    if deal.work.commitment is None and deal.state.kind is not DisputeKind.NONE:
        yield from _recover(deal, view, ends.mediation)
    else:
        yield from _deliver(deal, view, ends.mediation)
    if view.time > _end(ends.mediation):
        yield from intent(Action.TIMEOUT_MEDIATION, deal, None)
    else:
        yield from answer(deal, view, ends, config)


def _ended(deal: DealView, view: ProviderView, config: ProviderConfig) -> Iterator[Intent]:
    yield from _stop(deal)
    if deal.dispute is not None and deal.dispute.holds_our_money:
        yield from take_back(deal, config)
    elif not deal.work.released:
        yield from intent(Action.RELEASE, deal, None)


def _gone(deal: DealView, view: ProviderView, config: ProviderConfig) -> Iterator[Intent]:
    """The chain does not know the deal any more: work for it stops, what is stored stays, since it may come back."""
    yield from _stop(deal)


Decider = Callable[[DealView, ProviderView, ProviderConfig], Iterator[Intent]]
_DECIDERS: Mapping[Status, Decider] = MappingProxyType(
    {status: _ended for status in Status}
    | {
        Status.NONE: _gone,
        Status.AGREED: _agreed,
        Status.RESULTS_SUBMITTED: _submitted,
        Status.IN_MEDIATION: _in_mediation,
    }
)


# ---- parts


def _end(deadline: Timestamp | None) -> Timestamp:
    return LAST if deadline is None else deadline


def _stop(deal: DealView) -> Iterator[Intent]:
    if deal.work.stage in (Stage.FETCHING, Stage.READY, Stage.RUNNING):
        yield from intent(Action.STOP, deal, None)


def _deliver(deal: DealView, view: ProviderView, deadline: Timestamp | None) -> Iterator[Intent]:
    """Result and receipt go to the relay as soon as they exist, and again after a failure."""
    if deal.work.commitment is not None and not deal.work.published and view.time >= deal.work.retry_at:
        yield from intent(Action.PUBLISH, deal, deadline)


def _recover(deal: DealView, view: ProviderView, deadline: Timestamp | None) -> Iterator[Intent]:
    """A result is posted that a lost database no longer knows: it is made again, and its salt follows from the key."""
    if deal.work.stage is Stage.NEW and view.time >= deal.work.retry_at:
        yield from intent(Action.FETCH, deal, deadline)


def _refusal(deal: DealView, view: ProviderView, config: ProviderConfig, ends: Deadlines) -> Refusal | None:
    """Why the deal is given back, None to go on. What may still mend itself is awaited for most of the quarter.

    In the last half of what is then left a decline may be mined too late (so after a restart): the run is tried instead.
    """
    if deal.work.stage is Stage.REFUSED:
        return deal.work.refusal
    opened = _end(ends.submit) - deal.deal.submit_window
    begin = act_by(opened, _end(ends.decline), config)
    if not begin <= view.time <= (begin + _end(ends.decline)) // 2:
        return None
    if deal.work.stage in (Stage.NEW, Stage.FETCHING):
        return deal.work.refusal or Refusal(Reason.CONTENT_UNAVAILABLE)
    if deal.work.stage is Stage.READY:
        due = view.time * 1_000 + _wait_ms(deal, view) + deal.work.estimate_ms
        if due > _end(ends.submit) * 1_000:
            return Refusal(Reason.OVER_CAPACITY, f"{due // 1_000 - view.time} s", f"{_end(ends.submit) - view.time} s")
    return None


def _wait_ms(deal: DealView, view: ProviderView) -> int:
    """Until the queue before this deal is through, if all slots work."""
    before = [
        other.work.estimate_ms
        for other in view.deals
        if other.work.stage is Stage.READY and _urgency(other) < _urgency(deal)
    ]
    return (view.backlog_ms + sum(before)) // max(1, view.slots)


def _urgency(deal: DealView) -> tuple[int, bytes]:
    return deal.state.deadline, deal.id


def _runs(view: ProviderView) -> Iterator[Intent]:
    """As many as fit, nearest deadline first; one that does not fit now keeps its place, and smaller ones may pass it."""
    slots, used = view.free_slots, Need()
    for deal in sorted(_runnable(view), key=_urgency):
        wanted = used + deal.work.need
        if slots and wanted.within(view.free):
            slots, used = slots - 1, wanted
            yield Intent(Action.RUN, deal.id, deal.state.deadline)


def _runnable(view: ProviderView) -> Sequence[DealView]:
    """Deals whose run still counts: until the submit deadline, or to recover the result of a posted commitment."""
    return [
        deal
        for deal in view.deals
        if deal.work.stage is Stage.READY
        and Action.RUN not in deal.under_way
        and (
            (deal.state.status is Status.AGREED and view.time <= deal.state.deadline)
            or (deal.state.status in (Status.RESULTS_SUBMITTED, Status.IN_MEDIATION) and deal.work.commitment is None)
        )
    ]


def _cancel(deal: DealView, view: ProviderView, config: ProviderConfig, ends: Deadlines) -> Iterator[Intent]:
    """A split that the creator signed is signed too when it pays at least what going on would."""
    closing = deal.closing
    if closing is None or view.time > closing.expiry:
        return
    if deal.state.status is Status.RESULTS_SUBMITTED:
        least = deal.deal.collateral + (deal.deal.value if deal.gross is None else deal.gross)
    elif deal.work.stage in (Stage.RUNNING, Stage.DONE):
        least = deal.deal.collateral + deal.deal.value
    else:
        least = deal.deal.collateral + -(-deal.deal.value * config.cancel_bps // 10_000)
    if closing.to_provider >= least:
        deadline = min(closing.expiry, _end(ends.submit if deal.state.status is Status.AGREED else ends.reveal))
        yield from intent(Action.CLOSE, deal, Timestamp(deadline))


def _seeds(view: ProviderView) -> Iterator[Intent]:
    """Seeds on which an unsettled deal of ours hangs are recorded in the second half of their life; awaited ones at once.

    A lost seed makes the audit certain and the provider pay for it (protocol 6.3).
    """
    waiting = [deal for deal in view.deals if deal.state.status is Status.RESULTS_SUBMITTED]
    known, unknown = (
        {deciding_period(deal.state.period) for deal in waiting if deal.lottery in lotteries}
        for lotteries in ((Lottery.SPARED, Lottery.DRAWN), (Lottery.PENDING,))
    )
    for period, seed in sorted(view.seeds.items()):
        is_due = period in unknown if seed.is_awaited else period in known and 2 * seed.age >= seed.lifetime
        if is_due and not seed.recorded:
            yield Intent(Action.RECORD, None, Timestamp(view.time + max(0, seed.lifetime - seed.age)), period=period)
