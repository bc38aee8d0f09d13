"""Participants in a test's hands: real chain, real contract. The test turns the loops and the clock."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.loop import AgentLoop, Observation
from lilypad_agents.agents.seeds.agent import SeedAgent
from lilypad_agents.agents.seeds.book import read_rounds
from lilypad_agents.agents.seeds.run import assemble
from lilypad_agents.agents.seeds.settings import SeedSettings
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.protocol.ids import Address
from tests.agents.provider.harness import Lines
from tests.support.chain import A_BLOCK_S, mined_what_was_sent
from tests.support.network import Network, signer

BOND = 10**17
PERIOD_S, LOOKAHEAD_S, REVEAL_S = 600, 60, 240  # long enough that the seconds of a busy machine do not count
PARAMETERS = {
    "randomness": "commit-reveal", "periodSeconds": str(PERIOD_S), "lookaheadSeconds": str(LOOKAHEAD_S),
    "revealSeconds": str(REVEAL_S), "leastParticipants": "2", "bond": str(BOND), "revealWindow": "1900",
    "mediationLimit": "600", "maxJudgeWindow": "80",
}  # fmt: skip
PENDING, KNOWN, EXPIRED = 0, 1, 2
_accounts = itertools.count(700)  # of the test mnemonic, none used twice


@dataclass
class Participant:
    """An account with its folder over all its lives."""

    key: LocalSigner
    index: int
    folder: Path
    lines: Lines = field(default_factory=Lines)
    context: AgentContext | None = None
    agent: SeedAgent | None = None
    loop: AgentLoop | None = None

    @property
    def account(self) -> Address:
        return Address(self.key.address)

    def end(self) -> None:
        if self.context is not None:
            self.context.close()
            self.context = self.agent = self.loop = None


@dataclass
class Circle:
    """Begins in the first second of a period that nobody used: `period`."""

    network: Network
    folder: Path
    members: list[Participant] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = self.network.contracts["CommitRevealRandomness"]
        self.rounds = read_rounds(self.source)
        self.period = self.rounds.period_at(self.network.now()) + 2
        self.to(self.rounds.start(self.period))

    # ---- time

    def to(self, second: int) -> None:
        """A block with this timestamp."""
        assert second > self.network.now(), "the clock of a chain does not go back"
        self.network.rpc.request("evm_setNextBlockTimestamp", second)
        self.network.rpc.request("evm_mine")

    # ---- participants

    def participant(self, coin: int = 10 * BOND, *, start: bool = True, **settings: Any) -> Participant:
        index = next(_accounts)
        found = Participant(signer(index), index, self.folder / f"participant-{index}")
        self.network.rpc.request("anvil_setBalance", found.account, hex(coin))
        self.members.append(found)
        if start:
            self.start(found, **settings)
        return found

    def options(self, member: Participant, **changes: Any) -> SeedSettings:
        values: dict[str, Any] = {
            "data": member.folder, "state": self.folder / "state", "rpc": self.network.rpc.config.urls,
            "address_book": self.network.book_path, "log_stderr": False, "test_account": member.index, "poll_interval_s": 0.01,
        }  # fmt: skip
        return SeedSettings(**{**values, **changes})

    def start(self, member: Participant, *, crash: CrashPlan = NEVER, **changes: Any) -> SeedAgent:
        settings = self.options(member, **changes)
        member.context = AgentContext.open(settings, signer=member.key, log=member.lines, crash=crash)
        member.agent, member.loop = assemble(member.context, settings, crash=crash)
        return member.agent

    def turn(self, cycles: int = 1) -> None:
        """Every participant looks and acts so often."""
        for _ in range(cycles):
            for member in self.members:
                if member.loop is not None:
                    member.loop.cycle()
            mined_what_was_sent(self.network.rpc)

    def decide_only(self, member: Participant) -> None:
        """What the loop would show the agent, without the step of the outbox that follows."""
        assert member.context is not None and member.agent is not None
        advance = member.context.cursor.advance()
        member.context.head = advance.head
        member.agent.cycle(Observation(advance, advance.head, (), True))

    def until(self, condition: Callable[[], bool], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, [member.lines.seen[-4:] for member in self.members]
            self.turn()
        time.sleep(A_BLOCK_S)

    def close(self) -> None:
        for member in self.members:
            member.end()

    # ---- what the chain says

    def committed(self, period: int, *members: Participant) -> bool:
        return all(any(self.source.call("commitmentOf", period, member.account)) for member in members)

    def counts(self, period: int) -> tuple[int, int]:
        committed, revealed = self.source.call("participantsOf", period)
        return int(committed), int(revealed)

    def seed(self, period: int) -> tuple[int, bytes]:
        status, value = self.source.call("seed", period)
        return int(status), bytes(value)

    def free(self, member: Participant) -> int:
        return int(self.source.call("freeBondOf", member.account))

    def secret(self, member: Participant, period: int) -> bytes:
        assert member.agent is not None
        return member.agent.book.secrets.of(period)  # type: ignore[arg-type]
