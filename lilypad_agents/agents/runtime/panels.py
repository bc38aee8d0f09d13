"""Follows the panel strategy and its pools by a log cursor of its own: who sits, what was said, whose stake weighs what.

The events of disputes that are not over stay in memory; everything is made again from the cursor's table after a
restart or a reorganisation. What time has done since the last event is asked of the contract (`disputes.look`).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lilypad_agents.agents.runtime.disputes import MEDIATION, Dispute, Facts, facts_of, look
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.contract import BlockId, Contract
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.logs import CursorConfig, EventSource, LogCursor
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.types import Notify, silent
from lilypad_agents.protocol.dispute import Phase
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import NOBODY, Address, DealId, PoolId
from lilypad_agents.protocol.rounds import RoundQueue

if TYPE_CHECKING:
    from lilypad_agents.agents.runtime.context import AgentContext, Contracts

STAKING = "LilypadStaking"
_ENDS = ("DisputeExecuted", "DisputeUnwound")
_PAST_KEPT = 64
_MISSED_BLOCKS = 256  # how far back a missing event is looked for at first


@dataclass
class PoolLog:
    """What events tell of one pool: whole seat stakes of each account that draws count, and the rounds that wait."""

    weights: dict[Address, int] = field(default_factory=dict)
    queue: RoundQueue = field(default_factory=RoundQueue)


def cursor_of(
    database: Database, rpc: Rpc, contracts: Contracts, name: str = "panels", confirmations: int = 0, notify: Notify = silent
) -> LogCursor:
    """The cursor over strategy, pools, and what the core credited on anybody's behalf. Reading stored events asks nobody."""
    sources = [EventSource(contracts[found].address, contracts[found].abi) for found in (MEDIATION, STAKING)]
    sources.append(EventSource(contracts.core.address, contracts.core.abi, ("CreditTransferred",)))
    return LogCursor(
        database, rpc, sources, start_block=min(contracts.book.contract(found).block for found in (MEDIATION, STAKING)),
        name=name, config=CursorConfig(confirmations=confirmations), notify=notify,
    )  # fmt: skip


class Panels:
    """Use from the agent's loop; what is under "reading" may be called by any thread.

    The events of disputes that are under way are kept in memory; those of disputes that are over are read from the
    database when somebody asks, since a network has ever more of them.
    """

    def __init__(self, context: AgentContext, name: str = "panels") -> None:
        """`name`: of its cursor. Raises DeploymentMismatch when the deployment has no panel strategy or no staking."""
        self.mediation: Contract = context.contracts[MEDIATION]
        self.staking: Contract = context.contracts[STAKING]
        self.cursor = cursor_of(
            context.database, context.rpc, context.contracts, name, context.settings.confirmations, context.log
        )
        self._notify: Notify = context.log
        # Events that can be found by their deal; one of them names a deal, but a version first.
        self._names = {event.name for event in self.mediation.abi.events.values() if event.inputs and event.inputs[0].name == "dealId"}
        self._reading = threading.Lock()
        self._loaded = False
        self._head = b""
        self._again_every = context.settings.reconcile_blocks
        self._asked_again_at: int | None = None  # block
        self.place = 0  # block up to which events were read
        self._clear()

    def _clear(self) -> None:
        self._live: dict[DealId, list[DecodedEvent]] = {}
        with self._reading:
            self._past: OrderedDict[DealId, list[DecodedEvent]] = OrderedDict()  # read back lately
        self.pools: dict[PoolId, PoolLog] = {}
        self._operators: dict[Address, Address] = {}

    @staticmethod
    def exist_in(context: AgentContext) -> bool:
        """Whether the deployment has a panel strategy at all."""
        return MEDIATION in context.contracts and STAKING in context.contracts

    # ---- following

    def follow(self, head: ChainMoment) -> bool:
        """Reads new events up to `head`, once for each; True when there were any. Raises as LogCursor.advance and `_load` do.

        Every `reconcile_blocks` the last blocks are asked for again: a seat whose draw a node kept back gets no content, and a
        round that seems to wait keeps us from drawing those behind it.
        """
        if head.hash == self._head:
            return False
        advance = self.cursor.advance(head)
        self.place = advance.cursor
        changed = True
        if self._loaded and advance.reorganisation is None and self._fits(advance.new_logs):
            changed = bool(advance.new_logs)
        else:
            self._load()
        if advance.caught_up:
            since = self._again_every if self._asked_again_at is None else head.number - self._asked_again_at
            if since >= self._again_every:
                self._asked_again_at = head.number
                changed |= self.ask_again(since + self._again_every)
            self._head = head.hash
        return changed

    def ask_again(self, blocks: int) -> bool:
        """Asks for the events of the last `blocks` once more; True when the chain shows some that were not delivered before.

        Raises as LogCursor.rescan and `_load` do.
        """
        missed = self.cursor.rescan(blocks)
        if missed:
            self._notify("events_missed", alert=True, blocks=blocks, found=len(missed))
            self._load()
        return bool(missed)

    def _fits(self, events: Iterable[DecodedEvent]) -> bool:
        """Takes new events; False when they cannot follow on those before, because one of these was never delivered."""
        try:
            self._take(events)
        except FieldInvalid:
            return False
        return True

    def _load(self) -> None:
        """Everything again from the stored events. Where one is missing the chain is asked again, further back each time.

        Raises FieldInvalid when the whole history still lacks something; the next call tries again.
        """
        blocks, self._loaded = _MISSED_BLOCKS, False
        while True:
            self._clear()
            if self._fits(self.cursor.events()):
                self._loaded = True
                return
            if blocks >= 4 * max(self.place, _MISSED_BLOCKS):
                raise FieldInvalid("events", "panels", "an event is missing that the chain does not show")
            missed = self.cursor.rescan(blocks)
            self._notify("events_missed", alert=True, blocks=blocks, found=len(missed))
            blocks *= 4

    def _take(self, events: Iterable[DecodedEvent]) -> None:
        for event in events:
            if event.address == self.staking.address:
                self._take_staking(event)
            elif event.address == self.mediation.address and event.name in self._names:
                self._take_mediation(event)

    def _take_mediation(self, event: DecodedEvent) -> None:
        deal_id = DealId(bytes(event.args["dealId"]))
        with self._reading:
            self._past.pop(deal_id, None)
        known = self._live.get(deal_id)
        if known is None and event.name != "RoundQueued":  # follows an end, or the beginning was never delivered
            known = self._last_dispute(deal_id, before=event)
        events = [*(known or ()), event]
        if _is_over(events):
            self._live.pop(deal_id, None)
        else:
            self._live[deal_id] = events

    def _take_staking(self, event: DecodedEvent) -> None:
        args = event.args
        if event.name == "OperatorSet":
            self._operators[Address(args["account"])] = Address(args["operator"])
            return
        pool = self.pools.setdefault(PoolId(bytes(args["pool"])), PoolLog())
        if event.name == "WeightApplied":
            pool.weights[Address(args["account"])] = int(args["weight"])
        pool.queue.apply(event.name, args)

    # ---- reading

    def live(self) -> tuple[DealId, ...]:
        """Deals in a dispute that is not over."""
        return tuple(self._live)

    def events(self, deal_id: DealId) -> list[DecodedEvent]:
        """What the strategy said about the deal's last dispute, in order; nothing when it never spoke of it."""
        live = self._live.get(deal_id)
        if live is not None:
            return live
        with self._reading:
            past = self._past.get(deal_id)
            if past is None:
                past = self._past[deal_id] = self._last_dispute(deal_id)
                if len(self._past) > _PAST_KEPT:
                    self._past.popitem(last=False)
            return past

    def _last_dispute(self, deal_id: DealId, before: DecodedEvent | None = None) -> list[DecodedEvent]:
        """The stored events since the last round that was queued first or after an end."""
        found = list[DecodedEvent]()
        for event in self.cursor.events(self._names, topic1=deal_id):
            if before is not None and _place(event) >= _place(before):
                break
            if event.address != self.mediation.address:
                continue
            if event.name == "RoundQueued" and _is_over(found):
                found = []
            found.append(event)
        return found

    def facts(self, deal_id: DealId, *, delivery: bool) -> Facts:
        return facts_of(self.events(deal_id), delivery=delivery)

    def is_over(self, deal_id: DealId) -> bool:
        """Whether the strategy ended the last dispute that it knows of the deal."""
        return deal_id not in self._live and bool(self.events(deal_id))

    def data_id(self, deal_id: DealId) -> bytes:
        """The sha2-256 root of the result data that the provider named last; empty before."""
        named = [event for event in self.events(deal_id) if event.name in ("ResultOpened", "DataNamed")]
        return bytes(named[-1].args["dataId"]) if named else b""

    def ticket(self, deal_id: DealId) -> int | None:
        """The ticket of the seats that were asked for last."""
        queued = [event for event in self.events(deal_id) if event.name == "RoundQueued"]
        return int(queued[-1].args["ticket"]) if queued else None

    def look(self, deals: Mapping[DealId, bool], block: BlockId) -> dict[DealId, Dispute]:
        """These disputes at one block; for each deal whether it is about delivery. Raises ChainUnreachable, RpcError."""
        return look(self.mediation, {deal: (self.facts(deal, delivery=it), it) for deal, it in deals.items()}, block)

    # ---- who may see what (protocol 5.4)

    def sits(self, deal_id: DealId, account: Address, *, delivery: bool) -> bool:
        """Whether an account, or the one whose operator it is, has had a seat that was not given to another."""
        facts = self.facts(deal_id, delivery=delivery)
        return any(self._is_of(item.seating.accounts, account) for item in facts.drawn)

    def may_see_result(self, deal_id: DealId, account: Address, *, delivery: bool) -> bool:
        """Whether the commit window of a round in which the account sits has closed; about delivery: whether data is named.

        Raises ChainUnreachable, RpcError.
        """
        facts = self.facts(deal_id, delivery=delivery)
        rounds = [item for item in facts.drawn if self._is_of(item.seating.accounts, account)]
        if not rounds:
            return False
        if rounds[0].number < facts.drawn[-1].number or facts.ended:
            return True
        if delivery:
            return any(rounds[-1].seating.opened)
        found = look(self.mediation, {deal_id: (facts, delivery)}).get(deal_id)
        return found is not None and found.phase in _COMMITS_CLOSED and found.round == rounds[-1].number

    def _is_of(self, seats: tuple[Address, ...], account: Address) -> bool:
        return account in seats or any(self._operators.get(seat, NOBODY) == account for seat in seats)


def _is_over(events: Iterable[DecodedEvent]) -> bool:
    return any(event.name in _ENDS for event in events)


def _place(event: DecodedEvent) -> tuple[int, int]:
    return event.block_number, event.log_index


_COMMITS_CLOSED = frozenset({Phase.OPEN, Phase.REVEAL, Phase.APPEALABLE, Phase.EXECUTABLE, Phase.EXECUTED})
