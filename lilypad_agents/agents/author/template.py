"""`module new`: a module that runs at once, to be changed into one's own."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from lilypad_agents.agents.author.errors import TargetTaken
from lilypad_agents.errors import UsageError
from lilypad_agents.execution.manifest import SCHEMA_ID, parse_manifest
from lilypad_agents.execution.manifest_reader import NAME_FORM
from lilypad_agents.execution.pack import MANIFEST_NAME

PROGRAM = "main.wat"


def write_template(folder: Path, name: str, *, wasm: bytes | None = None) -> list[Path]:
    """Writes a source folder for module `name`; returns the files. `wasm`: the author's own compiled program.

    Raises UsageError for a name outside the grammar, TargetTaken when the folder holds something.
    """
    if re.fullmatch(NAME_FORM, name) is None:
        raise UsageError(f"{name[:80]!r} is no module name: 1 to 63 of a-z, 0-9 and, not first, a hyphen.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TargetTaken(f"{folder} exists and is not empty.", path=str(folder))
    program = "main.wasm" if wasm is not None else PROGRAM
    document = _manifest(name, program, greets=wasm is None)
    parse_manifest(document, source=True)
    if wasm is None:
        wasm = (resources.files("lilypad_agents.agents.author") / "skeleton" / PROGRAM).read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    files = {MANIFEST_NAME: (json.dumps(document, indent=2) + "\n").encode(), program: wasm}
    for path, data in files.items():
        (folder / path).write_bytes(data)
    return [folder / path for path in files]


def _manifest(name: str, program: str, *, greets: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    if greets:
        properties["Name"] = {"type": "string", "maxLength": 200, "default": "world", "description": "Who is greeted."}
    return {
        "schema": SCHEMA_ID,
        "name": name,
        "version": "v0.1.0",
        "title": name,
        "description": "Greets whoever it is told to." if greets else "What the module does, in a sentence.",
        "licence": {"code": "Apache-2.0"},
        "inputs": {"type": "object", "additionalProperties": False, "properties": properties},
        "engine": "wasm",
        "wasm": {"module": program, "args": [name, *({"input": key} for key in properties)]},
        "outputs": {"stdout": {"mediaType": "text/plain; charset=utf-8"}},
        "compare": {"policy": "exact"},
        "seed": {"policy": "none"},
        "network": "none",
        "resources": {"cpuMilli": 100, "ramMib": 64, "diskMib": 1, "gpuCount": 0, "vramMib": 0},
        "limits": {
            "fuel": 50_000_000,
            "wallSeconds": 10,
            "stdoutBytes": 65_536,
            "stderrBytes": 65_536,
            "outputBytes": 0,
            "outputFiles": 0,
            "processes": 1,
        },
        "royaltyBps": 0,
        "examples": [
            {"inputs": {"Name": "world"}, "expect": {"exitCode": 0, "stdout": "Hello, world!\n"}}
            if greets
            else {"inputs": {}, "expect": {"exitCode": 0}}
        ],
    }
