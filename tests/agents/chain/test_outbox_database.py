"""The outbox when its own file is another one, an old one, gone or damaged: nothing is sent twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.errors import DatabaseCorrupt
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.chain.outbox import Failed, Mined
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.errors import ConfigurationError
from tests.support.chain import Events, balance, fresh_address, mine, nonce
from tests.support.outbox import Open, pump_until


def test_open__database_of_another_key__is_refused(open_outbox: Open, rival: LocalSigner) -> None:
    open_outbox()
    with pytest.raises(ConfigurationError, match="not of 1337:" + rival.address):
        open_outbox(signer=rival)


def test_pump__closed_actions__history_stays_bounded(rpc: Rpc, open_outbox: Open) -> None:
    outbox = open_outbox(keep_closed=3, finality_blocks=2)
    for number in range(8):
        outbox.submit(f"pay:{number}", fresh_address(28), value=1)
        outbox.wait(f"pay:{number}", 10)
    mine(rpc, 4)
    outbox.pump()
    outbox.submit("last", fresh_address(28), value=1)
    outbox.wait("last", 10)
    outbox.pump()
    known = [number for number in range(8) if outbox.status(f"pay:{number}") is not None]
    assert known == [5, 6, 7]
    assert all(isinstance(outbox.status(f"pay:{number}"), Mined) for number in known)


def test_pump__yesterdays_database__alerts_and_repeats_nothing(
    rpc: Rpc, open_outbox: Open, emitter: Contract, signer: LocalSigner, tmp_path: Path, events: Events
) -> None:
    """flt:F28 (the outbox's part) Restored from a backup: the contract refuses repeats, the difference is reported."""
    outbox, to = open_outbox(), fresh_address(31)
    outbox.submit("first", to, value=1)
    outbox.wait("first", 10)
    outbox.submit("take", emitter.address, emitter.encode("take"))
    outbox._store._database.query("PRAGMA wal_checkpoint(TRUNCATE)")
    backup = (tmp_path / "agent.sqlite").read_bytes()
    outbox.wait("take", 10)
    outbox.submit("second", to, value=1)
    outbox.wait("second", 10)
    outbox._store._database.close()
    for rest in tmp_path.glob("agent.sqlite*"):
        rest.unlink()
    (tmp_path / "agent.sqlite").write_bytes(backup)
    restored = open_outbox()
    status = pump_until(restored, "take", Failed)
    assert "AlreadyTaken" in status.error.message
    assert events.named("outbox_unknown_transactions") == [{"count": 2}]
    restored.submit("third", to, value=1)
    assert restored.wait("third", 10).succeeded
    assert balance(rpc, to) == 3 and nonce(rpc, signer.address) == 4


def test_pump__database_deleted_with_transactions_in_the_pool__nonces_are_not_reused(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner, tmp_path: Path
) -> None:
    """beh:J1 A lost database costs gas at most: what is in the pool is left to be mined."""
    rpc.request("evm_setAutomine", False)
    outbox, to = open_outbox(), fresh_address(32)
    for number in range(2):
        outbox.submit(f"pay:{number}", to, value=1)
    outbox.pump()
    outbox._store._database.close()
    for rest in tmp_path.glob("agent.sqlite*"):
        rest.unlink()
    again = open_outbox()
    again.submit("other", to, value=4)
    again.pump()
    pump_until(again, "other", Mined, each=lambda: mine(rpc))
    assert balance(rpc, to) == 6 and nonce(rpc, signer.address) == 3


def test_pump__stored_bytes_flipped__refuses_to_send_them(rpc: Rpc, open_outbox: Open) -> None:
    """flt:F28 SQLite's own check does not see a flipped byte inside a value."""
    rpc.request("evm_setAutomine", False)
    outbox = open_outbox(rebroadcast_after_s=0.0)
    outbox.submit("pay", fresh_address(33), value=1)
    outbox.pump()
    with outbox._store.transaction() as sql:
        raw = bytearray(sql.execute("SELECT raw FROM outbox_attempt").fetchone()[0])
        raw[40] ^= 1
        sql.execute("UPDATE outbox_attempt SET raw = ?", (bytes(raw),))
    with pytest.raises(DatabaseCorrupt, match="does not have its stored hash"):
        outbox.pump()
