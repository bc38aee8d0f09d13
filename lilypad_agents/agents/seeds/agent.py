"""The participant's part of the loop: look, decide, act. What it has open stands on the chain, what it sent in the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from prometheus_client import Gauge

from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.runtime.loop import Observation
from lilypad_agents.agents.seeds.book import Book, Unopened
from lilypad_agents.agents.seeds.decide import Action, Decision, Intent, SeedView, decide
from lilypad_agents.agents.seeds.settings import SeedConfig
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.errors import RpcError
from lilypad_agents.chain.logs import LogCursor
from lilypad_agents.chain.outbox import Failed, Mined, Pending, Status
from lilypad_agents.errors import ChainUnreachable, InsufficientFunds
from lilypad_agents.protocol.units import Period

_LONGEST_PAUSE_S = 60


def key_of(action: Action, period: Period) -> str:
    """Of a transaction in the outbox."""
    return f"{action}:{period}"


@dataclass
class SeedAgent:
    """One participant. `finish` ends the loop, once it has left."""

    context: AgentContext
    config: SeedConfig
    book: Book
    cursor: LogCursor
    finish: Callable[[], None]
    crash: CrashPlan = field(default_factory=lambda: NEVER)
    view: SeedView | None = None
    decision: Decision = Decision()
    _unopened: Unopened | None = None
    _lost: set[Period] = field(default_factory=set)
    _failures: dict[str, tuple[int, int]] = field(default_factory=dict)  # how many, and the time of another try
    _handed_over: set[str] = field(default_factory=set)
    _head: bytes = b""
    _finished_look: bool = False

    _GAUGES: ClassVar[dict[str, Callable[[SeedAgent], float]]] = {
        "lilypad_seeds_open_commitments": lambda self: len(self.view.commitments) if self.view else 0,
        "lilypad_seeds_bonds_lost": lambda self: len(self._lost),
        "lilypad_seeds_free_bond_wei": lambda self: self.view.free if self.view else 0,
        "lilypad_seeds_missing_wei": lambda self: self.decision.missing,
    }

    def __post_init__(self) -> None:
        for name, read in self._GAUGES.items():
            gauge = Gauge(name, name.replace("_", " "), registry=self.context.health.registry)
            gauge.set_function(lambda read=read: float(read(self)))  # type: ignore[misc]

    # ---- the loop's part

    def cycle(self, observation: Observation) -> bool:
        """One look, one decision, what follows from it. True when more is to be expected at once."""
        if self._finished_look and self._head == observation.head.hash:
            return False
        self._finished_look = False
        caught_up = self._follow(observation)
        self.view = self.book.look(observation.head, self._known(), self._busy(), self._lost)
        self.decision = decide(self.view, self.config)
        self._report(observation.first)
        for intent in self.decision.intents:
            self._send(intent)
        if self.config.leave and self.decision.idle and caught_up:
            self.context.log("seeds_left", period=self.view.rounds.period_at(self.view.time), free=self.view.free)
            self.finish()
        # Where it leaves, what is under way ends by a receipt, after which no further block may come.
        waits = not caught_up or bool(self.view.busy) if self.config.leave else not (caught_up or self._unopened is None)
        self._finished_look = not waits
        self._head = observation.head.hash
        return bool(self.decision.intents) or not caught_up

    def stop(self) -> None:
        """Nothing runs beside the loop; what is open is revealed by the next life."""

    # ---- looking

    def _follow(self, observation: Observation) -> bool:
        """Reads own events up to the head; whether there are no more. Where that fails, all but old bonds goes on without."""
        health = self.context.health
        try:
            caught_up = self._read_events(observation)
        except (ChainUnreachable, RpcError) as error:
            if "events" not in health.against():
                self.context.log("events_unreadable", alert=True, **figures_of(error))
            health.set("events", f"own events cannot be read: {error.message}")
            return False
        health.set("events", None)
        return caught_up

    def _read_events(self, observation: Observation) -> bool:
        known, self._unopened = self._unopened, None  # made anew where reading ends in an error: it may have stored some
        advance = self.cursor.advance(observation.head)
        if known is None or advance.reorganisation is not None:
            known = Unopened.of(self.cursor.events())
            self._lost.clear()
        else:
            known.take(advance.new_logs)
        self._unopened = known
        return advance.caught_up

    def _known(self) -> set[Period]:
        """Periods to look at beside those that are in reach: open by events, or by the last look; what is lost stays so."""
        by_events = self._unopened.periods if self._unopened else set()
        by_look = {item.period for item in self.view.commitments} if self.view else set()
        return (by_events | by_look) - self._lost

    def _busy(self) -> set[tuple[Action, Period]]:
        """What needs no decision now: under way, or failed a moment ago."""
        now = self.context.now
        periods = {*self._known(), *self.book.in_reach(now), self.book.rounds.period_at(now)}
        self._failures = {key: known for key, known in self._failures.items() if int(key.rpartition(":")[2]) in periods}
        outbox = self.context.outbox
        found = {(action, period): outbox.status(key_of(action, period)) for period in periods for action in Action}
        poor = any(isinstance(s, Pending) and isinstance(s.blocked, InsufficientFunds) for s in found.values())
        return {(action, period) for (action, period), status in found.items() if self._is_busy(action, period, status, poor)}

    def _is_busy(self, action: Action, period: Period, status: Status | None, poor: bool) -> bool:
        """`poor`: coin is lacking for one of our transactions."""
        key = key_of(action, period)
        if isinstance(status, Pending):
            # A commitment that waits keeps its coin, and its place in the order, from the reveals that come after it.
            if action is not Action.COMMIT or not (poor or self.config.leave) or not self.context.outbox.withdraw(key):
                return True
            if poor:
                self._pause(key)
        elif isinstance(status, Mined):
            self._handed_over.discard(key)
            return status.receipt.block.number > self.context.head.number
        elif isinstance(status, Failed) and (key in self._handed_over or key not in self._failures):
            self.context.log("action_failed", alert=True, key=key, **figures_of(status.error))
            self._pause(key)
        if action is Action.COMMIT and self.config.leave:
            return False  # it is not tried again, and there may be no block that ends the pause
        return self.context.now < self._failures.get(key, (0, 0))[1]

    def _pause(self, key: str) -> None:
        """1, 2, 4... seconds of block time until the same is tried again."""
        count = self._failures.get(key, (0, 0))[0]
        self._failures[key] = count + 1, self.context.now + min(_LONGEST_PAUSE_S, 1 << min(count, 6))
        self._handed_over.discard(key)

    # ---- saying

    def _report(self, first: bool) -> None:
        health, decision = self.context.health, self.decision
        text = f"{decision.missing} wei are missing for the bond of the next period and the reveals of what is open"
        health.set("coin", text if decision.missing else None)
        text = f"not from this key's secret: the commitments for the periods {_listed(decision.foreign)}"
        health.set("foreign", text if decision.foreign else None)
        text = f"{len(self._lost.union(decision.lost))} bonds are lost: it commits again for period {decision.halted}"
        health.set("losses", text if decision.halted else None)
        for period in set(decision.lost) - self._lost:
            self.context.log("bond_lost", alert=not first, period=period, wei=self.book.rounds.bond)
        self._lost |= set(decision.lost)

    # ---- acting

    def _send(self, intent: Intent) -> None:
        """Hands one transaction to the outbox. A secret leaves `Secrets` here only, when a block has reached its window."""
        source, period = self.book.source, intent.period
        if intent.action is Action.REVEAL:
            data = source.encode("reveal", period, self.book.account, self.book.secrets.of(period))
        elif intent.action is Action.COMMIT:
            data = source.encode("commit", period, self.book.secrets.commitment(period))
        else:
            data = source.encode("reclaim", period, self.book.account)
        key = key_of(intent.action, period)
        if isinstance(self.context.outbox.status(key), Mined):  # and due all the same: the chain took back what lay deep in it
            self.context.outbox.withdraw(key)
        self.crash.point(f"seeds.{intent.action}.before")
        deadline = None if intent.deadline is None else int(intent.deadline)
        self.context.outbox.submit(key, source.address, data, intent.value, deadline=deadline, again_if_failed=True)
        self._handed_over.add(key)
        self.crash.point(f"seeds.{intent.action}.queued")
        self.context.log("action_queued", action=str(intent.action), period=period, key=key, value=intent.value)


def _listed(periods: Iterable[Period]) -> str:
    return ", ".join(map(str, periods))
