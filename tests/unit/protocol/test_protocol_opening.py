"""Calldata: what is equal is sent once, and what comes back is what was signed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lilypad_agents.protocol.consent import Closing
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.errors import OffersDiffer
from lilypad_agents.protocol.ids import NOBODY
from lilypad_agents.protocol.lifecycle import Agreement
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.opening import (
    Pair,
    ResultOpening,
    Settling,
    closing_of,
    grouped,
    opening_of,
    openings_of,
    settlements_of,
)
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from tests.support.values import account

OPENED = ResultOpening(bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32)


@pytest.fixture
def pair(job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms) -> Pair:
    return Pair(job, b"job", resource, b"resource", module, pool, (bytes(32),))


def with_job(pair: Pair, **changes: object) -> Pair:
    return pair._replace(job=replace(pair.job, **changes))


def test_opening__of_one_pair__carries_words_signatures_and_terms(pair: Pair) -> None:
    opening = opening_of([pair])
    resource, solver = ResourceOffer.from_words(opening.resource, pool=pair.pool.id)
    assert (resource, solver) == (pair.resource, pair.job.solver)
    (job,) = opening.jobs
    assert (job.signature, opening.resource_signature, opening.membership) == (b"job", b"resource", (bytes(32),))
    assert job.words == pair.job.words()
    assert (len(opening.module), len(opening.pool)) == (6, 5)
    assert ModuleTerms.from_words(opening.module) == pair.module
    assert opening.pool[0][12:].hex() == pair.pool.strategy[2:].lower()


def test_openings__of_many_pairs__send_each_resource_offer_once(pair: Pair) -> None:
    """Groups stand in the order of their first job, so that a skipped item finds its pair again."""
    other = pair._replace(resource=replace(pair.resource, nonce=99))
    pairs = [pair, with_job(other, nonce=2), with_job(pair, nonce=3), with_job(other, nonce=4)]
    openings = openings_of(pairs)
    assert [len(opening.jobs) for opening in openings] == [2, 2]
    assert [[p.job.nonce for p in group] for _, group in grouped(pairs)] == [[7, 3], [2, 4]]


def test_openings__jobs_with_two_solvers__travel_apart_and_those_without_beside_either(pair: Pair) -> None:
    first, second = with_job(pair, solver=account(1), nonce=1), with_job(pair, solver=account(2), nonce=2)
    without = with_job(pair, solver=NOBODY, nonce=3)
    found = {solver: [p.job.nonce for p in group] for solver, group in grouped([without, first, second])}
    assert found == {account(1): [3, 1], account(2): [2]}
    for opening, (_, group) in zip(openings_of([without, first, second]), grouped([without, first, second]), strict=True):
        resource, solver = ResourceOffer.from_words(opening.resource, pool=pair.pool.id)
        for job, original in zip(opening.jobs, group, strict=True):
            shared = {"token": resource.token, "module": pair.module.id, "pool": pair.pool.id}
            assert JobOffer.from_words(job.words, **shared, solver=solver, provider=resource.provider) == original.job
    with pytest.raises(OffersDiffer):
        opening_of([first, second])


def test_settlements__of_deals_with_equal_terms__are_grouped(pair: Pair) -> None:
    def deal(changed: Pair) -> Deal:
        return deal_from_offers(changed.job, changed.resource, changed.module, changed.pool)

    one, two = deal(pair), deal(with_job(pair, nonce=8, inputs=bytes([4]) * 32))
    three = deal(with_job(pair, nonce=9, max_units=9))
    settlements = settlements_of(
        [Settling(one, OPENED), Settling(three, OPENED), Settling(two, OPENED, Agreement.WAIVER, b"waiver")]
    )
    assert [settlement.shared for settlement in settlements] == [one.shared, three.shared]
    first, second = settlements[0].items
    assert (first.details, first.head) == (one.details, OPENED.head)
    assert (second.details, second.agreement, second.signature) == (two.details, Agreement.WAIVER, b"waiver")


def test_closing__keeps_the_split_and_both_signatures() -> None:
    closing = closing_of(Closing(bytes(32), 1, 2, 3), b"creator", b"provider")
    assert tuple(closing) == (1, 2, 3, b"creator", b"provider")
