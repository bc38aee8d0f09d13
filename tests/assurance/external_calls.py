"""Every place in the contracts where control or a question leaves them, found in the compiler's AST.

A call counts when its function is external or public on another contract, low level (call, staticcall, delegatecall), sends
coin, creates a contract, or is one of the libraries' wrappers around such a call. In assembly: call and its kin, but for the
precompiled contract that recovers signers.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.assurance.static_analysis import PROJECT, SOLC, sources
from tests.assurance.syntax import nodes

_KINDS = re.compile(
    r"t_function_(external|barecall|barestaticcall|baredelegatecall|barecallcode|transfer|send|creation|delegatecall)_"
)
_ASSEMBLY = {"call": 1, "staticcall": 1, "delegatecall": 1, "callcode": 1, "create": None, "create2": None}  # its target
_RECOVERY = "1"
_WRAPPERS = {"SafeERC20", "Address", "SignatureChecker"}


@dataclass(frozen=True)
class Call:
    """`place` is Contract.function; `callee` the called expression as it is written, without options and arguments."""

    file: str
    place: str
    callee: str

    def __str__(self) -> str:
        return f"{self.place} -> {self.callee}"


def external_calls() -> list[Call]:
    """Those of all contracts but doubles and examples, in order of file and appearance, each once a function."""
    texts = sources()
    asked = {
        "language": "Solidity",
        "sources": {unit: {"content": text} for unit, text in texts.items()},
        "settings": {"evmVersion": "cancun", "outputSelection": {"*": {"": ["ast"]}}},
    }
    done = subprocess.run(
        [str(SOLC), "--standard-json"], input=json.dumps(asked), capture_output=True, text=True, check=True, cwd=PROJECT
    )
    answer = json.loads(done.stdout)
    errors = [error["formattedMessage"] for error in answer.get("errors", []) if error["severity"] == "error"]
    if errors:
        raise RuntimeError("\n".join(errors))
    units = {name: unit["ast"] for name, unit in answer["sources"].items()}
    libraries = {node["id"]: node["name"] for unit in units.values() for node in unit["nodes"] if "contractKind" in node}
    owners = {
        function["id"]: libraries[contract["id"]]
        for unit in units.values()
        for contract in unit["nodes"]
        if contract["nodeType"] == "ContractDefinition"
        for function in contract["nodes"]
        if function["nodeType"] == "FunctionDefinition"
    }
    found: dict[Call, None] = {}
    for name in sorted(units):
        if name.startswith("contracts/"):
            found |= dict.fromkeys(_calls(name, texts[name].encode(), units[name], owners))
    return list(found)


def _calls(file: str, source: bytes, unit: dict[str, Any], owners: dict[int, str]) -> Iterator[Call]:
    for contract in unit["nodes"]:
        functions = contract["nodes"] if contract["nodeType"] == "ContractDefinition" else [contract]
        for function in functions:
            # Modifiers and initial values of variables may call as well.
            if function["nodeType"] not in ("FunctionDefinition", "ModifierDefinition", "VariableDeclaration"):
                continue
            name = function["name"] or function.get("kind", "")
            place = f"{contract['name']}.{name}" if contract is not function else name
            for node in nodes(function):
                if node["nodeType"] == "FunctionCall" and _leaves(node["expression"], owners):
                    yield Call(file, place, _text(source, node["expression"]))
                if node["nodeType"] == "YulFunctionCall" and (opcode := node["functionName"]["name"]) in _ASSEMBLY:
                    at = _ASSEMBLY[opcode]
                    target = _text(source, node["arguments"][at]) if at is not None else ""
                    if target != _RECOVERY:
                        yield Call(file, place, f"assembly {opcode} {target}".strip())


def _leaves(expression: dict[str, Any], owners: dict[int, str]) -> bool:
    if expression["nodeType"] == "FunctionCallOptions":
        expression = expression["expression"]
    kind = expression["typeDescriptions"].get("typeIdentifier") or ""
    return bool(_KINDS.match(kind)) or owners.get(expression.get("referencedDeclaration", -1)) in _WRAPPERS


def _text(source: bytes, node: dict[str, Any]) -> str:
    start, length, _ = (int(part) for part in node["src"].split(":"))
    return " ".join(source[start : start + length].decode().split())
