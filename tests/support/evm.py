"""An EVM in this process for contract tests: contracts of the Ape build, accounts with keys, blocks at will.

    evm = Evm()
    alice = evm.account("alice")
    token = evm.deploy("PlainToken", "Test", 18)
    token.mint(alice, 10**18)                              # a transaction: answers a Receipt
    assert token.balanceOf(alice) == 10**18                # a view: answers its value
    with expect_revert("ERC20InsufficientBalance", needed=1):
        token.transfer(alice, 1, sender=evm.account("bob"))

What pyrevm 0.3.7 does and does not do (measured):
* BLOCKHASH answers keccak256 of the block number in decimal for the last 256 blocks, else zero; it cannot be set.
  `block_hash` gives the same. `install_history` adds the contract of EIP-2935, which then answers for 8,191 blocks;
  `plant_block_hash` lets that contract answer anything, which is what a source sees of blocks older than 256.
* Warm slots and addresses, original values and transient storage outlive a transaction. The last is cleared after each
  here; for the others use `exact=True`, which first moves the state into a fresh EVM (some milliseconds), so that
  `gas_used` is what a chain would charge: intrinsic gas, calldata, execution, less refunds. Without it gas is only an
  upper bound's cousin: fine for comparisons of the same call, not for figures.
* Snapshots nest and are cheap. An exact call ends those taken before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from eth_utils import keccak, to_checksum_address
from pyrevm import EVM, AccountInfo, BlockEnv, CfgEnv, Env

from lilypad_agents.chain.abi import Abi, ErrorTable

BUILD = Path(__file__).resolve().parents[2] / ".build" / "__local__.json"
HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"
_HISTORY_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff8143031160425761"
    "1fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
_SYSTEM = "0xfffffffffffffffffffffffffffffffffffffffe"
_REVERT = re.compile(r"Revert \{ gas_used: \d+, output: 0x([0-9a-f]*) \}")
_GAS_LIMIT = 30_000_000
_HISTORY_WINDOW = 8191


class BuildMissing(RuntimeError):
    """The contracts were not compiled, or not since a contract was added."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not in {BUILD.name}: run `. bin/activate && ape compile` first.")


class Reverted(Exception):
    """A call reverted. `name` and `args` are those of the custom error; an unknown one has no name, only `data`."""

    def __init__(self, name: str, args: Mapping[str, Any], data: bytes) -> None:
        shown = ", ".join(f"{key}={_show(value)}" for key, value in args.items())
        super().__init__(f"{name}({shown})" if name else f"0x{data.hex() or ''} (no known error)")
        self.name, self.arguments, self.data = name, args, data


class Halted(Exception):
    """A call ran out of gas or stopped otherwise than by a revert; `reason` is the EVM's word for it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def expect_revert(name: str, /, **arguments: Any) -> Iterator[None]:
    """Passes when the block reverts with the custom error `name` and at least these arguments (Solidity names)."""
    try:
        yield
    except Reverted as reverted:
        assert reverted.name == name, f"expected {name}, got {reverted}"
        for key, value in arguments.items():
            assert key in reverted.arguments, f"{reverted} has no argument {key}"
            found = reverted.arguments[key]
            assert found == _plain(value), f"{name}.{key} is {_show(found)}, expected {_show(_plain(value))}: {reverted}"
    else:
        raise AssertionError(f"expected a revert with {name}, but the call went through")


@dataclass(frozen=True)
class Account:
    """A key. Stands for its address wherever an address is expected."""

    name: str
    secret: bytes = field(repr=False)

    @cached_property
    def address(self) -> str:
        public = PrivateKey(self.secret).public_key.format(compressed=False)
        return to_checksum_address(keccak(public[1:])[12:])

    def sign(self, digest: bytes) -> bytes:
        """r, s, v over 32 bytes (65 bytes, low s, v 27 or 28)."""
        signature = PrivateKey(self.secret).sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([27 + signature[64]])

    def consent(self, digest: bytes) -> bytes:
        """The core's signature argument of an own key: 0x00, r, s, v."""
        return b"\0" + self.sign(digest)


@dataclass(frozen=True)
class Log:
    """An event; `name` and `args` (Solidity names) when a known contract emitted it."""

    address: str
    name: str
    args: Mapping[str, Any]


@dataclass(frozen=True)
class Receipt:
    """What a transaction did. `value` is its return value; `gas_used` see the module's head."""

    value: Any
    gas_used: int
    logs: tuple[Log, ...]

    def events(self, name: str) -> list[Mapping[str, Any]]:
        return [log.args for log in self.logs if log.name == name]

    def event(self, name: str) -> Mapping[str, Any]:
        """The arguments of the one event of this name."""
        found = self.events(name)
        assert len(found) == 1, f"{len(found)} events {name} among {[log.name for log in self.logs]}"
        return found[0]


@dataclass(frozen=True)
class Artefact:
    abi: Abi
    creation_code: bytes
    views: frozenset[str]


class Contract:
    """A contract at an address. Methods under their Solidity names: views answer, everything else is sent.

    `name` and `address` are attributes of this object: a function of such a name is `method("name")()`.

    Options of a sent call: `sender` (default: the EVM's `deployer`), `value` in wei, `gas`, `exact`. A view takes
    `sender` and `gas`. `simulate(name, *arguments)` runs a sent call without effect and answers its value.
    """

    def __init__(self, evm: Evm, name: str, address: str, artefact: Artefact) -> None:
        self._evm, self.name, self.address, self._artefact = evm, name, address, artefact

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__") or name.partition("(")[0] not in self._artefact.abi.functions:
            raise AttributeError(f"{self.name} has no function {name}")
        return self.method(name)

    def method(self, name: str) -> Callable[..., Any]:
        """By name, or by full signature where a name is overloaded."""

        def call(*arguments: Any, **options: Any) -> Any:
            if name.partition("(")[0] in self._artefact.views:
                return self.simulate(name, *arguments, **options)
            data = self.calldata(name, *arguments)
            function = self._artefact.abi.function(name, len(arguments))
            return self._evm.transact(self.address, data, decode=function.decode, **options)

        return call

    def simulate(self, name: str, *arguments: Any, sender: Any = None, gas: int = _GAS_LIMIT) -> Any:
        """The value that a call answers, without its effects."""
        function = self._artefact.abi.function(name, len(arguments))
        return function.decode(self._evm.static(self.address, self.calldata(name, *arguments), sender, gas))

    def calldata(self, name: str, *arguments: Any) -> bytes:
        function = self._artefact.abi.function(name, len(arguments))
        return function.encode(*(_plain(argument) for argument in arguments))

    def __repr__(self) -> str:
        return f"<{self.name} at {self.address}>"


class Evm:
    """One chain. `number` and `timestamp` are those of the block in which the next transaction runs."""

    def __init__(self, *, chain_id: int = 1337, number: int = 1_000, timestamp: int = 1_800_000_000, spec: str = "CANCUN") -> None:
        self.chain_id, self.number, self.timestamp, self._spec = chain_id, number, timestamp, spec
        self.basefee, self.prevrandao = 0, keccak(text="prevrandao")
        self._accounts: dict[str, Account] = {}
        self._contracts: dict[str, str] = {}
        self._known_state: dict[str, _AccountState] = {}
        self._history = False
        self._generation = 0
        self._evm = self._fresh()
        self.deployer = self.account("deployer")

    # ---- accounts

    def account(self, name: str) -> Account:
        """The account of this name, made from it, with 10,000 coins for gas."""
        if name not in self._accounts:
            account = Account(name, keccak(text=f"lilypad test account {name}"))
            self._accounts[name] = account
            self._evm.set_balance(account.address, 10_000 * 10**18)
        return self._accounts[name]

    def balance(self, account: Any) -> int:
        return self._evm.get_balance(_plain(account))

    def set_balance(self, account: Any, wei: int) -> None:
        self._evm.set_balance(_plain(account), wei)

    def code(self, account: Any) -> bytes:
        return bytes(self._evm.basic(_plain(account)).code or b"").rstrip(b"\0")

    def storage(self, account: Any, slot: int) -> int:
        return self._evm.storage(_plain(account), slot)

    @property
    def storage_of(self) -> Callable[[str, int], int]:
        """As `storage`, for many words: takes an address and a slot."""
        return self._evm.storage

    def erase(self, account: Any) -> None:
        """Takes an account's code away, as a chain does after the transaction in which a new contract destroyed itself."""
        self._evm.insert_account_info(_plain(account), AccountInfo(nonce=0, code=None))

    # ---- contracts

    def deploy(self, name: str, *arguments: Any, sender: Any = None, value: int = 0, gas: int = _GAS_LIMIT) -> Contract:
        """Deploys a contract of the build. Raises BuildMissing, Reverted, Halted."""
        artefact = _artefact(name)
        code = artefact.creation_code + artefact.abi.encode_constructor(*(_plain(argument) for argument in arguments))
        with self._failures():
            address = self._evm.deploy(_plain(sender or self.deployer), code, value, gas)
        self._evm.reset_transient_storage()
        return self.at(name, address)

    def at(self, name: str, address: Any) -> Contract:
        """A contract that is there already, with the interface of `name`."""
        checksummed = to_checksum_address(_plain(address))
        self._contracts[checksummed] = name
        return Contract(self, name, checksummed, _artefact(name))

    # ---- calls

    def transact(
        self,
        to: Any,
        data: bytes = b"",
        *,
        sender: Any = None,
        value: int = 0,
        gas: int = _GAS_LIMIT,
        exact: bool = False,
        decode: Callable[[bytes], Any] = bytes,
    ) -> Receipt:
        """Sends a transaction. A reverting one changes nothing. Raises Reverted or Halted."""
        if exact:
            self.cool()
        try:
            with self._failures():
                answer = self._evm.message_call(_plain(sender or self.deployer), _plain(to), data, value, gas)
            result = self._evm.result
            return Receipt(decode(answer), result.gas_used, tuple(self._log(log) for log in result.logs))
        finally:
            self._evm.reset_transient_storage()

    def attempt(self, sender: str, to: str, data: bytes) -> tuple[bool, bytes]:
        """A transaction without any comfort, for many of them: whether it succeeded, and what it answered or reverted with."""
        try:
            return True, self._evm.message_call(sender, to, data, 0, _GAS_LIMIT)
        except RuntimeError as error:
            match = _REVERT.search(str(error))
            if match is None:
                raise Halted(str(error)) from None
            return False, bytes.fromhex(match[1])
        finally:
            self._evm.reset_transient_storage()

    def logs(self, only: bytes | None = None) -> tuple[Log, ...]:
        """Of the last transaction, when it was an `attempt` that succeeded. `only`: the topic of the event that is looked for."""
        wanted = None if only is None else "0x" + only.hex()
        return tuple(self._log(log) for log in self._evm.result.logs if wanted is None or wanted in log.topics[:1])

    def static(self, to: Any, data: bytes, sender: Any = None, gas: int = _GAS_LIMIT) -> bytes:
        """Runs a call without its effects and answers the bytes. Raises Reverted or Halted."""
        checkpoint = self._evm.snapshot()
        try:
            with self._failures():
                return self._evm.message_call(_plain(sender or self.deployer), _plain(to), data, 0, gas)
        finally:
            self._evm.revert(checkpoint)
            self._evm.reset_transient_storage()

    @property
    def gas_used(self) -> int:
        """By the last call, failed ones included."""
        return self._evm.result.gas_used

    # ---- blocks

    def set_block(
        self,
        number: int | None = None,
        timestamp: int | None = None,
        *,
        basefee: int | None = None,
        prevrandao: bytes | None = None,
    ) -> None:
        """The block in which the next transactions run; what is not given stays."""
        before = self.number
        self.number = self.number if number is None else number
        self.timestamp = self.timestamp if timestamp is None else timestamp
        self.basefee = self.basefee if basefee is None else basefee
        self.prevrandao = self.prevrandao if prevrandao is None else prevrandao
        if self._history:
            self._fill_history(before)
        self._evm.set_block_env(self._block())

    def mine(self, blocks: int = 1, seconds: int | None = None) -> None:
        """Lets blocks pass, one second each unless `seconds` says how many in all."""
        self.set_block(self.number + blocks, self.timestamp + (blocks if seconds is None else seconds))

    def block_hash(self, number: int) -> bytes:
        """What BLOCKHASH answers while `number` is among the last 256 blocks, and the history contract for longer."""
        return keccak(text=str(number))

    def install_history(self) -> None:
        """Adds the EIP-2935 contract, filled with the hashes of the blocks behind the present one."""
        self._evm.insert_account_info(HISTORY, AccountInfo(nonce=1, code=_HISTORY_CODE))
        self._history = True
        self._fill_history(0)
        self._evm.set_block_env(self._block())

    def plant_block_hash(self, number: int, value: bytes) -> None:
        """Lets the contract of EIP-2935, which is added if need be, answer `value` for block `number`: see `block_hash`."""
        if not self.code(HISTORY):
            self._evm.insert_account_info(HISTORY, AccountInfo(nonce=1, code=_HISTORY_CODE))
        self._evm.set_block_env(BlockEnv(number=number + 1, timestamp=self.timestamp, gas_limit=10 * _GAS_LIMIT))
        self._evm.message_call(_SYSTEM, HISTORY, value, 0, _GAS_LIMIT)
        self._evm.set_block_env(self._block())

    # ---- snapshots

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Takes state and block back at the end of the block."""
        token = self.checkpoint()
        try:
            yield
        finally:
            self.rollback(token)

    def checkpoint(self) -> tuple[Any, ...]:
        block = (self.number, self.timestamp, self.basefee, self.prevrandao)
        return (self._generation, self._evm.snapshot(), block, dict(self._contracts), dict(self._accounts))

    def rollback(self, token: tuple[Any, ...]) -> None:
        """Back to a checkpoint; it and all later ones are used up."""
        generation, checkpoint, block, self._contracts, self._accounts = token
        if generation != self._generation:
            raise RuntimeError("An exact call has ended the checkpoints that were taken before it.")
        self._evm.revert(checkpoint)
        self.number, self.timestamp, self.basefee, self.prevrandao = block
        self._evm.set_block_env(self._block())

    def cool(self) -> None:
        """Moves the state into a fresh EVM, in which nothing is warm: the next transaction costs what it would on a chain."""
        for address, state in _journal_accounts(self._evm.journal_str):
            known = self._known_state.setdefault(address, _AccountState())
            known.nonce, known.balance, known.code = state.nonce, state.balance, state.code
            known.storage.update(state.storage)
        self._generation += 1
        self._evm = self._fresh()
        for address, state in self._known_state.items():
            if state.code or state.nonce:
                self._evm.insert_account_info(address, AccountInfo(nonce=state.nonce, code=state.code or None))
            for slot, value in state.storage.items():
                # Only the first slot of an account that is not loaded goes to the database, beneath the journal.
                checkpoint = self._evm.snapshot()
                self._evm.insert_account_storage(address, slot, value)
                self._evm.revert(checkpoint)
        for address, state in self._known_state.items():
            if state.balance:
                self._evm.set_balance(address, state.balance)

    # ---- internals

    def _block(self) -> BlockEnv:
        return BlockEnv(
            number=self.number,
            timestamp=self.timestamp,
            basefee=self.basefee,
            prevrandao=self.prevrandao,
            gas_limit=10 * _GAS_LIMIT,
            coinbase="0x" + "c0" * 20,
        )

    def _fresh(self) -> EVM:
        env = Env(cfg=CfgEnv(chain_id=self.chain_id), block=self._block())
        return EVM(env=env, spec_id=self._spec, gas_limit=10 * _GAS_LIMIT)

    def _fill_history(self, before: int) -> None:
        """What the chain does at the start of each block: one call of the history contract with the parent's hash."""
        for number in range(max(before + 1, self.number - _HISTORY_WINDOW + 1, 1), self.number + 1):
            self._evm.set_block_env(BlockEnv(number=number, timestamp=self.timestamp, gas_limit=10 * _GAS_LIMIT))
            self._evm.message_call(_SYSTEM, HISTORY, self.block_hash(number - 1), 0, _GAS_LIMIT)

    def _log(self, log: Any) -> Log:
        address = to_checksum_address(log.address)
        topics, data = [bytes.fromhex(topic[2:]) for topic in log.topics], log.data[1]
        name = self._contracts.get(address)
        abis = [_artefact(name).abi] if name else []
        for abi in abis:
            event = abi.events_by_topic.get(topics[0]) if topics else None
            if event is not None:
                return Log(address, event.name, event.decode(topics, data))
        return Log(address, "", {"topics": topics, "data": data})

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            match = _REVERT.search(str(error))
            if match is None:
                raise Halted(str(error)) from None
            decoded = decode_error(bytes.fromhex(match[1]))
            raise decoded from None


def decode_error(data: bytes) -> Reverted:
    """The error in revert data, or in the reason of a `Skipped` event, by all contracts of the build."""
    decoded = _errors().decode(data)
    return Reverted(decoded.name, decoded.args, data)


# ---- the build


@lru_cache(maxsize=1)
def _build() -> Mapping[str, Any]:
    if not BUILD.exists():
        raise BuildMissing("The build")
    return json.loads(BUILD.read_text(encoding="utf-8"))["contractTypes"]


@lru_cache(maxsize=None)
def _artefact(name: str) -> Artefact:
    if name not in _build():
        raise BuildMissing(name)
    entry = _build()[name]
    code = (entry.get("deploymentBytecode") or {}).get("bytecode", "0x")
    views = frozenset(
        item["name"] for item in entry["abi"]
        if item["type"] == "function" and item["stateMutability"] in ("view", "pure")
    )  # fmt: skip
    return Artefact(Abi(name, entry["abi"]), bytes.fromhex(code.removeprefix("0x")), views)


@lru_cache(maxsize=1)
def _errors() -> ErrorTable:
    return ErrorTable.of(*(_artefact(name).abi for name in _build()))


def selector_of(contract: str, function: str) -> bytes:
    """Of a function that is not overloaded."""
    (found,) = _artefact(contract).abi.functions[function]
    return found.selector


def topic_of(contract: str, event: str) -> bytes:
    return _artefact(contract).abi.events[event].topic


def error_names() -> Mapping[bytes, str]:
    """Names of custom errors by selector, over all contracts of the build."""
    return {selector: name for selector, (name, _) in _errors().by_selector.items()}


# ---- the state behind a journal


@dataclass
class _AccountState:
    nonce: int = 0
    balance: int = 0
    code: bytes = b""
    storage: dict[int, int] = field(default_factory=dict)


_ACCOUNT = re.compile(
    r"(0x[0-9a-f]{40}): Account \{ info: AccountInfo \{ balance: (\d+), nonce: (\d+), code_hash: 0x[0-9a-f]{64}, "
    r"code: (?:None|Some\(Bytecode \{ bytecode: 0x([0-9a-f]*), state: (.*?)\}\)) \}, storage: \{(.*?)\}, status: "
)
_LENGTH = re.compile(r"len: (\d+)")  # of analysed code, which is padded with zeros
_SLOT = re.compile(r"(\d+): StorageSlot \{ previous_or_original_value: \d+, present_value: (\d+)")


def _journal_accounts(journal: str) -> Iterator[tuple[str, _AccountState]]:
    """The accounts in the text form of pyrevm's journal, which is the only way to its storage.

    Raises AssertionError when the text does not read as it did in pyrevm 0.3.7.
    """
    state = journal.split("}, transient_storage: ", 1)[0]
    found = 0
    for match in _ACCOUNT.finditer(state):
        address, balance, nonce, code, analysis, storage = match.groups()
        length = _LENGTH.search(analysis or "")
        raw = bytes.fromhex(code or "")[: int(length[1]) if length else None]
        slots = {int(slot): int(value) for slot, value in _SLOT.findall(storage)}
        assert len(slots) == storage.count("StorageSlot"), "pyrevm's journal reads differently"
        found += 1
        yield to_checksum_address(address), _AccountState(int(nonce), int(balance), raw, slots)
    assert found == state.count(": Account {"), "pyrevm's journal reads differently"


def _plain(value: Any) -> Any:
    """Accounts and contracts as their addresses, anywhere in an argument."""
    if isinstance(value, (Account, Contract)):
        return value.address
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_plain(item) for item in value))
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _show(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
