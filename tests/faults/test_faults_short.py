"""A few faults of the list in each test run; `make faults` injects them all, `make faults-long` everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults import table
from tests.faults.__main__ import chosen, runs
from tests.faults.crash_sweep import failures, sampler, sweep
from tests.faults.run import FAULTS, LATE, Line

SEED = 7


def forked(id_: str, spot: tuple[str, str, str]) -> Line:
    (line,) = runs([(id_, spot)], SEED, 1)
    return line


def test_table__every_fault_of_the_list__has_a_scenario_and_places() -> None:
    """flt:F1 to flt:F40: forty of forty, each with a role and a state, deadlines on both sides where the fault outlasts one."""
    assert set(FAULTS) == set(table.IDS) and len(table.IDS) == 40
    assert all(fault.spots() for fault in FAULTS.values())
    roles = {role for fault in FAULTS.values() for role, _, _ in fault.spots()}
    assert roles == {"provider", "mediator", "keeper", "solver", "creator"}
    assert any(side == LATE for fault in FAULTS.values() for _, _, side in fault.spots())


def test_choice__same_seed__same_spots() -> None:
    """A report is reproducible by its seed."""
    ids = list(table.IDS)
    assert chosen(ids, 3, False, "") == chosen(ids, 3, False, "")
    assert chosen(ids, 3, False, "") != chosen(ids, 4, False, "")
    assert len(chosen(ids, 3, True, "")) == sum(len(fault.spots()) for fault in FAULTS.values())


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("id_", "spot"),
    [
        ("F24", ("provider", "agreed", "before the deadline")),  # a swallowed opening was never found
        ("F22", ("provider", "settling", "before the deadline")),
    ],
)
def test_fault__injected__is_survived(id_: str, spot: tuple[str, str, str]) -> None:
    """flt:F24 flt:F22 beh:J5"""
    line = forked(id_, spot)
    assert not line.missed, str(line)
    assert (line.wrong_actions, line.money_conserved, line.deals_stuck, line.deals) == (0, True, 0, 1)


def test_audit__action_done_twice_and_deal_left_open__are_found(tmp_path: Path) -> None:
    """The harness can fail: what nobody should do is done by hand, and the line says so."""
    from tests.faults.ledger import audit
    from tests.support.network import start_network, stop_network

    network = start_network(tmp_path)
    try:
        since = int(network.rpc.request("eth_blockNumber"), 16)
        account = network.sender(0).address if hasattr(network.sender(0), "address") else ""
        for _ in range(2):
            network.send(0, "LilypadToken", "transfer", "0x" + "11" * 20, 1)
        from tests.support.network import signer

        account = account or signer(0).address
        found = audit(network, [account], since)
        assert found.wrong == ("LilypadToken.transfer was done 2 times",) and not found.money
    finally:
        stop_network(network)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("role", ["provider", "solver"])
def test_sweep__points_drawn_from_the_seed__one_result_and_one_payment(role: str, tmp_path: Path) -> None:
    """flt:F1 beh:J2 beh:J3 The long form goes over every point of every agent."""
    read, write = os.pipe()
    child = os.fork()  # the sweep forks agents, and this process has threads
    if not child:
        status = 1
        try:
            found = sweep(role, tmp_path, SEED, sampler(SEED, 2))
            told = failures(found)
            os.write(write, "\n".join([*told, f"killed {sum(death['died'] for death in found['deaths'])}"]).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as answer:
        told = answer.read().splitlines()
    assert os.waitpid(child, 0)[1] == 0
    assert told == ["killed 2"], told
