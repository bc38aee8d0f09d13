"""Names for identities: 32-byte ids and checksummed accounts. Twins of contracts/types/Ids.sol."""

from __future__ import annotations

from functools import lru_cache
from typing import NewType

from eth_utils import keccak, to_checksum_address

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


@lru_cache(maxsize=65_536)
def checksummed(address: str) -> Address:
    """The EIP-55 form of an address in any capitals. Raises ValueError for anything else."""
    if len(address) != 42 or address[:2] != "0x":
        raise ValueError("an address is 0x and 40 hexadecimal digits")
    bytes.fromhex(address[2:])
    return Address(to_checksum_address(address))


@lru_cache(maxsize=65_536)
def is_checksummed(address: str) -> bool:
    try:
        return checksummed(address) == address
    except ValueError:
        return False


def address_word(address: str) -> int:
    """The 160-bit number of an address."""
    return int(address, 16)


@lru_cache(maxsize=65_536)
def address_of(word: int) -> Address:
    """The account of a 160-bit number."""
    return checksummed(f"0x{word:040x}")


def hex_of(value: bytes) -> str:
    """0x and lower-case hexadecimal digits."""
    return "0x" + value.hex()


def keccak256(data: bytes) -> Bytes32:
    return Bytes32(keccak(data))
