"""Facts about a party, counted from events: the published formula. Source: docs/protocol.md section 10.

Counts, and no score: nothing weighs them, and no contract reads them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.protocol.ids import Address, DealId

OPENED = "DealOpened"
# The last event of a deal, and the fact that it is. Each deal has exactly one.
ENDINGS: Mapping[str, str] = {
    "DealAccepted": "settled",
    "DealMediationAccepted": "settled",
    "DealTimedOut": "late",
    "DealMediationRejected": "wrong",
    "DealDeclined": "declined",
    "DealNoFault": "no_fault",
    "DealClosed": "closed",
}


@dataclass(frozen=True)
class DealFacts:
    """Deals of one party in one role, by how they ended. Of a creator, late and wrong say what was done to it."""

    opened: int = 0
    settled: int = 0
    late: int = 0
    wrong: int = 0
    declined: int = 0
    no_fault: int = 0
    closed: int = 0

    @property
    def running(self) -> int:
        return self.opened - self.settled - self.late - self.wrong - self.declined - self.no_fault - self.closed


@dataclass(frozen=True)
class SeatFacts:
    """Seats of a mediator that ended, those that lost stake (late, or against the verdict), and the stake lost by pool."""

    ended: int = 0
    lost: int = 0
    loss: Mapping[bytes, int] | None = None


def deal_facts(events: Iterable[tuple[str, Mapping[str, Any]]], role: str, party: Address) -> DealFacts:
    """Counts the deals that `events` (name, arguments; any order) say `party` has as `role`, `provider` or `creator`."""
    opened: set[DealId] = set()
    ended: dict[DealId, str] = {}
    for name, args in events:
        if args.get(role) != party:
            continue
        if name == OPENED:
            opened.add(DealId(bytes(args["dealId"])))
        elif name in ENDINGS:
            ended[DealId(bytes(args["dealId"]))] = ENDINGS[name]
    return DealFacts(opened=len(opened), **Counter(ended.values()))


def seat_facts(events: Iterable[tuple[str, Mapping[str, Any]]], party: Address) -> SeatFacts:
    """Counts the `SeatReleased` events of `party`."""
    released = [args for name, args in events if name == "SeatReleased" and args["account"] == party]
    loss: Counter[bytes] = Counter()
    for args in released:
        loss[bytes(args["pool"])] += int(args["loss"])
    return SeatFacts(len(released), sum(args["loss"] > 0 for args in released), {pool: amount for pool, amount in loss.items() if amount})
