"""The live offers in memory, oldest first, and what posting them brought along. Shared by the API and the loop.

Everything here is in the store too; the book is what matching reads. A closed offer leaves it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from lilypad_agents.agents.solver.store import SolverStore, StoredOffer
from lilypad_agents.agents.solver.wire import SIGNATURE_BYTES, OfferState, bytes32, hex_bytes, pool_of
from lilypad_agents.protocol.ids import Address, DealId, OfferHash, PoolId, VersionId
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import Timestamp

Kept = TypeVar("Kept", "JobEntry", "ResourceEntry")


@dataclass(frozen=True)
class JobEntry:
    """A live job offer."""

    seq: int
    offer: JobOffer
    signature: bytes
    module: ModuleTerms
    pool: PoolTerms
    poster: Address
    posted_at: Timestamp
    state: OfferState = OfferState.OPEN

    @property
    def id(self) -> OfferHash:
        return self.offer.struct_hash

    @property
    def account(self) -> Address:
        return self.offer.creator


@dataclass(frozen=True)
class ResourceEntry:
    """A live resource offer; `tree` holds its list of versions, None when it takes any deterministic one."""

    seq: int
    offer: ResourceOffer
    signature: bytes
    tree: MerkleTree | None
    poster: Address
    posted_at: Timestamp
    state: OfferState = OfferState.OPEN

    @property
    def id(self) -> OfferHash:
        return self.offer.struct_hash

    @property
    def account(self) -> Address:
        return self.offer.provider

    @cached_property
    def versions(self) -> frozenset[VersionId]:
        return frozenset() if self.tree is None else frozenset(map(VersionId, self.tree.values))

    def proof(self, version: VersionId) -> tuple[bytes, ...]:
        return () if self.tree is None else self.tree.proof(version)


class OfferBook:
    """Live offers by id. Every method may be called by any thread."""

    def __init__(self, store: SolverStore) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._jobs: dict[OfferHash, JobEntry] = {}
        self._resources: dict[OfferHash, ResourceEntry] = {}
        self._counts: Counter[Address] = Counter()
        self._trees: dict[bytes, MerkleTree] = {}
        self.version = 0  # grows with every change that could let something match
        for stored in store.live_offers():
            self._put(entry_of(stored.document, stored))

    # ---- changing

    def locked(self) -> AbstractContextManager[Any]:
        """Keeps others from moving offers meanwhile. Take it before a transaction of the database, never inside one."""
        return self._lock

    def add(self, entry: JobEntry | ResourceEntry, document: Mapping[str, Any]) -> JobEntry | ResourceEntry:
        """Takes a checked offer; returns it with its sequence number."""
        kind = "job" if isinstance(entry, JobEntry) else "resource"
        with self._lock:
            seq = self._store.add_offer(
                entry.id, kind, entry.account, entry.poster, document, entry.posted_at, entry.offer.expiry
            )
            self._remove(entry.id)
            return self._put(replace(entry, seq=seq))

    def move(
        self,
        offer_ids: Iterable[OfferHash],
        state: OfferState,
        *,
        now: int,
        deal_id: DealId | None = None,
        reason: Mapping[str, Any] | None = None,
    ) -> None:
        """Moves offers to a state, in the store too; what is closed leaves the book, what is live again comes back."""
        ids = list(offer_ids)
        with self._lock:
            self._store.set_offers(ids, state, now=now, deal_id=deal_id, reason=reason)
            for offer_id in ids:
                entry = self.entry(offer_id)
                if state not in (OfferState.OPEN, OfferState.OPENING):
                    self._remove(offer_id)
                elif entry is not None:
                    self._put(replace(entry, state=state))
                else:
                    stored = self._store.offer(offer_id)
                    if stored is not None:
                        self._put(entry_of(stored.document, stored))

    def _put(self, entry: Kept) -> Kept:
        if entry.id not in self._jobs and entry.id not in self._resources:
            self._counts[entry.account] += 1
        if isinstance(entry, JobEntry):
            self._jobs[entry.id] = entry
        else:
            if entry.tree is not None:  # offers with one list share it
                entry = replace(entry, tree=self._trees.setdefault(entry.tree.root, entry.tree))
            self._resources[entry.id] = entry
        self.version += 1
        return entry

    def _remove(self, offer_id: OfferHash) -> None:
        entry = self._jobs.pop(offer_id, None) or self._resources.pop(offer_id, None)
        if entry is None:
            return
        self._counts[entry.account] -= 1
        if not self._counts[entry.account]:
            del self._counts[entry.account]
        tree = getattr(entry, "tree", None)
        if tree is not None and not any(other.tree is tree for other in self._resources.values()):
            self._trees.pop(tree.root, None)

    # ---- reading

    def entry(self, offer_id: bytes) -> JobEntry | ResourceEntry | None:
        with self._lock:
            return self._jobs.get(OfferHash(offer_id)) or self._resources.get(OfferHash(offer_id))

    def job(self, offer_id: bytes) -> JobEntry | None:
        with self._lock:
            return self._jobs.get(OfferHash(offer_id))

    def resource(self, offer_id: bytes) -> ResourceEntry | None:
        with self._lock:
            return self._resources.get(OfferHash(offer_id))

    def jobs(self, state: OfferState | None = None) -> list[JobEntry]:
        """Oldest first."""
        with self._lock:
            found = [entry for entry in self._jobs.values() if state is None or entry.state is state]
        return sorted(found, key=lambda entry: entry.seq)

    def resources(self) -> list[ResourceEntry]:
        """Oldest first."""
        with self._lock:
            return sorted(self._resources.values(), key=lambda entry: entry.seq)

    def pool_terms(self, pool: PoolId) -> PoolTerms | None:
        """The terms of a pool as some live job offer brought them."""
        with self._lock:
            return next((entry.pool for entry in self._jobs.values() if entry.pool.id == pool), None)

    def count(self, account: Address | None = None) -> int:
        """Live offers, of one account or of all."""
        with self._lock:
            return len(self._jobs) + len(self._resources) if account is None else self._counts[account]


def entry_of(document: Mapping[str, Any], stored: StoredOffer) -> JobEntry | ResourceEntry:
    """A live entry from what the store kept."""
    entry = parse_job(document) if stored.kind == "job" else parse_resource(document)
    return replace(entry, seq=stored.seq, poster=stored.poster, posted_at=stored.posted_at, state=stored.state)


_NOBODY_YET = {"seq": 0, "poster": Address(""), "posted_at": Timestamp(0)}


def parse_job(document: Mapping[str, Any]) -> JobEntry:
    """The body of a posted job offer. Raises FieldInvalid."""
    return JobEntry(
        offer=JobOffer.from_json(document.get("offer")),
        signature=hex_bytes("signature", document.get("signature"), SIGNATURE_BYTES),
        module=ModuleTerms.from_json(document.get("module")),
        pool=pool_of(document.get("pool")),
        **_NOBODY_YET,
    )


def parse_resource(document: Mapping[str, Any]) -> ResourceEntry:
    """The body of a posted resource offer. Raises FieldInvalid, also for a list that is empty."""
    listed = document.get("modules")
    return ResourceEntry(
        offer=ResourceOffer.from_json(document.get("offer")),
        signature=hex_bytes("signature", document.get("signature"), SIGNATURE_BYTES),
        tree=None if listed is None else MerkleTree.of(bytes32("modules", version) for version in listed),
        **_NOBODY_YET,
    )
