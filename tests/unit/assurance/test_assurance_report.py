"""The table of `make assure`: what a report says went wrong shows, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.assurance.report import from_any, from_faults_long
from tests.faults import table

GOOD: dict[str, Any] = {"jobs": 7, "wall_s": 2.0, "failures": [], "violations": {"count": 0, "first": []}}


def test_from_any__nothing_wrong__is_good() -> None:
    (row,) = from_any("work", "by hand")(GOOD)
    assert (row.good, row.effort, row.result, row.seconds) == (True, "7 jobs", "nothing wrong", 2.0)


@pytest.mark.parametrize("change", [{"failures": ["a deal is stuck"]}, {"violations": {"count": 1, "first": ["block 3"]}}, {"missed": 2}])
def test_from_any__something_wrong__is_not_good_and_says_what(change: dict[str, Any]) -> None:
    (row,) = from_any("work", "by hand")(GOOD | change)
    assert not row.good
    assert str(*change.values()) in row.result


def test_from_faults_long__one_id_without_a_run__is_not_good() -> None:
    lines = [{"id": id_} for id_ in table.IDS]
    report = {"runs": len(lines), "as_expected": len(lines), "wall_s": 1.0, "lines": lines}
    assert from_faults_long(report)[0].good
    assert not from_faults_long(report | {"lines": lines[1:]})[0].good
    assert not from_faults_long(report | {"as_expected": len(lines) - 1})[0].good
