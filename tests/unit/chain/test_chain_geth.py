"""geth as a chain program: where it is found and how it is started. What it does is tested by `make test-geth`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lilypad_agents.chain.errors import DevelopmentChainFailed
from lilypad_agents.chain.geth import GethConfig, find_geth
from lilypad_agents.devnet.record import Record


def _program(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "geth"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_find__nowhere__says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DevelopmentChainFailed, match="`make geth` builds it"):
        find_geth(tmp_path, str(tmp_path / "bin"))


def test_find__in_the_checkout__comes_before_the_search_path(tmp_path: Path) -> None:
    elsewhere = _program(tmp_path / "bin")
    search = os.pathsep.join(["", str(tmp_path / "none"), str(elsewhere.parent)])
    assert find_geth(tmp_path / "checkout", search) == elsewhere
    own = _program(tmp_path / "checkout" / ".geth" / "bin")
    assert find_geth(tmp_path / "checkout", search) == own


@pytest.mark.parametrize(("seconds", "period"), [(1, "1"), (None, "0")])
def test_arguments__listen_on_this_machine_only_and_keep_to_the_folder(tmp_path: Path, seconds: int | None, period: str) -> None:
    words = GethConfig(tmp_path / "geth", block_time_s=seconds).arguments(8545)
    options = dict(zip(words, words[1:], strict=False))
    assert options["--http.addr"] == "127.0.0.1" and options["--http.port"] == "8545" and "--ipcdisable" in words
    assert options["--dev.period"] == period
    assert options["--datadir"] == str(tmp_path / "geth") == str(GethConfig(tmp_path / "geth").keeps)
    assert "admin" not in options["--http.api"] and "personal" not in options["--http.api"]


def test_record__keeps_the_program_of_its_chain(tmp_path: Path) -> None:
    """A devnet that was started on geth comes up on geth again; notes from before there was a choice mean anvil."""
    path = tmp_path / "devnet.json"
    Record(8545, "http://127.0.0.1:8545", chain="geth").save(path)
    found = Record.load(path)
    assert found is not None and found.chain == "geth"
    path.write_text(path.read_text().replace('  "chain": "geth",\n', ""))
    before = Record.load(path)
    assert before is not None and before.chain == "anvil"
