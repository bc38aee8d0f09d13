"""Results: head, content, digest, commitment, lottery; and Merkle lists."""

from __future__ import annotations

import random

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.protocol.digest import (
    Head,
    Part,
    commitment,
    content_of,
    counted_parts,
    deciding_block,
    deciding_period,
    is_drawn,
    open_result,
    period_of,
    result_digest,
)
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import ZERO, keccak256
from lilypad_agents.protocol.merkle import MerkleTree, verify
from tests.support.values import account, words

EVERYTHING = Part.EXIT_CODE | Part.STDOUT | Part.STDERR | Part.OUTPUTS | Part.UNITS
RESULT = {
    "exit_code": 3,
    "units": 5,
    "stdout_hash": keccak256(b"out"),
    "stderr_hash": keccak256(b"err"),
    "outputs_root": bytes([9]) * 32,
}


def test_head__packs__units_exit_code_and_mask_where_the_contract_reads_them() -> None:
    word = int.from_bytes(Head(5, 3, Part.STDOUT | Part.EXIT_CODE | Part.UNITS).pack(), "big")
    assert word == 5 | 3 << 64 | 0b10011 << 96


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 31))
def test_head__there_and_back__is_the_same(units: int, exit_code: int, mask: int) -> None:
    head = Head(units if mask & Part.UNITS else 0, exit_code if mask & Part.EXIT_CODE else 0, Part(mask))
    assert Head.unpack(head.pack()) == head


@pytest.mark.parametrize(
    "word", [1 << 104, 1 << 255, 0b100000 << 96, 5 | 0b1111 << 96, 3 << 64 | 0b11110 << 96], ids=hex
)
def test_head__malformed__is_refused(word: int) -> None:
    with pytest.raises(FieldInvalid):
        Head.unpack(word.to_bytes(32, "big"))


@pytest.mark.parametrize(("units", "exit_code"), [(2**64, 0), (0, 2**32), (-1, 0)])
def test_head__number_out_of_range__is_refused(units: int, exit_code: int) -> None:
    with pytest.raises(FieldInvalid):
        Head(units, exit_code, EVERYTHING).pack()


@given(words, words, words)
def test_content__is_the_abi_encoding_of_its_parts(stdout: bytes, stderr: bytes, root: bytes) -> None:
    assert content_of(stdout, stderr, root) == keccak256(encode(["bytes32"] * 3, [stdout, stderr, root]))


def test_result__parts_that_do_not_count__change_nothing() -> None:
    """beh:C3 in part: the digest covers exactly the parts that the module counts."""
    for part, change in (
        (Part.EXIT_CODE, {"exit_code": 4}),
        (Part.STDOUT, {"stdout_hash": keccak256(b"other")}),
        (Part.STDERR, {"stderr_hash": keccak256(b"other")}),
        (Part.OUTPUTS, {"outputs_root": bytes([8]) * 32}),
        (Part.UNITS, {"units": 6}),
    ):
        counted = open_result(EVERYTHING, **RESULT)
        assert open_result(EVERYTHING, **(RESULT | change)).digest != counted.digest, part
        left_out = open_result(EVERYTHING & ~part, **RESULT)
        assert open_result(EVERYTHING & ~part, **(RESULT | change)) == left_out, part
        assert left_out.digest != counted.digest, part


def test_result__absent_part__is_a_zero_word() -> None:
    absent = open_result(EVERYTHING, **(RESULT | {"outputs_root": None}))
    assert absent == open_result(EVERYTHING, **(RESULT | {"outputs_root": ZERO}))


def test_counted_parts__of_a_module__hold_units_only_where_they_are_priced() -> None:
    assert counted_parts(("exitCode", "stdout"), 0) == Part.EXIT_CODE | Part.STDOUT
    assert counted_parts(("outputs", "stderr"), 1) == Part.OUTPUTS | Part.STDERR | Part.UNITS
    with pytest.raises(FieldInvalid, match="times"):
        counted_parts(("times",), 0)


@given(words, words)
def test_digest__is_the_hash_of_head_and_content(head: bytes, content: bytes) -> None:
    assert result_digest(head, content) == keccak256(encode(["bytes32", "bytes32"], [head, content]))


@given(words, words, words)
def test_commitment__is_bound_to_deal_provider_digest_and_salt(deal_id: bytes, digest: bytes, salt: bytes) -> None:
    provider = account(1)
    whole = keccak256(encode(["bytes32", "address", "bytes32", "bytes32"], [deal_id, provider, digest, salt]))
    found = commitment(deal_id, provider, digest, salt)
    assert found == int.from_bytes(whole, "big") % 2**176
    assert commitment(deal_id, account(2), digest, salt) != found


def test_commitment__salt_of_another_length__is_refused() -> None:
    with pytest.raises(FieldInvalid, match="salt"):
        commitment(bytes(32), account(1), bytes(32), b"salt")


def test_lottery__over_many_deals__draws_at_the_signed_rate() -> None:
    """beh:D21 and inv:I36 for the formula: the frequency of draws is that of a fair coin with this probability."""
    for rate in (0, 400, 800, 10_000):
        drawn = sum(is_drawn(keccak256(bytes([1])), keccak256(n.to_bytes(4, "big")), rate) for n in range(20_000))
        expected = 20_000 * rate / 10_000
        spread = (expected * (1 - rate / 10_000)) ** 0.5
        assert abs(drawn - expected) <= 4 * spread


def test_periods__decide__one_later_at_lookahead() -> None:
    assert period_of(1_005, 6) == 167
    assert deciding_period(167) == 168
    assert deciding_block(168, 6, 2) == 1_010


# Roots and proofs by @openzeppelin/merkle-tree 1.0.8, StandardMerkleTree.of(values, ["bytes32"]), values i*i + 7.
VECTORS = {
    1: ("607bca8f7c1c56da874da29cd62c3769b9880d38a258a91fc6dd1cfb6b4d1a8e", []),
    2: ("001d466ef0f65d271718ec57ce87ecce49b08d3eac2d39d9e8af7f27ae825575",
        ["a7c46294ffa3fad92dc8422b2e38b688ccf1b86172f5beaf864af9368d2844e5"]),
    3: ("eedb80bc7c8770534769fee4bb18c0f5957478e57c9a5bf7579129d4a606cc6b",
        ["a7c46294ffa3fad92dc8422b2e38b688ccf1b86172f5beaf864af9368d2844e5",
         "b2ac7d4e10f072d9f46be3db644ef1be450423557f8fa8d52ccc7cf0d7e8c319"]),
    5: ("def3f54f19a8e87838d0ed4ad57a19e855b6799fb9e5fbef93f1de97358bd015",
        ["a7c46294ffa3fad92dc8422b2e38b688ccf1b86172f5beaf864af9368d2844e5",
         "cf80bc4621d0751d813b5c62e01b0e17c015a240bacef8447cd784f3f77be164",
         "204afb46c275824863a02212e69a2d6d14f4757b7688890c7b41e24a4af5ba63"]),
    8: ("8aec6c6941db8549fc36ef4f4a3e8a6acf38b01a1015d1617466b34200a3458f",
        ["a7c46294ffa3fad92dc8422b2e38b688ccf1b86172f5beaf864af9368d2844e5",
         "eb93f467b96aab41b656ba533febe3b73538bc33cc5518d30a5db162ed5f8b61",
         "1e8f70d8b9c1eadf8f31833ab643f92c1fcf49714243df598d9415cf7062ad91"]),
}  # fmt: skip


@pytest.mark.parametrize("count", VECTORS)
def test_merkle_tree__of_the_published_library__has_the_same_root_and_proof(count: int) -> None:
    root, proof = VECTORS[count]
    values = [(i * i + 7).to_bytes(32, "big") for i in range(count)]
    random.Random(count).shuffle(values)
    tree = MerkleTree.of(values)
    assert tree.root.hex() == root
    assert [node.hex() for node in tree.proof((7).to_bytes(32, "big"))] == proof


@given(st.sets(words, min_size=1, max_size=40), words)
def test_merkle_tree__any_list__proves_its_members_and_nobody_else(values: set[bytes], stranger: bytes) -> None:
    tree = MerkleTree.of(values)
    for value in values:
        assert verify(tree.root, value, tree.proof(value))
    if stranger in values:
        return
    with pytest.raises(FieldInvalid, match="not in it"):
        tree.proof(stranger)
    for value in values:
        assert not verify(tree.root, stranger, tree.proof(value))


@pytest.mark.parametrize("values", [[], [b"short"]])
def test_merkle_tree__of_nothing_or_of_no_words__is_refused(values: list[bytes]) -> None:
    with pytest.raises(FieldInvalid):
        MerkleTree.of(values)
