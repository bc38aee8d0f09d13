"""The address book: its form, before any chain is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.errors import DeploymentMismatch
from lilypad_agents.errors import ConfigurationError

WORD = "0x" + "ab" * 32
ENTRY = {
    "address": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "block": 3,
    "txHash": WORD,
    "codeHash": WORD,
    "more": 1,
}
BOOK = {
    "chainId": 1337,
    "genesisHash": WORD,
    "contracts": {"Lilypad": ENTRY, "LilypadToken": {**ENTRY, "block": 2, "txHash": None}},
    "parameters": {"revealWindow": 60},
}


def write(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_load__good_book__typed_and_frozen(tmp_path: Path) -> None:
    book = AddressBook.load(write(tmp_path / "1337.json", BOOK))
    assert book.address("Lilypad") == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert book.first_block == 2 and book.parameters["revealWindow"] == 60
    assert book.contract("LilypadToken").transaction_hash is None
    with pytest.raises(TypeError):
        book.contracts["x"] = None  # type: ignore[index]
    with pytest.raises(DeploymentMismatch, match="no contract Missing"):
        book.contract("Missing")


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        {**BOOK, "chainId": "x"},
        {**BOOK, "genesisHash": "0x12"},
        {**BOOK, "genesisHash": 5},
        {**BOOK, "contracts": {"A": {**ENTRY, "address": "0x12"}}},
        {**BOOK, "contracts": {"A": {**ENTRY, "codeHash": WORD[:-2]}}},
        {**BOOK, "contracts": {"A": {}}},
        {**BOOK, "contracts": []},
    ],
)
def test_load__malformed__configuration_error(tmp_path: Path, document: Any) -> None:
    with pytest.raises(ConfigurationError, match="malformed"):
        AddressBook.load(write(tmp_path / "book.json", document))


def test_load__missing__says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AddressBook.load(tmp_path / "none.json")
    assert "ape run deploy" in caught.value.way_out
