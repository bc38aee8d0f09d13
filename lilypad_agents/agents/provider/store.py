"""What the provider remembers: stored results, creators' agreements, transactions under way, standing offers, gas spent.

All of it is a cache of chain, key and content: salts follow from the key, results lie in the content store under pins,
agreements can be asked for again, and an offer that is forgotten expires. A write is durable where money would be lost
without it: a result is stored before its commitment leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.provider.results import Opening
from lilypad_agents.agents.provider.view import Action
from lilypad_agents.chain.database import Database
from lilypad_agents.content.cid import Cid
from lilypad_agents.protocol.digest import Opened
from lilypad_agents.protocol.dispute import Finding, Phase
from lilypad_agents.protocol.ids import Bytes32, DealId
from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Status
from lilypad_agents.protocol.units import Timestamp, Units

_SCHEMA = (
    """
    CREATE TABLE provider_result (
        deal BLOB PRIMARY KEY, head BLOB NOT NULL, content BLOB NOT NULL, salt BLOB NOT NULL, units TEXT NOT NULL,
        data_id TEXT NOT NULL, receipt_id TEXT NOT NULL, receipt BLOB NOT NULL, stored_at INTEGER NOT NULL,
        published INTEGER NOT NULL DEFAULT 0, released INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
    CREATE INDEX provider_result_kept ON provider_result (deal) WHERE released = 0;
    CREATE INDEX provider_result_data ON provider_result (data_id);
    CREATE INDEX provider_result_receipt ON provider_result (receipt_id);
    CREATE TABLE provider_agreement (
        deal BLOB PRIMARY KEY, kind INTEGER NOT NULL, signature BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE provider_action (
        deal BLOB NOT NULL, action TEXT NOT NULL, key TEXT NOT NULL,
        PRIMARY KEY (deal, action)) STRICT, WITHOUT ROWID;
    CREATE TABLE provider_offer (
        id TEXT NOT NULL, url TEXT NOT NULL, label TEXT NOT NULL, expiry INTEGER NOT NULL,
        PRIMARY KEY (url, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE provider_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE provider_income (
        deal BLOB PRIMARY KEY, status INTEGER NOT NULL, at INTEGER NOT NULL, amount TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE provider_gas (
        tx BLOB PRIMARY KEY, block INTEGER NOT NULL, wei TEXT NOT NULL) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE provider_dispute (
        deal BLOB NOT NULL, delivery INTEGER NOT NULL, kind INTEGER NOT NULL, phase INTEGER NOT NULL, round INTEGER NOT NULL,
        finding INTEGER NOT NULL, paid TEXT NOT NULL, back TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (deal, delivery)) STRICT, WITHOUT ROWID;
    """,
)


OFFERS_UNTIL = "offers until"  # place: when the last of our offers expires, unix seconds
_MOST_DISPUTES_KEPT = 1_024


@dataclass(frozen=True)
class StoredResult:
    """A result that is ready to be committed to. `stored_at`: unix seconds of block time."""

    opening: Opening
    receipt_id: Cid
    receipt: bytes
    stored_at: Timestamp
    published: bool = False
    released: bool = False


@dataclass(frozen=True)
class StandingOffer:
    """An offer that a solver holds. `label` says what it offers, `expiry` in unix seconds."""

    id: str
    url: str
    label: str
    expiry: Timestamp


@dataclass(frozen=True)
class StoredDispute:
    """A dispute over a deal of ours. `paid`: for our appeals, `back`: what its end gave us; smallest units."""

    deal_id: DealId
    delivery: bool
    kind: DisputeKind
    phase: Phase
    round: int
    finding: Finding
    paid: int = 0
    back: int = 0


class ProviderStore:
    """The provider's tables in the agent's database; any thread may call."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._disputes: dict[tuple[DealId, bool], StoredDispute] = {}  # as they were written last
        database.migrate("provider", _SCHEMA)

    # ---- results

    def add_result(self, deal_id: DealId, result: StoredResult) -> StoredResult:
        """Stores a result durably, unless one is stored: the first stays, and is returned."""
        opening = result.opening
        row = (
            deal_id, opening.opened.head, opening.opened.content, opening.salt, str(opening.units), str(opening.data_id),
            str(result.receipt_id), result.receipt, result.stored_at,
        )  # fmt: skip
        with self.database.transaction() as sql:
            sql.execute(
                "INSERT OR IGNORE INTO provider_result (deal, head, content, salt, units, data_id, receipt_id, receipt, "
                "stored_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        found = self.result(deal_id)
        assert found is not None
        return found

    def result(self, deal_id: DealId) -> StoredResult | None:
        rows = self.database.query("SELECT * FROM provider_result WHERE deal = ?", (deal_id,))
        return _result(rows[0]) if rows else None

    def kept(self) -> list[DealId]:
        """Deals whose results are not released yet."""
        return [DealId(bytes(row["deal"])) for row in self.database.query("SELECT deal FROM provider_result WHERE released = 0")]

    def deals_with(self, root: Cid) -> list[DealId]:
        """Deals whose result or receipt is this content."""
        text = str(root)
        rows = self.database.query("SELECT deal FROM provider_result WHERE data_id = ? OR receipt_id = ?", (text, text))
        return [DealId(bytes(row["deal"])) for row in rows]

    def drop_result(self, deal_id: DealId) -> None:
        """Forgets a result that does not belong to the posted commitment, so that it is made anew."""
        with self.database.transaction() as sql:
            sql.execute("DELETE FROM provider_result WHERE deal = ?", (deal_id,))

    def mark_published(self, deal_id: DealId) -> None:
        self._mark("published", deal_id)

    def mark_released(self, deal_id: DealId) -> None:
        self._mark("released", deal_id)

    def _mark(self, column: str, deal_id: DealId) -> None:
        with self.database.transaction(durable=False) as sql:
            sql.execute(f"UPDATE provider_result SET {column} = 1 WHERE deal = ?", (deal_id,))

    # ---- agreements

    def add_agreement(self, deal_id: DealId, kind: Agreement, signature: bytes) -> None:
        """Keeps the strongest: a waiver counts for more than an acceptance."""
        with self.database.transaction(durable=False) as sql:
            sql.execute(
                "INSERT INTO provider_agreement VALUES (?, ?, ?) ON CONFLICT (deal) DO UPDATE SET kind = excluded.kind, "
                "signature = excluded.signature WHERE excluded.kind > kind",
                (deal_id, int(kind), signature),
            )

    def agreement(self, deal_id: DealId) -> tuple[Agreement, bytes] | None:
        rows = self.database.query("SELECT kind, signature FROM provider_agreement WHERE deal = ?", (deal_id,))
        return (Agreement(rows[0]["kind"]), bytes(rows[0]["signature"])) if rows else None

    def drop_agreement(self, deal_id: DealId) -> None:
        with self.database.transaction(durable=False) as sql:
            sql.execute("DELETE FROM provider_agreement WHERE deal = ?", (deal_id,))

    # ---- transactions under way

    def begin(self, sql: Any, deals: Iterable[DealId], action: Action, key: str) -> None:
        """Notes the transaction of an action; to be called in the transaction that hands it to the outbox."""
        rows = [(deal_id, action.value, key) for deal_id in deals]
        sql.executemany("INSERT OR REPLACE INTO provider_action VALUES (?, ?, ?)", rows)

    def finish(self, key: str) -> None:
        with self.database.transaction(durable=False) as sql:
            sql.execute("DELETE FROM provider_action WHERE key = ?", (key,))

    def under_way(self) -> dict[str, list[tuple[DealId, Action]]]:
        """Deals and actions by the key of their transaction."""
        found: dict[str, list[tuple[DealId, Action]]] = {}
        for row in self.database.query("SELECT deal, action, key FROM provider_action"):
            found.setdefault(row["key"], []).append((DealId(bytes(row["deal"])), Action(row["action"])))
        return found

    # ---- offers

    def add_offer(self, offer: StandingOffer) -> None:
        with self.database.transaction(durable=False) as sql:
            sql.execute(
                "INSERT OR REPLACE INTO provider_offer VALUES (?, ?, ?, ?)", (offer.id, offer.url, offer.label, offer.expiry)
            )

    def remove_offer(self, offer: StandingOffer) -> None:
        with self.database.transaction(durable=False) as sql:
            sql.execute("DELETE FROM provider_offer WHERE url = ? AND id = ?", (offer.url, offer.id))

    def offers(self) -> list[StandingOffer]:
        rows = self.database.query("SELECT * FROM provider_offer ORDER BY expiry")
        return [StandingOffer(row["id"], row["url"], row["label"], Timestamp(row["expiry"])) for row in rows]

    # ---- places

    def meta(self, name: str) -> str | None:
        rows = self.database.query("SELECT value FROM provider_meta WHERE name = ?", (name,))
        return rows[0]["value"] if rows else None

    def set_meta(self, name: str, value: str) -> None:
        with self.database.transaction(durable=False) as sql:
            sql.execute("INSERT OR REPLACE INTO provider_meta VALUES (?, ?)", (name, value))

    # ---- gas

    def add_gas(self, transaction: bytes, block: int, wei: int) -> None:
        with self.database.transaction(durable=False) as sql:
            sql.execute("INSERT OR REPLACE INTO provider_gas VALUES (?, ?, ?)", (transaction, block, str(wei)))

    # ---- disputes

    def set_dispute(self, dispute: StoredDispute, at: Timestamp) -> None:
        """Written when it changed; `at`: block time."""
        key = (dispute.deal_id, dispute.delivery)
        if self._disputes.get(key) == dispute:
            return
        if len(self._disputes) >= _MOST_DISPUTES_KEPT:
            self._disputes.clear()  # what changed is written once more
        self._disputes[key] = dispute
        row = (
            dispute.deal_id, int(dispute.delivery), int(dispute.kind), int(dispute.phase), dispute.round,
            int(dispute.finding), str(dispute.paid), str(dispute.back), at,
        )  # fmt: skip
        with self.database.transaction(durable=False) as sql:
            sql.execute("INSERT OR REPLACE INTO provider_dispute VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def disputes(self, since: int = 0) -> list[StoredDispute]:
        """Those that changed at `since` (unix seconds of block time) or later, oldest first."""
        sql = "SELECT * FROM provider_dispute WHERE at >= ? ORDER BY at, deal, delivery"
        return [
            StoredDispute(
                DealId(bytes(row["deal"])), bool(row["delivery"]), DisputeKind(row["kind"]), Phase(row["phase"]), row["round"],
                Finding(row["finding"]), int(row["paid"]), int(row["back"]),
            )
            for row in self.database.query(sql, (since,))
        ]  # fmt: skip

    # ---- income

    def set_income(self, deal_id: DealId, status: Status, at: Timestamp, amount: int) -> None:
        """What an ended deal brought, smallest units; negative when it cost."""
        with self.database.transaction(durable=False) as sql:
            row = (deal_id, int(status), at, str(amount))
            sql.execute("INSERT OR REPLACE INTO provider_income VALUES (?, ?, ?, ?)", row)

    def ended_since(self, status: Status, since: int) -> int:
        """How many deals ended so at `since` (unix seconds of block time) or later."""
        sql = "SELECT count(*) AS n FROM provider_income WHERE status = ? AND at >= ?"
        return int(self.database.query(sql, (int(status), since))[0]["n"])


def _result(row: Any) -> StoredResult:
    opened = Opened(Bytes32(bytes(row["head"])), Bytes32(bytes(row["content"])))
    opening = Opening(opened, bytes(row["salt"]), Cid.parse(row["data_id"]), Units(int(row["units"])))
    return StoredResult(
        opening,
        Cid.parse(row["receipt_id"]),
        bytes(row["receipt"]),
        Timestamp(row["stored_at"]),
        bool(row["published"]),
        bool(row["released"]),
    )
