"""The committed figures of speed and gas: all there, measured on whole jobs, with the command that repeats them."""

from __future__ import annotations

import importlib.util
import json
import re
from typing import Any

import pytest

from tests.docs.markdown import ROOT

AGENTS = ("solver", "provider1", "provider2")


def report(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", ["gas", "latency", "throughput", "verdict"])
def test_report__names_a_command_that_exists(name: str) -> None:
    """beh:L21"""
    about = report(name)["about"]
    modules, targets = re.findall(r"python -m (bench\.\w+)", about), re.findall(r"make ([\w-]+)", about)
    assert len(modules) + len(targets) == 1
    assert all(importlib.util.find_spec(module) for module in modules)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{target}:" in makefile for target in targets)


def test_reports__have_gas_speed_latency_and_memory() -> None:
    """beh:L21: per path, end to end, to verified output, per agent; every job of the run was settled and verified."""
    gas, speed, latency = report("gas"), report("throughput"), report("latency")
    assert {"three_tx", "waiver_two_tx", "batch100_per_job", "mediated_extra_panel3", "draw3_of_1000"} <= set(gas)
    assert speed["jobs"] >= 500 and speed["settled"] == speed["verified"] == speed["jobs"] and speed["errors"] == 0
    assert speed["jobs_per_second"] == pytest.approx(speed["jobs"] / speed["seconds"], abs=0.01)
    assert set(AGENTS) <= set(speed["rss_mib"]) and max(speed["rss_mib"].values()) <= speed["target_rss_mib"]
    assert 0 < latency["fastest_s"] <= latency["median_s"] <= latency["slowest_s"]
