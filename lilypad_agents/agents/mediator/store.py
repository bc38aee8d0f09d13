"""What the mediator remembers: what its runs found, votes, transactions under way, gas, what its user asked for.

A vote is durable before its commitment leaves, and the first one of a round stays. Should the file be lost, nothing is
voted twice with other content all the same: the salt follows from key and vote, and the chain takes one commitment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.mediator.view import Action
from lilypad_agents.chain.database import Database
from lilypad_agents.protocol.ids import Address, DealId
from lilypad_agents.protocol.units import Timestamp

_SCHEMA = (
    """
    CREATE TABLE mediator_word (
        deal BLOB PRIMARY KEY, vote BLOB NOT NULL, reason TEXT NOT NULL, receipt BLOB NOT NULL,
        stored_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE mediator_vote (
        deal BLOB NOT NULL, round INTEGER NOT NULL, account TEXT NOT NULL, vote BLOB NOT NULL, salt BLOB NOT NULL,
        why TEXT NOT NULL, stored_at INTEGER NOT NULL, shown INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (deal, round, account)) STRICT, WITHOUT ROWID;
    CREATE TABLE mediator_action (
        deal BLOB NOT NULL, action TEXT NOT NULL, key TEXT NOT NULL,
        PRIMARY KEY (deal, action)) STRICT, WITHOUT ROWID;
    CREATE TABLE mediator_gas (
        tx BLOB PRIMARY KEY, block INTEGER NOT NULL, wei TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE mediator_appeal (deal BLOB PRIMARY KEY, round INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    """,
)


@dataclass(frozen=True)
class Word:
    """What our re-run says of a deal: a digest or another vote, 32 bytes, with the reason and the signed receipt of the run."""

    vote: bytes
    reason: str = ""
    receipt: bytes = b""


@dataclass(frozen=True)
class StoredVote:
    """Our vote in a round. `why` says who decided (`run`, `user`, `chain`); `shown`: its evidence was left with a relay."""

    deal_id: DealId
    round: int
    account: Address
    vote: bytes
    salt: bytes
    why: str = "run"
    stored_at: Timestamp = Timestamp(0)
    shown: bool = False


class MediatorStore:
    """The mediator's tables in the agent's database; any thread may call."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.migrate("mediator", _SCHEMA)

    # ---- what runs found

    def add_word(self, deal_id: DealId, word: Word, at: int) -> Word:
        """Stores what a run found durably, unless something is stored: the first stays, and is returned."""
        with self.database.transaction() as sql:
            row = (deal_id, word.vote, word.reason, word.receipt, at)
            sql.execute("INSERT OR IGNORE INTO mediator_word VALUES (?, ?, ?, ?, ?)", row)
        found = self.word(deal_id)
        assert found is not None
        return found

    def word(self, deal_id: DealId) -> Word | None:
        rows = self.database.query("SELECT vote, reason, receipt FROM mediator_word WHERE deal = ?", (deal_id,))
        return Word(bytes(rows[0]["vote"]), rows[0]["reason"], bytes(rows[0]["receipt"])) if rows else None

    # ---- votes

    def add_vote(self, vote: StoredVote) -> StoredVote:
        """Stores a vote durably, unless one of the round is stored: the first stays, and is returned."""
        with self.database.transaction() as sql:
            sql.execute(
                "INSERT OR IGNORE INTO mediator_vote (deal, round, account, vote, salt, why, stored_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (vote.deal_id, vote.round, vote.account, vote.vote, vote.salt, vote.why, vote.stored_at),
            )
        found = self.vote(vote.deal_id, vote.round, vote.account)
        assert found is not None
        return found

    def correct_vote(self, vote: StoredVote) -> None:
        """Puts the vote that the chain has a commitment to in the place of one that it has not."""
        with self.database.transaction() as sql:
            sql.execute(
                "INSERT OR REPLACE INTO mediator_vote VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                (vote.deal_id, vote.round, vote.account, vote.vote, vote.salt, vote.why, vote.stored_at),
            )

    def vote(self, deal_id: DealId, round_: int, account: Address) -> StoredVote | None:
        rows = self.database.query(
            "SELECT * FROM mediator_vote WHERE deal = ? AND round = ? AND account = ?", (deal_id, round_, account)
        )
        return _vote(rows[0]) if rows else None

    def votes(self) -> list[StoredVote]:
        """All votes, oldest first."""
        return [_vote(row) for row in self.database.query("SELECT * FROM mediator_vote ORDER BY stored_at, deal, round")]

    def unshown(self) -> set[DealId]:
        """Deals with votes whose evidence was not left yet."""
        rows = self.database.query("SELECT DISTINCT deal FROM mediator_vote WHERE shown = 0")
        return {DealId(bytes(row["deal"])) for row in rows}

    def mark_shown(self, vote: StoredVote) -> None:
        with self.database.transaction(durable=False) as sql:
            sql.execute(
                "UPDATE mediator_vote SET shown = 1 WHERE deal = ? AND round = ? AND account = ?",
                (vote.deal_id, vote.round, vote.account),
            )

    # ---- transactions under way

    def begin(self, sql: Any, deals: Iterable[DealId], action: Action, key: str) -> None:
        """Notes the transaction of an action; to be called in the transaction that hands it to the outbox."""
        rows = [(deal_id, action.value, key) for deal_id in deals]
        sql.executemany("INSERT OR REPLACE INTO mediator_action VALUES (?, ?, ?)", rows)

    def finish(self, key: str) -> None:
        with self.database.transaction(durable=False) as sql:
            sql.execute("DELETE FROM mediator_action WHERE key = ?", (key,))

    def under_way(self) -> dict[str, list[tuple[DealId, Action]]]:
        """Subjects and actions by the key of their transaction."""
        found: dict[str, list[tuple[DealId, Action]]] = {}
        for row in self.database.query("SELECT deal, action, key FROM mediator_action"):
            found.setdefault(row["key"], []).append((DealId(bytes(row["deal"])), Action(row["action"])))
        return found

    def add_gas(self, transaction: bytes, block: int, wei: int) -> None:
        with self.database.transaction(durable=False) as sql:
            sql.execute("INSERT OR REPLACE INTO mediator_gas VALUES (?, ?, ?)", (transaction, block, str(wei)))

    def gas(self) -> tuple[int, int]:
        """Wei spent and transactions made, of all that this database has seen."""
        rows = self.database.query("SELECT wei FROM mediator_gas")
        return sum(int(row["wei"]) for row in rows), len(rows)

    # ---- what the user asked for

    def ask_appeal(self, deal_id: DealId, round_: int) -> None:
        """The user wants the finding of this round appealed."""
        with self.database.transaction() as sql:
            sql.execute("INSERT OR REPLACE INTO mediator_appeal VALUES (?, ?)", (deal_id, round_))

    def asked_appeals(self) -> dict[DealId, int]:
        rows = self.database.query("SELECT deal, round FROM mediator_appeal")
        return {DealId(bytes(row["deal"])): int(row["round"]) for row in rows}


def _vote(row: Any) -> StoredVote:
    return StoredVote(
        DealId(bytes(row["deal"])),
        int(row["round"]),
        Address(row["account"]),
        bytes(row["vote"]),
        bytes(row["salt"]),
        row["why"],
        Timestamp(row["stored_at"]),
        bool(row["shown"]),
    )
