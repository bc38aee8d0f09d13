"""What a mediator decides, from literals: votes by stated rules, steps that are due, appeals within a budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lilypad_agents.agents.mediator.decide import Intent, contradicts, decide
from lilypad_agents.agents.mediator.settings import AppealRule, MediatorConfig
from lilypad_agents.agents.mediator.view import (
    Action,
    Check,
    Data,
    DrawnDeal,
    MediatorView,
    Money,
    PoolView,
    SeatView,
    Stage,
    Work,
)
from lilypad_agents.agents.mediator.votes import CANNOT_RUN, SERVED, UNAVAILABLE
from lilypad_agents.agents.provider.view import Lottery, SeedView
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.lifecycle import FINAL, Status
from lilypad_agents.protocol.mediation import Finding, Phase, SeatState
from lilypad_agents.protocol.units import Seconds, Timestamp
from tests.unit.agents.mediator.mediator_views import (
    CONFIG,
    DIGEST,
    LAST_CALL,
    LIMIT,
    NOW,
    OTHER,
    POOL,
    TOKEN,
    deal,
    dispute,
    known,
    view,
)

OWN = MediatorConfig(pools=(POOL,), appeal=AppealRule.OWN, appeal_budget=10 * TOKEN)
QUIET = MediatorConfig(pools=(POOL,), keeper=False)
BEGAN = Timestamp(NOW + 40 - 100)  # the commit window
COMMITTED = SeatView(0, SeatState.COMMITTED, matches=True)


def decided(seen: MediatorView, config: MediatorConfig = CONFIG) -> list[Intent]:
    return decide(seen, config)


def actions(*disputes: Any, time: int = NOW, config: MediatorConfig = CONFIG, **more: Any) -> list[Action]:
    return [intent.action for intent in decide(view(*disputes, time=time, **more), config)]


def vote_of(item: Any, time: int) -> bytes | None:
    found = [intent.vote for intent in decide(view(item, time=time), CONFIG) if intent.action is Action.VOTE]
    return found[0] if found else None


# ---- work and votes


def test_commit__nothing_here_yet__fetches() -> None:
    assert actions(dispute()) == [Action.FETCH]


def test_commit__fetch_failed_a_moment_ago__waits_for_its_pause() -> None:
    work = Work(Stage.NEW, retry_at=NOW + 2)  # type: ignore[arg-type]
    assert actions(dispute(work=work)) == []
    assert actions(dispute(work=work), time=NOW + 2) == [Action.FETCH]


def test_commit__everything_here__runs_if_a_slot_is_free() -> None:
    item = dispute(work=Work(Stage.READY))
    assert actions(item) == [Action.RUN]
    assert actions(item, free_slots=0) == []


def test_runs__one_slot__goes_to_the_nearest_deadline() -> None:
    near = dispute(work=Work(Stage.READY), deadline=NOW + 30)
    far = dispute(work=Work(Stage.READY), id=DealId(b"\x02" * 32))
    found = decide(view(far, near, free_slots=1), CONFIG)
    assert [(intent.action, intent.deal) for intent in found] == [(Action.RUN, near.id)]


@pytest.mark.parametrize(
    ("stage", "before", "vote"),
    [(Stage.NEW, 19, CANNOT_RUN), (Stage.FETCHING, 19, UNAVAILABLE), (Stage.READY, 29, CANNOT_RUN), (Stage.RUNNING, 29, CANNOT_RUN)],
)
def test_vote__without_a_word__comes_at_its_share_of_the_window_and_not_before(stage: Stage, before: int, vote: bytes) -> None:
    """beh:D28 The window of 100 s ends at NOW + 40: 80 % of it are over at NOW + 20, 90 % at NOW + 30."""
    item = dispute(work=Work(stage, since=None if stage is Stage.NEW else BEGAN))
    assert vote_of(item, NOW + before) is None
    assert vote_of(item, NOW + before + 1) == vote


def test_vote__word_is_there__is_the_word_at_once() -> None:
    for word in (DIGEST, CANNOT_RUN):
        assert vote_of(dispute(work=known(word)), NOW) == word


def test_commit__vote_is_stored__every_silent_seat_commits_to_it_once() -> None:
    seats = (SeatView(0, SeatState.SILENT), SeatView(2, SeatState.SILENT, None, frozenset({Action.COMMIT})), replace(COMMITTED, index=4))
    found = decide(view(dispute(vote=DIGEST, work=known(DIGEST), seats=seats)), CONFIG)
    assert [(intent.action, intent.seat, intent.vote, intent.deadline) for intent in found] == [(Action.COMMIT, 0, DIGEST, NOW + 40)]


def test_commit__without_a_seat__does_nothing() -> None:
    assert actions(dispute(seats=())) == []


def test_commit__vote_is_stored_and_the_run_says_otherwise__the_stored_one_stays() -> None:
    """flt:F28 A round has one vote."""
    found = decide(view(dispute(vote=DIGEST, work=known(OTHER))), CONFIG)
    assert [(intent.action, intent.vote) for intent in found] == [(Action.COMMIT, DIGEST)]


# ---- delivery


def test_delivery__data_is_named__is_asked_for_and_nothing_runs() -> None:
    item = dispute(delivery=True, round=5, opened=b"\x09" * 32)
    assert actions(item) == [Action.CHECK]
    assert vote_of(replace(item, data=Data(Check.SERVED)), NOW) == SERVED
    late = NOW + 40 - 50 + 40  # 80 % of a reveal window
    failed = replace(item, data=Data(retry_at=Timestamp(NOW), since=Timestamp(NOW - 10)))
    assert vote_of(failed, late - 1) is None
    assert vote_of(failed, late) == UNAVAILABLE
    assert vote_of(item, late) == CANNOT_RUN, "it never asked"


# ---- reveals


def reveal(**changes: Any) -> Any:
    usual = {"vote": DIGEST, "work": known(DIGEST), "opened": DIGEST, "seats": (COMMITTED,)}
    return dispute(Phase.REVEAL, **(usual | changes))


def reveals(item: Any, time: int = NOW) -> list[bool]:
    return [intent.served for intent in decide(view(item, time=time), CONFIG) if intent.action is Action.REVEAL]


def test_reveal__our_digest_is_the_providers__first_looks_whether_the_data_is_served() -> None:
    early = NOW + 40 - 50  # when the window began
    assert actions(reveal(), time=early) == [Action.CHECK]
    assert reveals(reveal(data=Data(Check.SERVED)), early) == [True]
    waits = reveal(data=Data(Check.CHECKING, since=Timestamp(early)))
    assert reveals(waits, early + 39) == []
    assert reveals(waits, early + 40) == [False]


@pytest.mark.parametrize("opened", [OTHER, bytes(32)])
def test_reveal__our_digest_is_another_or_nothing_was_opened__is_revealed_at_once(opened: bytes) -> None:
    assert reveals(reveal(opened=opened), NOW - 10) == [False]


def test_reveal__commitment_is_not_that_of_our_vote__is_found_again_first() -> None:
    """flt:F28"""
    lost = replace(COMMITTED, matches=False)
    assert actions(reveal(seats=(lost,), work=known(OTHER))) == [Action.RECOVER]
    assert set(actions(reveal(seats=(lost,), work=Work(Stage.NEW), vote=None))) == {Action.RECOVER, Action.FETCH}
    assert actions(reveal(seats=(lost,), recoverable=False)) == []


def test_reveal__node_did_not_tell_what_is_committed__waits_and_does_not_call_the_vote_lost() -> None:
    """flt:F26: a call that the node answered with an error is no commitment to something else."""
    assert actions(reveal(seats=(replace(COMMITTED, matches=None),), work=known(OTHER))) == []


def test_reveal__never_came_to_ask_or_too_late__says_nothing_against_the_provider() -> None:
    """beh:D9 flt:F9 flt:F38: a mediator whose chain was away for the window condemned a provider that had served."""
    began = NOW + 40 - 50
    late, half = began + 40, Timestamp(began + 25)
    assert reveals(reveal(data=Data()), late) == [True]
    for asked in (Data(retry_at=Timestamp(NOW), since=half), Data(Check.CHECKING, since=half)):
        assert reveals(reveal(data=asked), late) == [False], "it had half of the window"
        assert reveals(reveal(data=replace(asked, since=Timestamp(half + 1))), late) == [True], "it came back too late"


def test_commit__never_came_to_ask_or_too_late__says_that_it_cannot_run() -> None:
    """beh:D9 flt:F9 flt:F38"""
    half = Timestamp(BEGAN + 50)
    for stage in (Stage.NEW, Stage.FETCHING):
        asked = Work(stage, retry_at=Timestamp(NOW), since=half)
        assert vote_of(dispute(work=asked), NOW + 20) == UNAVAILABLE
        assert vote_of(dispute(work=replace(asked, since=Timestamp(half + 1))), NOW + 20) == CANNOT_RUN


def test_trouble__of_our_own__is_never_held_against_the_provider() -> None:
    """beh:D9 flt:F27 A full disk is no sign that nothing was served."""
    assert vote_of(dispute(work=Work(trouble=True, since=BEGAN)), NOW + 20) == CANNOT_RUN
    data = Data(trouble=True, since=Timestamp(NOW - 10))
    delivery = dispute(delivery=True, round=5, opened=b"\x09" * 32, data=data)
    assert vote_of(delivery, NOW + 40) == CANNOT_RUN
    assert reveals(reveal(data=data), NOW + 40) == [True]


# ---- steps


@pytest.mark.parametrize(
    ("phase", "changes", "action"),
    [
        (Phase.NONE, {}, Action.QUEUE),
        (Phase.DUE, {}, Action.QUEUE),
        (Phase.QUEUED, {"next_in_queue": True}, Action.DRAW),
        (Phase.EXECUTABLE, {}, Action.EXECUTE),
    ],
)
def test_step__that_is_due__is_taken_at_our_turn(phase: Phase, changes: dict[str, Any], action: Action) -> None:
    """beh:E7"""
    item = dispute(phase, seats=(), turn=4, **changes)
    assert actions(item, time=NOW + 3) == []
    assert actions(item, time=NOW + 4) == [action]
    assert actions(item, time=NOW + 4, config=QUIET) == []
    assert actions(replace(item, under_way=frozenset({action})), time=NOW + 4) == []


def test_step__in_a_dispute_in_which_we_sit__is_taken_at_once() -> None:
    assert actions(dispute(Phase.DUE, turn=60)) == [Action.QUEUE]


def test_draw__that_is_not_next_or_has_no_seed__waits() -> None:
    assert actions(dispute(Phase.QUEUED, seats=())) == []


@pytest.mark.parametrize("phase", [Phase.NONE, Phase.DUE, Phase.QUEUED, Phase.COMMIT, Phase.OPEN, Phase.REVEAL, Phase.APPEALABLE])
def test_last_call__has_passed__nothing_is_queued_or_drawn_and_the_verdict_is_executed(phase: Phase) -> None:
    """beh:E3 beh:E10 At its second the round still counts, one later it is void."""
    item = dispute(phase, seats=(), next_in_queue=True)
    assert Action.EXECUTE not in actions(item, time=LAST_CALL)
    assert actions(item, time=LAST_CALL + 1) == [Action.EXECUTE]
    assert actions(item, time=LIMIT) == [Action.EXECUTE]
    assert actions(item, time=LIMIT + 1) == [Action.TIMEOUT_MEDIATION]


@pytest.mark.parametrize("status", sorted(FINAL))
def test_deal__ended_without_the_strategys_verdict__is_unwound_once(status: Status) -> None:
    item = dispute(Phase.COMMIT, state=replace(dispute().state, status=status), work=Work(Stage.RUNNING))
    assert set(actions(item)) == {Action.STOP, Action.UNWIND}
    assert actions(replace(item, ended=True)) == [Action.STOP]


def drawn(**changes: Any) -> DrawnDeal:
    usual = {"id": DealId(b"\x03" * 32), "deal": deal(), "lottery": Lottery.DRAWN, "until": NOW + 50, "lacking": 0, "since": NOW}
    return DrawnDeal(**(usual | changes))


def test_audit__of_a_drawn_deal__is_called_for_until_its_last_second() -> None:
    """beh:E7 beh:D23"""
    assert actions(drawn=(drawn(),)) == [Action.AUDIT]
    assert actions(drawn=(drawn(),), time=NOW + 50) == [Action.AUDIT]
    assert actions(drawn=(drawn(),), time=NOW + 51) == []
    assert actions(drawn=(drawn(turn=2),), time=NOW + 1) == []
    assert actions(drawn=(drawn(),), config=QUIET) == []


def test_audit__of_a_fund_that_is_short__only_as_far_as_the_settings_advance() -> None:
    """beh:D23"""
    assert actions(drawn=(drawn(lacking=5),)) == []
    generous = MediatorConfig(pools=(POOL,), audit_advance=5)
    (intent,) = decide(view(drawn=(drawn(lacking=5),)), generous)
    assert (intent.action, intent.amount) == (Action.AUDIT, 5)


def test_pool__what_waits_there() -> None:
    pool = PoolView(POOL, ours_pending=True, withdrawable=7, cancelled=True)  # type: ignore[arg-type]
    assert set(actions(pools=(pool,))) == {Action.APPLY, Action.WITHDRAW, Action.DRAW_CANCELLED}
    assert set(actions(pools=(replace(pool, frozen=True),))) == {Action.WITHDRAW, Action.DRAW_CANCELLED}
    assert set(actions(pools=(pool,), config=QUIET)) == {Action.APPLY, Action.WITHDRAW}
    assert actions(pools=(PoolView(POOL),)) == []


def test_pool__round_was_postponed_and_changes_wait__are_applied_by_whose_turn_it_is() -> None:
    """beh:E7 Seats that have ended keep it waiting until then."""
    pool = PoolView(POOL, postponed=True, since=Timestamp(NOW), turn=Seconds(2), occasion=DealId(b"\x07" * 64))
    assert actions(pools=(pool,), time=NOW + 1) == []
    (intent,) = decide(view(pools=(pool,), time=NOW + 2), CONFIG)
    assert (intent.action, intent.occasion) == (Action.APPLY, pool.occasion)
    assert actions(pools=(replace(pool, frozen=True),), time=NOW + 2) == []
    assert actions(pools=(pool,), time=NOW + 2, config=QUIET) == []


@pytest.mark.parametrize(
    ("seed", "due"),
    [
        (SeedView(66, 100), False),  # type: ignore[arg-type]
        (SeedView(67, 100), True),  # type: ignore[arg-type]
        (SeedView(99, 100, recorded=True), False),  # type: ignore[arg-type]
        (SeedView(0, 100, is_awaited=True), True),  # type: ignore[arg-type]
    ],
)
def test_seed__grows_old_or_is_awaited__is_recorded(seed: SeedView, due: bool) -> None:
    """flt:F16 beh:E7"""
    assert actions(seeds={9: seed}) == ([Action.RECORD] if due else [])


# ---- appeals


def appealable(**changes: Any) -> Any:
    usual = {"seats": (), "work": known(DIGEST), "opened": OTHER, "standing": Finding.CONFIRMED}
    return dispute(Phase.APPEALABLE, **(usual | changes))


FEE = 7 * TOKEN * 5 // 4
RICH = {POOL.token: Money(FEE, FEE, 0)}  # type: ignore[arg-type]


def test_appeal__by_default__never() -> None:
    assert actions(appealable(), money=RICH) == []


@pytest.mark.parametrize(
    ("changes", "against"),
    [
        ({"standing": Finding.CONFIRMED, "opened": OTHER}, True),
        ({"standing": Finding.CONFIRMED, "opened": DIGEST}, False),
        ({"standing": Finding.OTHER_DIGEST, "opened": DIGEST}, True),
        ({"standing": Finding.OTHER_DIGEST, "opened": OTHER}, False),
        ({"standing": Finding.UNSERVED, "opened": DIGEST, "data": Data(Check.SERVED)}, True),
        ({"standing": Finding.UNSERVED, "opened": DIGEST}, False),
        ({"standing": Finding.NOT_OPENED, "opened": bytes(32)}, False),
        ({"standing": Finding.DIVIDED, "opened": DIGEST}, False),
        ({"standing": Finding.CONFIRMED, "delivery": True}, False),
        ({"standing": Finding.CONFIRMED, "work": Work()}, False),
    ],
)
def test_contradicts__own_run_against_the_finding(changes: dict[str, Any], against: bool) -> None:
    """beh:D18 An appeal only against what one's own run shows to be wrong."""
    assert contradicts(appealable(**changes)) is against


def test_appeal__by_the_rule__approves_exactly_the_fee_and_then_pays_it() -> None:
    poor_allowance = {POOL.token: Money(FEE, FEE - 1, 0)}  # type: ignore[arg-type]
    (approval,) = decide(view(appealable(), money=poor_allowance), OWN)
    assert (approval.action, approval.amount) == (Action.APPROVE, FEE)
    (intent,) = decide(view(appealable(), money=RICH), OWN)
    assert (intent.action, intent.amount, intent.deadline) == (Action.APPEAL, FEE, NOW + 40)


def test_appeal__beyond_budget_wallet_or_window__is_not_made() -> None:
    """beh:D19"""
    spent = {POOL.token: Money(FEE, FEE, 2 * TOKEN)}  # type: ignore[arg-type]
    poor = {POOL.token: Money(FEE - 1, FEE, 0)}  # type: ignore[arg-type]
    assert actions(appealable(), config=OWN, money=spent) == []
    assert actions(appealable(), config=OWN, money=poor) == []
    assert actions(appealable(), config=OWN, money=RICH, time=NOW + 41) == []
    assert actions(appealable(round=3), config=OWN, money=RICH) == []  # the last size


def test_appeal__by_the_users_word__needs_no_rule_and_no_budget() -> None:
    assert actions(appealable(appeal_asked=True, work=Work()), money=RICH) == [Action.APPEAL]


def test_appeal_rule__own__begins_the_run_while_others_reveal() -> None:
    watched = dispute(Phase.REVEAL, seats=(), opened=DIGEST)
    assert actions(watched, config=OWN) == [Action.FETCH]
    assert actions(watched) == []


# ---- total


@st.composite
def any_dispute(draw: st.DrawFn) -> Any:
    seats = draw(st.lists(st.builds(SeatView, st.integers(0, 2), st.sampled_from(SeatState), st.sampled_from([None, True, False])), max_size=3))
    work = st.builds(Work, st.sampled_from(Stage), st.sampled_from([None, DIGEST, CANNOT_RUN]))
    return dispute(
        draw(st.sampled_from(Phase)), round=draw(st.integers(0, 7)), delivery=draw(st.booleans()), seats=tuple(seats),
        deadline=draw(st.integers(NOW - 50, NOW + 200)), opened=draw(st.sampled_from([bytes(32), DIGEST, OTHER])),
        standing=draw(st.sampled_from(Finding)), vote=draw(st.sampled_from([None, DIGEST, UNAVAILABLE])), work=draw(work),
        data=Data(draw(st.sampled_from(Check))), next_in_queue=draw(st.booleans()), ended=draw(st.booleans()),
        state=replace(dispute().state, status=draw(st.sampled_from(Status))), appeal_asked=draw(st.booleans()),
        evidence_due=draw(st.booleans()),
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(any_dispute(), max_size=3), st.integers(NOW - 100, LIMIT + 100), st.sampled_from([CONFIG, OWN, QUIET]))
def test_decide__whatever_is_seen__has_an_answer_in_order_and_votes_only_for_silent_seats(
    disputes: list[Any], time: int, config: MediatorConfig
) -> None:
    numbered = [replace(item, id=DealId(bytes([n + 1]) * 32)) for n, item in enumerate(disputes)]
    found = decide(view(*numbered, time=time, money=RICH), config)
    assert found == sorted(found, key=lambda intent: (intent.deadline, intent.key))
    by_id = {item.id: item for item in numbered}
    for intent in found:
        item = by_id[intent.deal] if intent.deal else None
        if intent.action is Action.COMMIT:
            assert item is not None and item.phase is Phase.COMMIT and item.vote is not None and intent.vote == item.vote
        if intent.action is Action.REVEAL:
            assert item is not None and item.phase is Phase.REVEAL
