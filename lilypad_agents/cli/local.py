"""Running a module on this machine, from its source folder or by name: the same engine, limits and digest as a provider's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.options import open_creator
from lilypad_agents.cli.output import Output
from lilypad_agents.cli.settings import Choice
from lilypad_agents.errors import LilypadError
from lilypad_agents.execution.display import printable
from lilypad_agents.execution.pack import MANIFEST_NAME
from lilypad_agents.protocol.ids import hex_of

if TYPE_CHECKING:
    from lilypad_agents.agents.author.runs import LocalModule
    from lilypad_agents.cli.jobspec import JobWords
    from lilypad_agents.execution.job import RunResult


def run_local(out: Output, choice: Choice, words: JobWords, folder: Path | None) -> None:
    """Runs the module here; ends with the job's own outcome (exit code 23 when it ended non-zero)."""
    from lilypad_agents.agents.creator.outcome import JOB_FAILED
    from lilypad_agents.agents.creator.request import collect_files, parse_values
    from lilypad_agents.agents.creator.rerun import local_spec, run_here
    from lilypad_agents.execution.inputs import make_inputs

    found = load_module(choice, words.module)
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


def load_module(choice: Choice, reference: str) -> LocalModule:
    """A module by its folder or its name, with all its bytes. Raises as `pack`, or as the resolver does."""
    from lilypad_agents.agents.author.runs import LocalModule, local_module, pack_source
    from lilypad_agents.agents.creator.references import LocalFolder, parse_reference

    parsed = parse_reference(reference)
    if isinstance(parsed, LocalFolder):
        return local_module(pack_source(source_folder(parsed.path)))
    from lilypad_agents.agents.creator.runner import fetch_module

    try:
        with open_creator(choice) as creator:
            module = creator.session.modules.resolve(reference)
            content = fetch_module(creator.session, module.manifest)
            return LocalModule(module.manifest, hex_of(module.version_id), content.wasm, content.artifacts)
    except LilypadError as error:
        if (Path(reference) / MANIFEST_NAME).is_file():
            error.way_out = f"A name without ./ is one of a network. For the folder here say `./{reference}`."
        raise


def source_folder(path: str | Path) -> Path:
    """The folder of a module's source, which may be named by its manifest too."""
    found = Path(path).expanduser()
    return found.parent if found.is_file() else found


def _cid(data: bytes) -> str:
    from lilypad_agents.agents.provider.results import content_cid

    return content_cid(data)


def _data(found: LocalModule, result: RunResult) -> dict[str, Any]:
    """What a provider's result of the same inputs must agree with; units count where they are priced."""
    from lilypad_agents.agents.author.runs import content_of_run, data_id_of
    from lilypad_agents.execution.metering import units

    return {
        "module": f"{found.manifest.name}:{found.manifest.version}",
        "version": found.version,
        "exitCode": result.exit_code,
        "exitClass": str(result.exit_class),
        "dataId": data_id_of(result),
        "content": hex_of(content_of_run(found.manifest, result)),
        "units": units(found.manifest, result),
        "fuel": result.fuel,
        "wallMs": result.wall_ms,
        "peakMemoryBytes": result.peak_memory,
        "results": None,
    }


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
