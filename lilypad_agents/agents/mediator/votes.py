"""What seats say and how they commit to it. Protocol 6.2; twin of what LilypadMediation hashes."""

from __future__ import annotations

from dataclasses import dataclass

from lilypad_agents.agents.runtime.salt import Salts
from lilypad_agents.chain.contract import Contract
from lilypad_agents.protocol.ids import Address, Bytes32, DealId, keccak256


@dataclass(frozen=True)
class Words:
    """The votes that are not digests, 32 bytes each, as the strategy's contract names them."""

    unavailable: bytes
    module_broken: bytes
    cannot_run: bytes
    served: bytes

    @classmethod
    def of(cls, mediation: Contract) -> Words:
        """Raises ChainUnreachable, RpcError."""
        names = ("UNAVAILABLE", "MODULE_BROKEN", "CANNOT_RUN", "SERVED")
        return cls(*(bytes(mediation.call(name)) for name in names))

    def all(self) -> tuple[bytes, ...]:
        return (self.unavailable, self.module_broken, self.cannot_run, self.served)

    def name(self, vote: bytes) -> str:
        """A vote for people: its name, or the digest in hex."""
        names = {
            self.unavailable: "UNAVAILABLE", self.module_broken: "MODULE_BROKEN", self.cannot_run: "CANNOT_RUN",
            self.served: "SERVED",
        }  # fmt: skip
        return names.get(vote, "0x" + vote.hex())

    def parse(self, text: str) -> bytes | None:
        """The vote that a name or a digest in hex means; None for neither."""
        names = {"UNAVAILABLE": self.unavailable, "MODULE_BROKEN": self.module_broken,
                 "CANNOT_RUN": self.cannot_run, "SERVED": self.served}  # fmt: skip
        found = names.get(text.upper().replace("-", "_"))
        if found is not None:
            return found
        try:
            digest = bytes.fromhex(text.removeprefix("0x"))
        except ValueError:
            return None
        return digest if len(digest) == 32 else None


def commitment_of(deal_id: DealId, round_: int, account: Address, vote: bytes, salt: bytes) -> Bytes32:
    """keccak256(abi.encode(dealId, round, account, vote, salt))."""
    return keccak256(deal_id + round_.to_bytes(32, "big") + bytes(12) + bytes.fromhex(account[2:]) + vote + salt)


def salt_of(salts: Salts, deal_id: DealId, round_: int, account: Address, vote: bytes) -> bytes:
    """The salt of a vote. It depends on the vote: another vote in the same round never has the same salt."""
    return salts.of(deal_id + bytes((round_,)) + bytes.fromhex(account[2:]) + vote)
