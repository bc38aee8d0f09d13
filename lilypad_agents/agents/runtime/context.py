"""Everything an agent works with, opened in a fixed order: locks, chain and code hashes, key, database, outbox, cursor.

Nothing is signed before chain id, genesis and the code of every contract were compared with the address book.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lilypad_agents.agents.runtime import memory
from lilypad_agents.agents.runtime.dealbook import DealBook
from lilypad_agents.agents.runtime.disputes import MEDIATION
from lilypad_agents.agents.runtime.health import Health
from lilypad_agents.agents.runtime.logs import Log, open_log, standard_error
from lilypad_agents.agents.runtime.settings import AgentSettings
from lilypad_agents.chain.abi import Abi, ErrorTable
from lilypad_agents.chain.clock import ChainMoment, read_moment
from lilypad_agents.chain.codec import Call
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.errors import KeyUnusable
from lilypad_agents.chain.keys import Signer, signer_from_ape, signer_from_keystore, signer_from_test_mnemonic
from lilypad_agents.chain.lock import lock_folder, lock_key
from lilypad_agents.chain.logs import CursorConfig, EventSource, LogCursor
from lilypad_agents.chain.outbox import Outbox, OutboxConfig
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.chain.types import ChainId, Wei
from lilypad_agents.content.store import LocalStore
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.ids import Address
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.units import Bps, Seconds, Timestamp

CORE, RESOLVER = "Lilypad", "LilypadResolver"
_GWEI = 10**9
_KEPT_TIMES = 4_096


class Contracts:
    """The contracts of a deployment by name; reverts of all of them decode by `errors`."""

    def __init__(self, book: AddressBook, rpc: Rpc) -> None:
        self.book = book
        self._abis = {name: Abi.load(name) for name in book.contracts}
        self._rpc = rpc
        self.errors = ErrorTable.of(*self._abis.values())
        self._made: dict[str, Contract] = {}

    def __getitem__(self, name: str) -> Contract:
        """Raises DeploymentMismatch when the deployment has no such contract."""
        if name not in self._made:
            self._made[name] = Contract(self.book.address(name), self._abis[name], self._rpc, self.errors)
        return self._made[name]

    def __contains__(self, name: str) -> bool:
        return name in self.book.contracts

    @cached_property
    def core(self) -> Contract:
        return self[CORE]

    @cached_property
    def resolver(self) -> Contract:
        return self[RESOLVER]


class BlockTimes:
    """Timestamps of blocks by hash, asked for in batches and remembered."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._known: OrderedDict[bytes, int] = OrderedDict()

    def learn(self, block_hash: bytes, timestamp: int) -> None:
        """`timestamp`: of the block, unix seconds."""
        self._known[block_hash] = timestamp
        while len(self._known) > _KEPT_TIMES:
            self._known.popitem(last=False)

    def __call__(self, blocks: Iterable[tuple[int, bytes]]) -> Mapping[bytes, int]:
        """Timestamps by block hash. Raises RpcError for a block that the chain lost meanwhile, ChainUnreachable."""
        wanted = sorted({hash_ for _, hash_ in blocks})
        found = {hash_: self._known[hash_] for hash_ in wanted if hash_ in self._known}
        missing = [hash_ for hash_ in wanted if hash_ not in found]
        answers = self._rpc.batch([Call("eth_getBlockByHash", ("0x" + hash_.hex(), False)) for hash_ in missing])
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            moment = ChainMoment.parse(answer)
            self.learn(moment.hash, moment.timestamp)
            found[moment.hash] = moment.timestamp
        return found


@dataclass
class AgentContext:
    """What an agent works with. `head` is the block that the present cycle sees; all time in decisions is its time."""

    settings: AgentSettings
    signer: Signer
    rpc: Rpc
    book: AddressBook
    contracts: Contracts
    domain: Domain
    parameters: Parameters
    database: Database
    outbox: Outbox
    cursor: LogCursor
    deals: DealBook
    store: LocalStore
    health: Health
    log: Log
    times: BlockTimes
    head: ChainMoment
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)

    @property
    def address(self) -> Address:
        """The agent's own account."""
        return Address(self.signer.address)

    @property
    def core(self) -> Contract:
        return self.contracts.core

    @property
    def resolver(self) -> Contract:
        return self.contracts.resolver

    @property
    def now(self) -> Timestamp:
        """Block time, unix seconds."""
        return Timestamp(self.head.timestamp)

    @property
    def data(self) -> Path:
        return self.settings.data

    @classmethod
    def open(
        cls,
        settings: AgentSettings,
        *,
        signer: Signer | None = None,
        all_deals: bool = False,
        log: Log | None = None,
        crash: CrashPlan = NEVER,
    ) -> AgentContext:
        """Opens everything or nothing. `all_deals`: the book takes everybody's deals, not only this account's.

        Raises AlreadyRunning, ConfigurationError kinds (address book, other chain, other code, key), ChainUnreachable,
        DatabaseCorrupt and its kin, before anything is signed.
        """
        memory.use_few_arenas()
        with ExitStack() as stack:
            prepare_folder(settings.data)
            stack.enter_context(lock_folder(settings.data))
            log = log or agent_log(settings)
            book = AddressBook.load(settings.address_book)
            rpc = stack.enter_context(_closing(Rpc(RpcConfig(settings.rpc, book.chain_id), notify=log)))
            book.verify(rpc)
            signer = signer or load_signer(settings, book.chain_id)
            stack.enter_context(lock_key(settings.state, book.chain_id, signer.address))
            log = log.bind(account=signer.address)
            context = _assemble(settings, signer, rpc, book, log, all_deals, crash)
            stack.callback(context.database.close)
            context._stack = stack.pop_all()
        return context

    def close(self) -> None:
        """Gives locks, connections and files back; a second call does nothing."""
        self._stack.close()

    def __enter__(self) -> AgentContext:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def prepare_folder(folder: Path) -> None:
    """Makes the agent's folder, readable by its owner only."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def agent_log(settings: AgentSettings) -> Log:
    return open_log(
        settings.data / "agent.log",
        level=settings.log_level,
        stream=standard_error() if settings.log_stderr else None,
        rotate_bytes=settings.log_file_bytes,
        agent=settings.ROLE or "agent",
        process=os.getpid(),
    )


def load_signer(settings: AgentSettings, chain_id: ChainId) -> Signer:
    """The key that the settings name. Raises KeyUnusable, also when they name none or several."""
    ways = [name for name in ("keystore", "ape_account", "test_account") if getattr(settings, name) is not None]
    if len(ways) != 1:
        raise KeyUnusable(
            f"The settings name {len(ways)} keys; exactly one is needed.",
            hint="Set keystore and password_file, or ape_account, or (local chains only) test_account.",
            found=ways,
        )
    if settings.test_account is not None:
        return signer_from_test_mnemonic(settings.test_account, chain_id)
    if settings.password_file is None:
        raise KeyUnusable("The key needs a password file.", hint="Set password_file.")
    if settings.keystore is not None:
        return signer_from_keystore(settings.keystore, settings.password_file)
    assert settings.ape_account is not None
    return signer_from_ape(Path.home() / ".ape", settings.ape_account, settings.password_file)


def read_parameters(resolver: Contract) -> Parameters:
    """The deployment's parameters from the chain."""
    found = resolver.call("parameters")
    fees, windows = Bps(found[1]), [Seconds(value) for value in found[2:]]
    return Parameters(Address(found[0]), fees, *windows)


def _assemble(
    settings: AgentSettings, signer: Signer, rpc: Rpc, book: AddressBook, log: Log, all_deals: bool, crash: CrashPlan
) -> AgentContext:
    contracts = Contracts(book, rpc)
    head = read_moment(rpc)
    database = Database.open(settings.data / "agent.sqlite")
    try:
        outbox = Outbox(
            database, rpc, signer, book.chain_id, _outbox_config(settings), errors=contracts.errors, notify=log, crash=crash
        )
        read = [contracts.core, contracts.resolver, *(contracts[name] for name in (MEDIATION,) if name in contracts)]
        sources = [EventSource(contract.address, contract.abi) for contract in read]
        times = BlockTimes(rpc)
        cursor = LogCursor(
            database,
            rpc,
            sources,
            start_block=book.contract(CORE).block,
            config=CursorConfig(confirmations=settings.confirmations),
            notify=log,
            crash=crash,
            learn_time=times.learn,
        )
        deals = DealBook(database, cursor, None if all_deals else Address(signer.address), times, log)
        return AgentContext(
            settings=settings,
            signer=signer,
            rpc=rpc,
            book=book,
            contracts=contracts,
            domain=Domain(int(book.chain_id), Address(contracts.core.address)),
            parameters=read_parameters(contracts.resolver),
            database=database,
            outbox=outbox,
            cursor=cursor,
            deals=deals,
            store=LocalStore(
                settings.data / "content", reserve_bytes=settings.reserve_bytes, durable=settings.durable_content
            ),
            health=Health(stall_s=settings.stall_s),
            log=log,
            times=times,
            head=head,
        )
    except BaseException:
        database.close()
        raise


def _outbox_config(settings: AgentSettings) -> OutboxConfig:
    return OutboxConfig(
        confirmations=settings.confirmations,
        fee_cap=Wei(settings.fee_cap_gwei * _GWEI),
        urgent_fee_cap=Wei(settings.urgent_fee_cap_gwei * _GWEI),
        gas_margin_percent=settings.GAS_MARGIN_PERCENT,
    )


class _closing:
    """Closes a client at the end of a stack."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def __enter__(self) -> Rpc:
        return self._rpc

    def __exit__(self, *_: Any) -> None:
        self._rpc.close()
