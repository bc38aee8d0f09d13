"""anvil with a state file, over several lives: the chain stays the one that it was."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lilypad_agents.chain.anvil import Anvil
from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.errors import DevelopmentChainFailed
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from tests.support.chain import CHAIN, mine


def test_anvil__started_a_third_time_from_its_state__has_the_first_block_of_the_first(
    start_anvil: Callable[..., Anvil], tmp_path: Path
) -> None:
    """flt:F40 Otherwise agents take a devnet that was stopped and started twice for another chain."""
    state, began = tmp_path / "state.json", int(time.time()) - 1_000

    def live(number: int) -> bytes:
        """One life, which anvil begins with a genesis of another second; the hash of what it says block 0 is."""
        chain = start_anvil(state_file=state, extra=("--timestamp", str(began + number)))
        rpc = Rpc(RpcConfig((chain.url,), CHAIN))
        mine(rpc, 2)
        found = read_moment(rpc, 0).hash
        rpc.close()
        chain.stop()
        return found

    first = live(0)
    assert live(1) == first
    document = json.loads(state.read_text())
    assert len(_first_blocks(document)) == 2, "anvil has mended it: the mend of our own can go"
    document["blocks"] += _first_blocks(document)[-1:]  # in an order in which it would take its own
    state.write_text(json.dumps(document))
    assert live(2) == first


def test_states_of_past_blocks__lie_beside_the_state_file__few_and_gone_at_the_next_start(
    start_anvil: Callable[..., Anvil], tmp_path: Path
) -> None:
    """Left alone anvil fills the user's home by gigabytes, and a killed one never takes them away."""
    state, states = tmp_path / "state.json", tmp_path / "states"

    def files() -> int:
        return sum(path.is_file() for path in states.rglob("*"))

    chain = start_anvil(state_file=state, state_interval_s=3600, states_on_disk=8)
    rpc = Rpc(RpcConfig((chain.url,), CHAIN))
    for _ in range(40):
        mine(rpc, 50)
    assert 0 < files() <= 8
    rpc.close()
    assert chain.pid is not None
    os.kill(chain.pid, signal.SIGKILL)
    chain.stop()
    start_anvil(state_file=state)
    assert files() == 0


@pytest.mark.parametrize("left", [b"", b'{"block":{"number":"0x1"'])
def test_state_file__cut_off_by_a_kill__is_refused_with_a_way_out(
    start_anvil: Callable[..., Anvil], tmp_path: Path, left: bytes
) -> None:
    """anvil writes it in place: while it does so the file is empty, then a part."""
    state = tmp_path / "state.json"
    state.write_bytes(left)
    with pytest.raises(DevelopmentChainFailed, match="killed while it wrote") as caught:
        start_anvil(state_file=state)
    assert "devnet reset" in caught.value.way_out
    assert state.read_bytes() == left


def _first_blocks(document: dict) -> list[dict]:  # type: ignore[type-arg]
    found = [block for block in document["blocks"] if int(block["header"]["number"], 16) == 0]
    return sorted(found, key=lambda block: int(block["header"]["timestamp"], 16))
