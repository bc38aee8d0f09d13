"""Our work on deals: fetch, run, store, deliver, each in a thread beside the loop; the loop sees stages and results.

Everything that changes a `Job` happens on the loop's thread: threads put what they found into a queue, and `collect`
takes it in. A restart finds results by deal in the database, ended runs in the worker pool's folder, and content in
the store, so at most a run is repeated; the first stored result of a deal stays its only one.
"""

from __future__ import annotations

import hashlib
import queue
import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lilypad_agents.agents.provider.capacity import NOTHING, Machine, Need, need_of
from lilypad_agents.agents.provider.errors import RunInconclusive
from lilypad_agents.agents.provider.library import ContentRefused, Library, Obtained, pin_name
from lilypad_agents.agents.provider.messages import result_note
from lilypad_agents.agents.provider.policy import Reason, Refusal
from lilypad_agents.agents.provider.results import Opening, opened_of, receipt_of, store_receipt, store_result
from lilypad_agents.agents.provider.store import ProviderStore, StoredResult
from lilypad_agents.agents.provider.view import Stage, Work
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.runtime.salt import Salts
from lilypad_agents.agents.runtime.threads import Threads
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.keys import Signer
from lilypad_agents.chain.types import Notify
from lilypad_agents.content.store import LocalStore
from lilypad_agents.errors import ContentUnavailable, LilypadError, UsageError
from lilypad_agents.execution.errors import CapacityExceeded
from lilypad_agents.execution.job import ExitClass, JobOutcome, JobSpec, Limits, RunResult
from lilypad_agents.execution.receipt import parse_receipt
from lilypad_agents.execution.worker import JobHandle, WorkerPool
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import DealId, VersionId, hex_of
from lilypad_agents.protocol.terms import ModuleTerms
from lilypad_agents.protocol.units import Timestamp

NETWORK_THREADS, LOCAL_THREADS = 4, 2
MOST_RUNS = 3  # of one deal whose worker crashes
FIRST_RETRY_S, LAST_RETRY_S = 1, 15
_WEIGHT = 4  # of the last run in the running mean of a module's times
_WARM_UP = "warm-up"
_AGAIN = "again-"
_EMPTY_PROGRAM = bytes.fromhex(  # (module (memory (export "memory") 1) (func (export "_start")))
    "0061736d01000000010401600000030201000503010001071302066d656d6f72790200065f737461727400000a040102000b"
)
Terms = Callable[[DealId, Deal], ModuleTerms | None]
Deliver = Callable[[DealId, Deal, StoredResult, Mapping[str, Any]], None]
Serve = Callable[[DealId, Obtained, StoredResult], None]


@dataclass
class Job:
    """One deal's work. Changed on the loop's thread only. `retry_at`: block time; `lives`: counts stops and restarts."""

    deal_id: DealId
    deal: Deal
    stage: Stage = Stage.NEW
    refusal: Refusal | None = None
    retry_at: Timestamp = Timestamp(0)
    failures: int = 0
    runs: int = 0
    lives: int = 0
    delivering: bool = False
    serving: bool = False
    served: bool = False  # everything was pushed again since the dispute began
    rerunning: bool = False
    reran: bool | None = None
    ended: bool = False  # the run holds no slot any more; its result is being stored
    obtained: Obtained | None = None
    need: Need = NOTHING
    estimate_ms: int = 0
    started: float = 0.0
    result: StoredResult | None = None
    _commitment: tuple[StoredResult, int] | None = None

    @property
    def commitment(self) -> int | None:
        """Of the stored result; computed once."""
        if self.result is None:
            return None
        if self._commitment is None or self._commitment[0] is not self.result:
            self._commitment = (self.result, self.result.opening.commitment(self.deal_id, self.deal))
        return self._commitment[1]

    @property
    def label(self) -> str:
        return self.deal_id.hex()

    def work(self) -> Work:
        """What decisions see."""
        result = self.result
        return Work(
            stage=self.stage,
            refusal=self.refusal,
            commitment=self.commitment,
            published=result is not None and (result.published or self.delivering),
            served=self.served,
            reran=self.reran,
            released=result is None or result.released,
            retry_at=self.retry_at,
            need=self.need,
            estimate_ms=self.estimate_ms,
        )


@dataclass(frozen=True)
class _Report:
    """What a thread tells the loop about one life of a job."""

    deal_id: DealId
    life: int
    what: str
    value: Any = None


@dataclass
class Workshop:
    """Use on the loop's thread; `close` ends runs and threads. `wake` is called whenever there is something to collect."""

    pool: WorkerPool
    library: Library
    content: LocalStore
    store: ProviderStore
    salts: Salts
    signer: Signer
    machine: Machine
    terms: Terms
    deliver: Deliver
    serve_all: Serve
    log: Notify
    wake: Callable[[], None]
    crash: CrashPlan = field(default_factory=lambda: NEVER)
    jobs: dict[DealId, Job] = field(default_factory=dict)
    _reports: queue.SimpleQueue[_Report] = field(default_factory=queue.SimpleQueue)
    _means: dict[VersionId, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Apart, so that a relay that hangs never holds up what a deadline waits for.
        self._network = Threads(NETWORK_THREADS, "provider-network", self._thread_failed)
        self._local = Threads(LOCAL_THREADS, "provider-local", self._thread_failed)

    def _thread_failed(self, error: Exception) -> None:
        self.log("thread_failed", alert=True, **figures_of(error))

    # ---- what decisions ask for

    def job(self, deal_id: DealId, deal: Deal) -> Job:
        """The job of a deal; a stored result is found again."""
        job = self.jobs.get(deal_id)
        if job is None:
            job = self.jobs[deal_id] = Job(deal_id, deal, result=self.store.result(deal_id))
            if job.result is not None:
                job.stage = Stage.DONE
        return job

    def forget_runs_but(self, wanted: Container[DealId]) -> None:
        """Deletes the files of runs that an earlier life left for deals which are over."""
        for label in list(self.pool.recovered):
            if _deal_of(label) not in wanted:
                self.pool.forget(label)

    def fetch(self, job: Job, seconds_left: int) -> None:
        """Begins to obtain everything that the job needs."""
        if job.stage is not Stage.NEW:
            return
        job.stage = Stage.FETCHING
        self._start(self._network, job, self._obtain, seconds_left)

    def run(self, job: Job) -> None:
        """Begins the run in a worker process, or takes over the one that an earlier life of this agent ended."""
        if job.stage is not Stage.READY or job.obtained is None:
            return
        job.stage, job.started, job.ended = Stage.RUNNING, time.time(), False
        job.runs += 1
        self._start(self._local, job, self._run, job.obtained)

    def publish(self, job: Job) -> None:
        """Begins to hand result and receipt to the relays."""
        if job.result is None or job.delivering:
            return
        job.delivering = True
        self._start(self._network, job, self._publish, job.result)

    def serve(self, job: Job) -> None:
        """Begins to hand everything that a dispute about the deal needs to the relays once more."""
        if job.result is None or job.serving:
            return
        job.serving = True
        self._start(self._network, job, self._serve, job.result)

    def rerun(self, job: Job) -> None:
        """Begins to run the job again, to learn whether our own result can be stood by."""
        if job.result is None or job.rerunning:
            return
        job.rerunning = True
        self._start(self._local, job, self._rerun)

    def dispute_is_over(self, job: Job) -> None:
        """A later dispute about the same deal is served anew."""
        job.served = job.serving = False

    def stop(self, job: Job) -> None:
        """Gives up what is under way for a job; what is stored stays."""
        job.lives += 1
        self.pool.kill(job.label)
        job.stage = Stage.NEW if job.result is None else Stage.DONE
        job.obtained, job.need = None, NOTHING
        job.delivering = False

    def release(self, job: Job, expires_at: int) -> None:
        """The deal is final: its content stays until `expires_at` (unix seconds) and may be collected then."""
        self._local.submit(self._release, job.deal_id, expires_at)
        self.jobs.pop(job.deal_id, None)

    def tidy(self, now: Timestamp) -> None:
        """Collects content that no pin needs any more, beside the loop. `now`: block time."""
        self._local.submit(self._collect_content, now)

    def _collect_content(self, now: Timestamp) -> None:
        try:
            collected = self.content.collect(now)
            self.log("content_collected", blocks=collected.blocks, bytes=collected.bytes, pins=collected.pins)
        except LilypadError as error:
            self.log("content_not_collected", alert=True, **figures_of(error))

    def redo(self, job: Job) -> None:
        """Forgets a result that does not open the posted commitment, so that it is made again."""
        self.store.drop_result(job.deal_id)
        job.lives += 1
        job.result, job.stage, job.delivering = None, Stage.NEW, False

    def warm_up(self) -> None:
        """Starts the fork server by an empty run, beside the loop, so that the first job does not wait for it."""
        self._local.submit(self._warm_up)

    def _warm_up(self) -> None:
        limits = Limits(1_000_000, 10, 1 << 20, 0, 0, 0, 0, 0)
        try:
            self.pool.forget(_WARM_UP)
            self.pool.submit(_WARM_UP, JobSpec(_EMPTY_PROGRAM, "_start", ("warm-up",), (), {}, bytes(32), limits)).wait(60)
            self.pool.forget(_WARM_UP)
        except (LilypadError, TimeoutError) as error:
            self.log("warm_up_failed", alert=True, **figures_of(error))

    # ---- what decisions see

    @property
    def running(self) -> list[Job]:
        """Jobs that hold a slot."""
        return [job for job in self.jobs.values() if job.stage is Stage.RUNNING and not job.ended]

    @property
    def free_slots(self) -> int:
        return max(0, self.machine.slots - len(self.running))

    @property
    def free(self) -> Need:
        used = sum((job.need for job in self.running), NOTHING)
        limit = self.machine.limit
        return Need(
            max(0, limit.cpu_milli - used.cpu_milli),
            max(0, limit.ram_mib - used.ram_mib),
            max(0, limit.gpu_count - used.gpu_count),
        )

    @property
    def backlog_ms(self) -> int:
        """What the running jobs probably still take, added up."""
        now = time.time()
        return sum(max(0, job.estimate_ms - int((now - job.started) * 1_000)) for job in self.running)

    @property
    def unanswered(self) -> int:
        return sum(job.result is None for job in self.jobs.values())

    # ---- taking in

    def collect(self, now: Timestamp) -> list[Job]:
        """Takes in what the threads found; jobs that changed. `now`: block time."""
        changed = []
        for report in self._taken():
            job = self.jobs.get(report.deal_id)
            if job is None or job.lives != report.life:
                self._discard(report)
            else:
                _TAKERS[report.what](self, job, report.value, now)
                changed.append(job)
        return changed

    def _discard(self, report: _Report) -> None:
        """A run that nobody waits for any more leaves no files behind."""
        job = self.jobs.get(report.deal_id)
        if report.what == "done" and (job is None or job.stage is not Stage.RUNNING):
            self._local.submit(self.pool.forget, report.deal_id.hex())

    def _taken(self) -> Iterator[_Report]:
        while True:
            try:
                yield self._reports.get_nowait()
            except queue.Empty:
                return

    def close(self) -> None:
        """Ends runs and threads; a run that is cut off is repeated after the next start."""
        self._network.close(0.5)
        self._local.close(2.0)
        self.pool.close()

    # ---- in threads

    def _start(self, threads: Threads, job: Job, work: Callable[..., tuple[str, Any]], *arguments: Any) -> None:
        threads.submit(self._guarded, job.deal_id, job.deal, job.lives, work, arguments)

    def _guarded(self, deal_id: DealId, deal: Deal, life: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Whatever happens in a thread becomes a report; nothing is swallowed."""
        try:
            what, value = work(deal_id, deal, life, *arguments)
        except Exception as error:
            aside = {self._publish: "undelivered", self._serve: "unserved", self._rerun: "not rerun", self._compare: "not rerun"}
            if work in aside:
                what, value = aside[work], error
            elif isinstance(error, ContentRefused):
                what, value = "refused", error.refusal
            else:
                what, value = "failed", error
        if what:
            self._report(_Report(deal_id, life, what, value))

    def _report(self, report: _Report) -> None:
        self._reports.put(report)
        self.wake()

    def _obtain(self, deal_id: DealId, deal: Deal, life: int, seconds_left: int) -> tuple[str, Any]:
        terms = self.terms(deal_id, deal)
        if terms is None:
            raise ContentUnavailable(f"Nobody shows the terms of the module {hex_of(deal.module)}.")
        obtained = self.library.obtain(deal_id, deal, terms, seconds_left)
        self.crash.point("provider.obtained")
        return "obtained", obtained

    def _run(self, deal_id: DealId, deal: Deal, life: int, obtained: Obtained) -> tuple[str, Any]:
        label = deal_id.hex()
        recovered = self.pool.recovered.pop(label, None)
        if recovered is not None:
            return self._finish(deal_id, deal, life, obtained, recovered)
        spec = self.library.spec(deal_id, deal, obtained)
        try:
            handle = self._submit(label, spec)
        except CapacityExceeded:
            return "busy", None
        self.crash.point("provider.run_started")
        started = time.time()

        def ended(outcome: JobOutcome) -> None:
            self._report(_Report(deal_id, life, "ended"))
            # When the threads are closed the agent stops, and its next life adopts the result.
            self._local.submit(self._guarded, deal_id, deal, life, self._finish, (obtained, outcome, started))

        handle.add_done_callback(ended)
        if not self._is_current(deal_id, life):
            handle.kill()  # it was stopped while it was being started
        return "", None

    def _is_current(self, deal_id: DealId, life: int) -> bool:
        """Whether nobody stopped this life of a job meanwhile."""
        job = self.jobs.get(deal_id)
        return job is not None and job.lives == life

    def _submit(self, label: str, spec: JobSpec) -> JobHandle:
        try:
            return self.pool.submit(label, spec)
        except UsageError:  # files of a run that was stopped
            self.pool.forget(label)
            return self.pool.submit(label, spec)

    def _finish(
        self, deal_id: DealId, deal: Deal, life: int, obtained: Obtained, outcome: JobOutcome, started: float = 0.0
    ) -> tuple[str, Any]:
        self.crash.point("provider.run_ended")
        if outcome.result is None:
            return "no result", outcome
        if outcome.result.exit_class is ExitClass.INDETERMINATE:
            return "indeterminate", outcome.result
        return "done", (self._keep(deal_id, deal, obtained, outcome.result, started), outcome.result)

    def _keep(
        self, deal_id: DealId, deal: Deal, obtained: Obtained, result: RunResult, started: float
    ) -> StoredResult:
        """Content first, then pins, then the row that makes it count, then the worker's files."""
        stored = self.store.result(deal_id)
        if stored is None:
            ended = int(time.time())
            opened, units = opened_of(obtained.module.manifest, deal, result)
            opening = Opening(opened, self.salts.of(deal_id), store_result(self.content, result), units)
            receipt = receipt_of(
                deal_id, deal, hashlib.sha256(obtained.module.wasm).digest(), result, opening,
                isa=self.machine.isa, started_at=int(started or ended - result.wall_ms / 1_000), ended_at=ended,
                signer=self.signer,
            )  # fmt: skip
            receipt_id = store_receipt(self.content, receipt)
            self.crash.point("provider.result_made")
            self.library.pin(deal_id, obtained, {"result": opening.data_id, "receipt": receipt_id})
            self.crash.point("provider.result_pinned")
            stored = self.store.add_result(
                deal_id, StoredResult(opening, receipt_id, receipt.to_bytes(), Timestamp(ended))
            )
            self.crash.point("provider.result_stored")
        self.pool.forget(deal_id.hex())
        self.crash.point("provider.run_forgotten")
        return stored

    def _publish(self, deal_id: DealId, deal: Deal, life: int, result: StoredResult) -> tuple[str, Any]:
        opening = result.opening
        note = result_note(opening.data_id, result.receipt_id, parse_receipt(result.receipt), opening.opened)
        self.crash.point("provider.before_delivery")
        self.deliver(deal_id, deal, result, note)
        self.crash.point("provider.delivered")
        self.store.mark_published(deal_id)
        return "delivered", None

    def _obtain_again(self, deal_id: DealId, deal: Deal) -> Obtained:
        """From our own store, as a rule: what a deal needs stays pinned until it is final."""
        return self._obtain(deal_id, deal, 0, 1 << 30)[1]

    def _serve(self, deal_id: DealId, deal: Deal, life: int, result: StoredResult) -> tuple[str, Any]:
        self.crash.point("provider.before_serving")
        self.serve_all(deal_id, self._obtain_again(deal_id, deal), result)
        self.crash.point("provider.served")
        return "served", None

    def _rerun(self, deal_id: DealId, deal: Deal, life: int) -> tuple[str, Any]:
        obtained = self._obtain_again(deal_id, deal)
        handle = self._submit(_AGAIN + deal_id.hex(), self.library.spec(deal_id, deal, obtained))

        def ended(outcome: JobOutcome) -> None:
            self._local.submit(self._guarded, deal_id, deal, life, self._compare, (obtained, outcome))

        handle.add_done_callback(ended)
        return "", None

    def _compare(self, deal_id: DealId, deal: Deal, life: int, obtained: Obtained, outcome: JobOutcome) -> tuple[str, Any]:
        """Whether the second run gave the digest that is stored; a run that the host ended says nothing."""
        self.pool.forget(_AGAIN + deal_id.hex())
        result, stored = outcome.result, self.store.result(deal_id)
        if result is None or stored is None or result.exit_class is ExitClass.INDETERMINATE:
            raise RunInconclusive(f"The second run of deal {hex_of(deal_id)} gave no result: {outcome.message}.", deal=deal_id)
        opened, _ = opened_of(obtained.module.manifest, deal, result)
        return "rerun", opened.digest == stored.opening.opened.digest

    def _release(self, deal_id: DealId, expires_at: int) -> None:
        try:
            name = pin_name(deal_id)
            for pin in list(self.content.pins(name)):
                self.content.pin(pin.root, name, expires_at)
            self.store.mark_released(deal_id)
        except LilypadError as error:  # a pin without expiry keeps data for longer, which harms nobody
            self.log("provider_release_failed", deal=deal_id, **figures_of(error))

    # ---- on the loop's thread

    def _take_obtained(self, job: Job, obtained: Obtained, now: Timestamp) -> None:
        job.obtained, job.need, job.failures, job.refusal = obtained, need_of(obtained.module.manifest), 0, None
        wall_ms = obtained.module.manifest.limits.wall_seconds * 1_000
        job.estimate_ms = min(wall_ms, self._means.get(job.deal.module, wall_ms))
        job.stage = Stage.READY

    def _take_refused(self, job: Job, refusal: Refusal, now: Timestamp) -> None:
        job.stage, job.refusal, job.obtained, job.need = Stage.REFUSED, refusal, None, NOTHING
        self.log("deal_refused", deal=job.deal_id, reason=str(refusal.reason), found=refusal.found, needed=refusal.needed)

    def _take_failed(self, job: Job, error: Exception, now: Timestamp) -> None:
        job.stage, job.obtained, job.need = Stage.NEW, None, NOTHING
        reason = Reason.CONTENT_UNAVAILABLE if isinstance(error, ContentUnavailable) else Reason.RUN_FAILED
        job.refusal = Refusal(reason, str(error)[:200])
        self._postpone(job, now)
        self.log("deal_work_failed", deal=job.deal_id, failures=job.failures, **figures_of(error))

    def _take_busy(self, job: Job, _: None, now: Timestamp) -> None:
        """The pool still ends another run; nothing was lost."""
        job.stage, job.runs = Stage.READY, job.runs - 1

    def _take_ended(self, job: Job, _: None, now: Timestamp) -> None:
        job.ended = True

    def _take_no_result(self, job: Job, outcome: JobOutcome, now: Timestamp) -> None:
        self.log("run_without_result", deal=job.deal_id, failure=outcome.failure, detail=outcome.message, runs=job.runs)
        if outcome.failure == "module-broken":
            self._take_refused(job, Refusal(Reason.MODULE_BROKEN, outcome.message), now)
        elif outcome.failure == "crashed" and job.runs >= MOST_RUNS:
            self._take_refused(job, Refusal(Reason.RUN_FAILED, outcome.message), now)
        else:
            job.stage = Stage.READY

    def _take_indeterminate(self, job: Job, result: RunResult, now: Timestamp) -> None:
        """The host, not the program, ended the run: a result that nobody could confirm is not committed to."""
        self.log("run_indeterminate", deal=job.deal_id, detail=result.detail, runs=job.runs)
        if job.runs >= MOST_RUNS:
            self._take_refused(job, Refusal(Reason.RUN_FAILED, result.detail), now)
        else:
            job.stage = Stage.READY

    def _take_done(self, job: Job, found: tuple[StoredResult, RunResult], now: Timestamp) -> None:
        stored, result = found
        mean = self._means.get(job.deal.module)
        self._means[job.deal.module] = result.wall_ms if mean is None else (mean * (_WEIGHT - 1) + result.wall_ms) // _WEIGHT
        job.result, job.stage, job.obtained, job.need, job.failures = stored, Stage.DONE, None, NOTHING, 0
        job.retry_at, job.refusal = Timestamp(0), None
        self.log(
            "run_ended", deal=job.deal_id, exit_code=result.exit_code, exit_class=str(result.exit_class),
            wall_ms=result.wall_ms, fuel=result.fuel, data_id=str(stored.opening.data_id),
        )  # fmt: skip

    def _take_delivered(self, job: Job, _: None, now: Timestamp) -> None:
        job.delivering, job.failures = False, 0
        job.result = self.store.result(job.deal_id)
        self.log("result_delivered", deal=job.deal_id)

    def _take_undelivered(self, job: Job, error: Exception, now: Timestamp) -> None:
        job.delivering = False
        self._postpone(job, now)
        self.log("result_not_delivered", alert=True, deal=job.deal_id, failures=job.failures, **figures_of(error))

    def _take_served(self, job: Job, _: None, now: Timestamp) -> None:
        job.serving, job.served, job.failures = False, True, 0
        self.log("dispute_served", deal=job.deal_id)

    def _take_unserved(self, job: Job, error: Exception, now: Timestamp) -> None:
        job.serving = False
        self._postpone(job, now)
        self.log("dispute_not_served", alert=True, deal=job.deal_id, failures=job.failures, **figures_of(error))

    def _take_rerun(self, job: Job, same: bool, now: Timestamp) -> None:
        job.rerunning, job.reran = False, same
        self.log("result_rerun", alert=not same, deal=job.deal_id, same=same)

    def _take_not_rerun(self, job: Job, error: Exception, now: Timestamp) -> None:
        job.rerunning = False
        self._postpone(job, now)
        self.log("result_not_rerun", alert=True, deal=job.deal_id, **figures_of(error))

    def _postpone(self, job: Job, now: Timestamp) -> None:
        job.retry_at = Timestamp(now + min(LAST_RETRY_S, FIRST_RETRY_S << min(job.failures, 6)))
        job.failures += 1


def _deal_of(label: str) -> DealId:
    """The deal of a run's label; no deal's id for what is none."""
    try:
        return DealId(bytes.fromhex(label))
    except ValueError:
        return DealId(b"")


_TAKERS: Mapping[str, Callable[[Workshop, Job, Any, Timestamp], None]] = {
    "obtained": Workshop._take_obtained,
    "refused": Workshop._take_refused,
    "busy": Workshop._take_busy,
    "ended": Workshop._take_ended,
    "failed": Workshop._take_failed,
    "no result": Workshop._take_no_result,
    "indeterminate": Workshop._take_indeterminate,
    "done": Workshop._take_done,
    "delivered": Workshop._take_delivered,
    "undelivered": Workshop._take_undelivered,
    "served": Workshop._take_served,
    "unserved": Workshop._take_unserved,
    "rerun": Workshop._take_rerun,
    "not rerun": Workshop._take_not_rerun,
}