"""One job from its signed offer to its end: looks, decides by `decide`, acts, and never depends on having seen anything.

The solver's word about an offer is a hint: a deal counts when the chain has it and its record names our offer. Should
the solver fall silent, the chain is searched for the deal. Every step is noted in the journal before the next one, so
a killed command leaves a job that any later one carries on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lilypad_agents.agents.creator.decide import Intent, Policy, View, decide
from lilypad_agents.agents.creator.delivery import (
    CONTENT_FAULTS,
    Delivered,
    ResultNote,
    is_here,
    limits_of,
    note_on_disk,
    read_note,
    refused,
    verify,
    write_results,
)
from lilypad_agents.agents.creator.disputes import key_of
from lilypad_agents.agents.creator.errors import (
    JobCancelled,
    JobUnfinished,
    NoMatch,
    ProviderDeclined,
    ResultMismatch,
    VerificationFailed,
)
from lilypad_agents.agents.creator.journal import Job, Stage
from lilypad_agents.agents.creator.outcome import Outcome, Payment, error_of, payment_of
from lilypad_agents.agents.creator.progress import Listener, Moment, nobody_listens
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.runtime.disputes import Dispute
from lilypad_agents.agents.runtime.http_signature import sign
from lilypad_agents.chain.errors import ContractReverted
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.sources import Source, fetch_blocking
from lilypad_agents.content.reader import read_file
from lilypad_agents.errors import ChainUnreachable, ContentUnavailable, LilypadError
from lilypad_agents.execution.inputs import parse_inputs
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.protocol.consent import Acceptance, Waiver, by_own_key
from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.ids import DealId, hex_of
from lilypad_agents.protocol.lifecycle import PAID, DisputeKind, Status
from lilypad_agents.protocol.price import charge, locked_total
from lilypad_agents.protocol.structs import TypedStruct
from lilypad_agents.protocol.units import Timestamp, Units

VERIFIED, FINAL = "verified", "final"  # what `wait` may wait for
_SCAN_S = 3.0  # pause between two searches of the chain for a deal that no solver tells of
_CLOCK_S = 0.5
_FETCH_S = 60.0
_FETCH_PAUSE_S = 2.0
_FETCH_PATIENCE_S = 15.0  # for the result of a deal that is paid already
_WHY_S = 2.0
_PAUSES = ((3.0, 0.04), (15.0, 0.1), (120.0, 0.3))  # waited so long (s): look again after (s)
_LAST_PAUSE_S = 1.0
_STEPS = {
    Intent.CLAIM_SUBMIT: "timeoutSubmit",
    Intent.CLAIM_REVEAL: "timeoutReveal",
    Intent.CLAIM_MEDIATION: "timeoutMediation",
    Intent.CHALLENGE_DELIVERY: "challengeDelivery",
}
# Reverts that say "not yet" or "somebody was faster": the next look decides anew.
_NOT_NOW = frozenset({"DealNotIn", "DeadlineAhead", "SeedPending", "DealDrawn", "DealNotDrawn", "DeadlinePassed", "DealMoved"})


@dataclass
class _Known:
    """What a runner has seen so far; all of it can be seen again."""

    state: DealState | None = None
    now: Timestamp = Timestamp(0)
    clock_at: float = float("-inf")
    scanned_at: float = float("-inf")
    fetch_at: float = float("-inf")
    asked_why_at: float = float("-inf")
    final_at: float | None = None
    cancelled: bool = False
    reasons: dict[str, int] = field(default_factory=dict)
    expired_scan: bool = False
    note: ResultNote | None = None
    delivered: Delivered | None = None
    mismatch: ResultMismatch | None = None
    reran: bool = False
    rerun_failed: VerificationFailed | None = None
    payment: Payment | None = None
    drawn: bool | None = None
    dispute: Dispute | None = None
    ours: bool = False  # whether we began the dispute that ended the deal
    told: tuple[Any, ...] = ()


class JobRunner:
    """Carries one job on. `step` may be called as often as one likes; `wait` calls it until there is an outcome."""

    def __init__(
        self,
        session: Session,
        job: Job,
        manifest: Manifest,
        *,
        policy: Policy = Policy(),
        listen: Listener = nobody_listens,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.session = session
        self.job = job
        self.manifest = manifest
        self.policy = policy
        self._listen = listen
        self._clock = clock
        self._sleep = sleep
        self._known = _Known()

    # ---- single things

    def look(self) -> None:
        """One look at solver and chain, without doing anything."""
        self._observe()

    def take_delivery(self) -> Delivered | None:
        """The verified result if there is one by now; nothing is agreed to. Raises ResultMismatch, ContentUnavailable."""
        self._observe()
        if self._known.note is not None and self._known.delivered is None:
            self._verify_delivery()
        return self._known.delivered

    # ---- waiting

    def wait(self, until: str = VERIFIED, *, seconds: float | None = None) -> Outcome:
        """Steps until the result is verified (and agreed to) or, with FINAL, until the deal has ended.

        Raises JobUnfinished after `seconds`; errors of the chain or the solver end a look, not the wait, unless they last.
        """
        begun = self._clock()
        trouble: LilypadError | None = None
        while True:
            try:
                self.step()
                trouble = None
                outcome = self.outcome(until)
                if outcome is not None:
                    return outcome
            except (ChainUnreachable, ContentUnavailable) as error:
                if isinstance(error, ChainUnreachable) and trouble is not None:
                    raise error
                trouble = error
            waited = self._clock() - begun
            if seconds is not None and waited >= seconds:
                raise JobUnfinished(f"The job {self.job.name} is not done after {seconds:.0f} s.", job=self.job.id) from trouble
            pause = next((pause for limit, pause in _PAUSES if waited < limit), _LAST_PAUSE_S)
            self._sleep(pause if seconds is None else min(pause, max(0.0, seconds - waited)))

    def outcome(self, until: str = VERIFIED) -> Outcome | None:
        """The outcome if the job has come as far as `until`, or cannot come any further; else None."""
        known, job = self._known, self.job
        if known.rerun_failed is not None:
            return Outcome(job, self._status, known.delivered, None, known.rerun_failed)
        if known.state is None:
            error = self._never_opened()
            return None if error is None else Outcome(self.job, None, None, None, error)
        status = known.state.status
        if status.is_final:
            if status in PAID and known.delivered is None and known.mismatch is None and self._still_hopes():
                return None
            error = known.mismatch or error_of(job, status, known.delivered, known.ours)
            return Outcome(job, status, known.delivered, known.payment, error)
        if known.mismatch is not None and not job.pool.is_verified:
            return Outcome(job, status, None, None, known.mismatch)
        if until == VERIFIED and known.delivered is not None and (job.agreed or not self.policy.accept):
            return Outcome(job, status, known.delivered, None, None)
        if until == VERIFIED and known.delivered is not None and job.doubted and not self.policy.insist:
            doubt = VerificationFailed(f"An own run contradicted the result of deal {job.deal_text}; nothing was agreed to.")
            return Outcome(job, status, known.delivered, None, doubt)
        return None

    def _still_hopes(self) -> bool:
        """Whether a paid deal's result may yet come; after a while the command says that it cannot be had."""
        known = self._known
        if known.final_at is None:
            known.final_at = self._clock()
        return self._clock() - known.final_at < _FETCH_PATIENCE_S

    def _never_opened(self) -> LilypadError | None:
        """Why the offer never became a deal, once that is certain; noted, so that the same request may be made anew."""
        known, job = self._known, self.job
        error: LilypadError
        if known.cancelled:
            error = JobCancelled(f"The offer {job.id} was cancelled; nothing was paid.", offer=job.id)
        elif not known.expired_scan:
            return None
        elif job.declined:
            told = ", ".join(job.declined)
            error = ProviderDeclined(
                f"{told} gave the job back, and no other took it before the offer expired.", providers=list(job.declined)
            )
        else:
            error = self._no_match()
        if job.stage is not Stage.ENDED:
            self.job = self.session.journal.update(job, stage=Stage.ENDED, ended=error.code, cost=0)
        return error

    def _no_match(self) -> NoMatch:
        """Says which condition failed for how many offers, as the solver told while the offer was open."""
        reasons = self._known.reasons
        told = "; ".join(f"{count} offer{'s' if count > 1 else ''}: {reason}" for reason, count in list(reasons.items())[:5])
        message = f"No provider took the job before its offer expired. {told or 'The solver named no reason'}."
        return NoMatch(message, offer=self.job.id, reasons=dict(reasons))

    # ---- one step

    def step(self) -> None:
        """One look and what follows from it. Raises errors of the chain and of storage; those of the solver are waited out."""
        self._observe()
        self._tell()
        for intent in decide(self._view(), self.policy):
            if intent is Intent.RERUN and self._known.rerun_failed is not None:
                continue
            self._act(intent)
        self._tell()

    def _view(self) -> View:
        known = self._known
        return View(
            job=self.job,
            now=known.now,
            state=known.state,
            parameters=self.session.chain.parameters,
            offer_gone=known.cancelled,
            result_known=known.note is not None,
            delivered=known.delivered is not None,
            mismatch=known.mismatch is not None,
            reran=known.reran,
        )

    @property
    def _status(self) -> Status | None:
        return None if self._known.state is None else self._known.state.status

    # ---- looking

    def _observe(self) -> None:
        if self.job.deal is None:
            self._look_for_deal()
        if self.job.deal is not None:
            self._look_at_deal(self.job.deal)

    def _look_for_deal(self) -> None:
        known, now = self._known, self._clock()
        if now - known.clock_at >= _CLOCK_S:
            known.now, known.clock_at = self.session.chain.now(), now
        expired = self.job.offer is not None and known.now > self.job.offer.expiry
        if self.job.stage is Stage.SIGNED and not expired:
            return
        silent = not self._ask_solver()
        due = now - known.scanned_at >= (_SCAN_S if silent else 4 * _SCAN_S)
        if self.job.deal is None and (due or expired and not known.expired_scan):
            known.scanned_at = now
            if not self._search_chain():
                known.expired_scan = expired
                known.cancelled = self._is_cancelled()

    def _ask_solver(self) -> bool:
        """What the solver says about the offer; False when it says nothing. It is a hint: only the chain ends a job."""
        try:
            view = self.session.quick_solver.offer(bytes.fromhex(self.job.id[2:]))
        except LilypadError:
            return False
        if view.deal_id is not None and view.record is not None and view.state == "opened":
            self._take_deal(view.deal_id, view.record, None)
        elif view.state == "cancelled":
            self._known.scanned_at = float("-inf")  # look at the chain now
        elif view.state == "open":
            self._ask_why()
        return True

    def _ask_why(self) -> None:
        """Remembers what keeps the offer from matching: once it has expired nobody knows any more."""
        known, now = self._known, self._clock()
        if known.asked_why_at == float("-inf"):
            known.asked_why_at = now - _WHY_S / 2  # give it a moment to match first
        if now - known.asked_why_at < _WHY_S:
            return
        known.asked_why_at = now
        try:
            found = self.session.quick_solver.why(bytes.fromhex(self.job.id[2:]))
        except LilypadError:
            return
        reasons = Counter(item.message or item.condition or "nothing is in the way, it waits its turn" for item in found)
        known.reasons = dict(reasons.most_common()) or {"there are no open offers": 0}

    def _is_cancelled(self) -> bool:
        """Whether we took the offer back ourselves, or its nonce was cancelled on chain."""
        noted = self.session.journal.get(self.job.id)
        if noted is not None and noted.stage is Stage.ENDED and noted.ended == "cancelled":
            return True
        offer = self.job.offer
        if offer is None:
            return False
        return self.session.chain.is_cancelled(offer.creator, offer.nonce)

    def _search_chain(self) -> bool:
        for opened in self.session.chain.opened(creator=self.session.account, since=self.job.posted_block):
            if hex_of(opened.record.job_offer_hash) == self.job.id and self._take_deal(opened.id, opened.record, opened.block):
                return True
        return False

    def _take_deal(self, deal_id: DealId, record: Deal, block: int | None) -> bool:
        """Notes the deal, if the chain has it and it is about our offer; one that was declined is passed over."""
        domain = self.session.chain.domain
        if record.id(domain) != deal_id or hex_of(record.job_offer_hash) != self.job.id:
            return False
        state, now = self.session.chain.state(deal_id)
        if state.status in (Status.NONE, Status.DECLINED):
            return False
        self._known.state, self._known.now = state, now
        self.session.crash.point("creator.deal_seen")
        self.job = self.session.journal.update(
            self.job, deal=deal_id, record=record, opened_block=block, stage=Stage.OPENED
        )
        self.session.crash.point("creator.deal_noted")
        return True

    def _look_at_deal(self, deal_id: DealId) -> None:
        known = self._known
        known.state, known.now = self.session.chain.state(deal_id)
        status = known.state.status
        if status is Status.NONE:  # a reorganisation took the opening back
            self._forget_deal()
        elif status is Status.DECLINED and self._may_open_again():
            assert self.job.record is not None
            declined = (*self.job.declined, self.job.record.provider)
            self._forget_deal(declined=declined)
        elif status.is_final:
            self._note_end(status)
        self._look_at_checks(deal_id, known.state)
        if self.job.deal is not None and known.note is None and status not in (Status.NONE,):
            known.note = self._read_note(deal_id)

    def _look_at_checks(self, deal_id: DealId, state: DealState) -> None:
        """What the lottery says of a posted result, and where a dispute stands."""
        known, record, chain = self._known, self.job.record, self.session.chain
        if record is None or not record.is_verified:
            return
        if state.status is Status.RESULTS_SUBMITTED and known.drawn is None:
            known.drawn = chain.lottery(deal_id, record, state.period)
        if state.status is Status.IN_MEDIATION:
            known.dispute = chain.dispute(deal_id, record, state.kind, self.job.opened_block)
        elif not state.status.is_final:
            known.dispute = None

    def _may_open_again(self) -> bool:
        return self.job.offer is not None and self._known.now <= self.job.offer.expiry

    def _forget_deal(self, **changes: Any) -> None:
        """Back to an offer that waits. What was known of the deal's result is of no use for another provider's."""
        self.job = self.session.journal.update(
            self.job, deal=None, record=None, opened_block=None, stage=Stage.POSTED, agreed="", **changes
        )
        self._known = replace(_Known(), now=self._known.now, clock_at=self._known.clock_at)

    def _read_note(self, deal_id: DealId) -> ResultNote | None:
        """The provider's latest word about its result; of a job that was fetched before, from its receipt on disk."""
        assert self.job.record is not None
        kept = note_on_disk(Path(self.job.results)) if self.job.results else None
        if kept is not None:
            return kept
        try:
            messages = self.session.quick_solver.messages(deal_id)
        except LilypadError:
            return None
        notes = [read_note(item.body) for item in messages if item.kind == "result" and item.sender == self.job.record.provider]
        return next((note for note in reversed(notes) if note is not None), None)

    def _note_end(self, status: Status) -> None:
        known, job = self._known, self.job
        assert job.deal is not None and job.record is not None
        if known.payment is None:
            ending = self.session.chain.ending(job.deal, job.opened_block or job.posted_block)
            if ending is None:
                return
            known.payment = payment_of(job.record, status, ending, self.session.chain.parameters)
            if known.state is not None and known.state.kind is not DisputeKind.NONE:
                known.ours = self.session.chain.disputed_by(job.deal) == self.session.account
        if job.stage is not Stage.ENDED and (status not in PAID or known.delivered is not None or job.results):
            self.session.crash.point("creator.end_seen")
            self.job = self.session.journal.update(job, stage=Stage.ENDED, ended=status.name, cost=known.payment.paid)
            self.session.crash.point("creator.end_noted")

    # ---- doing

    def _act(self, intent: Intent) -> None:
        if intent is Intent.POST:
            self._post()
        elif intent is Intent.FETCH:
            self._fetch()
        elif intent is Intent.RERUN:
            self._rerun()
        elif intent is Intent.ACCEPT:
            self._agree("acceptance")
        elif intent is Intent.WAIVE:
            self._agree("waiver")
        else:
            self._claim(intent)

    def _post(self) -> None:
        """Uploads the inputs, then the offer. Both are harmless to repeat."""
        from lilypad_agents.agents.creator.posting import post

        self.session.crash.point("creator.before_post")
        post(self.session, self.job)
        self.session.crash.point("creator.posted")
        self.job = self.session.journal.update(self.job, stage=Stage.POSTED)
        self.session.crash.point("creator.post_noted")

    def _fetch(self) -> None:
        known = self._known
        if self._clock() - known.fetch_at < _FETCH_PAUSE_S:
            return
        try:
            delivered = self._verify_delivery()
        except ResultMismatch as error:
            known.mismatch = error
            return
        except ContentUnavailable:
            known.fetch_at = self._clock()
            raise
        self.session.crash.point("creator.fetched")
        folder = write_results(self.session.store, delivered, Path(self.job.folder) / self.job.deal_text)
        self.session.crash.point("creator.results_written")
        self.job = self.session.journal.update(
            self.job,
            digest=bytes(delivered.digest),
            data_id=str(delivered.note.data_id),
            exit_code=delivered.files.exit_code,
            results=str(folder),
        )
        self.session.crash.point("creator.results_noted")

    def _verify_delivery(self) -> Delivered:
        known = self._known
        assert known.note is not None and self.job.record is not None and self.job.deal is not None
        try:
            self._download(known.note.data_id)
        except CONTENT_FAULTS as failure:
            raise refused(failure) from failure
        known.delivered = verify(self.session.store, self.manifest, self.job.record, self.job.deal, known.note)
        return known.delivered

    def _download(self, root: Cid) -> None:
        """The result's tree into the store, every block verified: from the solver in use, else from any that is configured."""
        session, limits = self.session, limits_of(self.manifest)
        if is_here(session.store, root, limits):
            return
        try:
            session.solver.fetch(root, session.store, limits=limits, seconds=_FETCH_S)
        except ContentUnavailable:
            others = [url for url in session.settings.solvers if url.rstrip("/") != session.solver.base_url]
            if not others:
                raise

            def add_signature(request: Any) -> None:
                sign(request, session.signer, int(time.time()))

            sources = [Source(url, add_signature) for url in others]
            fetch_blocking(session.store, root, sources, limits=limits, seconds=_FETCH_S)

    def _rerun(self) -> None:
        from lilypad_agents.agents.creator.rerun import rerun

        known, deal = self._known, self.job.record
        assert known.delivered is not None and deal is not None and self.job.deal is not None
        session, store = self.session, self.session.store
        document = store.get(Cid.raw(deal.inputs))
        inputs = parse_inputs(self.manifest, document, module=hex_of(deal.module))
        most = {slot.name: slot.max_bytes for slot in self.manifest.files}
        files = {name: read_file(store, Cid.parse(cid), most[name]) for name, cid in inputs.files.items()}
        module = fetch_module(session, self.manifest)
        _, opened = rerun(session.folder / "rerun", module, deal, self.job.deal, inputs, files)
        if opened.digest != known.delivered.digest:
            self.job = self.session.journal.update(self.job, doubted=True)
            known.rerun_failed = VerificationFailed(
                f"This machine got the digest {hex_of(opened.digest)}, the provider {hex_of(known.delivered.digest)}.",
                here=hex_of(opened.digest),
                provider=hex_of(known.delivered.digest),
            )
        else:
            self.job = self.session.journal.update(self.job, doubted=False)
            known.reran = True

    def _agree(self, kind: str) -> None:
        """Signs that the result is right, notes it, and tells the provider; told again by a later command if need be."""
        known, deal_id = self._known, self.job.deal
        assert known.delivered is not None and deal_id is not None
        digest = known.delivered.digest
        message: TypedStruct = (
            Acceptance(deal_id, digest) if kind == "acceptance" else Waiver(deal_id=deal_id, result_digest=digest)
        )
        signature = self.session.signer.sign_digest(self.session.chain.domain.digest(message.struct_hash))
        self.session.crash.point(f"creator.{kind}.before")
        try:
            self.session.solver.message(deal_id, kind, {"signature": hex_of(by_own_key(signature))})
        except LilypadError as error:
            self._listen(self._moment("agreement-delayed", reason=error.message))
            return
        self.session.crash.point(f"creator.{kind}.sent")
        self.job = self.session.journal.update(self.job, agreed=kind)
        self.session.crash.point(f"creator.{kind}.noted")

    def _claim(self, intent: Intent) -> None:
        assert self.job.deal is not None and self.job.record is not None
        try:
            self.session.wallet.step(_STEPS[intent], self.job.deal, self.job.record)
        except ContractReverted as error:
            if error.decoded is None or error.decoded.name not in _NOT_NOW:
                raise

    # ---- telling

    def _tell(self) -> None:
        """Tells what is new, once."""
        known, job = self._known, self.job
        stage = job.stage if known.state is None else known.state.status.name
        now = (
            stage, job.deal, known.delivered is not None, job.agreed, known.mismatch is not None, known.payment is not None,
            known.drawn, key_of(known.dispute),
        )  # fmt: skip
        if now == known.told:
            return
        before, known.told = known.told or (None,) * len(now), now
        if now[0] != before[0] or now[1] != before[1]:
            self._listen(self._moment("state", transaction=job.opened_block))
        if now[2] and not before[2]:
            self._listen(self._moment("verified", delivered=known.delivered, results=job.results))
        if now[4] and not before[4]:
            self._listen(self._moment("mismatch", error=known.mismatch))
        if now[3] and now[3] != before[3]:
            self._listen(self._moment("agreed", kind=job.agreed))
        if now[6] is not None and before[6] is None and job.record is not None and job.record.is_verified:
            self._listen(self._moment("lottery", drawn=known.drawn))
        if now[7] and now[7] != before[7]:
            self._listen(self._moment("dispute", dispute=known.dispute, kind=known.state.kind if known.state else None))
        if now[5] and not before[5]:
            self._listen(self._moment("paid", payment=known.payment))

    def _moment(self, event: str, **facts: Any) -> Moment:
        known, job = self._known, self.job
        state = str(job.stage) if known.state is None else known.state.status.name
        facts |= {"record": job.record, "offer": job.offer, "now": known.now}
        return Moment(event, job.name, state, self._view().next_deadline, self._cost(), facts)

    def _cost(self) -> int | None:
        """What is known of the cost: of a final deal, else what is locked, else the limit."""
        known, job = self._known, self.job
        if known.payment is not None:
            return known.payment.paid
        if job.record is None:
            return None if job.offer is None else job.offer.max_price
        fee = self.session.chain.parameters.protocol_fee_bps
        if known.delivered is not None:
            return charge(job.record, Units(known.delivered.receipt.units), fee).total
        return locked_total(job.record, fee)


def fetch_module(session: Session, manifest: Manifest) -> Any:
    """Artefact and files of a module, by their hashes. Raises ContentUnavailable, ContentMismatch later in `prepare`."""
    from lilypad_agents.agents.provider.results import Module
    from lilypad_agents.content.limits import Limits

    if manifest.wasm is None:
        raise VerificationFailed(f"This machine does not run the engine {manifest.engine}.")
    wasm = session.fetch_public(Cid.parse(manifest.wasm.module), Limits(max_bytes=1 << 28, max_entries=1))
    artifacts = {
        item.path: session.fetch_public(Cid.parse(item.cid), Limits(max_bytes=item.size, max_entries=1))
        for item in manifest.artifacts
    }
    return Module(manifest, wasm, artifacts)
