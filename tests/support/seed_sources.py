"""One face for the three sources of seeds: what a test has to do so that a seed comes into being, or does not."""

from __future__ import annotations

from abc import ABC, abstractmethod

from eth_utils import keccak

from tests.support.evm import Account, Contract, Evm, Receipt
from tests.support.headers import header

PENDING, KNOWN, EXPIRED = 0, 1, 2
PERIOD_BLOCKS = {"BlockHashRandomness": 6, "PrevrandaoRandomness": 150}
LOOKAHEAD = {"BlockHashRandomness": 2, "PrevrandaoRandomness": 132}
START = 30_000


def commitment(evm: Evm, source: Contract, period: int, account: Account, secret: bytes) -> bytes:
    """ICommitReveal.commit: keccak256(abi.encode(chain id, contract, period, account, secret))."""
    words = (evm.chain_id, int(source.address, 16), period, int(account.address, 16))
    return keccak(b"".join(word.to_bytes(32, "big") for word in words) + secret)


def secret_of(account: Account, period: int) -> bytes:
    return keccak(account.secret + period.to_bytes(4, "big"))


class SeedSource(ABC):
    """A source on a chain of its own. `period` is one that has not begun yet and can still be prepared."""

    evm: Evm
    contract: Contract
    period: int

    @abstractmethod
    def begin(self, period: int) -> None:
        """The next transaction runs in the first moment of the period."""

    @abstractmethod
    def end_of_commitments(self, period: int) -> None:
        """What has to have happened before the period begins, so that it can have a seed."""

    @abstractmethod
    def to_knowable(self, period: int) -> None:
        """The first moment in which the seed can be recorded."""

    @abstractmethod
    def record(self, period: int, by: Account) -> Receipt:
        """The last act that makes the seed Known: its receipt has SeedRecorded."""

    @abstractmethod
    def let_die(self, period: int) -> None:
        """The first moment in which the seed is lost, since nobody recorded it."""

    def status(self, period: int) -> tuple[int, bytes]:
        status, value = self.contract.seed(period)
        return status, value


class ByBlocks(SeedSource):
    """Block hashes, or `prevrandao`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.blocks, self.lookahead = PERIOD_BLOCKS[name], LOOKAHEAD[name]
        self.evm = Evm(number=START)
        self.evm.plant_block_hash(START - 1, self.evm.block_hash(START - 1))
        self.contract = self.evm.deploy(name, self.blocks, 1_000, 1_000)
        self.period = START // self.blocks + 2

    def deciding(self, period: int) -> int:
        return period * self.blocks + self.lookahead

    def go_to(self, number: int) -> None:
        self.evm.set_block(number, self.evm.timestamp + max(0, number - self.evm.number))

    def begin(self, period: int) -> None:
        self.go_to(period * self.blocks)

    def mix(self, period: int) -> bytes:
        return keccak(text=f"mix {period}")

    def proof(self, period: int) -> bytes:
        return header(self.deciding(period), self.mix(period)) if self.name == "PrevrandaoRandomness" else b""

    def end_of_commitments(self, period: int) -> None:
        number = self.deciding(period)
        self.evm.plant_block_hash(number, keccak(self.proof(period)) if self.proof(period) else self.evm.block_hash(number))

    def to_knowable(self, period: int) -> None:
        # The opcode's hashes are not those of headers here, so a header can be shown when only the history knows its block.
        age = 257 if self.name == "PrevrandaoRandomness" else 1
        self.go_to(self.deciding(period) + age)

    def record(self, period: int, by: Account) -> Receipt:
        return self.contract.record(period, self.proof(period), sender=by)

    def let_die(self, period: int) -> None:
        self.go_to(self.deciding(period) + 8_192)


class ByParticipants(SeedSource):
    """Commit and reveal by three."""

    PERIOD, LOOKAHEAD, REVEAL, LEAST, BOND = 60, 5, 30, 2, 10**16

    def __init__(self) -> None:
        self.evm = Evm(number=START)
        self.contract = self.evm.deploy(
            "CommitRevealRandomness", self.PERIOD, self.LOOKAHEAD, self.REVEAL, self.LEAST, self.BOND
        )
        self.people = [self.evm.account(name) for name in ("ann", "ben", "cem")]
        self.period = self.evm.timestamp // self.PERIOD + 2

    def at(self, second: int) -> None:
        self.evm.set_block(self.evm.number + 1, second)

    def begin(self, period: int) -> None:
        self.at(period * self.PERIOD)

    def commit(self, period: int, account: Account) -> Receipt:
        """In the period before; sends the bond along."""
        data = commitment(self.evm, self.contract, period, account, secret_of(account, period))
        return self.contract.commit(period, data, sender=account, value=self.BOND)

    def reveal(self, period: int, account: Account, by: Account | None = None) -> Receipt:
        return self.contract.reveal(period, account, secret_of(account, period), sender=by or account)

    def end_of_commitments(self, period: int) -> None:
        self.at((period - 1) * self.PERIOD)
        for account in self.people:
            self.commit(period, account)

    def to_knowable(self, period: int) -> None:
        self.at(period * self.PERIOD + self.LOOKAHEAD)
        for account in self.people[:-1]:
            self.reveal(period, account)

    def record(self, period: int, by: Account) -> Receipt:
        return self.reveal(period, self.people[-1], by)

    def let_die(self, period: int) -> None:
        self.at(period * self.PERIOD + self.LOOKAHEAD + self.REVEAL + 1)


MAKERS = {
    "blockhash": lambda: ByBlocks("BlockHashRandomness"),
    "prevrandao": lambda: ByBlocks("PrevrandaoRandomness"),
    "commit-reveal": ByParticipants,
}
