"""Small helpers of tests that talk to a chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.types import ChainId

PROJECT = Path(__file__).resolve().parents[2]
CHAIN = ChainId(1337)


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


def fresh_address(number: int) -> str:
    """An address that nobody holds."""
    return "0x" + (0xFEED << 32 | number).to_bytes(20, "big").hex()
