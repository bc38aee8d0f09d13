"""Signatures: who spoke, for whom, where it counts."""

from __future__ import annotations

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.protocol.consent import (
    APPROVED,
    Acceptance,
    Domain,
    Proof,
    Waiver,
    by_contract,
    by_delegate,
    by_own_key,
    examine,
    recover,
)
from lilypad_agents.protocol.errors import FieldInvalid, SignatureMalformed
from lilypad_agents.protocol.ids import Address, keccak256
from tests.support.evm import Account
from tests.support.values import account

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DIGEST = keccak256(b"digest")
ALICE, HOT = Account("alice", bytes([1]) * 32), Account("hot", bytes([2]) * 32)


def raw(key: Account, digest: bytes) -> bytes:
    return key.sign(digest)


@given(st.binary(min_size=32, max_size=32))
def test_recover__signature_of_a_key__answers_its_account(digest: bytes) -> None:
    assert recover(digest, raw(ALICE, digest)) == ALICE.address


def high_s(signature: bytes) -> bytes:
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def compact(signature: bytes) -> bytes:
    """EIP-2098."""
    s = int.from_bytes(signature[32:64], "big") | (signature[64] - 27) << 255
    return signature[:32] + s.to_bytes(32, "big")


@pytest.mark.parametrize(
    "spoil",
    [
        high_s,
        compact,
        lambda s: s[:64],
        lambda s: s + b"\0",
        lambda s: b"",
        lambda s: s[:64] + b"\0",
        lambda s: s[:64] + b"\1",
        lambda s: s[:64] + bytes([29]),
        lambda s: bytes(32) + s[32:],
        lambda s: s[:32] + bytes(32) + s[64:],
        lambda s: ORDER.to_bytes(32, "big") + s[32:],
    ],
    ids=["high s", "compact", "64 bytes", "66 bytes", "empty", "v 0", "v 1", "v 29", "r 0", "s 0", "r = order"],
)
def test_own_key__twin_or_malformed_signature__is_refused(spoil: object) -> None:
    """inv:T5 in Python: what the core refuses is refused before anything is sent."""
    signature = spoil(raw(ALICE, DIGEST))  # type: ignore[operator]
    with pytest.raises(SignatureMalformed):
        by_own_key(signature)
    with pytest.raises(SignatureMalformed):
        recover(DIGEST, signature)


def test_recover__r_that_is_no_point__is_refused() -> None:
    spoilt = (5).to_bytes(32, "big") + raw(ALICE, DIGEST)[32:]
    with pytest.raises(SignatureMalformed, match="no key"):
        recover(DIGEST, spoilt)


def test_examine__own_key__is_decided_without_the_chain() -> None:
    argument = by_own_key(raw(ALICE, DIGEST))
    assert argument == b"\0" + raw(ALICE, DIGEST)
    mine = examine(ALICE.address, DIGEST, argument)
    assert (mine.speaker, mine.proof, mine.valid, mine.by_delegate) == (ALICE.address, Proof.KEY, True, False)
    assert not examine(HOT.address, DIGEST, argument).valid
    assert not examine(ALICE.address, keccak256(b"another"), argument).valid


def test_examine__delegate__names_who_spoke_and_how() -> None:
    argument = by_delegate(Address(HOT.address), by_own_key(raw(HOT, DIGEST)))
    assert argument == b"\1" + bytes.fromhex(HOT.address[2:]) + b"\0" + raw(HOT, DIGEST)
    found = examine(ALICE.address, DIGEST, argument)
    assert (found.account, found.speaker, found.proof, found.valid) == (ALICE.address, HOT.address, Proof.KEY, True)
    assert found.by_delegate
    forged = by_delegate(Address(HOT.address), by_own_key(raw(ALICE, DIGEST)))
    assert not examine(ALICE.address, DIGEST, forged).valid


@pytest.mark.parametrize(
    ("inner", "proof", "data"), [(APPROVED, Proof.APPROVAL, b""), (by_contract(b"xyz"), Proof.CONTRACT, b"xyz")]
)
def test_examine__delegate_that_is_a_contract_or_approved__says_what_to_ask(
    inner: bytes, proof: Proof, data: bytes
) -> None:
    found = examine(ALICE.address, DIGEST, by_delegate(Address(HOT.address), inner))
    assert (found.speaker, found.proof, found.valid, found.data) == (HOT.address, proof, True, data)


def test_examine__empty_or_contract__leaves_the_answer_to_the_chain() -> None:
    approved = examine(ALICE.address, DIGEST, APPROVED)
    assert (approved.speaker, approved.proof) == (None, Proof.APPROVAL)
    contract = examine(ALICE.address, DIGEST, by_contract(b""))
    assert (contract.speaker, contract.proof, contract.data) == (ALICE.address, Proof.CONTRACT, b"")


@pytest.mark.parametrize("argument", [b"\3", b"\xff" * 66, b"\0", b"\0" * 65, b"\1" + b"\0" * 19, b"\1"])
def test_examine__no_signature_argument__is_refused(argument: bytes) -> None:
    with pytest.raises(SignatureMalformed):
        examine(ALICE.address, DIGEST, argument)


def test_delegate__of_a_delegate__is_refused() -> None:
    inner = by_delegate(Address(HOT.address), by_own_key(raw(HOT, DIGEST)))
    with pytest.raises(SignatureMalformed, match="no delegates"):
        by_delegate(Address(ALICE.address), inner)
    with pytest.raises(SignatureMalformed, match="no delegates"):
        examine(ALICE.address, DIGEST, b"\1" + bytes(20) + inner)


def test_digest__on_another_chain_core_or_type__differs() -> None:
    """beh:B5 in Python: every part of the domain and the type counts."""
    message = Acceptance(bytes([1]) * 32, bytes([2]) * 32)
    waiver = Waiver(deal_id=bytes([1]) * 32, result_digest=bytes([2]) * 32)
    digests = {
        Domain(1, account(1)).digest(message.struct_hash),
        Domain(2, account(1)).digest(message.struct_hash),
        Domain(1, account(2)).digest(message.struct_hash),
        Domain(1, account(1)).digest(waiver.struct_hash),
    }
    assert len(digests) == 4


@pytest.mark.parametrize(("chain_id", "core"), [(0, account(1)), (-1, account(1)), (True, account(1)), (1, "0xdead")])
def test_domain__that_cannot_be__is_refused(chain_id: int, core: str) -> None:
    with pytest.raises(FieldInvalid):
        Domain(chain_id, Address(core))


def test_waiver__with_another_statement__does_not_come_to_be() -> None:
    with pytest.raises(FieldInvalid, match="statement"):
        Waiver(statement="I trust you", deal_id=bytes(32), result_digest=bytes(32))


def test_key__of_the_test_account__matches_an_independent_derivation() -> None:
    """The helper that the other tests sign with is itself checked against eth_account."""
    from eth_account import Account as Reference

    assert Reference.from_key(ALICE.secret).address == ALICE.address
    assert PrivateKey(ALICE.secret).secret == ALICE.secret
