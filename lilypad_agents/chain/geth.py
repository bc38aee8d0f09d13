"""geth in its development mode: a chain that is as strict about fees and replacements as a public one.

anvil takes a replacement at any fee and transactions without a nonce's order; geth does not. It has one funded account of its
own, unlocked inside the node, so the accounts of the test mnemonic get their coin from there (`endow`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lilypad_agents.chain.codec import Call, quantity
from lilypad_agents.chain.deployer import wait_for_receipt
from lilypad_agents.chain.development import free_port
from lilypad_agents.chain.errors import DevelopmentChainFailed
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.types import ChainId

_GAS_LIMIT = 30_000_000
_APIS = "eth,net,web3,debug,txpool"


@dataclass(frozen=True)
class GethConfig:
    """Options of a chain; its id is always 1337. `block_time_s` None mines only when a transaction comes.

    Everything it keeps is below `folder`; what it has not written when it is killed is lost.
    """

    folder: Path
    port: int = 0
    block_time_s: int | None = 1
    host: str = "127.0.0.1"
    extra: tuple[str, ...] = ()

    @property
    def chain_id(self) -> ChainId:
        return ChainId(1337)

    @property
    def keeps(self) -> Path:
        return self.folder

    def arguments(self, port: int) -> list[str]:
        """The command line after the program. The engine's port, which nothing here uses, is any free one."""
        return [
            "--dev", "--dev.period", str(self.block_time_s or 0), "--dev.gaslimit", str(_GAS_LIMIT), "--datadir", str(self.folder),
            "--http", "--http.addr", self.host, "--http.port", str(port), "--http.api", _APIS,
            "--ipcdisable", "--port", "0", "--authrpc.port", str(free_port(self.host)), "--verbosity", "2", *self.extra,
        ]  # fmt: skip


def find_geth(project: Path | None, search_path: str = "") -> Path:
    """The binary: what `make geth` built in `project`, else on `search_path` (a PATH string). Raises DevelopmentChainFailed."""
    folders = [] if project is None else [project / ".geth" / "bin"]
    folders += [Path(folder) for folder in search_path.split(os.pathsep) if folder]
    for folder in folders:
        if os.access(folder / "geth", os.X_OK):
            return folder / "geth"
    raise DevelopmentChainFailed("The chain program geth is missing; `make geth` builds it.")


def endow(rpc: Rpc, accounts: Iterable[str], amount: int) -> list[str]:
    """Gives each of the accounts that has no coin `amount` wei out of the node's own account; returns those.

    Raises ChainUnreachable, RpcError, TransactionTimeout.
    """
    every = list(accounts)
    balances = rpc.batch([Call("eth_getBalance", (account, "latest")) for account in every])
    new = [account for account, balance in zip(every, balances, strict=True) if quantity(balance) == 0]
    (own, *_) = rpc.request("eth_accounts")
    sent = [rpc.request("eth_sendTransaction", {"from": own, "to": account, "value": hex(amount)}) for account in new]
    for transaction in sent:
        wait_for_receipt(rpc, bytes.fromhex(transaction[2:]))
    return new
