"""Builders for execution tests: wasm from text, job specs, manifests as dictionaries."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import wasmtime

from lilypad_agents.execution.job import MIB, JobSpec, Limits, RunResult
from lilypad_agents.execution.prepare import raw_block_cid
from lilypad_agents.execution.wasi.abi import MODULE, SIGNATURES

FIXTURES = Path(__file__).parent / "fixtures"
REPOSITORY = Path(__file__).resolve().parents[3]
LIMITS = Limits(
    fuel=50_000_000,
    wall_seconds=10,
    memory_bytes=64 * MIB,
    scratch_bytes=MIB,
    stdout_bytes=65_536,
    stderr_bytes=65_536,
    output_bytes=100_000,
    output_files=10,
)
VERSION_ID = "0x" + "ab" * 32


def limits(**changes: int) -> Limits:
    return replace(LIMITS, **changes)


def wat(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def imports(*names: str) -> str:
    """Import lines of WASI functions, each as $name."""
    kinds = {"i": "i32", "I": "i64", "S": "i64"}
    lines = []
    for name in names:
        parameters = "".join(f" {kinds[letter]}" for letter in SIGNATURES[name])
        result = "" if name == "proc_exit" else " (result i32)"
        lines.append(f'(import "{MODULE}" "{name}" (func ${name} (param{parameters}){result}))')
    return "\n".join(lines)


def program(body: str, *names: str, memory: str = "1", more: str = "") -> bytes:
    """A module whose `_start` is `body`, with an i32 local $n; the WASI functions `names` are imported."""
    return wat(
        f'(module {imports(*names)} (memory (export "memory") {memory}) {more}'
        f' (func (export "_start") (local $n i32) {body}))'
    )


def write_all(length: int, at: int = 0, descriptor: int = 1) -> str:
    """Statements that write `length` bytes from `at`; uses memory from 60000 on, drops the errno."""
    return (
        f"(i32.store (i32.const 60000) (i32.const {at})) (i32.store (i32.const 60004) (i32.const {length}))"
        f"(drop (call $fd_write (i32.const {descriptor}) (i32.const 60000) (i32.const 1) (i32.const 60008)))"
    )


def job(wasm: bytes, **changes: Any) -> JobSpec:
    values = {
        "wasm": wasm,
        "entry": "_start",
        "args": ("test",),
        "env": (),
        "files": {},
        "seed": bytes(32),
        "limits": LIMITS,
    }
    return JobSpec(**(values | changes))


def fingerprint(result: RunResult) -> str:
    """Hash over all that must be equal on every machine."""
    parts = (
        result.exit_code,
        result.exit_class,
        result.stdout,
        result.stderr,
        sorted(result.outputs.items()),
        result.fuel,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


EMPTY_PROGRAM = wat('(module (memory (export "memory") 1) (func (export "_start")))')

MANIFEST: dict[str, Any] = {
    "schema": "lilypad/module@2",
    "publisher": "0x" + "11" * 20,
    "name": "cowsay",
    "version": "v0.0.1",
    "licence": {"code": "Apache-2.0"},
    "engine": "wasm",
    "wasm": {"module": raw_block_cid(EMPTY_PROGRAM), "args": ["cowsay", {"input": "Message"}]},
    "network": "none",
    "seed": {"policy": "none"},
    "inputs": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"Message": {"type": "string", "maxLength": 4096, "default": "moo"}},
    },
    "outputs": {"stdout": {"mediaType": "text/plain"}},
    "compare": {"policy": "exact"},
    "resources": {"cpuMilli": 100, "ramMib": 64, "diskMib": 1, "gpuCount": 0, "vramMib": 0},
    "limits": {
        "fuel": 50_000_000,
        "wallSeconds": 10,
        "stdoutBytes": 65_536,
        "stderrBytes": 65_536,
        "outputBytes": 100_000,
        "outputFiles": 10,
        "processes": 1,
    },
    "examples": [{"inputs": {"Message": "moo"}, "expect": {"exitCode": 0}}],
}


def document(path: str = "", value: Any = None, *, remove: bool = False) -> dict[str, Any]:
    """The manifest above with one place changed: `path` is dotted, numbers are list places."""
    changed = copy.deepcopy(MANIFEST)
    if path:
        target: Any = changed
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in parents:
            target = target.setdefault(part, {}) if isinstance(target, dict) else target[part]
        if remove:
            del target[last]
        else:
            target[last] = value
    return changed
