"""What a participant reads: the source, its own open commitments, its secrets. Everything follows from key and chain.

Which periods could still cost a bond is asked of the contract itself, so a database that is lost or behind delays no
reveal. Older ones (to be reclaimed, or lost) come from the account's events, by a log cursor of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lilypad_agents.agents.runtime.context import Contracts
from lilypad_agents.agents.runtime.salt import SEEDS, Salts
from lilypad_agents.agents.seeds.decide import Action, Commitment, SeedView
from lilypad_agents.agents.seeds.errors import NoCommitReveal
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.codec import Call, quantity
from lilypad_agents.chain.contract import Contract, block_param, call_many
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.deployment_plan import COMMIT_REVEAL, SOURCES
from lilypad_agents.chain.logs import CursorConfig, EventSource, LogCursor
from lilypad_agents.chain.keys import Signer
from lilypad_agents.chain.outbox_types import OutboxConfig
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.types import ChainId, Notify, silent
from lilypad_agents.protocol.commit_reveal import Rounds, seed_commitment
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.ids import Address, address_bytes
from lilypad_agents.protocol.units import Period, Timestamp

CURSOR = "seeds"
_CONTRACT = SOURCES[COMMIT_REVEAL]
_EVENTS = ("Committed", "Revealed", "Reclaimed")
_MOST_PROBED = 64  # periods in a look; those after come from events alone, until they are as near to their end


def source_of(contracts: Contracts, randomness: Address) -> Contract:
    """The contract that takes commitments. `randomness`: what the core asks for seeds. Raises NoCommitReveal."""
    named = {contracts.book.address(name): name for name in SOURCES.values() if name in contracts}
    if named.get(randomness) != _CONTRACT:
        raise NoCommitReveal(named.get(randomness, str(randomness)))
    return contracts[_CONTRACT]


def read_rounds(source: Contract) -> Rounds:
    """What the deployment fixed. Raises ChainUnreachable, RpcError."""
    names = ("periodSeconds", "lookaheadSeconds", "revealSeconds", "bond", "leastParticipants")
    return Rounds(*map(int, _values(call_many(source.rpc, [source.prepare(name) for name in names]))))


def cursor_of(
    database: Database, source: Contract, account: Address, start_block: int, confirmations: int = 0, notify: Notify = silent
) -> LogCursor:
    """The cursor over what `account` committed to, revealed and reclaimed. Reading stored events asks nobody."""
    return LogCursor(
        database, source.rpc, [EventSource(source.address, source.abi, _EVENTS)], start_block=start_block, name=CURSOR,
        topics=(None, "0x" + address_bytes(account).rjust(32, b"\0").hex()),
        config=CursorConfig(confirmations=confirmations), notify=notify,
    )  # fmt: skip


def first_block(contracts: Contracts) -> int:
    """Where events of the source begin."""
    return contracts.book.contract(_CONTRACT).block


@dataclass
class Secrets:
    """The secrets of one key for one source. Nobody but a reveal that is due may see one."""

    salts: Salts
    chain_id: ChainId
    randomness: Address
    account: Address

    @classmethod
    def made_by(cls, signer: Signer, chain_id: ChainId, randomness: Address) -> Secrets:
        """Whichever core asks the source: deployments that differ in their cores alone share it, and its bonds."""
        salts = Salts(signer, Domain(int(chain_id), randomness), SEEDS)
        return cls(salts, chain_id, randomness, Address(signer.address))

    def of(self, period: Period) -> bytes:
        """32 bytes, always the same for a period."""
        return self.salts.of(address_bytes(self.randomness) + period.to_bytes(32, "big"))

    def commitment(self, period: Period) -> bytes:
        return seed_commitment(int(self.chain_id), self.randomness, period, self.account, self.of(period))

    def __repr__(self) -> str:
        return "Secrets(hidden)"


@dataclass
class Unopened:
    """Periods for which the account has committed and neither revealed nor reclaimed, by its events."""

    periods: set[Period]

    @classmethod
    def of(cls, events: Iterable[DecodedEvent]) -> Unopened:
        found = cls(set())
        found.take(events)
        return found

    def take(self, events: Iterable[DecodedEvent]) -> None:
        """Further events, in chain order."""
        for event in events:
            period = Period(int(event.args["period"]))
            if event.name == "Committed":
                self.periods.add(period)
            else:
                self.periods.discard(period)


class Book:
    """Reads for one account. `rounds`: of the source."""

    def __init__(self, source: Contract, account: Address, secrets: Secrets) -> None:
        """Raises ChainUnreachable, RpcError."""
        self.source = source
        self.account = account
        self.secrets = secrets
        self.rounds = read_rounds(source)

    def in_reach(self, time: int) -> list[Period]:
        """Periods whose secrets are taken at `time` or later, the first ones of many, and the one that can be committed for."""
        first, next_ = self.rounds.first_open(time), self.rounds.period_at(time) + 1
        return [*map(Period, range(first, min(first + _MOST_PROBED, next_))), Period(next_)]

    def look(
        self, head: ChainMoment, known: Collection[Period], busy: Collection[tuple[Action, Period]] = (),
        lost: Collection[Period] = (),
    ) -> SeedView:
        """All that a decision needs, at one block. `known`: periods that events tell of; `lost`: not to be asked for. Raises ChainUnreachable, RpcError."""
        periods = sorted({*self.in_reach(head.timestamp), *known})
        source, rpc = self.source, self.source.rpc
        calls = [source.prepare("freeBondOf", self.account)]
        calls += [source.prepare("commitmentOf", period, self.account) for period in periods]
        calls += [source.prepare("participantsOf", period) for period in periods]
        free, *found = _values(call_many(rpc, calls, head))
        coin, bid = _money(rpc, self.account, head)
        commitments = [
            Commitment(period, bytes(commitment) == self.secrets.commitment(period), int(participants[1]))
            for period, commitment, participants in zip(periods, found[: len(periods)], found[len(periods) :], strict=True)
            if any(commitment)
        ]
        return SeedView(
            Timestamp(head.timestamp), self.rounds, int(free), coin, bid, tuple(commitments), frozenset(busy), frozenset(lost)
        )


def _money(rpc: Rpc, account: Address, head: ChainMoment) -> tuple[int, int]:
    """The account's coin, and what the outbox would bid for a unit of gas; wei."""
    balance, tip = rpc.batch([Call("eth_getBalance", (account, block_param(head))), Call("eth_maxPriorityFeePerGas")])
    if isinstance(balance, Exception):
        raise balance
    suggested = 0 if isinstance(tip, Exception) else min(quantity(tip), OutboxConfig().most_tip)
    return quantity(balance), 2 * head.base_fee + suggested


def _values(answers: Iterable[object]) -> list:  # type: ignore[type-arg]
    """Answers of `call_many`, none of which may be a revert."""
    found = list(answers)
    for answer in found:
        if isinstance(answer, Exception):
            raise answer
    return found
