"""Submitting and settling, single, in groups and in batches; commitments and the lottery.

beh:B13 beh:B14 beh:C1 beh:C3 beh:C4 beh:C7 beh:C9 beh:C11 beh:D21 beh:D22 inv:I4 inv:I12 inv:I25 inv:I30 inv:I32 inv:I36 inv:T28 inv:T34 inv:T38 inv:T50 inv:T51
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.consent import Result, Scope, by_delegate
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.digest import deciding_period, is_drawn, result_digest
from lilypad_agents.protocol.ids import NOBODY, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, Status
from lilypad_agents.protocol.opening import (
    Pair,
    ResultOpening,
    Settlement,
    Settling,
    SignedResult,
    opening_of,
    settlements_of,
    waived_at_once,
)
from lilypad_agents.protocol.price import charge, locked_total
from tests.support.evm import Receipt, decode_error, expect_revert
from tests.support.world import COIN, PERIOD_BLOCKS, World

FOREVER = 2**40 - 1


def deal_of(pair: Pair) -> Deal:
    return deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)


def opened(world: World, count: int, **options: Any) -> list[Deal]:
    """Deals of one group, which share the first four words of their records and where fees accrue."""
    resource = world.resource(**options.pop("resource", {}))
    pairs = [world.pair(options.get("job"), resource) for _ in range(count)]
    world.core.open(opening_of(pairs), sender=world.solver)
    return [deal_of(pair) for pair in pairs]


def skipped(receipt: Receipt) -> list[tuple[int, int, str]]:
    return [(event["group"], event["item"], decode_error(event["reason"]).name) for event in receipt.events("Skipped")]


def settle_batch(world: World, settlings: list[Settling], sender: Any = None) -> Receipt:
    return world.core.settleBatch(settlements_of(settlings), sender=sender or world.keeper)


# ---- commitments


def test_submit__of_no_commitment__is_refused(world: World) -> None:
    """beh:C3"""
    deal, deal_id = world.open()
    with expect_revert("CommitmentZero", dealId=deal_id):
        world.core.submitResult(deal_id, 0, sender=world.provider)
    signed = SignedResult(deal_id, 0, world.sign(Result(deal_id, 0), world.provider))
    assert skipped(world.core.submitSignedResults([signed])) == [(0, 0, "CommitmentZero")]


@pytest.mark.parametrize("commitment", [1, 2**160, 2**176 - 1])
def test_submit__any_other_commitment__stands_as_it_was_posted(world: World, commitment: int) -> None:
    """beh:C3 inv:I25 inv:I33"""
    deal, deal_id = world.open()
    receipt = world.core.submitResult(deal_id, commitment, sender=world.provider)
    event = receipt.event("ResultSubmitted")
    state = world.state(deal)
    assert (event["dealId"], event["provider"], event["commitment"]) == (deal_id, world.provider.address, commitment)
    assert (event["judgeDeadline"], event["period"]) == (state.deadline, state.period)
    assert state.commitment == commitment and state.deadline == world.evm.timestamp + deal.judge_window
    with expect_revert("DealNotIn", found=Status.RESULTS_SUBMITTED, needed=Status.AGREED):
        world.core.submitResult(deal_id, commitment ^ 1, sender=world.provider)
    again = SignedResult(deal_id, commitment, world.sign(Result(deal_id, commitment), world.provider))
    reason = decode_error(world.core.submitSignedResults([again]).event("Skipped")["reason"])
    found, needed = Status.RESULTS_SUBMITTED, Status.AGREED
    assert (reason.name, reason.arguments) == ("DealNotIn", {"dealId": deal_id, "found": found, "needed": needed})


def test_settle__with_another_opening_than_was_committed__is_refused(world: World) -> None:
    """beh:C7 inv:I25: neither fewer nor more units, nor another output, nor another salt."""
    deal, deal_id = world.open()
    result = world.submit(deal, units=3)
    world.set_seed(deal, drawn=False)
    posted = world.commitment(deal, result)
    for units in (0, 2, 4, 2**63):
        head = world.result(deal, units=units, salt=result.salt).head
        wrong = ResultOpening(head, result.content, result.salt)
        with expect_revert("CommitmentMismatch", dealId=deal_id, posted=posted, opened=world.commitment(deal, wrong)):
            world.settle(deal, wrong, by=world.creator)
    for wrong in (ResultOpening(result.head, keccak256(b"x"), result.salt), ResultOpening(result.head, result.content, keccak256(b"x"))):
        with expect_revert("CommitmentMismatch"):
            world.settle(deal, wrong, by=world.creator)


def test_commitment__copied_from_another_provider__does_not_open(world: World) -> None:
    """inv:T17: it names deal and provider."""
    first, second = opened(world, 2)
    result = world.submit(first, units=3)
    world.core.submitResult(second.id(world.domain), world.commitment(first, result), sender=world.provider)
    with expect_revert("CommitmentMismatch"):
        world.settle(second, result, Agreement.WAIVER)


def test_settle__a_job_that_failed_or_ran_out_of_units__pays_as_any_other(world: World) -> None:
    """beh:C11"""
    deal, _ = world.open()
    result = world.submit(deal, units=10, exit_code=137)
    receipt = world.settle(deal, result, Agreement.WAIVER)
    assert receipt.event("DealAccepted")["gross"] == deal.value
    assert receipt.event("DealAccepted")["resultDigest"] == result_digest(result.head, result.content)


# ---- one call


def test_open_and_submit__by_the_provider__posts_one_commitment_a_job(world: World) -> None:
    resource = world.resource()
    pairs = [world.pair(resource=resource) for _ in range(3)]
    deals = [deal_of(pair) for pair in pairs]
    results = [world.result(deal, units=2) for deal in deals]
    commitments = [world.commitment(deal, result) for deal, result in zip(deals, results, strict=True)]
    for sender in (world.creator, world.solver, world.keeper):
        with expect_revert("NotAuthorised", account=world.provider, caller=sender, scope=2):
            world.core.openAndSubmit(opening_of(pairs), commitments, sender=sender)
    for wrong in ([], commitments[:2], [*commitments, 1]):
        with expect_revert("BatchLengthsDiffer", left=3, right=len(wrong)):
            world.core.openAndSubmit(opening_of(pairs), wrong, sender=world.provider)
    receipt = world.core.openAndSubmit(opening_of(pairs), commitments, sender=world.provider)
    assert list(receipt.value) == [deal.id(world.domain) for deal in deals]
    assert [tuple(event["record"]) for event in receipt.events("DealOpened")] == [deal.words for deal in deals]
    assert [log.name for log in receipt.logs] == ["DealOpened", "ResultSubmitted"] * 3
    for deal, commitment in zip(deals, commitments, strict=True):
        state = world.state(deal)
        assert (state.status, state.commitment) == (Status.RESULTS_SUBMITTED, commitment)
        assert state.deadline == world.evm.timestamp + deal.judge_window
    world.resolver.challenge(deals[0].words, sender=world.challenger)  # still challengeable


def test_open_and_submit__uses_up_offers_and_locks_as_opening_does(world: World) -> None:
    """beh:C4 inv:I7 inv:I15 inv:I16: nonces, volume, what a delegate may lock, and the money of both, to the unit."""
    key, start = world.evm.account("offer key"), world.ledger(deal_of(world.pair()))
    world.core.grantDelegate(key, Scope.OFFERS, FOREVER, [(world.token, 10_000 * COIN)], sender=world.creator)
    resource = world.resource(volume=2)
    pairs = [world.pair(resource=resource) for _ in range(3)]
    spoken = by_delegate(key.address, key.consent(world.domain.digest(pairs[0].job.struct_hash)))
    pairs[0] = pairs[0]._replace(job_signature=spoken)
    deals = [deal_of(pair) for pair in pairs]
    commitments = [world.commitment(deal, world.result(deal, units=2)) for deal in deals]
    world.core.openAndSubmit(opening_of(pairs[:2]), commitments[:2], sender=world.provider)
    total, collateral = locked_total(deals[0], 100), deals[0].collateral
    moved = {"creator": -2 * total, "creator locked": 2 * total, "provider": -2 * collateral, "provider locked": 2 * collateral}
    now = world.ledger(deals[0])
    assert {name: now[name] - start[name] for name in now if now[name] != start[name]} == moved
    assert world.core.delegateOf(world.creator, key, world.token)[2] == 10_000 * COIN - total
    assert world.core.resourceUse(world.provider, resource.nonce) == 2
    with expect_revert("VolumeUsedUp", used=2, volume=2):
        world.core.openAndSubmit(opening_of(pairs[2:]), commitments[2:], sender=world.provider)
    for pair in pairs[:2]:
        with expect_revert("NonceUsed", nonce=pair.job.nonce):
            world.open(world.pair(pair.job))


@pytest.mark.parametrize("verified", [False, True])
def test_open_submit_and_settle__with_a_waiver__pays_in_one_transaction(world: World, verified: bool) -> None:
    """beh:C4 beh:A12: also in a verified pool, since nobody can know the seed yet; the premium is due."""
    pair = world.pair(**({} if verified else world.unverified()))
    deal = deal_of(pair)
    result = world.result(deal, units=4)
    waiver = world.waiver(deal, result)
    before = world.ledger(deal)
    with expect_revert("NotAuthorised", caller=world.creator):
        world.core.openSubmitAndSettle(opening_of([pair]), result.head, result.content, waiver, sender=world.creator)
    with expect_revert("SignatureInvalid", account=world.creator):
        world.core.openSubmitAndSettle(opening_of([pair]), result.head, result.content, b"", sender=world.provider)
    with expect_revert("SignatureInvalid", account=world.creator):
        other = world.result(deal, units=5)
        world.core.openSubmitAndSettle(opening_of([pair]), other.head, other.content, waiver, sender=world.provider)
    receipt = world.core.openSubmitAndSettle(opening_of([pair]), result.head, result.content, waiver, sender=world.provider)
    assert receipt.value == deal.id(world.domain)
    assert [log.name for log in receipt.logs] == ["DealOpened", "DealAccepted"]
    due, after = charge(deal, 4, 100), world.ledger(deal)
    moved = {name: after[name] - before[name] for name in before if after[name] != before[name]}
    expected = {"creator": -due.total, "provider": due.gross, "royalty": due.royalty, "solver fee": due.solver_fee}
    assert moved == expected | ({"fund": due.to_fund} if due.to_fund else {})
    state = world.state(deal)
    assert (state.status, state.deadline, state.period) == (Status.ACCEPTED, world.evm.timestamp, 0)
    assert state.commitment == world.commitment(deal, result._replace(salt=bytes(32)))  # contracts can still check the result
    with expect_revert("DealExists"):
        world.core.openSubmitAndSettle(opening_of([pair]), result.head, result.content, waiver, sender=world.provider)
    with expect_revert("NonceUsed"):
        world.open(world.pair(pair.job, pool=pair.pool))


@pytest.mark.parametrize("side", ["creator", "provider"])
def test_open_submit_and_settle__without_what_the_steps_would_lock__is_refused(world: World, side: str) -> None:
    """beh:A12: nothing is locked in between, yet a party that could not open the deal cannot be in it."""
    pair = world.pair()
    deal, account = deal_of(pair), getattr(world, side)
    result = world.result(deal, units=0)  # costs less than what would be locked
    needed = locked_total(deal, 100) if side == "creator" else deal.collateral
    world.core.withdraw(world.token, world.free(account) - needed + 1, account, sender=account)
    arguments = opening_of([pair]), result.head, result.content, world.waiver(deal, result)
    with expect_revert("FundsMissing", account=account, has=needed - 1, needed=needed):
        world.core.openSubmitAndSettle(*arguments, sender=world.provider)
    world.deposit(account, 1)
    world.core.openSubmitAndSettle(*arguments, sender=world.provider)
    assert (world.locked(world.creator), world.locked(world.provider)) == (0, 0)


def test_submit_and_settle__with_the_hash_of_other_details__finds_no_deal(world: World) -> None:
    """inv:I31 inv:T44: what settlement does not read is bound all the same, and so is the place where fees accrue."""
    deal, _ = world.open()
    result = world.result(deal, units=1)
    shared, details, *rest = waived_at_once(deal, result, world.waiver(deal, result))
    for other in ((shared, replace(deal, publisher=world.keeper.address).details),
                  ((*shared[:4], replace(deal, solver=world.keeper.address).accrual), details)):  # fmt: skip
        with expect_revert("DealNotIn", found=Status.NONE, needed=Status.AGREED):
            world.core.submitAndSettle(*other, *rest, sender=world.provider)
    world.core.submitAndSettle(shared, details, *rest, sender=world.provider)


@pytest.mark.parametrize("apart", [1, 2, 3])
def test_settle__neighbours_of_two_periods__are_each_asked_of_their_own_seed(world: World, apart: int) -> None:
    """inv:I43: the seed that is kept for the next item is that of its period."""
    first, _ = world.open()
    results = [world.submit(first)]
    world.evm.mine(apart * PERIOD_BLOCKS)
    second, _ = world.open()
    results.append(world.submit(second))
    world.set_seed(first, drawn=False)
    settlings = [
        Settling(deal, result, Agreement.ACCEPTANCE, world.acceptance(deal, result))
        for deal, result in zip((first, second), results, strict=True)
    ]
    assert len(settlements_of(settlings)) == 1
    with world.evm.snapshot():
        assert skipped(settle_batch(world, settlings[::-1])) == [(0, 0, "SeedPending")]
    assert skipped(settle_batch(world, settlings)) == [(0, 1, "SeedPending")]
    world.set_seed(second, drawn=True)
    assert skipped(settle_batch(world, settlings[1:])) == [(0, 0, "DealDrawn")]


def test_open_submit_and_settle__of_none_or_several_jobs__is_refused(world: World) -> None:
    resource = world.resource()
    pairs = [world.pair(resource=resource) for _ in range(2)]
    result = world.result(deal_of(pairs[0]))
    for opening in (opening_of(pairs), opening_of(pairs)._replace(jobs=())):
        with expect_revert("BatchLengthsDiffer", left=len(opening.jobs), right=1):
            world.core.openSubmitAndSettle(opening, result.head, result.content, b"", sender=world.provider)


# ---- batches of results


def test_submit_results__leaves_out_what_cannot_be_posted(world: World) -> None:
    """beh:B13"""
    deals = opened(world, 4)
    ids = [deal.id(world.domain) for deal in deals]
    other = replace(world, provider=world.challenger)
    foreign, foreign_id = other.open()
    world.submit(deals[1])
    receipt = world.core.submitResults(
        [ids[0], ids[1], foreign_id, keccak256(b"?"), ids[2], ids[0], ids[3]], [5, 6, 7, 8, 0, 9, 10], sender=world.provider
    )
    assert skipped(receipt) == [
        (0, 1, "DealNotIn"), (0, 2, "NotAuthorised"), (0, 3, "DealNotIn"), (0, 4, "CommitmentZero"), (0, 5, "DealNotIn")
    ]  # fmt: skip
    assert [event["commitment"] for event in receipt.events("ResultSubmitted")] == [5, 10]
    assert world.state(foreign).status == Status.AGREED
    with expect_revert("BatchLengthsDiffer", left=1, right=2):
        world.core.submitResults([ids[2]], [1, 2], sender=world.provider)


def test_submit_results__past_the_deadline__leaves_out_with_its_figures(world: World) -> None:
    """beh:C2"""
    deal, deal_id = world.open()
    end = world.state(deal).deadline
    world.pass_to(end + 1)
    receipt = world.core.submitResults([deal_id], [1], sender=world.provider)
    reason = decode_error(receipt.event("Skipped")["reason"])
    assert (reason.name, dict(reason.arguments)) == ("DeadlinePassed", {"dealId": deal_id, "deadline": end, "time": end + 1})


# ---- settling in groups


@pytest.mark.parametrize("count", [1, 2, 9])
def test_settle__a_group__pays_the_sum_of_what_each_pays_alone(world: World, count: int) -> None:
    """beh:C15 beh:A2 inv:I30: each deal's fees are rounded on their own."""
    deals = opened(world, count, resource={"price": 10**18 + 7, "unit_price": 1_234_567})
    results = [world.submit(deal, units=number) for number, deal in enumerate(deals)]
    before = world.ledger(deals[0])
    settlings = [
        Settling(deal, result, Agreement.WAIVER, world.waiver(deal, result))
        for deal, result in zip(deals, results, strict=True)
    ]
    (settlement,) = settlements_of(settlings)
    receipt = world.core.settle(settlement, sender=world.keeper)
    parts = [payouts.accepted(deal, number, 100) for number, deal in enumerate(deals)]
    after = world.ledger(deals[0])
    moved = {name: after[name] - before[name] for name in before if after[name] != before[name]}
    assert moved == {
        "creator": sum(part.creator for part in parts),
        "creator locked": -sum(locked_total(deal, 100) for deal in deals),
        "provider": sum(part.provider for part in parts),
        "provider locked": -sum(deal.collateral for deal in deals),
        "royalty": sum(part.royalty for part in parts),
        "solver fee": sum(part.solver for part in parts),
        "fund": sum(part.fund for part in parts),
    }
    assert sum(moved.values()) == 0
    assert len(receipt.events("DealAccepted")) == count


def test_settle__a_group_with_one_bad_item__pays_nobody(world: World) -> None:
    deals = opened(world, 3)
    results = [world.submit(deal) for deal in deals]
    settlings = [Settling(deal, result, Agreement.WAIVER, world.waiver(deal, result)) for deal, result in zip(deals, results, strict=True)]
    settlings[1] = settlings[1]._replace(signature=bytes(66))
    before = world.ledger(deals[0])
    with expect_revert("SignatureInvalid"):
        world.core.settle(settlements_of(settlings)[0])
    assert world.ledger(deals[0]) == before
    assert skipped(settle_batch(world, settlings)) == [(0, 1, "SignatureInvalid")]
    assert [world.state(deal).status for deal in deals] == [Status.ACCEPTED, Status.RESULTS_SUBMITTED, Status.ACCEPTED]
    assert world.locked(world.creator) == locked_total(deals[1], 100)
    assert world.locked(world.provider) == deals[1].collateral


def test_settle__the_same_deal_twice_in_one_call__pays_once(world: World) -> None:
    """beh:C9 inv:I4 inv:T28"""
    deal, _ = world.open()
    result = world.submit(deal)
    settling = Settling(deal, result, Agreement.WAIVER, world.waiver(deal, result))
    (settlement,) = settlements_of([settling, settling])
    with expect_revert("DealNotIn", found=Status.ACCEPTED, needed=Status.RESULTS_SUBMITTED):
        world.core.settle(settlement)
    before = world.ledger(deal)
    assert skipped(world.core.settleBatch([settlement, settlement])) == [(0, 1, "DealNotIn"), (1, 0, "DealNotIn"), (1, 1, "DealNotIn")]
    payout, after = payouts.accepted(deal, 0, 100), world.ledger(deal)
    assert after["provider"] - before["provider"] == payout.provider


def test_settle_batch__over_groups__names_group_and_item_of_what_it_leaves_out(world: World) -> None:
    """beh:B13: pending, drawn, silent, mismatching and finished deals beside good ones."""
    deals = opened(world, 6)
    results = [world.submit(deal, units=1) for deal in deals]
    other, _ = world.open(**world.unverified())
    other_result = world.submit(other)
    seed = world.set_seed(deals[0], drawn=False)
    drawn = [is_drawn(seed, deal.id(world.domain), deal.audit_bps) for deal in deals]
    settlings = [Settling(deal, result, Agreement.ACCEPTANCE, world.acceptance(deal, result)) for deal, result in zip(deals, results, strict=True)]
    settlings[1] = settlings[1]._replace(opening=results[2])
    settlings[2] = settlings[2]._replace(agreement=Agreement.NONE)
    settlings[3] = settlings[3]._replace(signature=b"")
    receipt = settle_batch(world, [*settlings, Settling(other, other_result, Agreement.ACCEPTANCE, world.acceptance(other, other_result))])
    wrong = {1: "CommitmentMismatch", 2: "AgreementMissing", 3: "SignatureInvalid"}
    expected = [(0, index, wrong.get(index, "DealDrawn")) for index in range(6) if index in wrong or drawn[index]]
    assert skipped(receipt) == expected
    assert world.state(other).status == Status.ACCEPTED and world.state(deals[0]).status == Status.ACCEPTED


def test_settle__nothing__does_nothing(world: World) -> None:
    deal, _ = world.open()
    receipt = world.core.settle(Settlement(deal.shared, ()))
    assert not receipt.logs
    world.core.settleBatch([])


def test_settle__nothing__writes_nothing(world: World) -> None:
    """inv:I32: not even the amounts that stand there, so that a static call may do it; one that settles a deal may not."""
    deal, _ = world.open()
    result = world.submit(deal)
    (paying,) = settlements_of([Settling(deal, result, Agreement.WAIVER, world.waiver(deal, result))])
    wallet = world.evm.deploy("Reentrant1271")
    for settlement, works in ((paying._replace(items=()), True), (paying, False)):
        wallet.arm(world.core, world.core.calldata("settle", settlement))
        assert (wallet.isValidSignature(bytes(32), b"") != bytes(4)) is works


def test_settle__deals_that_differ_in_a_shared_word__cannot_ride_together(world: World) -> None:
    """inv:I30 inv:I31: an item is looked up under the group's words, whoever packs it."""
    first, _ = world.open()
    second, _ = world.open(job={"judge_window": 30})
    results = [world.submit(deal) for deal in (first, second)]
    settlements = settlements_of([
        Settling(deal, result, Agreement.WAIVER, world.waiver(deal, result))
        for deal, result in zip((first, second), results, strict=True)
    ])  # fmt: skip
    assert len(settlements) == 2
    merged = settlements[0]._replace(items=settlements[0].items + settlements[1].items)
    assert skipped(world.core.settleBatch([merged])) == [(0, 1, "DealNotIn")]
    assert world.state(second).status == Status.RESULTS_SUBMITTED


@pytest.mark.parametrize("caller", ["creator", "provider", "solver", "publisher", "keeper"])
def test_whoever_settles__changes_nothing(world: World, caller: str) -> None:
    """beh:E5 inv:I32"""
    deal, _ = world.open()
    result = world.submit(deal, units=1)
    world.set_seed(deal, drawn=False)
    before = world.ledger(deal)
    world.settle(deal, result, Agreement.ACCEPTANCE, by=getattr(world, caller))
    after, payout = world.ledger(deal), payouts.accepted(deal, 1, 100)
    assert after["creator"] - before["creator"] == payout.creator
    assert after["provider"] - before["provider"] == payout.provider
    assert after["keeper"] == before["keeper"]


# ---- the lottery


def test_lottery__draws_by_seed_and_deal_alone_at_the_signed_rate(world: World) -> None:
    """inv:I36 inv:T38: chain and Python agree on a hundred deals of one period; acceptance changes nothing."""
    rate = 5_000
    resource = world.resource()
    pairs = [world.pair({"audit_bps": rate, "collateral_bps": 80_000}, resource) for _ in range(100)]
    world.core.open(opening_of(pairs), sender=world.solver)
    deals = [deal_of(pair) for pair in pairs]
    results = [world.submit(deal) for deal in deals]
    seed = keccak256(b"a seed")
    world.randomness.setSeed(deciding_period(world.state(deals[0]).period), seed)
    settlings = [
        Settling(deal, result, Agreement.ACCEPTANCE, world.acceptance(deal, result))
        for deal, result in zip(deals, results, strict=True)
    ]
    drawn = {index for index, deal in enumerate(deals) if is_drawn(seed, deal.id(world.domain), rate)}
    assert 25 < len(drawn) < 75
    assert skipped(settle_batch(world, settlings)) == [(0, index, "DealDrawn") for index in sorted(drawn)]
    for index in drawn:
        world.resolver.audit(deals[index].words, 10**30, sender=world.challenger)


def test_lottery__is_decided_by_the_period_after_the_result_s(world: World) -> None:
    """beh:D21 inv:I12: seeds of the own period, and of the one after next, say nothing."""
    deal, deal_id = world.open()
    result = world.submit(deal)
    period = world.state(deal).period
    assert period == world.evm.number // PERIOD_BLOCKS
    for wrong in (period - 1, period, period + 2):
        world.randomness.setSeed(wrong, bytes(32))
    with expect_revert("SeedPending", dealId=deal_id, period=period + 1):
        world.settle(deal, result, Agreement.ACCEPTANCE)
    with expect_revert("SeedPending", dealId=deal_id, period=period + 1):
        world.resolver.audit(deal.words, 0)
    world.set_seed(deal, drawn=False)
    world.settle(deal, result, Agreement.ACCEPTANCE)


@pytest.mark.parametrize("shift", [0, 1, PERIOD_BLOCKS - 1, PERIOD_BLOCKS])
def test_period__is_that_of_the_block_of_the_result(world: World, shift: int) -> None:
    """inv:T38"""
    deal, _ = world.open()
    start = (world.evm.number // PERIOD_BLOCKS + 1) * PERIOD_BLOCKS
    world.evm.set_block(number=start + shift)
    world.submit(deal)
    assert world.state(deal).period == start // PERIOD_BLOCKS + shift // PERIOD_BLOCKS


def test_lottery__at_the_rate_of_certainty__draws_whatever_the_seed(world: World) -> None:
    """inv:I36"""
    for number in range(5):
        deal, _ = world.open(job={"audit_bps": 10_000, "collateral_bps": 80_000})
        result = world.submit(deal)
        world.randomness.setSeed(deciding_period(world.state(deal).period), keccak256(bytes([number])))
        with expect_revert("DealDrawn"):
            world.settle(deal, result, Agreement.ACCEPTANCE)


def test_unverified_deal__asks_for_no_seed(world: World) -> None:
    deal, _ = world.open(**world.unverified())
    result = world.submit(deal)
    assert world.state(deal).period == 0
    world.settle(deal, result, by=world.creator)


@pytest.mark.parametrize("exit_", ["settle", "settle accepted", "settle waived", "close", "timeoutReveal"])
@pytest.mark.parametrize("lost", [False, True])
def test_once_drawn__no_exit_is_left_but_mediation(world: World, exit_: str, lost: bool) -> None:
    """beh:D20 beh:D22 inv:I37 inv:T50 inv:T51"""
    deal, _ = world.open()
    result = world.submit(deal)
    world.lose_seed(deal) if lost else world.set_seed(deal, drawn=True)
    rest = payouts.escrow(deal, 100)
    with expect_revert("DealDrawn"):
        if exit_ == "close":
            world.close(deal, rest, 0, expiry=2**40 - 1)
        elif exit_ == "timeoutReveal":
            world.pass_to(world.evm.timestamp + 60 + 31)
            world.resolver.timeoutReveal(deal.words)
        else:
            agreement = {"settle": Agreement.NONE, "settle accepted": Agreement.ACCEPTANCE, "settle waived": Agreement.WAIVER}
            world.settle(deal, result, agreement[exit_], by=world.creator)
    assert world.locked(world.provider) == deal.collateral


def test_seed_that_is_lost_after_it_spared_the_deal__makes_the_audit_certain(world: World) -> None:
    """inv:T51: the provider had the duty to settle or record in time."""
    deal, _ = world.open()
    result = world.submit(deal)
    world.set_seed(deal, drawn=False)
    world.lose_seed(deal)
    with expect_revert("DealDrawn"):
        world.settle(deal, result, Agreement.ACCEPTANCE)
    receipt = world.resolver.audit(deal.words, 0, sender=world.keeper)
    assert receipt.event("DisputeOpened")["fromCollateral"] == 4 * deal.seat_fee


@pytest.mark.parametrize("moment", [0, 1, 30, 59, 60])
def test_result_in_the_last_second__leaves_the_full_judge_window(world: World, moment: int) -> None:
    """beh:E10 inv:T34"""
    deal, _ = world.open()
    world.pass_to(world.evm.timestamp + moment)
    world.submit(deal)
    assert world.state(deal).deadline == world.evm.timestamp + deal.judge_window


def test_solver_named_by_nobody__gets_nothing_when_deals_settle(world: World) -> None:
    """beh:B12"""
    deal, _ = world.open(job={"solver": NOBODY, "solver_fee_bps": 1_000})
    result = world.submit(deal)
    world.settle(deal, result, Agreement.WAIVER)
    due = charge(deal, 0, 100)
    assert world.accrued(deal) == (due.royalty, 0, due.to_fund) and due.total == due.gross + due.royalty + due.to_fund


def test_price_of_a_quote__is_what_is_locked_and_what_is_paid(world: World) -> None:
    """beh:C15 inv:I14"""
    pair = world.pair({"max_price": 10 * COIN})
    deal, _ = world.open(pair)
    total = locked_total(deal, 100)
    assert world.locked(world.creator) == total
    result = world.submit(deal, units=deal.max_units)
    world.settle(deal, result, Agreement.WAIVER)
    assert world.free(world.creator) == 1_000_000 * COIN - total
