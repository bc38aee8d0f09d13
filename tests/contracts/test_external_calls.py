"""docs/external-calls.md names every external call of the contracts, and nothing else.

inv:T1 inv:T2 inv:T13 inv:I22
"""

from __future__ import annotations

import re
from functools import lru_cache

from tests.assurance.external_calls import Call, external_calls
from tests.assurance.static_analysis import PROJECT

TABLE = PROJECT / "docs" / "external-calls.md"
_ENTRY = re.compile(r"`([^`]+ -> [^`]+)`")


@lru_cache(maxsize=1)
def _calls() -> tuple[Call, ...]:
    return tuple(external_calls())


def _rows() -> list[list[str]]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    assert rows, "the table has no rows"
    return rows


def test_table__names_every_external_call_once() -> None:
    """inv:T1: found in the AST, so that a new call cannot be forgotten."""
    named = [entry for row in _rows() for entry in _ENTRY.findall(row[0])]
    assert sorted(named) == sorted(set(named)), "a call stands twice in the table"
    found = {str(call) for call in _calls()}
    assert not found - set(named), "not in docs/external-calls.md"
    assert not set(named) - found, "in docs/external-calls.md, but not in the contracts"


def test_table__answers_every_question_of_every_row() -> None:
    """Who chooses, what trust, what is written, why it does no harm."""
    for row in _rows():
        assert len(row) == 5 and all(row), row[0]


def test_contracts__delegate_nothing_and_create_the_resolver_only() -> None:
    """inv:T13 inv:I22: no delegatecall, callcode or create that could bring in other code."""
    risky = [str(call) for call in _calls() if re.search(r"delegatecall|callcode|create|\bnew\b", call.callee, re.IGNORECASE)]
    assert risky == ["Lilypad.constructor -> new LilypadResolver"]
