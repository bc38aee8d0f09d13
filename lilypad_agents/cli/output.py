"""Where a command's words go: data to standard output, progress and errors to standard error.

Three forms: for people (text), `--json` (exactly one object) and `--jsonl` (one object an event). Schemas are in
`cli/schemas/`. Nothing that a stranger wrote reaches a terminal unescaped; colours appear on terminals only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from lilypad_agents.errors import LilypadError
from lilypad_agents.execution.display import printable

RESULT_SCHEMA = "lilypad/cli@1"


class Interrupted(LilypadError):
    """Ctrl-C. What goes on without us is said by the command itself."""

    code = "interrupted"
    hint = ""
    exit_code = 130


INTERRUPTED = Interrupted("Interrupted.")


class Output:
    """The voice of one command. `finish` is called once, `note` and `event` as often as there is something to say."""

    def __init__(self, command: str, *, as_json: bool = False, as_jsonl: bool = False, debug: bool = False) -> None:
        self.command = command
        self.as_json = as_json and not as_jsonl
        self.as_jsonl = as_jsonl
        self.debug = debug
        self.exit_code = 0
        self._colour: bool | None = False if os.environ.get("NO_COLOR") else None

    @property
    def for_people(self) -> bool:
        return not self.as_json and not self.as_jsonl

    @property
    def is_terminal(self) -> bool:
        """Whether a person can be asked: both ends are a terminal and nobody parses the output."""
        return self.for_people and sys.stdin.isatty() and sys.stderr.isatty()

    def note(self, text: str = "", *, err: bool = True) -> None:
        """A line for people, on standard error."""
        click.echo(text, err=err, color=self._colour)

    def print(self, text: str, *, nl: bool = True) -> None:
        """Data for people, on standard output; nothing in the JSON forms."""
        if self.for_people:
            click.echo(text, nl=nl, color=self._colour)

    def event(self, event: Mapping[str, Any], text: str = "") -> None:
        """Something happened: a line of JSON with --jsonl, else `text` on standard error."""
        if self.as_jsonl:
            click.echo(json.dumps({"time": now_text(), **event}))
        elif text:
            self.note(text)

    def finish(
        self,
        data: Mapping[str, Any],
        show: Callable[[], None] | None = None,
        *,
        exit_code: int = 0,
        error: LilypadError | None = None,
    ) -> None:
        """The command's result: `data` in the JSON forms, `show()` for people. `error`: what it ended with all the same."""
        self.exit_code = exit_code if error is None else error.exit_code
        if not self.for_people:
            self._object(ok=error is None, data=data, error=None if error is None else _plain(error.as_dict()))
            return
        if show is not None:
            show()
        if error is not None:
            self._tell(error)

    def fail(self, error: LilypadError) -> int:
        """Shows an error and returns its exit code."""
        if self.for_people:
            self._tell(error)
        else:
            self._object(ok=False, data=None, error=_plain(error.as_dict()))
        return error.exit_code

    def _tell(self, error: LilypadError) -> None:
        self.note(click.style(f"{error.code}: ", fg="red") + printable(error.message))
        if error.way_out:
            self.note(printable(error.way_out))

    def _object(self, *, ok: bool, data: Any, error: Any) -> None:
        found = {"schema": RESULT_SCHEMA, "command": self.command, "ok": ok, "data": _plain(data), "error": error}
        if self.as_jsonl:
            click.echo(json.dumps({"time": now_text(), "event": "end", **found}))
        else:
            click.echo(json.dumps(found, indent=2))


def error_object(command: str, error: Mapping[str, Any]) -> str:
    """The object of a command that could not even begin."""
    return json.dumps({"schema": RESULT_SCHEMA, "command": command, "ok": False, "data": None, "error": dict(error)}, indent=2)


def now_text() -> str:
    """The time as RFC 3339, to the millisecond, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_text(unix: int) -> str:
    """Unix seconds as RFC 3339, UTC."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of text; the cells of strangers are made printable."""
    cells = [[printable(str(cell)).replace("\n", " ").replace("\t", " ") for cell in row] for row in rows]
    widths = [max([len(heading), *(len(row[index]) for row in cells)]) for index, heading in enumerate(headings)]
    lines = [[heading.upper() for heading in headings], *cells]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _plain(value: Any) -> Any:
    """What JSON can hold exactly: bytes as 0x-hex, whole numbers beyond 2^53 as decimal strings."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool) or value is None or isinstance(value, (str, float)):
        return value
    if isinstance(value, int):
        return str(value) if abs(value) >= 1 << 53 else value
    return str(value)
