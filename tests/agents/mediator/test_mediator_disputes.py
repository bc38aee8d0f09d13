"""Disputes before real mediators and real contracts: what they find, and what it pays and costs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lilypad_agents.content.cid import Cid
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.mediation import (
    VOTE_MODULE_BROKEN,
    VOTE_SERVED,
    VOTE_UNAVAILABLE,
    Finding,
    Phase,
)
from tests.agents.mediator.court import SEAT_FEE, SEAT_STAKE, Court, wrong
from tests.support.network import TOKEN

HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"  # EIP-2935
KEEPERS = SEAT_FEE * 200 // 10_000


def test_audit__honest_result__is_confirmed_by_the_lone_seat(court: Court) -> None:
    """beh:E7 beh:D27 Nobody but the mediators does anything: audit, seats, votes, verdict. One seat is paid, and the keepers."""
    mediators = [court.mediator() for _ in range(3)]
    before = {m.account: court.network.free(m.account) for m in mediators}
    case = court.submitted()
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    revealed = court.events("Revealed", case)
    assert [vote["vote"] for vote in revealed] == [case.opened.digest]
    court.until(lambda: not any(m.life.agent.disputes for m in mediators if m.life))
    gained = {m.account: court.network.free(m.account) - before[m.account] for m in mediators}
    assert sum(gained.values()) == SEAT_FEE  # fee less the keepers' part, and that part
    assert gained[revealed[0]["account"]] >= SEAT_FEE - KEEPERS
    for mediator in mediators:
        found = court.earnings(mediator)
        assert found.earned == gained[mediator.account]
        assert found.lost == 0


def test_challenge__altered_result__is_found_wrong_and_the_creator_is_made_whole(court: Court) -> None:
    """beh:D5 beh:D25 Three seats find the same other digest; the provider loses its bond."""
    for _ in range(3):
        court.mediator()
    creator, provider = court.network.free(court.creator.address), court.network.free(court.provider.address)
    case = court.submitted("beware", change=wrong)
    court.challenge(case)
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_REJECTED
    votes = court.events("Revealed", case)
    assert len(votes) == 3 and len({vote["vote"] for vote in votes}) == 1
    assert votes[0]["vote"] != case.opened.digest
    assert court.network.free(court.creator.address) == creator + TOKEN  # all back, and the value once more
    assert court.network.free(court.provider.address) == provider - case.deal.collateral


def test_result_data__not_served__is_found_unserved(court: Court) -> None:
    """beh:D28 The digest is right, and nobody can have the data: the seats say so after most of their window."""
    court.mediator()
    case = court.submitted("hidden", serve=False)
    court.challenge(case)
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_REJECTED
    assert [vote["served"] for vote in court.events("Revealed", case)] == [False] * 3
    assert {vote["vote"] for vote in court.events("Revealed", case)} == {case.opened.digest}


def test_inputs__served_by_nobody__are_voted_unavailable_after_most_of_the_window(court: Court) -> None:
    """beh:D28 flt:F32 The provider has affirmed that it holds them."""
    mediator = court.mediator()
    case = court.submitted("lost")
    court.relay.store.delete(Cid.raw(case.deal.inputs))
    court.challenge(case)
    court.until(lambda: (word := court.word(case)) is not None and word.phase is Phase.COMMIT)
    drawn = court.network.now()
    court.until(lambda: bool(mediator.lines.named("vote_decided")))
    assert court.network.now() >= drawn + 12 * 8 // 10 - 2
    assert len(mediator.lines.named("rerun_failed")) > 1  # it kept asking
    court.finish(case)
    assert {vote["vote"] for vote in court.events("Revealed", case)} == {VOTE_UNAVAILABLE}
    assert court.status(case) is Status.MEDIATION_REJECTED


def test_artefact__is_no_program__is_voted_broken_and_nobody_pays(court: Court) -> None:
    """beh:D8 The version is marked, the creator refunded less the premium."""
    court.mediator()
    case = court.submitted("broken module", broken=True)
    court.challenge(case)
    court.finish(case)
    assert court.status(case) is Status.NO_FAULT
    assert {vote["vote"] for vote in court.events("Revealed", case)} == {VOTE_MODULE_BROKEN}
    assert court.mediation.call("marksOf", case.deal.module) == 1


def test_provider__does_not_open__is_wrong_whatever_the_seats_say(court: Court) -> None:
    """beh:E7 Time alone moves the dispute on."""
    court.mediator()
    case = court.submitted("silence")
    court.challenge(case)
    court.until(lambda: court.ended(case))
    assert court.status(case) is Status.MEDIATION_REJECTED
    assert court.events("Tallied", case)[-1]["finding"] == Finding.NOT_OPENED


def test_delivery__data_is_there__is_confirmed_without_a_run(court: Court) -> None:
    """beh:D27 A panel that only fetches; the commitment stays sealed."""
    mediator = court.mediator()
    case = court.submitted("deliver")
    court.network.send(court.creator_index, "LilypadResolver", "challengeDelivery", case.deal.words)
    court.until(lambda: (word := court.word(case)) is not None and word.phase is Phase.OPEN)
    court.name_data(case)
    court.until(lambda: court.status(case) is Status.RESULTS_SUBMITTED)
    assert [vote["vote"] for vote in court.events("Revealed", case)] == [VOTE_SERVED] * 3
    assert not mediator.lines.named("job_rerun")


def test_seat__silent_mediator__is_drawn_again_and_loses_a_quarter(court: Court) -> None:
    """flt:F34 beh:D9 beh:D15 One that is down costs nobody else anything; the round goes on with another seat."""
    down = court.mediator(seats=3, start=False)
    case = court.submitted("redraw")
    court.challenge(case)
    court.network.send(0, "LilypadMediation", "queue", case.deal.words, court.pool, court.no_seating)
    court.until(lambda: court.draw(case))  # while it is the only one: all seats are its
    court.mediator(seats=300)
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    drawn = court.events("SeatsDrawn", case)
    assert [event["redraw"] for event in drawn] == [False, True]
    again = sum(account == down.account for account in drawn[-1]["seating"].accounts)
    assert court.stake_of(down) == 3 * SEAT_STAKE - (3 + again) * SEAT_STAKE // 4


@pytest.mark.parametrize("rule", ["user", "own"])
def test_appeal__after_a_wrong_verdict__is_paid_back_by_those_who_were_wrong(court: Court, rule: str) -> None:
    """beh:D25 beh:D16 beh:D18 A panel that lies is overturned by seven: a full dispute with one appeal."""
    liar = court.mediator(seats=40)
    case = court.submitted("appeal")
    court.override(liar, case, round_=1, vote=b"\x77" * 32)
    court.challenge(case)
    court.until(lambda: len(court.events("Committed", case)) == 3, answers=[case])
    settings = {"appeal": "own", "appeal_budget": 20 * TOKEN} if rule == "own" else {}
    honest = court.mediator(seats=200, **settings)
    court.until(lambda: bool(court.events("Tallied", case)), answers=[case])
    assert court.events("Tallied", case)[0]["finding"] == Finding.OTHER_DIGEST
    wallet = court.wallet(honest)
    if rule == "user":
        court.ask_appeal(honest, case, round_=1)
    court.until(lambda: bool(court.events("Appealed", case)))
    assert court.wallet(honest) == wallet - 7 * SEAT_FEE
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    assert court.stake_of(liar) <= 37 * SEAT_STAKE  # each contradicted seat lost its stake
    seats = sum(account == honest.account for account in court.events("SeatsDrawn", case)[-1]["seating"].accounts)
    back = 7 * SEAT_FEE + seats * (SEAT_FEE - KEEPERS)  # the appeal's fees, and those of its own seats
    court.until(lambda: court.earnings(honest).earned >= back)
    assert court.earnings(honest).appeals == 7 * SEAT_FEE


def test_fund__is_short__operators_are_told_and_whoever_may_advances(poor_court: Court) -> None:
    """beh:D23 A drawn deal waits, and is audited by the one whose settings advance the fees."""
    court = poor_court
    cautious = court.mediator()
    cases = [court.submitted("poor"), court.submitted("poorer")]  # the fund covers one audit
    court.until(lambda: bool(cautious.lines.named("audit_fund_short")), answers=cases)
    assert cautious.lines.named("audit_fund_short")[0]["lacking"] == 4 * SEAT_FEE
    generous = court.mediator(audit_advance=4 * SEAT_FEE)
    court.network.fund([generous.account])
    court.finish(*cases)
    assert {court.status(case) for case in cases} == {Status.MEDIATION_ACCEPTED}


def test_operator__of_a_cold_account__sits_for_it_and_never_gets_its_money(court: Court) -> None:
    """beh:H4 The stake lies with one key, votes are sent by another."""
    cold, hot = court.mediator(start=False), court.mediator(seats=0, start=False)
    court.network.send(cold.index, "LilypadStaking", "setOperator", hot.account)
    court.start(hot, account=cold.account, keeper=False)
    keeper = court.mediator(seats=0)
    case = court.submitted("operator")
    court.challenge(case)
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    assert set(court.events("SeatsDrawn", case)[0]["seating"].accounts) == {cold.account}
    assert court.network.free(cold.account) == 3 * (SEAT_FEE - KEEPERS)
    assert court.network.free(hot.account) == 0
    assert court.network.free(keeper.account) == 3 * KEEPERS


@pytest.fixture
def short_memory(court: Court) -> Iterator[None]:
    """A chain that knows the hashes of the last 256 blocks alone, as before EIP-2935."""
    rpc = court.network.rpc
    code = rpc.request("eth_getCode", HISTORY, "latest")
    rpc.request("anvil_setCode", HISTORY, "0x")
    yield
    rpc.request("anvil_setCode", HISTORY, code)


def test_seed__lost_before_the_draw__the_round_takes_a_later_one_and_nobody_sits_twice(
    court: Court, short_memory: None
) -> None:
    """flt:F16 Nobody was there while the block could be had: the queue moves on by a call, to a seed that nobody knew."""
    mediator = court.mediator()
    case = court.submitted("expired")
    court.challenge(case)
    court.until(lambda: bool(court.events("RoundQueued", case)), mine=False)
    court.end(mediator)
    for _ in range(3):
        court.mine(100)
    court.start(mediator)
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    assert len(court.events("SeatsDrawn", case)) == 1
    assert len(court.pool_events("RoundPostponed")) == 1


def test_draw__undone_by_a_reorganisation__other_seats_sit_and_each_votes_once(court: Court) -> None:
    """flt:F28 Blocks vanish between draw and reveal, the seed is another one, and the round ends all the same."""
    mediators = [court.mediator(seats=10) for _ in range(3)]
    case = court.submitted("reorganised")
    court.challenge(case)
    court.until(lambda: bool(court.events("RoundQueued", case)))
    rpc = court.network.rpc
    snapshot = rpc.request("evm_snapshot")
    court.until(lambda: bool(court.events("Committed", case)))
    before = court.events("SeatsDrawn", case)[0]["seating"].accounts
    assert rpc.request("evm_revert", snapshot)
    court.pass_time(1)  # the blocks that follow have other hashes
    assert not court.events("SeatsDrawn", case)
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    after = court.events("SeatsDrawn", case)[0]["seating"].accounts
    assert len(before) == len(after) == 3
    assert [vote["vote"] for vote in court.events("Revealed", case)] == [case.opened.digest] * 3
    assert not any(mediator.lines.named("vote_lost") for mediator in mediators)


def test_dispute__nobody_was_there_until_its_limit__is_ended_and_unwound(court: Court) -> None:
    """beh:E3 beh:E7 No fault; locks and fees go back, and nobody loses a stake."""
    mediator = court.mediator()
    case = court.submitted("forgotten")
    court.challenge(case)
    court.until(lambda: bool(court.events("SeatsDrawn", case)))
    court.end(mediator)
    court.pass_time(700)
    court.start(mediator)
    court.until(lambda: bool(court.events("DisputeUnwound", case)))
    assert court.status(case) is Status.NO_FAULT
    assert int(court.staking.call("stakeOf", court.pool.id, mediator.account)[3]) == 0  # no seat is open
    court.until(lambda: mediator.life is not None and not mediator.life.agent.disputes)


def test_disputes__twenty_at_once__are_drawn_in_their_order_and_all_end(court: Court) -> None:
    """beh:E7 beh:D13 Three mediators share the steps; no round is asked for or drawn twice."""
    for _ in range(3):
        court.mediator(seats=200)
    cases = [court.submitted("many") for _ in range(20)]
    for case in cases:
        court.challenge(case)
    court.finish(*cases)
    assert {court.status(case) for case in cases} == {Status.MEDIATION_ACCEPTED}
    queued = {int(event["topics"][3], 16) for event in court.pool_events("RoundQueued")}
    drawn = [int(event["topics"][3], 16) for event in court.pool_events("RoundDrawn")]
    assert drawn == sorted(queued) and len(drawn) == 20
