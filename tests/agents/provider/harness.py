"""A provider in a test's hands: real chain, real contracts, real runs; the test turns the loop."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lilypad_agents.agents.creator.terms import terms_of
from lilypad_agents.agents.provider.agent import ProviderAgent
from lilypad_agents.agents.provider.config import ProviderSettings
from lilypad_agents.agents.provider.results import opened_of
from lilypad_agents.agents.provider.run import assemble
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.logs import Log
from lilypad_agents.agents.runtime.loop import AgentLoop
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.content.importer import add_bytes
from lilypad_agents.execution.inputs import make_inputs
from lilypad_agents.execution.manifest import Manifest, parse_manifest
from lilypad_agents.execution.pack import pack
from lilypad_agents.execution.prepare import prepare
from lilypad_agents.execution.worker import WorkerPool
from lilypad_agents.protocol.consent import Acceptance, Waiver, by_own_key
from lilypad_agents.protocol.deal import Deal, DealState, deal_from_offers
from lilypad_agents.protocol.ids import DealId, ResultDigest, hex_of
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.opening import Pair, opening_of
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms
from tests.agents.provider.relay import Relay
from tests.support.chain import A_BLOCK_S, PROJECT
from tests.support.network import Network, signer

_accounts = itertools.count(40)  # of the test mnemonic, none used twice


@dataclass(frozen=True)
class TestModule:
    """A module that the relay serves."""

    __test__ = False
    manifest: Manifest
    terms: ModuleTerms


@dataclass
class Running:
    """One life of a provider; `until` turns its loop."""

    context: AgentContext
    agent: ProviderAgent
    loop: AgentLoop

    def until(self, condition: Callable[[], bool], seconds: float = 20.0, *, guarded: bool = False) -> None:
        """Turns the loop until the condition holds; fails when the time is over. `guarded`: errors do not end it."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"the provider did not get there; its last words: {self.context.log.seen[-8:]}")
            if guarded:
                self.loop.guarded_cycle()
            else:
                self.loop.cycle()
            self.loop._wake.wait(0.02)
            self.loop._wake.clear()
        time.sleep(A_BLOCK_S)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.loop.cycle()

    def close(self) -> None:
        self.agent.stop()
        self.context.close()


class Lines(Log):
    """A log that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, *, alert: bool = False, **fields: Any) -> None:
        self.seen.append((event, fields))

    def debug(self, event: str, **fields: Any) -> None:
        self.seen.append((event, fields))

    error = debug

    def bind(self, **fields: Any) -> Log:
        return self

    def named(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.seen if name == event]


@dataclass
class Stage:
    """One provider, one creator, one relay; deals are opened by the test itself, as any solver could."""

    network: Network
    relay: Relay
    folder: Path
    provider: LocalSigner = field(default_factory=lambda: signer(next(_accounts)))
    creator: LocalSigner = field(default_factory=lambda: signer(next(_accounts)))
    lines: Lines = field(default_factory=Lines)
    lives: list[Running] = field(default_factory=list)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for account in (self.provider.address, self.creator.address):
            self.network.rpc.request("anvil_setBalance", account, hex(10**20))
        self.network.fund([self.provider.address, self.creator.address])

    # ---- the provider

    def options(self, **changes: Any) -> ProviderSettings:
        values = {
            "data": self.folder / "provider", "state": self.folder / "state", "rpc": self.network.rpc.config.urls,
            "address_book": self.network.book_path, "solver_urls": (self.relay.url,), "selftest": False,
            "durable_content": False, "log_stderr": False, "slots": 2, "min_submit_window": 5,
        }  # fmt: skip
        return ProviderSettings(**(values | dict(self.settings) | changes))

    def start(self, *, crash: CrashPlan = NEVER, desks: bool = True, **changes: Any) -> Running:
        """One life; end it with `close`. A second one finds what the first left."""
        settings = self.options(**changes)
        context = AgentContext.open(settings, signer=self.provider, log=self.lines, crash=crash)
        agent, loop = assemble(context, settings, crash=crash)
        if desks:
            for desk in agent.desks:
                desk.start()
        life = Running(context, agent, loop)
        self.lives.append(life)
        return life

    def close(self) -> None:
        for life in self.lives:
            life.close()

    # ---- modules, offers, deals

    def module(self, name: str = "cowsay") -> TestModule:
        """A shipped module, served by the relay."""
        packed = pack(PROJECT / "modules" / name, signer(9).address)
        return self.publish(packed.manifest, packed.contents)

    def made_module(self, document: Mapping[str, Any], wasm: bytes, **terms: Any) -> TestModule:
        """A module from a manifest as a document, whose artefact is `wasm`."""
        made = dict(document) | {"publisher": signer(9).address}
        made["wasm"] = dict(made["wasm"]) | {"module": str(add_bytes(self.relay.store, wasm))}
        return self.publish(parse_manifest(made), {}, **terms)

    def publish(self, manifest: Manifest, contents: Mapping[str, bytes], **terms: Any) -> TestModule:
        for data in (manifest.canonical, *contents.values()):
            add_bytes(self.relay.store, data)
        from dataclasses import replace

        return TestModule(manifest, replace(terms_of(manifest), **terms))

    def inputs(self, module: TestModule, values: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> bytes:
        """The digest of an inputs document that the relay serves."""
        cids = {name: str(add_bytes(self.relay.store, data)) for name, data in (files or {}).items()}
        inputs = make_inputs(module.manifest, hex_of(module.terms.id), values, cids)
        add_bytes(self.relay.store, inputs.document)
        return inputs.digest

    def pair(self, module: TestModule, inputs: bytes, job: Mapping[str, Any] | None = None, **resource: Any) -> Pair:
        job_offer = self.network.job(self.creator.address, module.terms, inputs=inputs, **(job or {}))
        resource_offer = self.network.resource(self.provider.address, **resource)
        return Pair(
            job_offer, self.network.sign(job_offer, self.creator),
            resource_offer, self.network.sign(resource_offer, self.provider), module.terms, UNVERIFIED,
        )  # fmt: skip

    def open(self, *pairs: Pair) -> list[tuple[DealId, Deal]]:
        """Opens deals through the core, as a solver would."""
        opened = []
        for pair in pairs:
            self.network.send(0, "Lilypad", "open", opening_of([pair]))
            deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
            opened.append((deal.id(self.network.domain), deal))
        return opened

    def deal(self, values: Mapping[str, Any] | None = None, *, module: str = "cowsay", **job: Any) -> tuple[DealId, Deal]:
        """An open deal about a shipped module."""
        found = self.module(module)
        default = {"cowsay": {"Message": "moo"}, "primes": {"Limit": 100}}[module]
        return self.open(self.pair(found, self.inputs(found, values or default), job))[0]

    # ---- looking

    def state(self, deal_id: DealId) -> DealState:
        return DealState.of(self.network.contracts.core.call("dealOf", deal_id))

    def status(self, deal_id: DealId) -> Status:
        return self.state(deal_id).status

    def is_in(self, deal_id: DealId, *statuses: Status) -> Callable[[], bool]:
        return lambda: self.status(deal_id) in statuses

    # ---- the creator

    def result(self, deal_id: DealId) -> Any:
        """The provider's note about its result."""
        return self.relay.of_kind(deal_id, "result")[-1]

    def accept(self, deal_id: DealId, digest: bytes | None = None) -> None:
        self._agree(deal_id, "acceptance", lambda d: Acceptance(deal_id, d), digest)

    def waive(self, deal_id: DealId, digest: bytes | None = None) -> None:
        self._agree(deal_id, "waiver", lambda d: Waiver(deal_id=deal_id, result_digest=d), digest)

    def _agree(self, deal_id: DealId, kind: str, message: Callable[[ResultDigest], Any], digest: bytes | None) -> None:
        digest = digest or bytes.fromhex(self.result(deal_id)["resultDigest"][2:])
        signed = message(ResultDigest(digest))
        argument = by_own_key(self.creator.sign_digest(self.network.domain.digest(signed.struct_hash)))
        self.relay.note(deal_id, kind, {"signature": hex_of(argument)}, self.creator.address)

    def digest_of(self, module: str, values: Mapping[str, Any]) -> bytes:
        """The digest of a deterministic job, by an own run."""
        packed = pack(PROJECT / "modules" / module, signer(9).address)
        inputs = make_inputs(packed.manifest, "0x" + "11" * 32, values, {})
        spec = prepare(packed.manifest, packed.wasm, inputs)
        with WorkerPool(1, self.folder / "creator") as pool:
            result = pool.submit("rerun", spec).wait(30).result
        assert result is not None
        opened, _ = opened_of(packed.manifest, _UNPRICED, result)
        return opened.digest

    def pass_time(self, seconds: int) -> None:
        """Moves the chain's clock; only on a chain of the test's own."""
        self.network.rpc.request("evm_increaseTime", hex(seconds))
        self.network.rpc.request("anvil_mine", "0x1")


@dataclass(frozen=True)
class _Unpriced:
    unit_price: int = 0


_UNPRICED: Any = _Unpriced()
