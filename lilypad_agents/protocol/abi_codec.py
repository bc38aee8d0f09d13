"""Values to ABI words and back: the strict form of the Solidity ABI specification, for every type that a contract can name.

A type is compiled once into two small functions, so that events decode in microseconds and nothing heavy is imported.
Decoding refuses what Solidity would: bits outside a type, padding that is not zero, text that is not UTF-8, and pointers
into the head or beyond the data. Bytes after the last value are ignored, as a contract ignores them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from lilypad_agents.protocol.ids import address_bytes, address_of

_WORD = 32
_ARRAY = re.compile(r"(.*)\[(\d*)\]")
_PLAIN = re.compile(r"(uint|int|bytes)(\d+)")


class Codec(NamedTuple):
    """One type: bytes it takes in a head (32 for the pointer of a dynamic one), whether it is dynamic, both directions.

    `decode` takes the data, the place of the value and raises ValueError; `encode` raises ValueError or TypeError.
    """

    size: int
    dynamic: bool
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, int], Any]


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """`abi.encode(...)`. Addresses are checksummed, all lower case, or 20 bytes. Raises ValueError, TypeError."""
    return _tuple_of(tuple(types)).encode(values)


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """`abi.decode(data, (...))`; addresses come checksummed, arrays and structs as tuples. Raises ValueError."""
    values: tuple[Any, ...] = _tuple_of(tuple(types)).decode(data, 0)
    return values


@lru_cache(maxsize=2_048)
def codec(kind: str) -> Codec:
    """What encodes and decodes the canonical type `kind` (`(uint96,bytes32)[4][]`). Raises ValueError for no type."""
    array = _ARRAY.fullmatch(kind)
    if array is not None:
        return _array(codec(array[1]), int(array[2]) if array[2] else None, kind)
    if kind.startswith("(") and kind.endswith(")"):
        return _tuple_of(_members(kind[1:-1]))
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    plain = _PLAIN.fullmatch(kind)
    number = int(plain[2]) if plain is not None else 0
    if plain is not None and plain[1] == "bytes" and 0 < number <= 32:
        return _bytes_of(number)
    if plain is not None and plain[1] != "bytes" and 0 < number <= 256 and number % 8 == 0:
        return _integer(number, signed=plain[1] == "int")
    raise ValueError(f"{kind!r} is no ABI type")


def _members(inside: str) -> tuple[str, ...]:
    """The types between the brackets of a tuple."""
    members, depth, start = [], 0, 0
    for at, letter in enumerate(inside):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            members.append(inside[start:at])
            start = at + 1
    return (*members, inside[start:]) if inside else ()


# ---- words


def _word(data: bytes, at: int) -> int:
    word = data[at : at + _WORD]
    if len(word) != _WORD:
        raise ValueError("the data ends within a word")
    return int.from_bytes(word, "big")


def _integer(bits: int, *, signed: bool) -> Codec:
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)

    def encode_integer(value: Any) -> bytes:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"an integer is needed, not {type(value).__name__}")
        if not low <= value < high:
            raise ValueError(f"{value} does not fit {'int' if signed else 'uint'}{bits}")
        return value.to_bytes(_WORD, "big", signed=signed)

    def decode_unsigned(data: bytes, at: int) -> int:
        number = _word(data, at)
        if number >= high:
            raise ValueError(f"a word does not fit uint{bits}")
        return number

    def decode_signed(data: bytes, at: int) -> int:
        number = _word(data, at)
        number -= (number >> 255) << 256
        if not low <= number < high:
            raise ValueError(f"a word does not fit int{bits}")
        return number

    return Codec(_WORD, False, encode_integer, decode_signed if signed else decode_unsigned)


def _bytes_of(length: int) -> Codec:
    padding = bytes(_WORD - length)

    def encode_fixed(value: Any) -> bytes:
        if not isinstance(value, (bytes, bytearray)):
            raise TypeError(f"bytes are needed, not {type(value).__name__}")
        if len(value) > length:
            raise ValueError(f"{len(value)} bytes do not fit bytes{length}")
        return bytes(value).ljust(_WORD, b"\0")

    def decode_fixed(data: bytes, at: int) -> bytes:
        value = data[at : at + length]
        if data[at + length : at + _WORD] != padding or len(value) != length:
            raise ValueError(f"a word does not fit bytes{length}")
        return value

    return Codec(_WORD, False, encode_fixed, decode_fixed)


def _encode_bool(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError(f"a truth value is needed, not {type(value).__name__}")
    return int(value).to_bytes(_WORD, "big")


def _decode_bool(data: bytes, at: int) -> bool:
    number = _word(data, at)
    if number > 1:
        raise ValueError("a word is neither true nor false")
    return number == 1


def _encode_address(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes(12) + address_bytes(value)
    if isinstance(value, (bytes, bytearray)) and len(value) == 20:
        return bytes(12) + bytes(value)
    raise TypeError("an address is needed")


def _decode_address(data: bytes, at: int) -> str:
    number = _word(data, at)
    if number >> 160:
        raise ValueError("a word does not fit an address")
    return address_of(number)


# ---- what has a length


def _encode_bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray)):
        raise TypeError(f"bytes are needed, not {type(value).__name__}")
    return len(value).to_bytes(_WORD, "big") + value + bytes(-len(value) % _WORD)


def _decode_bytes(data: bytes, at: int) -> bytes:
    length = _word(data, at)
    start = at + _WORD
    end = start + length
    padded = end + -length % _WORD
    if padded > len(data):
        raise ValueError("the data ends within bytes")
    if data[end:padded] != bytes(padded - end):
        raise ValueError("the padding of bytes is not zero")
    return data[start:end]


def _encode_string(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"text is needed, not {type(value).__name__}")
    return _encode_bytes(value.encode("utf-8"))


def _decode_string(data: bytes, at: int) -> str:
    return _decode_bytes(data, at).decode("utf-8")


_SIMPLE = {
    "address": Codec(_WORD, False, _encode_address, _decode_address),
    "bool": Codec(_WORD, False, _encode_bool, _decode_bool),
    "bytes": Codec(_WORD, True, _encode_bytes, _decode_bytes),
    "string": Codec(_WORD, True, _encode_string, _decode_string),
}


# ---- what has parts


@lru_cache(maxsize=2_048)
def _tuple_of(kinds: tuple[str, ...]) -> Codec:
    parts = [codec(kind) for kind in kinds]
    head = sum(part.size for part in parts)
    dynamic = any(part.dynamic for part in parts)
    plan, place = [], 0
    for part in parts:
        plan.append((part.decode, part.dynamic, place))
        place += part.size

    def encode_tuple(values: Any) -> bytes:
        return _encode_parts(parts, values, head)

    def decode_static(data: bytes, at: int) -> tuple[Any, ...]:
        return tuple([read(data, at + place) for read, _, place in plan])

    def decode_tuple(data: bytes, at: int) -> tuple[Any, ...]:
        return tuple(
            [
                read(data, _target(data, at, at + place, head) if pointed else at + place)
                for read, pointed, place in plan
            ]
        )

    return Codec(_WORD if dynamic else head, dynamic, encode_tuple, decode_tuple if dynamic else decode_static)


def _array(item: Codec, length: int | None, kind: str) -> Codec:
    if length == 0 or item.size == 0:
        raise ValueError(f"{kind!r} is no ABI type")

    def encode_items(values: Any) -> bytes:
        if isinstance(values, (str, bytes, bytearray)) or (length is not None and len(values) != length):
            raise ValueError(f"these are no values of {kind}")
        return _encode_parts([item] * len(values), values, item.size * len(values))

    def encode_counted(values: Any) -> bytes:
        return len(values).to_bytes(_WORD, "big") + encode_items(values)

    def decode_items(data: bytes, at: int, count: int) -> tuple[Any, ...]:
        head = item.size * count
        if at + head > len(data):
            raise ValueError("the data ends within an array")
        places = range(at, at + head, item.size)
        if item.dynamic:
            return tuple([item.decode(data, _target(data, at, place, head)) for place in places])
        return tuple([item.decode(data, place) for place in places])

    def decode_counted(data: bytes, at: int) -> tuple[Any, ...]:
        return decode_items(data, at + _WORD, _word(data, at))

    if length is None:
        return Codec(_WORD, True, encode_counted, decode_counted)
    size = _WORD if item.dynamic else item.size * length
    return Codec(size, item.dynamic, encode_items, lambda data, at: decode_items(data, at, length))


def _encode_parts(parts: Sequence[Codec], values: Any, head: int) -> bytes:
    if isinstance(values, (str, bytes, bytearray)) or len(values) != len(parts):
        raise ValueError(f"{len(parts)} values are needed")
    heads, tails, end = [], [], head
    for part, value in zip(parts, values, strict=True):
        encoded = part.encode(value)
        if part.dynamic:
            heads.append(end.to_bytes(_WORD, "big"))
            tails.append(encoded)
            end += len(encoded)
        else:
            heads.append(encoded)
    return b"".join(heads + tails)


def _target(data: bytes, base: int, at: int, head: int) -> int:
    """Where the pointer at `at` leads, counted from `base`; never into the `head` bytes there nor beyond the data."""
    offset = _word(data, at)
    if offset < head or base + offset >= len(data):
        raise ValueError("a pointer leads out of its data")
    return base + offset
