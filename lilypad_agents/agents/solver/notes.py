"""Notes between the parties of a deal: small, only theirs, kept until the deal is over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lilypad_agents.agents.runtime.dealbook import DealView
from lilypad_agents.agents.solver.errors import BadRequest, Forbidden, RateLimited, TooLarge, WrongState
from lilypad_agents.agents.solver.parties import Parties
from lilypad_agents.agents.solver.store import SolverStore
from lilypad_agents.agents.solver.wire import MESSAGE_BYTES, Message, MessageKind
from lilypad_agents.protocol.ids import Address, DealId

MOST_OF_A_KIND = 8  # by one party in one deal
_WRITERS = {
    MessageKind.RESULT: ("provider",),
    MessageKind.ACCEPTANCE: ("creator",),
    MessageKind.WAIVER: ("creator",),
    MessageKind.CLOSING: ("creator", "provider"),
}


class Notes:
    """Takes and gives notes. Thread safe; `now` gives block time."""

    def __init__(self, store: SolverStore, parties: Parties, now: Callable[[], int]) -> None:
        self._store = store
        self._parties = parties
        self._now = now

    def post(self, deal_id: DealId, kind: str, body: Any, caller: Address) -> tuple[int, Address]:
        """Keeps a note; returns its sequence number and the account to which it goes. Repeating it is harmless.

        Raises NotFound, Forbidden, WrongState, BadRequest, TooLarge, RateLimited.
        """
        view = self._parties.deal(deal_id)
        if kind == MessageKind.SEAT:
            return self._post_seat(view, body, caller)
        account = self._parties.require_role(view, caller)
        if kind not in tuple(MessageKind):
            raise BadRequest(f"There is no kind of note {kind[:40]!r}.", field="kind", problem="unknown")
        role = "creator" if account == view.deal.creator else "provider"
        if role not in _WRITERS[MessageKind(kind)]:
            raise Forbidden(f"A note of the kind {kind} is not the {role}'s to write.", kind=kind, role=role)
        if not view.is_open:
            raise WrongState(f"The deal is {view.state.status.name}; nothing can be added.", state=view.state.status.name)
        receiver = view.deal.provider if role == "creator" else view.deal.creator
        return self._keep(deal_id, MessageKind(kind), account, receiver, body)

    def _post_seat(self, view: DealView, body: Any, caller: Address) -> tuple[int, Address]:
        """What a mediator found, for both parties, also after the deal has ended; not before it can help others to vote."""
        if not self._parties.has_judged(view, caller):
            raise Forbidden(f"{caller} has no seat in this deal whose commits are closed.", account=caller)
        return self._keep(view.id, MessageKind.SEAT, caller, view.deal.creator, body)

    def _keep(
        self, deal_id: DealId, kind: MessageKind, account: Address, receiver: Address, body: Any
    ) -> tuple[int, Address]:
        size = len(json.dumps(body, separators=(",", ":")).encode())
        if size > MESSAGE_BYTES:
            raise TooLarge(f"The note has {size} bytes, {MESSAGE_BYTES} are allowed.", found=size, allowed=MESSAGE_BYTES)
        seq = self._store.add_message(deal_id, kind, account, receiver, self._now(), body, MOST_OF_A_KIND)
        if seq is None:
            raise RateLimited(
                f"There are {MOST_OF_A_KIND} different notes of the kind {kind} already.", retry_after=60, what="notes"
            )
        return seq, receiver

    def of_deal(self, deal_id: DealId, caller: Address) -> list[Message]:
        """Raises NotFound, Forbidden."""
        self._parties.require_role(self._parties.deal(deal_id), caller)
        return self._store.messages(deal_id)

    def inbox(self, account: Address, caller: Address, after: int, limit: int) -> list[Message]:
        """Notes to an account, for whoever acts for it. Raises Forbidden."""
        if not self._parties.acts_for(account, caller):
            raise Forbidden(f"{caller} does not act for {account}.", account=caller)
        return self._store.inbox(account, after, limit)
