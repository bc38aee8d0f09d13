"""`module pack`: a module as content-addressed files, for carrying it to where it can be pushed or pinned."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lilypad_agents.agents.author.errors import TargetTaken
from lilypad_agents.content.blocks import Store
from lilypad_agents.content.car import write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.importer import add_bytes, put_tree
from lilypad_agents.content.store import LocalStore
from lilypad_agents.execution.pack import MANIFEST_NAME, PackedModule

CAR_NAME, DIGESTS_NAME = "module.car", "digests.json"


@dataclass(frozen=True)
class Content:
    """One file that a published module needs. `size` in bytes."""

    what: str
    cid: Cid
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "cid": str(self.cid), "bytes": self.size, "sha256": hashlib.sha256(self.data).hexdigest()}


def contents_of(packed: PackedModule) -> list[Content]:
    """Manifest first, then the artefact and every other file, each once."""
    names = dict(_names(packed))
    others = [Content(names.get(cid, "file of an example"), Cid.parse(cid), data) for cid, data in packed.contents.items()]
    return [Content("manifest", Cid.raw(packed.digest), packed.manifest_bytes), *others]


def _names(packed: PackedModule) -> Iterator[tuple[str, str]]:
    assert packed.manifest.wasm is not None
    for example in packed.manifest.examples:
        for name, cid in example.files.items():
            yield cid, f"{name} of an example"
    for item in packed.manifest.artifacts:
        yield item.cid, item.path
    yield packed.manifest.wasm.module, "artefact"


def keep(packed: PackedModule, store: Store) -> list[Content]:
    """Puts everything into a store and returns it. The same bytes give the same CIDs."""
    found = contents_of(packed)
    for item in found:
        add_bytes(store, item.data)
    return found


def write_pack(packed: PackedModule, folder: Path) -> tuple[Cid, list[Content]]:
    """Writes the manifest, one CAR with everything, and the digests; returns the CAR's root and what is in it.

    The root is a folder: the manifest under its usual name, everything else below `content/` by its CID. The same module
    gives the same bytes. Raises TargetTaken.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TargetTaken(f"{folder} exists and is not empty.", path=str(folder))
    with tempfile.TemporaryDirectory(prefix="lilypad-pack-") as temporary:
        store = LocalStore(Path(temporary), durable=False)
        found = keep(packed, store)
        tree: dict[str, Any] = {MANIFEST_NAME: packed.manifest_bytes}
        tree["content"] = {str(item.cid): item.data for item in found[1:]}
        root = put_tree(store, tree)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / CAR_NAME).open("wb") as file:
            for chunk in write_car(store, root):
                file.write(chunk)
    (folder / MANIFEST_NAME).write_bytes(packed.manifest_bytes)
    digests = {"root": str(root), "contents": [item.to_json() for item in found]}
    (folder / DIGESTS_NAME).write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")
    return root, found
