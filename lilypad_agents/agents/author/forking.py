"""`module fork`: a published version as a source folder of one's own, with its parent named."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lilypad_agents.agents.author.errors import TargetTaken
from lilypad_agents.errors import UsageError
from lilypad_agents.execution.manifest import Manifest, parse_manifest
from lilypad_agents.execution.manifest_reader import NAME_FORM
from lilypad_agents.execution.pack import MANIFEST_NAME

FIRST_VERSION = "v0.1.0"
_PROGRAM = "main.wasm"
# What belongs to the one who published, or is filled in when the fork is.
_NOT_INHERITED = ("publisher", "royaltyTo", "importedFrom", "verification")


def write_fork(
    folder: Path,
    parent: Manifest,
    parent_id: str,
    wasm: bytes,
    artifacts: Mapping[str, bytes],
    files: Mapping[str, bytes],
    *,
    name: str | None = None,
) -> list[Path]:
    """Writes the fork's folder; returns its files. `files` maps the CIDs of example files to bytes.

    Raises UsageError for a name outside the grammar, TargetTaken when the folder holds something.
    """
    if name is not None and re.fullmatch(NAME_FORM, name) is None:
        raise UsageError(f"{name[:80]!r} is no module name: 1 to 63 of a-z, 0-9 and, not first, a hyphen.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TargetTaken(f"{folder} exists and is not empty.", path=str(folder))
    document: dict[str, Any] = copy.deepcopy(dict(parent.document))
    for key in _NOT_INHERITED:
        document.pop(key, None)
    if MANIFEST_NAME in artifacts:
        raise UsageError(f"The module has a file named {MANIFEST_NAME} of its own; it cannot be a source folder.")
    program, examples = _free_path(_PROGRAM, artifacts), _free_path("examples", artifacts)
    document |= {"name": name or parent.name, "version": FIRST_VERSION, "parent": parent_id, "royaltyBps": 0}
    document["wasm"] = {**document["wasm"], "module": program}
    written: dict[str, bytes] = {program: wasm, **artifacts}
    for index, example in enumerate(document["examples"]):
        for slot, cid in example.get("files", {}).items():
            path = f"{examples}/{index}/{slot}"
            written[path], example["files"][slot] = files[cid], path
    parse_manifest(document, source=True)
    written[MANIFEST_NAME] = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    for path, data in written.items():
        target = folder.joinpath(*path.split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return [folder.joinpath(*path.split("/")) for path in sorted(written)]


def _free_path(path: str, taken: Mapping[str, bytes]) -> str:
    """`path`, or with underscores before it until no file of the module is that, or lies below it."""
    is_taken = any(other == path or other.startswith(path + "/") for other in taken)
    return _free_path(f"_{path}", taken) if is_taken else path
