"""One market for all tests of the registry; each test leaves it as it found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.evm import Account
from tests.support.registry import Market


@pytest.fixture(scope="module")
def _market() -> Market:
    return Market()


@pytest.fixture
def market(_market: Market) -> Iterator[Market]:
    with _market.evm.snapshot():
        yield _market


@pytest.fixture
def author(market: Market) -> Account:
    return market.account("author")


@pytest.fixture
def rival(market: Market) -> Account:
    return market.account("rival")
