"""Puts a provider together and runs it: `run(settings)` is what `lilypad provider start` calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from lilypad_agents.agents.provider.actor import Actor
from lilypad_agents.agents.provider.agent import ProviderAgent, drain_file
from lilypad_agents.agents.provider.agreements import Agreements
from lilypad_agents.agents.provider.capacity import machine_of
from lilypad_agents.agents.provider.config import ProviderConfig, ProviderSettings
from lilypad_agents.agents.provider.deliveries import Deliveries
from lilypad_agents.agents.provider.desk import Desk
from lilypad_agents.agents.provider.disputes import Disputes
from lilypad_agents.agents.provider.errors import ProviderSettingInvalid
from lilypad_agents.agents.provider.library import Library
from lilypad_agents.agents.provider.lottery import Seeds
from lilypad_agents.agents.provider.offers import needs_registry
from lilypad_agents.agents.provider.registry import Registry
from lilypad_agents.agents.provider.sources import Sources
from lilypad_agents.agents.provider.store import ProviderStore
from lilypad_agents.agents.provider.workshop import Workshop
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.lists import TrustedLists
from lilypad_agents.agents.runtime.loop import AgentLoop
from lilypad_agents.agents.runtime.requests import Requests
from lilypad_agents.agents.runtime.salt import Salts
from lilypad_agents.agents.solver.client import SolverClient
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.keys import Signer
from lilypad_agents.execution.hardware import Probe, detect
from lilypad_agents.execution.worker import WorkerPool
from lilypad_agents.protocol.ids import Address
from lilypad_agents.protocol.parameters import Parameters

if TYPE_CHECKING:
    from lilypad_agents.agents.provider.gateway import Gateway

SOLVER_S = 6.0  # one call to a solver with all its retries


def run(
    settings: ProviderSettings,
    *,
    signals: bool = True,
    signer: Signer | None = None,
    crash: CrashPlan = NEVER,
    make_workshop: Callable[..., Workshop] = Workshop,
) -> int:
    """Runs a provider until it is asked to stop or has drained; returns the exit code.

    `signals`: SIGTERM and SIGINT ask to stop (main thread only). `signer` None: the key that the settings name.
    `make_workshop`: what does the work.

    Raises what does not allow it to start: AlreadyRunning, ConfigurationError kinds, ChainUnreachable, KeyUnusable.
    """
    with AgentContext.open(settings, signer=signer, crash=crash) as context:
        drain_file(context.data).unlink(missing_ok=True)
        agent, loop = assemble(context, settings, crash=crash, make_workshop=make_workshop)
        if settings.selftest:
            agent.tested = False
            threading.Thread(target=_test_sandbox, args=(agent, loop), name="selftest", daemon=True).start()
        agent.workshop.warm_up()
        for desk in agent.desks:
            desk.start()
        gateway = _gateway(context, settings, agent.store)
        try:
            return loop.run(signals=signals)
        finally:
            if gateway is not None:
                gateway.stop()


def assemble(
    context: AgentContext,
    settings: ProviderSettings,
    *,
    crash: CrashPlan = NEVER,
    probe: Probe | None = None,
    make_workshop: Callable[..., Workshop] = Workshop,
) -> tuple[ProviderAgent, AgentLoop]:
    """A provider and its loop, not running; desks are not started either."""
    loops: list[AgentLoop] = []

    def wake() -> None:
        for loop in loops:
            loop.wake()

    token = Address(context.book.address("LilypadToken"))
    require_possible(settings, context.parameters, context.address, token)
    machine = machine_of(detect(context.data, probe), settings)
    store = ProviderStore(context.database)
    desks = [_desk(context, settings, store, token, url, wake) for url in settings.solver_urls]
    registry = Registry(context) if needs_registry(settings) else None
    requests = Requests(context)
    sources = Sources(context, desks, registry, requests, settings.pools)
    workshop = make_workshop(
        pool=WorkerPool(machine.slots, context.data / "work"),
        library=Library(context.store, sources.fetch, settings, machine),
        content=context.store,
        store=store,
        salts=Salts(context.signer, context.domain),
        signer=context.signer,
        machine=machine,
        terms=sources.terms,
        deliver=sources.deliver,
        serve_all=sources.serve,
        log=context.log,
        wake=wake,
        crash=crash,
    )
    actor = Actor(context, store, settings, crash)
    agent = ProviderAgent(
        context=context,
        settings=settings,
        machine=machine,
        store=store,
        workshop=workshop,
        actor=actor,
        agreements=Agreements(context, store),
        seeds=Seeds.of(context, actor.randomness),
        disputes=Disputes(context, sources.pool),
        sources=sources,
        desks=desks,
        registry=registry,
        lists=TrustedLists(context, settings.lists) if settings.lists else None,
        token=token,
        deliveries=Deliveries(context, requests, store, actor, settings),
    )
    loop = AgentLoop(context, agent)
    loops.append(loop)
    agent.finished = loop.stop
    return agent, loop


def require_possible(config: ProviderConfig, parameters: Parameters, account: str, token: str) -> None:
    """Raises ProviderSettingInvalid for settings under which the core would never open a deal with this provider."""
    if config.only_solver == account:
        raise ProviderSettingInvalid("only_solver", "is the provider itself, which the core refuses", found=account)
    if config.min_submit_window > parameters.max_submit_window:
        most = parameters.max_submit_window
        problem = f"is {config.min_submit_window} s, the deployment allows at most {most} s"
        raise ProviderSettingInvalid("min_submit_window", problem, found=config.min_submit_window, most=most)
    if config.max_judge_window < parameters.min_judge_window:
        least = parameters.min_judge_window
        problem = f"is {config.max_judge_window} s, the deployment asks for at least {least} s"
        raise ProviderSettingInvalid("max_judge_window", problem, found=config.max_judge_window, least=least)
    for pool in config.pools:
        if pool.is_verified and pool.token != token:
            raise ProviderSettingInvalid("pools", f"name a pool in {pool.token}, prices are in {token}", found=pool.token)


def _desk(
    context: AgentContext, settings: ProviderSettings, store: ProviderStore, token: Address, url: str, wake: Callable[[], None]
) -> Desk:
    return Desk(
        client=SolverClient(url, context.signer, SOLVER_S),
        store=store,
        signer=context.signer,
        domain=context.domain,
        token=token,
        max_judge_window=context.parameters.max_judge_window,
        config=settings,
        log=context.log,
        wake=wake,
    )


def _gateway(context: AgentContext, settings: ProviderSettings, store: ProviderStore) -> Gateway | None:
    """The provider's own endpoint, where the settings name one."""
    if settings.gateway_port is None:
        return None
    from lilypad_agents.agents.provider.gateway import Gateway

    return Gateway(context, store, settings.gateway_host, settings.gateway_port).start()


def _test_sandbox(agent: ProviderAgent, loop: AgentLoop) -> None:
    """Nothing is offered before the sandbox showed on this very machine that it holds."""
    from lilypad_agents.execution.selftest import run_selftest

    failed = [check for check in run_selftest() if not check.passed]
    agent.context.log(
        "sandbox_tested", alert=bool(failed), failed=[f"{check.id} {check.title}: {check.detail}" for check in failed]
    )
    agent.sandbox_is_tested(not failed)
    agent.context.health.set("sandbox", f"{len(failed)} checks of the sandbox fail" if failed else None)
    loop.wake()
