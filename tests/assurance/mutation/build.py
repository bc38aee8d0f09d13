"""One build that holds all mutants: compiled once, then switched at will."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.assurance.mutation.mutants import SWITCH_SOURCE, SWITCH_UNIT, Mutant, find, schema
from tests.assurance.static_analysis import PROJECT, SOLC, imports, sources

BUILD = PROJECT / ".build" / "__local__.json"
# What is mutated, and the contracts of the build whose code holds it.
MONEY = {
    "contracts/core/LilypadPayments.sol": ("Lilypad",),
    "contracts/core/LilypadOpening.sol": ("Lilypad",),
    "contracts/core/LilypadResults.sol": ("Lilypad",),
    "contracts/core/LilypadResolver.sol": ("Lilypad", "LilypadResolver"),
    "contracts/types/AccountWord.sol": ("Lilypad", "TypesHarness"),
    "contracts/types/DealWord.sol": ("Lilypad", "LilypadResolver", "TypesHarness"),
    "contracts/mediation/DisputeMoney.sol": ("LilypadMediation",),
    "contracts/mediation/LilypadMediation.sol": ("LilypadMediation",),
    "contracts/staking/SumTree.sol": ("LilypadStaking", "SumTreeHarness"),
    "contracts/staking/PoolBook.sol": ("LilypadStaking",),
    "contracts/staking/LilypadStaking.sol": ("LilypadStaking",),
    "contracts/modules/LilypadModules.sol": ("LilypadModules",),
    "contracts/jobs/LilypadJobs.sol": ("LilypadJobs",),
}
_ON = re.compile(r"mutantOn\((\d+)\)")
_SETTINGS: dict[str, Any] = {
    "evmVersion": "cancun",
    "viaIR": True,
    "optimizer": {"enabled": True, "runs": 1},
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
}


class CompilerRefused(RuntimeError):
    """The sources do not compile; says where."""


def compile_units(texts: dict[str, str], outputs: dict[str, dict[str, list[str]]]) -> dict[str, Any]:
    """The compiler's standard JSON answer, errors included."""
    asked = {
        "language": "Solidity",
        "sources": {unit: {"content": text} for unit, text in texts.items()},
        "settings": _SETTINGS | {"outputSelection": outputs},
    }
    done = subprocess.run(
        [str(SOLC), "--standard-json"], input=json.dumps(asked), capture_output=True, text=True, check=True, cwd=PROJECT
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def errors_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [error for error in answer.get("errors", []) if error["severity"] == "error"]


def all_mutants() -> tuple[dict[str, str], list[Mutant]]:
    """The sources by unit name, and every mutant of the money contracts."""
    texts = sources(with_doubles=True)
    answer = compile_units(texts, {"*": {"": ["ast"]}})
    _refuse(errors_of(answer))
    units = {name: unit["ast"] for name, unit in answer["sources"].items()}
    return texts, find(units, texts, list(MONEY))


def build(texts: dict[str, str], mutants: list[Mutant], folder: Path) -> list[Mutant]:
    """Writes build.json, a build file like Ape's with these mutants inside; answers those that compile, numbered from 1 in their
    order. Compiling takes minutes, so what stands in the folder already from the same sources and mutants is kept."""
    valid = _those_that_compile(texts, mutants, folder)
    mutated = _mutated(texts, list(enumerate(valid, 1)))
    names = sorted({name for mutant in valid for name in MONEY[mutant.file]})
    entries = json.loads(BUILD.read_text(encoding="utf-8"))
    units = {name: entries["contractTypes"][name]["sourceId"] for name in names}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = pool.map(lambda name: _code(mutated, units[name], name, folder), names)
        for name, code in zip(names, codes, strict=True):
            entries["contractTypes"][name]["deploymentBytecode"]["bytecode"] = "0x" + code
    write_whole(folder / "build.json", json.dumps(entries))
    return valid


def _code(texts: dict[str, str], unit: str, name: str, folder: Path) -> str:
    """A contract's creation code in hexadecimal."""
    kept = folder / f"{name}.{fingerprint(texts)}"
    if not kept.exists():
        answer = compile_units(_with_imports(texts, unit), {unit: {name: ["evm.bytecode.object"]}})
        _refuse(errors_of(answer))
        code: str = answer["contracts"][unit][name]["evm"]["bytecode"]["object"]
        print(f"  {name}: {len(code) // 2} bytes", flush=True)
        write_whole(kept, code)
    return kept.read_text(encoding="utf-8")


def _with_imports(texts: dict[str, str], unit: str) -> dict[str, str]:
    """A source unit and what it imports, which is all that the compiler then has to read."""
    found: dict[str, str] = {}
    waiting = [unit]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = texts[name]
            waiting += imports(name, texts[name])
    return found


def fingerprint(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def write_whole(target: Path, text: str) -> None:
    """The old file or the new one, never half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, target)


def _those_that_compile(texts: dict[str, str], mutants: list[Mutant], folder: Path) -> list[Mutant]:
    """Type errors name a place; the mutant there is no mutant. Repeated, as some errors hide others."""
    kept = folder / f"refused.{fingerprint(_mutated(texts, list(enumerate(mutants, 1))))}"
    known = set(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else None
    if known is not None:
        return [mutant for mutant in mutants if mutant.key not in known]
    numbered = list(enumerate(mutants, 1))
    while True:
        mutated = _mutated(texts, numbered)
        found = errors_of(compile_units(mutated, {"*": {"": ["ast"]}}))
        if not found:
            valid = [mutant for _, mutant in numbered]
            write_whole(kept, json.dumps(sorted({mutant.key for mutant in mutants} - {mutant.key for mutant in valid})))
            return valid
        refused = {_number_at(mutated, error) for error in found}
        for number in sorted(refused):
            print(f"  does not compile: {mutants[number - 1].place}:{mutants[number - 1].line} {mutants[number - 1].change}", flush=True)
        numbered = [(number, mutant) for number, mutant in numbered if number not in refused]


def _mutated(texts: dict[str, str], numbered: list[tuple[int, Mutant]]) -> dict[str, str]:
    mutated = dict(texts) | {SWITCH_UNIT: SWITCH_SOURCE}
    for file in {mutant.file for _, mutant in numbered}:
        mutated[file] = schema(texts[file], [(number, mutant) for number, mutant in numbered if mutant.file == file])
    return mutated


def _number_at(mutated: dict[str, str], error: dict[str, Any]) -> int:
    """The mutant that stands closest before the end of an error's place: the innermost, or the right side of a comparison."""
    place = error.get("sourceLocation")
    if place is None:
        raise CompilerRefused(error["formattedMessage"])
    text = mutated[place["file"]].encode()
    within = _ON.findall(text[place["start"] : place["end"]].decode())
    before = _ON.findall(text[: place["start"]].decode())
    if not within and not before:
        raise CompilerRefused(error["formattedMessage"])
    return int((within or before)[-1])


def _refuse(found: list[dict[str, Any]]) -> None:
    if found:
        raise CompilerRefused("\n".join(error["formattedMessage"] for error in found[:5]))
