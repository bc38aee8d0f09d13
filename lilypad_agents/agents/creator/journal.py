"""The creator's own notes of its jobs: written before anything leaves, so that any command can carry on after a kill.

The chain is the truth; a lost journal costs the labels and the link to the request, never money: deals are found again
by their creator. One SQLite file per account and network, shared by all commands that run at the same time.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from lilypad_agents.chain.database import Database
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.offers import JobOffer
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import Nonce

_SCHEMA = (
    """
    CREATE TABLE job (
        id TEXT PRIMARY KEY, request_key TEXT NOT NULL, created_at INTEGER NOT NULL, label TEXT NOT NULL,
        terms TEXT NOT NULL, pool TEXT NOT NULL, offer TEXT, signature BLOB NOT NULL, roots TEXT NOT NULL,
        solver TEXT NOT NULL, posted_block INTEGER NOT NULL, stage TEXT NOT NULL, deal BLOB, record BLOB,
        opened_block INTEGER, folder TEXT NOT NULL, digest BLOB, data_id TEXT NOT NULL, exit_code INTEGER,
        agreed TEXT NOT NULL, ended TEXT NOT NULL, cost TEXT, results TEXT NOT NULL, declined TEXT NOT NULL) STRICT;
    CREATE INDEX job_request ON job (request_key);
    CREATE INDEX job_deal ON job (deal);
    CREATE INDEX job_stage ON job (stage, created_at);
    CREATE TABLE nonce_page (one INTEGER PRIMARY KEY CHECK (one = 1), page INTEGER NOT NULL, next INTEGER NOT NULL) STRICT;
    """,
    """
    ALTER TABLE job ADD COLUMN why TEXT NOT NULL DEFAULT '';
    ALTER TABLE job ADD COLUMN doubted INTEGER NOT NULL DEFAULT 0;
    """,
)
PAGE = 256  # nonces that share a word on chain: using them in order is cheaper for whoever opens
_PAGES = 2**32 // PAGE


class Stage(StrEnum):
    """How far a job has come by what we did ourselves; how the deal stands is the chain's to say."""

    SIGNED = "signed"  # the offer exists, nobody has it
    POSTED = "posted"  # a solver has it
    OPENED = "opened"  # it became a deal
    ENDED = "ended"  # final, or never to be opened


@dataclass(frozen=True)
class Job:
    """One job. `id` is the offer hash (0x hex), or the deal id for deals found on chain.

    `label`: the module as it was named. `folder`: where results go. `agreed`: "", "acceptance" or "waiver".
    `ended`: "" or how it ended. `cost`: smallest units that it cost in the end. `declined`: providers that gave it back.
    `why`: the reason of our challenge, in our own words. `doubted`: our own run gave another result, so that no later
    command agrees unasked.
    """

    id: str
    request_key: str
    created_at: int
    label: str
    terms: ModuleTerms
    pool: PoolTerms
    offer: JobOffer | None
    signature: bytes
    roots: tuple[str, ...]
    solver: str
    posted_block: int
    stage: Stage
    folder: str
    deal: DealId | None = None
    record: Deal | None = None
    opened_block: int | None = None
    digest: bytes | None = None
    data_id: str = ""
    exit_code: int | None = None
    agreed: str = ""
    ended: str = ""
    cost: int | None = None
    results: str = ""
    declined: tuple[str, ...] = ()
    why: str = ""
    doubted: bool = False

    @property
    def deal_text(self) -> str:
        return "" if self.deal is None else "0x" + self.deal.hex()

    @property
    def name(self) -> str:
        """What a person calls the job: the deal once there is one, else the offer."""
        return self.deal_text or self.id


class Journal:
    """The jobs of one account. Every change is durable when the method returns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.migrate("creator_journal", _SCHEMA)

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Raises DatabaseCorrupt and its kin."""
        return cls(Database.open(path))

    def close(self) -> None:
        self._database.close()

    def add(self, job: Job) -> None:
        """Notes a new job. A second job with the same id changes nothing."""
        row = _row(job)
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        with self._database.transaction() as sql:
            sql.execute(f"INSERT OR IGNORE INTO job ({columns}) VALUES ({marks})", tuple(row.values()))

    def update(self, job: Job, **changes: Any) -> Job:
        """The job with other values, stored. Only what changes is written, so parallel commands do not undo each other."""
        changed = replace(job, **changes)
        row = _row(changed)
        names = [name for name in changes if name in row]
        with self._database.transaction() as sql:
            sql.execute(
                f"UPDATE job SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?",
                (*(row[name] for name in names), job.id),
            )
        return changed

    def get(self, id_: str) -> Job | None:
        rows = self._database.query("SELECT * FROM job WHERE id = ?", (id_,))
        return _job(rows[0]) if rows else None

    def find(self, text: str) -> list[Job]:
        """Jobs whose offer hash or deal id is, or begins with, `text` (0x hex); newest first."""
        pattern = text.lower().removeprefix("0x")
        if not pattern or any(character not in "0123456789abcdef" for character in pattern):
            return []
        rows = self._database.query(
            "SELECT * FROM job WHERE id LIKE ? OR lower(hex(deal)) LIKE ? ORDER BY created_at DESC, rowid DESC",
            (f"0x{pattern}%", f"{pattern}%"),
        )
        return [_job(row) for row in rows]

    def of_deal(self, deal: DealId) -> Job | None:
        rows = self._database.query("SELECT * FROM job WHERE deal = ?", (deal,))
        return _job(rows[0]) if rows else None

    def unfinished(self, request_key: str | None = None) -> list[Job]:
        """Jobs that have not ended, newest first; those of one request, or all."""
        rows = self._database.query(
            "SELECT * FROM job WHERE stage != 'ended' AND (? IS NULL OR request_key = ?) ORDER BY created_at DESC, rowid DESC",
            (request_key, request_key),
        )
        return [_job(row) for row in rows]

    def list(self, *, since: int = 0, limit: int = 1_000) -> list[Job]:
        """All jobs made since `since` (unix seconds), newest first."""
        rows = self._database.query(
            "SELECT * FROM job WHERE created_at >= ? ORDER BY created_at DESC, rowid DESC LIMIT ?", (since, limit)
        )
        return [_job(row) for row in rows]

    def take_nonce(self, floor: int, used: Callable[[range], set[int]]) -> Nonce:
        """A nonce that no offer of this account has: `floor` from the chain, `used` asks it about a new page.

        Pages are taken at random, so that two machines with one key do not meet.
        """
        while True:
            with self._database.transaction() as sql:
                row = sql.execute("SELECT page, next FROM nonce_page").fetchone()
                if row is not None and row["next"] < PAGE and row["page"] * PAGE >= floor:
                    sql.execute("UPDATE nonce_page SET next = next + 1")
                    return Nonce(row["page"] * PAGE + row["next"])
            least = -(-floor // PAGE)
            page = least + secrets.randbelow(max(1, _PAGES - least))
            if used(range(page * PAGE, page * PAGE + PAGE)):
                continue
            with self._database.transaction() as sql:
                sql.execute("INSERT OR REPLACE INTO nonce_page VALUES (1, ?, 0)", (page,))


def _row(job: Job) -> dict[str, Any]:
    values: dict[str, Any] = {field.name: getattr(job, field.name) for field in fields(job)}
    values["terms"] = json.dumps(job.terms.to_json())
    values["pool"] = json.dumps(job.pool.to_json())
    values["offer"] = None if job.offer is None else json.dumps(job.offer.to_json())
    values["roots"] = json.dumps(job.roots)
    values["declined"] = json.dumps(job.declined)
    values["stage"] = str(job.stage)
    values["doubted"] = int(job.doubted)
    values["record"] = None if job.record is None else b"".join(job.record.words)
    values["cost"] = None if job.cost is None else str(job.cost)
    return values


def _job(row: sqlite3.Row) -> Job:
    values: dict[str, Any] = {name: row[name] for name in row.keys()}  # noqa: SIM118 - a Row iterates over its values
    values["terms"] = ModuleTerms.from_json(json.loads(row["terms"]))
    values["pool"] = PoolTerms.from_json(json.loads(row["pool"]))
    values["offer"] = None if row["offer"] is None else JobOffer.from_json(json.loads(row["offer"]))
    values["roots"] = tuple(json.loads(row["roots"]))
    values["declined"] = tuple(json.loads(row["declined"]))
    values["stage"] = Stage(row["stage"])
    values["doubted"] = bool(row["doubted"])
    values["deal"] = None if row["deal"] is None else DealId(bytes(row["deal"]))
    values["record"] = None if row["record"] is None else Deal.from_words(_words(bytes(row["record"])))
    values["cost"] = None if row["cost"] is None else int(row["cost"])
    values["digest"] = None if row["digest"] is None else bytes(row["digest"])
    values["signature"] = bytes(row["signature"])
    return Job(**values)


def _words(record: bytes) -> Sequence[bytes]:
    return [record[start : start + 32] for start in range(0, len(record), 32)]


def request_key(parts: Mapping[str, Any]) -> str:
    """A text that is equal for equal requests; repeating a command finds the job that it began."""
    return json.dumps(dict(parts), sort_keys=True, separators=(",", ":"), default=str)
