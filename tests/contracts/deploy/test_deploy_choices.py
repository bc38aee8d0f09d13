"""What a deployment chooses: the source of seeds, compared with what the chain is; times of pools and panels. inv:T15 beh:L2"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.chain.abi import Abi
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.deployer import RpcSender
from lilypad_agents.chain.deployment_check import check_deployment
from lilypad_agents.chain.deployment_plan import SOURCES, DeploymentParameters, ParameterInvalid, overridden
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.rpc import Rpc
from tests.support.chain import mine, nonce

Deploy = Callable[..., dict[str, Any]]


def choice(parameters: DeploymentParameters, source: str) -> DeploymentParameters:
    """The devnet's parameters, as far as the source allows."""
    changed = {"randomness": source}
    if source == "prevrandao":
        changed |= {"periodBlocks": "133", "revealWindow": "600"}
    return overridden(parameters, changed)


@pytest.mark.parametrize("source", list(SOURCES))
def test_deploy__each_source__is_the_one_that_the_core_asks(
    deploy: Deploy, parameters: DeploymentParameters, rpc: Rpc, book_path: Path, source: str
) -> None:
    """beh:L3 beh:L4: sound, verified by the agents' own check, without an instruction that could change it."""
    mine(rpc, 16)
    book = deploy(parameters=choice(parameters, source))
    assert [problem for finding in check_deployment(rpc, book) for problem in finding.problems] == []
    AddressBook.load(book_path).verify(rpc)
    resolver = Contract(book["contracts"]["LilypadResolver"]["address"], Abi.load("LilypadResolver"), rpc)
    assert resolver.call("parameters")[0] == book["contracts"][SOURCES[source]]["address"]
    assert book["parameters"]["randomness"] == source
    assert not set(SOURCES.values()) - {SOURCES[source]} & set(book["contracts"])


def test_deploy__prevrandao_on_a_chain_too_young_to_tell__is_refused_before_anything_is_sent(
    deploy: Deploy, parameters: DeploymentParameters, rpc: Rpc, deployer: RpcSender, book_path: Path
) -> None:
    mine(rpc, 15)
    with pytest.raises(ParameterInvalid, match="the chain has 15 blocks yet; 16 are compared") as refusal:
        deploy(parameters=choice(parameters, "prevrandao"))
    assert refusal.value.figures["name"] == "randomness"
    assert nonce(rpc, deployer.address) == 0 and not book_path.exists()


def test_deploy__production_parameters__refuse_block_hashes_before_anything_is_sent(
    deploy: Deploy, parameters: DeploymentParameters, rpc: Rpc, deployer: RpcSender
) -> None:
    with pytest.raises(ParameterInvalid, match="blockhash is not for production"):
        deploy(parameters=replace(parameters, preset="production", faucet=False))
    assert nonce(rpc, deployer.address) == 0


def test_deploy__pools_and_panels__know_the_core_and_their_times(
    deploy: Deploy, parameters: DeploymentParameters, rpc: Rpc
) -> None:
    """beh:L5: what their constructors were given; a panel strategy that asked other pools could slash nobody."""
    book = deploy(parameters=overridden(parameters, {"unbonding": "901", "lastCall": "61"}))
    at = {name: entry["address"] for name, entry in book["contracts"].items()}
    staking, mediation = (Contract(at[name], Abi.load(name), rpc) for name in ("LilypadStaking", "LilypadMediation"))
    assert (staking.call("core"), staking.call("unbondingTime")) == (at["Lilypad"], 901)
    assert staking.call("RANDOMNESS") == at["BlockHashRandomness"]
    assert (mediation.call("core"), mediation.call("staking")) == (at["Lilypad"], at["LilypadStaking"])
    assert mediation.call("lastCall") == 61
