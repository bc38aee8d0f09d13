"""One local chain with the real contracts for all agent tests that do not turn its clock or end it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.network import Network, start_network, stop_network


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Shared by the session: use offers, accounts and nonces of your own. See `own_network` for what changes the chain."""
    network = start_network(tmp_path_factory.mktemp("network"))
    yield network
    stop_network(network)


@pytest.fixture
def own_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A chain of the test's own, to be stopped, reset, or moved in time."""
    network = start_network(tmp_path_factory.mktemp("own-network"))
    yield network
    stop_network(network)
