"""Offers, terms and the record of a deal. Protocol section 3: what is signed, what is hashed, what an id is.

Amounts in smallest units, windows in seconds, rates in basis points. Accounts are checksummed text, ids and digests 32 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from tests.reference.words import NOBODY, ZERO, address_bits, keccak, packed, word, words

WHOLE = 10_000
UNLIMITED = 2**32 - 1


def divided_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


# ---- 3.1 and 3.2: offers


class JobOffer(NamedTuple):
    creator: str
    module: bytes
    inputs: bytes
    token: str
    max_price: int
    max_units: int
    cpu_milli: int
    ram_mib: int
    disk_mib: int
    gpu_count: int
    vram_mib: int
    flags: int
    submit_window: int
    judge_window: int
    collateral_bps: int
    audit_bps: int
    pool: bytes
    solver: str
    solver_fee_bps: int
    provider: str
    expiry: int
    nonce: int

    @property
    def hash(self) -> bytes:
        return keccak(_JOB_TYPE + words(*self))

    @property
    def dense(self) -> bytes:
        """Four words of calldata; what both offers share is sent once."""
        return (
            packed((self.creator, 160), (self.max_price, 96)) + self.inputs
            + packed((self.cpu_milli, 32), (self.ram_mib, 32), (self.disk_mib, 32), (self.vram_mib, 32), (self.gpu_count, 16),
                     (self.audit_bps, 16), (self.collateral_bps, 32), (self.submit_window, 32), (self.solver_fee_bps, 16))
            + packed((self.flags, 64), (self.max_units, 64), (self.expiry, 40), (self.nonce, 32), (self.judge_window, 32),
                     (self.provider != NOBODY, 1), (self.solver != NOBODY, 1))
        )  # fmt: skip


class ResourceOffer(NamedTuple):
    provider: str
    token: str
    price: int
    unit_price: int
    max_units: int
    cpu_milli: int
    ram_mib: int
    disk_mib: int
    gpu_count: int
    vram_mib: int
    flags: int
    modules: bytes  # zero: every version that is deterministic
    max_collateral_bps: int
    min_submit_window: int
    max_judge_window: int
    pool: bytes
    solver: str
    volume: int
    expiry: int
    nonce: int

    @property
    def hash(self) -> bytes:
        return keccak(_RESOURCE_TYPE + words(*self))

    def dense(self, solver: str) -> bytes:
        """Six words. `solver`: of the opening."""
        return (
            packed((self.provider, 160), (self.price, 96)) + packed((self.token, 160), (self.unit_price, 96))
            + packed((solver, 160), (self.flags, 64), (self.nonce, 32))
            + packed((self.cpu_milli, 32), (self.ram_mib, 32), (self.disk_mib, 32), (self.vram_mib, 32), (self.gpu_count, 16),
                     (0, 16), (self.max_collateral_bps, 32), (self.min_submit_window, 32), (self.max_judge_window, 32))
            + packed((self.max_units, 64), (self.expiry, 40), (self.volume, 32), (self.solver != NOBODY, 1)) + self.modules
        )  # fmt: skip


_JOB_TYPE = keccak(
    b"JobOffer(address creator,bytes32 module,bytes32 inputs,address token,uint96 maxPrice,uint64 maxUnits,uint32 cpuMilli,"
    b"uint32 ramMib,uint32 diskMib,uint16 gpuCount,uint32 vramMib,uint64 flags,uint32 submitWindow,uint32 judgeWindow,"
    b"uint32 collateralBps,uint16 auditBps,bytes32 pool,address solver,uint16 solverFeeBps,address provider,uint40 expiry,"
    b"uint32 nonce)"
)
_RESOURCE_TYPE = keccak(
    b"ResourceOffer(address provider,address token,uint96 price,uint96 unitPrice,uint64 maxUnits,uint32 cpuMilli,"
    b"uint32 ramMib,uint32 diskMib,uint16 gpuCount,uint32 vramMib,uint64 flags,bytes32 modules,uint32 maxCollateralBps,"
    b"uint32 minSubmitWindow,uint32 maxJudgeWindow,bytes32 pool,address solver,uint32 volume,uint40 expiry,uint32 nonce)"
)


# ---- 3.3: module terms and pool terms


@dataclass(frozen=True)
class ModuleTerms:
    publisher: str
    name_hash: bytes
    royalty_bps: int
    royalty_to: str
    deterministic: bool
    min_audit_bps: int
    min_seat_fee: int
    strategy: str = NOBODY
    metering: int = 1

    @cached_property
    def dense(self) -> bytes:
        """Six words."""
        return (
            packed((self.publisher, 160), (self.min_seat_fee, 96))
            + packed((self.royalty_to, 160), (self.royalty_bps, 16), (self.min_audit_bps, 16), (self.metering, 8),
                     (self.deterministic, 1))
            + word(self.strategy) + self.name_hash + ZERO + ZERO
        )  # fmt: skip

    @cached_property
    def id(self) -> bytes:
        return keccak(_MODULE_TYPE + self.dense)

    @cached_property
    def argument(self) -> bytes:
        """As a struct of calldata."""
        return words(self.publisher, self.name_hash, ZERO, ZERO, self.royalty_bps, self.royalty_to, self.deterministic,
                     self.strategy, self.min_audit_bps, self.min_seat_fee, self.metering)  # fmt: skip


@dataclass(frozen=True)
class PoolTerms:
    """All zero: pool 0, Unverified."""

    strategy: str = NOBODY
    token: str = NOBODY
    seat_fee_floor: int = 0
    seat_stake: int = 0
    max_value: int = 0
    commit_window: int = 0
    reveal_window: int = 0
    appeal_window: int = 0
    note: bytes = ZERO

    @property
    def is_verified(self) -> bool:
        return self.strategy != NOBODY

    @cached_property
    def dense(self) -> bytes:
        """Five words."""
        return (
            packed((self.strategy, 160), (self.seat_fee_floor, 96)) + packed((self.token, 160), (self.seat_stake, 96))
            + packed((self.max_value, 96), (self.commit_window, 32), (self.reveal_window, 32), (self.appeal_window, 32))
            + ZERO + self.note
        )  # fmt: skip

    @cached_property
    def id(self) -> bytes:
        return keccak(_POOL_TYPE + self.dense) if self.is_verified else ZERO

    @cached_property
    def argument(self) -> bytes:
        """As a struct of calldata."""
        return words(self.strategy, self.token, self.seat_fee_floor, self.seat_stake, self.max_value, ZERO,
                     self.commit_window, self.reveal_window, self.appeal_window, self.note)  # fmt: skip


_MODULE_TYPE = keccak(
    b"ModuleTerms(bytes32 publisherWord,bytes32 royaltyWord,bytes32 strategyWord,bytes32 nameHash,bytes32 manifest,bytes32 parent)"
)
_POOL_TYPE = keccak(b"PoolTerms(bytes32 strategyWord,bytes32 tokenWord,bytes32 limits,bytes32 members,bytes32 note)")


# ---- 3.4: the record, and 3.5: what a deal costs


class Pair(NamedTuple):
    """Two offers with the terms that both name, and whether each is signed by whom it binds."""

    job: JobOffer
    resource: ResourceOffer
    module: ModuleTerms
    pool: PoolTerms
    job_signed: bool = True
    resource_signed: bool = True

    @property
    def solver(self) -> str:
        return self.job.solver if self.resource.solver == NOBODY else self.resource.solver


@dataclass(frozen=True)
class Price:
    """What a deal of these numbers costs. Fees are rounded down, seat fee and premium up."""

    price: int
    unit_price: int
    max_units: int
    collateral: int
    seat_fee: int
    seat_floor: int
    audit_bps: int
    royalty_bps: int
    solver_fee_bps: int
    protocol_fee_bps: int
    verified: bool

    @cached_property
    def value(self) -> int:
        """The most that the provider can earn."""
        return self.price + self.unit_price * self.max_units

    @cached_property
    def premium(self) -> int:
        """1.1 times audit rate times seat fee."""
        return divided_up(11 * self.audit_bps * self.seat_fee, 10 * WHOLE) if self.verified else 0

    def gross(self, units: int) -> int:
        return self.price + self.unit_price * min(units, self.max_units)

    def fees(self, gross: int) -> tuple[int, int, int]:
        """Royalty, solver fee, and the fund's part: protocol fee and premium."""
        protocol = gross * self.protocol_fee_bps // WHOLE if self.verified else 0
        return gross * self.royalty_bps // WHOLE, gross * self.solver_fee_bps // WHOLE, protocol + self.premium

    @cached_property
    def total(self) -> int:
        """What the creator locks: everything at the maximum of units."""
        return self.value + sum(self.fees(self.value))

    @property
    def penalty(self) -> int:
        return min(self.collateral, self.value)

    @property
    def bounty(self) -> int:
        """A keeper's, out of the penalty."""
        return self.penalty // 100

    @property
    def decline_cost(self) -> int:
        return min(self.collateral, self.value // 100)

    @property
    def audit_fee(self) -> int:
        return 4 * self.seat_fee

    @property
    def challenge_fee(self) -> int:
        return 3 * self.seat_fee

    @property
    def delivery_fee(self) -> int:
        return 3 * self.seat_floor


def price_of(pair: Pair, protocol_fee_bps: int) -> Price:
    """Section 6.2: a seat's fee is 125 % of the value, at least the floor and what the module asks for."""
    job, resource, module, pool = pair.job, pair.resource, pair.module, pair.pool
    value = resource.price + resource.unit_price * job.max_units
    seat_fee = max(divided_up(value * 125, 100), pool.seat_fee_floor, module.min_seat_fee) if pool.is_verified else 0
    return Price(
        resource.price, resource.unit_price, job.max_units, value * job.collateral_bps // WHOLE, seat_fee, pool.seat_fee_floor,
        job.audit_bps, module.royalty_bps, job.solver_fee_bps if pair.solver != NOBODY else 0, protocol_fee_bps, pool.is_verified,
    )  # fmt: skip


class Record:
    """The terms of a deal, which whoever brings them proves by their hash. `separator`: of the EIP-712 domain."""

    def __init__(self, pair: Pair, price: Price, separator: bytes) -> None:
        job, self.pair, self.price, self.separator = pair.job, pair, price, separator
        self.creator, self.provider, self.solver, self.token = job.creator, pair.resource.provider, pair.solver, job.token
        self.publisher, self.strategy = pair.module.publisher, pair.pool.strategy
        self.module, self.pool = pair.module.id, pair.pool.id
        self.submit_window, self.judge_window = job.submit_window, job.judge_window

    def __deepcopy__(self, memo: object) -> Record:
        return self  # never changes

    @cached_property
    def accrual(self) -> bytes:
        """Hash of the place where the deal's fees accrue."""
        return accrual_hash(self.token, self.solver, self.strategy, self.module, self.pool)

    @cached_property
    def details(self) -> bytes:
        """Hash of the last six words."""
        return keccak(_DETAILS_TYPE + self.dense[192:])

    @cached_property
    def shared(self) -> bytes:
        """What the deals of a settlement have in common."""
        return self.dense[:128] + self.accrual

    @cached_property
    def dense(self) -> bytes:
        """Twelve words."""
        p, job, module = self.price, self.pair.job, self.pair.module
        royalty_to = address_bits(module.royalty_to)
        return (
            packed((self.creator, 160), (p.collateral, 96)) + packed((self.provider, 160), (p.price, 96))
            + packed((self.token, 160), (p.unit_price, 96))
            + packed((p.max_units, 64), (p.seat_fee, 96), (p.audit_bps, 16), (p.royalty_bps, 16), (p.solver_fee_bps, 16),
                     (self.judge_window, 32))
            + self.module + self.pool + packed((self.solver, 160), (royalty_to & (1 << 96) - 1, 96))
            + packed((self.strategy, 160), (royalty_to >> 96, 64), (self.submit_window, 32))
            + packed((self.publisher, 160), (p.seat_floor, 96)) + self.resource_hash + job.inputs + self.job_hash
        )  # fmt: skip

    @cached_property
    def job_hash(self) -> bytes:
        return self.pair.job.hash

    @cached_property
    def resource_hash(self) -> bytes:
        return self.pair.resource.hash

    @cached_property
    def id(self) -> bytes:
        return digest_of(self.separator, keccak(_DEAL_TYPE + self.shared + self.details))


_ACCRUAL = b"Accrual(address token,address solver,address strategy,bytes32 module,bytes32 pool)"
_DETAILS = (
    b"Details(bytes32 solver,bytes32 strategy,bytes32 publisher,bytes32 resourceOfferHash,bytes32 inputs,bytes32 jobOfferHash)"
)
_ACCRUAL_TYPE, _DETAILS_TYPE = keccak(_ACCRUAL), keccak(_DETAILS)
_DEAL_TYPE = keccak(
    b"Deal(bytes32 creator,bytes32 provider,bytes32 token,bytes32 numbers,Accrual accrual,Details details)" + _ACCRUAL + _DETAILS
)


def accrual_hash(token: str, solver: str, strategy: str, module: bytes, pool: bytes) -> bytes:
    return keccak(_ACCRUAL_TYPE + words(token, solver, strategy, module, pool))


# ---- what is signed, section 3.4


def separator_of(chain_id: int, core: str) -> bytes:
    kind = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    return keccak(kind + keccak(b"Lilypad") + keccak(b"1") + words(chain_id, core))


def digest_of(separator: bytes, struct_hash: bytes) -> bytes:
    return keccak(b"\x19\x01" + separator + struct_hash)


_MESSAGES = {
    "Result": keccak(b"Result(bytes32 dealId,uint176 commitment)"),
    "Acceptance": keccak(b"Acceptance(bytes32 dealId,bytes32 resultDigest)"),
    "Waiver": keccak(b"Waiver(string statement,bytes32 dealId,bytes32 resultDigest)") + keccak(b"I have checked this result myself"),
    "Closing": keccak(b"Closing(bytes32 dealId,uint96 toCreator,uint96 toProvider,uint40 expiry)"),
}


def message_hash(name: str, *values: int | str | bytes) -> bytes:
    return keccak(_MESSAGES[name] + words(*values))


# ---- 5.2 and 5.3: results


class Opening(NamedTuple):
    """What a commitment hides."""

    head: bytes  # units [0..63] and more
    content: bytes
    salt: bytes

    @property
    def units(self) -> int:
        return int.from_bytes(self.head[24:], "big")

    @property
    def digest(self) -> bytes:
        return keccak(self.head + self.content)


def commitment_of(deal_id: bytes, provider: str, digest: bytes, salt: bytes) -> int:
    """The low 176 bits."""
    return int.from_bytes(keccak(deal_id + word(provider) + digest + salt)[10:], "big")


def is_drawn(seed: bytes, deal_id: bytes, audit_bps: int) -> bool:
    """Section 6.3."""
    return int.from_bytes(keccak(seed + deal_id), "big") % WHOLE < audit_bps
