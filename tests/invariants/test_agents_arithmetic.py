"""The agents' own account of offers, ids and prices is the model's: on offers of random histories, without a chain.

inv:I14 inv:I31 beh:A2. With `test_reference_model` this makes agents, model and contracts one.
"""

from __future__ import annotations

from copy import deepcopy

import pytest

from lilypad_agents.protocol import price as agents
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.deal import deal_from_offers
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.refusals import ChainView, why_not
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from tests.reference.chain import Site, build_site
from tests.reference.ledger import Refused
from tests.reference.protocol import Protocol
from tests.reference.terms import Pair
from tests.reference.traces import Traces
from tests.reference.words import ZERO

_REASONS = {
    None, "TermAbove", "TermBelow", "DeterrenceTooLow", "NonceUsed", "OfferExpired", "SignatureInvalid", "ModuleNotOffered", "VolumeUsedUp",
    "OfferCancelled", "PartiesNotDistinct",
}  # fmt: skip
_seen: set[str | None] = set()


@pytest.fixture(scope="module")
def site() -> Site:
    return build_site()


@pytest.mark.parametrize("seed", range(800_000, 800_012))
def test_offers__of_a_random_history__open_or_fail_as_the_agents_say(site: Site, seed: int) -> None:
    _compare(site, seed)


def test_offers__together__failed_for_many_reasons(site: Site) -> None:
    """Alone it plays some histories of its own."""
    for seed in range(810_000, 810_012):
        if not _REASONS <= _seen:
            _compare(site, seed)
    assert _REASONS <= _seen


def _compare(site: Site, seed: int) -> None:
    model = deepcopy(site.base)
    traces = Traces(site, model, seed)
    for _ in range(300):
        step = traces.next()
        pair = step.args[0][0] if step.call == "open" and len(step.args[0]) == 1 else None
        foretold = _foretell(site, model, pair) if pair else None
        try:
            model.take(step)
            outcome = None
        except Refused as refused:
            outcome = refused.args[0]
        if pair:
            assert foretold == outcome
            _seen.add(outcome)


def _foretell(site: Site, model: Protocol, pair: Pair) -> str | None:
    """The first refusal of the agents; and where a record can be made, its id and prices."""
    job, resource = JobOffer(**pair.job._asdict()), ResourceOffer(**pair.resource._asdict())
    m, p, ledger = pair.module, pair.pool, model.ledger
    module = ModuleTerms(m.publisher, m.name_hash, ZERO, ZERO, m.royalty_bps, m.royalty_to, m.deterministic, m.strategy,
                         m.min_audit_bps, m.min_seat_fee, m.metering)  # fmt: skip
    pool = PoolTerms(p.strategy, p.token, p.seat_fee_floor, p.seat_stake, p.max_value, ZERO, p.commit_window, p.reveal_window,
                     p.appeal_window, p.note)  # fmt: skip
    domain = Domain(site.evm.chain_id, site.places.core)
    record = model.deals.record(pair)
    assert (job.struct_hash, resource.struct_hash, module.id, pool.id) == (record.job_hash, record.resource_hash, m.id, p.id)
    try:
        deal = deal_from_offers(job, resource, module, pool)
    except FieldInvalid:
        deal = None
    if deal is not None:
        fee = model.deals.parameters.protocol_fee_bps
        assert deal.id(domain) == record.id and b"".join(deal.words) == record.dense
        ours = (agents.locked_total(deal, fee), agents.premium_of(deal), agents.penalty(deal), agents.keeper_bounty(deal),
                agents.decline_cost(deal), agents.audit_fee(deal), agents.challenge_fee(deal), agents.delivery_fee(deal))  # fmt: skip
        price = record.price
        assert ours == (price.total, price.premium, price.penalty, price.bounty, price.decline_cost, price.audit_fee,
                        price.challenge_fee, price.delivery_fee)  # fmt: skip
    speakers = {job.struct_hash: job.creator} if pair.job_signed else {}
    speakers |= {resource.struct_hash: resource.provider} if pair.resource_signed else {}
    opened = frozenset((d.record.job_hash, d.record.resource_hash) for d in model.deals.all.values())
    view = ChainView(domain, model.clock.time, ledger.free, ledger.floors, ledger.funds, frozenset(ledger.used),
                     frozenset(ledger.cancelled), ledger.uses, speakers, opened=opened)  # fmt: skip
    refusals = why_not(job, resource, module, pool, model.deals.parameters, view)
    return refusals[0].error if refusals else None
