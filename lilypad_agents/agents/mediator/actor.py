"""Turns the mediator's intents into transactions, each subject in at most one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lilypad_agents.agents.mediator.decide import Intent
from lilypad_agents.agents.mediator.store import MediatorStore
from lilypad_agents.agents.mediator.view import Action
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.panels import Panels
from lilypad_agents.agents.runtime.sending import Sender
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.dispute import NO_SEATING, Seating
from lilypad_agents.protocol.ids import Address, DealId, PoolId
from lilypad_agents.protocol.mediation import vote_commitment
from lilypad_agents.protocol.opening import NO_OPENING, ResultOpening
from lilypad_agents.protocol.rounds import QueuedRound
from lilypad_agents.protocol.terms import PoolTerms


# Most gas of a vote: for the call, and for each seat of the round.
_GAS = {Action.COMMIT: (150_000, 4_000), Action.REVEAL: (200_000, 30_000)}


@dataclass(frozen=True)
class Subject:
    """What an action about a deal needs beside the intent. `asked`: how often seats were asked for."""

    id: DealId
    deal: Deal
    pool: PoolTerms
    round: int = 0
    asked: int = 0
    seating: Seating = NO_SEATING
    seatings: tuple[Seating, ...] = ()
    opening: ResultOpening = NO_OPENING


def subject_of(action: Action, subject: Subject, seat: int | None = None) -> DealId:
    """What an action is about, as bytes: the deal, and where it happens more than once in a deal the round, ask or seat."""
    if action in (Action.COMMIT, Action.REVEAL) and seat is not None:
        return DealId(subject.id + bytes((subject.round, seat)))
    if action in (Action.QUEUE, Action.DRAW):
        return DealId(subject.id + bytes((subject.asked & 255,)))
    if action in (Action.APPEAL, Action.APPROVE):
        return DealId(subject.id + bytes((subject.round,)))
    return subject.id


def occasion_of(pool_id: PoolId, number: int) -> DealId:
    """What a step about a pool is about, as bytes: a ticket or period of it. Each pauses for itself, since after a success
    the next one may be due at once: a queue of many rounds that nobody wants would never end.
    """
    return DealId(pool_id + number.to_bytes(32, "big"))


class Actor(Sender[Action]):
    """Sends for one mediator. Used by the loop's thread alone. `account`: whose seats it works for."""

    def __init__(
        self, context: AgentContext, store: MediatorStore, panels: Panels, account: Address, batch: int,
        crash: CrashPlan = NEVER,
    ) -> None:  # fmt: skip
        super().__init__(context, store, Action, "mediator", crash)
        self._store = store
        self._panels = panels
        self._account = account
        self._batch = batch

    def forget(self, deal_id: DealId) -> None:
        """As Sender.forget, with the rounds and seats of the deal."""
        self._paused = {key: pause for key, pause in self._paused.items() if not key[0].startswith(deal_id)}

    def act(
        self, intents: Sequence[Intent], subjects: Mapping[DealId, Subject], pools: Mapping[PoolId, PoolTerms],
        cancelled: Mapping[PoolId, QueuedRound],
    ) -> int:  # fmt: skip
        """Hands what the intents ask for to the outbox; how many transactions that made."""
        made = 0
        for intent in intents:
            if intent.action is Action.RECORD and intent.period is not None:
                made += self._record_seed(intent.period, Action.RECORD)
            elif intent.pool is not None:
                made += self._about_pool(intent, pools[intent.pool], cancelled.get(intent.pool))
            elif intent.deal is not None and intent.deal in subjects:
                made += self._about_deal(intent, subjects[intent.deal])
        return made

    def _about_deal(self, intent: Intent, subject: Subject) -> int:
        call = self._call(intent, subject)
        if call is None:
            return 0
        contract, data = call
        gas = None
        if intent.action in _GAS:  # whoever happens to be the last one in a block also pays for the tally
            once, each = _GAS[intent.action]
            gas = once + each * len(subject.seating.accounts)
        what = subject_of(intent.action, subject, intent.seat)
        return self._send(intent.action, [what], contract, data, intent.deadline, gas)

    def _call(self, intent: Intent, subject: Subject) -> tuple[Contract, bytes] | None:
        """The contract and calldata of an intent about a deal; None for what is no transaction."""
        mediation, resolver = self._panels.mediation, self._context.resolver
        record, action = subject.deal.words, intent.action
        if action in (Action.COMMIT, Action.REVEAL):
            return mediation, self._vote(intent, subject)
        if action is Action.QUEUE:
            return mediation, mediation.encode("queue", record, subject.pool, subject.seating)
        if action is Action.DRAW:
            return mediation, mediation.encode("draw", record, subject.pool, subject.seating)
        if action is Action.APPEAL:
            return mediation, mediation.encode("appeal", record, subject.pool, subject.seating)
        if action is Action.EXECUTE:
            return mediation, mediation.encode("execute", record, subject.pool, subject.seatings, subject.opening)
        if action is Action.UNWIND:
            return mediation, mediation.encode("unwind", record, subject.pool, subject.seatings)
        if action is Action.APPROVE:
            token = self._context.contracts["LilypadToken"].abi
            contract = Contract(subject.deal.token, token, self._context.rpc, self._context.contracts.errors)
            return contract, contract.encode("approve", mediation.address, intent.amount)
        if action is Action.AUDIT:
            return resolver, resolver.encode("audit", record, intent.amount)
        if action is Action.TIMEOUT_MEDIATION:
            return resolver, resolver.encode("timeoutMediation", record)
        return None

    def _vote(self, intent: Intent, subject: Subject) -> bytes:
        """A commit or reveal of the stored vote; nothing else is ever committed to."""
        stored = self._store.vote(subject.id, subject.round, self._account)
        assert stored is not None and intent.seat is not None
        mediation = self._panels.mediation
        if intent.action is Action.COMMIT:
            commitment = vote_commitment(subject.id, subject.round, self._account, stored.vote, stored.salt)
            return mediation.encode("commit", subject.id, subject.seating, intent.seat, commitment)
        return mediation.encode(
            "reveal", subject.id, subject.seating, intent.seat, stored.vote, stored.salt, intent.served
        )

    def _about_pool(self, intent: Intent, pool: PoolTerms, cancelled: QueuedRound | None) -> int:
        staking, what = self._panels.staking, intent.occasion or DealId(pool.id)
        if intent.occasion is not None:  # those before it are over
            self._paused = {key: pause for key, pause in self._paused.items() if key[0] in (pool.id, what) or not key[0].startswith(pool.id)}
        if intent.action is Action.WITHDRAW:
            data = staking.encode("withdraw", pool, self._account)
        elif intent.action is Action.APPLY:
            data = staking.encode("applyPending", pool, self._batch)
        elif intent.action is Action.DRAW_CANCELLED and cancelled is not None:
            data = staking.encode(
                "drawCancelled", pool, cancelled.ticket, cancelled.round, cancelled.seats, cancelled.excluded
            )
        else:
            return 0
        return self._send(intent.action, [what], staking, data, None)
