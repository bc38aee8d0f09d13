"""Finding the job in an old file: wrapped in `machine` and `job`, as a bare Bacalhau job, or as a bare `Spec`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lilypad_agents.execution.oldmodule.loosejson import Item
from lilypad_agents.execution.oldmodule.report import Report, Unreadable

_TOP = {"machine", "job", "gpus", "inputfiles", "executiontimeoutseconds", "author", "description", "image", "model"}
_JOB = {"apiversion", "metadata", "spec"}
_SPEC = {
    "engine", "enginespec", "docker", "wasm", "resources", "network", "timeout", "outputs", "inputs", "publisher",
    "publisherspec", "nodeselectors", "annotations", "deal", "verifier", "donotrack", "language",
}  # fmt: skip
_DOCKER = {"image", "entrypoint", "parameters", "environmentvariables", "workingdirectory"}
# Read and used by nobody, ever; said once each.
IGNORED = ("publisher", "publisherspec", "nodeselectors", "annotations", "deal", "verifier", "donotrack", "language")


@dataclass(frozen=True)
class Job:
    """The parts of one variant. `prefix` is where the Spec stands, for messages."""

    top: Item
    spec: Item
    prefix: str

    def top_level(self, name: str) -> Item | None:
        """A member beside the job; none in a bare job."""
        return self.top.get(name) if self.prefix == "job.Spec" else None

    @property
    def engine(self) -> Item:
        """The engine's section: Docker, the parameters of EngineSpec, Wasm; an empty object when there is none."""
        found = self.spec.get("Docker")
        if found is not None and found.kind == "object":
            return found
        found = self.spec.get("EngineSpec")
        if found is not None and found.kind == "object":
            return found.get("Params") or found
        return self.spec.get("Wasm") or Item("object", self.spec.line)

    @property
    def engine_path(self) -> str:
        for name in ("Docker", "EngineSpec", "Wasm"):
            if self.spec.get(name) is not None:
                return f"{self.prefix}.{name}"
        return f"{self.prefix}.Docker"

    @property
    def is_wasm(self) -> bool:
        if self.spec.get("Docker") is not None:
            return False
        section = self.spec.get("EngineSpec")
        kind = section.get("Type") if section is not None else self.spec.get("Engine")
        named = (kind.text or "").lower() if kind is not None else ""
        return named == "wasm" or named == "" and self.spec.get("Wasm") is not None

    def elsewhere(self) -> Iterator[tuple[str, Item]]:
        """Every string and hole with an action that is neither an argument nor the value of a variable nor an input's CID."""
        allowed = {id(item) for name in ("Entrypoint", "Parameters", "EnvironmentVariables") for item in _elements(self.engine.get(name))}
        inputs = self.spec.get("Inputs")
        allowed |= {id(cid) for item in _elements(inputs) if item.kind == "object" and (cid := item.get("CID")) is not None}
        yield from _actions(self.top, "", allowed)


def job_in(top: Item, report: Report) -> Job:
    """The job of a variant. Raises Unreadable when there is none."""
    if top.kind == "object":
        inner = top.get("job")
        if inner is not None and inner.kind == "object":
            spec = inner.get("Spec")
            if spec is not None and spec.kind == "object":
                _unknown(top, _TOP, "", report)
                _unknown(inner, _JOB, "job", report)
                return _checked(Job(top, spec, "job.Spec"), report)
        spec = top.get("Spec")
        if spec is not None and spec.kind == "object":
            _unknown(top, _JOB, "", report)
            return _checked(Job(top, spec, "Spec"), report)
        if any(top.get(name) is not None for name in ("Docker", "EngineSpec", "Wasm", "Engine")):
            return _checked(Job(top, top, ""), report)
    report.add("shape", top.line, "", "holds no job: no `job.Spec`, no `Spec`, no `Docker`", "Is it an old module's file?")
    raise Unreadable


def _checked(job: Job, report: Report) -> Job:
    prefix = f"{job.prefix}." if job.prefix else ""
    _unknown(job.spec, _SPEC, job.prefix, report)
    docker = job.spec.get("Docker")
    if docker is not None:
        _unknown(docker, _DOCKER, f"{prefix}Docker", report)
    for key, item in job.spec.members.items():
        if key.lower() in IGNORED:
            report.add("never-honoured", item.line, f"{prefix}{key}", "was read and never used; it is left out")
    return job


def _unknown(item: Item, known: set[str], path: str, report: Report) -> None:
    for key, value in item.members.items():
        if key.lower() not in known:
            report.add("never-honoured", value.line, f"{path}.{key}"[:200].lstrip("."), "is not a field of old modules; it is left out")


def _elements(item: Item | None) -> list[Item]:
    return item.items if item is not None and item.kind == "array" else []


def _actions(item: Item, path: str, allowed: set[int]) -> Iterator[tuple[str, Item]]:
    if id(item) in allowed:
        return
    if item.kind in ("string", "hole") and item.has_holes:
        yield path, item
    for key, child in item.members.items():
        yield from _actions(child, f"{path}.{key}".lstrip("."), allowed)
    for index, child in enumerate(item.items):
        yield from _actions(child, f"{path}[{index}]", allowed)
