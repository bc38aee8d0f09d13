"""Creators' notes about our deals: what they agreed to, checked by signature before any money depends on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lilypad_agents.agents.provider.messages import CLOSING, Agreed, read_agreement, read_closing
from lilypad_agents.agents.provider.store import ProviderStore
from lilypad_agents.agents.provider.view import ClosingOffer
from lilypad_agents.agents.provider.workshop import Job
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.solver.wire import Message
from lilypad_agents.protocol.consent import Proof, Scope
from lilypad_agents.protocol.ids import NOBODY, DealId
from lilypad_agents.protocol.lifecycle import Agreement

_KEPT_NOTES = 8  # of one deal whose result is not there yet

Find = Callable[[DealId], Job | None]


@dataclass
class Agreements:
    """Agreements by deal, kept in the store; notes that came before our result wait for it."""

    context: AgentContext
    store: ProviderStore
    closings: dict[DealId, ClosingOffer] = field(default_factory=dict)
    _known: dict[DealId, tuple[Agreement, bytes] | None] = field(default_factory=dict)
    _early: dict[DealId, deque[Message]] = field(default_factory=dict)
    _waiting: deque[Message] = field(default_factory=deque)

    def take(self, notes: Iterable[Message], find: Find) -> None:
        """Reads notes about deals of ours; what is malformed, forged or about another digest changes nothing.

        An error of the chain (a contract's signature is asked there) leaves what is not read for the next call.
        """
        self._waiting.extend(notes)
        while self._waiting:
            self._read(self._waiting[0], find)
            self._waiting.popleft()

    @property
    def waiting(self) -> bool:
        """Whether notes are left from a call that failed."""
        return bool(self._waiting)

    def result_is_there(self, job: Job) -> None:
        """The notes that came early are read at the next `take`."""
        self._waiting.extend(self._early.pop(job.deal_id, ()))

    def _read(self, note: Message, find: Find) -> None:
        job = find(note.deal_id)
        if job is None:
            return
        if note.kind == CLOSING:
            closing = read_closing(note.body, job.deal_id, job.deal, self.context.domain)
            if closing is not None:
                self.closings[job.deal_id] = closing
        elif job.result is None:
            early = self._early.setdefault(job.deal_id, deque(maxlen=_KEPT_NOTES))
            early.append(note)
        else:
            self._agree(note, job)

    def of(self, deal_id: DealId) -> tuple[Agreement, bytes]:
        """What the creator agreed to, and its signature argument."""
        if deal_id not in self._known:
            self._known[deal_id] = self.store.agreement(deal_id)
        return self._known[deal_id] or (Agreement.NONE, b"")

    def forget(self, deal_id: DealId) -> None:
        for table in (self.closings, self._known, self._early):
            table.pop(deal_id, None)

    def _agree(self, note: Message, job: Job) -> None:
        assert job.result is not None
        if self.of(job.deal_id)[0] is Agreement.WAIVER:
            return  # nothing says more
        digest = job.result.opening.opened.digest
        agreed = read_agreement(str(note.kind), note.body, job.deal_id, job.deal, digest, self.context.domain)
        if agreed is None:
            self.context.log("note_ignored", deal=job.deal_id, kind=str(note.kind))
        elif self._confirmed(agreed):
            self.store.add_agreement(job.deal_id, agreed.kind, agreed.signature)
            self._known.pop(job.deal_id, None)
            self.context.log("creator_agreed", deal=job.deal_id, kind=agreed.kind.name.lower())

    def _confirmed(self, agreed: Agreed) -> bool:
        """Whether the core counts it as well: asked for everything but a plain signature of the creator's own key."""
        consent = agreed.consent
        if consent.proof is Proof.KEY and not consent.by_delegate:
            return True
        speaker = self.context.core.call(
            "consentOf", consent.account, agreed.struct_hash, agreed.signature, int(Scope.ACCEPTANCE), block=self.context.head
        )
        return bool(speaker != NOBODY)
