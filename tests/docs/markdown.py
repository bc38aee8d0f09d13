"""Reading our own markdown: tables as dictionaries, fenced blocks with their language and place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_HEADING = re.compile(r"#+ ")
ABIS = ROOT / "lilypad_agents" / "chain" / "abi"
_RULE = re.compile(r"\|[-:| ]+\|")


def section(text: str, heading: str) -> str:
    """The text below `heading` (with its #) up to the next heading of any level. Fails when there is none."""
    found: list[str] = []
    inside = False
    for line in text.splitlines():
        if _HEADING.match(line):
            inside = line == heading
        elif inside:
            found.append(line)
    assert found, f"there is no section {heading!r}"
    return "\n".join(found)


def table(text: str) -> list[dict[str, str]]:
    """The rows of the first table in `text` by column name, backticks taken off. Fails when there is none."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) > 2 and _RULE.fullmatch(lines[1]), "there is no table"
    names = _cells(lines[0])
    rows = []
    for line in lines[2:]:
        cells = _cells(line)
        assert len(cells) == len(names), f"a row has {len(cells)} cells, its table {len(names)}: {line}"
        rows.append(dict(zip(names, cells, strict=True)))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its lines, and the line number of its fence."""

    path: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(path: Path) -> Iterator[Block]:
    """All fenced blocks of a file. Fails for one that is not closed."""
    language, begin, lines = None, 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("```"):
            lines.append(line)
        elif language is None:
            language, begin, lines = line[3:].strip(), number, []
        else:
            yield Block(path, begin, language, "\n".join(lines))
            language = None
    assert language is None, f"{path}:{begin}: the block is not closed"


def abi_names(kind: str, *contracts: str) -> set[str]:
    """Names of all functions, events or errors of the packaged ABIs; of all contracts when none is named."""
    paths = [ABIS / f"{name}.json" for name in contracts] or sorted(ABIS.glob("*.json"))
    entries = [entry for path in paths for entry in json.loads(path.read_text(encoding="utf-8"))["abi"]]
    return {entry["name"] for entry in entries if entry["type"] == kind}
