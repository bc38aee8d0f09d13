"""What the chain says about an account: its record in the directory, and facts counted from events, at one block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.agents.runtime.panels import STAKING
from lilypad_agents.chain.abi import Abi, DecodedEvent
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.contract import Contract
from lilypad_agents.errors import ChainUnreachable
from lilypad_agents.protocol.facts import ENDINGS, OPENED, DealFacts, SeatFacts, deal_facts, seat_facts
from lilypad_agents.protocol.ids import Address

USERS = "LilypadUsers"
ROLES = ("creator", "provider", "publisher", "solver", "mediator", "directory")  # bits of the directory, in order
_TRIES = 5


@dataclass(frozen=True)
class Listing:
    """A record of the directory; `metadata` 32 bytes, zero for none. Without roles the account is not listed."""

    roles: tuple[str, ...]
    metadata: bytes
    endpoints: tuple[str, ...]


@dataclass(frozen=True)
class Party:
    """An account at one block."""

    account: Address
    block: ChainMoment
    listing: Listing
    as_provider: DealFacts
    as_creator: DealFacts
    as_mediator: SeatFacts


def read_party(chain: CreatorChain, account: Address) -> Party:
    """Everything up to the chain's head, read again when a reorganisation came between. Raises errors of the chain."""
    for _ in range(_TRIES):
        head = ChainMoment.parse(_block(chain, "latest"))
        found = _read(chain, account, head)
        now = _block(chain, hex(head.number))
        if now is not None and ChainMoment.parse(now).hash == head.hash:
            return found
    raise ChainUnreachable("The chain reorganises faster than it can be read.")


def _read(chain: CreatorChain, account: Address, head: ChainMoment) -> Party:
    deals = {role: _deals(chain, role, account, head.number) for role in ("provider", "creator")}
    seats: list[DecodedEvent] = []
    if STAKING in chain.book.contracts:
        seats = chain.events_of(chain.staking, ("SeatReleased",), [None, _topic(account)], head.number)
    return Party(
        account, head, _listing(chain, account, head),
        as_provider=deal_facts(_named(deals["provider"]), "provider", account),
        as_creator=deal_facts(_named(deals["creator"]), "creator", account),
        as_mediator=seat_facts(_named(seats), account),
    )  # fmt: skip


def _deals(chain: CreatorChain, role: str, account: Address, last: int) -> list[DecodedEvent]:
    topics = [None, _topic(account)] if role == "creator" else [None, None, _topic(account)]
    found: list[DecodedEvent] = []
    for contract in (chain.core, chain.resolver):
        names = tuple(name for name in (OPENED, *ENDINGS) if name in contract.abi.events)
        found += chain.events_of(contract, names, topics, last)
    return found


def _listing(chain: CreatorChain, account: Address, head: ChainMoment) -> Listing:
    if USERS not in chain.book.contracts:
        return Listing((), bytes(32), ())
    users = Contract(chain.book.address(USERS), Abi.load(USERS), chain.rpc, chain.errors)
    roles, metadata, endpoints = users.call("userOf", account, block=head)
    return Listing(tuple(name for bit, name in enumerate(ROLES) if roles >> bit & 1), bytes(metadata), tuple(endpoints))


def _named(events: list[DecodedEvent]) -> list[tuple[str, Any]]:
    return [(event.name, event.args) for event in events]


def _topic(account: Address) -> str:
    return "0x" + "00" * 12 + account[2:].lower()


def _block(chain: CreatorChain, number: str) -> Any:
    return chain.rpc.request("eth_getBlockByNumber", number, False)
