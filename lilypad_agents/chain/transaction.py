"""The one transaction type that agents send: EIP-1559 (type 2), encoded and hashed here, signed by any signer."""

from __future__ import annotations

from dataclasses import dataclass

from lilypad_agents.chain.rlp_encoding import encode
from lilypad_agents.chain.types import ChainId, Wei
from lilypad_agents.protocol.ids import keccak256

_TYPE = b"\x02"


@dataclass(frozen=True)
class FeeMarketTransaction:
    """An unsigned EIP-1559 transaction; `to` is 20 bytes, or b"" to create a contract; fees are wei per gas."""

    chain_id: ChainId
    nonce: int
    max_priority_fee: Wei
    max_fee: Wei
    gas: int
    to: bytes
    value: Wei
    data: bytes

    def _fields(self) -> list[object]:
        return [
            int(self.chain_id),
            self.nonce,
            int(self.max_priority_fee),
            int(self.max_fee),
            self.gas,
            self.to,
            int(self.value),
            self.data,
            [],
        ]

    def digest(self) -> bytes:
        """The 32 bytes to sign. Source: EIP-1559."""
        return keccak256(_TYPE + encode(self._fields()))

    def assemble(self, signature: bytes) -> SignedTransaction:
        """With a 65-byte signature r || s || v (v is 27/28 or 0/1)."""
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        parity = signature[64] - 27 if signature[64] >= 27 else signature[64]
        raw = _TYPE + encode([*self._fields(), parity, r, s])
        return SignedTransaction(raw=raw, hash=keccak256(raw))


@dataclass(frozen=True)
class SignedTransaction:
    """Bytes to broadcast and their hash (32 bytes)."""

    raw: bytes
    hash: bytes
