"""Solvers that run over a real chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.chain.keys import LocalSigner
from tests.support.network import Network
from tests.support.solver import RunningSolver, open_solver, people


@pytest.fixture
def start_solver(network: Network, tmp_path: Path) -> Iterator[Callable[..., RunningSolver]]:
    """Starts solvers over the shared network (or `on` another); the same `name` has the same folder."""
    running: list[RunningSolver] = []

    def start(name: str = "solver", *, on: Network | None = None, **changes: Any) -> RunningSolver:
        solver = open_solver(on or network, tmp_path / name, **changes)
        running.append(solver)
        return solver.start()

    yield start
    for solver in running:
        solver.stop()


@pytest.fixture
def solver(start_solver: Callable[..., RunningSolver]) -> RunningSolver:
    return start_solver()


@pytest.fixture(scope="session")
def parties(network: Network) -> list[LocalSigner]:
    """Creator, provider, second provider, second creator; funded. A stranger is the last."""
    return [*people(network, 1, 2, 3, 4), *people(network, 8)]


@pytest.fixture
def creator(parties: list[LocalSigner]) -> LocalSigner:
    return parties[0]


@pytest.fixture
def provider(parties: list[LocalSigner]) -> LocalSigner:
    return parties[1]


@pytest.fixture
def rival(parties: list[LocalSigner]) -> LocalSigner:
    """Another provider."""
    return parties[2]


@pytest.fixture
def other_creator(parties: list[LocalSigner]) -> LocalSigner:
    return parties[3]


@pytest.fixture
def stranger(parties: list[LocalSigner]) -> LocalSigner:
    return parties[4]
