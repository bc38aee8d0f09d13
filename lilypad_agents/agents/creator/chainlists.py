"""Curated lists on chain, for whoever trusts or keeps one: with the terms of every version, each proved by its hash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lilypad_agents.agents.creator.aliases import Alias, AliasList
from lilypad_agents.agents.creator.chain import CreatorChain, terms_in
from lilypad_agents.agents.creator.errors import ListBroken, ListUnknown
from lilypad_agents.agents.runtime.lists import LIST_EVENTS, ListReference, ListState, replay
from lilypad_agents.protocol.ids import VersionId, hex_of
from lilypad_agents.protocol.terms import ModuleTerms

_AT_ONCE = 200  # topics in one request


@dataclass(frozen=True)
class ChainList:
    """A list as the chain has it, and as short names to resolve by."""

    reference: ListReference
    state: ListState
    aliases: AliasList


def list_state(chain: CreatorChain, reference: ListReference) -> ListState:
    """A list, replayed; one that does not exist is empty."""
    events = chain.registry_events(LIST_EVENTS, [hex_of(reference.id)])
    return replay(events).get(reference.id, ListState())


def read_list(chain: CreatorChain, reference: ListReference) -> ChainList:
    """A list that is trusted. Raises ListUnknown, and ListBroken when entries, root or terms do not fit each other."""
    state = list_state(chain, reference)
    if not state.exists:
        raise ListUnknown(f"There is no list {reference.text} on this chain.", list=reference.text)
    published = bytes(chain.registry.call("listOf", reference.id)[1])
    if state.root != published or not state.is_sound:
        raise ListBroken(
            f"The list {reference.text} has the root {hex_of(published)}, its entries give {hex_of(state.computed_root)}.",
            list=reference.text,
            root=hex_of(published),
            computed=hex_of(state.computed_root),
        )
    terms = terms_by_version(chain, state.versions)
    name = f"{state.first_curator}/{state.name}"
    modules = {label: Alias(label, terms[entry.version], entry.note, name) for label, entry in state.entries.items() if entry.version in terms}
    if len(modules) != len(state.entries):
        raise ListBroken(f"The list {reference.text} names a version whose terms the registry does not tell.", list=reference.text)
    return ChainList(reference, state, AliasList(name, MappingProxyType({}), MappingProxyType(modules)))


def versions_behind(chain: CreatorChain, roots: Iterable[bytes]) -> dict[bytes, frozenset[VersionId]]:
    """What the curated lists held whose curators published these roots; roots of no list are left out.

    Nothing has to be trusted for it: a root that its versions do not give is left out too.
    """
    wanted = sorted(set(roots))[:_AT_ONCE]
    if not wanted:
        return {}
    events = chain.registry_events(("ListRootPublished",), [None, [hex_of(root) for root in wanted]])
    lists = sorted({bytes(event.args["list"]) for event in events})[:_AT_ONCE]
    found: dict[bytes, frozenset[VersionId]] = {}
    states: dict[bytes, ListState] = {}
    for event in chain.registry_events(LIST_EVENTS, [[hex_of(item) for item in lists]]) if lists else ():
        state = states.setdefault(bytes(event.args["list"]), ListState())
        state.take(event)
        if event.name == "ListRootPublished" and state.is_sound and state.root in wanted:
            found[state.root] = state.versions
    return found


def terms_by_version(chain: CreatorChain, versions: Iterable[VersionId]) -> Mapping[VersionId, ModuleTerms]:
    """Published terms of many versions, in few requests; what does not hash to its version is left out."""
    wanted = sorted(set(versions))
    found: dict[VersionId, ModuleTerms] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        topics = [hex_of(version) for version in wanted[start : start + _AT_ONCE]]
        for event in chain.registry_events(("VersionPublished",), [topics]):
            found[VersionId(event.args["version"])] = terms_in(event)
    return {version: terms for version, terms in found.items() if terms.id == version}
