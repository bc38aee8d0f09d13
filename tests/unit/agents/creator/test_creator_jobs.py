"""What a creator notes, decides and concludes: journal, decisions, outcomes and standings, all from literals."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from creator_support import CREATOR, DOMAIN, NOW, ONE, PARAMETERS, PROVIDER, SOLVER, STRATEGY, deal, job, pool, terms

from lilypad_agents.agents.creator.decide import Intent, Policy, View, decide
from lilypad_agents.agents.creator.journal import PAGE, Job, Journal, Stage, request_key
from lilypad_agents.agents.creator.outcome import Outcome, charge_of, error_of, payment_of
from lilypad_agents.agents.creator.status import next_step, open_endings
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.database import Database
from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.ids import NOBODY, hex_of
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.price import decline_cost, locked_total, penalty
from lilypad_agents.protocol.units import Units

FEE = PARAMETERS.protocol_fee_bps

# ---- the journal


@pytest.fixture
def journal() -> Journal:
    return Journal(Database.open(None))


def test_journal__job__comes_back_as_it_went_in(journal: Journal) -> None:
    for found in (job(terms()), job(terms(), pool(), opened=True, digest=b"\x01" * 32, cost=2**70, declined=(PROVIDER,), exit_code=0)):
        journal.add(found)
        assert journal.get(found.id) == found
    journal.add(replace(job(terms()), label="another"))
    assert journal.get(job(terms()).id) == job(terms())  # a second job with the same id changes nothing


def test_journal__update__writes_only_what_changes(journal: Journal) -> None:
    """Two commands work on one job: neither undoes the other."""
    found = job(terms())
    journal.add(found)
    journal.update(found, agreed="acceptance")
    journal.update(found, stage=Stage.POSTED)
    stored = journal.get(found.id)
    assert stored is not None and (stored.agreed, stored.stage) == ("acceptance", Stage.POSTED)


def test_journal__find__by_beginning_of_offer_or_deal(journal: Journal) -> None:
    """beh:J17"""
    found = job(terms(), opened=True)
    journal.add(found)
    assert found.deal is not None
    for text in (found.id, found.id[:8], found.deal_text, found.deal_text[2:12].upper()):
        assert journal.find(text) == [found]
    for text in ("", "0x", "zz", "0x" + "00" * 32, "%", "_"):
        assert journal.find(text) == []


def test_journal__unfinished__leaves_out_what_ended(journal: Journal) -> None:
    """beh:J16"""
    first = job(terms())
    second = replace(job(terms(), opened=True), id="0x" + "22" * 32, request_key="other", stage=Stage.ENDED)
    journal.add(first)
    journal.add(second)
    assert journal.unfinished() == [first]
    assert journal.unfinished("key") == [first]
    assert journal.unfinished("other") == []
    assert {item.id for item in journal.list()} == {first.id, second.id}
    assert journal.list(since=NOW + 1) == []


def test_journal__nonces__are_never_given_twice_and_share_pages(journal: Journal) -> None:
    """beh:B9"""
    taken = [journal.take_nonce(0, lambda nonces: set()) for _ in range(PAGE + 10)]
    assert len(set(taken)) == len(taken)
    assert len({nonce // PAGE for nonce in taken}) == 2


def test_journal__nonces__keep_above_the_floor_and_off_used_pages(journal: Journal) -> None:
    floor = 2**32 - 3 * PAGE
    asked: list[range] = []

    def used(nonces: range) -> set[int]:
        asked.append(nonces)
        return {nonces[5]} if len(asked) == 1 else set()

    nonce = journal.take_nonce(floor, used)
    assert nonce >= floor and len(asked) == 2
    higher = journal.take_nonce(2**32 - PAGE, lambda nonces: set())
    assert higher >= 2**32 - PAGE


def _take(path: Path, queue: Any) -> None:
    journal = Journal.open(path)
    queue.put([int(journal.take_nonce(0, lambda nonces: set())) for _ in range(40)])


def test_journal__several_processes__share_nonces_without_repeating_one(tmp_path: Path) -> None:
    """beh:J4"""
    path = tmp_path / "journal.sqlite"
    Journal.open(path).close()
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    workers = [fork.Process(target=_take, args=(path, queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    taken = [nonce for _ in workers for nonce in queue.get(timeout=30)]
    for worker in workers:
        worker.join()
    assert len(set(taken)) == 120


def test_request_key__order_of_parts__does_not_matter() -> None:
    assert request_key({"a": 1, "b": "x"}) == request_key({"b": "x", "a": 1}) != request_key({"a": 1, "b": "y"})


# ---- deciding


def state(status: Status, deadline: int = NOW + 30, **changes: Any) -> DealState:
    return replace(DealState(status, DisputeKind.NONE, False, deadline, 0, 0), **changes)


def view(found: Job, now: int = NOW, deal_state: DealState | None = None, **changes: Any) -> View:
    return View(found, now, deal_state, PARAMETERS, **changes)


DEFAULT = Policy()


@pytest.mark.parametrize(
    ("stage", "now", "gone", "expected"),
    [
        (Stage.SIGNED, NOW, False, (Intent.POST,)),
        (Stage.SIGNED, NOW + 60, False, (Intent.POST,)),  # the last second still counts
        (Stage.SIGNED, NOW + 61, False, ()),
        (Stage.SIGNED, NOW, True, ()),
        (Stage.POSTED, NOW, False, ()),
        (Stage.ENDED, NOW, False, ()),
    ],
)
def test_decide__without_a_deal__posts_once_while_the_offer_lives(stage: Stage, now: int, gone: bool, expected: tuple[Intent, ...]) -> None:
    """beh:J10"""
    assert decide(view(job(terms(), stage=stage), now, offer_gone=gone), DEFAULT) == expected


@pytest.mark.parametrize(("now", "expected"), [(NOW + 30, ()), (NOW + 31, (Intent.CLAIM_SUBMIT,))])
def test_decide__agreed__claims_one_second_after_the_deadline(now: int, expected: tuple[Intent, ...]) -> None:
    """beh:E1 beh:E7"""
    assert decide(view(job(terms(), opened=True), now, state(Status.AGREED)), DEFAULT) == expected


@pytest.mark.parametrize("status", [Status.AGREED, Status.RESULTS_SUBMITTED])
@pytest.mark.parametrize(
    ("facts", "policy", "expected"),
    [
        ({}, DEFAULT, ()),
        ({"result_known": True}, DEFAULT, (Intent.FETCH,)),
        ({"result_known": True, "mismatch": True}, DEFAULT, ()),
        ({"result_known": True, "delivered": True}, DEFAULT, (Intent.ACCEPT,)),
        ({"result_known": True, "delivered": True}, Policy(accept=False), ()),
        ({"result_known": True, "delivered": True}, Policy(rerun=True), (Intent.RERUN,)),
        ({"result_known": True, "delivered": True, "reran": True}, Policy(rerun=True), (Intent.WAIVE,)),
    ],
)
def test_decide__delivery__is_verified_before_it_is_agreed_to(status: Status, facts: dict[str, bool], policy: Policy, expected: tuple[Intent, ...]) -> None:
    """beh:J11 beh:C8"""
    assert decide(view(job(terms(), opened=True), NOW, state(status), **facts), policy) == expected


def test_decide__own_run_contradicted_the_result__no_later_command_agrees_unless_it_insists() -> None:
    """beh:J11 beh:C8 `lilypad job wait` after a failed --verify must not sign what the user has just seen to be wrong."""
    ready, doubted = {"result_known": True, "delivered": True}, job(terms(), opened=True, doubted=True)
    found = view(doubted, NOW, state(Status.RESULTS_SUBMITTED), **ready)
    assert decide(found, DEFAULT) == ()
    assert decide(found, Policy(rerun=True)) == (Intent.RERUN,)
    assert decide(found, Policy(insist=True)) == (Intent.ACCEPT,)


def test_decide__agreed_to_already_or_too_late__signs_nothing_more() -> None:
    ready = {"result_known": True, "delivered": True}
    assert decide(view(job(terms(), opened=True, agreed="acceptance"), NOW, state(Status.RESULTS_SUBMITTED), **ready), DEFAULT) == ()
    assert decide(view(job(terms(), opened=True), NOW + 31, state(Status.RESULTS_SUBMITTED), **ready), DEFAULT) == ()


# The judge window of the support deal is 40 s and ends at NOW + 30, so four fifths of it are over at NOW + 22.
@pytest.mark.parametrize(
    ("now", "facts", "challenged", "policy", "expected"),
    [
        (NOW + 21, {}, False, DEFAULT, ()),
        (NOW + 22, {}, False, DEFAULT, (Intent.CHALLENGE_DELIVERY,)),
        (NOW + 30, {}, False, DEFAULT, (Intent.CHALLENGE_DELIVERY,)),
        (NOW + 31, {}, False, DEFAULT, ()),
        (NOW, {"result_known": True, "mismatch": True}, False, DEFAULT, (Intent.CHALLENGE_DELIVERY,)),
        (NOW + 22, {}, True, DEFAULT, ()),
        (NOW + 22, {}, False, Policy(challenge=False), ()),
        (NOW + 22, {"result_known": True, "delivered": True}, False, Policy(accept=False), ()),
    ],
)
def test_decide__missing_delivery_in_a_verified_pool__is_challenged_once_by_the_stated_rule(
    now: int, facts: dict[str, bool], challenged: bool, policy: Policy, expected: tuple[Intent, ...]
) -> None:
    """beh:J11 beh:C10"""
    found = state(Status.RESULTS_SUBMITTED, delivery_challenged=challenged)
    assert decide(view(job(terms(), pool(), opened=True), now, found, **facts), policy) == expected


@pytest.mark.parametrize("now", [NOW, NOW + 25, NOW + 30])
@pytest.mark.parametrize("mismatch", [True, False])
def test_decide__missing_delivery_in_pool_0__has_nobody_to_ask(now: int, mismatch: bool) -> None:
    found = view(job(terms(), opened=True), now, state(Status.RESULTS_SUBMITTED), mismatch=mismatch, result_known=mismatch)
    assert decide(found, DEFAULT) == ()


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize(
    ("after_judge", "expected"),
    [
        (PARAMETERS.reveal_window, ()),
        (PARAMETERS.reveal_window + 1, (Intent.CLAIM_REVEAL,)),
        (PARAMETERS.mediation_limit, (Intent.CLAIM_REVEAL,)),
    ],
)
def test_decide__nobody_opens__is_claimed_after_the_reveal_window(verified: bool, after_judge: int, expected: tuple[Intent, ...]) -> None:
    """beh:E7 beh:E1"""
    found = job(terms(), pool() if verified else job(terms()).pool, opened=True)
    assert decide(view(found, NOW + 30 + after_judge, state(Status.RESULTS_SUBMITTED), delivered=True), DEFAULT) == expected


def test_decide__drawn_and_never_audited__is_claimed_after_the_mediation_limit() -> None:
    """beh:E3"""
    now = NOW + 30 + PARAMETERS.mediation_limit + 1
    assert decide(view(job(terms(), pool(), opened=True), now, state(Status.RESULTS_SUBMITTED), delivered=True), DEFAULT) == (Intent.CLAIM_MEDIATION,)


@pytest.mark.parametrize(("now", "expected"), [(NOW + 30, ()), (NOW + 31, (Intent.CLAIM_MEDIATION,))])
def test_decide__mediation__is_claimed_after_its_limit(now: int, expected: tuple[Intent, ...]) -> None:
    """beh:E3"""
    assert decide(view(job(terms(), pool(), opened=True), now, state(Status.IN_MEDIATION)), DEFAULT) == expected


@pytest.mark.parametrize("status", [status for status in Status if status.is_final])
def test_decide__final__fetches_what_was_paid_and_nothing_else(status: Status) -> None:
    found = view(job(terms(), opened=True), NOW, state(status), result_known=True)
    paid = status in (Status.ACCEPTED, Status.MEDIATION_ACCEPTED)
    assert decide(found, DEFAULT) == ((Intent.FETCH,) if paid else ())


def test_view__next_deadline__is_that_of_the_running_clock() -> None:
    """beh:J12 beh:J19"""
    found = job(terms(), opened=True)
    assert view(job(terms())).next_deadline == NOW + 60
    assert view(found, NOW, state(Status.AGREED)).next_deadline == NOW + 30
    assert view(found, NOW, state(Status.RESULTS_SUBMITTED)).next_deadline == NOW + 30
    assert view(found, NOW + 31, state(Status.RESULTS_SUBMITTED)).next_deadline == NOW + 30 + PARAMETERS.reveal_window
    assert view(found, NOW, state(Status.ACCEPTED)).next_deadline is None


# ---- how it ended


def ended(name: str, **args: Any) -> DecodedEvent:
    return DecodedEvent(name, MappingProxyType(args), NOBODY, 1, bytes(32), bytes(32), 0)


VERIFIED_DEAL = deal(terms(), pool(), audit_bps=800, collateral_bps=162_000)
PLAIN_DEAL = deal(terms())


@pytest.mark.parametrize("record", [VERIFIED_DEAL, PLAIN_DEAL], ids=["verified", "pool 0"])
def test_payment__accepted__says_who_got_what_to_the_unit(record: Deal) -> None:
    """beh:C15 beh:A4"""
    payment = payment_of(record, Status.ACCEPTED, ended("DealAccepted", gross=ONE), PARAMETERS)
    assert payment.paid == sum(payment.parts.values()) == locked_total(record, FEE)
    assert payment.back == 0
    assert payment.parts[f"provider {PROVIDER}"] == ONE and payment.parts[f"solver {SOLVER}"] == ONE // 50


def test_payment__metered__gives_back_what_was_not_used() -> None:
    """beh:C7"""
    record = replace(PLAIN_DEAL, unit_price=ONE // 100, max_units=1_000)
    payment = payment_of(record, Status.ACCEPTED, ended("DealAccepted", gross=ONE + 7 * ONE // 100), PARAMETERS)
    assert payment.paid == (ONE + 7 * ONE // 100) * 102 // 100
    assert payment.paid + payment.back == locked_total(record, FEE)
    assert charge_of(record, ONE + 7 * ONE // 100, FEE).gross == ONE + 7 * ONE // 100


@pytest.mark.parametrize(
    ("status", "event", "expected"),
    [
        (Status.DECLINED, {"compensation": decline_cost(PLAIN_DEAL)}, payouts.declined(PLAIN_DEAL, FEE).creator),
        (Status.TIMED_OUT, {"penalty": penalty(PLAIN_DEAL), "bounty": ONE // 100, "keeper": STRATEGY}, payouts.timed_out(PLAIN_DEAL, FEE, False).creator),
        (Status.TIMED_OUT, {"penalty": penalty(PLAIN_DEAL), "bounty": ONE // 100, "keeper": CREATOR}, payouts.timed_out(PLAIN_DEAL, FEE, False, keeper=False).creator),
        (Status.TIMED_OUT, {"penalty": penalty(PLAIN_DEAL), "bounty": 0, "keeper": NOBODY}, payouts.timed_out(PLAIN_DEAL, FEE, False, keeper=False).creator),
        (Status.CLOSED_BY_AGREEMENT, {"toCreator": ONE // 3}, ONE // 3),
        (Status.MEDIATION_REJECTED, {}, payouts.found_wrong(PLAIN_DEAL, FEE).creator),
        (Status.NO_FAULT, {}, payouts.no_fault(PLAIN_DEAL, FEE).creator),
    ],
)  # fmt: skip
def test_payment__refunded__counts_compensation(status: Status, event: dict[str, Any], expected: int) -> None:
    """beh:C5"""
    payment = payment_of(PLAIN_DEAL, status, ended("x", **event), PARAMETERS)
    assert payment.back == expected
    assert payment.paid == locked_total(PLAIN_DEAL, FEE) - expected


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.TIMED_OUT, 22),
        (Status.DECLINED, 24),
        (Status.CLOSED_BY_AGREEMENT, 21),
        (Status.MEDIATION_REJECTED, 30),
        (Status.NO_FAULT, 32),
        (Status.ACCEPTED, 41),
        (Status.MEDIATION_ACCEPTED, 41),
    ],
)
def test_error__final_without_a_result__has_the_exit_code_of_the_notes(status: Status, code: int) -> None:
    """beh:J14"""
    error = error_of(job(terms(), opened=True), status, None, False)
    assert error is not None and error.exit_code == code
    assert error.message and error.way_out
    assert Outcome(job(terms(), opened=True), status, None, None, error).exit_code == code


def test_error__own_challenge_lost__is_31() -> None:
    """beh:J14"""
    error = error_of(job(terms(), pool(), opened=True), Status.MEDIATION_ACCEPTED, None, True)
    assert error is not None and error.exit_code == 31


# ---- where it stands


@pytest.mark.parametrize(
    ("found", "now", "who"),
    [
        (state(Status.AGREED), NOW, "the provider: post a result, within 30 s"),
        (state(Status.AGREED), NOW + 31, "anyone: claim the missed submission"),
        (state(Status.RESULTS_SUBMITTED), NOW + 30, "you: judge the result, within 0 s"),
        (state(Status.RESULTS_SUBMITTED), NOW + 31, "the provider: settle, within 29 s"),
        (state(Status.RESULTS_SUBMITTED), NOW + 61, "anyone: claim the missed opening"),
        (state(Status.IN_MEDIATION), NOW, "the pool's strategy"),
        (state(Status.ACCEPTED), NOW, "nobody"),
    ],
)
def test_next_step__names_who_must_act_and_until_when(found: DealState, now: int, who: str) -> None:
    """beh:J19"""
    assert next_step(PLAIN_DEAL, found, PARAMETERS, now)[0].startswith(who)


def test_open_endings__are_the_payouts_of_the_table() -> None:
    """beh:J19"""
    locked = locked_total(PLAIN_DEAL, FEE)
    agreed = dict(open_endings(PLAIN_DEAL, Status.AGREED, PARAMETERS))
    assert agreed == {"accepted, at most": -locked, "provider declines": ONE // 100, "provider late": ONE - ONE // 100}
    submitted = dict(open_endings(VERIFIED_DEAL, Status.RESULTS_SUBMITTED, PARAMETERS))
    assert submitted["found wrong"] == ONE
    assert submitted["nobody's fault"] == -payouts.no_fault(VERIFIED_DEAL, FEE).fund
    assert hex_of(PLAIN_DEAL.id(DOMAIN))
    assert payouts.accepted(PLAIN_DEAL, Units(0), FEE).creator == 0
