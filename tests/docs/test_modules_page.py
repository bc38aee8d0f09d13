"""The page for module authors: few commands to a first paid run, and tables that are those of the programs."""

from __future__ import annotations

from lilypad_agents.agents.author.certify import EXACT, LEANING, MACHINE, VARIES
from lilypad_agents.execution.oldmodule.report import CODES
from tests.docs.consoles import commands
from tests.docs.markdown import DOCS, section, table

PAGE = DOCS / "modules.md"
MOST_COMMANDS = 5


def test_read_page__from_nothing_to_a_paid_run__takes_at_most_five_commands() -> None:
    """beh:K12: the console blocks of the first section; that they work, test_commands shows."""
    first = section(PAGE.read_text(encoding="utf-8"), "## From nothing to a paid run")
    typed = [line for line in first.splitlines() if line.startswith("$ ")]
    assert 0 < len(typed) <= MOST_COMMANDS
    assert typed[0] == "$ lilypad devnet up" and typed[-1].startswith("$ lilypad run ") and "--wait final" in typed[-1]
    assert [command.text for command in commands(PAGE)][: len(typed)] == [line[2:] for line in typed]


def test_read_import_table__codes_and_severities__are_those_of_the_importer() -> None:
    """beh:K3"""
    rows = table(section(PAGE.read_text(encoding="utf-8"), "## Import an old module"))
    described = {code: row["severity"] for row in rows for code in row["code"].split("`, `")}
    assert described == {code: str(severity) for code, severity in CODES.items()}


def test_read_class_table__classes__are_those_of_certify() -> None:
    """beh:K13"""
    rows = table(section(PAGE.read_text(encoding="utf-8"), "## Check it"))
    assert [row["class"] for row in rows] == [EXACT, LEANING, MACHINE, VARIES]
