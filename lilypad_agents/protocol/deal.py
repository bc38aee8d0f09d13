"""The record of a deal and what follows from it: id, dense words, deadlines. Twin of contracts/types/Deal.sol."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.errors import FieldInvalid, OffersDiffer
from lilypad_agents.protocol.ids import (
    NOBODY,
    Address,
    Bytes32,
    DealId,
    OfferHash,
    VersionId,
    address_of,
    address_word,
    keccak256,
)
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer, solver_of
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.price import figures_of, value_of
from lilypad_agents.protocol.structs import StructType, TypedStruct
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import Amount, Bps, Period, Seconds, Timestamp, Units
from lilypad_agents.protocol.words import Layout, checked, pack, unpack

_ADDRESSES = ("creator", "provider", "solver", "publisher", "strategy", "token")  # royalty_to stands in two parts
_LOW_ROYALTY_BITS = 96
_MONEY_WORDS: tuple[Layout, ...] = (
    (("creator", 160), ("collateral", 96)),
    (("provider", 160), ("price", 96)),
    (("token", 160), ("unit_price", 96)),
    (
        ("max_units", 64), ("seat_fee", 96), ("audit_bps", 16), ("royalty_bps", 16), ("solver_fee_bps", 16),
        ("judge_window", 32),
    ),
)  # fmt: skip
_OTHER_WORDS: tuple[Layout, ...] = (
    (("solver", 160), ("royalty_low", 96)),
    (("strategy", 160), ("royalty_high", 64), ("submit_window", 32)),
    (("publisher", 160), ("seat_floor", 96)),
)
_ACCRUAL = "Accrual(address token,address solver,address strategy,bytes32 module,bytes32 pool)"
_DETAILS = (
    "Details(bytes32 solver,bytes32 strategy,bytes32 publisher,bytes32 resourceOfferHash,bytes32 inputs,bytes32 jobOfferHash)"
)
_ACCRUAL_TYPE, _DETAILS_TYPE = StructType.parse(_ACCRUAL), StructType.parse(_DETAILS)
_TYPE_HASH = keccak256(
    b"Deal(bytes32 creator,bytes32 provider,bytes32 token,bytes32 numbers,Accrual accrual,Details details)"
    + (_ACCRUAL + _DETAILS).encode("ascii")
)


@dataclass(frozen=True)
class Deal(TypedStruct):
    """All terms of a deal; the EIP-712 digest of their dense words is the deal id. Protocol 3.4."""

    creator: Address
    provider: Address
    solver: Address  # nobody: none
    publisher: Address
    royalty_to: Address
    strategy: Address  # nobody in the Unverified pool
    token: Address
    module: VersionId
    inputs: bytes
    pool: bytes
    price: Amount
    unit_price: Amount
    max_units: Units
    collateral: Amount
    seat_fee: Amount
    seat_floor: Amount
    submit_window: Seconds
    judge_window: Seconds
    audit_bps: Bps
    royalty_bps: Bps
    solver_fee_bps: Bps
    job_offer_hash: bytes
    resource_offer_hash: bytes

    TYPE: ClassVar[StructType] = StructType.parse(
        "Deal(address creator,address provider,address solver,address publisher,address royaltyTo,address strategy,"
        "address token,bytes32 module,bytes32 inputs,bytes32 pool,uint96 price,uint96 unitPrice,uint64 maxUnits,"
        "uint96 collateral,uint96 seatFee,uint96 seatFloor,uint32 submitWindow,uint32 judgeWindow,uint16 auditBps,"
        "uint16 royaltyBps,uint16 solverFeeBps,bytes32 jobOfferHash,bytes32 resourceOfferHash)"
    )

    def id(self, domain: Domain) -> DealId:
        """The deal id on one chain and core."""
        return DealId(domain.digest(self.struct_hash))

    @property
    def is_verified(self) -> bool:
        return any(self.pool)

    @cached_property
    def value(self) -> Amount:
        """The most the provider can earn."""
        return value_of(self.price, self.unit_price, self.max_units)

    @cached_property
    def words(self) -> tuple[Bytes32, ...]:
        """The record: twelve words."""
        values = dict(vars(self))
        for field in _ADDRESSES:
            values[field] = address_word(values[field])
        royalty_to = address_word(self.royalty_to)
        values["royalty_low"] = royalty_to & (1 << _LOW_ROYALTY_BITS) - 1
        values["royalty_high"] = royalty_to >> _LOW_ROYALTY_BITS
        money = tuple(pack(layout, values) for layout in _MONEY_WORDS)
        other = tuple(pack(layout, values) for layout in _OTHER_WORDS)
        hashes = (self.resource_offer_hash, self.inputs, self.job_offer_hash)
        return (*money, Bytes32(self.module), Bytes32(self.pool), *other, *(Bytes32(word) for word in hashes))

    @cached_property
    def accrual(self) -> Bytes32:
        """Hash of the nested struct Accrual: where the deal's fees accrue."""
        return keccak256(_ACCRUAL_TYPE.encode(self))

    @cached_property
    def details(self) -> Bytes32:
        """Hash of the nested struct Details: the words that a settlement does not read."""
        return keccak256(_DETAILS_TYPE.hash + b"".join(self.words[6:]))

    @cached_property
    def struct_hash(self) -> OfferHash:
        """EIP-712 struct hash of the words, without a domain."""
        return OfferHash(keccak256(_TYPE_HASH + b"".join(self.shared) + self.details))

    @property
    def shared(self) -> tuple[Bytes32, ...]:
        """What the deals of a settlement have in common: the first four words, and where fees accrue."""
        return (*self.words[:4], self.accrual)

    @classmethod
    def from_words(cls, words: Iterable[bytes]) -> Deal:
        """The deal of a record. Raises FieldInvalid when a bit that has no meaning is set, as the contract does."""
        found = checked(words, 12)
        values: dict[str, int | str] = {}
        for layout, word in zip(_MONEY_WORDS + _OTHER_WORDS, found[:4] + found[6:9], strict=True):
            values.update(unpack(layout, word))
        for field in _ADDRESSES:
            values[field] = address_of(values[field])
        royalty_to = address_of(values.pop("royalty_low") | values.pop("royalty_high") << _LOW_ROYALTY_BITS)
        resource_offer_hash, inputs, job_offer_hash = found[9:]
        return cls(
            module=found[4], pool=found[5], royalty_to=royalty_to, resource_offer_hash=resource_offer_hash, inputs=inputs,
            job_offer_hash=job_offer_hash, **values,
        )  # fmt: skip


def counterparts(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms
) -> list[tuple[str, object, object]]:
    """What keeps offers and terms from being of one deal: (field, in the job offer, in the counterpart). Empty: nothing."""
    pairs: list[tuple[str, object, object]] = [
        ("token", job.token, resource.token),
        ("module", job.module, module.id),
        ("pool", job.pool, resource.pool),
        ("pool terms", job.pool, pool.id),
    ]
    if job.provider != NOBODY:
        pairs.append(("provider", job.provider, resource.provider))
    if NOBODY not in (job.solver, resource.solver):
        pairs.append(("solver", job.solver, resource.solver))
    return [(name, ours, theirs) for name, ours, theirs in pairs if ours != theirs]


def require_counterparts(job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms) -> None:
    """Raises OffersDiffer when they cannot become one deal."""
    for name, ours, theirs in counterparts(job, resource, module, pool):
        raise OffersDiffer(name, _shown(ours), _shown(theirs))


def _shown(value: object) -> object:
    return "0x" + value.hex() if isinstance(value, bytes) else value


def deal_from_offers(job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms) -> Deal:
    """The record that an opening of these offers makes, whether or not the core would accept it (see `matching.why_not`).

    Raises OffersDiffer when they cannot be counterparts, FieldInvalid when an amount does not fit its 96 bits.
    """
    require_counterparts(job, resource, module, pool)
    figures = figures_of(job, resource, module, pool)
    return Deal(
        creator=job.creator,
        provider=resource.provider,
        solver=solver_of(job, resource),
        publisher=module.publisher,
        royalty_to=module.royalty_to,
        strategy=pool.strategy,
        token=job.token,
        module=job.module,
        inputs=job.inputs,
        pool=job.pool,
        price=figures.price,
        unit_price=figures.unit_price,
        max_units=figures.max_units,
        collateral=figures.collateral,
        seat_fee=figures.seat_fee,
        seat_floor=figures.seat_floor,
        submit_window=job.submit_window,
        judge_window=job.judge_window,
        audit_bps=figures.audit_bps,
        royalty_bps=figures.royalty_bps,
        solver_fee_bps=figures.solver_fee_bps,
        job_offer_hash=job.struct_hash,
        resource_offer_hash=resource.struct_hash,
    )


@dataclass(frozen=True)
class DealState:
    """What the chain knows of a deal (`Lilypad.dealOf`); fields in its order.

    `deadline`: of the status; in final states the time of the end. `commitment` is 0 until a result is posted.
    """

    status: Status
    kind: DisputeKind
    delivery_challenged: bool
    deadline: Timestamp
    period: Period
    commitment: int

    @classmethod
    def of(cls, answer: Sequence[int]) -> DealState:
        """From the decoded answer of `dealOf`. Raises FieldInvalid for a status or kind that does not exist."""
        try:
            status, kind = Status(answer[0]), DisputeKind(answer[1])
        except ValueError as error:
            raise FieldInvalid("DealState", "status", str(error)) from None
        return cls(status, kind, bool(answer[2]), Timestamp(answer[3]), Period(answer[4]), int(answer[5]))


@dataclass(frozen=True)
class Deadlines:
    """Last seconds at which something counts, unix seconds; the matching timeout works one second later. None: not now."""

    decline: Timestamp | None = None
    submit: Timestamp | None = None
    judge: Timestamp | None = None
    reveal: Timestamp | None = None
    audit: Timestamp | None = None
    mediation: Timestamp | None = None


def deadlines(deal: Deal, state: DealState, parameters: Parameters) -> Deadlines:
    """The clocks that run in the present state. Source: docs/protocol.md section 4."""
    end = state.deadline
    if state.status == Status.AGREED:
        decline = end - deal.submit_window + deal.submit_window // 4
        return Deadlines(decline=Timestamp(decline), submit=end)
    if state.status == Status.RESULTS_SUBMITTED:
        return Deadlines(
            judge=end,
            reveal=Timestamp(end + parameters.reveal_window),
            audit=Timestamp(end + parameters.mediation_limit),
        )
    if state.status == Status.IN_MEDIATION:
        return Deadlines(mediation=end)
    return Deadlines()
