"""Requests as Python sees them; that the contracts agree is tested in tests/contracts/jobs."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given

from lilypad_agents.protocol.ids import OfferHash
from lilypad_agents.protocol.lifecycle import FINAL, PAID, Status
from lilypad_agents.protocol.offers import JobOffer
from lilypad_agents.protocol.requests import JobOutcome, JobRequest, JobTerms, outcome_of
from tests.support.values import structs


@given(structs(JobOffer))
def test_terms__of_any_offer__make_the_same_offer_again(offer: JobOffer) -> None:
    assert JobTerms.of(offer).offer(offer.creator, offer.inputs) == offer


@given(structs(JobOffer))
def test_request__names_the_digest_of_its_document(offer: JobOffer) -> None:
    document = b'{"files":{}}'
    request = JobRequest(OfferHash(bytes(32)), offer.creator, JobTerms.of(offer), document, 1)
    assert request.offer.inputs == request.inputs_digest == hashlib.sha256(document).digest()
    assert request.offer.creator == offer.creator


@pytest.mark.parametrize("status", Status)
def test_outcome__exists_for_every_end_but_a_decline(status: Status) -> None:
    """Protocol 9: a declined deal leaves its request open."""
    over = status in FINAL and status is not Status.DECLINED
    assert (outcome_of(status) is not JobOutcome.NONE) is over
    assert (outcome_of(status) is JobOutcome.FULFILLED) is (status in PAID)
