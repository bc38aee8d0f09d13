"""What seats say, in words and bytes, and the salts under which they commit to it. Protocol 6.2."""

from __future__ import annotations

from lilypad_agents.agents.runtime.salt import Salts
from lilypad_agents.protocol.ids import Address, DealId, hex_of
from lilypad_agents.protocol.mediation import VOTE_CANNOT_RUN as CANNOT_RUN
from lilypad_agents.protocol.mediation import VOTE_MODULE_BROKEN as MODULE_BROKEN
from lilypad_agents.protocol.mediation import VOTE_SERVED as SERVED
from lilypad_agents.protocol.mediation import VOTE_UNAVAILABLE as UNAVAILABLE
from lilypad_agents.protocol.mediation import WORDS_MOST

NAMES: dict[str, bytes] = {
    "UNAVAILABLE": UNAVAILABLE, "MODULE_BROKEN": MODULE_BROKEN, "CANNOT_RUN": CANNOT_RUN, "SERVED": SERVED,
}  # fmt: skip
_BY_VOTE = {bytes(vote): name for name, vote in NAMES.items()}


def name_of(vote: bytes) -> str:
    """A vote for people: its name, or the digest in hex."""
    return _BY_VOTE.get(vote, hex_of(vote))


def parse_vote(text: str, *, delivery: bool) -> bytes | None:
    """The vote that a name or a digest in hex means; None for what cannot be a vote in such a dispute."""
    named = NAMES.get(text.upper().replace("-", "_"))
    if named is not None:
        return None if named == (MODULE_BROKEN if delivery else SERVED) else named
    try:
        digest = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        return None
    return digest if not delivery and len(digest) == 32 and int.from_bytes(digest, "big") > WORDS_MOST else None


def salt_of(salts: Salts, deal_id: DealId, round_: int, account: Address, vote: bytes) -> bytes:
    """The salt of a vote. It depends on the vote: another vote in the same round never has the same salt."""
    return salts.of(deal_id + bytes((round_,)) + bytes.fromhex(account[2:]) + vote)
