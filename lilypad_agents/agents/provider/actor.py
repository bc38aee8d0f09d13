"""Turns intents into transactions: batches of what is due, each deal in at most one at a time, through the outbox.

A transaction and the note of what it does are stored in one step, so a kill between the two cannot happen. What became
of it is read from its receipt, what became of a deal from the chain: a deal that a batch left out is decided anew, after
a pause that grows, never blindly.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.intents import LAST, Intent
from lilypad_agents.agents.provider.lottery import proof_of
from lilypad_agents.agents.provider.openings import Opened
from lilypad_agents.agents.provider.store import ProviderStore, StoredResult
from lilypad_agents.agents.provider.view import Action, ClosingOffer
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.chain.abi import AbiError
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.outbox import Failed, Mined, Pending, Receipt
from lilypad_agents.chain.randomness import HeaderUnknown
from lilypad_agents.protocol.consent import Closing, by_own_key
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.lifecycle import Agreement
from lilypad_agents.protocol.opening import Settling, closing_of, settlements_of
from lilypad_agents.protocol.units import Period, Timestamp

_STEPS = {
    Action.TIMEOUT_SUBMIT: "timeoutSubmit",
    Action.TIMEOUT_REVEAL: "timeoutReveal",
    Action.TIMEOUT_MEDIATION: "timeoutMediation",
}
_LONGEST_PAUSE_S = 60
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


class Actor:
    """Sends for one provider. Used by the loop's thread alone."""

    def __init__(
        self,
        context: AgentContext,
        store: ProviderStore,
        config: ProviderConfig,
        crash: CrashPlan = NEVER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._store = store
        self._config = config
        self._crash = crash
        self._under_way = store.under_way()
        self._paused: dict[tuple[DealId, Action], tuple[int, Timestamp]] = {}  # failures, not before
        self._randomness: Contract | None = None
        self._clock = clock
        self._sent_at: dict[Action, float] = {}
        self.gathering = False  # something waits to travel with what comes next

    # ---- what decisions see

    def under_way(self) -> Mapping[DealId, frozenset[Action]]:
        """Actions whose transaction is not over, by deal; those that pause after a failure count as well."""
        found: dict[DealId, set[Action]] = {}
        for entries in self._under_way.values():
            for deal_id, action in entries:
                found.setdefault(deal_id, set()).add(action)
        now = self._context.now
        for (deal_id, action), (_, until) in self._paused.items():
            if now < until:
                found.setdefault(deal_id, set()).add(action)
        return {deal_id: frozenset(actions) for deal_id, actions in found.items()}

    def forget(self, deal_id: DealId) -> None:
        """A deal that is over needs no memory of failures."""
        for action in Action:
            self._paused.pop((deal_id, action), None)

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is under way."""
        return not self._under_way

    # ---- outcomes

    def settle_outcomes(self, seen_block: int) -> None:
        """Looks at every transaction under way; one that is mined counts once its block's events were read."""
        for key, entries in list(self._under_way.items()):
            status = self._context.outbox.status(key)
            if isinstance(status, Pending):
                continue
            if isinstance(status, Mined):
                if status.receipt.block.number > seen_block:
                    continue
                self._note_mined(entries, status.receipt)
            elif isinstance(status, Failed):
                self._note_failed(key, entries, status)
            self._store.finish(key)
            del self._under_way[key]

    def _note_mined(self, entries: Sequence[tuple[DealId, Action]], receipt: Receipt) -> None:
        self._spent(receipt)
        skipped = self._skipped(receipt)
        for deal_id, action in entries:
            failures = self._paused.get((deal_id, action), (0, 0))[0]
            # Where the transaction did what it should, the deal has moved on and nobody looks at this again.
            self._pause(deal_id, action, failures)
        if skipped:
            self._context.log("batch_left_deals_out", alert=True, tx=receipt.transaction_hash, reasons=skipped)

    def _note_failed(self, key: str, entries: Sequence[tuple[DealId, Action]], status: Failed) -> None:
        if status.receipt is not None:
            self._spent(status.receipt)
        self._context.log(
            "action_failed", alert=True, key=key, deals=[deal_id for deal_id, _ in entries], **figures_of(status.error)
        )
        for deal_id, action in entries:
            self._pause(deal_id, action, self._paused.get((deal_id, action), (0, 0))[0])

    def _pause(self, deal_id: DealId, action: Action, failures: int) -> None:
        """1, 2, 4... seconds of block time until the same is tried again for this deal."""
        until = Timestamp(self._context.now + min(_LONGEST_PAUSE_S, 1 << min(failures, 6)))
        self._paused[deal_id, action] = (failures + 1, until)

    def _spent(self, receipt: Receipt) -> None:
        self._store.add_gas(
            receipt.transaction_hash, receipt.block.number, receipt.gas_used * receipt.effective_gas_price
        )

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
                made += self._record(intent)
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
            "submitAndSettle", found.deal.words, found.result.opening.words, found.signature
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

    def _record(self, intent: Intent) -> int:
        """Once for a period; who else recorded it does not matter."""
        assert intent.period is not None
        contract = self.randomness
        try:
            proof = proof_of(contract, intent.period)
        except HeaderUnknown as error:  # looked for again in the next cycle
            self._context.log("seed_unprovable", alert=True, period=intent.period, reason=error.message)
            return 0
        self._context.log("seed_recording", period=intent.period)
        data = contract.encode("record", intent.period, proof)
        return self.send_alone(record_key(intent.period), Action.RECORD, contract, data)

    def send_alone(self, key: str, action: Action, contract: Contract, data: bytes) -> int:
        """A transaction that belongs to no deal, once for its key."""
        subject = DealId(key.encode())
        with self._store.database.transaction() as sql:
            self._store.begin(sql, [subject], action, key)
            self._context.outbox.submit(key, contract.address, data, again_if_failed=True)
        self._under_way[key] = [(subject, action)]
        return 1

    def is_recording(self, period: Period) -> bool:
        """Whether our record of a period's seed is under way or done."""
        return isinstance(self._context.outbox.status(record_key(period)), (Pending, Mined))

    def watch(self, key: str, action: Action) -> None:
        """Follows a transaction that somebody else handed to the outbox, for what it costs."""
        subject = DealId(key.encode())
        with self._store.database.transaction() as sql:
            self._store.begin(sql, [subject], action, key)
        self._under_way[key] = [(subject, action)]

    @property
    def randomness(self) -> Contract:
        """The source of seeds that the core was built with."""
        if self._randomness is None:
            address = self._context.parameters.randomness
            known = self._context.contracts
            name = next((name for name, c in known.book.contracts.items() if c.address == address), "BlockHashRandomness")
            self._randomness = Contract(address, known[name].abi, self._context.rpc, known.errors)
        return self._randomness

    def _send(
        self, action: Action, deals: Sequence[DealId], contract: Contract, data: bytes, deadline: Timestamp | None
    ) -> int:
        """Note and transaction in one durable step. The key says what it does; a repeat after a failure is a new one."""
        attempt = sum(self._paused.get((deal_id, action), (0, 0))[0] for deal_id in deals)
        key = f"{action}:{_digest(deals)}:{attempt}"
        self._crash.point(f"provider.{action}.before")
        with self._store.database.transaction() as sql:
            self._store.begin(sql, deals, action, key)
            self._context.outbox.submit(
                key,
                contract.address,
                data,
                deadline=None if deadline is None or deadline >= LAST else int(deadline),
                again_if_failed=True,
            )
        self._crash.point(f"provider.{action}.queued")
        self._under_way[key] = [(deal_id, action) for deal_id in deals]
        self._context.log("action_queued", action=str(action), deals=list(deals), key=key)
        return 1


def record_key(period: Period) -> str:
    """The key of a seed's record in the outbox."""
    return f"record:{period}"


def _digest(deals: Iterable[DealId]) -> str:
    return hashlib.sha256(b"".join(deals)).hexdigest()[:24]
