"""Eight hostile clients: none changes who is paid, none blocks anybody. inv:I17 inv:T9 inv:T10 inv:T11 beh:F8 beh:F9"""

from __future__ import annotations

import pytest

from lilypad_agents.protocol.ids import ZERO
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.requests import JobOutcome, RequestState
from tests.support.evm import Halted, Reverted, decode_error, expect_revert
from tests.support.requests import COIN, Habit, Requests, fund

DELIVERED, FAILED = RequestState.DELIVERED, RequestState.CALLBACK_FAILED
HABITS = {
    "takes": (Habit.TAKE, DELIVERED),
    "reverts": (Habit.REVERT, FAILED),
    "burns": (Habit.BURN, FAILED),
    "returns a megabyte": (Habit.MEGABYTE, DELIVERED),
    "reverts with a megabyte": (Habit.MEGABYTE_ERROR, FAILED),
    "destroys itself": (Habit.DESTROY, DELIVERED),
}
MEGABYTE_GAS = 3_000_000  # its memory costs 2.2 million
OVERHEAD = 90_000  # of a delivery beside the callback, and more than that


def ended(desk: Requests, habit: int, how: str):
    """The request of a hostile client, ended: paid, or late. Answers the delivery as a call."""
    desk.hostile.setHabit(habit)
    request = desk.ask_raw(gas=MEGABYTE_GAS)
    if how == "late":
        deal = desk.late(request)
        return request, lambda **options: desk.jobs.deliverFailure(deal.words, sender=desk.world.keeper, **options)
    if how == "expired":
        desk.world.pass_to(request.terms.expiry + 1)
        arguments = (request.requester, request.terms, request.inputs_digest)
        return request, lambda **options: desk.jobs.deliverUnopened(*arguments, sender=desk.world.keeper, **options)
    deal, parts = desk.paid(request)
    return request, lambda **options: desk.deliver(deal, parts, **options)


@pytest.mark.parametrize("how", ["paid", "late", "expired"])
def test_callbacks__however_they_are_taken__lead_to_the_same_money_and_deal_states(desk: Requests, how: str) -> None:
    """inv:I17: success, revert, burnt gas, a megabyte either way, self-destruction: the same balances."""
    seen = {}
    for name, (habit, state) in HABITS.items():
        with desk.world.evm.snapshot():
            request, deliver = ended(desk, habit, how)
            before = desk.money()
            receipt = deliver()
            assert desk.state(request)[0] is state, name
            assert receipt.value is (state is DELIVERED), name
            assert desk.money() == before, name
            assert receipt.gas_used < MEGABYTE_GAS + OVERHEAD, name
            seen[name] = before
    assert all(money == seen["takes"] for money in seen.values())


def test_callback__that_reverts_with_a_megabyte__leaves_256_bytes_in_the_log(desk: Requests) -> None:
    """inv:T10: return data is not copied beyond the cap."""
    _, deliver = ended(desk, Habit.MEGABYTE_ERROR, "paid")
    failed = deliver().event("CallbackFailed")
    assert len(failed["reason"]) == 256


def test_callback__of_a_destroyed_client__is_a_failure_and_not_a_silent_success(desk: Requests) -> None:
    """inv:T11: a call of an account without code would succeed. The client asked and vanished in one transaction."""
    world = desk.world
    maker = world.evm.deploy("VanishingClients")
    address = maker.next()
    fund(world, world.evm.at("HostileClient", address), 10_000 * COIN)
    terms, inputs = desk.terms(), b"{}"
    offer = terms.offer(address, desk.ask_raw(inputs=inputs).inputs_digest)
    calls = [
        (world.core.address, world.core.calldata("approve", address, world.domain.digest(offer.struct_hash), True)),
        (desk.jobs.address, desk.jobs.calldata("request", terms, inputs, 100_000)),
    ]
    request = desk.requested(maker.makeAndVanish(calls))
    world.evm.erase(address)
    deal, parts = desk.paid(request)
    receipt = desk.deliver(deal, parts)
    assert receipt.event("CallbackFailed")["reason"] == b"" and desk.state(request)[0] is FAILED
    assert world.state(deal).status is Status.ACCEPTED


def test_callback__that_enters_everything_again__finds_every_door_shut(desk: Requests) -> None:
    """inv:I17 beh:F9: the same delivery is closed, other outcomes are not due, money moves only as a call of its own could."""
    world, hostile = desk.world, desk.hostile
    other = desk.ask()
    other_deal, other_parts = desk.paid(other)
    request, _ = ended(desk, Habit.REENTER, "paid")
    deal, parts = desk.paid(desk.ask_raw(gas=3_000_000))
    core, jobs, resolver = world.core, desk.jobs, world.resolver
    terms = desk.terms()
    script = [
        (jobs, jobs.calldata("deliver", deal.words, parts, b"moo\n"), "RequestClosed"),
        (jobs, jobs.calldata("deliverFailure", deal.words), "RequestClosed"),
        (jobs, jobs.calldata("deliverUnopened", hostile, request.terms, request.inputs_digest), "RequestNonceSpent"),
        (jobs, jobs.calldata("request", terms, b"{}", 1), "RequestNotApproved"),
        (core, core.calldata("withdraw", world.token, 10**30, hostile), "CreditInsufficient"),
        (core, core.calldata("deposit", world.token, COIN, hostile), "ERC20InsufficientAllowance"),
        (core, core.calldata("submitResult", deal.id(world.domain), 1), "DealNotIn"),
        (core, core.calldata("approve", world.provider, ZERO, True), "NotAuthorised"),
        (core, core.calldata("cancel", world.provider, True, [1]), "NotAuthorised"),
        (core, core.calldata("releaseNonce", hostile, request.terms.nonce), "ResolverOnly"),
        (core, core.calldata("payFromFund", world.strategy, world.token, ZERO, hostile, 1), "ResolverOnly"),
        (resolver, resolver.calldata("timeoutSubmit", deal.words), "DealNotIn"),
        (resolver, resolver.calldata("timeoutReveal", deal.words), "DealNotIn"),
        (resolver, resolver.calldata("timeoutMediation", deal.words), "DealNotIn"),
        (resolver, resolver.calldata("challenge", deal.words), "DealNotIn"),
        (resolver, resolver.calldata("challengeDelivery", deal.words), "DealNotIn"),
        (resolver, resolver.calldata("audit", deal.words, 0), "DealNotIn"),
        (resolver, resolver.calldata("repayAdvance", deal.words), "AdvanceNotDue"),
        (jobs, jobs.calldata("deliver", other_deal.words, other_parts, b"moo\n"), ""),  # anyone's right, here as elsewhere
    ]
    hostile.setScript([(target.address, data) for target, data, _ in script])
    before = desk.money()
    receipt = desk.deliver(deal, parts)
    assert receipt.value is True and desk.money() == before
    answers = hostile.answers()
    assert len(answers) == len(script)
    for (_, _, error), answer in zip(script, answers, strict=True):
        assert answer[0] == (0 if error else 1), error
        if error:
            assert decode_error(answer[1:]).name == error
    assert desk.state(other) == (DELIVERED, JobOutcome.FULFILLED) and desk.client.results() == 1


# ---- starving


@pytest.mark.parametrize("wanted", [100_000, 400_000, 1_000_000])
def test_delivery__with_any_gas__gives_the_callback_what_it_was_promised_or_reverts(desk: Requests, wanted: int) -> None:
    """inv:T9 beh:F8: a sweep through the 63/64 rule; nobody starves a callback into a recorded failure."""
    desk.hostile.setHabit(Habit.TAKE)
    request = desk.ask_raw(gas=wanted)
    deal, parts = desk.paid(request)
    outcomes = {"reverted": 0, "delivered": 0}
    for gas in range(50_000, wanted * 64 // 63 + 160_000, 7_919):
        with desk.world.evm.snapshot():
            try:
                desk.deliver(deal, parts, gas=gas)
            except (Reverted, Halted):
                outcomes["reverted"] += 1
                continue
            outcomes["delivered"] += 1
            assert desk.state(request)[0] is DELIVERED
            assert desk.hostile.gasSeen() > wanted - 500  # less what its own dispatch took
    assert outcomes["reverted"] > 5 and outcomes["delivered"] > 5


def test_delivery__with_too_little_gas__says_how_much_it_needs(desk: Requests) -> None:
    request = desk.ask_raw(gas=500_000)
    deal, parts = desk.paid(request)
    needed = 500_000 + 500_000 // 63 + 20_000
    with expect_revert("DeliveryGasTooLow", needed=needed):
        desk.deliver(deal, parts, gas=500_000)
    assert desk.state(request)[0] is RequestState.REQUESTED


def test_callback__that_burns_all_its_gas__leaves_enough_to_record_it(desk: Requests) -> None:
    """The reserve pays for the record, at the smallest gas at which the call is made at all."""
    desk.hostile.setHabit(Habit.BURN)
    request = desk.ask_raw(gas=200_000)
    deal, parts = desk.paid(request)
    least = 0
    for gas in range(200_000, 400_000, 1_000):
        with desk.world.evm.snapshot():
            try:
                desk.deliver(deal, parts, gas=gas)
            except (Reverted, Halted) as failure:
                assert getattr(failure, "name", "") == "DeliveryGasTooLow", failure
                continue
            least = gas
            assert desk.state(request)[0] is FAILED
            break
    assert least > 200_000
