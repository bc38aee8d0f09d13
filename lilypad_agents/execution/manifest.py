"""Module manifest v2: what a published program is, parsed once into frozen values.

Rules: notes/modules-and-api.md section 3, published as `manifest.schema.json`. Every field is honoured or refused.
The manifest's digest is the sha256 of its canonical form (RFC 8785), stored as one raw block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lilypad_agents.execution.arguments import Template
from lilypad_agents.execution.errors import ManifestInvalid
from lilypad_agents.execution.job import MIB, Limits
from lilypad_agents.execution.strictjson import JsonRefused, canonical, load

SCHEMA_ID = "lilypad/module@2"
MAX_MANIFEST_BYTES = 256 * 1024
COUNTED_PARTS = ("exitCode", "stdout", "stderr", "outputs")
_SEEN_AFTER_S = 2
POLICIES = ("exact", "numeric", "cosine", "json-fields", "image-phash", "top-k", "metric")


@dataclass(frozen=True, slots=True)
class Licence:
    """SPDX expressions; `code` is required, NOASSERTION is a lint warning."""

    code: str
    weights: str | None
    outputs: str | None


@dataclass(frozen=True, slots=True)
class FileSlot:
    """An input file that a user may or must give, by flat name, up to `max_bytes`."""

    name: str
    required: bool
    max_bytes: int
    media_type: str | None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of the module itself, placed below /inputs; `cid` names its content, `size` is in bytes."""

    path: str
    cid: str
    size: int


@dataclass(frozen=True, slots=True)
class WasmSection:
    """`module` is the artefact's CID (in a source manifest: a path beside it), `args` and `env` are templates."""

    module: str
    entry: str
    args: tuple[Template, ...]
    env: tuple[tuple[str, Template], ...]


@dataclass(frozen=True, slots=True)
class ContainerSection:
    """An image by its id, never by a tag; `archive` is the docker-archive's CID."""

    image_id: str
    archive: str
    platform: str
    args: tuple[Template, ...]
    env: tuple[tuple[str, Template], ...]
    workdir: str | None


@dataclass(frozen=True, slots=True)
class OutputFile:
    path: str
    media_type: str | None
    schema: Mapping[str, Any] | None
    required: bool


@dataclass(frozen=True, slots=True)
class Outputs:
    stdout_media_type: str | None
    files: tuple[OutputFile, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """How two results are compared; `counts` lists the parts of a result that the digest carries."""

    policy: str
    counts: tuple[str, ...]
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verification:
    """What the module asks of a pool: strategy (address or None for any), basis points, smallest units of the token."""

    strategy: str | None
    min_audit_bps: int
    min_seat_fee: int


@dataclass(frozen=True, slots=True)
class Resources:
    """Minimums that a provider must have; units in the names, `flags` name ISA or engine classes."""

    cpu_milli: int
    ram_mib: int
    disk_mib: int
    gpu_count: int
    vram_mib: int
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModuleLimits:
    """Declared bounds of a run; passing one is a failed run with an exit class."""

    fuel: int
    wall_seconds: int
    stdout_bytes: int
    stderr_bytes: int
    output_bytes: int
    output_files: int
    processes: int

    @property
    def least_window(self) -> int:
        """Seconds of the shortest submit window in which providers take a run that may use up its wall limit.

        By default they act within four fifths of a window, and some seconds pass before they see the deal. A deal with less
        is declined, at the provider's cost.
        """
        return -(-(self.wall_seconds + _SEEN_AFTER_S) * 5 // 4)


@dataclass(frozen=True, slots=True)
class Metering:
    """`kind` none or fuel; `per` of them make one billed unit; `schedule` names who defines the count."""

    kind: str
    per: int
    schedule: str | None


@dataclass(frozen=True, slots=True)
class SeedPolicy:
    """Where the program's randomness comes from: nowhere, the deal, or an integer input named `input`."""

    policy: str
    input: str | None


@dataclass(frozen=True, slots=True)
class Expectation:
    exit_code: int | None
    stdout: str | None
    root: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """A run with a known end; `files` maps input file names to paths beside a source manifest or to CIDs."""

    inputs: Mapping[str, Any]
    files: Mapping[str, str]
    expect: Expectation


@dataclass(frozen=True, slots=True)
class Manifest:
    """One module version. `document` is the JSON it came from; `publisher` is None only in a source manifest."""

    document: Mapping[str, Any]
    publisher: str | None
    name: str
    version: str
    title: str | None
    description: str | None
    licence: Licence
    inputs: Mapping[str, Any]
    files: tuple[FileSlot, ...]
    artifacts: tuple[Artifact, ...]
    engine: str
    wasm: WasmSection | None
    container: ContainerSection | None
    bacalhau: Mapping[str, Any] | None
    outputs: Outputs
    compare: Compare
    verification: Verification
    deterministic: bool
    resources: Resources
    limits: ModuleLimits
    metering: Metering
    seed: SeedPolicy
    network: str
    royalty_bps: int
    royalty_to: str | None
    parent: str | None
    examples: tuple[Example, ...]
    is_source: bool = False
    _digest: bytes = field(default=b"", init=False, repr=False, compare=False)

    @property
    def canonical(self) -> bytes:
        """The bytes that are published, RFC 8785."""
        return canonical(dict(self.document))

    @property
    def digest(self) -> bytes:
        """sha256 of the canonical bytes, 32 bytes: the manifest digest of the module terms."""
        if not self._digest:  # asked for several times a job, a third of a millisecond each
            object.__setattr__(self, "_digest", hashlib.sha256(self.canonical).digest())
        return self._digest

    def run_limits(self) -> Limits:
        """The engine's limits of one run: declared limits, memory = resources.ramMib, /tmp = resources.diskMib."""
        return Limits(
            fuel=self.limits.fuel,
            wall_seconds=self.limits.wall_seconds,
            memory_bytes=self.resources.ram_mib * MIB,
            scratch_bytes=self.resources.disk_mib * MIB,
            stdout_bytes=self.limits.stdout_bytes,
            stderr_bytes=self.limits.stderr_bytes,
            output_bytes=self.limits.output_bytes,
            output_files=self.limits.output_files,
        )


def parse_manifest(raw: bytes | str | Mapping[str, Any], *, source: bool = False) -> Manifest:
    """A manifest from JSON text or a decoded object. Raises ManifestInvalid, which names the field.

    With `source` it is the file beside a module's source: `publisher` may be absent and `wasm.module` is a relative
    path; `pack` turns it into a published one.
    """
    from lilypad_agents.execution.manifest_reader import read_manifest

    try:
        if isinstance(raw, Mapping):
            raw = canonical(dict(raw))
        document = load(raw, max_bytes=MAX_MANIFEST_BYTES)
        canonical(document)
    except JsonRefused as failure:
        raise ManifestInvalid(failure.path, failure.problem) from None
    return replace(read_manifest(document, source=source), is_source=source)


def parse_published(raw: bytes, digest: bytes) -> Manifest:
    """A manifest fetched by its digest: the bytes must have it and be canonical. Raises ManifestInvalid."""
    if hashlib.sha256(raw).digest() != digest:
        raise ManifestInvalid("", "the bytes do not have the digest that was asked for")
    manifest = parse_manifest(raw)
    if manifest.canonical != raw:
        raise ManifestInvalid("", "is not in canonical form (RFC 8785)")
    return manifest
