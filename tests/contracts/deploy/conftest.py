"""Chains without a deployment, and what it takes to put one there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.chain.anvil import Anvil, AnvilConfig, find_anvil
from lilypad_agents.chain.deployer import Deployment, RpcSender
from lilypad_agents.chain.deployment_plan import PRESETS, DeploymentParameters
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from tests.support.chain import CHAIN, PROJECT, Events


@pytest.fixture
def node() -> Iterator[Anvil]:
    """A fresh chain with history of block hashes and the usual factory, code size limit as on the main network."""
    with Anvil(find_anvil(PROJECT), AnvilConfig(chain_id=CHAIN)) as anvil:
        yield anvil


@pytest.fixture
def rpc(node: Anvil) -> Iterator[Rpc]:
    client = Rpc(RpcConfig((node.url,), CHAIN))
    yield client
    client.close()


@pytest.fixture
def deployer(rpc: Rpc) -> RpcSender:
    return RpcSender(rpc, signer_from_test_mnemonic(0, CHAIN), CHAIN)


@pytest.fixture
def rival(rpc: Rpc) -> RpcSender:
    return RpcSender(rpc, signer_from_test_mnemonic(1, CHAIN), CHAIN)


@pytest.fixture
def parameters() -> DeploymentParameters:
    return PRESETS["devnet"]


@pytest.fixture
def book_path(tmp_path: Path) -> Path:
    return tmp_path / "deployments" / "1337.json"


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def deploy(
    rpc: Rpc, deployer: RpcSender, parameters: DeploymentParameters, book_path: Path, events: Events
) -> Callable[..., dict[str, Any]]:
    """Runs one deployment to its end, or until it dies; any part can be another one."""

    def run(**other: Any) -> dict[str, Any]:
        parts = {"rpc": rpc, "sender": deployer, "parameters": parameters, "book": book_path, "notify": events} | other
        return Deployment(**parts).run()

    return run
