"""Curated lists as files: short names that this user trusts, each with the terms that it stands for.

A list can mislead about a name, never about a version: the terms hash to the version id, and their manifest digest
pins every byte that runs. Format `lilypad/aliases@1`:
`{"schema", "list", "publishers": {alias: account}, "modules": {"name:version": {"terms": {...}, "note"}}}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lilypad_agents.agents.creator.errors import AliasAmbiguous
from lilypad_agents.errors import ConfigurationError, LilypadError
from lilypad_agents.protocol.ids import Address, checksummed, hex_of
from lilypad_agents.protocol.terms import ModuleTerms

SCHEMA = "lilypad/aliases@1"


@dataclass(frozen=True)
class Alias:
    """One entry: `label` is `name:version`; `note` says why it is in the list."""

    label: str
    terms: ModuleTerms
    note: str
    source: str  # name of the list


@dataclass(frozen=True)
class AliasList:
    """A list that the user's configuration trusts."""

    name: str
    publishers: Mapping[str, Address]
    modules: Mapping[str, Alias]

    @classmethod
    def load(cls, path: Path) -> AliasList:
        """Raises ConfigurationError when the file is missing or malformed."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["schema"] != SCHEMA:
                raise ValueError(f"its schema is {document['schema']!r}, known is {SCHEMA!r}")
            return cls.parse(document)
        except OSError as error:
            raise ConfigurationError(f"The list of modules {path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, AttributeError, LilypadError) as error:
            raise ConfigurationError(f"The list of modules {path} is malformed: {error}.") from error

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> AliasList:
        name = str(document["list"])
        publishers = {str(alias): checksummed(account) for alias, account in document.get("publishers", {}).items()}
        modules = {
            str(label): Alias(str(label), ModuleTerms.from_json(entry["terms"]), str(entry.get("note", "")), name)
            for label, entry in document["modules"].items()
        }
        return cls(name, MappingProxyType(publishers), MappingProxyType(modules))


def document_of(name: str, modules: Mapping[str, tuple[ModuleTerms, str]], publishers: Mapping[str, str]) -> dict[str, Any]:
    """The JSON of a list: `modules` maps labels to terms and note."""
    return {
        "schema": SCHEMA,
        "list": name,
        "publishers": dict(publishers),
        "modules": {
            label: {"version": hex_of(terms.id), "terms": terms.to_json(), "note": note}
            for label, (terms, note) in modules.items()
        },
    }


def find_alias(lists: Iterable[AliasList], labels: Iterable[str]) -> Alias | None:
    """The entry that the lists have under any of the labels. Raises AliasAmbiguous when they disagree."""
    found: dict[bytes, Alias] = {}
    labels = tuple(labels)
    for trusted in lists:
        for label in labels:
            if label in trusted.modules:
                found.setdefault(trusted.modules[label].terms.id, trusted.modules[label])
    if len(found) > 1:
        told = ", ".join(f"{hex_of(version)} ({alias.source}, as {alias.label})" for version, alias in found.items())
        raise AliasAmbiguous(f"The trusted lists disagree about {labels[0]}: {told}.", label=labels[0])
    return next(iter(found.values()), None)


def find_publisher(lists: Iterable[AliasList], alias: str) -> Address | None:
    """The account behind a publisher's alias. Raises AliasAmbiguous when the lists disagree."""
    found = {trusted.publishers[alias] for trusted in lists if alias in trusted.publishers}
    if len(found) > 1:
        raise AliasAmbiguous(f"The trusted lists know different publishers as {alias}: {', '.join(sorted(found))}.")
    return next(iter(found), None)
