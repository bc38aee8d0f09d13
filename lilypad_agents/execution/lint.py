"""What is wrong, or unwise, about a module's folder: every finding names its field. Nothing is run.

A field that this release would not honour is an error here, before anything is published; none is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from lilypad_agents.execution.arguments import MAX_VALUE_BYTES
from lilypad_agents.execution.compare import SUPPORTED_POLICIES
from lilypad_agents.execution.errors import ContentMismatch, ManifestInvalid, ModuleBroken
from lilypad_agents.execution.job import MIB
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.execution.oldmodule.substitution import MOST_CHARACTERS as _IMPORTED_CHARACTERS
from lilypad_agents.execution.pack import PackedModule, load_source, pack
from lilypad_agents.execution.prepare import ContentCid
from lilypad_agents.execution.schedule import FUEL_SCHEDULE

_NOBODY = "0x" + "00" * 20
_FLAGS_OF_THE_IMPORTER = "importedFrom.flags"
_UTF8_BYTES = 4  # most bytes of one character


class Severity(StrEnum):
    """Errors keep a module from being published; warnings and notes do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know. `field` is the place in the manifest, such as `limits.fuel`; `fix` what to do about it."""

    code: str
    severity: Severity
    field: str
    message: str
    fix: str = ""

    def to_json(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items()}


def lint(folder: Path, *, content_cid: ContentCid) -> list[Finding]:
    """All findings about a source folder, errors first. Never raises for what the folder holds."""
    try:
        source = load_source(folder)
        royalty_to = _NOBODY if source.royalty_bps and source.royalty_to is None else None
        packed = pack(folder, source.publisher or _NOBODY, royalty_to=royalty_to, content_cid=content_cid)
    except ManifestInvalid as failure:
        return [Finding("manifest-invalid", Severity.ERROR, failure.figures["field"] or "manifest", failure.figures["problem"])]
    except ContentMismatch as failure:
        return [Finding("content-mismatch", Severity.ERROR, "artifacts", failure.message, "Correct the CID or the file.")]
    found = [*_not_honoured(source), *_artefact(packed), *_inputs(source), *_advice(source)]
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def _error(code: str, field: str, message: str, fix: str = "") -> Finding:
    return Finding(code, Severity.ERROR, field, message, fix)


def _not_honoured(manifest: Manifest) -> Iterator[Finding]:
    """What a manifest may say by its schema, and nobody would do in this release."""
    if manifest.compare.policy not in SUPPORTED_POLICIES:
        fix = f"Declare the policy {' or '.join(SUPPORTED_POLICIES)}."
        yield _error("not-honoured", "compare.policy", f"{manifest.compare.policy} cannot be checked by this release", fix)
    if manifest.metering.kind != "none" and manifest.metering.schedule != FUEL_SCHEDULE:
        message = f"is {manifest.metering.schedule}, this release counts {FUEL_SCHEDULE}"
        yield _error("not-honoured", "metering.schedule", message, f"Write {FUEL_SCHEDULE}.")
    if not manifest.deterministic:
        yield _error("not-honoured", "deterministic", "is false, but the wasm engine runs everything deterministically", "Leave it out.")
    flags = manifest.document.get("importedFrom", {}).get("flags", [])
    for flag in flags:
        if flag in ("image-by-tag", "network-asked"):
            yield _error(flag, _FLAGS_OF_THE_IMPORTER, f"the importer found {flag}, which nobody can publish", "Mend it and import again.")


def _artefact(packed: PackedModule) -> Iterator[Finding]:
    import wasmtime

    from lilypad_agents.execution.wasi.abi import MODULE, SIGNATURES
    from lilypad_agents.execution.wasm import WasmEngine, check_exports

    manifest = packed.manifest
    assert manifest.wasm is not None
    try:
        compiled = WasmEngine().compile(packed.wasm)
        check_exports(compiled, manifest.wasm.entry)
    except ModuleBroken as failure:
        field = "wasm.entry" if "function" in failure.message else "wasm.module"
        yield _error("artefact-broken", field, failure.message, "Compile it for wasm32-wasi (preview 1).")
        return
    for item in compiled.imports:
        if item.module != MODULE or item.name not in SIGNATURES:
            name = f"{item.module}.{item.name}"
            yield _error("import-unknown", "wasm.module", f"imports {ascii(name)[:120]}, which the engine does not have", "Use WASI preview 1 only.")
    for item in compiled.exports:
        if item.name == "memory" and isinstance(item.type, wasmtime.MemoryType):
            least = item.type.limits.min * 65_536
            if least > manifest.resources.ram_mib * MIB:
                needed = -(-least // MIB)
                yield _error("memory-too-small", "resources.ramMib", f"is {manifest.resources.ram_mib}, the program starts with {needed} MiB", f"Write at least {needed}.")


def _inputs(manifest: Manifest) -> Iterator[Finding]:
    assert manifest.wasm is not None
    templates = [*manifest.wasm.args, *(template for _, template in manifest.wasm.env)]
    used = {name for template in templates for kind, name in template.references() if kind == "input"}
    properties: Mapping[str, Any] = manifest.inputs.get("properties", {})
    for name, schema in properties.items():
        field = f"inputs.properties.{name}"
        most = schema.get("maxLength", 0)
        if name in used and schema.get("type") == "string" and most * _UTF8_BYTES > MAX_VALUE_BYTES:
            message = f"{most} characters may be {most * _UTF8_BYTES} bytes, an argument holds {MAX_VALUE_BYTES}"
            yield _error("input-too-long", f"{field}.maxLength", message, f"Write at most {MAX_VALUE_BYTES // _UTF8_BYTES}, or read /inputs/inputs.json.")
        if "importedFrom" in manifest.document and schema.get("type") == "string" and most == _IMPORTED_CHARACTERS:
            yield Finding("input-loose", Severity.NOTE, field, "was imported as any text", "Give it its own type and bounds: a number, an enum, a pattern.")
        if not schema.get("description"):
            yield Finding("input-undescribed", Severity.WARNING, f"{field}.description", "is missing", "Say what the input means.")
        if name not in used and name != manifest.seed.input:
            yield Finding("input-not-substituted", Severity.NOTE, field, "is in no argument or variable", "The program finds it in /inputs/inputs.json.")


def _advice(manifest: Manifest) -> Iterator[Finding]:
    if manifest.licence.code == "NOASSERTION":
        yield Finding("licence-missing", Severity.WARNING, "licence.code", "is NOASSERTION: nobody may use the module", "Name an SPDX licence.")
    if not manifest.description:
        yield Finding("description-missing", Severity.WARNING, "description", "is missing", "Say in a sentence what the module does.")
    if manifest.royalty_bps and manifest.royalty_to is None:
        yield Finding("royalty-account", Severity.NOTE, "royaltyTo", "is filled in by publishing: the registry, which pays the name's owner")
    for index, example in enumerate(manifest.examples):
        if example.expect.stdout is None and example.expect.root is None:
            yield Finding("example-loose", Severity.NOTE, f"examples[{index}].expect", "checks the exit code only", "Add `stdout` or `root`; `lilypad module test` shows both.")
    for key in manifest.document:
        if key.startswith("x-"):
            yield Finding("own-key", Severity.NOTE, key[:80], "is carried along and never read")
