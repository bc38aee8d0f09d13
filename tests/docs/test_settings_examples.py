"""Settings files and exit codes that the pages show are those of the programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lilypad_agents.agents.creator.outcome import JOB_FAILED
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.agents.mediator.settings import MediatorSettings
from lilypad_agents.agents.provider.config import ProviderSettings
from lilypad_agents.agents.runtime.settings import AgentSettings
from lilypad_agents.agents.seeds.settings import SeedSettings
from lilypad_agents.agents.solver.settings import SolverSettings
from tests.docs.markdown import DOCS, blocks, section, table
from tests.docs.test_error_pages import CLASSES

EXAMPLES = [("creator.md", CreatorSettings), ("provider.md", ProviderSettings), ("operator.md", SolverSettings),
            ("mediator.md", MediatorSettings)]


@pytest.mark.parametrize(("page", "kind"), EXAMPLES, ids=[page for page, _ in EXAMPLES])
def test_load_settings__example_of_a_page__has_only_known_names_and_valid_values(
    page: str, kind: type[AgentSettings], tmp_path: Path
) -> None:
    """beh:L15"""
    (example,) = [block.text for block in blocks(DOCS / page) if block.language == "toml"]
    file = tmp_path / "example.toml"
    file.write_text(example, encoding="utf-8")
    loaded = kind.load(file=file)
    assert all(origin.startswith("file ") for origin in map(loaded.origin, ("rpc", "address_book", "keystore", "password_file")))


TABLES = [("provider.md", "## Settings", ProviderSettings), ("mediator.md", "## Settings", MediatorSettings),
          ("operator.md", "## Make seeds together", SeedSettings)]


@pytest.mark.parametrize(("page", "heading", "kind"), TABLES, ids=[page for page, _, _ in TABLES])
def test_read_settings_table__of_a_page__names_settings_with_their_defaults(
    page: str, heading: str, kind: type[AgentSettings]
) -> None:
    rows = table(section((DOCS / page).read_text(encoding="utf-8"), heading))
    assert rows
    fields = kind.model_fields
    for row in rows:
        for name in row["setting"].split("`, `"):
            prefix = name.removesuffix("*")
            assert any(field == name or (name.endswith("*") and field.startswith(prefix)) for field in fields), name
        if row["default"].isdigit():
            assert str(fields[row["setting"]].default) == row["default"], row["setting"]


def test_read_exit_codes__every_code_of_an_error__is_explained() -> None:
    """beh:J14"""
    rows = table(section((DOCS / "exit-codes.md").read_text(encoding="utf-8"), "# Exit codes of the command line"))
    explained = {int(row["code"]) for row in rows}
    used = {kind.exit_code for kinds in CLASSES.values() for kind in kinds} | {0, JOB_FAILED}
    assert used == explained
