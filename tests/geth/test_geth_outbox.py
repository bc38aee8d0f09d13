"""The outbox on geth, which refuses a replacement that pays less than a tenth more, where anvil takes any."""

from __future__ import annotations

import time

import pytest

from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.errors import RpcError
from lilypad_agents.chain.fees import Fees, raise_up
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.chain.outbox import Mined, Outbox, Pending
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.transaction import FeeMarketTransaction
from lilypad_agents.chain.types import Wei
from tests.support.outbox import Open
from tests.support.chain import CHAIN, Events, balance, fresh_address, nonce

GWEI = 10**9


def _by_hand(rpc: Rpc, signer: LocalSigner, to: str, fees: Fees, at_nonce: int) -> str:
    transaction = FeeMarketTransaction(CHAIN, at_nonce, fees.tip, fees.max_fee, 21_000, bytes.fromhex(to[2:]), Wei(1), b"")
    return str(rpc.request("eth_sendRawTransaction", "0x" + signer.sign_transaction(transaction).raw.hex()))


def _pump_until_mined(outbox: Outbox, key: str, seconds: float = 30) -> Mined:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        outbox.pump()
        status = outbox.status(key)
        if isinstance(status, Mined):
            return status
        time.sleep(0.1)
    raise AssertionError(f"{key} is {outbox.status(key)}")


def _after_a_block(rpc: Rpc) -> None:
    """Returns when a block has just been made, so that nothing is mined for nearly a whole period."""
    head = read_moment(rpc).number
    while read_moment(rpc).number == head:
        time.sleep(0.05)


def test_geth__replacement__is_refused_below_a_tenth_more_and_taken_at_our_rise(rpc: Rpc, signer: LocalSigner) -> None:
    """That this chain is strict, so that the tests below say something."""
    to, fees = fresh_address(1), Fees(Wei(10 * GWEI), Wei(2 * GWEI))
    _after_a_block(rpc)
    _by_hand(rpc, signer, to, fees, 0)
    for percent in (100, 105, 109):
        less = Fees(Wei(fees.max_fee * percent // 100), Wei(fees.tip * percent // 100 + (percent == 100)))
        with pytest.raises(RpcError, match="underpriced"):
            _by_hand(rpc, signer, to, less, 0)
    _by_hand(rpc, signer, to, Fees(raise_up(fees.max_fee), raise_up(fees.tip)), 0)


def test_outbox__transaction_that_waits__is_replaced_again_and_again_and_mined_once(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner, events: Events
) -> None:
    """flt:F19 beh:J4 Every rise is one that geth takes, and the last one is what is mined."""
    outbox, to = open_outbox(replace_after_blocks=0), fresh_address(2)
    _after_a_block(rpc)
    outbox.submit("pay", to, value=7)
    for _ in range(4):
        outbox.pump()
    status = outbox.status("pay")
    assert isinstance(status, Pending) and len(status.hashes) >= 3
    last = "0x" + status.hashes[-1].hex()
    waiting = rpc.request("eth_getTransactionByHash", last)
    assert waiting is not None and waiting["blockNumber"] is None, "geth does not have the last rise"
    assert rpc.request("eth_getTransactionByHash", "0x" + status.hashes[0].hex()) is None, "the first one was not replaced"
    mined = _pump_until_mined(outbox, "pay")
    assert mined.receipt.succeeded
    assert balance(rpc, to) == 7 and nonce(rpc, signer.address) == 1
    assert len(events.named("outbox_replaced")) >= 2


def test_outbox__restarted_while_its_transaction_waits__sends_the_same_bytes(
    rpc: Rpc, open_outbox: Open, signer: LocalSigner
) -> None:
    """flt:F14 geth answers `already known`, and that is no failure."""
    first, to = open_outbox(), fresh_address(3)
    _after_a_block(rpc)
    first.submit("pay", to, value=9)
    first.pump()
    sent = first.status("pay")
    assert isinstance(sent, Pending)
    again = open_outbox(rebroadcast_after_s=0.0)
    again.pump()
    kept = again.status("pay")
    assert isinstance(kept, Pending) and kept.hashes == sent.hashes and kept.blocked is None
    assert _pump_until_mined(again, "pay").receipt.succeeded
    assert balance(rpc, to) == 9 and nonce(rpc, signer.address) == 1


def test_outbox__twenty_at_once__all_land_in_order(rpc: Rpc, open_outbox: Open, signer: LocalSigner) -> None:
    """beh:J4"""
    outbox, to = open_outbox(), fresh_address(4)
    for number in range(20):
        outbox.submit(f"pay:{number}", to, value=1)
    for number in range(20):
        _pump_until_mined(outbox, f"pay:{number}", 60)
    assert balance(rpc, to) == 20 and nonce(rpc, signer.address) == 20
