"""Up, down, status and reset of the devnet. Every step looks first and does only what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.chain.abi import Abi
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.deployment_plan import BLOCK_HASH, COMMIT_REVEAL, SOURCES
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.development import free_port
from lilypad_agents.chain.lock import ProcessLock
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.content.store import LocalStore
from lilypad_agents.devnet.agents import (
    AgentSpec,
    cheater_spec,
    mediator_specs,
    provider_specs,
    seeds_specs,
    solver_spec,
    start_agent,
    wait_for,
    wait_ready,
    write_creator_settings,
)
from lilypad_agents.devnet.chain import CHAIN, ChainOptions, ChainProgram, deploy, start_chain
from lilypad_agents.devnet.errors import DevnetPartFailed, ModulesMissing
from lilypad_agents.devnet.funding import CREATOR_GRANT, PROVIDER_GRANT, Grant, address_of, fund, give_coin, mediated_pool, stake
from lilypad_agents.devnet.layout import (
    CHEATER,
    CREATOR,
    FIRST_PROVIDER,
    MEDIATORS,
    MORE_CREATORS,
    PUBLISHER,
    SECOND_PROVIDER,
    SEEDS,
    Layout,
    find_checkout,
)
from lilypad_agents.devnet.processes import STOP_SECONDS, stop
from lilypad_agents.devnet.publishing import Published, pack_modules, register, write_list
from lilypad_agents.devnet.record import Record
from lilypad_agents.errors import ConfigurationError, LilypadError
from lilypad_agents.protocol.terms import PoolTerms

Say = Callable[[str], None]
_ORDER = (  # of stopping
    "cheater", "provider2", "provider1", *(f"mediator{n}" for n in range(9, 0, -1)),
    *(f"seeds{n}" for n in range(len(SEEDS), 0, -1)), "solver", "chain",
)  # fmt: skip
_STOP_S = {"chain": 60.0}  # it writes its state, and one that is killed meanwhile has none
# What a process needs of the environment; settings of the user's shell must not reach the devnet's agents.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT")


@dataclass(frozen=True)
class Options:
    """`port` and `block_seconds` of the chain; `modules`: folder of what is published (None: that of the checkout).

    `mediators`: how many have a stake; the last `absent` of them do not run, the `lazy` before those vote what they are
    told. `cheater`: a third provider, which lies. `chain`: the program; None: what it was before, at first anvil.
    `randomness`: where seeds come from; None: as before, at first from block hashes.
    """

    port: int | None = None
    block_seconds: int | None = 1
    modules: Path | None = None
    providers: int = 2
    mediators: int = 3
    lazy: int = 0
    absent: int = 0
    cheater: bool = False
    chain: ChainProgram | None = None
    randomness: str | None = None


class Devnet:
    """The devnet in one folder. `package`: where this software lies, for finding its checkout."""

    def __init__(self, folder: Path, package: Path, environment: Mapping[str, str], say: Say = lambda text: None) -> None:
        self.layout = Layout(folder.absolute())
        self._package = package
        self._environment = environment
        self._say = say

    # ---- commands

    def up(self, options: Options = Options()) -> Record:
        """Starts what does not run and returns when everything is ready; what runs is left alone.

        Raises DevelopmentChainFailed, DevnetPartFailed, ModulesMissing, AlreadyRunning when another `up` is at work,
        ConfigurationError when the options do not fit each other, or what is deployed.
        """
        with self._locked():
            randomness = self._randomness(options)
            record = self._chain(self.record() or Record(0, ""), options)
            book = self._deployed(record, randomness)
            with closing(Rpc(RpcConfig((record.rpc_url,), CHAIN))) as rpc:
                chain = CreatorChain(rpc, book)
                self._fund(chain, options)
                published = self._publish(chain, options)
                record = self._solver(record)
                write_creator_settings(self.layout, record.rpc_url, record.solver_url, mediated_pool(book))
                self._serve(record, published)
            record = self._agents(record, options)
            self._wait_for_offers(record, options)
            self._wait_for_seeds(record)
            record = replace(record, ready=True)
            record.save(self.layout.record)
            return record

    def down(self) -> tuple[str, ...]:
        """Stops the processes that this devnet started, the chain last; returns their names. Its state stays."""
        with self._locked():
            return self._stop_all()

    def reset(self) -> tuple[str, ...]:
        """Stops everything and forgets everything."""
        with self._locked():
            stopped = self._stop_all()
            for entry in self.layout.folder.iterdir():
                if entry != self.layout.lock:
                    shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink(missing_ok=True)
            return stopped

    def record(self) -> Record | None:
        """What the devnet noted of itself; None when there is none."""
        return Record.load(self.layout.record)

    def restart(self, name: str) -> Record:
        """Starts one agent again that was killed or stopped; for trying out bad days. Raises DevnetPartFailed."""
        with self._locked():
            record = self.record()
            if record is None or name not in record.parts:
                raise DevnetPartFailed(f"The devnet has no part {name}.", part=name)
            specs = {spec.name: spec for spec in self._specs(record)}
            if name not in specs:
                raise DevnetPartFailed(f"{name} is no agent; `lilypad devnet up` starts the chain again.", part=name)
            stop(record.parts[name].identity)
            record = self._start(record, specs[name], record.parts[name].url if name == "solver" else None)
            record.save(self.layout.record)
            return record

    # ---- steps of up

    def _chain(self, record: Record, options: Options) -> Record:
        if record.alive("chain"):
            self._say(f"chain      runs at {record.rpc_url}")
            return record
        if any(record.alive(name) for name in record.parts):
            self._stop_all()  # agents of a chain that is gone would only see a broken one
        checkout = find_checkout(Path.cwd(), self._package)
        port = options.port or record.port or None
        program = options.chain or ChainProgram(record.chain)
        wanted = ChainOptions(port if _is_free(port) else None, options.block_seconds, program)
        part = start_chain(self.layout, wanted, checkout, self._environment.get("PATH", ""))
        found = Record(int(part.url.rpartition(":")[2]), part.url, MappingProxyType({"chain": part}), chain=program)
        found.save(self.layout.record)
        self._say(f"chain      started at {found.rpc_url}")
        return found

    def _deployed(self, record: Record, randomness: str) -> AddressBook:
        before = self.layout.address_book.is_file()
        book = deploy(self.layout, record.rpc_url, randomness)
        self._say(f"contracts  {len(book.contracts)} {'checked' if before else 'deployed'}, core {book.address('Lilypad')}")
        return book

    def _fund(self, chain: CreatorChain, options: Options) -> None:
        grants: dict[int, Grant] = {CREATOR: CREATOR_GRANT, **dict.fromkeys(MORE_CREATORS, CREATOR_GRANT)}
        grants |= dict.fromkeys((FIRST_PROVIDER, SECOND_PROVIDER)[: options.providers], PROVIDER_GRANT)
        if options.cheater:
            grants[CHEATER] = PROVIDER_GRANT
        funded = fund(chain, grants)
        staked = stake(chain, MEDIATORS[: options.mediators])
        give_coin(chain, [spec.account for spec in self._seeds()])
        if funded or staked:
            self._say(f"accounts   {len(funded)} funded, {len(staked)} mediators staked, the pool's audit fund seeded")

    def _publish(self, chain: CreatorChain, options: Options) -> list[Published]:
        folder = options.modules or self._modules_folder()
        store = LocalStore(self.layout.folder / "publisher" / "content", durable=False)
        published = pack_modules(folder, address_of(PUBLISHER), store)
        new = register(chain, published)
        write_list(self.layout.aliases, published, address_of(PUBLISHER))
        self._say(f"modules    {', '.join(module.label for module in published)}" + (" published" if new else ""))
        return published

    def _modules_folder(self) -> Path:
        checkout = find_checkout(Path.cwd(), self._package)
        if checkout is None:
            raise ModulesMissing("There is no folder `modules` here or above.")
        return checkout / "modules"

    def _solver(self, record: Record) -> Record:
        if record.alive("solver"):
            self._say(f"solver     runs at {record.solver_url}")
            return record
        url = record.parts["solver"].url if "solver" in record.parts else ""
        port = int(url.rpartition(":")[2]) if url else free_port()
        port = port if _is_free(port) else free_port()
        record = self._start(record, solver_spec(port), f"http://127.0.0.1:{port}")
        self._say(f"solver     started at {record.solver_url}")
        return record

    def _serve(self, record: Record, published: list[Published]) -> None:
        """Puts what is public about the modules onto the solver's relay."""
        from lilypad_agents.agents.solver.client import SolverClient
        from lilypad_agents.agents.solver.wire import PUBLIC, ContentKind
        from lilypad_agents.chain.keys import signer_from_test_mnemonic

        store = LocalStore(self.layout.folder / "publisher" / "content", durable=False)
        with SolverClient(record.solver_url, signer_from_test_mnemonic(PUBLISHER, CHAIN)) as client:
            for module in published:
                for index, root in enumerate(module.roots):
                    client.put_content(root, store, PUBLIC, ContentKind.OTHER if index else ContentKind.MANIFEST)

    def _agents(self, record: Record, options: Options) -> Record:
        """All are started before the first is waited for: they come up side by side."""
        started = []
        for spec in self._wanted(record, options):
            if record.alive(spec.name):
                self._say(f"{spec.name:<10} runs")
            else:
                started.append((spec, start_agent(self.layout, spec, record.rpc_url, self._clean_environment())))
        for spec, identity in started:
            record = record.with_part(wait_ready(self.layout, spec, identity))
            record.save(self.layout.record)
            self._say(f"{spec.name:<10} started")
        return record

    def _wait_for_offers(self, record: Record, options: Options) -> None:
        """Ready means that somebody would take a job of the default pool now."""
        from lilypad_agents.agents.solver.client import SolverClient
        from lilypad_agents.chain.keys import signer_from_test_mnemonic

        providers = [spec for spec in self._wanted(record, options) if spec.role == "provider"]
        if not providers:
            return
        pool, wanted = self._pool(), {address_of(spec.account) for spec in providers}
        with SolverClient(record.solver_url, signer_from_test_mnemonic(CREATOR, CHAIN)) as client:

            def offered() -> bool:
                try:
                    page = client.offers(kind="resource", state="open")
                except LilypadError:
                    return False
                return wanted <= {view.account for view in page.items if view.matching and view.offer.pool == pool.id}

            last = providers[-1].name
            wait_for(self.layout, last, record.parts[last].identity, offered)

    def _wait_for_seeds(self, record: Record) -> None:
        """Ready means that there will be a seed for what is submitted now: a deal without one is audited."""
        participants = self._seeds()
        if not participants:
            return
        name, last = SOURCES[COMMIT_REVEAL], participants[-1].name
        with closing(Rpc(RpcConfig((record.rpc_url,), CHAIN))) as rpc:
            source = Contract(AddressBook.load(self.layout.address_book).address(name), Abi.load(name), rpc)

            def committed() -> bool:
                return int(source.call("participantsOf", source.call("currentPeriod") + 1)[0]) >= len(participants)

            wait_for(self.layout, last, record.parts[last].identity, committed)

    # ---- helpers

    def _pool(self) -> PoolTerms:
        return mediated_pool(AddressBook.load(self.layout.address_book))

    def _wanted(self, record: Record, options: Options) -> list[AgentSpec]:
        """Agents that should run beside the solver; what an earlier `up` started is wanted again."""
        url, pool = record.solver_url, self._pool()
        found = list(mediator_specs(url, pool, options.mediators - options.absent, options.lazy))
        found += provider_specs(url, pool)[: options.providers]
        found += [cheater_spec(url, pool)] if options.cheater else []
        found += self._seeds()
        names = {"solver", *(spec.name for spec in found)}
        return found + [spec for spec in self._specs(record) if spec.name in record.parts and spec.name not in names]

    def _specs(self, record: Record) -> tuple[AgentSpec, ...]:
        url, pool = record.solver_url, self._pool()
        return (
            solver_spec(int(url.rpartition(":")[2])),
            *provider_specs(url, pool),
            cheater_spec(url, pool),
            *mediator_specs(url, pool, len(MEDIATORS), 0),
            *self._seeds(),
        )

    def _randomness(self, options: Options) -> str:
        """The source of seeds of this devnet: a deployment keeps its own. Raises ConfigurationError."""
        before = self._deployed_randomness()
        wanted = options.randomness or before or BLOCK_HASH
        if before not in (None, wanted):
            raise ConfigurationError(
                f"The seeds of this devnet come from {before}, not {wanted}; a deployment's source cannot be changed.",
                hint="`lilypad devnet reset` starts from nothing; --dir starts another one beside it.",
            )
        if wanted == COMMIT_REVEAL and options.block_seconds is None:
            # Its periods are seconds of block time: without blocks none ends, nothing is revealed and no deal is decided.
            raise ConfigurationError(
                f"Seeds by {COMMIT_REVEAL} need a chain whose time goes on; --instant mines on transactions only.",
                hint="Leave out --instant.",
            )
        return wanted

    def _deployed_randomness(self) -> str | None:
        book = self.layout.address_book
        return str(AddressBook.load(book).parameters["randomness"]) if book.is_file() else None

    def _seeds(self) -> tuple[AgentSpec, ...]:
        return seeds_specs() if self._deployed_randomness() == COMMIT_REVEAL else ()

    def _start(self, record: Record, spec: AgentSpec, url: str | None) -> Record:
        identity = start_agent(self.layout, spec, record.rpc_url, self._clean_environment())
        record = record.with_part(wait_ready(self.layout, spec, identity, url))
        record.save(self.layout.record)
        return record

    def _stop_all(self) -> tuple[str, ...]:
        record = self.record()
        if record is None:
            return ()
        names = [name for name in _ORDER if name in record.parts]
        stopped = tuple(name for name in names if stop(record.parts[name].identity, _STOP_S.get(name, STOP_SECONDS)))
        replace(record, ready=False).save(self.layout.record)
        return stopped

    def _clean_environment(self) -> dict[str, str]:
        return {name: value for name, value in self._environment.items() if name in _KEPT}

    def _locked(self) -> ProcessLock:
        return ProcessLock(self.layout.lock, f"devnet in {self.layout.folder}").acquire()


def _is_free(port: int | None) -> bool:
    if not port:
        return False
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
