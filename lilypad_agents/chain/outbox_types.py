"""What goes into the outbox and comes out of it: limits, the states a caller sees, and errors as they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lilypad_agents.chain.abi import ErrorTable
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.errors import ContractReverted, DeadlinePassed, TransactionRefused
from lilypad_agents.chain.outbox_store import Action, Receipt, State
from lilypad_agents.chain.types import Wei
from lilypad_agents.errors import LilypadError

GWEI = 10**9


@dataclass(frozen=True)
class OutboxConfig:
    """Limits of the outbox. Fees in wei per gas; blocks and seconds by name.

    `confirmations`: depth at which a receipt counts. `finality_blocks`: depth after which it is no longer watched.
    `urgent_before_s`: block time before its deadline from which an action may use `urgent_fee_cap`. A transaction that
    waits is replaced when both `replace_after_blocks` and `replace_after_s` are over: where blocks come many a second,
    three of them say nothing about its fee, and each replacement would be one transaction more for a chain that lags.
    """

    confirmations: int = 0
    finality_blocks: int = 64
    max_in_flight: int = 64
    fee_cap: Wei = Wei(200 * GWEI)
    urgent_fee_cap: Wei = Wei(1_000 * GWEI)
    urgent_before_s: int = 120
    least_tip: Wei = Wei(0)
    most_tip: Wei = Wei(5 * GWEI)
    replace_after_blocks: int = 3
    replace_after_s: float = 5.0
    rebroadcast_after_s: float = 15.0
    gap_grace_s: float = 5.0
    gas_margin_percent: int = 25
    simulation_attempts: int = 3
    keep_closed: int = 5_000


@dataclass(frozen=True)
class Pending:
    """Not mined deep enough yet. `blocked` says what it waits for (coin, a lower base fee), None in the normal case."""

    stage: State
    nonce: int | None
    hashes: tuple[bytes, ...]
    blocked: LilypadError | None


@dataclass(frozen=True)
class Mined:
    """Succeeded at the configured depth."""

    receipt: Receipt


@dataclass(frozen=True)
class Failed:
    """Will not happen: reverted (`receipt` if that cost gas), refused, or too late. Decide anew from the chain's state."""

    error: LilypadError
    receipt: Receipt | None


Status = Pending | Mined | Failed


@dataclass(frozen=True)
class PumpReport:
    """After one step: the head that was seen (None when there was nothing to do), counts by state, what is blocked."""

    head: ChainMoment | None
    counts: dict[State, int]
    blocked: dict[str, LilypadError]


def stored_error(action: Action, errors: ErrorTable) -> LilypadError:
    """The error that a failed action's record stands for, reverts decoded by `errors`."""
    record = action.error or {}
    message = str(record.get("message", ""))
    if record.get("kind") == "reverted":
        data = bytes.fromhex(record["data"])
        decoded = errors.decode(data) if data else None
        return ContractReverted(data, decoded=decoded, message=message, key=action.key)
    if record.get("kind") == "late":
        return DeadlinePassed(message, key=action.key, deadline=record["deadline"], time=record["time"])
    return TransactionRefused(message, key=action.key)


def late(action: Action, head: ChainMoment) -> dict[str, Any]:
    """The record of an action whose deadline lies before `head`."""
    message = f"The deadline of {action.key} passed {head.timestamp - (action.deadline or 0)} s ago."
    return {"kind": "late", "message": message, "deadline": action.deadline, "time": head.timestamp}
