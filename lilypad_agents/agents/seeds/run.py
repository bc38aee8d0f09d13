"""Puts a participant together and runs it: `run(settings)` is what `lilypad seeds start` calls."""

from __future__ import annotations

from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.loop import AgentLoop, Observation
from lilypad_agents.agents.seeds.agent import SeedAgent
from lilypad_agents.agents.seeds.book import Book, Secrets, cursor_of, first_block, source_of
from lilypad_agents.agents.seeds.settings import SeedSettings
from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.keys import Signer
from lilypad_agents.chain.logs import Advance
from lilypad_agents.protocol.ids import Address


class SeedLoop(AgentLoop):
    """Sees the head alone: it has no deals, and a node that serves no events must not keep it from a reveal."""

    def observe(self) -> Observation:
        head = read_moment(self.context.rpc)
        self._see(head)
        return Observation(Advance((), (), head, head.number, caught_up=True), head, (), self.cycles == 0)


def run(settings: SeedSettings, *, signals: bool = True, signer: Signer | None = None, crash: CrashPlan = NEVER) -> int:
    """Runs a participant until it is asked to stop, or (`leave`) has nothing open any more; returns the exit code.

    `signals`: SIGTERM and SIGINT ask to stop (main thread only). `signer` None: the key that the settings name.

    Raises what does not allow it to start: NoCommitReveal, AlreadyRunning, ConfigurationError kinds, ChainUnreachable,
    KeyUnusable.
    """
    with AgentContext.open(settings, signer=signer, crash=crash) as context:
        _, loop = assemble(context, settings, crash=crash)
        return loop.run(signals=signals)


def assemble(context: AgentContext, settings: SeedSettings, *, crash: CrashPlan = NEVER) -> tuple[SeedAgent, AgentLoop]:
    """A participant and its loop, not running. Raises NoCommitReveal, ChainUnreachable, RpcError."""
    loops: list[AgentLoop] = []
    book = book_of(context)
    start = first_block(context.contracts)
    cursor = cursor_of(context.database, book.source, book.account, start, settings.confirmations, context.log)
    agent = SeedAgent(context, settings, book, cursor, finish=lambda: loops[0].stop(), crash=crash)
    loops.append(SeedLoop(context, agent, busy_pause_s=settings.poll_interval_s))  # its windows are minutes
    return agent, loops[0]


def book_of(context: AgentContext) -> Book:
    """What the context's account reads, with its secrets. Raises NoCommitReveal, ChainUnreachable, RpcError."""
    source = source_of(context.contracts, context.parameters.randomness)
    secrets = Secrets.made_by(context.signer, context.book.chain_id, Address(source.address))
    return Book(source, context.address, secrets)
