"""`lilypad mediator`: judge disputes for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lilypad_agents.cli.agentcommands import agent_options, agent_settings, show_status
from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.output import Output


@click.group()
def mediator() -> None:
    """Judge disputes for others, and be paid for it."""


@mediator.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad mediator start --config mediator.toml")
@agent_options
def start(out: Output, file: Path | None, flags: dict[str, Any]) -> None:
    """Run a mediator until it is asked to stop (SIGTERM finishes, a second one ends at once)."""
    from lilypad_agents.agents.mediator.run import run
    from lilypad_agents.agents.mediator.settings import MediatorSettings

    out.exit_code = run(agent_settings(MediatorSettings, file, flags))


@mediator.command(cls=LilypadCommand, epilog="\b\nExample:\n  lilypad mediator status --config mediator.toml")
@agent_options
def status(out: Output, file: Path | None, flags: dict[str, Any]) -> None:
    """Show whether the mediator of these settings runs, is ready, and what it counts."""
    from lilypad_agents.agents.mediator.settings import MediatorSettings

    show_status(out, agent_settings(MediatorSettings, file, flags))
