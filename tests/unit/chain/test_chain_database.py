"""The agents' SQLite file: checks at opening, migrations, transactions, bad days."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from lilypad_agents.chain.database import Database
from lilypad_agents.chain.errors import DatabaseCorrupt, DatabaseTooNew, DatabaseUnusable, DiskFull

STEPS = ("CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1)", "ALTER TABLE a ADD COLUMN y TEXT DEFAULT 'a;b'")


def test_open__new_file__is_private_and_durable(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "deep" / "agent.sqlite")
    assert (tmp_path / "deep" / "agent.sqlite").stat().st_mode & 0o777 == 0o600
    assert database.query("PRAGMA journal_mode")[0][0] == "wal"
    with database.transaction():
        assert database.query("PRAGMA synchronous")[0][0] == 2
    with database.transaction(durable=False):
        assert database.query("PRAGMA synchronous")[0][0] == 1


def test_migrate__step_by_step__each_once_and_components_apart(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "a.sqlite")
    database.migrate("one", STEPS[:1])
    database.migrate("one", STEPS)
    database.migrate("one", STEPS)
    database.migrate("two", ("CREATE TABLE b (x)",))
    assert [tuple(row) for row in database.query("SELECT * FROM a")] == [(1, "a;b")]


def test_migrate__script_fails__nothing_of_it_remains(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "a.sqlite")
    with pytest.raises(sqlite3.Error):
        database.migrate("one", ("CREATE TABLE a (x); CREATE TABLE a (x)",))
    database.migrate("one", STEPS)
    assert len(database.query("SELECT * FROM a")) == 1


def test_migrate__written_by_a_newer_version__refused(tmp_path: Path) -> None:
    """flt:F28"""
    Database.open(tmp_path / "a.sqlite").migrate("one", STEPS)
    with pytest.raises(DatabaseTooNew) as caught:
        Database.open(tmp_path / "a.sqlite").migrate("one", STEPS[:1])
    assert (
        caught.value.figures["found"] == 2 and caught.value.figures["known"] == 1 and "rebuilds" in caught.value.way_out
    )


@pytest.mark.parametrize("damage", ["head", "middle", "text"])
def test_open__bytes_flipped__fails_loudly_and_says_how_to_rebuild(tmp_path: Path, damage: str) -> None:
    """flt:F28"""
    path = tmp_path / "a.sqlite"
    database = Database.open(path)
    database.migrate("one", STEPS)
    with database.transaction() as sql:
        sql.execute("CREATE INDEX i ON a (y)")
        sql.executemany("INSERT INTO a VALUES (?, ?)", [(n, "x" * 200) for n in range(500)])
    database.query("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"not a database at all, " * 400)
    else:
        start = 0 if damage == "head" else 4096 * 3
        content[start : start + 9000] = bytes(byte ^ 0x5A for byte in content[start : start + 9000])
    path.write_bytes(content)
    with pytest.raises(DatabaseCorrupt) as caught:
        Database.open(path)
    assert "Move the file" in caught.value.way_out


def test_open__folder_in_place_of_the_file__unusable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable):
        Database.open(tmp_path)


def test_transaction__error_inside__nothing_is_stored(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "a.sqlite")
    database.migrate("one", STEPS)
    with pytest.raises(RuntimeError), database.transaction() as sql:
        sql.execute("INSERT INTO a VALUES (2, '')")
        with database.transaction() as inner:
            inner.execute("INSERT INTO a VALUES (3, '')")
        raise RuntimeError
    assert len(database.query("SELECT * FROM a")) == 1
    with database.transaction() as sql:
        sql.execute("INSERT INTO a VALUES (4, '')")
    assert len(database.query("SELECT * FROM a")) == 2


def test_transaction__many_threads__none_lost(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "a.sqlite")
    database.migrate("one", ("CREATE TABLE a (x)",))

    def work(base: int) -> None:
        for number in range(50):
            with database.transaction(durable=False) as sql:
                sql.execute("INSERT INTO a VALUES (?)", (base + number,))

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.query("SELECT count(DISTINCT x) FROM a")[0][0] == 300


def test_transaction__disk_full__named_and_what_was_stored_is_intact(tmp_path: Path) -> None:
    """flt:F27 (the database's part) by a file-size limit in a child process."""
    path = tmp_path / "a.sqlite"
    database = Database.open(path)
    database.migrate("one", STEPS)
    database.close()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
            small = Database.open(path)
            try:
                for _ in range(100):
                    with small.transaction() as sql:
                        sql.execute("INSERT INTO a VALUES (7, ?)", ("x" * 50_000,))
            except DatabaseUnusable as error:
                status = 0 if isinstance(error, DiskFull) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    rows = Database.open(path).query("SELECT count(*), min(length(y)) FROM a WHERE x = 7")[0]
    assert 0 < rows[0] < 100 and rows[1] == 50_000


def test_transaction__killed_before_commit__nothing_of_it_remains(tmp_path: Path) -> None:
    """flt:F1"""
    path = tmp_path / "a.sqlite"
    child = os.fork()
    if child == 0:
        database = Database.open(path)
        database.migrate("one", STEPS)
        with database.transaction() as sql:
            sql.execute("INSERT INTO a VALUES (2, '')")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert [row[0] for row in Database.open(path).query("SELECT x FROM a")] == [1]
