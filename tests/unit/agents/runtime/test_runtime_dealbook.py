"""The deal book follows events through every state, forgets what a reorganisation undid, and is rebuilt from nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.agents.runtime.context import BlockTimes
from lilypad_agents.agents.runtime.dealbook import DealBook
from lilypad_agents.chain.abi import Abi
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.logs import EventSource, LogCursor
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import Address, DealId, checksummed, keccak256
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from tests.support.scripted_chain import START, ScriptedChain, log_of

CORE_ABI, RESOLVER_ABI = Abi.load("Lilypad"), Abi.load("LilypadResolver")
CORE = checksummed("0x" + "c0" * 20)
RESOLVER = checksummed("0x" + "c1" * 20)
DOMAIN = Domain(1337, CORE)
WORD = bytes(32)


def account(number: int) -> Address:
    return checksummed(f"0x{number:040x}")


CREATOR, PROVIDER, STRANGER = account(1), account(2), account(3)


def deal(number: int = 0, creator: Address = CREATOR, provider: Address = PROVIDER) -> Deal:
    return Deal(
        creator=creator, provider=provider, solver=account(0), publisher=account(8), royalty_to=account(8),
        strategy=account(0), token=account(9), module=keccak256(b"m"), inputs=keccak256(b"i"), pool=WORD, price=100,
        unit_price=0, max_units=0, collateral=100, seat_fee=0, seat_floor=0, submit_window=60, judge_window=20,
        audit_bps=0, royalty_bps=0, solver_fee_bps=0, job_offer_hash=keccak256(b"j%d" % number),
        resource_offer_hash=keccak256(b"r"),
    )  # fmt: skip


def opened(record: Deal) -> dict[str, Any]:
    return log_of(
        CORE_ABI, CORE, "DealOpened", dealId=record.id(DOMAIN), creator=record.creator, provider=record.provider,
        record=record.words,
    )  # fmt: skip


def submitted(record: Deal, deadline: int = START + 100) -> dict[str, Any]:
    return log_of(
        CORE_ABI, CORE, "ResultSubmitted", dealId=record.id(DOMAIN), provider=record.provider, commitment=77,
        judgeDeadline=deadline, period=5,
    )  # fmt: skip


def accepted(record: Deal) -> dict[str, Any]:
    return log_of(
        CORE_ABI, CORE, "DealAccepted", dealId=record.id(DOMAIN), creator=record.creator, provider=record.provider,
        resultDigest=keccak256(b"d"), gross=100,
    )  # fmt: skip


def declined(record: Deal) -> dict[str, Any]:
    return log_of(
        RESOLVER_ABI, RESOLVER, "DealDeclined", dealId=record.id(DOMAIN), creator=record.creator,
        provider=record.provider, compensation=1,
    )  # fmt: skip


class Harness:
    """A book over a scripted chain; `restart` opens the same database again."""

    def __init__(self, path: Path, party: Address | None) -> None:
        self.chain = ScriptedChain()
        self.party = party
        self.path = path
        self.restart()

    def restart(self) -> None:
        self.database = Database.open(self.path)
        sources = [EventSource(CORE, CORE_ABI), EventSource(RESOLVER, RESOLVER_ABI)]
        self.cursor = LogCursor(self.database, self.chain, sources)  # type: ignore[arg-type]
        self.book = DealBook(self.database, self.cursor, self.party, BlockTimes(self.chain))  # type: ignore[arg-type]

    def follow(self) -> list[Any]:
        advance = self.cursor.advance()
        return self.book.follow(reorganised=advance.reorganisation is not None)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path / "agent.sqlite", PROVIDER)


def test_follow__deal_from_opening_to_payment__is_as_the_events_say(harness: Harness) -> None:
    """beh:J3"""
    record = deal()
    block = harness.chain.mine(opened(record))
    (view,) = harness.follow()
    assert (view.deal, view.state.status, view.opened_at) == (record, Status.AGREED, block.timestamp)
    assert view.state.deadline == block.timestamp + 60
    harness.chain.mine(submitted(record))
    (view,) = harness.follow()
    assert (view.state.status, view.state.commitment, view.state.period) == (Status.RESULTS_SUBMITTED, 77, 5)
    assert view.state.deadline == START + 100
    end = harness.chain.mine(accepted(record))
    (view,) = harness.follow()
    assert (view.state.status, view.gross, view.result_digest) == (Status.ACCEPTED, 100, keccak256(b"d"))
    assert (view.earlier, view.changed_at) == (Status.RESULTS_SUBMITTED, end.timestamp)
    assert harness.book.open_deals() == []
    assert harness.book.get(record.id(DOMAIN)) == view


def test_follow__dispute_about_delivery_and_its_confirmation__goes_back_to_submitted(harness: Harness) -> None:
    record = deal()
    disputed = log_of(
        RESOLVER_ABI, RESOLVER, "DisputeOpened", dealId=record.id(DOMAIN), by=CREATOR, kind=int(DisputeKind.DELIVERY),
        fee=3, fromFund=0, fromCollateral=0, deadline=START + 500,
    )  # fmt: skip
    confirmed = log_of(RESOLVER_ABI, RESOLVER, "DeliveryConfirmed", dealId=record.id(DOMAIN), judgeDeadline=START + 300)
    harness.chain.mine(opened(record), submitted(record))
    harness.chain.mine(disputed)
    (view,) = harness.follow()
    assert (view.state.status, view.state.kind, view.state.deadline) == (
        Status.IN_MEDIATION, DisputeKind.DELIVERY, START + 500,
    )  # fmt: skip
    harness.chain.mine(confirmed)
    (view,) = harness.follow()
    assert (view.state.status, view.state.delivery_challenged, view.state.deadline) == (
        Status.RESULTS_SUBMITTED, True, START + 300,
    )  # fmt: skip


def test_follow__deals_of_others__are_not_taken(harness: Harness) -> None:
    """beh:J3"""
    other = deal(1, provider=STRANGER)
    harness.chain.mine(opened(other), submitted(other), opened(deal(2)))
    assert [view.deal for view in harness.follow()] == [deal(2)]
    assert harness.book.get(other.id(DOMAIN)) is None


def test_follow__book_of_everybody__takes_all(tmp_path: Path) -> None:
    harness = Harness(tmp_path / "a.sqlite", None)
    harness.chain.mine(opened(deal(1, provider=STRANGER)), opened(deal(2)))
    assert len(harness.follow()) == 2


def test_follow__reorganisation_undoes_the_opening__deal_vanishes(harness: Harness) -> None:
    """flt:F15 flt:F18"""
    record = deal()
    harness.chain.mine()
    harness.chain.mine(opened(record))
    harness.follow()
    harness.chain.fork(1)
    harness.chain.mine()
    harness.chain.mine()
    assert harness.follow() == []
    assert harness.book.get(record.id(DOMAIN)) is None
    assert [view.deal for view in harness.book.vanished] == [record]
    assert harness.book.open_deals() == []


def test_follow__reorganisation_moves_the_result__earlier_state_comes_back(harness: Harness) -> None:
    """flt:F15"""
    record = deal()
    first = harness.chain.mine(opened(record))
    harness.follow()
    harness.chain.mine(submitted(record))
    harness.follow()
    harness.chain.fork(1)
    harness.chain.mine()
    (view,) = harness.follow()
    assert (view.state.status, view.state.deadline) == (Status.AGREED, first.timestamp + 60)
    harness.chain.mine(submitted(record, START + 321))
    (view,) = harness.follow()
    assert view.state.deadline == START + 321


def test_follow__killed_between_cursor_and_book__nothing_is_missed(harness: Harness) -> None:
    """flt:F1 beh:J2"""
    record = deal()
    harness.chain.mine(opened(record))
    harness.cursor.advance()  # stored, then killed before the book followed
    harness.database.close()
    harness.restart()
    assert [view.deal for view in harness.book.follow()] == [record]


def test_follow__killed_while_a_reorganisation_was_stored__book_is_made_right_at_the_start(harness: Harness) -> None:
    """flt:F17"""
    record = deal()
    harness.chain.mine(opened(record))
    harness.follow()
    harness.chain.fork(1)
    harness.chain.mine()
    harness.cursor.advance()  # the events are gone, then killed before the book heard of it
    harness.database.close()
    harness.restart()
    harness.book.follow()
    assert harness.book.get(record.id(DOMAIN)) is None


def test_follow__database_deleted__same_book_again(harness: Harness) -> None:
    """beh:J1"""
    records = [deal(number) for number in range(5)]
    harness.chain.mine(*map(opened, records))
    harness.chain.mine(*map(submitted, records[:3]))
    harness.chain.mine(accepted(records[0]))
    harness.follow()
    before = harness.book.page()
    harness.database.close()
    for suffix in ("", "-wal", "-shm"):
        (harness.path.parent / (harness.path.name + suffix)).unlink(missing_ok=True)
    harness.restart()
    harness.follow()
    assert [replace(view, seq=0) for view in harness.book.page()] == [replace(view, seq=0) for view in before]


def test_reconcile__event_that_the_node_swallowed__is_found_and_read_again(harness: Harness) -> None:
    """flt:F24"""
    record = deal()
    harness.chain.mine(opened(record))
    hidden = harness.chain.mine(submitted(record))
    harness.chain.hidden = {hidden.number}
    harness.follow()
    assert harness.book.open_deals()[0].state.status is Status.AGREED
    core = Contract(CORE, CORE_ABI, harness.chain)  # type: ignore[arg-type]
    truth = (int(Status.RESULTS_SUBMITTED), 0, 0, START + 100, 5, 77)
    harness.chain.views[core.encode("dealOf", record.id(DOMAIN))] = b"".join(n.to_bytes(32, "big") for n in truth)
    moment = ChainMoment.parse(harness.chain.blocks[-1].as_json())
    assert harness.book.reconcile(core, moment) == [record.id(DOMAIN)]
    harness.chain.hidden = set()
    harness.cursor.rescan(10)
    (view,) = harness.book.follow()
    assert view.state.status is Status.RESULTS_SUBMITTED
    assert harness.book.reconcile(core, moment) == []


def test_follow__missed_event_turns_up_late__order_of_the_chain_counts(harness: Harness) -> None:
    """flt:F25"""
    record = deal()
    harness.chain.mine(opened(record))
    hidden = harness.chain.mine(submitted(record))
    harness.chain.mine(accepted(record))
    harness.chain.hidden = {hidden.number}
    (view,) = harness.follow()
    assert view.state.status is Status.ACCEPTED
    harness.chain.hidden = set()
    harness.cursor.rescan(10)
    (view,) = harness.book.follow()
    assert (view.state.status, view.state.commitment, view.earlier) == (Status.ACCEPTED, 77, Status.RESULTS_SUBMITTED)


@pytest.mark.parametrize("party", [PROVIDER, None])
def test_follow__missed_opening_turns_up_late__what_followed_it_counts(tmp_path: Path, party: str | None) -> None:
    """flt:F24 The deal would else stay as it was opened, for ever: its later events were stored before it was known."""
    harness = Harness(tmp_path / "a.sqlite", party)
    record = deal()
    hidden = harness.chain.mine(opened(record))
    harness.chain.mine(submitted(record))
    harness.chain.hidden = {hidden.number}
    assert not harness.follow()
    harness.chain.hidden = set()
    harness.cursor.rescan(10)
    (view,) = harness.book.follow()
    assert (view.state.status, view.state.commitment) == (Status.RESULTS_SUBMITTED, 77)
    harness.chain.mine(accepted(record))
    (view,) = harness.follow()
    assert view.state.status is Status.ACCEPTED


def test_page__party_states_and_age__oldest_first_with_a_stable_cursor(tmp_path: Path) -> None:
    """beh:I11"""
    harness = Harness(tmp_path / "a.sqlite", None)
    records = [deal(number, provider=PROVIDER if number % 2 else STRANGER) for number in range(6)]
    for record in records:
        harness.chain.mine(opened(record))
    harness.chain.mine(declined(records[1]))
    harness.follow()
    book = harness.book
    mine = [view.deal for view in book.page(party=PROVIDER)]
    assert mine == [records[1], records[3], records[5]]
    first = book.page(party=CREATOR, limit=4)
    assert [view.deal for view in first] == records[:4]
    harness.chain.mine(opened(deal(9)))
    harness.follow()
    rest = book.page(party=CREATOR, after=first[-1].seq)
    assert [view.deal for view in rest] == [*records[4:], deal(9)]
    assert [view.deal for view in book.page(statuses=[Status.DECLINED])] == [records[1]]
    assert [view.deal for view in book.page(since=START + 6)] == [records[5], deal(9)]
    assert [view.deal for view in book.of_job_offer(records[2].job_offer_hash)] == [records[2]]


def test_prune__events_of_final_deals__go_and_the_deals_stay(harness: Harness) -> None:
    done, running = deal(1), deal(2)
    harness.chain.mine(opened(done), accepted(done))
    for _ in range(5):
        harness.chain.mine()
    harness.chain.mine(opened(running))
    harness.follow()
    harness.book.prune(harness.chain.blocks[-1].number)
    harness.database.close()
    harness.restart()
    harness.follow()
    assert harness.book.get(done.id(DOMAIN)) is not None
    assert [view.id for view in harness.book] == [DealId(running.id(DOMAIN))]
