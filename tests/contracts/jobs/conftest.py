"""LilypadJobs beside a core: built once a run, each test on a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.requests import Requests, build_requests


@pytest.fixture(scope="session")
def _requests_of_the_run() -> Requests:
    return build_requests()


@pytest.fixture
def desk(_requests_of_the_run: Requests) -> Iterator[Requests]:
    """Jobs and clients with money, in pool 0."""
    desk = _requests_of_the_run
    nonces = dict(desk.world.nonces)
    with desk.world.evm.snapshot():
        yield replace(desk, asked=[])
    desk.world.nonces.update(nonces)


@pytest.fixture
def verified(desk: Requests) -> Requests:
    """The same in the verified pool of the world."""
    return replace(desk, pool=desk.world.pool)
