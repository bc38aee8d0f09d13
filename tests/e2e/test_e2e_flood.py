"""The short form of `python -m bench.disputes`: a burst of disputes before real mediators, one of which is killed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.disputes import flood


@pytest.mark.timeout(420)
def test_disputes__eight_at_once__each_is_judged_right_and_everybody_has_what_the_table_says(tmp_path: Path) -> None:
    """inv:T52 beh:D5"""
    report = flood(tmp_path, count=8, mediators=3, kills=1, seed=5)
    assert report["failures"] == []
    assert sum(map(sum, (counts.values() for counts in report["ended_as"].values()))) == report["deals"] == 8
    assert report["money"]["creators_compared"] >= 1
