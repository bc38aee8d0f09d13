"""The processes of a soak: a devnet whose agents reach the chain through proxies that can be told to misbehave."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

import lilypad_agents
from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.chain.anvil import free_port
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.devnet.agents import PRICE, AgentSpec, cheater_spec, mediator_specs, provider_specs, solver_spec, start_agent, wait_ready
from lilypad_agents.devnet.chain import CHAIN
from lilypad_agents.devnet.funding import mediated_pool
from lilypad_agents.devnet.network import Devnet, Options
from lilypad_agents.devnet.processes import Identity, stop
from lilypad_agents.devnet.record import Record

MEDIATORS = 4
CHEATS_PERCENT = 40
_ANSWER_S = 20.0


class SoakNetwork:
    """Use as a context manager. `agents`: the names of those that can fail."""

    def __init__(self, folder: Path, *, mediators: int = MEDIATORS, cheats_percent: int = CHEATS_PERCENT) -> None:
        self.folder = folder
        self._mediators, self._cheats_percent = mediators, cheats_percent
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LILYPAD_")}
        self._environment = environment
        self.devnet = Devnet(folder / ".devnet", Path(lilypad_agents.__file__).resolve().parent, environment, say=print)
        self.layout = self.devnet.layout
        self.specs: dict[str, AgentSpec] = {}
        self._identities: dict[str, Identity] = {}
        self._lock = threading.Lock()
        self._proxies: Proxies | None = None

    def __enter__(self) -> SoakNetwork:
        self.record = self.devnet.up(Options(port=free_port(), mediators=self._mediators, cheater=True))
        try:
            self._mine_by_the_clock()
            pool = mediated_pool(AddressBook.load(self.layout.address_book))
            self.specs = {spec.name: spec for spec in self._specs_of(self.record, pool)}
            self._proxies = Proxies(self.record.rpc_url, list(self.specs))
            for name, part in self.record.parts.items():
                self._identities[name] = part.identity
            with ThreadPoolExecutor(len(self.specs)) as pool:
                for _ in pool.map(self._start_again, self.specs):
                    pass
        except BaseException:
            self.devnet.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.devnet.down()
        for identity in self._identities.values():  # of one that did not come up the devnet has no record
            stop(identity)
        if self._proxies is not None:
            self._proxies.close()

    @property
    def agents(self) -> tuple[str, ...]:
        return tuple(self.specs)

    @property
    def chain_url(self) -> str:
        return self.record.rpc_url

    def chain(self) -> CreatorChain:
        """Reads of the chain, past all proxies."""
        return CreatorChain(Rpc(RpcConfig((self.chain_url,), CHAIN, total_timeout_s=30.0)), AddressBook.load(self.layout.address_book))

    def pids(self) -> dict[str, int]:
        """Process ids of what runs now."""
        with self._lock:
            return {name: identity.pid for name, identity in self._identities.items()}

    def _specs_of(self, record: Record, pool: Any) -> list[AgentSpec]:
        """The devnet's own, but the cheat lies about some deals only, at the usual price, so that everybody meets it."""
        url = record.solver_url
        cheater = cheater_spec(url, pool)
        cheater = replace(cheater, own={**cheater.own, "price": PRICE}, arguments=(str(self._cheats_percent),))
        solver = solver_spec(int(url.rpartition(":")[2]))
        return [solver, *provider_specs(url, pool), cheater, *mediator_specs(url, pool, self._mediators, 0)]

    # ---- faults

    def start(self, name: str) -> None:
        """Starts an agent behind its proxy, unless it runs, and returns when it is ready. Raises DevnetPartFailed."""
        assert self._proxies is not None
        spec, identity = self.specs[name], self._identities[name]
        if not identity.alive:
            identity = start_agent(self.layout, spec, self._proxies.urls[name], self._environment)
            with self._lock:
                self._identities[name] = identity
        url = self.record.parts[name].url if name == "solver" else None
        part = wait_ready(self.layout, spec, identity, url)
        with self._lock:
            self.record = self.record.with_part(part)
            self.record.save(self.layout.record)

    def _mine_by_the_clock(self) -> None:
        """A block a second with all that came meanwhile, as on a public chain; the devnet's own mines on each transaction too."""
        with closing(Rpc(RpcConfig((self.record.rpc_url,), CHAIN))) as rpc:
            rpc.request("evm_setIntervalMining", 1)

    def _start_again(self, name: str) -> None:
        stop(self._identities[name])
        self.start(name)

    def kill(self, name: str) -> None:
        """Ends an agent at once, as a power cut would."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def signal(self, name: str, number: int) -> None:
        os.kill(self.pids()[name], number)

    def misbehave(self, name: str, **attributes: Any) -> None:
        """Sets attributes of an agent's proxy; see `FaultProxy`."""
        assert self._proxies is not None
        self._proxies.set(name, attributes)

    def requests(self) -> dict[str, int]:
        """Requests that each agent made of the chain."""
        assert self._proxies is not None
        return self._proxies.requests()

    def orphans(self) -> list[str]:
        """Command lines of processes that work in this network's folder and are none of its agents' or their children."""
        known = set()
        for pid in self.pids().values():
            try:
                known |= {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
            except psutil.Error:
                continue
        found = []
        for process in psutil.process_iter(["pid", "cwd", "cmdline"]):
            inside = str(process.info["cwd"] or "").startswith(str(self.folder))
            if inside and process.info["pid"] not in known and process.info["pid"] != os.getpid():
                found.append(" ".join(process.info["cmdline"] or ())[:120])
        return found


class Proxies:
    """A fault proxy for each name, all in a process of their own, so that they do not slow the creators down."""

    def __init__(self, upstream: str, names: list[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._lock = threading.Lock()
        self._process = context.Process(target=_serve, args=(upstream, names, other), daemon=True)
        self._process.start()
        self.urls: Mapping[str, str] = self._receive()

    def set(self, name: str, attributes: Mapping[str, Any]) -> None:
        with self._lock:
            self._pipe.send((name, dict(attributes)))
            self._receive()

    def requests(self) -> dict[str, int]:
        with self._lock:
            self._pipe.send(("", {}))
            return dict(self._receive())

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()

    def _receive(self) -> Any:
        if not self._pipe.poll(_ANSWER_S):
            raise RuntimeError("the proxies do not answer")
        return self._pipe.recv()


def _serve(upstream: str, names: list[str], pipe: Connection) -> None:
    from tests.support.faultproxy import FaultProxy

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    proxies = {name: FaultProxy(upstream) for name in names}
    pipe.send({name: proxy.url for name, proxy in proxies.items()})
    while (order := pipe.recv()) is not None:
        name, attributes = order
        for attribute, value in attributes.items():
            setattr(proxies[name], attribute, value)
        pipe.send({name: sum(proxy.requests.values()) for name, proxy in proxies.items()})
    for proxy in proxies.values():
        proxy.mode = "pass"
        proxy.stop()
    time.sleep(0.1)
