"""Every error that a user may see has its page, and no page speaks of an error that does not exist."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator

import pytest

import lilypad_agents
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol.lifecycle import Status, Term
from tests.docs.markdown import ABIS, DOCS, section, table

PAGES = DOCS / "errors"
INDEX = PAGES / "README.md"
CONTRACT_PAGE = (DOCS / "contract-errors.md").read_text(encoding="utf-8")
_ENTRY = re.compile(r"^\| `(\w+)\((.*?)\)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def _below(kind: type[LilypadError]) -> Iterator[type[LilypadError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _below(child)


def _classes() -> dict[str, list[type[LilypadError]]]:
    """Error classes of the package by code; tests may define some of their own, which do not count."""
    for module in pkgutil.walk_packages(lilypad_agents.__path__, "lilypad_agents."):
        importlib.import_module(module.name)
    found: dict[str, list[type[LilypadError]]] = {}
    for kind in _below(LilypadError):
        if kind.__module__.split(".")[0] == "lilypad_agents":
            classes = found.setdefault(kind.code, [])
            if kind not in classes:
                classes.append(kind)
    return found


CLASSES = _classes()


def _in_abis() -> set[tuple[str, str]]:
    """(name, argument names) of every custom error in the packaged ABIs."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(ABIS.glob("*.json"))]
    entries = [entry for document in documents for entry in document["abi"] if entry["type"] == "error"]
    return {(entry["name"], ", ".join(item["name"] for item in entry["inputs"])) for entry in entries}


def test_list_pages__every_code__has_a_page() -> None:
    """beh:L15 beh:J21"""
    assert set(CLASSES) - {path.stem for path in PAGES.glob("*.md")} == set()


def test_list_pages__every_page__has_a_code() -> None:
    assert {path.stem for path in PAGES.iterdir() if path != INDEX} - set(CLASSES) == set()


@pytest.mark.parametrize("code", sorted(CLASSES))
def test_read_page__title_exit_code_and_class__are_those_of_the_code(code: str) -> None:
    page = PAGES / f"{code}.md"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    assert text.startswith(f"# {code}\n")
    exits = " or ".join(str(number) for number in sorted({kind.exit_code for kind in CLASSES[code]}))
    assert f"\nExit code {exits}. Raised as " in text
    named = set(re.findall(r"`(lilypad_agents\.[\w.]+)`", " ".join(text.split("\n\n")[1].split())))
    assert named == {f"{kind.__module__}.{kind.__name__}" for kind in CLASSES[code]}
    assert len(text.split("\n\n")[2]) > 30, "the page says what happened"
    assert "\n**What to do**\n\n- " in text
    assert "\n**What happened to money and data.** " in text


def test_read_index__rows__are_the_codes_with_their_exit_codes() -> None:
    rows = {row["code"]: row["exit"] for row in table(section(INDEX.read_text(encoding="utf-8"), "# Error pages"))}
    expected = {
        f"[{code}]({code}.md)": " or ".join(str(number) for number in sorted({kind.exit_code for kind in kinds}))
        for code, kinds in CLASSES.items()
    }
    assert rows == expected


@pytest.mark.parametrize("code", sorted(CLASSES))
def test_read_class__hint__says_a_way_out_unless_it_is_a_base(code: str) -> None:
    for kind in CLASSES[code]:
        assert kind.hint or kind.__subclasses__() or code in ("interrupted", "solver-answered")


def test_list_contract_errors__every_error_of_the_abis__is_described_with_its_arguments() -> None:
    described = {(name, arguments) for name, arguments, _, _ in _ENTRY.findall(CONTRACT_PAGE)}
    assert _in_abis() - described == set()


def test_list_contract_errors__every_described_error__exists_and_is_described_once() -> None:
    described = [(name, arguments) for name, arguments, _, _ in _ENTRY.findall(CONTRACT_PAGE)]
    assert set(described) - _in_abis() == set()
    assert len(set(described)) == len(described) == CONTRACT_PAGE.count("\n| `")


@pytest.mark.parametrize(("error", "numbers"), [("TermAbove", Term), ("DealNotIn", Status)])
def test_read_contract_errors__numbers_of_enums__are_those_of_the_protocol(error: str, numbers: type) -> None:
    described = next(means for name, _, means, _ in _ENTRY.findall(CONTRACT_PAGE) if name == error)
    assert [int(number) for number in re.findall(r"(?<![\w.])(\d+) [A-Za-z]", described)] == [int(item) for item in numbers]
