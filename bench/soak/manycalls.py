"""Many view calls in one: a program that makes them and returns their answers, run by eth_call and never deployed.

A soak asks some forty questions about each block. One request costs the chain and this process a tenth of forty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lilypad_agents.chain.codec import Call, to_bytes
from lilypad_agents.chain.contract import PreparedCall, block_param

_PUSH2, _PUSH20, _GAS, _STATICCALL, _CODECOPY, _RETURN = 0x61, 0x73, 0x5A, 0xFA, 0x39, 0xF3
_CHECKED = bytes.fromhex("15600057")  # ISZERO PUSH1 0 JUMPI: a call that failed jumps to where no JUMPDEST is
_ANSWERS = 0x400  # calldata is laid below, answers from here on
_STEP = 3 * 3 + 1 + 4 * 3 + 21 + 2 + len(_CHECKED)
_END = 7


class ManyCalls:
    """Calls of functions whose answers have a fixed number of words; `words` of each. Raises ValueError for calldata above 1 KiB."""

    def __init__(self, calls: Sequence[PreparedCall], words: Sequence[int]) -> None:
        if any(len(call.data) > _ANSWERS for call in calls):
            raise ValueError("calldata above 1 KiB")
        self._calls = calls
        self._words = words
        self._data = "0x" + _program(calls, words).hex()

    def at(self, block: bytes) -> Call:
        """The request for the answers as of the block with this hash."""
        return Call("eth_call", ({"data": self._data}, block_param(block)))

    def read(self, outcome: str) -> list[Any]:
        """The decoded answers in order, from what the chain answered. Raises RpcError for what is none."""
        answer = to_bytes(outcome)
        found, at = [], 0
        for call, words in zip(self._calls, self._words, strict=True):
            found.append(call.function.decode(answer[at : at + 32 * words]))
            at += 32 * words
        return found


def _program(calls: Sequence[PreparedCall], words: Sequence[int]) -> bytes:
    """For each call: copy its calldata to 0, call, stop unless it succeeded. Then return all answers."""
    code, data = bytearray(), bytearray()
    first, out = len(calls) * _STEP + _END, _ANSWERS
    for call, count in zip(calls, words, strict=True):
        size = len(call.data)
        code += _push(size) + _push(first + len(data)) + _push(0) + bytes([_CODECOPY])
        code += _push(32 * count) + _push(out) + _push(size) + _push(0)
        code += bytes([_PUSH20]) + bytes.fromhex(call.contract.address[2:]) + bytes([_GAS, _STATICCALL]) + _CHECKED
        data += call.data
        out += 32 * count
    code += _push(out - _ANSWERS) + _push(_ANSWERS) + bytes([_RETURN])
    assert len(code) == first
    return bytes(code + data)


def _push(value: int) -> bytes:
    return bytes([_PUSH2]) + value.to_bytes(2, "big")
