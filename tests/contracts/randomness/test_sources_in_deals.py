"""Deals whose lottery is decided by the real sources: nobody gets one settled by letting its seed wait or die."""

from __future__ import annotations

import pytest

from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.digest import is_drawn
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.opening import ResultOpening
from tests.support.evm import expect_revert
from tests.support.seed_sources import KNOWN, MAKERS, PENDING, SeedSource
from tests.support.world import World, build_world


@pytest.fixture(params=list(MAKERS))
def source(request: pytest.FixtureRequest) -> SeedSource:
    return MAKERS[request.param]()


@pytest.fixture
def world(source: SeedSource) -> World:
    return build_world(source.evm, randomness=source.contract.address, reveal_window=20_000, mediation_limit=40_000)


def submitted(source: SeedSource, world: World, count: int = 1) -> list[tuple[Deal, DealId, ResultOpening]]:
    """Deals with results of the period before `source.period`; its commitments are in."""
    source.end_of_commitments(source.period)
    found = []
    for _ in range(count):
        deal, deal_id = world.open(job={"audit_bps": 2_000})
        found.append((deal, deal_id, world.submit(deal)))
        assert world.state(deal).period == source.period - 1 == source.contract.currentPeriod()
    return found


def judged(world: World, deal: Deal) -> None:
    """The first second after the deal's judge deadline, unless that is over."""
    world.pass_to(max(world.evm.timestamp, world.state(deal).deadline + 1))


def test_settle__nobody_made_the_seed__never_and_the_provider_pays_the_audit(source: SeedSource, world: World) -> None:
    """inv:T51 flt:F16: pending as long as it could come, then drawn for certain, at the provider's cost to the wei."""
    source.begin(source.period - 1)
    ((deal, deal_id, result),) = submitted(source, world)
    source.begin(source.period)
    judged(world, deal)
    status, _ = source.status(source.period)
    assert status == (KNOWN if source.contract.periodBlocks() == 6 else PENDING)  # a block hash needs no record to be known
    if status == PENDING:
        with expect_revert("SeedPending", dealId=deal_id, period=source.period):
            world.settle(deal, result)
        with expect_revert("SeedPending", dealId=deal_id, period=source.period):
            world.resolver.audit(deal.words, 0)
    source.let_die(source.period)
    with expect_revert("SeedLost", period=source.period):
        source.contract.record(source.period, b"")
    with expect_revert("DealDrawn"):
        world.settle(deal, result)
    with expect_revert("DealDrawn"):
        world.close(deal, world.locked(world.creator), world.locked(world.provider))
    before = world.ledger(deal)
    world.resolver.audit(deal.words, 0)
    after = world.ledger(deal)
    moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert moved == {"provider locked": -4 * deal.seat_fee, "strategy": 4 * deal.seat_fee}


def test_settle__seed_made__draws_exactly_the_deals_of_the_formula(source: SeedSource, world: World) -> None:
    """inv:T38 beh:D10: unknown at the submission, the same for all afterwards."""
    source.begin(source.period - 1)
    deals = submitted(source, world, 6)
    source.begin(source.period)
    source.to_knowable(source.period)
    seed = source.record(source.period, world.keeper).event("SeedRecorded")["seed"]
    judged(world, deals[-1][0])
    for deal, deal_id, result in deals:
        if is_drawn(seed, deal_id, 2_000):
            with expect_revert("DealDrawn"):
                world.settle(deal, result)
            world.resolver.audit(deal.words, 0)
        else:
            with expect_revert("DealNotDrawn"):
                world.resolver.audit(deal.words, 0)
            world.settle(deal, result)
