"""Who may act for whom in a deal: the accounts themselves, and keys to which they delegated something on chain."""

from __future__ import annotations

from collections.abc import Callable

from lilypad_agents.agents.runtime.dealbook import DealBook, DealView
from lilypad_agents.agents.solver.errors import Forbidden, NotFound
from lilypad_agents.agents.solver.facts import ChainFacts
from lilypad_agents.protocol.consent import Scope
from lilypad_agents.protocol.ids import Address, DealId, hex_of

ANY_SCOPE = Scope.OFFERS | Scope.RESULTS | Scope.ACCEPTANCE
Seated = Callable[[DealView, Address], bool]


def nobody_seated(deal: DealView, account: Address) -> bool:
    """As long as no strategy seats mediators."""
    return False


class Parties:
    """Rights in deals. Thread safe. `seated` says whether an account is a mediator who may see a deal's content now.

    Every method may raise RpcError or ChainUnreachable when it has to ask the chain about a delegate.
    """

    def __init__(self, deals: DealBook, facts: ChainFacts, seated: Seated = nobody_seated) -> None:
        self._deals = deals
        self._facts = facts
        self._seated = seated

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

    def may_read(self, view: DealView, caller: Address) -> bool:
        """Parties, and mediators once they are seated."""
        return self.role(view, caller) is not None or self._seated(view, caller)

    def deal(self, deal_id: bytes) -> DealView:
        """Raises NotFound."""
        view = self._deals.get(DealId(deal_id))
        if view is None:
            raise NotFound(f"This solver has seen no deal {hex_of(deal_id)}.", deal=hex_of(deal_id))
        return view
