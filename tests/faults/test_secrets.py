"""A canary key in the hands of every agent: what they write, show, store and answer never has it. Behaviour flt:F39.

The agents are the real commands in processes of their own. The canaries are the private key, its password and the key's
derived forms; they are looked for as bytes, hexadecimal in both cases, decimal and base64.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_keyfile import create_keyfile_json

from lilypad_agents.chain.anvil import free_port
from lilypad_agents.chain.keys import LocalSigner, Secret
from tests.support.network import TOKEN, Network, start_network, stop_network
from tests.support.panel import Panel

COMMAND = [sys.executable, "-m", "lilypad_agents.cli"]
PASSWORD = b"canary-password-5f1d"
ROLES = ("provider", "solver", "mediator")


def spellings(secret: bytes) -> list[bytes]:
    """How a secret could be written down."""
    number = str(int.from_bytes(secret, "big")).encode()
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret).rstrip(b"="), number]


@dataclass
class Canary:
    """A key, the files that hold it, and what must not be found anywhere else."""

    secret: bytes
    keystore: Path
    password: Path

    @property
    def address(self) -> str:
        return LocalSigner(Secret(self.secret)).address

    def found_in(self, data: bytes) -> bool:
        return PASSWORD in data or any(text in data for text in spellings(self.secret))


@dataclass
class Agents:
    """The running commands and the folder that each works in."""

    network: Network
    folder: Path
    canary: dict[str, Canary]
    processes: dict[str, subprocess.Popen[bytes]]

    def get(self, role: str, path: str) -> bytes:
        try:
            url = json.loads((self.folder / role / "data" / "health.json").read_text())["url"]
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(url + path, timeout=5) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as refusal:
            return bytes(refusal.read())
        except (OSError, ValueError):
            return b""

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """A creator's command, with its settings file."""
        settings = self.folder / "creator" / "settings.toml"
        return subprocess.run([*COMMAND, *words, "--config", str(settings)], cwd=self.folder, capture_output=True, timeout=60)


def settings_of(agents: Agents, role: str, solver_port: int, pool: str) -> str:
    canary, folder = agents.canary[role], agents.folder / role
    shared = {
        "data": str(folder / "data"), "state": str(agents.folder / "state"), "rpc": [agents.network.chain.url],
        "address_book": str(agents.network.book_path), "keystore": str(canary.keystore), "password_file": str(canary.password),
        "log_level": "debug",
    }  # fmt: skip
    url = f"http://127.0.0.1:{solver_port}"
    own = {
        "provider": f'solver_urls = ["{url}"]\nselftest = false', "solver": f"port = {solver_port}",
        "mediator": f'solver_urls = ["{url}"]\nselftest = false\npools = [{pool}]',
        "creator": f'solvers = ["{url}"]\nresults = "{folder / "results"}"',
    }[role]  # fmt: skip
    return "\n".join([*(f"{name} = {json.dumps(value)}" for name, value in shared.items()), f"[{role}]", own, ""])


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agents]:
    """Provider, solver and mediator that have begun to work, and a creator that may."""
    folder = tmp_path_factory.mktemp("canaries")
    network = start_network(folder)
    panel = Panel(network, mediators=1, seats_each=1)
    made = Agents(network, folder, {}, {})
    pool = ", ".join(f"{name} = {json.dumps(value)}" for name, value in panel.terms.to_json().items())
    port = free_port()
    try:
        for role in (*ROLES, "creator"):
            home = folder / role
            home.mkdir()
            secret = os.urandom(32)
            # Few rounds: what a key file costs to open is not looked at here.
            (home / "key.json").write_text(json.dumps(create_keyfile_json(secret, PASSWORD, kdf="pbkdf2", iterations=1_000)))
            (home / "key.json").chmod(0o600)
            (home / "password").write_bytes(PASSWORD + b"\n")
            (home / "password").chmod(0o600)
            made.canary[role] = Canary(secret, home / "key.json", home / "password")
            account = made.canary[role].address
            network.rpc.request("anvil_setBalance", account, hex(10**20))
            network.fund([account])
            network.send(0, "LilypadToken", "transfer", account, 10 * TOKEN)
            (home / "settings.toml").write_text(settings_of(made, role, port, f"{{{pool}}}"))
        for role in ROLES:
            output = open(folder / role / "output", "wb")
            made.processes[role] = subprocess.Popen(
                [*COMMAND, role, "start", "--config", str(folder / role / "settings.toml")], cwd=folder, stdout=output, stderr=output
            )
            output.close()
        for role in ROLES:
            end = time.monotonic() + 60
            while b'"ready": true' not in made.get(role, "/readyz"):
                assert time.monotonic() < end, (role, made.get(role, "/readyz"))
                assert made.processes[role].poll() is None, (folder / role / "output").read_text()[-1_000:]
                time.sleep(0.1)
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait()
        stop_network(network)


def everywhere(agents: Agents) -> Iterator[tuple[str, bytes]]:
    """All that an agent leaves or shows, by where it is; the two files that hold the key are left out."""
    for role, canary in agents.canary.items():
        for path in sorted((agents.folder / role).rglob("*")):
            if path.is_file() and path not in (canary.keystore, canary.password):
                yield str(path), path.read_bytes()
    for path in sorted((agents.folder / "state").rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes()
    for role, process in agents.processes.items():
        for name in ("environ", "cmdline"):
            yield f"{role} {name}", Path(f"/proc/{process.pid}/{name}").read_bytes()
        for path in ("/metrics", "/readyz", "/livez", "/nothing"):
            yield f"{role} {path}", agents.get(role, path)


@pytest.mark.timeout(280)
def test_canary__agents_work_and_fail__it_is_nowhere_but_in_its_file(agents: Agents) -> None:
    """flt:F39 Logs at their loudest, databases, metrics, arguments, environment, and what a person is told of errors."""
    told: list[bytes] = []
    for words in (["deposit", "2", "--json"], ["balance", "--json"], ["withdraw", "10000", "--json"]):
        done = agents.run(*words)
        told += [done.stdout, done.stderr]
    assert b'"free"' in told[2]
    wrong = agents.folder / "wrong"
    wrong.write_bytes(PASSWORD[:-1] + b"\n")  # nearly right: what is shown must not help
    wrong.chmod(0o600)
    refused = agents.run("balance", "--json", "--account", str(agents.canary["creator"].keystore), "--password-file", str(wrong))
    assert refused.returncode != 0 and b"key-unusable" in refused.stdout + refused.stderr
    told += [refused.stdout, refused.stderr]
    agents.network.chain.kill()  # errors of agents that lose their chain
    end = time.monotonic() + 30
    while not all(b"chain" in agents.get(role, "/readyz") for role in ROLES):
        assert time.monotonic() < end
        time.sleep(0.2)
    told += [part for done in [agents.run("balance", "--json")] for part in (done.stdout, done.stderr)]
    places = [*everywhere(agents), *((f"output {number}", data) for number, data in enumerate(told))]
    assert len(places) > 40 and sum(len(data) for _, data in places) > 50_000
    for place, data in places:
        for role, canary in agents.canary.items():
            assert not canary.found_in(data), f"the canary of the {role} is in {place}"
    assert {Path(place).name for place, _ in places} >= {"agent.log", "agent.sqlite", "output"}


def test_canary__written_down_somehow__is_found() -> None:
    """The search can fail."""
    canary = Canary(bytes(range(32)), Path(), Path())
    for text in (*spellings(canary.secret), b"x" + PASSWORD):
        assert canary.found_in(b"before " + text + b" after")
    assert not canary.found_in(canary.address.encode())


