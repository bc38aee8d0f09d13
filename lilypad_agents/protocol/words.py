"""Dense words: several numbers in 256 bits, fields from the least significant bit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import Bytes32

Layout = Sequence[tuple[str, int]]  # (field, bits) from the least significant bit


def pack(layout: Layout, values: dict[str, int]) -> Bytes32:
    """One word. Raises FieldInvalid for a value that is wider than its field."""
    word, shift = 0, 0
    for field, bits in layout:
        value = values[field]
        if value < 0 or value >> bits:
            raise FieldInvalid("word", field, f"does not fit {bits} bits")
        word |= value << shift
        shift += bits
    return Bytes32(word.to_bytes(32, "big"))


def unpack(layout: Layout, word: bytes) -> dict[str, int]:
    """The fields of a word. Raises FieldInvalid when a bit that has no meaning is set, as the contracts do."""
    number = int.from_bytes(word, "big")
    values = {}
    for field, bits in layout:
        values[field] = number & (1 << bits) - 1
        number >>= bits
    if number or values.pop("zero", 0):
        raise FieldInvalid("word", "zero", "has a bit set that has no meaning")
    return values


def checked(words: Iterable[bytes], count: int) -> tuple[Bytes32, ...]:
    """The words as a tuple. Raises FieldInvalid when there are not `count` of 32 bytes each."""
    found = tuple(Bytes32(bytes(word)) for word in words)
    if len(found) != count or any(len(word) != 32 for word in found):
        raise FieldInvalid("words", "", f"must be {count} words of 32 bytes")
    return found
