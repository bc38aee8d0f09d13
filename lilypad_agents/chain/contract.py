"""A contract at an address: view calls pinned to a block, calldata, decoded reverts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.chain.abi import Abi, ErrorTable, Function
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.codec import Call, to_bytes
from lilypad_agents.chain.errors import ContractReverted, NoContractCode, RpcError
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.types import BlockRef
from lilypad_agents.protocol.ids import checksummed

BlockId = int | str | bytes | BlockRef | ChainMoment


@dataclass(frozen=True)
class PreparedCall:
    """A view call ready to go into a batch, with what is needed to read its answer."""

    contract: Contract
    function: Function
    data: bytes


class Contract:
    """`errors` decodes reverts; give the table of all contracts that calls may pass through (default: its own)."""

    def __init__(self, address: str, abi: Abi, rpc: Rpc, errors: ErrorTable | None = None) -> None:
        self.address = checksummed(address)
        self.abi = abi
        self.rpc = rpc
        self.errors = errors or ErrorTable.of(abi)

    def __repr__(self) -> str:
        return f"Contract({self.abi.name} at {self.address})"

    def encode(self, name: str, *arguments: Any) -> bytes:
        """Calldata of a call. Raises AbiError."""
        return self.abi.function(name, len(arguments)).encode(*arguments)

    def prepare(self, name: str, *arguments: Any) -> PreparedCall:
        """A view call for `call_many`. Raises AbiError."""
        function = self.abi.function(name, len(arguments))
        return PreparedCall(self, function, function.encode(*arguments))

    def call(
        self, name: str, *arguments: Any, block: BlockId = "latest", sender: str | None = None, value: int = 0
    ) -> Any:
        """The decoded result of a view call at `block` (a moment or 32-byte hash pins it against reorganisations).

        Raises ContractReverted with the decoded error, NoContractCode, RpcError (the node lacks the block), AbiError.
        """
        result = call_many(self.rpc, [self.prepare(name, *arguments)], block, sender=sender, value=value)[0]
        if isinstance(result, Exception):
            raise result
        return result


def call_many(
    rpc: Rpc, calls: Sequence[PreparedCall], block: BlockId = "latest", *, sender: str | None = None, value: int = 0
) -> list[Any]:
    """Results of view calls in one request, in order; a ContractReverted stands in the place of a call that reverted.

    Raises RpcError when the node cannot answer one of them for another reason, and NoContractCode.
    """
    extra: dict[str, str] = {"from": sender} if sender else {}
    if value:
        extra["value"] = hex(value)
    requests = [
        Call("eth_call", ({"to": call.contract.address, "data": "0x" + call.data.hex(), **extra}, block_param(block)))
        for call in calls
    ]
    return [_read(call, outcome) for call, outcome in zip(calls, rpc.batch(requests), strict=True)]


def _read(call: PreparedCall, outcome: Any) -> Any:
    if isinstance(outcome, ContractReverted):
        decoded = call.contract.errors.decode(outcome.data)
        return ContractReverted(
            outcome.data, decoded=decoded, contract=call.contract.abi.name, function=call.function.name
        )
    if isinstance(outcome, RpcError):
        raise outcome
    data = to_bytes(outcome)
    if not data and call.function.outputs:
        name, address = call.contract.abi.name, call.contract.address
        raise NoContractCode(f"There is no contract {name} at {address}.", contract=name, address=address)
    return call.function.decode(data)


def block_param(block: BlockId) -> Any:
    """The JSON-RPC form of a block: number or tag as such; a hash or moment by EIP-1898, exact under reorganisations."""
    if isinstance(block, (ChainMoment, BlockRef)):
        block = block.hash
    if isinstance(block, bytes):
        return {"blockHash": "0x" + block.hex()}
    return hex(block) if isinstance(block, int) else block
