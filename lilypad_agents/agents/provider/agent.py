"""The provider's part of the loop: see, decide, act. Level-triggered: whatever was missed is found in the state."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import Gauge

from lilypad_agents.agents.provider.actor import Actor, Call, Subject
from lilypad_agents.agents.provider.agreements import Agreements
from lilypad_agents.agents.provider.capacity import Machine
from lilypad_agents.agents.provider.config import ProviderSettings
from lilypad_agents.agents.provider.decide import decide
from lilypad_agents.agents.provider.deliveries import Deliveries
from lilypad_agents.agents.provider.desk import Desk, Wanted
from lilypad_agents.agents.provider.disputes import DISPUTE_ACTIONS, Disputes
from lilypad_agents.agents.provider.errors import ResultLost
from lilypad_agents.agents.provider.income import income_of
from lilypad_agents.agents.provider.intents import Intent
from lilypad_agents.agents.provider.lottery import Seeds
from lilypad_agents.agents.provider.offers import Situation, Template, reasons_against_offering, templates
from lilypad_agents.agents.provider.opening import open_offer, opening_key, put_aside, waiting
from lilypad_agents.agents.provider.policy import act_by
from lilypad_agents.agents.provider.registry import Registry
from lilypad_agents.agents.provider.sources import Sources
from lilypad_agents.agents.provider.store import OFFERS_UNTIL, ProviderStore
from lilypad_agents.agents.provider.view import Action, DealView, Lottery, ProviderView, Stage
from lilypad_agents.agents.provider.workshop import Job, Workshop
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.dealbook import DealView as BookEntry
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.runtime.lists import TrustedLists
from lilypad_agents.agents.runtime.loop import Observation
from lilypad_agents.errors import ChainUnreachable, LilypadError
from lilypad_agents.protocol.deal import DealState
from lilypad_agents.protocol.digest import Head, deciding_period
from lilypad_agents.protocol.ids import Address, DealId
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.price import charge
from lilypad_agents.protocol.units import Amount, Period, Timestamp, Units

MONEY_EVERY_S = 3  # block time between two looks at balances
COLLECT_EVERY_S = 600
IDLE_LOOK_S = 1.0  # machine time: self-test, files and settings change without a block
DECLINES_WITHIN_S = 3_600
GAS_FOR_OBLIGATIONS = 3_000_000  # what the coin of an offering provider must pay for, at twice the base fee
_GONE = DealState(Status.NONE, DisputeKind.NONE, False, Timestamp(0), Period(0), 0)
_LOUD = ("disk", "gas", "funds", "declines")
_ACTIVE = (Stage.FETCHING, Stage.READY, Stage.RUNNING)


@dataclass
class Money:
    """What there was at the last look: ledger in smallest units, coin in wei, room for content in bytes, deals declined lately."""

    free: int = 0
    locked: int = 0
    coin: int = 0
    disk: int = 0
    declined: int = 0
    looked_at: int = -MONEY_EVERY_S


@dataclass
class ProviderAgent:
    """One provider. `finished` is called when a drain is over."""

    context: AgentContext
    settings: ProviderSettings
    machine: Machine
    store: ProviderStore
    workshop: Workshop
    actor: Actor
    agreements: Agreements
    seeds: Seeds
    disputes: Disputes
    sources: Sources
    desks: Sequence[Desk]
    registry: Registry | None
    lists: TrustedLists | None
    token: Address
    deliveries: Deliveries
    finished: Callable[[], None] = lambda: None
    tested: bool = True
    draining: bool = False
    money: Money = field(default_factory=Money)
    entries: dict[DealId, BookEntry] = field(default_factory=dict)
    _against: dict[str, str] = field(default_factory=dict)
    _lost: set[DealId] = field(default_factory=set)
    _templates: list[Template] | None = None
    _collected_at: int = 0
    _head: bytes = b""
    _looked_at: float = 0.0
    _unfinished: bool = True  # the last cycle did not get to its end

    def __post_init__(self) -> None:
        registry = self.context.health.registry
        gauges = {
            "lilypad_provider_open_deals": lambda: len(self.entries),
            "lilypad_provider_running_jobs": lambda: len(self.workshop.running),
            "lilypad_provider_free_slots": lambda: self.workshop.free_slots,
            "lilypad_provider_open_disputes": lambda: len(self.disputes.found),
            "lilypad_provider_offering": lambda: int(not self._against),
        }
        for name, read in gauges.items():
            Gauge(name, name.replace("_", " "), registry=registry).set_function(read)

    # ---- the loop's part

    def cycle(self, observation: Observation) -> bool:
        """One look, one decision, what follows from it. True when more is to be expected at once."""
        changed = self.workshop.collect(self.context.now)
        for job in changed:
            if job.result is not None:
                self.agreements.result_is_there(job)
        notes = [note for desk in self.desks for note in desk.notes()]
        anything = changed or notes or observation.changed or self.actor.gathering or self._unfinished
        recent = time.monotonic() - self._looked_at < IDLE_LOOK_S
        if self._head == observation.head.hash and recent and not anything and not observation.first:
            return False
        self._head, self._looked_at, self._unfinished = observation.head.hash, time.monotonic(), True
        self._follow(observation)
        self.agreements.take(notes, self.workshop.jobs.get)
        self.actor.settle_outcomes(observation.advance.cursor)
        if self.registry is not None and self.registry.follow(observation.head):
            self._templates = None
        if self.lists is not None and self.lists.follow(observation.head):
            self._templates = None
        self.seeds.look(self.entries.values())
        self.disputes.look(self._with_kept(), self.seeds.lottery)
        for deal_id in self.disputes.found:
            self._note_dispute(self.entries.get(deal_id) or self.context.deals.get(deal_id))
        made = self._act(decide(self.view(), self.settings))
        made += self.deliveries.cycle(observation.head)
        self._drop_ended()
        self._offer()
        self._tidy()
        self._unfinished = False
        return made > 0 or self.actor.gathering

    def sandbox_is_tested(self, passed: bool) -> None:
        """Offers what it may now, also where no new block comes; any thread may call, and wakes the loop afterwards."""
        self.tested, self._unfinished = passed, True

    def stop(self) -> None:
        """Ends runs, threads and connections; deals go on with the next start."""
        self.sources.stop()
        for desk in self.desks:
            desk.stop()
        self.workshop.close()
        for desk in self.desks:
            desk.close(0.5)

    # ---- seeing

    def _follow(self, observation: Observation) -> None:
        """Brings jobs in line with the deals that the chain has."""
        self.deliveries.follow(observation.head, first=observation.first)
        self.disputes.take(observation.advance)
        ours = self.context.address
        self.entries = {view.id: view for view in self.context.deals.open_deals() if view.deal.provider == ours}
        for deal_id, entry in self.entries.items():
            job = self.workshop.job(deal_id, entry.deal)
            if entry.state.status is not Status.IN_MEDIATION:
                self.workshop.dispute_is_over(job)
        for entry in observation.changed:
            if entry.deal.provider == ours and not entry.is_open:
                self._count(entry)
                self.deliveries.note(entry)
        if observation.first:
            self.workshop.forget_runs_but(self.entries)
            for deal_id in self.store.kept():
                entry = self.context.deals.get(deal_id)
                if entry is not None:
                    self.workshop.job(deal_id, entry.deal)
            for desk in self.desks:  # what an earlier life had read may be lost with it
                desk.ask(self.entries)

    def _with_kept(self) -> list[BookEntry]:
        """Open deals of ours, and ended ones that are not put away yet."""
        kept = (self.context.deals.get(deal_id) for deal_id in self.workshop.jobs if deal_id not in self.entries)
        return [*self.entries.values(), *(entry for entry in kept if entry is not None)]

    def _note_dispute(self, entry: BookEntry | None) -> None:
        """Keeps for `lilypad provider earnings` what a dispute came to, and what our appeals in it cost and gave back."""
        summary = None if entry is None else self.disputes.summary(entry)
        if summary is not None:
            self.store.set_dispute(summary, self.context.now)

    def _drop_ended(self) -> None:
        """Jobs of deals that ended or vanished leave the memory; a stored result is found again if the deal comes back."""
        for deal_id, job in list(self.workshop.jobs.items()):
            if deal_id in self.entries or job.stage in _ACTIVE:
                continue
            if job.result is None or job.result.released or self.context.deals.get(deal_id) is None:
                del self.workshop.jobs[deal_id]
                self._end(job)

    def _count(self, entry: BookEntry) -> None:
        """Notes what an ended deal brought or cost."""
        amount = income_of(entry, self.context.cursor, self.context.address)
        self._note_dispute(entry)
        self.store.set_income(entry.id, entry.state.status, entry.changed_at, amount)
        self.context.log("deal_ended", deal=entry.id, status=entry.state.status.name, tx=entry.changed_tx, income=amount)

    def view(self) -> ProviderView:
        """Everything that a decision depends on."""
        under_way = self.actor.under_way()
        submitted: dict[Period, Timestamp] = {}
        for entry in self.entries.values():
            if entry.state.status is Status.RESULTS_SUBMITTED and entry.deal.audit_bps:
                period = deciding_period(entry.state.period)
                at = Timestamp(entry.state.deadline - entry.deal.judge_window)
                submitted[period] = min(at, submitted.get(period, at))
        return ProviderView(
            time=self.context.now,
            deals=tuple(self._deal(job, under_way.get(job.deal_id, frozenset())) for job in self.workshop.jobs.values()),
            parameters=self.context.parameters,
            slots=self.machine.slots,
            free_slots=self.workshop.free_slots,
            free=self.workshop.free,
            backlog_ms=self.workshop.backlog_ms,
            seeds=self.seeds.views(submitted, self.actor.is_recording),
        )

    def _deal(self, job: Job, under_way: frozenset[Action]) -> DealView:
        entry = self.entries.get(job.deal_id) or self.context.deals.get(job.deal_id)
        state = _GONE if entry is None else entry.state
        return DealView(
            id=job.deal_id,
            deal=job.deal,
            state=state,
            work=job.work(),
            agreement=self.agreements.of(job.deal_id)[0],
            closing=self.agreements.closings.get(job.deal_id),
            lottery=Lottery.NONE if entry is None else self.seeds.lottery(entry),
            gross=self._gross(job),
            dispute=None if entry is None else self.disputes.view(entry),
            possible=self.disputes.possible(job.deal_id),
            under_way=under_way,
        )

    def _gross(self, job: Job) -> Amount | None:
        if job.result is None:
            return None
        units = Units(Head.unpack(job.result.opening.opened.head).units)
        return charge(job.deal, units, self.context.parameters.protocol_fee_bps).gross

    # ---- acting

    def _act(self, intents: Sequence[Intent]) -> int:
        for intent in intents:
            handler = _LOCAL.get(intent.action)
            if handler is not None and intent.deal is not None:
                handler(self, self.workshop.jobs[intent.deal])
        self._look_for_lost_results()
        return self.actor.act(intents, self._subject, self.sources.opened_at_once, self._dispute_call)

    def _subject(self, deal_id: DealId) -> Subject:
        job = self.workshop.jobs[deal_id]
        signature = self.agreements.of(deal_id)[1]
        return Subject(deal_id, job.deal, job.result, signature, self.agreements.closings.get(deal_id))

    def _dispute_call(self, intent: Intent) -> Call | None:
        """The transaction of an answer or a step in a dispute; None for other actions."""
        entry = None if intent.deal is None else self.entries.get(intent.deal) or self.context.deals.get(intent.deal)
        if entry is None or intent.action not in DISPUTE_ACTIONS:
            return None
        return self.disputes.call(intent.action, entry, self.workshop.jobs[entry.id].result)

    def _fetch(self, job: Job) -> None:
        entry = self.entries.get(job.deal_id)
        if entry is None:
            return
        if entry.state.status is Status.AGREED:
            opened = entry.state.deadline - job.deal.submit_window
            left = act_by(opened, entry.state.deadline, self.settings) - self.context.now
        else:  # the result of a posted commitment is made again: no deadline is too short for that
            left = 1 << 30
        self.workshop.fetch(job, left)

    def _release(self, job: Job) -> None:
        self.workshop.release(job, int(self.context.now + self.settings.keep_seconds))
        self._end(job)

    def _stop(self, job: Job) -> None:
        self.workshop.stop(job)
        entry = self.entries.get(job.deal_id)
        if entry is None:
            self.context.log("work_stopped", deal=job.deal_id)

    def _end(self, job: Job) -> None:
        self.agreements.forget(job.deal_id)
        self.actor.forget(job.deal_id)
        self._lost.discard(job.deal_id)

    def _look_for_lost_results(self) -> None:
        """A stored result that does not open the posted commitment is made again once, and then reported."""
        for deal_id, entry in self.entries.items():
            job = self.workshop.jobs[deal_id]
            if entry.state.commitment == 0 or job.result is None or job.stage is not Stage.DONE:
                continue
            if job.commitment == entry.state.commitment:
                continue
            if deal_id not in self._lost:
                self._lost.add(deal_id)
                error = ResultLost("Our result does not open the commitment that is posted.", deal=deal_id)
                self.context.log("result_lost", alert=True, **figures_of(error))
                self.workshop.redo(job)

    # ---- offering

    def _offer(self) -> None:
        """Tells every solver what should stand there: everything, or nothing while a reason is against it."""
        self._look_at_money()
        situation = Situation(
            unanswered=self.workshop.unanswered,
            locked=self.money.locked,
            free=self.money.free,
            coin=self.money.coin,
            coin_needed=GAS_FOR_OBLIGATIONS * 2 * max(1, self.context.head.base_fee),
            disk_ok=self.money.disk > 0,
            draining=self.draining,
            tested=self.tested,
            declined=self.money.declined,
        )
        against = reasons_against_offering(situation, self.settings, self.machine)
        if set(against) != set(self._against):
            alert = any(name in against for name in _LOUD)
            self.context.log("offering" if not against else "not_offering", alert=alert, reasons=against)
        for name in _LOUD:
            self.context.health.set(name, against.get(name))
        self._against = against
        if self._templates is None:
            known = {} if self.registry is None else self.registry.known
            listed = frozenset() if self.lists is None else self.lists.versions
            self._templates = templates(self.settings, self.machine, known, listed)
        wanted = Wanted(() if against else tuple(self._templates), self.context.now)
        for desk in self.desks:
            desk.want(wanted)

    def _look_at_money(self) -> None:
        if abs(self.context.now - self.money.looked_at) < MONEY_EVERY_S:
            return
        free, locked = self.context.core.call("accountOf", self.token, self.context.address, block=self.context.head)[:2]
        coin = int(self.context.rpc.request("eth_getBalance", self.context.address, "latest"), 16)
        declined = self.store.ended_since(Status.DECLINED, self.context.now - DECLINES_WITHIN_S)
        self.money = Money(int(free), int(locked), coin, self.context.store.free_bytes(), declined, self.context.now)

    # ---- draining and tidying

    def _tidy(self) -> None:
        for path in waiting(self.context.data):
            self._open(path)
        if not self.draining and drain_file(self.context.data).exists():
            self.drain()
        if self.draining and self._is_done():
            self.context.log("drained")
            self.finished()
        if abs(self.context.now - self._collected_at) >= COLLECT_EVERY_S:
            self._collected_at = self.context.now
            self.workshop.tidy(self.context.now)

    def _open(self, path: Path) -> None:
        """Opens a deal from an offer file that was handed over."""
        try:
            deal_id = open_offer(self.context, self.settings, self.machine, path)
        except ChainUnreachable:
            raise  # tried again in the next cycle
        except LilypadError as error:
            self.context.log("offer_file_refused", alert=True, path=path.name, **figures_of(error))
            put_aside(path, "refused")
            return
        self.actor.watch(opening_key(deal_id), Action.OPEN)
        self.context.log("offer_file_opening", path=path.name, deal=deal_id)
        put_aside(path, "opened")

    def drain(self) -> None:
        """Takes no more deals, ends those it has, then calls `finished`. Offers that are out are cancelled on chain."""
        self.draining = True
        self.context.log("draining", open_deals=len(self.entries))
        if int(self.store.meta(OFFERS_UNTIL) or 0) >= self.context.now:
            core, floor = self.context.core, (self.context.now + 1) & 0xFFFFFFFF
            data = core.encode("cancelBelow", self.context.address, [self.token], 0, floor)
            self.actor.send_alone(f"cancel-offers:{floor}", Action.CANCEL_OFFERS, core, data)

    def _is_done(self) -> bool:
        told = all(not desk.standing or not desk.reachable for desk in self.desks)
        return told and not self.entries and self.actor.is_idle


Handler = Callable[[ProviderAgent, Job], None]
_LOCAL: dict[Action, Handler] = {
    Action.FETCH: ProviderAgent._fetch,
    Action.RUN: lambda agent, job: agent.workshop.run(job),
    Action.PUBLISH: lambda agent, job: agent.workshop.publish(job),
    Action.SERVE: lambda agent, job: agent.workshop.serve(job),
    Action.RERUN: lambda agent, job: agent.workshop.rerun(job),
    Action.STOP: ProviderAgent._stop,
    Action.RELEASE: ProviderAgent._release,
}


def drain_file(data: Path) -> Path:
    """Its existence asks the provider that runs on this data folder to drain (`lilypad provider drain`)."""
    return data / "drain"
