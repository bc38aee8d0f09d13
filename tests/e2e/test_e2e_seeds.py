"""A devnet whose seeds are made by commit and reveal, as on a rollup: real participants, whose seeds decide the lotteries of real jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.agents.runtime.seeds import SeedStatus
from lilypad_agents.chain.abi import Abi
from lilypad_agents.chain.anvil import free_port
from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.deployment_plan import COMMIT_REVEAL, SOURCES, preset
from lilypad_agents.devnet.funding import address_of
from lilypad_agents.devnet.layout import SEEDS
from lilypad_agents.protocol.digest import deciding_period, is_drawn
from lilypad_agents.protocol.ids import DealId
from tests.e2e.network import PROJECT, Network, seconds_on

JOB_S = seconds_on(anvil=60, geth=120)  # with an audit, which eight jobs of a hundred get
PARTICIPANTS = {f"seeds{number}": address_of(index) for number, index in enumerate(SEEDS, 1)}


@pytest.fixture
def rollup(tmp_path: Path) -> Iterator[Network]:
    """A devnet of this test alone."""
    (tmp_path / "modules").symlink_to(PROJECT / "modules")
    network = Network(tmp_path, free_port())
    try:
        done = network.up("--randomness", "commit-reveal")
        assert done.code == 0, done.err
        yield network
    finally:
        network.lilypad("devnet", "down")


def test_devnet__with_commit_reveal__its_participants_decide_the_lotteries(rollup: Network) -> None:
    """beh:L1 beh:D21 beh:D22 inv:I12 inv:I36 inv:T51"""
    parts = rollup.lilypad("devnet", "status", "--json").data["parts"]
    assert {name: parts[name]["account"] for name in parts if name.startswith("seeds")} == PARTICIPANTS

    jobs = [
        rollup.start("run", "cowsay:v0.0.1", "-i", f"Message={account}", "--wait", "final", "--account", account)
        for account in ("creator", "creator2")
    ]
    for job in jobs:
        ended = job.end(JOB_S)
        assert ended.code == 0, ended.err
        end = job.events[-1]["data"]
        assert end["state"] == _state_by_the_seed(rollup, DealId(bytes.fromhex(end["deal"][2:])))

    looked = rollup.lilypad("seeds", "status", "--config", ".devnet/seeds1/settings.toml", "--json")
    found = looked.data
    assert (looked.code, found["ready"], found["account"]) == (0, True, PARTICIPANTS["seeds1"]), looked.out
    assert found["revealed"] >= 1 and (found["lost"], found["lostBond"]) == ([], "0")
    assert found["periods"][0] == {"period": found["period"] - 1, "seed": "known", "committed": len(SEEDS), "revealed": len(SEEDS)}
    assert all(item["ours"] for item in found["open"])

    rollup.kill("seeds1")
    rollup.restart("seeds1")
    rollup.kill("seeds2")
    again = rollup.up()
    assert again.code == 0, "it keeps its source, and starts who is missing"
    assert set(PARTICIPANTS) <= set(rollup.record.running)
    other = rollup.up("--randomness", "blockhash", "--json")
    assert (other.code, other.json["error"]["code"]) == (10, "configuration")

    assert set(rollup.lilypad("devnet", "down", "--json").data["stopped"]) == set(parts)
    assert not rollup.record.running
    assert _at_work_in(rollup.folder) == []


def _state_by_the_seed(network: Network, deal: DealId) -> str:
    """How a deal with an honest provider must end, by the seed of its period; fails when that is not from both participants."""
    chain = network.chain()
    try:
        source = _source(chain)
        period = deciding_period(chain.state(deal)[0].period)
        status, seed = source.call("seed", period)
        assert SeedStatus(status) is SeedStatus.KNOWN
        revealed = chain.events_of(source, ("Revealed",), [], read_moment(chain.rpc).number)
        assert {event.args["account"] for event in revealed if event.args["period"] == period} == set(PARTICIPANTS.values())
        record = next(iter(chain.opened(deal=deal))).record
        assert record.audit_bps > 0
        return "MEDIATION_ACCEPTED" if is_drawn(bytes(seed), deal, record.audit_bps) else "ACCEPTED"
    finally:
        chain.rpc.close()


def _source(chain: CreatorChain) -> Contract:
    name = SOURCES[COMMIT_REVEAL]
    assert chain.parameters.randomness == chain.book.address(name)
    source = Contract(chain.book.address(name), Abi.load(name), chain.rpc)
    assert source.call("leastParticipants") == preset("devnet").least_participants == len(SEEDS)
    return source


def _at_work_in(folder: Path) -> list[str]:
    """Processes with a working directory below `folder`: each agent has its own, the chain that of who started it."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            place = link.readlink()
        except OSError:  # gone meanwhile, or somebody else's
            continue
        if place.is_relative_to(folder):
            found.append(f"{link.parent.name} in {place}")
    return found
