"""The tables of the outbox: actions (what is wanted, once per key) and attempts (the exact bytes that were signed)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NewType

from lilypad_agents.chain.database import Database
from lilypad_agents.chain.fees import Fees
from lilypad_agents.chain.types import BlockRef, Wei

ActionId = NewType("ActionId", int)

_SCHEMA = (
    """
    CREATE TABLE outbox_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE outbox_action (
        id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, recipient BLOB NOT NULL, data BLOB NOT NULL,
        value TEXT NOT NULL, gas INTEGER, deadline INTEGER, state TEXT NOT NULL, nonce INTEGER,
        signed_block INTEGER, mined_block INTEGER, confirmed INTEGER NOT NULL DEFAULT 0, receipt TEXT, error TEXT) STRICT;
    CREATE UNIQUE INDEX outbox_action_nonce ON outbox_action (nonce) WHERE state = 'sent';
    CREATE INDEX outbox_action_state ON outbox_action (state, id);
    CREATE TABLE outbox_attempt (
        hash BLOB PRIMARY KEY, action INTEGER NOT NULL REFERENCES outbox_action (id) ON DELETE CASCADE,
        nonce INTEGER NOT NULL, raw BLOB NOT NULL, gas INTEGER NOT NULL, max_fee TEXT NOT NULL, tip TEXT NOT NULL,
        cancels INTEGER NOT NULL, signed_block INTEGER NOT NULL) STRICT;
    CREATE INDEX outbox_attempt_action ON outbox_attempt (action);
    """,
)


class State(StrEnum):
    """Life of an action. Queued: not signed. Sent: bytes are stored. Included: in a block. Done and failed: over."""

    QUEUED = "queued"
    SENT = "sent"
    INCLUDED = "included"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Receipt:
    """Outcome of a mined transaction; `succeeded` False means it reverted. `logs` are JSON-RPC log objects."""

    transaction_hash: bytes
    block: BlockRef
    succeeded: bool
    gas_used: int
    effective_gas_price: Wei
    logs: tuple[dict[str, Any], ...]
    contract_address: str | None = None

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Receipt:
        """From a receipt object of JSON-RPC. Raises KeyError, TypeError or ValueError when malformed."""
        return cls(
            transaction_hash=bytes.fromhex(document["transactionHash"][2:]),
            block=BlockRef(int(document["blockNumber"], 16), bytes.fromhex(document["blockHash"][2:])),
            succeeded=int(document["status"], 16) == 1,
            gas_used=int(document["gasUsed"], 16),
            effective_gas_price=Wei(int(document.get("effectiveGasPrice", "0x0"), 16)),
            logs=tuple(document.get("logs", ())),
            contract_address=document.get("contractAddress"),
        )


@dataclass(frozen=True)
class Attempt:
    """One signed transaction of an action; `cancels` marks the empty transfer that takes the nonce back."""

    hash: bytes
    action: ActionId
    nonce: int
    raw: bytes
    gas: int
    fees: Fees
    cancels: bool
    signed_block: int


@dataclass(frozen=True)
class Action:
    """One wanted transaction. `recipient` 20 bytes (b"" creates), `deadline` unix seconds of block time."""

    id: ActionId
    key: str
    recipient: bytes
    data: bytes
    value: Wei
    gas: int | None
    deadline: int | None
    state: State
    nonce: int | None
    signed_block: int | None
    confirmed: bool
    receipt: Receipt | None
    error: dict[str, Any] | None


class OutboxStore:
    """Reads and writes of one outbox.

    What cannot be had again is durable before a write returns: what is wanted, signed bytes, and what was given up. What
    the chain tells again (receipts, how deep they are) survives a kill, and is asked for once more after a power cut.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.migrate("outbox", _SCHEMA)

    def transaction(self, *, durable: bool = True) -> Any:
        """A transaction that groups several writes; without `durable` only such as the chain tells again."""
        return self._database.transaction(durable=durable)

    def meta(self, name: str) -> str | None:
        rows = self._database.query("SELECT value FROM outbox_meta WHERE name = ?", (name,))
        return rows[0]["value"] if rows else None

    def set_meta(self, name: str, value: str) -> None:
        with self._database.transaction(durable=False) as sql:
            sql.execute("INSERT OR REPLACE INTO outbox_meta VALUES (?, ?)", (name, value))

    def add(self, key: str, recipient: bytes, data: bytes, value: Wei, gas: int | None, deadline: int | None) -> None:
        """Queues an action unless the key is known."""
        with self.transaction() as sql:
            sql.execute(
                "INSERT OR IGNORE INTO outbox_action (key, recipient, data, value, gas, deadline, state) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, recipient, data, str(value), gas, deadline, State.QUEUED.value),
            )

    def queue_again(
        self, key: str, recipient: bytes, data: bytes, value: Wei, gas: int | None, deadline: int | None
    ) -> None:
        """Puts an action back with (perhaps new) content, and forgets its old attempts. Only for failed ones."""
        with self.transaction() as sql:
            sql.execute(
                "DELETE FROM outbox_attempt WHERE action = (SELECT id FROM outbox_action WHERE key = ?)", (key,)
            )
            sql.execute(
                "UPDATE outbox_action SET recipient = ?, data = ?, value = ?, gas = ?, deadline = ?, state = ?, "
                "nonce = NULL, signed_block = NULL, mined_block = NULL, confirmed = 0, receipt = NULL, error = NULL "
                "WHERE key = ?",
                (recipient, data, str(value), gas, deadline, State.QUEUED.value, key),
            )

    def by_key(self, key: str) -> Action | None:
        rows = self._database.query("SELECT * FROM outbox_action WHERE key = ?", (key,))
        return _action(rows[0]) if rows else None

    def in_state(self, state: State) -> list[Action]:
        """Oldest first."""
        rows = self._database.query("SELECT * FROM outbox_action WHERE state = ? ORDER BY id", (state.value,))
        return [_action(row) for row in rows]

    def with_open_attempts(self) -> list[Action]:
        """Sent actions, and queued ones that lost an earlier nonce but whose old bytes may still come alive."""
        rows = self._database.query(
            "SELECT * FROM outbox_action AS a WHERE state = 'sent' OR (state = 'queued' AND EXISTS "
            "(SELECT 1 FROM outbox_attempt WHERE action = a.id)) ORDER BY id"
        )
        return [_action(row) for row in rows]

    def queued(self, limit: int) -> list[Action]:
        """The nearest deadlines first, then the oldest."""
        rows = self._database.query(
            "SELECT * FROM outbox_action WHERE state = 'queued' ORDER BY deadline IS NULL, deadline, id LIMIT ?",
            (limit,),
        )
        return [_action(row) for row in rows]

    def expired(self, time: int) -> list[Action]:
        """Queued actions whose deadline (unix seconds) lies before `time`."""
        rows = self._database.query("SELECT * FROM outbox_action WHERE state = 'queued' AND deadline < ?", (time,))
        return [_action(row) for row in rows]

    def to_confirm(self, block: int) -> list[Action]:
        """Included actions, not yet confirmed, whose receipt is at or below `block`."""
        rows = self._database.query(
            "SELECT * FROM outbox_action WHERE state = 'included' AND confirmed = 0 AND mined_block <= ? ORDER BY id",
            (block,),
        )
        return [_action(row) for row in rows]

    def highest_nonce(self) -> int | None:
        """The highest nonce of what is sent or included."""
        sql = "SELECT max(nonce) AS n FROM outbox_action WHERE state IN ('sent', 'included')"
        nonce: int | None = self._database.query(sql)[0]["n"]
        return nonce

    def last_known_nonce(self) -> int | None:
        """The highest nonce of any action that is remembered."""
        nonce: int | None = self._database.query("SELECT max(nonce) AS n FROM outbox_action")[0]["n"]
        return nonce

    def counts(self) -> dict[State, int]:
        """How many actions are in each state."""
        rows = self._database.query("SELECT state, count(*) AS n FROM outbox_action GROUP BY state")
        found = {State(row["state"]): row["n"] for row in rows}
        return {state: found.get(state, 0) for state in State}

    def attempts(self, actions: Iterable[Action]) -> dict[ActionId, list[Attempt]]:
        """The attempts of each action, oldest first."""
        found: dict[ActionId, list[Attempt]] = {action.id: [] for action in actions}
        ids = list(found)
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            marks = ", ".join("?" * len(part))
            for row in self._database.query(
                f"SELECT * FROM outbox_attempt WHERE action IN ({marks}) ORDER BY action, rowid", part
            ):
                found[ActionId(row["action"])].append(_attempt(row))
        return found

    def save_signed(self, attempts: Sequence[Attempt]) -> None:
        """Stores signed bytes and reserves their nonces, all or none. Must be done before anything is sent."""
        with self.transaction() as sql:
            for a in attempts:
                sql.execute(
                    "INSERT INTO outbox_attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        a.hash,
                        a.action,
                        a.nonce,
                        a.raw,
                        a.gas,
                        str(a.fees.max_fee),
                        str(a.fees.tip),
                        a.cancels,
                        a.signed_block,
                    ),
                )
                sql.execute(
                    "UPDATE outbox_action SET state = ?, nonce = ?, signed_block = ? WHERE id = ?",
                    (State.SENT.value, a.nonce, a.signed_block, a.action),
                )

    def add_filler(self, key: str, recipient: bytes, attempt_of: Any) -> Attempt:
        """Queues and signs an empty transfer in one step, so that a filler never floats without a nonce."""
        with self.transaction() as sql:
            sql.execute(
                "INSERT INTO outbox_action (key, recipient, data, value, gas, state) VALUES (?, ?, x'', '0', 21000, ?)",
                (key, recipient, State.QUEUED.value),
            )
            action = self.by_key(key)
            assert action is not None
            attempt: Attempt = attempt_of(action)
            self.save_signed([attempt])
        return attempt

    def include(self, action: Action, nonce: int, document: dict[str, Any]) -> None:
        """Records the receipt (a JSON-RPC object) of the attempt with `nonce`."""
        block = int(document["blockNumber"], 16)
        text = json.dumps(document, separators=(",", ":"))
        values: dict[str, Any] = {"state": State.INCLUDED.value, "nonce": nonce, "mined_block": block, "receipt": text}
        self._update(action, durable=False, confirmed=0, **values)

    def confirm(self, action: Action, error: dict[str, Any] | None) -> None:
        """Marks a receipt as deep enough to act on, with the error it stands for."""
        self._update(action, durable=False, confirmed=1, error=json.dumps(error) if error else None)

    def finish_below(self, block: int) -> int:
        """Closes confirmed actions mined at or below `block` and forgets their signed bytes; returns how many."""
        chosen = "state = 'included' AND confirmed = 1 AND mined_block <= ?"
        if not self._database.query(f"SELECT 1 FROM outbox_action WHERE {chosen} LIMIT 1", (block,)):
            return 0
        with self._database.transaction(durable=False) as sql:
            sql.execute(
                f"DELETE FROM outbox_attempt WHERE action IN (SELECT id FROM outbox_action WHERE {chosen})", (block,)
            )
            done = f"UPDATE outbox_action SET state = iif(error IS NULL, 'done', 'failed') WHERE {chosen}"
            return int(sql.execute(done, (block,)).rowcount)

    def reopen(self, action: Action) -> None:
        """The chain dropped the receipt: the stored bytes are to be sent again (a new nonce if theirs is in use)."""
        with self.transaction() as sql:
            held = "SELECT 1 FROM outbox_action WHERE state = 'sent' AND nonce = ? AND id <> ?"
            taken = sql.execute(held, (action.nonce, action.id)).fetchone()
            cleared: dict[str, Any] = {"mined_block": None, "receipt": None, "confirmed": 0, "error": None}
            if taken:
                self._update(action, state=State.QUEUED.value, nonce=None, **cleared)
            else:
                self._update(action, state=State.SENT.value, **cleared)

    def mark(self, action: Action, error: dict[str, Any]) -> None:
        """Notes on a sent action why it is to be cancelled."""
        self._update(action, error=json.dumps(error))

    def close(self, action: Action) -> None:
        """Ends a filler whose nonce somebody else used: it has no other purpose."""
        self._update(action, state=State.DONE.value)

    def requeue(self, action: Action) -> None:
        """The nonce was used by a foreign transaction: the action needs a new one. Old attempts stay known."""
        self._update(action, state=State.QUEUED.value, nonce=None, signed_block=None)

    def fail(self, action: Action, error: dict[str, Any]) -> None:
        """Closes an action that was not sent."""
        self._update(action, state=State.FAILED.value, error=json.dumps(error))

    def costs(self) -> tuple[int, int]:
        """Wei for gas, and number, of the mined transactions that are not forgotten yet."""
        rows = self._database.query("SELECT receipt FROM outbox_action WHERE receipt IS NOT NULL")
        found = [Receipt.parse(json.loads(row["receipt"])) for row in rows]
        return sum(item.gas_used * item.effective_gas_price for item in found), len(found)

    def delete(self, action: Action) -> None:
        with self.transaction() as sql:
            sql.execute("DELETE FROM outbox_action WHERE id = ?", (action.id,))

    def prune(self, keep: int) -> None:
        """Forgets all but the last `keep` closed actions."""
        with self._database.transaction(durable=False) as sql:
            sql.execute(
                "DELETE FROM outbox_action WHERE state IN ('done', 'failed') AND id <= (SELECT id FROM outbox_action "
                "WHERE state IN ('done', 'failed') ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (keep,),
            )

    def _update(self, action: Action, *, durable: bool = True, **columns: Any) -> None:
        assignments = ", ".join(f"{name} = ?" for name in columns)
        with self._database.transaction(durable=durable) as sql:
            sql.execute(f"UPDATE outbox_action SET {assignments} WHERE id = ?", (*columns.values(), action.id))


def held_by(sent: dict[int, tuple[Action, Attempt]]) -> int:
    """The most coin, in wei, that these transactions can cost together; cancellations carry no value."""
    return sum(a.gas * a.fees.max_fee + (0 if a.cancels else action.value) for action, a in sent.values())


def _action(row: sqlite3.Row) -> Action:
    return Action(
        id=ActionId(row["id"]),
        key=row["key"],
        recipient=bytes(row["recipient"]),
        data=bytes(row["data"]),
        value=Wei(int(row["value"])),
        gas=row["gas"],
        deadline=row["deadline"],
        state=State(row["state"]),
        nonce=row["nonce"],
        signed_block=row["signed_block"],
        confirmed=bool(row["confirmed"]),
        receipt=Receipt.parse(json.loads(row["receipt"])) if row["receipt"] else None,
        error=json.loads(row["error"]) if row["error"] else None,
    )


def _attempt(row: sqlite3.Row) -> Attempt:
    return Attempt(
        hash=bytes(row["hash"]),
        action=ActionId(row["action"]),
        nonce=row["nonce"],
        raw=bytes(row["raw"]),
        gas=row["gas"],
        fees=Fees(Wei(int(row["max_fee"])), Wei(int(row["tip"]))),
        cancels=bool(row["cancels"]),
        signed_block=row["signed_block"],
    )
