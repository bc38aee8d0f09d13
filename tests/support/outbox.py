"""What tests of the outbox share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lilypad_agents.chain.outbox import Outbox

Open = Callable[..., Outbox]


def pump_until(
    outbox: Outbox, key: str, kind: type, *, seconds: float = 10, each: Callable[[], object] = lambda: None
) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        outbox.pump()
        status = outbox.status(key)
        if isinstance(status, kind):
            return status
        each()
        time.sleep(0.02)
    raise AssertionError(f"{key} is {outbox.status(key)}")
