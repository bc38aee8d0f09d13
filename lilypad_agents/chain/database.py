"""One SQLite file per agent: opened with checks, migrated by component, written in short transactions.

The file is a cache of the chain plus the outbox. It may be deleted: the agent rebuilds it. A file restored from a
backup is safe as far as the contracts refuse repeats; do not restore one while its transactions are not mined.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lilypad_agents.chain.errors import DatabaseCorrupt, DatabaseTooNew, DatabaseUnusable, DiskFull

_VERSIONS = "CREATE TABLE IF NOT EXISTS schema_version (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT"


class Database:
    """A connection that threads share by a lock. Use `open`."""

    def __init__(self, path: Path | None, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.RLock()
        self._depth = 0
        self._flushes = True  # what `synchronous` is set to

    @classmethod
    def open(cls, path: Path | None, *, busy_timeout_s: float = 5.0) -> Database:
        """Opens or creates the file (None: in memory) in WAL mode, readable by its owner only, and checks it.

        Raises DatabaseCorrupt (how to rebuild is in its hint), DiskFull or DatabaseUnusable.
        """
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(mode=0o600, exist_ok=True)
            target = ":memory:" if path is None else str(path)
            connection = sqlite3.connect(target, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise DatabaseUnusable(f"The database {path} cannot be opened: {error}", path=str(path)) from error
        database = cls(path, connection)
        try:
            with database._translated():
                connection.row_factory = sqlite3.Row
                for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                    connection.execute(f"PRAGMA {pragma}")
                connection.execute(f"PRAGMA journal_size_limit = {16 * 2**20}")
                database._quick_check()
                connection.execute(_VERSIONS)
        except Exception:
            connection.close()
            raise
        return database

    def _quick_check(self) -> None:
        found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise DatabaseCorrupt(f"The database {self.path} is damaged: {found}", path=str(self.path))

    def migrate(self, component: str, steps: Sequence[str]) -> None:
        """Brings the tables of `component` to version `len(steps)`; each step is a script of SQL, all in one transaction.

        Raises DatabaseTooNew when the file was written by a version with more steps.
        """
        with self.transaction() as connection:
            row = connection.execute("SELECT version FROM schema_version WHERE component = ?", (component,)).fetchone()
            version = row["version"] if row else 0
            if version > len(steps):
                raise DatabaseTooNew(
                    f"The database {self.path} has version {version} of {component}; this program knows {len(steps)}.",
                    component=component,
                    found=version,
                    known=len(steps),
                )
            for step in steps[version:]:
                for statement in _statements(step):
                    connection.execute(statement)
            connection.execute("INSERT OR REPLACE INTO schema_version VALUES (?, ?)", (component, len(steps)))

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One write transaction; nested ones join the outer and its durability.

        `durable` False may lose it on power failure, never on a kill (caches).

        Raises DiskFull, DatabaseCorrupt or DatabaseUnusable; then nothing of it is stored.
        """
        with self._lock, self._translated():
            if self._depth:
                yield self._connection
                return
            if durable is not self._flushes:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._flushes = durable
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a read."""
        with self._lock, self._translated():
            return self._connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Closes the file; committed data stays."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Names SQLite's failures that a person can mend."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            text = f"The database {self.path}: {error}"
            if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")):  # a size limit reads so
                raise DiskFull(text, path=str(self.path)) from error
            if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                raise DatabaseCorrupt(text, path=str(self.path)) from error
            if name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_PERM")):
                raise DatabaseUnusable(text, path=str(self.path)) from error
            raise


def _statements(script: str) -> Iterator[str]:
    """Single statements of a script (`executescript` would commit the transaction around it)."""
    pending = ""
    for part in script.split(";"):
        pending += part + ";"
        if sqlite3.complete_statement(pending):
            if pending.strip(" \n\t;"):
                yield pending
            pending = ""
