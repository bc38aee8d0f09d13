"""Running a module on this machine, from its source folder or by name: the same engine, limits and digest as a provider's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.options import open_creator
from lilypad_agents.cli.output import Output
from lilypad_agents.cli.settings import Choice
from lilypad_agents.execution.display import printable
from lilypad_agents.protocol.ids import hex_of

if TYPE_CHECKING:
    from lilypad_agents.cli.jobspec import JobWords
    from lilypad_agents.execution.job import RunResult
    from lilypad_agents.execution.manifest import Manifest

NOBODY_TEXT = "0x" + "00" * 20  # publisher of what is not published


@dataclass(frozen=True)
class _Local:
    manifest: Manifest
    version: str  # 0x hex
    wasm: bytes
    artifacts: Mapping[str, bytes]


def run_local(out: Output, choice: Choice, words: JobWords, folder: Path | None) -> None:
    """Runs the module here; ends with the job's own outcome (exit code 23 when it ended non-zero)."""
    from lilypad_agents.agents.creator.outcome import JOB_FAILED
    from lilypad_agents.agents.creator.request import collect_files, parse_values
    from lilypad_agents.agents.creator.rerun import local_spec, run_here
    from lilypad_agents.execution.inputs import make_inputs

    found = _load(choice, words.module)
    values = parse_values(found.manifest, words.assignments, words.inputs)
    paths = collect_files(found.manifest, words.inputs_path, words.files)
    files = {name: path.read_bytes() for name, path in paths.items()}
    inputs = make_inputs(found.manifest, found.version, values, {name: _cid(data) for name, data in files.items()})
    spec = local_spec(found.manifest, found.wasm, inputs, files, found.artifacts)
    with tempfile.TemporaryDirectory(prefix="lilypad-local-") as work:
        result = run_here(Path(work), spec)
    data = _data(found, result)
    if folder is not None:
        _write(result, folder)
        data["results"] = str(folder)
    code = JOB_FAILED if result.exit_code else 0
    out.finish(data, lambda: _show(out, result, data), exit_code=code)


def _load(choice: Choice, reference: str) -> _Local:
    from lilypad_agents.agents.creator.references import LocalFolder, parse_reference
    from lilypad_agents.agents.creator.terms import terms_of
    from lilypad_agents.execution.pack import pack

    parsed = parse_reference(reference)
    if isinstance(parsed, LocalFolder):
        path = Path(parsed.path).expanduser()
        packed = pack(path.parent if path.is_file() else path, NOBODY_TEXT, content_cid=_cid)
        version = hex_of(terms_of(packed.manifest).id)
        return _Local(packed.manifest, version, packed.wasm, packed.artifacts)
    from lilypad_agents.agents.creator.runner import fetch_module

    with open_creator(choice) as creator:
        module = creator.session.modules.resolve(reference)
        content = fetch_module(creator.session, module.manifest)
        return _Local(module.manifest, hex_of(module.version_id), content.wasm, content.artifacts)


def _cid(data: bytes) -> str:
    from lilypad_agents.agents.provider.results import content_cid

    return content_cid(data)


def _data(found: _Local, result: RunResult) -> dict[str, Any]:
    """What a provider's result of the same inputs must agree with; units count where they are priced."""
    from lilypad_agents.content.importer import tree_cid
    from lilypad_agents.execution.metering import units
    from lilypad_agents.execution.result import folders, result_tree

    return {
        "module": f"{found.manifest.name}:{found.manifest.version}",
        "version": found.version,
        "exitCode": result.exit_code,
        "exitClass": str(result.exit_class),
        "dataId": str(tree_cid(folders(result_tree(result)))),
        "content": hex_of(_content(found.manifest, result)),
        "units": units(found.manifest, result),
        "fuel": result.fuel,
        "wallMs": result.wall_ms,
        "peakMemoryBytes": result.peak_memory,
        "results": None,
    }


def _content(manifest: Manifest, result: RunResult) -> bytes:
    from lilypad_agents.content.importer import tree_cid
    from lilypad_agents.execution.result import counted_parts, folders
    from lilypad_agents.protocol.digest import content_of
    from lilypad_agents.protocol.ids import keccak256

    parts = counted_parts(manifest, result, lambda files: tree_cid(folders(files)).digest)
    return content_of(
        None if parts.stdout is None else keccak256(parts.stdout),
        None if parts.stderr is None else keccak256(parts.stderr),
        parts.outputs_root,
    )


def _write(result: RunResult, folder: Path) -> None:
    from lilypad_agents.content.errors import TargetExists
    from lilypad_agents.execution.result import result_tree

    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise TargetExists("the folder for the result exists already", path=str(folder)) from None
    for name, data in result_tree(result).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _show(out: Output, result: RunResult, data: dict[str, Any]) -> None:
    out.print(printable(result.stdout), nl=not result.stdout.endswith(b"\n"))
    if result.stderr:
        out.note(printable(result.stderr).rstrip("\n"))
    if result.exit_code:
        out.note(click.style(f"The job itself ended with exit code {result.exit_code} ({result.exit_class}).", fg="yellow"))
    out.note(f"ran here in {result.wall_ms} ms, {result.fuel} fuel, {data['units']} units; data id {data['dataId']}")
    if data["results"]:
        out.note(f"results   {data['results']}")
