"""The outbox and a chain that takes blocks back: the same bytes are mined again, once."""

from __future__ import annotations

import time

import pytest

from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.chain.outbox import Mined, Pending
from lilypad_agents.chain.outbox_store import State
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from tests.support.chain import CHAIN, Events, balance, fresh_address, mine, nonce
from tests.support.faultproxy import FaultProxy
from tests.support.outbox import Open, pump_until


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("confirmations", [0, 2])
def test_pump__reorganisation_drops_it__same_bytes_are_mined_again(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner, depth: int, confirmations: int, events: Events
) -> None:
    """flt:F15 Dropped for good by a reorganisation of depth 1 to 5: same bytes sent again, new block hash stored."""
    outbox, to = open_outbox(confirmations=confirmations), fresh_address(9)
    mine(rpc, 8)
    outbox.submit("pay", to, value=4)
    pump_until(outbox, "pay", Mined, each=lambda: mine(rpc) if confirmations else None)
    while (read_moment(rpc).number - outbox.status("pay").receipt.block.number) < depth - 1:  # type: ignore[union-attr]
        mine(rpc)
        outbox.pump()
    first = outbox.status("pay")
    assert isinstance(first, Mined)
    rpc.request("anvil_reorg", read_moment(rpc).number - first.receipt.block.number + 1, [])
    assert balance(rpc, to) == 0
    outbox.pump()
    until = time.monotonic() + 5
    while balance(rpc, to) != 4 and time.monotonic() < until:
        time.sleep(0.01)  # anvil answers before it has mined
    assert balance(rpc, to) == 4, "one step is enough to send it again"
    if confirmations:
        assert isinstance(outbox.status("pay"), Pending)
    second = pump_until(outbox, "pay", Mined, each=lambda: mine(rpc))
    assert second.receipt.transaction_hash == first.receipt.transaction_hash
    assert second.receipt.block != first.receipt.block
    assert balance(rpc, to) == 4 and nonce(rpc, signer.address) == 1
    assert events.named("outbox_receipt_vanished")


@pytest.mark.parametrize("restarts", [False, True])
def test_pump__receipt_of_a_block_after_the_one_seen__is_looked_at_again(
    rpc: Rpc, proxy: FaultProxy, open_outbox: Open, events: Events, restarts: bool
) -> None:
    """flt:F15 Head H-1 was seen, then the receipt in H; H alone is replaced, and its successor's parent is what was seen."""
    outbox, to = open_outbox(rpc=Rpc(RpcConfig((proxy.url,), CHAIN))), fresh_address(35)
    mine(rpc, 3)
    outbox.submit("pay", to, value=4)
    outbox.pump()
    proxy.lag_blocks = 1
    until = time.monotonic() + 5
    while outbox.pump().counts[State.INCLUDED] == 0 and time.monotonic() < until:
        time.sleep(0.01)
    if restarts:
        outbox = open_outbox(rpc=Rpc(RpcConfig((proxy.url,), CHAIN)))
        outbox.pump()
    proxy.lag_blocks = 0
    sent = outbox.status("pay")
    assert isinstance(sent, Pending) and sent.stage is State.INCLUDED
    rpc.request("anvil_reorg", 1, [])
    assert balance(rpc, to) == 0
    outbox.pump()
    assert events.named("outbox_receipt_vanished")
    second = pump_until(outbox, "pay", Mined, each=lambda: mine(rpc))
    assert (second.receipt.transaction_hash,) == sent.hashes and balance(rpc, to) == 4


def test_pump__restart_after_a_reorganisation__same_bytes_are_mined_again(rpc: Rpc, open_outbox: Open) -> None:
    """flt:F15 flt:F1 Nothing but the database tells the restarted agent that its receipt is gone."""
    outbox, to = open_outbox(), fresh_address(10)
    mine(rpc, 3)
    outbox.submit("pay", to, value=4)
    first = outbox.wait("pay", 10)
    rpc.request("anvil_reorg", 1, [])
    second = pump_until(open_outbox(), "pay", Mined, each=lambda: mine(rpc))
    assert second.receipt.transaction_hash == first.transaction_hash and balance(rpc, to) == 4
