"""`lilypad solver`: match offers and relay content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lilypad_agents.cli.agentcommands import agent_options, agent_settings, show_status
from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.output import Output

START_EXAMPLES = """\b
Examples:
  lilypad solver start --config solver.toml
  lilypad solver start --rpc http://127.0.0.1:8545 --data ./solver --keystore key.json --password-file pass
"""


@click.group()
def solver() -> None:
    """Match offers and relay content between the parties of deals."""


@solver.command(cls=LilypadCommand, epilog=START_EXAMPLES)
@agent_options
@click.option("--port", type=click.IntRange(0, 65_535), help="Where the API listens; 0 takes a free one.")
@click.option("--fee-bps", type=click.IntRange(0, 1_000), help="Least solver fee, basis points of gross.")
def start(out: Output, file: Path | None, flags: dict[str, Any], port: int | None, fee_bps: int | None) -> None:
    """Run a solver until it is asked to stop (SIGTERM finishes, a second one ends at once)."""
    from lilypad_agents.agents.solver.agent import run
    from lilypad_agents.agents.solver.settings import SolverSettings

    out.exit_code = run(agent_settings(SolverSettings, file, {**flags, "port": port, "fee_bps": fee_bps}))


@solver.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad solver status --config solver.toml")
@agent_options
def status(out: Output, file: Path | None, flags: dict[str, Any]) -> None:
    """Show whether the solver of these settings runs, is ready, and what it counts."""
    from lilypad_agents.agents.solver.settings import SolverSettings

    show_status(out, agent_settings(SolverSettings, file, flags))
