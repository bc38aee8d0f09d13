"""Results of deals that contracts asked for, handed over to them once they are paid. Protocol 9.

Anyone could do it; the provider has the bytes and does it for its own deals as part of its loop. What it pays is gas, up to a limit
of its own. A failure of one of its deals it reports too.
"""

from __future__ import annotations

from collections import OrderedDict

from lilypad_agents.agents.provider.actor import Actor
from lilypad_agents.agents.provider.config import ProviderSettings
from lilypad_agents.agents.provider.errors import ResultLost
from lilypad_agents.agents.provider.store import ProviderStore, StoredResult
from lilypad_agents.agents.provider.view import Action
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.dealbook import DealView
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.runtime.requests import Delivery, Requests
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.dagpb import decode_node
from lilypad_agents.content.reader import read_file
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol.digest import Head, Part, content_of
from lilypad_agents.protocol.ids import ZERO, DealId, OfferHash, keccak256
from lilypad_agents.protocol.requests import MAX_INLINE_BYTES, JobOutcome, JobRequest, ResultParts, outcome_of

PROVED_BYTES = 16 * MAX_INLINE_BYTES  # standard output up to here is shown whole; more waits for the reveal window
_MOST_STREAM_BYTES = 2**26
_STREAMS = {Part.STDOUT: b"stdout", Part.STDERR: b"stderr"}
_MOST_ENDED = 10_000
_AGAIN_S = 30  # block time between two tries of a delivery that failed before it was sent


class Deliveries:
    """Hands over what became of our deals. Use on the loop's thread."""

    def __init__(
        self, context: AgentContext, requests: Requests, store: ProviderStore, actor: Actor, settings: ProviderSettings
    ) -> None:
        self._context = context
        self._requests = requests
        self._store = store
        self._actor = actor
        self._settings = settings
        self._not_before: dict[bytes, int] = {}
        self._ended: OrderedDict[OfferHash, DealId] = OrderedDict()  # deals of ours that are over, by their job offers

    def follow(self, head: ChainMoment, *, first: bool) -> None:
        """Reads what was asked for and answered up to `head`; at the `first` look also what of it our deals have ended.

        Everybody's requests are read, so later only ended deals of ours are looked at. Raises as LogCursor.advance does.
        """
        self._requests.follow(head)
        if first:
            for request_id in self._requests.open:
                for view in self._context.deals.of_job_offer(request_id):
                    self.note(view)

    def note(self, view: DealView) -> None:
        """Remembers a deal of ours that is over."""
        if view.deal.provider != self._context.address or view.is_open:
            return
        self._ended[OfferHash(view.deal.job_offer_hash)] = view.id
        while len(self._ended) > _MOST_ENDED:
            self._ended.popitem(last=False)

    def cycle(self, head: ChainMoment) -> int:
        """One look at the requests of our ended deals; returns how many deliveries were queued."""
        wanted = self._ended.keys() & self._requests.open.keys()
        return sum(self._look_at(self._requests.open[request_id], head) for request_id in wanted)

    def _look_at(self, request: JobRequest, head: ChainMoment) -> int:
        if request.callback_gas > self._settings.callback_gas_most or head.timestamp < self._not_before.get(request.id, 0):
            return 0
        view = self._context.deals.get(self._ended[request.id])  # a reorganisation may have undone its end
        if view is None or outcome_of(view.state.status) is JobOutcome.NONE:
            return 0
        try:
            delivery = self._delivery(request, view, head)
        except LilypadError as error:
            open_ = self._requests.open
            self._not_before = {id_: at for id_, at in self._not_before.items() if id_ in open_}
            self._not_before[request.id] = head.timestamp + _AGAIN_S
            self._context.log("delivery_impossible", alert=True, request=request.id, deal=view.id, **figures_of(error))
            return 0
        if delivery is None or self._context.outbox.status(delivery.key) is not None:
            return 0
        self._context.log("delivery_queued", request=request.id, deal=view.id, outcome=delivery.outcome.name)
        return self._actor.send_alone(delivery.key, Action.DELIVER, self._requests.contract, delivery.data)

    def _delivery(self, request: JobRequest, view: DealView, head: ChainMoment) -> Delivery | None:
        contract, outcome = self._requests.contract, outcome_of(view.state.status)
        if outcome is not JobOutcome.FULFILLED:
            return Delivery(request, outcome, contract.encode("deliverFailure", view.deal.words))
        stored = self._store.result(view.id)
        if stored is None:
            return None  # a lost database: who has the result may bring it
        parts, stdout = parts_of(self._context, stored)
        if len(stdout) > PROVED_BYTES:
            if head.timestamp <= view.changed_at + self._context.parameters.reveal_window:
                return None
            stdout = b""
        return Delivery(request, outcome, contract.encode("deliver", view.deal.words, parts, stdout))


def parts_of(context: AgentContext, stored: StoredResult) -> tuple[ResultParts, bytes]:
    """The parts that a result opens, and standard output where it counts, from the result directory in the store.

    Raises BlockMissing, ResultLost when the directory is not the one that was committed to.
    """
    opening = stored.opening
    mask = Head.unpack(opening.opened.head).mask
    entries = {link.name: link.cid for link in decode_node(context.store.get(opening.data_id)).links}
    streams = {part: _stream(context, entries.get(name)) for part, name in _STREAMS.items() if part in mask}
    hashes = {part: keccak256(data) for part, data in streams.items()}
    root = entries.get(b"outputs") if Part.OUTPUTS in mask else None
    outputs = None if root is None else root.digest
    if content_of(hashes.get(Part.STDOUT), hashes.get(Part.STDERR), outputs) != opening.opened.content:
        raise ResultLost("The stored result directory is not what was committed to.", data_id=str(opening.data_id))
    parts = ResultParts(
        opening.opened.head,
        hashes.get(Part.STDOUT, ZERO),
        hashes.get(Part.STDERR, ZERO),
        outputs or ZERO,
        opening.salt,
    )
    return parts, streams.get(Part.STDOUT, b"")


def _stream(context: AgentContext, cid: Cid | None) -> bytes:
    return b"" if cid is None else read_file(context.store, cid, _MOST_STREAM_BYTES)
