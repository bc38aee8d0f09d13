"""What a decision asks for: one action for one deal, or for one period."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lilypad_agents.agents.provider.policy import Refusal
from lilypad_agents.agents.provider.view import Action, DealView
from lilypad_agents.agents.runtime.sending import LAST
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.lifecycle import Agreement
from lilypad_agents.protocol.units import Period, Timestamp


@dataclass(frozen=True)
class Intent:
    """One thing to do. `deadline`: the last second (unix, block time) at which it counts.

    `deal` is None, and `period` set, for the record of a seed. `refusal` says why a deal is declined or stopped.
    """

    action: Action
    deal: DealId | None
    deadline: Timestamp
    agreement: Agreement = Agreement.NONE
    refusal: Refusal | None = None
    period: Period | None = None

    @property
    def key(self) -> str:
        subject = f"period {self.period}" if self.deal is None else "0x" + self.deal.hex()
        return f"{self.action}:{subject}"


def intent(action: Action, deal: DealView, deadline: Timestamp | None, **more: object) -> Iterator[Intent]:
    """The intent, unless its transaction is under way."""
    if action not in deal.under_way:
        yield Intent(action, deal.id, LAST if deadline is None else deadline, **more)  # type: ignore[arg-type]


__all__ = ["LAST", "Intent", "intent"]
