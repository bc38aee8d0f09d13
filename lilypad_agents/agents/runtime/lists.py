"""Curated lists on chain as every party reads them: entries from events, their root compared with the published one.

A list is trusted by naming it in the settings: `account/name`, where the account is the list's first curator, or its id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.logs import CursorConfig, EventSource, LogCursor
from lilypad_agents.errors import ConfigurationError
from lilypad_agents.protocol.ids import ZERO, Address, VersionId, checksummed, hex_of, keccak256
from lilypad_agents.protocol.merkle import MerkleTree

if TYPE_CHECKING:
    from lilypad_agents.agents.runtime.context import AgentContext

MODULES = "LilypadModules"
LIST_EVENTS = ("ListCreated", "ListTransferred", "ListEntryAdded", "ListEntryRemoved", "ListRootPublished")
_BY_NAME = re.compile(r"(0x[0-9a-fA-F]{40})/([a-z0-9][a-z0-9-]{0,62})")
_BY_ID = re.compile(r"0x[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class ListReference:
    """A list on chain by its id, 32 bytes. `text` is how the user wrote it."""

    id: bytes
    text: str


def parse_list(text: str) -> ListReference | None:
    """The list on chain that a setting names; None for what is no such name (a file)."""
    if _BY_ID.fullmatch(text):
        return ListReference(bytes.fromhex(text[2:]), text.lower())
    match = _BY_NAME.fullmatch(text)
    if match is None:
        return None
    curator = checksummed(match[1].lower())
    return ListReference(list_id(curator, match[2]), f"{curator}/{match[2]}")


def list_id(curator: Address, name: str) -> bytes:
    """The id of the list that `curator` created as `name`: keccak256(abi.encode(curator, keccak256(name)))."""
    return keccak256(bytes(12) + bytes.fromhex(curator[2:]) + keccak256(name.encode()))


@dataclass(frozen=True)
class Entry:
    """One label of a list; `note` says why it is there."""

    label: str
    version: VersionId
    note: str


@dataclass
class ListState:
    """A list, replayed from its events. `root`: the last one that was published; `updates`: how many were."""

    name: str = ""
    first_curator: str = ""
    curator: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)
    root: bytes = ZERO
    updates: int = 0

    @property
    def exists(self) -> bool:
        return bool(self.first_curator)

    @property
    def computed_root(self) -> bytes:
        return root_of(entry.version for entry in self.entries.values())

    @property
    def is_sound(self) -> bool:
        """Whether the entries give the root that was published."""
        return self.exists and self.computed_root == self.root

    @property
    def versions(self) -> frozenset[VersionId]:
        return frozenset(entry.version for entry in self.entries.values())

    def take(self, event: DecodedEvent) -> None:
        """The next event of this list."""
        args = event.args
        if event.name == "ListCreated":
            self.name, self.first_curator, self.curator = str(args["text"]), str(args["curator"]), str(args["curator"])
        elif event.name == "ListTransferred":
            self.curator = str(args["to"])
        elif event.name == "ListEntryAdded":
            self.entries[str(args["label"])] = Entry(str(args["label"]), VersionId(args["version"]), str(args["note"]))
        elif event.name == "ListEntryRemoved":
            self.entries.pop(str(args["label"]), None)
        elif event.name == "ListRootPublished":
            self.root, self.updates = bytes(args["root"]), self.updates + 1


def root_of(versions: Iterable[bytes]) -> bytes:
    """The root over distinct version ids; zero for none."""
    distinct = frozenset(map(bytes, versions))
    return bytes(MerkleTree.of(distinct).root) if distinct else ZERO


def replay(events: Iterable[DecodedEvent]) -> dict[bytes, ListState]:
    """Lists by id from events in chain order."""
    found: dict[bytes, ListState] = {}
    for event in events:
        found.setdefault(bytes(event.args["list"]), ListState()).take(event)
    return found


class TrustedLists:
    """The lists that an agent's settings name, followed on chain. A list whose root does not fit counts as empty."""

    def __init__(self, context: AgentContext, texts: Iterable[str]) -> None:
        """Raises ConfigurationError for a text that names no list on chain."""
        self._references = [_required(text) for text in texts]
        self._log = context.log
        contract = context.contracts[MODULES]
        self._cursor = LogCursor(
            context.database,
            context.rpc,
            [EventSource(contract.address, contract.abi, LIST_EVENTS)],
            start_block=context.book.contract(MODULES).block,
            name="lists",
            config=CursorConfig(confirmations=context.settings.confirmations),
            notify=context.log,
        )
        self._states: Mapping[bytes, ListState] = {}
        self._loaded = False

    def follow(self, head: ChainMoment | None = None) -> bool:
        """Reads on, to `head` where the caller saw it; True when anything changed. Raises as LogCursor.advance does."""
        advance = self._cursor.advance(head)
        if self._loaded and advance.reorganisation is None and not advance.new_logs:
            return False
        self._states = replay(self._cursor.events())
        self._loaded = True
        for reference in self._references:
            state = self._states.get(reference.id)
            if state is None or not state.is_sound:
                self._log("list_not_sound", alert=True, list=reference.text, exists=state is not None)
        return True

    @property
    def versions(self) -> frozenset[VersionId]:
        """All versions on the lists that are sound."""
        sound = [state for reference in self._references if (state := self._states.get(reference.id)) is not None and state.is_sound]
        return frozenset().union(*(state.versions for state in sound))

    def describe(self) -> list[dict[str, Any]]:
        """For people: each list with its root and what counts of it."""
        found = []
        for reference in self._references:
            state = self._states.get(reference.id, ListState())
            found.append({"list": reference.text, "root": hex_of(state.root), "sound": state.is_sound, "entries": len(state.entries)})
        return found


def _required(text: str) -> ListReference:
    reference = parse_list(text)
    if reference is None:
        raise ConfigurationError(f"{text[:100]!r} names no list on chain.", hint="Write account/name, or the list's id (0x and 64 hexadecimal digits).")
    return reference
