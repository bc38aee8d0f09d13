"""What the outbox asks the chain: one view per step, receipts, who used a nonce, what a call would do, broadcasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.codec import Call, quantity, to_bytes
from lilypad_agents.chain.errors import ContractReverted, RpcError
from lilypad_agents.chain.fees import FeeMarket
from lilypad_agents.chain.outbox_store import Action, Attempt, Receipt
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.types import BlockRef, Wei

_SCAN_BLOCKS = 2_000


@dataclass(frozen=True)
class View:
    """The account and the fee market at one moment: `next_nonce` counts mined transactions, `pending_nonce` the pool's too."""

    head: ChainMoment
    next_nonce: int
    pending_nonce: int
    balance: Wei
    market: FeeMarket


@dataclass(frozen=True)
class NonceUser:
    """The transaction that used a nonce, and its block."""

    hash: bytes
    block: int


class OutboxChain:
    """Questions about one account (checksummed address)."""

    def __init__(self, rpc: Rpc, account: str, least_tip: Wei, most_tip: Wei) -> None:
        self._rpc = rpc
        self._account = account
        self._least_tip = least_tip
        self._most_tip = most_tip

    def genesis(self) -> bytes:
        """Hash of block 0."""
        return ChainMoment.parse(self._rpc.request("eth_getBlockByNumber", "0x0", False)).hash

    def observe(self) -> View:
        """One request. Raises WrongChain when the endpoint changed its chain id, RpcError, ChainUnreachable."""
        chain, head, mined, pooled, balance, tip = self._rpc.batch(
            [
                Call("eth_chainId"),
                Call("eth_getBlockByNumber", ("latest", False)),
                Call("eth_getTransactionCount", (self._account, "latest")),
                Call("eth_getTransactionCount", (self._account, "pending")),
                Call("eth_getBalance", (self._account, "latest")),
                Call("eth_maxPriorityFeePerGas"),
            ]
        )
        for outcome in (chain, head, mined, balance):
            if isinstance(outcome, Exception):
                raise outcome
        self._rpc.require_chain(chain)
        moment = ChainMoment.parse(head)
        next_nonce = quantity(mined)
        suggested = self._least_tip if isinstance(tip, Exception) else quantity(tip)
        tip_offer = Wei(min(max(suggested, self._least_tip), self._most_tip))
        pending = next_nonce if isinstance(pooled, Exception) else max(next_nonce, quantity(pooled))
        return View(moment, next_nonce, pending, Wei(quantity(balance)), FeeMarket(moment.base_fee, tip_offer))

    def block_hash(self, number: int) -> bytes | None:
        """Hash of the block with this number, None when the node has none."""
        block = self._rpc.request("eth_getBlockByNumber", hex(number), False)
        return None if block is None else ChainMoment.parse(block).hash

    def receipts(self, hashes: Sequence[bytes]) -> dict[bytes, dict[str, Any]]:
        """The receipts (JSON-RPC objects) that the node has, by transaction hash. Raises RpcError for malformed ones."""
        outcomes = self._rpc.batch([Call("eth_getTransactionReceipt", ("0x" + value.hex(),)) for value in hashes])
        found = {}
        for value, outcome in zip(hashes, outcomes, strict=True):
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is None or (isinstance(outcome, dict) and outcome.get("blockHash") is None):
                continue
            try:
                receipt = Receipt.parse(outcome)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise RpcError(f"The node sent a malformed receipt: {error!r}.") from error
            if receipt.transaction_hash != value:
                raise RpcError("The node sent the receipt of another transaction.")
            found[value] = outcome
        return found

    def knows(self, attempts: Sequence[Attempt]) -> set[bytes]:
        """Which attempts the node has, mined or waiting."""
        outcomes = self._rpc.batch(
            [Call("eth_getTransactionByHash", ("0x" + attempt.hash.hex(),)) for attempt in attempts]
        )
        return {a.hash for a, outcome in zip(attempts, outcomes, strict=True) if isinstance(outcome, dict)}

    def nonce_user(self, nonce: int, since_block: int, head: ChainMoment) -> NonceUser | None:
        """The mined transaction of this account that used `nonce`, or None when no proof was found.

        Bisects the account's transaction count by block, from just before `since_block` and then from the first block
        (a node that lagged when we signed); where the node has no old state, reads the last 2,000 blocks.
        """
        for low in (max(0, since_block - 1), 0):
            try:
                candidates: Sequence[int] = [self._block_of(nonce, low, head.number)]
            except (ContractReverted, RpcError):
                candidates = range(max(low, head.number - _SCAN_BLOCKS), head.number + 1)
            for number in candidates:
                user = self._user_in(number, nonce)
                if user is not None:
                    return user
        return None

    def _user_in(self, number: int, nonce: int) -> NonceUser | None:
        block = self._rpc.request("eth_getBlockByNumber", hex(number), True)
        try:
            for entry in (block or {}).get("transactions", ()):
                if entry["from"].lower() == self._account.lower() and quantity(entry["nonce"]) == nonce:
                    return NonceUser(to_bytes(entry["hash"]), number)
        except (AttributeError, KeyError, TypeError) as error:
            raise RpcError(f"The node sent a malformed block: {error!r}.") from error
        return None

    def _block_of(self, nonce: int, low: int, high: int) -> int:
        """The first block after which the account's count is above `nonce`."""
        while low < high:
            middle = (low + high) // 2
            if quantity(self._rpc.request("eth_getTransactionCount", self._account, hex(middle))) > nonce:
                high = middle
            else:
                low = middle + 1
        return low

    def simulate(self, actions: Sequence[Action]) -> list[int | ContractReverted | RpcError]:
        """For each action the gas it would use now, or why it would fail; with a given gas limit, that limit."""
        calls = []
        for action in actions:
            message = self._message(action)
            if action.gas is None:
                calls.append(Call("eth_estimateGas", (message, "latest")))
            else:
                calls.append(Call("eth_call", ({**message, "gas": hex(action.gas)}, "latest")))
        outcomes = self._rpc.batch(calls)
        return [self._gas(action, outcome) for action, outcome in zip(actions, outcomes, strict=True)]

    def _gas(self, action: Action, outcome: Any) -> int | ContractReverted | RpcError:
        if isinstance(outcome, (ContractReverted, RpcError)):
            return outcome
        return quantity(outcome) if action.gas is None else action.gas

    def _message(self, action: Action) -> dict[str, str]:
        message = {"from": self._account, "data": "0x" + action.data.hex(), "value": hex(action.value)}
        if action.recipient:
            message["to"] = "0x" + action.recipient.hex()
        return message

    def revert_data(self, action: Action, block: BlockRef) -> bytes | None:
        """Why a mined transaction reverted: the call repeated on the state after its block, then before. None if unknown."""
        message = self._message(action)
        before = "latest" if block.number == 0 else hex(block.number - 1)
        for tag in ({"blockHash": "0x" + block.hash.hex()}, before):
            outcome = self._rpc.batch([Call("eth_call", (message, tag))])[0]
            if isinstance(outcome, ContractReverted):
                return outcome.data
        return None

    def broadcast(self, attempts: Sequence[Attempt]) -> list[RpcError | None]:
        """Sends stored bytes, in one request; None where the node took them, else its error."""
        outcomes = self._rpc.batch(
            [Call("eth_sendRawTransaction", ("0x" + attempt.raw.hex(),)) for attempt in attempts]
        )
        return [_refusal(outcome) for outcome in outcomes]


def _refusal(outcome: Any) -> RpcError | None:
    if isinstance(outcome, ContractReverted):  # some nodes simulate what they are sent
        return RpcError(outcome.message)
    return outcome if isinstance(outcome, RpcError) else None
