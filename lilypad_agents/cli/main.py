"""The `lilypad` command group: what exists, loaded lazily, and how every command ends.

Data goes to standard output, progress and errors to standard error. A command ends with the exit code of its error
(`lilypad_agents.errors`), with 130 when it was interrupted, and with 1 for a bug of ours.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from lilypad_agents.cli.command import LilypadCommand, guarded_main
from lilypad_agents.cli.output import Output

# name -> (module below `commands`, attribute, one line for --help); listing them costs no import
COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("run", "run", "Run a job: quote, sign, wait, verify, pay."),
    "quote": ("quote", "quote", "Show what a job would cost, and why; signs and sends nothing."),
    "economics": ("economics", "economics", "Show whether honesty pays under given terms, and from which hostile stake on not."),
    "job": ("job", "job", "List, show, resume, fetch, accept, challenge or cancel your jobs."),
    "module": ("module", "module", "Look at modules, run them here, write and publish your own."),
    "list": ("list", "list_", "Keep a curated list of modules, or look at one."),
    "account": ("account", "account", "List, make, import or show accounts."),
    "deposit": ("funds", "deposit", "Move tokens from your wallet into your ledger balance."),
    "withdraw": ("funds", "withdraw", "Move tokens from your ledger balance to a wallet."),
    "balance": ("funds", "balance", "Show coin, tokens and ledger balance of an account."),
    "doctor": ("doctor", "doctor", "Check everything a job needs, and name the fix for what fails."),
    "config": ("config", "config", "Show settings and where each came from."),
    "devnet": ("devnet", "devnet", "Start, stop and inspect a network on this machine."),
    "provider": ("provider", "provider", "Run jobs for others on this machine, and be paid."),
    "mediator": ("mediator", "mediator", "Judge disputes for others, and be paid for it."),
    "seeds": ("seeds", "seeds", "Make the seeds of a rollup's deployment together with others."),
    "solver": ("solver", "solver", "Match offers and relay content."),
}
# What earlier generations called it. The old word works and says what it is called now.
OLD_NAMES = {"resource-provider": "provider", "jobcreator": "run"}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used; `table` as COMMANDS."""

    def __init__(self, *args: Any, table: dict[str, tuple[str, str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = OLD_NAMES.get(cmd_name, cmd_name)
        if name not in self.table:
            return super().get_command(ctx, cmd_name)
        if name != cmd_name:
            click.echo(f"`{cmd_name}` is called `{name}` now.", err=True)
        module, attribute, _ = self.table[name]
        command = getattr(importlib.import_module(f"lilypad_agents.cli.commands.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(_with_nearest(error.format_message(), args[0], self.table), ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in self.table.items()])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Runs as a program: see `guarded_main`."""
        words = list(sys.argv[1:] if args is None else args)
        return guarded_main(lambda: super(LazyGroup, self).main(words, *rest, **{**extra, "standalone_mode": False}), words)


def _with_nearest(message: str, word: str, table: dict[str, Any]) -> str:
    import difflib

    near = difflib.get_close_matches(word, table, 1)
    return f"{message} Did you mean `{near[0]}`?" if near else message


EPILOG = """\b
Try it on this machine, offline and with play money:
  lilypad devnet up
  lilypad run cowsay:v0.0.1 -i Message="moo"

Every command takes --json (one object on standard output) and has examples in its --help.
Exit codes: 0 verified, 2 usage, 10 configuration, 11 funds, 20 no match, 21 cancelled, 22 timed out,
23 the job itself failed, 24 declined, 30 to 32 verdicts of a panel, 40 chain unreachable, 41 content unavailable, 130 interrupted.
"""


@click.group(cls=LazyGroup, table=COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lilypad-protocol", prog_name="lilypad")
def cli() -> None:
    """Run a job on somebody else's computer and be sure of the result."""


@cli.command("version", cls=LilypadCommand, hidden=True, epilog="\b\nExample:\n  lilypad version")
def version(out: Output) -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    found = installed("lilypad-protocol")
    out.finish({"version": found}, lambda: out.print(found))


def main() -> None:
    """Entry point of the console script."""
    sys.exit(cli.main(prog_name="lilypad"))
