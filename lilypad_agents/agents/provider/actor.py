"""Turns the provider's intents into transactions: batches of what is due, each deal in at most one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.intents import Intent
from lilypad_agents.agents.provider.openings import Opened
from lilypad_agents.agents.provider.store import ProviderStore, StoredResult
from lilypad_agents.agents.provider.view import Action, ClosingOffer
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.sending import Sender
from lilypad_agents.chain.abi import AbiError
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.outbox import Receipt
from lilypad_agents.protocol.consent import Closing, by_own_key
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.lifecycle import Agreement
from lilypad_agents.protocol.opening import Settling, closing_of, settlements_of, waived_at_once

_STEPS = {
    Action.TIMEOUT_SUBMIT: "timeoutSubmit",
    Action.TIMEOUT_REVEAL: "timeoutReveal",
    Action.TIMEOUT_MEDIATION: "timeoutMediation",
}
_URGENT_S = 5
GATHER_S = 0.25  # between two batches of one kind, so that deals that end close together share a transaction


@dataclass(frozen=True)
class Subject:
    """What an action needs of a deal beside the intent."""

    id: DealId
    deal: Deal
    result: StoredResult | None = None
    signature: bytes = b""  # of the creator's agreement
    closing: ClosingOffer | None = None

    @property
    def commitment(self) -> int:
        assert self.result is not None
        return self.result.opening.commitment(self.id, self.deal)


@dataclass(frozen=True)
class Call:
    """A transaction to be: whom it goes to, and its calldata."""

    contract: Contract
    data: bytes


DisputeCalls = Callable[[Intent], Call | None]
Subjects = Callable[[DealId], Subject]
OpenedOf = Callable[[DealId], Opened | None]


class Actor(Sender[Action]):
    """Sends for one provider. Used by the loop's thread alone."""

    def __init__(
        self,
        context: AgentContext,
        store: ProviderStore,
        config: ProviderConfig,
        crash: CrashPlan = NEVER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(context, store, Action, "provider", crash)
        self._config = config
        self._clock = clock
        self._sent_at: dict[Action, float] = {}
        self.gathering = False  # something waits to travel with what comes next

    # ---- outcomes

    def _note_mined(self, entries: Sequence[tuple[DealId, Action]], receipt: Receipt) -> None:
        super()._note_mined(entries, receipt)
        skipped = self._skipped(receipt)
        if skipped:
            self._context.log("batch_left_deals_out", alert=True, tx=receipt.transaction_hash, reasons=skipped)

    def _skipped(self, receipt: Receipt) -> list[str]:
        """The decoded reasons of the deals that a batch left out."""
        core, found = self._context.core, []
        event = core.abi.event("Skipped")
        for log in receipt.logs:
            try:
                topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
                if topics and topics[0] == event.topic:
                    reason = event.decode(topics, bytes.fromhex(log["data"][2:]))["reason"]
                    found.append(str(self._context.contracts.errors.decode(reason)))
            except (AbiError, KeyError, ValueError):
                continue
        return found

    # ---- sending

    def act(
        self, intents: Sequence[Intent], subject: Subjects, opened: OpenedOf, disputes: DisputeCalls = lambda intent: None
    ) -> int:
        """Hands what the intents ask for to the outbox; how many transactions that made."""
        self.gathering, made = False, 0
        plain = [i for i in intents if i.action is Action.SUBMIT and i.agreement is not Agreement.WAIVER]
        made += self._batched(Action.SUBMIT, plain, subject, self._submit)
        made += self._batched(
            Action.SETTLE, [i for i in intents if i.action is Action.SETTLE], subject, self._settle
        )
        for intent in intents:
            if intent.action is Action.SUBMIT and intent.agreement is Agreement.WAIVER:
                made += self._submit_waived(intent, subject)
            elif intent.action is Action.DECLINE:
                made += self._decline(intent, subject, opened)
            elif intent.action is Action.CLOSE:
                made += self._close(intent, subject)
            elif intent.action in _STEPS:
                made += self._step(intent, subject)
            elif intent.action is Action.RECORD:
                assert intent.period is not None
                made += self._record_seed(intent.period, Action.RECORD)
            else:
                made += self._dispute_step(intent, disputes(intent))
        return made

    def _batched(
        self,
        action: Action,
        intents: Sequence[Intent],
        subject: Subjects,
        call: Callable[[Sequence[Subject], Sequence[Intent]], bytes],
    ) -> int:
        """Full batches and urgent ones at once; the first of a kind too, and the next ones after a moment's gathering."""
        made = 0
        for at in range(0, len(intents), self._config.batch):
            group = intents[at : at + self._config.batch]
            urgent = group[0].deadline - self._context.now <= _URGENT_S
            gathered = self._clock() - self._sent_at.get(action, float("-inf")) >= GATHER_S
            if not (gathered or urgent or len(group) == self._config.batch):
                self.gathering = True
                break
            self._sent_at[action] = self._clock()
            subjects = [subject(intent.deal) for intent in group if intent.deal is not None]
            data = call(subjects, group)
            self._send(action, [s.id for s in subjects], self._context.core, data, min(i.deadline for i in group))
            made += 1
        return made

    def _submit(self, subjects: Sequence[Subject], intents: Sequence[Intent]) -> bytes:
        core = self._context.core
        if len(subjects) == 1:
            return core.encode("submitResult", subjects[0].id, subjects[0].commitment)
        return core.encode("submitResults", [s.id for s in subjects], [s.commitment for s in subjects])

    def _settle(self, subjects: Sequence[Subject], intents: Sequence[Intent]) -> bytes:
        settlings = []
        for subject, intent in zip(subjects, intents, strict=True):
            assert subject.result is not None
            signature = b"" if intent.agreement is Agreement.NONE else subject.signature
            settlings.append(Settling(subject.deal, subject.result.opening.words, intent.agreement, signature))
        settlements = settlements_of(settlings)
        core = self._context.core
        if len(subjects) == 1:
            return core.encode("settle", settlements[0])
        return core.encode("settleBatch", settlements)

    def _submit_waived(self, intent: Intent, subject: Subjects) -> int:
        assert intent.deal is not None
        found = subject(intent.deal)
        assert found.result is not None
        data = self._context.core.encode(
            "submitAndSettle", *waived_at_once(found.deal, found.result.opening.words, found.signature)
        )
        return self._send(Action.SUBMIT, [found.id], self._context.core, data, intent.deadline)

    def _decline(self, intent: Intent, subject: Subjects, opened: OpenedOf) -> int:
        assert intent.deal is not None
        found, offer = subject(intent.deal), opened(intent.deal)
        if offer is None:
            self._context.log("decline_impossible", alert=True, deal=intent.deal, reason="nobody shows the job offer")
            self._pause(intent.deal, intent.action, 2)
            return 0
        self._context.log("deal_declined", deal=intent.deal, reason=str(intent.refusal))
        data = self._context.resolver.encode("decline", found.deal.words, offer.job_words)
        return self._send(Action.DECLINE, [found.id], self._context.resolver, data, intent.deadline)

    def _close(self, intent: Intent, subject: Subjects) -> int:
        assert intent.deal is not None
        found = subject(intent.deal)
        offer = found.closing
        if offer is None:
            return 0
        terms = Closing(found.id, offer.to_creator, offer.to_provider, offer.expiry)
        ours = by_own_key(self._context.signer.sign_digest(self._context.domain.digest(terms.struct_hash)))
        data = self._context.resolver.encode("close", found.deal.words, closing_of(terms, offer.signature, ours))
        return self._send(Action.CLOSE, [found.id], self._context.resolver, data, intent.deadline)

    def _step(self, intent: Intent, subject: Subjects) -> int:
        assert intent.deal is not None
        found = subject(intent.deal)
        data = self._context.resolver.encode(_STEPS[intent.action], found.deal.words)
        return self._send(intent.action, [found.id], self._context.resolver, data, None)

    def _dispute_step(self, intent: Intent, call: Call | None) -> int:
        if call is None or intent.deal is None:
            return 0
        return self._send(intent.action, [intent.deal], call.contract, call.data, intent.deadline)
