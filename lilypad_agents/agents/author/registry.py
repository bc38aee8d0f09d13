"""The registry of modules as an author sees it: publications, names, lines of ancestors, shares. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.author.errors import LineageRefused
from lilypad_agents.agents.creator.chain import CreatorChain, terms_in
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import NOBODY, Address, VersionId, checksummed, hex_of
from lilypad_agents.protocol.terms import ModuleTerms

MOST_ANCESTORS = 5  # as in the contract


@dataclass(frozen=True)
class Publication:
    """A registered version. `name_id` is the name's id (24 bytes); shares in basis points of income."""

    terms: ModuleTerms
    name_id: bytes
    name: str
    version: str
    parent_share_bps: int
    fork_share_bps: int
    block: int

    @property
    def id(self) -> VersionId:
        return self.terms.id

    @property
    def full_name(self) -> str:
        return f"{self.terms.publisher}/{self.name}:{self.version}"


@dataclass(frozen=True)
class NameRecord:
    """Who owns a name (nobody: it does not exist), works for the owner, and is paid."""

    id: bytes
    owner: Address
    operator: Address
    payee: Address

    @property
    def exists(self) -> bool:
        return self.owner != NOBODY


@dataclass(frozen=True)
class Record:
    """What the registry keeps of a version."""

    name_id: bytes
    parent_share_bps: int
    fork_share_bps: int
    depth: int
    deprecated: bool


class ModuleRegistry:
    """Reads of one registry. Raises errors of the chain."""

    def __init__(self, chain: CreatorChain) -> None:
        self._chain = chain
        self.address = Address(chain.registry.address)

    def publications(
        self, *, version: bytes | None = None, name_id: bytes | None = None, publisher: Address | None = None
    ) -> list[Publication]:
        """Registered versions, oldest first. One whose terms do not hash to its id is left out: only a hash is believed."""
        topics = [
            None if version is None else hex_of(version),
            None if name_id is None else "0x" + name_id.hex().ljust(64, "0"),
            None if publisher is None else "0x" + "00" * 12 + publisher[2:].lower(),
        ]
        events = self._chain.registry_events(("VersionPublished",), topics)
        return [found for event in events if (found := _publication(event)) is not None]

    def publication(self, version: bytes) -> Publication | None:
        return next((item for item in self.publications(version=version) if item.id == version), None)

    def record(self, version: bytes) -> Record | None:
        """None for a version that was never registered."""
        name_id, parent_share, fork_share, depth, deprecated = self._chain.registry.call("recordOf", version)
        if not any(bytes(name_id)):
            return None
        return Record(bytes(name_id), int(parent_share), int(fork_share), int(depth), bool(deprecated))

    def name(self, publisher: Address, text: str) -> NameRecord:
        return self.name_by_id(bytes(self._chain.registry.call("nameIdOf", publisher, text)))

    def name_by_id(self, name_id: bytes) -> NameRecord:
        owner, operator, payee = (checksummed(str(value)) for value in self._chain.registry.call("nameOf", name_id))
        return NameRecord(name_id, owner, operator, payee)

    def line(self, version: bytes) -> list[Publication]:
        """A version, its parent, and so on to the first one.

        Raises LineageRefused when a step is not registered, when the line is longer than the contract allows, or comes
        back to itself (which only a lying node could claim: a version's id is a hash over its parent's).
        """
        found: list[Publication] = []
        wanted = bytes(version)
        while any(wanted):
            publication = self.publication(wanted)
            if publication is None:
                raise LineageRefused(f"The version {hex_of(wanted)} is not registered, so its line is not known.", version=hex_of(wanted))
            if any(item.id == publication.id for item in found) or len(found) > MOST_ANCESTORS:
                raise LineageRefused(f"The line of {hex_of(bytes(version))} does not end after {MOST_ANCESTORS} ancestors.", version=hex_of(wanted))
            found.append(publication)
            wanted = bytes(publication.terms.parent)
        return found

    def split(self, line: Sequence[Publication], amount: int) -> list[tuple[Address, int]]:
        """How a claim of `amount` would be divided now, the version's own owner first; exact to the unit."""
        payees, amounts = self._chain.registry.call("splitOf", [item.terms for item in line], amount)
        return [(checksummed(str(payee)), int(part)) for payee, part in zip(payees, amounts, strict=True)]


def _publication(event: DecodedEvent) -> Publication | None:
    args: Any = event.args
    try:
        terms = terms_in(event)
    except FieldInvalid:
        return None
    if terms.id != bytes(args["version"]):
        return None
    return Publication(
        terms, bytes(args["name"]), str(args["nameText"]), str(args["versionText"]),
        int(args["parentShareBps"]), int(args["forkShareBps"]), event.block_number,
    )  # fmt: skip
