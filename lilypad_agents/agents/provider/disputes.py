"""What the chain says about disputes over our deals, read once a block: where they stand, which steps it would take now.

Whether a step that anyone may take is possible is asked by trying it in a call, so nothing of the queues and seeds behind
it has to be known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lilypad_agents.agents.provider.actor import Call
from lilypad_agents.agents.provider.defence import weighs_appeal
from lilypad_agents.agents.provider.store import StoredDispute, StoredResult
from lilypad_agents.agents.provider.view import Action, DisputeView, Lottery
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.dealbook import DealView as BookEntry
from lilypad_agents.agents.runtime.disputes import DISPUTE_EVENTS, MEDIATION, Dispute, Facts, facts_of, look
from lilypad_agents.chain.abi import Abi
from lilypad_agents.chain.contract import Contract, PreparedCall, call_many
from lilypad_agents.chain.logs import Advance
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.dispute import Finding, Phase, appeal_fee, next_round, verdict_of
from lilypad_agents.protocol.ids import Address, DealId
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.terms import PoolTerms
from lilypad_agents.protocol.units import Amount, Seconds, Timestamp

Pools = Callable[[DealId, Deal], PoolTerms | None]
DISPUTE_ACTIONS = frozenset(
    {
        Action.AUDIT, Action.OPEN_RESULT, Action.NAME_DATA, Action.QUEUE, Action.DRAW, Action.EXECUTE, Action.FUND_APPEAL,
        Action.APPROVE_APPEAL, Action.APPEAL, Action.UNWIND,
    }
)  # fmt: skip
_STEPS = frozenset({Action.QUEUE, Action.DRAW, Action.EXECUTE, Action.APPEAL, Action.UNWIND})
_STEP_OF = {Phase.NONE: Action.QUEUE, Phase.DUE: Action.QUEUE, Phase.QUEUED: Action.DRAW, Phase.EXECUTABLE: Action.EXECUTE}


@dataclass(frozen=True)
class Funds:
    """Our tokens, what the strategy may take of them, and our free credit; smallest units."""

    wallet: Amount = Amount(0)
    allowance: Amount = Amount(0)
    free: Amount = Amount(0)


@dataclass
class Disputes:
    """Used on the loop's thread. `pools` gives the terms of a deal's pool, None when nobody shows them."""

    context: AgentContext
    pools: Pools
    found: dict[DealId, Dispute] = field(default_factory=dict)
    _facts: dict[DealId, Facts] = field(default_factory=dict)
    _possible: dict[tuple[DealId, Action], Timestamp] = field(default_factory=dict)  # since when
    _funds: dict[Address, Funds] = field(default_factory=dict)
    _block: bytes = b""

    @property
    def mediation(self) -> Contract | None:
        """The panel strategy of this deployment."""
        return self.context.contracts[MEDIATION] if MEDIATION in self.context.contracts else None

    def knows(self, deal: Deal) -> bool:
        """Whether the strategy of a deal is the one that we can answer."""
        return self.mediation is not None and deal.strategy == self.mediation.address

    # ---- looking

    def look(self, entries: Iterable[BookEntry], lottery: Callable[[BookEntry], Lottery]) -> None:
        """Reads the disputes of these deals at the cycle's block; those that ended only where we appealed."""
        if self.mediation is None or self._block == self.context.head.hash:
            return
        ours = [entry for entry in entries if self.knows(entry.deal)]
        self._facts = {entry.id: self._facts[entry.id] for entry in ours if entry.id in self._facts}  # others were let go
        disputed = {entry.id: entry for entry in ours if self._is_wanted(entry)}
        facts = {id_: (self.facts(id_), entry.state.kind is DisputeKind.DELIVERY) for id_, entry in disputed.items()}
        self.found = look(self.mediation, facts, self.context.head)
        drawn = [entry for entry in ours if lottery(entry) in (Lottery.DRAWN, Lottery.LOST)]
        self._try(disputed, drawn)
        self._look_at_funds(disputed)
        self._block = self.context.head.hash

    def _is_wanted(self, entry: BookEntry) -> bool:
        if entry.state.status is Status.IN_MEDIATION:
            return True
        return entry.state.status.is_final and self.facts(entry.id, entry).paid_by(self.context.address) > 0

    def take(self, advance: Advance) -> None:
        """Takes note of what the cursor read: facts are told anew from the stored events."""
        if advance.reorganisation is not None:
            self._facts.clear()
        for event in advance.new_logs:
            self._facts.pop(event.args.get("dealId", b""), None)
        if advance.new_logs or advance.reorganisation is not None:
            self._block = b""

    def facts(self, deal_id: DealId, entry: BookEntry | None = None) -> Facts:
        """What the events tell of the deal's present dispute, or its last one."""
        if deal_id not in self._facts:
            entry = entry or self.context.deals.get(deal_id)
            delivery = entry is not None and entry.state.kind is DisputeKind.DELIVERY
            events = [event for name in DISPUTE_EVENTS for event in self.context.cursor.events(name, topic1=deal_id)]
            events.sort(key=lambda event: (event.block_number, event.log_index))
            self._facts[deal_id] = facts_of(events, delivery=delivery)
        return self._facts[deal_id]

    def _try(self, disputed: Mapping[DealId, BookEntry], drawn: Iterable[BookEntry]) -> None:
        """Which steps the chain would take from us now, and since when."""
        tried: list[tuple[DealId, Action, PreparedCall]] = []
        for deal_id, dispute in self.found.items():
            entry = disputed[deal_id]
            action = Action.UNWIND if entry.state.status.is_final else _STEP_OF.get(dispute.phase)
            call = None if action is None else self.prepare(action, entry)
            if action is not None and call is not None and not dispute.facts.ended:
                tried.append((deal_id, action, call))
        for entry in drawn:
            tried.append((entry.id, Action.AUDIT, self.context.resolver.prepare("audit", entry.deal.words, 0)))
        before, self._possible = self._possible, {}
        calls = [call for _, _, call in tried]
        answers = call_many(self.context.rpc, calls, self.context.head, sender=self.context.address) if calls else []
        for (deal_id, action, _), answer in zip(tried, answers, strict=True):
            if not isinstance(answer, Exception):
                self._possible[deal_id, action] = before.get((deal_id, action), self.context.now)

    def _look_at_funds(self, disputed: Mapping[DealId, BookEntry]) -> None:
        tokens = {
            disputed[deal_id].deal.token
            for deal_id, dispute in self.found.items()
            if weighs_appeal(self._view(dispute, Funds()))
        }
        self._funds = {token: self._funds_in(token) for token in tokens}

    def _funds_in(self, token: Address) -> Funds:
        assert self.mediation is not None
        contract, account = self.token(token), self.context.address
        calls = [
            contract.prepare("balanceOf", account),
            contract.prepare("allowance", account, self.mediation.address),
            self.context.core.prepare("accountOf", token, account),
        ]
        answers = call_many(self.context.rpc, calls, self.context.head)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return Funds(Amount(int(answers[0])), Amount(int(answers[1])), Amount(int(answers[2][0])))

    def token(self, token: Address) -> Contract:
        """A token by its address; its interface is that of every ERC-20."""
        return Contract(token, Abi.load("LilypadToken"), self.context.rpc, self.context.contracts.errors)

    # ---- what decisions see

    def view(self, entry: BookEntry) -> DisputeView | None:
        """The dispute of a deal, None without one that we can answer."""
        dispute = self.found.get(entry.id)
        return None if dispute is None else self._view(dispute, self._funds.get(entry.deal.token, Funds()))

    def _view(self, dispute: Dispute, funds: Funds) -> DisputeView:
        standing = dispute.standing
        return DisputeView(
            delivery=dispute.delivery,
            phase=dispute.phase,
            deadline=dispute.deadline,
            round=dispute.round,
            opened=dispute.opened,
            seats=dispute.seats,
            verdict=None if standing is Finding.NONE else verdict_of(standing, delivery=dispute.delivery),
            paid=Amount(dispute.facts.paid_by(self.context.address)),
            wallet=funds.wallet,
            allowance=funds.allowance,
            free=funds.free,
            ended=bool(dispute.facts.ended),
        )

    def summary(self, entry: BookEntry) -> StoredDispute | None:
        """What is kept of the dispute of a deal, running or ended; None for a deal without one that we know."""
        if not self.knows(entry.deal) or entry.state.kind is DisputeKind.NONE:
            return None
        facts, dispute = self.facts(entry.id, entry), self.found.get(entry.id)
        delivery, ours = entry.state.kind is DisputeKind.DELIVERY, self.context.address
        phase = Phase.EXECUTED if facts.ended else Phase.NONE if dispute is None else dispute.phase
        finding = facts.standing if dispute is None else dispute.standing
        round_ = facts.rounds[-1].number if facts.rounds else 0
        back = sum(amount for account, amount in facts.amounts if account == ours)
        return StoredDispute(entry.id, delivery, entry.state.kind, phase, round_, finding, facts.paid_by(ours), back)

    def possible(self, deal_id: DealId) -> dict[Action, Seconds]:
        """Steps that the chain takes now, and for how long it has."""
        now = self.context.now
        return {action: Seconds(now - since) for (id_, action), since in self._possible.items() if id_ == deal_id}

    # ---- what actions need

    def call(self, action: Action, entry: BookEntry, result: StoredResult | None) -> Call | None:
        """The transaction of an action in a dispute: contract and calldata. None while something of it is not known."""
        if action is Action.AUDIT:
            return Call(self.context.resolver, self.context.resolver.encode("audit", entry.deal.words, 0))
        if action in (Action.FUND_APPEAL, Action.APPROVE_APPEAL):
            return self._money(action, entry)
        prepared = self._answer(action, entry, result) if result is not None else None
        prepared = prepared or self.prepare(action, entry)
        return None if prepared is None else Call(prepared.contract, prepared.data)

    def _answer(self, action: Action, entry: BookEntry, result: StoredResult) -> PreparedCall | None:
        """What only the provider can say; it says where the data is, too."""
        if self.mediation is None or action not in (Action.OPEN_RESULT, Action.NAME_DATA):
            return None
        seating, data_id = self.facts(entry.id).seating, result.opening.data_id.digest
        if action is Action.NAME_DATA:
            return self.mediation.prepare("nameData", entry.id, seating, data_id)
        return self.mediation.prepare("open", entry.id, seating, result.opening.words, data_id)

    def _money(self, action: Action, entry: BookEntry) -> Call | None:
        """What an appeal needs beforehand: the fee in our wallet, and leave for the strategy to take exactly it."""
        dispute = self.found.get(entry.id)
        round_ = None if dispute is None else next_round(dispute.round)
        if self.mediation is None or round_ is None:
            return None
        fee, token, core = appeal_fee(entry.deal, round_), entry.deal.token, self.context.core
        if action is Action.FUND_APPEAL:
            missing = fee - self._funds.get(token, Funds()).wallet
            return Call(core, core.encode("withdraw", token, missing, self.context.address)) if missing > 0 else None
        contract = self.token(token)
        return Call(contract, contract.encode("approve", self.mediation.address, fee))

    def prepare(self, action: Action, entry: BookEntry) -> PreparedCall | None:
        """A step that brings record and pool; None while the terms of the pool are not known, and for other actions."""
        pool = self.pools(entry.id, entry.deal)
        if self.mediation is None or pool is None or action not in _STEPS:
            return None
        facts, words = self.facts(entry.id), entry.deal.words
        if action is Action.EXECUTE:
            return self.mediation.prepare("execute", words, pool, facts.seatings, facts.opening)
        if action is Action.UNWIND:
            return self.mediation.prepare("unwind", words, pool, facts.seatings)
        return self.mediation.prepare(action.value, words, pool, facts.seating)
