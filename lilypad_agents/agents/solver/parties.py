"""Who may act for whom in a deal: the accounts themselves, and keys to which they delegated something on chain."""

from __future__ import annotations

from typing import Protocol

from lilypad_agents.agents.runtime.dealbook import DealBook, DealView
from lilypad_agents.agents.solver.errors import Forbidden, NotFound
from lilypad_agents.agents.solver.facts import ChainFacts
from lilypad_agents.agents.solver.wire import ContentKind
from lilypad_agents.protocol.consent import Scope
from lilypad_agents.protocol.ids import Address, DealId, hex_of
from lilypad_agents.protocol.lifecycle import DisputeKind

ANY_SCOPE = Scope.OFFERS | Scope.RESULTS | Scope.ACCEPTANCE
# What a seat may have while it works: a result would tell it what to vote (protocol 5.4).
BEFORE_COMMITS = frozenset({ContentKind.INPUTS, ContentKind.MANIFEST, ContentKind.ARTEFACT})


class Seats(Protocol):
    """Which accounts sit in judgement over a deal. Both may raise RpcError or ChainUnreachable."""

    def sits(self, deal_id: DealId, account: Address, *, delivery: bool) -> bool:
        """Whether the account was drawn, in any round of the deal's dispute."""
        ...

    def may_see_result(self, deal_id: DealId, account: Address, *, delivery: bool) -> bool:
        """Whether it sits in a round whose commit window has closed (about delivery: whose data was named)."""
        ...


class NoSeats:
    """Of a deployment without a strategy that seats mediators."""

    def sits(self, deal_id: DealId, account: Address, *, delivery: bool) -> bool:
        return False

    def may_see_result(self, deal_id: DealId, account: Address, *, delivery: bool) -> bool:
        return False


class Parties:
    """Rights in deals. Thread safe. `seats` says which accounts are mediators who may see a deal's content now.

    Every method may raise RpcError or ChainUnreachable when it has to ask the chain about a delegate.
    """

    def __init__(self, deals: DealBook, facts: ChainFacts, seats: Seats | None = None) -> None:
        self._deals = deals
        self._facts = facts
        self._seats = seats or NoSeats()

    def acts_for(self, account: Address, caller: Address) -> bool:
        return self._facts.is_actor(account, caller, ANY_SCOPE)

    def role(self, view: DealView, caller: Address) -> Address | None:
        """The party (creator or provider) for which a key acts in a deal; None for strangers."""
        for account in (view.deal.creator, view.deal.provider):
            if account == caller:
                return account
        for account in (view.deal.creator, view.deal.provider):
            if self.acts_for(account, caller):
                return account
        return None

    def require_role(self, view: DealView, caller: Address) -> Address:
        """Raises Forbidden for strangers."""
        found = self.role(view, caller)
        if found is None:
            raise Forbidden(f"{caller} is no party of the deal {hex_of(view.id)}.", account=caller)
        return found

    def may_read(self, view: DealView, caller: Address, kind: str) -> bool:
        """Parties; mediators once they are seated, but nothing of a result before their commits are closed."""
        if self.role(view, caller) is not None:
            return True
        if view.state.kind is DisputeKind.NONE:
            return False
        if kind in BEFORE_COMMITS:
            return self._seats.sits(view.id, caller, delivery=view.state.kind is DisputeKind.DELIVERY)
        return self.has_judged(view, caller)

    def has_judged(self, view: DealView, caller: Address) -> bool:
        """Whether somebody sits in a round of the deal's dispute whose commits are closed."""
        if view.state.kind is DisputeKind.NONE:
            return False
        return self._seats.may_see_result(view.id, caller, delivery=view.state.kind is DisputeKind.DELIVERY)

    def deal(self, deal_id: bytes) -> DealView:
        """Raises NotFound."""
        view = self._deals.get(DealId(deal_id))
        if view is None:
            raise NotFound(f"This solver has seen no deal {hex_of(deal_id)}.", deal=hex_of(deal_id))
        return view
