"""Running a job on this machine: before it is ordered (`--local`), or to check what a provider delivered (`--verify`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lilypad_agents.agents.creator.errors import VerificationFailed
from lilypad_agents.agents.provider.results import Module, content_cid, job_of, opened_of
from lilypad_agents.execution.inputs import Inputs
from lilypad_agents.execution.job import JobSpec, RunResult
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.execution.prepare import prepare
from lilypad_agents.execution.worker import WorkerPool
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.digest import Opened
from lilypad_agents.protocol.ids import DealId

_GRACE_S = 30.0


def run_here(folder: Path, spec: JobSpec) -> RunResult:
    """Runs a job in a sandboxed process of its own. Raises VerificationFailed when it gives no result."""
    with WorkerPool(1, folder) as pool:
        outcome = pool.submit("local", spec).wait(spec.limits.wall_seconds + _GRACE_S)
        pool.forget("local")
    if outcome.result is None:
        raise VerificationFailed(f"The job gave no result on this machine: {outcome.failure} {outcome.message}.")
    return outcome.result


def rerun(
    folder: Path, module: Module, deal: Deal, deal_id: DealId, inputs: Inputs, files: Mapping[str, bytes]
) -> tuple[RunResult, Opened]:
    """The run that a deal is about, made here, and the head and content that it has. Raises VerificationFailed."""
    result = run_here(folder, job_of(deal, deal_id, module, inputs, files))
    return result, opened_of(module.manifest, deal, result)[0]


def local_spec(manifest: Manifest, wasm: bytes, inputs: Inputs, files: Mapping[str, bytes], artifacts: Mapping[str, bytes]) -> JobSpec:
    """A run outside any deal: its seed is zero. Raises what `prepare` raises."""
    return prepare(manifest, wasm, inputs, files=files, artifacts=artifacts, content_cid=content_cid)
