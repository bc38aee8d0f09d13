"""What a chain offers as randomness, told from its blocks, and headers put together from what nodes say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import rlp
from eth_utils import keccak

from lilypad_agents.chain.codec import Call
from lilypad_agents.chain.errors import RpcError
from lilypad_agents.chain.randomness import ROLLUPS, HeaderUnknown, header_of, prevrandao_flaw, read_header

LATER = {
    "baseFeePerGas": "0x7",
    "withdrawalsRoot": "0x" + "0a" * 32,
    "blobGasUsed": "0x0",
    "excessBlobGas": "0x20000",
    "parentBeaconBlockRoot": "0x" + "0b" * 32,
    "requestsHash": "0x" + "0c" * 32,
}
FORKS = {"london": 1, "shanghai": 2, "cancun": 5, "prague": 6}


def block(number: int = 20_000, fork: str = "prague", **changes: Any) -> dict[str, Any]:
    """A block as a node answers it, with fields that do not belong to the header; its hash is computed here."""
    found = {
        "parentHash": "0x" + "01" * 32,
        "sha3Uncles": "0x" + keccak(rlp.encode([])).hex(),
        "miner": "0x" + "02" * 20,
        "stateRoot": "0x" + "03" * 32,
        "transactionsRoot": "0x" + "04" * 32,
        "receiptsRoot": "0x" + "05" * 32,
        "logsBloom": "0x" + "00" * 256,
        "difficulty": "0x0",
        "number": hex(number),
        "gasLimit": "0x2aea540",
        "gasUsed": "0x80",
        "timestamp": "0x6b09e6ac",
        "extraData": "0x",
        "mixHash": "0x" + keccak(text=f"mix {number}").hex(),
        "nonce": "0x" + "00" * 8,
    } | dict(list(LATER.items())[: FORKS[fork]])
    found |= changes
    items = [
        bytes.fromhex(value[2:]) if len(value) in (2, 18, 42, 66, 514) else rlp.sedes.big_endian_int.serialize(int(value, 16))
        for value in found.values()
    ]
    return found | {"hash": "0x" + keccak(rlp.encode(items)).hex(), "totalDifficulty": "0x1", "size": "0x2", "uncles": []}


class Chain:
    """An endpoint that answers blocks by number."""

    def __init__(self, make: Callable[[int], Any] = block, head: int = 20_000) -> None:
        self.make, self.head = make, head

    def request(self, method: str, *parameters: Any) -> Any:
        return hex(self.head) if method == "eth_blockNumber" else self.make(int(parameters[0], 16))

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        return [self.make(int(call.params[0], 16)) for call in calls]


@pytest.mark.parametrize("fork", list(FORKS))
def test_header_of__any_fork__hashes_to_the_block(fork: str) -> None:
    answer = block(fork=fork)
    header = header_of(answer)
    assert "0x" + keccak(header).hex() == answer["hash"]
    assert len(rlp.decode(header)) == 15 + FORKS[fork]


@pytest.mark.parametrize("change", [{"mixHash": "0x" + "ff" * 32}, {"gasUsed": "0x81"}, {"extraData": "0x00"}])
def test_header_of__answer_that_was_altered__is_refused(change: Mapping[str, str]) -> None:
    """inv:T15: a lying endpoint wastes no transaction."""
    answer = block() | change
    with pytest.raises(HeaderUnknown) as refusal:
        header_of(answer)
    assert (refusal.value.figures["number"], refusal.value.figures["needed"]) == (20_000, answer["hash"])


def test_read_header__block_that_is_not_there__says_so() -> None:
    with pytest.raises(HeaderUnknown, match="does not have block 5"):
        read_header(Chain(lambda _: None), 5)  # type: ignore[arg-type]


def test_flaw__chain_like_the_main_network__is_none() -> None:
    assert prevrandao_flaw(Chain(), 1) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize("chain_id", sorted(ROLLUPS))
def test_flaw__rollup__is_told_by_its_number(chain_id: int) -> None:
    """inv:T15: a copy of another chain's value varies and is known beforehand all the same."""
    assert f"chain {chain_id} is a rollup" in prevrandao_flaw(Chain(), chain_id)  # type: ignore[arg-type]


def one_in_six(number: int) -> dict[str, Any]:
    """A rollup that no list knows: the value of its first layer, for as long as that has no new block."""
    return block(number, mixHash="0x" + keccak(text=f"layer {number // 6}").hex())


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        (Chain(lambda number: block(number, mixHash="0x" + "00" * 31 + "01")), "16 blocks in a row have 1 different"),
        (Chain(one_in_six), "16 blocks in a row have 4 different values"),
        (Chain(lambda number: block(number, mixHash="0x" + "00" * 32) if number == 19_990 else block(number)), "16 different"),
        (Chain(lambda number: block(number, difficulty="0x2")), "block 19985 has difficulty 2"),
        (Chain(lambda number: block(number) if number != 20_000 else block(number, difficulty="0x1")), "block 20000 has"),
        (Chain(head=15), "the chain has 15 blocks yet"),
        (Chain(head=0), "the chain has 0 blocks yet"),
        (Chain(lambda number: block(number) | {"gasUsed": "0x0"}), "no header can be proved"),
        (Chain(lambda number: {key: value for key, value in block(number).items() if key != "nonce"}), "no header can be"),
        (Chain(lambda number: {key: value for key, value in block(number).items() if key != "mixHash"}), "different values"),
        (Chain(lambda number: RpcError("no such block") if number == 19_999 else block(number)), "not answer block 19999"),
        (Chain(lambda number: None if number == 19_999 else block(number)), "not answer block 19999"),
    ],
)  # fmt: skip
def test_flaw__blocks_that_do_not_fit__is_named(chain: Chain, words: str) -> None:
    assert words in prevrandao_flaw(chain, 1337)  # type: ignore[arg-type]
