"""Where seeds have to be proved by headers, the provider proves those that its deals wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lilypad_agents.chain.randomness import header_of
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.protocol.digest import is_drawn
from lilypad_agents.protocol.ids import ZERO, Address
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.terms import PoolTerms
from tests.agents.provider.harness import Stage
from tests.agents.provider.relay import Relay
from tests.agents.provider.test_provider_verified import STRATEGY, Pool
from tests.support.chain import mine
from tests.support.network import TOKEN, signer, start_network, stop_network

PREVRANDAO = {"randomness": "prevrandao", "periodBlocks": "133", "revealWindow": "1200"}


@pytest.fixture
def pool(relay: Relay, tmp_path: Path) -> Iterator[Pool]:
    network = start_network(tmp_path, PREVRANDAO)
    stage = Stage(network, relay, tmp_path / "stage")
    terms = PoolTerms(
        Address(signer(STRATEGY).address), network.token, 5 * TOKEN // 4, 100 * TOKEN, 10 * TOKEN, ZERO, 12, 8, 12, ZERO
    )
    network.fund([signer(0).address], 500 * TOKEN)
    network.send(0, "Lilypad", "donate", signer(STRATEGY).address, network.token, terms.id, 200 * TOKEN)
    yield Pool(stage, terms)
    stage.close()
    stop_network(network)


def altered_once() -> Callable[[Rpc, int], bytes]:
    """Headers as they are, after one whose hash is not the block's."""
    asked: list[int] = []

    def read(rpc: Rpc, number: int) -> bytes:
        asked.append(number)
        block = rpc.request("eth_getBlockByNumber", hex(number), False)
        return header_of(block | {"mixHash": "0x" + "ff" * 32} if len(asked) == 1 else block)

    return read


def test_seed__awaited_by_a_deal__is_proved_by_its_header_and_the_deal_settled(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """flt:F16 inv:T51: nobody else records; a deal must neither wait for ever nor be audited for want of a header.

    The endpoint alters the first header that it is asked for.
    """
    stage, life = pool.stage, pool.start()
    monkeypatch.setattr("lilypad_agents.agents.runtime.seeds.read_header", altered_once())
    deal_id, _ = pool.submitted(life, audit_bps=2_000, collateral_bps=80_000)
    period = stage.state(deal_id).period + 1
    source = stage.network.contracts["PrevrandaoRandomness"]
    assert not stage.lines.named("seed_recording")
    mine(stage.network.rpc, 2 * 133 + 2)
    life.until(lambda: source.call("seed", period)[0] == 1)
    deciding = period * 133 + 132
    block = stage.network.rpc.request("eth_getBlockByNumber", hex(deciding), False)
    seed = bytes(source.call("seed", period)[1])
    assert "0x" + seed.hex() == block["mixHash"]
    if is_drawn(seed, deal_id, 2_000):
        assert stage.state(deal_id).status is Status.RESULTS_SUBMITTED
    else:
        stage.pass_time(25)  # the judge window
        life.until(stage.is_in(deal_id, Status.ACCEPTED))
    life.turn(3)
    assert len(stage.lines.named("seed_unprovable")) == len(stage.lines.named("seed_recording")) == 1
