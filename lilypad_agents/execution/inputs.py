"""A job's inputs: typed values and files, checked before anything is paid, and the canonical document that is signed.

The document is canonical JSON {"files": {name: CID}, "module": version id, "values": {...}}; the sha256 of its bytes
is the `inputs` of the deal (protocol 5.1).
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.execution.errors import InputsInvalid
from lilypad_agents.execution.manifest import FileSlot, Manifest
from lilypad_agents.execution.schema import ValueRefused, check_value, fill_defaults, property_type
from lilypad_agents.execution.strictjson import JsonRefused, canonical, load

MAX_DOCUMENT_BYTES = 1024 * 1024  # one raw block
_VERSION_ID = re.compile(r"0x[0-9a-f]{64}")
_CID = re.compile(r"(?:bafkrei|bafybei)[a-z2-7]{52}")


@dataclass(frozen=True, slots=True)
class Inputs:
    """A checked inputs document. `module` is the version id (0x, 64 hex digits), `files` maps names to CIDs."""

    module: str
    values: Mapping[str, Any]
    files: Mapping[str, str]
    document: bytes

    @property
    def digest(self) -> bytes:
        """sha256 of the document, 32 bytes: the deal's `inputs`."""
        return hashlib.sha256(self.document).digest()


def parse_assignments(manifest: Manifest, assignments: Iterable[str]) -> dict[str, Any]:
    """Typed values from `key=value` texts; the value is all after the first `=`. Raises InputsInvalid."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputsInvalid(name[:80], "is written NAME=VALUE")
        if name in values:
            raise InputsInvalid(name, "is given twice")
        values[name] = parse_text(manifest, name, text)
    return values


def parse_text(manifest: Manifest, name: str, text: str) -> Any:
    """The typed value that `text` means for input `name`. InputsInvalid names the nearest for a wrong one."""
    properties = manifest.inputs.get("properties", {})
    if name not in properties:
        near = difflib.get_close_matches(name, properties, 1)
        raise InputsInvalid(name[:80], "is no input of this module" + (f"; did you mean {near[0]}?" if near else ""))
    kind = property_type(manifest.inputs, name)
    if kind == "string":
        return text
    forms = {
        "integer": r"-?(0|[1-9][0-9]{0,17})",
        "number": r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?",
        "boolean": "true|false",
    }
    if kind in forms and not re.fullmatch(forms[kind], text):
        raise InputsInvalid(
            name,
            f"must be {'true or false' if kind == 'boolean' else 'an ' + kind if kind == 'integer' else 'a number'}",
        )
    if kind == "number":
        return float(text) if re.search(r"[.eE]", text) else int(text)
    try:
        value = load(text, max_bytes=MAX_DOCUMENT_BYTES)
    except JsonRefused as failure:
        raise InputsInvalid(name, f"must be JSON: {failure.problem}") from None
    return value


def check_values(manifest: Manifest, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with defaults filled in, in normal form. Raises InputsInvalid, which names the input."""
    try:
        checked = check_value(fill_defaults(dict(values), manifest.inputs), manifest.inputs, "")
    except ValueRefused as failure:
        raise InputsInvalid(failure.path, failure.problem) from None
    for name, value in checked.items():
        if _holds_nul(value):
            raise InputsInvalid(name, "holds a NUL character")
    return checked


def check_files(manifest: Manifest, files: Mapping[str, int]) -> None:
    """Checks names and sizes (bytes) of input files against what the module declares. Raises InputsInvalid."""
    slots: dict[str, FileSlot] = {slot.name: slot for slot in manifest.files}
    for name, size in files.items():
        if name not in slots:
            taken = ", ".join(slots) or "none"
            raise InputsInvalid(
                f"files.{ascii(name[:80])[1:-1]}", f"is no input file of this module (it takes: {taken})"
            )
        if size > slots[name].max_bytes:
            raise InputsInvalid(f"files.{name}", f"has {size} bytes, {slots[name].max_bytes} are allowed")
    for slot in manifest.files:
        if slot.required and slot.name not in files:
            raise InputsInvalid(f"files.{slot.name}", "is required")


def make_inputs(manifest: Manifest, module: str, values: Mapping[str, Any], files: Mapping[str, str]) -> Inputs:
    """The checked inputs of one job. `module`: version id as 0x and 64 hex digits; `files`: name to CID.

    Raises InputsInvalid. Sizes of files are checked by `check_files`, where the bytes are.
    """
    if not _VERSION_ID.fullmatch(module):
        raise InputsInvalid("module", "must be a version id: 0x and 64 lower-case hex digits")
    check_files(manifest, dict.fromkeys(files, 0))
    for name, cid in files.items():
        if not isinstance(cid, str) or not _CID.fullmatch(cid):
            raise InputsInvalid(f"files.{name}", "must be a CID (v1, base32)")
    checked = check_values(manifest, values)
    document = canonical({"module": module, "values": checked, "files": dict(files)})
    if len(document) > MAX_DOCUMENT_BYTES:
        raise InputsInvalid(
            "", f"the document has {len(document)} bytes, {MAX_DOCUMENT_BYTES} are allowed: use input files"
        )
    return Inputs(module, checked, dict(files), document)


def read_document(document: bytes, *, module: str | None = None) -> dict[str, Any]:
    """The object in an inputs document as far as it can be judged without a manifest: shape, canonical form, module.

    Raises InputsInvalid.
    """
    try:
        found = load(document, max_bytes=MAX_DOCUMENT_BYTES)
    except JsonRefused as failure:
        raise InputsInvalid(failure.path, failure.problem) from None
    shape = {"module": str, "values": dict, "files": dict}
    if (
        not isinstance(found, dict)
        or set(found) != set(shape)
        or any(type(found[k]) is not t for k, t in shape.items())
    ):
        raise InputsInvalid("", "must be an object of module, values and files")
    if _canonical(found) != document:
        raise InputsInvalid("", "is not canonical")
    if module is not None and found["module"] != module:
        raise InputsInvalid("module", f"is {found['module'][:80]}, but the deal is about {module}")
    return found


def parse_inputs(manifest: Manifest, document: bytes, *, module: str | None = None) -> Inputs:
    """The other side's check of a document: same rules, canonical, defaults filled in, for version id `module`.

    Raises InputsInvalid.
    """
    found = read_document(document)
    made = make_inputs(manifest, found["module"], found["values"], found["files"])
    if made.document != document:
        raise InputsInvalid("", "is not canonical, or lacks defaults")
    if module is not None and made.module != module:
        raise InputsInvalid("module", f"is {made.module}, but the deal is about {module}")
    return made


def _canonical(found: dict[str, Any]) -> bytes:
    try:
        return canonical(found)
    except JsonRefused as failure:
        raise InputsInvalid(failure.path, failure.problem) from None


def _holds_nul(value: Any) -> bool:
    """Depth is bounded: `check_value` has seen the value."""
    if isinstance(value, dict):
        return any(_holds_nul(item) for item in value.values())
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value
