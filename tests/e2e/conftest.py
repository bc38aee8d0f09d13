"""The network that the tests of this folder share."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

import pytest

from lilypad_agents.chain.anvil import free_port
from lilypad_agents.devnet.funding import address_of
from lilypad_agents.devnet.layout import CREATOR
from tests.e2e.anvil_only import ANVIL_ONLY
from tests.e2e.e2e_modules import write_test_modules
from tests.e2e.network import CHAIN_PROGRAM, PROJECT, Network


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On another chain the tests that need anvil are left out, by name and with a reason; the report lists them."""
    if CHAIN_PROGRAM != "anvil":
        left_out = [item for item in items if getattr(item, "originalname", item.name) in ANVIL_ONLY]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A devnet that runs for the whole session; tests that break it mend it again."""
    folder = tmp_path_factory.mktemp("e2e")
    write_test_modules(folder / "modules", PROJECT / "modules")
    network = Network(folder, free_port())
    began = time.monotonic()
    done = network.up()
    network.cold_seconds = time.monotonic() - began  # type: ignore[attr-defined]
    try:
        assert done.code == 0, done.err
        yield network
    finally:
        network.lilypad("devnet", "down")
        shutil.rmtree(folder / ".devnet", ignore_errors=True)


@pytest.fixture
def creator_account() -> str:
    return address_of(CREATOR)
