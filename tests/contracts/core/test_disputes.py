"""How disputes begin, who pays for them, what is repaid; and what a hostile strategy can and cannot do.

beh:C10 beh:D5 beh:D6 beh:D7 beh:D20 beh:D23 beh:D26 beh:E3 inv:I30 inv:I38 inv:I40 inv:I44 inv:T33 inv:T36 inv:T42 inv:T49
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.consent import Closing
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import NOBODY, PoolId, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Status, Step, Verdict
from lilypad_agents.protocol.opening import NO_OPENING, ResultOpening, closing_of
from lilypad_agents.protocol.price import audit_fee, challenge_fee, delivery_fee, premium_of
from lilypad_agents.protocol.terms import PoolTerms
from tests.support.evm import Account, Contract, Reverted, decode_error, expect_revert
from tests.support.world import COIN, START_FUND, World


def submitted(world: World, **options: Any) -> tuple[Deal, ResultOpening]:
    deal, _ = world.open(**options)
    return deal, world.submit(deal, units=2)


def account_with(world: World, name: str, amount: int) -> Account:
    account = world.evm.account(name)
    if amount:
        world.core.transferCredit(world.token, [account], [amount], sender=world.challenger)
    return account


def pool_with(world: World, fund: int, **changes: Any) -> PoolTerms:
    """Another pool, whose fund holds just this."""
    pool = replace(world.pool, note=keccak256(repr((fund, changes)).encode()), **changes)
    if fund:
        world.core.transferCredit(world.token, [world.keeper], [fund], sender=world.challenger)
        world.core.donate(pool.strategy, world.token, PoolId(pool.id), fund, sender=world.keeper)
    return pool


# ---- challenges


def test_challenge__costs_three_seat_fees_to_the_unit(world: World) -> None:
    """beh:D5 beh:D6 beh:B17"""
    deal, _ = submitted(world)
    fee = challenge_fee(deal)
    poor = account_with(world, "poor", fee - 1)
    with expect_revert("FundsMissing", account=poor, token=world.token, has=fee - 1, needed=fee):
        world.resolver.challenge(deal.words, sender=poor)
    world.core.transferCredit(world.token, [poor], [1], sender=world.challenger)
    receipt = world.resolver.challenge(deal.words, sender=poor)
    event = receipt.event("DisputeOpened")
    assert (event["by"], event["kind"], event["fee"]) == (poor.address, DisputeKind.CHALLENGE, fee)
    assert (event["fromFund"], event["fromCollateral"]) == (0, 0)
    assert event["deadline"] == world.evm.timestamp + 600 == world.state(deal).deadline
    assert world.free(poor) == 0 and world.free(world.strategy) == fee
    assert world.resolver.disputeOf(deal.id(world.domain)) == (poor.address, 0)


def test_challenge__second_one_in_a_block__is_refused_and_costs_nothing(world: World) -> None:
    """inv:T33 inv:T36"""
    deal, _ = submitted(world)
    first, second = account_with(world, "first", 100 * COIN), account_with(world, "second", 100 * COIN)
    world.resolver.challenge(deal.words, sender=first)
    with expect_revert("DealNotIn", found=Status.IN_MEDIATION, needed=Status.RESULTS_SUBMITTED):
        world.resolver.challenge(deal.words, sender=second)
    assert world.free(second) == 100 * COIN


@pytest.mark.parametrize("seed, kind", [
    (None, DisputeKind.CHALLENGE), (False, DisputeKind.CHALLENGE), (True, DisputeKind.CHALLENGE_DRAWN),
])  # fmt: skip
def test_challenge__earns_a_bounty_unless_the_deal_was_drawn(world: World, seed: bool | None, kind: DisputeKind) -> None:
    """beh:D5 beh:D7"""
    deal, _ = submitted(world)
    if seed is not None:
        world.set_seed(deal, drawn=seed)
    world.resolver.challenge(deal.words, sender=world.challenger)
    assert world.state(deal).kind == kind
    before = world.free(world.challenger)
    world.resolve(deal, Verdict.WRONG, bounty_to=world.challenger)
    earned = deal.collateral // 20 if kind == DisputeKind.CHALLENGE else 0
    assert world.free(world.challenger) == before + earned


def test_challenge__before_a_seed_that_draws_the_deal__stays_what_it_was(world: World) -> None:
    deal, _ = submitted(world)
    world.resolver.challenge(deal.words, sender=world.challenger)
    world.set_seed(deal, drawn=True)
    assert world.state(deal).kind == DisputeKind.CHALLENGE
    with expect_revert("DealNotIn"):
        world.resolver.audit(deal.words, 0)


def test_challenge_delivery__costs_three_seat_floors_and_is_the_creator_s_once(world: World) -> None:
    """beh:C10 inv:T33"""
    deal, _ = submitted(world)
    with expect_revert("NotAuthorised", account=world.creator, caller=world.challenger, scope=4):
        world.resolver.challengeDelivery(deal.words, sender=world.challenger)
    receipt = world.resolver.challengeDelivery(deal.words, sender=world.creator)
    assert receipt.event("DisputeOpened")["fee"] == delivery_fee(deal) == 3 * deal.seat_floor
    world.resolve(deal, Verdict.DELIVERED)
    with expect_revert("DeliveryChallengedBefore"):
        world.resolver.challengeDelivery(deal.words, sender=world.creator)
    world.resolver.challenge(deal.words, sender=world.creator)  # the result itself may still be wrong
    world.resolve(deal, Verdict.WRONG)


def test_challenge_delivery__by_a_delegate__is_paid_by_the_delegate(world: World) -> None:
    """beh:B19"""
    deal, _ = submitted(world)
    key = account_with(world, "key", delivery_fee(deal))
    world.core.grantDelegate(key, 4, 2**40 - 1, [], sender=world.creator)
    free = world.free(world.creator)
    world.resolver.challengeDelivery(deal.words, sender=key)
    assert world.free(key) == 0 and world.free(world.creator) == free


def test_delivered__opens_a_fresh_judge_window_from_then(world: World) -> None:
    """beh:C10 beh:E10 inv:I26"""
    deal, _ = submitted(world)
    world.pass_to(world.state(deal).deadline)
    world.resolver.challengeDelivery(deal.words, sender=world.creator)
    world.pass_to(world.evm.timestamp + 600)
    receipt = world.resolve(deal, Verdict.DELIVERED)
    state = world.state(deal)
    assert state.deadline == world.evm.timestamp + deal.judge_window and state.delivery_challenged
    assert receipt.event("DeliveryConfirmed") == {"dealId": deal.id(world.domain), "judgeDeadline": state.deadline}


# ---- audits


def test_audit__is_paid_by_the_fund(world: World) -> None:
    """beh:D21 beh:D23 inv:I38"""
    deal, _ = submitted(world)
    world.set_seed(deal, drawn=True)
    fund, fee = world.fund(), audit_fee(deal)
    receipt = world.resolver.audit(deal.words, 0, sender=world.solver)
    event = receipt.event("DisputeOpened")
    assert (event["kind"], event["fee"], event["fromFund"]) == (DisputeKind.AUDIT, fee, fee)
    assert world.fund() == fund - fee and world.free(world.strategy) == fee and world.free(world.solver) == 0


@pytest.fixture
def short(world: World) -> tuple[World, Deal, ResultOpening, int]:
    """A drawn deal whose fund was enough at opening and is one seat fee now, since another deal was audited."""
    probe, _ = world.open()
    fee = audit_fee(probe)
    pool = pool_with(world, fee + fee // 4)
    first, _ = submitted(world, pool=pool)
    second, result = submitted(world, pool=pool)
    for deal in (first, second):
        world.set_seed(deal, drawn=True)
        if deal is first:
            world.resolver.audit(deal.words, 0, sender=world.keeper)
    assert world.fund(pool) == fee // 4
    return replace(world, pool=pool), second, result, fee


def test_audit__of_a_short_fund__waits_for_an_advance(short: tuple[World, Deal, ResultOpening, int]) -> None:
    """beh:D23"""
    world, deal, _, fee = short
    has, missing = fee // 4, fee - fee // 4
    with expect_revert("FundShort", fund=has, needed=fee, maxAdvance=missing - 1):
        world.resolver.audit(deal.words, missing - 1, sender=world.challenger)
    poor = account_with(world, "poor", missing - 1)
    with expect_revert("FundsMissing", account=poor, has=missing - 1, needed=missing):
        world.resolver.audit(deal.words, 2**256 - 1, sender=poor)
    before = world.free(world.challenger), world.free(world.strategy)
    receipt = world.resolver.audit(deal.words, missing, sender=world.challenger)
    assert (receipt.event("DisputeOpened")["fee"], receipt.event("DisputeOpened")["fromFund"]) == (fee, has)
    assert world.free(world.challenger) == before[0] - missing and world.free(world.strategy) == before[1] + fee
    assert world.fund() == 0
    assert world.resolver.disputeOf(deal.id(world.domain)) == (world.challenger.address, missing)


def test_audit__of_a_fund_short_by_one_unit__is_refused_to_whoever_has_not_even_that(
    short: tuple[World, Deal, ResultOpening, int],
) -> None:
    """beh:D23: with the refusal that says what is missing, not with the ledger's."""
    world, deal, _, fee = short
    _fill(world, fee - fee // 4 - 1)
    with expect_revert("FundsMissing", account=world.keeper, token=world.token, has=0, needed=1):
        world.resolver.audit(deal.words, 1, sender=world.keeper)
    world.resolver.audit(deal.words, 1, sender=world.challenger)
    assert world.resolver.disputeOf(deal.id(world.domain)) == (world.challenger.address, 1)


@pytest.mark.parametrize("ending", ["correct", "wrong", "no fault", "timeout"])
def test_advance__is_repaid_by_the_fund_once_the_deal_ended__in_parts_and_once(
    short: tuple[World, Deal, ResultOpening, int], ending: str
) -> None:
    """beh:D23 beh:E5 inv:I38"""
    world, deal, result, fee = short
    missing = fee - fee // 4
    world.resolver.audit(deal.words, missing, sender=world.challenger)
    with world.evm.snapshot():
        _fill(world, missing)
        with expect_revert("AdvanceNotDue"):  # before the deal ended, whatever the fund holds
            world.resolver.repayAdvance(deal.words)
    before = world.free(world.challenger)
    if ending == "timeout":
        world.pass_to(world.state(deal).deadline + 1)
        world.resolver.timeoutMediation(deal.words)
    elif ending == "correct":
        world.resolve(deal, Verdict.CORRECT, result)
    elif ending == "wrong":
        world.resolve(deal, Verdict.WRONG, claim=deal.collateral - deal.value - premium_of(deal))
    else:
        world.resolve(deal, Verdict.NO_FAULT)
    paid = 0
    while paid < missing:
        there = world.fund()
        assert there > 0, "the premium reaches the fund on every ending"
        receipt = world.resolver.repayAdvance(deal.words, sender=world.keeper)
        amount = min(there, missing - paid)
        paid += amount
        assert receipt.event("AdvanceRepaid")["amount"] == amount and receipt.event("AdvanceRepaid")["to"] == world.challenger.address
        assert world.free(world.challenger) == before + paid
        assert world.resolver.disputeOf(deal.id(world.domain)) == (world.challenger.address, missing - paid)
        if paid < missing:
            with expect_revert("AdvanceNotDue"):  # an empty fund owes on
                world.resolver.repayAdvance(deal.words)
            _fill(world, missing // 2)
            before = world.free(world.challenger) - paid
    _fill(world, COIN)
    with expect_revert("AdvanceNotDue"):
        world.resolver.repayAdvance(deal.words)


def _fill(world: World, amount: int) -> None:
    world.deposit(world.keeper, amount)
    world.core.donate(world.strategy, world.token, PoolId(world.pool.id), amount, sender=world.keeper)


def test_repay_advance__of_deals_without_one__pays_nobody(world: World) -> None:
    """inv:I38: challengers, auditors whom the fund paid, deals that never were disputed."""
    challenged, _ = submitted(world)
    world.resolver.challenge(challenged.words, sender=world.challenger)
    world.resolve(challenged, Verdict.WRONG)
    audited, _ = submitted(world)
    world.set_seed(audited, drawn=True)
    world.resolver.audit(audited.words, 10**30, sender=world.challenger)
    world.resolve(audited, Verdict.WRONG)
    plain, result = submitted(world)
    world.settle(plain, result, Agreement.WAIVER)
    declined = world.pair()
    deal, _ = world.open(declined)
    world.resolver.decline(deal.words, declined.job.words(), sender=world.provider)
    for each in (challenged, audited, plain, deal):
        with expect_revert("AdvanceNotDue"):
            world.resolver.repayAdvance(each.words)


def test_audit_of_a_lost_seed__leaves_a_short_fund_alone(short: tuple[World, Deal, ResultOpening, int]) -> None:
    world, deal, _, fee = short
    world.lose_seed(deal)
    has, locked = world.fund(), world.locked(world.provider)
    world.resolver.audit(deal.words, 0, sender=world.solver)
    assert world.fund() == has and world.locked(world.provider) == locked - fee
    assert world.state(deal).kind == DisputeKind.AUDIT_EXPIRED


# ---- verdicts


@pytest.mark.parametrize("kind", ["challenge", "challengeDelivery"])
@pytest.mark.parametrize("caller", ["creator", "provider", "publisher", "challenger", "keeper"])
def test_resolve__by_anybody_but_the_strategy_of_the_record__is_refused(world: World, kind: str, caller: str) -> None:
    """inv:I40"""
    deal, result = submitted(world)
    world.resolver.method(kind)(deal.words, sender=world.creator)
    account = getattr(world, caller)
    for verdict in Verdict:
        with expect_revert("StrategyOnly", strategy=world.strategy, caller=account):
            world.resolver.resolve(deal.words, verdict, result, 0, account, sender=account)


def test_resolve__answers_once(world: World) -> None:
    """inv:I4 inv:T42: a strategy that changes its answer is not heard."""
    deal, result = submitted(world)
    world.resolver.challenge(deal.words, sender=world.challenger)
    world.resolve(deal, Verdict.WRONG)
    for verdict in Verdict:
        with expect_revert("DealNotIn", found=Status.MEDIATION_REJECTED, needed=Status.IN_MEDIATION):
            world.resolve(deal, verdict, result)


def test_resolve_correct__with_another_opening__is_refused(world: World) -> None:
    """inv:I25"""
    deal, result = submitted(world)
    world.resolver.challenge(deal.words, sender=world.challenger)
    for wrong in (NO_OPENING, world.result(deal, units=9), result._replace(salt=bytes(32))):
        with expect_revert("CommitmentMismatch", posted=world.commitment(deal, result)):
            world.resolve(deal, Verdict.CORRECT, wrong)


@pytest.mark.parametrize("verdict", [Verdict.WRONG, Verdict.NO_FAULT, Verdict.DELIVERED])
def test_resolve__verdicts_that_need_no_opening__ignore_it(world: World, verdict: Verdict) -> None:
    deal, _ = submitted(world)
    call = world.resolver.challengeDelivery if verdict == Verdict.DELIVERED else world.resolver.challenge
    call(deal.words, sender=world.creator)
    world.resolve(deal, verdict, ResultOpening(b"\xff" * 32, b"\xff" * 32, b"\xff" * 32))


# ---- hostile strategies


class Rogue:
    """A deal in a pool whose strategy is a puppet, beside an honest deal of the same parties in the honest pool."""

    def __init__(self, world: World) -> None:
        self.puppet = world.evm.deploy("Puppet")
        self.honest = world
        self.pool = replace(world.pool, strategy=self.puppet.address, note=keccak256(b"rogue"))
        self.world = replace(world, strategy=self.puppet, pool=self.pool)
        world.deposit(world.keeper, START_FUND)
        world.core.donate(self.puppet, world.token, PoolId(self.pool.id), START_FUND, sender=world.keeper)

    def says(self, contract: Contract, name: str, *arguments: Any) -> tuple[Contract, bytes]:
        return contract, contract.calldata(name, *arguments)

    def runs(self, *calls: tuple[Contract, bytes]) -> list[str]:
        """All in one transaction; the name of each error, empty for none."""
        endings = self.puppet.run(list(calls)).value
        return ["" if ok else decode_error(answer).name for ok, answer in endings]


@pytest.fixture
def rogue(world: World) -> Rogue:
    return Rogue(world)


def test_rogue_strategy__on_deals_of_another_strategy__is_refused_every_answer(rogue: Rogue) -> None:
    """inv:I30 inv:I40 inv:T42 inv:T49"""
    honest = rogue.honest
    deal, result = submitted(honest)
    honest.resolver.challenge(deal.words, sender=honest.challenger)
    before = honest.ledger(deal), honest.state(deal)
    calls = [
        rogue.says(honest.resolver, "resolve", deal.words, verdict, result, claim, rogue.puppet)
        for verdict in Verdict for claim in (0, 1)
    ]  # fmt: skip
    assert set(rogue.runs(*calls)) == {"StrategyOnly"}
    forged = replace(deal, strategy=rogue.puppet.address)  # another record is another deal
    assert rogue.runs(rogue.says(honest.resolver, "resolve", forged.words, 1, result, 0, rogue.puppet)) == ["DealNotIn"]
    assert (honest.ledger(deal), honest.state(deal)) == before


def test_rogue_strategy__answering_everything_at_once__gets_one_answer_within_its_bounds(rogue: Rogue) -> None:
    """inv:I40 inv:I44 inv:T42"""
    world = rogue.world
    deal, result = submitted(world)
    world.resolver.challenge(deal.words, sender=world.challenger)
    honest_deal, _ = submitted(rogue.honest)
    others = rogue.honest.ledger(honest_deal)
    most = deal.collateral - deal.value - premium_of(deal)
    says = rogue.says
    answers = rogue.runs(
        says(world.resolver, "resolve", deal.words, Verdict.WRONG, result, most + 1, rogue.puppet),
        says(world.resolver, "resolve", deal.words, Verdict.CORRECT, result, challenge_fee(deal) + 1, rogue.puppet),
        says(world.resolver, "resolve", deal.words, Verdict.NO_FAULT, result, 1, rogue.puppet),
        says(world.resolver, "resolve", deal.words, Verdict.DELIVERED, result, 0, rogue.puppet),
        says(world.resolver, "resolve", deal.words, Verdict.NOT_DELIVERED, result, 0, rogue.puppet),
        says(world.resolver, "resolve", deal.words, Verdict.WRONG, result, most, rogue.puppet),
        says(world.resolver, "resolve", deal.words, Verdict.WRONG, result, most, rogue.puppet),
        says(world.core, "conclude", (deal.id(world.domain), 3, 6, 0, [], 0, bytes(32), 0, 0, bytes(32), 0, 0, 0)),
        says(world.core, "payFromFund", rogue.puppet, world.token, PoolId(rogue.pool.id), rogue.puppet, 1),
        says(world.core, "releaseNonce", world.creator, 1),
        says(world.core, "transferCredit", world.token, [world.keeper], [most]),
    )
    assert answers == [
        "ClaimTooHigh", "ClaimTooHigh", "ClaimTooHigh", "VerdictNotPossible", "VerdictNotPossible", "", "DealNotIn",
        "ResolverOnly", "ResolverOnly", "ResolverOnly", "",
    ]  # fmt: skip
    after = rogue.honest.ledger(honest_deal)
    payout = payouts.found_wrong(deal, 100, claim=most)
    # The creator was made whole although the strategy took all it could; nobody else's money moved.
    assert after["creator"] - others["creator"] == payout.creator == world_total(deal) + deal.value
    assert after["keeper"] - others["keeper"] == most
    changed = {name for name in others if after[name] != others[name]}
    assert changed == {"creator", "creator locked", "provider locked", "keeper"}


def world_total(deal: Deal) -> int:
    return payouts.escrow(deal, 100) - deal.collateral


@pytest.mark.parametrize("habit", [0, 1, 2])
@pytest.mark.parametrize("dispute", ["challenge", "challengeDelivery", "audit"])
def test_strategy_that_reverts_burns_gas_or_talks_nonsense__holds_a_deal_until_its_deadline_only(
    world: World, habit: int, dispute: str
) -> None:
    """beh:D26 inv:I5 inv:I40 inv:T42: nothing ever calls it."""
    strategy = world.evm.deploy("HostileStrategy", habit)
    pool = replace(world.pool, strategy=strategy.address)
    world.deposit(world.keeper, START_FUND)
    world.core.donate(strategy, world.token, PoolId(pool.id), START_FUND, sender=world.keeper)
    own = replace(world, strategy=strategy, pool=pool)
    deal, _ = submitted(own)
    if dispute == "audit":
        own.set_seed(deal, drawn=True)
    arguments = (0,) if dispute == "audit" else ()
    own.resolver.method(dispute)(deal.words, *arguments, sender=own.creator, gas=500_000)
    own.pass_to(own.state(deal).deadline + 1)
    free = own.free(own.creator), own.free(own.provider)
    own.resolver.timeoutMediation(deal.words, sender=own.keeper, gas=500_000)
    payout = payouts.no_fault(deal, 100)
    assert own.free(own.creator) - free[0] == payout.creator and own.free(own.provider) - free[1] == payout.provider


@pytest.mark.parametrize("role", ["creator", "provider"])
def test_strategy_that_is_a_party__pays_and_is_paid_as_both(world: World, role: str) -> None:
    """inv:I1 inv:I6: one account in two lines of one outcome."""
    puppet = world.evm.deploy("Puppet")
    pool = replace(world.pool, strategy=puppet.address)
    world.deposit(world.keeper, START_FUND)
    world.core.donate(puppet, world.token, PoolId(pool.id), START_FUND, sender=world.keeper)
    world.core.transferCredit(world.token, [puppet], [1_000 * COIN], sender=world.challenger)
    pair = world.pair(
        {"creator": puppet} if role == "creator" else None, {"provider": puppet} if role == "provider" else None, pool=pool
    )
    offer = pair.job if role == "creator" else pair.resource
    digest = world.domain.digest(offer.struct_hash)
    puppet.execute(world.core, world.core.calldata("approve", puppet, digest, True))
    pair = pair._replace(**{"job_signature" if role == "creator" else "resource_signature": b""})
    deal, deal_id = world.open(pair)
    result = world.result(deal)
    data = world.core.calldata("submitResult", deal_id, world.commitment(deal, result))
    if role == "provider":
        puppet.execute(world.core, data)
    else:
        world.evm.transact(world.core, data, sender=world.provider)
    held = world.core.heldOf(world.token)
    puppet.execute(world.resolver, world.resolver.calldata("challenge", deal.words))
    most = deal.collateral - deal.value - premium_of(deal)
    puppet.execute(world.resolver, world.resolver.calldata("resolve", deal.words, Verdict.WRONG, result, most // 2, puppet))
    bounty = min(deal.collateral // 20, most - most // 2)
    creator = world_total(deal) + deal.value
    start = 1_000 * COIN - (world_total(deal) if role == "creator" else deal.collateral)
    assert world.free(puppet) == start + most // 2 + bounty + (creator if role == "creator" else 0)
    assert world.locked(puppet) == 0 and world.core.heldOf(world.token) == held


def test_deal_of_a_rogue_pool__never_reaches_the_honest_fund(rogue: Rogue) -> None:
    """inv:I38 inv:T49: not by audits, advances, verdicts, sweeps or closings."""
    world, honest = rogue.world, rogue.honest
    fund = honest.fund()
    for verdict in (Verdict.CORRECT, Verdict.WRONG, Verdict.NO_FAULT):
        deal, result = submitted(world)
        world.set_seed(deal, drawn=True)
        world.resolver.audit(deal.words, 10**30, sender=world.challenger)
        rogue.runs(rogue.says(world.resolver, "resolve", deal.words, verdict, result, 0, rogue.puppet))
        assert world.state(deal).status in (Status.MEDIATION_ACCEPTED, Status.MEDIATION_REJECTED, Status.NO_FAULT)
    deal, result = submitted(world)
    world.settle(deal, result, Agreement.WAIVER)
    world.sweep(deal)
    assert honest.fund() == fund


# ---- batches


def test_step_batch__takes_the_same_step_for_many__all_or_none(world: World) -> None:
    """beh:B13"""
    deals = [world.open()[0] for _ in range(3)]
    world.pass_to(world.evm.timestamp + 61)
    words = [deal.words for deal in deals]
    with expect_revert("DealNotIn", found=Status.TIMED_OUT):
        world.resolver.stepBatch(Step.TIMEOUT_SUBMIT, [*words, words[0]], 0)
    assert {world.state(deal).status for deal in deals} == {Status.AGREED}
    receipt = world.resolver.stepBatch(Step.TIMEOUT_SUBMIT, words, 0, sender=world.keeper)
    assert len(receipt.events("DealTimedOut")) == 3
    assert world.free(world.keeper) == sum(deal.value // 100 for deal in deals)
    world.resolver.stepBatch(Step.AUDIT, [], 0)


@pytest.mark.parametrize("step", Step)
def test_step_batch__each_step__does_what_the_single_call_does(world: World, step: Step) -> None:
    deal, result = (world.open()[0], None) if step == Step.TIMEOUT_SUBMIT else submitted(world)
    maximum = 0
    if step in (Step.AUDIT, Step.REPAY_ADVANCE, Step.TIMEOUT_MEDIATION):
        world.set_seed(deal, drawn=True)
    if step == Step.TIMEOUT_REVEAL:
        world.set_seed(deal, drawn=False)
        world.pass_to(world.evm.timestamp + 91)
    if step == Step.TIMEOUT_SUBMIT:
        world.pass_to(world.evm.timestamp + 61)
    if step == Step.TIMEOUT_MEDIATION:
        world.pass_to(world.evm.timestamp + 661)
    sender = world.creator
    if step == Step.REPAY_ADVANCE:
        with expect_revert("AdvanceNotDue"):
            world.resolver.stepBatch(step, [deal.words], maximum, sender=sender)
        return
    with world.evm.snapshot():
        name = "".join(part.capitalize() for part in step.name.lower().split("_"))
        single = name[0].lower() + name[1:]
        world.resolver.method(single)(deal.words, *([maximum] if step == Step.AUDIT else []), sender=sender)
        expected = world.ledger(deal), world.state(deal)
    world.resolver.stepBatch(step, [deal.words], maximum, sender=sender)
    assert (world.ledger(deal), world.state(deal)) == expected


@pytest.mark.parametrize("step", [7, 8, 255])
def test_step_batch__of_an_unknown_step__is_refused(world: World, step: int) -> None:
    deal, _ = submitted(world)
    data = bytearray(world.resolver.calldata("stepBatch", Step.AUDIT, [deal.words], 0))
    data[4:36] = step.to_bytes(32, "big")
    with pytest.raises(Reverted):
        world.evm.transact(world.resolver, bytes(data), sender=world.creator)


def test_decline_and_close_batches__take_lists_of_equal_length(world: World) -> None:
    pairs = [world.pair() for _ in range(2)]
    deals = [world.open(pair)[0] for pair in pairs]
    words, jobs = [deal.words for deal in deals], [pair.job.words() for pair in pairs]
    with expect_revert("BatchLengthsDiffer", left=2, right=1):
        world.resolver.declineBatch(words, jobs[:1], sender=world.provider)
    with expect_revert("BatchLengthsDiffer", left=2, right=0):
        world.resolver.closeBatch(words, [], sender=world.provider)
    with expect_revert("JobOfferMismatch"):
        world.resolver.declineBatch(words, jobs[::-1], sender=world.provider)
    with world.evm.snapshot():
        world.resolver.declineBatch(words, jobs, sender=world.provider)
        assert {world.state(deal).status for deal in deals} == {Status.DECLINED}
    closings = []
    for deal in deals:
        terms = Closing(deal.id(world.domain), payouts.escrow(deal, 100), 0, 2**40 - 1)
        closings.append(closing_of(terms, world.sign(terms, world.creator), world.sign(terms, world.provider)))
    with expect_revert("SignatureInvalid"):
        world.resolver.closeBatch(words, closings[::-1])
    world.resolver.closeBatch(words, closings)
    assert {world.state(deal).status for deal in deals} == {Status.CLOSED_BY_AGREEMENT}


def test_nobody_as_beneficiary__leaves_the_part_where_it_belongs(world: World) -> None:
    """beh:A4: no credit of the zero address ever."""
    deal, _ = submitted(world)
    world.resolver.challenge(deal.words, sender=world.challenger)
    world.resolve(deal, Verdict.WRONG, bounty_to=NOBODY)
    late, _ = submitted(world)
    world.resolver.challengeDelivery(late.words, sender=world.creator)
    world.resolve(late, Verdict.NOT_DELIVERED, bounty_to=NOBODY)
    assert world.core.accountOf(world.token, NOBODY) == (0, 0, 0, 0)
