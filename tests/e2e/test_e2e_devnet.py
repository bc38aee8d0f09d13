"""The devnet's life: up twice, down and up again with its state, a chain that was lost, and the looks that people take at it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.network import PLAIN, Network, changes

ONE = 10**18
PARTS = {"chain", "solver", "provider1", "provider2", "mediator1", "mediator2", "mediator3"}


def test_up__a_second_time__says_what_runs_and_changes_nothing(network: Network) -> None:
    """beh:L1"""
    before, money = network.record, network.money()
    again = network.up("--json")
    assert (again.code, again.data["alreadyRunning"]) == (0, True)
    after = network.record
    assert {name: part.identity for name, part in after.parts.items()} == {name: part.identity for name, part in before.parts.items()}
    assert network.money() == money


def test_status__names_every_part_and_a_killed_one(network: Network) -> None:
    done = network.lilypad("devnet", "status", "--json")
    assert done.code == 0
    assert set(done.data["parts"]) >= PARTS
    network.kill("provider1")
    try:
        broken = network.lilypad("devnet", "status", "--json")
        assert broken.code == 10
        assert broken.data["parts"]["provider1"]["running"] is False
    finally:
        assert network.up().code == 0
    assert network.lilypad("devnet", "status").code == 0


def test_agents__each_has_its_own_key_and_folder_and_listens_on_this_machine_only(network: Network) -> None:
    """beh:L2"""
    settings = {}
    for name in ("solver", "provider1", "provider2"):
        text = (network.folder / ".devnet" / name / "settings.toml").read_text()
        settings[name] = text
        others = [other for other in ("solver/", "provider1/", "provider2/", "creator/") if not other.startswith(name)]
        assert not any(f".devnet/{other}" in text for other in others)
    assert len({line for text in settings.values() for line in text.splitlines() if line.startswith("test_account")}) == 3
    assert all(part.url.startswith("http://127.0.0.1:") for part in network.record.parts.values())


def test_agents__health_and_status__answer(network: Network) -> None:
    """beh:L11"""
    for name, role in (("provider1", "provider"), ("solver", "solver")):
        done = network.lilypad(role, "status", "--config", f".devnet/{name}/settings.toml", "--json")
        assert (done.code, done.data["ready"]) == (0, True), done.err
        assert done.data["metrics"]
    why = network.lilypad("provider", "why", "--config", ".devnet/provider1/settings.toml", "--json")
    assert why.code == 0 and why.data["offers"]
    earnings = network.lilypad("provider", "earnings", "--config", ".devnet/provider1/settings.toml", "--json")
    assert earnings.code == 0 and int(earnings.data["net"]) == int(earnings.data["earned"]) - int(earnings.data["lost"])


def test_doctor__healthy_network__finds_nothing_wrong(network: Network) -> None:
    """beh:J9"""
    done = network.lilypad("doctor", "--json")
    assert done.code == 0, done.out
    verdicts = {check["name"]: check["verdict"] for check in done.data["checks"]}
    assert {"chain", "contracts", "clock", "key", "coin", "funds", "solver", "offers", "lists", "disk", "engine"} <= set(verdicts)
    assert sum(name.startswith("sandbox") for name in verdicts) >= 8
    assert set(verdicts.values()) <= {"ok", "warn"}


@pytest.mark.parametrize(
    ("words", "env", "check"),
    [
        (["--rpc", "http://127.0.0.1:9"], {}, "chain"),
        (["--solver", "http://127.0.0.1:9"], {}, "solver"),
        (["--account", "nobody-here"], {}, "key"),
        ([], {"LILYPAD_CREATOR_LISTS": "/nowhere.json"}, "lists"),
        ([], {"LILYPAD_RESERVE_BYTES": str(2**60)}, "disk"),
    ],
)
def test_doctor__something_broken__names_it_and_the_fix(network: Network, words: list[str], env: dict[str, str], check: str) -> None:
    """beh:J9"""
    done = network.lilypad("doctor", "--no-sandbox", "--json", *words, env=env, seconds=60)
    assert done.code == 10
    assert check in done.data["failed"]
    found = next(item for item in done.data["checks"] if item["name"] == check)
    assert found["fix"]


def test_balance__everybody__adds_up_to_what_the_ledger_holds(network: Network) -> None:
    """beh:A3"""
    data = network.lilypad("balance", "--all", "--json").data
    names = [row["name"] for row in data["accounts"]]
    assert [name for name in names if name != "cheater"] == ["creator", "provider1", "provider2", "solver", "publisher", "mediator1", "mediator2", "mediator3"]
    assert float(data["waiting"]["audit fund of the pool mediated"]) > 990
    assert data["waiting"]["stakes in the pool mediated"] == str(3 * 20 * 80)
    shown = network.lilypad("balance", "--all")
    assert "creator" in shown.out and "held by the ledger" in shown.out


def test_raw_key_on_the_command_line__works_on_a_local_chain_only(network: Network, tmp_path: Path) -> None:
    """beh:J24"""
    key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
    done = network.lilypad("balance", "--web3-private-key", key, "--json")
    assert (done.code, done.data["account"]) == (0, "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
    book = json.loads((network.folder / ".devnet" / "deployments" / "1337.json").read_text())
    book["chainId"] = 1
    (tmp_path / "book.json").write_text(json.dumps(book))
    refused = network.lilypad("account", "show", "--web3-private-key", key, "--json", env={"LILYPAD_ADDRESS_BOOK": str(tmp_path / "book.json")})
    assert refused.code == 10
    assert refused.json["error"]["code"] == "key-unusable"
    assert key not in refused.out + refused.err


def test_down__other_processes__are_left_alone_and_up_brings_everything_back(network: Network) -> None:
    """A restarted chain keeps its blocks: deals, balances and journals go on."""
    done = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=before", *PLAIN, "--wait", "final", "--json", "--account", "creator9")
    assert done.code == 0, done.err
    before = network.money("creator9")
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    try:
        down = network.lilypad("devnet", "down", "--json")
        assert set(down.data["stopped"]) >= PARTS
        assert not network.record.running
        assert bystander.poll() is None
        away = network.lilypad("run", "cowsay:v0.0.1", "--json", "--account", "creator9")
        assert away.code == 40
        assert network.lilypad("devnet", "down").code == 0
    finally:
        bystander.kill()
        bystander.wait()
        assert network.up().code == 0
    assert changes(before, network.money("creator9")) == {}
    listed = network.lilypad("job", "list", "--json", "--account", "creator9").data["jobs"]
    assert done.data["deal"] in [item["deal"] for item in listed]
    after = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=after", *PLAIN, "--wait", "final", "--account", "creator9", seconds=60)
    assert after.code == 0, after.err


def test_chain_lost__started_empty__is_noticed_and_a_reset_starts_clean(network: Network) -> None:
    """flt:F40"""
    record = network.record
    network.kill("chain")
    shutil.rmtree(network.folder / ".devnet" / "chain")
    anvil = next(Path(__file__).resolve().parents[2].glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    other = subprocess.Popen(
        [str(anvil), "--port", str(record.port), "--chain-id", "1337", "--hardfork", "prague"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(record.rpc_url)
        done = network.lilypad("run", "cowsay:v0.0.1", "--json", seconds=40)
        assert done.code == 10
        assert done.json["error"]["code"] == "chain-reset"
        assert "devnet reset" in done.json["error"]["hint"]
    finally:
        other.kill()
        other.wait()
        unasked = network.lilypad("devnet", "reset")
        reset = network.lilypad("devnet", "reset", "--yes")
        up = network.up()
    assert unasked.code == 2
    assert (reset.code, up.code) == (0, 0), up.err
    assert network.lilypad("job", "list", "--json").data["jobs"] == []
    again = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=clean", *PLAIN, "--wait", "final", seconds=60)
    assert again.code == 0, again.err


def _wait_for(url: str) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    deadline = time.monotonic() + 15
    while True:
        try:
            request = urllib.request.Request(url, body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_second_devnet__beside_the_first__takes_ports_of_its_own(tmp_path: Path, network: Network) -> None:
    """Nothing of a devnet is fixed but its folder. beh:L2"""
    beside = Network(tmp_path, network.port)
    empty = tmp_path / "modules"
    os.symlink(network.folder / "modules", empty)
    done = beside.lilypad("devnet", "up", "--dir", ".", "--modules", "modules", "--instant", "--json")
    try:
        assert done.code == 0, done.err
        urls = {part["url"] for part in done.data["parts"].values()}
        assert not urls & {part.url for part in network.record.parts.values()}
        ran = beside.lilypad("run", "cowsay:v0.0.1", *PLAIN, "--wait", "final", "--json")
        assert ran.code == 0, ran.err
    finally:
        assert set(beside.lilypad("devnet", "down", "--json").data["stopped"]) == PARTS
    assert network.lilypad("devnet", "status").code == 0
