"""A local chain with the real contracts, funded accounts and signed offers, for tests of agents."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lilypad_agents.agents.runtime.context import Contracts, read_parameters
from lilypad_agents.chain.anvil import Anvil, AnvilConfig, find_anvil
from lilypad_agents.chain.deployer import Deployment, RpcSender
from lilypad_agents.chain.deployment_plan import overridden, preset
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.keys import LocalSigner, Signer, signer_from_test_mnemonic
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.protocol.consent import Domain, by_own_key
from lilypad_agents.protocol.ids import NOBODY, ZERO, Address, keccak256
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.structs import TypedStruct
from lilypad_agents.protocol.terms import ModuleTerms, name_hash
from lilypad_agents.protocol.units import UNLIMITED_VOLUME
from tests.support.chain import CHAIN, PROJECT, mine

TOKEN = 10**18
DEPLOYER = 0  # account of the test mnemonic that deploys and holds the tokens


def signer(index: int) -> LocalSigner:
    return signer_from_test_mnemonic(index, CHAIN)


@dataclass
class Network:
    """A chain with a devnet deployment. Accounts are those of the test mnemonic; they hold coin, and tokens by `fund`."""

    chain: Anvil
    rpc: Rpc
    book_path: Path
    book: AddressBook
    contracts: Contracts
    domain: Domain
    parameters: Parameters
    _nonces: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def token(self) -> Address:
        return Address(self.book.address("LilypadToken"))

    def sender(self, index: int = DEPLOYER) -> RpcSender:
        return RpcSender(self.rpc, signer(index), CHAIN)

    def send(self, index: int, contract: str, function: str, *arguments: Any) -> bytes:
        """A transaction of an account to a contract, mined when this returns; its hash."""
        target = self.contracts[contract]
        return self.sender(index).send(target.address, target.encode(function, *arguments))

    def fund(self, accounts: Sequence[str], amount: int = 1_000 * TOKEN) -> None:
        """Gives each account free credit in the core."""
        core = self.contracts.core.address
        self.send(DEPLOYER, "LilypadToken", "approve", core, amount * len(accounts))
        for account in accounts:
            self.send(DEPLOYER, "Lilypad", "deposit", self.token, amount, account)

    def free(self, account: str) -> int:
        return int(self.contracts.core.call("accountOf", self.token, account)[0])

    def now(self) -> int:
        return int(self.rpc.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def nonce(self) -> int:
        """A nonce that no offer of this network used."""
        return next(self._nonces)

    # ---- offers

    def module(self, **changes: Any) -> ModuleTerms:
        terms = ModuleTerms(
            publisher=Address(signer(9).address), name_hash=name_hash("cowsay", "v0.0.1"), manifest=keccak256(b"manifest"),
            parent=ZERO, royalty_bps=0, royalty_to=Address(signer(9).address), deterministic=True, strategy=NOBODY,
            min_audit_bps=0, min_seat_fee=0, metering=0,
        )  # fmt: skip
        return replace(terms, **changes)

    def job(self, creator: str, module: ModuleTerms, **changes: Any) -> JobOffer:
        offer = JobOffer(
            creator=Address(creator), module=module.id, inputs=keccak256(b"inputs"), token=self.token, max_price=2 * TOKEN,
            max_units=0, cpu_milli=100, ram_mib=64, disk_mib=16, gpu_count=0, vram_mib=0, flags=0, submit_window=60,
            judge_window=20, collateral_bps=10_000, audit_bps=0, pool=ZERO, solver=NOBODY, solver_fee_bps=0,
            provider=NOBODY, expiry=self.now() + 600, nonce=self.nonce(),
        )  # fmt: skip
        return replace(offer, **changes)

    def resource(self, provider: str, **changes: Any) -> ResourceOffer:
        offer = ResourceOffer(
            provider=Address(provider), token=self.token, price=TOKEN, unit_price=0, max_units=10**9, cpu_milli=4_000,
            ram_mib=4_096, disk_mib=10_000, gpu_count=0, vram_mib=0, flags=0, modules=ZERO, max_collateral_bps=200_000,
            min_submit_window=5, max_judge_window=80, pool=ZERO, solver=NOBODY, volume=UNLIMITED_VOLUME,
            expiry=self.now() + 3_600, nonce=self.nonce(),
        )  # fmt: skip
        return replace(offer, **changes)

    def sign(self, message: TypedStruct, key: Signer) -> bytes:
        """The signature argument of an account's own key."""
        return by_own_key(key.sign_digest(self.domain.digest(message.struct_hash)))


def start_network(folder: Path, parameters: Mapping[str, str] | None = None, **options: Any) -> Network:
    """Starts a chain (mines each second and on every transaction) and deploys the contracts.

    `parameters`: what differs from the devnet's, by the names of protocol section 15.
    """
    chosen = {"chain_id": CHAIN, "hardfork": "prague", "mixed_mining": True, "block_time_s": 1} | options
    chain = Anvil(find_anvil(PROJECT), AnvilConfig(**chosen)).start()
    try:
        rpc = Rpc(RpcConfig((chain.url,), CHAIN))
        path = folder / "1337.json"
        if parameters:
            mine(rpc, 16)  # a source of seeds is compared with the chain's last blocks
        wanted = overridden(preset("devnet"), parameters or {})
        document = Deployment(rpc, RpcSender(rpc, signer(DEPLOYER), CHAIN), wanted, path).run()
        book = AddressBook.parse(json.loads(json.dumps(document)), str(path))
        contracts = Contracts(book, rpc)
        domain = Domain(int(CHAIN), Address(contracts.core.address))
        return Network(chain, rpc, path, book, contracts, domain, read_parameters(contracts.resolver))
    except BaseException:
        chain.stop()
        raise


def stop_network(network: Network) -> None:
    network.rpc.close()
    network.chain.stop()
