"""One suite for both forms of the store: in memory and in a file, from several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.agents.solver.store import SolverStore, StoredContent
from lilypad_agents.agents.solver.wire import MessageKind, OfferState
from lilypad_agents.chain.database import Database
from lilypad_agents.protocol.ids import DealId, OfferHash, checksummed, keccak256

ALICE, BOB = checksummed("0x" + "a1" * 20), checksummed("0x" + "b0" * 20)
DEAL = DealId(keccak256(b"deal"))


def offer_id(number: int) -> OfferHash:
    return OfferHash(keccak256(b"offer%d" % number))


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SolverStore:
    return SolverStore(Database.open(None if request.param == "memory" else tmp_path / "s.sqlite"))


def add(store: SolverStore, number: int, account: Any = ALICE, kind: str = "job", at: int = 100) -> int:
    return store.add_offer(offer_id(number), kind, account, account, {"number": number}, at, 1_000)


def test_add_offer__again_after_closing__keeps_its_place_and_is_open(store: SolverStore) -> None:
    """beh:I12 beh:I15"""
    first = add(store, 1)
    store.set_offers([offer_id(1)], OfferState.CANCELLED, now=5, reason={"code": "withdrawn"})
    assert store.live_offers() == []
    assert add(store, 1) == first
    stored = store.offer(offer_id(1))
    assert stored is not None and (stored.state, stored.reason) == (OfferState.OPEN, None)


def test_set_offers__opened_then_open_again__keeps_the_deal(store: SolverStore) -> None:
    """beh:I12"""
    add(store, 1)
    store.set_offers([offer_id(1)], OfferState.OPENED, now=5, deal_id=DEAL)
    store.set_offers([offer_id(1)], OfferState.OPEN, now=6)
    stored = store.offer(offer_id(1))
    assert stored is not None and (stored.deal_id, stored.state) == (DEAL, OfferState.OPEN)


def test_offers_page__filters_and_cursor__oldest_first(store: SolverStore) -> None:
    """beh:I11 beh:I12"""
    for number in range(6):
        add(store, number, BOB if number % 2 else ALICE, "job" if number < 4 else "resource", 100 + number)
    store.set_offers([offer_id(0)], OfferState.EXPIRED, now=200)
    page = store.offers_page(account=ALICE)
    assert [stored.document["number"] for stored in page] == [0, 2, 4]
    assert [stored.document["number"] for stored in store.offers_page(kind="job", state="open")] == [1, 2, 3]
    assert [stored.document["number"] for stored in store.offers_page(since=104)] == [4, 5]
    first = store.offers_page(limit=4)
    add(store, 7)
    rest = store.offers_page(after=first[-1].seq)
    assert [stored.document["number"] for stored in rest] == [4, 5, 7]


def test_forget_offers__closed_long_ago__go_and_live_ones_stay(store: SolverStore) -> None:
    for number in range(3):
        add(store, number)
    store.set_offers([offer_id(0)], OfferState.EXPIRED, now=50)
    store.set_offers([offer_id(1)], OfferState.EXPIRED, now=90)
    assert store.forget_offers(60) == 1
    assert store.offer(offer_id(0)) is None and store.offer(offer_id(1)) and store.offer(offer_id(2))


def test_matches__ended__leave_the_open_ones(store: SolverStore) -> None:
    """beh:H10"""
    made = store.add_matches("open:1", [(offer_id(1), offer_id(9), 0, 0), (offer_id(2), offer_id(9), 0, 1)], 7, 100)
    assert [item.outcome for item in store.open_matches()] == [None, None]
    store.end_matches({made[0].seq: "opened"})
    assert [item.job for item in store.open_matches()] == [offer_id(2)]
    assert [(item.job, item.outcome) for item in store.matches_page()] == [(offer_id(1), "opened"), (offer_id(2), None)]


def test_add_message__the_same_again__is_one_note(store: SolverStore) -> None:
    """beh:I12 beh:I15"""
    arguments: Any = (DEAL, MessageKind.RESULT, ALICE, BOB, 100)
    first = store.add_message(*arguments, {"b": 1, "a": 2}, 3)
    assert store.add_message(*arguments, {"a": 2, "b": 1}, 3) == first
    assert len(store.messages(DEAL)) == 1
    assert [message.body for message in store.inbox(BOB, 0, 10)] == [{"a": 2, "b": 1}]
    assert store.inbox(ALICE, 0, 10) == []


def test_add_message__too_many_of_a_kind__is_none(store: SolverStore) -> None:
    arguments: Any = (DEAL, MessageKind.RESULT, ALICE, BOB, 100)
    assert all(store.add_message(*arguments, number, 3) for number in range(3))
    assert store.add_message(*arguments, 3, 3) is None
    assert store.add_message(*arguments, 2, 3) is not None  # a repetition is none


def test_content__owners_of_one_root__do_not_disturb_each_other(store: SolverStore) -> None:
    """beh:I12"""
    for owner in (ALICE, BOB):
        store.add_content(StoredContent("root", "deal", DEAL, owner, "result", 10, 100, None))
    store.add_content(StoredContent("root", "deal", DEAL, BOB, "result", 30, 101, None))
    assert (store.content_bytes(ALICE), store.content_bytes(BOB)) == (10, 30)
    store.set_expiry("deal", [DEAL], 500)
    assert len(store.expired_content(500)) == 2 and store.expired_content(499) == []
    store.forget_content([row for row in store.content("root") if row.owner == ALICE])
    assert [row.owner for row in store.content("root")] == [BOB]


def in_threads(count: int, work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_store__eight_threads_at_once__every_write_counts_once(store: SolverStore) -> None:
    """beh:I12"""

    def work(number: int) -> None:
        for index in range(25):
            add(store, number * 100 + index)
            add(store, index)  # everybody posts these
            store.set_offers([offer_id(number * 100 + index)], OfferState.OPENED, now=1)
            store.add_message(DEAL, MessageKind.CLOSING, ALICE, BOB, 1, index, 100)
            store.offers_page(limit=10)

    in_threads(8, work)
    assert len(store.messages(DEAL)) == 25
    everything = store.offers_page(limit=10_000)
    assert len({stored.id for stored in everything}) == len(everything) == 8 * 25


def test_store__transaction_fails__leaves_nothing(store: SolverStore) -> None:
    with pytest.raises(RuntimeError), store.transaction():
        add(store, 1)
        raise RuntimeError
    assert store.live_offers() == []


def test_store__closed_and_opened_again__has_everything(tmp_path: Path) -> None:
    """beh:I16"""
    database = Database.open(tmp_path / "s.sqlite")
    add(SolverStore(database), 1)
    database.close()
    assert [stored.id for stored in SolverStore(Database.open(tmp_path / "s.sqlite")).live_offers()] == [offer_id(1)]
