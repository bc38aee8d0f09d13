"""Every command of README and user pages runs, ends as the page says, and prints what the page shows.

One folder that looks like a checkout, one devnet in it, the pages in the order in which a reader meets them.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.consoles import checkout_like, commands, environment, matches, run_session
from tests.docs.markdown import DOCS, ROOT, blocks

PAGES = (
    ROOT / "README.md",
    DOCS / "creator.md",
    DOCS / "modules.md",
    DOCS / "provider.md",
    DOCS / "mediator.md",
    DOCS / "operator.md",
    DOCS / "dapp-developer.md",
)
LANGUAGES = {"console", "text", "solidity", "python", "toml", "json", "mermaid"}
SECONDS = 200.0  # of one page; a page that hangs fails instead of the whole run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like a checkout, in which the devnet of the pages runs."""
    folder = checkout_like(tmp_path_factory.mktemp("docs") / "lilypad")
    home = folder.parent / "home"
    home.mkdir()
    yield folder
    if (folder / ".devnet").exists():
        subprocess.run(["lilypad", "devnet", "down"], cwd=folder, env=_environment(folder), timeout=60, check=False)
        shutil.rmtree(folder / ".devnet", ignore_errors=True)


def _environment(folder: Path) -> dict[str, str]:
    return {**environment(), "HOME": str(folder.parent / "home")}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_run_page__every_command__does_what_the_page_says(page: Path, folder: Path) -> None:
    """beh:L15"""
    ran = run_session(page, folder, _environment(folder), SECONDS)
    problems = [item.problem() for item in ran if item.problem()]
    assert problems == [], problems[0]
    assert len(ran) == len(list(commands(page))), f"the session ended before {list(commands(page))[len(ran)].place}"


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *DOCS.glob("*.md")]), ids=lambda path: path.name)
def test_read_page__blocks__are_of_a_known_language_and_commands_are_run(page: Path) -> None:
    """A block without a language, or with `$ ` outside of console, would be a command that nobody runs. beh:L15"""
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block.place}: {block.language!r}"
        if block.language != "console":
            assert not any(line.startswith("$ ") for line in block.text.splitlines()), block.place
        else:
            assert page in PAGES, f"{block.place}: commands of this page are not run"


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        (("moo",), "moo\n", True),
        (("moo",), "moo moo\n", False),
        (("a ... c", "...", "z"), "a b c\nmore\nand more\nz\n", True),
        (("a ... c",), "a b d\n", False),
        (("1.5 LP",), "1x5 LP", False),
    ],
)
def test_compare__dots_stand_for_anything__and_for_nothing_else_is_forgiven(
    expected: tuple[str, ...], output: str, same: bool
) -> None:
    assert matches(expected, output) is same


def test_link_a_checkout__its_set_up__counts_as_done(folder: Path) -> None:
    """`make demo` in the linked folder must never install anything: it would do so into the checkout itself."""
    wanted = subprocess.run(["make", "--no-print-directory", "-n", "demo"], cwd=folder, env=_environment(folder), capture_output=True, text=True, check=True)
    assert wanted.stdout.split() == ["bin/demo"]


def test_run_session__wrong_exit_code_or_output__is_a_problem(tmp_path: Path) -> None:
    """The tool itself: a page that lies must turn red."""
    page = ROOT / "tests" / "docs" / "example_page.md"
    ran = run_session(page, tmp_path, environment(), 20.0)
    assert [bool(item.problem()) for item in ran] == [False, False, True, False, True]
    assert len(ran) == len(list(commands(page))) - 1, "a wrong exit code ends the session"
