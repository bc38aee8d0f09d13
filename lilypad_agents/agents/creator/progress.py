"""What a job's runner tells about itself: moments for a screen or a log, never the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Moment:
    """Something happened to a job. `event`: a stable word; `id`: deal id, else offer id (0x hex).

    `state`: the deal's status in words, or that of the offer. `deadline`: unix seconds of block time at which something
    changes by itself, or None. `cost`: smallest units that the job costs as far as is known, or None.
    """

    event: str
    id: str
    state: str
    deadline: int | None = None
    cost: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)


Listener = Callable[[Moment], None]


def nobody_listens(moment: Moment) -> None:
    """The listener of callers that only want the outcome."""
