"""What solver and clients exchange: frozen values, and their JSON both ways. Bytes are 0x-hexadecimal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from lilypad_agents.protocol.deal import Deal, DealState
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import Address, DealId, OfferHash, hex_of
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import Bps, Period, Timestamp

VERSION_HEADER = "lilypad-version"
API_VERSION = "0.1.0"
OLDEST_CLIENT = (0, 1, 0)
MESSAGE_BYTES = 64 * 1024
SIGNATURE_BYTES = 8 * 1024
EVENT_TYPES = ("hello", "offer", "deal", "message", "resync")
MOST_LISTED = 10_000  # versions in a provider's list
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_ID = re.compile(r"0x[0-9a-fA-F]{64}")


class OfferState(StrEnum):
    """Where an offer stands at a solver. Final but for reposting: expired, cancelled, refused."""

    OPEN = "open"  # may match
    OPENING = "opening"  # in a transaction that is not mined yet
    OPENED = "opened"  # a deal exists
    EXPIRED = "expired"  # its last second passed
    CANCELLED = "cancelled"  # withdrawn here, or cancelled or used up on chain
    REFUSED = "refused"  # the core would never open it


class MessageKind(StrEnum):
    """Notes between the parties of a deal, and who may write them."""

    RESULT = "result"  # provider
    ACCEPTANCE = "acceptance"  # creator
    WAIVER = "waiver"  # creator
    CLOSING = "closing"  # either
    SEAT = "seat"  # a seated mediator, once the commits of its round are closed: its digest and receipt


class ContentKind(StrEnum):
    """What pushed content is; for people and retention only."""

    INPUTS = "inputs"
    RESULT = "result"
    RECEIPT = "receipt"
    MANIFEST = "manifest"
    ARTEFACT = "artefact"
    OTHER = "other"


@dataclass(frozen=True)
class Scope:
    """Who may read pushed content: everybody, or the parties of an offer and later of its deal, or of a deal."""

    kind: str  # public, offer or deal
    id: bytes = b""  # 32 bytes for offer and deal

    def __str__(self) -> str:
        return self.kind if self.kind == "public" else f"{self.kind} {hex_of(self.id)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises FieldInvalid."""
        kind, _, rest = text.strip().partition(" ")
        if text.strip() == "public":
            return cls("public")
        if kind not in ("offer", "deal") or _ID.fullmatch(rest) is None:
            raise FieldInvalid("request", "Lilypad-Scope", "must be `public`, `offer 0x...` or `deal 0x...`")
        return cls(kind, bytes.fromhex(rest[2:]))


PUBLIC = Scope("public")


@dataclass(frozen=True)
class SolverInfo:
    """What a solver says of itself. `time`: block time of its head; `clock`: its machine's clock, unix seconds."""

    version: str
    chain_id: int
    core: Address
    address: Address  # what an offer names as its solver
    fee_bps: Bps
    heartbeat_s: float
    time: int
    clock: int
    block: int
    ready: bool
    limits: Mapping[str, int]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        names = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return cls(**{**names, "chain_id": document["chainId"], "fee_bps": document["feeBps"],
                      "heartbeat_s": document["heartbeatSeconds"]})  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        for ours, theirs in (("chain_id", "chainId"), ("fee_bps", "feeBps"), ("heartbeat_s", "heartbeatSeconds")):
            found[theirs] = found.pop(ours)
        return found


@dataclass(frozen=True)
class OfferView:
    """An offer as its solver sees it. `matching`: open, and its provider was heard of lately.

    `reason`: why it is not open (code, message, figures), None while it is. `record`: of the deal. `deal_id`: of the
    latest deal that a job offer opened; resource offers open many.
    """

    id: OfferHash
    kind: str  # job or resource
    state: OfferState
    seq: int
    posted_at: Timestamp
    expiry: Timestamp
    account: Address
    matching: bool
    deal_id: DealId | None = None
    record: Deal | None = None
    reason: Mapping[str, Any] | None = None
    offer: JobOffer | ResourceOffer | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": hex_of(self.id),
            "kind": self.kind,
            "state": str(self.state),
            "seq": self.seq,
            "postedAt": self.posted_at,
            "expiry": self.expiry,
            "account": self.account,
            "matching": self.matching,
            "dealId": None if self.deal_id is None else hex_of(self.deal_id),
            "record": None if self.record is None else record_json(self.record),
            "reason": None if self.reason is None else dict(self.reason),
            "offer": None if self.offer is None else self.offer.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Raises KeyError, ValueError or FieldInvalid for what is no such view."""
        kind, offer, deal_id = document["kind"], document.get("offer"), document.get("dealId")
        parse = JobOffer.from_json if kind == "job" else ResourceOffer.from_json
        return cls(
            id=OfferHash(bytes32("id", document["id"])),
            kind=kind,
            state=OfferState(document["state"]),
            seq=int(document["seq"]),
            posted_at=Timestamp(int(document["postedAt"])),
            expiry=Timestamp(int(document["expiry"])),
            account=Address(document["account"]),
            matching=bool(document["matching"]),
            deal_id=None if deal_id is None else DealId(bytes32("dealId", deal_id)),
            record=None if document.get("record") is None else record_of(document["record"]),
            reason=document.get("reason"),
            offer=None if offer is None else parse(offer),
        )


@dataclass(frozen=True)
class DealView:
    """A deal with both signed offers and the terms they name, for its parties. Offers may be None when another opened it.

    `ending`: in words, how a final deal ended (`accepted`, `execution-timeout`, `delivery-timeout`, ...), else "".
    """

    id: DealId
    record: Deal
    state: DealState
    ending: str
    seq: int
    opened_block: int
    opened_at: Timestamp
    changed_at: Timestamp
    opened_tx: bytes
    job: JobOffer | None = None
    job_signature: bytes | None = None
    resource: ResourceOffer | None = None
    resource_signature: bytes | None = None
    module: ModuleTerms | None = None
    pool: PoolTerms | None = None

    @property
    def job_words(self) -> tuple[bytes, ...] | None:
        """The job offer's words, which a decline needs; None when the solver does not know the offer."""
        return None if self.job is None else self.job.words()

    @property
    def resource_offer_id(self) -> OfferHash:
        return OfferHash(self.record.resource_offer_hash)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": hex_of(self.id),
            "record": record_json(self.record),
            "status": self.state.status.name,
            "kind": self.state.kind.name,
            "deliveryChallenged": self.state.delivery_challenged,
            "deadline": self.state.deadline,
            "period": self.state.period,
            "commitment": hex_of(self.state.commitment.to_bytes(22, "big")),
            "ending": self.ending,
            "seq": self.seq,
            "openedBlock": self.opened_block,
            "openedAt": self.opened_at,
            "changedAt": self.changed_at,
            "openedTransaction": hex_of(self.opened_tx),
            "job": _signed(self.job, self.job_signature),
            "resource": _signed(self.resource, self.resource_signature),
            "module": None if self.module is None else self.module.to_json(),
            "pool": None if self.pool is None else self.pool.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Raises KeyError, ValueError, TypeError or FieldInvalid for what is no such view."""
        job, resource = document.get("job"), document.get("resource")
        module, pool = document.get("module"), document.get("pool")
        state = DealState(
            Status[document["status"]],
            DisputeKind[document["kind"]],
            bool(document["deliveryChallenged"]),
            Timestamp(int(document["deadline"])),
            Period(int(document["period"])),
            int.from_bytes(hex_bytes("commitment", document["commitment"], 22), "big"),
        )
        return cls(
            id=DealId(bytes32("id", document["id"])),
            record=record_of(document["record"]),
            state=state,
            ending=str(document["ending"]),
            seq=int(document["seq"]),
            opened_block=int(document["openedBlock"]),
            opened_at=Timestamp(int(document["openedAt"])),
            changed_at=Timestamp(int(document["changedAt"])),
            opened_tx=bytes32("openedTransaction", document["openedTransaction"]),
            job=None if job is None else JobOffer.from_json(job["offer"]),
            job_signature=None if job is None else hex_bytes("signature", job["signature"], SIGNATURE_BYTES),
            resource=None if resource is None else ResourceOffer.from_json(resource["offer"]),
            resource_signature=None if resource is None else hex_bytes("signature", resource["signature"], SIGNATURE_BYTES),
            module=None if module is None else ModuleTerms.from_json(module),
            pool=None if pool is None else pool_of(pool),
        )


@dataclass(frozen=True)
class Message:
    """A note of one party of a deal. `seq` orders all notes of a solver; `body` is the note's own JSON."""

    seq: int
    deal_id: DealId
    kind: MessageKind
    sender: Address
    at: Timestamp
    body: Any

    def to_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "dealId": hex_of(self.deal_id),
            "kind": str(self.kind),
            "sender": self.sender,
            "at": self.at,
            "body": self.body,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            seq=int(document["seq"]),
            deal_id=DealId(bytes32("dealId", document["dealId"])),
            kind=MessageKind(document["kind"]),
            sender=Address(document["sender"]),
            at=Timestamp(int(document["at"])),
            body=document["body"],
        )


@dataclass(frozen=True)
class Event:
    """A wake-up hint: something about `id` (an offer or a deal) changed. Never the truth: look at the chain.

    `type`: one of EVENT_TYPES; `hello`: the stream stands; `resync`: hints were lost, look at everything.
    """

    seq: str
    type: str
    id: bytes = b""
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"type": self.type, "id": hex_of(self.id), "detail": self.detail}


@dataclass(frozen=True)
class WhyNot:
    """One counterpart and what is in the way: `found` against `needed`; no condition: nothing is, it waits its turn."""

    counterpart: OfferHash
    condition: str | None
    found: Any = None
    needed: Any = None
    message: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**exact(asdict(self)), "counterpart": hex_of(self.counterpart)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        values = {name: document.get(name) for name in ("condition", "found", "needed")}
        return cls(
            OfferHash(bytes32("counterpart", document["counterpart"])),
            **values,
            message=str(document.get("message", "")),
            figures=dict(document.get("figures", {})),
        )


@dataclass(frozen=True)
class Page:
    """Part of a list; `cursor` asks for the next part, None at the end."""

    items: tuple[Any, ...]
    cursor: str | None


# ---- JSON of parts


def bytes32(name: str, value: Any) -> bytes:
    """Raises FieldInvalid."""
    if not isinstance(value, str) or _ID.fullmatch(value) is None:
        raise FieldInvalid("request", name, "must be 0x and 64 hexadecimal digits")
    return bytes.fromhex(value[2:])


def hex_bytes(name: str, value: Any, most: int) -> bytes:
    """0x-hexadecimal text of at most `most` bytes. Raises FieldInvalid."""
    if not isinstance(value, str) or len(value) > 2 + 2 * most or _HEX.fullmatch(value) is None:
        raise FieldInvalid("request", name, f"must be 0x and hexadecimal digits for at most {most} bytes")
    return bytes.fromhex(value[2:])


def exact(value: Any) -> Any:
    """JSON in which integers that readers may round (from 2^53 on) are decimal strings."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): exact(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in value]
    return hex_of(value) if isinstance(value, bytes) else value


def record_json(deal: Deal) -> str:
    return "0x" + b"".join(deal.words).hex()


def record_of(text: Any) -> Deal:
    data = hex_bytes("record", text, 384)
    return Deal.from_words([data[at : at + 32] for at in range(0, len(data), 32)])


def pool_of(document: Any) -> PoolTerms:
    """Pool terms; None stands for Unverified. Raises FieldInvalid."""
    return UNVERIFIED if document is None else PoolTerms.from_json(document)


def _signed(offer: JobOffer | ResourceOffer | None, signature: bytes | None) -> dict[str, Any] | None:
    if offer is None:
        return None
    return {"offer": offer.to_json(), "signature": hex_of(signature or b"")}
