"""Transactions of an agent about deals: each action of a deal in at most one at a time, through the outbox.

A transaction and the note of what it does are stored in one step, so a kill between the two cannot happen. What became
of it is read from its receipt, what became of a deal from the chain: what did not succeed is decided anew, after a pause
that grows, never blindly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.runtime.seeds import proof_of
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.outbox import Failed, Mined, Pending, Receipt
from lilypad_agents.chain.randomness import HeaderUnknown
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.units import Period, Timestamp

LAST = Timestamp(2**40 - 1)  # no deadline
_LONGEST_PAUSE_S = 60
A = TypeVar("A", bound=StrEnum)


class ActionTable(Protocol[A]):
    """Where an agent keeps what it sent: actions under way by the key of their transaction, and what transactions cost."""

    @property
    def database(self) -> Database: ...
    def begin(self, sql: Any, deals: Iterable[DealId], action: A, key: str) -> None: ...
    def finish(self, key: str) -> None: ...
    def under_way(self) -> dict[str, list[tuple[DealId, A]]]: ...
    def add_gas(self, transaction: bytes, block: int, wei: int) -> None: ...


class Sender(Generic[A]):
    """Sends for one account. Used by the loop's thread alone. `kind`: the agent's actions; `name`: of its crash points."""

    def __init__(
        self, context: AgentContext, table: ActionTable[A], kind: type[A], name: str, crash: CrashPlan = NEVER
    ) -> None:
        self._context = context
        self._table = table
        self._kind = kind
        self._name = name
        self._crash = crash
        self._under_way = table.under_way()
        self._paused: dict[tuple[DealId, A], tuple[int, Timestamp]] = {}  # failures, not before
        self._randomness: Contract | None = None

    # ---- what decisions see

    def under_way(self) -> Mapping[DealId, frozenset[A]]:
        """Actions whose transaction is not over, by deal; those that pause after a failure count as well."""
        found: dict[DealId, set[A]] = {}
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
        for action in self._kind:
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
            self._table.finish(key)
            del self._under_way[key]

    def _note_mined(self, entries: Sequence[tuple[DealId, A]], receipt: Receipt) -> None:
        self._spent(receipt)
        for deal_id, action in entries:
            failures = self._paused.get((deal_id, action), (0, 0))[0]
            # Where the transaction did what it should, the deal has moved on and nobody looks at this again.
            self._pause(deal_id, action, failures)

    def _note_failed(self, key: str, entries: Sequence[tuple[DealId, A]], status: Failed) -> None:
        if status.receipt is not None:
            self._spent(status.receipt)
        self._context.log(
            "action_failed", alert=True, key=key, deals=[deal_id for deal_id, _ in entries], **figures_of(status.error)
        )
        for deal_id, action in entries:
            self._pause(deal_id, action, self._paused.get((deal_id, action), (0, 0))[0])

    def _pause(self, deal_id: DealId, action: A, failures: int) -> None:
        """1, 2, 4... seconds of block time until the same is tried again for this deal."""
        until = Timestamp(self._context.now + min(_LONGEST_PAUSE_S, 1 << min(failures, 6)))
        self._paused[deal_id, action] = (failures + 1, until)

    def _spent(self, receipt: Receipt) -> None:
        self._table.add_gas(
            receipt.transaction_hash, receipt.block.number, receipt.gas_used * receipt.effective_gas_price
        )

    # ---- sending

    def send_alone(self, key: str, action: A, contract: Contract, data: bytes) -> int:
        """A transaction that belongs to no deal, once for its key."""
        subject = DealId(key.encode())
        with self._table.database.transaction() as sql:
            self._table.begin(sql, [subject], action, key)
            self._context.outbox.submit(key, contract.address, data, again_if_failed=True)
        self._under_way[key] = [(subject, action)]
        return 1

    def watch(self, key: str, action: A) -> None:
        """Follows a transaction that somebody else handed to the outbox, for what it costs."""
        subject = DealId(key.encode())
        with self._table.database.transaction() as sql:
            self._table.begin(sql, [subject], action, key)
        self._under_way[key] = [(subject, action)]

    def _record_seed(self, period: Period, action: A) -> int:
        """Once for a period; who else recorded it does not matter."""
        contract = self.randomness
        try:
            proof = proof_of(contract, period)
        except HeaderUnknown as error:  # looked for again in the next cycle
            self._context.log("seed_unprovable", alert=True, period=period, reason=error.message)
            return 0
        self._context.log("seed_recording", period=period)
        return self.send_alone(record_key(period), action, contract, contract.encode("record", period, proof))

    def is_recording(self, period: Period) -> bool:
        """Whether our record of a period's seed is under way or done."""
        return isinstance(self._context.outbox.status(record_key(period)), (Pending, Mined))

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
        self,
        action: A,
        deals: Sequence[DealId],
        contract: Contract,
        data: bytes,
        deadline: Timestamp | None,
        gas: int | None = None,
    ) -> int:
        """Note and transaction in one durable step. The key says what it does; a repeat after a failure is a new one.

        `gas`: what it may take at most, where others' transactions in the same block can make it dearer than it is now.
        """
        attempt = sum(self._paused.get((deal_id, action), (0, 0))[0] for deal_id in deals)
        key = f"{action}:{_digest(deals)}:{attempt}"
        self._crash.point(f"{self._name}.{action}.before")
        with self._table.database.transaction() as sql:
            self._table.begin(sql, deals, action, key)
            self._context.outbox.submit(
                key,
                contract.address,
                data,
                gas=gas,
                deadline=None if deadline is None or deadline >= LAST else int(deadline),
                again_if_failed=True,
            )
        self._crash.point(f"{self._name}.{action}.queued")
        self._under_way[key] = [(deal_id, action) for deal_id in deals]
        self._context.log("action_queued", action=str(action), deals=list(deals), key=key)
        return 1


def record_key(period: Period) -> str:
    """The key of a seed's record in the outbox."""
    return f"record:{period}"


def _digest(deals: Iterable[DealId]) -> str:
    return hashlib.sha256(b"".join(deals)).hexdigest()[:24]
