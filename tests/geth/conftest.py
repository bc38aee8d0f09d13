"""A geth in development mode for each test. `make test-geth` builds it; these tests are no part of `make test`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.chain.database import Database
from lilypad_agents.chain.development import DevelopmentChain
from lilypad_agents.chain.geth import GethConfig, endow, find_geth
from lilypad_agents.chain.keys import LocalSigner, signer_from_test_mnemonic
from lilypad_agents.chain.outbox import Outbox, OutboxConfig
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from tests.support.chain import CHAIN, PROJECT, Events

PERIOD_S = 4  # long enough for several things to happen while a transaction waits


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[DevelopmentChain]:
    program = find_geth(PROJECT, os.environ.get("PATH", ""))
    with DevelopmentChain(program, GethConfig(tmp_path / "geth", block_time_s=PERIOD_S)).start(timeout_s=60) as chain:
        yield chain


@pytest.fixture
def signer() -> LocalSigner:
    return signer_from_test_mnemonic(3, CHAIN)


@pytest.fixture
def rpc(chain: DevelopmentChain, signer: LocalSigner) -> Iterator[Rpc]:
    client = Rpc(RpcConfig((chain.url,), CHAIN))
    endow(client, [signer.address], 10**20)
    yield client
    client.close()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def open_outbox(tmp_path: Path, rpc: Rpc, signer: LocalSigner, events: Events) -> Callable[..., Outbox]:
    """Opens the outbox of `signer`; again after a "restart" when called twice."""

    def open_(**limits: Any) -> Outbox:
        return Outbox(Database.open(tmp_path / "agent.sqlite"), rpc, signer, CHAIN, OutboxConfig(**{"replace_after_s": 0.0} | limits), notify=events)

    return open_
