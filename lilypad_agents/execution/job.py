"""What is run and what comes out: `JobSpec` in, `RunResult` out. No I/O, no engine, no manifest in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

MIB = 1024 * 1024


class ExitClass(StrEnum):
    """How a run ended. The last six are ends that the engine made, not the program."""

    OK = "ok"
    NONZERO = "nonzero"
    TIMEOUT = "timeout"
    OOM = "oom"
    FUEL = "fuel"
    TRAP = "trap"
    QUOTA = "quota"
    INDETERMINATE = "indeterminate"


# A program's own exit status is taken modulo 256, as POSIX does. Ends made by the engine get codes above that, so that
# a digest (which carries the code, not the class) never confuses the two; modulo 256 they are the shell's usual codes.
ENGINE_EXIT_CODES: Mapping[ExitClass, int] = {
    ExitClass.TIMEOUT: 256 + 124,
    ExitClass.OOM: 256 + 137,
    ExitClass.TRAP: 256 + 134,
    ExitClass.FUEL: 256 + 152,
    ExitClass.QUOTA: 256 + 153,
    ExitClass.INDETERMINATE: 256 + 255,
}

# Ends that depend on the machine: the streams, files and fuel of such a run are dropped, so that two honest machines
# which both end there agree on the digest. `indeterminate` is refunded and never slashed.
MACHINE_DEPENDENT = frozenset({ExitClass.TIMEOUT, ExitClass.INDETERMINATE})


def exit_class_of(code: int) -> ExitClass:
    """The class that belongs to an exit code of a result; raises ValueError for a code that no run can have."""
    if code == 0:
        return ExitClass.OK
    if 0 < code < 256:
        return ExitClass.NONZERO
    for exit_class, engine_code in ENGINE_EXIT_CODES.items():
        if code == engine_code:
            return exit_class
    raise ValueError(f"no run ends with exit code {code}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run. Passing one ends the run with an exit class; nothing is ever cut silently.

    `fuel` in units of the engine's schedule, `wall_seconds` in s, everything else in bytes or counts.
    `memory_bytes` bounds linear memory, `scratch_bytes` the files in /tmp (a full /tmp answers ENOSPC).
    """

    fuel: int
    wall_seconds: int
    memory_bytes: int
    scratch_bytes: int
    stdout_bytes: int
    stderr_bytes: int
    output_bytes: int
    output_files: int

    @property
    def result_bytes(self) -> int:
        """Most bytes that a result within these limits can have, names not counted."""
        return self.stdout_bytes + self.stderr_bytes + self.output_bytes

    @property
    def host_bytes(self) -> int:
        """Most host memory in bytes that a run may need beyond the engine itself; everything is held in memory."""
        return self.memory_bytes + self.scratch_bytes + self.result_bytes


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One run, fully resolved: nothing in it needs the manifest, the network or the machine's state.

    `files` maps paths below /inputs to bytes (`inputs.json` included); `seed` is 32 bytes; `args` and `env` are what
    the program sees, byte for byte.
    """

    wasm: bytes
    entry: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    files: Mapping[str, bytes]
    seed: bytes
    limits: Limits


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run produced. Down to `fuel` it is equal on every honest machine, unless `deterministic` is false.

    `outputs` maps paths below /outputs to bytes. `fuel`: units of `schedule`, 0 for machine-dependent ends.
    `peak_memory`: bytes of linear memory. `wall_ms`, `cpu_ms`: milliseconds, of this machine. `detail`: a fixed word
    on what ended the run (`unreachable`, `stdout`, ...), never text of the host.
    """

    exit_code: int
    exit_class: ExitClass
    stdout: bytes
    stderr: bytes
    outputs: Mapping[str, bytes]
    fuel: int
    peak_memory: int
    wall_ms: int
    cpu_ms: int
    engine: str
    schedule: str
    detail: str = ""

    @property
    def deterministic(self) -> bool:
        """Whether another honest machine must get the same exit code, streams, outputs and fuel."""
        return self.exit_class not in MACHINE_DEPENDENT


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """End of a job in a worker: a result, or the reason why there is none.

    `failure` is None with a result, else one of `module-broken` (no machine can run it), `crashed` (the worker
    process died or replied nonsense), `killed` (asked for) and `lost` (the fork server or the agent went away); a job
    without a result may be run again. `message` is for people.
    """

    job_id: str
    result: RunResult | None = None
    failure: str | None = None
    message: str = ""
