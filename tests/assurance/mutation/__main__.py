"""Mutation testing of the money contracts.

    python -m tests.assurance.mutation                 every mutant, results in bench/results/mutation.json
    python -m tests.assurance.mutation --count 40 --no-report --files LilypadPayments
                                                       a seeded sample of those of one file
    python -m tests.assurance.mutation --again         only those that survived the last time and have no reason yet

What ended stands in .cache/mutation/ended.jsonl by the mutant's place and change and by the contracts' sources, so that a larger
sample continues a smaller one and a stopped run goes on; `--fresh` forgets it. The build, and which test reaches which mutant,
stand in a folder beside it for each sample. A mutant has a budget of processor time (`--budget`): alive after it, it counts as
survived, and --again with a larger one gives it another chance. Survivors need a reason in survivors.json, where those that
change nothing are marked equivalent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.assurance.mutation.build import MONEY, PROJECT, all_mutants, build, fingerprint
from tests.assurance.mutation.killer import PATHS, Killer, without_shrinking
from tests.assurance.mutation.mutants import Mutant, sample
from tests.assurance.mutation.switch import Switch

CACHE = PROJECT / ".cache" / "mutation"
ENDED = CACHE / "ended.jsonl"
REASONS = Path(__file__).with_name("survivors.json")
REPORT = PROJECT / "bench" / "results" / "mutation.json"
SEED = 20261127
NEEDED = 0.95
Place = tuple[str, str, str, int]  # file, contract and function, change, and which of the same changes there, from 1


def main() -> int:
    options = _options()
    if options.fresh and ENDED.exists():
        ENDED.unlink()
    texts, generated = all_mutants()
    generated = [mutant for mutant in generated if not options.files or Path(mutant.file).stem in options.files]
    taken = sample(generated, options.count, options.seed)
    print(f"{len(generated)} mutants, of which {len(taken)} are taken", flush=True)
    made_of = fingerprint(texts)
    folder = CACHE / fingerprint(texts, [mutant.key for mutant in taken])
    valid = build(texts, taken, folder)
    ended = _ended(made_of)
    reasons, places = _reasons(), place_of(generated)
    left = [
        (number, mutant)
        for number, mutant in enumerate(valid, 1)
        if _to_run(mutant, ended, options) and not (options.again and places[mutant.key] in reasons)
    ]
    switch = Switch(folder / "build.json")
    killer = Killer(
        switch, left, folder, jobs=options.jobs, budget=options.budget, tell=lambda *end: _note(made_of, *end)
    )  # fmt: skip
    if not options.only_report:
        without_shrinking()
        pytest.main(["-p", "no:ape_test", "-p", "no:cacheprovider", "-q", "--tb=no", "--no-header", *PATHS], plugins=[killer])
    ended = _ended(made_of)
    report = _report(options, places, [mutant for mutant in valid if mutant.key in ended], ended, killer)
    report["do_not_compile"] = len(taken) - len(valid)
    if not options.no_report:
        REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in report.items() if name not in ("survivors", "equivalent")}, indent=1))
    for survivor in report["survivors"]:
        print(f"survived: {survivor['file']}:{survivor['line']} {survivor['place']}: {survivor['change']}: {survivor['reason']}")
    unexplained = [survivor for survivor in report["survivors"] if not survivor["reason"]]
    return 1 if unexplained or report["score"] < NEEDED else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10**6, help="how many mutants at most")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--files", nargs="*", default=[], choices=sorted(Path(file).stem for file in MONEY))
    parser.add_argument("--again", action="store_true", help="run those that survived once more")
    parser.add_argument("--fresh", action="store_true", help="forget what ended before")
    parser.add_argument("--budget", type=float, default=60, help="seconds of processor time that a mutant may take")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many forks at a time")
    parser.add_argument("--only-report", action="store_true", help="run nothing: report what ended, also of a run that was stopped")
    parser.add_argument("--no-report", action="store_true", help="leave bench/results/mutation.json as it is")
    return parser.parse_args()


def _to_run(mutant: Mutant, ended: dict[str, Any], options: argparse.Namespace) -> bool:
    known = ended.get(mutant.key)
    return known["outcome"] == "survived" if known and options.again else known is None and not options.again


def _note(made_of: str, mutant: Mutant, answer: dict[str, Any]) -> None:
    ENDED.parent.mkdir(parents=True, exist_ok=True)
    with ENDED.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"of": made_of, "key": mutant.key} | answer) + "\n")
    word = answer["outcome"].upper() if answer["outcome"] == "survived" else answer["outcome"]
    print(f"{answer['seconds']:7.2f} s {answer['ran']:5} {word} {mutant.place}:{mutant.line} {mutant.change}", flush=True)


def _ended(made_of: str) -> dict[str, Any]:
    """What came of each mutant of these sources, the last time it was run."""
    if not ENDED.exists():
        return {}
    lines = (json.loads(line) for line in ENDED.read_text(encoding="utf-8").splitlines())
    return {line["key"]: line for line in lines if line["of"] == made_of}


def _reasons() -> dict[Place, dict[str, Any]]:
    return {
        (entry["file"], entry["place"], entry["change"], entry.get("which", 1)): entry
        for entry in json.loads(REASONS.read_text(encoding="utf-8"))
    }


def _report(
    options: argparse.Namespace, places: dict[str, Place], taken: list[Mutant], ended: dict[str, Any], killer: Killer
) -> dict[str, Any]:  # fmt: skip
    reasons = _reasons()
    survivors, equivalent = [], []
    for mutant in taken:
        if ended[mutant.key]["outcome"] != "survived":
            continue
        known = reasons.get(places[mutant.key], {"reason": "", "equivalent": False})
        entry = {"file": mutant.file, "line": mutant.line, "place": mutant.place, "change": mutant.change,
                 "which": places[mutant.key][3], "tests_not_run": ended[mutant.key].get("not_run", 0), "reason": known["reason"]}  # fmt: skip
        (equivalent if known["equivalent"] else survivors).append(entry)
    outcomes = Counter(ended[mutant.key]["outcome"] for mutant in taken)
    counted = len(taken) - len(equivalent)
    killed = counted - len(survivors)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return {
        "what": "small wrong changes in the money contracts, one at a time, against the contract tests",
        "commit": commit.strip(),
        "seed": options.seed,
        "generated": len(places),
        "run": len(taken),
        "killed": killed,
        "by_timeout_or_crash": outcomes["timeout"] + outcomes["crash"],
        "not_equivalent": counted,
        "score": round(killed / counted, 4) if counted else 0.0,
        "tests": len(killer.tests),
        "tests_left_out": killer.left_out,
        "least_budget_seconds": options.budget,
        "survived_with_tests_not_run": sum(ended[mutant.key].get("not_run", 0) > 0 for mutant in taken),
        "seconds": round(sum(ended[mutant.key]["seconds"] for mutant in taken)),
        "by_file": _by_file(taken, ended),
        "survivors": survivors,
        "equivalent": equivalent,
    }


def place_of(mutants: list[Mutant]) -> dict[str, Place]:
    """The place of each mutant, by its key."""
    found: dict[str, Place] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for mutant in sorted(mutants, key=lambda mutant: mutant.start):
        what = mutant.file, mutant.place, mutant.change
        seen[what] += 1
        found[mutant.key] = (*what, seen[what])
    return found


def _by_file(taken: list[Mutant], ended: dict[str, Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for mutant in taken:
        counts = found.setdefault(Path(mutant.file).stem, {"run": 0, "survived": 0})
        counts["run"] += 1
        counts["survived"] += ended[mutant.key]["outcome"] == "survived"
    return dict(sorted(found.items()))


if __name__ == "__main__":
    sys.exit(main())
