"""What seats say and how they commit to it. Protocol 6.2; twin of what LilypadMediation hashes."""

from __future__ import annotations

from lilypad_agents.agents.runtime.salt import Salts
from lilypad_agents.protocol.ids import Address, Bytes32, DealId, hex_of, keccak256


UNAVAILABLE = (1).to_bytes(32, "big")  # artefact or inputs (delivery: the data) were not served
MODULE_BROKEN = (2).to_bytes(32, "big")  # obtained, but does not run, or is not what its terms say
CANNOT_RUN = (3).to_bytes(32, "big")  # the mediator's own trouble
SERVED = (4).to_bytes(32, "big")  # delivery only: the data was there
NAMES = {"UNAVAILABLE": UNAVAILABLE, "MODULE_BROKEN": MODULE_BROKEN, "CANNOT_RUN": CANNOT_RUN, "SERVED": SERVED}
_BY_VOTE = {vote: name for name, vote in NAMES.items()}
_WORDS_MOST = 255  # up to here nothing is a digest


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
    return digest if not delivery and len(digest) == 32 and int.from_bytes(digest, "big") > _WORDS_MOST else None


def commitment_of(deal_id: DealId, round_: int, account: Address, vote: bytes, salt: bytes) -> Bytes32:
    """keccak256(abi.encode(dealId, round, account, vote, salt))."""
    return keccak256(deal_id + round_.to_bytes(32, "big") + bytes(12) + bytes.fromhex(account[2:]) + vote + salt)


def salt_of(salts: Salts, deal_id: DealId, round_: int, account: Address, vote: bytes) -> bytes:
    """The salt of a vote. It depends on the vote: another vote in the same round never has the same salt."""
    return salts.of(deal_id + bytes((round_,)) + bytes.fromhex(account[2:]) + vote)
