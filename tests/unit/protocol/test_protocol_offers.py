"""Offers and records in dense words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.protocol.deal import Deal, DealState, Deadlines, deadlines, deal_from_offers
from lilypad_agents.protocol.errors import FieldInvalid, OffersDiffer
from lilypad_agents.protocol.ids import NOBODY, ZERO
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer, Resources, solver_of
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from tests.support.values import account, accounts, structs


@given(job=structs(JobOffer), solver=accounts, provider=accounts)
def test_job_words__there_and_back__is_the_same_offer(job: JobOffer, solver: str, provider: str) -> None:
    shared = {"solver": job.solver if job.solver != NOBODY else solver}
    shared["provider"] = job.provider if job.provider != NOBODY else provider
    assert JobOffer.from_words(job.words(), token=job.token, module=job.module, pool=job.pool, **shared) == job


@given(resource=structs(ResourceOffer), other=accounts)
def test_resource_words__there_and_back__is_the_same_offer_and_solver(resource: ResourceOffer, other: str) -> None:
    solver = resource.solver if resource.solver != NOBODY else other
    assert ResourceOffer.from_words(resource.words(solver), pool=resource.pool) == (resource, solver)
    assert ResourceOffer.from_words(resource.words(), pool=resource.pool) == (resource, resource.solver)


@given(deal=structs(Deal))
def test_deal_words__there_and_back__is_the_same_record(deal: Deal) -> None:
    assert Deal.from_words(deal.words) == deal
    assert deal.shared == (*deal.words[:4], deal.accrual)


@pytest.mark.parametrize(("word", "bit"), [(2, 240), (2, 255), (3, 234), (3, 255)])
def test_job_words__a_bit_without_meaning_set__are_refused(job: JobOffer, word: int, bit: int) -> None:
    words = list(job.words())
    words[word] = (int.from_bytes(words[word], "big") | 1 << bit).to_bytes(32, "big")
    with pytest.raises(FieldInvalid, match="no meaning"):
        JobOffer.from_words(words, token=job.token, module=job.module, pool=job.pool, solver=NOBODY, provider=NOBODY)


@pytest.mark.parametrize(("word", "bit"), [(3, 144), (3, 159), (4, 137), (4, 255)])
def test_resource_words__a_bit_without_meaning_set__are_refused(resource: ResourceOffer, word: int, bit: int) -> None:
    words = list(resource.words())
    words[word] = (int.from_bytes(words[word], "big") | 1 << bit).to_bytes(32, "big")
    with pytest.raises(FieldInvalid, match="no meaning"):
        ResourceOffer.from_words(words, pool=resource.pool)


@given(deal=structs(Deal), bit=st.integers(240, 255))
def test_deal_words__a_bit_without_meaning_set__are_refused(deal: Deal, bit: int) -> None:
    """inv:I31: non-canonical encodings are refused."""
    words = list(deal.words)
    words[3] = (int.from_bytes(words[3], "big") | 1 << bit).to_bytes(32, "big")
    with pytest.raises(FieldInvalid, match="no meaning"):
        Deal.from_words(words)


@pytest.mark.parametrize("words", [(), (bytes(32),) * 11, (bytes(32),) * 13, (bytes(31),) * 12])
def test_deal_words__of_wrong_number_or_length__are_refused(words: tuple[bytes, ...]) -> None:
    with pytest.raises(FieldInvalid, match="12 words"):
        Deal.from_words(words)


def test_resource_words__with_another_solver_than_named__are_refused(resource: ResourceOffer) -> None:
    with pytest.raises(OffersDiffer):
        replace(resource, solver=account(1)).words(account(2))


def test_solver__named_by_one_or_both__is_that_one(job: JobOffer, resource: ResourceOffer) -> None:
    """beh:B12 in part: named by one is enough, two names differ."""
    unnamed = replace(job, solver=NOBODY)
    assert solver_of(unnamed, resource) == NOBODY
    assert solver_of(job, resource) == job.solver
    assert solver_of(unnamed, replace(resource, solver=account(8))) == account(8)
    assert solver_of(job, replace(resource, solver=job.solver)) == job.solver
    with pytest.raises(OffersDiffer):
        solver_of(job, replace(resource, solver=account(8)))


def test_deal_from_offers__no_solver_named__has_no_solver_fee(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms
) -> None:
    """beh:B12"""
    deal = deal_from_offers(replace(job, solver=NOBODY), resource, module, pool)
    assert (deal.solver, deal.solver_fee_bps) == (NOBODY, 0)
    named = deal_from_offers(job, resource, module, pool)
    assert (named.solver, named.solver_fee_bps) == (job.solver, job.solver_fee_bps)


def test_deal_from_offers__verified_pool__carries_every_term_of_both_sides(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms
) -> None:
    deal = deal_from_offers(job, resource, module, pool)
    assert deal.value == resource.price + 10 * resource.unit_price
    assert deal.collateral == 162 * deal.value // 10
    assert deal.seat_fee == deal.value * 5 // 4
    assert (deal.seat_floor, deal.strategy) == (pool.seat_fee_floor, pool.strategy)
    assert (deal.job_offer_hash, deal.resource_offer_hash) == (job.struct_hash, resource.struct_hash)
    assert (deal.publisher, deal.royalty_to, deal.royalty_bps) == (module.publisher, module.royalty_to, 500)


def test_deal_from_offers__unverified_pool__has_no_seat_fee(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms
) -> None:
    deal = deal_from_offers(replace(job, pool=ZERO), replace(resource, pool=ZERO), module, UNVERIFIED)
    assert (deal.seat_fee, deal.seat_floor, deal.strategy) == (0, 0, NOBODY)
    assert not deal.is_verified


@pytest.mark.parametrize("change", ["token", "module", "pool", "provider", "terms"])
def test_deal_from_offers__that_are_no_counterparts__says_what_differs(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms, change: str
) -> None:
    if change == "terms":
        pool = replace(pool, max_value=1)
    else:
        values = {"token": account(9), "module": bytes([9]) * 32, "pool": bytes([9]) * 32, "provider": account(9)}
        job = replace(job, **{change: values[change]})
    with pytest.raises(OffersDiffer) as refused:
        deal_from_offers(job, resource, module, pool)
    assert change.removesuffix("terms") in refused.value.figures["field"]


def test_deal_from_offers__amount_beyond_96_bits__is_refused(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms
) -> None:
    with pytest.raises(FieldInvalid, match="Deal.collateral"):
        deal_from_offers(job, replace(resource, price=2**95), module, pool)


def test_resources__cover_needs__up_to_equality_and_never_one_short() -> None:
    """beh:H1: equal matches, one unit short does not, unspecified matches anything."""
    machine = Resources(4_000, 8_192, 100, 1, 24_000, 0b110)
    assert machine.covers(machine)
    assert machine.covers(Resources())
    assert not machine.covers(replace(machine, flags=0b111))
    for name in ("cpu_milli", "ram_mib", "disk_mib", "gpu_count", "vram_mib"):
        assert not machine.covers(replace(machine, **{name: getattr(machine, name) + 1})), name


def test_deadlines__in_each_state__are_those_of_the_table(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms, parameters: Parameters
) -> None:
    deal = deal_from_offers(replace(job, submit_window=61), resource, module, pool)

    def at(status: Status) -> Deadlines:
        return deadlines(deal, DealState(status, DisputeKind.NONE, False, 1_000, 0, 0), parameters)

    assert at(Status.AGREED) == Deadlines(decline=1_000 - 61 + 15, submit=1_000)
    assert at(Status.RESULTS_SUBMITTED) == Deadlines(
        judge=1_000, reveal=1_000 + parameters.reveal_window, audit=1_000 + parameters.mediation_limit
    )
    assert at(Status.IN_MEDIATION) == Deadlines(mediation=1_000)
    assert at(Status.ACCEPTED) == at(Status.NONE) == Deadlines()


def test_deal_state__of_an_unknown_status__is_refused() -> None:
    with pytest.raises(FieldInvalid):
        DealState.of((11, 0, False, 0, 0, 0))
    assert DealState.of((2, 0, True, 5, 6, 7)) == DealState(Status.RESULTS_SUBMITTED, DisputeKind.NONE, True, 5, 6, 7)
