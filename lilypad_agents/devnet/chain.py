"""The devnet's chain and the contracts on it: anvil with blocks every second and on every transaction, or geth with the former."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from lilypad_agents.chain.anvil import Anvil, AnvilConfig, find_anvil
from lilypad_agents.chain.development import DevelopmentChain, free_port
from lilypad_agents.chain.deployer import Deployment, RpcSender
from lilypad_agents.chain.deployment_plan import preset
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.errors import DevelopmentChainFailed
from lilypad_agents.chain.geth import GethConfig, endow, find_geth
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.chain.types import ChainId, Notify, silent
from lilypad_agents.devnet.layout import CHAIN_ID, DEFAULT_PORT, DEPLOYER, Layout
from lilypad_agents.devnet.processes import Identity
from lilypad_agents.devnet.record import Part

CHAIN = ChainId(CHAIN_ID)
_ENDOWED = 20  # the first accounts of the test mnemonic, which anvil gives as much
_START_S = 90.0  # geth on a busy machine
_COIN = 10_000 * 10**18


class ChainProgram(StrEnum):
    """What the devnet's chain can be."""

    ANVIL = "anvil"
    GETH = "geth"


@dataclass(frozen=True)
class ChainOptions:
    """`port` None: the usual one, or any free one when that is taken. `block_seconds` None: blocks on transactions only."""

    port: int | None = None
    block_seconds: int | None = 1
    program: ChainProgram = ChainProgram.ANVIL


def start_chain(layout: Layout, options: ChainOptions, checkout: Path | None, search_path: str) -> Part:
    """Starts the chain, detached, with its state in the devnet's folder. Raises DevelopmentChainFailed."""
    layout.log("chain").parent.mkdir(parents=True, exist_ok=True)
    make = _geth if options.program is ChainProgram.GETH else _anvil
    chain = make(layout, options, checkout, search_path)
    chain.start(detach=True, timeout_s=_START_S)
    if options.program is ChainProgram.GETH:
        rpc = Rpc(RpcConfig((chain.url,), CHAIN))
        try:
            endow(rpc, [signer_from_test_mnemonic(index, CHAIN).address for index in range(_ENDOWED)], _COIN)
        finally:
            rpc.close()
    return Part("chain", Identity.of(chain.pid), chain.url, str(layout.log("chain")), folder=str(layout.chain_state.parent))


def _anvil(layout: Layout, options: ChainOptions, checkout: Path | None, search_path: str) -> DevelopmentChain:
    config = AnvilConfig(
        port=_port(options.port),
        chain_id=CHAIN,
        block_time_s=options.block_seconds,
        mixed_mining=options.block_seconds is not None,
        state_file=layout.chain_state,
    )
    return Anvil(find_anvil(checkout, search_path), config, log_file=layout.log("chain"))


def _geth(layout: Layout, options: ChainOptions, checkout: Path | None, search_path: str) -> DevelopmentChain:
    config = GethConfig(layout.chain_state.parent / "geth", port=_port(options.port), block_time_s=options.block_seconds)
    return DevelopmentChain(find_geth(checkout, search_path), config, log_file=layout.log("chain"))


def deploy(layout: Layout, rpc_url: str, randomness: str, notify: Notify = silent) -> AddressBook:
    """Deploys what is missing and returns the address book. `randomness`: where seeds come from, protocol section 6.4."""
    rpc = Rpc(RpcConfig((rpc_url,), CHAIN))
    try:
        sender = RpcSender(rpc, signer_from_test_mnemonic(DEPLOYER, CHAIN), CHAIN)
        parameters = replace(preset("devnet"), randomness=randomness)
        document: Any = Deployment(rpc, sender, parameters, layout.address_book, notify=notify).run()
    finally:
        rpc.close()
    return AddressBook.parse(json.loads(json.dumps(document)), str(layout.address_book))


def _port(wanted: int | None) -> int:
    if wanted:
        return wanted
    import socket

    with socket.socket() as probe:
        probe.settimeout(1.0)
        taken = probe.connect_ex(("127.0.0.1", DEFAULT_PORT)) == 0
    return free_port() if taken else DEFAULT_PORT


__all__ = ["CHAIN", "ChainOptions", "ChainProgram", "DevelopmentChainFailed", "deploy", "start_chain"]
