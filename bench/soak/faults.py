"""What happens to the agents of a soak: kills, frozen processes, a chain that answers badly or not at all.

One fault at a time to one agent (or to the chain, which all of them feel), each for some seconds, then a pause. After a third
of the time only `RESTLESS` agents are killed, so that the memory of the others can be followed over a long life.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.soak.network import SoakNetwork
from lilypad_agents.errors import LilypadError

RESTLESS = ("cheater", "mediator4")
PAUSE_S = 4.0  # mean, between two faults
PASS: Mapping[str, Any] = {"mode": "pass", "lag_blocks": 0, "repeat_logs": False, "hide_logs": False, "max_log_range": None, "lose_count": 0}
# Faults of an endpoint by name: what the proxy is told, and for how long at most (s).
ENDPOINT: Mapping[str, tuple[Mapping[str, Any], float]] = {
    "HTTP 500": ({"mode": "status", "status": 500}, 8.0),
    "HTTP 429": ({"mode": "status", "status": 429, "retry_after": "1"}, 8.0),
    "HTML for JSON": ({"mode": "html"}, 8.0),
    "truncated answers": ({"mode": "truncated"}, 8.0),
    "slow answers": ({"mode": "slow", "delay_s": 0.7}, 12.0),
    "no answers": ({"mode": "hang"}, 10.0),
    "lost answers": ({"mode": "lost"}, 6.0),
    "lost answers to transactions": ({"lose_methods": frozenset({"eth_sendRawTransaction"}), "lose_count": 3}, 10.0),
    "head behind": ({"lag_blocks": 8}, 12.0),
    "events hidden": ({"hide_logs": True}, 8.0),
    "events twice and in reverse": ({"repeat_logs": True}, 12.0),
    "short log ranges": ({"max_log_range": 2}, 12.0),
}


@dataclass
class Report:
    """Faults by kind and by agent."""

    kinds: Counter[str] = field(default_factory=Counter)
    agents: Counter[str] = field(default_factory=Counter)
    restarts_failed: list[str] = field(default_factory=list)


class Chaos(threading.Thread):
    """Makes faults until it is told to stop, and mends each of them."""

    def __init__(self, network: SoakNetwork, seed: int, kill_all_s: float) -> None:
        super().__init__(daemon=True, name="chaos")
        self.report = Report()
        self._network = network
        self._random = random.Random(f"{seed} faults")
        self._spare_from = time.monotonic() + kill_all_s
        self._stopping = threading.Event()
        self._down: set[str] = set()  # agents that did not come up again

    def run(self) -> None:
        kinds: dict[Callable[[], None], int] = {self._kill: 22, self._freeze: 20, self._endpoint: 48, self._freeze_chain: 10}
        while not self._stopping.wait(self._random.expovariate(1 / PAUSE_S)):
            fault = self._random.choices(list(kinds), list(kinds.values()))[0]
            try:
                fault()
            except ProcessLookupError as error:  # an agent has ended by itself: that is for the report, and faults go on
                self.report.restarts_failed.append(f"an agent had ended when it was to be disturbed: {error}")

    def stop(self) -> Report:
        """Ends the fault that is on, and makes no more."""
        self._stopping.set()
        self.join(90)
        return self.report

    def _note(self, kind: str, agent: str) -> None:
        self.report.kinds[kind] += 1
        self.report.agents[agent] += 1

    def _kill(self) -> None:
        victims = self._network.agents if time.monotonic() < self._spare_from else RESTLESS
        name = self._random.choice([name for name in victims if name not in self._down] or victims)
        self._note("kill -9 and restart", name)
        self._network.kill(name)
        self._stopping.wait(self._random.uniform(0.0, 5.0))
        for attempt in range(3):
            try:
                self._network.start(name)
                return
            except LilypadError as error:
                self.report.restarts_failed.append(f"{name}, attempt {attempt + 1}: {error.message.splitlines()[0][:300]}")
        self._down.add(name)

    def _freeze(self) -> None:
        name = self._random.choice(self._network.agents)
        self._note("process stopped and continued", name)
        self._network.signal(name, signal.SIGSTOP)
        try:
            self._stopping.wait(self._random.uniform(1.0, 12.0))
        finally:
            self._network.signal(name, signal.SIGCONT)

    def _freeze_chain(self) -> None:
        self._note("chain stopped and continued", "chain")
        self._network.signal("chain", signal.SIGSTOP)
        try:
            self._stopping.wait(self._random.uniform(0.5, 5.0))
        finally:
            self._network.signal("chain", signal.SIGCONT)

    def _endpoint(self) -> None:
        kind = self._random.choice(list(ENDPOINT))
        attributes, longest = ENDPOINT[kind]
        name = self._random.choice(self._network.agents)
        self._note(f"chain endpoint: {kind}", name)
        self._network.misbehave(name, **attributes)
        try:
            self._stopping.wait(self._random.uniform(2.0, longest))
        finally:
            self._network.misbehave(name, **PASS)
