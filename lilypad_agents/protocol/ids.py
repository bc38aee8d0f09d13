"""Names for identities: 32-byte ids and checksummed accounts. Twins of contracts/types/Ids.sol."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NewType

from sha3 import keccak_256

Address = NewType("Address", str)  # EIP-55 form
Bytes32 = NewType("Bytes32", bytes)
DealId = NewType("DealId", bytes)  # EIP-712 digest of the record
VersionId = NewType("VersionId", bytes)  # hash of the module terms
PoolId = NewType("PoolId", bytes)  # hash of the pool terms; zero: Unverified
ResultDigest = NewType("ResultDigest", bytes)
OfferHash = NewType("OfferHash", bytes)  # EIP-712 struct hash, without domain
Commitment = NewType("Commitment", int)  # 176 bits, never zero

ZERO = Bytes32(bytes(32))
NOBODY = Address("0x" + "00" * 20)
UNVERIFIED_POOL = PoolId(bytes(32))


_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_KEPT = 8_192  # of each cache; bounded, since requests of strangers fill them


def checksummed(address: str) -> Address:
    """The EIP-55 form of an address in any capitals. Raises ValueError for anything else."""
    if _ADDRESS.fullmatch(address) is None:
        raise ValueError("an address is 0x and 40 hexadecimal digits")
    return _checksummed(address)


@lru_cache(maxsize=_KEPT)
def _checksummed(address: str) -> Address:
    digits = address[2:].lower()
    marks = keccak_256(digits.encode()).hexdigest()
    return Address("0x" + "".join(d.upper() if mark > "7" else d for d, mark in zip(digits, marks)))


def is_checksummed(address: str) -> bool:
    """Whether this is an address, in EIP-55 form."""
    return _ADDRESS.fullmatch(address) is not None and _checksummed(address) == address


def address_bytes(address: str) -> bytes:
    """The 20 bytes of an address in EIP-55 form or in one case. Raises ValueError, also for a wrong checksum."""
    found = checksummed(address)
    if address not in (found, found.lower()) and address[2:] != found[2:].upper():
        raise ValueError("the capitals of an address are not those of its checksum")
    return bytes.fromhex(found[2:])


def address_word(address: str) -> int:
    """The 160-bit number of an address."""
    return int(address, 16)


@lru_cache(maxsize=_KEPT)
def address_of(word: int) -> Address:
    """The account of a 160-bit number."""
    return checksummed(f"0x{word:040x}")


def hex_of(value: bytes) -> str:
    """0x and lower-case hexadecimal digits."""
    return "0x" + value.hex()


def keccak256(data: bytes) -> Bytes32:
    return Bytes32(keccak_256(data).digest())
