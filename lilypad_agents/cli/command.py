"""What every command has: --json, --debug, an `Output`, and one way to end.

A command's function gets `out: Output` besides its own parameters. It raises LilypadError for what the user can mend;
any other exception is a bug of ours: it is written to a report file, and shown as a trace only with --debug.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import click

from lilypad_agents.cli.output import INTERRUPTED, Output, error_object
from lilypad_agents.errors import LilypadError


class LilypadCommand(click.Command):
    """A command with the common options. `events`: it reports progress, so that --jsonl makes sense."""

    def __init__(self, *args: Any, events: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_flag("--json", "as_json", "One JSON object on standard output."))
        if events:
            self.params.append(_flag("--jsonl", "as_jsonl", "One JSON object a line for each event."))
        self.params.append(_flag("--debug", "debug", "Show the trace of an error."))

    def invoke(self, ctx: click.Context) -> Any:
        """Calls the function and turns its end into an exit code."""
        out = Output(
            _words(ctx),
            as_json=ctx.params.pop("as_json"),
            as_jsonl=ctx.params.pop("as_jsonl", False),
            debug=ctx.params.pop("debug"),
        )
        ctx.params["out"] = out
        try:
            super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except LilypadError as error:
            if out.debug:
                traceback.print_exc()
            ctx.exit(out.fail(error))
        except (KeyboardInterrupt, click.Abort):
            ctx.exit(out.fail(INTERRUPTED))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            ctx.exit(out.fail(_bug(error, out.debug)))
        except Exception as error:  # noqa: BLE001 - the last line of defence: whatever it is, the user gets a sentence
            ctx.exit(out.fail(_bug(error, out.debug)))
        ctx.exit(out.exit_code)


class _Internal(LilypadError):
    """Something that we did not foresee."""

    code = "internal-error"
    hint = "This is a bug of Lilypad; nothing is lost by repeating the command. Please send the report file."
    exit_code = 1


def guarded_main(run: Callable[[], Any], words: Sequence[str]) -> int:
    """Runs a click group's main without its own ending; returns the exit code. `words`: the command line."""
    try:
        code = run()
    except click.ClickException as error:
        return _usage(error, words)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED.exit_code
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        # The reader has gone: nothing more can be said, and Python must not try at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException, words: Sequence[str]) -> int:
    if "--json" in words or "--jsonl" in words:
        found = {"code": "usage", "message": error.format_message(), "hint": "Run the command with --help.", "figures": {}}
        command = " ".join(_leading(words))
        click.echo(error_object(command, found))
    else:
        error.show()
    return error.exit_code


def _leading(words: Sequence[str]) -> list[str]:
    leading = []
    for word in words[:2]:
        if word.startswith("-"):
            break
        leading.append(word)
    return leading


def _words(ctx: click.Context) -> str:
    """The command as it is typed, without the program: `job list`."""
    names = []
    step: click.Context | None = ctx
    while step is not None and step.parent is not None:
        names.append(step.info_name or "")
        step = step.parent
    return " ".join(reversed(names))


def _flag(name: str, attribute: str, text: str) -> click.Option:
    return click.Option([name, attribute], is_flag=True, help=text)


def _bug(error: Exception, debug: bool) -> _Internal:
    """The report holds the trace only: no values of variables, which could be secrets."""
    trace = "".join(traceback.format_exception(error))
    if debug:
        sys.stderr.write(trace)
    try:
        handle, path = tempfile.mkstemp(prefix="lilypad-bug-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(trace)
        where = f" The report is {path}."
    except OSError:
        where = ""
    return _Internal(f"{type(error).__name__}: {error}.{where}")
