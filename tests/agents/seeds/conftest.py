"""A chain whose seeds are made by participants. It mines when a transaction comes, so that a test says what time it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.seeds.circle import PARAMETERS, Circle
from tests.support.network import Network, start_network, stop_network


@pytest.fixture(scope="session")
def seeds_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = start_network(tmp_path_factory.mktemp("seeds-network"), PARAMETERS, mixed_mining=False, block_time_s=None)
    yield network
    stop_network(network)


@pytest.fixture
def circle(seeds_network: Network, tmp_path: Path) -> Iterator[Circle]:
    """Accounts of its own, in periods that no test used."""
    circle = Circle(seeds_network, tmp_path)
    yield circle
    circle.close()
