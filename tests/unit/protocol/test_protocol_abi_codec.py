"""The ABI codec against `eth_abi`, the reference of the field: same bytes, same values, same refusals."""

from __future__ import annotations

from typing import Any

import eth_abi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lilypad_agents.protocol import abi_codec
from lilypad_agents.protocol.ids import address_bytes, checksummed

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
SAMPLES = (
    ("uint8", "bool", "bytes24", "address"),
    ("string", "bytes", "uint256[]"),
    ("bytes32[12]", "(uint96,address)[]", "bytes32[4][]"),
    ("((string,uint16)[2],bytes)", "int16", "string[]"),
    ("(address,uint32,uint32,bytes32,address[])",),
)


def values_of(kind: str) -> st.SearchStrategy[Any]:
    if kind.endswith("[]"):
        return st.lists(values_of(kind[:-2]), max_size=3).map(tuple)
    if kind.endswith("]"):
        inner, _, count = kind[:-1].rpartition("[")
        return st.lists(values_of(inner), min_size=int(count), max_size=int(count)).map(tuple)
    if kind.startswith("("):
        return st.tuples(*(values_of(member) for member in abi_codec._members(kind[1:-1])))
    if kind.startswith(("uint", "int")):
        signed, bits = kind[0] == "i", int(kind.lstrip("uint"))
        low = -(1 << bits - 1) if signed else 0
        return st.integers(low, low + (1 << bits) - 1)
    if kind.startswith("bytes") and kind != "bytes":
        return st.binary(min_size=int(kind[5:]), max_size=int(kind[5:]))
    plain = {"bool": st.booleans(), "bytes": st.binary(max_size=70), "string": st.text(max_size=40)}
    return plain[kind] if kind in plain else st.binary(min_size=20, max_size=20).map(lambda raw: checksummed("0x" + raw.hex()))


@pytest.mark.parametrize("types", SAMPLES, ids=str)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_encode_decode__any_values__as_the_reference(types: tuple[str, ...], data: st.DataObject) -> None:
    values = tuple(data.draw(values_of(kind)) for kind in types)
    encoded = abi_codec.encode(types, values)
    assert encoded == eth_abi.encode(types, values)
    assert abi_codec.decode(types, encoded) == values
    assert abi_codec.decode(types, encoded + b"more") == values


def lowered(value: Any) -> Any:
    """The reference gives addresses in lower case."""
    if isinstance(value, tuple):
        return tuple(map(lowered, value))
    return value.lower() if isinstance(value, str) and value.startswith("0x") else value


@pytest.mark.parametrize("types", SAMPLES, ids=str)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_decode__damaged_bytes__refused_or_as_the_reference(types: tuple[str, ...], data: st.DataObject) -> None:
    values = tuple(data.draw(values_of(kind)) for kind in types)
    damaged = bytearray(eth_abi.encode(types, values))
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=3)):
        damaged[place] = data.draw(st.sampled_from([0, 1, 32, 64, 255]))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        found = abi_codec.decode(types, cut)
    except ValueError:
        return
    assert lowered(found) == lowered(eth_abi.decode(types, cut))


WORD = (1).to_bytes(32, "big")
REFUSED = {
    "bits outside uint8": (["uint8"], (256).to_bytes(32, "big")),
    "bits outside int8": (["int8"], (128).to_bytes(32, "big")),
    "neither true nor false": (["bool"], (2).to_bytes(32, "big")),
    "bits outside an address": (["address"], (1 << 160).to_bytes(32, "big")),
    "padding of bytes24": (["bytes24"], b"\x01" * 32),
    "half a word": (["uint256"], WORD[:31]),
    "a pointer into the head": (["bytes", "uint8"], (32).to_bytes(32, "big") + WORD),
    "a pointer beyond the data": (["bytes"], (64).to_bytes(32, "big") + WORD),
    "an endless pointer": (["bytes"], b"\xff" * 32),
    "more items than bytes": (["uint256[]"], (32).to_bytes(32, "big") + b"\xff" * 32),
    "bytes that end early": (["bytes"], (32).to_bytes(32, "big") + WORD),
    "bytes with dirty padding": (["bytes"], (32).to_bytes(32, "big") + WORD + b"\x01" * 32),
    "no UTF-8": (["string"], (32).to_bytes(32, "big") + WORD + b"\xff" + bytes(31)),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_decode__not_strict__value_error(case: str) -> None:
    """A lying node cannot make a number out of dirt."""
    types, data = REFUSED[case]
    with pytest.raises(ValueError):
        abi_codec.decode(types, data)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256), ("uint8", -1), ("uint8", True), ("uint8", "1"), ("int8", 128), ("bool", 1), ("bytes4", b"12345"),
        ("bytes4", "1234"), ("bytes", "ab"), ("string", b"ab"), ("address", "0x12"), ("address", b"1" * 19),
        ("address", ADDRESS.replace("aA", "Aa")), ("uint8[2]", [1]), ("uint8[]", b"12"), ("(uint8,bool)", (1,)),
    ],
)  # fmt: skip
def test_encode__value_of_another_type__refused(kind: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        abi_codec.encode([kind], [value])


@pytest.mark.parametrize("kind", ["uint7", "uint264", "bytes33", "bytes0", "uint", "", "uint8[0]", "()[]", "(uint8", "fixed"])
def test_codec__no_type__value_error(kind: str) -> None:
    with pytest.raises(ValueError):
        abi_codec.codec(kind)


def test_address_bytes__each_form__twenty_bytes_or_value_error() -> None:
    raw = bytes.fromhex(ADDRESS[2:])
    assert address_bytes(ADDRESS) == address_bytes(ADDRESS.lower()) == address_bytes("0x" + ADDRESS[2:].upper()) == raw
    for text in ("", ADDRESS[2:], ADDRESS[:-1], ADDRESS.swapcase().replace("0X", "0x")):
        with pytest.raises(ValueError):
            address_bytes(text)
