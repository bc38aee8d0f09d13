"""From a manifest, an inputs document and the bytes that belong to them to a `JobSpec`: the last check before a run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping

from lilypad_agents.execution.arguments import Substitution, check_total
from lilypad_agents.execution.errors import ContentMismatch, InputsInvalid, ModuleBroken, ScheduleUnsupported
from lilypad_agents.execution.inputs import Inputs, check_files
from lilypad_agents.execution.job import JobSpec
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.execution.schedule import FUEL_SCHEDULE

ContentCid = Callable[[bytes], str]
RAW_BLOCK_BYTES = 1024 * 1024


def raw_block_cid(data: bytes) -> str:
    """CID of a file of at most 1 MiB, which is one raw block. Raises ContentMismatch for a larger one.

    Enough for small artefacts; pass a UnixFS function where larger files occur.
    """
    if len(data) > RAW_BLOCK_BYTES:
        raise ContentMismatch(f"a file of {len(data)} bytes has no raw-block CID", bytes=len(data))
    block = bytes((0x01, 0x55, 0x12, 0x20)) + hashlib.sha256(data).digest()
    return "b" + base64.b32encode(block).decode("ascii").lower().rstrip("=")


def prepare(
    manifest: Manifest,
    wasm: bytes,
    inputs: Inputs,
    *,
    files: Mapping[str, bytes] | None = None,
    artifacts: Mapping[str, bytes] | None = None,
    deal_seed: bytes = bytes(32),
    content_cid: ContentCid = raw_block_cid,
) -> JobSpec:
    """The fully resolved run of a wasm module.

    `files` maps the names in the inputs document to bytes, `artifacts` the manifest's paths to bytes; `deal_seed` is
    32 bytes derived from the deal. Raises ContentMismatch when bytes do not have the CID that was pinned (the job then
    never starts), InputsInvalid, ModuleBroken for an engine other than wasm, ScheduleUnsupported.
    """
    files, artifacts = files or {}, artifacts or {}
    metering = manifest.metering
    if metering.kind != "none" and metering.schedule != FUEL_SCHEDULE:
        raise ScheduleUnsupported(f"the module is billed by {metering.schedule}, this release counts {FUEL_SCHEDULE}")
    if manifest.wasm is None:
        raise ModuleBroken(f"the module needs the engine {manifest.engine}, which this version does not run")
    if not manifest.is_source:
        _check_content("the module's artefact", wasm, manifest.wasm.module, content_cid)
    given = _input_files(manifest, inputs, files, content_cid) | _artifact_files(manifest, artifacts, content_cid)
    seed, seed_text = _seed(manifest, inputs, deal_seed)
    substitution = Substitution(inputs.values, frozenset(given), seed_text)
    args = tuple(
        text
        for i, template in enumerate(manifest.wasm.args)
        if (text := substitution.render(template, f"args[{i}]")) is not None
    )
    env = tuple(
        (name, text)
        for name, template in manifest.wasm.env
        if (text := substitution.render(template, f"env.{name}")) is not None
    )
    check_total(args, env)
    return JobSpec(
        wasm=wasm,
        entry=manifest.wasm.entry,
        args=args,
        env=env,
        files={**given, "inputs.json": inputs.document},
        seed=seed,
        limits=manifest.run_limits(),
    )


def _input_files(
    manifest: Manifest, inputs: Inputs, files: Mapping[str, bytes], content_cid: ContentCid
) -> dict[str, bytes]:
    if set(files) != set(inputs.files):
        missing = sorted(set(inputs.files) ^ set(files))
        raise InputsInvalid(f"files.{missing[0]}", "is in the inputs document or among the bytes, but not in both")
    check_files(manifest, {name: len(data) for name, data in files.items()})
    for name, data in files.items():
        _check_content(f"the input file {name}", data, inputs.files[name], content_cid)
    return dict(files)


def _artifact_files(manifest: Manifest, artifacts: Mapping[str, bytes], content_cid: ContentCid) -> dict[str, bytes]:
    found = {}
    for artifact in manifest.artifacts:
        if artifact.path not in artifacts:
            raise ModuleBroken(f"the module's file {artifact.path} was not obtained")
        data = artifacts[artifact.path]
        if len(data) != artifact.size:
            raise ContentMismatch(f"the module's file {artifact.path} has {len(data)} bytes, not {artifact.size}")
        _check_content(f"the module's file {artifact.path}", data, artifact.cid, content_cid)
        found[artifact.path] = data
    return found


def _check_content(what: str, data: bytes, pinned: str, content_cid: ContentCid) -> None:
    found = content_cid(data)
    if found != pinned:
        raise ContentMismatch(f"{what} has the CID {found}, but {pinned} was pinned", found=found, pinned=pinned)


def _seed(manifest: Manifest, inputs: Inputs, deal_seed: bytes) -> tuple[bytes, str | None]:
    """(32 bytes for the engine, the number as text or None): the policy says which randomness there is."""
    if manifest.seed.policy == "input":
        number = inputs.values[manifest.seed.input]
        return hashlib.sha256(b"lilypad input seed" + str(number).encode("ascii")).digest(), str(number)
    if manifest.seed.policy == "deal":
        if len(deal_seed) != 32:
            raise InputsInvalid("seed", "the deal's seed has 32 bytes")
        return deal_seed, str(int.from_bytes(deal_seed[:8], "big") >> 1)
    return bytes(32), None
