"""Seeds that participants make together: the times of a period and what is committed to. Twin of CommitRevealRandomness.

Times are unix seconds of block time, both ends of a window belong to it. Protocol 6.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from lilypad_agents.protocol.abi_codec import encode
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import Address, Bytes32, keccak256
from lilypad_agents.protocol.units import Period, Timestamp


@dataclass(frozen=True)
class Rounds:
    """What a deployment fixes. Times in seconds; `bond` in wei, for each commitment; `least_participants` of a seed."""

    period_s: int
    lookahead_s: int
    reveal_s: int
    bond: int
    least_participants: int = 2

    def period_at(self, time: int) -> Period:
        """The period that a second belongs to."""
        return Period(time // self.period_s)

    def start(self, period: int) -> Timestamp:
        """Its first second; commitments for it are taken in the period before."""
        return Timestamp(period * self.period_s)

    def reveal_start(self, period: int) -> Timestamp:
        """The first second in which its secrets are taken."""
        return Timestamp(self.start(period) + self.lookahead_s)

    def reveal_end(self, period: int) -> Timestamp:
        """The last second in which its secrets are taken."""
        return Timestamp(self.reveal_start(period) + self.reveal_s)

    def first_open(self, time: int) -> Period:
        """The earliest period whose secrets are taken at `time` or later; every later one is open as well."""
        return Period(max(0, -(-(time - self.lookahead_s - self.reveal_s) // self.period_s)))


def seed_commitment(chain_id: int, randomness: Address, period: int, account: Address, secret: bytes) -> Bytes32:
    """What `commit` takes: keccak256(abi.encode(chain id, randomness, period, account, secret)). `secret`: 32 bytes."""
    if len(secret) != 32:
        raise FieldInvalid("secret", "its length", "must be 32 bytes")
    kinds = ["uint256", "address", "uint32", "address", "bytes32"]
    return keccak256(encode(kinds, [chain_id, randomness, period, account, secret]))
