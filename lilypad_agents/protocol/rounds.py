"""The queue of a pool's rounds, rebuilt from its events: what is next, from which seed, and who has to call. Twin of
contracts/staking/RoundQueue.sol, protocol 7.

    queue = RoundQueue.replay(events)                 # of one pool, in order
    queue.front                                       # the round to be drawn, with the arguments of the call
    queue.period                                      # whose seed draws it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import Address
from lilypad_agents.protocol.units import Period


@dataclass(frozen=True)
class QueuedRound:
    """A round as it was queued. `unwanted`: cancelled after its period had begun, so that anyone draws it by `drawCancelled`."""

    ticket: int
    round: bytes  # the strategy's name for it
    seats: int
    excluded: tuple[Address, Address, Address, Address]
    period: Period  # the first one whose seed may draw it
    unwanted: bool = False


@dataclass
class RoundQueue:
    """Rounds that wait, by ticket, and the period before which nothing is drawn."""

    waiting: dict[int, QueuedRound] = field(default_factory=dict)
    floor: Period = Period(0)

    @classmethod
    def replay(cls, events: Iterable[tuple[str, Mapping[str, Any]]]) -> RoundQueue:
        """`events`: name and arguments (Solidity names) of a pool's events, complete and in the chain's order."""
        queue = cls()
        for name, arguments in events:
            queue.apply(name, arguments)
        return queue

    def apply(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Ignores what does not move the queue. Raises FieldInvalid when an event before this one is missing."""
        match name:
            case "RoundQueued":
                excluded = tuple(arguments["excluded"])
                names = ("ticket", "round", "seats", "period")
                found = QueuedRound(excluded=excluded, **{key: arguments[key] for key in names})
                self.waiting[found.ticket] = found
            case "RoundPostponed":
                self.floor = Period(arguments["period"])
            case "RoundDrawn":
                self._take(arguments["ticket"])
            case "RoundCancelled":
                found = self._take(arguments["ticket"])
                if arguments["inQueue"]:
                    self.waiting[found.ticket] = replace(found, unwanted=True)

    def _take(self, ticket: int) -> QueuedRound:
        if ticket not in self.waiting:
            raise FieldInvalid("events", "ticket", f"{ticket} was never queued")
        return self.waiting.pop(ticket)

    @property
    def front(self) -> QueuedRound | None:
        """The round that is drawn next; None when nothing waits."""
        return self.waiting[min(self.waiting)] if self.waiting else None

    @property
    def period(self) -> Period | None:
        """The period whose seed draws the front; from its first block on the tree is frozen."""
        return None if self.front is None else Period(max(self.front.period, self.floor))
