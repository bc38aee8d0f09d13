"""docs/deterrence.md and docs/gym.md against the code and the gym's results."""

from __future__ import annotations

import json
import re
from fractions import Fraction

from lilypad_agents.cli.commands.economics import decimal, per_cent, preset_rows
from lilypad_agents.protocol.economics import escape_chance
from tests.adversaries.gym import PAGE, RESULTS, page
from tests.docs.markdown import DOCS, section, table

DETERRENCE = (DOCS / "deterrence.md").read_text(encoding="utf-8")
FOUND = json.loads(RESULTS.read_text(encoding="utf-8"))
BY_NAME = {one["name"]: one for one in FOUND["scenarios"]}
SITUATIONS = {"somebody appeals": True, "nobody appeals": False}


def test_read_presets__every_row__is_what_the_command_prints() -> None:
    """beh:L19"""
    expected = [
        {
            "preset": row["name"], "audits": f"{row['auditBps'] / 100:g} %", "collateral": f"{row['collateralBps'] / 10_000:g}",
            "premium": per_cent(row["premium"]), "strength": f"{float(row['strength']):.2f}",
            "skipping pays from": per_cent(row["paysFrom"]), "nobody appeals": per_cent(row["paysFromNoAppeals"]),
            "starving": per_cent(row["paysFromStarving"]),
        }
        for row in preset_rows()
    ]  # fmt: skip
    assert table(section(DETERRENCE, "## Presets")) == expected


def test_read_detection__every_row__is_the_chance_of_being_found() -> None:
    """inv:T20"""
    rows = {row["situation"]: row for row in table(section(DETERRENCE, "## The inequality"))}
    assert set(rows) == set(SITUATIONS)
    for name, appeals in SITUATIONS.items():
        for share in (20, 24):
            found = 1 - escape_chance(Fraction(share, 100), appeals=appeals)
            assert rows[name][f"at {share} %"] == f"{float(decimal(found)) * 100:.1f} %"


def test_read_measurements__every_row__is_in_the_results() -> None:
    """beh:L19"""
    rows = table(section(DETERRENCE, "## What the gym measured"))
    assert len(rows) > 10
    for row in rows:
        shares = BY_NAME[row["scenario"]]["shares"]
        for share in ("0", "20", "24", "30"):
            figures = shares.get(share)
            shown = "-" if figures is None else f"{figures['profit']:+.3f} ± {figures['error']:.3f}"
            assert row[f"{share} %"] == shown, row["scenario"]


def test_read_findings__named_on_the_page__are_those_of_the_results() -> None:
    """beh:D29 beh:L19: whatever pays below a quarter without an excuse is written down, and nothing else is."""
    findings = {one["name"] for one in FOUND["scenarios"] if one["finding"]}
    shown = {row["scenario"] for row in table(section(DETERRENCE, "## What the gym measured"))}
    assert findings <= shown
    assert re.search(r"All (\d+) scenarios", DETERRENCE)[1] == str(len(FOUND["scenarios"]))


def test_read_gym_page__is_what_the_results_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(FOUND)
