"""The rules by which a finding of the analyser passes: a reason of its own, by detector, place and expression.

inv:T1 (rung "Static"): new findings fail, and reasons about nothing fail as well.
"""

from __future__ import annotations

import json
from typing import Any

from tests.assurance.static_analysis import ACCEPTED, about, compare, place


def finding(check: str, function: str, *expressions: str) -> dict[str, Any]:
    """As slither reports one: a function of a contract, then the expressions."""
    parent = {"type": "contract", "name": "Planted", "type_specific_fields": {"parent": {"type": "file", "name": "Planted.sol"}}}
    first = {"type": "function", "name": function, "type_specific_fields": {"parent": parent}}
    nodes = [{"type": "node", "name": expression} for expression in expressions]
    return {"check": check, "impact": "High", "description": "planted\n", "elements": [first, *nodes]}


REASON = {"check": "reentrancy-eth", "place": "Planted.withdraw", "about": ["a", "b"], "reason": "because"}
FOUND = finding("reentrancy-eth", "withdraw", "b", "a", "b")


def test_place_and_expressions__have_no_line_numbers_and_one_order() -> None:
    assert (place(FOUND), about(FOUND)) == ("Planted.withdraw", ("a", "b"))


def test_finding__with_its_reason__passes() -> None:
    assert list(compare([FOUND], [REASON])) == []


def test_finding__without_a_reason__fails() -> None:
    (problem,) = compare([FOUND], [])
    assert problem == "High: reentrancy-eth in Planted.withdraw about ['a', 'b']: planted"


def test_second_finding__in_a_function_that_has_a_reason__fails() -> None:
    """A reason for one expression is none for another in the same function."""
    other = finding("reentrancy-eth", "withdraw", "c")
    (problem,) = compare([FOUND, other], [REASON])
    assert "about ['c']" in problem


def test_other_detector_or_place__is_not_covered() -> None:
    problems = list(compare([finding("weak-prng", "withdraw", "a", "b"), finding("reentrancy-eth", "take", "a", "b")], [REASON]))
    assert len(problems) == 3  # two without a reason, and a reason about nothing


def test_empty_reason__is_none() -> None:
    (problem,) = compare([FOUND], [REASON | {"reason": ""}])
    assert problem.startswith("High: reentrancy-eth")


def test_reason_about_nothing__fails() -> None:
    (problem,) = compare([], [REASON])
    assert problem == "the reason for reentrancy-eth in Planted.withdraw about ['a', 'b'] is about nothing: take it out"


def test_accepted_findings__have_specific_reasons() -> None:
    """Each is a sentence, and each key stands once."""
    accepted = json.loads(ACCEPTED.read_text(encoding="utf-8"))
    keys = [(entry["check"], entry["place"], tuple(entry["about"])) for entry in accepted]
    assert len(keys) == len(set(keys))
    for entry in accepted:
        assert entry["reason"].endswith(".") and len(entry["reason"].split()) >= 3, entry
