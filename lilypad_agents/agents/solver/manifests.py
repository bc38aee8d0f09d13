"""Manifests of the modules that are ordered here, as far as somebody left them with this solver."""

from __future__ import annotations

import threading
from collections import OrderedDict

from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import BlockMissing
from lilypad_agents.content.store import LocalStore
from lilypad_agents.execution.errors import ManifestInvalid
from lilypad_agents.execution.manifest import MAX_MANIFEST_BYTES, Manifest, parse_published
from lilypad_agents.protocol.terms import ModuleTerms

_MOST_KEPT = 256


class Manifests:
    """Reads manifests from a block store; those used lately stay parsed. Thread safe."""

    def __init__(self, blocks: LocalStore) -> None:
        self._blocks = blocks
        self._parsed: OrderedDict[bytes, Manifest] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, terms: ModuleTerms) -> Manifest | None:
        """The manifest that the terms name; None when it is not here or is none."""
        with self._lock:
            if terms.manifest in self._parsed:
                self._parsed.move_to_end(terms.manifest)
                return self._parsed[terms.manifest]
        manifest = self._read(terms.manifest)
        if manifest is not None:
            with self._lock:
                self._parsed[terms.manifest] = manifest
                if len(self._parsed) > _MOST_KEPT:
                    self._parsed.popitem(last=False)
        return manifest

    def _read(self, digest: bytes) -> Manifest | None:
        cid = Cid.raw(digest)
        try:
            if self._blocks.size(cid) > MAX_MANIFEST_BYTES:
                return None
            return parse_published(self._blocks.get(cid), digest)
        except (BlockMissing, ManifestInvalid):
            return None
