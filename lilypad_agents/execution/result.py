"""A run as the directory that travels, and the parts of it that its digest counts (protocol 5.2).

Layout: `exitCode` (ASCII integer), `stdout`, `stderr`, `outputs/...`; regular files only, empty folders do not exist.
UnixFS and the digest itself are elsewhere (`content`, `protocol.digest`); this module gives names to bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.execution.errors import NameRefused, ResultRefused
from lilypad_agents.execution.job import ExitClass, Limits, RunResult, exit_class_of
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.execution.names import check_path
from lilypad_agents.execution.schema import ValueRefused, check_value
from lilypad_agents.execution.strictjson import JsonRefused, load

FolderRoot = Callable[[Mapping[str, bytes]], bytes]
MAX_CHECKED_OUTPUT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """A result directory, checked. `outputs` maps paths below outputs/ to bytes."""

    exit_code: int
    exit_class: ExitClass
    stdout: bytes
    stderr: bytes
    outputs: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class CountedParts:
    """What goes into the digest: None for a part that the module does not count or that is absent.

    `outputs_root` is the sha2-256 of the dag-pb root of outputs/ (32 bytes), None without outputs.
    """

    exit_code: int | None
    stdout: bytes | None
    stderr: bytes | None
    outputs_root: bytes | None


def result_tree(result: RunResult) -> dict[str, bytes]:
    """The result directory as path -> bytes; stored as UnixFS (see `folders`) its root is the data id."""
    tree = {"exitCode": str(result.exit_code).encode("ascii"), "stdout": result.stdout, "stderr": result.stderr}
    return tree | {f"outputs/{path}": data for path, data in result.outputs.items()}


def folders(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Paths with slashes as nested folders, the form that UnixFS functions take: {"a/b": x} becomes {"a": {"b": x}}.

    Raises ResultRefused when one path is both a file and a folder.
    """
    tree: dict[str, Any] = {}
    for path, data in files.items():
        *parents, name = path.split("/")
        folder = tree
        for parent in parents:
            folder = folder.setdefault(parent, {})
            if not isinstance(folder, dict):
                raise ResultRefused(f"{ascii(path)[:100]} lies below a file")
        if name in folder:
            raise ResultRefused(f"{ascii(path)[:100]} is a file and a folder")
        folder[name] = data
    return tree


def parse_result_tree(tree: Mapping[str, bytes], limits: Limits) -> ResultFiles:
    """A downloaded result directory, checked against the module's limits. Raises ResultRefused with the reason."""
    parts = dict(tree)
    try:
        exit_code = _exit_code(parts.pop("exitCode"))
        stdout, stderr = parts.pop("stdout"), parts.pop("stderr")
    except KeyError as missing:
        raise ResultRefused(f"the result lacks {missing.args[0]}") from None
    outputs = {}
    for path, data in parts.items():
        if not path.startswith("outputs/"):
            raise ResultRefused(f"the result holds {ascii(path[:80])}, which no result has")
        try:
            outputs[check_path(path.removeprefix("outputs/"), field="outputs")] = data
        except NameRefused as failure:
            raise ResultRefused(failure.message) from None
    sizes = {
        "stdout": (len(stdout), limits.stdout_bytes),
        "stderr": (len(stderr), limits.stderr_bytes),
        "outputs": (sum(map(len, outputs.values())), limits.output_bytes),
        "outputs (files)": (len(outputs), limits.output_files),
    }
    for name, (found, allowed) in sizes.items():
        if found > allowed:
            raise ResultRefused(f"{name}: {found}, but the module allows {allowed}", found=found, allowed=allowed)
    return ResultFiles(exit_code, exit_class_of(exit_code), stdout, stderr, outputs)


def counted_parts(manifest: Manifest, files: ResultFiles | RunResult, folder_root: FolderRoot) -> CountedParts:
    """The parts that the module's `compare.counts` counts. `folder_root` gives the digest of the dag-pb root of
    a folder from its files by path."""
    counts = manifest.compare.counts
    return CountedParts(
        exit_code=files.exit_code if "exitCode" in counts else None,
        stdout=files.stdout if "stdout" in counts else None,
        stderr=files.stderr if "stderr" in counts else None,
        outputs_root=folder_root(files.outputs) if "outputs" in counts and files.outputs else None,
    )


def declared_output_problems(manifest: Manifest, files: ResultFiles | RunResult) -> list[str]:
    """How an ended run differs from the outputs that the manifest declares; for `module test` and `certify`.

    A run that did not end with exit code 0 owes nothing.
    """
    if files.exit_code != 0:
        return []
    problems = []
    declared = {output.path: output for output in manifest.outputs.files}
    for path, output in declared.items():
        if path not in files.outputs:
            problems += [f"outputs/{path} is missing"] if output.required else []
        elif output.schema is not None:
            try:
                check_value(
                    load(files.outputs[path], max_bytes=MAX_CHECKED_OUTPUT_BYTES), output.schema, f"outputs/{path}"
                )
            except (JsonRefused, ValueRefused) as failure:
                problems.append(f"outputs/{path}: {failure}")
    problems += [f"outputs/{path} is not declared" for path in files.outputs if path not in declared]
    return problems


def _exit_code(raw: bytes) -> int:
    text = raw.decode("ascii", "replace")
    if not (0 < len(text) <= 3 and text.isdigit() and text.isascii() and str(int(text)) == text):
        raise ResultRefused("exitCode is no plain number")
    try:
        exit_class_of(int(text))
    except ValueError:
        raise ResultRefused(f"no run ends with the exit code {text}") from None
    return int(text)
