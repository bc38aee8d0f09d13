"""Unsigned LEB128 as dag-pb and CAR use it: at most 63 bits, shortest form only."""

from __future__ import annotations

MAX_VARINT_BYTES = 9


class VarintError(ValueError):
    """The bytes are not one shortest-form unsigned varint of at most 63 bits."""


def encode_varint(value: int) -> bytes:
    """The shortest encoding of `value` (0 to 2^63 - 1). Raises VarintError outside that range."""
    if not 0 <= value < 1 << 63:
        raise VarintError("a varint holds 0 to 2^63 - 1")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_varint(data: bytes | bytearray | memoryview, start: int) -> tuple[int, int] | None:
    """Value and the offset behind it, or None when `data` ends inside the number.

    Raises VarintError for more than 9 bytes or a form that is not the shortest.
    """
    value = 0
    for index in range(MAX_VARINT_BYTES):
        if start + index >= len(data):
            return None
        byte = data[start + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if byte == 0 and index > 0:
                raise VarintError("a varint is not in its shortest form")
            return value, start + index + 1
    raise VarintError("a varint is longer than 9 bytes")
