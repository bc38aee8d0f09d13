"""Where the mediator gets terms and content: chain and registry for terms; relays and the provider's endpoint for content.

Calls block and are for worker threads. Nothing that anybody says counts before a hash proves it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from lilypad_agents.agents.provider.openings import OpeningReader
from lilypad_agents.agents.provider.registry import MODULES, Registry
from lilypad_agents.agents.runtime import http_signature
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.solver.client import SolverClient
from lilypad_agents.agents.solver.wire import MessageKind
from lilypad_agents.chain.errors import ContractReverted
from lilypad_agents.content.blocks import Store
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.sources import Source, fetch_blocking
from lilypad_agents.content.limits import Limits
from lilypad_agents.errors import ContentUnavailable, LilypadError
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import Address, DealId, VersionId
from lilypad_agents.protocol.terms import ModuleTerms

USERS = "LilypadUsers"
_about: ContextVar[Address | None] = ContextVar("provider", default=None)


class Sources:
    """Terms and content for the workers of one mediator."""

    def __init__(self, context: AgentContext, solvers: Sequence[SolverClient], seconds: float) -> None:
        """`seconds`: of one attempt at one source."""
        self._context = context
        self._solvers = list(solvers)
        self._seconds = seconds
        self._reader = OpeningReader(context.rpc, context.contracts)
        self._registry = Registry(context) if MODULES in context.contracts else None
        self._registry_lock, self._order_lock = threading.Lock(), threading.Lock()
        self._terms: dict[VersionId, ModuleTerms] = {}

    def terms(self, deal_id: DealId, deal: Deal, opened_tx: bytes) -> ModuleTerms | None:
        """The terms of the deal's module; None when nobody shows them. Raises ChainUnreachable, RpcError."""
        known = self._terms.get(deal.module)
        if known is None:
            opened = self._reader.read(deal, opened_tx)
            known = opened.terms if opened is not None else self._published(deal.module)
        if known is not None:
            self._terms[deal.module] = known
        return known

    def _published(self, version: VersionId) -> ModuleTerms | None:
        if self._registry is None:
            return None
        with self._registry_lock:
            self._registry.follow()
            found = self._registry.known.get(version)
        return None if found is None else found.terms

    @contextmanager
    def about(self, provider: Address) -> Iterator[None]:
        """Within it, `fetch` also asks the endpoints under which this provider is listed."""
        token = _about.set(provider)
        try:
            yield
        finally:
            _about.reset(token)

    def fetch(self, root: Cid, limits: Limits) -> None:
        """Brings a tree into the agent's store. Raises as `content.client.fetch` does."""
        self.fetch_into(self._context.store, root, limits)

    def fetch_into(self, store: Store, root: Cid, limits: Limits) -> None:
        """Brings a tree into a store from whoever has it. Raises as `content.client.fetch` does."""
        failure: LilypadError = ContentUnavailable(f"Nobody serves {root}.")
        for solver in list(self._solvers):
            try:
                return solver.fetch(root, store, limits=limits, seconds=self._seconds)
            except ContentUnavailable as error:
                failure = error
                self._put_back(solver)
        sources = [Source(url, self._sign) for url in self._endpoints(_about.get())]
        if sources:
            fetch_blocking(store, root, sources, limits=limits, seconds=self._seconds)
            return
        raise failure

    def _put_back(self, solver: SolverClient) -> None:
        """One that had nothing, or hangs, is asked last the next time."""
        with self._order_lock:
            self._solvers.remove(solver)
            self._solvers.append(solver)

    def _sign(self, request: http_signature.Signable) -> None:
        http_signature.sign(request, self._context.signer, int(time.time()))

    def _endpoints(self, provider: Address | None) -> list[str]:
        """Where the provider says that it answers, in the directory on chain."""
        if provider is None or USERS not in self._context.contracts:
            return []
        try:
            endpoints = self._context.contracts[USERS].call("userOf", provider)[2]
        except ContractReverted:
            return []
        return [str(url).rstrip("/") for url in endpoints if str(url).startswith(("http://", "https://"))]

    def tell(self, deal_id: DealId, body: Mapping[str, Any]) -> None:
        """Leaves a seat's evidence with every relay that takes it. Raises what the last one answered when none did."""
        failure: LilypadError | None = None
        taken = False
        for solver in self._solvers:
            try:
                solver.message(deal_id, MessageKind.SEAT, dict(body))
                taken = True
            except LilypadError as error:
                failure = error
        if not taken and failure is not None:
            raise failure

