"""The scenes of the roles; see `tests.faults.scene` for what they have in common."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from lilypad_agents.agents.creator.client import Creator
from lilypad_agents.agents.creator.request import JobRequest, Wishes
from lilypad_agents.agents.creator.runner import FINAL
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.agents.mediator.run import run as run_mediator
from lilypad_agents.agents.provider.run import run as run_provider
from lilypad_agents.agents.solver.agent import run as run_solver
from lilypad_agents.agents.solver.client import SolverClient
from lilypad_agents.agents.solver.wire import PUBLIC
from lilypad_agents.chain.anvil import free_port
from lilypad_agents.chain.crash import CrashPlan
from lilypad_agents.chain.deployer import DeploymentFailed, RpcSender
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.content.cid import Cid
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol.consent import Waiver, by_own_key
from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.digest import Opened, commitment
from lilypad_agents.protocol.ids import DealId, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, Status
from lilypad_agents.protocol.opening import ResultOpening, Settling, settlements_of
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.agents.mediator.court import Case, Court, Mediator
from tests.agents.provider.harness import Stage
from tests.faults.ledger import events
from tests.faults.process import AgentProcess
from tests.faults.scene import READY_S, Scene
from tests.support.network import signer
from tests.support.solver import DOCUMENT, SOLVER_ACCOUNT, solver_settings

# ---- provider


class ProviderScene(Scene):
    """A provider behind a relay; deals are opened by hand, results accepted by hand."""

    role = "provider"
    states = ("agreed", "running", "submitted", "settling")

    def _make(self) -> AgentProcess:
        self.stage = Stage(self.network, self.relay, self.folder)
        self.accepts = True
        self._agreed: set[DealId] = set()
        return AgentProcess(self.folder / "provider", self._live)

    def _live(self, crash: CrashPlan) -> int:
        changes = {"rpc": (self.proxy.url,), "poll_interval_s": 0.1, "slots": 2} | self.changes | self.keys
        return run_provider(self.stage.options(**changes), signer=None if self.keys else self.key, crash=crash)

    @property
    def key(self) -> LocalSigner:
        return self.stage.provider

    def open(self, values: dict[str, Any] | None = None, *, module: str = "cowsay", **job: Any) -> DealId:
        deal_id, _ = self.stage.deal(values, module=module, **job)
        self.deals.append(deal_id)
        return deal_id

    def reach(self, state: str) -> None:
        if state == "agreed":
            self.relay.faults.add("no content")
            self.open({"Message": f"seed {self.rng.random()}"}, submit_window=120)
            return
        if state == "running":
            deal = self.open({"Limit": 150_000_000}, module="primes", submit_window=600)
            process = self.agent.data / "work" / "jobs" / deal.hex() / "process"
            self.until(lambda: process.exists() and process.read_bytes(), told="the job did not start")
            return
        self.accepts = False
        deal = self.open({"Message": f"seed {self.rng.random()}"}, submit_window=120, judge_window=60)
        self.until(lambda: self.status(deal) is Status.RESULTS_SUBMITTED and self.relay.of_kind(deal, "result"))
        if state == "settling":
            self.hold_blocks()
            self.accepts = True
            self.until(self.pending, told="no settlement was sent")

    def release(self) -> None:
        self.accepts = True
        super().release()

    def play(self) -> None:
        for deal in self.deals:
            if self.accepts and deal not in self._agreed and self.relay.of_kind(deal, "result"):
                self._agreed.add(deal)
                self.stage.accept(deal)


# ---- mediator


class MediatorScene(Scene):
    """A mediator with all seats of a pool; deals, results and their openings come by hand. Blocks come ten a second."""

    role = "mediator"
    states = ("challenged", "drawn", "committed", "revealed")
    seats = 20

    def _make(self) -> AgentProcess:
        self.court = Court(self.network, self.relay, self.folder, windows=(22, 12, 4))
        self.subject: Mediator = self.court.mediator(self.seats, start=False)
        self.cases: list[Case] = []
        self.others: list[AgentProcess] = []
        self.opens, self.fast = True, True
        return AgentProcess(self.subject.folder, self._live)

    def _live(self, crash: CrashPlan) -> int:
        changes = {"rpc": (self.proxy.url,), "poll_interval_s": 0.1} | self.changes | self.keys
        options = self.court.options(self.subject, **changes)
        return run_mediator(options, signer=None if self.keys else self.subject.key, crash=crash)

    @property
    def key(self) -> LocalSigner:
        return self.subject.key

    def challenge(self) -> Case:
        case = self.court.submitted(f"seed {self.rng.random()}")
        self.cases.append(case)
        self.deals.append(case.id)
        self.court.challenge(case)
        return case

    def reach(self, state: str) -> None:
        if state == "drawn":
            self.relay.faults.add("no content")
        self.opens = state != "committed"
        case = self.challenge()
        wanted = {"drawn": "SeatsDrawn", "committed": "Committed", "revealed": "Revealed"}.get(state)
        if wanted is not None:
            count = 1 if state == "drawn" else 3
            self.until(lambda: len(self.court.events(wanted, case)) >= count, told=f"no {wanted}")
        self.fast = False

    def release(self) -> None:
        self.opens = self.fast = True
        super().release()

    def add_mediator(self, seats: int) -> None:
        """Another mediator of the pool, whose loop is not under test."""
        other = self.court.mediator(seats, start=False)
        options = self.court.options(other, poll_interval_s=0.1)
        self.others.append(AgentProcess(other.folder, lambda crash: run_mediator(options, signer=other.key, crash=crash)))
        self.others[-1].start()

    def close(self) -> None:
        for other in self.others:
            other.kill()
        super().close()

    def play(self) -> None:
        for case in self.cases if self.opens else ():
            try:
                self.court.answer(case)
            except DeploymentFailed:  # its own opening before was mined only now
                continue
        if self.fast and self.agent.alive and not self.starting:  # the chain's clock must not overtake a restart
            self.mine()
            time.sleep(0.07)


class KeeperScene(MediatorScene):
    """A mediator without a stake, which takes the steps that anybody may take; another one has the seats."""

    role = "keeper"
    seats = 0

    def _make(self) -> AgentProcess:
        made = super()._make()
        self.seated = self.court.mediator(20, start=False)
        self.other = AgentProcess(self.seated.folder, self._live_seated)
        return made

    def _live_seated(self, crash: CrashPlan) -> int:
        options = self.court.options(self.seated, keeper=False, poll_interval_s=0.1)
        return run_mediator(options, signer=self.seated.key, crash=crash)

    def start(self, crash: CrashPlan | None = None, before: Callable[[], None] | None = None, *, ready: bool = True) -> float:
        if not self.other.alive:
            self.other.start()
        return super().start(crash, before, ready=ready)

    def close(self) -> None:
        self.other.kill()
        super().close()


# ---- solver


class SolverScene(Scene):
    """A solver; a creator and a provider by hand, who also carry the deal to its end."""

    role = "solver"
    states = ("waiting", "opening", "opened")

    def _make(self) -> AgentProcess:
        self.creator, self.provider = signer(1), signer(2)
        self.port = free_port()  # the same over all lives, as clients know it
        self.network.fund([self.creator.address, self.provider.address])
        self.jobs: list[Any] = []
        self._wanted: Any = None
        self._earlier = 0  # deals of jobs that are forgotten
        self._resource: Any = None
        self.offers_resource = True
        self._clients: dict[str, SolverClient] = {}
        self._served: set[DealId] = set()
        return AgentProcess(self.folder / "solver", self._live)

    def _live(self, crash: CrashPlan) -> int:
        changes = {"rpc": (self.proxy.url,), "port": self.port, "data": self.folder / "solver"} | self.changes | self.keys
        return run_solver(solver_settings(self.network, self.folder / "solver", **changes), crash=crash)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> LocalSigner:
        return signer(SOLVER_ACCOUNT)

    def client(self, key: LocalSigner) -> SolverClient:
        if key.address not in self._clients:
            self._clients[key.address] = SolverClient(self.url, key, 5.0)
        return self._clients[key.address]

    def offer_job(self, **changes: Any) -> Any:
        """A job offer that stands with the solver."""
        module = self.network.module()
        changes = {"inputs": hashlib.sha256(DOCUMENT).digest(), "submit_window": 120} | changes
        offer = self.network.job(self.creator.address, module, **changes)
        self._post(offer)
        return offer

    def _post(self, offer: Any) -> None:
        self.client(self.creator).post_job_offer(
            offer, self.network.sign(offer, self.creator), self.network.module(), UNVERIFIED, document=DOCUMENT
        )
        self.jobs.append((offer, self.network.module()))

    def want_job(self) -> None:
        """A job that `play` posts until the solver has taken it, as its creator would."""
        module = self.network.module()
        self._wanted = self.network.job(
            self.creator.address, module, inputs=hashlib.sha256(DOCUMENT).digest(), submit_window=120
        )

    def forget(self) -> None:
        """Leaves the jobs of earlier lives behind; their deals are over."""
        self.jobs.clear()
        self._earlier = len(self.deals)
        self._wanted = self._resource = None

    def offer_resource(self) -> None:
        if self._resource is None:
            self._resource = self.network.resource(self.provider.address)
        offer = self._resource
        self.client(self.provider).post_resource_offer(offer, self.network.sign(offer, self.provider))

    def reach(self, state: str) -> None:
        self.offers_resource = state != "waiting"
        if state == "opening":
            self.hold_blocks()
        self.offer_job()
        if state != "waiting":
            self.offer_resource()
        if state == "opening":
            self.until(self.pending, told="no opening was sent")
        if state == "opened":
            self.until(lambda: self.deals, told="no deal was opened")

    def release(self) -> None:
        self.offers_resource = True
        super().release()

    def play(self) -> None:
        self._look()
        try:  # people tell a solver again what it may have lost; the same offer is the same offer
            if self._wanted is not None and not self.jobs:
                self._post(self._wanted)
            if self.offers_resource and self.jobs and len(self.deals) == self._earlier:
                self.offer_resource()
        except LilypadError:
            time.sleep(0.1)

    def _look(self) -> None:
        """Takes note of deals on the chain."""
        self.deals = [event["dealId"] for event in events(self.network, "Lilypad", "DealOpened")]

    def ended(self) -> bool:
        for deal in self.deals:
            if deal not in self._served and self.status(deal) is Status.AGREED:
                self._served.add(deal)
                self._serve(deal)
        return len(self.deals) - self._earlier >= max(1, len(self.jobs)) and super().ended()

    def _serve(self, deal_id: DealId) -> None:
        """The provider's result and the creator's waiver, by hand; after the submit deadline the claim of its timeout."""
        (record,) = [e["record"] for e in events(self.network, "Lilypad", "DealOpened") if e["dealId"] == deal_id]
        if self.network.now() > DealState.of(self.network.contracts.core.call("dealOf", deal_id)).deadline:
            self.network.send(0, "LilypadResolver", "timeoutSubmit", record)
            return
        deal, opened, salt = Deal.from_words(record), Opened(bytes(32), b"\x01" * 32), keccak256(b"salt" + deal_id)
        self.network.send(2, "Lilypad", "submitResult", deal_id, commitment(deal_id, deal.provider, opened.digest, salt))
        waiver = Waiver(deal_id=deal_id, result_digest=opened.digest)
        signed = by_own_key(self.creator.sign_digest(self.network.domain.digest(waiver.struct_hash)))
        opening = ResultOpening(opened.head, opened.content, salt)
        settling = Settling(deal, opening, Agreement.WAIVER, signed)
        self.network.send(2, "Lilypad", "settle", settlements_of([settling])[0])

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        super().close()


# ---- creator


class CreatorScene(Scene):
    """`lilypad run` as a process: signs, posts, waits, fetches, verifies, accepts. A real solver and a real provider serve it."""

    role = "creator"
    states = ("posted", "opened", "delivered")

    def _make(self) -> AgentProcess:
        self.stage = Stage(self.network, self.relay, self.folder)
        self.solver_port = free_port()
        self.solver = AgentProcess(self.folder / "solver", self._live_solver)
        self.provider = AgentProcess(self.folder / "provider", self._live_provider)
        self.module = self.stage.module()
        self.values: dict[str, Any] = {}
        self.honest = True  # whether an ordinary provider serves the jobs
        self.pool = UNVERIFIED
        self.clients: list[SolverClient] = []
        return AgentProcess(self.folder / "creator", self._live)

    @property
    def solver_url(self) -> str:
        return f"http://127.0.0.1:{self.solver_port}"

    def _live_solver(self, crash: CrashPlan) -> int:
        return run_solver(solver_settings(self.network, self.folder / "solver", port=self.solver_port), crash=crash)

    def _live_provider(self, crash: CrashPlan) -> int:
        options = self.stage.options(solver_urls=(self.solver_url,), unit_price=0, poll_interval_s=0.1)
        return run_provider(options, signer=self.stage.provider)

    def _live(self, crash: CrashPlan) -> int:
        """The command; a later one carries the job of an earlier one on, as `lilypad job resume` does."""
        values = {
            "data": self.folder / "creator", "state": self.folder / "state", "rpc": (self.proxy.url,), "match_s": 300,
            "address_book": self.network.book_path, "solvers": (self.solver_url,), "results": self.folder / "results",
            "judge_window_s": 60,
        } | self.changes  # fmt: skip
        session = Session(CreatorSettings(**values), signer=self.key, crash=crash)
        with Creator(session.settings, session=session) as creator:
            known = session.journal.list()
            if known:
                job = known[0]
            else:
                wishes = Wishes(pool=self.pool, submit_window=600 if "Limit" in self.values else 120)
                reference = str(Cid.raw(self.module.manifest.digest))
                prepared = creator.prepare(JobRequest(reference, self.values, {}, wishes))
                job = creator.start(prepared, creator.check_price(prepared))
            outcome = creator.runner(job).wait(FINAL, seconds=120)
            if outcome.error is not None:
                raise outcome.error
            return 0 if outcome.status in self.endings else 4

    @property
    def key(self) -> LocalSigner:
        return self.stage.creator

    def start(self, crash: CrashPlan | None = None, before: Callable[[], None] | None = None, *, ready: bool = True) -> float:
        """Starts the others the first time; the command itself starts in `reach`, with this plan, or is started again."""
        began = time.monotonic()
        self._plan, self._before = crash, before
        if not self.solver.pid:
            self._start_others()
        elif not self.agent.alive:
            self.agent.start(crash, before)
        return time.monotonic() - began

    def _start_others(self) -> None:
        self.solver.start()
        super().until(lambda: self.solver.ready, READY_S)
        client = self.new_client(self.stage.creator)
        for name in ("cowsay", "primes"):
            module = self.stage.module(name)
            for cid in (Cid.raw(module.manifest.digest), Cid.parse(module.manifest.wasm.module)):
                client.put_content(cid, self.relay.store, PUBLIC)
        if self.honest:
            self.add_provider()

    def add_provider(self) -> None:
        """Starts the ordinary provider, and returns when its offer stands."""
        self.provider.start()
        offers = lambda: self.clients[0].offers(kind="resource").items  # noqa: E731
        super().until(offers, READY_S, "the provider offers nothing")

    def new_client(self, key: LocalSigner) -> SolverClient:
        self.clients.append(SolverClient(self.solver_url, key))
        return self.clients[-1]

    def by_provider(self, contract: str, function: str, *arguments: Any) -> None:
        """A transaction of the provider's account, where no process sends for it."""
        target = self.network.contracts[contract]
        sender = RpcSender(self.network.rpc, self.stage.provider, self.network.book.chain_id)
        sender.send(target.address, target.encode(function, *arguments))

    def reach(self, state: str) -> None:
        if state == "opened":
            self.module, self.values = self.stage.module("primes"), {"Limit": 150_000_000}
        else:
            self.values = {"Message": f"seed {self.rng.random()}"}
        if state == "posted":
            self.hold_blocks()
        self.agent.start(self._plan, self._before)
        if state == "posted":
            self.until(self.pending, told="no opening was sent")
        if state == "opened":
            self.until(lambda: self.deals, told="no deal was opened")
        if state == "delivered":
            self.until(lambda: self.deals and self.status(self.deals[0]) is not Status.AGREED)

    def play(self) -> None:
        self.deals = [event["dealId"] for event in events(self.network, "Lilypad", "DealOpened")]
        if self.reruns and self.agent.pid and not self.agent.alive and self.agent.code != 0:
            time.sleep(0.3)
            self.agent.start()  # as its user does who reads how to resume

    def ended(self) -> bool:
        return self.agent.code == 0 and super().ended()

    def ready(self) -> bool:
        return self.agent.alive or self.agent.code == 0

    def troubled(self, reason: str = "") -> bool:
        return not self.agent.alive and self.agent.code != 0

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.solver.kill()
        self.provider.kill()
        super().close()


SCENES: dict[str, type[Scene]] = {
    made.role: made for made in (ProviderScene, MediatorScene, KeeperScene, SolverScene, CreatorScene)
}
