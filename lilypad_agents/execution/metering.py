"""Billed units of a run: what the engine counted, never a constant and never a clock."""

from __future__ import annotations

from lilypad_agents.execution.errors import ScheduleUnsupported
from lilypad_agents.execution.job import RunResult
from lilypad_agents.execution.manifest import Manifest

MAX_UNITS = (1 << 64) - 1


def units(manifest: Manifest, result: RunResult) -> int:
    """floor(fuel / per), at most 2^64 - 1; 0 when the module meters nothing.

    Raises ScheduleUnsupported when the run was counted by another schedule than the module names.
    """
    metering = manifest.metering
    if metering.kind == "none":
        return 0
    if metering.kind != "fuel" or metering.schedule != result.schedule:
        raise ScheduleUnsupported(
            f"the module is billed by {metering.schedule}, the run was counted by {result.schedule}"
        )
    return min(result.fuel // metering.per, MAX_UNITS)
