"""A pool of mediators that a test plays by hand, on a real chain: stakes, draws, votes, and what the chain says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from eth_abi import encode

from lilypad_agents.agents.runtime.disputes import DISPUTE_EVENTS, Dispute, facts_of, look
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.codec import quantity, to_bytes
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.dispute import Phase, SeatState
from lilypad_agents.protocol.ids import ZERO, Address, DealId, keccak256
from lilypad_agents.protocol.terms import PoolTerms
from tests.support.network import TOKEN, Network, signer

FIRST = 60  # account of the test mnemonic of the first mediator
SALT = b"\x5a" * 32
UNAVAILABLE, MODULE_BROKEN, CANNOT_RUN, SERVED = (number.to_bytes(32, "big") for number in (1, 2, 3, 4))
MAX_VALUE = 2 * TOKEN
Vote = Callable[[int, str], bytes]  # seat, account


@dataclass
class Panel:
    """`accounts`: indices of the test mnemonic; each has the same stake."""

    network: Network
    mediators: int = 6
    seats_each: int = 10
    fund: int = 200 * TOKEN
    accounts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        network = self.network
        strategy = network.contracts["LilypadMediation"].address
        seat_stake = MAX_VALUE * 125 // 100 * 64 // 10
        self.terms = PoolTerms(
            Address(strategy), network.token, MAX_VALUE // 8, seat_stake, MAX_VALUE, ZERO, 12, 8, 12, ZERO
        )
        network.fund([signer(0).address], self.fund)
        network.send(0, "Lilypad", "donate", strategy, network.token, self.terms.id, self.fund)
        stake = self.seats_each * seat_stake
        staking = network.contracts["LilypadStaking"].address
        for index in range(FIRST, FIRST + self.mediators):
            account = signer(index).address
            self.accounts[account] = index
            network.rpc.request("anvil_setBalance", account, hex(10**20))
            network.send(0, "LilypadToken", "transfer", account, stake)
            network.send(index, "LilypadToken", "approve", staking, stake)
            network.send(index, "LilypadStaking", "stake", self.terms, stake, [])
        network.send(0, "LilypadStaking", "applyPending", self.terms, 100)

    # ---- looking

    def events(self, deal_id: DealId) -> list[DecodedEvent]:
        mediation = self.network.contracts["LilypadMediation"]
        events = {mediation.abi.event(name).topic: mediation.abi.event(name) for name in DISPUTE_EVENTS}
        query = {
            "address": mediation.address, "fromBlock": "0x0",
            "topics": [["0x" + topic.hex() for topic in events], "0x" + deal_id.hex()],
        }  # fmt: skip
        found = []
        for log in self.network.rpc.request("eth_getLogs", query):
            topics = [to_bytes(topic) for topic in log["topics"]]
            event = events[topics[0]]
            found.append(
                DecodedEvent(
                    event.name, event.decode(topics, to_bytes(log["data"])), log["address"], quantity(log["blockNumber"]),
                    to_bytes(log["blockHash"]), to_bytes(log["transactionHash"]), quantity(log["logIndex"]),
                )
            )  # fmt: skip
        return found

    def dispute(self, deal_id: DealId, *, delivery: bool = False) -> Dispute:
        mediation = self.network.contracts["LilypadMediation"]
        while True:  # events and state are of two moments, which differ when somebody acts between them
            found = look(mediation, {deal_id: (facts_of(self.events(deal_id), delivery=delivery), delivery)})
            if deal_id in found:
                return found[deal_id]

    def is_in(self, deal_id: DealId, phase: Phase, *, delivery: bool = False, round_: int | None = None) -> bool:
        found = self.dispute(deal_id, delivery=delivery)
        return found.phase is phase and (round_ is None or found.round == round_)

    # ---- acting

    def send(self, function: str, deal: Deal, deal_id: DealId, sender: int = 0) -> None:
        """A step that anyone may take."""
        seating = self.dispute(deal_id).facts.seating
        self.network.send(sender, "LilypadMediation", function, deal.words, self.terms, seating)

    def commit(self, deal_id: DealId, vote: Vote, *, delivery: bool = False, seats: Iterable[int] | None = None) -> None:
        """Every seat that has not committed does, or those that are named."""
        found = self.dispute(deal_id, delivery=delivery)
        seating = found.facts.seating
        for seat, account in enumerate(seating.accounts):
            if found.seats[seat] is not SeatState.SILENT or (seats is not None and seat not in seats):
                continue
            commitment = commitment_of(deal_id, found.round, account, vote(seat, account))
            arguments = (deal_id, seating, seat, commitment)
            self.network.send(self.accounts[account], "LilypadMediation", "commit", *arguments)

    def reveal(self, deal_id: DealId, vote: Vote, *, served: bool = True, delivery: bool = False) -> None:
        """Every seat that committed reveals."""
        found = self.dispute(deal_id, delivery=delivery)
        seating = found.facts.seating
        for seat, account in enumerate(seating.accounts):
            if found.seats[seat] is SeatState.COMMITTED:
                arguments = (deal_id, seating, seat, vote(seat, account), SALT, served)
                self.network.send(self.accounts[account], "LilypadMediation", "reveal", *arguments)


def commitment_of(deal_id: DealId, round_: int, account: str, vote: bytes) -> bytes:
    """keccak256(abi.encode(dealId, round, account, vote, salt)), protocol 6.2."""
    types = ["bytes32", "uint8", "address", "bytes32", "bytes32"]
    return keccak256(encode(types, [deal_id, round_, account, vote, SALT]))
