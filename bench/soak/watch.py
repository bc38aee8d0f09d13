"""What has to hold in every block: the ledger adds up to the unit, deals move as the table says, stakes are covered.

Reads are pinned to the block's hash, and a block that was missed while the chain stood still is looked at afterwards, so
none is left out. A block is read when the next one is there: anvil answers about its newest block out of the state that it is
changing for the one after. Properties (a), (c) of protocol section 13.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from bench.soak.manycalls import ManyCalls
from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.chain.codec import Call
from lilypad_agents.chain.contract import call_many
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol.deal import DealState
from lilypad_agents.protocol.ids import NOBODY, UNVERIFIED_POOL, Address, DealId, VersionId, checksummed
from lilypad_agents.protocol.lifecycle import LEGAL, Status
from lilypad_agents.protocol.terms import PoolTerms

TARGETS: Mapping[str, Status] = {
    "DealOpened": Status.AGREED,
    "ResultSubmitted": Status.RESULTS_SUBMITTED,
    "DeliveryConfirmed": Status.RESULTS_SUBMITTED,
    "DisputeOpened": Status.IN_MEDIATION,
    "DealAccepted": Status.ACCEPTED,
    "DealMediationAccepted": Status.MEDIATION_ACCEPTED,
    "DealMediationRejected": Status.MEDIATION_REJECTED,
    "DealNoFault": Status.NO_FAULT,
    "DealTimedOut": Status.TIMED_OUT,
    "DealDeclined": Status.DECLINED,
    "DealClosed": Status.CLOSED_BY_AGREEMENT,
}
_PAUSE_S = 0.3
_AT_ONCE = 8  # blocks that are asked about
_MOST_TOLD = 20


@dataclass(frozen=True)
class Parties:
    """Whose money the ledger can hold: accounts by name, and the keys of funds and accruals."""

    accounts: Mapping[str, Address]
    versions: Sequence[VersionId]
    solver: Address
    pool: PoolTerms


@dataclass(frozen=True)
class Books:
    """One block's money, smallest units. `owned`: free and locked credit of all accounts; `waiting`: funds, accruals, fees."""

    owned: int
    waiting: int
    held: int
    balance: int
    staked: int
    staking_credit: int

    def problems(self) -> list[str]:
        """What does not add up; empty when all does."""
        found = []
        if self.owned + self.waiting != self.held:
            found.append(f"accounts {self.owned} + waiting {self.waiting} != held {self.held}")
        if self.held > self.balance:
            found.append(f"held {self.held} > tokens of the core {self.balance}")
        if self.staked > self.staking_credit:
            found.append(f"staked {self.staked} > credit of the staking contract {self.staking_credit}")
        return found


class Ledger:
    """The calls that read one block's books: all in one request."""

    def __init__(self, chain: CreatorChain, parties: Parties) -> None:
        token, core, pool = chain.default_token, chain.core, parties.pool
        pools = ((NOBODY, UNVERIFIED_POOL), (pool.strategy, pool.id))
        self._rpc = chain.rpc
        self._names = list(parties.accounts)
        accounts = [core.prepare("accountOf", token, account) for account in parties.accounts.values()]
        funds = [core.prepare("fundOf", strategy, token, pool_id) for strategy, pool_id in pools]
        accruals = [
            core.prepare("accruedOf", token, version, parties.solver, *key) for version in parties.versions for key in pools
        ]
        fees = [core.prepare("feesOf", token, version, parties.solver) for version in parties.versions]
        staking = chain.staking
        totals = [
            core.prepare("heldOf", token),
            chain.token_contract(token).prepare("balanceOf", core.address),
            staking.prepare("poolOf", pool.id),
            core.prepare("accountOf", token, staking.address),
        ]
        self._waiting = len(funds) + len(accruals) + len(fees)
        words = [4] * len(accounts) + [1] * len(funds) + [3] * len(accruals) + [2] * len(fees) + [1, 1, 3, 4]
        self._calls = ManyCalls([*accounts, *funds, *accruals, *fees, *totals], words)

    def at(self, block: bytes) -> Call:
        """The request for the books as of the block with this hash."""
        return self._calls.at(block)

    def read(self, outcome: str) -> Books:
        """The books, from the chain's answer."""
        accounts, waiting, (held, balance, pool, credit) = self._parts(outcome)
        return Books(
            owned=sum(free + locked for free, locked, *_ in accounts),
            waiting=sum(sum(answer) if isinstance(answer, (list, tuple)) else int(answer) for answer in waiting),
            held=int(held),
            balance=int(balance),
            staked=int(pool[0]),
            staking_credit=int(credit[0]),
        )

    def locked(self, outcome: str) -> dict[str, int]:
        """Locked credit by account, where there is any."""
        return {name: int(answer[1]) for name, answer in zip(self._names, self._parts(outcome)[0], strict=True) if answer[1]}

    def _parts(self, outcome: str) -> tuple[list[Any], list[Any], list[Any]]:
        answers, own = self._calls.read(outcome), len(self._names)
        return answers[:own], answers[own : own + self._waiting], answers[own + self._waiting :]


def moved(before: Status, event: str) -> tuple[Status, str]:
    """The status after an event, and what is wrong with that move; "" for nothing.

    A result that is waived in the call that posts it has no event of its own (protocol 3.4).
    """
    after = TARGETS[event]
    at_once = before is Status.AGREED and after is Status.ACCEPTED
    legal = after in LEGAL[before] or at_once
    return after, "" if legal else f"{event} of a deal that was {before.name}"


@dataclass
class Found:
    """All that the watch saw. `statuses`, `providers`: of every deal ever opened; `moves`: how often each event came."""

    blocks: int = 0
    read_again: int = 0  # a block that did not add up, and did when it was asked for once more
    first: int = 0
    last: int = 0
    violations: list[str] = field(default_factory=list)
    violated: int = 0
    statuses: dict[DealId, Status] = field(default_factory=dict)
    providers: dict[DealId, str] = field(default_factory=dict)
    answered: set[DealId] = field(default_factory=set)  # a result was posted
    disputes: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)

    def violate(self, text: str) -> None:
        self.violated += 1
        if len(self.violations) < _MOST_TOLD:
            self.violations.append(text)

    def unfinished(self) -> list[DealId]:
        return [deal for deal, status in self.statuses.items() if not status.is_final]


@dataclass(frozen=True)
class Facts:
    """What the chain says about one block: the core's and the resolver's logs, and the answer of `Ledger.at`."""

    number: int
    hash: bytes
    logs: Sequence[Any]
    books: str


class Watch(threading.Thread):
    """Follows the chain block by block from the present head on. `stop` lets it come to the head first."""

    def __init__(self, chain: CreatorChain, parties: Parties) -> None:
        super().__init__(daemon=True, name="watch")
        self.chain = chain
        self.ledger = Ledger(chain, parties)
        self.found = Found()
        self.trouble: Counter[str] = Counter()
        self._events = {
            contract.abi.event(name).topic: name
            for contract in (chain.core, chain.resolver)
            for name in TARGETS
            if name in contract.abi.events
        }
        self._kind_topic = chain.resolver.abi.event("DisputeOpened").topic
        self._next = self._head() + 1
        self.found.first = self._next
        self._stopping = threading.Event()

    def run(self) -> None:
        with ThreadPoolExecutor(_AT_ONCE, "watch") as pool:
            while True:
                stopping = self._stopping.is_set()
                try:
                    self.catch_up(pool)
                    if stopping:
                        return
                except LilypadError as error:  # the chain stands still, or is slow: no block is skipped for that
                    self.trouble[error.code] += 1
                self._stopping.wait(_PAUSE_S)

    def catch_up(self, pool: Executor) -> None:
        """Checks every block below the head: asks about some at a time, looks at them in order. Raises errors of the chain."""
        head = self._head()
        while self._next < head:
            numbers = range(self._next, min(head, self._next + 4 * _AT_ONCE))
            for facts in pool.map(self._facts, numbers):
                self._check(facts)

    def stop(self, seconds: float = 120.0) -> Found:
        """What was found up to the block before the head of now. Raises RuntimeError when the head is not reached in time."""
        self._stopping.set()
        self.join(seconds)
        if self.is_alive():
            raise RuntimeError(f"the watch is still at block {self._next}")
        return self.found

    def _head(self) -> int:
        return int(self.chain.rpc.request("eth_blockNumber"), 16)

    def _facts(self, number: int) -> Facts:
        (block,) = self._ask([Call("eth_getBlockByNumber", (hex(number), False))])
        hash_ = str(block["hash"])
        addresses = [self.chain.core.address, self.chain.resolver.address]
        logs, books = self._ask([Call("eth_getLogs", ({"blockHash": hash_, "address": addresses},)), self.ledger.at(bytes.fromhex(hash_[2:]))])
        return Facts(number, bytes.fromhex(hash_[2:]), logs, books)

    def _check(self, facts: Facts) -> None:
        self._add_up(facts.number, facts.hash, facts.books)
        self._compare(facts.number, facts.hash, self._follow(facts.number, facts.logs))
        self.found.blocks += 1
        self.found.last = facts.number
        self._next = facts.number + 1

    def _add_up(self, number: int, block: bytes, outcome: str) -> None:
        problems = self.ledger.read(outcome).problems()
        if problems:
            first, problems = problems, self.ledger.read(self._ask([self.ledger.at(block)])[0]).problems()
            self.found.read_again += first != problems
        for problem in problems:
            self.found.violate(f"block {number}: {problem}")

    def _ask(self, calls: Sequence[Call]) -> list[Any]:
        """The answers; raises the first error among them."""
        answers = self.chain.rpc.batch(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _follow(self, number: int, logs: Sequence[Any]) -> list[DealId]:
        """Moves the deals of a block's events; returns those that moved."""
        touched: dict[DealId, None] = {}
        for log in logs:
            topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
            name = self._events.get(topics[0]) if topics else None
            if name is None:
                continue
            deal = DealId(topics[1])
            before = self.found.statuses.get(deal, Status.NONE)
            self.found.statuses[deal], problem = moved(before, name)
            self.found.moves[name] += 1
            if name == "DealOpened":
                self.found.providers[deal] = checksummed("0x" + topics[3][-20:].hex())
            elif name in ("ResultSubmitted", "DealAccepted"):
                self.found.answered.add(deal)
            if topics[0] == self._kind_topic:
                self.found.disputes[str(int.from_bytes(topics[3], "big"))] += 1
            if problem:
                self.found.violate(f"block {number}: {problem}: 0x{deal.hex()}")
            touched[deal] = None
        return list(touched)

    def _compare(self, number: int, block: bytes, deals: Sequence[DealId]) -> None:
        """What the events say of these deals has to be what the contract says."""
        if not deals:
            return
        answers = call_many(self.chain.rpc, [self.chain.core.prepare("dealOf", deal) for deal in deals], block)
        for deal, answer in zip(deals, answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            status = DealState.of(answer).status
            if status is not self.found.statuses[deal]:
                told = self.found.statuses[deal].name
                self.found.violate(f"block {number}: events say {told}, the core says {status.name}: 0x{deal.hex()}")
