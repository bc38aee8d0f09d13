"""Block headers in RLP, as they are since the Merge, and with whatever a test wants to be wrong in them."""

from __future__ import annotations

from typing import Any

import rlp
from eth_utils import keccak

FORKS = {"london": 0, "shanghai": 1, "cancun": 4, "prague": 5}  # fields behind the base fee
LATER = (keccak(b"withdrawals"), 131_072, 0, keccak(b"beacon root"), keccak(b"requests"))


def header_fields(number: int, mix: bytes, fork: str = "prague", **changes: Any) -> list[Any]:
    """The fields in order; `changes` by their names below. Numbers are encoded without leading zeros."""
    fields: dict[str, Any] = {
        "parent": keccak(b"parent"),
        "ommers": keccak(rlp.encode([])),
        "beneficiary": bytes(range(20)),
        "state": keccak(b"state"),
        "transactions": keccak(b"transactions"),
        "receipts": keccak(b"receipts"),
        "bloom": bytes(range(256)),
        "difficulty": 0,
        "number": number,
        "gas_limit": 45_000_000,
        "gas_used": 21_000,
        "time": 1_800_000_000,
        "extra": b"made by nobody in particular",
        "mix": mix,
        "nonce": bytes(8),
        "base_fee": 7 * 10**9,
    }
    assert changes.keys() <= fields.keys(), changes
    return [*(fields | changes).values(), *LATER[: FORKS[fork]]]


def header(number: int, mix: bytes, fork: str = "prague", *, added: tuple[Any, ...] = (), **changes: Any) -> bytes:
    """RLP of the header; `added`: fields of a fork to come."""
    return bytes(rlp.encode([*header_fields(number, mix, fork, **changes), *added]))


def framed(payload: bytes) -> bytes:
    """A list of this payload, with a prefix of two length bytes."""
    return b"\xf9" + len(payload).to_bytes(2, "big") + payload
