"""The loop of an agent: observe, decide, act, again and again, level-triggered.

A cycle reads new events, lets the agent decide and act on state, and moves the outbox one step. Events, requests and
signals only wake it. It looks often while something happens and seldom when nothing does, and rests as long as it worked:
the more there is, the more a cycle takes at once, and the less the looking costs for each. An error ends a cycle, never
the agent, unless going on would be wrong (another chain, other code, a damaged database).
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, replace
from types import FrameType
from typing import Protocol

from lilypad_agents.agents.runtime import memory
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.dealbook import DealView
from lilypad_agents.agents.runtime.errors import figures_of
from lilypad_agents.agents.runtime.health import HealthServer
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.errors import ChainReset, DatabaseCorrupt, DatabaseTooNew, DiskFull, WrongChain
from lilypad_agents.chain.logs import Advance
from lilypad_agents.chain.outbox_store import State
from lilypad_agents.errors import ChainUnreachable, LilypadError

_FATAL = (ChainReset, DatabaseCorrupt, DatabaseTooNew)
_BUSY_PAUSE_S = 0.03
_LONGEST_REST_S = 0.25
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.25, 2.0
_FINALITY_BLOCKS = 64
_PRUNE_EVERY_BLOCKS = 512
_GIVE_BACK_EVERY_S = 60.0


@dataclass(frozen=True)
class Observation:
    """What one cycle sees. `changed`: deals whose state moved; `first`: the first cycle of this process."""

    advance: Advance
    head: ChainMoment
    changed: tuple[DealView, ...]
    first: bool


class Agent(Protocol):
    """What a role adds to the loop."""

    def cycle(self, observation: Observation) -> bool:
        """Decides and acts on the present state; True when more is to be expected soon. Must not block for long."""
        ...

    def stop(self) -> None:
        """Ends what runs beside the loop (workers, servers); called once, must return within the settings' `stop_s`."""
        ...


class AgentLoop:
    """Runs one agent in one process. `wake` may be called by any thread."""

    def __init__(
        self,
        context: AgentContext,
        agent: Agent,
        *,
        busy_pause_s: float = _BUSY_PAUSE_S,
        random_source: random.Random | None = None,
    ) -> None:
        """`busy_pause_s`: shortest pause between two looks at the chain that nobody asked for."""
        self.context = context
        self.agent = agent
        self._busy_pause_s = self._calm = busy_pause_s
        self._rest_s = 0.0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._random = random_source or random.Random()
        self._cycles = 0
        self._done = threading.Condition()
        self._reconciled_at = context.head.number
        self._pruned_at = context.head.number
        self._gave_back_at = time.monotonic()
        self._failures = 0

    # ---- from outside

    def wake(self) -> None:
        """Makes the next cycle start now."""
        self._wake.set()

    def stop(self) -> None:
        """Asks the loop to end after the present cycle."""
        self._stopping.set()
        self._wake.set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    @property
    def cycles(self) -> int:
        """Finished cycles."""
        return self._cycles

    def wait_for_cycle(self, timeout_s: float) -> bool:
        """Wakes the loop and waits for a whole cycle that begins after this call; False when the time is over first."""
        with self._done:
            wanted = self._cycles + 2 if self._running else self._cycles + 1
            self.wake()
            return self._done.wait_for(lambda: self._cycles >= wanted or self.stopping, timeout_s)

    _running = False

    # ---- running

    def run(self, *, signals: bool = True) -> int:
        """Runs until a request to stop; returns the exit code 0. Raises what makes going on wrong (another chain...).

        `signals`: SIGTERM and SIGINT ask to stop, a second one ends the process at once (main thread only).
        """
        server = HealthServer(
            self.context.health, self.context.settings.health_host, self.context.settings.health_port, self.context.data
        ).start()
        restore = self._take_signals() if signals else {}
        self.context.log("agent_started", health=server.url, block=self.context.head.number)
        try:
            while not self.stopping:
                pause = self.guarded_cycle()
                self._stopping.wait(self._rest_s)
                if self._wake.wait(max(0.0, pause - self._rest_s)):
                    self._wake.clear()
        finally:
            self._end(server, restore)
        return 0

    def guarded_cycle(self) -> float:
        """One cycle with its errors caught; returns seconds to pause. Raises what makes going on wrong."""
        health, started = self.context.health, time.monotonic()
        try:
            busy = self.cycle()
            self._failures = 0
            for reason in ("start", "chain", "disk", "error"):
                health.set(reason, None)
            pause = self._pause(busy)
        except _FATAL:
            raise
        except Exception as error:  # an agent outlives its errors; each is logged, counted and shown as not ready
            pause = self._after_failure(error)
        finally:
            health.beat()
            spent = time.monotonic() - started
            self._rest_s = min(_LONGEST_REST_S, spent)
            health.cycle_seconds.set(spent)
            with self._done:
                self._cycles += 1
                self._running = False
                self._done.notify_all()
        health.cycles.inc()
        return pause

    def cycle(self) -> bool:
        """Observe, decide, act, once; True when more is to be expected soon. Errors pass through."""
        self._running = True
        observation = self.observe()
        busy = self.agent.cycle(observation)
        report = self.context.outbox.pump()
        in_flight = report.counts.get(State.QUEUED, 0) + report.counts.get(State.SENT, 0) > 0
        advance = observation.advance
        self._prune(advance)
        return busy or in_flight or bool(advance.new_logs) or not advance.caught_up

    def observe(self) -> Observation:
        """The head, which becomes the context's, and what new events changed of the deals."""
        context = self.context
        advance = context.cursor.advance()
        self._see(advance.head)
        changed = context.deals.follow(reorganised=advance.reorganisation is not None)
        if advance.caught_up and advance.head.number - self._reconciled_at >= context.settings.reconcile_blocks:
            missed = self._reconcile(advance)
            changed += context.deals.follow()
            advance = replace(advance, new_logs=(*advance.new_logs, *missed))
        return Observation(advance, advance.head, tuple(changed), self._cycles == 0)

    def _see(self, head: ChainMoment) -> None:
        self.context.head = head
        self.context.times.learn(head.hash, head.timestamp)
        self.context.health.head.set(head.number)

    def _reconcile(self, advance: Advance) -> tuple[DecodedEvent, ...]:
        """Asks again for the last blocks' events and compares all open deals with the chain; returns what had been missed.

        The former alone finds a deal whose opening a node swallowed: it is not among those that are compared.
        """
        context, blocks = self.context, self.context.settings.reconcile_blocks
        since, self._reconciled_at = advance.head.number - self._reconciled_at, advance.head.number
        # Events that are held back for confirmations: there the chain is rightly ahead of what is known.
        compare = advance.cursor >= advance.head.number
        differing = context.deals.reconcile(context.core, advance.head) if compare else []
        missed = context.cursor.rescan(max(since + blocks, 4 * blocks if differing else 0))
        if differing or missed:
            context.log("events_missed", alert=True, deals=len(differing), found=len(missed))
        return missed

    def _prune(self, advance: Advance) -> None:
        if advance.head.number - self._pruned_at >= _PRUNE_EVERY_BLOCKS:
            self._pruned_at = advance.head.number
            depth = max(_FINALITY_BLOCKS, self.context.settings.confirmations, 8 * self.context.settings.reconcile_blocks)
            self.context.deals.prune(advance.head.number - depth)
        if time.monotonic() - self._gave_back_at >= _GIVE_BACK_EVERY_S:
            self._gave_back_at = time.monotonic()
            memory.give_back()

    def _pause(self, busy: bool) -> float:
        longest = self.context.settings.poll_interval_s
        self._calm = self._busy_pause_s if busy else min(longest, self._calm * 2)
        return min(longest, self._calm)

    def _after_failure(self, error: Exception) -> float:
        """Logs, reports and returns the pause: longer each time, with jitter."""
        health, self._failures = self.context.health, self._failures + 1
        figures = figures_of(error)
        health.failures.labels(code=figures["code"]).inc()
        name = "chain" if isinstance(error, (ChainUnreachable, WrongChain)) else "disk" if isinstance(error, DiskFull) else "error"
        health.set(name, figures["reason"])
        if isinstance(error, LilypadError):
            self.context.log("cycle_failed", alert=True, failures=self._failures, **figures)
        else:
            self.context.log.error("cycle_failed", failures=self._failures, exc_info=error, **figures)
        pause = min(_LAST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** min(self._failures - 1, 6))
        return pause * self._random.uniform(0.5, 1.0)

    # ---- ending

    def _take_signals(self) -> dict[int, object]:
        return {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.stopping:
            os._exit(128 + number)
        self.stop()

    def _end(self, server: HealthServer, restore: dict[int, object]) -> None:
        """Stops the agent's own parts; a watchdog ends the process should that hang."""
        self._stopping.set()
        patience = self.context.settings.stop_s
        watchdog = threading.Timer(patience, self._give_up)
        watchdog.daemon = True
        if restore:
            watchdog.start()
        try:
            self.context.log("agent_stopping")
            self.agent.stop()
            server.stop()
        finally:
            watchdog.cancel()
            with self._done:
                self._done.notify_all()
            for number, handler in restore.items():
                signal.signal(number, handler)  # type: ignore[arg-type]
        self.context.log("agent_stopped")

    def _give_up(self) -> None:
        self.context.log.error("agent_stop_took_too_long", seconds=self.context.settings.stop_s)
        os._exit(1)
