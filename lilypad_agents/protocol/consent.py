"""How an account binds itself: the EIP-712 domain, the messages besides offers, signature arguments.

Twin of contracts/core/LilypadConsent.sol. A signature argument is empty (the account sends the call itself, or the digest
was approved on chain) or begins with its kind:
0x00 + r, s, v: own key; 0x01 + delegate (20 bytes) + a signature argument of the delegate; 0x02 + bytes: ERC-1271.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntFlag
from functools import cached_property
from typing import Any, ClassVar

from coincurve import PublicKey

from lilypad_agents.protocol.errors import FieldInvalid, SignatureMalformed
from lilypad_agents.protocol.ids import Address, Bytes32, DealId, ResultDigest, checksummed, is_checksummed, keccak256
from lilypad_agents.protocol.structs import StructType, TypedStruct
from lilypad_agents.protocol.units import Amount, Timestamp

NAME, VERSION = "Lilypad", "1"
WAIVER_STATEMENT = "I have checked this result myself"
APPROVED = b""  # the argument of an account that approved the digest by a call, or makes this very call

_DOMAIN = StructType.parse("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_OWN_KEY, _DELEGATE, _CONTRACT = 0, 1, 2


class Scope(IntFlag):
    """What a delegate may do for an account."""

    OFFERS = 1  # sign, approve and cancel offers
    RESULTS = 2  # submit, decline and open results
    ACCEPTANCE = 4  # accept, waive, challenge a delivery


@dataclass(frozen=True)
class Domain:
    """Where signatures count: one core on one chain."""

    chain_id: int
    core: Address

    def __post_init__(self) -> None:
        if not is_checksummed(self.core):
            raise FieldInvalid("EIP712Domain", "verifyingContract", "must be an address in checksummed (EIP-55) form")
        if isinstance(self.chain_id, bool) or not isinstance(self.chain_id, int) or not 0 < self.chain_id < 1 << 256:
            raise FieldInvalid("EIP712Domain", "chainId", "must be a positive integer below 2^256")

    @cached_property
    def separator(self) -> Bytes32:
        words = (_DOMAIN.hash, keccak256(NAME.encode()), keccak256(VERSION.encode()))
        return keccak256(b"".join(words) + self.chain_id.to_bytes(32, "big") + bytes(12) + bytes.fromhex(self.core[2:]))

    def digest(self, struct_hash: bytes) -> Bytes32:
        """What is signed: EIP-712 digest of a struct hash."""
        return keccak256(b"\x19\x01" + self.separator + struct_hash)

    def to_json(self) -> dict[str, Any]:
        return {"name": NAME, "version": VERSION, "chainId": self.chain_id, "verifyingContract": self.core}


def typed_data(message: TypedStruct, domain: Domain) -> dict[str, Any]:
    """The EIP-712 document that wallets show and sign (`eth_signTypedData_v4`); wide numbers are decimal strings."""
    kind = message.TYPE
    return {
        "types": {"EIP712Domain": _DOMAIN.fields, kind.name: kind.fields},
        "primaryType": kind.name,
        "domain": domain.to_json(),
        "message": message.to_json(),
    }


# ---- messages besides offers


@dataclass(frozen=True)
class Result(TypedStruct):
    """A provider lets anyone post its commitment."""

    deal_id: DealId
    commitment: int

    TYPE: ClassVar[StructType] = StructType.parse("Result(bytes32 dealId,uint176 commitment)")


@dataclass(frozen=True)
class Acceptance(TypedStruct):
    """A creator agrees to a result; counts once the lottery spared the deal."""

    deal_id: DealId
    result_digest: ResultDigest

    TYPE: ClassVar[StructType] = StructType.parse("Acceptance(bytes32 dealId,bytes32 resultDigest)")


@dataclass(frozen=True, kw_only=True)
class Waiver(TypedStruct):
    """A creator states that it checked the result itself; skips the lottery."""

    statement: str = WAIVER_STATEMENT
    deal_id: DealId
    result_digest: ResultDigest

    TYPE: ClassVar[StructType] = StructType.parse("Waiver(string statement,bytes32 dealId,bytes32 resultDigest)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.statement != WAIVER_STATEMENT:
            raise FieldInvalid("Waiver", "statement", f"must be {WAIVER_STATEMENT!r}")


@dataclass(frozen=True)
class Closing(TypedStruct):
    """Both parties divide the escrow."""

    deal_id: DealId
    to_creator: Amount
    to_provider: Amount
    expiry: Timestamp

    TYPE: ClassVar[StructType] = StructType.parse(
        "Closing(bytes32 dealId,uint96 toCreator,uint96 toProvider,uint40 expiry)"
    )


# ---- signature arguments


def by_own_key(signature: bytes) -> bytes:
    """The argument for a signature of the account's key: r, s, v in 65 bytes. Raises SignatureMalformed."""
    _require_canonical(signature)
    return bytes([_OWN_KEY]) + signature


def by_delegate(delegate: Address, argument: bytes) -> bytes:
    """The argument for a delegate: `argument` is the delegate's own signature argument, APPROVED not excepted.

    Raises SignatureMalformed when it is that of a delegate again: delegates have no delegates.
    """
    if argument[:1] == bytes([_DELEGATE]):
        raise SignatureMalformed("A delegate has no delegates: it must sign itself.")
    return bytes([_DELEGATE]) + bytes.fromhex(delegate[2:]) + argument


def by_contract(data: bytes) -> bytes:
    """The argument for a contract account: `data` is what its `isValidSignature` takes."""
    return bytes([_CONTRACT]) + data


class Proof(Enum):
    """How the account that spoke shows it."""

    KEY = "own key"  # decided by the signature alone
    CONTRACT = "ERC-1271"  # to be asked on chain
    APPROVAL = "approval"  # to be looked up on chain


@dataclass(frozen=True)
class Consent:
    """What a signature argument claims and how far it is proven without the chain.

    `speaker`: the account itself or its delegate, whose rights the chain knows; None: whoever approved.
    `valid`: for a key, whether it recovers to the speaker; otherwise True until the chain says no.
    `data`: for a contract, what `isValidSignature` is to be asked.
    """

    account: Address
    speaker: Address | None
    proof: Proof
    valid: bool
    data: bytes = b""

    @property
    def by_delegate(self) -> bool:
        return self.speaker is not None and self.speaker != self.account


def examine(account: Address, digest: bytes, argument: bytes) -> Consent:
    """Reads a signature argument as the core does. Raises SignatureMalformed when the core would refuse it as it stands."""
    if argument[:1] == bytes([_DELEGATE]):
        if len(argument) < 21:
            raise SignatureMalformed("The signature of a delegate begins with its kind and 20 bytes of address.")
        delegate = checksummed("0x" + argument[1:21].hex())
        inner = argument[21:]
        if inner[:1] == bytes([_DELEGATE]):
            raise SignatureMalformed("A delegate has no delegates: it must sign itself.")
        consent = _examine_plain(delegate, digest, inner)
        return Consent(account, delegate, consent.proof, consent.valid, consent.data)
    return _examine_plain(account, digest, argument)


def recover(digest: bytes, signature: bytes) -> Address:
    """The account whose key made r, s, v (65 bytes) over `digest`.

    Raises SignatureMalformed for another length, a high s, a v other than 27 and 28, or a point off the curve.
    """
    _require_canonical(signature)
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception and ValueError
        raise SignatureMalformed("The signature belongs to no key.") from error
    return checksummed("0x" + keccak256(key.format(compressed=False)[1:])[12:].hex())


def _examine_plain(account: Address, digest: bytes, argument: bytes) -> Consent:
    if not argument:
        return Consent(account, None, Proof.APPROVAL, True)
    if argument[0] == _CONTRACT:
        return Consent(account, account, Proof.CONTRACT, True, argument[1:])
    if argument[0] != _OWN_KEY:
        raise SignatureMalformed(f"There is no kind of signature {argument[0]}.", kind=argument[0])
    return Consent(account, account, Proof.KEY, recover(digest, argument[1:]) == account)


def _require_canonical(signature: bytes) -> None:
    if len(signature) != 65:
        raise SignatureMalformed(f"A signature is 65 bytes (r, s, v), not {len(signature)}.", length=len(signature))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if signature[64] not in (27, 28):
        raise SignatureMalformed(f"The last byte of a signature is 27 or 28, not {signature[64]}.", v=signature[64])
    if not 0 < r < _ORDER or not 0 < s <= _HALF_ORDER:
        raise SignatureMalformed("r and s must be above zero, r below the group order and s in its lower half.")
