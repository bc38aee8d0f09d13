"""Small helpers of tests that talk to a chain."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.transaction import FeeMarketTransaction
from lilypad_agents.chain.types import ChainId, Wei

PROJECT = Path(__file__).resolve().parents[2]
CHAIN = ChainId(1337)
GWEI = 10**9
# anvil shows what a block changes before it is done with the block, and then for a moment answers as of the block before:
# what a test waited for may be there, and the money that goes with it not.
A_BLOCK_S = 0.05


class Events:
    """A sink that remembers what it was told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool, dict[str, Any]]] = []

    def __call__(self, event: str, *, alert: bool = False, **fields: Any) -> None:
        self.seen.append((event, alert, fields))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, _, fields in self.seen if name == event]


def balance(rpc: Rpc, address: str) -> int:
    return int(rpc.request("eth_getBalance", address, "latest"), 16)


def nonce(rpc: Rpc, address: str) -> int:
    return int(rpc.request("eth_getTransactionCount", address, "latest"), 16)


def mine(rpc: Rpc, blocks: int = 1) -> None:
    rpc.request("anvil_mine", hex(blocks))


def mined_what_was_sent(rpc: Rpc, seconds: float = 2.0) -> None:
    """Waits for anvil, which answers a transaction before it mines it: on a busy machine a test outruns it.

    Returns at once where it mines on demand only, and after `seconds` where what waits cannot be mined (fees, nonces).
    """
    end = time.monotonic() + seconds
    while rpc.request("anvil_getAutomine") and int(rpc.request("txpool_status")["pending"], 16):
        if time.monotonic() > end:
            return
        time.sleep(0.002)


def fresh_address(number: int) -> str:
    """An address that nobody holds."""
    return "0x" + (0xFEED << 32 | number).to_bytes(20, "big").hex()


def by_hand(rpc: Rpc, signer: LocalSigner, to: str, value: int, at_nonce: int | None = None) -> str:
    """A transaction of a key that its agent knows nothing of; its hash."""
    used = nonce(rpc, signer.address) if at_nonce is None else at_nonce
    transaction = FeeMarketTransaction(
        CHAIN, used, Wei(GWEI), Wei(50 * GWEI), 21_000, bytes.fromhex(to[2:]), Wei(value), b""
    )
    return str(rpc.request("eth_sendRawTransaction", "0x" + signer.sign_transaction(transaction).raw.hex()))
