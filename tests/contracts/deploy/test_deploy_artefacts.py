"""The copies of interface and code in the Python package are those of the sources. beh:L16"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lilypad_agents.chain.deployment_plan import CODE_BYTES_MOST, CONTRACTS, load_artefact
from scripts.export_abi import BUILD, TARGET, artefacts, differences
from tests.support.chain import PROJECT


@pytest.fixture(scope="module")
def build() -> Path:
    """Ape's build of the sources as they are: it compiles whatever changed since the last time."""
    environment = os.environ | {
        "APE_DATA_FOLDER": str(PROJECT / ".ape"),
        "SOLCX_BINARY_PATH": str(PROJECT / ".solc"),
    }
    ape = Path(sys.executable).with_name("ape")
    done = subprocess.run(
        [str(ape), "compile"], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return BUILD


def test_copies__against_a_fresh_compile__are_equal(build: Path) -> None:
    """beh:L16: run `ape compile --force && python scripts/export_abi.py` when this fails."""
    assert differences(artefacts(build)) == []


def test_copies__one_byte_or_file_off__are_told_apart(tmp_path: Path) -> None:
    wanted = {path.name: path.read_text() for path in TARGET.glob("*.json")}
    assert set(wanted) == {f"{name}.json" for name in CONTRACTS}
    for name, text in wanted.items():
        (tmp_path / name).write_text(text)
    assert differences(wanted, tmp_path) == []
    (tmp_path / "Lilypad.json").write_text(wanted["Lilypad.json"].replace("6080", "6081", 1))
    (tmp_path / "LilypadUsers.json").unlink()
    (tmp_path / "Stranger.json").write_text("{}")
    assert differences(wanted, tmp_path) == ["Lilypad.json", "LilypadUsers.json", "Stranger.json"]


@pytest.mark.parametrize("name", CONTRACTS)
def test_artefact__as_packaged__has_code_interface_and_size(name: str) -> None:
    document = json.loads((TARGET / f"{name}.json").read_text())
    assert load_artefact(name).creation_code.hex() == document["bytecode"][2:]
    assert "__$" not in document["bytecode"], "no library is linked at deployment"
    assert 0 < document["runtimeBytes"] <= CODE_BYTES_MOST


@pytest.mark.parametrize("module", ["deployer", "deployment_plan", "deployment_check", "bytecode"])
def test_import__light_modules__do_not_load_ape(module: str) -> None:
    program = f"import sys, lilypad_agents.chain.{module}; print([m for m in sys.modules if m.split('.')[0] == 'ape'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
