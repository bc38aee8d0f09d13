"""Puts a mediator together and runs it: `run(settings)` is what `lilypad mediator start` calls."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lilypad_agents.agents.mediator.actor import Actor
from lilypad_agents.agents.mediator.agent import MediatorAgent
from lilypad_agents.agents.mediator.bench import Bench
from lilypad_agents.agents.mediator.errors import MediatorSettingInvalid, NoMediation
from lilypad_agents.agents.mediator.evidence import Evidence
from lilypad_agents.agents.mediator.keeping import Lookup
from lilypad_agents.agents.mediator.orders import Orders
from lilypad_agents.agents.mediator.settings import MediatorConfig, MediatorSettings
from lilypad_agents.agents.mediator.sources import Sources
from lilypad_agents.agents.mediator.store import MediatorStore
from lilypad_agents.agents.provider.capacity import Machine, machine_of
from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.library import Library
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.disputes import MEDIATION
from lilypad_agents.agents.runtime.loop import AgentLoop
from lilypad_agents.agents.runtime.panels import STAKING, Panels
from lilypad_agents.agents.runtime.salt import VOTES, Salts
from lilypad_agents.agents.solver.client import SolverClient
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.keys import Signer
from lilypad_agents.execution.hardware import Probe, detect
from lilypad_agents.execution.worker import WorkerPool

SOLVER_S = 6.0  # one call to a solver with all its retries, at most
FETCH_S = 20.0  # one attempt to fetch something from one source, at most: a quarter of the commit window


def run(
    settings: MediatorSettings,
    *,
    signals: bool = True,
    signer: Signer | None = None,
    crash: CrashPlan = NEVER,
    make_bench: Callable[..., Bench] = Bench,
) -> int:
    """Runs a mediator until it is asked to stop; returns the exit code.

    `signals`: SIGTERM and SIGINT ask to stop (main thread only). `signer` None: the key that the settings name.
    `make_bench`: what re-runs the jobs.

    Raises what does not allow it to start: AlreadyRunning, ConfigurationError kinds, ChainUnreachable, KeyUnusable.
    """
    with AgentContext.open(settings, signer=signer, all_deals=True, crash=crash) as context:
        agent, loop = assemble(context, settings, crash=crash, make_bench=make_bench)
        if settings.selftest:
            agent.tested = False
            threading.Thread(target=_test_sandbox, args=(agent, loop), name="selftest", daemon=True).start()
        return loop.run(signals=signals)


def assemble(
    context: AgentContext,
    settings: MediatorSettings,
    *,
    crash: CrashPlan = NEVER,
    probe: Probe | None = None,
    make_bench: Callable[..., Bench] = Bench,
) -> tuple[MediatorAgent, AgentLoop]:
    """A mediator and its loop, not running. Raises NoMediation, MediatorSettingInvalid."""
    loops: list[AgentLoop] = []

    def wake() -> None:
        for loop in loops:
            loop.wake()

    require_possible(context, settings)
    account = settings.seat_account(context.address)
    machine = machine_for(context, settings, probe)
    store = MediatorStore(context.database)
    panels = Panels(context)
    patience = min(FETCH_S, min(pool.commit_window for pool in settings.pools) / 4)
    solvers = [SolverClient(url, context.signer, min(SOLVER_S, patience)) for url in settings.solver_urls]
    sources = Sources(context, solvers, patience)
    salts = Salts(context.signer, context.domain, VOTES)
    bench = make_bench(
        pool=WorkerPool(machine.slots, context.data / "work"),
        library=Library(context.store, sources.fetch, _judging(settings), machine),
        sources=sources,
        content=context.store,
        store=store,
        account=account,
        signer=context.signer,
        machine=machine,
        scratch=context.data / "served",
        reserve_bytes=settings.reserve_bytes,
        log=context.log,
        wake=wake,
        crash=crash,
    )
    actor = Actor(context, store, panels, account, settings.batch, crash)
    agent = MediatorAgent(
        context=context,
        settings=settings,
        account=account,
        store=store,
        panels=panels,
        bench=bench,
        actor=actor,
        lookup=Lookup(context, panels, account, settings.pools, actor.randomness),
        evidence=Evidence(store, sources, context.log, wake),
        orders=Orders(context, settings, store, actor, salts, account),
        salts=salts,
        last_call_s=int(panels.mediation.call("lastCall")),
        crash=crash,
    )
    loop = AgentLoop(context, agent, busy_pause_s=settings.poll_interval_s)  # its deadlines are minutes; deals are not its own
    loops.append(loop)
    return agent, loop


def require_possible(context: AgentContext, settings: MediatorConfig) -> None:
    """Raises NoMediation or MediatorSettingInvalid for settings under which it could never take a seat."""
    for name in (MEDIATION, STAKING):
        if name not in context.contracts:
            raise NoMediation(name)
    if not settings.pools:
        raise MediatorSettingInvalid("pools", "names no pool, so there is nothing to do")
    strategy = context.contracts[MEDIATION].address
    for pool in settings.pools:
        if pool.strategy != strategy:
            raise MediatorSettingInvalid(
                "pools", f"name a pool of the strategy {pool.strategy}, here it is {strategy}", found=pool.strategy
            )


def machine_for(context: AgentContext, settings: MediatorConfig, probe: Probe | None = None) -> Machine:
    """The whole machine, as far as the settings allow: a mediator offers nothing, so it reserves nothing."""
    limits = ProviderConfig(slots=settings.slots, ram_mib=settings.ram_mib, reserve_bps=0)
    return machine_of(detect(context.data, probe), limits)


def _judging(settings: MediatorConfig) -> ProviderConfig:
    """The gate's settings under which it refuses for the content's own faults, or this machine's, and nothing else."""
    return ProviderConfig(pools=settings.pools)


def _test_sandbox(agent: MediatorAgent, loop: AgentLoop) -> None:
    """Nothing runs before the sandbox showed on this very machine that it holds."""
    from lilypad_agents.execution.selftest import run_selftest

    failed = [check for check in run_selftest() if not check.passed]
    agent.context.log(
        "sandbox_tested", alert=bool(failed), failed=[f"{check.id} {check.title}: {check.detail}" for check in failed]
    )
    agent.sandbox_tested(not failed)
    agent.context.health.set("sandbox", f"{len(failed)} checks of the sandbox fail" if failed else None)
    loop.wake()
