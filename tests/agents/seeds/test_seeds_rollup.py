"""On a chain that charges for the data of a transaction on top of its gas, as rollups of the OP stack do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.agents.seeds.circle import BOND, PARAMETERS, Circle
from tests.support.faultproxy import FaultProxy
from tests.support.network import start_network, stop_network

L1_BLOCK = "0x4200000000000000000000000000000000000015"  # what a block of the chain below asks for data
GWEI, SCALAR = 10**9, 5_227  # the scalar of OP Mainnet


@pytest.fixture(scope="module")
def rollup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Circle]:
    folder = tmp_path_factory.mktemp("rollup")
    options = {"mixed_mining": False, "block_time_s": None, "hardfork": "isthmus", "extra": ("--network", "optimism")}
    network = start_network(folder, PARAMETERS, **options)
    circle = Circle(network, folder)
    yield circle
    circle.close()
    stop_network(network)


def next_block(circle: Circle, second: int, data_gwei: int) -> None:
    """At this second, with gas for almost nothing and data at `data_gwei` of the chain below."""
    rpc = circle.network.rpc
    rpc.request("anvil_setCode", L1_BLOCK, "0x00")
    for slot, value in ((1, data_gwei * GWEI), (3, SCALAR << 96)):
        rpc.request("anvil_setStorageAt", L1_BLOCK, f"0x{slot:064x}", f"0x{value:064x}")
    rpc.request("anvil_setNextBlockBaseFeePerGas", hex(10**6))
    circle.to(second)


def low_tip(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "result": hex(10**6)} if request["method"] == "eth_maxPriorityFeePerGas" else answer


def test_commit__account_with_the_sum_it_asks_for__can_pay_the_reveal_when_data_gets_dear(rollup: Circle) -> None:
    """flt:F23 inv:T51 The price of data has nothing to do with the bid for gas: the bond would be lost for a thousandth of it."""
    ann = rollup.participant(coin=BOND, start=False)
    period = rollup.period + 1
    next_block(rollup, rollup.network.now() + 1, 100)
    with FaultProxy(rollup.network.rpc.config.urls[0]) as proxy:
        proxy.rewrite = low_tip
        rollup.start(ann, rpc=(proxy.url,))
        rollup.turn()
        missing = ann.agent.decision.missing  # type: ignore[union-attr]
        rollup.network.rpc.request("anvil_setBalance", ann.account, hex(BOND + missing))
        next_block(rollup, rollup.network.now() + 1, 100)
        rollup.until(lambda: rollup.committed(period, ann))
        next_block(rollup, rollup.rounds.reveal_start(period), 1_000)
        rollup.turn(3)
    assert rollup.counts(period) == (1, 1), ann.lines.named("outbox_blocked")
