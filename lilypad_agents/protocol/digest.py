"""What a result is on chain: head, content, digest, commitment, and the lottery over it. Protocol 5.2, 5.3 and 6.3."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag

from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import ZERO, Address, Bytes32, Commitment, DealId, ResultDigest, keccak256
from lilypad_agents.protocol.units import WHOLE, Bps, Period, Units
from lilypad_agents.protocol.words import Layout, pack, unpack

_HEAD: Layout = (("units", 64), ("exit_code", 32), ("mask", 8))
_COMMITMENT_BITS = 176


class Part(IntFlag):
    """Parts of a result that its digest counts; the bits of the mask in the head."""

    EXIT_CODE = 1
    STDOUT = 2
    STDERR = 4
    OUTPUTS = 8
    UNITS = 16


_NAMES = {"exitCode": Part.EXIT_CODE, "stdout": Part.STDOUT, "stderr": Part.STDERR, "outputs": Part.OUTPUTS}


def counted_parts(names: Iterable[str], unit_price: int) -> Part:
    """The mask for a module's `compare.counts`; units count whenever they are priced.

    Raises FieldInvalid for a name that is no part.
    """
    mask = Part.UNITS if unit_price > 0 else Part(0)
    for name in names:
        if name not in _NAMES:
            raise FieldInvalid("compare", "counts", f"has no part {name!r}")
        mask |= _NAMES[name]
    return mask


@dataclass(frozen=True)
class Head:
    """units [0..63] | exit code [64..95] | mask of counted parts [96..103] | zero. Parts that do not count are 0."""

    units: Units
    exit_code: int
    mask: Part

    def pack(self) -> Bytes32:
        """Raises FieldInvalid for a number that does not fit its bits."""
        return pack(_HEAD, {"units": self.units, "exit_code": self.exit_code, "mask": int(self.mask)})

    @classmethod
    def unpack(cls, word: bytes) -> Head:
        """Raises FieldInvalid when a bit that has no meaning is set, an unknown part counts, or an uncounted one is not 0.

        The core charges by the units of any head; a panel and a creator must not agree to one that is malformed.
        """
        values = unpack(_HEAD, word)
        mask = Part(values["mask"])
        if values["mask"] & ~sum(Part):
            raise FieldInvalid("head", "mask", "counts a part that does not exist")
        if values["units"] and Part.UNITS not in mask:
            raise FieldInvalid("head", "units", "must be 0, since units do not count")
        if values["exit_code"] and Part.EXIT_CODE not in mask:
            raise FieldInvalid("head", "exitCode", "must be 0, since it does not count")
        return cls(Units(values["units"]), values["exit_code"], mask)


@dataclass(frozen=True)
class Opened:
    """Head and content, whose hash is the result digest."""

    head: Bytes32
    content: Bytes32

    @property
    def digest(self) -> ResultDigest:
        return result_digest(self.head, self.content)


def open_result(
    mask: Part,
    *,
    exit_code: int,
    units: Units,
    stdout_hash: bytes | None,
    stderr_hash: bytes | None,
    outputs_root: bytes | None,
) -> Opened:
    """Head and content of a result. Hashes: keccak256 of the streams; sha2-256 of the dag-pb root of `outputs/`.

    Parts that `mask` leaves out, or that are absent (None), are zero. Raises FieldInvalid for numbers out of range.
    """
    head = Head(
        units if Part.UNITS in mask else Units(0), exit_code if Part.EXIT_CODE in mask else 0, mask
    )
    content = content_of(
        stdout_hash if Part.STDOUT in mask else None,
        stderr_hash if Part.STDERR in mask else None,
        outputs_root if Part.OUTPUTS in mask else None,
    )
    return Opened(head.pack(), content)


def content_of(stdout_hash: bytes | None, stderr_hash: bytes | None, outputs_root: bytes | None) -> Bytes32:
    """keccak256(abi.encode(keccak256(stdout), keccak256(stderr), outputsRoot)); None: absent or not counted, a zero word."""
    parts = [ZERO if part is None else part for part in (stdout_hash, stderr_hash, outputs_root)]
    if any(len(part) != 32 for part in parts):
        raise FieldInvalid("content", "parts", "must be hashes of 32 bytes")
    return keccak256(b"".join(parts))


def result_digest(head: bytes, content: bytes) -> ResultDigest:
    return ResultDigest(keccak256(head + content))


def commitment(deal_id: DealId, provider: Address, digest: ResultDigest, salt: bytes) -> Commitment:
    """keccak256(abi.encode(dealId, provider, resultDigest, salt)), cut to its low 176 bits. `salt`: 32 random bytes."""
    if len(salt) != 32:
        raise FieldInvalid("commitment", "salt", "must be 32 bytes")
    word = keccak256(deal_id + bytes(12) + bytes.fromhex(provider[2:]) + digest + salt)
    return Commitment(int.from_bytes(word, "big") & (1 << _COMMITMENT_BITS) - 1)


# ---- the lottery


def deciding_period(submitted_in: Period) -> Period:
    """The period whose seed decides on a result submitted in a period: the next."""
    return Period(submitted_in + 1)


def is_drawn(seed: bytes, deal_id: DealId, audit_bps: Bps) -> bool:
    """Whether the seed of the deciding period sends the deal to an audit. A seed that was lost draws every deal."""
    return int.from_bytes(keccak256(seed + deal_id), "big") % WHOLE < audit_bps


def period_of(block: int, period_blocks: int) -> Period:
    return Period(block // period_blocks)


def deciding_block(period: Period, period_blocks: int, lookahead: int) -> int:
    """The block that decides a period's seed, for the sources that count blocks; known from the block after it on."""
    return period * period_blocks + lookahead
