"""Salts of commitments: from the account's key and what is committed to, so that a lost database loses no result, vote or bond.

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
from lilypad_agents.protocol.ids import keccak256

RESULTS, VOTES, SEEDS = "result", "vote", "seed"
_SENTENCE = "Lilypad: the secret of my {purpose} salts on chain {chain_id}, core {core}. Sign this for nobody else."


class Salts:
    """The salts of one key in one core, for one purpose."""

    __slots__ = ("_secret",)

    def __init__(self, signer: Signer, domain: Domain, purpose: str = RESULTS) -> None:
        sentence = _SENTENCE.format(purpose=purpose, chain_id=domain.chain_id, core=domain.core)
        self._secret = keccak256(signer.sign_digest(personal_digest(sentence.encode())))

    def of(self, subject: bytes) -> bytes:
        """32 bytes: HMAC-SHA256 of the subject (a deal id; all that a vote says; a period of a source) under the secret."""
        return hmac.new(self._secret, subject, hashlib.sha256).digest()

    def __repr__(self) -> str:
        return "Salts(hidden)"
