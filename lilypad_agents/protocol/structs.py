"""EIP-712 structs from their type strings: checks, hashes, typed data for wallets, strict JSON.

A struct is a frozen dataclass with one attribute a member, in the order of its type string and under the member's name
in snake case. Values: `address` checksummed text, `bytes32` bytes, `uintN` int, `bool` bool, `string` text.
JSON uses the Solidity names, 0x-hexadecimal bytes, and decimal strings for numbers wider than 53 bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import Bytes32, OfferHash, hex_of, is_checksummed, keccak256

_TYPE_STRING = re.compile(r"([A-Za-z]\w*)\(([^()]*)\)")
_UINT = re.compile(r"uint(\d+)")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}")
_BYTES32 = re.compile(r"0x[0-9a-fA-F]{64}")
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SAFE_BITS = 53  # numbers that every JSON reader takes exactly


class _Refused(ValueError):
    """What is wrong with one value, without its name."""


@dataclass(frozen=True)
class Member:
    """One member of a struct: Solidity name and type, attribute name, and what can be done with its values."""

    name: str
    type: str
    attribute: str
    check: Callable[[Any], None]
    word: Callable[[Any], bytes]
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]

    @classmethod
    def parse(cls, text: str) -> Member:
        kind, name = text.split(" ")
        return cls(name, kind, _SNAKE.sub("_", name).lower(), *_handlers(kind))


@dataclass(frozen=True)
class StructType:
    """An EIP-712 struct type without nested structs."""

    name: str
    members: tuple[Member, ...]
    text: str

    @classmethod
    def parse(cls, text: str) -> StructType:
        """`text`: the type string, such as `Result(bytes32 dealId,uint176 commitment)`."""
        match = _TYPE_STRING.fullmatch(text)
        if match is None:
            raise ValueError(f"not a type string: {text}")
        return cls(match[1], tuple(Member.parse(part) for part in match[2].split(",")), text)

    @cached_property
    def hash(self) -> Bytes32:
        return keccak256(self.text.encode("ascii"))

    @cached_property
    def fields(self) -> list[dict[str, str]]:
        """The `types` entry of the typed data."""
        return [{"name": member.name, "type": member.type} for member in self.members]

    def check(self, value: Any) -> None:
        """Raises FieldInvalid for the first member whose value its type cannot hold."""
        for member in self.members:
            try:
                member.check(getattr(value, member.attribute))
            except _Refused as refused:
                raise FieldInvalid(self.name, member.name, str(refused)) from None

    def encode(self, value: Any) -> bytes:
        """Type hash and members, a word each."""
        return self.hash + b"".join([member.word(getattr(value, member.attribute)) for member in self.members])

    def to_json(self, value: Any) -> dict[str, Any]:
        return {member.name: member.to_json(getattr(value, member.attribute)) for member in self.members}

    def from_json(self, document: Any) -> dict[str, Any]:
        """Attributes by name. Raises FieldInvalid, which names the member."""
        if not isinstance(document, Mapping):
            raise FieldInvalid(self.name, "", "must be a JSON object")
        known = {member.name for member in self.members}
        for name in document:
            if name not in known:
                raise FieldInvalid(self.name, str(name)[:40], "is not a field")
        found = {}
        for member in self.members:
            if member.name not in document:
                raise FieldInvalid(self.name, member.name, "is missing")
            try:
                found[member.attribute] = member.from_json(document[member.name])
            except _Refused as refused:
                raise FieldInvalid(self.name, member.name, str(refused)) from None
        return found


@dataclass(frozen=True)
class TypedStruct:
    """Base of the dataclasses that mirror a struct. Values are checked when one is made, so all that exist are valid."""

    TYPE: ClassVar[StructType]

    def __post_init__(self) -> None:
        self.TYPE.check(self)

    @cached_property
    def struct_hash(self) -> OfferHash:
        """EIP-712 struct hash, without a domain."""
        return OfferHash(keccak256(self.TYPE.encode(self)))

    def to_json(self) -> dict[str, Any]:
        """The members under their Solidity names; also the `message` of the typed data."""
        return self.TYPE.to_json(self)

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Strict: raises FieldInvalid, which names the field, for members that are unknown, missing, ill-typed or out of range."""
        return cls(**cls.TYPE.from_json(document))


def _handlers(kind: str) -> tuple[Callable[[Any], None], Callable[[Any], bytes], Callable[[Any], Any], Callable[[Any], Any]]:
    if kind == "address":
        return _check_address, _address_word, _same, _same
    if kind == "bytes32":
        return _check_bytes32, _same, hex_of, _bytes32_from_json
    if kind == "bool":
        return _check_bool, _bool_word, _same, _same
    if kind == "string":
        return _check_string, _string_word, _same, _same
    match = _UINT.fullmatch(kind)
    if match is None:
        raise ValueError(f"no such member type: {kind}")
    bits = int(match[1])
    return _uint_check(bits), _uint_word, _same if bits <= SAFE_BITS else str, _uint_from_json


def _same(value: Any) -> Any:
    return value


def _check_address(value: Any) -> None:
    if not isinstance(value, str) or not is_checksummed(value):
        raise _Refused("must be an address in checksummed (EIP-55) form")


def _address_word(value: str) -> bytes:
    return bytes(12) + bytes.fromhex(value[2:])


def _check_bytes32(value: Any) -> None:
    if not isinstance(value, bytes) or len(value) != 32:
        raise _Refused("must be 32 bytes")


def _bytes32_from_json(value: Any) -> bytes:
    if not isinstance(value, str) or _BYTES32.fullmatch(value) is None:
        raise _Refused("must be 0x and 64 hexadecimal digits")
    return bytes.fromhex(value[2:])


def _check_bool(value: Any) -> None:
    if not isinstance(value, bool):
        raise _Refused("must be true or false")


def _bool_word(value: bool) -> bytes:
    return int(value).to_bytes(32, "big")


def _check_string(value: Any) -> None:
    if not isinstance(value, str):
        raise _Refused("must be text")


def _string_word(value: str) -> bytes:
    return keccak256(value.encode("utf-8"))


def _uint_check(bits: int) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _Refused("must be an integer")
        if value < 0 or value >> bits:
            raise _Refused(f"must be at least 0 and below 2^{bits}")

    return check


def _uint_word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _uint_from_json(value: Any) -> int:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _Refused("must be an integer or a decimal string")
