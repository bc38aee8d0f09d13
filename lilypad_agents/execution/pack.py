"""From a module's folder to what is published: artefact, canonical manifest, digest. Same folder, same bytes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilypad_agents.execution.errors import ContentMismatch, ManifestInvalid, ResultRefused
from lilypad_agents.execution.manifest import Manifest, parse_manifest
from lilypad_agents.execution.plainfile import read_plain
from lilypad_agents.execution.prepare import ContentCid, raw_block_cid

MANIFEST_NAME = "lilypad_module.json"
MAX_FILE_BYTES = 1 << 32


@dataclass(frozen=True, slots=True)
class PackedModule:
    """What a publisher stores and signs. `contents` maps CIDs to files: artefact, artifacts, files of examples.

    `digest` (32 bytes) is the manifest digest of the module terms; `manifest_bytes` is stored as one raw block.
    """

    manifest: Manifest
    manifest_bytes: bytes
    digest: bytes
    wasm: bytes
    artifacts: Mapping[str, bytes]
    contents: Mapping[str, bytes]


def load_source(folder: Path) -> Manifest:
    """The source manifest in a module's folder. Raises ManifestInvalid, also when there is none."""
    return parse_manifest(_read(folder, MANIFEST_NAME, "manifest"), source=True)


def pack(
    folder: Path,
    publisher: str,
    version: str | None = None,
    *,
    royalty_to: str | None = None,
    content_cid: ContentCid = raw_block_cid,
) -> PackedModule:
    """Fills in publisher, version, artefact CID and the CIDs of example files. `publisher`: account, 0x and 40 hex.

    `royalty_to`: who gets the royalty where the source does not say. A `wasm.module` that ends with `.wat` is text, and
    is assembled. `content_cid` gives a file's CID; the default knows files up to 1 MiB.
    Raises ManifestInvalid, ContentMismatch.
    """
    folder = Path(folder)
    source = load_source(folder)
    if source.wasm is None:
        raise ManifestInvalid("engine", f"is {source.engine}; this version packs wasm modules")
    if source.publisher is not None and source.publisher.lower() != publisher.lower():
        raise ManifestInvalid("publisher", f"is {source.publisher} in the source, but {publisher} publishes")
    contents: dict[str, bytes] = {}

    def keep(data: bytes) -> str:
        cid = content_cid(data)
        contents[cid] = data
        return cid

    wasm = read_artefact(folder, source.wasm.module)
    document = _filled(source, publisher, version, royalty_to)
    document["wasm"]["module"] = keep(wasm)
    for index, example in enumerate(document["examples"]):
        if "files" in example:
            field = f"examples[{index}].files"
            example["files"] = {n: keep(_read(folder, path, f"{field}.{n}")) for n, path in example["files"].items()}
    artifacts = {item.path: _artifact(folder, item.path, item.cid, contents, content_cid) for item in source.artifacts}
    manifest = parse_manifest(document)
    return PackedModule(manifest, manifest.canonical, manifest.digest, wasm, artifacts, contents)


def _filled(source: Manifest, publisher: str, version: str | None, royalty_to: str | None) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(dict(source.document))
    document["publisher"] = publisher
    if version is not None:
        document["version"] = version
    if royalty_to is not None and source.royalty_to is None:
        document["royaltyTo"] = royalty_to
    return document


def read_artefact(folder: Path, path: str) -> bytes:
    """The wasm of a source folder, assembled when it is text. Raises ManifestInvalid."""
    data = _read(Path(folder), path, "wasm.module")
    if not path.endswith(".wat"):
        return data
    import wasmtime

    try:
        return bytes(wasmtime.wat2wasm(data))
    except (wasmtime.WasmtimeError, UnicodeDecodeError) as failure:
        problem = " ".join(str(failure).split())[:300]
        raise ManifestInvalid("wasm.module", f"{ascii(path)[1:-1][:100]} does not assemble: {problem}") from None


def example_files(folder: Path, manifest: Manifest, index: int) -> dict[str, bytes]:
    """The input files of one example of a source manifest, by name. Raises ManifestInvalid."""
    files = manifest.examples[index].files
    return {name: _read(Path(folder), path, f"examples[{index}].files.{name}") for name, path in files.items()}


def _artifact(folder: Path, path: str, cid: str, contents: dict[str, bytes], content_cid: ContentCid) -> bytes:
    data = _read(folder, path, "artifacts")
    found = content_cid(data)
    if found != cid:
        raise ContentMismatch(f"{path} has the CID {found}, the manifest says {cid}", found=found, pinned=cid)
    contents[cid] = data
    return data


def _read(folder: Path, path: str, field: str) -> bytes:
    parts = path.split("/")
    if path.startswith("/") or ".." in parts:
        raise ManifestInvalid(field, f"{ascii(path)[:100]} leads out of the module's folder")
    try:
        return read_plain(folder.joinpath(*parts), MAX_FILE_BYTES)
    except (OSError, ResultRefused, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else str(failure)
        raise ManifestInvalid(field, f"{ascii(path)[1:-1][:100]} cannot be read: {reason}") from None
