"""A court for each test: a pool of its own with mediators, a creator and a provider, on a chain that only they use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.mediator.court import SEAT_FEE, Court
from tests.agents.provider.relay import Relay
from tests.support.network import Network, start_network, stop_network


@pytest.fixture(scope="session")
def court_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Blocks are mined as fast as tests like, so its clock runs ahead of the machine's."""
    network = start_network(tmp_path_factory.mktemp("court-network"))
    yield network
    stop_network(network)


@pytest.fixture
def court(court_network: Network, tmp_path: Path) -> Iterator[Court]:
    with Relay(tmp_path / "relay") as relay:
        court = Court(court_network, relay, tmp_path)
        yield court
        court.close()


@pytest.fixture
def poor_court(court_network: Network, tmp_path: Path) -> Iterator[Court]:
    """Its pool's fund covers one audit and no more."""
    with Relay(tmp_path / "relay") as relay:
        court = Court(court_network, relay, tmp_path, fund=4 * SEAT_FEE)
        yield court
        court.close()


@pytest.fixture
def slow_court(court_network: Network, tmp_path: Path) -> Iterator[Court]:
    """Its windows have room for many restarts of a mediator."""
    with Relay(tmp_path / "relay") as relay:
        court = Court(court_network, relay, tmp_path, windows=(22, 12, 4))
        yield court
        court.close()
