"""Draws with real sources: block hashes with their history, and a source that keeps its own clock. inv:I12 inv:T15 inv:T51"""

from __future__ import annotations

import pytest

from lilypad_agents.protocol.draw import draw_round
from tests.support.evm import Evm, expect_revert
from tests.support.staking import DRAWN, EXCLUDE_NOBODY, POSTPONED, StakingSite, build_staking, name
from tests.support.world import PERIOD_BLOCKS, build_world

LOOKAHEAD, HISTORY = 2, 8_191


@pytest.fixture
def hashes() -> StakingSite:
    """Four stakers; seeds are hashes of blocks, with the history of EIP-2935."""
    evm = Evm(number=20_000)
    evm.install_history()
    source = evm.deploy("BlockHashRandomness", PERIOD_BLOCKS, 12_000, 12_000)
    return build_staking(4, 3, build_world(evm, randomness=source.address, reveal_window=3_600))


def deciding(period: int) -> int:
    return period * PERIOD_BLOCKS + LOOKAHEAD


def test_block_hashes__draw_from_the_periods_block__as_soon_as_it_is_past(hashes: StakingSite) -> None:
    """beh:D10: blocks before it say SeedPending, whoever calls; the ones after it give one panel."""
    site = hashes
    ticket, period = site.queue("a", 3), site.period + 1
    expected = draw_round(site.twin, site.evm.block_hash(deciding(period)), name("a"), 3).accounts
    for block in range(site.evm.number, deciding(period) + 1):
        site.evm.set_block(block)
        with expect_revert("SeedPending", period=period):
            site.draw(ticket, "a", 3)
    for block in (1, 2, 255, 256, 257, HISTORY):
        with site.evm.snapshot():
            site.evm.set_block(deciding(period) + block)
            arguments = (site.pool, ticket, name("a"), 3, EXCLUDE_NOBODY)
            assert tuple(site.staking.simulate("draw", *arguments, sender=site.strategy)) == (DRAWN, expected)


def test_block_hashes__older_than_the_history__take_a_future_block(hashes: StakingSite) -> None:
    """inv:T51: skipped past the history, the round waits for a period that has not begun."""
    site = hashes
    ticket, period = site.queue("a", 3), site.period + 1
    site.evm.set_block(deciding(period) + HISTORY + 1)
    assert site.draw(ticket, "a", 3) == (POSTPONED, ())
    later = site.staking.queueOf(site.pool.id)[2]
    assert later == site.period + 1
    site.evm.set_block(deciding(later) + 1)
    expected = draw_round(site.twin, site.evm.block_hash(deciding(later)), name("a"), 3).accounts
    assert site.draw(ticket, "a", 3) == (DRAWN, expected)


def test_block_hashes__recorded_by_anyone__live_for_ever(hashes: StakingSite) -> None:
    """inv:I12: one call by anybody takes away what waiting could gain."""
    site = hashes
    ticket, period = site.queue("a", 3), site.period + 1
    site.evm.set_block(deciding(period) + 100)
    source = site.evm.at("BlockHashRandomness", site.staking.RANDOMNESS())
    source.record(period, b"", sender=site.world.keeper)
    expected = draw_round(site.twin, site.evm.block_hash(deciding(period)), name("a"), 3).accounts
    site.evm.set_block(deciding(period) + 10 * HISTORY)
    assert site.draw(ticket, "a", 3) == (DRAWN, expected)


def test_source_with_a_clock_of_its_own__is_asked_for_the_period() -> None:
    evm = Evm()
    source = evm.deploy("ScriptedRandomness", 0, 36_000, 9)
    site = build_staking(2, 3, build_world(evm, randomness=source.address))
    source.setPeriod(40)
    ticket = site.queue("a", 3)
    source.setSeed(41, name("seed"))
    site.evm.mine(1_000)
    assert not site.frozen
    with expect_revert("SeedPending", period=41):
        site.draw(ticket, "a", 3)
    source.setPeriod(41)
    assert site.frozen
    expected = draw_round(site.twin, name("seed"), name("a"), 3).accounts
    assert site.draw(ticket, "a", 3) == (DRAWN, expected)
