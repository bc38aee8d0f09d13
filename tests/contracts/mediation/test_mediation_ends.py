"""How disputes that were not finished end, and what an ended one leaves behind in the contract."""

from __future__ import annotations

import pytest

from lilypad_agents.protocol.ids import ZERO, keccak256
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.mediation import Finding, Phase, SeatState
from tests.support.evm import Receipt
from tests.support.panels import (
    BROKEN,
    LAST_CALL,
    NEVER,
    RIGHT,
    UNAVAILABLE,
    WRONG,
    WRONG2,
    Case,
    Court,
)
from tests.support.world import COIN

S = 1_000 * COIN


def _left_the_queue(receipt: Receipt) -> list[int]:
    return [event["ticket"] for event in receipt.events("RoundCancelled")]


def _last_call(case: Case) -> int:
    return case.world.state(case.deal).deadline - LAST_CALL


def test_execute__of_a_first_round_that_nobody_drew__returns_the_fees_and_leaves_the_queue(court: Court) -> None:
    """beh:E3 beh:A4: the pool must not seat a round of a dispute that is over, and seats the one in front of it."""
    court.challenged().queue()
    case = court.challenged()
    case.queue()
    case.pass_last_call()
    before = court.world.free(court.world.challenger)
    receipt, division = case.execute()
    assert case.status == Status.NO_FAULT
    assert court.world.free(court.world.challenger) - before == 3 * case.deal.seat_fee
    assert division.payments == ((court.world.challenger.address, 3 * case.deal.seat_fee),)
    assert _left_the_queue(receipt) == [1]


def test_execute__of_a_delivery_challenge_that_nobody_brought__leaves_the_result_open_to_dispute(court: Court) -> None:
    """beh:E3: the second dispute is not taken for the first one, which has no rounds; a round of another deal still waits."""
    court.challenged().queue()
    case = court.delivery_challenged()
    case.pass_last_call()
    receipt, _ = case.execute()
    assert _left_the_queue(receipt) == []
    assert (case.status, case.word.phase, case.word.number) == (Status.RESULTS_SUBMITTED, Phase.EXECUTED, 5)
    case.beginner = court.world.challenger
    court.world.resolver.challenge(case.deal.words, sender=case.beginner)
    case.queue()
    assert (case.word.phase, case.word.number) == (Phase.QUEUED, 1)


def test_execute__of_an_appeal_that_waits_for_other_seats__leaves_nothing_behind(court: Court) -> None:
    """inv:T58: ticket, replaced seats and votes are forgotten; only that round 2 was the last one is kept."""
    case = court.challenged().seat().vote(WRONG, WRONG, WRONG)
    case.appeal(court.rich("payer"))
    court.next_seed()
    case.draw()
    case.commit_all(*[WRONG] * 3 + [NEVER] * 4)
    case.queue()
    _, replaced, ticket = court.mediation.disputeStateOf(case.deal_id)
    assert (replaced >> 160, ticket) == (4 * (S // 4), 2)
    case.pass_last_call()
    receipt, _ = case.execute()
    assert _left_the_queue(receipt) == [ticket]
    word = case.word
    assert (word.phase, word.number, word.deadline, word.facts, word.redrawn) == (Phase.EXECUTED, 2, 0, 0, False)
    assert court.mediation.disputeStateOf(case.deal_id)[1:] == (0, 0)


def test_execute__forgets_the_digests_that_it_judged(court: Court) -> None:
    """In every round: the contract keeps a digest as long as it may have to be compared."""
    case = court.challenged().seat().vote(WRONG, RIGHT, WRONG2)
    first, second = keccak256(WRONG.encode()), keccak256(WRONG2.encode())
    case.appeal(court.rich("payer"))
    case.seat().vote(*[RIGHT] * 6, WRONG)
    assert [case.votes(1)[seat] for seat in range(3)] == [first, ZERO, second]
    assert [case.votes(2)[seat] for seat in range(7)] == [ZERO] * 6 + [first]
    case.execute()
    assert {*case.votes(1).values(), *case.votes(2).values()} == {ZERO}


@pytest.mark.parametrize("opens", [False, True])
def test_execute__while_the_provider_or_the_seats_are_still_asked__punishes_who_missed_its_commit(court: Court, opens: bool) -> None:
    """beh:D9 beh:E4: the commit window was over before the last call voided the round; who committed still had time."""
    case = court.challenged().seat()
    case.commit_all(RIGHT, NEVER, NEVER)
    court.world.pass_to(_last_call(case) - 7)
    case.seat()
    case.commit_all(RIGHT, NEVER, NEVER)
    if opens:
        case.open()
    assert case.phase == (Phase.REVEAL if opens else Phase.OPEN) and court.evm.timestamp > _last_call(case)
    assert case.word.seats == (SeatState.COMMITTED, SeatState.SILENT, SeatState.SILENT)
    _, division = case.execute()
    assert case.status == Status.NO_FAULT
    assert [loss for _, loss in division.losses] == [0, S // 4, S // 4]


# ---- audits whose first seat was appealed: whose the fees are that the audit did not need


def _appealed_audit(court: Court, choice: str) -> tuple[Case, int, int, int]:
    """A lone seat confirms, an appellant pays three others who say `choice`. Answers a seat's fee, the keepers' part of it, and
    what the appellant has left in the ledger."""
    payer = court.rich("payer")
    case = court.audited(resource={"price": COIN + 7}).seat().vote(RIGHT)
    case.appeal(payer)
    case.seat().vote(choice, choice, choice)
    fee = case.deal.seat_fee
    return case, fee, fee * 200 // 10_000, court.world.free(payer)


def test_audit__appealed_and_found_unserved__repays_the_appellant_out_of_what_the_audit_did_not_need(court: Court) -> None:
    """beh:D16 beh:D19: three fees of four; nobody lost a stake, and the collateral is not asked."""
    case, fee, keepers, before = _appealed_audit(court, UNAVAILABLE)
    receipt, division = case.execute()
    assert receipt.event("DisputeExecuted")["finding"] == Finding.UNSERVED
    assert court.world.free(court.evm.account("payer")) - before == 3 * fee
    assert (division.to_fund, division.lost, division.claim) == (fee - keepers, 0, 0)


def test_audit__appealed_into_no_fault__returns_what_it_did_not_need_to_the_fund_alone(court: Court) -> None:
    """beh:D8 beh:D19: the appellant has paid its panel; the fund's fees are not for whoever brought no fault."""
    case, fee, _, before = _appealed_audit(court, BROKEN)
    _, division = case.execute()
    assert case.status == Status.NO_FAULT
    assert court.world.free(court.evm.account("payer")) == before
    assert (division.to_fund, division.lost, division.claim) == (3 * fee, 0, 0)


def test_audit__in_whose_appeal_the_provider_opens_after_all__pays_the_lone_seat_that_had_its_digest(court: Court) -> None:
    """beh:D8 beh:D16: nobody could tell the lone seat that its digest was the provider's; it agrees with what stands."""
    case = court.audited().seat().vote(RIGHT, opens=False)
    (alone,) = case.seating.accounts
    case.appeal(court.rich("payer"))
    case.seat().vote(RIGHT, RIGHT, RIGHT)
    _, division = case.execute()
    fee = case.deal.seat_fee - case.deal.seat_fee // 50
    assert (case.status, division.lost) == (Status.MEDIATION_ACCEPTED, 0)
    assert division.payments[:4] == tuple((account, fee) for account in (alone, *case.seating.accounts))
