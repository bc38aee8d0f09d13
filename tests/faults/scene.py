"""One chain, a proxy before it, one agent under test as a process, and everybody else by hand.

A scene brings a deal to a state and holds it there (`reach`), so that a fault meets it in that state; `release` lets it
go on, `finish` plays the other parties until it has ended. `play` is one move of theirs.
"""

from __future__ import annotations

import random
import signal as signals
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from lilypad_agents.chain.crash import CrashPlan
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.protocol.deal import DealState
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.lifecycle import PAID, Status
from tests.agents.provider.relay import Relay
from tests.faults.ledger import Findings, audit
from tests.faults.process import AgentProcess
from tests.support.faultproxy import FaultProxy
from tests.support.network import start_network, stop_network

_LOOK_S = 0.05
_READINGS = 5
READY_S = 20.0


class Unreached(Exception):
    """A scene did not come to where it should."""


class Scene(ABC):
    """The common part. `endings`: the statuses in which the run's deals may end."""

    role: ClassVar[str]
    states: ClassVar[tuple[str, ...]]

    def __init__(self, folder: Path, rng: random.Random, **network: Any) -> None:
        self.folder, self.rng = folder, rng
        folder.mkdir(parents=True, exist_ok=True)
        self.network = start_network(folder, **network)
        self.proxy = FaultProxy(self.network.chain.url)
        self.relay = Relay(folder / "relay")
        self.relay.__enter__()
        self.changes: dict[str, Any] = {}
        self.starting = False
        self.keys: dict[str, Any] = {}  # settings that name a key, instead of the agent's own
        self.reruns = True  # whether a command that ended is given again
        self.endings: frozenset[Status] = frozenset(PAID)
        self.deals: list[DealId] = []
        self.spared: list[DealId] = []  # deals of others, whose ends are their own
        self.reverts = 0
        self.agent = self._make()
        self.since = self.head()

    # ---- to be filled in by roles

    @abstractmethod
    def _make(self) -> AgentProcess: ...

    @property
    @abstractmethod
    def key(self) -> LocalSigner:
        """The key of the agent under test."""

    @abstractmethod
    def reach(self, state: str) -> None:
        """Brings a new deal to the state, and holds it there as far as that is in others' hands."""

    def release(self) -> None:
        """Lets the held deal go on."""
        self.mine_by_itself()
        self.relay.faults.discard("no content")

    def play(self) -> None:
        """One move of the other parties."""

    def ended(self) -> bool:
        """Whether every deal of the run is over."""
        return bool(self.deals) and all(self.status(deal).is_final for deal in self.deals)

    # ---- the agent

    def start(self, crash: CrashPlan | None = None, before: Callable[[], None] | None = None, *, ready: bool = True) -> float:
        """Starts the agent; returns the seconds until it was ready."""
        began = time.monotonic()
        self.agent.start(crash, before)
        if ready:
            self.starting = True
            try:
                self.until(lambda: self.agent.ready, READY_S, "it was not ready")
            finally:
                self.starting = False
        return time.monotonic() - began

    def until(self, condition: Callable[[], Any], seconds: float = 30.0, told: str = "") -> float:
        """Plays until the condition holds; returns the seconds it took. Raises Unreached."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > seconds:
                words = [f"{line['event']} {line.get('reason', '')}"[:160] for line in self.agent.log()[-6:]]
                raise Unreached(f"{told or 'it did not get there'} within {seconds:.0f} s; its last words: {words}")
            self.play()
            time.sleep(_LOOK_S)
        return time.monotonic() - began

    def rest(self, seconds: float) -> None:
        """Plays for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.play()
            time.sleep(_LOOK_S)

    def finish(self, seconds: float = 60.0) -> None:
        """Lets everything go on until all deals have ended."""
        self.release()
        self.until(self.ended, seconds, "the deal did not end")

    def ready(self) -> bool:
        """Whether the agent works again."""
        return self.agent.ready

    def troubled(self, reason: str = "") -> bool:
        """Whether it says that it is not ready, for this reason if one is named."""
        against = self.agent.against()
        return bool(against) and (not reason or reason in against)

    # ---- the chain

    def head(self) -> int:
        return int(self.network.rpc.request("eth_blockNumber"), 16)

    def mine(self, blocks: int = 1) -> None:
        self.network.rpc.request("anvil_mine", hex(blocks))

    def hold_blocks(self) -> None:
        """No transaction is mined until `mine_by_itself`, or `mine`."""
        self.network.rpc.request("evm_setIntervalMining", 0)
        self.network.rpc.request("evm_setAutomine", False)

    def mine_by_itself(self) -> None:
        self.network.rpc.request("evm_setAutomine", True)
        self.network.rpc.request("evm_setIntervalMining", self.network.chain.config.block_time_s)
        if int(self.network.rpc.request("txpool_status")["pending"], 16):
            self.mine()

    def pending(self) -> int:
        """How many transactions wait in the pool."""
        return int(self.network.rpc.request("txpool_status")["pending"], 16)

    def pass_time(self, seconds: int) -> None:
        self.network.rpc.request("evm_increaseTime", hex(seconds))
        self.mine()

    def status(self, deal: DealId) -> Status:
        return DealState.of(self.network.contracts.core.call("dealOf", deal)).status

    def accounts(self) -> list[str]:
        """The accounts of the agents under test."""
        return [self.key.address]

    def audit(self) -> Findings:
        """Findings of a moment in which nothing moved: agents go on meanwhile, and events and balances are read one by one."""
        for _ in range(_READINGS):
            before = self.head()
            found = audit(self.network, self.accounts(), self.since, reverts=self.reverts)
            if not found.money or self.head() == before:
                break
        return found

    def close(self) -> None:
        self.agent.signal(signals.SIGCONT)  # a suspended one would not die of anything else
        self.agent.kill()
        self.proxy.__exit__()
        self.relay.__exit__()
        stop_network(self.network)
