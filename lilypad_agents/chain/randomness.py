"""What a chain offers as randomness, and the proofs that `PrevrandaoRandomness` wants to see. Protocol 6.4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.codec import Call, quantity, to_bytes
from lilypad_agents.chain.errors import ContractReverted, RpcError
from lilypad_agents.chain.rlp_encoding import encode
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.types import ChainId
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol.ids import keccak256

_HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"
_WORDS = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom")
_NUMBERS = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")
# By fork: London, Shanghai, Cancun (3), Prague. True: a number.
_LATER = (
    ("baseFeePerGas", True),
    ("withdrawalsRoot", False),
    ("blobGasUsed", True),
    ("excessBlobGas", True),
    ("parentBeaconBlockRoot", False),
    ("requestsHash", False),
)
_BLOCKS_COMPARED = 16
# Their `prevrandao` is a constant or a copy of another chain's, which whoever orders transactions there knows beforehand.
ROLLUPS = frozenset(
    {10, 130, 252, 324, 480, 1101, 5000, 8453, 34443, 42161, 42170, 42220, 57073, 59144, 81457, 534352, 7777777}
    | {300, 1301, 59141, 84532, 421614, 534351, 11155420, 168587773}
)


class HeaderUnknown(LilypadError):
    """A block's header cannot be put together from what the endpoint says; figures: number, found, needed (hashes)."""

    code = "header-unknown"
    hint = "Update the software: the chain may have added a field to its blocks. Else use another endpoint."
    exit_code = 10


def header_of(block: Mapping[str, Any]) -> bytes:
    """The RLP of a block's header, from `eth_getBlockByNumber`. Raises HeaderUnknown unless its hash is the block's."""
    fields = [to_bytes(block[name]) for name in _WORDS]
    fields += [_shortest(block[name]) for name in _NUMBERS]
    fields += [to_bytes(block[name]) for name in ("extraData", "mixHash", "nonce")]
    fields += [(_shortest if number else to_bytes)(block[name]) for name, number in _LATER if name in block]
    header = encode(fields)
    if keccak256(header) != to_bytes(block["hash"]):
        raise HeaderUnknown(
            f"The header of block {quantity(block['number'])} hashes to 0x{keccak256(header).hex()}, not to {block['hash']}.",
            number=quantity(block["number"]),
            found="0x" + keccak256(header).hex(),
            needed=block["hash"],
        )
    return header


def read_header(rpc: Rpc, number: int) -> bytes:
    """The RLP of the header of block `number`: the proof of its `prevrandao`. Raises HeaderUnknown, RpcError."""
    block = rpc.request("eth_getBlockByNumber", hex(number), False)
    if block is None:
        raise HeaderUnknown(f"The endpoint does not have block {number}.", number=number)
    return header_of(block)


def chain_has_history(rpc: Rpc) -> bool:
    """Whether the contract of EIP-2935 serves this chain's block hashes; the sources ask the same at construction."""
    head = ChainMoment.parse(rpc.request("eth_getBlockByNumber", "latest", False))
    if head.number < 1:
        return bool(to_bytes(rpc.request("eth_getCode", _HISTORY, "latest")))
    question = {"to": _HISTORY, "data": "0x" + (head.number - 1).to_bytes(32, "big").hex()}
    try:
        return to_bytes(rpc.request("eth_call", question, hex(head.number))) == head.parent_hash
    except (ContractReverted, RpcError):
        return False


def prevrandao_flaw(rpc: Rpc, chain_id: ChainId) -> str:
    """Why this chain's `prevrandao` is no source of seeds, as an end of a sentence; empty when nothing speaks against it.

    Looks at the last 16 blocks. What cannot be seen there (whose value it is) is a list: ROLLUPS.
    """
    if chain_id in ROLLUPS:
        return f"chain {chain_id} is a rollup, where the value is a constant or known to the sequencer beforehand"
    head = quantity(rpc.request("eth_blockNumber"))
    numbers = range(max(1, head - _BLOCKS_COMPARED + 1), head + 1)
    if len(numbers) < _BLOCKS_COMPARED:
        return f"the chain has {len(numbers)} blocks yet; {_BLOCKS_COMPARED} are compared"
    blocks = rpc.batch([Call("eth_getBlockByNumber", (hex(number), False)) for number in numbers])
    mixes = set()
    for number, block in zip(numbers, blocks, strict=True):
        if not isinstance(block, Mapping):
            return f"the endpoint does not answer block {number}"
        if quantity(block.get("difficulty", "0x0")) != 0:
            return f"block {number} has difficulty {quantity(block['difficulty'])}: it was not made by proof of stake"
        mixes.add(to_bytes(block.get("mixHash", "0x")))
    if len(mixes) < len(blocks) or bytes(32) in mixes:
        return f"{len(blocks)} blocks in a row have {len(mixes)} different values"
    try:
        header_of(blocks[-1])
    except (HeaderUnknown, KeyError, ValueError) as error:
        return f"no header can be proved ({error})"
    return ""


def _shortest(value: str) -> bytes:
    """A number as RLP writes it: without leading zeros."""
    number = quantity(value)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
