"""Small parts of a mediator: settings, votes, salts, orders, turns, evidence, what content means for a vote."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from lilypad_agents.agents.mediator.bench import _is_own, _require_result, _word_of_refusal
from lilypad_agents.agents.mediator.errors import OrderRefused
from lilypad_agents.agents.mediator.keeping import Stake, turn_of
from lilypad_agents.agents.mediator.orders import VOTE, Order, hand_over
from lilypad_agents.agents.mediator.settings import MediatorConfig, MediatorSettings
from lilypad_agents.agents.mediator.store import MediatorStore, StoredVote, Word
from lilypad_agents.agents.mediator.votes import CANNOT_RUN, MODULE_BROKEN, SERVED, UNAVAILABLE, name_of, parse_vote, salt_of
from lilypad_agents.agents.provider.policy import Reason, Refusal
from lilypad_agents.agents.runtime.panels import PoolLog
from lilypad_agents.agents.runtime.salt import RESULTS, VOTES, Salts
from lilypad_agents.chain.database import Database
from lilypad_agents.content.errors import InvalidBlock, StoreFull
from lilypad_agents.errors import ChainUnreachable, ContentUnavailable
from lilypad_agents.execution.errors import ResultRefused
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.ids import Address, DealId, checksummed
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.support.network import signer
from tests.unit.agents.mediator.mediator_views import POOL, US

DEAL = DealId(b"\x01" * 32)
DOMAIN = Domain(1337, Address(US))


# ---- settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"pools": (UNVERIFIED,)},
        {"vote_by_bps": 8_000, "fetch_by_bps": 8_000},
        {"appeal": "own"},
        {"appeal": "always"},
        {"account": "0x12"},
        {"fetch_by_bps": 9_500},
    ],
)
def test_settings__that_contradict_each_other__are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MediatorConfig(**wrong)


def test_settings__from_a_file__know_their_pools(tmp_path: Path) -> None:
    file = tmp_path / "mediator.toml"
    pool = ", ".join(f"{name} = {json.dumps(value)}" for name, value in POOL.to_json().items())
    file.write_text(f"[mediator]\npools = [{{{pool}}}]\nappeal = 'own'\nappeal_budget = 5\n")
    found = MediatorSettings.load(file=file)
    assert found.pools == (POOL,) and found.pool(POOL.id) == POOL and found.pool(bytes(32)) is None
    assert found.seat_account(US) == US


# ---- votes and salts


def test_vote__in_words__is_the_contracts_number() -> None:
    assert [parse_vote(text, delivery=False) for text in ("unavailable", "MODULE_BROKEN", "cannot-run")] == [UNAVAILABLE, MODULE_BROKEN, CANNOT_RUN]
    assert parse_vote("SERVED", delivery=True) == SERVED
    digest = "0x" + "ab" * 32
    assert parse_vote(digest, delivery=False) == bytes.fromhex("ab" * 32)
    assert (name_of(SERVED), name_of(bytes.fromhex("ab" * 32))) == ("SERVED", digest)


@pytest.mark.parametrize(
    ("text", "delivery"),
    [("SERVED", False), ("MODULE_BROKEN", True), ("0x" + "ab" * 32, True), ("0x05", False), ("0x" + "00" * 31 + "ff", False), ("maybe", False)],
)
def test_vote__that_the_contract_would_refuse__is_none(text: str, delivery: bool) -> None:
    assert parse_vote(text, delivery=delivery) is None


def test_salt__of_another_vote_round_deal_account_or_key__is_another() -> None:
    """flt:F28 So no salt is ever used twice with other content, whatever was lost. Results have salts of their own."""
    salts, other = Salts(signer(1), DOMAIN, VOTES), checksummed("0x" + "22" * 20)
    usual = (DEAL, 1, US, UNAVAILABLE)
    found = {
        salt_of(salts, *usual), salt_of(salts, DEAL, 1, US, CANNOT_RUN), salt_of(salts, DEAL, 2, US, UNAVAILABLE),
        salt_of(salts, DealId(b"\x02" * 32), 1, US, UNAVAILABLE), salt_of(salts, DEAL, 1, other, UNAVAILABLE),
        salt_of(Salts(signer(2), DOMAIN, VOTES), *usual), salt_of(Salts(signer(1), DOMAIN, RESULTS), *usual),
    }  # fmt: skip
    assert len(found) == 7
    assert salt_of(Salts(signer(1), DOMAIN, VOTES), *usual) == salt_of(salts, *usual)


# ---- what is remembered


def test_store__second_vote_of_a_round__leaves_the_first() -> None:
    """flt:F28"""
    store = MediatorStore(Database.open(None))
    first = store.add_vote(StoredVote(DEAL, 1, US, UNAVAILABLE, b"s" * 32))
    assert store.add_vote(StoredVote(DEAL, 1, US, CANNOT_RUN, b"t" * 32)) == first
    assert store.vote(DEAL, 2, US) is None
    assert store.add_word(DEAL, Word(CANNOT_RUN, "too large"), 5) == store.add_word(DEAL, Word(UNAVAILABLE), 6)


# ---- what content means


@pytest.mark.parametrize(
    ("reason", "vote"),
    [
        (Reason.MANIFEST_INVALID, MODULE_BROKEN), (Reason.TERMS_CONTRADICT, MODULE_BROKEN), (Reason.MODULE_BROKEN, MODULE_BROKEN),
        (Reason.INPUTS_INVALID, MODULE_BROKEN), (Reason.COMPARISON_UNSUPPORTED, MODULE_BROKEN),
        (Reason.ENGINE_UNSUPPORTED, CANNOT_RUN), (Reason.SCHEDULE_UNSUPPORTED, CANNOT_RUN), (Reason.CLASS_MISSING, CANNOT_RUN),
        (Reason.TOO_LARGE, CANNOT_RUN),
    ],
)  # fmt: skip
def test_word__of_content_that_is_refused__blames_the_module_or_this_machine(reason: Reason, vote: bytes) -> None:
    """beh:D4 beh:D8 beh:D9 A seat's own trouble is never held against a party."""
    assert _word_of_refusal(Refusal(reason)).vote == vote


@pytest.mark.parametrize("tree", [{}, {"exitCode": b"0"}, {"exitCode": b"0", "stdout": b"", "stderr": b"", "more": b""}])
def test_delivered_data__that_is_no_result__does_not_count(tree: dict[str, bytes]) -> None:
    with pytest.raises(ResultRefused):
        _require_result(tree)
    _require_result({"exitCode": b"0", "stdout": b"", "stderr": b"", "outputs/a": b""})


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (StoreFull("full"), True), (OSError("no space"), True), (ChainUnreachable("gone"), True),
        (ContentUnavailable("nobody"), False), (InvalidBlock("no tree"), False), (ResultRefused("no result"), False),
    ],
)  # fmt: skip
def test_failure__of_this_machine__is_told_apart_from_what_was_not_served(error: Exception, own: bool) -> None:
    """beh:D9 flt:F27"""
    assert _is_own(error) is own


# ---- turns and stakes


def test_turns__of_all_keepers__are_an_order_that_the_step_shuffles() -> None:
    """beh:E7 Everybody computes the same order; nobody is always first."""
    accounts = [checksummed(f"0x{n:040x}") for n in range(1, 6)]
    panels: Any = SimpleNamespace(pools={POOL.id: PoolLog(weights={account: 1 for account in accounts[:4]})})
    for subject in (b"a", b"b"):
        turns = [turn_of(panels, POOL, subject, account, 3) for account in accounts[:4]]
        assert sorted(turns) == [0, 3, 6, 9]
    first = Counter(
        next(a for a in accounts[:4] if turn_of(panels, POOL, bytes([n]), a, 1) == 0) for n in range(200)
    )
    assert set(first) == set(accounts[:4]) and min(first.values()) > 25
    assert turn_of(panels, POOL, b"a", accounts[4], 3) <= 12  # without a stake it has its turn as well
    crowd: Any = SimpleNamespace(pools={POOL.id: PoolLog(weights={checksummed(f"0x{n:040x}"): 1 for n in range(1, 200)})})
    assert max(turn_of(crowd, POOL, b"a", account, 3) for account in crowd.pools[POOL.id].weights) == 30


def test_stake__unbonding_is_over__can_be_withdrawn_from_that_second_on() -> None:
    stake = Stake(staked=5, unbonding=7, withdrawable_at=100)
    assert (stake.withdrawable(99), stake.withdrawable(100)) == (0, 7)
    assert Stake(staked=5).withdrawable(100) == 0


# ---- orders


def test_order__survives_its_file() -> None:
    order = Order(VOTE, "7", DEAL, 3, UNAVAILABLE, POOL.id, 10**20, (b"\x01" * 32,))
    assert Order.from_json("7", json.loads(json.dumps(order.to_json()))) == order


def test_order__that_nobody_answers__says_so_in_time(tmp_path: Path) -> None:
    with pytest.raises(OrderRefused):
        hand_over(tmp_path, Order(VOTE), 0.2)
    assert len(list((tmp_path / "orders").glob("*.json"))) == 1
