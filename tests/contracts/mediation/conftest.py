"""One court for all tests here; each test leaves it as it found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.panels import Court, build_court


@pytest.fixture(scope="session")
def _court() -> Court:
    return build_court()


@pytest.fixture
def court(_court: Court) -> Iterator[Court]:
    """Five mediators with twenty seat stakes each; no disputes."""
    nonces, seeds = dict(_court.world.nonces), _court.seeds
    with _court.evm.snapshot():
        yield _court
    _court.world.nonces.update(nonces)
    _court.seeds = seeds


@pytest.fixture
def fresh_court() -> Court:
    """A court of its own, for what measures gas or changes who stakes."""
    return build_court()
