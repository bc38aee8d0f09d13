"""What a creator's command works with: chain, key, solver, lists, store and journal, each opened when it is first used.

Nothing is signed before chain id, genesis and the code of the contracts were compared with the address book, and the
solver was found to serve the same core on the same chain.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lilypad_agents.agents.creator.aliases import AliasList
from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.agents.creator.chainlists import read_list
from lilypad_agents.agents.creator.errors import SolverDisagrees
from lilypad_agents.agents.creator.journal import Journal
from lilypad_agents.agents.creator.modules import ModuleResolver
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.agents.creator.wallet import Wallet
from lilypad_agents.agents.runtime.lists import parse_list
from lilypad_agents.agents.runtime.settings import AgentSettings
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.errors import KeyUnusable
from lilypad_agents.chain.keys import Signer, signer_from_ape, signer_from_keystore, signer_from_test_mnemonic
from lilypad_agents.chain.outbox import OutboxConfig
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.chain.types import ChainId, Notify, Wei, silent
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.sources import Source, fetch_blocking
from lilypad_agents.content.errors import BlockMismatch, BlockMissing, InvalidBlock
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.store import LocalStore
from lilypad_agents.errors import ConfigurationError, LilypadError
from lilypad_agents.execution.manifest import MAX_MANIFEST_BYTES
from lilypad_agents.protocol.ids import Address

if TYPE_CHECKING:
    from lilypad_agents.agents.solver.client import SolverClient, SolverInfo

_GWEI = 10**9
_FETCH_S = 60.0
_QUICK_S = 3.0


class Session:
    """Use as a context manager, or `close` it.

    `signer`: a key, or what makes one for a chain once it is needed; None: the key that the settings name.
    """

    def __init__(
        self,
        settings: CreatorSettings,
        *,
        signer: Signer | Callable[[ChainId], Signer] | None = None,
        notify: Notify = silent,
        crash: CrashPlan = NEVER,
    ) -> None:
        self.settings = settings
        self.notify = notify
        self.crash = crash
        self._given_signer = signer
        self._stack = ExitStack()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stack.close()

    # ---- chain and key

    @cached_property
    def book(self) -> AddressBook:
        return AddressBook.load(self.settings.address_book)

    @cached_property
    def rpc(self) -> Rpc:
        rpc = Rpc(RpcConfig(self.settings.rpc, self.book.chain_id), notify=self.notify)
        self._stack.callback(rpc.close)
        return rpc

    @cached_property
    def chain(self) -> CreatorChain:
        """Raises DeploymentMismatch, ChainReset, WrongChain, ChainUnreachable."""
        self.book.verify(self.rpc)
        return CreatorChain(self.rpc, self.book)

    @cached_property
    def token(self) -> Token:
        return self.chain.token()

    @cached_property
    def signer(self) -> Signer:
        given = self._given_signer
        if given is None:
            return load_signer(self.settings, self.book.chain_id)
        return given(self.book.chain_id) if callable(given) else given

    @property
    def account(self) -> Address:
        return Address(self.signer.address)

    @cached_property
    def wallet(self) -> Wallet:
        settings = self.settings
        fees = OutboxConfig(
            confirmations=settings.confirmations,
            fee_cap=Wei(settings.fee_cap_gwei * _GWEI),
            urgent_fee_cap=Wei(settings.urgent_fee_cap_gwei * _GWEI),
        )
        return Wallet(self.chain, self.signer, self.folder, settings.state, fees, self.notify, self.crash)

    # ---- own data

    @cached_property
    def folder(self) -> Path:
        """The data of this account on this chain."""
        folder = self.settings.data / str(self.book.chain_id) / self.account.lower()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    @cached_property
    def journal(self) -> Journal:
        journal = Journal.open(self.folder / "journal.sqlite")
        self._stack.callback(journal.close)
        return journal

    @cached_property
    def store(self) -> LocalStore:
        """Content of all accounts: what is addressed by its hash has no owner."""
        settings = self.settings
        return LocalStore(settings.data / "content", reserve_bytes=settings.reserve_bytes, durable=False)

    # ---- others

    @cached_property
    def lists(self) -> tuple[AliasList, ...]:
        """Each from its file, or from the chain. Raises ConfigurationError, ListUnknown, ListBroken, errors of the chain."""
        return tuple(
            AliasList.load(Path(text).expanduser()) if (reference := parse_list(text)) is None else read_list(self.chain, reference).aliases
            for text in self.settings.lists
        )

    @cached_property
    def modules(self) -> ModuleResolver:
        return ModuleResolver(self.lists, self.chain, self.fetch_manifest)

    @cached_property
    def solver(self) -> SolverClient:
        """The first configured solver that answers and serves our core. Raises ConfigurationError, SolverDisagrees."""
        return self._solver_and_info[0]

    @cached_property
    def quick_solver(self) -> SolverClient:
        """The same solver, for questions that are asked again anyway: gives up soon when it is away."""
        from lilypad_agents.agents.solver.client import SolverClient

        client = SolverClient(self.solver.base_url, self.signer, _QUICK_S)
        self._stack.callback(client.close)
        return client

    @property
    def solver_info(self) -> SolverInfo:
        return self._solver_and_info[1]

    @cached_property
    def _solver_and_info(self) -> tuple[SolverClient, SolverInfo]:
        from lilypad_agents.agents.solver.client import SolverClient

        if not self.settings.solvers:
            raise ConfigurationError(
                "No solver is configured.", hint="Set `solvers` in the table [creator] of the settings file."
            )
        failure: LilypadError | None = None
        for url in self.settings.solvers:
            client = SolverClient(url, self.signer)
            try:
                info = client.info()
            except LilypadError as error:
                failure = failure or error
                client.close()
                continue
            self._stack.callback(client.close)
            domain = self.chain.domain
            if (int(info.chain_id), info.core) != (domain.chain_id, domain.core):
                raise SolverDisagrees(
                    f"The solver {url} serves the core {info.core} on chain {info.chain_id}, "
                    f"this network has {domain.core} on chain {domain.chain_id}.",
                    url=url,
                )
            return client, info
        assert failure is not None
        raise failure

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where public content is asked for."""
        return tuple(Source(url) for url in self.settings.solvers)

    def fetch_manifest(self, cid: Cid) -> bytes:
        """The raw block of a manifest, from the store or the solvers. Raises ContentUnavailable."""
        return self.fetch_public(cid, Limits(max_bytes=MAX_MANIFEST_BYTES, max_entries=1, max_depth=1))

    def fetch_public(self, cid: Cid, limits: Limits) -> bytes:
        """A public file in one piece. A copy here that was damaged is never used: the store drops it, and it is fetched anew."""
        from lilypad_agents.content.reader import read_file

        if self.store.has(cid) and cid.is_raw:
            try:
                return read_file(self.store, cid, limits.max_bytes)
            except (BlockMissing, InvalidBlock, BlockMismatch):
                pass
        fetch_blocking(self.store, cid, self.sources, limits=limits, seconds=_FETCH_S)
        return read_file(self.store, cid, limits.max_bytes)


def load_signer(settings: AgentSettings, chain_id: ChainId) -> Signer:
    """The key that the settings name. Raises KeyUnusable, also when they name none or several."""
    named = [name for name in ("keystore", "ape_account", "test_account") if getattr(settings, name) is not None]
    if len(named) != 1:
        raise KeyUnusable(
            f"The settings name {len(named) or 'no'} keys; exactly one is needed.",
            hint="Give --account, or set keystore and password_file; see `lilypad account --help`.",
            found=named,
        )
    if settings.test_account is not None:
        return signer_from_test_mnemonic(settings.test_account, chain_id)
    if settings.password_file is None:
        raise KeyUnusable("The key file needs a password file.", hint="Set password_file, or give --password-file.")
    if settings.keystore is not None:
        return signer_from_keystore(settings.keystore, settings.password_file)
    assert settings.ape_account is not None
    return signer_from_ape(Path.home() / ".ape", settings.ape_account, settings.password_file)
