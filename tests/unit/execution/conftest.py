from __future__ import annotations

from collections.abc import Iterator

import pytest

from lilypad_agents.execution.wasm import WasmEngine
from lilypad_agents.execution.worker import WorkerPool


@pytest.fixture(scope="session")
def engine() -> WasmEngine:
    return WasmEngine()


@pytest.fixture
def pool(tmp_path) -> Iterator[WorkerPool]:
    with WorkerPool(2, tmp_path / "pool") as workers:
        yield workers
