"""Keeping a curated list: changes are noted here, and published in one transaction with the root that then holds.

The draft of a list is a file of the account; nobody sees it before `publish`. Entries and root can so never disagree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lilypad_agents.agents.author.errors import ListRefused
from lilypad_agents.agents.author.registry import ModuleRegistry
from lilypad_agents.agents.creator.chainlists import list_state
from lilypad_agents.agents.creator.errors import ListUnknown, ModuleUnknown
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.runtime.lists import Entry, ListReference, ListState, list_id, parse_list, root_of
from lilypad_agents.errors import ConfigurationError, UsageError
from lilypad_agents.execution.cache import write_atomically
from lilypad_agents.execution.manifest_reader import NAME_FORM, VERSION_FORM
from lilypad_agents.protocol.ids import VersionId, hex_of, keccak256

MOST_NOTE = 500
_SCHEMA = "lilypad/list-draft@1"


@dataclass
class Draft:
    """What is noted for a list and not published: labels to take out, entries to put in."""

    removed: list[str] = field(default_factory=list)
    added: dict[str, Entry] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.removed and not self.added

    def to_json(self) -> dict[str, Any]:
        added = [{"label": entry.label, "version": hex_of(entry.version), "note": entry.note} for entry in self.added.values()]
        return {"schema": _SCHEMA, "removed": list(self.removed), "added": added}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Draft:
        if document["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}")
        entries = [Entry(str(item["label"]), VersionId(bytes.fromhex(item["version"][2:])), str(item["note"])) for item in document["added"]]
        return cls([str(label) for label in document["removed"]], {entry.label: entry for entry in entries})


class Curator:
    """One list of the account's, on chain and as a draft. `text`: a name of its own, account/name, or an id."""

    def __init__(self, session: Session, text: str) -> None:
        self._session = session
        self.reference = reference_of(session, text)
        self._path = session.folder / "lists" / f"{self.reference.id.hex()}.json"

    @property
    def state(self) -> ListState:
        return list_state(self._session.chain, self.reference)

    def draft(self) -> Draft:
        """Raises ConfigurationError for a file that is malformed."""
        try:
            return Draft.from_json(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Draft()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"The draft {self._path} is malformed: {error}.", hint="Delete it and note the changes again.") from None

    def create(self, name: str) -> bytes | None:
        """Registers the list; None when it exists already and is the account's. Raises ListRefused."""
        state = self.state
        if state.exists:
            self._require_mine(state)
            return None
        key = f"create-list:{hex_of(self.reference.id)}"
        return self._session.wallet.registry(key, "createList", name).transaction_hash

    def add(self, label: str, version: VersionId, note: str) -> Draft:
        """Notes an entry. Raises ListRefused for a label outside the grammar or in use, ModuleUnknown, ListUnknown."""
        check_label(label)
        if len(note) > MOST_NOTE or not note.isprintable():
            raise ListRefused(f"A note is one line of at most {MOST_NOTE} printable characters.", found=len(note), most=MOST_NOTE)
        state, draft = self._own(), self.draft()
        if ModuleRegistry(self._session.chain).record(version) is None:
            raise ModuleUnknown(f"The version {hex_of(version)} is not registered, so no list can hold it.", tried=["the registry on chain"])
        standing = state.entries.get(label)
        if standing is not None and label not in draft.removed:
            raise ListRefused(f"{label} is {hex_of(standing.version)} already; take it out first.", label=label, version=hex_of(standing.version))
        draft.added[label] = Entry(label, version, note)
        return self._save(draft)

    def remove(self, label: str) -> Draft:
        """Notes that an entry goes, or forgets one that was only noted. Raises ListRefused, ListUnknown."""
        state, draft = self._own(), self.draft()
        if label in draft.added:
            del draft.added[label]
        elif label in state.entries and label not in draft.removed:
            draft.removed.append(label)
        else:
            raise ListRefused(f"The list has no entry {label[:130]}.", label=label[:130], known=sorted(state.entries)[:50])
        return self._save(draft)

    def publish(self) -> tuple[bytes, bytes | None]:
        """Sends the draft; returns the root that holds afterwards and the transaction (None: nothing was to be done).

        What the chain has already, of a publication that a crash cut short, is not sent again.
        """
        state, draft = self._own(), self.draft()
        removed = [label for label in draft.removed if label in state.entries and state.entries[label] != draft.added.get(label)]
        added = [entry for entry in draft.added.values() if state.entries.get(entry.label) != entry]
        left = {label: entry for label, entry in state.entries.items() if label not in removed}
        after = left | {entry.label: entry for entry in added}
        root = root_of(entry.version for entry in after.values())
        transaction = None
        if removed or added or root != state.root:
            words = [(entry.version, entry.label, entry.note) for entry in added]
            mark = keccak256(json.dumps([removed, [entry.label for entry in added], hex_of(root)]).encode()).hex()[:32]
            key = f"update-list:{hex_of(self.reference.id)}:{state.updates}:{mark}"
            transaction = self._session.wallet.registry(key, "updateList", self.reference.id, removed, words, root).transaction_hash
        self._path.unlink(missing_ok=True)
        return root, transaction

    def _own(self) -> ListState:
        state = self.state
        if not state.exists:
            raise ListUnknown(f"There is no list {self.reference.text} on this chain.", list=self.reference.text)
        self._require_mine(state)
        return state

    def _require_mine(self, state: ListState) -> None:
        if state.curator != self._session.account:
            raise ListRefused(f"The curator of {self.reference.text} is {state.curator}, not {self._session.account}.", curator=state.curator)

    def _save(self, draft: Draft) -> Draft:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(self._path, (json.dumps(draft.to_json(), indent=2) + "\n").encode())
        return draft


def reference_of(session: Session, text: str) -> ListReference:
    """A list by a name of the account's own, by account/name, or by id. Raises UsageError."""
    found = parse_list(text)
    if found is not None:
        return found
    if re.fullmatch(NAME_FORM, text) is None:
        raise UsageError(f"{text[:100]!r} names no list: 1 to 63 of a-z, 0-9 and, not first, a hyphen; or account/name; or an id.")
    return ListReference(list_id(session.account, text), f"{session.account}/{text}")


def check_label(label: str) -> None:
    """Raises ListRefused unless it is name:version."""
    if re.fullmatch(f"{NAME_FORM}:{VERSION_FORM}", label) is None:
        raise ListRefused(f"{label[:130]!r} is no label: it is name:version, such as cowsay:v0.0.1.", label=label[:130])
