"""Inputs documents written on chain are the bytes that agents write. beh:F13 beh:K2"""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lilypad_agents.execution.strictjson import canonical
from lilypad_agents.protocol.ids import keccak256
from tests.support.evm import Contract, Evm, expect_revert

MODULE = keccak256(b"module")
SAFE = 2**53 - 1
NASTY = ('"', "\\", 'a"b,"c":{', "line\nbreak\r\t\b\f", "\x00\x01\x1f\x7f", "{{ .message }}", "$(id)", "é €\U0001f404", "", "k=v=w", "</script>")


@pytest.fixture(scope="module")
def harness() -> Contract:
    return Evm().deploy("InputsHarness")


def expected(values: dict, files: dict | None = None) -> bytes:
    return canonical({"module": "0x" + MODULE.hex(), "values": values, "files": files or {}})


@pytest.mark.parametrize("text", NASTY)
def test_text__whatever_it_holds__stays_one_value(harness: Contract, text: str) -> None:
    """beh:F13: quotes, newlines, escapes, template syntax reach the job unchanged."""
    found = harness.texts(MODULE, ["message"], [text], [])
    assert found == expected({"message": text})
    assert json.loads(found)["values"] == {"message": text}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abcXYZ09_-", min_size=1, max_size=6), st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=6))
def test_document__of_any_texts_in_any_order__is_canonical(harness: Contract, values: dict[str, str]) -> None:
    names = list(values)
    assert harness.texts(MODULE, names, list(values.values()), []) == expected(values)


def test_document__with_files__names_their_cids(harness: Contract) -> None:
    cid = "bafkrei" + "a" * 52
    assert harness.texts(MODULE, ["b", "a"], ["2", "1"], [cid, cid]) == expected({"a": "1", "b": "2"}, {"b": cid, "a": cid})


@pytest.mark.parametrize("number", [0, 1, -1, SAFE, -SAFE])
def test_numbers_and_flags__are_json(harness: Contract, number: int) -> None:
    assert harness.mixed(MODULE, number, number > 0) == expected({"number": number, "flag": number > 0})


@pytest.mark.parametrize("number", [SAFE + 1, -SAFE - 1, 2**255 - 1, -(2**255)])
def test_number__that_json_readers_would_round__is_refused(harness: Contract, number: int) -> None:
    with expect_revert("NumberUnsafe", number=number):
        harness.mixed(MODULE, number, True)


def test_name__given_twice__is_refused(harness: Contract) -> None:
    with expect_revert("NameTwice", name="a"):
        harness.texts(MODULE, ["a", "b", "a"], ["1", "2", "3"], [])
