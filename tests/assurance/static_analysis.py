"""Slither over all contracts but doubles and examples: no finding of medium or higher without a reason of its own.

Run: `make assure-static`. Reasons stand in `accepted_findings.json` by detector and place (contract.function, or
contract.function.variable). A reason for a finding that is gone fails as well, so the list cannot rot.
The analyser reads the compiler's standard JSON: the pinned wasm compiler behind `tools/solc.js`, the project's settings.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
ACCEPTED = Path(__file__).with_name("accepted_findings.json")
SLITHER = PROJECT / ".venv-assure" / "bin" / "slither"
SOLC = PROJECT / ".solc" / "solc"
_LEFT_OUT = {"mocks", "examples", ".cache"}
_IMPORT = re.compile(r'(?:from|import)\s+"([^"]+)"')
_SETTINGS = {
    "evmVersion": "cancun",
    "viaIR": True,
    "optimizer": {"enabled": True, "runs": 200},
    "outputSelection": {
        "*": {"*": ["abi", "evm.bytecode", "evm.deployedBytecode", "userdoc", "devdoc"], "": ["ast"]}
    },
}


def sources() -> dict[str, str]:
    """Source units by the name under which others import them."""
    found: dict[str, str] = {}
    for path in sorted((PROJECT / "contracts").rglob("*.sol")):
        if not _LEFT_OUT & set(path.relative_to(PROJECT).parts):
            _add(found, path.relative_to(PROJECT).as_posix())
    return found


def _add(found: dict[str, str], unit: str) -> None:
    if unit in found:
        return
    base = PROJECT if unit.startswith("contracts/") else PROJECT / "node_modules"
    found[unit] = (base / unit).read_text(encoding="utf-8")
    for name in _IMPORT.findall(found[unit]):
        _add(found, os.path.normpath(os.path.join(os.path.dirname(unit), name)) if name.startswith(".") else name)


def findings() -> list[dict[str, Any]]:
    """What the analyser reports of medium impact or higher in our own files. Raises RuntimeError with its output."""
    with tempfile.TemporaryDirectory(prefix="lilypad-static-") as name:
        folder = Path(name)
        for unit, text in sources().items():
            (folder / unit).parent.mkdir(parents=True, exist_ok=True)
            (folder / unit).write_text(text, encoding="utf-8")
        units = {unit: {"content": text} for unit, text in sources().items()}
        (folder / "input.json").write_text(json.dumps({"language": "Solidity", "sources": units, "settings": _SETTINGS}))
        command = [str(SLITHER), "input.json", "--solc-standard-json", "--compile-force-framework", "Solc-json"]
        command += ["--solc", str(SOLC), "--filter-paths", "@openzeppelin|solady", "--json", "found.json"]
        command += ["--exclude-informational", "--exclude-optimization", "--exclude-low"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        report = folder / "found.json"
        if not report.exists():
            raise RuntimeError(done.stdout[-3000:] + done.stderr[-3000:])
        document = json.loads(report.read_text())
        if not document["success"]:
            raise RuntimeError(str(document["error"]))
        return list(document["results"].get("detectors", []))


def place(finding: dict[str, Any]) -> str:
    """`Contract.function` or `Contract.function.variable` of a finding's first element."""
    names: list[str] = []
    element: dict[str, Any] | None = finding["elements"][0]
    while element and element["type"] != "file":
        if element["type"] != "node":
            names.insert(0, element["name"])
        element = element.get("type_specific_fields", {}).get("parent")
    return ".".join(names)


def compare(found: list[dict[str, Any]], accepted: list[dict[str, str]]) -> Iterator[str]:
    """Sentences about findings without a reason, and reasons without a finding."""
    reasons = {(entry["check"], entry["place"]): entry["reason"] for entry in accepted}
    seen = {(finding["check"], place(finding)): finding for finding in found}
    for key, finding in seen.items():
        if not reasons.get(key):
            yield f"{finding['impact']}: {key[0]} in {key[1]}: {finding['description'].strip()}"
    for key in reasons.keys() - seen.keys():
        yield f"the reason for {key[0]} in {key[1]} is about nothing: take it out"


def main() -> int:
    found = findings()
    problems = list(compare(found, json.loads(ACCEPTED.read_text())))
    for problem in problems:
        print(problem)
    print(f"{len(found)} findings of medium impact or higher, {len(problems)} without a reason")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
