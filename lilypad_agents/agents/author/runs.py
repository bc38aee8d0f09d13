"""Runs of a module on this machine: the digest that a provider must get too, and whether its examples end as they say."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilypad_agents.agents.creator.errors import VerificationFailed
from lilypad_agents.agents.creator.rerun import local_spec
from lilypad_agents.agents.creator.terms import terms_of
from lilypad_agents.agents.provider.results import content_cid
from lilypad_agents.content.importer import tree_cid
from lilypad_agents.execution.inputs import make_inputs
from lilypad_agents.execution.job import JobSpec, RunResult
from lilypad_agents.execution.manifest import Example, Expectation, Manifest
from lilypad_agents.execution.metering import units
from lilypad_agents.execution.pack import PackedModule, load_source, pack
from lilypad_agents.execution.result import counted_parts, declared_output_problems, folders, result_tree
from lilypad_agents.execution.worker import WorkerPool
from lilypad_agents.protocol.digest import content_of
from lilypad_agents.protocol.ids import NOBODY, hex_of, keccak256

_GRACE_S = 30.0
_SHOWN = 120


@dataclass(frozen=True)
class LocalModule:
    """A module with all its bytes. `version`: its version id as 0x-hex; of a source folder the one it would have."""

    manifest: Manifest
    version: str
    wasm: bytes
    artifacts: Mapping[str, bytes]


@dataclass(frozen=True)
class ExampleRun:
    """How one example of a manifest ended; `problems` is empty when it ended as the manifest says."""

    index: int
    result: RunResult
    data_id: str
    units: int
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "example": self.index,
            "passed": not self.problems,
            "problems": list(self.problems),
            "exitCode": self.result.exit_code,
            "exitClass": str(self.result.exit_class),
            "dataId": self.data_id,
            "units": self.units,
            "fuel": self.result.fuel,
            "wallMs": self.result.wall_ms,
        }


def pack_source(folder: Path, publisher: str = NOBODY, *, royalty_to: str | None = None) -> PackedModule:
    """A source folder packed; without a publisher it is nobody's, for runs on this machine. Raises as `pack`."""
    source = load_source(folder)
    account = source.publisher if publisher == NOBODY and source.publisher else publisher
    if royalty_to is None and source.royalty_bps and source.royalty_to is None:
        royalty_to = account
    return pack(folder, account, royalty_to=royalty_to, content_cid=content_cid)


def local_module(packed: PackedModule) -> LocalModule:
    """A packed module, ready to run."""
    return LocalModule(packed.manifest, hex_of(terms_of(packed.manifest).id), packed.wasm, packed.artifacts)


def example_spec(module: LocalModule, example: Example, contents: Mapping[str, bytes]) -> JobSpec:
    """The run of one example; `contents` maps the CIDs of its files to bytes. Raises as `prepare`."""
    inputs = make_inputs(module.manifest, module.version, example.inputs, example.files)
    files = {name: contents[cid] for name, cid in example.files.items()}
    return local_spec(module.manifest, module.wasm, inputs, files, module.artifacts)


def run_examples(packed: PackedModule) -> list[ExampleRun]:
    """Runs every example in a sandboxed process. Raises VerificationFailed when one gives no result at all."""
    module = local_module(packed)
    specs = [example_spec(module, example, packed.contents) for example in packed.manifest.examples]
    found = []
    for index, result in enumerate(run_all(specs)):
        problems = (*_differences(packed.manifest.examples[index].expect, result), *declared_output_problems(packed.manifest, result))
        found.append(ExampleRun(index, result, data_id_of(result), units(packed.manifest, result), problems))
    return found


def run_all(specs: Iterable[JobSpec]) -> Iterator[RunResult]:
    """Runs jobs one after the other in worker processes. Raises VerificationFailed when one gives no result."""
    with tempfile.TemporaryDirectory(prefix="lilypad-local-") as folder, WorkerPool(1, Path(folder)) as pool:
        for number, spec in enumerate(specs):
            label = f"run-{number}"
            outcome = pool.submit(label, spec).wait(spec.limits.wall_seconds + _GRACE_S)
            if outcome.result is None:
                raise VerificationFailed(f"The job gave no result on this machine: {outcome.failure} {outcome.message}.")
            pool.forget(label)
            yield outcome.result


def data_id_of(result: RunResult) -> str:
    """The CID of the result directory."""
    return str(tree_cid(folders(result_tree(result))))


def content_of_run(manifest: Manifest, result: RunResult) -> bytes:
    """The content word of a result's digest, 32 bytes (protocol 5.2)."""
    parts = counted_parts(manifest, result, lambda files: tree_cid(folders(files)).digest)
    return content_of(
        None if parts.stdout is None else keccak256(parts.stdout),
        None if parts.stderr is None else keccak256(parts.stderr),
        parts.outputs_root,
    )


def _differences(expect: Expectation, result: RunResult) -> Iterator[str]:
    if expect.exit_code is not None and result.exit_code != expect.exit_code:
        yield f"exit code {result.exit_code} ({result.exit_class}), expected {expect.exit_code}"
    if expect.stdout is not None and result.stdout != expect.stdout.encode():
        yield f"stdout {_short(result.stdout)}, expected {_short(expect.stdout.encode())}"
    if expect.root is not None and data_id_of(result) != expect.root:
        yield f"result {data_id_of(result)}, expected {expect.root}"


def _short(data: bytes) -> str:
    shown = ascii(data.decode("utf-8", "replace"))
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
