"""`module certify`: does a job give one result, whatever surrounds it, and what does the program's result lean on?

Two questions, by runs in processes of their own:

- **repeats**: N runs that differ in all that belongs to the machine and not to the job: process, environment, time of
  day, order in which files are handed over, number of cores, optimisation level. All must agree in exit code, streams,
  files and fuel; otherwise nobody could judge a result.
- **probes**: one run for each thing that the engine fixes (clock, randomness, order of directory entries, variables),
  with that thing changed. A probe that differs says what the result leans on. Such a module is still exact under this
  engine; under an engine that fixes less it would not be.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lilypad_agents.agents.author.runs import data_id_of
from lilypad_agents.agents.creator.errors import VerificationFailed
from lilypad_agents.execution.framing import MAX_HEADER_BYTES, pack_spec, unpack, unpack_result
from lilypad_agents.execution.job import MIB, JobSpec, RunResult
from lilypad_agents.execution.plainfile import read_plain
from lilypad_agents.execution.wasi.host import CALL_NS, EPOCH_NS
from lilypad_agents.execution.worker import search_path, timeout_result

OPT_LEVELS = ("speed", "none", "speed_and_size")
EXACT, LEANING, VARIES, MACHINE = "exact", "exact-under-this-engine", "varies", "machine-dependent"
_COMPILE_S = 60.0
_ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham", "Europe/Berlin")
_LANGUAGES = ("C", "C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8", "ja_JP.UTF-8")


@dataclass(frozen=True)
class Setting:
    """What one run changes: of the machine (first five), and of the world that the engine shows the program."""

    opt_level: str = "speed"
    cpus: tuple[int, ...] = ()  # empty: all
    environment: Mapping[str, str] = field(default_factory=dict)
    file_order: tuple[str, ...] = ()
    pause_ms: int = 0
    circumstances: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """One run: what was changed, and what came out. `fingerprint` covers exit code, streams, files and fuel."""

    example: int
    kind: str  # repeat, or the name of a probe
    setting: Setting
    started_at: int
    exit_code: int
    exit_class: str
    data_id: str
    fuel: int
    fingerprint: str
    wall_ms: int

    def to_json(self) -> dict[str, Any]:
        setting = asdict(self.setting)
        return {
            "example": self.example,
            "kind": self.kind,
            "optLevel": setting["opt_level"],
            "cpus": list(setting["cpus"]),
            "environment": dict(setting["environment"]),
            "fileOrder": list(setting["file_order"]),
            "startedAt": self.started_at,
            "exitCode": self.exit_code,
            "exitClass": self.exit_class,
            "dataId": self.data_id,
            "fuel": self.fuel,
            "fingerprint": self.fingerprint,
            "wallMs": self.wall_ms,
        }


@dataclass(frozen=True)
class Certificate:
    """`verdict`: exact (leans on nothing), exact-under-this-engine, varies, or machine-dependent. `leans_on`: names of probes."""

    verdict: str
    leans_on: tuple[str, ...]
    evidence: tuple[Evidence, ...]

    @property
    def holds(self) -> bool:
        """Whether all repeats agreed."""
        return self.verdict in (EXACT, LEANING)


def certify(specs: Sequence[JobSpec], runs: int, *, shuffle: random.Random | None = None) -> Certificate:
    """Runs each job `runs` times and probes it. Raises VerificationFailed when a run gives no result at all."""
    chance = shuffle or random.Random()
    evidence: list[Evidence] = []
    verdict, leans = EXACT, set()
    for number, spec in enumerate(specs):
        with tempfile.TemporaryDirectory(prefix="lilypad-certify-") as folder:
            bench = _Bench(Path(folder), spec, number)
            repeats = [bench.run("repeat", setting) for setting in _settings(runs, spec, chance)]
            evidence += repeats
            if any(not result.deterministic for _, result in bench.results):
                verdict = MACHINE if verdict != VARIES else verdict
                continue
            if len({run.fingerprint for run in repeats}) > 1:
                verdict = VARIES
                continue
            for name, changed, setting in _probes(spec):
                probe = bench.run(name, setting, changed)
                evidence.append(probe)
                if probe.data_id != repeats[0].data_id:
                    leans.add(name)
    if verdict == EXACT and leans:
        verdict = LEANING
    return Certificate(verdict, tuple(sorted(leans)), tuple(evidence))


def _settings(runs: int, spec: JobSpec, chance: random.Random) -> Iterator[Setting]:
    """The repeats: everything about the machine moves; every optimisation level and core count comes up in turn."""
    cores = sorted(os.sched_getaffinity(0))
    for number in range(runs):
        names = list(spec.files)
        chance.shuffle(names)
        yield Setting(
            opt_level=OPT_LEVELS[number % len(OPT_LEVELS)],
            cpus=tuple(sorted(chance.sample(cores, 1 + number % len(cores)))),
            environment={
                "TZ": chance.choice(_ZONES),
                "LANG": chance.choice(_LANGUAGES),
                "PYTHONHASHSEED": str(chance.randrange(1, 2**32)),
                "HOME": f"/nowhere-{chance.randrange(10**6)}",
                f"CERTIFY_{chance.randrange(10**6)}": "x" * chance.randrange(4_000),
            },
            file_order=tuple(names),
            pause_ms=chance.randrange(30),
        )


def _probes(spec: JobSpec) -> Iterator[tuple[str, JobSpec, Setting]]:
    """Each changes one thing that the engine fixes."""
    clock = {"epoch_ns": EPOCH_NS + 86_400 * 10**9 + 123_456_789, "call_ns": CALL_NS * 7}
    yield "clock", spec, Setting(circumstances=clock)
    yield "randomness", replace(spec, seed=hashlib.sha256(b"certify" + spec.seed).digest()), Setting()
    yield "directory-order", spec, Setting(circumstances={"names_reversed": True})
    yield "variables", replace(spec, env=(*spec.env, ("LILYPAD_CERTIFY", "1"))), Setting()


class _Bench:
    def __init__(self, folder: Path, spec: JobSpec, number: int) -> None:
        self._folder, self._spec, self._number = folder, spec, number
        self.results: list[tuple[str, RunResult]] = []
        (folder / "empty").mkdir()

    def run(self, kind: str, setting: Setting, spec: JobSpec | None = None) -> Evidence:
        spec = spec or self._spec
        if setting.file_order:
            spec = replace(spec, files={name: spec.files[name] for name in setting.file_order})
        time.sleep(setting.pause_ms / 1000)
        started = int(time.time())
        result = self._result(spec, setting)
        self.results.append((kind, result))
        return Evidence(
            self._number, kind, setting, started, result.exit_code, str(result.exit_class),
            data_id_of(result), result.fuel, fingerprint_of(result), result.wall_ms,
        )  # fmt: skip

    def _result(self, spec: JobSpec, setting: Setting) -> RunResult:
        job, target = self._folder / "spec", self._folder / f"result-{len(self.results)}"
        job.write_bytes(pack_spec(spec))
        plan = {"optLevel": setting.opt_level, "cpus": setting.cpus, "circumstances": dict(setting.circumstances)}
        command = [sys.executable, "-c", _BOOT, *search_path(), "--", str(job), str(target), str(self._folder / "empty"), json.dumps(plan)]
        try:
            done = subprocess.run(
                command, env=dict(setting.environment), cwd=self._folder, capture_output=True, check=False,
                timeout=_COMPILE_S + spec.limits.wall_seconds, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return timeout_result(spec.limits)
        if done.returncode != 0 or not target.is_file():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise VerificationFailed(f"A run ended without a result (status {done.returncode}): {said[-1] if said else ''}")
        raw = read_plain(target, spec.limits.result_bytes + MAX_HEADER_BYTES + MIB)
        header, _ = unpack(raw)
        if header.get("failure"):
            raise VerificationFailed(f"The module cannot be run: {header.get('message')}")
        return unpack_result(raw, spec.limits)


# The paths of our packages come as arguments, since the environment is the run's own.
_BOOT = (
    "import sys; at = sys.argv.index('--'); sys.path[:0] = sys.argv[1:at];"
    "from lilypad_agents.execution.certify_run import main; sys.exit(main(sys.argv[at + 1:]))"
)


def fingerprint_of(result: RunResult) -> str:
    """sha256 over all that must be equal on every machine, fuel included; hexadecimal."""
    parts = (result.exit_code, str(result.exit_class), result.stdout, result.stderr, sorted(result.outputs.items()), result.fuel)
    return hashlib.sha256(repr(parts).encode()).hexdigest()
