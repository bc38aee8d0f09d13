"""Modules that the end-to-end tests publish beside the shipped ones: one that fails, one that writes to the terminal, one slow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import wasmtime

# Writes `bytes` to the descriptor and then ends with `code`; wat with one data segment at 64.
_WRITE_AND_EXIT = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "{data}")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const {length}))
    (drop (call $write (i32.const {descriptor}) (i32.const 0) (i32.const 1) (i32.const 16)))
    (call $exit (i32.const {code}))))
"""
_SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'
ESCAPES = b"\x1b]0;owned\x07\x1b[2Jplain\xe2\x80\xae text\n"


def write_test_modules(folder: Path, shipped: Path) -> None:
    """The shipped modules and those of the tests, as source folders."""
    shutil.copytree(shipped, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    _write(folder / "failing", "failing", _program(b"this is why\n", 2, 3))
    _write(folder / "escapes", "escapes", _program(ESCAPES, 1, 0))
    _write(folder / "endless", "endless", wasmtime.wat2wasm(_SPIN), fuel=50_000_000)


def _program(data: bytes, descriptor: int, code: int) -> bytes:
    text = "".join(f"\\{byte:02x}" for byte in data)
    values = {"data": text, "length": len(data), "descriptor": descriptor, "code": code}
    return bytes(wasmtime.wat2wasm(_WRITE_AND_EXIT.format(**values)))


def _write(folder: Path, name: str, wasm: bytes, fuel: int = 50_000_000) -> None:
    folder.mkdir()
    (folder / f"{name}.wasm").write_bytes(wasm)
    manifest: dict[str, Any] = {
        "schema": "lilypad/module@2",
        "name": name,
        "version": "v0.0.1",
        "licence": {"code": "Apache-2.0"},
        "inputs": {"type": "object", "additionalProperties": False, "properties": {}},
        "engine": "wasm",
        "wasm": {"module": f"{name}.wasm", "args": [name]},
        "outputs": {},
        "compare": {"policy": "exact"},
        "seed": {"policy": "none"},
        "network": "none",
        "resources": {"cpuMilli": 100, "ramMib": 64, "diskMib": 1, "gpuCount": 0, "vramMib": 0},
        "limits": {"fuel": fuel, "wallSeconds": 10, "stdoutBytes": 65536, "stderrBytes": 65536, "outputBytes": 0, "outputFiles": 0, "processes": 1},
        "examples": [{"inputs": {}, "expect": {"exitCode": 0}}],
    }  # fmt: skip
    (folder / "lilypad_module.json").write_text(json.dumps(manifest))
