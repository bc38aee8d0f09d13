"""The manifest v2 that an old job stands for. Fixed order of keys, so that the same text gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lilypad_agents.execution.errors import NameRefused
from lilypad_agents.execution.manifest import SCHEMA_ID
from lilypad_agents.execution.names import check_path
from lilypad_agents.execution.oldmodule.arguments import Arguments, arguments_of, learn_from_branch, note_shell
from lilypad_agents.execution.oldmodule.jobs import Job
from lilypad_agents.execution.oldmodule.loosejson import Item
from lilypad_agents.execution.oldmodule.quantities import cpu_milli, mib, whole
from lilypad_agents.execution.oldmodule.report import Report
from lilypad_agents.execution.oldmodule.substitution import MOST_CHARACTERS, InputUse, Substituter

if TYPE_CHECKING:
    from lilypad_agents.execution.oldmodule.importer import Origin

FILE_BYTES = 10 * 1024 * 1024
DEFAULT_SECONDS = 900
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_WEB = re.compile(r"https?://\S{1,900}")


def build_manifest(jobs: Sequence[Job], branches: Sequence[str], substituter: Substituter, origin: Origin, report: Report) -> dict[str, Any]:
    """The manifest of the variant with every branch taken; the other variants say what is optional, and the defaults."""
    job = jobs[0]
    found = arguments_of(job, substituter, report)
    for input_name, other in zip(branches, jobs[1:], strict=True):
        silent = Substituter(substituter.source, Report())
        use = substituter.inputs.setdefault(input_name, InputUse(input_name))
        learn_from_branch(found, arguments_of(other, silent, Report()), use, _line_of_branch(job, other), report)
        _structure(job, other, input_name, report)
    note_shell(found, f"{job.engine_path}.Entrypoint", report)
    resources, seconds = _resources(job, report), _seconds(job, report)
    if resources["gpuCount"] or any("date" == item.value for item in found.args):
        report.add("output-varies", 0, "", "results may differ between machines: GPU or clock", "Choose a comparison policy; `lilypad module certify` shows what varies.")
    _network(job, report)
    files = _files(job, report)
    return {
        "schema": SCHEMA_ID,
        "name": origin.name,
        "version": origin.version,
        **_catalogue(job),
        "licence": {"code": "NOASSERTION"},
        "importedFrom": _imported_from(origin),
        "inputs": _inputs(list(substituter.inputs.values())),
        "files": files,
        **_engine(job, found, origin, report),
        "outputs": {},
        "seed": {"policy": "none"},
        "network": "none",
        "resources": resources,
        "limits": {
            "fuel": 10**12 if job.is_wasm else 1,
            "wallSeconds": seconds,
            "stdoutBytes": 16 * 2**20,
            "stderrBytes": 16 * 2**20,
            "outputBytes": 2**30,
            "outputFiles": 1_000,
            "processes": 1 if job.is_wasm else 256,
        },
        "examples": [_example(list(substituter.inputs.values()), files)],
    }


def _line_of_branch(job: Job, other: Job) -> int:
    return min(job.engine.line, other.engine.line)


def _structure(job: Job, other: Job, name: str, report: Report) -> None:
    """An input whose presence changes anything but arguments and variables chooses structure."""
    if _rest(job) != _rest(other):
        report.add(
            "value-in-structure", job.spec.line, job.prefix, f"whether {name} is given changes more than arguments and variables",
            "Write the same image, resources, network and times in both branches.",
        )  # fmt: skip


def _rest(job: Job) -> object:
    """All of a job but its arguments and variables."""

    def strip(value: object) -> object:
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items() if key not in ("entrypoint", "parameters", "environmentvariables")}
        return [strip(item) for item in value] if isinstance(value, list) else value

    return strip(job.top.shape())


# ---- sections


def _catalogue(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = {}
    author, image, model = job.top_level("author"), job.top_level("image"), job.top_level("model")
    name = _text(author.get("name")) if author is not None and author.kind == "object" else _text(author)
    if text := _text(job.top_level("description"), 4_000):
        found["description"] = text
    if name:
        found["authors"] = [name]
    if (address := _text(image)) and _WEB.fullmatch(address):
        found["icon"] = address
    if model is not None and model.kind == "object":
        words = {key: text for key in ("name", "type", "size") if (text := _text(model.get(key)))}
        if words:
            found["model"] = words
    return found


def _text(item: Item | None, most: int = 1_000) -> str | None:
    """A text for people, without what a manifest refuses; None for none."""
    text = item.text if item is not None else None
    if text is None:
        return None
    import unicodedata

    text = unicodedata.normalize("NFC", "".join(c for c in text if c.isprintable() or c in "\n\t"))
    return text.strip()[:most] or None


def _imported_from(origin: Origin) -> dict[str, Any]:
    ref = origin.ref or ""
    commit = origin.commit or (ref if re.fullmatch(r"[0-9a-f]{40}", ref) else None)
    known = {"repository": origin.repository, "commit": commit, "path": origin.path}
    return {**{key: value for key, value in known.items() if value}, "flags": []}


def _inputs(uses: list[InputUse]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for use in uses:
        properties[use.name] = {"type": "string", "maxLength": MOST_CHARACTERS, "description": f"Input {use.name} of the imported module."}
        if use.default is not None:
            properties[use.name]["default"] = use.default
    required = [use.name for use in uses if not use.optional and use.default is None]
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**schema, "required": required} if required else schema


def _example(uses: list[InputUse], files: list[dict[str, Any]]) -> dict[str, Any]:
    """What the author has to make real: a value for each required input, a file for each required slot."""
    inputs = {use.name: "example" for use in uses if not use.optional and use.default is None}
    given = {slot["name"]: f"examples/{slot['name']}" for slot in files if slot["required"]}
    return {"inputs": inputs, **({"files": given} if given else {}), "expect": {"exitCode": 0}}


def _files(job: Job, report: Report) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    section = job.top_level("inputFiles")
    for key, required in (("required", True), ("optional", False)):
        names = section.get(key) if section is not None and section.kind == "object" else None
        for item in names.items if names is not None and names.kind == "array" else ():
            name = item.text
            if name is None or "/" in name or not _is_name(name):
                report.add("files", item.line, f"inputFiles.{key}", f"{ascii(name)[:80]} is no flat file name", "Use a plain name.")
            elif name in found:
                report.add("files", item.line, f"inputFiles.{key}", f"{name} is listed twice; files are read-only now", "List it once.")
            else:
                found[name] = {"name": name, "required": required, "maxBytes": FILE_BYTES}
    for name, line in _bacalhau_inputs(job):
        if name not in found and _is_name(name):
            report.add("never-honoured", line, f"{job.prefix}.Inputs", f"old runs ignored it; {name} is an input file now")
            found[name] = {"name": name, "required": True, "maxBytes": FILE_BYTES}
    return list(found.values())


def _bacalhau_inputs(job: Job) -> list[tuple[str, int]]:
    """Storage that the job asked for: a name for each, by its path or by the input that gave its CID."""
    from lilypad_agents.execution.oldmodule.template import Action

    section = job.spec.get("Inputs")
    found = []
    for item in section.items if section is not None and section.kind == "array" else ():
        if item.kind != "object":
            continue
        path, cid = _text(item.get("path")), item.get("CID")
        named = [part.value.inputs[0] for part in (cid.parts if cid is not None else ()) if isinstance(part, Action) and part.value]
        name = (path or "").rstrip("/").rpartition("/")[2] or (named[0] if named else "input")
        found.append((name if name != "inputs" or not named else named[0], item.line))
    return found


def _is_name(name: str) -> bool:
    try:
        check_path(name)
    except NameRefused:
        return False
    return name != "inputs.json"


def _engine(job: Job, found: Arguments, origin: Origin, report: Report) -> dict[str, Any]:
    section = {"args": [item.value for item in found.args], "env": {name: found.env[name].value for name in sorted(found.env)}}
    _never_honoured(job, report)
    if job.is_wasm:
        report.add("never-honoured", job.engine.line, job.engine_path, "old runs started an empty image instead", "Put the program beside the manifest as main.wasm.")
        return {"engine": "wasm", "wasm": {"module": "main.wasm", **section}, "compare": {"policy": "exact"}}
    workdir = _text(job.engine.get("WorkingDirectory"))
    image = job.engine.get("Image")
    shown = _text(image) or "none"
    container: dict[str, Any] = {}
    if origin.image_id is not None and _IMAGE_ID.fullmatch(origin.image_id):
        container["imageId"] = origin.image_id
    else:
        line = image.line if image is not None else job.engine.line
        fix = "Give --image-id sha256:... (`podman inspect --format {{.Id}} IMAGE`) and --archive CID."
        what = "pins what a registry calls the image, not the image" if "@sha256:" in shown else "is a tag, which can move"
        report.add("image-by-tag", line, f"{job.engine_path}.Image", f"{ascii(shown)[:200]} {what}", fix)
    if origin.archive is not None:
        container["archive"] = origin.archive
    container |= {"platform": "linux/amd64", **section}
    if workdir and workdir.startswith("/"):
        container["workdir"] = workdir
    return {"engine": "container", "container": container, "compare": {"policy": "metric"}, "deterministic": False, "x-image": shown[:500]}


def _never_honoured(job: Job, report: Report) -> None:
    for name in ("Parameters", "WorkingDirectory"):
        item = job.engine.get(name)
        if item is not None:
            report.add("never-honoured", item.line, f"{job.engine_path}.{name}", "old runs ignored it; it takes effect now")
    if job.spec.get("EngineSpec") is not None:
        report.add("never-honoured", job.spec.members[_key(job.spec, "EngineSpec")].line, f"{job.prefix}.EngineSpec", "old runs ignored it; it takes effect now")
    item = job.spec.get("Inputs")
    if item is not None and not item.items:
        report.add("never-honoured", item.line, f"{job.prefix}.Inputs", "was read and never used; it is left out")


def _key(item: Item, name: str) -> str:
    return next(key for key in item.members if key.lower() == name.lower())


def _network(job: Job, report: Report) -> None:
    section = job.spec.get("Network")
    kind = _text(section.get("Type")) if section is not None and section.kind == "object" else None
    if section is not None and kind is not None and kind.lower() not in ("none", ""):
        report.add("network-asked", section.line, f"{job.prefix}.Network.Type", f"asks for the network ({kind[:40]}); a job has none", "Bring what it downloads as a file of the module.")


# ---- amounts


def _resources(job: Job, report: Report) -> dict[str, int]:
    machine = job.top_level("machine")
    asked = job.spec.get("Resources")
    gpus = machine.get("gpus") if machine is not None else None
    misplaced = job.top_level("gpus")
    if misplaced is not None:
        report.add("limits-differ", misplaced.line, "gpus", "stood outside of `machine`, where nobody read it; it counts now")
    both = [("cpu", "CPU", cpu_milli), ("ram", "Memory", mib), ("disk", "Disk", mib), ("gpu", "GPU", whole)]
    cpu, ram, disk, gpu = (_larger(job, machine, asked, ours, theirs, read, report) for ours, theirs, read in both)
    vram = max([_number(item.get("vram")) or 0 for item in _objects(gpus) + _objects(misplaced)], default=0)
    return {"cpuMilli": cpu or 1_000, "ramMib": ram or 1_024, "diskMib": disk, "gpuCount": gpu or (1 if vram else 0), "vramMib": vram}


def _larger(
    job: Job, machine: Item | None, asked: Item | None, ours: str, theirs: str, read: Callable[[str], int | None], report: Report
) -> int:
    """The larger of what the market saw and what the engine was told; both are shown where they differ."""
    needed = _number(machine.get(ours)) if machine is not None and machine.kind == "object" else None
    item = asked.get(theirs) if asked is not None and asked.kind == "object" else None
    limit = None
    if item is not None:
        text = item.text if item.kind == "string" else str(item.scalar) if item.kind == "number" else None
        limit = read(text) if text else None
        if text and limit is None:
            report.add("limits-differ", item.line, f"{job.prefix}.Resources.{theirs}", f"{ascii(text)[:40]} cannot be read as an amount", "Write it as 1000m, 16Gb or 1.")
        elif needed and limit and needed != limit:
            report.add("limits-differ", item.line, f"{job.prefix}.Resources.{theirs}", f"`machine` says {needed}, this says {limit}; the larger one counts")
    return max(needed or 0, limit or 0)


def _seconds(job: Job, report: Report) -> int:
    market, engine = job.top_level("executionTimeoutSeconds"), job.spec.get("Timeout")
    found = []
    for item, path in ((market, "executionTimeoutSeconds"), (engine, f"{job.prefix}.Timeout")):
        number = _number(item)
        if item is not None and item.kind == "number" and number is None:
            report.add("limits-differ", item.line, path, f"{ascii(item.scalar)[:40]} is no whole number of seconds", "Write whole seconds.")
        found.append(number or 0)
    if all(found) and found[0] != found[1] and engine is not None:
        report.add("limits-differ", engine.line, f"{job.prefix}.Timeout", f"executionTimeoutSeconds says {found[0]}, this says {found[1]}; the larger one counts")
    return min(max(found) or DEFAULT_SECONDS, 7 * 86_400)


def _number(item: Item | None) -> int | None:
    return whole(str(item.scalar)) if item is not None and item.kind == "number" else None


def _objects(item: Item | None) -> list[Item]:
    return [child for child in item.items if child.kind == "object"] if item is not None and item.kind == "array" else []
