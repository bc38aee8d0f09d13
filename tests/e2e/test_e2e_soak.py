"""The short form of `make soak`: the whole harness, half a minute of jobs and faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.soak.__main__ import soak


@pytest.mark.timeout(420)
def test_soak__a_short_one__finds_nothing(tmp_path: Path) -> None:
    """beh:L18 inv:I1 inv:I4 inv:I5"""
    report = soak(tmp_path, 0.5, seed=11, rate=1.5, judge_s=(10, 15))
    assert report["failures"] == []
    assert report["jobs"]["posted"] >= 20
    assert report["blocks"]["checked"] >= 30
    assert sum(report["deals"]["ended_as"].values()) == report["deals"]["opened"] >= 20
    assert report["faults"]["made"] >= 1
