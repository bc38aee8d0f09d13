"""Commands that pages and hints only name (`lilypad job show`) exist, with the options they are named with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lilypad_agents.cli.main import cli
from tests.docs.markdown import DOCS, ROOT

_SPAN = re.compile(r"`(lilypad [^`]+)`")
_WORD = re.compile(r"[a-z][a-z-]*")


def resolve(text: str) -> str:
    """What is wrong with a command line as it is named in a text; empty when nothing is."""
    words = text.split()[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="lilypad")
    while words and isinstance(command, click.Group) and _WORD.fullmatch(words[0].partition("|")[0]):
        found = None
        for name in words[0].split("|"):
            found = command.get_command(context, name)
            if found is None:
                return f"there is no `{name}` in `{text}`"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= set(context.help_option_names) | {"--help", "-h"}
    for word in words:
        option = word.split("=")[0]
        if option.startswith("-") and option not in known:
            return f"`{option}` in `{text}` is no option of it"
    return ""


def _texts(path: Path) -> Iterator[str]:
    """The prose of a page, or the strings of a module (hints, messages, docstrings)."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield " ".join(content.split())
        return
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split())


def named(path: Path) -> set[str]:
    return {span for text in _texts(path) for span in _SPAN.findall(text)}


PAGES = [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]
MODULES = sorted(path for path in ROOT.glob("lilypad_agents/**/*.py") if "lilypad " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [*PAGES, *MODULES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_read_text__commands_that_it_names__exist(path: Path) -> None:
    """beh:L15 beh:J21: a way out that does not exist is none."""
    problems = [problem for text in sorted(named(path)) if (problem := resolve(text))]
    assert problems == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("lilypad run cowsay:v0.0.1 -i Message=moo", False),
        ("lilypad job list|show", False),
        ("lilypad jobs list", True),
        ("lilypad run --no-such-option", True),
        ("lilypad job no-such-command ID", True),
        ("lilypad --help", False),
    ],
)
def test_resolve__finds_what_does_not_exist(text: str, wrong: bool) -> None:
    assert bool(resolve(text)) is wrong
