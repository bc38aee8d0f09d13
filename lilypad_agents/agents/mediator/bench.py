"""Our own work on disputed deals: fetch, re-run, look whether results are served, each in a thread beside the loop.

Everything that changes a `Job` happens on the loop's thread: threads put what they found into a queue, and `collect`
takes it in. A restart repeats at most a run; what one found is stored before it counts. What the re-run found is the
mediator's *word*:

- the digest of its result;
- MODULE_BROKEN: manifest or artefact came and is not what the terms say, does not run, takes other inputs than these, or
  has results that honest machines need not share;
- CANNOT_RUN: this machine lacks the engine, schedule, instruction set or memory, or its runs were cut off three times.
"""

from __future__ import annotations

import hashlib
import queue
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lilypad_agents.agents.creator.delivery import flat, limits_of, recompute
from lilypad_agents.agents.mediator.sources import Sources
from lilypad_agents.agents.mediator.store import MediatorStore, Word
from lilypad_agents.agents.mediator.view import Check, Data, Stage, Work
from lilypad_agents.agents.mediator.votes import CANNOT_RUN, MODULE_BROKEN, name_of
from lilypad_agents.agents.provider.capacity import NOTHING, Machine, Need, need_of
from lilypad_agents.agents.provider.library import ContentRefused, Library, Obtained
from lilypad_agents.agents.provider.policy import Reason, Refusal
from lilypad_agents.agents.provider.results import Opening, opened_of, receipt_of
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.runtime.threads import Threads
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.keys import Signer
from lilypad_agents.chain.types import Notify
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import ContentError, StoreFull
from lilypad_agents.content.importer import tree_cid
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.reader import read_tree
from lilypad_agents.content.store import LocalStore
from lilypad_agents.errors import ContentUnavailable, LilypadError, UsageError
from lilypad_agents.execution.errors import CapacityExceeded, ResultRefused
from lilypad_agents.execution.job import ExitClass, JobSpec, RunResult
from lilypad_agents.execution.result import folders, parse_result_tree, result_tree
from lilypad_agents.execution.worker import JobHandle, WorkerPool
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.digest import Head
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import Address, DealId, hex_of
from lilypad_agents.protocol.opening import ResultOpening
from lilypad_agents.protocol.units import Timestamp

NETWORK_THREADS = 4
MOST_RUNS = 3  # of one deal whose worker crashes
FIRST_RETRY_S, LAST_RETRY_S = 1, 8
PATIENCE = 1 << 30  # seconds; a re-run has no deadline that the gate could measure
KEEP_S = 86_400  # content stays so long after the last look
_CANNOT_RUN = frozenset(
    {Reason.ENGINE_UNSUPPORTED, Reason.SCHEDULE_UNSUPPORTED, Reason.CLASS_MISSING, Reason.TOO_LARGE, Reason.RUN_FAILED}
)


@dataclass
class Job:
    """One deal's re-run. Changed on the loop's thread only. `since`: as in `Work`; `retry_at`: block time; `lives`: counts stops."""

    deal_id: DealId
    deal: Deal
    opened_tx: bytes
    stage: Stage = Stage.NEW
    word: Word | None = None
    retry_at: Timestamp = Timestamp(0)
    failures: int = 0
    trouble: bool = False  # the last failure was this machine's
    since: Timestamp | None = None
    runs: int = 0
    lives: int = 0
    obtained: Obtained | None = None
    need: Need = NOTHING

    def work(self) -> Work:
        """What decisions see."""
        word = None if self.word is None else self.word.vote
        return Work(self.stage, word, self.need, self.retry_at, self.trouble, self.since)


@dataclass
class _Asked:
    """Result data that was asked for, since a block time."""

    since: Timestamp
    check: Check = Check.NONE
    retry_at: Timestamp = Timestamp(0)
    failures: int = 0
    trouble: bool = False


@dataclass(frozen=True)
class _Report:
    """What a thread tells the loop. `data_id` names the data that was asked for, else it is about one life of a job."""

    deal_id: DealId
    what: str
    value: Any = None
    life: int = 0
    data_id: bytes = b""


@dataclass
class Bench:
    """Use on the loop's thread; `close` ends runs and threads. `wake` is called whenever there is something to collect."""

    pool: WorkerPool
    library: Library
    sources: Sources
    content: LocalStore
    store: MediatorStore
    account: Address
    signer: Signer
    machine: Machine
    scratch: Path
    reserve_bytes: int
    log: Notify
    wake: Callable[[], None]
    crash: CrashPlan = field(default_factory=lambda: NEVER)
    jobs: dict[DealId, Job] = field(default_factory=dict)
    _data: dict[tuple[DealId, bytes], _Asked] = field(default_factory=dict)
    _reports: queue.SimpleQueue[_Report] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self._network = Threads(NETWORK_THREADS, "mediator-network", self._thread_failed)
        self._local = Threads(self.machine.slots, "mediator-runs", self._thread_failed)
        shutil.rmtree(self.scratch, ignore_errors=True)  # of an earlier life
        for label in list(self.pool.recovered):
            self.pool.forget(label)

    def _thread_failed(self, error: Exception) -> None:
        self.log("thread_failed", alert=True, **figures_of(error))

    # ---- what decisions ask for

    def job(self, deal_id: DealId, deal: Deal, opened_tx: bytes) -> Job:
        """The re-run of a deal; what an earlier one found is found again."""
        job = self.jobs.get(deal_id)
        if job is None:
            job = self.jobs[deal_id] = Job(deal_id, deal, opened_tx, word=self.store.word(deal_id))
            if job.word is not None:
                job.stage = Stage.DONE
        return job

    def fetch(self, job: Job, now: Timestamp) -> None:
        """Begins to obtain everything that the job needs. `now`: block time."""
        if job.stage is Stage.NEW:
            job.stage, job.since = Stage.FETCHING, now if job.since is None else job.since
            self._start(self._network, job, self._obtain)

    def run(self, job: Job) -> None:
        """Begins the run in a worker process."""
        if job.stage is Stage.READY and job.obtained is not None:
            job.stage, job.runs = Stage.RUNNING, job.runs + 1
            self._start(self._local, job, self._run, job.obtained)

    def check(self, deal_id: DealId, data_id: bytes, opening: ResultOpening | None, now: Timestamp) -> None:
        """Begins to fetch result data. `opening`: what it must be the result of; None: any result (about delivery)."""
        job = self.jobs.get(deal_id)
        asked = self._data.setdefault((deal_id, data_id), _Asked(now))
        if job is not None and asked.check is Check.NONE:
            asked.check = Check.CHECKING
            self._network.submit(self._guarded_check, job.deal_id, job.deal, job.opened_tx, data_id, opening)

    def data(self, deal_id: DealId, data_id: bytes) -> Data:
        """How far a look at result data is."""
        asked = self._data.get((deal_id, data_id))
        return Data() if asked is None else Data(asked.check, asked.retry_at, asked.trouble, asked.since)

    def stop(self, job: Job) -> None:
        """Gives up what is under way for a job; what was found stays."""
        job.lives += 1
        self.pool.kill(hex_of(job.deal_id)[2:])
        job.stage = Stage.NEW if job.word is None else Stage.DONE
        job.obtained, job.need = None, NOTHING

    def forget(self, deal_id: DealId) -> None:
        """The dispute is over."""
        job = self.jobs.pop(deal_id, None)
        if job is not None and job.stage in (Stage.FETCHING, Stage.READY, Stage.RUNNING):
            self.stop(job)
        for key in [key for key in self._data if key[0] == deal_id]:
            del self._data[key]

    def tidy(self, now: Timestamp) -> None:
        """Collects content that no pin needs any more, beside the loop."""
        self._network.submit(self._collect_content, now)

    def _collect_content(self, now: Timestamp) -> None:
        try:
            collected = self.content.collect(now)
            self.log("content_collected", blocks=collected.blocks, bytes=collected.bytes, pins=collected.pins)
        except LilypadError as error:
            self.log("content_not_collected", alert=True, **figures_of(error))

    # ---- what decisions see

    @property
    def running(self) -> list[Job]:
        """Jobs that hold a slot."""
        return [job for job in self.jobs.values() if job.stage is Stage.RUNNING]

    @property
    def is_busy(self) -> bool:
        """Whether anything is being fetched, run or looked at."""
        working = any(job.stage in (Stage.FETCHING, Stage.READY, Stage.RUNNING) for job in self.jobs.values())
        return working or any(asked.check is Check.CHECKING for asked in self._data.values())

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

    # ---- taking in

    def collect(self, now: Timestamp) -> bool:
        """Takes in what the threads found; True when anything changed. `now`: block time."""
        changed = False
        for report in self._taken():
            changed = True
            if report.data_id:
                self._take_data(report, now)
                continue
            job = self.jobs.get(report.deal_id)
            if job is not None and job.lives == report.life:
                _TAKERS[report.what](self, job, report.value, now)
        return changed

    def _taken(self) -> Iterator[_Report]:
        while True:
            try:
                yield self._reports.get_nowait()
            except queue.Empty:
                return

    def close(self) -> None:
        """Ends runs and threads; a run that is cut off is repeated after the next start."""
        self._network.close(0.5)
        self._local.close(0.5)
        self.pool.close()

    # ---- in threads

    def _start(self, threads: Threads, job: Job, work: Callable[..., tuple[str, Any]], *arguments: Any) -> None:
        threads.submit(self._guarded, job.deal_id, job.deal, job.opened_tx, job.lives, work, arguments)

    def _guarded(
        self, deal_id: DealId, deal: Deal, opened_tx: bytes, life: int, work: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> None:
        """Whatever happens in a thread becomes a report; nothing is swallowed."""
        try:
            with self.sources.about(deal.provider):
                what, value = work(deal_id, deal, opened_tx, *arguments)
        except ContentRefused as refused:
            what, value = "found", _word_of_refusal(refused.refusal)
        except Exception as error:  # noqa: BLE001 - the loop decides what a failure means
            what, value = "failed", error
        if what == "found":
            try:
                value = self.store.add_word(deal_id, value, int(time.time()))
                self.crash.point("mediator.word_stored")
            except LilypadError as error:
                what, value = "failed", error
        self._report(_Report(deal_id, what, value, life))

    def _report(self, report: _Report) -> None:
        self._reports.put(report)
        self.wake()

    def _obtain(self, deal_id: DealId, deal: Deal, opened_tx: bytes) -> tuple[str, Any]:
        terms = self.sources.terms(deal_id, deal, opened_tx)
        if terms is None:
            raise ContentUnavailable(f"Nobody shows the terms of the module {hex_of(deal.module)}.")
        obtained = self.library.obtain(deal_id, deal, terms, PATIENCE)
        for root in obtained.roots:
            self.content.pin(root, f"mediator {hex_of(deal_id)}", int(time.time()) + KEEP_S)
        self.crash.point("mediator.obtained")
        return "obtained", obtained

    def _run(self, deal_id: DealId, deal: Deal, opened_tx: bytes, obtained: Obtained) -> tuple[str, Any]:
        label, started = deal_id.hex(), int(time.time())
        spec = self.library.spec(deal_id, deal, obtained)
        try:
            handle = self._submit(label, spec)
        except CapacityExceeded:
            return "busy", None
        self.crash.point("mediator.run_started")
        outcome = handle.wait()
        self.crash.point("mediator.run_ended")
        self.pool.forget(label)
        if outcome.result is None:
            if outcome.failure == "module-broken":
                return "found", Word(MODULE_BROKEN, outcome.message)
            return "cut off", f"{outcome.failure}: {outcome.message}"
        if outcome.result.exit_class is ExitClass.INDETERMINATE:
            return "cut off", outcome.result.detail
        return "found", self._word_of(deal_id, deal, obtained, outcome.result, started)

    def _submit(self, label: str, spec: JobSpec) -> JobHandle:
        try:
            return self.pool.submit(label, spec)
        except UsageError:  # files of a run that was stopped
            self.pool.forget(label)
            return self.pool.submit(label, spec)

    def _word_of(self, deal_id: DealId, deal: Deal, obtained: Obtained, result: RunResult, started: int) -> Word:
        opened, units = opened_of(obtained.module.manifest, deal, result)
        data_id = tree_cid(folders(result_tree(result)))
        receipt = receipt_of(
            deal_id, replace(deal, provider=self.account), hashlib.sha256(obtained.module.wasm).digest(), result,
            Opening(opened, bytes(32), data_id, units), isa=self.machine.isa, started_at=started,
            ended_at=int(time.time()), signer=self.signer,
        )  # fmt: skip
        return Word(opened.digest, "", receipt.to_bytes())

    # ---- result data, in threads

    def _guarded_check(
        self, deal_id: DealId, deal: Deal, opened_tx: bytes, data_id: bytes, opening: ResultOpening | None
    ) -> None:
        folder = self.scratch / f"{deal_id.hex()}-{data_id.hex()}"
        try:
            with self.sources.about(deal.provider):
                self._look_at(deal_id, deal, opened_tx, Cid.dag_pb(data_id), opening, folder)
            what, value = "served", None
        except Exception as error:  # noqa: BLE001 - whatever it is, the data could not be had
            what, value = "missing", error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._report(_Report(deal_id, what, value, data_id=data_id))

    def _look_at(
        self, deal_id: DealId, deal: Deal, opened_tx: bytes, root: Cid, opening: ResultOpening | None, folder: Path
    ) -> None:
        """Fetches the data into a store of its own, where nothing of our own run can stand in for it, and checks it.

        Raises ContentUnavailable and its kin when it cannot be had, ContentError and ResultRefused for what is no result.
        """
        manifest = None
        if opening is not None:
            terms = self.sources.terms(deal_id, deal, opened_tx)
            if terms is None:
                raise ContentUnavailable("Nobody shows the terms of the module.")
            manifest = self.library.manifest(terms)
        limits = Limits() if manifest is None else limits_of(manifest)
        store = LocalStore(folder, reserve_bytes=self.reserve_bytes, durable=False)
        self.sources.fetch_into(store, root, limits)
        tree = flat(read_tree(store, root, limits))
        if manifest is None or opening is None:
            _require_result(tree)
            return
        files = parse_result_tree(tree, manifest.run_limits())
        found = recompute(manifest, deal, files, Head.unpack(opening.head).units)
        if (found.head, found.content) != (opening.head, opening.content):
            raise ResultRefused("the data is not the result that the provider opened")

    # ---- on the loop's thread

    def _take_data(self, report: _Report, now: Timestamp) -> None:
        asked = self._data.get((report.deal_id, report.data_id))
        if asked is None:
            return
        if report.what == "served":
            asked.check = Check.SERVED
            self.log("result_data_served", deal=report.deal_id)
            return
        asked.check = Check.NONE
        asked.retry_at = Timestamp(now + min(LAST_RETRY_S, FIRST_RETRY_S << min(asked.failures, 6)))
        asked.failures += 1
        asked.trouble = _is_own(report.value)
        self.log("result_data_missing", deal=report.deal_id, failures=asked.failures, **figures_of(report.value))

    def _take_obtained(self, job: Job, obtained: Obtained, now: Timestamp) -> None:
        job.obtained, job.need, job.failures, job.stage = obtained, need_of(obtained.module.manifest), 0, Stage.READY

    def _take_found(self, job: Job, word: Word, now: Timestamp) -> None:
        job.word, job.stage, job.obtained, job.need, job.failures = word, Stage.DONE, None, NOTHING, 0
        self.log("job_rerun", deal=job.deal_id, vote=name_of(word.vote), reason=word.reason)

    def _take_failed(self, job: Job, error: Exception, now: Timestamp) -> None:
        job.stage, job.obtained, job.need = Stage.NEW, None, NOTHING
        job.retry_at = Timestamp(now + min(LAST_RETRY_S, FIRST_RETRY_S << min(job.failures, 6)))
        job.failures += 1
        job.trouble = _is_own(error)
        self.log("rerun_failed", deal=job.deal_id, failures=job.failures, **figures_of(error))

    def _take_busy(self, job: Job, _: None, now: Timestamp) -> None:
        job.stage, job.runs = Stage.READY, job.runs - 1

    def _take_cut_off(self, job: Job, detail: str, now: Timestamp) -> None:
        """The host, not the program, ended the run: nothing is known by it."""
        self.log("rerun_cut_off", deal=job.deal_id, detail=detail, runs=job.runs)
        if job.runs < MOST_RUNS:
            job.stage = Stage.READY
            return
        self._take_found(job, self.store.add_word(job.deal_id, Word(CANNOT_RUN, detail), now), now)


def _is_own(error: Exception) -> bool:
    """Whether a failure is this machine's or its connections', and says nothing about who should have served."""
    if isinstance(error, StoreFull):
        return True
    return not isinstance(error, (ContentError, ContentUnavailable, ContentRefused, ResultRefused, FieldInvalid))


def _word_of_refusal(refusal: Refusal) -> Word:
    """What content that earned a refusal by itself means for the vote."""
    return Word(CANNOT_RUN if refusal.reason in _CANNOT_RUN else MODULE_BROKEN, str(refusal))


def _require_result(tree: Mapping[str, bytes]) -> None:
    """A result directory has these three, and nothing but outputs beside them. Raises ResultRefused."""
    rest = {name for name in tree if not name.startswith("outputs/")}
    if rest != {"exitCode", "stdout", "stderr"}:
        raise ResultRefused("the data is no result directory")


_TAKERS: Mapping[str, Callable[[Bench, Job, Any, Timestamp], None]] = {
    "obtained": Bench._take_obtained,
    "found": Bench._take_found,
    "failed": Bench._take_failed,
    "busy": Bench._take_busy,
    "cut off": Bench._take_cut_off,
}
