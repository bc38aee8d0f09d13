"""Delivery challenges: a panel that only fetches; the commitment stays sealed."""

from __future__ import annotations

import pytest

from lilypad_agents.protocol.ids import ZERO, keccak256
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.mediation import VOTE_MODULE_BROKEN, Finding, Phase, vote_commitment
from lilypad_agents.protocol.price import keeper_bounty, locked_total, penalty, premium_of
from tests.support.evm import expect_revert
from tests.support.panels import (
    CANNOT_RUN,
    DATA_ID,
    NEVER,
    RIGHT,
    SECRET,
    SERVED,
    UNAVAILABLE,
    WRONG,
    Case,
    Court,
)
from tests.support.world import COIN

S = 1_000 * COIN


def test_delivery__the_provider_names_its_data_first__by_itself(court: Court) -> None:
    case = court.delivery_challenged().seat()
    assert case.now()[:2] == (Phase.OPEN, court.evm.timestamp + court.pool.reveal_window)
    with expect_revert("PhaseWrong", found=Phase.OPEN, needed=Phase.COMMIT):
        case.commit(0, SERVED)
    with expect_revert("ProviderOnly"):
        case.name_data(sender=court.world.keeper)
    with expect_revert("DataIdZero"):
        court.mediation.nameData(case.deal_id, case.seating.argument, ZERO, sender=court.world.provider)
    with expect_revert("NotInDispute"):
        case.open()
    event = case.name_data().event("DataNamed")
    assert (event["dataId"], event["deadline"]) == (DATA_ID, court.evm.timestamp + court.pool.reveal_window)
    assert case.phase == Phase.COMMIT


@pytest.mark.parametrize("choices, finding, status", [
    ((SERVED, SERVED, UNAVAILABLE), Finding.CONFIRMED, Status.RESULTS_SUBMITTED),
    ((SERVED, UNAVAILABLE, UNAVAILABLE), Finding.UNSERVED, Status.TIMED_OUT),
    ((SERVED, UNAVAILABLE, CANNOT_RUN), Finding.ABSENT, Status.RESULTS_SUBMITTED),
    ((SERVED, SECRET, SECRET), Finding.ABSENT, Status.RESULTS_SUBMITTED),
    ((NEVER, NEVER, NEVER), Finding.ABSENT, Status.RESULTS_SUBMITTED),
])  # fmt: skip
def test_delivery__what_the_panel_says(
    court: Court, choices: tuple[str, ...], finding: Finding, status: Status
) -> None:
    """beh:C10 inv:T23: data or money. A panel that says nothing costs the provider nothing: a fresh judge window begins."""
    case = court.delivery_challenged().seat().vote(*choices)
    assert case.now()[2] == finding
    case.execute()
    state = court.world.state(case.deal)
    assert state.status == status and court.credit() == 0
    if status == Status.RESULTS_SUBMITTED:
        assert state.deadline == court.evm.timestamp + case.deal.judge_window


def test_delivery__votes_about_results_are_no_votes_here(court: Court) -> None:
    case = court.delivery_challenged().seat()
    case.name_data()
    for seat, vote in enumerate((case.digest, VOTE_MODULE_BROKEN, keccak256(b"x"))):
        salt = case.salt(seat)
        committed = vote_commitment(case.deal_id, 5, case.seating.accounts[seat], vote, salt)
        court.mediation.commit(case.deal_id, case.seating.argument, seat, committed, sender=case.mediator(seat))
    for seat, vote in enumerate((case.digest, VOTE_MODULE_BROKEN, keccak256(b"x"))):
        with expect_revert("VoteUnknown"):
            court.mediation.reveal(
                case.deal_id, case.seating.argument, seat, vote, case.salt(seat), True, sender=case.mediator(seat)
            )


def test_delivery__data_not_named__is_not_delivered__and_no_seat_is_to_blame(court: Court) -> None:
    """beh:C10 inv:I39: nobody was asked to fetch anything; the creator gets its fee back but what the keepers earned and more."""
    w = court.world
    case = court.delivery_challenged().seat()
    case.vote(NEVER, NEVER, NEVER, opens=False)
    assert case.now()[2] == Finding.NOT_OPENED and case.phase == Phase.APPEALABLE
    before, keeper = w.free(w.creator), w.free(w.keeper)
    _, division = case.execute()
    deal, floor = case.deal, case.deal.seat_floor
    assert case.status == Status.TIMED_OUT and division.lost == 0
    assert division.claim == 3 * (floor // 50), "what the keepers cost; the rest of the fee was not used"
    bounty = keeper_bounty(deal)
    assert w.free(w.creator) - before == locked_total(deal, 100) + penalty(deal) - bounty + 3 * floor
    assert w.free(w.keeper) - keeper == bounty + 2 * (3 * (floor // 50)) // 3


def test_delivery__confirmed__has_cost_the_creator_three_floors(court: Court) -> None:
    w = court.world
    before = w.free(w.creator)
    case = court.submitted()
    opened = w.free(w.creator)
    case.challenge_delivery()
    case.seat().vote(SERVED, SERVED, SERVED)
    case.execute()
    assert opened - w.free(w.creator) == 3 * case.deal.seat_floor
    assert before > opened


@pytest.mark.parametrize("then", ["challenge", "audit"])
def test_delivery__confirmed__then_the_result_is_disputed(court: Court, then: str) -> None:
    """The second dispute of a deal has rounds, votes and money of its own."""
    case = court.delivery_challenged().seat().vote(SERVED, SERVED, NEVER)
    case.execute()
    case.seatings.clear()
    if then == "audit":
        court.world.set_seed(case.deal, drawn=True)
    case.beginner = court.world.challenger
    court.world.resolver.method(then)(case.deal.words, *([0] if then == "audit" else []), sender=case.beginner)
    case.seat().vote(*([WRONG] * 3 if then == "challenge" else [RIGHT]))
    case.execute()
    assert case.status == (Status.MEDIATION_REJECTED if then == "challenge" else Status.MEDIATION_ACCEPTED)
    assert court.credit() == 0
    with expect_revert("NothingToUnwind"):
        court.mediation.unwind(case.deal.words, court.pool, [])


@pytest.mark.parametrize("audited", [False, True])
def test_delivery__confirmed__then_nobody_brings_the_second_dispute_here(court: Court, audited: bool) -> None:
    """beh:A4 inv:I34: what the first dispute left behind neither hides nor doubles the fees of the second."""
    case = court.delivery_challenged().seat().vote(SERVED, SERVED, SERVED)
    case.execute()
    case.seatings.clear()
    court.world.set_seed(case.deal, drawn=True)
    if audited:
        court.world.resolver.audit(case.deal.words, 0, sender=court.world.keeper)
        case.beginner = court.world.keeper
        case.pass_mediation()
    else:
        court.world.pass_to(court.world.state(case.deal).deadline + 601)
    court.world.resolver.timeoutMediation(case.deal.words, sender=court.world.keeper)
    if audited:
        assert court.credit() == 4 * case.deal.seat_fee and case.kind == DisputeKind.AUDIT
        case.unwind()
        assert court.credit() == 0
    with expect_revert("NothingToUnwind"):
        court.mediation.unwind(case.deal.words, court.pool, [])


def test_delivery__that_timed_out__is_unwound(court: Court) -> None:
    case: Case = court.delivery_challenged().seat()
    case.name_data()
    case.commit_all(SERVED, SERVED, SERVED)
    case.pass_mediation()
    court.world.resolver.timeoutMediation(case.deal.words, sender=court.world.keeper)
    before = court.world.free(court.world.creator)
    _, division = case.unwind()
    quarter = S // 4
    assert division.lost == 3 * quarter, "committed, never revealed"
    assert premium_of(case.deal) and court.credit() == 0
    floor, keepers = case.deal.seat_floor, case.deal.seat_floor // 50
    assert court.world.free(court.world.creator) - before == 3 * floor - 3 * keepers
