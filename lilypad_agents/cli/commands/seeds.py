"""`lilypad seeds`: take part in making seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lilypad_agents.cli.agentcommands import agent_options, agent_settings, running_health
from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.output import Output, table, time_text

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.amounts import Token
    from lilypad_agents.agents.seeds.office import Standing
    from lilypad_agents.agents.seeds.settings import SeedSettings

START_EXAMPLES = """\b
Examples:
  lilypad seeds start --config seeds.toml
  lilypad seeds start --config seeds.toml --leave    (ends when nothing is open any more)
"""


@click.group()
def seeds() -> None:
    """Make the seeds of a deployment together with others: commit to a secret each period, and reveal it."""


def _settings(file: Path | None, flags: dict[str, Any]) -> SeedSettings:
    from lilypad_agents.agents.seeds.settings import SeedSettings

    return agent_settings(SeedSettings, file, flags)


@seeds.command(cls=LilypadCommand, epilog=START_EXAMPLES)
@agent_options
@click.option("--leave", is_flag=True, help="Commit to nothing new, and end when no bond can come back any more.")
def start(out: Output, file: Path | None, flags: dict[str, Any], leave: bool) -> None:
    """Take part until it is asked to stop. A bond that is open is lost unless somebody reveals it in time: see --leave."""
    from lilypad_agents.agents.seeds.run import run

    out.exit_code = run(_settings(file, {**flags, "leave": leave or None}))


@seeds.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad seeds status --config seeds.toml\n  lilypad seeds status --config seeds.toml --json")
@agent_options
def status(out: Output, file: Path | None, flags: dict[str, Any]) -> None:
    """Show whether it runs and is ready, the period and its seeds, which bonds are open, free or lost, and the gas."""
    from lilypad_agents.agents.seeds.office import read_standing

    settings = _settings(file, flags)
    found = read_standing(settings)
    health = running_health(settings)
    reasons = list(map(str, health.reasons.values()))
    data = {
        "running": health.running, "ready": health.ready, "reasons": reasons, "data": str(settings.data),
        **found.as_dict(), "metrics": health.metrics,
    }  # fmt: skip

    def show() -> None:
        out.print("ready" if health.ready else f"not ready: {'; '.join(reasons)}" if health.running else "not running")
        _show(out, found)

    out.finish(data, show, exit_code=0 if health.ready else 10)


def _show(out: Output, found: Standing) -> None:
    coin, view, bond = _coin(), found.view, found.view.rounds.bond
    rows = [
        (period, "next" if period == view.next else status.name.lower(), *found.participants[period], _own(found, period))
        for period, status in found.seeds.items()
    ]
    out.print(table(("period", "seed", "committed", "revealed", "ours"), rows))
    for period in found.open:
        if period not in found.seeds:
            out.print(f"open for period {period}: {_own(found, period)}")
    out.print(f"bond {coin.show(bond)}: {len(found.open)} open, {coin.show(view.free)} free, {len(found.revealed)} revealed")
    if found.back:
        out.print(f"can be reclaimed: {coin.show(bond * len(found.back))} of the periods {', '.join(map(str, found.back))}")
    if found.lost:
        out.print(f"lost: {coin.show(bond * len(found.lost))} in the periods {', '.join(map(str, found.lost))}")
    out.print(f"coin {coin.show(view.coin)}, gas {coin.show(found.gas_wei)} in {found.transactions} transactions")


def _own(found: Standing, period: int) -> str:
    if period in found.foreign:
        return "not from this key's secret"
    if period in found.open:
        rounds = found.view.rounds
        return f"reveals {time_text(rounds.reveal_start(period))} to {time_text(rounds.reveal_end(period))}"
    return "revealed" if period in found.revealed else ""


@seeds.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad seeds withdraw 0.5 --config seeds.toml\n  lilypad seeds withdraw --all --config seeds.toml")
@click.argument("amount", required=False)
@agent_options
@click.option("--all", "all_", is_flag=True, help="The whole free bond.")
def withdraw(out: Output, file: Path | None, flags: dict[str, Any], amount: str | None, all_: bool) -> None:
    """Take AMOUNT of the chain's coin out of the free bond into the account. The agent must have ended, best by --leave."""
    from lilypad_agents.agents.seeds.office import withdraw as send
    from lilypad_agents.errors import UsageError

    if (amount is None) != all_:
        raise UsageError("Give an amount, or --all.")
    coin = _coin()
    done = send(_settings(file, flags), None if amount is None else int(coin.parse(amount)))

    def show() -> None:
        out.print(f"Withdrew {coin.show(int(done['withdrawn']))}; {coin.show(int(done['freeBond']))} are left free.")
        if done["open"]:
            out.note(f"Still open, and lost unless revealed: the bonds of the periods {', '.join(map(str, done['open']))}.")

    out.finish(done, show)


def _coin() -> Token:
    """The chain's coin, in wei."""
    from lilypad_agents.agents.creator.amounts import Token
    from lilypad_agents.protocol.ids import NOBODY

    return Token(NOBODY, "coin", 18)
