"""From the text a person typed to one module version: terms, manifest, and who vouched for the name.

Names come from the trusted lists or the registry on chain. Whatever the way, the terms must hash to the version id and
the manifest must have the digest in the terms and say the same as they do, so no source has to be believed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lilypad_agents.agents.creator.aliases import Alias, AliasList, find_alias, find_publisher
from lilypad_agents.agents.creator.errors import ModuleMismatch, ModuleUnknown, ReferenceInvalid
from lilypad_agents.agents.creator.references import (
    ByManifest,
    ByVersionId,
    LocalFolder,
    Named,
    parse_reference,
    semver_key,
    version_spellings,
)
from lilypad_agents.agents.creator.terms import require_terms, terms_of
from lilypad_agents.content.cid import Cid
from lilypad_agents.execution.manifest import Manifest, parse_published
from lilypad_agents.protocol.ids import Address, VersionId, checksummed, hex_of
from lilypad_agents.protocol.terms import ModuleTerms

FetchManifest = Callable[[Cid], bytes]


@dataclass(frozen=True)
class ResolvedModule:
    """One version. `found_by` says who vouched for the name: a list, the registry, or the hash that was typed."""

    terms: ModuleTerms
    manifest: Manifest
    found_by: str
    deprecated: bool = False

    @property
    def version_id(self) -> VersionId:
        return self.terms.id

    @property
    def manifest_cid(self) -> Cid:
        return Cid.raw(self.terms.manifest)

    @property
    def full_name(self) -> str:
        """`publisher/name:version`, the name that means the same everywhere."""
        return f"{self.terms.publisher}/{self.manifest.name}:{self.manifest.version}"


class Registry(Protocol):
    """The registry of modules, as far as names are resolved; `chain.CreatorChain` is one."""

    def version_of(self, publisher: Address, name: str, version: str) -> VersionId | None: ...
    def published_terms(self, version: VersionId) -> tuple[ModuleTerms, str, str] | None: ...
    def versions_under(self, publisher: Address, name: str) -> list[tuple[VersionId, str]]: ...
    def deprecated(self, version: VersionId) -> bool: ...


class ModuleResolver:
    """Resolves texts. `fetch_manifest` gives the bytes of a raw block, verified or not: they are checked here."""

    def __init__(self, lists: Sequence[AliasList], registry: Registry, fetch_manifest: FetchManifest) -> None:
        self._lists = lists
        self._registry = registry
        self._fetch = fetch_manifest

    def resolve(self, text: str, *, newest: bool = False) -> ResolvedModule:
        """The version that `text` names. `newest`: a name without a version may stand for the newest one.

        Raises ReferenceInvalid, ModuleUnknown (with what was tried), AliasAmbiguous, ModuleMismatch,
        ContentUnavailable, and errors of the chain.
        """
        reference = parse_reference(text)
        if isinstance(reference, LocalFolder):
            raise ReferenceInvalid(
                f"{text!r} is a folder on this machine; nobody else can run it.",
                hint="Run it here with --local, or publish it first.",
            )
        if isinstance(reference, ByVersionId):
            return self._by_version(VersionId(reference.version), "the version id that you gave")
        if isinstance(reference, ByManifest):
            return self._by_manifest(reference)
        return self._by_name(reference, newest)

    def _by_name(self, named: Named, newest: bool) -> ResolvedModule:
        if named.version is None:
            named = self._newest(named, newest)
        assert named.version is not None
        if named.publisher is None:
            alias = find_alias(self._lists, [f"{named.name}:{version}" for version in version_spellings(named.version)])
            if alias is None:
                raise self._unknown(named)
            return self._complete(alias.terms, f"the list {alias.source}")
        publisher = self._publisher(named.publisher)
        found = {
            version: spelling
            for spelling in version_spellings(named.version)
            if (version := self._registry.version_of(publisher, named.name, spelling)) is not None
        }
        if not found:
            raise ModuleUnknown(
                f"{publisher} has published no {named.label}: the registry on chain {self._versions_there(publisher, named.name)}.",
                tried=["the registry on chain"], publisher=publisher,
            )  # fmt: skip
        if len(found) > 1:
            raise ModuleUnknown(
                f"{publisher}/{named.name} has both versions {' and '.join(found.values())}; write the full version id.",
                tried=[hex_of(version) for version in found],
            )
        return self._by_version(next(iter(found)), "the registry on chain")

    def _versions_there(self, publisher: Address, name: str) -> str:
        known = [version for _, version in self._registry.versions_under(publisher, name)]
        return f"has {', '.join(known[-5:])} of that name" if known else "has nothing of that name"

    def _publisher(self, text: str) -> Address:
        if text.startswith("0x"):
            return checksummed(text.lower())
        account = find_publisher(self._lists, text)
        if account is None:
            raise ModuleUnknown(f"No trusted list knows a publisher {text}.", tried=self._list_names())
        return account

    def _newest(self, named: Named, allowed: bool) -> Named:
        """The name with its newest version that is not deprecated, by SemVer; others do not count."""
        if not allowed:
            raise ReferenceInvalid(
                f"{named.name} names no version; which one is newest can change at any moment.",
                hint=f"Pin it, such as {named.name}:{self._example_version(named)}.",
            )
        candidates = self._versions(named)
        best = max(candidates, key=lambda item: item[0], default=None)
        if best is None:
            raise self._unknown(named)
        return Named(named.publisher, named.name, best[1])

    def _versions(self, named: Named) -> list[tuple[tuple[object, ...], str]]:
        if named.publisher is None:
            pairs: Iterable[tuple[VersionId, str]] = [
                (alias.terms.id, label.partition(":")[2])
                for trusted in self._lists
                for label, alias in trusted.modules.items()
                if label.partition(":")[0] == named.name
            ]
        else:
            pairs = self._registry.versions_under(self._publisher(named.publisher), named.name)
        return [
            (key, text)
            for version, text in pairs
            if (key := semver_key(text)) is not None and not self._registry.deprecated(version)
        ]

    def _example_version(self, named: Named) -> str:
        versions = self._versions(named)
        return max(versions)[1] if versions else "v0.0.1"

    def _by_version(self, version: VersionId, found_by: str) -> ResolvedModule:
        alias = next((alias for alias in self._aliases() if alias.terms.id == version), None)
        if alias is not None:
            return self._complete(alias.terms, found_by)
        published = self._registry.published_terms(version)
        if published is None:
            raise ModuleUnknown(
                f"No version has the id {hex_of(version)}.", tried=[*self._list_names(), "the registry on chain"]
            )
        return self._complete(published[0], found_by)

    def _by_manifest(self, reference: ByManifest) -> ResolvedModule:
        """A manifest holds all that its terms say, so no registry is needed."""
        manifest = parse_published(self._fetch(Cid.raw(reference.digest)), reference.digest)
        if reference.name not in (None, manifest.name):
            raise ModuleMismatch(f"The manifest is of {manifest.name}, not of {reference.name}.", found=manifest.name)
        if reference.publisher is not None:
            publisher = self._publisher(reference.publisher)
            if terms_of(manifest).publisher != publisher:
                raise ModuleMismatch(f"The manifest names another publisher than {publisher}.", found=manifest.publisher)
        terms = terms_of(manifest)
        return ResolvedModule(terms, manifest, "the manifest digest that you gave", self._registry.deprecated(terms.id))

    def _complete(self, terms: ModuleTerms, found_by: str) -> ResolvedModule:
        manifest = parse_published(self._fetch(Cid.raw(terms.manifest)), terms.manifest)
        require_terms(manifest, terms)
        return ResolvedModule(terms, manifest, found_by, self._registry.deprecated(terms.id))

    def _aliases(self) -> Iterable[Alias]:
        return (alias for trusted in self._lists for alias in trusted.modules.values())

    def _list_names(self) -> list[str]:
        return [f"the list {trusted.name}" for trusted in self._lists]

    def _unknown(self, named: Named) -> ModuleUnknown:
        known = sorted({label for trusted in self._lists for label in trusted.modules})
        near = difflib.get_close_matches(named.label, known, 1, 0.5)
        where = ", ".join(trusted.name for trusted in self._lists) or "none"
        message = f"No trusted list has {named.label} (lists: {where})."
        if near:
            message += f" Did you mean {near[0]}?"
        return ModuleUnknown(message, tried=self._list_names(), near=near)
