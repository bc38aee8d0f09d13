"""A stage for one deal: its world is built once a run, each test takes it back to the start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.scene import Stage, build_stage


@pytest.fixture(scope="session")
def _stage_of_the_run() -> Stage:
    return build_stage()


@pytest.fixture
def stage(_stage_of_the_run: Stage) -> Iterator[Stage]:
    """Everybody has credit; the strategy is a puppet; creator and provider have a delegate for each scope."""
    nonces = dict(_stage_of_the_run.world.nonces)
    with _stage_of_the_run.world.evm.snapshot():
        yield _stage_of_the_run
    _stage_of_the_run.world.nonces.update(nonces)
