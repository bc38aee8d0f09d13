"""Jobs asked for by contracts: requests, and what their answers consist of. Twin of contracts/types/Job{Terms,Request}.sol.

A request is the job offer of the contract that asks: its id is the offer's struct hash, and the contract approved the
offer in the core, so its signature argument is empty. Protocol 9.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from lilypad_agents.protocol.ids import Address, OfferHash, VersionId
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.offers import JobOffer
from lilypad_agents.protocol.units import Amount, Bps, CpuMilli, Mib, Nonce, Seconds, Timestamp, Units

MAX_INLINE_BYTES = 1024  # of standard output, handed over with a result
MAX_INPUTS_BYTES = 32 * 1024  # of an inputs document in a request


class JobOutcome(IntEnum):
    """How a request ended."""

    NONE = 0
    FULFILLED = 1
    EXPIRED = 2  # nobody opened a deal in time
    CANCELLED = 3  # by the requester, before a deal was opened
    LATE = 4
    WRONG = 5
    NO_FAULT = 6
    CLOSED = 7


class RequestState(IntEnum):
    """How far its delivery is."""

    NONE = 0
    REQUESTED = 1
    DELIVERED = 2
    CALLBACK_FAILED = 3  # may be tried again by anyone


_OUTCOMES: Mapping[Status, JobOutcome] = MappingProxyType(
    {
        Status.ACCEPTED: JobOutcome.FULFILLED,
        Status.MEDIATION_ACCEPTED: JobOutcome.FULFILLED,
        Status.MEDIATION_REJECTED: JobOutcome.WRONG,
        Status.NO_FAULT: JobOutcome.NO_FAULT,
        Status.TIMED_OUT: JobOutcome.LATE,
        Status.CLOSED_BY_AGREEMENT: JobOutcome.CLOSED,
    }
)


def outcome_of(status: Status) -> JobOutcome:
    """What the end of its deal means for a request; NONE while it is not over. A declined deal leaves it open."""
    return _OUTCOMES.get(status, JobOutcome.NONE)


class JobTerms(NamedTuple):
    """A job offer but for its creator, who asks, and the digest of its inputs, in the order of the contract's struct."""

    module: VersionId
    token: Address
    max_price: Amount
    max_units: Units
    cpu_milli: CpuMilli
    ram_mib: Mib
    disk_mib: Mib
    gpu_count: int
    vram_mib: Mib
    flags: int
    submit_window: Seconds
    judge_window: Seconds
    collateral_bps: Bps
    audit_bps: Bps
    pool: bytes
    solver: Address
    solver_fee_bps: Bps
    provider: Address
    expiry: Timestamp
    nonce: Nonce

    @classmethod
    def of(cls, offer: JobOffer) -> JobTerms:
        return cls(*(getattr(offer, name) for name in cls._fields))

    def offer(self, creator: Address, inputs: bytes) -> JobOffer:
        """The job offer. `inputs`: sha2-256 of the inputs document."""
        return JobOffer(creator=creator, inputs=inputs, **self._asdict())


class ResultParts(NamedTuple):
    """The opening of a result with the parts of its content; parts that do not count are zero words."""

    head: bytes
    stdout_hash: bytes
    stderr_hash: bytes
    outputs_root: bytes
    salt: bytes


@dataclass(frozen=True)
class JobRequest:
    """What a contract asked for. `inputs` is the document itself, which nobody has checked yet."""

    id: OfferHash
    requester: Address
    terms: JobTerms
    inputs: bytes
    callback_gas: int

    @property
    def inputs_digest(self) -> bytes:
        return hashlib.sha256(self.inputs).digest()

    @property
    def offer(self) -> JobOffer:
        """The requester's job offer; its struct hash is the id."""
        return self.terms.offer(self.requester, self.inputs_digest)
