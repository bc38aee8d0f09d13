"""The provider's sandbox self-test: hostile programs on this very machine, in under 5 s, before anything is offered.

Covers the sandbox list of the acceptance tests (S1 to S8, S17) for the wasm engine, and the process around it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lilypad_agents.errors import LilypadError
from lilypad_agents.execution.errors import SandboxUnsafe
from lilypad_agents.execution.job import MIB, ExitClass, JobOutcome, JobSpec, Limits
from lilypad_agents.execution.selftest_programs import compile_program
from lilypad_agents.execution.worker import WorkerPool, search_path

LIMITS = Limits(
    fuel=2_000_000_000,
    wall_seconds=5,
    memory_bytes=128 * MIB,
    scratch_bytes=MIB,
    stdout_bytes=MIB,
    stderr_bytes=1024,
    output_bytes=MIB,
    output_files=100,
)
JOB_WAIT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the self-test: `id` of the sandbox list, `passed`, what was seen, and how to mend it."""

    id: str
    title: str
    passed: bool
    detail: str
    fix: str


@dataclass(frozen=True, slots=True)
class _Case:
    id: str
    title: str
    program: str
    expected: ExitClass
    limits: Limits = LIMITS


_REINSTALL = "Reinstall the dependencies that this release pins; the engine on this machine does not hold its bounds."
_KERNEL = "Use a Linux kernel with seccomp filters on x86_64 or arm64, and let the container of the agent permit them."
_CASES = (
    _Case("S1", "a job has no sockets", "sockets", ExitClass.OK),
    _Case("S2", "a job sees no host files", "host files", ExitClass.OK),
    _Case("S2", "a job's environment holds only listed names", "environment", ExitClass.OK),
    _Case("S4", "600 MB touched under 128 MB end as oom", "memory in steps", ExitClass.OOM),
    _Case("S5", "an endless loop ends by fuel", "spin", ExitClass.FUEL, replace(LIMITS, fuel=50_000_000)),
    _Case(
        "S5",
        "a stalling job ends by wall time",
        "stall",
        ExitClass.TIMEOUT,
        replace(LIMITS, fuel=1 << 60, wall_seconds=1),
    ),
    _Case("S6", "a full scratch disk refuses writes", "full disk", ExitClass.OK),
    _Case("S6", "a million output files are refused", "many files", ExitClass.QUOTA),
    _Case("S7", "endless output ends the job", "endless output", ExitClass.QUOTA),
    _Case("S8", "links cannot be made", "links", ExitClass.OK),
    _Case("S17", "growth of 250 MB under 128 MB is refused", "memory at once", ExitClass.OK),
)


def run_selftest(progress: Callable[[Check], None] = lambda check: None) -> list[Check]:
    """All checks, in a temporary folder; `progress` is told each as it is known. Never raises for a failing check."""
    checks: list[Check] = []

    def tell(check: Check) -> None:
        checks.append(check)
        progress(check)

    with tempfile.TemporaryDirectory(prefix="lilypad-selftest-") as folder:
        for check in _process_checks(Path(folder) / "probe"):
            tell(check)
        try:
            with WorkerPool(2, Path(folder) / "pool") as pool:
                for case in _CASES:
                    tell(_run_case(pool, case))
                tell(_repeat_check(pool))
        except LilypadError as failure:
            tell(Check("S17", "jobs run in worker processes", False, failure.message, failure.way_out))
    return checks


def require_safe(checks: list[Check]) -> None:
    """Raises SandboxUnsafe when a check failed: this machine may then not offer."""
    failing = [check for check in checks if not check.passed]
    if failing:
        raise SandboxUnsafe(
            "the sandbox does not hold: "
            + "; ".join(f"{check.id} {check.title} ({check.detail})" for check in failing),
            failing=[check.id for check in failing],
        )


def _run_case(pool: WorkerPool, case: _Case) -> Check:
    started = time.monotonic()
    outcome = _run(pool, case.program, case.limits)
    seen = outcome.result.exit_class if outcome.result else f"{outcome.failure}: {outcome.message}"
    detail = f"ended as {seen} after {round((time.monotonic() - started) * 1000)} ms"
    return Check(case.id, case.title, seen == case.expected, detail, _REINSTALL)


def _repeat_check(pool: WorkerPool) -> Check:
    first, second = (_run(pool, "clock and chance", LIMITS).result for _ in range(2))
    same = (
        first is not None
        and second is not None
        and ((first.exit_code, first.stdout, first.fuel) == (second.exit_code, second.stdout, second.fuel))
    )
    return Check(
        "S17", "clock, randomness and fuel repeat", same, "two runs agree" if same else "two runs differ", _REINSTALL
    )


def _run(pool: WorkerPool, program: str, limits: Limits) -> JobOutcome:
    label = f"selftest-{program.replace(' ', '-')}"
    spec = JobSpec(compile_program(program), "_start", (), (), {}, bytes(32), limits)
    try:
        outcome = pool.submit(label, spec).wait(JOB_WAIT_SECONDS)
        pool.forget(label)
    except TimeoutError:
        return JobOutcome(label, failure="lost", message=f"no end within {JOB_WAIT_SECONDS} s")
    return outcome


def _process_checks(empty: Path) -> list[Check]:
    """What the process around a job can still do, tried from inside it."""
    empty.mkdir()
    seen = _probe(empty)
    succeeded = seen.get("succeeded", ["the probe did not run"])
    groups: Mapping[str, tuple[str, tuple[str, ...]]] = {
        "S1": ("a job's process reaches no network", ("socket",)),
        "S2": ("a job's process opens no host files", ("host", "file", "environment")),
        "S3": ("a job's process starts no other", ("process", "program")),
    }
    checks = []
    for check_id, (title, words) in groups.items():
        broken = [name for name in succeeded if any(word in name for word in words) or "probe" in name]
        detail = f"it could {', '.join(broken)}" if broken else "by " + ", ".join(seen["isolation"])
        checks.append(Check(check_id, title, not broken, detail, _KERNEL))
    return checks


def _probe(empty: Path) -> dict[str, list[str]]:
    code = "import sys; sys.path[:] = sys.argv[2:]; from lilypad_agents.execution.selftest_probe import main; main()"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, str(empty), *search_path()],
            capture_output=True,
            timeout=10,
            check=True,
            env={"LILYPAD_SELFTEST_SECRET": "seen"},
        )
        found = json.loads(done.stdout)
        return {"isolation": list(found["isolation"]), "succeeded": list(found["succeeded"])}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return {}
