"""What the solver's API does, without HTTP: posting, withdrawing and showing offers, deals and the reasons between them.

Shared by the API's threads and the loop; everything mutable is in parts that are thread safe. Block time is the head's
that the loop saw last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.dealbook import DealView as KnownDeal
from lilypad_agents.agents.runtime.lists import TrustedLists
from lilypad_agents.agents.runtime.panels import Panels
from lilypad_agents.agents.solver.book import JobEntry, OfferBook, ResourceEntry, entry_of, parse_job, parse_resource
from lilypad_agents.agents.solver.decide import (
    Obstacles,
    PairId,
    Situation,
    away_refusal,
    condition_of,
    why_job,
    why_resource,
)
from lilypad_agents.agents.solver.errors import BadRequest, Forbidden, InputsMissing, NotFound, WrongState
from lilypad_agents.agents.solver.facts import ChainFacts, view_of
from lilypad_agents.agents.solver.hub import Hub
from lilypad_agents.agents.solver.intake import Intake, describe
from lilypad_agents.agents.solver.manifests import Manifests
from lilypad_agents.agents.solver.notes import Notes
from lilypad_agents.agents.solver.openings import Openings
from lilypad_agents.agents.solver.parties import Parties
from lilypad_agents.agents.solver.pools import KnownPools
from lilypad_agents.agents.solver.presence import Presence
from lilypad_agents.agents.solver.relay import Relay
from lilypad_agents.agents.solver.settings import SolverSettings
from lilypad_agents.agents.solver.store import SolverStore, StoredOffer
from lilypad_agents.agents.solver.wire import (
    API_VERSION,
    MESSAGE_BYTES,
    DealView,
    OfferState,
    OfferView,
    Page,
    Scope,
    SolverInfo,
    WhyNot,
    hex_bytes,
)
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.content.cid import Cid
from lilypad_agents.protocol.ids import Address, DealId, OfferHash, VersionId, hex_of
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.refusals import Refusal
from lilypad_agents.protocol.units import Bps, Timestamp

DOCUMENT_BYTES = 48 * 1024  # of an inputs document that comes along with its offer
PAGE = 100
MOST_PAGE = 500
_MOST_REASONS = 200
_ENDINGS: Mapping[tuple[Status, Status | None], str] = {
    (Status.TIMED_OUT, Status.AGREED): "execution-timeout",
    (Status.TIMED_OUT, Status.RESULTS_SUBMITTED): "reveal-timeout",
    (Status.TIMED_OUT, Status.IN_MEDIATION): "delivery-timeout",
    (Status.NO_FAULT, Status.RESULTS_SUBMITTED): "mediation-timeout",
}


class SolverService:
    """The parts of a solver and what its API does with them. `wake` makes the loop look at once."""

    def __init__(self, context: AgentContext, settings: SolverSettings, crash: CrashPlan = NEVER) -> None:
        self.context = context
        self.crash = crash
        self.settings = settings
        self.store = SolverStore(context.database)
        self.book = OfferBook(self.store)
        self.facts = ChainFacts(context.core, context.domain)
        self.presence = Presence(settings.heartbeat_s)
        self.panels = Panels(context) if Panels.exist_in(context) else None
        self.parties = Parties(context.deals, self.facts, self.panels)
        self.openings = Openings(context.database, self.store, context.outbox, context.core, crash)
        self.lists = TrustedLists(context, settings.lists) if settings.lists else None
        listed = None if self.lists is None else self._listed
        self.pools = KnownPools(context.rpc, self.book, self.panels, settings.pools)
        self.intake = Intake(
            settings, context.address, context.domain, context.parameters, self.book, self.facts, listed, self.pools.terms,
            Manifests(context.store).of,
        )  # fmt: skip
        self.relay = Relay(
            settings, context.store, self.store, self.book, context.deals, self.parties, lambda: self.now, context.log
        )
        self.notes = Notes(self.store, self.parties, lambda: self.now)
        self.hub = Hub()
        self.wake: Callable[[], None] = lambda: None
        self.wait_for_cycle: Callable[[float], bool] = lambda _: False
        self.version = 0  # grows when somebody comes back
        self._paused: dict[PairId, float] = {}
        self._paused_lock = threading.Lock()

    @property
    def now(self) -> int:
        return int(self.context.head.timestamp)

    def _listed(self) -> frozenset[VersionId]:
        assert self.lists is not None
        return self.lists.versions

    # ---- what it is

    def info(self) -> SolverInfo:
        settings = self.settings
        return SolverInfo(
            version=API_VERSION,
            chain_id=self.context.domain.chain_id,
            core=self.context.domain.core,
            address=self.context.address,
            fee_bps=Bps(settings.fee_bps),
            heartbeat_s=settings.heartbeat_s,
            time=self.now,
            clock=int(time.time()),
            block=self.context.head.number,
            ready=not self.context.health.against(),
            limits={
                "offersPerAccount": settings.offers_per_account,
                "uploadBytes": settings.upload_bytes,
                "quotaBytes": settings.quota_bytes,
                "messageBytes": MESSAGE_BYTES,
                "documentBytes": DOCUMENT_BYTES,
                "furthestExpirySeconds": settings.furthest_expiry_s,
                "keepSeconds": settings.keep_s,
            },
        )

    def heard(self, account: Address) -> None:
        """A signed request came: its sender is there."""
        if self.presence.touch(account):
            self.version += 1
            self.wake()

    # ---- posting

    def post_job(self, document: Mapping[str, Any], caller: Address) -> OfferView:
        """Takes a job offer. Raises FieldInvalid, Forbidden, OfferRefused, FundsRefused, InputsMissing, RateLimited."""
        entry = replace(parse_job(document), poster=caller, posted_at=self.context.now)
        self._require_poster(entry, caller)
        attached = self._attached(document, entry)
        kept = {name: document.get(name) for name in ("offer", "signature", "module", "pool")}
        known = self._known(entry) or self._opened_elsewhere(entry, kept)
        if known is not None:
            return known
        self.intake.check_job(entry, self.now)
        root = Cid.raw(entry.offer.inputs)
        if attached is not None:
            self.relay.keep_document(attached, entry.id, caller)
        elif self.settings.require_inputs and not self.relay.has(root, Scope("offer", entry.id)):
            raise InputsMissing(f"The inputs document {root} is not here.", inputs=str(root))
        return self._take(entry, kept)

    def post_resource(self, document: Mapping[str, Any], caller: Address) -> OfferView:
        """As post_job, for a resource offer; also NotListed."""
        entry = replace(parse_resource(document), poster=caller, posted_at=self.context.now)
        self._require_poster(entry, caller)
        known = self._known(entry)
        if known is not None:
            return known
        self.intake.check_resource(entry, self.now)
        return self._take(entry, {name: document.get(name) for name in ("offer", "signature", "modules")})

    def _take(self, entry: JobEntry | ResourceEntry, document: Mapping[str, Any]) -> OfferView:
        self.crash.point("solver.offer.before")
        entry = self.book.add(entry, document)
        self.crash.point("solver.offer.stored")
        if isinstance(entry, JobEntry):
            self.relay.bind(entry.id)
        self.crash.point("solver.offer.bound")
        self.hub.publish("offer", entry.id, str(entry.state), (entry.account,))
        self.wake()
        return self._view_of_entry(entry)

    def _require_poster(self, entry: JobEntry | ResourceEntry, caller: Address) -> None:
        """Offers of contract accounts may be carried by anybody, since their consent stands on chain; others not."""
        carried = entry.signature[:1] in (b"", b"\x02")
        if not carried and not self.parties.acts_for(entry.account, caller):
            raise Forbidden(f"{caller} does not act for {entry.account}, whose offer this is.", account=caller)

    def _known(self, entry: JobEntry | ResourceEntry) -> OfferView | None:
        """The offer as it stands when it was posted before. One that was withdrawn here may come again."""
        stored = self.store.offer(entry.id)
        if stored is None or (stored.reason or {}).get("code") == "withdrawn":
            return None
        return self._view_of_stored(stored)

    def _opened_elsewhere(self, entry: JobEntry, document: Mapping[str, Any]) -> OfferView | None:
        """A job offer that is new here and has a deal: another solver opened it, or this one lost its database."""
        deals = [view for view in self.context.deals.of_job_offer(entry.id) if view.state.status is not Status.DECLINED]
        if not deals or self.facts.speaker(entry.offer, entry.account, entry.signature) is None:
            return None
        with self.book.locked():
            self.book.add(entry, document)
            self.book.move([entry.id], OfferState.OPENED, now=self.now, deal_id=deals[-1].id)
        return self.offer(entry.id)

    def _attached(self, document: Mapping[str, Any], entry: JobEntry) -> bytes | None:
        inputs, text = document.get("inputs"), document.get("document")
        root = Cid.raw(entry.offer.inputs)
        if inputs is not None and Cid.parse(inputs) != root:
            raise BadRequest(f"The offer names the inputs {root}.", field="inputs", problem="differs from the offer")
        if text is None:
            return None
        attached = hex_bytes("document", text, DOCUMENT_BYTES)
        root.verify(attached)
        return attached

    # ---- withdrawing

    def withdraw(self, offer_id: OfferHash, caller: Address) -> OfferView:
        """Takes an offer out of the book. Raises NotFound, Forbidden, WrongState while or once it is opened."""
        stored = self._stored(offer_id)
        if not self.parties.acts_for(stored.account, caller):
            raise Forbidden(f"{caller} does not act for {stored.account}, whose offer this is.", account=caller)
        if stored.state in (OfferState.OPENING, OfferState.OPENED):
            raise WrongState(f"The offer is {stored.state}.", state=str(stored.state))
        if stored.state is OfferState.OPEN:
            reason = {"code": "withdrawn", "message": f"{caller} withdrew it here.", "figures": {"by": caller}}
            self.book.move([offer_id], OfferState.CANCELLED, now=self.now, reason=reason)
            if stored.kind == "job":
                self.relay.release_offers([offer_id])
            self.hub.publish("offer", offer_id, str(OfferState.CANCELLED), (stored.account,))
        return self.offer(offer_id)

    # ---- showing offers

    def offer(self, offer_id: OfferHash) -> OfferView:
        """Raises NotFound."""
        return self._view_of_stored(self._stored(offer_id))

    def offers(
        self, *, kind: str | None, account: str | None, state: str | None, since: int, after: int, limit: int
    ) -> Page:
        found = self.store.offers_page(kind=kind, account=account, state=state, since=since, after=after, limit=limit)
        cursor = str(found[-1].seq) if len(found) == limit else None
        return Page(tuple(self._view_of_stored(stored) for stored in found), cursor)

    def _stored(self, offer_id: OfferHash) -> StoredOffer:
        stored = self.store.offer(offer_id)
        if stored is None:
            raise NotFound(f"This solver has no offer {hex_of(offer_id)}.", offer=hex_of(offer_id))
        return stored

    def _view_of_entry(self, entry: JobEntry | ResourceEntry) -> OfferView:
        return OfferView(
            id=entry.id,
            kind="job" if isinstance(entry, JobEntry) else "resource",
            state=entry.state,
            seq=entry.seq,
            posted_at=entry.posted_at,
            expiry=entry.offer.expiry,
            account=entry.account,
            matching=entry.state is OfferState.OPEN and (isinstance(entry, JobEntry) or self.is_present(entry)),
            offer=entry.offer,
        )

    def _view_of_stored(self, stored: StoredOffer) -> OfferView:
        live = self.book.entry(stored.id)
        if live is not None:
            return replace(self._view_of_entry(live), reason=stored.reason, deal_id=stored.deal_id)
        deal = None if stored.deal_id is None else self.context.deals.get(stored.deal_id)
        return OfferView(
            id=stored.id,
            kind=stored.kind,
            state=stored.state,
            seq=stored.seq,
            posted_at=stored.posted_at,
            expiry=stored.expiry,
            account=stored.account,
            matching=False,
            deal_id=stored.deal_id,
            record=None if deal is None else deal.deal,
            reason=stored.reason,
            offer=entry_of(stored.document, stored).offer,
        )

    # ---- reasons

    def why(self, offer_id: OfferHash, caller: Address) -> list[WhyNot]:
        """What keeps an offer from each counterpart. Raises NotFound, Forbidden, WrongState when it is not open."""
        stored = self._stored(offer_id)
        if not self.parties.acts_for(stored.account, caller):
            raise Forbidden(f"{caller} does not act for {stored.account}, whose offer this is.", account=caller)
        entry = self.book.entry(offer_id)
        if entry is None:
            raise WrongState(f"The offer is {stored.state}; see its reason.", state=str(stored.state))
        found = self.obstacles(entry)
        return [reason for obstacles in found for reason in _reasons_of(obstacles)]

    def obstacles(self, entry: JobEntry | ResourceEntry, most: int = _MOST_REASONS) -> list[Obstacles]:
        """What keeps a live offer from its counterparts, at most `most` of them."""
        if isinstance(entry, JobEntry):
            present, absent = self._by_presence()
            situation = self.situation([entry], present[:most], with_resources=[item for item, _ in absent[:most]])
            last = min(self.now, entry.offer.expiry)  # of one that just expired: what failed while it could match
            situation = replace(situation, view=replace(situation.view, time=Timestamp(last)))
            return why_job(entry, situation, absent, self.presence.heartbeat_s, most)
        jobs = self.book.jobs(OfferState.OPEN)[:most]
        silence = self.presence.silence((entry.account, entry.poster))
        away = away_refusal(entry, silence, self.presence.heartbeat_s)
        return why_resource(entry, self.situation(jobs, [entry]), away, most)

    # ---- what decisions read

    def situation(
        self,
        jobs: Sequence[JobEntry],
        resources: Sequence[ResourceEntry],
        with_resources: Sequence[ResourceEntry] = (),
    ) -> Situation:
        """The present state for a decision about these offers; the view also knows `with_resources`."""
        in_flight = self.openings.in_flight
        view = view_of(self.facts, jobs, [*resources, *with_resources], self.context.domain, self.now)
        return Situation(jobs, resources, in_flight, self.paused(), view, self.context.parameters)

    def is_present(self, entry: ResourceEntry) -> bool:
        return self.presence.is_present((entry.account, entry.poster))

    def _by_presence(self) -> tuple[list[ResourceEntry], list[tuple[ResourceEntry, float | None]]]:
        present, absent = [], []
        for entry in self.book.resources():
            if self.is_present(entry):
                present.append(entry)
            else:
                absent.append((entry, self.presence.silence((entry.account, entry.poster))))
        return present, absent

    def pause(self, pair: PairId, seconds: float) -> None:
        """Leaves a pair out of matching for a while."""
        with self._paused_lock:
            self._paused[pair] = time.monotonic() + seconds

    def paused(self) -> frozenset[PairId]:
        now = time.monotonic()
        with self._paused_lock:
            if any(until <= now for until in self._paused.values()):
                self._paused = {pair: until for pair, until in self._paused.items() if until > now}
            return frozenset(self._paused)

    def next_unpaused_s(self) -> float | None:
        """Seconds until the first paused pair may be tried again; None when there is none."""
        with self._paused_lock:
            return min(self._paused.values()) - time.monotonic() if self._paused else None

    # ---- deals

    def deal(self, deal_id: DealId, caller: Address) -> DealView:
        """Raises NotFound, Forbidden."""
        view = self.parties.deal(deal_id)
        self.parties.require_role(view, caller)
        return self._deal_view(view)

    def deals(
        self, party: Address, caller: Address, statuses: Sequence[Status], since: int, after: int, limit: int
    ) -> Page:
        """Raises Forbidden."""
        if not self.parties.acts_for(party, caller):
            raise Forbidden(f"{caller} does not act for {party}.", account=caller)
        found = self.context.deals.page(party=party, statuses=statuses, since=since, after=after, limit=limit)
        cursor = str(found[-1].seq) if len(found) == limit else None
        return Page(tuple(self._deal_view(view) for view in found), cursor)

    def _deal_view(self, view: KnownDeal) -> DealView:
        job = self.store.offer(view.deal.job_offer_hash)
        resource = self.store.offer(view.deal.resource_offer_hash)
        made = DealView(
            id=view.id,
            record=view.deal,
            state=view.state,
            ending=ending_of(view),
            seq=view.seq,
            opened_block=view.opened_block,
            opened_at=view.opened_at,
            changed_at=view.changed_at,
            opened_tx=view.opened_tx,
        )
        if job is not None:
            posted = parse_job(job.document)
            made = replace(made, job=posted.offer, job_signature=posted.signature, module=posted.module, pool=posted.pool)
        if resource is not None:
            offered = parse_resource(resource.document)
            made = replace(made, resource=offered.offer, resource_signature=offered.signature)
        return made

    def matches(self, after: int, limit: int) -> Page:
        """The decisions of this solver, for whoever wants to replay them: oldest first."""
        found = self.store.matches_page(after=after, limit=limit)
        items = tuple(
            {
                "seq": item.seq,
                "batch": item.batch,
                "job": hex_of(item.job),
                "resource": hex_of(item.resource),
                "block": item.block,
                "at": item.at,
                "outcome": item.outcome,
            }
            for item in found
        )
        return Page(items, str(found[-1].seq) if len(found) == limit else None)


def ending_of(view: KnownDeal) -> str:
    """How a final deal ended, in words; "" while it is open."""
    status = view.state.status
    if view.is_open:
        return ""
    return _ENDINGS.get((status, view.earlier), status.name.lower().replace("_", "-"))


def _reasons_of(obstacles: Obstacles) -> list[WhyNot]:
    if not obstacles.refusals:
        return [WhyNot(obstacles.counterpart, None, message="Nothing is in the way; it waits for its turn.")]
    return [_reason_of(obstacles.counterpart, item) for item in obstacles.refusals]


_FOUND = ("found", "has", "used", "expiry", "left", "silent", "job", "version")
_NEEDED = ("most", "least", "needed", "volume", "time", "other", "modules")


def _reason_of(counterpart: OfferHash, item: Refusal) -> WhyNot:
    figures = item.to_json()["figures"]
    return WhyNot(
        counterpart,
        condition_of(item),
        found=next((figures[name] for name in _FOUND if name in figures), None),
        needed=next((figures[name] for name in _NEEDED if name in figures), None),
        message=describe(item),
        figures=figures,
    )


