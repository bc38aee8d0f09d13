"""Symbolic checks and proofs: `make assure-symbolic`, or `python -m tests.assurance.symbolic --quick`.

halmos runs each `check_` function of the harnesses with all arguments unknown, on the bytecode that the project's settings give;
yices solves. The SMTChecker of the pinned compiler proves each `assert` of the `prove_` functions, for all arguments and any state
that their `require` allows; z3 solves. Three properties are false on purpose: if one of them passes, nothing that passed means
anything. Results go to bench/results/symbolic.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
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
# Seconds for one property: of processor time, which another's work does not shorten; and in all, since waiting must end too.
_LONGEST = 300
_LONGEST_IN_ALL = 1800
_OUTCOMES = {0: "proved", 1: "failed", 2: "unknown (the solver's time)", 3: "unknown (stuck)", 4: "unknown (no path ends well)"}
# Contract: where it stands. The bounded engine: what these functions say has no loop, so its bound is no bound, and any sequence
# of calls is reached by induction (LedgerSteps). Horn clauses over the same ledger were tried: z3 found no invariant.
_THEOREMS = {"LedgerSteps": "Proofs.sol", "RuleProofs": "Rules.sol"}
_OUTPUTS = ["abi", "metadata", "evm.bytecode", "evm.deployedBytecode", "evm.methodIdentifiers"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the word checks only, and no report")
    parser.add_argument("--only", default="", help="one contract of the harnesses, and no report")
    options = parser.parse_args()
    only = "WordChecks|RoundChecks|PlainChecks" if options.quick else options.only
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
        for properties, method in ((SYMBOLIC, "halmos, all arguments unknown"), (INDUCTIVE, "SMTChecker, all arguments of one call"))
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
    """A process for each property, so that one which takes too long takes nothing from the others."""
    with tempfile.TemporaryDirectory(prefix="lilypad-symbolic-") as name:
        folder = Path(name)
        contracts = {p.contract for p in properties}
        _artefacts(folder / "out", contracts)
        # halmos compiles by calling forge; the artefacts above are there already, by the pinned compiler.
        (folder / "bin").mkdir()
        (folder / "bin" / "forge").write_text("#!/bin/sh\nexit 0\n")
        (folder / "bin" / "forge").chmod(0o755)
        known = {(p.contract, p.name) for p in properties}
        found = {name: ("not in properties.py", 0.0) for contract, name in _checks(folder / "out", contracts) - known}
        for property_ in properties:
            found[property_.name] = _check(folder, property_)
            print(f"ended: {property_.contract}.{property_.name}", file=sys.stderr, flush=True)
    return found


def _checks(folder: Path, contracts: set[str]) -> set[tuple[str, str]]:
    """What the built harnesses have to check, listed or not."""
    found: set[tuple[str, str]] = set()
    for contract in contracts:
        (path,) = folder.glob(f"*/{contract}.json")
        names = (signature.split("(")[0] for signature in json.loads(path.read_text())["methodIdentifiers"])
        found |= {(contract, name) for name in names if name.startswith("check_")}
    return found


def _check(folder: Path, property_: Property) -> tuple[str, float]:
    """One property: proved, failed, or why it is neither. A loop that was cut short makes it unknown.

    A branch that z3 cannot decide in five seconds is followed both ways; yices decides at the assert whether it was one.
    """
    report = folder / f"{property_.name}.json"
    command = [str(TOOLS / "halmos"), "--root", str(folder), "--match-contract", f"^{property_.contract}$",
               "--match-test", rf"^{property_.name}\(", "--loop", "256", "--solver", "yices", "--solver-threads", "1",
               "--solver-timeout-branching", "5s", "--solver-timeout-assertion", "0",
               "--json-output", str(report), "--no-status"]  # fmt: skip
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{TOOLS}:{os.environ['PATH']}"}
    began = time.monotonic()
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder, start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (_LONGEST, _LONGEST)),
    )
    try:
        talk = running.communicate(timeout=_LONGEST_IN_ALL)[0]
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)  # its solvers too
        running.communicate()
        return f"unknown (no end within {_LONGEST_IN_ALL} s)", time.monotonic() - began
    seconds = time.monotonic() - began
    if running.returncode == -signal.SIGKILL:
        return f"unknown (no end within {_LONGEST} s of processor time)", seconds
    if not report.exists():
        raise RuntimeError(talk[-3000:])
    results = [result for some in json.loads(report.read_text())["test_results"].values() for result in some]
    if len(results) != 1:
        raise RuntimeError(f"{property_.name}: {len(results)} results")
    if results[0]["num_bounded_loops"]:
        return "unknown (a loop was cut short)", seconds
    outcome = _OUTCOMES.get(results[0]["exitcode"], "unknown")
    if outcome.startswith("unknown"):
        print(talk[-4000:])
    return outcome, seconds


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
    """Each contract's theorems in one run. One that is neither proved nor refuted counts as not proved."""
    found: dict[str, tuple[str, float]] = {}
    for contract in sorted({p.contract for p in properties}):
        found |= _theorems(contract, _THEOREMS[contract])
    return found


def _theorems(contract: str, unit: str) -> dict[str, tuple[str, float]]:
    began = time.monotonic()
    texts = _closure(sources() | {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("*.sol")}, [unit])
    checker = {"engine": "bmc", "targets": ["assert"], "solvers": ["smtlib2"], "contracts": {unit: [contract]},
               "showProvedSafe": True, "showUnproved": True, "timeout": 0}  # fmt: skip
    settings = {"evmVersion": "cancun", "modelChecker": checker, "outputSelection": {unit: {"": ["ast"]}}}
    answer = _compile(["node", str(HERE / "prove.js")], texts, settings, Z3=str(TOOLS / "z3"))
    text = texts[unit].encode()
    functions = [(m.start(), m[1].decode()) for m in re.finditer(rb"function (prove_\w+)", text)]
    asserts = [(m.start(), [name for at, name in functions if at < m.start()][-1]) for m in re.finditer(rb"assert\(", text)]
    said: dict[int, str] = {}
    for error in answer.get("errors", []):
        place = error.get("sourceLocation") or {}
        told = re.match(r"BMC: Assertion violation (check is safe|might happen|happens)", error["message"])
        if place.get("file") == unit and told:
            said[place["start"]] = {"check is safe": "proved", "might happen": "unknown", "happens": "failed"}[told[1]]
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
