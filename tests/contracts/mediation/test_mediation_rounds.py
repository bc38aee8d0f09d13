"""How rounds run: who may do what in which phase, until which second, and what goes on without anybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lilypad_agents.protocol.ids import NOBODY, ZERO, keccak256
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.mediation import Finding, Phase, SeatState, vote_commitment
from tests.support.evm import expect_revert
from tests.support.panels import (
    BROKEN,
    CANNOT_RUN,
    DATA_ID,
    LAST_CALL,
    NEVER,
    NO_SEATING,
    RIGHT,
    SECRET,
    UNAVAILABLE,
    UNBONDING,
    UNSERVED,
    WRONG,
    WRONG2,
    Case,
    Court,
)

SOME = keccak256(b"some")


def _drawn(court: Court) -> Case:
    return court.challenged().seat()


def _revealing(court: Court, *choices: str) -> Case:
    """A round whose seats committed; those that never do are replaced by others that never do."""
    case, choices = _drawn(court), choices or (RIGHT, RIGHT, RIGHT)
    case.commit_all(*choices)
    if case.phase == Phase.DUE:
        case.seat()
        case.commit_all(*choices)
    case.open()
    return case


# ---- deployment


@pytest.mark.parametrize("last_call", [0, 151])
def test_constructor__refuses_a_last_call_outside_a_quarter_of_the_limit(court: Court, last_call: int) -> None:
    with expect_revert("LastCallOutOfBounds", lastCall=last_call, least=1, most=150):
        court.evm.deploy("LilypadMediation", court.world.core, court.staking, last_call)


@pytest.mark.parametrize("last_call", [1, 150])
def test_constructor__takes_a_last_call_up_to_a_quarter_of_the_limit(court: Court, last_call: int) -> None:
    assert court.evm.deploy("LilypadMediation", court.world.core, court.staking, last_call).lastCall() == last_call


def test_constructor__refuses_stakes_in_another_core(court: Court) -> None:
    other = court.evm.deploy("Lilypad", court.world.parameters)
    staking = court.evm.deploy("LilypadStaking", other, UNBONDING)
    with expect_revert("CoreMismatch", found=other, needed=court.world.core):
        court.evm.deploy("LilypadMediation", court.world.core, staking, LAST_CALL)


# ---- queueing and drawing


def test_queue__needs_a_dispute__terms_and_record_of_this_strategy(court: Court) -> None:
    case = court.submitted()
    with expect_revert("NotInDispute", dealId=case.deal_id):
        case.queue()
    court.world.resolver.challenge(case.deal.words, sender=court.world.challenger)
    other_pool = replace(court.pool, appeal_window=13)
    with expect_revert("PoolMismatch", needed=court.pool.id):
        court.mediation.queue(case.deal.words, other_pool, NO_SEATING)
    foreign = replace(case.deal, strategy=court.world.keeper.address)
    with expect_revert("StrategyNotThis", strategy=court.world.keeper):
        court.mediation.queue(foreign.words, court.pool, NO_SEATING)
    forged = replace(case.deal, seat_fee=case.deal.seat_fee + 1)
    with expect_revert("NotInDispute"):
        court.mediation.queue(forged.words, court.pool, NO_SEATING)


@pytest.mark.parametrize("begin, number, seats", [("challenged", 1, 3), ("audited", 0, 1), ("delivery_challenged", 5, 3)])
def test_queue__asks_for_the_first_round_of_each_kind__once(court: Court, begin: str, number: int, seats: int) -> None:
    """beh:D27: an audit begins with one seat, a challenge with three."""
    case = getattr(court, begin)()
    event = next(log.args for log in case.queue().logs if log.address == court.mediation.address)
    assert (event["round"], event["seats"], event["redraw"]) == (number, seats, False)
    assert (case.word.phase, case.word.number, case.word.facts) == (Phase.QUEUED, number, event["ticket"])
    with expect_revert("PhaseWrong", found=Phase.QUEUED, needed=Phase.DUE):
        case.queue()


def test_draw__before_the_seed__or_before_the_queue__is_refused(court: Court) -> None:
    case = court.challenged()
    with expect_revert("PhaseWrong", found=Phase.NONE, needed=Phase.QUEUED):
        case.draw()
    case.queue()
    with expect_revert("SeedPending"):
        case.draw()
    court.next_seed()
    case.draw()
    with expect_revert("PhaseWrong", found=Phase.COMMIT, needed=Phase.QUEUED):
        court.mediation.draw(case.deal.words, court.pool, case.seating.argument)


def test_draw__seats_nobody_of_the_deal__and_pays_whoever_draws(court: Court) -> None:
    """beh:D12 inv:I10: the parties hold almost all of the stake, and never sit."""
    w = court.world
    for party in (w.creator, w.provider, w.solver, w.publisher):
        court.stake(party, 200)
    case = court.challenged()
    case.queue()
    court.next_seed()
    drawer = court.evm.account("drawer")
    seatings = []
    while not seatings:  # most tries hit a party: the pool may postpone the round several times
        receipt = case.draw(sender=drawer)
        seatings = case.seatings
        if not seatings:
            assert (w.free(drawer), receipt.events("SeatsDrawn")) == (0, [])
            court.next_seed()
    assert set(case.seating.accounts) <= {person.address for person in court.mediators}
    keepers = 3 * (case.deal.seat_fee * 200 // 10_000)
    assert w.free(drawer) == keepers // 3
    assert court.credit() == 3 * case.deal.seat_fee - keepers // 3


def test_draw__a_postponed_round_waits_for_a_later_seed(court: Court) -> None:
    """beh:D10 flt:F16: a lost seed postpones, pays nobody, and the next one draws."""
    case = court.challenged()
    case.queue()
    court.next_seed()
    court.world.randomness.setExpired(court.evm.number // 6)
    receipt = case.draw()
    assert receipt.events("RoundPostponed") and case.word.phase == Phase.QUEUED
    court.next_seed()
    case.draw()
    assert case.phase == Phase.COMMIT


# ---- commits


def test_commit__by_others__twice__empty__or_with_forged_facts__is_refused(court: Court) -> None:
    case = _drawn(court)
    stranger = court.world.keeper
    with expect_revert("SeatNotYours", account=case.seating.accounts[0], caller=stranger):
        case.commit(0, RIGHT, sender=stranger)
    with expect_revert("SeatUnknown", seat=3, seats=3):
        court.mediation.commit(case.deal_id, case.seating.argument, 3, SOME, sender=case.mediator(0))
    with expect_revert("CommitmentZero", seat=0):
        court.mediation.commit(case.deal_id, case.seating.argument, 0, ZERO, sender=case.mediator(0))
    forged = replace(case.seating, accounts=(stranger.address,) * 3)
    with expect_revert("SeatingMismatch", round=1):
        court.mediation.commit(case.deal_id, forged.argument, 0, SOME, sender=stranger)
    case.commit(0, RIGHT)
    with expect_revert("SeatStateWrong", found=SeatState.COMMITTED, needed=SeatState.SILENT):
        case.commit(0, WRONG)


def test_commit__until_the_last_second_of_the_window(court: Court) -> None:
    """beh:E1 beh:E4: the last second counts."""
    case = _drawn(court)
    _, deadline, _ = case.now()
    court.world.pass_to(deadline)
    case.commit(0, RIGHT)
    court.world.pass_to(deadline + 1)
    with expect_revert("PhaseWrong", found=Phase.DUE, needed=Phase.COMMIT):
        case.commit(1, RIGHT)


def test_commit__by_an_operator__until_the_account_takes_it_back(court: Court) -> None:
    """beh:G8: an operator acts for a seat; it is never paid."""
    case = _drawn(court)
    operator, account = court.world.keeper, case.mediator(0)
    court.staking.setOperator(operator, sender=account)
    case.commit(0, RIGHT, sender=operator)
    court.staking.setOperator(NOBODY, sender=account)
    case.commit_all(RIGHT, RIGHT, RIGHT)
    case.open()
    with expect_revert("SeatNotYours"):
        case.reveal(0, RIGHT, sender=operator)


def test_commit__the_last_one_ends_the_phase_and_gives_the_provider_its_full_window(court: Court) -> None:
    """beh:E10 inv:T34: whoever acts in the last second leaves the next one its whole window."""
    case = _drawn(court)
    _, deadline, _ = case.now()
    case.commit(0, RIGHT)
    case.commit(1, RIGHT)
    court.world.pass_to(deadline)
    event = case.commit(2, RIGHT).event("Committed")
    assert (event["phase"], event["deadline"]) == (Phase.OPEN, deadline + court.pool.reveal_window)
    court.world.pass_to(deadline + court.pool.reveal_window)
    event = case.open().event("ResultOpened")
    assert event["deadline"] == court.evm.timestamp + court.pool.reveal_window


# ---- the provider's window


def test_open__by_others__with_another_opening__or_too_late__is_refused(court: Court) -> None:
    """A copied opening is worth nothing to whoever copies it: it could name other data with it."""
    case = _drawn(court)
    with expect_revert("PhaseWrong", found=Phase.COMMIT, needed=Phase.OPEN):
        case.open()
    case.commit_all(RIGHT, RIGHT, RIGHT)
    with expect_revert("ProviderOnly", provider=court.world.provider, caller=court.world.keeper):
        case.open(sender=court.world.keeper)
    with expect_revert("DataIdZero"):
        court.mediation.open(case.deal_id, case.seating.argument, case.result, ZERO, sender=court.world.provider)
    with expect_revert("OpeningMismatch"):
        forged = case.result._replace(salt=ZERO)
        court.mediation.open(case.deal_id, case.seating.argument, forged, DATA_ID, sender=court.world.provider)
    with expect_revert("NotInDispute"):
        case.name_data()
    case.pass_deadline()
    with expect_revert("PhaseWrong", found=Phase.REVEAL, needed=Phase.OPEN):
        case.open()


def test_open__by_a_delegate_for_results(court: Court) -> None:
    """beh:B19: a hot key of the provider opens; one without that scope does not."""
    case = _drawn(court)
    case.commit_all(RIGHT, RIGHT, RIGHT)
    key, expiry = court.evm.account("hot key"), court.evm.timestamp + 1_000
    court.world.core.grantDelegate(key, 1, expiry, [], sender=court.world.provider)
    with expect_revert("ProviderOnly"):
        case.open(sender=key)
    court.world.core.grantDelegate(key, 2, expiry, [], sender=court.world.provider)
    case.open(sender=key)
    assert case.phase == Phase.REVEAL


def test_open__let_pass__is_wrong_whatever_the_seats_say(court: Court) -> None:
    """inv:T16 beh:E4: withholding the opening decides against who withholds; the seats still reveal and are paid."""
    case = _drawn(court)
    case.vote(RIGHT, WRONG, UNAVAILABLE, opens=False)
    assert case.now()[2] == Finding.NOT_OPENED and case.phase == Phase.APPEALABLE
    _, division = case.execute()
    assert case.status == Status.MEDIATION_REJECTED
    assert all(loss == 0 for _, loss in division.losses)
    assert sum(account in case.seating.accounts for account, _ in division.payments) == 3


def test_open__let_pass_before_a_lone_seat__needs_no_panel(court: Court) -> None:
    case = court.audited().seat()
    case.vote(RIGHT, opens=False)
    assert case.now()[2] == Finding.NOT_OPENED and case.phase == Phase.APPEALABLE


# ---- reveals


def test_reveal__before_the_opening__is_refused(court: Court) -> None:
    """inv:T32 beh:D14: nobody shows a vote before the commits are closed and the provider had its window."""
    case = _drawn(court)
    case.commit_all(RIGHT, RIGHT, RIGHT)
    with expect_revert("PhaseWrong", found=Phase.OPEN, needed=Phase.REVEAL):
        case.reveal(0, RIGHT)


def test_reveal__of_another_vote__of_no_vote__or_twice__is_refused(court: Court) -> None:
    """inv:I34: each commitment is revealed once, by its publisher, in its round."""
    case = _revealing(court, RIGHT, SECRET, NEVER)
    with expect_revert("VoteMismatch", seat=0):
        case.reveal(0, WRONG)
    with expect_revert("SeatNotYours"):
        case.reveal(0, RIGHT, sender=court.world.keeper)
    case.reveal(0, RIGHT)
    with expect_revert("SeatStateWrong", found=SeatState.CONFIRMS, needed=SeatState.COMMITTED):
        case.reveal(0, RIGHT)
    with expect_revert("SeatStateWrong", found=SeatState.SILENT, needed=SeatState.COMMITTED):
        case.reveal(2, RIGHT)


@pytest.mark.parametrize("word", [0, 4, 5, 255])
def test_reveal__of_a_word_that_is_no_vote__is_refused(court: Court, word: int) -> None:
    case = _drawn(court)
    vote, salt = word.to_bytes(32, "big"), SOME
    committed = vote_commitment(case.deal_id, 1, case.seating.accounts[0], vote, salt)
    court.mediation.commit(case.deal_id, case.seating.argument, 0, committed, sender=case.mediator(0))
    case.commit_all(NEVER, RIGHT, RIGHT)
    case.open()
    with expect_revert("VoteUnknown", vote=vote):
        court.mediation.reveal(case.deal_id, case.seating.argument, 0, vote, salt, True, sender=case.mediator(0))


def test_reveal__until_the_last_second__then_the_others_decide(court: Court) -> None:
    """beh:E1 beh:D15: a member that does not reveal is missing, and two of three still rule."""
    case = _revealing(court)
    case.reveal(0, RIGHT)
    case.reveal(1, RIGHT)
    _, deadline, _ = case.now()
    court.world.pass_to(deadline)
    assert case.phase == Phase.REVEAL
    court.world.pass_to(deadline + 1)
    with expect_revert("PhaseWrong", found=Phase.APPEALABLE, needed=Phase.REVEAL):
        case.reveal(2, RIGHT)
    assert case.now() == (Phase.APPEALABLE, deadline + court.pool.appeal_window, Finding.CONFIRMED)


@pytest.mark.parametrize("choices, finding", [
    ((RIGHT, RIGHT, WRONG), Finding.CONFIRMED),
    ((RIGHT, UNSERVED, UNAVAILABLE), Finding.UNSERVED),
    ((UNSERVED, UNSERVED, RIGHT), Finding.UNSERVED),
    ((WRONG, WRONG, RIGHT), Finding.OTHER_DIGEST),
    ((WRONG, WRONG2, RIGHT), Finding.DIVIDED),
    ((BROKEN, BROKEN, RIGHT), Finding.BROKEN),
    ((RIGHT, UNAVAILABLE, CANNOT_RUN), Finding.ABSENT),
    ((CANNOT_RUN, CANNOT_RUN, CANNOT_RUN), Finding.ABSENT),
    ((RIGHT, WRONG, CANNOT_RUN), Finding.DIVIDED),
    ((RIGHT, NEVER, SECRET), Finding.ABSENT),
    ((NEVER, NEVER, NEVER), Finding.ABSENT),
])  # fmt: skip
def test_tally__strict_majority_of_all_seats(court: Court, choices: tuple[str, ...], finding: Finding) -> None:
    """beh:D8 beh:D15 beh:D28: what each combination of three seats comes to."""
    case = _drawn(court)
    case.vote(*choices)
    assert case.now()[2] == finding


# ---- seats that are missing


def test_queue__replaces_silent_seats_once__and_they_lose_a_quarter(court: Court) -> None:
    """beh:D9 inv:T25: a seat that missed its commit is drawn again; its failure is nobody else's."""
    case = _drawn(court)
    absent = case.seating.accounts[1:]
    case.commit(0, RIGHT)
    with expect_revert("PhaseWrong", found=Phase.COMMIT, needed=Phase.DUE):
        case.queue()
    case.pass_deadline()
    assert case.phase == Phase.DUE
    receipt = case.queue()
    quarter = court.pool.seat_stake // 4
    assert [(e["account"], e["loss"]) for e in receipt.events("SeatReleased")] == [(who, quarter) for who in absent]
    court.next_seed()
    drawer = court.evm.account("drawer")
    case.draw(sender=drawer)
    assert court.world.free(drawer) == 2 * (case.deal.seat_fee * 200 // 10_000) // 3
    assert case.word.seats == (SeatState.COMMITTED, SeatState.SILENT, SeatState.SILENT)
    with expect_revert("SeatStateWrong"):
        case.commit(0, RIGHT)
    case.commit(1, RIGHT)
    case.pass_deadline()
    assert case.phase == Phase.OPEN, "they are not replaced twice"
    case.open()
    case.reveal_all(RIGHT, RIGHT, NEVER)
    _, division = case.execute()
    assert case.status == Status.MEDIATION_ACCEPTED
    assert division.lost == 3 * quarter - 2 * (case.deal.seat_fee * 200 // 10_000) // 3


def test_queue__when_the_pool_has_shrunk__goes_on_with_who_is_there(fresh_court: Court) -> None:
    """inv:T58: a redraw that nobody can sit does not hold the round up, and the provider gets its whole window."""
    court = fresh_court
    case = _drawn(court)
    case.commit(0, RIGHT)
    case.commit(1, RIGHT)
    case.pass_deadline()
    for person in court.mediators:
        court.staking.requestUnbonding(court.pool, 20 * court.pool.seat_stake, sender=person)
    court.staking.applyPending(court.pool, 100)
    assert court.staking.poolOf(court.pool.id)[2] == 0
    case.queue()
    asked = court.evm.timestamp
    court.world.pass_to(asked + 1)
    assert case.now()[:2] == (Phase.OPEN, asked + court.pool.reveal_window)
    case.open()
    case.reveal_all(RIGHT, RIGHT, NEVER)
    case.execute()
    assert case.status == Status.MEDIATION_ACCEPTED and court.credit() == 0


def test_queue__with_too_little_gas_does_not_skip_the_redraw(court: Court) -> None:
    """A caller that lets the pool run out of gas must not make the round go on without a redraw."""
    case = _drawn(court)
    case.commit(0, RIGHT)
    case.pass_deadline()
    calldata = court.mediation.calldata("queue", case.deal.words, court.pool, case.seating.argument)
    needed = 0
    for gas in range(60_000, 400_000, 2_500):
        with court.evm.snapshot():
            try:
                court.evm.transact(court.mediation.address, calldata, sender=court.world.keeper, gas=gas)
            except Exception:
                continue
            needed = needed or gas
            assert case.word.phase == Phase.QUEUED, f"skipped at {gas} gas"
    assert needed


# ---- the lone seat of an audit


def test_lone_seat__that_confirms__decides(court: Court) -> None:
    """beh:D27"""
    case = court.audited().seat()
    case.vote(RIGHT)
    assert case.now()[2] == Finding.CONFIRMED
    case.execute()
    assert case.status == Status.MEDIATION_ACCEPTED


@pytest.mark.parametrize("choice", [WRONG, UNSERVED, SECRET])
def test_lone_seat__that_does_not_confirm__calls_the_panel_unasked(court: Court, choice: str) -> None:
    """beh:D27: at the fund's cost, without anybody's appeal."""
    case = court.audited().seat()
    case.vote(choice)
    if case.phase == Phase.REVEAL:
        case.pass_deadline()
    assert case.phase == Phase.DUE
    case.seat()
    assert (case.word.number, len(case.seating.accounts), case.word.opened) == (1, 3, True)
    case.commit_all(RIGHT, RIGHT, RIGHT)
    assert case.phase == Phase.REVEAL, "the provider opened before"
    case.reveal_all(RIGHT, RIGHT, RIGHT)
    _, division = case.execute()
    assert case.status == Status.MEDIATION_ACCEPTED
    stake = court.pool.seat_stake
    assert division.losses[0][1] == {WRONG: stake, SECRET: stake // 4}.get(choice, 0)


@pytest.mark.parametrize("word", [UNAVAILABLE, BROKEN, CANNOT_RUN])
def test_lone_seat__that_found_no_digest__is_drawn_again_once(court: Court, word: str) -> None:
    """beh:D27 inv:T24: and keeps its stake. Another word of the kind calls the panel."""
    case = court.audited().seat()
    case.vote(word)
    first = case.seating.accounts[0]
    receipt = case.queue()
    assert receipt.event("SeatReleased")["loss"] == 0 and receipt.event("SeatReleased")["account"] == first
    court.next_seed()
    case.draw()
    assert (case.word.number, case.word.lone_unavailable, len(case.seatings)) == (0, word == UNAVAILABLE, 1)
    case.vote(word)
    case.seat()
    assert (case.word.number, case.word.provider_late, len(case.seatings)) == (1, word == UNAVAILABLE, 2)


@pytest.mark.parametrize("word", [BROKEN, CANNOT_RUN])
def test_lone_seat__after_one_that_did_not_run__confirms_and_the_first_is_not_paid(court: Court, word: str) -> None:
    """inv:T24 inv:I38: a false alarm of one seat costs the fund no panel."""
    case = court.audited().seat()
    case.vote(word)
    first = case.seating.accounts[0]
    case.seat().vote(RIGHT)
    assert case.now()[2] == Finding.CONFIRMED and case.phase == Phase.APPEALABLE
    before, fund = court.world.free(first), court.world.fund()
    second = case.seating.accounts[0]
    _, division = case.execute()
    fee = case.deal.seat_fee
    assert (case.status, division.claim) == (Status.MEDIATION_ACCEPTED, 0)
    paid = dict(division.payments)
    assert paid[second] == fee - fee // 50 and (first == second or court.world.free(first) == before)
    assert court.world.fund() - fund >= 3 * fee


@pytest.mark.parametrize(("truth", "verdict"), [(RIGHT, Status.MEDIATION_ACCEPTED), (WRONG, Status.MEDIATION_REJECTED)])
def test_lone_seat__after_one_that_was_not_served__does_not_confirm(court: Court, truth: str, verdict: Status) -> None:
    """inv:T56 inv:T20: a cheat that serves its friends alone would have two chances. The panel decides."""
    case = court.audited().seat()
    case.vote(UNAVAILABLE)
    case.seat().vote(RIGHT)
    assert (case.now()[2], case.phase) == (Finding.CONFIRMED, Phase.DUE)
    with expect_revert("PhaseWrong"):
        case.appeal(court.rich("payer"))
    case.seat()
    assert (case.word.number, case.word.provider_late) == (1, False)
    case.vote(truth, truth, truth)
    _, division = case.execute()
    assert case.status == verdict
    if truth == RIGHT:
        assert division.claim == 0, "it was served before the panel sat: the provider owes nothing"
        assert {loss for _, loss in division.losses} == {0}
    else:
        assert division.losses[0][1] == court.pool.seat_stake, "the second lone seat stood for the cheat"


def test_lone_seat__one_without_service_and_one_that_confirms__void_panel__no_fault(court: Court) -> None:
    """beh:D9: the panel that cannot sit in time does not make the second seat's word stand."""
    case = court.audited().seat()
    case.vote(UNAVAILABLE)
    case.seat().vote(RIGHT)
    case.queue()
    case.pass_last_call()
    case.execute()
    assert case.status == Status.NO_FAULT


def test_lone_seat__missing_twice__calls_the_panel(court: Court) -> None:
    """beh:D9: and the provider is asked for its opening only when somebody has committed."""
    case = court.audited().seat()
    case.commit_all(NEVER)
    case.seat()
    case.commit_all(NEVER)
    assert case.phase == Phase.DUE and not case.word.opened
    case.seat()
    assert case.word.number == 1
    case.vote(RIGHT, RIGHT, RIGHT)
    case.execute()
    assert case.status == Status.MEDIATION_ACCEPTED


# ---- time


def test_advance__writes_down_what_time_has_done__and_nothing_else(court: Court) -> None:
    case = _revealing(court, RIGHT, RIGHT, SECRET)
    case.reveal(0, RIGHT)
    case.reveal(1, RIGHT)
    with expect_revert("PhaseWrong"):
        court.mediation.advance(case.deal_id, case.seating.argument)
    case.pass_deadline()
    event = court.mediation.advance(case.deal_id, case.seating.argument).event("Tallied")
    assert (event["finding"], event["phase"]) == (Finding.CONFIRMED, Phase.APPEALABLE)
    assert case.word.phase == Phase.APPEALABLE
    case.pass_deadline()
    assert not court.mediation.advance(case.deal_id, case.seating.argument).events("Tallied")
    assert case.word.phase == Phase.EXECUTABLE
    case.execute()


def test_advance__does_not_take_a_redraw_away(court: Court) -> None:
    case = _drawn(court)
    case.pass_deadline()
    with expect_revert("PhaseWrong", found=Phase.DUE):
        court.mediation.advance(case.deal_id, case.seating.argument)
    case.queue()
    assert case.word.phase == Phase.QUEUED


def test_last_call__ends_drawing_and_appealing_at_its_second(court: Court) -> None:
    """beh:E4: an unfinished round is void one second after the last call, and then only executing is left."""
    w = court.world
    case = court.challenged()
    last = w.state(case.deal).deadline - LAST_CALL
    w.pass_to(last - 20)
    case.queue()
    court.next_seed()
    w.pass_to(last)
    case.draw()
    with expect_revert("PhaseWrong", found=Phase.COMMIT, needed=Phase.EXECUTABLE):
        case.execute()
    w.pass_to(last + 1)
    with expect_revert("LastCallPassed", lastCall=last, time=last + 1):
        case.queue()
    with expect_revert("LastCallPassed"):
        case.draw()
    with expect_revert("LastCallPassed"):
        case.appeal(court.rich("appellant"))
    case.execute()
    assert case.status == Status.NO_FAULT and court.credit() == 0


Step = Callable[[Case], object]


@pytest.mark.parametrize("step", [Case.queue, Case.draw, lambda case: case.commit(0, RIGHT), Case.open, Case.execute, Case.unwind])
def test_executed__nothing_more_happens(court: Court, step: Step) -> None:
    """inv:I4 beh:C9: an executed dispute stays as it is."""
    case = _revealing(court)
    case.reveal_all(RIGHT, RIGHT, RIGHT)
    case.to_execution()
    seatings = [seating.argument for seating in case.seatings]
    case.execute()
    if step is Case.execute:
        with expect_revert("NotInDispute"):
            court.mediation.execute(case.deal.words, court.pool, seatings, case.result)
    elif step is Case.unwind:
        with expect_revert("NothingToUnwind"):
            court.mediation.unwind(case.deal.words, court.pool, seatings)
    else:
        with expect_revert("NotInDispute" if step in (Case.queue, Case.draw) else "PhaseWrong"):
            step(case)
