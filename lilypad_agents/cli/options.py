"""Options that many commands share, and the objects that they stand for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lilypad_agents.cli.settings import Choice, creator_settings, signer_for

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.client import Creator

F = TypeVar("F", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)

_NETWORK = {"metavar": "NAME", "help": "Network: `devnet`, or one with a settings file of yours."}
_CONNECTION = (
    click.option("--config", type=PATH, metavar="FILE", help="Settings file, instead of a network's."),
    click.option("--account", metavar="NAME", help="Account: a key file's name; on the devnet also a role such as `creator2`."),
    click.option("--password-file", type=PATH, metavar="FILE", help="File whose first line opens the key file."),
    click.option("--rpc", "--web3-rpc-url", "rpc", multiple=True, metavar="URL", help="Chain endpoint; repeat for more."),
    click.option("--solver", "solver", multiple=True, metavar="URL", help="Solver; repeat for more."),
    click.option("--web3-private-key", "private_key", hidden=True, metavar="KEY"),
)


def connection_options(function: F, *, short: bool = True) -> F:
    """Adds the options and gives the function `choice: Choice` instead. `short` False: no `-n`, which means something else there."""
    names_of_network = ("-n", "--network") if short else ("--network",)

    @functools.wraps(function)
    def wrapped(**values: Any) -> Any:
        names = ("network", "config", "account", "password_file", "private_key", "rpc", "solver")
        choice = Choice(**{name: values.pop(name) for name in names})
        return function(choice=choice, **values)

    for option in reversed((click.option(*names_of_network, **_NETWORK), *_CONNECTION)):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def with_creator(function: F) -> F:
    """Adds the connection options and gives the function `creator: Creator`, closed when the command ends."""

    @functools.wraps(function)
    def wrapped(choice: Choice, **values: Any) -> Any:
        with open_creator(choice) as creator:
            return function(creator=creator, **values)

    return connection_options(wrapped)  # type: ignore[return-value]


def open_creator(choice: Choice, **flags: Any) -> Creator:
    """The creator that a command line means; nothing is connected before it is used."""
    from lilypad_agents.agents.creator.client import Creator
    from lilypad_agents.agents.creator.session import Session

    settings = creator_settings(choice, **flags)
    return Creator(settings, session=Session(settings, signer=signer_for(choice, settings)))
