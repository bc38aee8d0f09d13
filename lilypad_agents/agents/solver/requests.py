"""Jobs asked for by contracts, at a solver: they enter the book like posted offers, and end with a word to who asked.

Offer and inputs stand in the event, terms in the registry, so nobody has to post anything. What is no inputs document is
never matched: its request expires with its money untouched. Protocol 9.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.provider.registry import Registry
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.runtime.loop import Observation
from lilypad_agents.agents.runtime.requests import Delivery, Requests
from lilypad_agents.agents.solver.service import SolverService
from lilypad_agents.agents.solver.settings import SolverSettings
from lilypad_agents.errors import ContentUnavailable, LilypadError
from lilypad_agents.execution.errors import InputsInvalid
from lilypad_agents.execution.inputs import read_document
from lilypad_agents.protocol.ids import Address, OfferHash, PoolId, VersionId, hex_of
from lilypad_agents.protocol.requests import JobRequest
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms

_AGAIN_S = 5.0  # a request that cannot be taken yet is looked at again
_FAILURES_EVERY_S = 2.0
_FAILURES_AFTER_S = 6  # of block time: the provider of a failed deal comes first


@dataclass
class Waiting:
    """A request that is not in the book; `why` was logged."""

    next_look: float = 0.0
    why: str = ""


class RequestDesk:
    """Takes requests into the book and reports those that ended without a result."""

    def __init__(self, context: AgentContext, settings: SolverSettings, service: SolverService) -> None:
        self._context = context
        self._settings = settings
        self._service = service
        self.requests = Requests(context)
        self._registry = Registry(context)
        self._waiting: dict[OfferHash, Waiting] = {}
        self._settled: set[OfferHash] = set()  # in the book, or never to be
        self._reported: dict[Address, deque[int]] = defaultdict(deque)  # block times of the last hour
        self._next_failures = 0.0

    def cycle(self, observation: Observation) -> bool:
        """One look; True when a request was taken."""
        self.requests.follow(observation.head)
        self._settled &= self.requests.open.keys()
        self._waiting = {id_: waiting for id_, waiting in self._waiting.items() if id_ in self.requests.open}
        taken = 0
        for request in list(self.requests.open.values()):
            taken += self._look_at(request)
        self._report_failures(observation)
        return taken > 0

    # ---- into the book

    def _look_at(self, request: JobRequest) -> int:
        if request.id in self._settled or request.terms.expiry < self._context.now:
            return 0
        if self._service.store.offer(request.id) is not None:
            self._settled.add(request.id)
            return 0
        waiting = self._waiting.setdefault(request.id, Waiting())
        if time.monotonic() < waiting.next_look:
            return 0
        try:
            self._take(request)
        except InputsInvalid as refused:
            self._settled.add(request.id)
            self._log("request_refused", request, refused)
            return 0
        except LilypadError as refused:  # not funded yet, terms not published yet, no room: it may change until it expires
            waiting.next_look = time.monotonic() + _AGAIN_S
            if str(refused) != waiting.why:
                waiting.why = str(refused)
                self._log("request_waits", request, refused)
            return 0
        self._waiting.pop(request.id, None)
        self._context.log("request_taken", request=request.id, requester=request.requester)
        return 1

    def _take(self, request: JobRequest) -> None:
        """Raises InputsInvalid for what is no document of its module, and what posting the offer raises."""
        read_document(request.inputs, module=hex_of(request.terms.module))
        module, pool = self._module(request.terms.module), self._pool(request.terms.pool)
        document: dict[str, Any] = {
            "offer": request.offer.to_json(),
            "signature": "0x",
            "module": module.to_json(),
            "pool": pool.to_json() if pool.is_verified else None,
            "document": hex_of(request.inputs),
        }
        self._service.post_job(document, request.requester)

    def _module(self, version: VersionId) -> ModuleTerms:
        if version not in self._registry.known:
            self._registry.follow()
        if version in self._registry.known:
            return self._registry.known[version].terms
        for entry in self._service.book.jobs():
            if entry.offer.module == version:
                return entry.module
        raise ContentUnavailable(f"Nobody published the terms of the module {hex_of(version)} here.", id=hex_of(version))

    def _pool(self, pool: bytes) -> PoolTerms:
        if not any(pool):
            return UNVERIFIED
        known = self._service.pools.terms(PoolId(pool))
        if known is None:
            raise ContentUnavailable(
                f"The terms of the pool {hex_of(pool)} are not known here: nobody staked in it, no job offer brought them, and the setting `pools` lacks them.",
                id=hex_of(pool),
            )
        return known

    # ---- failures

    def _report_failures(self, observation: Observation) -> None:
        now = time.monotonic()
        if not self.requests.open or now < self._next_failures or not observation.advance.caught_up:
            return
        self._next_failures = now + _FAILURES_EVERY_S
        deals = {request_id: self._context.deals.of_job_offer(request_id) for request_id in self.requests.open}
        for delivery in self.requests.failures(deals, observation.head, _FAILURES_AFTER_S):
            self._deliver(delivery)

    def _deliver(self, delivery: Delivery) -> None:
        if delivery.request.callback_gas > self._settings.callback_gas_most:
            return
        if self._context.outbox.status(delivery.key) is not None or not self._may_report(delivery.request.requester):
            return
        self._context.outbox.submit(delivery.key, self.requests.contract.address, delivery.data)
        self._context.log("failure_reported", request=delivery.request.id, outcome=delivery.outcome.name)

    def _may_report(self, requester: Address) -> bool:
        """Who makes requests that fail costs us more gas than itself, so it gets so many reports an hour."""
        reported, now = self._reported[requester], int(self._context.now)
        while reported and reported[0] <= now - 3_600:
            reported.popleft()
        if len(reported) >= self._settings.failures_per_hour:
            return False
        reported.append(now)
        return True

    def _log(self, event: str, request: JobRequest, error: LilypadError) -> None:
        self._context.log(event, request=request.id, requester=request.requester, **figures_of(error))

