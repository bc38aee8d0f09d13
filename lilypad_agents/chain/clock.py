"""One moment of the chain: all reads of a cycle are pinned to it, and all time in decisions is its timestamp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.chain.codec import quantity, to_bytes
from lilypad_agents.chain.errors import RpcError
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.types import BlockRef, Wei


@dataclass(frozen=True)
class ChainMoment:
    """A block: number, hash and parent hash (32 bytes), timestamp (unix s), base fee (wei per gas), gas limit."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee: Wei
    gas_limit: int

    @property
    def ref(self) -> BlockRef:
        return BlockRef(self.number, self.hash)

    @classmethod
    def parse(cls, block: Mapping[str, Any] | None) -> ChainMoment:
        """From a block object of JSON-RPC. Raises RpcError when it is none."""
        if not isinstance(block, Mapping):
            raise RpcError("The node does not know the block.")
        try:
            return cls(
                number=quantity(block["number"]),
                hash=to_bytes(block["hash"]),
                parent_hash=to_bytes(block["parentHash"]),
                timestamp=quantity(block["timestamp"]),
                base_fee=Wei(quantity(block.get("baseFeePerGas", 0))),
                gas_limit=quantity(block["gasLimit"]),
            )
        except KeyError as error:
            raise RpcError(f"The node sent a block without {error}.") from error


def read_moment(rpc: Rpc, block: int | str = "latest") -> ChainMoment:
    """The moment of a block number or tag. Raises RpcError when the node does not have it."""
    tag = hex(block) if isinstance(block, int) else block
    return ChainMoment.parse(rpc.request("eth_getBlockByNumber", tag, False))
