"""The address book of a deployment: `deployments/<chain id>.json`, read once and checked against the chain.

Form: `{chainId, genesisHash, contracts: {Name: {address, block, txHash, codeHash}}, parameters}`. `codeHash` is the
keccak-256 of the runtime code, immutables included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.codec import Call, to_bytes
from lilypad_agents.chain.errors import ChainReset, DeploymentMismatch
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.types import ChainId
from lilypad_agents.errors import ConfigurationError
from lilypad_agents.protocol.ids import checksummed, keccak256


@dataclass(frozen=True)
class DeployedContract:
    """One contract: checksummed address, block of its creation, hash of its runtime code (32 bytes)."""

    name: str
    address: str
    block: int
    transaction_hash: bytes | None
    code_hash: bytes


@dataclass(frozen=True)
class AddressBook:
    """A deployment on one chain. `parameters` are those of the deploy script, as JSON."""

    chain_id: ChainId
    genesis_hash: bytes
    contracts: Mapping[str, DeployedContract]
    parameters: Mapping[str, Any]
    source: str

    @classmethod
    def load(cls, path: Path) -> AddressBook:
        """Raises ConfigurationError when the file is missing or malformed."""
        try:
            return cls.parse(json.loads(path.read_text(encoding="utf-8")), str(path))
        except OSError as error:
            raise ConfigurationError(
                f"The address book {path} cannot be read: {error.strerror}.",
                hint="Deploy with `ape run deploy`, or name the address book of this chain.",
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"The address book {path} is malformed: {error!r}.") from error

    @classmethod
    def parse(cls, document: Mapping[str, Any], source: str) -> AddressBook:
        """From the JSON document. Raises KeyError, TypeError or ValueError for what does not belong."""
        contracts = {name: _contract(name, entry) for name, entry in document["contracts"].items()}
        return cls(
            chain_id=ChainId(int(document["chainId"])),
            genesis_hash=_word(document["genesisHash"]),
            contracts=MappingProxyType(contracts),
            parameters=MappingProxyType(dict(document.get("parameters", {}))),
            source=source,
        )

    def contract(self, name: str) -> DeployedContract:
        """Raises DeploymentMismatch when the deployment has no such contract."""
        try:
            return self.contracts[name]
        except KeyError:
            raise DeploymentMismatch(f"The address book {self.source} has no contract {name}.", contract=name) from None

    def address(self, name: str) -> str:
        """Checksummed address of a contract. Raises DeploymentMismatch."""
        return self.contract(name).address

    @property
    def first_block(self) -> int:
        """The block from which events can exist."""
        return min((contract.block for contract in self.contracts.values()), default=0)

    def verify(self, rpc: Rpc) -> None:
        """Compares chain id, genesis and every code hash with the chain.

        Raises DeploymentMismatch (other chain id, no code, other code) or ChainReset (other genesis), naming both sides.
        """
        found_id = rpc.chain_id()
        if found_id != self.chain_id:
            raise DeploymentMismatch(
                f"The address book {self.source} is of chain {self.chain_id}, the endpoint serves chain {found_id}.",
                expected=self.chain_id,
                found=found_id,
            )
        genesis = ChainMoment.parse(rpc.request("eth_getBlockByNumber", "0x0", False)).hash
        if genesis != self.genesis_hash:
            raise ChainReset(
                f"The address book {self.source} was written for a chain that began with 0x{self.genesis_hash.hex()}; "
                f"this one began with 0x{genesis.hex()}.",
                hint="The local chain was started anew: deploy again with `ape run deploy`, or run `lilypad devnet reset`.",
                expected="0x" + self.genesis_hash.hex(),
                found="0x" + genesis.hex(),
            )
        contracts = list(self.contracts.values())
        codes = rpc.batch([Call("eth_getCode", (contract.address, "latest")) for contract in contracts])
        for contract, code in zip(contracts, codes, strict=True):
            if isinstance(code, Exception):
                raise code
            self._compare(contract, to_bytes(code))

    def _compare(self, contract: DeployedContract, code: bytes) -> None:
        if not code:
            raise DeploymentMismatch(
                f"There is no code at {contract.address}, where {self.source} has {contract.name}.",
                contract=contract.name,
                address=contract.address,
            )
        found = keccak256(code)
        if found != contract.code_hash:
            raise DeploymentMismatch(
                f"The code of {contract.name} at {contract.address} has hash 0x{found.hex()}, "
                f"but {self.source} expects 0x{contract.code_hash.hex()}; it is not trusted.",
                contract=contract.name,
                address=contract.address,
                expected="0x" + contract.code_hash.hex(),
                found="0x" + found.hex(),
            )


def _contract(name: str, entry: Mapping[str, Any]) -> DeployedContract:
    transaction = entry.get("txHash")
    return DeployedContract(
        name=name,
        address=checksummed(entry["address"]),
        block=int(entry["block"]),
        transaction_hash=_word(transaction) if transaction else None,
        code_hash=_word(entry["codeHash"]),
    )


def _word(text: str) -> bytes:
    value = bytes.fromhex(text.removeprefix("0x"))
    if len(value) != 32:
        raise ValueError(f"{text!r} has not 32 bytes")
    return value
