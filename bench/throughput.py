"""Jobs a second, end to end, counted at settlement; writes bench/results/throughput.json. Run: python -m bench.throughput

One solver and two providers of a fresh devnet, real contracts and real wasm runs, eight creators that keep a window of jobs
in flight. Every job is a full one: its own inputs, a signed offer, a deal, a run in a sandboxed process, a result that
the creator downloads and verifies block by block, a signed acceptance, a settlement. Creators share the machine with
everything else. A job counts when the chain has its `DealAccepted`; the clock runs from the first offer to the last one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.gas_world import ROOT
from lilypad_agents.agents.creator.client import Creator
from lilypad_agents.agents.creator.delivery import limits_of, read_note, verify
from lilypad_agents.agents.creator.modules import ResolvedModule
from lilypad_agents.agents.creator.offers import OfferContext, SolverTerms, draft_offer, sign_offer
from lilypad_agents.agents.creator.request import Wishes
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.types import ChainId
from lilypad_agents.content.cid import Cid
from lilypad_agents.devnet.layout import MORE_CREATORS
from lilypad_agents.devnet.record import Record
from lilypad_agents.errors import LilypadError
from lilypad_agents.execution.inputs import make_inputs
from lilypad_agents.protocol.consent import Acceptance, by_own_key
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import DealId, hex_of
from lilypad_agents.protocol.terms import UNVERIFIED
from lilypad_agents.protocol.units import Bps, Nonce

JOBS = 800
WINDOW = 24  # jobs that one creator keeps in flight
MODULE = "cowsay:v0.0.1"
PAUSE_S = 0.5  # a look at inbox and chain takes what has come meanwhile
LOOK_S = 2.0  # between two looks at the memory of sandboxed jobs
LIMIT_S = 300.0
MIB = 2**20
TARGET_RATE, TARGET_RSS_MIB = 20.0, 120


@dataclass
class Tally:
    """What all creators have done so far. Times are seconds of one clock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    posted: int = 0
    verified: int = 0
    settled_at: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Customer:
    """One creator: keeps its window full, takes delivery, agrees, and counts settlements by the chain's logs."""

    def __init__(self, session: Session, module: ResolvedModule, jobs: int, tally: Tally) -> None:
        self.session = session
        self.module = module
        self.jobs = jobs
        self.tally = tally
        self.posted = self.settled = 0
        self.deals: dict[DealId, Deal] = {}
        self._seen_note = 0
        self._waiting_notes: dict[DealId, Any] = {}
        self._opened_from = self._settled_from = self._head()
        self._nonce = int.from_bytes(os.urandom(3), "big") << 8
        self._context = self._offer_context()

    def run(self, deadline: float) -> None:
        while self.settled < self.jobs and time.monotonic() < deadline:
            try:
                head = self._head()
                self._fill()
                self._take_deliveries(head)
                self._count_settlements(head)
            except LilypadError as error:
                with self.tally.lock:
                    self.tally.failures.append(f"{error.code}: {error.message}")
            time.sleep(PAUSE_S)

    def _fill(self) -> None:
        if self.posted < self.jobs and self.posted - self.settled < WINDOW:
            self._context = self._offer_context()
        while self.posted < self.jobs and self.posted - self.settled < WINDOW:
            self._post(f"job {self.posted} of {self.session.account}")
            self.posted += 1
            with self.tally.lock:
                self.tally.posted += 1

    def _post(self, message: str) -> None:
        session, module = self.session, self.module
        inputs = make_inputs(module.manifest, hex_of(module.version_id), {"Message": message}, {})
        self._nonce += 1
        wishes = Wishes(max_price=2 * 10**18, match_seconds=300, pool=UNVERIFIED)
        offer = draft_offer(module.manifest, module.terms, inputs.digest, wishes, self._context, Nonce(self._nonce))
        signature = sign_offer(offer, session.chain.domain, session.signer)
        session.solver.post_job_offer(offer, signature, module.terms, UNVERIFIED, Cid.raw(inputs.digest), inputs.document)

    def _take_deliveries(self, head: int) -> None:
        for opened in self.session.chain.opened(creator=self.session.account, since=self._opened_from):
            self.deals[opened.id] = opened.record
        self._opened_from = head  # logs from here on are read twice rather than missed
        for note in self.session.solver.inbox(self._seen_note):
            self._seen_note = max(self._seen_note, note.seq)
            self._waiting_notes[note.deal_id] = note.body
        for deal_id in [deal_id for deal_id in self._waiting_notes if deal_id in self.deals]:
            self._accept(deal_id, self._waiting_notes.pop(deal_id))

    def _accept(self, deal_id: DealId, body: Any) -> None:
        session, manifest = self.session, self.module.manifest
        note = read_note(body)
        if note is None:
            raise RuntimeError(f"a malformed note about deal {hex_of(deal_id)}")
        session.solver.fetch(note.data_id, session.store, limits=limits_of(manifest))
        delivered = verify(session.store, manifest, self.deals[deal_id], deal_id, note)
        digest = session.chain.domain.digest(Acceptance(deal_id, delivered.digest).struct_hash)
        session.solver.message(deal_id, "acceptance", {"signature": hex_of(by_own_key(session.signer.sign_digest(digest)))})
        with self.tally.lock:
            self.tally.verified += 1

    def _count_settlements(self, head: int) -> None:
        found = self.session.chain.accepted(self.session.account, self._settled_from)
        new = {deal_id for deal_id in found if self.deals.pop(deal_id, None) is not None}
        self._settled_from = head
        self.settled += len(new)
        with self.tally.lock:
            self.tally.settled_at += [time.monotonic()] * len(new)

    def _head(self) -> int:
        return int(self.session.rpc.request("eth_blockNumber"), 16)

    def _offer_context(self) -> OfferContext:
        session, info = self.session, self.session.solver_info
        return OfferContext(
            creator=session.account,
            token=session.token.address,
            solver=SolverTerms(info.address, Bps(info.fee_bps)),
            parameters=session.chain.parameters,
            settings=session.settings,
            time=session.chain.now(),
        )


class Watch(threading.Thread):
    """Memory and CPU of each agent while it is watched. What it started (sandboxed jobs) counts apart."""

    def __init__(self, record: Record) -> None:
        super().__init__(daemon=True)
        self.processes = {name: psutil.Process(part.identity.pid) for name, part in record.parts.items()}
        self.jobs_peak: dict[str, float] = {}
        self.stopped = threading.Event()
        self.servers = {name: process.children() for name, process in self.processes.items()}  # the fork servers
        self._before = self._cpu()

    def run(self) -> None:
        while not self.stopped.wait(LOOK_S):
            for name, servers in self.servers.items():
                jobs = [child for server in servers for child in (server, *server.children(recursive=True))]
                self.jobs_peak[name] = max(self.jobs_peak.get(name, 0.0), sum(map(_unique, jobs)) / MIB)

    def peak(self, name: str) -> float:
        """The largest resident memory of a process since its start, MiB; the system keeps it."""
        status = Path(f"/proc/{self.processes[name].pid}/status").read_text()
        return round(int(status.partition("VmHWM:")[2].split()[0]) / 1_024, 1)

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time since the watch began, by process; `jobs`: all that ran in sandboxes."""
        return {name: round(seconds - self._before[name], 1) for name, seconds in self._cpu().items()}

    def _cpu(self) -> dict[str, float]:
        found = {name: sum(process.cpu_times()[:2]) for name, process in self.processes.items()}
        servers = [server for started in self.servers.values() for server in started]
        return {**found, "jobs": sum(sum(server.cpu_times()[:4]) for server in servers)}


def _unique(process: psutil.Process) -> int:
    """Memory that only this process has: forked jobs share most of theirs."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


def measure(folder: Path, jobs: int) -> dict[str, Any]:
    record = Record.load(folder / ".devnet" / "devnet.json")
    assert record is not None
    settings = CreatorSettings.load(file=folder / ".devnet" / "creator.toml")
    tally, watch = Tally(), Watch(record)
    creators = [Creator(settings, signer=signer_from_test_mnemonic(index, ChainId(1337))) for index in MORE_CREATORS]
    module = creators[0].session.modules.resolve(MODULE)
    share = -(-jobs // len(creators))
    customers = [Customer(creator.session, module, share, tally) for creator in creators]
    watch.start()
    began, cpu_began = time.monotonic(), time.process_time()
    threads = [threading.Thread(target=customer.run, args=(began + LIMIT_S,)) for customer in customers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watch.stopped.set()
    watch.join()
    seconds = max(tally.settled_at, default=began) - began
    cpu = {**watch.cpu_seconds(), "creators": round(time.process_time() - cpu_began, 1)}
    report = {
        "jobs": share * len(customers),
        "settled": len(tally.settled_at),
        "verified": tally.verified,
        "creators": len(customers),
        "seconds": round(seconds, 2),
        "jobs_per_second": round(len(tally.settled_at) / seconds, 2) if seconds else 0.0,
        "rss_mib": {name: watch.peak(name) for name in watch.processes if name != "chain"},
        "chain_rss_mib": watch.peak("chain"),
        "sandboxed_jobs_mib": {name: round(size, 1) for name, size in watch.jobs_peak.items() if name.startswith("provider")},
        "cpu_seconds": cpu,
        "cpu_ms_per_job": round(1_000 * sum(cpu.values()) / max(1, len(tally.settled_at)), 1),
        "errors": len(tally.failures),
        "first_error": tally.failures[0] if tally.failures else None,
    }
    for creator in creators:
        creator.close()
    return report


def lilypad(folder: Path, *words: str) -> None:
    """Runs a command in `folder`. Raises RuntimeError with what it printed."""
    done = subprocess.run([sys.executable, "-m", "lilypad_agents.cli", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"lilypad {' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--no-write", action="store_true", help="only print the report")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lilypad-throughput-") as name:
        folder = Path(name)
        lilypad(folder, "devnet", "up", "--dir", name)
        try:
            found = measure(folder, options.jobs)
        finally:
            lilypad(folder, "devnet", "down")
    report = {
        "about": "jobs a second from first offer to last settlement, one solver, two providers, eight creators, "
        "all on this machine; repeat: python -m bench.throughput",
        "cores": os.cpu_count(),
        **found,
        "target_jobs_per_second": TARGET_RATE,
        "target_rss_mib": TARGET_RSS_MIB,
    }
    print(json.dumps(report, indent=2))
    if found["settled"] < found["jobs"]:
        raise SystemExit(f"only {found['settled']} of {found['jobs']} jobs were settled in time")
    if not options.no_write:
        (ROOT / "bench/results/throughput.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
