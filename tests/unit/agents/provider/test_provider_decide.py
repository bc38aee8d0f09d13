"""What a provider decides, from literals: every status, on both sides of each deadline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lilypad_agents.agents.provider.capacity import Need
from lilypad_agents.agents.provider.decide import decide
from lilypad_agents.agents.provider.intents import LAST, Intent
from lilypad_agents.agents.provider.policy import Reason, Refusal
from lilypad_agents.agents.provider.view import Action, ClosingOffer, DealView, Lottery, SeedView, Stage
from lilypad_agents.protocol.lifecycle import FINAL, Agreement, DisputeKind, Status
from tests.unit.agents.provider.provider_views import (
    AUDIT_END,
    COIN,
    COMMITMENT,
    CONFIG,
    DECLINE_BY,
    DECLINE_END,
    JUDGE_END,
    MEDIATION_END,
    OPENED,
    REVEAL_END,
    SUBMIT_END,
    deal,
    provider,
    view,
)

A, S, M = Status.AGREED, Status.RESULTS_SUBMITTED, Status.IN_MEDIATION
DENIED = Refusal(Reason.MODULE_DENIED)


def actions(time: int, *deals: DealView, **changes: Any) -> list[Action]:
    return [intent.action for intent in decide(provider(time, *deals, **changes), CONFIG)]


def only(time: int, deal: DealView) -> Intent:
    intents = decide(provider(time, deal), CONFIG)
    assert len(intents) == 1
    return intents[0]


# ---- Agreed


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (OPENED, [Action.FETCH]),
        (DECLINE_BY - 1, [Action.FETCH]),
        (DECLINE_BY, [Action.DECLINE]),
        (DECLINE_END - 3, [Action.DECLINE]),
        (DECLINE_END - 2, [Action.FETCH]),  # too late to be mined in time: a life that began only now tries the run
        (DECLINE_END, [Action.FETCH]),
        (DECLINE_END + 1, [Action.FETCH]),
        (SUBMIT_END - 1, [Action.FETCH]),
        (SUBMIT_END, [Action.FETCH]),
        (SUBMIT_END + 1, [Action.TIMEOUT_SUBMIT]),
    ],
)
def test_decide__nothing_fetched__fetches_until_it_must_decline_and_again_after(time: int, expected: list[Action]) -> None:
    """beh:C12 beh:E1 beh:E7 flt:F1 Content that does not come is given back within the quarter; later it is still tried."""
    assert actions(time, view(A)) == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (OPENED, [Action.DECLINE]),
        (DECLINE_END - 1, [Action.DECLINE]),
        (DECLINE_END, [Action.DECLINE]),
        (DECLINE_END + 1, []),
        (SUBMIT_END, []),
        (SUBMIT_END + 1, [Action.TIMEOUT_SUBMIT]),
    ],
)
def test_decide__refused_by_the_gate__declines_at_once_and_never_after_the_quarter(time: int, expected: list[Action]) -> None:
    """beh:C12 beh:E1"""
    assert actions(time, view(A, Stage.REFUSED, work={"refusal": DENIED})) == expected


@pytest.mark.parametrize("stage", [Stage.READY])
@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (OPENED, [Action.RUN]),
        (DECLINE_END, [Action.RUN]),
        (SUBMIT_END - 1, [Action.RUN]),
        (SUBMIT_END, [Action.RUN]),
        (SUBMIT_END + 1, [Action.STOP, Action.TIMEOUT_SUBMIT]),
    ],
)
def test_decide__ready__runs_until_the_deadline(stage: Stage, time: int, expected: list[Action]) -> None:
    """beh:E1 flt:F30 Work for a deadline that is over stops."""
    assert actions(time, view(A, stage)) == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (SUBMIT_END - 1, [Action.PUBLISH, Action.SUBMIT]),
        (SUBMIT_END, [Action.PUBLISH, Action.SUBMIT]),
        (SUBMIT_END + 1, [Action.TIMEOUT_SUBMIT]),
    ],
)
def test_decide__result_stored__submits_until_the_deadline_inclusive(time: int, expected: list[Action]) -> None:
    """beh:C1 beh:C2 beh:E1 beh:E2"""
    assert actions(time, view(A, Stage.DONE)) == expected


def test_decide__running__does_nothing() -> None:
    assert actions(OPENED, view(A, Stage.RUNNING)) == []
    assert actions(SUBMIT_END + 1, view(A, Stage.RUNNING)) == [Action.STOP, Action.TIMEOUT_SUBMIT]


def test_decide__waiver_before_the_submission__rides_in_it() -> None:
    intents = decide(provider(OPENED, view(A, Stage.DONE, agreement=Agreement.WAIVER)), CONFIG)
    assert [i.agreement for i in intents if i.action is Action.SUBMIT] == [Agreement.WAIVER]


def test_decide__acceptance_before_the_submission__is_kept_for_the_settlement() -> None:
    intents = decide(provider(OPENED, view(A, Stage.DONE, agreement=Agreement.ACCEPTANCE)), CONFIG)
    assert [i.agreement for i in intents if i.action is Action.SUBMIT] == [Agreement.NONE]


def test_decide__fetch_failed__waits_for_its_time() -> None:
    """No retry storm: a failed fetch has its pause."""
    assert actions(OPENED + 1, view(A, work={"retry_at": OPENED + 2})) == []
    assert actions(OPENED + 2, view(A, work={"retry_at": OPENED + 2})) == [Action.FETCH]


def test_decide__transaction_under_way__is_not_asked_for_again() -> None:
    """beh:J3 Repeating a decision has no effect."""
    done = view(A, Stage.DONE, under_way=frozenset({Action.SUBMIT}), work={"published": True})
    assert actions(OPENED, done) == []


# ---- capacity


def test_decide__more_ready_than_slots__runs_the_nearest_deadlines_first() -> None:
    """beh:J8"""
    early = replace(view(A, Stage.READY, number=2), state=replace(view(A).state, deadline=SUBMIT_END - 10))
    intents = decide(provider(OPENED, view(A, Stage.READY, number=1), early, free_slots=1), CONFIG)
    assert [(i.action, i.deal) for i in intents] == [(Action.RUN, early.id)]


def test_decide__no_slot_free__runs_nothing() -> None:
    """beh:J8"""
    assert actions(OPENED, view(A, Stage.READY), free_slots=0) == []


@pytest.mark.parametrize("need", [Need(3_000, 10, 0), Need(10, 4_000, 0), Need(0, 0, 1)])
def test_decide__job_larger_than_what_is_free__waits_and_smaller_ones_pass(need: Need) -> None:
    """beh:J8 Never more than the capacity, by cores, memory and GPUs."""
    large, small = view(A, Stage.READY, number=1, work={"need": need}), view(A, Stage.READY, number=2)
    intents = decide(provider(OPENED, large, small, free=Need(2_000, 2_000, 0)), CONFIG)
    assert [(i.action, i.deal) for i in intents] == [(Action.RUN, small.id)]


def test_decide__two_that_fit_only_one_by_one__run_one_by_one() -> None:
    """beh:J8"""
    both = [view(A, Stage.READY, number=n, work={"need": Need(3_000, 1, 0)}) for n in (1, 2)]
    assert actions(OPENED, *both) == [Action.RUN]


def test_decide__queue_longer_than_the_window__declines_what_cannot_be_in_time() -> None:
    """beh:J8 beh:C12 Over capacity is said while it costs one percent."""
    queue = [view(A, Stage.READY, number=n, work={"estimate_ms": 60_000}) for n in range(1, 6)]
    blocked = provider(DECLINE_BY, *queue, free_slots=0, backlog_ms=120_000)
    declined = [i for i in decide(blocked, CONFIG) if i.action is Action.DECLINE]
    assert {i.deal for i in declined} == {queue[n].id for n in (1, 2, 3, 4)} | {queue[0].id}
    assert all(i.refusal is not None and i.refusal.reason is Reason.OVER_CAPACITY for i in declined)
    short = [replace(d, work=replace(d.work, estimate_ms=1_000)) for d in queue]
    assert actions(DECLINE_BY, *short, free_slots=0) == []


def test_decide__queue_may_still_move__waits_with_declining() -> None:
    queue = [view(A, Stage.READY, number=n, work={"estimate_ms": 60_000}) for n in range(1, 6)]
    assert Action.DECLINE not in actions(DECLINE_BY - 1, *queue, free_slots=0, backlog_ms=120_000)


# ---- ResultsSubmitted


@pytest.mark.parametrize(
    ("time", "agreement", "expected"),
    [
        (JUDGE_END - 1, Agreement.NONE, []),
        (JUDGE_END, Agreement.NONE, []),
        (JUDGE_END + 1, Agreement.NONE, [Action.SETTLE]),
        (JUDGE_END - 1, Agreement.ACCEPTANCE, [Action.SETTLE]),
        (JUDGE_END - 1, Agreement.WAIVER, [Action.SETTLE]),
        (REVEAL_END - 1, Agreement.NONE, [Action.SETTLE]),
        (REVEAL_END, Agreement.NONE, [Action.SETTLE]),
        (REVEAL_END + 1, Agreement.NONE, [Action.TIMEOUT_REVEAL]),
        (REVEAL_END + 1, Agreement.WAIVER, [Action.TIMEOUT_REVEAL]),
    ],
)
def test_decide__submitted_without_audit__settles_by_agreement_or_after_silence(
    time: int, agreement: Agreement, expected: list[Action]
) -> None:
    """beh:C4 beh:E1 beh:E2 beh:E7"""
    assert actions(time, view(S, Stage.DONE, agreement=agreement, work={"published": True})) == expected


def test_decide__judge_window_over__settles_without_the_signature() -> None:
    """What silence allows needs no signature check that could still fail."""
    assert only(JUDGE_END + 1, view(S, Stage.DONE, agreement=Agreement.ACCEPTANCE, work={"published": True})).agreement is Agreement.NONE
    assert only(JUDGE_END, view(S, Stage.DONE, agreement=Agreement.ACCEPTANCE, work={"published": True})).agreement is Agreement.ACCEPTANCE


@pytest.mark.parametrize(
    ("lottery", "agreement", "time", "expected"),
    [
        (Lottery.PENDING, Agreement.NONE, JUDGE_END + 1, []),
        (Lottery.PENDING, Agreement.ACCEPTANCE, JUDGE_END - 1, []),
        (Lottery.PENDING, Agreement.WAIVER, JUDGE_END - 1, [Action.SETTLE]),
        (Lottery.PENDING, Agreement.NONE, REVEAL_END + 1, []),
        (Lottery.SPARED, Agreement.ACCEPTANCE, JUDGE_END - 1, [Action.SETTLE]),
        (Lottery.SPARED, Agreement.NONE, JUDGE_END + 1, [Action.SETTLE]),
        (Lottery.DRAWN, Agreement.WAIVER, JUDGE_END - 1, []),
        (Lottery.DRAWN, Agreement.NONE, REVEAL_END + 1, []),
        (Lottery.DRAWN, Agreement.NONE, AUDIT_END, []),
        (Lottery.DRAWN, Agreement.NONE, AUDIT_END + 1, [Action.TIMEOUT_MEDIATION]),
        (Lottery.LOST, Agreement.ACCEPTANCE, JUDGE_END, []),
        (Lottery.LOST, Agreement.NONE, AUDIT_END + 1, [Action.TIMEOUT_MEDIATION]),
    ],
)
def test_decide__submitted_in_a_verified_pool__waits_for_the_seed_and_leaves_drawn_deals_to_mediation(
    lottery: Lottery, agreement: Agreement, time: int, expected: list[Action]
) -> None:
    """beh:E1 beh:E3 beh:E7 A waiver counts while nobody knows the seed; what is drawn cannot be settled."""
    found = view(S, Stage.DONE, lottery=lottery, agreement=agreement, deal=deal(audit_bps=800), work={"published": True})
    assert actions(time, found) == expected


def test_decide__posted_commitment_without_a_stored_result__makes_the_result_again() -> None:
    """beh:J1 A lost database costs one run."""
    assert actions(OPENED, view(S)) == [Action.FETCH]
    assert actions(OPENED, view(S, Stage.READY)) == [Action.RUN]
    assert actions(REVEAL_END + 1, view(S)) == [Action.TIMEOUT_REVEAL]


def test_decide__stored_result_does_not_open_the_commitment__sends_nothing() -> None:
    """beh:C3 A settlement that would revert is not tried."""
    wrong = view(S, Stage.DONE, agreement=Agreement.ACCEPTANCE, work={"commitment": COMMITMENT + 1, "published": True})
    assert actions(JUDGE_END + 1, wrong) == []


def test_decide__delivery_failed__is_repeated_in_time() -> None:
    """flt:F33"""
    assert actions(OPENED, view(S, Stage.DONE)) == [Action.PUBLISH]
    assert actions(OPENED, view(S, Stage.DONE, work={"retry_at": OPENED + 1})) == []


# ---- seeds


@pytest.mark.parametrize(
    ("lottery", "age", "recorded", "expected"),
    [
        (Lottery.SPARED, 49, False, []),
        (Lottery.SPARED, 50, False, [Action.RECORD]),
        (Lottery.DRAWN, 50, False, [Action.RECORD]),
        (Lottery.DRAWN, 99, False, [Action.RECORD]),
        (Lottery.SPARED, 50, True, []),
        (Lottery.LOST, 50, False, []),
        (Lottery.PENDING, 50, False, []),
    ],
)
def test_decide__seed_grows_old_while_a_deal_hangs_on_it__is_recorded(
    lottery: Lottery, age: int, recorded: bool, expected: list[Action]
) -> None:
    """beh:E7 flt:F16 A lost seed would make the provider pay for an audit."""
    found = view(S, Stage.DONE, lottery=lottery, deal=deal(audit_bps=800), work={"published": True})
    seeds = {6: SeedView(age, 100, recorded)}
    assert actions(OPENED, found, seeds=seeds) == expected


@pytest.mark.parametrize(
    ("lottery", "recorded", "expected"),
    [
        (Lottery.PENDING, False, [Action.RECORD]),
        (Lottery.PENDING, True, []),
        (Lottery.LOST, False, []),
        (Lottery.NONE, False, []),
    ],
)
def test_decide__seed_awaits_its_header__is_recorded_at_once(lottery: Lottery, recorded: bool, expected: list[Action]) -> None:
    """flt:F16 Until then the deal cannot be settled; what does not hang on it costs nothing."""
    found = view(S, Stage.DONE, lottery=lottery, deal=deal(audit_bps=800), work={"published": True})
    assert Action.RECORD not in actions(OPENED, found, seeds={7: SeedView(0, 100, is_awaited=True)})
    made = actions(OPENED, found, seeds={6: SeedView(0, 100, recorded, is_awaited=True)})
    assert [action for action in made if action is Action.RECORD] == expected


def test_decide__two_deals_of_one_period__record_once() -> None:
    both = [
        view(S, Stage.DONE, number=n, lottery=Lottery.SPARED, deal=deal(audit_bps=800), work={"published": True}) for n in (1, 2)
    ]
    assert actions(OPENED, *both, seeds={6: SeedView(60, 100)}) == [Action.RECORD]


# ---- InMediation and the end


@pytest.mark.parametrize(
    ("time", "expected"),
    [(MEDIATION_END - 1, []), (MEDIATION_END, []), (MEDIATION_END + 1, [Action.TIMEOUT_MEDIATION])],
)
@pytest.mark.parametrize("kind", [kind for kind in DisputeKind if kind is not DisputeKind.NONE])
def test_decide__in_mediation__claims_the_limit_and_nothing_before(
    kind: DisputeKind, time: int, expected: list[Action]
) -> None:
    """beh:E3 beh:E7"""
    found = view(M, Stage.DONE, work={"published": True})
    assert actions(time, replace(found, state=replace(found.state, kind=kind))) == expected


def test_decide__in_mediation_undelivered__delivers() -> None:
    assert actions(OPENED, view(M, Stage.DONE)) == [Action.PUBLISH]


@pytest.mark.parametrize("status", sorted(FINAL))
def test_decide__final__stops_work_and_releases_content(status: Status) -> None:
    """beh:E1"""
    assert actions(OPENED, view(status, Stage.RUNNING, work={"released": True})) == [Action.STOP]
    assert actions(OPENED, view(status, Stage.DONE)) == [Action.RELEASE]
    assert actions(OPENED, view(status, Stage.DONE, work={"released": True})) == []


@pytest.mark.parametrize("stage", [Stage.FETCHING, Stage.READY, Stage.RUNNING])
def test_decide__deal_vanished_from_the_chain__stops_work(stage: Stage) -> None:
    """flt:F18 The slot is free again; a stored result stays, since the deal may come back."""
    assert actions(OPENED, view(Status.NONE, stage)) == [Action.STOP]
    assert actions(OPENED, view(Status.NONE, Stage.DONE)) == []


# ---- closings


@pytest.mark.parametrize(
    ("status", "stage", "offered", "closes"),
    [
        (A, Stage.NEW, 2 * COIN + COIN // 100, True),
        (A, Stage.NEW, 2 * COIN + COIN // 100 - 1, False),
        (A, Stage.READY, 2 * COIN + COIN // 100, True),
        (A, Stage.RUNNING, 2 * COIN + COIN // 100, False),
        (S, Stage.DONE, 3 * COIN, True),
        (S, Stage.DONE, 3 * COIN - 1, False),
    ],
)
def test_decide__creator_offers_a_split__is_signed_only_when_it_pays_as_much(
    status: Status, stage: Stage, offered: int, closes: bool
) -> None:
    """beh:C13"""
    closing = ClosingOffer(0, offered, OPENED + 10, b"x")
    found = view(status, stage, closing=closing, gross=COIN if stage is Stage.DONE else None, work={"published": True})
    assert (Action.CLOSE in actions(OPENED + 10, found)) is closes
    assert Action.CLOSE not in actions(OPENED + 11, found)


# ---- all together


def test_decide__several_deals__nearest_deadline_first() -> None:
    late = replace(view(A, Stage.DONE, number=1), state=replace(view(A).state, deadline=SUBMIT_END + 50))
    soon = view(A, Stage.DONE, number=2)
    intents = [i for i in decide(provider(OPENED, late, soon), CONFIG) if i.action is Action.SUBMIT]
    assert [i.deal for i in intents] == [soon.id, late.id]


STATES = st.builds(
    view,
    st.sampled_from(Status),
    st.sampled_from(Stage),
    agreement=st.sampled_from(Agreement),
    lottery=st.sampled_from(Lottery),
    work=st.fixed_dictionaries({"published": st.booleans(), "commitment": st.sampled_from([None, COMMITMENT, 1])}),
    under_way=st.frozensets(st.sampled_from(Action), max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(STATES, st.integers(0, 3_000))
def test_decide__anything__is_total_pure_and_within_the_rules(found: DealView, time: int) -> None:
    """beh:J10 Total and pure; and a transaction is never wanted that the table does not allow."""
    seen = provider(time, found)
    intents = decide(seen, CONFIG)
    assert intents == decide(seen, CONFIG)
    assert len({intent.key for intent in intents}) == len(intents)
    status, wanted = found.state.status, {intent.action for intent in intents}
    allowed = {
        Action.SUBMIT: A, Action.DECLINE: A, Action.TIMEOUT_SUBMIT: A, Action.SETTLE: S, Action.TIMEOUT_REVEAL: S,
    }  # fmt: skip
    for action, only_in in allowed.items():
        assert action not in wanted or status is only_in
    assert not wanted & found.under_way
    assert not {Action.SUBMIT, Action.TIMEOUT_SUBMIT} <= wanted
    assert not {Action.SETTLE, Action.TIMEOUT_REVEAL} <= wanted
    bound_to_time = (Action.SUBMIT, Action.SETTLE, Action.DECLINE)
    assert all(LAST > intent.deadline >= time for intent in intents if intent.action in bound_to_time)
