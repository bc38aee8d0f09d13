"""A tiny hand-assembled contract for tests of the chain layer: it emits, reverts, and can be taken once.

mark(bytes32 id, uint256 value)     emits Marked(id indexed, value)
fail(uint256 have, uint256 need)    reverts NotEnough(have, need)
take()                              the first caller emits Taken(by indexed); later ones revert AlreadyTaken(by)
taker() view returns (address)
"""

from __future__ import annotations

import json
from typing import Any

from eth_utils import keccak

from lilypad_agents.chain.abi import Abi


def _input(kind: str, name: str, indexed: bool | None = None) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "type": kind}
    return entry if indexed is None else {**entry, "indexed": indexed}


EMITTER_ABI = Abi.parse(
    "Emitter",
    json.dumps(
        [
            {
                "type": "function",
                "name": "mark",
                "inputs": [_input("bytes32", "id"), _input("uint256", "value")],
                "outputs": [],
            },
            {
                "type": "function",
                "name": "fail",
                "inputs": [_input("uint256", "have"), _input("uint256", "need")],
                "outputs": [],
            },
            {"type": "function", "name": "take", "inputs": [], "outputs": []},
            {"type": "function", "name": "taker", "inputs": [], "outputs": [_input("address", "")]},
            {
                "type": "event",
                "name": "Marked",
                "inputs": [_input("bytes32", "id", True), _input("uint256", "value", False)],
            },
            {"type": "event", "name": "Taken", "inputs": [_input("address", "by", True)]},
            {"type": "error", "name": "NotEnough", "inputs": [_input("uint256", "have"), _input("uint256", "need")]},
            {"type": "error", "name": "AlreadyTaken", "inputs": [_input("address", "by")]},
        ]
    ),
)

_OPCODES = {
    "STOP": 0x00, "EQ": 0x14, "ISZERO": 0x15, "SHL": 0x1B, "SHR": 0x1C, "CALLER": 0x33, "CALLDATALOAD": 0x35,
    "CALLDATACOPY": 0x37, "POP": 0x50, "MSTORE": 0x52, "SLOAD": 0x54, "SSTORE": 0x55, "JUMPI": 0x57, "JUMPDEST": 0x5B,
    "PUSH0": 0x5F, "DUP1": 0x80, "LOG2": 0xA2, "RETURN": 0xF3, "REVERT": 0xFD,
}  # fmt: skip


def _assemble(source: str) -> bytes:
    """Words: opcodes, `0x..` pushes of that width, `:label` (a JUMPDEST) and `@label` (a 2-byte push of its place)."""
    places: dict[str, int] = {}
    for _ in range(2):  # the first pass finds the places
        code = bytearray()
        for word in source.split():
            if word.startswith("0x"):
                value = bytes.fromhex(word[2:])
                code += bytes([0x5F + len(value)]) + value
            elif word.startswith("@"):
                code += bytes([0x61]) + places.get(word[1:], 0).to_bytes(2, "big")
            elif word.startswith(":"):
                places[word[1:]] = len(code)
                code.append(_OPCODES["JUMPDEST"])
            else:
                code.append(_OPCODES[word])
    return bytes(code)


def _error_selector(signature: str) -> str:
    return "0x" + keccak(text=signature)[:4].hex()


_DISPATCH = " ".join(
    f"DUP1 0x{EMITTER_ABI.function(name).selector.hex()} EQ @{name} JUMPI" for name in ("mark", "fail", "take", "taker")
)
_RUNTIME = _assemble(
    f"""
    PUSH0 CALLDATALOAD 0xe0 SHR {_DISPATCH} PUSH0 PUSH0 REVERT
    :mark   0x20 0x24 PUSH0 CALLDATACOPY
            0x04 CALLDATALOAD 0x{EMITTER_ABI.event("Marked").topic.hex()} 0x20 PUSH0 LOG2 STOP
    :fail   {_error_selector("NotEnough(uint256,uint256)")} 0xe0 SHL PUSH0 MSTORE
            0x40 0x04 0x04 CALLDATACOPY 0x44 PUSH0 REVERT
    :take   PUSH0 SLOAD DUP1 ISZERO @free JUMPI
            {_error_selector("AlreadyTaken(address)")} 0xe0 SHL PUSH0 MSTORE 0x04 MSTORE 0x24 PUSH0 REVERT
    :free   POP CALLER PUSH0 SSTORE
            CALLER 0x{EMITTER_ABI.event("Taken").topic.hex()} PUSH0 PUSH0 LOG2 STOP
    :taker  PUSH0 SLOAD PUSH0 MSTORE 0x20 PUSH0 RETURN
    """
)
EMITTER_CREATION = bytes.fromhex(f"61{len(_RUNTIME):04x}80600a5f395ff3") + _RUNTIME
