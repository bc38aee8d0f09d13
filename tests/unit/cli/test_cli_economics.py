"""`lilypad economics`: numbers on demand, without a chain."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from lilypad_agents.cli.main import cli
from tests.support.cli_schemas import check_object


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["economics", *words], standalone_mode=False)


@pytest.mark.parametrize("share", ["101", "-1", "many"])
def test_economics__share_that_is_none__is_refused(share: str) -> None:
    """beh:J20"""
    found = run("--share", share)
    assert found.return_value == 2


def test_economics__json__follows_its_schema_and_knows_the_preset() -> None:
    """beh:L19 beh:J20"""
    data = check_object(run("--json", "--share", "24").output)["data"]
    assert (data["auditBps"], data["collateralBps"], data["accepted"], data["share"]) == (800, 162_000, True, "0.240000")
    assert [row["seats"] for row in data["capture"]] == [1, 3, 7, 15]
    assert data["capture"][1]["chance"] == "0.145152"
    profits = {row["name"]: row["profit"] for row in data["actors"]}
    assert profits["provider that works"] == "0.200000"
    assert profits["provider that skips the work"].startswith("-")


def test_economics__own_terms__are_judged_by_the_inequality() -> None:
    """beh:D3"""
    data = check_object(run("--json", "--audit-bps", "799", "--collateral-bps", "150000").output)["data"]
    assert (data["auditBps"], data["accepted"]) == (799, False)


def test_economics__for_people__has_margin_capture_actors_and_presets() -> None:
    shown = run("--no-appeals").output
    for words in ("accepted, at 1.00 times", "appeals: no", "10.4 %", "provider that skips the work", "every time"):
        assert words in shown
