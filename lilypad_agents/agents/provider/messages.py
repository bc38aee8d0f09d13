"""Notes between the parties of a deal, as the relay carries them: JSON in, checked values out. Nothing here trusts it.

`result` (provider to creator), `acceptance` and `waiver` (creator to provider), `closing` (either). Signatures are the
core's signature arguments in hex. A signature by key is decided here; one of a contract account or by approval only the
chain can decide, so the core is asked before money depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.provider.view import ClosingOffer
from lilypad_agents.content.cid import Cid
from lilypad_agents.execution.receipt import SignedReceipt
from lilypad_agents.protocol.consent import Acceptance, Closing, Consent, Domain, Waiver, examine
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.digest import Opened
from lilypad_agents.protocol.errors import FieldInvalid, SignatureMalformed
from lilypad_agents.protocol.ids import Bytes32, DealId, ResultDigest, hex_of
from lilypad_agents.protocol.lifecycle import Agreement
from lilypad_agents.protocol.units import UINT96_MAX, Amount, Timestamp

RESULT, ACCEPTANCE, WAIVER, CLOSING = "result", "acceptance", "waiver", "closing"
_AGREEMENTS = {ACCEPTANCE: Agreement.ACCEPTANCE, WAIVER: Agreement.WAIVER}
_SIGNATURE = re.compile(r"0x(?:[0-9a-fA-F]{2}){0,8192}")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,30}")


def result_note(data_id: Cid, receipt_id: Cid, receipt: SignedReceipt, opened: Opened) -> dict[str, Any]:
    """The body of a `result` note. The salt stays secret until the settlement opens the commitment."""
    return {
        "dataId": str(data_id),
        "receiptId": str(receipt_id),
        "receipt": {"receipt": receipt.receipt.as_dict(), "signature": hex_of(receipt.signature)},
        "resultDigest": hex_of(opened.digest),
        "head": hex_of(opened.head),
        "content": hex_of(opened.content),
    }


@dataclass(frozen=True)
class Agreed:
    """A creator's agreement whose signature is well formed; `consent` says what the chain still has to confirm."""

    kind: Agreement
    signature: bytes
    consent: Consent
    struct_hash: Bytes32


def read_agreement(
    kind: str, body: Any, deal_id: DealId, deal: Deal, digest: ResultDigest, domain: Domain
) -> Agreed | None:
    """The agreement in a note; None for a note that is none, is about another digest, or that the creator did not sign."""
    agreement = _AGREEMENTS.get(kind)
    signature = _signature(body)
    if agreement is None or not signature:
        return None  # an approval on chain needs no note, and an empty argument proves nothing
    message = (
        Acceptance(deal_id, digest)
        if agreement is Agreement.ACCEPTANCE
        else Waiver(deal_id=deal_id, result_digest=digest)
    )
    struct_hash = Bytes32(message.struct_hash)
    try:
        consent = examine(deal.creator, domain.digest(struct_hash), signature)
    except SignatureMalformed:
        return None
    return Agreed(agreement, signature, consent, struct_hash) if consent.valid else None


def read_closing(body: Any, deal_id: DealId, deal: Deal, domain: Domain) -> ClosingOffer | None:
    """The split in a `closing` note of the creator; None when it is malformed or not signed by the creator."""
    if not isinstance(body, Mapping):
        return None
    amounts = [_amount(body.get(name), UINT96_MAX) for name in ("toCreator", "toProvider")]
    expiry, signature = _amount(body.get("expiry"), 2**40 - 1), _signature(body)
    if None in (*amounts, expiry) or not signature:
        return None
    to_creator, to_provider = Amount(amounts[0] or 0), Amount(amounts[1] or 0)
    terms = Closing(deal_id, to_creator, to_provider, Timestamp(expiry or 0))
    try:
        consent = examine(deal.creator, domain.digest(terms.struct_hash), signature)
    except (SignatureMalformed, FieldInvalid):
        return None
    if not consent.valid:
        return None
    return ClosingOffer(to_creator, to_provider, Timestamp(expiry or 0), signature)


def _signature(body: Any) -> bytes:
    text = body.get("signature") if isinstance(body, Mapping) else None
    if not isinstance(text, str) or _SIGNATURE.fullmatch(text) is None:
        return b""
    return bytes.fromhex(text[2:])


def _amount(value: Any, most: int) -> int | None:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        return None
    return value
