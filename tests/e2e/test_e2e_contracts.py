"""The example contracts on the devnet: real solver and providers serve what contracts ask, also across a restart of them all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from lilypad_agents.agents.author.publishing import plan_publication, publish
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.agents.solver.client import SolverClient
from lilypad_agents.agents.solver.wire import PUBLIC
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.deployer import RpcSender, wait_for_receipt
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.types import ChainId
from lilypad_agents.content.importer import add_bytes, put_tree
from lilypad_agents.content.store import LocalStore
from lilypad_agents.devnet.funding import address_of, mediated_pool
from lilypad_agents.devnet.layout import ROLES
from lilypad_agents.protocol.deterrence import preset
from lilypad_agents.protocol.ids import NOBODY, Address, VersionId, hex_of
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.requests import JobOutcome, JobTerms, RequestState
from tests.e2e.network import Network, seconds_on
from tests.support.evm import _artefact
from tests.support.outputs import Blocks, follow

ONE = 10**18
CHAIN = ChainId(1337)
OWNER = "creator8"
FILES = {"answer.json": b'{"rows":3}', "metadata.json": b'{"name":"moo"}'}
DATA = b"a,b\n1,2\n"
WAIT_S = 60
# Prints a number, and writes both files below /outputs.
PROGRAM = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "4200\\0a") (data (i32.const 100) "answer.json") (data (i32.const 200) "metadata.json")
  (data (i32.const 300) "{\\22rows\\22:3}") (data (i32.const 400) "{\\22name\\22:\\22moo\\22}")
  (func $put (param $fd i32) (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $length))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 16))))
  (func $file (param $name i32) (param $letters i32) (param $at i32) (param $length i32)
    (drop (call $open (i32.const 4) (i32.const 0) (local.get $name) (local.get $letters) (i32.const 1)
      (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 24)))
    (call $put (i32.load (i32.const 24)) (local.get $at) (local.get $length)))
  (func (export "_start")
    (call $file (i32.const 100) (i32.const 11) (i32.const 300) (i32.const 10))
    (call $file (i32.const 200) (i32.const 13) (i32.const 400) (i32.const 14))
    (call $put (i32.const 1) (i32.const 64) (i32.const 5))))
"""
INPUTS: dict[str, dict[str, Any]] = {
    "feed": {"round": {"type": "integer", "minimum": 0, "maximum": 10**9, "description": "round"}},
    "raffle": {"seed": {"type": "string", "maxLength": 66, "description": "seed"}},
    "nft": {"message": {"type": "string", "maxLength": 100, "description": "text"}},
    "dao": {"question": {"type": "string", "maxLength": 100, "description": "question"}},
}


def manifest(name: str) -> dict[str, Any]:
    examples = {"feed": 1, "raffle": "0x00", "nft": "moo", "dao": "how many?"}
    (value,) = INPUTS[name]
    files = [{"name": "data", "required": True, "maxBytes": 1000, "mediaType": "text/csv"}] if name == "dao" else []
    return {
        "schema": "lilypad/module@2", "name": f"of-{name}", "version": "v0.0.1", "licence": {"code": "Apache-2.0"},
        "inputs": {"type": "object", "additionalProperties": False, "required": [value], "properties": INPUTS[name]},
        "files": files, "engine": "wasm", "wasm": {"module": "program.wasm", "args": ["program", {"input": value}]},
        "outputs": {"files": [{"path": path} for path in FILES]}, "compare": {"policy": "exact"}, "seed": {"policy": "none"},
        "network": "none",
        "resources": {"cpuMilli": 100, "ramMib": 64, "diskMib": 1, "gpuCount": 0, "vramMib": 0},
        "limits": {"fuel": 50_000_000, "wallSeconds": 10, "stdoutBytes": 100, "stderrBytes": 100, "outputBytes": 1000,
                   "outputFiles": 4, "processes": 1},
        "examples": [{"inputs": {value: examples[name]}, "files": {"data": "data.csv"} if files else {}, "expect": {"exitCode": 0}}],
    }  # fmt: skip


@dataclass
class Desk:
    """The example contracts' owner at the devnet. `versions`: of the modules that the contracts ask for, by name."""

    network: Network
    session: Session
    versions: dict[str, VersionId]
    data_cid: str

    @property
    def owner(self) -> Address:
        return address_of(ROLES[OWNER])

    @property
    def jobs(self) -> Contract:
        return self.contract("LilypadJobs", self.session.book.address("LilypadJobs"))

    @property
    def token(self) -> Contract:
        return self.contract("LilypadToken", self.session.chain.default_token)

    def contract(self, name: str, address: str) -> Contract:
        return Contract(address, _artefact(name).abi, self.session.chain.rpc, self.session.chain.errors)

    def send(self, contract: Contract, function: str, *arguments: Any, role: str = OWNER) -> dict[str, Any]:
        sender = RpcSender(self.session.chain.rpc, signer_from_test_mnemonic(ROLES[role], CHAIN), CHAIN)
        return wait_for_receipt(self.session.chain.rpc, sender.send(contract.address, contract.encode(function, *arguments)))

    def deploy(self, name: str, *arguments: Any) -> Contract:
        """Its tokens are the owner's, who allows it to take them."""
        artefact = _artefact(name)
        code = artefact.creation_code + artefact.abi.encode_constructor(self.jobs.address, *arguments)
        sender = RpcSender(self.session.chain.rpc, signer_from_test_mnemonic(ROLES[OWNER], CHAIN), CHAIN)
        receipt = wait_for_receipt(self.session.chain.rpc, sender.send(None, code))
        made = self.contract(name, receipt["contractAddress"])
        self.send(self.token, "approve", made.address, 1_000 * ONE)
        return made

    def terms(self, module: str, *, verified: bool = False, judge_s: int = 5) -> JobTerms:
        """At most 10 tokens. `judge_s`: judge window, seconds. Verified: in the devnet's pool of mediators, at the preset `standard`."""
        pool, safe = mediated_pool(self.session.book), preset("standard")
        limits: Parameters = self.session.chain.parameters
        return JobTerms(
            module=self.versions[module], token=Address(self.token.address), max_price=10 * ONE, max_units=0, cpu_milli=100,
            ram_mib=64, disk_mib=1, gpu_count=0, vram_mib=0, flags=0, submit_window=min(240, limits.max_submit_window),
            judge_window=max(judge_s, limits.min_judge_window), collateral_bps=safe.collateral_bps if verified else 10_000,
            audit_bps=safe.audit_bps if verified else 0, pool=pool.id if verified else bytes(32), solver=NOBODY, solver_fee_bps=0,
            provider=NOBODY, expiry=0, nonce=0,
        )  # fmt: skip

    def requests(self, receipt: dict[str, Any]) -> list[bytes]:
        topic = hex_of(self.jobs.abi.event("JobRequested").topic)
        return [bytes.fromhex(log["topics"][1][2:]) for log in receipt["logs"] if log["topics"][0] == topic]

    def outcome(self, request: bytes) -> tuple[RequestState, JobOutcome]:
        *_, state, outcome = self.jobs.call("requestOf", request)
        return RequestState(state), JobOutcome(outcome)

    def delivered(self, *requests: bytes) -> Callable[[], bool]:
        return lambda: all(self.outcome(request)[0] is RequestState.DELIVERED for request in requests)


@pytest.fixture(scope="module")
def desk(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    settings = CreatorSettings.load(file=network.folder / ".devnet" / "creator.toml", flags={})
    folder, versions = tmp_path_factory.mktemp("contracts"), {}
    with Session(settings, signer=signer_from_test_mnemonic(ROLES[OWNER], CHAIN)) as session:
        for name in INPUTS:
            source = folder / name
            source.mkdir()
            (source / "program.wasm").write_bytes(wasmtime.wat2wasm(PROGRAM))
            (source / "data.csv").write_bytes(DATA)
            (source / "lilypad_module.json").write_text(json.dumps(manifest(name)))
            plan = plan_publication(session, source)
            publish(session, plan)
            versions[name] = VersionId(plan.version)
        yield Desk(network, session, versions, _shared(session, folder))


def _shared(session: Session, folder: Path) -> str:
    """The data that the members want to have looked at, where providers find it; its CID."""
    store = LocalStore(folder / "store", durable=False)
    root = add_bytes(store, DATA)
    client = SolverClient(session.settings.solvers[0], signer_from_test_mnemonic(ROLES[OWNER], CHAIN), 10.0)
    client.put_content(root, store, PUBLIC)
    client.close()
    return str(root)


def until(what: Callable[[], bool], seconds: float = WAIT_S) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.3)


def test_examples__asked_on_the_devnet__are_answered_by_real_agents_and_pay_them(desk: Desk) -> None:
    """beh:F1 beh:F4 beh:F12 beh:F14: a feed, a raffle by a verified run, an NFT and a DAO, with nobody's help."""
    now = int(desk.session.chain.now())
    raffle = desk.deploy("Raffle", desk.terms("raffle", verified=True), ONE, now + 4)
    desk.send(raffle, "buy")
    feed = desk.deploy("PriceFeed", desk.terms("feed"), 600)
    desk.send(feed, "fund", 10 * ONE)
    nft = desk.deploy("ModuleNft", desk.terms("nft"))
    dao = desk.deploy("AnalysisDao", desk.terms("dao"), [desk.owner])
    desk.send(dao, "fund", 10 * ONE)
    desk.send(dao, "propose", "how many?", desk.data_cid, 10 * ONE)
    desk.send(dao, "vote", 0)
    asked = {
        "feed": desk.requests(desk.send(feed, "update")),
        "nft": desk.requests(desk.send(nft, "mint", 'a "quoted" cow\n')),
        "dao": desk.requests(desk.send(dao, "start", 0)),
    }
    until(lambda: int(desk.session.chain.now()) > now + 4)
    desk.send(raffle, "close")
    until(lambda: int(desk.session.chain.rpc.request("eth_blockNumber"), 16) > raffle.call("seedBlock"))
    asked["raffle"] = desk.requests(desk.send(raffle, "draw"))
    requests = [request for found in asked.values() for request in found]
    assert len(requests) == 4
    until(desk.delivered(*requests))
    assert {desk.outcome(request) for request in requests} == {(RequestState.DELIVERED, JobOutcome.FULFILLED)}

    assert feed.call("read")[0] == 4200
    assert raffle.call("winner") == desk.owner
    blocks = Blocks()
    root = put_tree(blocks, FILES)
    assert nft.call("tokenURI", 1) == f"ipfs://{root}/metadata.json"
    proof, _ = follow(blocks, root.digest, [b"answer.json"])
    desk.send(dao, "prove", 0, proof, [b"answer.json"], FILES["answer.json"], role="creator7")
    assert dao.call("fileOf", 0, [b"answer.json"]) == FILES["answer.json"]
    for contract in (feed, raffle, nft, dao):
        assert desk.session.chain.core.call("accountOf", desk.token.address, contract.address)[1] == 0, "nothing stays locked"


def test_ten_requests__every_agent_killed_in_between__are_answered_once_each(desk: Desk) -> None:
    """beh:F7 flt:F33: solver and providers end as by a power cut, while ten requests wait, run or are to be delivered.

    A result has to be settled within the judge window and half a minute. Five requests and three restarts take that long on geth.
    """
    network = desk.network
    nft = desk.deploy("ModuleNft", desk.terms("nft", judge_s=int(seconds_on(anvil=5, geth=45))))
    agents = [part for part in network.record.parts if part == "solver" or part.startswith("provider")]
    assert len(agents) == 3
    first = [request for number in range(5) for request in desk.requests(desk.send(nft, "mint", f"number {number}"))]
    until(lambda: any(desk.session.chain.core.call("jobNonce", nft.address, nonce)[0] for nonce in range(1, 6)))
    for part in agents:
        network.kill(part)
    second = [request for number in range(5, 10) for request in desk.requests(desk.send(nft, "mint", f"number {number}"))]
    for part in agents:
        network.restart(part)
    requests = first + second
    assert len(set(requests)) == 10
    until(desk.delivered(*requests), seconds_on(anvil=90, geth=180))
    assert {desk.outcome(request) for request in requests} == {(RequestState.DELIVERED, JobOutcome.FULFILLED)}
    topic = hex_of(desk.jobs.abi.event("JobDelivered").topic)
    query = {"address": desk.jobs.address, "fromBlock": "0x0", "topics": [topic, [hex_of(request) for request in requests]]}
    delivered = [log["topics"][1] for log in desk.session.chain.rpc.request("eth_getLogs", query)]
    assert sorted(delivered) == sorted(hex_of(request) for request in requests), "each one outcome, once"
    assert desk.session.chain.core.call("accountOf", desk.token.address, nft.address)[:2] == (0, 0)
