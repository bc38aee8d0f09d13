"""Rules between the fields of a manifest: what one field says must be possible under the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lilypad_agents.execution.errors import InputsInvalid, ManifestInvalid
from lilypad_agents.execution.schema import ValueRefused, check_value, fill_defaults, property_type

if TYPE_CHECKING:
    from lilypad_agents.execution.manifest import Manifest

RESERVED_INPUT = "inputs.json"
MAX_WASM_RAM_MIB = 4_096
MAX_WASM_DISK_MIB = 4_096


def check_rules(manifest: Manifest, *, source: bool = False) -> None:
    """Raises ManifestInvalid for the first contradiction. `source`: who gets the royalty may be filled in when packed."""
    _check_files(manifest)
    _check_templates(manifest)
    _check_seed(manifest)
    _check_compare(manifest)
    if manifest.engine == "wasm":
        _check_wasm(manifest)
    if manifest.resources.gpu_count == 0 and manifest.resources.vram_mib:
        raise ManifestInvalid("resources.vramMib", "is per GPU, and no GPU is asked for")
    if manifest.royalty_bps and manifest.royalty_to is None and not source:
        raise ManifestInvalid("royaltyTo", "is required when there is a royalty")
    if manifest.royalty_bps and source and manifest.royalty_to is not None and not int(manifest.royalty_to, 16):
        raise ManifestInvalid("royaltyTo", "is nobody, so the royalty would be lost")
    _check_examples(manifest)


def _check_files(manifest: Manifest) -> None:
    taken: set[str] = {RESERVED_INPUT}
    for index, slot in enumerate(manifest.files):
        if "/" in slot.name:
            raise ManifestInvalid(f"files[{index}].name", "is a path; names of input files are flat")
        _take(slot.name, taken, f"files[{index}].name")
    for index, artifact in enumerate(manifest.artifacts):
        _take(artifact.path, taken, f"artifacts[{index}].path")
    for index, output in enumerate(manifest.outputs.files):
        if not output.path.startswith("outputs/"):
            continue
        raise ManifestInvalid(f"outputs.files[{index}].path", "is taken below /outputs: leave that part out")


def _take(path: str, taken: set[str], field: str) -> None:
    if path == RESERVED_INPUT:
        raise ManifestInvalid(field, f"{RESERVED_INPUT} is reserved for the inputs document")
    for other in taken:
        if path == other or path.startswith(other + "/") or other.startswith(path + "/"):
            raise ManifestInvalid(field, f"collides with {other} below /inputs")
    taken.add(path)


def _check_templates(manifest: Manifest) -> None:
    section = manifest.wasm or manifest.container or (manifest.bacalhau or {}).get("section")
    field = manifest.engine
    templates = [(f"{field}.args[{i}]", template) for i, template in enumerate(section.args)]
    templates += [(f"{field}.env.{name}", template) for name, template in section.env]
    known = {
        "input": set(manifest.inputs.get("properties", {})),
        "file": {slot.name for slot in manifest.files} | {artifact.path for artifact in manifest.artifacts},
    }
    for path, template in templates:
        for kind, name in template.references():
            if kind == "seed" and manifest.seed.policy == "none":
                raise ManifestInvalid(path, "refers to the seed, but seed.policy is none")
            if kind != "seed" and name not in known[kind]:
                raise ManifestInvalid(
                    path, f"refers to the {kind} {ascii(name)[:80]}, which the module does not declare"
                )


def _check_seed(manifest: Manifest) -> None:
    name = manifest.seed.input
    if name is None:
        return
    schema = manifest.inputs
    if name not in schema.get("properties", {}) or property_type(schema, name) != "integer":
        raise ManifestInvalid("seed.input", "must name an integer input")
    if name not in schema.get("required", []) and "default" not in schema["properties"][name]:
        raise ManifestInvalid("seed.input", "must name an input that is required or has a default")


def _check_compare(manifest: Manifest) -> None:
    if not manifest.deterministic and manifest.compare.policy == "exact":
        raise ManifestInvalid("compare.policy", "cannot be exact for a module that is not deterministic")


def _check_wasm(manifest: Manifest) -> None:
    resources, limits = manifest.resources, manifest.limits
    if resources.gpu_count:
        raise ManifestInvalid("resources.gpuCount", "must be 0: the wasm engine has no GPU")
    if resources.ram_mib > MAX_WASM_RAM_MIB:
        raise ManifestInvalid("resources.ramMib", f"is at most {MAX_WASM_RAM_MIB}: wasm has 32-bit addresses")
    if resources.disk_mib > MAX_WASM_DISK_MIB:
        raise ManifestInvalid("resources.diskMib", f"is at most {MAX_WASM_DISK_MIB}: files of wasm jobs are in memory")
    if limits.processes != 1:
        raise ManifestInvalid("limits.processes", "must be 1: a wasm program starts no processes")
    if limits.output_bytes > 1 << 30:
        raise ManifestInvalid("limits.outputBytes", "is at most 1 GiB: outputs of wasm jobs are in memory")
    if manifest.metering.kind not in ("none", "fuel"):
        raise ManifestInvalid("metering.kind", "must be none or fuel: the wasm engine counts nothing else")


def _check_examples(manifest: Manifest) -> None:
    slots = {slot.name: slot for slot in manifest.files}
    for index, example in enumerate(manifest.examples):
        field = f"examples[{index}]"
        try:
            check_value(fill_defaults(dict(example.inputs), manifest.inputs), manifest.inputs, "inputs")
        except (ValueRefused, InputsInvalid) as failure:
            raise ManifestInvalid(field, str(failure)) from None
        for name in example.files:
            if name not in slots:
                raise ManifestInvalid(f"{field}.files", f"{ascii(name)[:80]} is no input file of the module")
        for slot in manifest.files:
            if slot.required and slot.name not in example.files:
                raise ManifestInvalid(f"{field}.files", f"lacks the required file {slot.name}")
