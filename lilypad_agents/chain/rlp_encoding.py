"""RLP, the encoding of transactions and block headers, in the one direction that agents need. Source: Yellow Paper, B."""

from __future__ import annotations

from collections.abc import Sequence

Item = bytes | int | Sequence["Item"]


def encode(item: Item) -> bytes:
    """Bytes, non-negative integers (shortest form) and lists of those. Raises ValueError for a negative integer."""
    if isinstance(item, int):
        if item < 0:
            raise ValueError("RLP has no negative numbers")
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, (bytes, bytearray)):
        if len(item) == 1 and item[0] < 0x80:
            return bytes(item)
        return _length(len(item), 0x80) + item
    content = b"".join([encode(part) for part in item])
    return _length(len(content), 0xC0) + content


def _length(length: int, base: int) -> bytes:
    if length <= 55:
        return bytes([base + length])
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(digits)]) + digits
