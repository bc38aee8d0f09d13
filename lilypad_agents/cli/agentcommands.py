"""What the commands of all agents share: their options, their settings, and a look at a running one."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lilypad_agents.cli.options import PATH
from lilypad_agents.cli.output import Output, table
from lilypad_agents.cli.settings import environment, password_file, settings_file
from lilypad_agents.errors import ConfigurationError

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.amounts import Token
    from lilypad_agents.agents.provider.config import ProviderSettings
    from lilypad_agents.agents.runtime.settings import AgentSettings
    from lilypad_agents.protocol.ids import Address

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound="AgentSettings")
_OPTIONS = (
    click.option("--config", type=PATH, metavar="FILE", help="Settings file (TOML)."),
    click.option("--data", type=PATH, metavar="DIR", help="Folder of this agent alone."),
    click.option("--rpc", "--web3-rpc-url", "rpc", multiple=True, metavar="URL", help="Chain endpoint; repeat for more."),
    click.option("--address-book", type=PATH, metavar="FILE", help="File that names the contracts."),
    click.option("--keystore", type=PATH, metavar="FILE", help="Key file."),
    click.option("--password-file", type=PATH, metavar="FILE", help="File whose first line opens the key file."),
)


def agent_options(function: F) -> F:
    """Adds the options and gives the function `file` and `flags` (settings by name; None: not given)."""

    @functools.wraps(function)
    def wrapped(config: Path | None, rpc: tuple[str, ...], **values: Any) -> Any:
        flags = {name: values.pop(name) for name in ("data", "address_book", "keystore", "password_file")}
        flags["password_file"] = flags["password_file"] or password_file()
        return function(file=config, flags={**flags, "rpc": rpc or None}, **values)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def agent_settings(kind: type[S], file: Path | None, flags: Mapping[str, Any]) -> S:
    """The settings of an agent; agents never find a devnet's file by themselves, since each part has its own."""
    named = settings_file(None, file) if file is not None else None
    return kind.load(file=named, environment=environment(), flags=flags)


def agent_request(settings: AgentSettings, path: str) -> Any:
    """What the running agent of these settings answers at its health address, as text. Raises ConfigurationError."""
    import urllib.error
    import urllib.request

    health = settings.data / "health.json"
    try:
        url = str(json.loads(health.read_text(encoding="utf-8"))["url"])
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url + path, timeout=5.0) as answer:
            return answer.read().decode("utf-8")
    except urllib.error.HTTPError as error:
        return error.read().decode("utf-8")
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"No agent of these settings runs: nothing answers for {settings.data} ({error}).",
            hint="Start it first, or name its settings with --config.",
        ) from error


@dataclass(frozen=True)
class RunningHealth:
    """What a running agent says of itself; `reasons`: why it is not ready, by name."""

    running: bool
    ready: bool
    reasons: Mapping[str, str]
    metrics: dict[str, float]


def running_health(settings: AgentSettings) -> RunningHealth:
    """Of the agent of these settings, which need not run."""
    try:
        found = json.loads(agent_request(settings, "/readyz"))
        metrics = parse_metrics(agent_request(settings, "/metrics"))
    except ConfigurationError:
        return RunningHealth(False, False, {"it does not run": "it does not run"}, {})
    return RunningHealth(True, bool(found["ready"]), found["reasons"], metrics)


def show_status(out: Output, settings: AgentSettings) -> None:
    """Readiness and counters of a running agent."""
    ready = json.loads(agent_request(settings, "/readyz"))
    reasons = [str(reason) for reason in ready["reasons"].values()]
    metrics = parse_metrics(agent_request(settings, "/metrics"))

    def show() -> None:
        out.print("ready" if ready["ready"] else f"not ready: {'; '.join(reasons)}")
        out.print(table(("metric", "value"), [(name, f"{value:g}") for name, value in sorted(metrics.items())]))

    out.finish({"ready": ready["ready"], "reasons": reasons, "data": str(settings.data), "metrics": metrics}, show, exit_code=0 if ready["ready"] else 10)


def token_and_account(settings: AgentSettings) -> tuple[Token, Address]:
    """The deployment's token and the agent's account; asks the chain for the token's name."""
    from contextlib import closing

    from lilypad_agents.agents.creator.chain import CreatorChain
    from lilypad_agents.agents.creator.session import load_signer
    from lilypad_agents.chain.deployments import AddressBook
    from lilypad_agents.chain.rpc import Rpc, RpcConfig
    from lilypad_agents.protocol.ids import Address

    book = AddressBook.load(settings.address_book)
    with closing(Rpc(RpcConfig(settings.rpc, book.chain_id))) as rpc:
        return CreatorChain(rpc, book).token(), Address(load_signer(settings, book.chain_id).address)


def standing_offers(settings: ProviderSettings) -> list[dict[str, Any]]:
    """Each standing offer of a provider with the jobs that wait beside it and why they do not fit, from its solvers."""
    from lilypad_agents.agents.creator.session import load_signer
    from lilypad_agents.agents.solver.client import SolverClient
    from lilypad_agents.chain.deployments import AddressBook

    signer = load_signer(settings, AddressBook.load(settings.address_book).chain_id)
    rows = []
    for url in settings.solver_urls:
        with SolverClient(url, signer) as client:
            for view in client.offers(kind="resource", party=signer.address, state="open").items:
                jobs = [
                    {"job": "0x" + item.counterpart.hex(), "reason": item.message or item.condition or "fits, and waits its turn"}
                    for item in client.why(view.id)
                ]
                rows.append({"offer": "0x" + view.id.hex(), "solver": url, "state": str(view.state), "jobs": jobs})
    return rows


def parse_metrics(text: str) -> dict[str, float]:
    """Our own numbers of the Prometheus text format, by name with labels."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#") and line.startswith("lilypad"):
            name, _, value = line.rpartition(" ")
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return found
