"""A chain made of literals, behind the face of an RPC client: blocks with logs, reorganisations at will, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_abi import encode as abi_encode
from eth_utils import keccak

from lilypad_agents.chain.abi import Abi
from lilypad_agents.chain.codec import Call

START = 1_700_000_000


@dataclass
class Block:
    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    logs: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "number": hex(self.number),
            "hash": "0x" + self.hash.hex(),
            "parentHash": "0x" + self.parent.hex(),
            "timestamp": hex(self.timestamp),
            "gasLimit": hex(30_000_000),
            "baseFeePerGas": "0x1",
        }


class ScriptedChain:
    """Answers what a log cursor and a block clock ask. `mine` adds a block, `fork` replaces the last ones."""

    def __init__(self) -> None:
        self.blocks = [Block(0, keccak(b"genesis"), bytes(32), START)]
        self.salt = 0
        self.hidden: set[int] = set()  # blocks whose logs are swallowed
        self.views: dict[bytes, Any] = {}  # what eth_call answers, by calldata

    def mine(self, *logs: dict[str, Any], seconds: int = 1) -> Block:
        parent = self.blocks[-1]
        number = parent.number + 1
        self.salt += 1
        hash_ = keccak(b"block" + number.to_bytes(8, "big") + self.salt.to_bytes(8, "big"))
        block = Block(number, hash_, parent.hash, parent.timestamp + seconds)
        for index, log in enumerate(logs):
            block.logs.append(
                {
                    **log,
                    "blockNumber": hex(number),
                    "blockHash": "0x" + hash_.hex(),
                    "logIndex": hex(index),
                    "transactionHash": "0x" + keccak(hash_ + bytes([index])).hex(),
                }
            )
        self.blocks.append(block)
        return block

    def fork(self, depth: int) -> None:
        del self.blocks[-depth:]

    # ---- the face of `chain.rpc.Rpc`

    def chain_id(self) -> int:
        return 1337

    def request(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        return self._answer(method, params)

    def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[Any]:
        return [self._answer(call.method, call.params) for call in calls]

    def _answer(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_getBlockByNumber":
            number = len(self.blocks) - 1 if params[0] == "latest" else int(params[0], 16)
            return self.blocks[number].as_json() if number < len(self.blocks) else None
        if method == "eth_getBlockByHash":
            return next((block.as_json() for block in self.blocks if "0x" + block.hash.hex() == params[0]), None)
        if method == "eth_getLogs":
            return self._logs(params[0])
        if method == "eth_call":
            return "0x" + self.views[bytes.fromhex(params[0]["data"][2:])].hex()
        raise AssertionError(f"the chain was asked for {method}")

    def _logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in wanted:
            chosen = [block for block in self.blocks if "0x" + block.hash.hex() == wanted["blockHash"]]
        else:
            last = len(self.blocks) - 1 if wanted["toBlock"] == "latest" else int(wanted["toBlock"], 16)
            chosen = self.blocks[int(wanted["fromBlock"], 16) : last + 1]
        topics = set(wanted["topics"][0])
        return [
            log
            for block in chosen
            if block.number not in self.hidden
            for log in block.logs
            if log["topics"][0] in topics
        ]


def log_of(abi: Abi, address: str, event: str, **args: Any) -> dict[str, Any]:
    """A log as a contract would emit it; its place is filled in by `mine`."""
    declared = abi.event(event)
    topics, types, values = [declared.topic], [], []
    for parameter in declared.inputs:
        value = parameter.lower(args[parameter.name])
        if parameter.indexed:
            topics.append(abi_encode([parameter.type], [value]))
        else:
            types.append(parameter.type)
            values.append(value)
    return {
        "address": address,
        "topics": ["0x" + topic.hex() for topic in topics],
        "data": "0x" + abi_encode(types, values).hex(),
    }
