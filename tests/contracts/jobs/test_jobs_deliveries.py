"""How requests end: exactly one outcome each, proved by the core. beh:F6 beh:F7 beh:F8 beh:F10 beh:F14 beh:F15"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from lilypad_agents.protocol.consent import Closing
from lilypad_agents.protocol.ids import NOBODY, ZERO, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, Status, Verdict
from lilypad_agents.protocol.opening import closing_of
from lilypad_agents.protocol.price import charge, premium_of
from lilypad_agents.protocol.requests import JobOutcome, RequestState
from lilypad_agents.protocol.units import Units
from tests.support.evm import expect_revert
from tests.support.requests import COIN, Requests

DELIVERED, FAILED = RequestState.DELIVERED, RequestState.CALLBACK_FAILED


# ---- a result


def test_deliver__of_a_deal_that_is_not_paid__is_refused(desk: Requests) -> None:
    """beh:F15: no callback while the result can still be overturned."""
    request = desk.ask()
    deal = desk.matched(request)
    with expect_revert("OutcomeNotDue", outcome=JobOutcome.NONE):
        desk.deliver(deal, desk.parts())
    parts = desk.submitted(deal)
    with expect_revert("OutcomeNotDue", outcome=JobOutcome.NONE):
        desk.deliver(deal, parts)
    assert desk.state(request)[0] is RequestState.REQUESTED


def test_deliver__of_a_deal_that_nobody_requested__is_refused(desk: Requests) -> None:
    world = desk.world
    deal, _ = world.open(**world.unverified())
    parts = desk.settled(deal)
    with expect_revert("RequestUnknown", requestId=deal.job_offer_hash):
        desk.deliver(deal, parts)
    with expect_revert("RequestUnknown"):
        desk.jobs.resultOf(deal.words, parts, b"moo\n")


@pytest.mark.parametrize("field", ["head", "stdout_hash", "stderr_hash", "outputs_root", "salt"])
def test_deliver__of_something_else_than_was_paid_for__is_refused(desk: Requests, field: str) -> None:
    """beh:F12: a forged delivery reverts, whichever field is forged."""
    deal, parts = desk.paid(desk.ask())
    with expect_revert("ResultMismatch", dealId=deal.id(desk.world.domain)):
        desk.deliver(deal, parts._replace(**{field: keccak256(b"forged")}))


def test_deliver__with_other_output__is_refused(desk: Requests) -> None:
    deal, parts = desk.paid(desk.ask())
    with expect_revert("StdoutMismatch", found=keccak256(b"MOO\n"), needed=keccak256(b"moo\n")):
        desk.deliver(deal, parts, b"MOO\n")


def test_deliver__hands_over_verified_bytes_and_the_price(desk: Requests) -> None:
    """beh:F6 beh:F14"""
    request = desk.ask(inputs=b"{}")
    deal, parts = desk.paid(request, b"moo\n", exit_code=3, units=7)
    receipt = desk.deliver(deal, parts)
    deal_id = deal.id(desk.world.domain)
    assert receipt.value is True
    assert receipt.event("JobDelivered") == {
        "requestId": request.id, "requester": desk.client.address, "dealId": deal_id, "outcome": JobOutcome.FULFILLED,
    }  # fmt: skip
    paid = charge(deal, Units(7), desk.world.parameters.protocol_fee_bps).total
    assert desk.client.lastResult() == (
        deal_id, deal.provider, desk.digest(parts), 3, 7, 1 | 2 | 16, keccak256(b"moo\n"), ZERO, ZERO, paid, True, b"moo\n",
    )  # fmt: skip
    assert desk.state(request) == (DELIVERED, JobOutcome.FULFILLED)


def test_deliver__twice__is_refused(desk: Requests) -> None:
    """beh:F7: exactly one outcome."""
    deal, parts = desk.paid(desk.ask())
    desk.deliver(deal, parts)
    with expect_revert("RequestClosed", outcome=JobOutcome.FULFILLED):
        desk.deliver(deal, parts)
    with expect_revert("RequestClosed", outcome=JobOutcome.FULFILLED):
        desk.jobs.deliverFailure(deal.words)
    assert (desk.client.results(), desk.client.failures()) == (1, 0)


def test_deliver_failure__of_a_paid_deal__is_refused(desk: Requests) -> None:
    deal, _ = desk.paid(desk.ask())
    with expect_revert("OutcomeNotDue", outcome=JobOutcome.FULFILLED):
        desk.jobs.deliverFailure(deal.words)


def test_deliver__after_a_verdict_for_the_provider__is_a_success(verified: Requests) -> None:
    """beh:F15: also by mediation."""
    world, request = verified.world, verified.ask()
    deal = verified.matched(request)
    parts = verified.submitted(deal)
    world.resolver.challenge(deal.words, sender=world.challenger)
    with expect_revert("OutcomeNotDue", outcome=JobOutcome.NONE):
        verified.deliver(deal, parts)
    world.resolve(deal, Verdict.CORRECT, verified.opening(parts))
    verified.deliver(deal, parts)
    assert world.state(deal).status is Status.MEDIATION_ACCEPTED
    assert verified.state(request) == (DELIVERED, JobOutcome.FULFILLED)


# ---- standard output


def test_deliver__of_1024_bytes__hands_them_over_and_of_more_proves_them_only(desk: Requests) -> None:
    for size, inline in ((1024, True), (1025, False), (0, True)):
        stdout = b"x" * size
        deal, parts = desk.paid(desk.ask(gas=2_000_000), stdout)
        desk.deliver(deal, parts, stdout)
        result = desk.client.lastResult()
        assert (result[6], result[10], result[11]) == (keccak256(stdout), inline, stdout if inline else b"")


def test_deliver__without_the_output__is_the_requesters_right_and_anyones_after_the_reveal_window(desk: Requests) -> None:
    """Otherwise whoever comes first withholds the answer: one hash, no bytes, and the request is closed."""
    world = desk.world
    deal, parts = desk.paid(desk.ask())
    until = world.evm.timestamp + world.parameters.reveal_window
    with expect_revert("StdoutMissing", until=until):
        desk.deliver(deal, parts, b"")
    world.pass_to(until)
    with expect_revert("StdoutMissing", until=until, time=until):
        desk.deliver(deal, parts, b"", sender=world.provider)
    world.pass_to(until + 1)
    desk.deliver(deal, parts, b"")
    assert desk.client.lastResult()[10:] == (False, b"")


def test_deliver__without_the_output_by_the_requester__works_at_once(desk: Requests) -> None:
    request = desk.ask_raw()
    deal, parts = desk.paid(request)
    desk.hostile.execute(desk.jobs, desk.jobs.calldata("deliver", deal.words, parts, b""))
    assert desk.state(request) == (DELIVERED, JobOutcome.FULFILLED)


def test_deliver__of_a_module_that_does_not_count_its_output__needs_none_and_takes_none(desk: Requests) -> None:
    """Bytes that nothing verifies are not handed over."""
    deal, parts = desk.paid(desk.ask(), None, outputs=keccak256(b"root"))
    with expect_revert("StdoutMismatch", needed=ZERO):
        desk.deliver(deal, parts, b"free text")
    desk.deliver(deal, parts, b"")
    result = desk.client.lastResult()
    assert (result[5], result[6], result[8], result[10]) == (1 | 8 | 16, ZERO, keccak256(b"root"), False)


# ---- failures


def test_deliver_failure__late__tells_refund_and_compensation(desk: Requests) -> None:
    """beh:F6: late; the amounts are those that the ledger moved."""
    before = desk.money()
    request = desk.ask()
    deal = desk.late(request)
    desk.jobs.deliverFailure(deal.words)
    gained = desk.money()["client free"] - before["client free"]
    assert desk.client.lastFailure() == (JobOutcome.LATE, deal.id(desk.world.domain), 0, gained)
    assert gained == deal.value // 10 - deal.value // 10 // 100
    assert desk.state(request) == (DELIVERED, JobOutcome.LATE)


def disputed(desk: Requests):
    request = desk.ask()
    deal = desk.matched(request)
    desk.submitted(deal)
    desk.world.resolver.challenge(deal.words, sender=desk.world.challenger)
    return request, deal


def test_deliver_failure__wrong__tells_the_compensation(verified: Requests) -> None:
    """beh:F6: wrong"""
    before = verified.money()
    request, deal = disputed(verified)
    verified.world.resolve(deal, Verdict.WRONG)
    verified.jobs.deliverFailure(deal.words)
    gained = verified.money()["client free"] - before["client free"]
    assert verified.client.lastFailure() == (JobOutcome.WRONG, deal.id(verified.world.domain), 0, gained)
    assert gained == deal.value and verified.state(request) == (DELIVERED, JobOutcome.WRONG)


def test_deliver_failure__no_fault__tells_the_premium(verified: Requests) -> None:
    """beh:F6: no fault"""
    before = verified.money()
    request, deal = disputed(verified)
    verified.world.resolve(deal, Verdict.NO_FAULT)
    verified.jobs.deliverFailure(deal.words)
    lost = before["client free"] - verified.money()["client free"]
    assert verified.client.lastFailure() == (JobOutcome.NO_FAULT, deal.id(verified.world.domain), lost, 0)
    assert lost == premium_of(deal) and verified.state(request) == (DELIVERED, JobOutcome.NO_FAULT)


def test_deliver_failure__closed_by_both__is_an_outcome(desk: Requests) -> None:
    world = desk.world
    request = desk.ask_raw()
    deal = desk.matched(request)
    escrow = world.locked(desk.hostile) + deal.collateral
    terms = Closing(deal.id(world.domain), 5, escrow - 5, world.evm.timestamp)
    approval = world.core.calldata("approve", desk.hostile, world.domain.digest(terms.struct_hash), True)
    desk.hostile.execute(world.core, approval)
    world.resolver.close(deal.words, closing_of(terms, b"", world.sign(terms, world.provider)), sender=world.keeper)
    desk.jobs.deliverFailure(deal.words)
    assert desk.state(request) == (DELIVERED, JobOutcome.CLOSED)


def test_deliver_failure__of_an_open_or_declined_deal__is_refused_and_another_provider_may_take_it(desk: Requests) -> None:
    """Protocol 9: a declined deal ends nothing."""
    world, request = desk.world, desk.ask()
    pair = desk.pair(request)
    deal, _ = world.open(pair, sender=world.keeper)
    with expect_revert("OutcomeNotDue", outcome=JobOutcome.NONE):
        desk.jobs.deliverFailure(deal.words)
    world.resolver.decline(deal.words, request.offer.words(), sender=world.provider)
    with expect_revert("OutcomeNotDue", outcome=JobOutcome.NONE):
        desk.jobs.deliverFailure(deal.words)
    with expect_revert("RequestStillOpen", expiry=request.terms.expiry):
        desk.jobs.deliverUnopened(request.requester, request.terms, request.inputs_digest)
    second, parts = desk.paid(request)
    desk.deliver(second, parts)
    assert desk.state(request) == (DELIVERED, JobOutcome.FULFILLED)


def test_deliver_failure__of_the_deal_of_another_offer__reaches_nobody(desk: Requests) -> None:
    """A record names its offer by hash: no ended deal speaks for a request that it did not come from."""
    request = desk.ask()
    desk.matched(request)
    world = desk.world
    deal, _ = world.open(**world.unverified())
    world.pass_to(world.evm.timestamp + deal.submit_window + 1)
    world.resolver.timeoutSubmit(deal.words)
    with expect_revert("RequestUnknown", requestId=deal.job_offer_hash):
        desk.jobs.deliverFailure(deal.words)
    forged = replace(deal, job_offer_hash=request.id)
    with expect_revert("OutcomeNotDue", outcome=JobOutcome.NONE):
        desk.jobs.deliverFailure(forged.words)


# ---- nothing was opened


def unopened(desk: Requests, request, **options):
    return desk.jobs.deliverUnopened(request.requester, request.terms, request.inputs_digest, **options)


def test_deliver_unopened__at_the_last_second__is_refused_and_after_it_says_expired(desk: Requests) -> None:
    """beh:F5 beh:F6: expired; the deal could still open at that second."""
    world, before = desk.world, desk.money()
    request = desk.ask()
    world.pass_to(request.terms.expiry)
    with expect_revert("RequestStillOpen", expiry=request.terms.expiry, time=request.terms.expiry):
        unopened(desk, request)
    with world.evm.snapshot():
        desk.matched(request, expiry=request.terms.expiry)
    world.pass_to(request.terms.expiry + 1)
    unopened(desk, request, sender=world.keeper)
    assert desk.client.lastFailure() == (JobOutcome.EXPIRED, ZERO, 0, 0)
    assert desk.state(request) == (DELIVERED, JobOutcome.EXPIRED) and desk.money() == before
    with expect_revert("RequestClosed", outcome=JobOutcome.EXPIRED):
        unopened(desk, request)


@pytest.mark.parametrize("how", ["cancel", "floor"])
def test_deliver_unopened__of_a_cancelled_offer__says_so_at_once(desk: Requests, how: str) -> None:
    """beh:F6: cancelled, by nonce or below a floor."""
    world = desk.world
    request = desk.ask_raw(nonce=5)
    arguments = {"cancel": (desk.hostile, False, [request.terms.nonce])}
    arguments["floor"] = (desk.hostile, [world.token], request.terms.nonce + 1, 0)
    name = {"cancel": "cancel", "floor": "cancelBelow"}[how]
    desk.hostile.execute(world.core, world.core.calldata(name, *arguments[how]))
    unopened(desk, request)
    assert desk.state(request) == (DELIVERED, JobOutcome.CANCELLED)


def test_deliver_unopened__of_an_offer_at_the_floor__is_refused_since_it_can_still_open(desk: Requests) -> None:
    """beh:F5 beh:F6: a floor cancels what is below it, and not the offer that stands on it."""
    world = desk.world
    request = desk.ask_raw(nonce=5)
    nonce, expiry = request.terms.nonce, request.terms.expiry
    desk.hostile.execute(world.core, world.core.calldata("cancelBelow", desk.hostile, [world.token], nonce, 0))
    with expect_revert("RequestStillOpen", requestId=request.id, expiry=expiry, time=world.evm.timestamp):
        unopened(desk, request)


def test_deliver_unopened__while_a_deal_is_open__is_refused_even_when_cancelled_and_expired(desk: Requests) -> None:
    """A used nonce: the deal's end is the outcome."""
    world, request = desk.world, desk.ask()
    deal = desk.matched(request)
    desk.client.cancel(request.id)
    world.pass_to(request.terms.expiry + 1)
    with expect_revert("RequestNonceSpent", requester=desk.client, nonce=request.terms.nonce):
        unopened(desk, request)
    world.resolver.timeoutSubmit(deal.words)
    desk.jobs.deliverFailure(deal.words)
    assert desk.state(request) == (DELIVERED, JobOutcome.LATE)


def test_deliver_unopened__of_other_terms__is_unknown(desk: Requests) -> None:
    request = desk.ask()
    desk.world.pass_to(request.terms.expiry + 1)
    for terms, inputs in (
        (request.terms._replace(nonce=request.terms.nonce + 1), request.inputs_digest),
        (request.terms._replace(expiry=request.terms.expiry - 9), request.inputs_digest),
        (request.terms, hashlib.sha256(b"other").digest()),
    ):
        with expect_revert("RequestUnknown"):
            desk.jobs.deliverUnopened(request.requester, terms, inputs)


# ---- again, or without a callback


def test_deliver__to_a_client_that_refuses__is_recorded_and_anyone_may_try_again(desk: Requests) -> None:
    """beh:F10"""
    request = desk.ask()
    deal, parts = desk.paid(request)
    desk.client.setRefusing(True)
    receipt = desk.deliver(deal, parts)
    failed = receipt.event("CallbackFailed")
    assert receipt.value is False and failed["reason"] == keccak256(b"NotNow()")[:4]
    assert desk.state(request) == (FAILED, JobOutcome.FULFILLED) and not receipt.events("JobDelivered")
    desk.client.setRefusing(False)
    desk.world.pass_to(desk.world.evm.timestamp + 10**8)
    desk.deliver(deal, parts, sender=desk.world.challenger)
    assert desk.state(request) == (DELIVERED, JobOutcome.FULFILLED) and desk.client.results() == 1


def test_deliver_unopened__again_later__keeps_the_outcome_that_was_recorded(desk: Requests) -> None:
    """beh:F10: what was Expired stays so, though the client cancelled meanwhile."""
    request = desk.ask()
    desk.client.setRefusing(True)
    desk.world.pass_to(request.terms.expiry + 1)
    unopened(desk, request)
    desk.client.cancel(request.id)
    desk.client.setRefusing(False)
    unopened(desk, request)
    assert desk.client.lastFailure()[0] == JobOutcome.EXPIRED
    assert desk.state(request) == (DELIVERED, JobOutcome.EXPIRED)


@pytest.mark.parametrize("end", ["paid", "late"])
def test_deliver_unopened__of_a_request_whose_callback_failed__cannot_turn_its_outcome(desk: Requests, end: str) -> None:
    """A result that the client refused for a moment is not reported as a failure by whoever comes next."""
    request = desk.ask()
    desk.client.setRefusing(True)
    if end == "paid":
        desk.deliver(*desk.paid(request))
    else:
        desk.jobs.deliverFailure(desk.late(request).words)
    desk.client.setRefusing(False)
    desk.world.pass_to(request.terms.expiry + 1)
    with expect_revert("RequestNonceSpent", requester=desk.client):
        unopened(desk, request)
    assert desk.state(request)[0] is FAILED and desk.client.failures() == 0


def test_result_of__is_the_answer_without_a_callback(desk: Requests) -> None:
    """beh:F10: an outcome can be pulled, before and after its delivery."""
    request = desk.ask()
    deal, parts = desk.paid(request)
    request_id, result = desk.jobs.resultOf(deal.words, parts, b"moo\n")
    desk.deliver(deal, parts)
    assert (request_id, tuple(result)) == (request.id, tuple(desk.client.lastResult()))
    assert desk.jobs.resultOf(deal.words, parts, b"moo\n")[0] == request.id


def test_failure_of__is_the_answer_without_a_callback(desk: Requests) -> None:
    request = desk.ask()
    deal = desk.late(request)
    request_id, failure = desk.jobs.failureOf(deal.words)
    assert (request_id, failure[0]) == (request.id, JobOutcome.LATE)
    with expect_revert("OutcomeNotDue"):
        desk.jobs.resultOf(deal.words, desk.parts(), b"")


# ---- the client acts for itself


def test_client__accepts_waives_and_challenges_by_its_own_calls(verified: Requests) -> None:
    """Protocol 9: the requester accepts, waives and challenges itself."""
    world, client = verified.world, verified.client
    for step in ("waive", "accept"):
        deal = verified.matched(verified.ask())
        parts = verified.submitted(deal)
        getattr(client, step)(deal.id(world.domain), verified.digest(parts))
        agreement = Agreement.WAIVER if step == "waive" else Agreement.ACCEPTANCE
        if step == "accept":
            world.set_seed(deal, drawn=False)
        world.settle(deal, verified.opening(parts), agreement, signature=b"", by=world.keeper)
        assert world.state(deal).status is Status.ACCEPTED
    for step in ("challenge", "challengeDelivery"):
        deal = verified.matched(verified.ask())
        verified.submitted(deal)
        world.set_seed(deal, drawn=False)  # known already, by the deals before
        before = world.free(client)
        getattr(client, step)(deal.words)
        fee = 3 * (deal.seat_fee if step == "challenge" else deal.seat_floor)
        assert before - world.free(client) == fee and world.state(deal).status is Status.IN_MEDIATION


def test_client__appeals_by_its_own_call_out_of_its_ledger_balance(desk: Requests) -> None:
    """Protocol 9: the strategy takes its fee from the appellant's tokens; what it leaves goes back into the ledger."""
    world, client = desk.world, desk.client
    strategy = world.evm.deploy("AppealDesk")
    before = world.free(client)
    with expect_revert("NotAppealable"):
        client.appeal(strategy, world.token, 5 * COIN, strategy.calldata("appeal", world.token, 0))
    assert world.free(client) == before
    client.appeal(strategy, world.token, 5 * COIN, strategy.calldata("appeal", world.token, 3 * COIN))
    assert strategy.appellant() == client.address and world.token.balanceOf(strategy) == 3 * COIN
    assert world.free(client) == before - 3 * COIN
    assert world.token.balanceOf(client) == world.token.allowance(client, strategy) == 0


def test_ten_requests_in_parallel__end_each_in_one_outcome_of_its_own(desk: Requests) -> None:
    """beh:F7"""
    requests = [desk.ask(max_price=(100 + number) * COIN) for number in range(10)]
    results = [desk.paid(request, b"%d" % number) for number, request in enumerate(requests[:5])]
    deals = [desk.late(request) for request in requests[5:8]]
    for request in requests[8:]:
        desk.client.cancel(request.id)
    order = [4, 0, 3, 1, 2]
    for number in order:
        desk.deliver(*results[number], b"%d" % number)
        assert desk.client.lastResult()[11] == b"%d" % number
    for deal in reversed(deals):
        desk.jobs.deliverFailure(deal.words)
    for request in requests[8:]:
        unopened(desk, request)
    expected = [JobOutcome.FULFILLED] * 5 + [JobOutcome.LATE] * 3 + [JobOutcome.CANCELLED] * 2
    assert [desk.state(request) for request in requests] == [(DELIVERED, outcome) for outcome in expected]
    assert (desk.client.results(), desk.client.failures(), desk.money()["client locked"]) == (5, 5, 0)


def test_callback__forged_or_for_a_foreign_request__is_refused_by_the_base_contract(desk: Requests) -> None:
    """beh:F12"""
    request = desk.ask()
    deal, parts = desk.paid(request)
    _, result = desk.jobs.resultOf(deal.words, parts, b"moo\n")
    with expect_revert("CallerNotJobs", caller=desk.world.challenger):
        desk.client.onJobResult(request.id, result, sender=desk.world.challenger)
    with expect_revert("CallerNotJobs"):
        desk.client.onJobFailure(request.id, (JobOutcome.LATE, ZERO, 0, 0), sender=desk.world.keeper)
    toolkit = desk.world.evm.deploy("PuppetToolkit", desk.world.parameters, NOBODY)
    client = desk.world.evm.deploy("RecordingClient", toolkit)
    with expect_revert("RequestNotOurs", requestId=request.id):
        toolkit.execute(client, client.calldata("onJobResult", request.id, result))


def test_request_of__unknown__is_zero(desk: Requests) -> None:
    assert desk.jobs.requestOf(ZERO) == (NOBODY, 0, 0, RequestState.NONE, JobOutcome.NONE)
