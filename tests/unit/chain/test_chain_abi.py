"""ABI codec: structs, value types, events, errors; nothing by name but what the JSON says."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from eth_abi import encode
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.chain.abi import Abi, DecodedError, ErrorTable, show
from lilypad_agents.chain.errors import AbiError

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
DEAL = {
    "name": "deal",
    "type": "tuple",
    "internalType": "struct Deal",
    "components": [
        {"name": "creator", "type": "address"},
        {"name": "dealId", "type": "bytes32", "internalType": "DealId"},
        {"name": "unitPrice", "type": "uint128"},
        {
            "name": "parts",
            "type": "tuple[2][]",
            "components": [{"name": "to", "type": "address"}, {"name": "cut", "type": "uint16"}],
        },
    ],
}
ENTRIES = [
    {"type": "function", "name": "settle", "inputs": [DEAL, {"name": "salts", "type": "bytes22[]"}], "outputs": []},
    {"type": "function", "name": "get", "inputs": [], "outputs": [DEAL]},
    {
        "type": "function",
        "name": "pair",
        "inputs": [],
        "outputs": [{"name": "free", "type": "uint256"}, {"name": "", "type": "address"}],
    },
    {"type": "function", "name": "send", "inputs": [{"name": "to", "type": "address"}], "outputs": []},
    {
        "type": "function",
        "name": "send",
        "inputs": [{"name": "to", "type": "address"}, {"name": "n", "type": "uint8"}],
        "outputs": [],
    },
    {
        "type": "function",
        "name": "send",
        "inputs": [{"name": "to", "type": "address"}, {"name": "n", "type": "bool"}],
        "outputs": [],
    },
    {
        "type": "event",
        "name": "Opened",
        "inputs": [
            {"name": "terms", "type": "string", "indexed": False},
            {"name": "dealId", "type": "bytes32", "indexed": True},
            {"name": "note", "type": "string", "indexed": True},
            {**DEAL, "indexed": False},
            {"name": "creator", "type": "address", "indexed": True},
        ],
    },
    {"type": "event", "name": "Hidden", "anonymous": True, "inputs": []},
    {
        "type": "error",
        "name": "DealNotOverdue",
        "inputs": [{"name": "dealId", "type": "bytes32"}, {"name": "deadline", "type": "uint40"}],
    },
    {"type": "error", "name": "Bad", "inputs": [DEAL]},
    {"type": "constructor", "inputs": [{"name": "cap", "type": "uint256"}]},
    {"type": "fallback"},
]
ABI = Abi("Sample", ENTRIES)
TUPLE_TYPE = "(address,bytes32,uint128,(address,uint16)[2][])"
PLAIN = (ADDRESS, b"\x01" * 32, 7, [[(ADDRESS, 1), (ADDRESS, 2)]])


@dataclass(frozen=True)
class Part:
    to: str
    cut: int


@dataclass(frozen=True)
class Deal:
    """As the protocol package would have it: snake case."""

    creator: str
    deal_id: bytes
    unit_price: int
    parts: list[list[Part]]


AS_DATACLASS = Deal(ADDRESS, b"\x01" * 32, 7, [[Part(ADDRESS, 1), Part(ADDRESS, 2)]])
AS_MAPPING = {
    "creator": ADDRESS,
    "dealId": b"\x01" * 32,
    "unitPrice": 7,
    "parts": [[{"to": ADDRESS, "cut": 1}, (ADDRESS, 2)]],
}


@pytest.mark.parametrize("deal", [PLAIN, AS_DATACLASS, AS_MAPPING], ids=["tuple", "dataclass", "mapping"])
def test_encode__struct_in_any_form__gives_the_same_calldata(deal: object) -> None:
    salts = [b"\x02" * 22]
    signature = f"settle({TUPLE_TYPE},bytes22[])"
    expected = keccak(text=signature)[:4] + encode([TUPLE_TYPE, "bytes22[]"], [PLAIN, salts])
    function = ABI.function("settle")
    assert function.signature == signature and function.encode(deal, salts) == expected
    decoded, back = function.decode_arguments(expected)
    assert decoded.dealId == b"\x01" * 32 and decoded.parts[0][1].cut == 2 and decoded.creator == ADDRESS
    assert back == tuple(salts) and function.encode(decoded, back) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (PLAIN,),
        (PLAIN[:3], []),
        ({**AS_MAPPING, "more": 1}, []),
        ({name: value for name, value in AS_MAPPING.items() if name != "unitPrice"}, []),
        ((ADDRESS, b"\x01" * 33, 7, []), []),
        ((ADDRESS, b"\x01" * 32, 2**128, []), []),
        ((ADDRESS, b"\x01" * 32, -1, []), []),
        (("nobody", b"\x01" * 32, 1, []), []),
        (5, []),
    ],
)
def test_encode__values_that_do_not_fit__abi_error(arguments: tuple[object, ...]) -> None:
    with pytest.raises(AbiError):
        ABI.function("settle").encode(*arguments)


def test_decode__one_or_several_outputs__value_or_named_tuple() -> None:
    assert ABI.function("get").decode(encode([TUPLE_TYPE], [PLAIN])).unitPrice == 7
    pair = ABI.function("pair").decode(encode(["uint256", "address"], [5, ADDRESS]))
    assert pair.free == 5 and pair[1] == ADDRESS
    assert ABI.function("settle").decode(b"") is None


@given(st.binary(max_size=300))
def test_decode__any_bytes__value_or_abi_error(data: bytes) -> None:
    """A lying node cannot crash an agent by the bytes it sends."""
    for name in ("get", "pair"):
        try:
            ABI.function(name).decode(data)
        except AbiError:
            pass


def test_function__overloaded__chosen_by_count_or_signature() -> None:
    assert len(ABI.function("send", 1).inputs) == 1
    with pytest.raises(AbiError, match="several"):
        ABI.function("send", 2)
    assert ABI.function("send(address,bool)").inputs[1].type == "bool"
    with pytest.raises(AbiError, match="no function"):
        ABI.function("missing")


def test_event__indexed_and_plain__decoded_by_name_in_declared_order() -> None:
    event = ABI.event("Opened")
    assert event.topic == keccak(text=f"Opened(string,bytes32,string,{TUPLE_TYPE},address)")
    topics = [event.topic, b"\x03" * 32, keccak(text="note"), bytes(12) + bytes.fromhex(ADDRESS[2:])]
    args = event.decode(topics, encode(["string", TUPLE_TYPE], ["hello", PLAIN]))
    assert list(args) == ["terms", "dealId", "note", "deal", "creator"]
    assert args["terms"] == "hello" and args["deal"].unitPrice == 7 and args["creator"] == ADDRESS
    assert args["note"] == keccak(text="note")  # of indexed text only the hash is on the chain
    with pytest.raises(AbiError):
        event.decode(topics[:3], b"")
    with pytest.raises(AbiError):
        event.decode(topics, b"\x01")
    assert "Hidden" not in ABI.events


def test_errors__known_selector__name_and_arguments() -> None:
    """beh:J5"""
    table = ErrorTable.of(ABI)
    data = keccak(text="DealNotOverdue(bytes32,uint40)")[:4] + encode(["bytes32", "uint40"], [b"\xab" * 32, 99])
    error = table.decode(data)
    assert str(error) == f"DealNotOverdue(dealId=0x{'ab' * 32}, deadline=99)" and error.args["deadline"] == 99
    nested = keccak(text=f"Bad({TUPLE_TYPE})")[:4] + encode([TUPLE_TYPE], [PLAIN])
    assert "unitPrice=7" in str(table.decode(nested))


def test_errors__of_the_language__are_known_without_an_abi() -> None:
    table = ErrorTable.of()
    assert str(table.decode(keccak(text="Error(string)")[:4] + encode(["string"], ["no"]))) == "Error(reason=no)"
    assert str(table.decode(keccak(text="Panic(uint256)")[:4] + encode(["uint256"], [17]))) == "Panic(code=17)"


@given(st.binary(max_size=120))
def test_errors__anything_else__never_raises(data: bytes) -> None:
    """A hostile contract may revert with anything."""
    error = ErrorTable.of(ABI).decode(data)
    assert isinstance(error, DecodedError) and (error.name or str(error))


def test_errors__truncated_arguments__shown_raw() -> None:
    data = keccak(text="DealNotOverdue(bytes32,uint40)")[:4] + b"\x01"
    assert str(ErrorTable.of(ABI).decode(data)) == f"unknown error 0x{data.hex()}"
    assert str(ErrorTable.of(ABI).decode(b"")) == "no reason given"


@pytest.mark.parametrize("text", ["", "{", "{}", "5", '{"abi": 5}', '[{"type": "function"}]'])
def test_parse__no_abi__abi_error(text: str) -> None:
    with pytest.raises(AbiError):
        Abi.parse("X", text)


def test_parse__artefact_or_bare_list__same_interface() -> None:
    assert Abi.parse("X", json.dumps({"abi": ENTRIES})).function("get") == Abi.parse("X", json.dumps(ENTRIES)).function(
        "get"
    )
    with pytest.raises(AbiError, match="no interface file"):
        Abi.load("NoSuchContract")


def test_constructor__arguments__encoded() -> None:
    assert ABI.encode_constructor(5) == encode(["uint256"], [5])


def test_show__nested_values__readable() -> None:
    deal = ABI.function("get").decode(encode([TUPLE_TYPE], [PLAIN]))
    assert show(deal).startswith("{creator=0x5aAeb6") and "parts=[[{to=" in show(deal)
