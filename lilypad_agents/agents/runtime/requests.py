"""What contracts asked for (`JobRequested`) and what was answered, from the events of LilypadJobs. Protocol 9.

Level-triggered like everything else: the events only say which requests exist and which are answered; whether one is over
is read from deals and nonces. Every agent can hand an outcome over; whoever comes first does it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.dealbook import DealView
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.contract import Contract, call_many
from lilypad_agents.chain.logs import CursorConfig, EventSource, LogCursor
from lilypad_agents.protocol.ids import Address, OfferHash
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.requests import JobOutcome, JobRequest, JobTerms, outcome_of

JOBS = "LilypadJobs"
_EVENTS = ("JobRequested", "JobDelivered", "CallbackFailed")
_MOST_LOOKED_AT = 200  # unopened requests whose nonces are read at once


@dataclass(frozen=True)
class Delivery:
    """A call of LilypadJobs that ends a request."""

    request: JobRequest
    outcome: JobOutcome
    data: bytes

    @property
    def key(self) -> str:
        """In the outbox: a request is answered once."""
        return f"deliver:{self.request.id.hex()}"


class Requests:
    """The requests that wait for their outcome, by id. A callback that failed is left to whoever wants it repeated."""

    def __init__(self, context: AgentContext) -> None:
        self.open: dict[OfferHash, JobRequest] = {}
        self._documents: dict[bytes, bytes] = {}
        self._uses: Counter[bytes] = Counter()  # open requests by the digest of their inputs: anybody can repeat another's
        self._cursor: LogCursor | None = None
        self._context = context
        self._head: bytes = b""
        self._turn = 0
        self._loaded = False
        if JOBS in context.contracts:
            contract = context.contracts[JOBS]
            self._cursor = LogCursor(
                context.database,
                context.rpc,
                [EventSource(contract.address, contract.abi, _EVENTS)],
                start_block=context.book.contract(JOBS).block,
                name="requests",
                config=CursorConfig(confirmations=context.settings.confirmations),
                notify=context.log,
            )

    @property
    def contract(self) -> Contract:
        """LilypadJobs. Raises DeploymentMismatch where there is none."""
        return self._context.contracts[JOBS]

    def follow(self, head: ChainMoment) -> bool:
        """Reads on to `head`; True when something changed. Raises as LogCursor.advance does."""
        if self._cursor is None or head.hash == self._head:
            return False
        advance = self._cursor.advance(head)
        if advance.caught_up:
            self._head = head.hash
        if not self._loaded or advance.reorganisation is not None:
            self.open, self._documents, self._uses = {}, {}, Counter()
            self._take(self._cursor.events())
            self._loaded = True
            return True
        self._take(advance.new_logs)
        return bool(advance.new_logs)

    def document(self, digest: bytes) -> bytes | None:
        """The inputs document of an open request, by its sha2-256: it came with the request's event."""
        return self._documents.get(digest)

    def _take(self, events: Iterable[DecodedEvent]) -> None:
        for event in events:
            request_id = OfferHash(event.args["requestId"])
            if event.name == "JobRequested":
                request = request_of(event.args)
                self._uses[request.inputs_digest] += request_id not in self.open
                self.open[request_id] = request
                self._documents[request.inputs_digest] = request.inputs
            else:
                request = self.open.pop(request_id, None)
                if request is not None:
                    self._forget(request.inputs_digest)

    def _forget(self, digest: bytes) -> None:
        """A request with these inputs is over; the document stays while another one needs it."""
        self._uses[digest] -= 1
        if self._uses[digest] <= 0:
            del self._uses[digest]
            self._documents.pop(digest, None)

    # ---- failures, which anybody can prove

    def failures(self, deals: Mapping[OfferHash, Sequence[DealView]], head: ChainMoment, wait_s: int) -> list[Delivery]:
        """Deliveries of requests that ended without a result at least `wait_s` seconds of block time ago.

        `deals`: those of each open request. Raises ChainUnreachable, RpcError.
        """
        found, unopened = [], []
        for request in self.open.values():
            kept = [view for view in deals.get(request.id, ()) if view.state.status is not Status.DECLINED]
            if not kept:
                unopened.append(request)
                continue
            outcome = outcome_of(kept[-1].state.status)
            if outcome not in (JobOutcome.NONE, JobOutcome.FULFILLED) and kept[-1].changed_at + wait_s <= head.timestamp:
                data = self.contract.encode("deliverFailure", kept[-1].deal.words)
                found.append(Delivery(request, outcome, data))
        return found + self._unopened(self._some(unopened), head, wait_s)

    def _some(self, requests: Sequence[JobRequest]) -> Sequence[JobRequest]:
        """At most so many of them, others each time: whoever fills the list with its own must not hide what comes behind."""
        if len(requests) <= _MOST_LOOKED_AT:
            return requests
        first = self._turn % len(requests)
        self._turn = first + _MOST_LOOKED_AT
        return (*requests[first : first + _MOST_LOOKED_AT], *requests[: max(0, self._turn - len(requests))])

    def _unopened(self, requests: Sequence[JobRequest], head: ChainMoment, wait_s: int) -> list[Delivery]:
        """Requests of which no deal can be opened any more: cancelled, or their last second passed."""
        if not requests:
            return []
        core = self._context.core
        asked = [core.prepare("jobNonce", request.requester, request.terms.nonce) for request in requests]
        asked += [core.prepare("accountOf", request.terms.token, request.requester) for request in requests]
        answers = call_many(self._context.rpc, asked, head)
        found = []
        for request, nonce, account in zip(requests, answers, answers[len(requests) :], strict=False):
            used, cancelled = nonce[0], nonce[1] or request.terms.nonce < account[2]
            if used or not (cancelled or request.terms.expiry + wait_s < head.timestamp):
                continue
            data = self.contract.encode("deliverUnopened", request.requester, request.terms, request.inputs_digest)
            found.append(Delivery(request, JobOutcome.CANCELLED if cancelled else JobOutcome.EXPIRED, data))
        return found


def request_of(arguments: Mapping[str, Any]) -> JobRequest:
    """The request of a `JobRequested` event."""
    return JobRequest(
        id=OfferHash(arguments["requestId"]),
        requester=Address(arguments["requester"]),
        terms=JobTerms(*arguments["terms"]),
        inputs=arguments["inputs"],
        callback_gas=int(arguments["callbackGas"]),
    )
