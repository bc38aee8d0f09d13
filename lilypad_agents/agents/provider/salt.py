"""Salts of commitments: from the provider's key and the deal, so that a lost database loses no result.

The secret is a hash of a signature over a sentence that no transaction and no offer can be; signatures are deterministic
(RFC 6979), so the same key always gives the same secret. Whoever knows it can open commitments early: it never leaves
this object.
"""

from __future__ import annotations

import hashlib
import hmac

from lilypad_agents.agents.runtime.http_signature import personal_digest
from lilypad_agents.chain.keys import Signer
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.ids import DealId, keccak256

_SENTENCE = "Lilypad: the secret of my result salts on chain {chain_id}, core {core}. Sign this for nobody else."


class Salts:
    """The salts of one key in one core."""

    __slots__ = ("_secret",)

    def __init__(self, signer: Signer, domain: Domain) -> None:
        sentence = _SENTENCE.format(chain_id=domain.chain_id, core=domain.core)
        self._secret = keccak256(signer.sign_digest(personal_digest(sentence.encode())))

    def of(self, deal_id: DealId) -> bytes:
        """32 bytes: HMAC-SHA256 of the deal id under the secret."""
        return hmac.new(self._secret, deal_id, hashlib.sha256).digest()

    def __repr__(self) -> str:
        return "Salts(hidden)"
