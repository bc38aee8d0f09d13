"""Where the workers get what a deal needs and bring what it made: chain and registry first, then any solver's relay.

Calls block and are for worker threads. Nothing that a relay says counts before a hash proves it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lilypad_agents.agents.provider.desk import Desk, relay_order
from lilypad_agents.agents.provider.library import Obtained, module_roots
from lilypad_agents.agents.provider.openings import Opened, OpeningReader, opened_from
from lilypad_agents.agents.provider.registry import Registry
from lilypad_agents.agents.provider.store import StoredResult
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.requests import Requests
from lilypad_agents.agents.solver.wire import PUBLIC, ContentKind, MessageKind, Scope
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import PushRefused
from lilypad_agents.content.limits import Limits
from lilypad_agents.errors import ContentUnavailable, LilypadError
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import DealId, PoolId, VersionId
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms

FETCH_S = 20.0
PATIENCE_S = 1.6  # for a relay that has not read the block of our deal yet
_FIRST_PAUSE_S = 0.05


class Sources:
    """Terms, offers and content for the workers of one provider."""

    def __init__(
        self,
        context: AgentContext,
        desks: Sequence[Desk],
        registry: Registry | None,
        requests: Requests,
        pools: Iterable[PoolTerms] = (),
    ) -> None:
        self._context = context
        self._desks = desks
        self._registry = registry
        self._requests = requests
        self._reader = OpeningReader(context.rpc, context.contracts)
        self._pools = {pool.id: pool for pool in pools}
        self._terms: dict[VersionId, ModuleTerms] = {}
        self._told: dict[DealId, Opened | None] = {}
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ends the waiting between attempts."""
        self._stopped.set()

    # ---- terms and offers

    def terms(self, deal_id: DealId, deal: Deal) -> ModuleTerms | None:
        """The terms of the deal's module; None when nobody shows them. Raises ChainUnreachable, RpcError."""
        known = self._terms.get(deal.module)
        if known is None and self._registry is not None and deal.module in self._registry.known:
            known = self._registry.known[deal.module].terms
        if known is None:
            opened = self.opened(deal_id)
            known = None if opened is None else opened.terms
        if known is not None:
            self._terms[deal.module] = known
        return known

    def opened(self, deal_id: DealId) -> Opened | None:
        """Job offer and terms of a deal, proven by its record: from the opening's calldata, else from a solver."""
        entry = self._context.deals.get(deal_id)
        if entry is None:
            return None
        found = self._reader.read(entry.deal, entry.opened_tx)
        if found is None:
            found = self._told[deal_id] = self._opened_by_word(deal_id, entry.deal)
        return found

    def opened_at_once(self, deal_id: DealId) -> Opened | None:
        """As `opened`, without waiting for a solver: what one told before, or None and one is asked beside the loop."""
        entry = self._context.deals.get(deal_id)
        if entry is None:
            return None
        found = self._told.get(deal_id) or self._reader.read(entry.deal, entry.opened_tx)
        if found is None and deal_id not in self._told:
            self._told[deal_id] = None
            threading.Thread(target=self._ask_about, args=(deal_id,), name="asking", daemon=True).start()
        return found

    def _ask_about(self, deal_id: DealId) -> None:
        try:
            if self.opened(deal_id) is None:
                self._told.pop(deal_id, None)  # to be asked again
        except LilypadError:
            self._told.pop(deal_id, None)

    def _opened_by_word(self, deal_id: DealId, deal: Deal) -> Opened | None:
        for desk in relay_order(self._desks):
            try:
                view = desk.client.deal(deal_id)
            except LilypadError:
                continue
            if view.job is not None and view.module is not None:
                opened = opened_from(view.job, view.module, deal)
                if opened is not None:
                    return opened
        return None

    def pool(self, deal_id: DealId, deal: Deal) -> PoolTerms | None:
        """The terms of the pool that judges a deal: of the settings, else from the opening's calldata."""
        known = self._pools.get(PoolId(deal.pool))
        entry = self._context.deals.get(deal_id)
        if known is None and entry is not None:
            known = self._reader.pool(deal, entry.opened_tx)
            if known is not None:
                self._pools[known.id] = known
        return known

    # ---- content

    def fetch(self, root: Cid, limits: Limits) -> None:
        """Brings a tree into the store: from the chain, if a contract's request carries it, else from whichever relay has it.

        Raises as `content.client.fetch` does.
        """
        document = self._requests.document(root.digest) if root.is_raw else None
        if document is not None:
            self._context.store.put(root, document)
            return

        def from_one(desk: Desk) -> None:
            desk.client.fetch(root, self._context.store, limits=limits, seconds=FETCH_S)

        self._from_any(from_one, (ContentUnavailable,), f"No relay serves {root}.")

    def deliver(self, deal_id: DealId, deal: Deal, result: StoredResult, note: Mapping[str, Any]) -> None:
        """Pushes the result to a relay and leaves the note for the creator there. Raises what the last relay answered."""
        scope = Scope("deal", deal_id)

        def to_one(desk: Desk) -> None:
            desk.client.put_content(result.opening.data_id, self._context.store, scope, ContentKind.RESULT)
            desk.client.message(deal_id, MessageKind.RESULT, dict(note))

        self._from_any(to_one, (LilypadError,), "No relay takes the result.")

    def serve(self, deal_id: DealId, obtained: Obtained, result: StoredResult) -> None:
        """Pushes all that a judgement of the deal needs: module, inputs, result. Raises what the last relay answered.

        Inputs and result are for those who may see the deal; the relay lets seats have the result when they have committed.
        """
        scope, store = Scope("deal", deal_id), self._context.store

        def to_one(desk: Desk) -> None:
            for root in module_roots(obtained.module.manifest):
                desk.client.put_content(root, store, PUBLIC, ContentKind.OTHER)
            for root in obtained.roots:
                desk.client.put_content(root, store, scope, ContentKind.INPUTS)
            desk.client.put_content(result.opening.data_id, store, scope, ContentKind.RESULT)

        self._from_any(to_one, (LilypadError,), "No relay takes what the dispute needs.")

    def _from_any(self, attempt: Callable[[Desk], None], passing: tuple[type[LilypadError], ...], nobody: str) -> None:
        """Tries every relay, and again for a moment: a relay may hear of a deal a little later than we do."""
        pause, waited = _FIRST_PAUSE_S, 0.0
        while True:
            failure: LilypadError = PushRefused(nobody) if passing == (LilypadError,) else ContentUnavailable(nobody)
            for desk in relay_order(self._desks):
                try:
                    return attempt(desk)
                except passing as error:
                    failure = error
            if waited >= PATIENCE_S or self._stopped.wait(pause):
                raise failure
            waited, pause = waited + pause, pause * 2
