"""`lilypad provider`: run jobs for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lilypad_agents.cli.agentcommands import agent_options, agent_settings, show_status
from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.output import Output

START_EXAMPLES = """\b
Examples:
  lilypad provider start --config provider.toml
  lilypad provider start --rpc http://127.0.0.1:8545 --data ./provider --solver http://127.0.0.1:8100 \\
      --keystore key.json --password-file pass --price 1000000000000000000
"""


@click.group()
def provider() -> None:
    """Run jobs for others on this machine, and be paid. Deals in the Unverified pool are checked by nobody."""


@provider.command(cls=LilypadCommand, epilog=START_EXAMPLES)
@agent_options
@click.option("--solver", "solver_urls", multiple=True, metavar="URL", help="Solver to offer to; repeat for more.")
@click.option("--price", type=click.IntRange(0), metavar="UNITS", help="Fixed part of a job's price, smallest units.")
@click.option("--unit-price", type=click.IntRange(0), metavar="UNITS", help="Price of each metered unit, smallest units.")
def start(out: Output, file: Path | None, flags: dict[str, Any], solver_urls: tuple[str, ...], **prices: Any) -> None:
    """Run a provider until it is asked to stop (SIGTERM finishes, a second one ends at once)."""
    from lilypad_agents.agents.provider.config import ProviderSettings
    from lilypad_agents.agents.provider.run import run

    given = {**flags, **prices, "solver_urls": solver_urls or None}
    out.exit_code = run(agent_settings(ProviderSettings, file, given))


@provider.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad provider status --config provider.toml")
@agent_options
def status(out: Output, file: Path | None, flags: dict[str, Any]) -> None:
    """Show whether the provider of these settings runs, is ready, and what it counts."""
    from lilypad_agents.agents.provider.config import ProviderSettings

    show_status(out, agent_settings(ProviderSettings, file, flags))
