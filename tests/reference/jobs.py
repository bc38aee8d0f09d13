"""Jobs that contracts ask for. Protocol section 9: a request is its job offer, and has one outcome, whoever brings it.

The requester here is a client that approves its offer, asks, and answers callbacks unless it refuses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from lilypad_agents.protocol.lifecycle import Status
from tests.reference.deals import Deals
from tests.reference.ledger import Refused, require
from tests.reference.terms import JobOffer, Opening


class Outcome(IntEnum):
    NONE = 0
    FULFILLED = 1
    EXPIRED = 2
    CANCELLED = 3
    LATE = 4
    WRONG = 5
    NO_FAULT = 6
    CLOSED = 7


class State(IntEnum):
    NONE = 0
    REQUESTED = 1
    DELIVERED = 2
    CALLBACK_FAILED = 3


_OUTCOMES = {
    Status.ACCEPTED: Outcome.FULFILLED,
    Status.MEDIATION_ACCEPTED: Outcome.FULFILLED,
    Status.TIMED_OUT: Outcome.LATE,
    Status.MEDIATION_REJECTED: Outcome.WRONG,
    Status.NO_FAULT: Outcome.NO_FAULT,
    Status.CLOSED_BY_AGREEMENT: Outcome.CLOSED,
}


@dataclass
class Request:
    offer: JobOffer
    callback_gas: int
    state: State = State.REQUESTED
    outcome: Outcome = Outcome.NONE


@dataclass
class Client:
    """A contract that asks. `waiting`: requests whose answer it did not take yet."""

    address: str
    refuses: bool = False
    last_nonce: int = 0
    results: int = 0
    failures: int = 0
    waiting: set[bytes] = field(default_factory=set)


class Jobs:
    def __init__(self, deals: Deals, client: Client) -> None:
        self.deals, self.client = deals, client
        self.requests: dict[bytes, Request] = {}

    @property
    def now(self) -> int:
        return self.deals.clock.time

    def ask(self, offer: JobOffer, callback_gas: int) -> None:
        """`offer.nonce`: the client's next, which it fills in itself."""
        require(callback_gas <= 10_000_000, "CallbackGasTooHigh")
        require(self.now <= offer.expiry, "RequestExpired")
        require((offer.creator, offer.nonce) not in self.deals.ledger.cancelled, "RequestNonceSpent")
        self.client.last_nonce += 1
        self.client.waiting.add(offer.hash)
        self.requests[offer.hash] = Request(offer, callback_gas)

    def take_back(self, request_id: bytes) -> None:
        """Only while no answer was taken."""
        require(request_id in self.client.waiting, "RequestNotOurs")
        offer = self.requests[request_id].offer
        self.deals.ledger.cancel(offer.creator, False, offer.nonce)

    # ---- deliveries, by anyone

    def deliver(self, who: str, deal_id: bytes, opening: Opening, stdout: bytes, brought: bool) -> None:
        """`brought`: whether standard output, if it counts, comes along: everybody but the requester has to for a while."""
        deal = self.deals.all[deal_id]
        request = self._open(deal.record.job_hash)
        require(_OUTCOMES.get(deal.status) == Outcome.FULFILLED, "OutcomeNotDue")
        try:
            self.deals.matches(deal, opening)
        except Refused:
            raise Refused("ResultMismatch") from None
        free = who == request.offer.creator or self.now > deal.deadline + self.deals.parameters.reveal_window
        require(brought or not stdout or free, "StdoutMissing")
        self._conclude(deal.record.job_hash, request, Outcome.FULFILLED)

    def deliver_failure(self, deal_id: bytes) -> None:
        deal = self.deals.all[deal_id]
        request = self._open(deal.record.job_hash)
        outcome = _OUTCOMES.get(deal.status, Outcome.NONE)
        require(outcome not in (Outcome.NONE, Outcome.FULFILLED), "OutcomeNotDue")
        self._conclude(deal.record.job_hash, request, outcome)

    def deliver_unopened(self, offer: JobOffer) -> None:
        """No deal, and none can come: the nonce is unused, and the offer cancelled, below the floor, or expired."""
        request, ledger = self._open(offer.hash), self.deals.ledger
        require((offer.creator, offer.nonce) not in ledger.used, "RequestNonceSpent")
        floor = ledger.floors.get((offer.token, offer.creator), (0, 0))[0]
        gone = (offer.creator, offer.nonce) in ledger.cancelled or offer.nonce < floor
        require(gone or self.now > offer.expiry, "RequestStillOpen")
        found = Outcome.CANCELLED if gone else Outcome.EXPIRED
        kept = request.state == State.CALLBACK_FAILED  # what it was called first stays
        self._conclude(offer.hash, request, request.outcome if kept else found)

    def _open(self, request_id: bytes) -> Request:
        require(request_id in self.requests, "RequestUnknown")
        request = self.requests[request_id]
        require(request.state != State.DELIVERED, "RequestClosed")
        return request

    def _conclude(self, request_id: bytes, request: Request, outcome: Outcome) -> None:
        """A callback that fails changes nothing but the request's state; it may be tried again for ever."""
        client = self.client
        accepted = not client.refuses and request_id in client.waiting and request.callback_gas > 0
        request.state, request.outcome = State.DELIVERED if accepted else State.CALLBACK_FAILED, outcome
        if accepted:
            client.waiting.discard(request_id)
            if outcome == Outcome.FULFILLED:
                client.results += 1
            else:
                client.failures += 1
