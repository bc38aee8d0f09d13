"""Where settings come from, in which order, and that nothing unknown passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lilypad_agents.agents.runtime.errors import SettingInvalid, SettingsUnreadable, SettingUnknown
from lilypad_agents.agents.runtime.settings import AgentSettings
from lilypad_agents.agents.solver.settings import SolverSettings


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_load__four_sources__the_later_one_wins_and_is_named(tmp_path: Path) -> None:
    """beh:J25"""
    file = write(tmp_path, 'confirmations = 1\nreconcile_blocks = 7\nstall_s = 5\n[solver]\nport = 1\nbatch_pairs = 3\n')
    environment = {"LILYPAD_CONFIRMATIONS": "2", "LILYPAD_SOLVER_PORT": "2", "LILYPAD_STALL_S": "6"}
    settings = SolverSettings.load(file=file, environment=environment, flags={"port": 3, "host": None})
    assert (settings.confirmations, settings.reconcile_blocks, settings.stall_s) == (2, 7, 6.0)
    assert (settings.port, settings.batch_pairs, settings.host) == (3, 3, "127.0.0.1")
    assert settings.origin("port") == "flag"
    assert settings.origin("confirmations") == "environment LILYPAD_CONFIRMATIONS"
    assert settings.origin("batch_pairs") == f"file {file}"
    assert settings.origin("host") == "default"


def test_load__table_of_the_role__overrides_what_is_shared(tmp_path: Path) -> None:
    """beh:J25"""
    file = write(tmp_path, 'log_level = "debug"\n[solver]\nlog_level = "error"\n')
    assert SolverSettings.load(file=file).log_level == "error"


@pytest.mark.parametrize(
    ("text", "environment", "flags", "name"),
    [
        ("confirmation = 1\n", {}, {}, "confirmation"),
        ("[solver]\nprot = 1\n", {}, {}, "prot"),
        ("port = 1\n", {}, {}, "port"),  # a role's setting outside its table
        ("", {"LILYPAD_CONFIRMATION": "1"}, {}, "confirmation"),
        ("", {"LILYPAD_SOLVER_PROT": "1"}, {}, "prot"),
        ("", {}, {"prot": 1}, "prot"),
    ],
)
def test_load__unknown_name__is_an_error_that_names_it(
    tmp_path: Path, text: str, environment: dict[str, str], flags: dict[str, object], name: str
) -> None:
    """beh:J25"""
    with pytest.raises(SettingUnknown) as caught:
        SolverSettings.load(file=write(tmp_path, text), environment=environment, flags=flags)
    assert caught.value.figures["name"] == name


def test_load__settings_of_another_role__are_let_be(tmp_path: Path) -> None:
    file = write(tmp_path, "[provider]\nanything = 1\n")
    settings = SolverSettings.load(file=file, environment={"LILYPAD_PROVIDER_ANYTHING": "1", "OTHER": "x"})
    assert settings.origins["port"] == "default"


@pytest.mark.parametrize(
    ("flags", "name"),
    [({"port": 70_000}, "port"), ({"log_level": "loud"}, "log_level"), ({"rpc": ()}, "rpc"), ({"fee_bps": "x"}, "fee_bps")],
)
def test_load__value_out_of_range__names_setting_and_origin(flags: dict[str, object], name: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        SolverSettings.load(flags=flags)
    assert (caught.value.figures["name"], caught.value.figures["origin"]) == (name, "flag")


def test_load__paths_of_a_file__are_relative_to_the_file(tmp_path: Path) -> None:
    settings = AgentSettings.load(file=write(tmp_path, 'data = "own"\naddress_book = "/book.json"\n'))
    assert (settings.data, settings.address_book) == (tmp_path / "own", Path("/book.json"))


def test_load__lists_in_the_environment__are_parted_by_commas() -> None:
    settings = AgentSettings.load(environment={"LILYPAD_RPC": "http://one, http://two"})
    assert settings.rpc == ("http://one", "http://two")


@pytest.mark.parametrize("content", [None, "not = [toml"])
def test_load__file_missing_or_broken__says_which(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "absent.toml" if content is None else write(tmp_path, content)
    with pytest.raises(SettingsUnreadable) as caught:
        AgentSettings.load(file=path)
    assert caught.value.figures["path"] == str(path)


def test_settings__once_loaded__cannot_be_changed() -> None:
    settings = AgentSettings.load()
    with pytest.raises(Exception, match="frozen"):
        settings.confirmations = 3  # type: ignore[misc]
