"""A running solver over a network of its own or a shared one, and people who use it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from lilypad_agents.agents.runtime import http_signature
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.loop import AgentLoop
from lilypad_agents.agents.solver.agent import SolverAgent, assemble
from lilypad_agents.agents.solver.client import SolverClient
from lilypad_agents.agents.solver.server import ApiServer
from lilypad_agents.agents.solver.service import SolverService
from lilypad_agents.agents.solver.settings import SolverSettings
from lilypad_agents.agents.solver.wire import OfferView
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.protocol.ids import OfferHash
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms
from tests.support.chain import A_BLOCK_S
from tests.support.network import Network, signer

DOCUMENT = b'{"inputs":{}}'
SOLVER_ACCOUNT = 5


def eventually(what: Callable[[], Any], timeout_s: float = 15.0, told: str = "") -> Any:
    """The first true answer of `what`; fails when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = what()
        if found:
            time.sleep(A_BLOCK_S)
            return found
        if time.monotonic() > deadline:
            raise AssertionError(told or f"not within {timeout_s} s")
        time.sleep(0.02)


@dataclass
class RunningSolver:
    """One solver: its parts, its address, and clients that sign for an account."""

    network: Network
    settings: SolverSettings
    context: AgentContext
    service: SolverService
    agent: SolverAgent
    loop: AgentLoop
    server: ApiServer
    thread: threading.Thread | None = None
    failure: list[BaseException] = field(default_factory=list)
    _clients: dict[str, SolverClient] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.url

    def start(self) -> RunningSolver:
        self.server.start()
        self.agent.serve(self.server)

        def run() -> None:
            try:
                self.loop.run(signals=False)
            except BaseException as error:
                self.failure.append(error)

        self.thread = threading.Thread(target=run, name="solver-loop", daemon=True)
        self.thread.start()
        eventually(lambda: self.loop.cycles > 0 or self.failure)
        return self

    def stop(self) -> None:
        for client in self._clients.values():
            client.close()
        if self.thread is not None:
            self.loop.stop()
            self.thread.join(10)
            assert not self.thread.is_alive()
        self.server.stop()
        self.context.close()

    def client(self, key: LocalSigner | None) -> SolverClient:
        name = key.address if key else ""
        if name not in self._clients:
            self._clients[name] = SolverClient(self.url, key, 8.0)
        return self._clients[name]

    # ---- people

    def offer_job(self, key: LocalSigner, module: ModuleTerms | None = None, document: bytes = DOCUMENT, **changes: Any) -> JobOffer:
        module = module or self.network.module()
        offer = self.network.job(key.address, module, **{"inputs": hashlib.sha256(document).digest(), **changes})
        self.post_job(key, offer, module, document)
        return offer

    def post_job(self, key: LocalSigner, offer: JobOffer, module: ModuleTerms, document: bytes = DOCUMENT) -> OfferHash:
        return self.client(key).post_job_offer(
            offer, self.network.sign(offer, key), module, UNVERIFIED, document=document
        )

    def offer_resource(self, key: LocalSigner, **changes: Any) -> ResourceOffer:
        offer = self.network.resource(key.address, **changes)
        self.client(key).post_resource_offer(offer, self.network.sign(offer, key))
        return offer

    def wait(self, key: LocalSigner, offer: JobOffer | ResourceOffer, *states: str) -> OfferView:
        """The offer once it is in one of the states."""
        last: list[OfferView] = []

        def look() -> OfferView | None:
            last[:] = [self.client(key).offer(offer.struct_hash)]
            return last[0] if last[0].state in states else None

        try:
            return eventually(look)
        except AssertionError:
            raise AssertionError(f"the offer is {last[0].state}, not {states}: {last[0].reason}") from None

    # ---- raw requests

    def request(
        self,
        method: str,
        path: str,
        key: LocalSigner | None = None,
        *,
        body: Any = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        created: int | None = None,
        nonce: str | None = None,
        alter: Callable[[httpx.Request], None] | None = None,
    ) -> httpx.Response:
        """One request as it is told, signed if there is a key, altered after signing if told so."""
        made = httpx.Request(method, f"{self.url}{path}", json=body, content=content, headers=headers)
        if key is not None:
            http_signature.sign(made, key, int(time.time()) if created is None else created, nonce)
        if alter is not None:
            alter(made)
        with httpx.Client(trust_env=False, timeout=20) as http:
            return http.send(made)


def solver_settings(network: Network, folder: Path, **changes: Any) -> SolverSettings:
    """Settings of a solver for tests: a free port, its own folder, no waiting for disks."""
    usual = {
        "data": folder,
        "state": folder / "state",
        "rpc": (network.chain.url,),
        "address_book": network.book_path,
        "test_account": SOLVER_ACCOUNT,
        "port": 0,
        "log_stderr": False,
        "durable_content": False,
        "reserve_bytes": 0,
        "poll_interval_s": 0.1,
        "account_rate": 10_000.0,
        "account_burst": 100_000,
        "address_rate": 10_000.0,
        "address_burst": 100_000,
    }
    return SolverSettings.load(flags={**usual, **changes})


def open_solver(network: Network, folder: Path, **changes: Any) -> RunningSolver:
    """A solver that is assembled but not running."""
    settings = solver_settings(network, folder, **changes)
    context = AgentContext.open(settings, all_deals=True)
    service, agent, loop = assemble(context, settings)
    return RunningSolver(network, settings, context, service, agent, loop, ApiServer(service, settings))


def people(network: Network, *indexes: int, amount: int = 1_000 * 10**18) -> list[LocalSigner]:
    """Accounts of the test mnemonic with free credit."""
    found = [signer(index) for index in indexes]
    network.fund([key.address for key in found], amount)
    return found


