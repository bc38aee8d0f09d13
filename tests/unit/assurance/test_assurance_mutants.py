"""Mutants are found in the AST, sit behind switches, and do not change a source that has none of them on.

inv:T1 (rung "Mutation").
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.assurance.mutation.mutants import SWITCH_UNIT, Finder, Mutant, sample, schema

SOURCE = "pragma solidity ^0.8.24;\ncontract C { function f(uint256 a) pure { if (a < 3) g(a - 1, a); } }\n"


def node(kind: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"nodeType": kind, "src": f"{SOURCE.index(text)}:{len(text)}:0", "typeDescriptions": {"typeString": "uint256"}} | fields


def mutant(text: str, wrong: str, *, statement: bool = False) -> Mutant:
    start = SOURCE.index(text)
    return Mutant("C.sol", "C.f", 2, start, start + len(text), "operator", wrong, f"{text} -> {wrong}", statement)


def condition() -> dict[str, Any]:
    left, right = node("Identifier", "a < 3"), node("Literal", "3")
    left["src"] = f"{SOURCE.index('a < 3')}:1:0"
    boolean = {"typeString": "bool"}
    return node("BinaryOperation", "a < 3", operator="<", leftExpression=left, rightExpression=right, typeDescriptions=boolean)


def test_condition__is_mutated_to_its_border_its_opposite_and_both_truths() -> None:
    finder = Finder("C.sol", SOURCE.encode(), {}, _contract="C", _function="f")
    finder._IfStatement(node("IfStatement", "if (a < 3)", condition=condition()), None, "")
    finder._BinaryOperation(condition(), None, "")
    assert [found.wrong for found in finder.found] == ["false", "true", "a <= 3", "a >= 3"]
    assert {(found.place, found.line) for found in finder.found} == {("C.f", 2)}


def test_schema__nests_switches_and_imports_them_once() -> None:
    outer, inner = mutant("g(a - 1, a);", "", statement=True), mutant("a - 1", "a + 1")
    text = schema(SOURCE, [(7, outer), (9, inner)])
    assert text.count(f'import {{mutantOn}} from "{SWITCH_UNIT}";') == 1
    assert "{ if (mutantOn(7)) {  } else { g((mutantOn(9) ? a + 1 : a - 1), a); } }" in text


def test_schema__without_mutants__only_imports() -> None:
    assert schema(SOURCE, []).replace(f'import {{mutantOn}} from "{SWITCH_UNIT}";\n', "") == SOURCE


def test_sample__larger_begins_with_smaller_and_depends_on_the_seed() -> None:
    every = [mutant("a - 1", f"a + {i}") for i in range(50)]
    assert sample(every, 20, 1)[:5] == sample(every, 5, 1)
    assert sample(every, 20, 1) == sample(list(reversed(every)), 20, 1)
    assert sample(every, 20, 1) != sample(every, 20, 2)


@pytest.mark.parametrize(("number", "expected"), [("0", "1"), ("3", "3 + 1")])
def test_literal__is_one_more(number: str, expected: str) -> None:
    finder = Finder("C.sol", SOURCE.encode(), {}, _contract="C", _function="f")
    literal = node("Literal", "3", value=number, typeDescriptions={"typeString": f"int_const {number}"}) | {"kind": "number"}
    finder._Literal(literal, node("Return", "3"), "")
    assert [found.wrong for found in finder.found] == [expected]
