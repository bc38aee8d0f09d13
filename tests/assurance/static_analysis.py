"""Slither over all contracts but doubles and examples: no finding of medium or higher without a reason of its own.

Run: `make assure-static`; what it found goes to `bench/results/static.json`. Reasons stand in `accepted_findings.json` by
detector, place (contract.function, or contract.function.variable) and the expressions it is about, without line numbers: a
second finding in the same function needs a reason of its own. A reason for a finding that is gone fails as well, so the list
cannot rot. The analyser reads the AST of the pinned wasm compiler behind `tools/solc.js`. It asks for bytecode too, but looks at
none: it gets empty code, which saves nine tenths of the time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
ACCEPTED = Path(__file__).with_name("accepted_findings.json")
REPORT = PROJECT / "bench" / "results" / "static.json"
SLITHER = PROJECT / ".venv-assure" / "bin" / "slither"
SOLC = PROJECT / ".solc" / "solc"
_LEFT_OUT = {"mocks", "examples", ".cache"}
_IMPORT = re.compile(r'(?:from|import)\s+"([^"]+)"')
_SETTINGS = {
    "evmVersion": "cancun",
    "outputSelection": {"*": {"*": ["abi", "userdoc", "devdoc"], "": ["ast"]}},
}
_NO_CODE = {"object": "", "sourceMap": "", "linkReferences": {}, "opcodes": "", "generatedSources": []}


def sources(*, with_doubles: bool = False) -> dict[str, str]:
    """Source units by the name under which others import them."""
    left_out = _LEFT_OUT - ({"mocks"} if with_doubles else set())
    found: dict[str, str] = {}
    for path in sorted((PROJECT / "contracts").rglob("*.sol")):
        if not left_out & set(path.relative_to(PROJECT).parts):
            _add(found, path.relative_to(PROJECT).as_posix())
    return found


def _add(found: dict[str, str], unit: str) -> None:
    if unit in found:
        return
    base = PROJECT if unit.startswith("contracts/") else PROJECT / "node_modules"
    found[unit] = (base / unit).read_text(encoding="utf-8")
    for name in imports(unit, found[unit]):
        _add(found, name)


def imports(unit: str, text: str) -> list[str]:
    """The units that a unit imports."""
    folder = os.path.dirname(unit)
    return [os.path.normpath(os.path.join(folder, name)) if name.startswith(".") else name for name in _IMPORT.findall(text)]


def findings(texts: dict[str, str]) -> list[dict[str, Any]]:
    """What the analyser reports of medium impact or higher in our own files. Raises RuntimeError with its output."""
    with tempfile.TemporaryDirectory(prefix="lilypad-static-") as name:
        folder = Path(name)
        for unit, text in texts.items():
            (folder / unit).parent.mkdir(parents=True, exist_ok=True)
            (folder / unit).write_text(text, encoding="utf-8")
        units = {unit: {"content": text} for unit, text in texts.items()}
        asked = json.dumps({"language": "Solidity", "sources": units, "settings": _SETTINGS})
        (folder / "input.json").write_text(asked)
        _answer_for_the_analyser(folder, asked)
        command = [str(SLITHER), "input.json", "--solc-standard-json", "--compile-force-framework", "Solc-json"]
        command += ["--solc", str(folder / "solc"), "--filter-paths", "@openzeppelin|solady", "--json", "found.json"]
        command += ["--exclude-informational", "--exclude-optimization", "--exclude-low"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        report = folder / "found.json"
        if not report.exists():
            raise RuntimeError(done.stdout[-3000:] + done.stderr[-3000:])
        document = json.loads(report.read_text())
        if not document["success"]:
            raise RuntimeError(str(document["error"]))
        return list(document["results"].get("detectors", []))


def _answer_for_the_analyser(folder: Path, asked: str) -> None:
    """Compiles, and leaves a `solc` that gives this answer to whoever calls it."""
    done = subprocess.run([str(SOLC), "--standard-json"], input=asked, capture_output=True, text=True, check=True, cwd=folder)
    answer = json.loads(done.stdout)
    errors = [error["formattedMessage"] for error in answer.get("errors", []) if error["severity"] == "error"]
    if errors:
        raise RuntimeError("\n".join(errors))
    for unit in answer["contracts"].values():
        for contract in unit.values():
            contract["evm"] = {"bytecode": _NO_CODE, "deployedBytecode": _NO_CODE}
    (folder / "answer.json").write_text(json.dumps(answer))
    script = f'#!/bin/sh\n[ "$1" = --version ] && exec {SOLC} --version\ncat > /dev/null\nexec cat {folder}/answer.json\n'
    (folder / "solc").write_text(script)
    (folder / "solc").chmod(0o755)


def place(finding: dict[str, Any]) -> str:
    """`Contract.function` or `Contract.function.variable` of a finding's first element."""
    names: list[str] = []
    element: dict[str, Any] | None = finding["elements"][0]
    while element and element["type"] != "file":
        if element["type"] != "node":
            names.insert(0, element["name"])
        element = element.get("type_specific_fields", {}).get("parent")
    return ".".join(names)


def about(finding: dict[str, Any]) -> tuple[str, ...]:
    """The expressions of a finding, each once, in alphabetical order."""
    return tuple(sorted({element["name"] for element in finding["elements"][1:] if element["type"] == "node"}))


def compare(found: list[dict[str, Any]], accepted: list[dict[str, Any]]) -> Iterator[str]:
    """Sentences about findings without a reason, and reasons without a finding."""
    reasons = {(entry["check"], entry["place"], tuple(entry["about"])): entry["reason"] for entry in accepted}
    seen = {(finding["check"], place(finding), about(finding)): finding for finding in found}
    for key, finding in seen.items():
        if not reasons.get(key):
            yield f"{finding['impact']}: {key[0]} in {key[1]} about {list(key[2])}: {finding['description'].strip()}"
    for key in reasons.keys() - seen.keys():
        yield f"the reason for {key[0]} in {key[1]} about {list(key[2])} is about nothing: take it out"


# Lets its caller in again before it forgets what it owes: if this is not found, nothing would be.
PLANTED = {
    "contracts/Planted.sol": """// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

contract Planted {
    mapping(address => uint256) public owed;

    function deposit() external payable {
        owed[msg.sender] += msg.value;
    }

    function withdraw() external {
        (bool ok,) = msg.sender.call{value: owed[msg.sender]}("");
        require(ok);
        owed[msg.sender] = 0;
    }
}
"""
}


def main() -> int:
    began = time.monotonic()
    accepted = json.loads(ACCEPTED.read_text())
    planted = [problem for problem in compare(findings(PLANTED), []) if "reentrancy-eth in Planted.withdraw" in problem]
    found = findings(sources())
    problems = list(compare(found, accepted))
    if not planted:
        problems.append("the planted reentrancy was not found")
    for problem in problems:
        print(problem)
    print(f"{len(found)} findings of medium impact or higher, {len(problems)} without a reason")
    write_report(found, accepted, problems, time.monotonic() - began)
    return 1 if problems else 0


def write_report(found: list[dict[str, Any]], accepted: list[dict[str, Any]], problems: list[str], seconds: float) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    report = {
        "what": "slither, all detectors of medium impact or higher, over every contract but doubles and examples",
        "commit": head.strip(),
        "files": len([unit for unit in sources() if unit.startswith("contracts/")]),
        "findings": len(found),
        "by_impact": {impact: sum(finding["impact"] == impact for finding in found) for impact in ("High", "Medium")},
        "with_a_reason": len(accepted),
        "problems": problems,
        "seconds": round(seconds),
    }
    REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
