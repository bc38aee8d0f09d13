"""Bytes as the chain has them: 32-byte words, hashes, and calldata by the rules of the ABI."""

from __future__ import annotations

from functools import lru_cache

from sha3 import keccak_256

ZERO = bytes(32)
NOBODY = "0x" + "00" * 20


def keccak(data: bytes) -> bytes:
    return keccak_256(data).digest()


@lru_cache(maxsize=4_096)
def address_bits(account: str) -> int:
    return int(account, 16)


def word(value: int | str | bytes) -> bytes:
    """One word: a number, an account, or 32 bytes as they are."""
    if isinstance(value, bytes):
        return value
    return (address_bits(value) if isinstance(value, str) else value).to_bytes(32, "big")


def words(*values: int | str | bytes) -> bytes:
    return b"".join([word(value) for value in values])


def packed(*fields: tuple[int | str | bool, int]) -> bytes:
    """A dense word: values with their bits, from the least significant bit."""
    number = shift = 0
    for value, bits in fields:
        value = address_bits(value) if isinstance(value, str) else int(value)
        assert 0 <= value < 1 << bits, (value, bits)
        number |= value << shift
        shift += bits
    return number.to_bytes(32, "big")


def number_of(data: bytes) -> int:
    return int.from_bytes(data, "big")


def slot_of(place: int, *keys: int | str | bytes) -> int:
    """Where a mapping at `place` keeps the value of nested keys."""
    at = place
    for key in keys:
        at = number_of(keccak(word(key) + word(at)))
    return at


# ---- calldata


class Tail(bytes):
    """A dynamic value, encoded; everything else that is joined is a run of whole words."""


def joined(*parts: bytes) -> Tail:
    """A tuple: static parts in place, dynamic ones behind, by their offset."""
    size = sum(32 if isinstance(part, Tail) else len(part) for part in parts)
    heads, tails = [], []
    for part in parts:
        if isinstance(part, Tail):
            heads.append(size.to_bytes(32, "big"))
            tails.append(part)
            size += len(part)
        else:
            heads.append(part)
    return Tail(b"".join(heads) + b"".join(tails))


def text(data: bytes) -> Tail:
    """`bytes` or `string`."""
    return Tail(len(data).to_bytes(32, "big") + data + bytes(-len(data) % 32))


def array(items: list[bytes]) -> Tail:
    """Any number of items of one kind."""
    return Tail(len(items).to_bytes(32, "big") + joined(*items))
