"""Creators' notes about our deals: what they agreed to, checked by signature before any money depends on it."""

from __future__ import annotations

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
    _early: dict[DealId, list[Message]] = field(default_factory=dict)

    def take(self, notes: Iterable[Message], find: Find) -> None:
        """Reads notes about deals of ours; what is malformed, forged or about another digest changes nothing."""
        for note in notes:
            job = find(note.deal_id)
            if job is None:
                continue
            if note.kind == CLOSING:
                closing = read_closing(note.body, job.deal_id, job.deal, self.context.domain)
                if closing is not None and note.sender != self.context.address:
                    self.closings[job.deal_id] = closing
            elif job.result is None:
                waiting = self._early.setdefault(job.deal_id, [])
                del waiting[: max(0, len(waiting) + 1 - _KEPT_NOTES)]
                waiting.append(note)
            else:
                self._agree(note, job)

    def result_is_there(self, job: Job) -> None:
        """Reads the notes that came early."""
        for note in self._early.pop(job.deal_id, ()):
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
