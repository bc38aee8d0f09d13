"""Published versions, from the events of the registry: terms by version id, names in words. Read only when needed."""

from __future__ import annotations

from typing import Any

from lilypad_agents.agents.provider.offers import KnownModule
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.logs import CursorConfig, EventSource, LogCursor
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import VersionId
from lilypad_agents.protocol.terms import ModuleTerms

MODULES = "LilypadModules"


class Registry:
    """What the registry has published so far, by version id; `follow` reads on."""

    def __init__(self, context: AgentContext) -> None:
        self.known: dict[VersionId, KnownModule] = {}
        self._cursor: LogCursor | None = None
        if MODULES in context.contracts:
            contract = context.contracts[MODULES]
            self._cursor = LogCursor(
                context.database,
                context.rpc,
                [EventSource(contract.address, contract.abi, ("VersionPublished",))],
                start_block=context.book.contract(MODULES).block,
                name="modules",
                config=CursorConfig(confirmations=context.settings.confirmations),
                notify=context.log,
            )
        self._loaded = False

    def follow(self, head: ChainMoment | None = None) -> bool:
        """Reads new publications, to `head` where the caller saw it; True when there were any.

        Raises as LogCursor.advance does.
        """
        if self._cursor is None:
            return False
        advance = self._cursor.advance(head)
        if not self._loaded or advance.reorganisation is not None:
            self.known = {}
            self._take(self._cursor.events("VersionPublished"))
            self._loaded = True
            return True
        self._take(advance.new_logs)
        return bool(advance.new_logs)

    def _take(self, events: Any) -> None:
        for event in events:
            module = _module(event)
            if module is not None:
                self.known[VersionId(module.terms.id)] = module


def _module(event: DecodedEvent) -> KnownModule | None:
    """The version of an event; None when its terms do not have its id, so that only a hash is ever believed."""
    found = event.args["terms"]
    values = dict(zip((member.attribute for member in ModuleTerms.TYPE.members), found, strict=True))
    try:
        terms = ModuleTerms(**values)
    except FieldInvalid:
        return None
    if terms.id != event.args["version"]:
        return None
    return KnownModule(terms, event.args["nameText"], event.args["versionText"])
