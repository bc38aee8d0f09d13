"""Roles and factories for tests of the chain layer against a real anvil with real fees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.chain.abi import ErrorTable
from lilypad_agents.chain.anvil import Anvil, AnvilConfig, find_anvil
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.keys import LocalSigner, signer_from_test_mnemonic
from lilypad_agents.chain.outbox import Outbox, OutboxConfig
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from tests.support.chain import CHAIN, PROJECT, Events
from tests.support.emitter import EMITTER_ABI, EMITTER_CREATION
from tests.support.faultproxy import FaultProxy


@pytest.fixture
def start_anvil() -> Iterator[Callable[..., Anvil]]:
    """Starts chains that mine on each transaction unless told otherwise."""
    running: list[Anvil] = []

    def start(**options: Any) -> Anvil:
        chain = Anvil(find_anvil(PROJECT), AnvilConfig(**options))
        running.append(chain)
        return chain.start()

    yield start
    for chain in running:
        chain.stop()


@pytest.fixture
def chain(start_anvil: Callable[..., Anvil]) -> Anvil:
    return start_anvil()


@pytest.fixture
def rpc(chain: Anvil) -> Iterator[Rpc]:
    client = Rpc(RpcConfig((chain.url,), CHAIN))
    yield client
    client.close()


@pytest.fixture
def proxy(chain: Anvil) -> Iterator[FaultProxy]:
    with FaultProxy(chain.url) as proxy:
        yield proxy


@pytest.fixture
def signer() -> LocalSigner:
    return signer_from_test_mnemonic(3, CHAIN)


@pytest.fixture
def rival() -> LocalSigner:
    return signer_from_test_mnemonic(4, CHAIN)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def open_outbox(tmp_path: Path, rpc: Rpc, signer: LocalSigner, events: Events) -> Callable[..., Outbox]:
    """Opens the outbox of `signer`; again after a "restart" when called twice, or of other keys by `name`."""

    def open_(
        *, rpc: Rpc = rpc, signer: LocalSigner = signer, name: str = "agent", crash: Any = None, **limits: Any
    ) -> Outbox:
        options = {} if crash is None else {"crash": crash}
        database = Database.open(tmp_path / f"{name}.sqlite")
        errors = ErrorTable.of(EMITTER_ABI)
        return Outbox(database, rpc, signer, CHAIN, OutboxConfig(**{"replace_after_s": 0.0} | limits), errors=errors, notify=events, **options)

    return open_


@pytest.fixture
def emitter(rpc: Rpc, open_outbox: Callable[..., Outbox]) -> Contract:
    """The emitter, deployed by an account that no test uses otherwise."""
    deployer = open_outbox(signer=signer_from_test_mnemonic(19, CHAIN), name="deployer")
    deployer.submit("deploy", None, EMITTER_CREATION)
    receipt = deployer.wait("deploy", 10)
    assert receipt.contract_address is not None
    return Contract(receipt.contract_address, EMITTER_ABI, rpc)
