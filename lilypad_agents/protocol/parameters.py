"""Parameters that a deployment fixes at construction, and the two sets of protocol section 15."""

from __future__ import annotations

from dataclasses import dataclass

from lilypad_agents.protocol.ids import NOBODY, Address
from lilypad_agents.protocol.units import Bps, Seconds


@dataclass(frozen=True)
class Parameters:
    """What `Lilypad.parameters()` answers; field order as in the struct ILilypad.Parameters."""

    randomness: Address
    protocol_fee_bps: Bps  # of gross, to the audit fund
    min_submit_window: Seconds
    max_submit_window: Seconds
    min_judge_window: Seconds
    max_judge_window: Seconds
    reveal_window: Seconds
    mediation_limit: Seconds


DAY = 86_400


def production(max_judge_window: Seconds, randomness: Address = NOBODY) -> Parameters:
    """`max_judge_window`: half of the randomness's life, at most 65,535 s."""
    return Parameters(
        randomness, Bps(100), Seconds(30), Seconds(7 * DAY), Seconds(300), max_judge_window, Seconds(3 * 3_600),
        Seconds(7 * DAY),
    )


def devnet(max_judge_window: Seconds, randomness: Address = NOBODY) -> Parameters:
    """`max_judge_window`: as above. With 6 blocks of 1 s a period the delay is 9 s, so a reveal window of 30 s holds."""
    return Parameters(
        randomness, Bps(100), Seconds(5), Seconds(7 * DAY), Seconds(5), max_judge_window, Seconds(30), Seconds(600)
    )
