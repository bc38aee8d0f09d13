"""The files that pass between agent and worker: one JSON header, then the bytes of the parts in order.

Both sides treat a file as hostile: the reader checks magic, sizes, names and the total before it slices.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from lilypad_agents.errors import LilypadError
from lilypad_agents.execution.errors import ResultRefused
from lilypad_agents.execution.job import ExitClass, JobSpec, Limits, RunResult, exit_class_of
from lilypad_agents.execution.names import check_path

_MAGIC = b"LPJ1"
_PREFIX = struct.Struct("<4sI")
MAX_HEADER_BYTES = 64 * 1024 * 1024  # names of at most 10,000 outputs of at most 4 KiB each, and their sizes
_INTEGERS = ("exit_code", "fuel", "peak_memory", "wall_ms", "cpu_ms")
_TEXTS = ("exit_class", "engine", "schedule", "detail")


def pack(header: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """One file: magic, header length, header with the list of parts, the parts."""
    full = {**header, "parts": [[name, len(data)] for name, data in parts.items()]}
    encoded = json.dumps(full, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return b"".join((_PREFIX.pack(_MAGIC, len(encoded)), encoded, *parts.values()))


def unpack(raw: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Header and parts of a file made by `pack`; raises ResultRefused for anything else."""
    if len(raw) < _PREFIX.size:
        raise ResultRefused("the worker's file is cut short", bytes=len(raw))
    magic, length = _PREFIX.unpack_from(raw)
    if magic != _MAGIC or length > MAX_HEADER_BYTES or _PREFIX.size + length > len(raw):
        raise ResultRefused("the worker's file has no valid head")
    try:
        header = json.loads(raw[_PREFIX.size : _PREFIX.size + length])
        listed = [(str(name), int(size)) for name, size in header.pop("parts")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ResultRefused("the worker's file has no valid header") from None
    place, parts = _PREFIX.size + length, {}
    for name, size in listed:
        if size < 0 or place + size > len(raw) or name in parts:
            raise ResultRefused("the worker's file lists parts that it does not hold")
        parts[name] = raw[place : place + size]
        place += size
    if place != len(raw):
        raise ResultRefused("the worker's file holds more than it lists")
    return header, parts


def pack_spec(spec: JobSpec) -> bytes:
    """A job for a worker."""
    limits = {name: getattr(spec.limits, name) for name in Limits.__slots__}
    header = {"entry": spec.entry, "args": spec.args, "env": spec.env, "seed": spec.seed.hex(), "limits": limits}
    files = {f"inputs/{path}": data for path, data in spec.files.items()}
    return pack(header, {"wasm": spec.wasm, **files})


def unpack_spec(raw: bytes) -> JobSpec:
    """The job in a file that this agent's own process wrote."""
    header, parts = unpack(raw)
    return JobSpec(
        wasm=parts.pop("wasm"),
        entry=header["entry"],
        args=tuple(header["args"]),
        env=tuple((key, value) for key, value in header["env"]),
        files={name.removeprefix("inputs/"): data for name, data in parts.items()},
        seed=bytes.fromhex(header["seed"]),
        limits=Limits(**header["limits"]),
    )


def pack_result(result: RunResult) -> bytes:
    """A finished run, for the agent."""
    header = {name: getattr(result, name) for name in _INTEGERS + _TEXTS}
    outputs = {f"outputs/{path}": data for path, data in result.outputs.items()}
    return pack(header, {"stdout": result.stdout, "stderr": result.stderr, **outputs})


def unpack_result(raw: bytes, limits: Limits) -> RunResult:
    """A run as its worker reported it, checked against the job's limits. Raises ResultRefused for every oddity."""
    header, parts = unpack(raw)
    try:
        numbers = {name: _whole(header[name]) for name in _INTEGERS}
        texts = {name: _short(header[name]) for name in _TEXTS}
        exit_class = ExitClass(texts.pop("exit_class"))
        stdout, stderr = parts.pop("stdout"), parts.pop("stderr")
        if exit_class_of(numbers["exit_code"]) is not exit_class:
            raise ValueError("exit code and class do not belong together")
    except (KeyError, ValueError, TypeError) as failure:
        raise ResultRefused(f"the worker's report is malformed: {failure}") from None
    outputs = {}
    for name, data in parts.items():
        if not name.startswith("outputs/"):
            raise ResultRefused("the worker's report holds a part that is no output")
        path = name.removeprefix("outputs/")
        try:
            outputs[check_path(path)] = data
        except LilypadError as failure:
            raise ResultRefused(f"the worker's report names a bad output: {failure.message}") from None
    _check_sizes(stdout, stderr, outputs, numbers["fuel"], limits)
    return RunResult(exit_class=exit_class, stdout=stdout, stderr=stderr, outputs=outputs, **numbers, **texts)


def _check_sizes(stdout: bytes, stderr: bytes, outputs: Mapping[str, bytes], fuel: int, limits: Limits) -> None:
    found = (len(stdout), len(stderr), sum(map(len, outputs.values())), len(outputs), fuel)
    allowed = (limits.stdout_bytes, limits.stderr_bytes, limits.output_bytes, limits.output_files, limits.fuel)
    if any(value > bound for value, bound in zip(found, allowed, strict=True)):
        raise ResultRefused("the worker's report is over the job's limits", found=found, allowed=allowed)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError("not a whole number in range")
    return value


def _short(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 100 or not value.isprintable() or not value.isascii():
        raise ValueError("not a short plain text")
    return value
