"""What `IRandomness` promises, kept by each of its sources."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lilypad_agents.chain.deployment_plan import SOURCES
from lilypad_agents.protocol.digest import is_drawn
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.parameters import devnet
from tests.support.evm import expect_revert
from tests.support.seed_sources import EXPIRED, KNOWN, MAKERS, PENDING, SeedSource

LAST = 2**32 - 1


@pytest.fixture(params=list(MAKERS))
def source(request: pytest.FixtureRequest) -> SeedSource:
    return MAKERS[request.param]()


def test_sources__of_the_deployment_plan__all_have_the_suite() -> None:
    assert set(MAKERS) == set(SOURCES)


def test_seed__before_and_at_the_beginning_of_its_period__is_pending(source: SeedSource) -> None:
    """inv:I12 beh:D10: a result of the period before can still be submitted."""
    source.end_of_commitments(source.period)
    for period in (source.period - 1, source.period):
        source.begin(period)
        assert source.contract.currentPeriod() == period
        assert source.status(source.period) == (PENDING, bytes(32))
        with expect_revert("SeedNotKnown", period=source.period):
            source.contract.record(source.period, b"")


def test_seed__made__is_known_for_ever_and_the_same_for_everybody(source: SeedSource) -> None:
    """inv:I12 inv:T15 inv:I32: no caller, time or repetition changes it."""
    source.end_of_commitments(source.period)
    source.begin(source.period)
    source.to_knowable(source.period)
    anyone, other = source.evm.account("anyone"), source.evm.account("other")
    event = source.record(source.period, anyone).event("SeedRecorded")
    assert (event["period"], event["by"].lower()) == (source.period, anyone.address.lower())
    assert event["seed"] != bytes(32)
    for blocks in (0, 1, 256, 10_000, 1_000_000):
        source.evm.mine(blocks)
        assert source.status(source.period) == (KNOWN, event["seed"])
        for caller in (anyone, other):
            assert tuple(source.contract.simulate("seed", source.period, sender=caller)) == (KNOWN, event["seed"])
            assert source.contract.simulate("record", source.period, b"x", sender=caller) == event["seed"]


def test_record__again__emits_nothing(source: SeedSource) -> None:
    source.end_of_commitments(source.period)
    source.begin(source.period)
    source.to_knowable(source.period)
    source.record(source.period, source.evm.account("anyone"))
    calldata = source.contract.calldata("record", source.period, b"")
    assert source.evm.transact(source.contract, calldata).logs == ()


def test_seed__neighbours_of_a_made_one__are_not_made(source: SeedSource) -> None:
    source.end_of_commitments(source.period)
    source.begin(source.period)
    source.to_knowable(source.period)
    source.record(source.period, source.evm.account("anyone"))
    source.let_die(source.period + 1)
    assert source.status(source.period - 1) == source.status(source.period + 1) == (EXPIRED, bytes(32))


def test_seed__nobody_made_it__expires_for_ever(source: SeedSource) -> None:
    """inv:T51 flt:F16: and nothing but Expired, which is a certain audit; no call brings it back."""
    source.end_of_commitments(source.period)
    source.begin(source.period)
    source.let_die(source.period)
    for blocks in (0, 1, 8_191, 100_000):
        source.evm.mine(blocks)
        assert source.status(source.period) == (EXPIRED, bytes(32))
        with expect_revert("SeedLost", period=source.period):
            source.contract.record(source.period, b"")


def test_seed__within_the_delay__can_be_known(source: SeedSource) -> None:
    """The core takes twice the delay as the least reveal window: one second and one block a step here."""
    source.end_of_commitments(source.period)
    source.begin(source.period - 1)
    submitted = source.evm.timestamp
    if hasattr(source, "deciding"):
        source.go_to(source.deciding(source.period) + 1)
    else:
        source.let_die(source.period)
    assert source.evm.timestamp - submitted <= source.contract.delay()


def test_seed__last_period_of_all__neither_wraps_nor_fails(source: SeedSource) -> None:
    """inv:T43"""
    assert source.status(LAST) == (PENDING, bytes(32))
    with expect_revert("SeedNotKnown", period=LAST):
        source.contract.record(LAST, b"")


def test_lottery__seed_withheld__draws_all_that_the_seed_would_have_drawn(source: SeedSource) -> None:
    """inv:T15 inv:T16: there is no second roll to win: losing a seed adds audits and spares nobody."""
    deals = [DealId(bytes([number]) * 32) for number in range(1, 101)]
    with source.evm.snapshot():
        source.end_of_commitments(source.period)
        source.begin(source.period)
        source.to_knowable(source.period)
        seed = source.record(source.period, source.evm.account("anyone")).event("SeedRecorded")["seed"]
    drawn = {deal for deal in deals if is_drawn(seed, deal, 2_000)}
    assert 0 < len(drawn) < len(deals)
    source.end_of_commitments(source.period)
    source.begin(source.period)
    source.let_die(source.period)
    after = set(deals) if source.status(source.period)[0] == EXPIRED else set()
    assert drawn < after


def test_core__built_with_the_source__takes_its_clock_and_bounds(source: SeedSource) -> None:
    """inv:T51: judge windows end at half of a seed's life, reveal windows begin at twice its delay."""
    life, delay = source.contract.lifetime(), source.contract.delay()
    most = min(life // 2, 65_535)
    parameters = replace(devnet(most, source.contract.address), reveal_window=2 * delay)
    core = source.evm.deploy("Lilypad", parameters)
    resolver = source.evm.at("LilypadResolver", core.resolver())
    assert resolver.parameters()[0].lower() == source.contract.address.lower()
    for change in ({"max_judge_window": most + 1}, {"reveal_window": 2 * delay - 1}):
        if change.get("max_judge_window", 0) > 65_535:
            continue
        with expect_revert("ParameterOutOfBounds"):
            source.evm.deploy("Lilypad", replace(parameters, **change))
    assert (source.contract.periodBlocks() == 0) == (not hasattr(source, "deciding"))
