"""`lilypad config`: settings and where each came from."""

from __future__ import annotations

from typing import Any

import click

from lilypad_agents.cli.command import LilypadCommand
from lilypad_agents.cli.options import connection_options
from lilypad_agents.cli.output import Output, table
from lilypad_agents.cli.settings import Choice, environment, settings_file

_ROLES = ("creator", "provider", "solver", "mediator", "seeds")


@click.group()
def config() -> None:
    """Show settings and where each came from."""


@config.command(cls=LilypadCommand, epilog="\b\nExamples:\n  lilypad config show\n  lilypad config show --role provider --config provider.toml")
@click.option("--role", type=click.Choice(_ROLES), default="creator", help="Whose settings.")
@click.option("--all", "everything", is_flag=True, help="Defaults as well.")
@connection_options
def show(out: Output, choice: Choice, role: str, everything: bool) -> None:
    """Show each setting, its value and its origin: default, file, environment or flag. Passwords of addresses are hidden."""
    settings = _settings(role, choice)
    origins = settings.origins
    rows = [
        {"name": name, "value": shown(getattr(settings, name)), "origin": origins[name], "meaning": field.description or ""}
        for name, field in type(settings).model_fields.items()
        if everything or out.as_json or origins[name] != "default"
    ]

    def human() -> None:
        out.print(table(("setting", "value", "origin"), [(row["name"], row["value"], row["origin"]) for row in rows]))
        if not everything:
            out.note("Settings at their defaults are left out; --all shows them with the rest.")

    out.finish({"role": role, "settings": rows}, human)


def _settings(role: str, choice: Choice) -> Any:
    from lilypad_agents.agents.creator.settings import CreatorSettings

    file = settings_file(choice.network, choice.config)
    kind: Any = CreatorSettings
    flags: dict[str, Any] = {"rpc": choice.rpc or None}
    if role == "provider":
        from lilypad_agents.agents.provider.config import ProviderSettings as kind
    elif role == "mediator":
        from lilypad_agents.agents.mediator.settings import MediatorSettings as kind
    elif role == "seeds":
        from lilypad_agents.agents.seeds.settings import SeedSettings as kind
    elif role == "solver":
        from lilypad_agents.agents.solver.settings import SolverSettings as kind
    else:
        flags["solvers"] = choice.solver or None
    return kind.load(file=file, environment=environment(), flags=flags)


def shown(value: Any) -> str:
    """A setting's value for people: what stands between `//` and `@` of an address is a password."""
    if isinstance(value, (tuple, list)):
        return ", ".join(shown(item) for item in value)
    text = "" if value is None else str(value)
    scheme, separator, rest = text.partition("://")
    if separator and "@" in rest.partition("/")[0]:
        return f"{scheme}://(hidden)@{rest.partition('@')[2]}"
    return text
