"""Mediators in a test's hands: real chain, real contracts, real runs. The test is creator and provider, and turns the loops."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from lilypad_agents.agents.creator.terms import terms_of
from lilypad_agents.agents.mediator.agent import MediatorAgent
from lilypad_agents.agents.mediator.earnings import Earnings, read_earnings
from lilypad_agents.agents.mediator.orders import Order, hand_over
from lilypad_agents.agents.mediator.run import assemble
from lilypad_agents.agents.mediator.settings import MediatorSettings
from lilypad_agents.agents.provider.results import Module, job_of, opened_of, store_result
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.loop import AgentLoop
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.deployer import DeploymentFailed
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.content.importer import add_bytes
from lilypad_agents.execution.inputs import Inputs, make_inputs
from lilypad_agents.execution.job import RunResult
from lilypad_agents.execution.manifest import Manifest, parse_manifest
from lilypad_agents.execution.pack import pack
from lilypad_agents.execution.worker import WorkerPool
from lilypad_agents.protocol.deal import Deal, DealState, deal_from_offers
from lilypad_agents.protocol.digest import Opened, commitment
from lilypad_agents.protocol.dispute import NO_SEATING
from lilypad_agents.protocol.ids import ZERO, Address, DealId, hex_of, keccak256
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.mediation import Phase, RoundWord
from lilypad_agents.protocol.opening import Pair, ResultOpening, opening_of
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from tests.agents.provider.harness import Lines
from tests.agents.provider.relay import Relay
from tests.support.chain import A_BLOCK_S, PROJECT
from tests.support.network import TOKEN, Network, signer

T = TypeVar("T")
_accounts = itertools.count(300)  # of the test mnemonic, none used twice
SEAT_STAKE = 100 * TOKEN
SEAT_FEE = TOKEN * 125 // 100


@dataclass
class Life:
    """One life of a mediator."""

    context: AgentContext
    agent: MediatorAgent
    loop: AgentLoop

    def close(self) -> None:
        self.agent.stop()
        self.context.close()


@dataclass
class Mediator:
    """A mediator's account and folder over all its lives."""

    key: LocalSigner
    index: int
    folder: Path
    lines: Lines = field(default_factory=Lines)
    life: Life | None = None

    @property
    def account(self) -> Address:
        return Address(self.key.address)


@dataclass(frozen=True)
class Case:
    """A deal with a posted result. `opened`: what the provider says it is; `data`: sha2-256 root of the data."""

    id: DealId
    deal: Deal
    opened: Opened
    salt: bytes
    data: bytes

    @property
    def opening(self) -> ResultOpening:
        return ResultOpening(self.opened.head, self.opened.content, self.salt)


@dataclass
class Court:
    """A pool of its own per test, on a chain that tests of mediators share."""

    network: Network
    relay: Relay
    folder: Path
    windows: tuple[int, int, int] = (12, 8, 6)  # commit, reveal, appeal, seconds
    fund: int = 200 * TOKEN
    mediators: list[Mediator] = field(default_factory=list)
    _modules: dict[bool, tuple[Manifest, ModuleTerms, Module]] = field(default_factory=dict)
    _runs: dict[bytes, RunResult] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.creator_index, self.provider_index = next(_accounts), next(_accounts)
        self.creator, self.provider = signer(self.creator_index), signer(self.provider_index)
        accounts = [self.creator.address, self.provider.address]
        for account in accounts:
            self.network.rpc.request("anvil_setBalance", account, hex(10**20))
        self.network.fund([*accounts, signer(0).address])
        commit, reveal, appeal = self.windows
        self.pool = PoolTerms(
            Address(self.mediation.address), self.network.token, 5 * TOKEN // 4, SEAT_STAKE, 10 * TOKEN, ZERO, commit, reveal,
            appeal, keccak256(self.folder.name.encode() + self.creator.address.encode()),
        )  # fmt: skip
        self.network.send(0, "Lilypad", "donate", self.pool.strategy, self.network.token, self.pool.id, self.fund)

    @property
    def mediation(self) -> Any:
        return self.network.contracts["LilypadMediation"]

    @property
    def staking(self) -> Any:
        return self.network.contracts["LilypadStaking"]

    # ---- mediators

    def mediator(self, seats: int = 20, *, start: bool = True, **settings: Any) -> Mediator:
        """A new mediator with a stake, which counts in draws when this returns (nobody draws from a new pool)."""
        index = next(_accounts)
        found = Mediator(signer(index), index, self.folder / f"mediator-{index}")
        self.network.rpc.request("anvil_setBalance", found.account, hex(10**20))
        amount = seats * SEAT_STAKE
        self.network.send(0, "LilypadToken", "transfer", found.account, amount + 100 * TOKEN)
        if amount:
            self.network.send(index, "LilypadToken", "approve", self.staking.address, amount)
            self.network.send(index, "LilypadStaking", "stake", self.pool, amount, [])
        self.mediators.append(found)
        if start:
            self.start(found, **settings)
        return found

    def options(self, mediator: Mediator, **changes: Any) -> MediatorSettings:
        values = {
            "data": mediator.folder, "state": self.folder / "state", "rpc": self.network.rpc.config.urls,
            "address_book": self.network.book_path, "solver_urls": (self.relay.url,), "selftest": False,
            "durable_content": False, "log_stderr": False, "slots": 2, "pools": (self.pool,),
        }  # fmt: skip
        return MediatorSettings(**(values | changes))

    def settings_file(self, mediator: Mediator) -> Path:
        """A file with these settings, for commands."""
        path = self.folder / f"{mediator.folder.name}.toml"
        shared = {
            "data": str(mediator.folder), "state": str(self.folder / "state"), "rpc": list(self.network.rpc.config.urls),
            "address_book": str(self.network.book_path), "test_account": mediator.index, "log_stderr": False,
        }  # fmt: skip
        lines = [f"{name} = {json.dumps(value)}" for name, value in shared.items()]
        pool = ", ".join(f"{name} = {json.dumps(value)}" for name, value in self.pool.to_json().items())
        path.write_text("\n".join([*lines, "[mediator]", f"pools = [{{{pool}}}]"]), encoding="utf-8")
        return path

    def start(self, mediator: Mediator, *, crash: CrashPlan = NEVER, **changes: Any) -> Life:
        """One life; a second one finds what the first left."""
        settings = self.options(mediator, **changes)
        context = AgentContext.open(settings, signer=mediator.key, log=mediator.lines, all_deals=True, crash=crash)
        agent, loop = assemble(context, settings, crash=crash)
        mediator.life = Life(context, agent, loop)
        return mediator.life

    def end(self, mediator: Mediator) -> None:
        if mediator.life is not None:
            mediator.life.close()
            mediator.life = None

    def close(self) -> None:
        for mediator in self.mediators:
            self.end(mediator)

    # ---- deals

    def module(self, broken: bool = False) -> tuple[Manifest, ModuleTerms, Module]:
        """Cowsay, served by the relay. `broken`: a version whose artefact is no program."""
        if broken not in self._modules:
            packed = pack(PROJECT / "modules" / "cowsay", signer(9).address)
            manifest, contents = packed.manifest, packed.contents
            if broken:
                made = json.loads(manifest.canonical)
                made["wasm"]["module"] = str(add_bytes(self.relay.store, b"not a program"))
                manifest = parse_manifest(made)
            for data in (manifest.canonical, *contents.values()):
                add_bytes(self.relay.store, data)
            self._modules[broken] = manifest, terms_of(manifest), Module(packed.manifest, packed.wasm, {})
        return self._modules[broken]

    def inputs(self, message: str, manifest: Manifest, terms: ModuleTerms) -> Inputs:
        inputs = make_inputs(manifest, hex_of(terms.id), {"Message": message}, {})
        add_bytes(self.relay.store, inputs.document)
        return inputs

    def submitted(
        self, message: str = "moo", *, change: Callable[[RunResult], RunResult] = lambda result: result, serve: bool = True,
        broken: bool = False, **job: Any,
    ) -> Case:  # fmt: skip
        """A deal, sure to be drawn, whose provider has posted a result: of its run, or of what `change` makes of it."""
        manifest, terms, module = self.module(broken)
        inputs = self.inputs(message, manifest, terms)
        offer = self.network.job(
            self.creator.address, terms, inputs=inputs.digest, pool=self.pool.id, audit_bps=10_000,
            collateral_bps=80_000, max_price=4 * TOKEN, judge_window=70, **job,
        )  # fmt: skip
        resource = self.network.resource(self.provider.address, pool=self.pool.id)
        pair = Pair(
            offer, self.network.sign(offer, self.creator), resource, self.network.sign(resource, self.provider), terms, self.pool
        )
        self.network.send(0, "Lilypad", "open", opening_of([pair]))
        deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
        deal_id = deal.id(self.network.domain)
        result = change(self._run(deal, deal_id, module, inputs))
        opened, _ = opened_of(manifest, deal, result)
        salt = keccak256(b"salt" + deal_id)
        data = store_result(self.relay.store if serve else _Nowhere(), result)
        self.network.send(
            self.provider_index, "Lilypad", "submitResult", deal_id, commitment(deal_id, deal.provider, opened.digest, salt)
        )
        return Case(deal_id, deal, opened, salt, data.digest)

    def _run(self, deal: Deal, deal_id: DealId, module: Module, inputs: Inputs) -> RunResult:
        if inputs.digest not in self._runs:
            with WorkerPool(1, self.folder / "provider") as pool:
                found = pool.submit("run", job_of(deal, deal_id, module, inputs, {})).wait(60).result
                pool.forget("run")
            assert found is not None
            self._runs[inputs.digest] = found
        return self._runs[inputs.digest]

    def challenge(self, case: Case) -> None:
        self.network.send(0, "LilypadResolver", "challenge", case.deal.words)

    def name_data(self, case: Case) -> None:
        """What a provider answers to a delivery challenge."""
        self.network.send(
            self.provider_index, "LilypadMediation", "nameData", case.id, self._seating(case), case.data
        )

    @property
    def no_seating(self) -> Any:
        return NO_SEATING

    def draw(self, case: Case) -> bool:
        """Draws the first round, without any mediator's help; False while the seed is not known."""
        try:
            self.network.send(0, "LilypadMediation", "draw", case.deal.words, self.pool, NO_SEATING)
        except DeploymentFailed:
            return False
        return True

    def override(self, mediator: Mediator, case: Case, *, round_: int, vote: bytes) -> None:
        """The user's word, as the command hands it over."""
        self._order(mediator, Order("vote", deal=case.id, round=round_, vote=vote))

    def ask_appeal(self, mediator: Mediator, case: Case, *, round_: int) -> None:
        self._order(mediator, Order("appeal", deal=case.id, round=round_))

    def _order(self, mediator: Mediator, order: Order) -> None:
        self.beside(lambda: hand_over(mediator.folder, order, 20.0), mine=False)

    def beside(self, work: Callable[[], T], *, mine: bool = True) -> T:
        """Does something as another process would, while the loops turn here."""
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(work)
            self.until(answer.done, mine=mine)
            return answer.result()

    # ---- looking

    def earnings(self, mediator: Mediator) -> Earnings:
        return read_earnings(self.options(mediator), [mediator.account])

    def wallet(self, mediator: Mediator) -> int:
        return int(self.network.contracts["LilypadToken"].call("balanceOf", mediator.account))

    def state(self, case: Case) -> DealState:
        return DealState.of(self.network.contracts.core.call("dealOf", case.id))

    def word(self, case: Case) -> RoundWord | None:
        """The round as it was last written."""
        return RoundWord.unpack(int(self.mediation.call("disputeStateOf", case.id)[0]))

    def ended(self, case: Case) -> bool:
        return self.state(case).status.is_final

    def events(self, name: str, case: Case) -> list[Any]:
        """Arguments of the strategy's events about a deal, in order."""
        event = self.mediation.abi.event(name)
        topics = ["0x" + event.topic.hex(), hex_of(case.id)]
        query = {"address": self.mediation.address, "topics": topics, "fromBlock": "0x0"}
        found = self.network.rpc.request("eth_getLogs", query)
        return [
            event.decode([bytes.fromhex(topic[2:]) for topic in log["topics"]], bytes.fromhex(log["data"][2:]))
            for log in found
        ]

    def pool_events(self, name: str) -> list[Any]:
        """Arguments of staking's events about the court's pool, in order."""
        event = self.staking.abi.event(name)
        query = {
            "address": self.staking.address, "topics": ["0x" + event.topic.hex(), hex_of(self.pool.id)], "fromBlock": "0x0"
        }  # fmt: skip
        return self.network.rpc.request("eth_getLogs", query)

    def stake_of(self, mediator: Mediator) -> int:
        return int(self.staking.call("stakeOf", self.pool.id, mediator.account)[0])

    # ---- time

    def mine(self, blocks: int = 1) -> None:
        self.network.rpc.request("anvil_mine", hex(blocks))

    def pass_time(self, seconds: int) -> None:
        self.network.rpc.request("evm_increaseTime", hex(seconds))
        self.mine()

    def answer(self, case: Case) -> None:
        """What an honest provider does in its own window: it opens, once."""
        word = self.word(case)
        if word is not None and word.phase is Phase.OPEN and not word.opened:
            seating = self._seating(case)
            self.network.send(
                self.provider_index, "LilypadMediation", "open", case.id, seating, tuple(case.opening), case.data
            )

    def _seating(self, case: Case) -> Any:
        return self.events("SeatsDrawn", case)[-1]["seating"]

    def until(
        self, condition: Callable[[], bool], seconds: float = 60.0, *, answers: Sequence[Case] = (), mine: bool = True
    ) -> None:
        """Turns all loops until the condition holds; the provider answers in these cases. `mine`: a block each turn, and a second
        each in which no mediator works.
        """
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                words = {m.index: m.lines.seen[-6:] for m in self.mediators}
                raise TimeoutError(f"the mediators did not get there; their last words: {words}")
            self.turn()
            for case in answers:
                self.answer(case)
            if mine:
                self.mine() if self.is_working else self.pass_time(1)
        time.sleep(A_BLOCK_S)

    @property
    def is_working(self) -> bool:
        """Whether a mediator works on something that takes this machine's time, which the chain's must not overtake."""
        return any(mediator.life.agent.bench.is_busy for mediator in self.mediators if mediator.life is not None)

    def turn(self) -> None:
        for mediator in self.mediators:
            if mediator.life is not None:
                mediator.life.loop.cycle()

    def finish(self, *cases: Case, seconds: float = 90.0) -> None:
        """Until the deals have ended."""
        self.until(lambda: all(self.ended(case) for case in cases), seconds, answers=cases)

    def status(self, case: Case) -> Status:
        return self.state(case).status


class _Nowhere:
    """Takes blocks and keeps none."""

    def put(self, cid: Any, data: bytes) -> None:
        pass


def wrong(result: RunResult) -> RunResult:
    """What a provider returns that did not run the job."""
    return replace(result, stdout=b"something else\n")


