"""Brings what a job needs into the local store: manifest, artefacts, inputs document, input files; checks all of it.

Sources are not trusted: every block is verified, the manifest has the digest of the terms, the inputs that of the deal.
What is wrong with the content itself is a Refusal; what may come later is a ContentUnavailable.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lilypad_agents.agents.provider.capacity import Machine
from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.policy import DealFacts, Reason, Refusal, gate
from lilypad_agents.agents.provider.results import Module, job_of
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import InvalidBlock, InvalidCid, LimitExceeded, StoreFull, UnexpectedKind, UnsafeName
from lilypad_agents.content.importer import put_tree
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.reader import read_file
from lilypad_agents.content.store import LocalStore
from lilypad_agents.errors import ContentUnavailable
from lilypad_agents.execution.errors import InputsInvalid, ManifestInvalid, ModuleBroken, ScheduleUnsupported
from lilypad_agents.execution.inputs import MAX_DOCUMENT_BYTES, Inputs, parse_inputs
from lilypad_agents.execution.job import JobSpec
from lilypad_agents.execution.manifest import MAX_MANIFEST_BYTES, Manifest, parse_published
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import DealId, hex_of
from lilypad_agents.protocol.terms import ModuleTerms

MAX_WASM_BYTES = 64 * 2**20
CACHE_BYTES = 64 * 2**20
KEPT_SPEC_BYTES = 2**20
MODULE_PINS = "provider modules"  # the name of the pins of manifests and artefacts
MODULE_PIN_S = 14 * 86_400  # longer than any deal; renewed while the module is in use
_AT_FAULT = (InvalidBlock, InvalidCid, LimitExceeded, UnexpectedKind, UnsafeName)

Fetch = Callable[[Cid, Limits], None]  # raises as content.client.fetch does


class ContentRefused(Exception):
    """Carries the refusal that content earned by itself."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True)
class Obtained:
    """Everything of one job that is here and checked. `roots` are to be pinned while the deal lives.

    `spec` is kept for small jobs only; `Library.spec` makes it anew from the store.
    """

    module: Module
    inputs: Inputs
    roots: tuple[Cid, ...]
    spec: JobSpec | None = None


class Library:
    """Obtains and checks; calls block, for worker threads."""

    def __init__(
        self,
        store: LocalStore,
        fetch: Fetch,
        config: ProviderConfig,
        machine: Machine,
    ) -> None:
        """`fetch` brings a tree into the store, from wherever it may be had."""
        self._store = store
        self._fetch_tree = fetch
        self._config = config
        self._machine = machine
        self._cache: OrderedDict[bytes, Module] = OrderedDict()
        self._lock = threading.Lock()
        self._pinned: dict[bytes, int] = {}

    def obtain(self, deal_id: DealId, deal: Deal, terms: ModuleTerms, seconds_left: int) -> Obtained:
        """The job of a deal, through every check of the gate.

        Raises ContentRefused with the reason to decline, ContentUnavailable or StoreFull when it may succeed later.
        """
        self._pass(DealFacts(deal, seconds_left, terms))
        manifest = self.manifest(terms)
        self._pass(DealFacts(deal, seconds_left, terms, manifest))
        module = self._module(terms, manifest)
        inputs = self._inputs(deal, manifest)
        self._pass(DealFacts(deal, seconds_left, terms, manifest, inputs))
        for name, cid in inputs.files.items():
            most = next(slot.max_bytes for slot in manifest.files if slot.name == name)
            self._fetch(Cid.parse(cid), most, Reason.INPUTS_INVALID)
        spec = self._spec(deal_id, deal, module, inputs)
        roots = (Cid.raw(deal.inputs), *(Cid.parse(cid) for cid in inputs.files.values()))
        size = sum(map(len, spec.files.values()))
        return Obtained(module, inputs, roots, spec if size <= KEPT_SPEC_BYTES else None)

    def manifest(self, terms: ModuleTerms) -> Manifest:
        """The manifest that the terms name. Raises as `obtain` does."""
        cached = self._cached(terms)
        if cached is not None:
            return cached.manifest
        cid = Cid.raw(terms.manifest)
        self._fetch(cid, MAX_MANIFEST_BYTES, Reason.MANIFEST_INVALID)
        try:
            return parse_published(self._store.get(cid), terms.manifest)
        except ManifestInvalid as failure:
            raise ContentRefused(Refusal(Reason.MANIFEST_INVALID, failure.message)) from None

    def spec(self, deal_id: DealId, deal: Deal, obtained: Obtained) -> JobSpec:
        """The run, from what the store holds. Raises ContentRefused, BlockMissing when the store lost something."""
        return obtained.spec or self._spec(deal_id, deal, obtained.module, obtained.inputs)

    def pin(self, deal_id: DealId, obtained: Obtained, made: Mapping[str, Cid]) -> None:
        """Keeps what the provider has to serve until the deal is final: inputs, files, and `made` (result, receipt).

        One folder over all of them needs one pin. What the module consists of is kept for all its deals together.
        """
        files = {str(number): cid for number, cid in enumerate(obtained.roots)}
        self._store.pin(put_tree(self._store, {**files, **made}), pin_name(deal_id))
        self._pin_module(obtained.module.manifest)

    def _pin_module(self, manifest: Manifest) -> None:
        now = int(time.time())
        with self._lock:
            if self._pinned.get(manifest.digest, 0) > now - MODULE_PIN_S // 2:
                return
            self._pinned[manifest.digest] = now
        for root in module_roots(manifest):
            self._store.pin(root, MODULE_PINS, now + MODULE_PIN_S)

    # ---- parts

    def _pass(self, facts: DealFacts) -> None:
        decision = gate(facts, self._config, self._machine)
        if isinstance(decision, Refusal):
            raise ContentRefused(decision)

    def _module(self, terms: ModuleTerms, manifest: Manifest) -> Module:
        cached = self._cached(terms)
        if cached is not None:
            return cached
        assert manifest.wasm is not None  # the gate refuses other engines
        wasm = self._file(manifest.wasm.module, MAX_WASM_BYTES, Reason.MODULE_BROKEN)
        artifacts = {
            item.path: self._file(item.cid, item.size, Reason.MODULE_BROKEN) for item in manifest.artifacts
        }
        module = Module(manifest, wasm, artifacts)
        with self._lock:
            self._cache[terms.id] = module
            while len(self._cache) > 1 and sum(entry.size for entry in self._cache.values()) > CACHE_BYTES:
                self._cache.popitem(last=False)
        return module

    def _cached(self, terms: ModuleTerms) -> Module | None:
        """The module, if it is in memory and its blocks are still in the store, from which they are served."""
        with self._lock:
            module = self._cache.get(terms.id)
            if module is None:
                return None
            self._cache.move_to_end(terms.id)
        return module if all(map(self._store.has, module_roots(module.manifest))) else None

    def _inputs(self, deal: Deal, manifest: Manifest) -> Inputs:
        cid = Cid.raw(deal.inputs)
        self._fetch(cid, MAX_DOCUMENT_BYTES, Reason.INPUTS_INVALID)
        try:
            return parse_inputs(manifest, self._store.get(cid), module=hex_of(deal.module))
        except InputsInvalid as failure:
            raise ContentRefused(Refusal(Reason.INPUTS_INVALID, failure.message)) from None

    def _file(self, cid: str, most: int, at_fault: Reason) -> bytes:
        root = Cid.parse(cid)
        self._fetch(root, most, at_fault)
        return self._read(root, most, at_fault)

    def _read(self, root: Cid, most: int, at_fault: Reason) -> bytes:
        try:
            return read_file(self._store, root, most)
        except _AT_FAULT as failure:
            raise ContentRefused(Refusal(at_fault, failure.message)) from None

    def _fetch(self, root: Cid, most: int, at_fault: Reason) -> None:
        if root.is_raw and self._store.has(root):
            return
        limits = Limits(max_bytes=most, max_entries=1, max_depth=1)
        try:
            self._fetch_tree(root, limits)
        except _AT_FAULT as failure:
            raise ContentRefused(Refusal(at_fault, failure.message)) from None

    def _spec(self, deal_id: DealId, deal: Deal, module: Module, inputs: Inputs) -> JobSpec:
        slots = {slot.name: slot.max_bytes for slot in module.manifest.files}
        files = {
            name: self._read(Cid.parse(cid), slots[name], Reason.INPUTS_INVALID) for name, cid in inputs.files.items()
        }
        try:
            return job_of(deal, deal_id, module, inputs, files)
        except InputsInvalid as failure:
            raise ContentRefused(Refusal(Reason.INPUTS_INVALID, failure.message)) from None
        except ScheduleUnsupported as failure:
            raise ContentRefused(Refusal(Reason.SCHEDULE_UNSUPPORTED, failure.message)) from None
        except ModuleBroken as failure:
            raise ContentRefused(Refusal(Reason.MODULE_BROKEN, failure.message)) from None


def pin_name(deal_id: DealId) -> str:
    """The name of the pins of one deal."""
    return f"provider {hex_of(deal_id)}"


def module_roots(manifest: Manifest) -> tuple[Cid, ...]:
    """What a module version consists of: its manifest, its artefact, its other files."""
    wasm = () if manifest.wasm is None else (Cid.parse(manifest.wasm.module),)
    return (Cid.raw(manifest.digest), *wasm, *(Cid.parse(item.cid) for item in manifest.artifacts))


__all__ = ["ContentRefused", "ContentUnavailable", "Library", "Obtained", "StoreFull", "module_roots", "pin_name"]
