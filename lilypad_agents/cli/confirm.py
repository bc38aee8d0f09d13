"""Asking before something that stands for ever."""

from __future__ import annotations

import click

from lilypad_agents.cli.output import Output


def confirm(out: Output, question: str, *, yes: bool) -> None:
    """Returns when a person agreed, or --yes was said. Raises ConfirmationNeeded where nobody can be asked."""
    if yes:
        return
    if not out.is_terminal:
        from lilypad_agents.agents.author.errors import ConfirmationNeeded

        raise ConfirmationNeeded(question)
    click.confirm(question, err=True, abort=True)
