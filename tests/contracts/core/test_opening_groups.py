"""Groups and batches of openings, volume, nonces, cancelling, and two openings that want the same.

beh:A8 beh:B1 beh:B4 beh:B9 beh:B10 beh:B11 beh:B13 beh:B14 beh:B15 beh:B16 beh:C12 inv:I15 inv:I16 inv:I32 inv:T6 inv:T28 inv:T39 inv:T40
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.ids import NOBODY
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.offers import ResourceOffer
from lilypad_agents.protocol.opening import Pair, opening_of, openings_of, waived_at_once
from lilypad_agents.protocol.price import locked_total
from lilypad_agents.protocol.units import UINT32_MAX, UNLIMITED_VOLUME
from tests.support.evm import Account, Receipt, _journal_accounts, decode_error, expect_revert
from tests.support.world import COIN, START_CREDIT, World

WHOLE_GROUP = 2**256 - 1


def deal_of(pair: Pair) -> Deal:
    return deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)


def batch(world: World, pairs: Sequence[Pair], sender: Any = None) -> Receipt:
    return world.core.openBatch(openings_of(pairs), sender=sender or world.solver)


def skipped(receipt: Receipt) -> list[tuple[int, int, str]]:
    return [
        (event["group"], event["item"], decode_error(event["reason"]).name) for event in receipt.events("Skipped")
    ]


def statuses(world: World, pairs: Sequence[Pair]) -> list[Status]:
    return [world.state(deal_of(pair)).status for pair in pairs]


def group(world: World, count: int, resource: ResourceOffer | None = None, **job: Any) -> list[Pair]:
    resource = resource or world.resource()
    return [world.pair(job, resource) for _ in range(count)]


def creators(world: World, count: int) -> list[Account]:
    accounts = [world.evm.account(f"creator {number}") for number in range(count)]
    world.core.transferCredit(world.token, accounts, [1_000 * COIN] * count, sender=world.challenger)
    return accounts


def pair_by(world: World, creator: Account, resource: ResourceOffer, **job: Any) -> Pair:
    pair = world.pair({"creator": creator, **job}, resource)
    return pair._replace(job_signature=world.sign(pair.job, creator))


# ---- one group


@pytest.mark.parametrize("count", [1, 2, 17])
def test_open__a_group__opens_each_and_locks_the_sum(world: World, count: int) -> None:
    """beh:B13 beh:B14"""
    pairs = group(world, count)
    receipt = world.core.open(opening_of(pairs), sender=world.keeper)
    deals = [deal_of(pair) for pair in pairs]
    assert list(receipt.value) == [deal.id(world.domain) for deal in deals]
    assert len(set(receipt.value)) == count
    opened = receipt.events("DealOpened")
    for event, deal in zip(opened, deals, strict=True):
        assert tuple(event["record"]) == deal.words
        assert (event["dealId"], event["creator"], event["provider"]) == (deal.id(world.domain), deal.creator, deal.provider)
    assert world.locked(world.creator) == sum(locked_total(deal, 100) for deal in deals)
    assert world.locked(world.provider) == sum(deal.collateral for deal in deals)
    assert world.free(world.creator) + world.locked(world.creator) == START_CREDIT
    assert world.free(world.provider) + world.locked(world.provider) == START_CREDIT


def test_open__nothing__does_nothing(world: World) -> None:
    pair = world.pair()
    receipt = world.core.open(opening_of([pair])._replace(jobs=()))
    assert list(receipt.value) == [] and not receipt.logs
    world.core.openBatch([])


def test_open__a_group_with_one_bad_pair__opens_none(world: World) -> None:
    pairs = [*group(world, 2), world.pair({"max_price": 1})]
    pairs = [pair._replace(resource=pairs[0].resource, resource_signature=pairs[0].resource_signature) for pair in pairs]
    with expect_revert("TermAbove", term=14):
        world.core.open(opening_of(pairs))
    assert statuses(world, pairs) == [Status.NONE] * 3 and world.locked(world.provider) == 0


def test_open_batch__bad_pairs__are_left_out_with_their_reasons_and_spoil_nothing(world: World) -> None:
    """beh:B13"""
    resource, dear = world.resource(), world.resource(price=200 * COIN)
    good = group(world, 3, resource)
    expired = replace(world.job(), expiry=world.evm.timestamp - 1)
    bad_signature = world.pair(resource=resource)._replace(job_signature=bytes(66))
    gone = world.resource(expiry=world.evm.timestamp - 1)
    pairs = [
        good[0], world.pair(expired, resource), good[1], bad_signature, world.pair({"max_price": 5}, resource), good[2],
        good[0], world.pair(resource=gone), world.pair(resource=gone), world.pair(resource=dear),
    ]  # fmt: skip
    receipt = batch(world, pairs)
    assert skipped(receipt) == [
        (0, 1, "OfferExpired"), (0, 3, "SignatureInvalid"), (0, 4, "TermAbove"), (0, 6, "DealExists"),
        (1, WHOLE_GROUP, "OfferExpired"), (2, 0, "TermAbove"),
    ]  # fmt: skip
    assert statuses(world, good) == [Status.AGREED] * 3 and len(receipt.events("DealOpened")) == 3
    assert world.locked(world.provider) == sum(deal_of(pair).collateral for pair in good)
    assert world.locked(world.creator) == sum(locked_total(deal_of(pair), 100) for pair in good)


def test_open_batch__many_creators_repeated__locks_for_each_its_own(world: World) -> None:
    """beh:A1 beh:A8"""
    people = creators(world, 3)
    resource = world.resource()
    pairs = [pair_by(world, people[number % 3], resource) for number in range(7)]
    assert skipped(batch(world, pairs)) == []
    for number, person in enumerate(people):
        owed = sum(locked_total(deal_of(pair), 100) for pair in pairs[number::3])
        assert (world.free(person), world.locked(person)) == (1_000 * COIN - owed, owed)
    assert world.locked(world.provider) == sum(deal_of(pair).collateral for pair in pairs)


def test_open_batch__provider_runs_out_within_a_group__opens_as_far_as_it_reaches(world: World) -> None:
    """beh:B17 inv:I15: the provider's balance is shared by the group and written once."""
    pairs = group(world, 5)
    each = deal_of(pairs[0]).collateral
    world.core.withdraw(world.token, START_CREDIT - 3 * each - 1, world.provider, sender=world.provider)
    receipt = batch(world, pairs)
    assert skipped(receipt) == [(0, 3, "FundsMissing"), (0, 4, "FundsMissing")]
    reason = decode_error(receipt.events("Skipped")[0]["reason"])
    assert (reason.arguments["has"], reason.arguments["needed"]) == (1, each)
    assert (world.free(world.provider), world.locked(world.provider)) == (1, 3 * each)


def test_open_batch__one_side_of_two_groups_is_the_other_of_the_next__each_sees_what_is_left(world: World) -> None:
    """Groups write their provider at their end: the next group must see it, in either role."""
    other = world.evm.account("other")
    deal, _ = world.open()  # for its figures
    total, collateral = locked_total(deal, 100), deal.collateral
    world.core.transferCredit(world.token, [other], [collateral + total], sender=world.challenger)
    as_provider = world.resource(provider=other)
    first = world.pair(resource=as_provider)
    first = first._replace(resource_signature=world.sign(as_provider, other))
    resource = world.resource()
    second, third = pair_by(world, other, resource), pair_by(world, other, resource)
    assert skipped(batch(world, [first, second, third])) == [(1, 1, "FundsMissing")]
    assert (world.free(other), world.locked(other)) == (0, collateral + total)


# ---- volume


@pytest.mark.parametrize("volume", [0, 1, 3])
def test_volume__is_counted_on_chain__over_groups_and_transactions(world: World, volume: int) -> None:
    """beh:B9 inv:I15 inv:T39"""
    resource = world.resource(volume=volume)
    pairs = group(world, volume + 2, resource)
    receipt = batch(world, pairs)
    assert skipped(receipt) == [(0, volume, "VolumeUsedUp"), (0, volume + 1, "VolumeUsedUp")]
    assert world.core.resourceUse(world.provider, resource.nonce) == volume
    with expect_revert("VolumeUsedUp", offerHash=resource.struct_hash, used=volume, volume=volume):
        world.core.open(opening_of([world.pair(resource=resource)]), sender=world.keeper)


def test_volume__of_one_and_two_solvers_in_one_block__one_opens_and_no_money_of_the_other_moves(world: World) -> None:
    """inv:T39"""
    resource = world.resource(volume=1)
    people = creators(world, 2)
    first, second = (pair_by(world, person, resource) for person in people)
    world.core.open(opening_of([first]), sender=world.solver)
    with expect_revert("VolumeUsedUp", used=1, volume=1):
        world.core.open(opening_of([second]), sender=world.keeper)
    assert world.locked(people[1]) == 0 and not world.core.jobNonce(people[1], second.job.nonce)[0]


def test_volume__is_not_given_back_by_a_decline(world: World) -> None:
    resource = world.resource(volume=1)
    pair = world.pair(resource=resource)
    deal, _ = world.open(pair)
    world.resolver.decline(deal.words, pair.job.words(), sender=world.provider)
    with expect_revert("VolumeUsedUp"):
        world.core.open(opening_of([world.pair(resource=resource)]))


def test_volume__of_offers_that_share_a_nonce__is_shared(world: World) -> None:
    """inv:I16: a nonce is one counter."""
    nonce = world.resource().nonce
    first, second = (world.resource(nonce=nonce, volume=2, price=price) for price in (COIN, COIN + 1))
    world.open(world.pair(resource=first))
    world.open(world.pair(resource=second))
    with expect_revert("VolumeUsedUp", used=2, volume=2):
        world.open(world.pair(resource=first))
    with expect_revert("VolumeUsedUp", used=2, volume=1):
        world.open(world.pair(resource=world.resource(nonce=nonce, volume=1)))


def test_volume__of_neighbours_in_the_same_word__is_apart(world: World) -> None:
    """inv:I33"""
    offers = [world.resource(nonce=nonce, volume=UINT32_MAX - 1) for nonce in range(8, 17)]
    for count, offer in enumerate(offers):
        for _ in range(count % 4):
            world.open(world.pair(resource=offer))
    world.core.cancel(world.provider, True, [11], sender=world.provider)
    uses = [world.core.resourceUse(world.provider, offer.nonce) for offer in offers]
    assert uses == [0, 1, 2, UINT32_MAX, 0, 1, 2, 3, 0]


def test_volume__unlimited__writes_no_counter_and_is_bounded_by_collateral(world: World) -> None:
    resource = world.resource(volume=UNLIMITED_VOLUME)
    batch(world, group(world, 3, resource))
    assert world.core.resourceUse(world.provider, resource.nonce) == 0


# ---- nonces


def test_job_nonce__counts_once_per_creator(world: World) -> None:
    """beh:B4 beh:B9 inv:I16"""
    job = world.job()
    world.open(world.pair(job))
    again = replace(job, inputs=bytes(31) + b"\1")
    with expect_revert("NonceUsed", offerHash=again.struct_hash, account=world.creator, nonce=job.nonce):
        world.open(world.pair(again))
    (other,) = creators(world, 1)
    world.open(pair_by(world, other, world.resource(), nonce=job.nonce))  # somebody else's is another


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 129, 255, 256, UINT32_MAX])
def test_job_nonce__at_the_borders_of_its_words__is_its_own_bit(world: World, nonce: int) -> None:
    """inv:I33"""
    world.open(world.pair({"nonce": nonce}))
    for other in {0, 1, 127, 128, 129, 255, 256, UINT32_MAX - 1, UINT32_MAX} - {nonce}:
        assert world.core.jobNonce(world.creator, other) == (False, False)
    assert world.core.jobNonce(world.creator, nonce) == (True, False)
    world.core.cancel(world.creator, False, [nonce], sender=world.creator)
    assert world.core.jobNonce(world.creator, nonce) == (True, True)
    assert world.core.resourceUse(world.creator, nonce) == 0


@pytest.mark.parametrize("nonce", [128, 130, 256, UINT32_MAX])
def test_job_nonce__beyond_the_first_word__counts_once_and_keeps_its_neighbour(world: World, nonce: int) -> None:
    """inv:I16: a mutant that read a nonce from another word than it is written to passed every other test."""
    world.open(world.pair({"nonce": nonce - 1}))
    world.open(world.pair({"nonce": nonce}))
    for used in (nonce - 1, nonce):
        again = world.job(nonce=used)
        with expect_revert("NonceUsed", offerHash=again.struct_hash, account=world.creator, nonce=used):
            world.open(world.pair(again))
        assert world.core.jobNonce(world.creator, used) == (True, False)


def test_the_same_pair__is_opened_once_and_never_again(world: World) -> None:
    """beh:B4 inv:I4: not even after it ended and its nonce is free."""
    pair = world.pair()
    deal, deal_id = world.open(pair)
    with expect_revert("DealExists", dealId=deal_id):
        world.open(pair)
    world.resolver.decline(deal.words, pair.job.words(), sender=world.provider)
    assert world.core.jobNonce(world.creator, pair.job.nonce) == (False, False)
    with expect_revert("DealExists", dealId=deal_id):
        world.open(pair)


def test_decline__frees_the_nonce_for_another_pair(world: World) -> None:
    """beh:C12 inv:I16"""
    pair = world.pair()
    deal, _ = world.open(pair)
    neighbours = [world.job(nonce=pair.job.nonce + shift) for shift in (-1, 1) if pair.job.nonce + shift > 0]
    for neighbour in neighbours:
        world.open(world.pair(neighbour))
    world.resolver.decline(deal.words, pair.job.words(), sender=world.provider)
    assert [world.core.jobNonce(world.creator, each.nonce) for each in neighbours] == [(True, False)] * len(neighbours)
    second, _ = world.open(world.pair(pair.job))
    assert world.state(second).status == Status.AGREED
    with expect_revert("NonceUsed"):
        world.open(world.pair(pair.job))


@pytest.mark.parametrize("ending", ["timeoutSubmit", "close", "settle"])
def test_other_endings__keep_the_nonce_used(world: World, ending: str) -> None:
    """inv:I16"""
    pair = world.pair()
    deal, _ = world.open(pair)
    if ending == "timeoutSubmit":
        world.pass_to(world.evm.timestamp + 61)
        world.resolver.timeoutSubmit(deal.words)
    elif ending == "close":
        world.close(deal, locked_total(deal, 100) + deal.collateral, 0)
    else:
        result = world.result(deal)
        world.core.submitAndSettle(*waived_at_once(deal, result, world.waiver(deal, result)), sender=world.provider)
    with expect_revert("NonceUsed"):
        world.open(world.pair(pair.job))


def test_decline__with_another_job_offer_than_the_deal_s__frees_nothing(world: World) -> None:
    """inv:I16: else a provider could free any nonce of a creator."""
    pair, other = world.pair(), world.pair()
    deal, deal_id = world.open(pair)
    world.open(other)
    wrong = [other.job.words(), replace(pair.job, nonce=other.job.nonce).words()]
    flags = int.from_bytes(pair.job.words()[3], "big")
    wrong.append((*pair.job.words()[:3], (flags ^ 1 << 232).to_bytes(32, "big")))  # names the provider
    wrong.append((*pair.job.words()[:3], (flags ^ 1 << 233).to_bytes(32, "big")))  # does not name the solver
    for words in wrong:
        with expect_revert("JobOfferMismatch", dealId=deal_id, needed=pair.job.struct_hash):
            world.resolver.decline(deal.words, words, sender=world.provider)
    world.resolver.decline(deal.words, pair.job.words(), sender=world.provider)
    assert world.core.jobNonce(world.creator, other.job.nonce) == (True, False)


@pytest.mark.parametrize("named_by", ["job", "resource", "both", "nobody"])
@pytest.mark.parametrize("provider_named", [False, True])
def test_decline__whoever_was_named__finds_the_job_offer_again(world: World, named_by: str, provider_named: bool) -> None:
    solver = world.solver.address
    pair = world.pair(
        {"solver": solver if named_by in ("job", "both") else NOBODY,
         "provider": world.provider if provider_named else NOBODY},
        {"solver": solver if named_by in ("resource", "both") else NOBODY},
    )  # fmt: skip
    deal, _ = world.open(pair)
    world.resolver.decline(deal.words, pair.job.words(), sender=world.provider)
    assert world.state(deal).status == Status.DECLINED


# ---- cancelling


def test_cancel__one_job_nonce__never_opens_and_the_others_do(world: World) -> None:
    """beh:B10 inv:I15"""
    pairs = group(world, 3)
    receipt = world.core.cancel(world.creator, False, [pairs[1].job.nonce], sender=world.creator)
    assert receipt.event("OfferNonceCancelled") == {
        "account": world.creator.address, "resource": False, "nonce": pairs[1].job.nonce
    }  # fmt: skip
    receipt = batch(world, pairs)
    assert skipped(receipt) == [(0, 1, "OfferCancelled")]
    figures = decode_error(receipt.event("Skipped")["reason"]).arguments
    assert dict(figures) == {
        "offerHash": pairs[1].job.struct_hash, "account": world.creator.address, "nonce": pairs[1].job.nonce
    }  # fmt: skip


@pytest.mark.parametrize("volume", [1, 5, UNLIMITED_VOLUME])
def test_cancel__a_resource_nonce__opens_nothing_more_whatever_its_volume(world: World, volume: int) -> None:
    """beh:B10 inv:I15"""
    resource = world.resource(volume=volume)
    if volume > 1:
        world.open(world.pair(resource=resource))
    world.core.cancel(world.provider, True, [resource.nonce], sender=world.provider)
    with expect_revert("OfferCancelled", offerHash=resource.struct_hash, account=world.provider, nonce=resource.nonce):
        world.open(world.pair(resource=resource))
    assert skipped(batch(world, group(world, 2, resource))) == [(0, WHOLE_GROUP, "OfferCancelled")]


def test_cancel__while_the_deal_is_open__keeps_the_deal_and_counts_after_a_decline(world: World) -> None:
    """beh:B10 inv:I16 inv:T40"""
    pair = world.pair()
    deal, _ = world.open(pair)
    world.core.cancel(world.creator, False, [pair.job.nonce], sender=world.creator)
    assert world.state(deal).status == Status.AGREED
    world.resolver.decline(deal.words, pair.job.words(), sender=world.provider)
    assert world.core.jobNonce(world.creator, pair.job.nonce) == (False, True)
    with expect_revert("OfferCancelled", account=world.creator, nonce=pair.job.nonce):
        world.open(world.pair(pair.job))


def test_cancel__before_and_after_a_pending_opening__loses_at_most_what_was_signed(world: World) -> None:
    """inv:T40: both orders."""
    first, second = world.pair(), world.pair()
    world.core.cancel(world.creator, False, [first.job.nonce], sender=world.creator)
    with expect_revert("OfferCancelled"):
        world.open(first)
    assert world.locked(world.creator) == 0
    deal, _ = world.open(second)
    world.core.cancel(world.creator, False, [second.job.nonce], sender=world.creator)
    assert world.locked(world.creator) == locked_total(deal, 100) <= second.job.max_price


def test_cancel__by_anybody_else__is_refused(world: World) -> None:
    """inv:I20 beh:A8"""
    for resource in (False, True):
        with expect_revert("NotAuthorised", account=world.creator, caller=world.keeper, scope=1):
            world.core.cancel(world.creator, resource, [1], sender=world.keeper)
    with expect_revert("NotAuthorised", account=world.creator, caller=world.provider, scope=1):
        world.core.cancelBelow(world.creator, [world.token], 5, 5, sender=world.provider)


def test_cancel_below__kills_all_smaller_nonces_in_these_tokens_and_never_falls(world: World) -> None:
    """beh:B10 inv:I16"""
    other = world.evm.deploy("PlainToken", "Other", 18)
    receipt = world.core.cancelBelow(world.creator, [world.token, other], 100, 200, sender=world.creator)
    assert [event["token"] for event in receipt.events("FloorsRaised")] == [world.token.address, other.address]
    world.core.cancelBelow(world.creator, [world.token], 50, 300, sender=world.creator)
    assert world.core.accountOf(world.token, world.creator)[2:] == (100, 300)
    assert world.core.accountOf(other, world.creator)[2:] == (100, 200)
    with expect_revert("OfferCancelled", account=world.creator, nonce=99):
        world.open(job={"nonce": 99})
    world.open(job={"nonce": 100})


def test_cancel_below__of_resource_offers__kills_smaller_nonces_only(world: World) -> None:
    """beh:B10"""
    world.core.cancelBelow(world.provider, [world.token], 0, 100, sender=world.provider)
    with expect_revert("OfferCancelled", account=world.provider, nonce=99):
        world.open(resource={"nonce": 99})
    world.open(resource={"nonce": 100})


def test_floors__at_their_largest__survive_money_moving_over_them(world: World) -> None:
    """inv:I33"""
    for account in (world.creator, world.provider):
        world.core.cancelBelow(account, [world.token], UINT32_MAX, UINT32_MAX, sender=account)
    world.open(job={"nonce": UINT32_MAX}, resource={"nonce": UINT32_MAX})
    for account in (world.creator, world.provider):
        assert world.core.accountOf(world.token, account)[2:] == (UINT32_MAX, UINT32_MAX)


# ---- who sends it


@pytest.mark.parametrize("sender", ["creator", "provider", "solver", "publisher", "keeper"])
def test_whoever_opens__changes_nothing(world: World, sender: str) -> None:
    """beh:B1 beh:B11 inv:I32 inv:T6"""
    pair = world.pair()
    receipt = world.core.open(opening_of([pair]), sender=getattr(world, sender))
    deal = deal_of(pair)
    assert tuple(receipt.event("DealOpened")["record"]) == deal.words
    assert world.locked(world.creator) == locked_total(deal, 100) and world.locked(world.provider) == deal.collateral
    assert world.free(world.keeper) == 0


def test_a_copied_opening_in_the_same_block__costs_the_copier_its_gas_and_nobody_anything_else(world: World) -> None:
    """inv:T6"""
    pair = world.pair()
    world.core.open(opening_of([pair]), sender=world.keeper)
    before = world.ledger(deal_of(pair))
    with expect_revert("DealExists"):
        world.core.open(opening_of([pair]), sender=world.solver)
    assert world.ledger(deal_of(pair)) == before


# ---- what is stored


def test_unknown_deal__reads_as_none(world: World) -> None:
    """beh:B15"""
    assert world.core.dealOf(bytes(31) + b"\1") == (0, 0, False, 0, 0, 0)
    assert world.core.dealWord(bytes(31) + b"\1") == 0


def test_dispute_free_deal__takes_one_word_of_its_own(fresh_world: World) -> None:
    """beh:B16: once its parties and terms have met before, a whole deal fills one slot that was empty."""
    world = fresh_world

    def run(nonce: int) -> None:
        deal, _ = world.open(job={"nonce": nonce})
        result = world.submit(deal)
        world.set_seed(deal, drawn=False)
        world.settle(deal, result, by=world.creator)

    run(1_024)
    slots = _slots(world)
    for nonce in range(1_025, 1_030):
        run(nonce)
    assert len(_slots(world) - slots) == 5 and not slots - _slots(world)


def _slots(world: World) -> set[int]:
    """Slots of the core that hold something."""
    for address, state in _journal_accounts(world.evm._evm.journal_str):
        if address == world.core.address:
            return {slot for slot, value in state.storage.items() if value}
    raise AssertionError("the core is not in the journal")
