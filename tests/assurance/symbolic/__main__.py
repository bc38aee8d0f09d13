"""Symbolic checks and proofs: `make assure-symbolic`, or `python -m tests.assurance.symbolic --quick`.

halmos runs each `check_` function of the harnesses with all arguments unknown, on the bytecode that the project's settings give;
yices solves. The SMTChecker of the pinned compiler proves each `assert` of the `prove_` functions as Horn clauses; z3 solves.
Two properties are false on purpose: if one of them passes, nothing that passed means anything. Results go to
bench/results/symbolic.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.assurance.static_analysis import PROJECT, SOLC, sources
from tests.assurance.symbolic.properties import FALSE, INDUCTIVE, SYMBOLIC, Property

HERE = Path(__file__).parent
TOOLS = PROJECT / ".venv-assure" / "bin"
REPORT = PROJECT / "bench" / "results" / "symbolic.json"
_SETTINGS = {"evmVersion": "cancun", "viaIR": True, "optimizer": {"enabled": True, "runs": 200}}
_OUTPUTS = ["abi", "metadata", "evm.bytecode", "evm.deployedBytecode", "evm.methodIdentifiers"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the word checks only, and no report")
    parser.add_argument("--only", default="", help="one contract of the harnesses, and no report")
    options = parser.parse_args()
    only = "WordChecks|RoundChecks" if options.quick else options.only
    began = time.monotonic()
    symbolic = [p for p in (*SYMBOLIC, *FALSE) if p.name.startswith("check_") and re.fullmatch(only or ".*", p.contract)]
    inductive = [p for p in (*INDUCTIVE, *FALSE) if p.name.startswith("prove_") and re.fullmatch(only or ".*", p.contract)]
    results = (_halmos(symbolic) if symbolic else {}) | (_prove(inductive) if inductive else {})
    wrong = []
    for property_ in (*symbolic, *inductive):
        outcome, seconds = results.get(property_.name, ("not run", 0.0))
        print(f"{outcome:10} {seconds:7.1f} s  {property_.contract}.{property_.name}")
        if outcome != ("failed" if property_ in FALSE else "proved"):
            wrong.append(f"{property_.name}: {outcome}")
    unlisted = sorted(results.keys() - {p.name for p in (*symbolic, *inductive)})
    wrong += [f"{name}: not in properties.py" for name in unlisted]
    for line in wrong:
        print(f"WRONG: {line}")
    if not only:
        REPORT.write_text(json.dumps(_report(results, wrong, time.monotonic() - began), indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


def _report(results: dict[str, tuple[str, float]], wrong: list[str], seconds: float) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    rows = [
        {"property": f"{p.contract}.{p.name}", "inv": p.inv, "method": method, "outcome": results.get(p.name, ("not run", 0))[0],
         "seconds": round(results.get(p.name, ("", 0.0))[1], 1), "says": p.says, "does_not_say": p.says_not}
        for properties, method in ((SYMBOLIC, "halmos, all arguments unknown"), (INDUCTIVE, "SMTChecker, Horn clauses"))
        for p in properties
    ]  # fmt: skip
    return {
        "what": "symbolic checks and proofs of words, ledger moves, sum tree and prices",
        "commit": commit.strip(),
        "proved": sum(row["outcome"] == "proved" for row in rows),
        "of": len(rows),
        "false_ones_seen_to_fail": [p.name for p in FALSE if results.get(p.name, ("", 0))[0] == "failed"],
        "wrong": wrong,
        "seconds": round(seconds),
        "properties": rows,
    }


# ---- halmos


def _halmos(properties: list[Property]) -> dict[str, tuple[str, float]]:
    with tempfile.TemporaryDirectory(prefix="lilypad-symbolic-") as name:
        folder = Path(name)
        _artefacts(folder / "out", {p.contract for p in properties})
        # halmos compiles by calling forge; the artefacts above are there already, by the pinned compiler.
        (folder / "bin").mkdir()
        (folder / "bin" / "forge").write_text("#!/bin/sh\nexit 0\n")
        (folder / "bin" / "forge").chmod(0o755)
        environment = os.environ | {"PATH": f"{folder / 'bin'}:{TOOLS}:{os.environ['PATH']}"}
        contracts = "^(" + "|".join(sorted({p.contract for p in properties})) + ")$"
        command = [str(TOOLS / "halmos"), "--root", name, "--match-contract", contracts, "--function", "check_",
                   "--solver", "yices", "--solver-timeout-assertion", "120s", "--json-output", str(folder / "answer.json"),
                   "--no-status"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
        if not (folder / "answer.json").exists():
            raise RuntimeError(done.stdout[-3000:] + done.stderr[-3000:])
        answer = json.loads((folder / "answer.json").read_text())
    found: dict[str, tuple[str, float]] = {}
    for results in answer["test_results"].values():
        for result in results:
            outcome = {0: "proved", 1: "failed"}.get(result["exitcode"], f"unknown ({result['exitcode']})")
            found[result["name"].split("(")[0]] = (outcome, float((result.get("time") or [0])[0]))
    if any(outcome.startswith("unknown") for outcome, _ in found.values()):
        print(done.stdout[-4000:])
    return found


def _artefacts(folder: Path, contracts: set[str]) -> None:
    """Foundry's build format, as far as halmos reads it."""
    texts = sources() | {path.name: path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.sol"))}
    texts = _closure(texts, [path.name for path in HERE.glob("*.sol") if _defines(path, contracts)])
    outputs = {"*": {"": ["ast"]}} | {name: {"*": _OUTPUTS, "": ["ast"]} for name in texts if "/" not in name}
    answer = _compile([str(SOLC), "--standard-json"], texts, _SETTINGS | {"outputSelection": outputs})
    for unit, found in answer["contracts"].items():
        for name, contract in found.items():
            target = folder / unit.rsplit("/", 1)[-1]
            target.mkdir(parents=True, exist_ok=True)
            document = {
                "abi": contract["abi"],
                "ast": answer["sources"][unit]["ast"],
                "bytecode": contract["evm"]["bytecode"],
                "deployedBytecode": contract["evm"]["deployedBytecode"],
                "methodIdentifiers": contract["evm"]["methodIdentifiers"],
                "metadata": json.loads(contract["metadata"]),
            }
            for code in ("bytecode", "deployedBytecode"):
                document[code]["object"] = "0x" + document[code]["object"]
            (target / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")


def _defines(path: Path, contracts: set[str]) -> bool:
    return bool(contracts & set(re.findall(r"^contract (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)))


def _closure(texts: dict[str, str], roots: list[str]) -> dict[str, str]:
    """`roots` and what they import: the compiler analyses everything that it is given."""
    found: dict[str, str] = {}
    left = list(roots)
    while left:
        unit = left.pop()
        if unit in found:
            continue
        found[unit] = texts[unit]
        for name in re.findall(r'(?:from|import)\s+"([^"]+)"', texts[unit]):
            left.append(os.path.normpath(os.path.join(os.path.dirname(unit), name)) if name.startswith(".") else name)
    return found


def _compile(command: list[str], texts: dict[str, str], settings: dict[str, Any], **environment: str) -> dict[str, Any]:
    asked = {"language": "Solidity", "sources": {name: {"content": text} for name, text in texts.items()}, "settings": settings}
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True, env=os.environ | environment)
    answer: dict[str, Any] = json.loads(done.stdout)
    errors = [error["formattedMessage"] for error in answer.get("errors", []) if error["severity"] == "error"]
    if errors:
        raise RuntimeError("\n".join(errors[:5]))
    return answer


# ---- the SMTChecker


def _prove(properties: list[Property]) -> dict[str, tuple[str, float]]:
    """All theorems in one run. One that is neither proved nor refuted counts as not proved."""
    began = time.monotonic()
    texts = _closure(sources() | {"Rules.sol": (HERE / "Rules.sol").read_text(encoding="utf-8")}, ["Rules.sol"])
    checker = {"engine": "chc", "targets": ["assert"], "solvers": ["smtlib2"], "contracts": {"Rules.sol": ["RuleProofs"]},
               "showProvedSafe": True, "showUnproved": True, "timeout": 0}  # fmt: skip
    settings = {"evmVersion": "cancun", "modelChecker": checker, "outputSelection": {"Rules.sol": {"": ["ast"]}}}
    answer = _compile(["node", str(HERE / "prove.js")], texts, settings, Z3=str(TOOLS / "z3"))
    text = texts["Rules.sol"].encode()
    functions = [(m.start(), m[1].decode()) for m in re.finditer(rb"function (prove_\w+)", text)]
    asserts = [(m.start(), [name for at, name in functions if at < m.start()][-1]) for m in re.finditer(rb"assert\(", text)]
    said: dict[int, str] = {}
    for error in answer.get("errors", []):
        place = error.get("sourceLocation") or {}
        if place.get("file") != "Rules.sol" or "CHC: " not in error["message"]:
            continue
        word = "proved" if "safe" in error["message"].lower() and "violation" not in error["message"].split("safe")[0].lower() else "failed"
        if "might" in error["message"]:
            word = "unknown"
        said[place["start"]] = word
    seconds = (time.monotonic() - began) / max(len(functions), 1)
    found: dict[str, tuple[str, float]] = {}
    for _, name in functions:
        words = {said.get(at, "unknown") for at, owner in asserts if owner == name}
        outcome = "proved" if words == {"proved"} else "failed" if "failed" in words else "unknown"
        found[name] = (outcome, seconds)
    if os.environ.get("LILYPAD_PROVE_TALKS"):
        for error in answer.get("errors", []):
            print(error["formattedMessage"])
    return found


if __name__ == "__main__":
    sys.exit(main())
