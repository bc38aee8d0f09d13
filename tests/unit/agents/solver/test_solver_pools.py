"""Where a solver finds the terms of a pool: only their hash is believed. beh:F1"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lilypad_agents.agents.solver.pools import KnownPools
from lilypad_agents.agents.solver.settings import SolverSettings
from lilypad_agents.chain.abi import Abi
from lilypad_agents.errors import ConfigurationError
from lilypad_agents.protocol.ids import PoolId, checksummed
from lilypad_agents.protocol.terms import PoolTerms

STAKING = Abi.load("LilypadStaking")
STAKE = STAKING.function("stake")
POOL = PoolTerms(
    checksummed("0x" + "aa" * 20), checksummed("0x" + "bb" * 20), 1, 100, 10, bytes(32), 60, 60, 60, b"\x01" * 32,
)  # fmt: skip
OTHER = replace(POOL, seat_fee_floor=2)


class Chain:
    """Transactions by hash and the events of stakes; counts what it was asked."""

    def __init__(self, calldata: Iterable[bytes | None]) -> None:
        self.transactions = {number.to_bytes(32, "big"): data for number, data in enumerate(calldata)}
        self.asked = 0
        events = [SimpleNamespace(transaction_hash=found) for found in self.transactions]
        self.panels: Any = SimpleNamespace(
            staking=SimpleNamespace(abi=STAKING),
            cursor=SimpleNamespace(events=lambda name, topic1: iter(events if topic1 == POOL.id else [])),
        )

    def request(self, method: str, transaction: str) -> Any:
        self.asked += 1
        data = self.transactions[bytes.fromhex(transaction[2:])]
        return None if data is None else {"input": "0x" + data.hex()}

    def pools(self, *, in_book: PoolTerms | None = None, named: Iterable[PoolTerms] = ()) -> KnownPools:
        book: Any = SimpleNamespace(pool_terms=lambda pool: in_book if in_book and in_book.id == pool else None)
        return KnownPools(self, book, self.panels, named)  # type: ignore[arg-type]


def stake(pool: PoolTerms) -> bytes:
    return STAKE.encode(pool, 100, [])


HOSTILE = [None, b"", b"\x01", STAKE.selector, STAKE.selector + b"\xff" * 384, stake(OTHER), stake(POOL)[:-64], b"\xde\xad\xbe\xef" + stake(POOL)[4:]]


def test_terms__of_a_stake__are_found_behind_calldata_that_says_something_else_and_asked_for_once() -> None:
    chain = Chain([*HOSTILE, stake(POOL)])
    pools = chain.pools()
    assert pools.terms(POOL.id) == POOL == pools.terms(POOL.id)
    assert chain.asked == len(HOSTILE) + 1
    assert pools.terms(OTHER.id) is None, "nobody staked in it, whatever was seen on the way"


def test_terms__behind_stakes_that_show_nothing__are_found_all_the_same_a_few_at_a_time() -> None:
    """Whoever stakes by a contract many times first delays the rest, and cannot hide it."""
    chain = Chain([*[b""] * 40, stake(POOL)])
    pools = chain.pools()
    assert [pools.terms(POOL.id) for _ in range(4)] == [None, None, POOL, POOL]
    assert chain.asked == 41
    silent = Chain([b""] * 20)
    pools = silent.pools()
    assert [pools.terms(POOL.id) for _ in range(5)] == [None] * 5 and silent.asked == 20, "once in each"


def test_terms__of_settings_and_book__need_no_chain() -> None:
    chain = Chain([])
    assert chain.pools(named=[POOL]).terms(POOL.id) == chain.pools(in_book=POOL).terms(POOL.id) == POOL
    assert chain.pools(named=[POOL]).terms(PoolId(b"\x09" * 32)) is None
    assert chain.asked == 0


def test_settings__pools__are_terms_as_a_provider_has_them_and_errors_name_them() -> None:
    assert SolverSettings.load(flags={"pools": [POOL.to_json()]}).pools == (POOL,)
    with pytest.raises(ConfigurationError, match="pools"):
        SolverSettings.load(flags={"pools": [{**POOL.to_json(), "seatStake": "-1"}]})
