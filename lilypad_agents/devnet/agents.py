"""The devnet's agents: a settings file, a folder and a process for each. They share the chain and nothing else."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.devnet.errors import DevnetPartFailed
from lilypad_agents.devnet.funding import APPEAL_BUDGET
from lilypad_agents.devnet.layout import CHEATER, CREATOR, FIRST_PROVIDER, MEDIATORS, SECOND_PROVIDER, SEEDS, SOLVER, Layout
from lilypad_agents.devnet.processes import Identity, spawn, tail
from lilypad_agents.devnet.record import Part
from lilypad_agents.execution.cache import write_atomically
from lilypad_agents.protocol.terms import UNVERIFIED, PoolTerms

TOKEN = 10**18
PRICE = TOKEN  # cowsay costs one token (protocol section 15)
UNIT_PRICE = TOKEN // 125  # for modules that meter: a thousand units stay within the pool's maximum value
SOLVER_FEE_BPS = 200
POOL_NAME = "mediated"  # what creators of the devnet call its pool
_READY_S = 40.0
_LOOK_S = 0.05


@dataclass(frozen=True)
class AgentSpec:
    """One agent: its role (`solver`, `provider`, `mediator`, `seeds`), its key by index of the test mnemonic, its own settings.

    `module`: what runs instead of the ordinary agent of the role, with its `arguments`; only the devnet has such.
    """

    name: str
    role: str
    account: int
    own: Mapping[str, Any]
    module: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        if self.module:
            return [sys.executable, "-m", self.module, "settings.toml", *self.arguments]
        return [sys.executable, "-m", "lilypad_agents.cli", self.role, "start", "--config", "settings.toml"]


def solver_spec(port: int) -> AgentSpec:
    return AgentSpec("solver", "solver", SOLVER, {"port": port, "fee_bps": SOLVER_FEE_BPS, "batch_wait_s": 0.05})


def provider_specs(solver_url: str, pool: PoolTerms) -> tuple[AgentSpec, ...]:
    own = _provider_settings(solver_url, pool)
    return (
        AgentSpec("provider1", "provider", FIRST_PROVIDER, own),
        AgentSpec("provider2", "provider", SECOND_PROVIDER, own),
    )


def _provider_settings(solver_url: str, pool: PoolTerms) -> dict[str, Any]:
    pools = [pool.to_json(), UNVERIFIED.to_json()]
    return {"solver_urls": [solver_url], "price": PRICE, "unit_price": UNIT_PRICE, "reserve_bps": 0, "pools": pools}


def cheater_spec(solver_url: str, pool: PoolTerms) -> AgentSpec:
    """A provider that alters every result. It is a little dearer than the honest ones, so that only who names it meets it."""
    own = _provider_settings(solver_url, pool) | {"price": PRICE * 11 // 10}
    return AgentSpec("cheater", "provider", CHEATER, own, module="lilypad_agents.devnet.cheater")


def mediator_specs(solver_url: str, pool: PoolTerms, count: int, lazy: int) -> tuple[AgentSpec, ...]:
    """The first `count` mediators of the devnet's pool, the last `lazy` of them such as vote what they are told.

    The providers test the sandbox of this machine; once is enough for all.
    """
    own = {
        "solver_urls": [solver_url], "pools": [pool.to_json()], "selftest": False, "appeal": "own",
        "appeal_budget": str(APPEAL_BUDGET),
    }  # fmt: skip
    return tuple(
        AgentSpec(f"mediator{number}", "mediator", index, own)
        if number <= count - lazy
        else AgentSpec(f"mediator{number}", "mediator", index, own | {"appeal": "never"}, "lilypad_agents.devnet.lazy")
        for number, index in enumerate(MEDIATORS[:count], 1)
    )


def seeds_specs() -> tuple[AgentSpec, ...]:
    """Those who make the seeds together where the deployment's source is commit-reveal.

    A period has six seconds, and a commitment may take two of them: what is decided in the second half would come too late.
    """
    own = {"commit_by_bps": 5_000}
    return tuple(AgentSpec(f"seeds{number}", "seeds", index, own) for number, index in enumerate(SEEDS, 1))


def start_agent(layout: Layout, spec: AgentSpec, rpc_url: str, environment: Mapping[str, str]) -> Identity:
    """Writes the agent's settings and starts its process."""
    folder = layout.agent(spec.name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "data" / "health.json").unlink(missing_ok=True)
    shared = {
        "data": str(folder / "data"),
        "state": str(layout.folder / "state"),
        "rpc": [rpc_url],
        "address_book": str(layout.address_book),
        "test_account": spec.account,
        "log_stderr": False,
    }
    write_atomically(folder / "settings.toml", _toml(shared, spec.role, spec.own).encode())
    return spawn(spec.name, spec.command, layout.log(spec.name), folder, environment)


def write_creator_settings(layout: Layout, rpc_url: str, solver_url: str, pool: PoolTerms) -> None:
    """The settings file that `lilypad run` finds by itself. Its only pool is the mediated one, so that judges."""
    shared = {
        "data": str(layout.creator),
        "state": str(layout.folder / "state"),
        "rpc": [rpc_url],
        "address_book": str(layout.address_book),
        "test_account": CREATOR,
    }
    own: dict[str, Any] = {"network": "devnet", "solvers": [solver_url], "lists": [str(layout.aliases)], "keys": str(layout.creator / "keys")}
    own["pools"] = {POOL_NAME: pool.to_json()}
    write_atomically(layout.folder / "creator.toml", _toml(shared, "creator", own).encode())


def wait_ready(
    layout: Layout, spec: AgentSpec, identity: Identity, url: str | None = None, seconds: float = _READY_S
) -> Part:
    """The running agent, once its /readyz says so. Raises DevnetPartFailed with what that says and the end of its log."""
    health = layout.agent(spec.name) / "data" / "health.json"
    found: dict[str, str] = {}

    def ready() -> bool:
        if not found:
            try:
                found["url"] = str(json.loads(health.read_text(encoding="utf-8"))["url"])
            except (OSError, ValueError, KeyError):
                return False
        found["against"] = _against(found["url"] + "/readyz")
        return not found["against"]

    wait_for(layout, spec.name, identity, ready, seconds, why=lambda: found.get("against", "it says nothing"))
    return Part(
        spec.name,
        identity,
        url or found["url"],
        str(layout.log(spec.name)),
        spec.account,
        str(layout.agent(spec.name)),
    )


def wait_for(
    layout: Layout, name: str, identity: Identity, condition: Callable[[], bool], seconds: float = _READY_S,
    why: Callable[[], str] = str,
) -> None:  # fmt: skip
    """Waits until `condition` holds. Raises DevnetPartFailed when the process ends or the time is over first (`why`: what is against it)."""
    deadline = time.monotonic() + seconds
    while not condition():
        if not identity.alive:
            raise _failed(layout, name, "ended")
        if time.monotonic() > deadline:
            reason = why()
            raise _failed(layout, name, f"is not ready after {seconds:.0f} s" + (f" ({reason})" if reason else ""))
        time.sleep(_LOOK_S)


def _failed(layout: Layout, name: str, how: str) -> DevnetPartFailed:
    log = layout.log(name)
    agent_log = layout.agent(name) / "data" / "agent.log"
    end = tail(log) or tail(agent_log)
    return DevnetPartFailed(f"{name} {how}. The end of its log {log}:\n{end}", part=name, log=str(log))


def _against(url: str) -> str:
    """What an agent's /readyz has against its being ready; empty when it is."""
    import urllib.error
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2.0):
            return ""
    except urllib.error.HTTPError as error:
        try:
            return "; ".join(map(str, json.loads(error.read(65_536))["reasons"].values())) or f"HTTP {error.code}"
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return f"HTTP {error.code}"
    except OSError:  # URLError is one
        return "it does not answer"


def _toml(shared: Mapping[str, Any], role: str, own: Mapping[str, Any]) -> str:
    lines = ["# Written by `lilypad devnet up`.", *(f"{name} = {_value(value)}" for name, value in shared.items())]
    lines += ["", f"[{role}]", *(f"{name} = {_value(value)}" for name, value in own.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """TOML of the few kinds of values that are used here; JSON strings are TOML strings."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(name)} = {_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)

