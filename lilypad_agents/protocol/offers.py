"""Job offers and resource offers: what creators and providers sign. Twins of contracts/types/{Job,Resource}Offer.sol.

An offer has three forms: readable typed data (`consent.typed_data`), JSON between agents (`to_json`, `from_json`), and
dense words in the calldata of an opening (`words`, `from_words`), where what both offers share is sent once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from lilypad_agents.protocol.errors import OffersDiffer
from lilypad_agents.protocol.ids import NOBODY, Address, Bytes32, VersionId, address_of, address_word
from lilypad_agents.protocol.structs import StructType, TypedStruct
from lilypad_agents.protocol.units import UNLIMITED_VOLUME, Amount, Bps, CpuMilli, Mib, Nonce, Seconds, Timestamp, Units
from lilypad_agents.protocol.words import Layout, checked, pack, unpack

_JOB_WORDS: tuple[Layout, ...] = (
    (("creator", 160), ("max_price", 96)),
    (("inputs", 256),),
    (("cpu_milli", 32), ("ram_mib", 32), ("disk_mib", 32), ("vram_mib", 32), ("gpu_count", 16), ("audit_bps", 16),
     ("collateral_bps", 32), ("submit_window", 32), ("solver_fee_bps", 16)),
    (("flags", 64), ("max_units", 64), ("expiry", 40), ("nonce", 32), ("judge_window", 32), ("names_provider", 1),
     ("names_solver", 1)),
)  # fmt: skip
_RESOURCE_WORDS: tuple[Layout, ...] = (
    (("provider", 160), ("price", 96)),
    (("token", 160), ("unit_price", 96)),
    (("solver", 160), ("flags", 64), ("nonce", 32)),
    (("cpu_milli", 32), ("ram_mib", 32), ("disk_mib", 32), ("vram_mib", 32), ("gpu_count", 16), ("zero", 16),
     ("max_collateral_bps", 32), ("min_submit_window", 32), ("max_judge_window", 32)),
    (("max_units", 64), ("expiry", 40), ("volume", 32), ("names_solver", 1)),
    (("modules", 256),),
)  # fmt: skip


@dataclass(frozen=True)
class Resources:
    """What a job needs or a machine has."""

    cpu_milli: CpuMilli = CpuMilli(0)
    ram_mib: Mib = Mib(0)
    disk_mib: Mib = Mib(0)
    gpu_count: int = 0
    vram_mib: Mib = Mib(0)  # per GPU
    flags: int = 0  # capability bits

    def covers(self, needed: Resources) -> bool:
        """Whether each need is at most what is here, and the needed flags are a subset."""
        return (
            needed.cpu_milli <= self.cpu_milli
            and needed.ram_mib <= self.ram_mib
            and needed.disk_mib <= self.disk_mib
            and needed.gpu_count <= self.gpu_count
            and needed.vram_mib <= self.vram_mib
            and needed.flags & ~self.flags == 0
        )


@dataclass(frozen=True)
class JobOffer(TypedStruct):
    """What a creator signs. Protocol 3.1."""

    creator: Address
    module: VersionId
    inputs: bytes  # sha2-256 of the canonical inputs document
    token: Address
    max_price: Amount  # the most the creator pays, all fees included
    max_units: Units
    cpu_milli: CpuMilli
    ram_mib: Mib
    disk_mib: Mib
    gpu_count: int
    vram_mib: Mib  # per GPU
    flags: int  # capability bits the provider must have
    submit_window: Seconds
    judge_window: Seconds
    collateral_bps: Bps  # of the deal's value
    audit_bps: Bps
    pool: bytes  # pool id; zero: Unverified
    solver: Address  # nobody: any
    solver_fee_bps: Bps  # of gross
    provider: Address  # nobody: any
    expiry: Timestamp  # the last second at which it may be opened
    nonce: Nonce

    TYPE: ClassVar[StructType] = StructType.parse(
        "JobOffer(address creator,bytes32 module,bytes32 inputs,address token,uint96 maxPrice,uint64 maxUnits,"
        "uint32 cpuMilli,uint32 ramMib,uint32 diskMib,uint16 gpuCount,uint32 vramMib,uint64 flags,uint32 submitWindow,"
        "uint32 judgeWindow,uint32 collateralBps,uint16 auditBps,bytes32 pool,address solver,uint16 solverFeeBps,"
        "address provider,uint40 expiry,uint32 nonce)"
    )

    @property
    def requirements(self) -> Resources:
        return Resources(self.cpu_milli, self.ram_mib, self.disk_mib, self.gpu_count, self.vram_mib, self.flags)

    def words(self) -> tuple[Bytes32, ...]:
        """The offer's own fields as four words; the rest travels with the resource offer."""
        values = _numbers(self, _JOB_WORDS, ("names_provider", "names_solver"))
        values["names_provider"] = int(self.provider != NOBODY)
        values["names_solver"] = int(self.solver != NOBODY)
        return tuple(pack(layout, values) for layout in _JOB_WORDS)

    @classmethod
    def from_words(
        cls, words: Iterable[bytes], *, token: Address, module: VersionId, pool: bytes, solver: Address, provider: Address
    ) -> JobOffer:
        """The offer behind the words of an opening and what it shares with the resource offer.

        Raises FieldInvalid when a bit that has no meaning is set.
        """
        values = _values(words, _JOB_WORDS)
        values["creator"] = address_of(values["creator"])
        values["inputs"] = values["inputs"].to_bytes(32, "big")
        values["provider"] = provider if values.pop("names_provider") else NOBODY
        values["solver"] = solver if values.pop("names_solver") else NOBODY
        return cls(token=token, module=module, pool=pool, **values)


@dataclass(frozen=True)
class ResourceOffer(TypedStruct):
    """What a provider signs. Protocol 3.2."""

    provider: Address
    token: Address
    price: Amount  # fixed part, net
    unit_price: Amount  # per metered unit, net
    max_units: Units
    cpu_milli: CpuMilli
    ram_mib: Mib
    disk_mib: Mib
    gpu_count: int
    vram_mib: Mib  # per GPU
    flags: int  # capability bits it has
    modules: bytes  # Merkle root of version ids; zero: any whose terms say deterministic
    max_collateral_bps: Bps  # of the deal's value
    min_submit_window: Seconds
    max_judge_window: Seconds
    pool: bytes  # pool id; zero: Unverified
    solver: Address  # nobody: any
    volume: int  # deals that may be opened on this signature; UNLIMITED_VOLUME: bounded by collateral only
    expiry: Timestamp  # the last second at which it may be opened
    nonce: Nonce

    TYPE: ClassVar[StructType] = StructType.parse(
        "ResourceOffer(address provider,address token,uint96 price,uint96 unitPrice,uint64 maxUnits,uint32 cpuMilli,"
        "uint32 ramMib,uint32 diskMib,uint16 gpuCount,uint32 vramMib,uint64 flags,bytes32 modules,"
        "uint32 maxCollateralBps,uint32 minSubmitWindow,uint32 maxJudgeWindow,bytes32 pool,address solver,uint32 volume,"
        "uint40 expiry,uint32 nonce)"
    )

    @property
    def resources(self) -> Resources:
        return Resources(self.cpu_milli, self.ram_mib, self.disk_mib, self.gpu_count, self.vram_mib, self.flags)

    @property
    def is_unlimited(self) -> bool:
        return self.volume == UNLIMITED_VOLUME

    def words(self, solver: Address | None = None) -> tuple[Bytes32, ...]:
        """Six words. `solver`: the one that the job offers of the opening name, where this offer names none.

        Raises OffersDiffer when this offer names another one.
        """
        solver = self.solver if solver is None else solver
        if self.solver not in (NOBODY, solver):
            raise OffersDiffer("solver", solver, self.solver)
        values = _numbers(self, _RESOURCE_WORDS, ("names_solver", "solver", "zero"))
        values["names_solver"] = int(self.solver != NOBODY)
        values["solver"] = address_word(solver)
        values["zero"] = 0
        return tuple(pack(layout, values) for layout in _RESOURCE_WORDS)

    @classmethod
    def from_words(cls, words: Iterable[bytes], *, pool: bytes) -> tuple[ResourceOffer, Address]:
        """The offer behind the words of an opening, and the solver that either offer may name.

        Raises FieldInvalid when a bit that has no meaning is set.
        """
        values = _values(words, _RESOURCE_WORDS)
        solver = address_of(values["solver"])
        values["solver"] = solver if values.pop("names_solver") else NOBODY
        values["provider"] = address_of(values["provider"])
        values["token"] = address_of(values["token"])
        values["modules"] = values["modules"].to_bytes(32, "big")
        return cls(pool=pool, **values), solver


def solver_of(job: JobOffer, resource: ResourceOffer) -> Address:
    """The solver that a deal of both offers pays; nobody when neither names one. Raises OffersDiffer for two."""
    if NOBODY not in (job.solver, resource.solver) and job.solver != resource.solver:
        raise OffersDiffer("solver", job.solver, resource.solver)
    return resource.solver if job.solver == NOBODY else job.solver


def _numbers(offer: TypedStruct, layouts: tuple[Layout, ...], without: tuple[str, ...]) -> dict[str, int]:
    """The fields of the layouts as numbers."""
    values = {}
    for field, bits in (entry for layout in layouts for entry in layout):
        if field in without:
            continue
        value = getattr(offer, field)
        if bits == 160:
            value = address_word(value)
        values[field] = int.from_bytes(value, "big") if isinstance(value, bytes) else value
    return values


def _values(words: Iterable[bytes], layouts: tuple[Layout, ...]) -> dict[str, int]:
    values = {}
    for layout, word in zip(layouts, checked(words, len(layouts)), strict=True):
        values.update(unpack(layout, word))
    return values
