"""Contracts on an in-process EVM (`tests/support/evm.py`): one world for the run, each test on a snapshot of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.evm import Contract, Evm
from tests.support.world import World, build_world


@pytest.fixture
def evm() -> Evm:
    """An empty chain."""
    return Evm()


@pytest.fixture(scope="session")
def _world_of_the_run() -> World:
    return build_world()


@pytest.fixture
def world(_world_of_the_run: World) -> Iterator[World]:
    """Core, token, friendly strategy, seeds at will, and people with money; as freshly deployed for each test."""
    nonces = dict(_world_of_the_run.nonces)
    with _world_of_the_run.evm.snapshot():
        yield _world_of_the_run
    _world_of_the_run.nonces.update(nonces)


@pytest.fixture
def fresh_world() -> World:
    """A world of its own, for tests that measure gas (`exact=True`) or move far through time."""
    return build_world()


@pytest.fixture
def history_world() -> World:
    """A world whose seeds are block hashes, with the EIP-2935 history of the last 8,191 blocks."""
    evm = Evm(number=10_000)
    evm.install_history()
    return build_world(evm)


@pytest.fixture
def core(world: World) -> Contract:
    return world.core


@pytest.fixture
def resolver(world: World) -> Contract:
    return world.resolver
