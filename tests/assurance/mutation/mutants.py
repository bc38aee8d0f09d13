"""Mutants of Solidity sources, found in the compiler's AST.

One mutant is one small wrong change inside a function body. All mutants of all files live in one build: where a mutant sits,
the source asks `mutantOn(<its number>)`, a switch that the test's EVM sets, and goes the wrong way if it is on:

    if (amount == 0) return;     ->     if ((mutantOn(7) ? false : amount == 0)) return;

So a mutant costs no compilation. Constant declarations, modifiers, assembly and types are not mutated; uses of constants are.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

from tests.assurance.syntax import nodes

SWITCH_UNIT = "contracts/MutantSwitch.sol"
SWITCH_ADDRESS = "0x00000000000000000000000000000000Deadbea7"
# Mutant n is on when this account's balance is LIT - n: then the account at LIT, the only one with a balance near there, is
# the one that is asked for. Each mutant that is asked for leaves a trace, as the EVM has to load an account of its own for it.
# One expression without variables, since the functions that it is inlined in have none to spare. Library functions are pure;
# the balance is read behind a pointer whose type says so, as LilypadOpening._maker does for another reason.
LIT = 0x5EEC << 128
SWITCH_SOURCE = f"""// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

function mutantOn(uint256 number) pure returns (bool) {{
    function (uint256) view returns (bool) asks = _isOn;
    function (uint256) pure returns (bool) answers;
    assembly ("memory-safe") {{
        answers := asks
    }}
    return answers(number);
}}

function _isOn(uint256 mutant) view returns (bool yes) {{
    assembly ("memory-safe") {{
        yes := balance(add(balance({SWITCH_ADDRESS.lower()}), mutant))
    }}
}}
"""

_SWAPS = {
    "+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",), "%": ("*",),
    "<<": (">>",), ">>": ("<<",), "&": ("|",), "|": ("&",), "^": ("&",),
    "<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",),
    "&&": ("||",), "||": ("&&",),
}  # fmt: skip
_COMPARISONS = {"<", "<=", ">", ">=", "==", "!="}
_ASSIGNMENTS = {"+=": "-=", "-=": "+=", "*=": "+=", "|=": "&=", "&=": "|=", "<<=": ">>=", ">>=": "<<="}
_UINT = re.compile(r"uint\d+$")


@dataclass(frozen=True)
class Mutant:
    """`place` is Contract.function; `start` and `end` are byte offsets of what it replaces; `change` says it in words."""

    file: str
    place: str
    line: int
    start: int
    end: int
    kind: str
    wrong: str
    change: str
    statement: bool = False

    @property
    def key(self) -> str:
        """The same for the same change in the same source."""
        return f"{self.file}:{self.place}:{self.line}:{self.start}:{self.kind}:{self.wrong}"


@dataclass
class Finder:
    """Walks the AST of one source unit."""

    file: str
    source: bytes
    declarations: dict[int, dict[str, Any]]
    found: list[Mutant] = field(default_factory=list)
    _contract: str = ""
    _function: str = ""

    def text(self, node: dict[str, Any]) -> str:
        start, length, _ = (int(part) for part in node["src"].split(":"))
        return self.source[start : start + length].decode()

    def span(self, node: dict[str, Any]) -> tuple[int, int]:
        start, length, _ = (int(part) for part in node["src"].split(":"))
        return start, start + length

    def visit(self, node: Any, parent: dict[str, Any] | None = None, role: str = "") -> None:
        if isinstance(node, list):
            for item in node:
                self.visit(item, parent, role)
            return
        if not isinstance(node, dict) or "nodeType" not in node:
            return
        kind = node["nodeType"]
        if kind == "ContractDefinition":
            self._contract = node["name"]
        if kind == "FunctionDefinition":
            self._function = node["name"] or node["kind"]
            self.visit(node.get("body"), node, "body")
            return
        if kind in ("InlineAssembly", "StructDefinition", "EnumDefinition", "ModifierDefinition"):
            return
        if kind == "VariableDeclaration" and (node.get("stateVariable") or node.get("constant")):
            return
        if kind.endswith("TypeName") or kind == "ElementaryTypeNameExpression":
            return
        if self._function:
            handler = getattr(self, "_" + kind, None)
            if handler:
                handler(node, parent, role)
        for name, child in node.items():
            if isinstance(child, (dict, list)) and name not in ("typeDescriptions", "documentation", "typeName"):
                self.visit(child, node, name)
        if kind == "ContractDefinition":
            self._contract = self._function = ""

    def _add(self, node: dict[str, Any], kind: str, wrong: str, change: str, statement: bool = False) -> None:
        start, end = self.span(node)
        if statement and self.source[end : end + 1] == b";":
            end += 1
        line = self.source[:start].count(b"\n") + 1
        place = f"{self._contract}.{self._function}" if self._contract else self._function
        self.found.append(Mutant(self.file, place, line, start, end, kind, wrong, change, statement))

    # ---- one method a kind of node

    def _BinaryOperation(self, node: dict[str, Any], parent: Any, role: str) -> None:
        if _type(node).startswith("int_const"):
            return
        left, right, operator = self.text(node["leftExpression"]), self.text(node["rightExpression"]), node["operator"]
        for other in _SWAPS.get(operator, ()):
            wrong = f"{_group(left)} {other} {_group(right)}"
            self._add(node, "operator", wrong, f"{_short(self.text(node))} -> {other}")

    def _IfStatement(self, node: dict[str, Any], parent: Any, role: str) -> None:
        condition = node["condition"]
        for value in ("false", "true"):
            self._add(condition, "condition", value, f"if ({_short(self.text(condition))}) -> {value}")

    def _Conditional(self, node: dict[str, Any], parent: Any, role: str) -> None:
        for part in ("trueExpression", "falseExpression"):
            if not _type(node[part]).startswith("int_const"):
                self._add(node, "branch", self.text(node[part]), f"{_short(self.text(node))} -> always {part[:-10]}")

    def _UnaryOperation(self, node: dict[str, Any], parent: Any, role: str) -> None:
        if node["operator"] == "!":
            self._add(node, "negation", self.text(node["subExpression"]), f"{_short(self.text(node))} -> without !")
        if node["operator"] == "~":
            self._add(node, "negation", self.text(node["subExpression"]), f"{_short(self.text(node))} -> without ~")

    def _Literal(self, node: dict[str, Any], parent: dict[str, Any], role: str) -> None:
        if node["kind"] != "number" or not _type(node).startswith("int_const"):
            return
        wrong = "1" if node["value"] == "0" else f"{self.text(node)} + 1"
        if parent["nodeType"] == "BinaryOperation":
            if _type(parent).startswith("int_const"):
                return
            if parent["operator"] not in _COMPARISONS:
                self._cast(node, wrong, _type(parent))
                return
        if parent["nodeType"] == "FunctionCall" and parent.get("kind") == "typeConversion":
            return
        if parent["nodeType"] in ("BinaryOperation", "FunctionCall", "Return", "VariableDeclarationStatement", "Assignment",
                                  "TupleExpression", "IndexAccess"):  # fmt: skip
            self._add(node, "literal", wrong, f"{self.text(node)} -> {wrong}")

    def _cast(self, node: dict[str, Any], wrong: str, kind: str) -> None:
        """A literal in arithmetic: a ternary of two literals would be a uint8, and shift or multiply as one."""
        cast = kind if _UINT.match(kind) else "uint256"
        self._add(node, f"{cast} literal", wrong, f"{self.text(node)} -> {wrong}")

    def _Identifier(self, node: dict[str, Any], parent: Any, role: str) -> None:
        declaration = self.declarations.get(node.get("referencedDeclaration", -1))
        if declaration is None or not _UINT.match(_type(node)) or role == "leftHandSide":
            return
        if declaration.get("constant") or declaration.get("mutability") == "immutable":
            if declaration["name"].startswith("_") or self._function == "constructor":
                return
            self._add(node, "constant", f"{self.text(node)} + 1", f"{self.text(node)} -> {self.text(node)} + 1")

    def _MemberAccess(self, node: dict[str, Any], parent: Any, role: str) -> None:
        kind = _type(node)
        base = _type(node["expression"])
        if not kind.startswith("enum ") or base != f"type({kind})":
            return
        enum = self.declarations[node["expression"]["referencedDeclaration"]]
        names = [member["name"] for member in enum["members"]]
        other = names[(names.index(node["memberName"]) + 1) % len(names)]
        wrong = f"{self.text(node['expression'])}.{other}"
        self._add(node, "enum", wrong, f"{self.text(node)} -> {other}")

    def _FunctionCall(self, node: dict[str, Any], parent: Any, role: str) -> None:
        if node.get("kind") == "typeConversion" or node.get("names"):
            return
        called = self.text(node["expression"])
        for one, other in (("Math.min", "Math.max"), ("Math.max", "Math.min")):
            if called == one:
                arguments = ", ".join(self.text(argument) for argument in node["arguments"])
                self._add(node, "call", f"{other}({arguments})", f"{_short(self.text(node))} -> {other}")
        arguments = node["arguments"]
        alone = _type(node) == "tuple()"  # answers nothing: no place in an expression, nor in a try
        if alone and parent and parent["nodeType"] != "ExpressionStatement":
            return
        if called.startswith(("Math.", "abi.")) or parent and parent["nodeType"] in ("EmitStatement", "RevertStatement"):
            return
        for i in range(len(arguments) - 1):
            a, b = self.text(arguments[i]), self.text(arguments[i + 1])
            same = _type(arguments[i]) == _type(arguments[i + 1])
            if same and a != b and not _type(arguments[i]).startswith("int_const"):
                swapped = [self.text(argument) for argument in arguments]
                swapped[i], swapped[i + 1] = b, a
                wrong = f"{called}({', '.join(swapped)})"
                change = f"{_short(self.text(node))} -> {_short(a)} and {_short(b)} swapped"
                self._add(node, "arguments", wrong + ";" * alone, change, statement=alone)

    def _ExpressionStatement(self, node: dict[str, Any], parent: Any, role: str) -> None:
        if role in ("initializationExpression", "loopExpression"):
            return
        expression = node["expression"]
        self._add(node, "statement", "", f"{_short(self.text(node))} -> nothing", statement=True)
        if expression["nodeType"] == "Assignment" and expression["operator"] in _ASSIGNMENTS:
            other = _ASSIGNMENTS[expression["operator"]]
            wrong = f"{self.text(expression['leftHandSide'])} {other} {self.text(expression['rightHandSide'])};"
            self._add(node, "assignment", wrong, f"{_short(self.text(node))} -> {other}", statement=True)

    def _EmitStatement(self, node: dict[str, Any], parent: Any, role: str) -> None:
        self._add(node, "statement", "", f"{_short(self.text(node))} -> nothing", statement=True)


def find(units: dict[str, dict[str, Any]], texts: dict[str, str], files: list[str]) -> list[Mutant]:
    """All mutants of `files`. `units`: ASTs by source unit name."""
    declarations = {node["id"]: node for unit in units.values() for node in nodes(unit) if "id" in node}
    found: list[Mutant] = []
    for file in files:
        finder = Finder(file, texts[file].encode(), declarations)
        finder.visit(units[file])
        found += finder.found
    return found


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """`count` of them in an order fixed by the seed: a larger sample begins with the smaller one."""
    shuffled = sorted(mutants, key=lambda mutant: mutant.key)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:count]


def schema(text: str, mutants: list[tuple[int, Mutant]]) -> str:
    """The source of a file with these numbered mutants behind the switch."""
    source = text.encode()
    sites: dict[tuple[int, int], list[tuple[int, Mutant]]] = {}
    for number, mutant in mutants:
        sites.setdefault((mutant.start, mutant.end), []).append((number, mutant))
    order = sorted(sites, key=lambda span: (span[0], -span[1]))
    rendered, _ = _render(source, 0, len(source), order, 0, sites)
    line = re.search(r"^pragma solidity [^\n]*\n", rendered, re.MULTILINE)
    assert line is not None
    return rendered[: line.end()] + f'import {{mutantOn}} from "{SWITCH_UNIT}";\n' + rendered[line.end() :]


def _render(
    source: bytes, start: int, end: int, order: list[tuple[int, int]], at: int, sites: dict[tuple[int, int], Any]
) -> tuple[str, int]:
    """The text of [start, end) with the sites from `order[at]` on that lie in it, and the first site beyond."""
    parts: list[str] = []
    while at < len(order) and order[at][0] < end:
        span = order[at]
        parts.append(source[start : span[0]].decode())
        inner, at = _render(source, span[0], span[1], order, at + 1, sites)
        parts.append(_switch(inner, sites[span]))
        start = span[1]
    parts.append(source[start:end].decode())
    return "".join(parts), at


def _switch(right: str, mutants: list[tuple[int, Mutant]]) -> str:
    for number, mutant in sorted(mutants, key=lambda item: item[1].statement):
        if mutant.statement:
            right = f"{{ if (mutantOn({number})) {{ {mutant.wrong} }} else {{ {right} }} }}"
        elif mutant.kind.startswith("uint"):
            right = f"{mutant.kind.split()[0]}(mutantOn({number}) ? {mutant.wrong} : {right})"
        else:
            right = f"(mutantOn({number}) ? {mutant.wrong} : {right})"
    return right


def _type(node: dict[str, Any]) -> str:
    return str(node.get("typeDescriptions", {}).get("typeString") or "")


def _group(text: str) -> str:
    return text if re.fullmatch(r"[\w.]+", text) else f"({text})"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 70 else text[:67] + "..."
