"""Opening transactions under way: from chosen pairs to a batch in the outbox, and from its receipt to what became of each.

The pairs of a batch are stored in the order of its calldata, in one commit with the transaction, so that a restart
knows what `Skipped(group, item)` speaks of. The key of a batch follows from its pairs: deciding twice sends once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lilypad_agents.agents.solver.book import JobEntry, OfferBook, ResourceEntry
from lilypad_agents.agents.solver.decide import Chosen, PairId, match_of
from lilypad_agents.agents.solver.store import SolverStore, StoredMatch
from lilypad_agents.agents.solver.wire import OfferState
from lilypad_agents.chain.abi import DecodedError
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.codec import to_bytes
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.outbox import Failed, Mined, Outbox, Receipt
from lilypad_agents.protocol.ids import keccak256
from lilypad_agents.protocol.matching import Match
from lilypad_agents.protocol.opening import openings_of
from lilypad_agents.protocol.parameters import Parameters

WHOLE_GROUP = 2**256 - 1
OPENED = "opened"
# Upper bounds in gas, about twice what bench/results/gas.json measures. Asking the node for an estimate of a large batch
# runs it a dozen times; a limit of our own costs one run, and what is not used is not paid.
GAS_BASE, GAS_A_GROUP, GAS_A_PAIR = 100_000, 150_000, 150_000
GAS_ASKED_CONTRACT = 600_000  # a signature about which the core asks another contract
_OUT_OF_GAS = "used all its gas"


@dataclass(frozen=True)
class PairOutcome:
    """What became of a pair: opened when `reason` is None, else the core's error."""

    pair: PairId
    reason: DecodedError | None


class Openings:
    """The batches of one solver that are not finished. Used by the loop only, but for `in_flight`."""

    def __init__(
        self, database: Database, store: SolverStore, outbox: Outbox, core: Contract, crash: CrashPlan = NEVER
    ) -> None:
        self._database = database
        self._store = store
        self._outbox = outbox
        self._core = core
        self._crash = crash
        self._batches: dict[str, list[StoredMatch]] = {}
        self._matches: dict[PairId, Match] = {}
        self._estimates = False  # once a limit of ours was too low, the node is asked

    def load(self, book: OfferBook, parameters: Parameters) -> list[PairId]:
        """After a start: takes up the stored batches; returns pairs whose transaction was never queued."""
        lost: list[PairId] = []
        for stored in self._store.open_matches():
            self._batches.setdefault(stored.batch, []).append(stored)
            job, resource = book.job(stored.job), book.resource(stored.resource)
            made = match_of(job, resource, parameters) if job and resource else None
            if made is not None:
                self._matches[stored.job, stored.resource] = made
        for key in [key for key in self._batches if self._outbox.status(key) is None]:
            lost += [(item.job, item.resource) for item in self._batches[key]]
            self._end(key, {item.seq: "never sent" for item in self._batches[key]})
        return lost

    @property
    def in_flight(self) -> list[Match]:
        return list(self._matches.values())

    def __len__(self) -> int:
        return len(self._batches)

    def start(self, groups: Sequence[Sequence[Chosen]], book: OfferBook, head: ChainMoment) -> str | None:
        """Queues one transaction that opens the pairs of `groups`, and marks the jobs as opening. Returns its key.

        None, and nothing done, when an offer was withdrawn meanwhile: decide again.
        """
        chosen = [item for group in groups for item in group]
        places = [(*item.id, number, index) for number, group in enumerate(groups) for index, item in enumerate(group)]
        digest = keccak256(head.hash + b"".join(job + resource for job, resource in (item.id for item in chosen)))
        key = f"open:{digest.hex()[:32]}"
        calldata = self._core.encode("openBatch", openings_of(item.pair for item in chosen))
        last = max(min(item.job.offer.expiry, item.resource.offer.expiry) for item in chosen)
        self._crash.point("solver.open.before")
        with book.locked():
            if not all(_is_open(book.entry(id_)) for item in chosen for id_ in item.id):
                return None
            with self._database.transaction():
                self._batches[key] = self._store.add_matches(key, places, head.number, head.timestamp)
                book.move([item.job.id for item in chosen], OfferState.OPENING, now=head.timestamp)
                gas = None if self._estimates else gas_limit(groups)
                self._outbox.submit(key, self._core.address, calldata, gas=gas, deadline=last)
        self._crash.point("solver.open.queued")
        self._matches.update({item.id: item.match for item in chosen})
        return key

    def finish(self) -> list[PairOutcome]:
        """What became of the batches whose transactions are over."""
        outcomes: list[PairOutcome] = []
        for key in list(self._batches):
            status = self._outbox.status(key)
            if isinstance(status, Mined):
                outcomes += self._read(key, self._skipped(status.receipt))
            elif isinstance(status, Failed):
                self._estimates = self._estimates or _OUT_OF_GAS in status.error.message
                outcomes += self._read(key, DecodedError("TransactionFailed", {"reason": status.error.message}))
        return outcomes

    def _read(self, key: str, skipped: Mapping[tuple[int, int], DecodedError] | DecodedError) -> list[PairOutcome]:
        """Outcomes of a batch from the reasons by group and item, or one reason for all."""
        matches, found = self._batches[key], []
        for item in matches:
            if isinstance(skipped, DecodedError):
                reason: DecodedError | None = skipped
            else:
                reason = skipped.get((item.group, item.item)) or skipped.get((item.group, WHOLE_GROUP))
            found.append(PairOutcome((item.job, item.resource), reason))
        self._crash.point("solver.outcome.read")
        self._end(key, {item.seq: str(made.reason or OPENED)[:500] for item, made in zip(matches, found, strict=True)})
        self._crash.point("solver.outcome.noted")
        return found

    def _end(self, key: str, outcomes: dict[int, str]) -> None:
        self._store.end_matches(outcomes)
        for item in self._batches.pop(key):
            self._matches.pop((item.job, item.resource), None)

    def _skipped(self, receipt: Receipt) -> dict[tuple[int, int], DecodedError]:
        """Reasons of what the core left out, by group and item."""
        event = self._core.abi.event("Skipped")
        found = {}
        for log in receipt.logs:
            topics = [to_bytes(topic) for topic in log["topics"]]
            if log["address"].lower() == self._core.address.lower() and topics[:1] == [event.topic]:
                args = event.decode(topics, to_bytes(log["data"]))
                found[args["group"], args["item"]] = self._core.errors.decode(args["reason"])
        return found


def gas_limit(groups: Sequence[Sequence[Chosen]]) -> int:
    """Enough gas for a batch, whoever signed and whatever is stored for the first time."""
    found = GAS_BASE + GAS_A_GROUP * len(groups)
    for group in groups:
        signatures = [group[0].resource.signature, *(item.job.signature for item in group)]
        asked = sum(len(signature) != 66 or signature[0] != 0 for signature in signatures)
        proofs = sum(len(item.pair.membership) for item in group[:1])
        found += GAS_A_PAIR * len(group) + GAS_ASKED_CONTRACT * asked + 5_000 * proofs
    return found


def pairs_that_fit(block_gas_limit: int) -> int:
    """How many pairs of a batch fit half a block."""
    return max(1, (block_gas_limit // 2 - GAS_BASE) // (GAS_A_PAIR + GAS_A_GROUP))


def _is_open(entry: JobEntry | ResourceEntry | None) -> bool:
    return entry is not None and entry.state is OfferState.OPEN
