"""One chain with a pool of three stakers for all tests here; each test leaves it as it found it."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

from tests.support.evm import Account
from tests.support.staking import StakingSite, build_staking


@pytest.fixture(scope="session")
def _site() -> StakingSite:
    return build_staking(stakers=3, seats=10)


@pytest.fixture
def site(_site: StakingSite) -> Iterator[StakingSite]:
    """Three accounts, `staker 0` to `staker 2`, with ten seat stakes each; nothing queued."""
    twins = copy.deepcopy(_site.twins)
    with _site.evm.snapshot():
        yield _site
    _site.twins = twins


@pytest.fixture
def stakers(site: StakingSite) -> list[Account]:
    return [site.account(f"staker {number}") for number in range(3)]


@pytest.fixture
def newcomer(site: StakingSite) -> Account:
    return site.account("newcomer")
