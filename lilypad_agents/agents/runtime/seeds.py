"""What the source of randomness says of a period, and what it has to be shown to record a seed. Protocol 6.3 and 6.4."""

from __future__ import annotations

from enum import IntEnum

from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.deployment_plan import PREVRANDAO, SOURCES
from lilypad_agents.chain.randomness import read_header
from lilypad_agents.protocol.digest import deciding_block
from lilypad_agents.protocol.units import Period


class SeedStatus(IntEnum):
    """Twin of IRandomness.SeedStatus."""

    PENDING = 0
    KNOWN = 1
    EXPIRED = 2


def proof_of(randomness: Contract, period: Period) -> bytes:
    """What `record` of this source wants to see: the deciding block's header, or nothing. Raises HeaderUnknown."""
    proving = proving_of(randomness)
    return b"" if proving is None else read_header(randomness.rpc, deciding_block(period, *proving))


def proving_of(randomness: Contract) -> tuple[int, int] | None:
    """Blocks a period has, and from its first to the deciding one, where a header has to prove a seed; else None."""
    if randomness.abi.name != SOURCES[PREVRANDAO]:
        return None
    return int(randomness.call("periodBlocks")), int(randomness.call("LOOKAHEAD"))
