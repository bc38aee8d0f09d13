"""What to do next, as a pure function of what is seen: `decide(view, config) -> list[Intent]`.

Total: every phase on both sides of every deadline has its answer, which may be nothing. Intents come with the nearest
deadline first. Repeating one is harmless: it names a subject and an action, and whoever acts knows what is under way.

How it votes (docs/protocol.md section 6.2):

- what its own run gives: the digest; MODULE_BROKEN or CANNOT_RUN where there is none (see `bench`);
- UNAVAILABLE when manifest, artefact or inputs (about delivery: the data) did not come in the first 80 % of the window,
  as often as it asked everybody who may have them;
- SERVED when all of the data came;
- CANNOT_RUN when the run takes longer than 90 % of the window, or when this machine could not take what was served, or
  did not ask in its first half: it says nothing about anybody, and costs less than silence.

A reveal says that the result data is served when all of it came and has the provider's digest, and that it is not when
it did not come in the first 80 % of the reveal window. Where this machine could not take it (a full disk), or had no
chance to ask in its first half (its chain was away, it was not running), it says nothing against the provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lilypad_agents.agents.mediator.settings import AppealRule, MediatorConfig
from lilypad_agents.agents.mediator.view import (
    NEVER,
    Action,
    Check,
    Data,
    DisputeView,
    DrawnDeal,
    MediatorView,
    Money,
    PoolView,
    SeatView,
    Stage,
    Work,
)
from lilypad_agents.agents.mediator.votes import CANNOT_RUN, SERVED, UNAVAILABLE
from lilypad_agents.agents.provider.capacity import NOTHING
from lilypad_agents.protocol.dispute import Finding, Phase, SeatState, appeal_fee, next_round
from lilypad_agents.protocol.ids import DealId, PoolId
from lilypad_agents.protocol.lifecycle import FINAL, Status
from lilypad_agents.protocol.units import WHOLE, Amount, Period, Timestamp


@dataclass(frozen=True)
class Intent:
    """One thing to do. `deadline`: the last second (unix, block time) at which it counts.

    It is about a deal (and a `seat` of its round), a `pool`, or the seed of a `period`. `vote` and `served` go with votes
    and reveals, `amount` (smallest units) with money. `occasion`: what tells a step about a pool from the next one like it.
    """

    action: Action
    deadline: Timestamp = NEVER
    deal: DealId | None = None
    seat: int | None = None
    pool: PoolId | None = None
    period: Period | None = None
    vote: bytes | None = None
    served: bool = False
    amount: Amount = Amount(0)
    occasion: DealId | None = None

    @property
    def key(self) -> str:
        subject = (self.deal or b"").hex() + ("" if self.seat is None else f".{self.seat}")
        return f"{self.action}:{subject}:{(self.pool or b'').hex()}:{self.period or ''}"


def decide(view: MediatorView, config: MediatorConfig) -> list[Intent]:
    """All that is to be done now, nearest deadline first. Pure and total."""
    found: list[Intent] = []
    for dispute in view.disputes:
        found += _dispute(dispute, view, config)
    found += _runs(view)
    for drawn in view.drawn:
        found += _audit(drawn, view, config)
    for pool in view.pools:
        found += _pool(pool, view, config)
    found += _seeds(view, config)
    return sorted(found, key=lambda intent: (intent.deadline, intent.key))


def _dispute(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    """One dispute whose deal is in mediation, or has left it."""
    if dispute.state.status in FINAL or dispute.ended:
        yield from _stop(dispute)
        yield from _evidence(dispute)
        if not dispute.ended:
            yield from _step(Action.UNWIND, dispute, view, config, NEVER)
        return
    if dispute.state.status is not Status.IN_MEDIATION:
        yield from _stop(dispute)
        return
    yield from _PHASES[dispute.phase](dispute, view, config)
    yield from _evidence(dispute)
    yield from _endings(dispute, view, config)


# ---- one phase each


def _due(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    if view.time <= dispute.last_call:
        yield from _step(Action.QUEUE, dispute, view, config, dispute.last_call)


def _queued(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    if view.time <= dispute.last_call and dispute.next_in_queue:
        yield from _step(Action.DRAW, dispute, view, config, dispute.last_call)


def _commit(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    yield from _recover(dispute)
    silent = [seat for seat in dispute.seats if seat.state is SeatState.SILENT]
    if not silent:
        return
    if dispute.vote is None:
        vote = _vote(dispute, view, config)
        if vote is not None:
            yield Intent(Action.VOTE, dispute.deadline, dispute.id, vote=vote)
        else:
            yield from _work(dispute, view)
        return
    for seat in silent:
        yield from _of_seat(Action.COMMIT, dispute, seat, dispute.deadline)


def _open(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    """The provider's window. A seat that lost its vote uses it to find it again."""
    yield from _recover(dispute)
    yield from _look_ahead(dispute, view, config)


def _reveal(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    yield from _recover(dispute)
    yield from _look_ahead(dispute, view, config)
    mine = [seat for seat in dispute.seats if seat.state is SeatState.COMMITTED and seat.matches]
    if not mine:
        return
    served = _served(dispute, view, config)
    if served is None:
        yield from _check(dispute, view)
        return
    for seat in mine:
        yield from _of_seat(Action.REVEAL, dispute, seat, dispute.deadline, served=served)


def _appealable(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    """Appeals when the user said so, or by the rule; what the rule needs to know is worked out first."""
    until = Timestamp(min(dispute.deadline, dispute.last_call))
    following = next_round(dispute.round)
    if view.time > until or following is None:
        return
    if not dispute.appeal_asked:
        if config.appeal is not AppealRule.OWN:
            return
        if _may_contradict(dispute):
            yield from _look_ahead(dispute, view, config)
        if not contradicts(dispute):
            return
    yield from _pay_appeal(dispute, view, config, until)


def _nothing(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    return iter(())


Decider = Callable[[DisputeView, MediatorView, MediatorConfig], Iterator[Intent]]
_PHASES: Mapping[Phase, Decider] = MappingProxyType(
    {
        Phase.NONE: _due,
        Phase.DUE: _due,
        Phase.QUEUED: _queued,
        Phase.COMMIT: _commit,
        Phase.OPEN: _open,
        Phase.REVEAL: _reveal,
        Phase.APPEALABLE: _appealable,
        Phase.EXECUTABLE: _nothing,
        Phase.EXECUTED: _nothing,
    }
)


def _endings(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    """The verdict, from when it can be carried out; the core's own end when the strategy did not come to one."""
    limit = dispute.state.deadline
    if view.time > limit:
        yield from _step(Action.TIMEOUT_MEDIATION, dispute, view, config, NEVER)
    elif dispute.phase is Phase.EXECUTABLE or view.time > dispute.last_call:
        yield from _step(Action.EXECUTE, dispute, view, config, limit)


# ---- votes


def _vote(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> bytes | None:
    """What the seat says by now; None: the work goes on."""
    give_up = _by(dispute.deadline, dispute.window, config.fetch_by_bps)
    if dispute.delivery:
        if dispute.data.check is Check.SERVED:
            return SERVED
        return _missing(dispute.data, dispute) if view.time >= give_up else None
    if dispute.work.word is not None:
        return dispute.work.word
    if dispute.work.stage in (Stage.NEW, Stage.FETCHING) and view.time >= give_up:
        return _missing(dispute.work, dispute)
    if view.time >= _by(dispute.deadline, dispute.window, config.vote_by_bps):
        return CANNOT_RUN
    return None


def _missing(content: Work | Data, dispute: DisputeView) -> bytes:
    """The vote about what did not come."""
    return UNAVAILABLE if _withheld(content, dispute.deadline, dispute.window) else CANNOT_RUN


def _withheld(content: Work | Data, deadline: Timestamp, window: int) -> bool:
    """Whether it is the provider's matter that content did not come, in a window of so many seconds until `deadline`.

    Not where this machine could not take it, nor where, cut off or ended, it did not ask in the window's first half.
    """
    asked = content.since is not None and content.since <= _by(deadline, window, WHOLE // 2)
    return asked and not content.trouble


def _served(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> bool | None:
    """What a reveal says about the result data; None: it is still being asked for."""
    if dispute.delivery:
        return dispute.vote == SERVED
    if not any(dispute.opened) or dispute.vote != dispute.opened:
        return False  # it counts with the provider's own digest only
    if dispute.data.check is Check.SERVED:
        return True
    window = dispute.pool.reveal_window
    if view.time < _by(dispute.deadline, window, config.fetch_by_bps):
        return None
    return not _withheld(dispute.data, dispute.deadline, window)


def _by(deadline: Timestamp, window: int, bps: int) -> int:
    """The second at which a share of a window that ends at `deadline` is over."""
    return deadline - window + window * bps // WHOLE


# ---- appeals


def _may_contradict(dispute: DisputeView) -> bool:
    return not dispute.delivery and dispute.standing in (Finding.CONFIRMED, Finding.OTHER_DIGEST, Finding.UNSERVED)


def contradicts(dispute: DisputeView) -> bool:
    """Whether our own re-run says that the finding which stands is wrong."""
    ours = dispute.work.word
    if ours is None or not _may_contradict(dispute) or not any(dispute.opened):
        return False
    if dispute.standing is Finding.CONFIRMED:
        return ours != dispute.opened
    if dispute.standing is Finding.UNSERVED:
        return ours == dispute.opened and dispute.data.check is Check.SERVED
    return ours == dispute.opened


def _look_ahead(dispute: DisputeView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    """Where the rule is to appeal against what an own re-run contradicts, the run begins before there is a finding."""
    if config.appeal is AppealRule.OWN and dispute.work.word is None and not dispute.delivery:
        yield from _work(dispute, view)


def _pay_appeal(
    dispute: DisputeView, view: MediatorView, config: MediatorConfig, until: Timestamp
) -> Iterator[Intent]:
    following = next_round(dispute.round)
    assert following is not None
    fee = appeal_fee(dispute.deal, following)
    money = view.money.get(dispute.deal.token, Money())
    within = dispute.appeal_asked or money.appealed + fee <= config.appeal_budget
    if not within or money.wallet < fee:
        return
    if money.allowance < fee:
        yield from _of_dispute(Action.APPROVE, dispute, until, amount=fee)
    else:
        yield from _of_dispute(Action.APPEAL, dispute, until, amount=fee)


# ---- parts


def _of_dispute(action: Action, dispute: DisputeView, deadline: Timestamp, **more: object) -> Iterator[Intent]:
    if action not in dispute.under_way:
        yield Intent(action, deadline, dispute.id, **more)  # type: ignore[arg-type]


def _of_seat(
    action: Action, dispute: DisputeView, seat: SeatView, deadline: Timestamp, *, served: bool = False
) -> Iterator[Intent]:
    if action not in seat.under_way:
        yield Intent(action, deadline, dispute.id, seat.index, vote=dispute.vote, served=served)


def _step(
    action: Action, dispute: DisputeView, view: MediatorView, config: MediatorConfig, deadline: Timestamp
) -> Iterator[Intent]:
    """A step that anybody may take, when it is our turn. One who sits waits for nobody: silence of others costs it money."""
    turn = 0 if dispute.is_seated else dispute.turn
    if config.keeper and view.time >= dispute.since + turn:
        yield from _of_dispute(action, dispute, deadline)


def _recover(dispute: DisputeView) -> Iterator[Intent]:
    """Something of ours is committed that our vote does not open: the vote is found again, by a re-run where it needs one."""
    lost = [seat for seat in dispute.seats if seat.state is SeatState.COMMITTED and seat.matches is False]
    if lost and dispute.recoverable:
        yield Intent(Action.RECOVER, dispute.deadline, dispute.id)
        if not dispute.delivery and dispute.work.word is None:
            yield from _fetch(dispute)


def _work(dispute: DisputeView, view: MediatorView) -> Iterator[Intent]:
    if dispute.delivery:
        yield from _check(dispute, view)
    elif view.time >= dispute.work.retry_at:
        yield from _fetch(dispute)


def _fetch(dispute: DisputeView) -> Iterator[Intent]:
    if dispute.work.stage is Stage.NEW:
        yield from _of_dispute(Action.FETCH, dispute, dispute.deadline)


def _check(dispute: DisputeView, view: MediatorView) -> Iterator[Intent]:
    if dispute.data.check is Check.NONE and any(dispute.opened) and view.time >= dispute.data.retry_at:
        yield Intent(Action.CHECK, dispute.deadline, dispute.id)


def _stop(dispute: DisputeView) -> Iterator[Intent]:
    if dispute.work.stage in (Stage.FETCHING, Stage.READY, Stage.RUNNING):
        yield Intent(Action.STOP, NEVER, dispute.id)


def _evidence(dispute: DisputeView) -> Iterator[Intent]:
    if dispute.evidence_due:
        yield Intent(Action.EVIDENCE, NEVER, dispute.id)


def _runs(view: MediatorView) -> Iterator[Intent]:
    """As many as fit, nearest deadline first; one that does not fit now keeps its place, and smaller ones may pass it."""
    slots, used = view.free_slots, NOTHING
    waiting = [item for item in view.disputes if item.work.stage is Stage.READY and item.state.status is Status.IN_MEDIATION]
    for dispute in sorted(waiting, key=lambda item: (item.deadline, item.id)):
        wanted = used + dispute.work.need
        if slots and wanted.within(view.free):
            slots, used = slots - 1, wanted
            yield Intent(Action.RUN, dispute.deadline, dispute.id)


# ---- keeping


def _audit(drawn: DrawnDeal, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    """The audit of a deal that the lottery drew; where the fund lacks, only as far as the settings advance."""
    if not config.keeper or view.time > drawn.until or view.time < drawn.since + drawn.turn:
        return
    if drawn.lacking <= config.audit_advance and Action.AUDIT not in drawn.under_way:
        yield Intent(Action.AUDIT, drawn.until, drawn.id, amount=drawn.lacking)


def _pool(pool: PoolView, view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    wanted = []
    our_turn = config.keeper and view.time >= pool.since + pool.turn
    if pool.withdrawable:
        wanted.append(Action.WITHDRAW)
    # Seats that ended while the tree was frozen count as open until somebody applies that, and a round may wait for them.
    if not pool.frozen and (pool.ours_pending or (pool.postponed and our_turn)):
        wanted.append(Action.APPLY)
    if pool.cancelled and our_turn:
        wanted.append(Action.DRAW_CANCELLED)
    for action in wanted:
        if action not in pool.under_way:
            occasion = None if action is Action.WITHDRAW else pool.occasion
            yield Intent(action, NEVER, pool=pool.terms.id, occasion=occasion)


def _seeds(view: MediatorView, config: MediatorConfig) -> Iterator[Intent]:
    """Seeds on which something of our pools hangs: awaited ones at once, others in the last third of their life, since
    providers come before us."""
    if not config.keeper:
        return
    for period, seed in sorted(view.seeds.items()):
        if not seed.recorded and (seed.is_awaited or 3 * seed.age >= 2 * seed.lifetime):
            yield Intent(Action.RECORD, Timestamp(view.time + max(0, seed.lifetime - seed.age)), period=period)

