"""Terms of module versions and pools, identified by their hash. Twin of contracts/types/Terms.sol, protocol 3.3."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar

from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import (
    NOBODY,
    UNVERIFIED_POOL,
    ZERO,
    Address,
    Bytes32,
    OfferHash,
    PoolId,
    VersionId,
    address_of,
    address_word,
    keccak256,
)
from lilypad_agents.protocol.structs import StructType, TypedStruct
from lilypad_agents.protocol.units import Amount, Bps, Seconds
from lilypad_agents.protocol.words import Layout, checked, pack, unpack

_MODULE_WORDS: tuple[Layout, ...] = (
    (("publisher", 160), ("min_seat_fee", 96)),
    (("royalty_to", 160), ("royalty_bps", 16), ("min_audit_bps", 16), ("metering", 8), ("deterministic", 1)),
    (("strategy", 160),),
)
_MODULE_TYPE = StructType.parse(
    "ModuleTerms(bytes32 publisherWord,bytes32 royaltyWord,bytes32 strategyWord,bytes32 nameHash,bytes32 manifest,bytes32 parent)"
)
_POOL_WORDS: tuple[Layout, ...] = (
    (("strategy", 160), ("seat_fee_floor", 96)),
    (("token", 160), ("seat_stake", 96)),
    (("max_value", 96), ("commit_window", 32), ("reveal_window", 32), ("appeal_window", 32)),
)
_POOL_TYPE = StructType.parse("PoolTerms(bytes32 strategyWord,bytes32 tokenWord,bytes32 limits,bytes32 members,bytes32 note)")


class Metering(IntEnum):
    """What a module's units count."""

    NONE = 0
    FUEL = 1
    TOKENS = 2
    BYTES = 3


@dataclass(frozen=True)
class ModuleTerms(TypedStruct):
    """What a module version promises for ever. `id` is the version id."""

    publisher: Address
    name_hash: bytes  # keccak256 of "name:version"
    manifest: bytes  # sha2-256 of the canonical manifest
    parent: bytes  # version id it was forked from, or zero
    royalty_bps: Bps  # of gross; the core refuses more than 3000
    royalty_to: Address
    deterministic: bool
    strategy: Address  # nobody: any that the pool names
    min_audit_bps: Bps
    min_seat_fee: Amount  # what one re-run costs
    metering: int  # Metering

    TYPE: ClassVar[StructType] = StructType.parse(
        "ModuleTerms(address publisher,bytes32 nameHash,bytes32 manifest,bytes32 parent,uint16 royaltyBps,"
        "address royaltyTo,bool deterministic,address strategy,uint16 minAuditBps,uint96 minSeatFee,uint8 metering)"
    )

    @cached_property
    def words(self) -> tuple[Bytes32, ...]:
        """The terms as the core takes them: six dense words."""
        values = {field: getattr(self, field) for layout in _MODULE_WORDS for field, _ in layout}
        values |= {field: address_word(values[field]) for field in ("publisher", "royalty_to", "strategy")}
        dense = (pack(layout, values) for layout in _MODULE_WORDS)
        return (*dense, *(Bytes32(word) for word in (self.name_hash, self.manifest, self.parent)))

    @classmethod
    def from_words(cls, words: Iterable[bytes]) -> ModuleTerms:
        """The terms behind their words. Raises FieldInvalid when a bit that has no meaning is set, as the contract does."""
        *dense, name_hash_, manifest, parent = checked(words, 6)
        values: dict[str, Any] = {}
        for layout, word in zip(_MODULE_WORDS, dense, strict=True):
            values.update(unpack(layout, word))
        for field in ("publisher", "royalty_to", "strategy"):
            values[field] = address_of(values[field])
        values["deterministic"] = bool(values["deterministic"])
        return cls(name_hash=name_hash_, manifest=manifest, parent=parent, **values)

    @cached_property
    def struct_hash(self) -> OfferHash:
        """EIP-712 struct hash of the words."""
        return OfferHash(keccak256(_MODULE_TYPE.hash + b"".join(self.words)))

    @property
    def id(self) -> VersionId:
        return VersionId(self.struct_hash)


@dataclass(frozen=True)
class PoolTerms(TypedStruct):
    """Who judges and what a seat costs. `id` is the pool id. Without a strategy it is UNVERIFIED, all zero."""

    strategy: Address
    token: Address
    seat_fee_floor: Amount
    seat_stake: Amount
    max_value: Amount
    members: bytes  # Merkle root of the accounts that may stake; zero: open to all
    commit_window: Seconds
    reveal_window: Seconds
    appeal_window: Seconds
    note: bytes  # digest of a description

    TYPE: ClassVar[StructType] = StructType.parse(
        "PoolTerms(address strategy,address token,uint96 seatFeeFloor,uint96 seatStake,uint96 maxValue,bytes32 members,"
        "uint32 commitWindow,uint32 revealWindow,uint32 appealWindow,bytes32 note)"
    )

    def __post_init__(self) -> None:
        """Raises FieldInvalid, also for terms that name no strategy and yet say something: they would be Unverified."""
        super().__post_init__()
        if self.strategy == NOBODY and any(self.TYPE.encode(self)[32:]):
            raise FieldInvalid("PoolTerms", "strategy", "must be named, or all other fields be zero")

    @property
    def is_verified(self) -> bool:
        return self.strategy != NOBODY

    @cached_property
    def words(self) -> tuple[Bytes32, ...]:
        """The terms as the core takes them: five dense words."""
        values = {field: getattr(self, field) for layout in _POOL_WORDS for field, _ in layout}
        values |= {field: address_word(values[field]) for field in ("strategy", "token")}
        return (*(pack(layout, values) for layout in _POOL_WORDS), Bytes32(self.members), Bytes32(self.note))

    @classmethod
    def from_words(cls, words: Iterable[bytes]) -> PoolTerms:
        """The terms behind their words. Raises FieldInvalid when a bit that has no meaning is set, as the contract does."""
        *dense, members, note = checked(words, 5)
        values: dict[str, Any] = {}
        for layout, word in zip(_POOL_WORDS, dense, strict=True):
            values.update(unpack(layout, word))
        for field in ("strategy", "token"):
            values[field] = address_of(values[field])
        return cls(members=members, note=note, **values)

    @cached_property
    def struct_hash(self) -> OfferHash:
        """EIP-712 struct hash of the words."""
        return OfferHash(keccak256(_POOL_TYPE.hash + b"".join(self.words)))

    @property
    def id(self) -> PoolId:
        return PoolId(self.struct_hash) if self.is_verified else UNVERIFIED_POOL


UNVERIFIED = PoolTerms(
    NOBODY, NOBODY, Amount(0), Amount(0), Amount(0), ZERO, Seconds(0), Seconds(0), Seconds(0), ZERO
)


def name_hash(name: str, version: str) -> bytes:
    """The `name_hash` of a version: keccak256 of "name:version"."""
    return keccak256(f"{name}:{version}".encode("utf-8"))
