"""Plays every scenario over the shares of hostile stake and writes the table: `make gym`.

    python -m tests.adversaries.gym [--seeds N] [--only WORD] [--dry]

Writes docs/gym.md and bench/results/gym.json; ends with 1 when something pays below a quarter of the stake that is not
explained by its scenario. Wants a fresh `ape compile`. Some minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tests.adversaries import accusing, cheating, draining, flooding, machinery, withholding
from tests.adversaries.arena import PARTIES, VALUE, Arena, Scenario
from tests.adversaries.estimate import Estimate, Memory, estimate
from tests.docs.markdown import ROOT

SHARES = tuple(Fraction(per_cent, 100) for per_cent in (0, 10, 20, 24, 30, 40))
QUARTER = Fraction(1, 4)
SHOWN = Fraction(24, 100)  # the share whose balances the page shows
SEEDS = 2_000
PAGE, RESULTS = ROOT / "docs" / "gym.md", ROOT / "bench" / "results" / "gym.json"
SCENARIOS = (
    *cheating.SCENARIOS, *withholding.SCENARIOS, *accusing.SCENARIOS, *draining.SCENARIOS, *machinery.SCENARIOS,
    *flooding.SCENARIOS,
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One scenario over its shares."""

    scenario: Scenario
    found: dict[Fraction, Estimate]

    @property
    def pays_from(self) -> Fraction | None:
        """The smallest share at which profit is above zero by two standard errors."""
        return next((share for share, one in self.found.items() if one.profit > 2 * one.error), None)

    @property
    def is_finding(self) -> bool:
        """It pays below a quarter, and the scenario does not say why it may."""
        return self.pays_from is not None and self.pays_from < QUARTER and not self.scenario.known


def measure(scenarios: Sequence[Scenario], seeds: int, shares: Sequence[Fraction] = SHARES) -> list[Row]:
    arenas: dict[int, Arena] = {}
    rows = []
    for scenario in scenarios:
        if scenario.mediators not in arenas:
            arenas[scenario.mediators] = Arena(scenario.mediators)
        arena = arenas[scenario.mediators]
        memory: dict[Any, Memory] = {}
        began = time.monotonic()
        over = shares if scenario.by_share else shares[:1]
        rows.append(Row(scenario, {
            share: estimate(arena, scenario, share, seeds if scenario.by_share else 1, memory) for share in over
        }))  # fmt: skip
        _say(rows[-1], time.monotonic() - began)
    return rows


def _say(row: Row, seconds: float) -> None:
    cells = "  ".join(f"{in_values(one.profit):+.3f}±{in_values(one.error):.3f}" for one in row.found.values())
    print(f"{row.scenario.name:44} {cells}  ({seconds:.0f} s)", flush=True)


def in_values(amount: int) -> float:
    return amount / VALUE


# ---- writing it down


def as_json(rows: Sequence[Row], seeds: int, commit: str) -> dict[str, Any]:
    """Amounts in values of the deal (what its provider earns), six digits."""
    return {
        "about": "profit over honest work and everybody's balance after one deal, in values of the deal; "
        "standard error over seeds; python -m tests.adversaries.gym",
        "commit": commit,
        "seeds": seeds,
        "scenarios": [
            {
                "name": row.scenario.name,
                "ids": row.scenario.ids.split(),
                "what": row.scenario.what,
                "attackers": sorted(row.scenario.attackers),
                "preset": row.scenario.preset,
                "known": row.scenario.known,
                "pays_from_percent": None if row.pays_from is None else int(row.pays_from * 100),
                "finding": row.is_finding,
                "shares": {str(int(share * 100)): _figures(one) for share, one in row.found.items()},
            }
            for row in rows
        ],
    }


def _figures(one: Estimate) -> dict[str, Any]:
    balances = {name: round(in_values(one.balances[name]), 6) for name in PARTIES}
    return {
        "profit": round(in_values(one.profit), 6), "error": round(in_values(one.error), 6), "plays": one.patterns,
        "balances": balances,
    }  # fmt: skip


def page(found: dict[str, Any]) -> str:
    """docs/gym.md, from the JSON alone."""
    shares = [str(int(share * 100)) for share in SHARES]
    lines = [
        "# The adversary gym", "",
        "Written by `make gym` (tests/adversaries/gym.py) from `bench/results/gym.json`; do not edit. What the numbers mean for the "
        "protocol is in [deterrence.md](deterrence.md).", "",
        f"Run on commit `{found['commit']}` with {found['seeds']:,} seeds a cell, on the contracts in an in-process EVM. Repeat: "
        "`make gym`.", "",
        "Profit is what the attackers have more than by honest work, in values of one deal (the value is the most its provider can "
        "earn), with one standard error. A run of the job costs 0.8 values, a provider's or a seat's. Deals stand at "
        "their pool's maximum value, the seat stake at the least that the core accepts, so that every ratio is at its worst. Hostile seats always "
        "belong to the attackers; they act as one, and vote like honest ones where they are no majority. The lottery is not "
        "sampled: both its outcomes are played and weighted by the audit rate. Seats are drawn from seeds by the contract's rule.", "",
        "## Profit by share of hostile stake", "",
        "| scenario | covers | " + " | ".join(f"{share} %" for share in shares) + " | pays from |",
        "|---|---|" + "---|" * (len(shares) + 1),
    ]  # fmt: skip
    for one in found["scenarios"]:
        cells = [_cell(one["shares"].get(share)) for share in shares]
        pays = "never" if one["pays_from_percent"] is None else f"{one['pays_from_percent']} %"
        if one["finding"]:
            pays = f"**{pays}**"
        lines.append(f"| {one['name']} | {' '.join(one['ids'])} | " + " | ".join(cells) + f" | {pays} |")
    lines += ["", "\"never\": at no share of the table. In bold: it pays below a quarter of the stake, which is a finding.", "",
              "## Scenarios", "", "| scenario | attackers, besides hostile seats | script |", "|---|---|---|"]  # fmt: skip
    for one in found["scenarios"]:
        known = f". Why it may pay: {one['known']}" if one["known"] else ""
        lines.append(f"| {one['name']} | {', '.join(one['attackers']) or 'none'} | {one['what']}{known} |")
    lines += ["", f"## Everybody's balance at {int(SHOWN * 100)} %", "",
              "Means after one deal, runs paid, at the first share where stake does not matter.", "",
              "| scenario | " + " | ".join(PARTIES) + " |", "|---|" + "---|" * len(PARTIES)]  # fmt: skip
    for one in found["scenarios"]:
        at = one["shares"].get(str(int(SHOWN * 100))) or next(iter(one["shares"].values()))
        lines.append(f"| {one['name']} | " + " | ".join(f"{at['balances'][name]:+.3f}" for name in PARTIES) + " |")
    return "\n".join(lines) + "\n"


def _cell(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return "-"
    return f"{figures['profit']:+.3f} ± {figures['error']:.3f}"


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "contracts", "tests", "lilypad_agents")
    return git("rev-parse", "HEAD") + (" with changes" if changed else "")


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", default="", help="scenarios whose name has this word; writes nothing")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    chosen = parser.parse_args(words)
    commit = _commit()
    rows = measure([one for one in SCENARIOS if chosen.only in one.name], chosen.seeds)
    if not (chosen.only or chosen.dry):
        found = as_json(rows, chosen.seeds, commit)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(found), encoding="utf-8")
    findings = [row.scenario.name for row in rows if row.is_finding]
    if findings:
        print("Pays below a quarter of the stake: " + "; ".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
