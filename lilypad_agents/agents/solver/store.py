"""The solver's tables: offers, matches, notes and rights on content. On disk or in memory, with the same behaviour.

Writes are short transactions that survive a kill; a power cut may lose the last moments, which their senders repeat.
Any thread may call; SQLite's connection is shared under the database's lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.solver.wire import Message, MessageKind, OfferState
from lilypad_agents.chain.database import Database
from lilypad_agents.content.cid import sha256
from lilypad_agents.protocol.ids import Address, DealId, OfferHash
from lilypad_agents.protocol.units import Timestamp

_SCHEMA = (
    """
    CREATE TABLE solver_offer (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, kind TEXT NOT NULL, account TEXT NOT NULL,
        poster TEXT NOT NULL, document TEXT NOT NULL, state TEXT NOT NULL, posted_at INTEGER NOT NULL,
        expiry INTEGER NOT NULL, deal BLOB, reason TEXT, closed_at INTEGER) STRICT;
    CREATE INDEX solver_offer_account ON solver_offer (account, seq);
    CREATE INDEX solver_offer_state ON solver_offer (state, seq);
    CREATE INDEX solver_offer_closed ON solver_offer (closed_at) WHERE closed_at IS NOT NULL;
    CREATE TABLE solver_match (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, batch TEXT NOT NULL, job BLOB NOT NULL, resource BLOB NOT NULL,
        group_number INTEGER NOT NULL, item INTEGER NOT NULL, block INTEGER NOT NULL, at INTEGER NOT NULL, outcome TEXT) STRICT;
    CREATE INDEX solver_match_open ON solver_match (batch, seq) WHERE outcome IS NULL;
    CREATE INDEX solver_match_at ON solver_match (at);
    CREATE TABLE solver_message (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, deal BLOB NOT NULL, kind TEXT NOT NULL, sender TEXT NOT NULL,
        receiver TEXT NOT NULL, at INTEGER NOT NULL, hash BLOB NOT NULL, body TEXT NOT NULL,
        UNIQUE (deal, kind, sender, hash)) STRICT;
    CREATE INDEX solver_message_receiver ON solver_message (receiver, seq);
    CREATE TABLE solver_content (
        root TEXT NOT NULL, scope TEXT NOT NULL, scope_id BLOB NOT NULL, owner TEXT NOT NULL, kind TEXT NOT NULL,
        size INTEGER NOT NULL, at INTEGER NOT NULL, expires_at INTEGER, PRIMARY KEY (root, scope, scope_id, owner)) STRICT;
    CREATE INDEX solver_content_scope ON solver_content (scope, scope_id);
    CREATE INDEX solver_content_owner ON solver_content (owner);
    CREATE INDEX solver_content_expiry ON solver_content (expires_at) WHERE expires_at IS NOT NULL;
    """,
)
LIVE = (OfferState.OPEN, OfferState.OPENING)


@dataclass(frozen=True)
class StoredOffer:
    """One offer with what came with it (`document`: the body of its posting)."""

    seq: int
    id: OfferHash
    kind: str
    account: Address
    poster: Address
    document: Mapping[str, Any]
    state: OfferState
    posted_at: Timestamp
    expiry: Timestamp
    deal_id: DealId | None
    reason: Mapping[str, Any] | None


@dataclass(frozen=True)
class StoredMatch:
    """One decided pair and its place in the calldata; `outcome` None while its transaction is under way, else `opened`
    or why it was not."""

    seq: int
    batch: str
    job: OfferHash
    resource: OfferHash
    group: int
    item: int
    block: int
    at: Timestamp
    outcome: str | None


@dataclass(frozen=True)
class StoredContent:
    """A right to read what is below `root`; `scope_id` is empty for public content. `expires_at` None: not known yet."""

    root: str
    scope: str
    scope_id: bytes
    owner: Address
    kind: str
    size: int
    at: Timestamp
    expires_at: int | None


class SolverStore:
    """Reads and writes of one solver."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.migrate("solver", _SCHEMA)

    def transaction(self) -> Any:
        """Several writes as one."""
        return self._database.transaction(durable=False)

    # ---- offers

    def add_offer(
        self,
        offer_id: OfferHash,
        kind: str,
        account: Address,
        poster: Address,
        document: Mapping[str, Any],
        posted_at: int,
        expiry: int,
    ) -> int:
        """Takes a new open offer, or opens a closed one again, and returns its sequence number."""
        text = json.dumps(document, separators=(",", ":"))
        with self.transaction() as sql:
            row = sql.execute(
                "INSERT INTO solver_offer (id, kind, account, poster, document, state, posted_at, expiry) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document, "
                "poster = excluded.poster, state = excluded.state, reason = NULL, closed_at = NULL RETURNING seq",
                (offer_id, kind, account, poster, text, str(OfferState.OPEN), posted_at, expiry),
            ).fetchone()
        return int(row["seq"])

    def set_offers(
        self,
        offer_ids: Iterable[OfferHash],
        state: OfferState,
        *,
        now: int,
        deal_id: DealId | None = None,
        reason: Mapping[str, Any] | None = None,
    ) -> None:
        """Moves offers; a deal id stays when none is given."""
        closed = None if state in LIVE else now
        text = None if reason is None else json.dumps(reason, separators=(",", ":"))
        rows = [(str(state), deal_id, text, closed, offer_id) for offer_id in offer_ids]
        with self.transaction() as sql:
            sql.executemany(
                "UPDATE solver_offer SET state = ?, deal = coalesce(?, deal), reason = ?, closed_at = ? WHERE id = ?", rows
            )

    def offer(self, offer_id: bytes) -> StoredOffer | None:
        rows = self._database.query("SELECT * FROM solver_offer WHERE id = ?", (offer_id,))
        return _offer(rows[0]) if rows else None

    def live_offers(self) -> list[StoredOffer]:
        """Open and opening ones, oldest first."""
        rows = self._database.query("SELECT * FROM solver_offer WHERE state IN ('open', 'opening') ORDER BY seq")
        return [_offer(row) for row in rows]

    def offers_page(
        self,
        *,
        kind: str | None = None,
        account: str | None = None,
        state: str | None = None,
        since: int = 0,
        after: int = 0,
        limit: int = 100,
    ) -> list[StoredOffer]:
        """Oldest first, from sequence `after` on, posted at block time `since` or later."""
        conditions, values = ["seq > ?", "posted_at >= ?"], [after, since]
        for column, value in (("kind", kind), ("account", account), ("state", state)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)  # type: ignore[arg-type]
        where = " AND ".join(conditions)
        rows = self._database.query(f"SELECT * FROM solver_offer WHERE {where} ORDER BY seq LIMIT ?", (*values, limit))
        return [_offer(row) for row in rows]

    def forget_offers(self, closed_before: int) -> int:
        """Deletes offers that closed before a block time."""
        with self.transaction() as sql:
            return int(sql.execute("DELETE FROM solver_offer WHERE closed_at < ?", (closed_before,)).rowcount)

    # ---- matches

    def add_matches(
        self, batch: str, places: Sequence[tuple[OfferHash, OfferHash, int, int]], block: int, now: int
    ) -> list[StoredMatch]:
        """Pairs of a batch: job offer, resource offer, number of the group and of the item in its calldata."""
        found = []
        with self.transaction() as sql:
            for place in places:
                row = sql.execute(
                    "INSERT INTO solver_match (batch, job, resource, group_number, item, block, at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING *",
                    (batch, *place, block, now),
                ).fetchone()
                found.append(_match(row))
        return found

    def end_matches(self, outcomes: Mapping[int, str]) -> None:
        """Outcomes by sequence number."""
        with self.transaction() as sql:
            rows = [(outcome, seq) for seq, outcome in outcomes.items()]
            sql.executemany("UPDATE solver_match SET outcome = ? WHERE seq = ?", rows)

    def open_matches(self) -> list[StoredMatch]:
        """Those without an outcome, in order."""
        rows = self._database.query("SELECT * FROM solver_match WHERE outcome IS NULL ORDER BY seq")
        return [_match(row) for row in rows]

    def matches_page(self, *, after: int = 0, limit: int = 100) -> list[StoredMatch]:
        rows = self._database.query("SELECT * FROM solver_match WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [_match(row) for row in rows]

    def forget_matches(self, before: int) -> None:
        with self.transaction() as sql:
            sql.execute("DELETE FROM solver_match WHERE at < ? AND outcome IS NOT NULL", (before,))

    # ---- notes

    def add_message(
        self, deal_id: DealId, kind: MessageKind, sender: Address, receiver: Address, now: int, body: Any, most: int
    ) -> int | None:
        """The sequence number of a note, of the earlier one when it is repeated; None when there are `most` already."""
        text = json.dumps(body, separators=(",", ":"), sort_keys=True)
        digest = sha256(text.encode())
        key = (deal_id, str(kind), sender)
        with self.transaction() as sql:
            known = sql.execute(
                "SELECT seq FROM solver_message WHERE deal = ? AND kind = ? AND sender = ? AND hash = ?", (*key, digest)
            ).fetchone()
            if known is not None:
                return int(known["seq"])
            count = "SELECT count(*) AS n FROM solver_message WHERE deal = ? AND kind = ? AND sender = ?"
            if sql.execute(count, key).fetchone()["n"] >= most:
                return None
            row = sql.execute(
                "INSERT INTO solver_message (deal, kind, sender, receiver, at, hash, body) VALUES (?, ?, ?, ?, ?, ?, ?) "
                "RETURNING seq",
                (*key, receiver, now, digest, text),
            ).fetchone()
        return int(row["seq"])

    def messages(self, deal_id: bytes) -> list[Message]:
        return [_message(row) for row in self._database.query(
            "SELECT * FROM solver_message WHERE deal = ? ORDER BY seq", (deal_id,))]  # fmt: skip

    def inbox(self, receiver: Address, after: int, limit: int) -> list[Message]:
        """Notes to an account, oldest first."""
        rows = self._database.query(
            "SELECT * FROM solver_message WHERE receiver = ? AND seq > ? ORDER BY seq LIMIT ?", (receiver, after, limit)
        )
        return [_message(row) for row in rows]

    def forget_messages(self, deal_ids: Iterable[bytes]) -> None:
        with self.transaction() as sql:
            sql.executemany("DELETE FROM solver_message WHERE deal = ?", [(deal_id,) for deal_id in deal_ids])

    def deals_with_messages(self, before: int, after: bytes, limit: int) -> list[DealId]:
        """Deals about which a note came before a block time, in the order of their ids, from behind `after`."""
        rows = self._database.query(
            "SELECT DISTINCT deal FROM solver_message WHERE deal > ? AND at < ? ORDER BY deal LIMIT ?", (after, before, limit)
        )
        return [DealId(bytes(row["deal"])) for row in rows]

    # ---- content

    def add_content(self, content: StoredContent) -> None:
        """Takes a right, or replaces the one of the same root, scope and owner."""
        with self.transaction() as sql:
            sql.execute(
                "INSERT OR REPLACE INTO solver_content VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    content.root,
                    content.scope,
                    content.scope_id,
                    content.owner,
                    content.kind,
                    content.size,
                    content.at,
                    content.expires_at,
                ),
            )

    def content(self, root: str) -> list[StoredContent]:
        return [_content(row) for row in self._database.query("SELECT * FROM solver_content WHERE root = ?", (root,))]

    def content_of(self, scope: str, scope_id: bytes) -> list[StoredContent]:
        rows = self._database.query("SELECT * FROM solver_content WHERE scope = ? AND scope_id = ?", (scope, scope_id))
        return [_content(row) for row in rows]

    def content_bytes(self, owner: Address) -> int:
        """Bytes that an account keeps here."""
        rows = self._database.query("SELECT coalesce(sum(size), 0) AS n FROM solver_content WHERE owner = ?", (owner,))
        return int(rows[0]["n"])

    def set_expiry(self, scope: str, scope_ids: Iterable[bytes], expires_at: int | None) -> None:
        """When content of some offers or deals may go; None: not before somebody says so."""
        rows = [(expires_at, scope, scope_id) for scope_id in scope_ids]
        if not rows:
            return
        with self.transaction() as sql:
            sql.executemany("UPDATE solver_content SET expires_at = ? WHERE scope = ? AND scope_id = ?", rows)

    def expired_content(self, now: int, limit: int = 1_000) -> list[StoredContent]:
        rows = self._database.query("SELECT * FROM solver_content WHERE expires_at <= ? LIMIT ?", (now, limit))
        return [_content(row) for row in rows]

    def forget_content(self, contents: Iterable[StoredContent]) -> None:
        rows = [(item.root, item.scope, item.scope_id, item.owner) for item in contents]
        with self.transaction() as sql:
            sql.executemany(
                "DELETE FROM solver_content WHERE root = ? AND scope = ? AND scope_id = ? AND owner = ?", rows
            )

    def scopes_with_content(self, scope: str) -> list[bytes]:
        """Offers or deals whose content has no end yet."""
        rows = self._database.query(
            "SELECT DISTINCT scope_id FROM solver_content WHERE scope = ? AND expires_at IS NULL", (scope,)
        )
        return [bytes(row["scope_id"]) for row in rows]


def _offer(row: Any) -> StoredOffer:
    return StoredOffer(
        seq=row["seq"],
        id=OfferHash(bytes(row["id"])),
        kind=row["kind"],
        account=Address(row["account"]),
        poster=Address(row["poster"]),
        document=json.loads(row["document"]),
        state=OfferState(row["state"]),
        posted_at=Timestamp(row["posted_at"]),
        expiry=Timestamp(row["expiry"]),
        deal_id=None if row["deal"] is None else DealId(bytes(row["deal"])),
        reason=None if row["reason"] is None else json.loads(row["reason"]),
    )


def _match(row: Any) -> StoredMatch:
    return StoredMatch(
        row["seq"], row["batch"], OfferHash(bytes(row["job"])), OfferHash(bytes(row["resource"])), row["group_number"],
        row["item"], row["block"], Timestamp(row["at"]), row["outcome"],
    )  # fmt: skip


def _message(row: Any) -> Message:
    return Message(
        row["seq"], DealId(bytes(row["deal"])), MessageKind(row["kind"]), Address(row["sender"]), Timestamp(row["at"]),
        json.loads(row["body"]),
    )  # fmt: skip


def _content(row: Any) -> StoredContent:
    return StoredContent(
        row["root"], row["scope"], bytes(row["scope_id"]), Address(row["owner"]), row["kind"], row["size"],
        Timestamp(row["at"]), row["expires_at"],
    )  # fmt: skip
