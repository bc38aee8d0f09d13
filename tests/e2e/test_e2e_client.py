"""The Python client against a network of real processes: one call for a job, and what the command line does beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lilypad_agents.agents.creator.request import JobRequest
from lilypad_agents.client import FINAL, Client, Policy, Wishes
from lilypad_agents.devnet.record import Record
from lilypad_agents.errors import InsufficientFunds
from lilypad_agents.protocol.ids import checksummed
from lilypad_agents.protocol.lifecycle import PAID, Status
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.e2e.network import Network

ONE = 10**18
PLAIN = Wishes(pool=UNVERIFIED)


@pytest.fixture(scope="module")
def config(network: Network) -> Path:
    """Settings of the network's creators, creator8 with something in its ledger balance whatever other tests took from it."""
    config = network.folder / ".devnet" / "creator.toml"
    with Client.connect(config=config, account="creator8") as client:
        client.deposit(10 * ONE)
    return config


def test_run__one_call__returns_the_verified_result(network: Network) -> None:
    """beh:L20 As a program in the network's folder would: settings and key are found as the command line finds them."""
    program = 'from lilypad_agents import run\nprint(run("cowsay:v0.0.1", {"Message": "one call"}).delivered.files.stdout.decode())'
    done = subprocess.run([sys.executable, "-c", program], cwd=network.folder, env=network.environment(), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert "< one call >" in done.stdout


def test_client__a_job_by_hand__is_quoted_waited_for_fetched_and_listed(config: Path, tmp_path: Path) -> None:
    """beh:L20"""
    with Client.connect(config=config, account="creator8", results=tmp_path / "results") as client:
        before = client.balance()
        quote = client.quote("cowsay:v0.0.1", {"Message": "by hand"}, wishes=PLAIN)
        assert quote.best is not None
        taken = client.run("cowsay:v0.0.1", {"Message": "by hand"}, wishes=PLAIN, policy=Policy(accept=False))
        deal = taken.job.deal_text
        assert taken.status is not None and not taken.is_final
        _until_submitted(client, deal)
        delivered, folder = client.fetch_again(deal[:14], tmp_path / "again")
        assert b"< by hand >" in delivered.files.stdout and (folder / "stdout").read_bytes() == delivered.files.stdout
        ended = client.accept(deal, until=FINAL, seconds=60)
        assert ended.error is None and ended.status in PAID and ended.payment is not None
        assert client.balance().free == before.free - ended.payment.paid
        assert deal in [item.job.deal_text for item in client.jobs()]
        assert client.resume() == []


def _until_submitted(client: Client, deal: str) -> None:
    """Until the chain has the provider's commitment: its word, and the result, may be here some blocks before."""
    deadline = time.monotonic() + 30
    while (state := client.show(deal).state) != Status.RESULTS_SUBMITTED.name:
        assert state == Status.AGREED.name and time.monotonic() < deadline, state
        time.sleep(0.3)


def test_client__money__moves_and_a_refusal_sends_nothing(config: Path) -> None:
    """beh:L20"""
    with Client.connect(config=config, account="creator8") as client:
        before = client.balance()
        with pytest.raises(InsufficientFunds):
            client.deposit(before.wallet + 1)
        with pytest.raises(InsufficientFunds):
            client.withdraw(before.free + 1)
        assert client.balance().wallet == before.wallet
        client.deposit(ONE)
        client.withdraw(ONE)
        after = client.balance()
        assert (after.wallet, after.free) == (before.wallet, before.free)


def test_client__offer_that_nobody_can_take__is_cancelled(config: Path) -> None:
    """beh:L20"""
    with Client.connect(config=config, account="creator8") as client:
        wishes = Wishes(pool=UNVERIFIED, provider=checksummed("0x" + "ab" * 20), max_price=2 * ONE)
        prepared = client.prepare(JobRequest("cowsay:v0.0.1", {"Message": "nobody"}, {}, wishes))
        job = client.start(prepared, client.check_price(prepared, waits=True))
        client.runner(job).step()
        assert client.cancel(job.id).plan.way == "invalidate"
        assert client.wait(job.id, seconds=30).exit_code == 21


_WATCHED = """
import json, sys
seen = set()
def note(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        seen.add(f"{arguments[1][0]}:{arguments[1][1]}")
    elif event == "socket.getaddrinfo":
        seen.add(f"{arguments[0]}:{arguments[1]}")
sys.addaudithook(note)
from lilypad_agents import run
outcome = run("cowsay:v0.0.1", {"Message": "unwatched"})
print(json.dumps([outcome.error is None, sorted(seen)]))
"""


def _address(url: str) -> str:
    return url.removeprefix("http://").rstrip("/")


def test_job__from_its_words_to_its_result__speaks_to_the_configured_chain_and_solver_only(network: Network) -> None:
    """beh:J27 Nothing is told to anybody else; there is no telemetry, so there is nothing to switch off."""
    done = subprocess.run([sys.executable, "-c", _WATCHED], cwd=network.folder, env=network.environment(), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    good, seen = json.loads(done.stdout.splitlines()[-1])
    record = network.record
    assert good and set(seen) == {_address(record.rpc_url), _address(record.solver_url)}


def test_agents__while_they_work__are_connected_to_each_other_and_to_nobody_else(network: Network) -> None:
    """beh:J27"""
    record = network.record
    own = {int(part.url.rpartition(":")[2]) for part in record.parts.values()}
    found = set()
    for name, part in record.parts.items():
        for connection in psutil.Process(part.identity.pid).net_connections("inet"):
            if connection.raddr:
                assert connection.raddr.ip == "127.0.0.1", (name, connection)
                found.add((name, connection.raddr.port if connection.raddr.port in own else connection.laddr.port))
    assert {"solver", "provider1", "mediator1"} <= {name for name, _ in found}
    assert {port for _, port in found} <= own | _listening(record)


def _listening(record: Record) -> set[int]:
    """Ports on which the network's own processes listen."""
    return {
        connection.laddr.port
        for part in record.parts.values()
        for connection in psutil.Process(part.identity.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
