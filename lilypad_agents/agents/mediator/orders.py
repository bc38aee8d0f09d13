"""What the user asks of a running mediator: one file each, answered by another.

`lilypad mediator vote|appeal|stake|unstake` hand an order over when the agent of the same settings runs; else the
command does it itself, by the same steps (`steps_of`). An order's transactions have keys of their own, so an order that
is taken up again after a crash does nothing twice.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lilypad_agents.agents.mediator.actor import Actor
from lilypad_agents.agents.mediator.errors import OrderRefused, PoolUnknown, VoteTooLate
from lilypad_agents.agents.mediator.settings import MediatorConfig
from lilypad_agents.agents.mediator.store import MediatorStore, StoredVote
from lilypad_agents.agents.mediator.view import Action
from lilypad_agents.agents.mediator.votes import name_of, salt_of
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.panels import STAKING
from lilypad_agents.agents.runtime.salt import Salts
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.outbox import Failed, Mined, Pending
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol.ids import Address, DealId, PoolId, hex_of
from lilypad_agents.protocol.terms import PoolTerms

VOTE, APPEAL, STAKE, UNSTAKE, WITHDRAW = "vote", "appeal", "stake", "unstake", "withdraw"
_POLL_S = 0.1


@dataclass(frozen=True)
class Order:
    """One wish. `id` names its files; the other fields as the kind needs them, amounts in smallest units."""

    kind: str
    id: str = ""
    deal: DealId = DealId(b"")
    round: int = 0
    vote: bytes = b""
    pool: PoolId = PoolId(b"")
    amount: int = 0
    proof: tuple[bytes, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "deal": hex_of(self.deal), "round": self.round, "vote": hex_of(self.vote),
            "pool": hex_of(self.pool), "amount": str(self.amount), "proof": [hex_of(word) for word in self.proof],
        }  # fmt: skip

    @classmethod
    def from_json(cls, order_id: str, document: Mapping[str, Any]) -> Order:
        """Raises ValueError or KeyError for what is no order."""
        deal, vote, pool = (bytes.fromhex(document[name][2:]) for name in ("deal", "vote", "pool"))
        proof = tuple(bytes.fromhex(word[2:]) for word in document["proof"])
        return cls(
            str(document["kind"]), order_id, DealId(deal), int(document["round"]), vote, PoolId(pool),
            int(document["amount"]), proof,
        )  # fmt: skip


def hand_over(data: Path, order: Order, timeout_s: float) -> dict[str, Any]:
    """Gives an order to the running mediator and waits for its answer.

    Raises OrderRefused with what the agent answered, or when it does not answer in time (the order stays with it).
    """
    folder = data / "orders"
    folder.mkdir(mode=0o700, exist_ok=True)
    order_id = f"{int(time.time() * 1_000)}-{secrets.token_hex(4)}"
    answer = folder / f"{order_id}.answer"
    growing = folder / f".{order_id}"
    growing.write_text(json.dumps(order.to_json()), encoding="utf-8")
    growing.rename(folder / f"{order_id}.json")
    end = time.monotonic() + timeout_s
    while not answer.exists():
        if time.monotonic() > end:
            raise OrderRefused(
                f"The mediator did not carry out the order within {timeout_s:.0f} s; it goes on with it.",
                order=order.kind, reason="no answer yet",
            )  # fmt: skip
        time.sleep(_POLL_S)
    found = json.loads(answer.read_text(encoding="utf-8"))
    answer.unlink()
    if found["error"] is not None:
        raise OrderRefused(found["error"], order=order.kind, reason=found["error"])
    return dict(found["done"])


def steps_of(context: AgentContext, order: Order, pool: PoolTerms, account: Address) -> list[tuple[str, Contract, bytes]]:
    """The transactions of an order about a stake, one after the other: name, contract, calldata. `account`: whose seats."""
    staking = context.contracts[STAKING]
    if order.kind == WITHDRAW:
        return [("withdraw", staking, staking.encode("withdraw", pool, account))]
    if order.kind == UNSTAKE:
        return [("unstake", staking, staking.encode("requestUnbonding", pool, order.amount))]
    token = Contract(pool.token, context.contracts["LilypadToken"].abi, context.rpc, context.contracts.errors)
    approve = token.encode("approve", staking.address, order.amount)
    return [("approve", token, approve), ("stake", staking, staking.encode("stake", pool, order.amount, list(order.proof)))]


@dataclass
class Orders:
    """The orders of one mediator; use on the loop's thread."""

    context: AgentContext
    config: MediatorConfig
    store: MediatorStore
    actor: Actor
    salts: Salts
    account: Address
    appeals: dict[DealId, int] = field(default_factory=dict)
    _waiting: dict[str, Order] = field(default_factory=dict)
    _steps: dict[str, list[tuple[str, Contract, bytes]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.appeals = self.store.asked_appeals()

    @property
    def folder(self) -> Path:
        return self.context.data / "orders"

    def take(self) -> bool:
        """Reads new orders; True when there is work on orders."""
        if self.folder.is_dir():
            for path in sorted(self.folder.glob("*.json")):
                if path.stem not in self._waiting:
                    self._read(path)
        return bool(self._waiting)

    def _read(self, path: Path) -> None:
        try:
            order = Order.from_json(path.stem, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._answer(path.stem, error=f"The file is no order: {type(error).__name__}.")
            return
        self.context.log("order_taken", kind=order.kind, order=order.id)
        self._waiting[order.id] = order

    def advance(self) -> int:
        """Does the next step of each order; how many transactions that made."""
        made = 0
        for order in list(self._waiting.values()):
            try:
                made += self._step(order)
            except LilypadError as error:
                self._answer(order.id, error=error.message)
        return made

    def _step(self, order: Order) -> int:
        if order.kind == VOTE:
            self._override(order)
            return 0
        if order.kind == APPEAL:
            self.store.ask_appeal(order.deal, order.round)
            self.appeals[order.deal] = order.round
            self._answer(order.id, done={"asked": True})
            return 0
        if order.kind in (STAKE, UNSTAKE, WITHDRAW):
            return self._send_next(order)
        raise OrderRefused(f"There is no order {order.kind!r}.", order=order.kind, reason="unknown")

    def _override(self, order: Order) -> None:
        salt = salt_of(self.salts, order.deal, order.round, self.account, order.vote)
        wanted = StoredVote(order.deal, order.round, self.account, order.vote, salt, "user", self.context.now)
        if self.store.add_vote(wanted).vote != order.vote:
            raise VoteTooLate("Another vote is decided for this round.", deal=order.deal, round=order.round)
        self.context.log("vote_decided", deal=order.deal, round=order.round, vote=name_of(order.vote), by="user")
        self._answer(order.id, done={"vote": name_of(order.vote)})

    def _send_next(self, order: Order) -> int:
        pool = self.config.pool(order.pool)
        if pool is None:
            raise PoolUnknown("The running mediator's settings do not name that pool.", pool=hex_of(order.pool))
        if order.id not in self._steps:
            self._steps[order.id] = steps_of(self.context, order, pool, self.account)
        hashes = []
        for name, contract, data in self._steps[order.id]:
            key = f"order:{order.id}:{name}"
            status = self.context.outbox.status(key)
            if status is None:
                return self.actor.send_alone(key, Action.ORDER, contract, data)
            if isinstance(status, Pending):
                return 0
            if isinstance(status, Failed):
                raise status.error
            assert isinstance(status, Mined)
            hashes.append(hex_of(status.receipt.transaction_hash))
        self._answer(order.id, done={"transactions": hashes})
        return 0

    def _answer(self, order_id: str, *, done: Mapping[str, Any] | None = None, error: str | None = None) -> None:
        """Writes the answer, then forgets the order: a crash between the two repeats what can be repeated."""
        growing = self.folder / f".{order_id}.answer"
        growing.write_text(json.dumps({"done": done, "error": error}), encoding="utf-8")
        growing.rename(self.folder / f"{order_id}.answer")
        (self.folder / f"{order_id}.json").unlink(missing_ok=True)
        self._waiting.pop(order_id, None)
        self._steps.pop(order_id, None)
        self.context.log("order_answered", order=order_id, error=error)
