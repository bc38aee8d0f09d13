"""One key in both roles: creator of one deal and provider of another at the same time."""

from __future__ import annotations

from dataclasses import replace

from lilypad_agents.protocol.lifecycle import Agreement, Status
from lilypad_agents.protocol.price import charge, locked_total
from tests.support.scene import Stage
from tests.support.world import COIN


def test_one_key__creates_one_deal_and_provides_another__each_pays_by_its_own_record(stage: Stage) -> None:
    """beh:J27 inv:I16 Both offers of the key have the same nonce: job and resource offers count apart."""
    world = stage.world
    turned = replace(world, creator=world.provider, provider=world.creator)
    both, other = world.creator, world.provider
    fee = world.parameters.protocol_fee_bps
    before = {account.address: world.free(account) for account in (both, other)}
    ordered, _ = world.open(job={"nonce": 77}, resource={"nonce": 78})
    provided, _ = turned.open(job={"nonce": 78}, resource={"nonce": 77, "price": 3 * COIN})
    assert (ordered.creator, provided.provider) == (both.address, both.address)
    assert world.locked(both) == locked_total(ordered, fee) + provided.collateral
    assert world.locked(other) == locked_total(provided, fee) + ordered.collateral
    for view, deal, units in ((world, ordered, 4), (turned, provided, 9)):
        view.settle(deal, view.submit(deal, units), Agreement.WAIVER)
        assert view.state(deal).status is Status.ACCEPTED
    due, earned = charge(ordered, 4, fee), charge(provided, 9, fee)
    assert world.free(both) == before[both.address] - due.total + earned.gross
    assert world.free(other) == before[other.address] - earned.total + due.gross
    assert world.locked(both) == world.locked(other) == 0
