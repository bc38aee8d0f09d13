"""What a provider decides about a dispute, from literals: each phase, what it knows, and what it may spend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.decide import decide
from lilypad_agents.agents.provider.view import Action, DealView, DisputeView, Lottery, Stage
from lilypad_agents.protocol.dispute import Phase, SeatState
from lilypad_agents.protocol.lifecycle import DisputeKind, Status, Verdict
from tests.unit.agents.provider.provider_views import (
    AUDIT_END,
    COIN,
    MEDIATION_END,
    deal,
    provider,
    state,
    view,
)

M = Status.IN_MEDIATION
NOW = 1_500
SEAT_FEE = COIN * 5 // 4
PANEL7 = 7 * SEAT_FEE
CONFIG = ProviderConfig(step_after_s=4)
RICH = {"wallet": 100 * COIN, "allowance": 100 * COIN}


def disputed(
    phase: Phase, *, stage: Stage = Stage.DONE, work: Any = None, possible: Any = None, kind: Any = DisputeKind.CHALLENGE, **changes: Any
) -> DealView:
    """A deal of value 1 in mediation, its data pushed again unless told otherwise."""
    delivery = kind is DisputeKind.DELIVERY
    number = 5 if delivery else 1
    dispute = DisputeView(delivery, phase, NOW + 10, changes.pop("round", number), **changes)
    return view(
        M, stage, work={"published": True, "served": True} | (work or {}), dispute=dispute, possible=possible or {},
        deal=deal(seat_fee=SEAT_FEE, seat_floor=COIN // 100, collateral=15 * COIN), state=state(M, kind=kind),
    )  # fmt: skip


def actions(found: DealView, time: int = NOW, config: ProviderConfig = CONFIG) -> list[Action]:
    return [item.action for item in decide(provider(time, found), config)]


# ---- serving and opening


def test_dispute__begins__everything_is_served_again_until_it_is() -> None:
    """beh:D28 A relay may have let go of what a judgement needs."""
    assert actions(disputed(Phase.COMMIT, work={"served": False})) == [Action.SERVE]
    assert actions(disputed(Phase.COMMIT, work={"served": False, "retry_at": NOW + 1})) == []
    assert actions(disputed(Phase.COMMIT)) == []


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.OPEN])
def test_commitment__outside_the_open_phase__stays_sealed(phase: Phase) -> None:
    """beh:D14 inv:T20 Nobody sees an opening that could be copied before the seats have committed."""
    found = actions(disputed(phase, possible=dict.fromkeys(Action, 100)))
    assert Action.OPEN_RESULT not in found and Action.NAME_DATA not in found


def test_commitment__open_phase__is_opened_until_its_deadline_and_once() -> None:
    """beh:D14 beh:E1"""
    (item,) = decide(provider(NOW, disputed(Phase.OPEN)), CONFIG)
    assert (item.action, item.deadline) == (Action.OPEN_RESULT, NOW + 10)
    assert actions(disputed(Phase.OPEN, opened=True)) == []
    assert actions(replace(disputed(Phase.OPEN), under_way=frozenset({Action.OPEN_RESULT}))) == []


def test_delivery_challenge__open_phase__names_the_data_and_keeps_the_commitment_sealed() -> None:
    assert actions(disputed(Phase.OPEN, kind=DisputeKind.DELIVERY)) == [Action.NAME_DATA]


def test_open_phase__our_result_is_another_than_the_posted_one__opens_nothing() -> None:
    """An opening that does not fit would only be refused; the result is made again."""
    assert actions(disputed(Phase.OPEN, work={"commitment": 1, "served": True, "published": True})) == []


def test_open_phase__result_lost_with_the_database__is_made_again_first() -> None:
    found = actions(disputed(Phase.OPEN, stage=Stage.NEW, work={"served": False}))
    assert found == [Action.FETCH]


# ---- own re-run


@pytest.mark.parametrize("seat", list(SeatState))
def test_reveal__a_seat_speaks__own_rerun_begins_only_when_it_speaks_against_us(seat: SeatState) -> None:
    against = seat in (SeatState.UNSERVED, SeatState.OTHER_DIGEST, SeatState.UNAVAILABLE)
    found = actions(disputed(Phase.REVEAL, seats=(SeatState.CONFIRMS, seat, SeatState.COMMITTED)))
    assert found == ([Action.RERUN] if against else [])
    assert actions(disputed(Phase.REVEAL, seats=(seat,), work={"reran": False})) == []


def test_rerun__failed__waits_before_it_is_tried_again() -> None:
    assert actions(disputed(Phase.APPEALABLE, verdict=Verdict.WRONG, work={"retry_at": NOW + 1})) == []
    assert actions(disputed(Phase.APPEALABLE, verdict=Verdict.WRONG, work={"retry_at": NOW})) == [Action.RERUN]


# ---- appeals


def appealable(verdict: Verdict = Verdict.WRONG, work: Any = None, **changes: Any) -> DealView:
    return disputed(Phase.APPEALABLE, verdict=verdict, work={"reran": True} | (work or {}), **RICH | changes)


def test_appeal__own_rerun_says_that_we_are_right__is_paid_until_the_deadline() -> None:
    """beh:D18 beh:E1"""
    (item,) = decide(provider(NOW, appealable()), CONFIG)
    assert (item.action, item.deadline) == (Action.APPEAL, NOW + 10)


@pytest.mark.parametrize("reran", [False, None])
def test_appeal__own_rerun_does_not_say_so__is_not_paid(reran: bool | None) -> None:
    """A cheat that runs its job honestly once more learns that it has lost."""
    assert Action.APPEAL not in actions(appealable(work={"reran": reran}))


@pytest.mark.parametrize("verdict", [Verdict.CORRECT, Verdict.NO_FAULT, Verdict.DELIVERED])
def test_appeal__verdict_that_takes_nothing_from_us__is_not_appealed(verdict: Verdict) -> None:
    """Seven seat fees for a price of one would be a bad trade."""
    assert actions(appealable(verdict)) == []


def test_appeal__data_not_out_yet__waits_for_it() -> None:
    """A larger panel that finds nothing served would find us wrong again."""
    assert actions(appealable(work={"served": False})) == [Action.SERVE]


@pytest.mark.parametrize(
    ("wallet", "allowance", "free", "expected"),
    [
        (0, 0, PANEL7, [Action.APPROVE_APPEAL, Action.FUND_APPEAL]),
        (0, PANEL7, PANEL7, [Action.FUND_APPEAL]),
        (PANEL7, 0, 0, [Action.APPROVE_APPEAL]),
        (PANEL7 - 1, PANEL7, 1, [Action.FUND_APPEAL]),
        (PANEL7 - 1, PANEL7, 0, []),
        (PANEL7, PANEL7, 0, [Action.APPEAL]),
    ],
)
def test_appeal__money__is_fetched_from_the_ledger_and_allowed_to_the_unit(
    wallet: int, allowance: int, free: int, expected: list[Action]
) -> None:
    assert actions(appealable(wallet=wallet, allowance=allowance, free=free)) == expected


@pytest.mark.parametrize(("most", "expected"), [(PANEL7, [Action.APPEAL]), (PANEL7 - 1, []), (0, [])])
def test_appeal__budget__is_the_most_that_one_dispute_may_cost(most: int, expected: list[Action]) -> None:
    """beh:D18 0 switches appeals off."""
    assert actions(appealable(), config=ProviderConfig(appeal_most=most)) == expected
    assert actions(appealable(paid=1), config=ProviderConfig(appeal_most=most)) == []


def test_appeal__largest_round_has_spoken__is_the_end_of_it() -> None:
    assert actions(appealable(round=3)) == []
    assert actions(appealable(round=2), config=ProviderConfig(appeal_most=15 * SEAT_FEE)) == [Action.APPEAL]


def test_appeal__delivery__costs_floors_and_needs_no_rerun() -> None:
    found = disputed(Phase.APPEALABLE, kind=DisputeKind.DELIVERY, verdict=Verdict.NOT_DELIVERED, **RICH)
    assert actions(found, config=ProviderConfig(appeal_most=7 * COIN // 100)) == [Action.APPEAL]
    assert actions(found, config=ProviderConfig(appeal_most=7 * COIN // 100 - 1)) == []


# ---- steps that anyone may take


@pytest.mark.parametrize(
    ("phase", "step"),
    [(Phase.NONE, Action.QUEUE), (Phase.DUE, Action.QUEUE), (Phase.QUEUED, Action.DRAW), (Phase.EXECUTABLE, Action.EXECUTE)],
)
def test_steps__nobody_takes_them__we_do_after_a_while(phase: Phase, step: Action) -> None:
    """beh:E5 beh:E7"""
    assert actions(disputed(phase, possible={step: 3})) == []
    assert actions(disputed(phase, possible={step: 4})) == [step]
    assert actions(disputed(phase)) == []


@pytest.mark.parametrize("verdict", list(Verdict))
def test_execute__verdict_against_us__is_left_to_those_who_win_by_it(verdict: Verdict) -> None:
    against = verdict in (Verdict.WRONG, Verdict.NOT_DELIVERED)
    found = actions(disputed(Phase.EXECUTABLE, verdict=verdict, possible={Action.EXECUTE: 9}))
    assert found == ([] if against else [Action.EXECUTE])


def test_mediation_limit__over__is_claimed_and_nothing_else_is_tried() -> None:
    found = disputed(Phase.OPEN, possible=dict.fromkeys(Action, 100))
    assert actions(found, MEDIATION_END) == [Action.OPEN_RESULT]
    assert actions(found, MEDIATION_END + 1) == [Action.TIMEOUT_MEDIATION]


def test_unknown_strategy__nothing_is_answered() -> None:
    assert actions(replace(disputed(Phase.OPEN), dispute=None)) == []


@pytest.mark.parametrize("lottery", [Lottery.DRAWN, Lottery.LOST])
def test_drawn_deal__nobody_audits__we_do_until_the_last_second(lottery: Lottery) -> None:
    """beh:D21 beh:E7 Without an audit the deal ends without payment."""
    found = view(Status.RESULTS_SUBMITTED, Stage.DONE, work={"published": True}, lottery=lottery, possible={Action.AUDIT: 4})
    assert actions(found, AUDIT_END) == [Action.AUDIT]
    assert actions(replace(found, possible={Action.AUDIT: 3}), AUDIT_END) == []
    assert actions(found, AUDIT_END + 1) == [Action.TIMEOUT_MEDIATION]


# ---- afterwards


def test_deal_ended_by_time__our_appeal_fee__is_taken_back_before_the_job_is_forgotten() -> None:
    """beh:D19 beh:E7"""
    dispute = DisputeView(False, Phase.QUEUED, 0, 2, paid=PANEL7)
    found = view(Status.NO_FAULT, Stage.DONE, dispute=dispute, possible={Action.UNWIND: 4})
    assert actions(found) == [Action.UNWIND]
    assert actions(replace(found, possible={})) == []
    assert actions(replace(found, dispute=replace(dispute, ended=True))) == [Action.RELEASE]
    assert actions(replace(found, dispute=replace(dispute, paid=0))) == [Action.RELEASE]


@given(
    phase=st.sampled_from(Phase),
    round_=st.sampled_from([0, 1, 2, 3, 5, 6, 7]),
    verdict=st.sampled_from([None, *Verdict]),
    seats=st.lists(st.sampled_from(SeatState), max_size=15),
    reran=st.sampled_from([None, False, True]),
    served=st.booleans(),
    opened=st.booleans(),
    paid=st.integers(0, 60 * COIN),
    wallet=st.integers(0, 60 * COIN),
)
def test_decide__any_dispute__has_an_answer_and_never_spends_beyond_its_budget(
    phase: Phase, round_: int, verdict: Any, seats: Any, reran: Any, served: bool, opened: bool, paid: int, wallet: int
) -> None:
    kind = DisputeKind.DELIVERY if round_ & 4 else DisputeKind.AUDIT
    found = disputed(
        phase, kind=kind, round=round_, verdict=verdict, seats=tuple(seats), opened=opened, paid=paid, wallet=wallet,
        allowance=wallet, work={"reran": reran, "served": served},
    )  # fmt: skip
    made = actions(found)
    spending = {Action.APPEAL, Action.FUND_APPEAL, Action.APPROVE_APPEAL}.intersection(made)
    if spending:
        assert phase is Phase.APPEALABLE and served and (reran or round_ & 4)
        assert paid < CONFIG.appeal_most
    assert len(made) == len(set(made))
