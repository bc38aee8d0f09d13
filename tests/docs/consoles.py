"""Running the ```console blocks of a page as one shell session, and comparing what they print.

In a block, `$ ` begins a command and `> ` continues it; other lines are what it prints, where `...` stands for anything
(also for whole lines). A comment `# exit 20` at the end of a command says which exit code it has; 0 without one.
Blocks that nobody should run are ```text.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.docs.markdown import ROOT, Block, blocks

_EXIT = re.compile(r"#\s*exit (\d+)\s*$")
# Parts of a checkout that a run changes; everything else is the checkout's own.
_OWN = {".devnet", "results", ".git", ".pytest_cache", ".hypothesis", ".cache", ".build"}
# What `make setup` notes when it is done. Without them, `make demo` would install through the links into the real checkout.
_DONE = ("python.done", "npm.done")


@dataclass(frozen=True)
class Command:
    """One command with its place, the lines it is said to print, and its exit code."""

    place: str
    text: str
    expected: tuple[str, ...]
    exit_code: int


@dataclass(frozen=True)
class Ran:
    """What a command did; output and errors in one, as a terminal shows them."""

    command: Command
    exit_code: int
    output: str
    seconds: float

    def problem(self) -> str:
        """What differs from the page; empty when nothing does."""
        shown = f"{self.command.place}: $ {self.command.text}\n{self.output}"
        if self.exit_code != self.command.exit_code:
            return f"{shown}\n--- exit code {self.exit_code}, the page says {self.command.exit_code}"
        if self.command.expected and not matches(self.command.expected, self.output):
            return f"{shown}\n--- the page says:\n" + "\n".join(self.command.expected)
        return ""


def commands(path: Path) -> Iterator[Command]:
    """The commands of a page in order. Fails for a console block without one."""
    for block in blocks(path):
        if block.language == "console":
            yield from _commands(block)


def _commands(block: Block) -> Iterator[Command]:
    text, expected, place = "", [], ""
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            if text:
                yield _command(place, text, expected)
            place = f"{block.path.relative_to(ROOT)}:{number}"
            text, expected = line[2:], []
        elif line.startswith("> ") or line == ">":
            text += "\n" + line[2:]
        else:
            assert text, f"{block.place}: output before the first command"
            expected.append(line)
    assert text, f"{block.place}: a console block without a command"
    yield _command(place, text, expected)


def _command(place: str, text: str, expected: list[str]) -> Command:
    found = _EXIT.search(text)
    return Command(place, text, tuple(expected), int(found[1]) if found else 0)


def matches(expected: tuple[str, ...], output: str) -> bool:
    """Whether the page's lines are the output; `...` stands for anything, spaces at line ends do not count."""
    pattern = r"[\s\S]*?".join(re.escape(part) for part in "\n".join(line.rstrip() for line in expected).strip().split("..."))
    found = "\n".join(line.rstrip() for line in output.splitlines()).strip()
    return re.fullmatch(pattern, found) is not None


def checkout_like(folder: Path) -> Path:
    """A folder that looks like this checkout, set up, for commands that leave files: links to all but what runs change."""
    (folder / ".cache").mkdir(parents=True)
    for name in _DONE:
        assert (ROOT / ".cache" / name).exists(), "run `make setup` first"
        (folder / ".cache" / name).touch()
    # Ape takes a linked folder for another project and writes down a build of its own.
    shutil.copytree(ROOT / ".build", folder / ".build")
    for entry in ROOT.iterdir():
        if entry.name not in _OWN:
            (folder / entry.name).symlink_to(entry)
    return folder


def run_session(page: Path, folder: Path, environment: Mapping[str, str], seconds: float) -> list[Ran]:
    """Runs all commands of a page in one bash, so that variables and background jobs carry on; stops at the first problem.

    Every background job of the session is ended with it.
    """
    found = list(commands(page))
    with tempfile.TemporaryDirectory() as temporary:
        notes = Path(temporary)
        script = _script(found, notes)
        try:
            subprocess.run(
                ["bash", "--noprofile", "--norc", "-c", script], cwd=folder, env=dict(environment), timeout=seconds, check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            pass  # the command without an exit code is the one that hangs
        return [_ran(command, notes / str(index)) for index, command in enumerate(found) if (notes / f"{index}.out").exists()]


def _script(found: list[Command], notes: Path) -> str:
    """Each command in the same shell, its output in a file; the first unexpected exit code ends the session."""
    lines = ["trap 'jobs -p | xargs -r kill 2>/dev/null; wait' EXIT"]
    for index, command in enumerate(found):
        lines += [
            f"began=$EPOCHREALTIME; {{ {command.text}\n}} > {notes}/{index}.out 2>&1",
            f"code=$?; echo $code $began $EPOCHREALTIME > {notes}/{index}.code",
            f"[ $code = {command.exit_code} ] || exit 1",
        ]
    return "\n".join(lines)


def _ran(command: Command, notes: Path) -> Ran:
    code = notes.with_suffix(".code")
    output = notes.with_suffix(".out").read_text(encoding="utf-8", errors="replace")
    if not code.exists():
        return Ran(command, -1, output + "\n(it did not end in time)", 0.0)
    exit_code, began, ended = code.read_text().split()
    return Ran(command, int(exit_code), output, float(ended) - float(began))


def environment() -> dict[str, str]:
    """A user's: the tools of the checkout first, no settings of whoever runs the tests, no colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LILYPAD_", "APE_", "PYTEST_"))}
    path = os.pathsep.join((str(ROOT / ".venv" / "bin"), str(ROOT / "node_modules" / ".bin"), kept.get("PATH", "")))
    return {**kept, "PATH": path, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
