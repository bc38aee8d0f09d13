"""The devnet's own parts: processes that are never mixed up, notes that survive, settings files, funding, publishing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.agents.mediator.settings import MediatorSettings
from lilypad_agents.agents.provider.config import ProviderSettings
from lilypad_agents.agents.runtime.health import Health, HealthServer
from lilypad_agents.agents.seeds.settings import SeedSettings
from lilypad_agents.agents.solver.settings import SolverSettings
from lilypad_agents.chain.deployment_plan import preset
from lilypad_agents.chain.errors import AlreadyRunning
from lilypad_agents.chain.lock import ProcessLock
from lilypad_agents.content.store import LocalStore
from lilypad_agents.devnet.agents import (
    mediator_specs,
    provider_specs,
    seeds_specs,
    solver_spec,
    start_agent,
    wait_for,
    wait_ready,
    write_creator_settings,
)
from lilypad_agents.devnet.errors import DevnetPartFailed, ModulesMissing
from lilypad_agents.devnet.funding import address_of, mediated_pool
from lilypad_agents.devnet.layout import PUBLISHER, ROLES, SEEDS, Layout, find_checkout, find_folder
from lilypad_agents.devnet.network import Devnet, Options
from lilypad_agents.devnet.processes import Identity, spawn, stop, tail
from lilypad_agents.devnet.publishing import pack_modules, write_list
from lilypad_agents.devnet.record import Part, Record
from lilypad_agents.errors import ConfigurationError
from lilypad_agents.protocol.deterrence import PRESETS
from lilypad_agents.protocol.ids import address_of as account
from lilypad_agents.protocol.matching import why_not
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.parameters import devnet as devnet_parameters
from lilypad_agents.protocol.refusals import pool_refusals
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms
from lilypad_agents.protocol.units import Seconds

PROJECT = Path(__file__).resolve().parents[3]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)",
]

# ---- processes


def test_spawn_and_stop__process__runs_detached_and_ends(tmp_path: Path) -> None:
    identity = spawn("part", SLEEP, tmp_path / "log", tmp_path, dict(os.environ))
    assert identity.alive
    assert os.getsid(identity.pid) == identity.pid
    assert Identity.from_json(json.loads(json.dumps(identity.to_json()))) == identity
    assert stop(identity)
    assert not identity.alive
    assert not stop(identity)


def test_stop__process_that_ignores_the_request__is_killed_in_the_end(tmp_path: Path) -> None:
    identity = spawn("part", STUBBORN, tmp_path / "log", tmp_path, dict(os.environ))
    deadline = time.monotonic() + 10
    while "ready" not in tail(tmp_path / "log"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert stop(identity, seconds=0.2)
    assert not identity.alive


def test_stop__number_that_belongs_to_another_process_now__touches_nobody() -> None:
    """Pids come back; only pid and start time together name a process."""
    other = subprocess.Popen(SLEEP)
    try:
        true = Identity.of(other.pid)
        for wrong in (Identity(true.pid, true.started + 1, true.boot), Identity(true.pid, true.started, "another boot"), Identity(2**22 + 7, 1, true.boot)):
            assert not wrong.alive
            assert not stop(wrong)
        assert true.alive
    finally:
        other.kill()
        other.wait()


def test_alive__zombie__does_not_run(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    identity = Identity.of(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not identity.alive
    child.wait()


def test_spawn__missing_program__is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DevnetPartFailed, match="part"):
        spawn("part", ["/nowhere/program"], tmp_path / "log", tmp_path, {})


def test_wait_for__process_that_ended__shows_the_end_of_its_log(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    identity = spawn("solver", [sys.executable, "-c", "raise SystemExit('the reason')"], layout.log("solver"), tmp_path, dict(os.environ))
    with pytest.raises(DevnetPartFailed, match="the reason"):
        wait_for(layout, "solver", identity, lambda: False)
    assert not stop(identity)


def test_wait_ready__agent_has_something_against_it__says_what(tmp_path: Path) -> None:
    layout, spec = Layout(tmp_path), solver_spec(8101)
    data = layout.agent(spec.name) / "data"
    data.mkdir(parents=True)
    health = Health()
    health.beat()
    health.set("start", None)
    health.set("funds", "the ledger has 0 smallest units free")
    us = Identity.of(os.getpid())
    server = HealthServer(health, "127.0.0.1", 0, data).start()
    try:
        with pytest.raises(DevnetPartFailed, match=r"not ready after 0 s \(the ledger has 0 smallest units free\)"):
            wait_ready(layout, spec, us, seconds=0.2)
        health.set("funds", None)
        assert wait_ready(layout, spec, us, seconds=20).url == server.url
    finally:
        server.stop()
    with pytest.raises(DevnetPartFailed, match="it says nothing"):
        wait_ready(layout, spec, us, seconds=0.2)


# ---- notes


def test_record__saved_and_loaded__is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "devnet.json"
    assert Record.load(path) is None
    part = Part("chain", Identity(1, 2, "b"), "http://127.0.0.1:1", "log", None, "folder")
    record = Record(8545, "http://127.0.0.1:8545", {"chain": part}, True)
    record.save(path)
    assert Record.load(path) == record
    assert record.without("chain").parts == {}
    assert record.running == ()
    with pytest.raises(ConfigurationError, match="no solver"):
        record.solver_url  # noqa: B018 - the property raises


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "lilypad/devnet@9"}', '{"schema": "lilypad/devnet@1", "port": 1}'])
def test_record__malformed__says_how_to_go_on(tmp_path: Path, text: str) -> None:
    path = tmp_path / "devnet.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        Record.load(path)
    assert "devnet reset" in caught.value.way_out


def test_up__while_another_is_at_work__refuses(tmp_path: Path) -> None:
    network = Devnet(tmp_path, PROJECT / "lilypad_agents", {})
    with ProcessLock(network.layout.lock, "test").acquire(), pytest.raises(AlreadyRunning):
        network.up()


@pytest.mark.parametrize(
    ("deployed", "options", "says"),
    [
        (None, Options(randomness="commit-reveal", block_seconds=None), "--instant mines on transactions only"),
        ("commit-reveal", Options(block_seconds=None), "--instant mines on transactions only"),
        ("commit-reveal", Options(randomness="blockhash"), "come from commit-reveal, not blockhash"),
        ("blockhash", Options(randomness="commit-reveal"), "come from blockhash, not commit-reveal"),
    ],
)
def test_up__randomness_that_cannot_be__is_refused_before_anything_starts(
    tmp_path: Path, deployed: str | None, options: Options, says: str
) -> None:
    network = Devnet(tmp_path, PROJECT / "lilypad_agents", {})
    if deployed:
        book = network.layout.address_book
        book.parent.mkdir()
        book.write_text(json.dumps({"chainId": 1337, "genesisHash": "0x" + "00" * 32, "contracts": {}, "parameters": {"randomness": deployed}}))
    with pytest.raises(ConfigurationError, match=says):
        network.up(options)
    assert network.record() is None


def test_down_and_reset__nothing_there__do_nothing(tmp_path: Path) -> None:
    network = Devnet(tmp_path / "net", PROJECT / "lilypad_agents", {})
    assert network.down() == ()
    (tmp_path / "net" / "junk").mkdir()
    (tmp_path / "net" / "junk" / "file").write_text("")
    assert network.reset() == ()
    assert [path.name for path in (tmp_path / "net").iterdir()] == ["devnet.lock"]


def test_down__foreign_process_under_a_noted_number__is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(SLEEP)
    try:
        true = Identity.of(other.pid)
        part = Part("chain", Identity(true.pid, true.started - 1, true.boot))
        Record(1, "http://127.0.0.1:1", {"chain": part}).save(tmp_path / "devnet.json")
        assert Devnet(tmp_path, PROJECT / "lilypad_agents", {}).down() == ()
        assert other.poll() is None
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()


# ---- folders and settings


def test_find_folder__here_or_above(tmp_path: Path) -> None:
    (tmp_path / ".devnet").mkdir()
    (tmp_path / ".devnet" / "devnet.json").write_text("{}")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_folder(below) == find_folder(tmp_path) == tmp_path / ".devnet"
    assert find_checkout(tmp_path, PROJECT / "lilypad_agents") == PROJECT


def test_settings_files__are_read_by_each_agent_and_share_nothing_but_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each agent has its own key and data folder, and reads nothing of another's."""
    layout = Layout(tmp_path / 'odd "name" ö')
    monkeypatch.setattr("lilypad_agents.devnet.agents.spawn", lambda *arguments: Identity(1, 1, "x"))
    url, pool = "http://127.0.0.1:8101", mediated_pool(Book())  # type: ignore[arg-type]
    specs = (solver_spec(8101), *provider_specs(url, pool), *mediator_specs(url, pool, 2, 0), *seeds_specs())
    for spec in specs:
        start_agent(layout, spec, "http://127.0.0.1:8545", {})
    write_creator_settings(layout, "http://127.0.0.1:8545", url, pool)
    kinds = (SolverSettings, ProviderSettings, ProviderSettings, MediatorSettings, MediatorSettings, SeedSettings, SeedSettings)
    loaded = [kind.load(file=layout.agent(spec.name) / "settings.toml") for kind, spec in zip(kinds, specs, strict=True)]
    creator = CreatorSettings.load(file=layout.folder / "creator.toml")
    everybody = [*loaded, creator]
    assert len({item.data for item in everybody}) == 8
    assert len({item.test_account for item in everybody}) == 8
    assert {item.address_book for item in everybody} == {layout.address_book}
    assert loaded[1].price == 10**18  # type: ignore[attr-defined]
    assert loaded[1].pools == (pool, UNVERIFIED) and loaded[3].pools == (pool,)  # type: ignore[attr-defined]
    assert creator.pool_terms() == pool and creator.checks == "standard"
    assert tomllib.loads((layout.folder / "creator.toml").read_text())["creator"]["network"] == "devnet"


# ---- money and modules


def test_roles__are_different_accounts() -> None:
    """beh:B6"""
    accounts = [address_of(index) for index in ROLES.values()]
    assert len(set(accounts)) == len(accounts)


def test_seeds__as_many_as_the_devnet_needs_for_a_seed() -> None:
    assert len(SEEDS) == preset("devnet").least_participants >= 2


class Book:
    """Names of contracts."""

    def address(self, name: str) -> str:
        return account({"LilypadToken": 1, "LilypadMediation": 5}[name])


def test_mediated_pool__is_one_that_the_core_accepts() -> None:
    """beh:B6 beh:D3"""
    token, creator, provider = account(1), account(2), account(3)
    pool = mediated_pool(Book())  # type: ignore[arg-type]
    assert pool.is_verified and pool.strategy == account(5)
    parameters = devnet_parameters(Seconds(80))
    terms = ModuleTerms(account(4), bytes(32), b"\x01" * 32, bytes(32), 0, account(4), True, "0x" + "00" * 20, 0, 0, 0)
    assert list(pool_refusals(pool, token, terms, parameters)) == []
    preset = PRESETS[0]
    job = JobOffer(
        creator=creator, module=terms.id, inputs=bytes(32), token=token, max_price=100 * 10**18, max_units=0, cpu_milli=0, ram_mib=0,
        disk_mib=0, gpu_count=0, vram_mib=0, flags=0, submit_window=60, judge_window=40, collateral_bps=preset.collateral_bps,
        audit_bps=preset.audit_bps, pool=pool.id, solver="0x" + "00" * 20, solver_fee_bps=0, provider="0x" + "00" * 20, expiry=2**39, nonce=1,
    )  # fmt: skip
    resource = ResourceOffer(
        provider=provider, token=token, price=pool.max_value, unit_price=0, max_units=0, cpu_milli=0, ram_mib=0, disk_mib=0, gpu_count=0,
        vram_mib=0, flags=0, modules=bytes(32), max_collateral_bps=2**32 - 1, min_submit_window=1, max_judge_window=80, pool=pool.id,
        solver="0x" + "00" * 20, volume=1, expiry=2**39, nonce=1,
    )  # fmt: skip
    from lilypad_agents.protocol.consent import Domain
    from lilypad_agents.protocol.refusals import ChainView

    view = ChainView(
        domain=Domain(1337, account(9)),
        time=1,
        free={(token, creator): 2**95, (token, provider): 2**95},
        funds={(pool.strategy, token, pool.id): 1_000 * 10**18},
        speakers={job.struct_hash: creator, resource.struct_hash: provider},
    )
    assert why_not(job, resource, terms, pool, parameters, view) == []


def test_pack_modules__twice__is_the_same_and_complete(tmp_path: Path) -> None:
    """beh:K6 beh:L16"""
    publisher = address_of(PUBLISHER)
    store = LocalStore(tmp_path / "store", durable=False)
    first, second = (pack_modules(PROJECT / "modules", publisher, store) for _ in range(2))
    assert [module.terms for module in first] == [module.terms for module in second]
    assert {"cowsay:v0.0.1", "wordcount:v0.0.1", "primes:v0.0.1"} <= {module.label for module in first}
    for module in first:
        assert all(store.has(root) for root in module.roots)
        assert module.roots[0].digest == module.packed.digest
    write_list(tmp_path / "list.json", first, publisher)
    assert json.loads((tmp_path / "list.json").read_text())["list"] == "devnet"


def test_pack_modules__empty_folder__says_so(tmp_path: Path) -> None:
    with pytest.raises(ModulesMissing):
        pack_modules(tmp_path, address_of(PUBLISHER), LocalStore(tmp_path / "store", durable=False))
