"""A seat's digest and receipt, left with the relays for both parties once its vote is revealed (protocol 6.2)."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lilypad_agents.agents.mediator.sources import Sources
from lilypad_agents.agents.mediator.store import MediatorStore, StoredVote
from lilypad_agents.agents.mediator.votes import name_of
from lilypad_agents.agents.runtime.disputes import Dispute
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.runtime.threads import Threads
from lilypad_agents.chain.types import Notify
from lilypad_agents.errors import LilypadError
from lilypad_agents.execution.receipt import parse_receipt
from lilypad_agents.protocol.ids import Address, DealId, hex_of

MOST_ATTEMPTS = 5
RETRY_S = 2.0


def seat_note(vote: StoredVote, receipt: bytes) -> dict[str, Any]:
    """The body of a `seat` note. `receipt`: as the run signed it; empty where nothing ran."""
    signed = parse_receipt(receipt) if receipt else None
    return {
        "round": vote.round,
        "account": vote.account,
        "vote": hex_of(vote.vote),
        "salt": hex_of(vote.salt),
        "receipt": None if signed is None else {"receipt": signed.receipt.as_dict(), "signature": hex_of(signed.signature)},
    }


@dataclass
class Evidence:
    """Use on the loop's thread. What no relay takes after some attempts is given up: the vote itself is on the chain."""

    store: MediatorStore
    sources: Sources
    log: Notify
    wake: Callable[[], None]
    _attempts: dict[tuple[DealId, int], tuple[int, float]] = field(default_factory=dict)
    _pending: set[tuple[DealId, int]] = field(default_factory=set)
    _ended: queue.SimpleQueue[tuple[StoredVote, LilypadError | None]] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self._threads = Threads(1, "mediator-evidence", self._failed)

    def _failed(self, error: Exception) -> None:
        self.log("thread_failed", alert=True, **figures_of(error))

    def is_due(self, dispute: Dispute, account: Address) -> bool:
        """Whether a revealed vote of ours waits for its evidence to be left."""
        return self._next(dispute, account) is not None

    def leave(self, dispute: Dispute, account: Address, receipt: bytes) -> None:
        """Begins to leave the evidence of the next revealed vote, if it is time."""
        vote = self._next(dispute, account)
        if vote is None or (vote.deal_id, vote.round) in self._pending:
            return
        key = (vote.deal_id, vote.round)
        if time.monotonic() < self._attempts.get(key, (0, 0.0))[1]:
            return
        self._pending.add(key)
        shown = receipt if receipt and hex_of(vote.vote) == parse_receipt(receipt).receipt.result_digest else b""
        self._threads.submit(self._leave, vote, seat_note(vote, shown))

    def _next(self, dispute: Dispute, account: Address) -> StoredVote | None:
        for item in dispute.facts.drawn:
            if any(vote.account == account for vote in item.votes.values()):
                stored = self.store.vote(dispute.deal_id, item.number, account)
                if stored is not None and not stored.shown:
                    return stored
        return None

    def _leave(self, vote: StoredVote, body: Mapping[str, Any]) -> None:
        failure: LilypadError | None = None
        try:
            self.sources.tell(vote.deal_id, body)
        except LilypadError as error:
            failure = error
        self._ended.put((vote, failure))
        self.wake()

    def collect(self) -> bool:
        """Takes in what came of it; True when anything did."""
        changed = False
        while not self._ended.empty():
            vote, failure = self._ended.get_nowait()
            key, changed = (vote.deal_id, vote.round), True
            self._pending.discard(key)
            attempts = self._attempts.get(key, (0, 0.0))[0] + 1
            self._attempts[key] = (attempts, time.monotonic() + RETRY_S * attempts)
            if failure is None:
                self.log("evidence_left", deal=vote.deal_id, round=vote.round, vote=name_of(vote.vote))
            elif attempts >= MOST_ATTEMPTS:
                self.log("evidence_given_up", alert=True, deal=vote.deal_id, round=vote.round, **figures_of(failure))
            else:
                continue
            self._attempts.pop(key)
            self.store.mark_shown(vote)
        return changed

    def close(self) -> None:
        self._threads.close(0.5)
