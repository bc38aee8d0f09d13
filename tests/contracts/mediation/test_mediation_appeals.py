"""Appeals: who may pay for the next size until when, what it decides, and who gets which fees back."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from lilypad_agents.protocol.lifecycle import DisputeKind, Status, Verdict
from lilypad_agents.protocol.mediation import Finding, Phase, claim_most
from lilypad_agents.protocol.price import premium_of
from tests.support.evm import expect_revert
from tests.support.panels import BROKEN, LAST_CALL, NEVER, RIGHT, UNAVAILABLE, UNSERVED, WRONG, Case, Court, build_court
from tests.support.world import COIN, World

S = 1_000 * COIN


def _found(court: Court, *choices: str) -> Case:
    return court.challenged().seat().vote(*choices)


def _received(case: Case, account: object) -> int:
    return case.world.free(account)


def test_appeal__before_a_finding__after_the_window__without_money__is_refused(court: Court) -> None:
    """beh:D18 beh:E4"""
    payer = court.rich("payer")
    case = court.challenged().seat()
    with expect_revert("PhaseWrong", found=Phase.COMMIT, needed=Phase.APPEALABLE):
        case.appeal(payer)
    case.vote(RIGHT, RIGHT, RIGHT)
    with expect_revert("ERC20InsufficientAllowance", needed=7 * case.deal.seat_fee):
        case.appeal(court.evm.account("beggar"))
    _, deadline, _ = case.now()
    court.world.pass_to(deadline + 1)
    with expect_revert("PhaseWrong", found=Phase.EXECUTABLE, needed=Phase.APPEALABLE):
        case.appeal(payer)


def test_appeal__in_the_last_second__by_anyone__once(court: Court) -> None:
    """beh:D6 beh:D18 beh:E10 inv:T35: one payer for a round, and the round has all its windows."""
    payer, late = court.rich("payer"), court.rich("late")
    case = _found(court, RIGHT, RIGHT, RIGHT)
    _, deadline, _ = case.now()
    court.world.pass_to(deadline)
    event = case.appeal(payer).event("Appealed")
    assert (event["appellant"], event["round"], event["fee"]) == (payer.address, 2, 7 * case.deal.seat_fee)
    assert court.world.token.balanceOf(payer) == 10_000 * COIN - event["fee"]
    assert court.world.token.balanceOf(court.mediation) == court.world.token.allowance(court.mediation, court.world.core) == 0
    with expect_revert("PhaseWrong", found=Phase.QUEUED, needed=Phase.APPEALABLE):
        case.appeal(late)
    court.next_seed()
    case.draw()
    assert case.now()[:2] == (Phase.COMMIT, court.evm.timestamp + court.pool.commit_window)
    assert len(case.seating.accounts) == 7


def test_appeals__go_up_to_fifteen_seats(court: Court) -> None:
    """inv:I35 beh:D18: 1, 3, 7, 15; the last round alone decides."""
    payer = court.rich("payer")
    case = court.audited().seat().vote(RIGHT)
    for seats, choice in ((3, WRONG), (7, RIGHT), (15, WRONG)):
        case.appeal(payer)
        case.seat().vote(*[choice] * seats)
        assert len(case.word.seats) == seats
    with expect_revert("RoundIsLast", round=3):
        case.appeal(payer)
    receipt, _ = case.execute()
    assert receipt.event("DisputeExecuted")["finding"] == Finding.OTHER_DIGEST
    assert case.status == Status.MEDIATION_REJECTED and court.credit() == 0


def test_appeal__that_brings_the_verdict__is_paid_by_whom_it_overturned(court: Court) -> None:
    """beh:D16: three seats that were wrong lose their stakes, and the appellant has all its fees back."""
    provider_friend = court.rich("friend")
    case = _found(court, WRONG, WRONG, WRONG)
    case.appeal(provider_friend)
    case.seat().vote(*[RIGHT] * 7)
    _, division = case.execute()
    assert case.status == Status.MEDIATION_ACCEPTED
    assert _received(case, provider_friend) == 7 * case.deal.seat_fee
    assert division.lost == 3 * S and division.claim == 0


def test_appeal__that_only_repeats_the_verdict__has_paid_its_panel(court: Court) -> None:
    payer = court.rich("payer")
    case = _found(court, RIGHT, RIGHT, RIGHT)
    case.appeal(payer)
    case.seat().vote(*[RIGHT] * 7)
    case.execute()
    assert _received(case, payer) == 0


def test_appeal__that_brings_wrong__is_repaid_before_the_challenger_and_by_the_collateral_last(court: Court) -> None:
    """The order of 6.2: the pot of whoever voted for the provider pays the appellant, then the challenger; no claim."""
    payer = court.rich("payer")
    case = _found(court, RIGHT, RIGHT, RIGHT)
    case.appeal(payer)
    case.seat().vote(*[WRONG] * 7)
    before = _received(case, court.world.challenger)
    _, division = case.execute()
    assert _received(case, payer) == 7 * case.deal.seat_fee
    assert _received(case, court.world.challenger) - before == 3 * case.deal.seat_fee + case.deal.collateral // 20
    assert division.claim == 0 and division.lost == 3 * S


def test_claim__is_bounded_by_what_the_core_allows(court: Court) -> None:
    """inv:I44: two appeals that brought it on unserved data, and no stakes to pay them: the claim stops at the bound, to the unit.

    What is left of the collateral after creator and premium is less than ten fees and the challenger's three.
    """
    payers = [court.rich("one"), court.rich("two")]
    case = _found(court, UNSERVED, RIGHT, RIGHT)
    case.appeal(payers[0])
    case.seat().vote(*[UNAVAILABLE] * 7)
    case.appeal(payers[1])
    case.seat().vote(*[BROKEN] * 15)
    case.execute()
    assert case.status == Status.NO_FAULT
    case = _found(court, BROKEN, BROKEN, BROKEN)
    case.appeal(payers[0])
    case.seat().vote(*[UNAVAILABLE] * 7)
    _, division = case.execute()
    deal = case.deal
    most = deal.collateral - deal.value - premium_of(deal)
    keepers = deal.seat_fee // 50
    missing = 10 * deal.seat_fee - 3 * (deal.seat_fee - keepers)
    assert division.claim == min(most, missing)
    assert case.status == Status.MEDIATION_REJECTED and court.credit() == 0


@pytest.mark.parametrize("kind, verdict", [
    (DisputeKind.CHALLENGE, Verdict.WRONG), (DisputeKind.AUDIT_EXPIRED, Verdict.WRONG),
    (DisputeKind.DELIVERY, Verdict.NOT_DELIVERED),
])  # fmt: skip
def test_claim__bound_of_the_twin_is_the_bound_of_the_core(world: World, kind: DisputeKind, verdict: Verdict) -> None:
    """inv:I44: the core takes what `claim_most` says, and refuses one unit more."""
    deal, _ = world.open(resource={"price": COIN + 7})
    world.submit(deal)
    if kind == DisputeKind.AUDIT_EXPIRED:
        world.lose_seed(deal)
        world.resolver.audit(deal.words, 0)
    else:
        call = "challenge" if kind == DisputeKind.CHALLENGE else "challengeDelivery"
        world.resolver.method(call)(deal.words, sender=world.creator)
    most = claim_most(deal, kind)
    with expect_revert("ClaimTooHigh", claim=most + 1, most=most):
        world.resolve(deal, verdict, claim=most + 1)
    world.resolve(deal, verdict, claim=most)


def test_appeal__void_at_the_last_call__leaves_the_verdict_before_it_and_returns_its_fee(court: Court) -> None:
    """inv:T58 beh:D19: stalling a dispute into no fault does not work; the appellant has lost what its draw cost."""
    w = court.world
    payer = court.rich("payer")
    case = court.challenged()
    w.pass_to(w.state(case.deal).deadline - LAST_CALL - 60)
    case.seat().vote(WRONG, WRONG, WRONG)
    w.pass_to(min(case.now()[1], w.state(case.deal).deadline - LAST_CALL))
    case.appeal(payer)
    court.next_seed()
    case.draw()
    case.pass_last_call()
    case.execute()
    fee, keepers = case.deal.seat_fee, case.deal.seat_fee // 50
    assert case.status == Status.MEDIATION_REJECTED
    assert _received(case, payer) == 7 * fee - 7 * keepers // 3
    assert court.credit() == 0


@pytest.mark.parametrize("stage", ["queued", "drawn", "silent", "redrawn"])
def test_appeal__whatever_it_waits_for_at_the_last_call__what_stood_stands(court: Court, stage: str) -> None:
    """inv:T58: also when its seats are silent and nobody asks for others."""
    payer = court.rich("payer")
    case = _found(court, WRONG, WRONG, WRONG)
    case.appeal(payer)
    if stage != "queued":
        court.next_seed()
        case.draw()
    if stage in ("silent", "redrawn"):
        case.commit_all(*[WRONG] * 3 + [NEVER] * 4)
        assert case.phase == Phase.DUE
    if stage == "redrawn":
        case.queue()
    case.pass_last_call()
    _, division = case.execute()
    assert case.status == Status.MEDIATION_REJECTED and court.credit() == 0
    absent = {"queued": 0, "drawn": 7, "silent": 4, "redrawn": 4}[stage]  # the commit window is over by then
    assert division.lost == absent * (S // 4)
    assert all(court.staking.stakeOf(court.pool.id, person)[3] == 0 for person in court.mediators)


def test_appeal__that_the_pool_cannot_seat__is_refused() -> None:
    """inv:T58 beh:D18: the verdict stands, and nobody's money moved."""
    court = build_court(mediators=2, seats_each=3)
    payer = court.rich("payer")
    case = _found(court, WRONG, WRONG, WRONG)
    with expect_revert("SeatsUnavailable", seats=7, capacity=6):
        case.appeal(payer)
    assert court.world.token.balanceOf(payer) == 10_000 * COIN and case.phase == Phase.APPEALABLE
    case.execute()
    assert case.status == Status.MEDIATION_REJECTED


@pytest.mark.parametrize("order", list(permutations((RIGHT, WRONG, BROKEN)))[:6])
def test_appeals__in_every_order_of_findings__repay_exactly_those_who_turned_it(court: Court, order: tuple[str, ...]) -> None:
    """inv:T35 beh:D19: three rounds, two appellants; an appellant gets back its fees at most once."""
    payers = [court.rich("first"), court.rich("second")]
    case = _found(court, *[order[0]] * 3)
    for payer, choice, seats in zip(payers, order[1:], (7, 15), strict=True):
        case.appeal(payer)
        case.seat().vote(*[choice] * seats)
    case.execute()
    first, second = (_received(case, payer) for payer in payers)
    fee, keepers = case.deal.seat_fee, case.deal.seat_fee // 50
    if order[2] == BROKEN:  # no fault: each round has paid its own seats, and nobody lost anything
        assert (first, second) == (0, 0)
    else:
        pot = 10 * (fee - keepers) + S * (7 if order[1] != BROKEN else 0) + S * (3 if order[0] != BROKEN else 0)
        assert first == 0 and second == min(15 * fee, pot + 10**30 * (order[2] == WRONG))
    assert court.credit() == 0


def test_appeal__in_a_delivery_challenge_costs_the_floor(court: Court) -> None:
    payer = court.rich("payer")
    case = court.delivery_challenged().seat().vote(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
    fee = case.appeal(payer).event("Appealed")["fee"]
    assert fee == 7 * case.deal.seat_floor
    case.seat().vote(*["served"] * 7)
    case.execute()
    assert case.status == Status.RESULTS_SUBMITTED
    assert _received(case, payer) == 3 * (case.deal.seat_floor - case.deal.seat_floor // 50), "as far as the pot reaches"


def test_silent_seat_of_an_earlier_confirmed_round__is_released_and_loses_a_quarter(court: Court) -> None:
    """The finding of an earlier round stands where a phase would be: Confirmed must not read as Queued."""
    payer = court.rich("payer")
    case = court.challenged().seat().vote(RIGHT, RIGHT, NEVER)
    assert case.now()[2] == Finding.CONFIRMED
    case.appeal(payer)
    case.seat().vote(*[RIGHT] * 7)
    _, division = case.execute()
    assert len(division.losses) == 10 and division.losses[2][1] == S // 4
    assert all(court.staking.stakeOf(court.pool.id, person)[3] == 0 for person in court.mediators)


def test_appeal__that_brings_more_than_the_collateral_can_bear__is_paid_as_far_as_it_reaches(court: Court) -> None:
    """beh:D16 inv:I8: with the collateral at its least the strategy may claim four seat fees, to the unit, and asks for no more."""
    payer = court.rich("payer")
    job = {"audit_bps": 10_000, "collateral_bps": 73_750}
    case = court.challenged(job=job, resource={"price": 9 * COIN // 10, "unit_price": COIN // 100}).seat()
    deal = case.deal
    assert deal.collateral == deal.value + premium_of(deal) + 4 * deal.seat_fee
    case.vote(RIGHT, RIGHT, RIGHT)
    case.appeal(payer)
    case.seat().vote(*[UNSERVED] * 7)
    _, division = case.execute()
    assert case.status == Status.MEDIATION_REJECTED
    assert division.claim == 4 * deal.seat_fee < 10 * deal.seat_fee
    assert court.world.locked(court.world.provider) == 0 and court.credit() == 0


def test_claim__after_an_audit_that_the_collateral_has_paid__leaves_four_fees_less(court: Court) -> None:
    """inv:I44 inv:T51: the provider that let a seed get lost has paid the audit out of the same collateral: one part is left."""
    job = {"audit_bps": 10_000, "collateral_bps": 74_000}
    case = court.audited(lost_seed=True, job=job, resource={"price": 9 * COIN // 10}).seat().vote(RIGHT)
    deal, fee, keepers = case.deal, case.deal.seat_fee, case.deal.seat_fee // 50
    assert deal.collateral == deal.value + premium_of(deal) + 4 * fee + keepers
    case.appeal(court.rich("first"))
    case.seat().vote(RIGHT, RIGHT, RIGHT)
    payer = court.rich("payer")
    case.appeal(payer)
    case.seat().vote(*[UNAVAILABLE] * 7)
    _, division = case.execute()
    assert (case.status, division.claim) == (Status.MEDIATION_REJECTED, keepers)
    assert _received(case, payer) == 7 * fee - 4 * keepers + keepers, "of four seats and three unused fees, and the claim"
    assert court.world.locked(court.world.provider) == 0


def test_claim__beside_a_premium_that_does_not_come_out_even__leaves_the_rounded_unit(court: Court) -> None:
    """inv:I44: of the premium one part in 100,000 of a unit is left over; it is rounded up, or the core would refuse the claim."""
    job = {"audit_bps": 9_999, "collateral_bps": 112_000}
    module = replace(court.world.module, min_seat_fee=2 * COIN + pow(9_999 * 11, -1, 100_000))
    case = court.challenged(job=job, resource={"price": 9 * COIN // 10}, module=module).seat().vote(RIGHT, RIGHT, RIGHT)
    deal = case.deal
    assert deal.seat_fee * deal.audit_bps * 11 % 100_000 == 1
    case.appeal(court.rich("payer"))
    case.seat().vote(*[UNSERVED] * 7)
    _, division = case.execute()
    assert case.status == Status.MEDIATION_REJECTED
    assert division.claim == deal.collateral - deal.value - (deal.seat_fee * deal.audit_bps * 11 // 100_000 + 1)


def test_appeal__in_which_the_provider_opens_after_all__pays_those_who_had_found_its_digest_before(court: Court) -> None:
    """beh:D8 beh:D16: nobody could tell them that their digest was the provider's; they lose nothing by it."""
    payer = court.rich("payer")
    case = court.challenged().seat().vote(RIGHT, RIGHT, WRONG, opens=False)
    assert case.now()[2] == Finding.NOT_OPENED
    early = case.seating.accounts
    case.appeal(payer)
    case.seat().vote(*[RIGHT] * 7)
    fee = case.deal.seat_fee - case.deal.seat_fee // 50
    before = {account.address: case.world.free(account) for account in court.mediators}
    _, division = case.execute()
    assert case.status == Status.MEDIATION_ACCEPTED
    assert division.lost == S and [loss for _, loss in division.losses].count(S) == 1  # of the seat that was wrong
    seats = [*(early[0], early[1]), *case.seating.accounts]
    for account in court.mediators:
        assert case.world.free(account) - before[account.address] == seats.count(account.address) * fee
