"""The solver's loop: follow the chain, close what is over, match what is open, open deals, tell who listens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge

from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.dealbook import DealView
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.runtime.loop import AgentLoop, Observation
from lilypad_agents.agents.solver.book import JobEntry, ResourceEntry
from lilypad_agents.agents.solver.decide import batches_of, choose, summary
from lilypad_agents.agents.solver.facts import Fact, facts_of, view_of
from lilypad_agents.agents.solver.intake import describe
from lilypad_agents.agents.solver.openings import PairOutcome, pairs_that_fit
from lilypad_agents.agents.solver.requests import RequestDesk
from lilypad_agents.agents.solver.server import ApiServer
from lilypad_agents.agents.solver.service import SolverService
from lilypad_agents.agents.solver.settings import SolverSettings
from lilypad_agents.agents.solver.wire import OfferState
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.keys import Signer
from lilypad_agents.protocol.ids import NOBODY, Address, OfferHash
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.refusals import Refusal, job_refusals, refusal, resource_refusals

_CLOCKS_APART_S = 3_600  # the chain's time may be behind this machine's, which pauses are counted by
_TARGET_MISSED = "target-unavailable"
_MOST_SUMMARIES = 20  # of unmatched jobs at one block: each costs a look at many offers
_SUMMARY_OFFERS = 50
_RIGHTS_EVERY_S = 60.0  # delegations end by time, without an event
_FACTS_EVERY_S = 600.0  # everything else has events; this is for those that a node swallowed
_IDLE_SHARE = 4  # after a pass of d seconds the next one waits 4 d, so matching takes a fifth of a core at most


class SolverAgent:
    """What the loop of a solver does in a cycle."""

    def __init__(self, context: AgentContext, settings: SolverSettings, service: SolverService) -> None:
        self._context = context
        self._settings = settings
        self._service = service
        self._server: ApiServer | None = None
        self._requests = RequestDesk(context, settings, service)
        self._matched_at: tuple[Any, ...] = ()
        self._next_pass = 0.0
        self._last_batch = 0.0
        self._expired_at = 0
        self._next_sweep = time.monotonic() + settings.collect_s
        self._next_rights = time.monotonic() + _RIGHTS_EVERY_S
        self._next_facts = time.monotonic() + _FACTS_EVERY_S
        self._sweeping = threading.Thread()
        registry = context.health.registry
        self._opened = Counter("lilypad_deals_opened", "Deals seen opening", registry=registry)
        self._skipped = Counter("lilypad_pairs_skipped", "Pairs that the core left out", ["reason"], registry=registry)
        gauges = (
            ("lilypad_offers", "Live offers", lambda: service.book.count()),
            ("lilypad_batches_in_flight", "Opening transactions under way", lambda: len(service.openings)),
            ("lilypad_listeners", "Open event streams", lambda: service.hub.listening),
            ("lilypad_facts", "Answers of the core that are kept", lambda: len(service.facts)),
        )
        for name, text, read in gauges:
            Gauge(name, text, registry=registry).set_function(read)

    def serve(self, server: ApiServer) -> None:
        """The API server that `stop` is to end."""
        self._server = server

    # ---- a cycle

    def cycle(self, observation: Observation) -> bool:
        """See Agent."""
        service = self._service
        if observation.first:
            self._take_up()
        if observation.advance.reorganisation is not None:
            service.facts.forget_all()
        if service.lists is not None:
            service.lists.follow(observation.head)
        service.facts.note(observation.advance.new_logs, self._nonce_of)
        if service.panels is not None:
            service.panels.follow(observation.head)
        self._follow_deals(observation.changed)
        self._take_outcomes(service.openings.finish())
        self._expire(observation.head.timestamp)
        self._close_dead(service.facts.refresh(observation.head))
        self._requests.cycle(observation)
        if not observation.advance.caught_up:
            return True  # matching on an old picture would only promise what is gone
        matched = self._match(observation)
        self._housekeeping()
        return matched or len(service.openings) > 0

    def stop(self) -> None:
        """See Agent."""
        if self._server is not None:
            self._server.stop()
        if self._sweeping.is_alive():
            self._sweeping.join(2.0)

    def _take_up(self) -> None:
        """After a start: batches under way, what is known of the chain, content of deals that ended meanwhile."""
        service, now = self._service, self._context.now
        lost = service.openings.load(service.book, self._context.parameters)
        service.book.move([job for job, _ in lost], OfferState.OPEN, now=now)
        under_way = {match.job.struct_hash for match in service.openings.in_flight}
        stray = [entry.id for entry in service.book.jobs(OfferState.OPENING) if entry.id not in under_way]
        service.book.move(stray, OfferState.OPEN, now=now)
        service.facts.get(self._needed_facts())
        service.relay.reconcile()
        self._close_dead(None)

    def _needed_facts(self) -> list[Fact]:
        book = self._service.book
        entries: list[JobEntry | ResourceEntry] = [*book.jobs(), *book.resources()]
        needed = []
        for entry in entries:
            needed += facts_of(entry, self._service.facts.speaker_of(entry))
        return needed

    def _nonce_of(self, offer_hash: bytes) -> tuple[Address, int] | None:
        job = self._service.book.job(offer_hash)
        return None if job is None else (job.account, job.offer.nonce)

    # ---- following

    def _follow_deals(self, changed: Sequence[DealView]) -> None:
        service, now = self._service, self._context.now
        for view in self._context.deals.vanished:
            self._reopen(view, "reorganised", "A reorganisation of the chain undid its deal.")
        for view in changed:
            job, status = OfferHash(view.deal.job_offer_hash), view.state.status
            if status is Status.DECLINED:
                self._leave_out(view)
                self._reopen(view, "declined", f"The provider {view.deal.provider} gave the job back.")
            elif service.book.job(job) is not None or status is Status.AGREED:
                service.book.move([job], OfferState.OPENED, now=now, deal_id=view.id)
                self._opened.inc()
                self._context.log("deal_opened", deal=view.id, tx=view.opened_tx, block=view.opened_block)
            service.hub.publish("deal", view.id, status.name, (view.deal.creator, view.deal.provider))
        service.relay.follow(changed)

    def _leave_out(self, view: DealView) -> None:
        """A pair whose deal the provider gave back is not tried again as long as the job's offer can live."""
        job = OfferHash(view.deal.job_offer_hash)
        stored = self._service.store.offer(job)
        if stored is not None:
            left = max(0, stored.expiry - self._context.now) + _CLOCKS_APART_S
            self._service.pause((job, OfferHash(view.deal.resource_offer_hash)), left)

    def _reopen(self, view: DealView, code: str, message: str) -> None:
        """The job offer of a deal that is no more counts again, if its time is not over."""
        service, job = self._service, OfferHash(view.deal.job_offer_hash)
        stored = service.store.offer(job)
        if stored is None or stored.state not in (OfferState.OPENING, OfferState.OPENED):
            return
        if stored.state is OfferState.OPENED and stored.deal_id != view.id:
            return  # it found another deal already
        reason = {"code": code, "message": message, "figures": {"provider": view.deal.provider}}
        service.book.move([job], OfferState.OPEN, now=self._context.now, reason=reason)
        service.facts.doubt([view.deal.creator, view.deal.provider])
        service.facts.get(self._facts_of_job(job))

    def _facts_of_job(self, job: OfferHash) -> list[Fact]:
        entry = self._service.book.job(job)
        if entry is None:
            return []
        return facts_of(entry, self._service.facts.speaker_of(entry))

    def _take_outcomes(self, outcomes: Iterable[PairOutcome]) -> None:
        """Pairs that were left out are tried again later, on a fresh picture; what is hopeless is closed by that picture."""
        service = self._service
        for outcome in outcomes:
            if outcome.reason is None:
                continue
            job, resource = service.book.job(outcome.pair[0]), service.book.resource(outcome.pair[1])
            self._skipped.labels(reason=outcome.reason.name or "unknown").inc()
            self._context.log("pair_skipped", job=outcome.pair[0], resource=outcome.pair[1], reason=str(outcome.reason))
            service.pause(outcome.pair, self._settings.retry_s)
            service.facts.doubt([entry.account for entry in (job, resource) if entry is not None])
            if job is not None and job.state is OfferState.OPENING:
                reason = {"code": "skipped", "message": f"The core left it out: {outcome.reason}", "figures": {}}
                service.book.move([job.id], OfferState.OPEN, now=self._context.now, reason=reason)

    # ---- closing

    def _expire(self, now: int) -> None:
        """Closes offers whose last second passed; jobs learn which conditions failed for how many offers."""
        if now == self._expired_at:
            return
        self._expired_at = now
        book = self._service.book
        jobs = [entry for entry in book.jobs(OfferState.OPEN) if entry.offer.expiry < now]
        for index, job in enumerate(jobs):
            reason = self._no_match(job, index < _MOST_SUMMARIES)
            missed = reason["code"] == _TARGET_MISSED
            self._close(job, OfferState.CANCELLED if missed else OfferState.EXPIRED, reason)
        for resource in [entry for entry in book.resources() if entry.offer.expiry < now]:
            expired = refusal("OfferExpired", offerHash=resource.id, expiry=resource.offer.expiry, time=now)
            self._close(resource, OfferState.EXPIRED, _reason("offer-expired", expired))

    def _no_match(self, job: JobEntry, with_counts: bool) -> dict[str, Any]:
        """Why a job that expired found nobody; a named provider that was not there is a reason of its own."""
        target = job.offer.provider
        if target != NOBODY and not any(
            entry.account == target and self._service.is_present(entry) for entry in self._service.book.resources()
        ):
            message = f"The provider {target}, the only one that it allows, had no offer here or was not heard of."
            return {"code": _TARGET_MISSED, "message": message, "figures": {"provider": target}}
        counts, offers = {}, 0
        if with_counts:
            obstacles = self._service.obstacles(job, _SUMMARY_OFFERS)
            counts, offers = summary(obstacles), len(obstacles)
        told = ", ".join(f"{name} ({count})" for name, count in counts.items()) or "none was compared"
        message = f"No match before it expired. Conditions that failed, of {offers} offers: {told}."
        return {"code": "match-timeout", "message": message, "figures": {"offers": offers, "conditions": counts}}

    def _close_dead(self, accounts: set[str] | None) -> None:
        """Closes open offers that the chain refuses for good: cancelled, used, used up, no longer signed for.

        `accounts`: those of which something new is known; None: look at all.
        """
        if accounts is not None and not accounts - {""}:
            return
        service, book = self._service, self._service.book
        jobs = [entry for entry in book.jobs(OfferState.OPEN) if accounts is None or entry.account in accounts]
        resources = [entry for entry in book.resources() if accounts is None or entry.account in accounts]
        view = view_of(service.facts, jobs, resources, self._context.domain, self._context.now)
        for job in jobs:
            found = next(job_refusals(job.offer, view), None)
            if found is not None:
                self._close_for(job, found)
        for resource in resources:
            problem = next(resource_refusals(resource.offer, view), None) or _used_up(resource, view.uses)
            if problem is not None and problem.error != "OfferExpired":
                self._close_for(resource, problem)

    def _close_for(self, entry: JobEntry | ResourceEntry, found: Refusal) -> None:
        state = OfferState.REFUSED if found.error == "SignatureInvalid" else OfferState.CANCELLED
        self._close(entry, state, _reason("on-chain", found))

    def _close(self, entry: JobEntry | ResourceEntry, state: OfferState, reason: dict[str, Any]) -> None:
        service = self._service
        service.book.move([entry.id], state, now=self._context.now, reason=reason)
        if isinstance(entry, JobEntry):
            service.relay.release_offers([entry.id])
        service.hub.publish("offer", entry.id, str(state), (entry.account,))

    # ---- matching

    def _match(self, observation: Observation) -> bool:
        """One pass if something could have changed and there is room for a batch; True when a batch was started."""
        service, now = self._service, time.monotonic()
        room = self._settings.batches_in_flight - len(service.openings)
        jobs = service.book.jobs(OfferState.OPEN) if room > 0 else []
        if not jobs or now < self._next_pass or self._is_gathering(len(jobs), now):
            return False
        unpaused = service.next_unpaused_s()
        picture = (service.book.version, service.version, observation.head.hash, len(service.openings))
        if picture == self._matched_at and (unpaused is None or unpaused > 0):
            return False
        self._matched_at = picture
        resources = [entry for entry in service.book.resources() if service.is_present(entry)]
        chosen = choose(service.situation(jobs, resources))
        most = min(self._settings.batch_pairs, pairs_that_fit(observation.head.gas_limit))
        batches = batches_of(chosen, most)[:room]
        for groups in batches:
            key = service.openings.start(groups, service.book, observation.head)
            self._last_batch = now
            if key is not None:
                pairs = [item for group in groups for item in group]
                self._context.log("batch_queued", key=key, pairs=len(pairs), groups=len(groups))
                for item in pairs:
                    service.hub.publish("offer", item.job.id, str(OfferState.OPENING), (item.job.account,))
        spent = time.monotonic() - now
        self._next_pass = now + spent * (1 + _IDLE_SHARE) if not batches else now
        return bool(batches)

    def _is_gathering(self, jobs: int, now: float) -> bool:
        """While a batch is in flight the next one gathers pairs for a moment: fewer, larger transactions."""
        if not len(self._service.openings) or jobs >= self._settings.batch_pairs:
            return False
        return now - self._last_batch < self._settings.batch_wait_s

    # ---- now and then

    def _housekeeping(self) -> None:
        now, facts = time.monotonic(), self._service.facts
        if now >= self._next_rights:
            self._next_rights = now + _RIGHTS_EVERY_S
            facts.keep_only(set(self._needed_facts()))
            facts.doubt_rights()
        if now >= self._next_facts:
            self._next_facts = now + _FACTS_EVERY_S
            facts.forget_all()
        if now >= self._next_sweep and not self._sweeping.is_alive():
            self._next_sweep = now + self._settings.collect_s
            self._sweeping = threading.Thread(target=self._sweep, name="sweep", daemon=True)
            self._sweeping.start()

    def _sweep(self) -> None:
        """In a thread of its own: it looks at every block that is kept."""
        try:
            self._service.relay.sweep()
        except Exception as error:  # the next sweep tries again
            self._context.log("sweep_failed", alert=True, **figures_of(error))


def _used_up(entry: ResourceEntry, uses: Any) -> Refusal | None:
    used = uses.get((entry.account, entry.offer.nonce), 0)
    if entry.offer.is_unlimited or used < entry.offer.volume:
        return None
    return refusal("VolumeUsedUp", offerHash=entry.id, used=used, volume=entry.offer.volume)


def _reason(code: str, found: Refusal) -> dict[str, Any]:
    return {"code": code, "message": f"{describe(found)}.", **found.to_json()}


# ---- running one


def run(
    settings: SolverSettings, *, signals: bool = True, signer: Signer | None = None, crash: CrashPlan = NEVER
) -> int:
    """Runs a solver until it is asked to stop; returns the exit code. `signer` None: the key that the settings name.

    Raises ConfigurationError kinds at the start.
    """
    with AgentContext.open(settings, signer=signer, all_deals=True, crash=crash) as context:
        service, agent, loop = assemble(context, settings, crash=crash)
        server = ApiServer(service, settings)
        agent.serve(server)
        try:
            server.start()
            write_address(settings.data, server.url, context.address)
            context.log("solver_serves", url=server.url, fee_bps=settings.fee_bps)
            return loop.run(signals=signals)
        finally:
            server.stop()


def assemble(
    context: AgentContext, settings: SolverSettings, *, crash: CrashPlan = NEVER
) -> tuple[SolverService, SolverAgent, AgentLoop]:
    """The parts of a solver, joined."""
    service = SolverService(context, settings, crash)
    agent = SolverAgent(context, settings, service)
    loop = AgentLoop(context, agent)
    service.wake = loop.wake
    service.wait_for_cycle = loop.wait_for_cycle
    return service, agent, loop


def write_address(data: Path, url: str, account: str) -> None:
    """`solver.json`: where the API listens and under which account, for who started it with port 0."""
    (data / "solver.json").write_text(json.dumps({"url": url, "address": account}) + "\n", encoding="utf-8")
