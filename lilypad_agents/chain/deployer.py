"""Puts a deployment on a chain, as often as it takes: what is there is checked and kept, what is missing is sent.

Contracts are made by CREATE2 through a factory whose code is known byte by byte, so code at a planned address can only
be the planned code (nobody can occupy it), and a run that was killed at any point is carried on by the next. After each
contract the address book is replaced atomically. Needs no Ape; `scripts/deploy.py` is the same with Ape's accounts.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from eth_utils import keccak, to_checksum_address

from lilypad_agents.chain.abi import ErrorTable
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.codec import Call, quantity, to_bytes
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.deployment_plan import (
    CODE_BYTES_MOST,
    CONTRACTS,
    PREVRANDAO,
    DeploymentParameters,
    PlannedContract,
    completed,
    create2_address,
    create_address,
    load_artefact,
    plan,
    require_sound,
)
from lilypad_agents.chain.errors import ContractReverted, DeploymentMismatch, RpcError, TransactionTimeout
from lilypad_agents.chain.keys import LOCAL_CHAINS, Signer
from lilypad_agents.chain.randomness import chain_has_history, prevrandao_flaw
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.transaction import FeeMarketTransaction
from lilypad_agents.chain.types import ChainId, Notify, Wei, silent
from lilypad_agents.errors import ConfigurationError, InsufficientFunds, LilypadError
from lilypad_agents.protocol.deterrence import PRESETS as VERIFICATION_PRESETS

SCHEMA = "lilypad/deployment@1"
FACTORY = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
# The usual deterministic-deployment proxy: calldata is a salt and creation code; the answer is the new address.
FACTORY_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b"
    "8082525050506014600cf3"
)
_FACTORY_CREATION = bytes.fromhex("604580600e600039806000f350fe") + FACTORY_CODE
# Signed once for all chains, without a chain id, by a key that nobody has; its account must be funded first.
_FACTORY_SIGNER = "0x3fAB184622Dc19b6109349B94811493BF2a45362"
_FACTORY_COST = 10**16
_FACTORY_TRANSACTION = (
    "0xf8a58085174876e800830186a08080b853" + _FACTORY_CREATION.hex() + "1ba0" + "22" * 32 + "a0" + "22" * 32
)
_TRANSFER = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
_OWN_FACTORY_NONCES = 512  # how far back a factory of our own is looked for
_RECEIPT_TIMEOUT_S = 180.0
_RECEIPT_POLL_S = 0.05
_POOL_LAG_S = 10.0


class DeploymentFailed(LilypadError):
    """A transaction of a deployment was refused; figures: contract, reason. What was deployed stays and is kept."""

    code = "deployment-failed"
    hint = "Mend the cause and run the same command again: it goes on where it stopped."
    exit_code = 10


class Sender(Protocol):
    """An account that sends transactions. `address` is checksummed."""

    @property
    def address(self) -> str: ...

    def send(self, to: str | None, data: bytes, value: int = 0) -> bytes:
        """Sends one transaction (`to` None creates a contract), waits until it is mined and returns its hash (32 bytes).

        Raises DeploymentFailed when it is refused or reverts.
        """
        ...


@dataclass(frozen=True)
class RpcSender:
    """Signs in this process and sends raw; one transaction at a time."""

    rpc: Rpc
    signer: Signer
    chain_id: ChainId

    @property
    def address(self) -> str:
        return self.signer.address

    def send(self, to: str | None, data: bytes, value: int = 0) -> bytes:
        call = {"from": self.address, "data": "0x" + data.hex(), "value": hex(value)} | ({"to": to} if to else {})
        head, nonce, gas, balance = self._ask(call)
        tip = self._tip()
        max_fee = 2 * head.base_fee + tip
        gas = min(gas + gas // 5, head.gas_limit)
        if balance < gas * max_fee + value:
            raise InsufficientFunds(
                f"{self.address} has {balance} wei, the transaction may cost {gas * max_fee + value}.",
                hint="Send coin for gas to the deploying account.",
                has=balance,
                needed=gas * max_fee + value,
            )
        target = bytes.fromhex(to[2:]) if to else b""
        unsigned = FeeMarketTransaction(self.chain_id, nonce, Wei(tip), Wei(max_fee), gas, target, Wei(value), data)
        signed = self.signer.sign_transaction(unsigned)
        self.rpc.request("eth_sendRawTransaction", "0x" + signed.raw.hex())
        require_success(wait_for_receipt(self.rpc, signed.hash))
        return signed.hash

    def _ask(self, call: Mapping[str, str]) -> tuple[ChainMoment, int, int, int]:
        answers = self.rpc.batch(
            [
                Call("eth_getBlockByNumber", ("latest", False)),
                Call("eth_getTransactionCount", (self.address, "pending")),
                Call("eth_estimateGas", (call,)),
                Call("eth_getBalance", (self.address, "latest")),
            ]
        )
        for answer in answers:
            if isinstance(answer, (ContractReverted, RpcError)):
                raise DeploymentFailed(f"The node refuses the transaction: {answer.message}", reason=answer.message)
        return ChainMoment.parse(answers[0]), quantity(answers[1]), quantity(answers[2]), quantity(answers[3])

    def _tip(self) -> int:
        try:
            return quantity(self.rpc.request("eth_maxPriorityFeePerGas"))
        except RpcError:
            return 10**9  # the customary tip, for nodes that do not suggest one


def wait_for_receipt(rpc: Rpc, transaction: bytes) -> Mapping[str, Any]:
    """The receipt of a transaction, as soon as it is mined. Raises TransactionTimeout after three minutes."""
    pause = threading.Event()
    for _ in range(int(_RECEIPT_TIMEOUT_S / _RECEIPT_POLL_S)):
        receipt = rpc.request("eth_getTransactionReceipt", "0x" + transaction.hex())
        if receipt is not None:
            return dict(receipt)
        pause.wait(_RECEIPT_POLL_S)
    raise TransactionTimeout(
        f"The transaction 0x{transaction.hex()} was not mined in {_RECEIPT_TIMEOUT_S:.0f} s.",
        hint="Run the same command again: it goes on where it stopped.",
    )


def require_success(receipt: Mapping[str, Any]) -> None:
    """Raises DeploymentFailed when the transaction reverted."""
    if quantity(receipt["status"]) != 1:
        raise DeploymentFailed(f"The transaction {receipt['transactionHash']} reverted.", reason="reverted")


# ---- the deployment


class Deployment:
    """One deployment on one chain, carried on by `run`. `book` is the path of the address book."""

    def __init__(
        self,
        rpc: Rpc,
        sender: Sender,
        parameters: DeploymentParameters,
        book: Path,
        *,
        notify: Notify = silent,
        crash: CrashPlan = NEVER,
    ) -> None:
        self.rpc = rpc
        self.sender = sender
        self.parameters = parameters
        self.book = book
        self._notify = notify
        self._crash = crash

    def run(self) -> dict[str, Any]:
        """Makes what is missing and returns the address book as a document.

        Raises ParameterInvalid before anything is sent; DeploymentFailed, InsufficientFunds, ChainUnreachable and
        DeploymentMismatch (the book is another chain's, or an address holds other code) later. Running it again is safe.
        """
        chain_id = self.rpc.chain_id()
        genesis = block_hash(self.rpc, 0)
        has_history = chain_has_history(self.rpc)
        found = self._found_book(chain_id, genesis)
        kept = dict(found.get("contracts", {}))
        parameters = completed(self.parameters, self.sender.address, has_history)
        flaw = prevrandao_flaw(self.rpc, chain_id) if parameters.randomness == PREVRANDAO else ""
        require_sound(parameters, chain_id, has_history, flaw)
        factory = self._factory()
        planned = plan(parameters, factory)
        document = self._document(chain_id, genesis, factory, parameters)
        document["previous"] = earlier_deployments(found, planned)
        for contract in planned:
            entry = kept.get(contract.name, {})
            if contract.creator:
                made = self._made_by(contract, document["contracts"][contract.creator])
            else:
                made = self._ensure(contract, factory, parameters.salt, entry)
            document["contracts"][contract.name] = made
            self._crash.point(f"made {contract.name}")
            write_book(self.book, document)
            self._crash.point(f"wrote {contract.name}")
        self._fill_faucet(parameters, document)
        document["complete"] = True
        write_book(self.book, document)
        return document

    def _found_book(self, chain_id: int, genesis: bytes) -> Mapping[str, Any]:
        """The address book of an earlier run on this very chain, empty when there is none."""
        try:
            found = json.loads(self.book.read_text(encoding="utf-8"))
            same = int(found["chainId"]) == chain_id and found["genesisHash"] == "0x" + genesis.hex()
            dict(found["contracts"])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"The address book {self.book} cannot be read ({error!r}).",
                hint="Move it aside: what is on the chain is found again without it.",
            ) from error
        if same:
            return dict(found)
        if chain_id not in LOCAL_CHAINS or int(found["chainId"]) != chain_id:
            raise DeploymentMismatch(
                f"The address book {self.book} belongs to chain {found['chainId']} with genesis {found['genesisHash']}, "
                f"the endpoint serves chain {chain_id} with genesis 0x{genesis.hex()}.",
                hint="Point the endpoint at the right chain, or name another address book.",
            )
        self._notify("address_book_of_a_reset_chain_replaced", path=str(self.book))
        return {}

    def _document(
        self, chain_id: int, genesis: bytes, factory: str, parameters: DeploymentParameters
    ) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "chainId": int(chain_id),
            "genesisHash": "0x" + genesis.hex(),
            "complete": False,
            "factory": {"address": factory, "canonical": factory == FACTORY},
            "contracts": {},
            "parameters": parameters.as_json(),
            "presets": {
                item.name: {"auditBps": int(item.audit_bps), "collateralBps": int(item.collateral_bps)}
                for item in VERIFICATION_PRESETS
            },
        }

    # ---- one contract

    def _ensure(self, contract: PlannedContract, factory: str, salt: str, kept: Mapping[str, Any]) -> dict[str, Any]:
        """Makes the contract unless it is there, and returns its entry."""
        code = self._code(contract.address)
        if code and kept.get("address") == contract.address and kept.get("txHash"):
            if kept.get("codeHash") != "0x" + keccak(code).hex():
                raise DeploymentMismatch(
                    f"The code of {contract.name} at {contract.address} is not what {self.book} says.",
                    contract=contract.name,
                    expected=kept.get("codeHash"),
                    found="0x" + keccak(code).hex(),
                )
            receipt = self.rpc.request("eth_getTransactionReceipt", str(kept["txHash"]))
            if receipt is not None:  # else the chain was reorganised: it is looked for anew
                self._notify("contract_found", contract=contract.name, address=contract.address)
                block = quantity(receipt["blockNumber"])
                return self._entry(contract, code, block, str(kept["txHash"]), kept.get("deployer"))
        if code:
            block, transaction, deployer = self._origin(contract.address, factory)
            self._notify("contract_found", contract=contract.name, address=contract.address)
            return self._entry(contract, code, block, transaction, deployer)
        transaction = self._make(contract, factory, bytes.fromhex(salt[2:]))
        if transaction is None:
            return self._ensure(contract, factory, salt, {})
        receipt = wait_for_receipt(self.rpc, transaction)
        code = self._code(contract.address)
        self._notify("contract_deployed", contract=contract.name, address=contract.address)
        return self._entry(
            contract, code, quantity(receipt["blockNumber"]), "0x" + transaction.hex(), self.sender.address
        )

    def _made_by(self, contract: PlannedContract, creator: Mapping[str, Any]) -> dict[str, Any]:
        """The entry of a contract that another one's constructor made, in the same transaction."""
        code = self._code(contract.address)
        if not code:
            raise DeploymentMismatch(f"{contract.creator} did not make {contract.name} at {contract.address}.")
        return self._entry(contract, code, creator["block"], creator["txHash"], creator["deployer"])

    def _make(self, contract: PlannedContract, factory: str, salt: bytes) -> bytes | None:
        """The transaction that made the contract; None when somebody else made it a moment before."""
        self._rehearse(contract)
        self._crash.point(f"sending {contract.name}")
        try:
            transaction = self.sender.send(factory, salt + contract.init_code)
        except DeploymentFailed as error:
            if self._code(contract.address):
                return None
            raise DeploymentFailed(f"{contract.name} was not deployed: {error.message}", contract=contract.name) from error
        self._crash.point(f"sent {contract.name}")
        if not self._code(contract.address):
            raise DeploymentFailed(f"{contract.name} has no code after its transaction.", contract=contract.name)
        return transaction

    def _rehearse(self, contract: PlannedContract) -> None:
        """Runs the constructor without a transaction: the factory swallows the reason of a failure."""
        call = {"from": self.sender.address, "data": "0x" + contract.init_code.hex()}
        try:
            code = to_bytes(self.rpc.request("eth_call", call, "latest"))
        except ContractReverted as error:
            decoded = ErrorTable.of(*(load_artefact(name).abi for name in CONTRACTS)).decode(error.data)
            raise DeploymentFailed(
                f"The constructor of {contract.name} refuses its parameters: {decoded}.", contract=contract.name
            ) from error
        if len(code) > CODE_BYTES_MOST:
            raise DeploymentFailed(
                f"{contract.name} has {len(code)} bytes of code, the limit is {CODE_BYTES_MOST}.", contract=contract.name
            )

    def _entry(
        self, contract: PlannedContract, code: bytes, block: int, transaction: str | None, deployer: Any
    ) -> dict[str, Any]:
        return {
            "address": contract.address,
            "block": block,
            "txHash": transaction,
            "codeHash": "0x" + keccak(code).hex(),
            "abiHash": "0x" + contract.abi_hash.hex(),
            "deployer": deployer,
        }

    def _code(self, address: str) -> bytes:
        return to_bytes(self.rpc.request("eth_getCode", address, "latest"))

    def _origin(self, address: str, factory: str) -> tuple[int, str | None, str | None]:
        """Block, transaction and sender that made a contract; block 0 (scan from the beginning) where it is not known.

        Nodes keep old state for a while only: it is looked for backwards from the head, as far as the node answers.
        """
        try:
            number = self._first_block_with_code(address)
            block = self.rpc.request("eth_getBlockByNumber", hex(number), True)
            hashes = [item for item in block["transactions"] if str(item.get("to") or "").lower() == factory.lower()]
            for item in hashes:
                receipt = self.rpc.request("eth_getTransactionReceipt", item["hash"])
                made = to_bytes(item["input"])
                if quantity(receipt["status"]) == 1 and create2_address(factory, made[:32], made[32:]) == address:
                    return number, item["hash"], to_checksum_address(item["from"])
            return number, None, None
        except RpcError:
            return 0, None, None

    def _first_block_with_code(self, address: str) -> int:
        present = quantity(self.rpc.request("eth_blockNumber"))
        step, absent = 1, -1
        while present > 0:
            probe = max(0, present - step)
            if not to_bytes(self.rpc.request("eth_getCode", address, hex(probe))):
                absent = probe
                break
            present, step = probe, 2 * step
        while present - absent > 1:
            middle = (present + absent) // 2
            if to_bytes(self.rpc.request("eth_getCode", address, hex(middle))):
                present = middle
            else:
                absent = middle
        return present

    # ---- the factory

    def _factory(self) -> str:
        """Address of a factory: the usual one, deployed by its presigned transaction if need be, else one of our own."""
        code = self._code(FACTORY)
        if code == FACTORY_CODE:
            return FACTORY
        if code:
            raise DeploymentMismatch(f"At {FACTORY} is other code than the usual factory's; it is not trusted.")
        own = self._own_factory()
        if own:
            return own
        if self._presigned_factory():
            return FACTORY
        self._notify("own_factory_used", alert=True, reason="addresses differ from those on other chains")
        self._crash.point("sending factory")
        self.sender.send(None, _FACTORY_CREATION)
        self._crash.point("sent factory")
        own = self._own_factory()
        if own is None:
            raise DeploymentFailed("The factory has no code after its transaction.", contract="factory")
        return own

    def _own_factory(self) -> str | None:
        """A factory that this account made in one of its latest transactions."""
        count = quantity(self.rpc.request("eth_getTransactionCount", self.sender.address, "latest"))
        nonces = range(count - 1, max(-1, count - 1 - _OWN_FACTORY_NONCES), -1)
        addresses = [create_address(self.sender.address, nonce) for nonce in nonces]
        codes = self.rpc.batch([Call("eth_getCode", (address, "latest")) for address in addresses])
        for address, code in zip(addresses, codes, strict=True):
            if isinstance(code, str) and to_bytes(code) == FACTORY_CODE:
                return address
        return None

    def _presigned_factory(self) -> bool:
        """Whether the node took the transaction that puts the factory at its usual address."""
        if quantity(self.rpc.request("eth_getTransactionCount", _FACTORY_SIGNER, "latest")) != 0:
            return False  # it was used and failed: never again on this chain
        try:
            wait_for_receipt(self.rpc, self._send_presigned())
        except RpcError as error:
            self._notify("presigned_factory_refused", reason=error.message)
            return False
        return self._code(FACTORY) == FACTORY_CODE

    def _send_presigned(self) -> bytes:
        """Coin is sent to its account only when that is what the node misses: most refuse it for having no chain id.

        A node's pool sees new coin a moment after the node has the receipt for it, so the same refusal is waited out.
        """
        try:
            return self._offer_presigned()
        except RpcError as error:
            refusal = _other_than_funds(error)
        missing = _FACTORY_COST - quantity(self.rpc.request("eth_getBalance", _FACTORY_SIGNER, "latest"))
        self.sender.send(_FACTORY_SIGNER, b"", max(0, missing))
        pause = threading.Event()
        for _ in range(int(_POOL_LAG_S / _RECEIPT_POLL_S)):
            try:
                return self._offer_presigned()
            except RpcError as error:
                refusal = _other_than_funds(error)
            pause.wait(_RECEIPT_POLL_S)
        raise refusal

    def _offer_presigned(self) -> bytes:
        return to_bytes(self.rpc.request("eth_sendRawTransaction", _FACTORY_TRANSACTION))

    # ---- the faucet's share

    def _fill_faucet(self, parameters: DeploymentParameters, document: dict[str, Any]) -> None:
        """Gives the faucet its share once; when it was given tells the token's own log."""
        if not parameters.faucet or parameters.faucet_share == 0:
            return
        token, faucet = (document["contracts"][name] for name in ("LilypadToken", "LilypadFaucet"))
        if parameters.token_recipient != self.sender.address:
            self._notify("faucet_left_empty", alert=True, share=parameters.faucet_share, of=parameters.token_recipient)
            return
        topics = [_TRANSFER, _topic(parameters.token_recipient), _topic(faucet["address"])]
        query = {"address": token["address"], "fromBlock": hex(token["block"]), "toBlock": "latest", "topics": topics}
        if self.rpc.request("eth_getLogs", query):
            return
        self._crash.point("sending share")
        transfer = load_artefact("LilypadToken").abi.function("transfer")
        self.sender.send(token["address"], transfer.encode(faucet["address"], parameters.faucet_share))
        self._crash.point("sent share")


def _other_than_funds(refusal: RpcError) -> RpcError:
    """The refusal again when coin is what it misses; raises it otherwise."""
    if "insufficient" not in refusal.message.lower():
        raise refusal
    return refusal


def earlier_deployments(found: Mapping[str, Any], planned: Sequence[PlannedContract]) -> list[Any]:
    """What the book keeps of deployments before this one, oldest first: open deals end where they began."""
    earlier = list(found.get("previous", []))
    addresses = {contract.name: contract.address for contract in planned}
    kept = {name: entry.get("address") for name, entry in dict(found.get("contracts", {})).items()}
    if found.get("complete") and kept.get("Lilypad") != addresses["Lilypad"]:
        earlier.append({key: found[key] for key in ("factory", "contracts", "parameters") if key in found})
    return [item for item in earlier if item["contracts"]["Lilypad"]["address"] != addresses["Lilypad"]]


def block_hash(rpc: Rpc, number: int) -> bytes:
    """32 bytes. Raises RpcError."""
    return ChainMoment.parse(rpc.request("eth_getBlockByNumber", hex(number), False)).hash


def write_book(path: Path, document: Mapping[str, Any]) -> None:
    """Replaces the address book at once: a reader sees the old one or the new one, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _topic(address: str) -> str:
    return "0x" + "00" * 12 + address[2:].lower()
