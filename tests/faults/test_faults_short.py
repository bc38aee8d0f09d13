"""A few faults of the list in each test run; `make faults` injects them all, `make faults-long` everywhere."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from lilypad_agents.protocol.ids import hex_of
from tests.faults import table
from tests.faults.__main__ import chosen, runs
from tests.faults.crash_sweep import failures, sampler, sweep
from tests.faults.ledger import audit
from tests.faults.run import FAULTS, LATE, Line
from tests.faults.scenes import SCENES
from tests.support.network import signer, start_network, stop_network

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


def test_audit__action_done_twice__is_found(tmp_path: Path) -> None:
    """The harness can fail: what nobody should do is done by hand, and the chain tells."""
    network = start_network(tmp_path)
    try:
        since = int(network.rpc.request("eth_blockNumber"), 16)
        for _ in range(2):
            network.send(0, "LilypadToken", "transfer", "0x" + "11" * 20, 1)
        found = audit(network, [signer(0).address], since)
        assert found.wrong == ("LilypadToken.transfer was done 2 times",)
        assert (found.money, found.open, found.transactions) == ("", (), 2)
    finally:
        stop_network(network)


def test_audit__deal_that_nobody_ends_and_tokens_that_are_gone__are_found(tmp_path: Path) -> None:
    """As above, for what hangs, and for tokens that are gone."""
    scene = SCENES["provider"](tmp_path, random.Random(1))
    try:
        scene.reach("agreed")
        found = scene.audit()
        assert found.open == (hex_of(scene.deals[0]),) and not found.money
        token = scene.network.contracts["LilypadToken"]
        scene.network.rpc.request("anvil_setCode", token.address, "0x60005f5260205ff3")  # answers 0 to whatever is asked
        assert scene.audit().money == "the core holds less than it owes"
    finally:
        scene.close()


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
