"""A stage for each test: a provider with an account of its own, a creator, a relay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.provider.harness import Stage
from tests.agents.provider.relay import Relay
from tests.support.network import Network


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    with Relay(tmp_path / "relay") as relay:
        yield relay


@pytest.fixture
def stage(network: Network, relay: Relay, tmp_path: Path) -> Iterator[Stage]:
    """On the chain that all tests share: nobody turns its clock."""
    stage = Stage(network, relay, tmp_path)
    yield stage
    stage.close()


@pytest.fixture
def own_stage(own_network: Network, relay: Relay, tmp_path: Path) -> Iterator[Stage]:
    """On a chain of the test's own."""
    stage = Stage(own_network, relay, tmp_path)
    yield stage
    stage.close()
