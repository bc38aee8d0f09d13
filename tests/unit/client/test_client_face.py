"""What the package shows to programs: types, a light import, and a client that adds nothing of its own to the creator."""

from __future__ import annotations

import subprocess
import sys
import typing
from importlib import resources
from pathlib import Path

import pytest

from lilypad_agents.agents.creator.client import Creator
from lilypad_agents.client import Client, run
from lilypad_agents.errors import ConfigurationError


def test_package__is_marked_as_typed() -> None:
    """beh:L20 Type checkers believe the annotations of an installed package only with this marker."""
    assert resources.files("lilypad_agents").joinpath("py.typed").is_file()


def test_public_names__every_argument_and_result_has_a_type() -> None:
    own = [function for name, function in vars(Client).items() if callable(function) and not name.startswith("_")]
    for function in (run, *own, Client.connect.__func__):
        hints = typing.get_type_hints(function)
        count = function.__code__.co_argcount + function.__code__.co_kwonlyargcount
        names = [name for name in function.__code__.co_varnames[:count] if name not in ("self", "cls")]
        assert "return" in hints and set(names) <= set(hints), function.__qualname__
    assert issubclass(Client, Creator)


def test_import__of_the_package__loads_no_part_of_it() -> None:
    program = "import sys, lilypad_agents; print([name for name in sys.modules if name.startswith('lilypad_agents.') or name == 'web3'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_package__unknown_name__is_an_attribute_error() -> None:
    import lilypad_agents

    with pytest.raises(AttributeError, match="nothing_like_it"):
        lilypad_agents.nothing_like_it  # noqa: B018


def test_connect__without_any_network__says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "LILYPAD_CONFIG", "LILYPAD_NETWORK", "LILYPAD_RPC"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="No network is configured"):
        Client.connect()
