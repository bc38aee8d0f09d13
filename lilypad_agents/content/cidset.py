"""A set of CIDs that may be far larger than memory should hold."""

from __future__ import annotations

import sqlite3
from typing import Self

from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import StoreFull


class CidSet:
    """Use as a context manager, in one thread. Lies in a temporary file of SQLite's, of which 2 MiB at most are in memory."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute("CREATE TABLE cid (codec INTEGER, digest BLOB, PRIMARY KEY (digest, codec)) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, cid: Cid) -> bool:
        """Whether it is new. Raises StoreFull when there is no space for the file."""
        try:
            done = self._database.execute("INSERT OR IGNORE INTO cid VALUES (?, ?)", (int(cid.codec), cid.digest))
        except sqlite3.OperationalError as error:
            raise StoreFull("no space for the list of what is kept, in the folder for temporary files", cause=str(error)) from error
        return done.rowcount == 1

    def __contains__(self, cid: Cid) -> bool:
        found = self._database.execute("SELECT 1 FROM cid WHERE codec = ? AND digest = ?", (int(cid.codec), cid.digest))
        return found.fetchone() is not None
