"""Transaction outbox: every action happens at most once, however often the process dies or the network fails.

Order for each action: simulate, reserve a nonce, sign, store the bytes durably, then broadcast, then look for a receipt
of *any* stored hash. A restart sends the same bytes. A replacement keeps its nonce and raises the fee up to a cap, so
two versions of one action can never both be mined. A nonce is given up only when a foreign transaction of the same key
provably used it. A receipt is watched until it is too deep to vanish; if the chain drops it, the bytes are sent again.

An agent calls `submit` with a natural key (deal, action) as often as it likes, and `pump` once per cycle.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from lilypad_agents.chain.abi import ErrorTable
from lilypad_agents.chain.clock import ChainMoment
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.errors import (
    ContractReverted,
    DatabaseCorrupt,
    FeeCapReached,
    RpcError,
    TransactionTimeout,
)
from lilypad_agents.chain.fees import Fees, covers, first_fees, raised_fees
from lilypad_agents.chain.keys import Signer
from lilypad_agents.chain.outbox_chain import OutboxChain, View
from lilypad_agents.chain.outbox_identity import bind_to_key, require_genesis
from lilypad_agents.chain.outbox_store import Action, ActionId, Attempt, OutboxStore, Receipt, State, held_by
from lilypad_agents.chain.outbox_types import (
    Failed,
    Mined,
    OutboxConfig,
    Pending,
    PumpReport,
    Status,
    late,
    stored_error,
)
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.chain.transaction import FeeMarketTransaction
from lilypad_agents.chain.types import ChainId, Notify, Wei, silent
from lilypad_agents.errors import ChainUnreachable, InsufficientFunds, LilypadError
from lilypad_agents.protocol.ids import address_bytes, keccak256

__all__ = ["ActionId", "Failed", "Mined", "Outbox", "OutboxConfig", "Pending", "PumpReport", "Receipt", "Status"]

_FILLER = "filler:"
_TRANSFER_GAS = 21_000
_POOL_LAG_BLOCKS = 3  # for how long a refusal for want of coin that is there may be the pool's delay
_HARMLESS = ("already known", "known transaction", "already imported", "nonce too low", "nonce is too low")
_NEVER_VALID = ("intrinsic gas", "exceeds block gas limit", "gas limit too high", "oversized", "invalid sender", "invalid chain")


class Outbox:
    """The outbox of one key on one chain. All methods may be called by any thread; one pump runs at a time."""

    def __init__(
        self,
        database: Database,
        rpc: Rpc,
        signer: Signer,
        chain_id: ChainId,
        config: OutboxConfig | None = None,
        *,
        errors: ErrorTable | None = None,
        notify: Notify = silent,
        crash: CrashPlan = NEVER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`errors` decodes reverts. Raises ConfigurationError when the database belongs to another key or chain."""
        self.config = config or OutboxConfig()
        self._store = OutboxStore(database)
        self._chain = OutboxChain(rpc, signer.address, self.config.least_tip, self.config.most_tip)
        self._signer = signer
        self._chain_id = chain_id
        self._errors = errors or ErrorTable.of()
        self._notify = notify
        self._crash = crash
        self._clock = clock
        self._pumping = threading.Lock()
        self._changed = threading.Condition()
        self._blocked: dict[str, LilypadError] = {}
        self._sent_at: dict[bytes, float] = {}
        self._waits_since: dict[bytes, float] = {}  # when this process first saw an attempt stand first in the queue
        self._gap_since: dict[int, float] = {}
        self._simulated: dict[ActionId, tuple[int, int]] = {}  # head number and failures of fruitless simulations
        self._last_head: ChainMoment | None = None
        self._highest_receipt = -1  # the highest block of which this process saw a receipt
        self._closed_some = False
        bind_to_key(self._store, f"{chain_id}:{signer.address}")

    # --- what agents call ----------------------------------------------------------------------------------------

    def submit(
        self,
        key: str,
        to: str | None,
        data: bytes = b"",
        value: int = 0,
        gas: int | None = None,
        deadline: int | None = None,
        *,
        again_if_failed: bool = False,
    ) -> ActionId:
        """Wants a transaction, once for `key`: repeating the call changes nothing. Durable when it returns; sends nothing.

        `to` None creates a contract, `value` wei, `gas` units (None: estimated with a margin), `deadline` unix seconds
        of block time after which it must not be sent. `again_if_failed` puts a failed action back, with this content.
        """
        if key.startswith(_FILLER):
            raise ValueError("This prefix is the outbox's own.")
        content = (b"" if to is None else address_bytes(to), bytes(data), Wei(value), gas, deadline)
        self._crash.point("outbox.submit.before_commit")
        known = self._store.by_key(key)
        if known is None:
            self._store.add(key, *content)
            known = self._store.by_key(key)
            assert known is not None
        elif again_if_failed:
            self._put_back(key, content)
        self._crash.point("outbox.submit.after_commit")
        return known.id

    def _put_back(self, key: str, content: tuple[bytes, bytes, Wei, int | None, int | None]) -> None:
        with self._pumping:  # a step under way may hold an older picture of the action
            action = self._store.by_key(key)
            if action is not None and isinstance(self._status_of(action), Failed):
                self._store.queue_again(key, *content)

    def withdraw(self, key: str) -> bool:
        """Forgets an action that is queued, or mined too deep to be watched. A signed one is cancelled if there is time for it.

        False when it is not forgotten: it was signed, or is unknown.
        """
        with self._pumping:
            action = self._store.by_key(key)
            if action is None:
                return False
            if self._store.attempts([action])[action.id]:
                record = {"kind": "refused", "message": f"{key} was taken back before it was mined."}
                if action.state is State.SENT and action.error is None:
                    self._store.mark(action, record)
                elif action.state is State.QUEUED:
                    self._close_unsent(action, record)
                return False
            if action.state not in (State.QUEUED, State.DONE):
                return False
            self._store.delete(action)
            self._blocked.pop(key, None)
            return True

    def status(self, key: str) -> Status | None:
        """Where an action stands by the last pump; None for a key that is not known (or was forgotten long after)."""
        action = self._store.by_key(key)
        return None if action is None else self._status_of(action)

    def wait(self, key: str, timeout_s: float) -> Receipt:
        """Pumps until the action is mined and returns its receipt.

        Raises what made it fail (ContractReverted, DeadlinePassed, TransactionRefused), InsufficientFunds at once when
        the account lacks coin, TransactionTimeout after `timeout_s`; then it stays in the outbox. KeyError: unknown key.
        """
        end, pause, pumped = self._clock() + timeout_s, 0.002, False
        while True:
            status = self.status(key)
            if status is None:
                raise KeyError(key)
            if isinstance(status, Mined):
                return status.receipt
            if isinstance(status, Failed):
                raise status.error
            if pumped and isinstance(status.blocked, InsufficientFunds):
                raise status.blocked
            if self._clock() >= end:
                raise TransactionTimeout(f"The transaction {key} is not mined after {timeout_s:.0f} s.", key=key)
            if self._pumping.acquire(blocking=False):
                try:
                    self._pump()
                    pumped = True
                except ChainUnreachable as error:
                    self._notify("outbox_waits_for_chain", reason=error.message)
                finally:
                    self._pumping.release()
            if isinstance(self.status(key), Pending):
                with self._changed:
                    self._changed.wait(min(pause, max(0.0, end - self._clock())))
                pause = min(0.25, pause * 2)

    def pump(self) -> PumpReport:
        """One step of everything pending, without waiting for blocks.

        Raises ChainUnreachable, WrongChain (nothing is signed then), ChainReset, RpcError; nothing is lost by that.
        """
        with self._pumping:
            return self._pump()

    # --- one step ------------------------------------------------------------------------------------------------

    def _pump(self) -> PumpReport:
        counts = self._store.counts()
        if not counts[State.QUEUED] + counts[State.SENT] + counts[State.INCLUDED]:
            return PumpReport(None, counts, {})
        view = self._observe()
        self._settle(view)
        self._give_up_late(view)
        if self._store.finish_below(view.head.number - self.config.finality_blocks) or self._closed_some:
            self._store.prune(self.config.keep_closed)
            self._closed_some = False
        sent = self._open_attempts(view)
        self._replace(sent, view)
        self._fill_gap(sent, view)
        self._sign_queued(sent, view)
        self._broadcast(view)
        with self._changed:
            self._changed.notify_all()
        return PumpReport(view.head, self._store.counts(), dict(self._blocked))

    def _observe(self) -> View:
        view = self._chain.observe()
        if self._last_head is None:
            self._warn_of_unknown(view)
        if self._reorganised(view.head):
            require_genesis(self._store, self._chain.genesis(), self._chain_id)
            self._recheck_included()
            self._sent_at.clear()
        self._last_head = view.head
        return view

    def _warn_of_unknown(self, view: View) -> None:
        """At the start: mined transactions of this key that the database does not know (hand use, an old backup)."""
        known = self._store.last_known_nonce()
        if known is not None and view.next_nonce > known + 1:
            self._notify("outbox_unknown_transactions", alert=True, count=view.next_nonce - known - 1)

    def _reorganised(self, head: ChainMoment) -> bool:
        """Whether blocks seen before may be gone. At the start everything is checked, and so it is after a receipt of a
        block beyond the head that was seen: whether that very block is still there, heads do not tell."""
        last = self._last_head
        if last is None or self._highest_receipt > last.number:
            return True
        if head.hash == last.hash or head.parent_hash == last.hash:
            return False
        return head.number <= last.number or self._chain.block_hash(last.number) != last.hash

    def _recheck_included(self) -> None:
        """Reopens what the chain dropped, and stores the new block of what moved."""
        included = self._store.in_state(State.INCLUDED)
        attempts = self._store.attempts(included)
        found = self._chain.receipts([attempt.hash for action in included for attempt in attempts[action.id]])
        with self._store.transaction():
            for action in included:
                mined = [attempt for attempt in attempts[action.id] if attempt.hash in found]
                if not mined:
                    self._store.reopen(action)
                    self._notify("outbox_receipt_vanished", alert=action.confirmed, key=action.key)
                elif Receipt.parse(found[mined[0].hash]) != action.receipt:
                    self._include(action, mined[0].nonce, found[mined[0].hash])
                elif action.receipt is not None:
                    self._highest_receipt = max(self._highest_receipt, action.receipt.block.number)

    def _settle(self, view: View) -> None:
        """Looks for receipts of every stored hash whose nonce is used up, and confirms those that are deep enough."""
        waiting = self._store.with_open_attempts()
        attempts = self._store.attempts(waiting)
        used = [attempt for action in waiting for attempt in attempts[action.id] if attempt.nonce < view.next_nonce]
        if used:
            self._record(waiting, attempts, self._chain.receipts([attempt.hash for attempt in used]), view)
        self._confirm(view)

    def _record(
        self,
        waiting: Sequence[Action],
        attempts: dict[ActionId, list[Attempt]],
        found: dict[bytes, dict[str, Any]],
        view: View,
    ) -> None:
        """Stores the receipts found; an action whose nonce is used without one is looked into."""
        self._crash.point("outbox.receipt_seen")
        lost = []
        with self._store.transaction(durable=False):
            for action in waiting:
                mined = [attempt for attempt in attempts[action.id] if attempt.hash in found]
                if mined:
                    self._include(action, mined[0].nonce, found[mined[0].hash])
                elif action.state is State.SENT and action.nonce is not None and action.nonce < view.next_nonce:
                    lost.append(action)
        self._crash.point("outbox.receipt_stored")
        for action in lost:
            self._release_used_nonce(action, attempts[action.id], view)

    def _include(self, action: Action, nonce: int, receipt: dict[str, Any]) -> None:
        self._store.include(action, nonce, receipt)
        self._highest_receipt = max(self._highest_receipt, Receipt.parse(receipt).block.number)

    def _confirm(self, view: View) -> None:
        deep = self._store.to_confirm(view.head.number - self.config.confirmations)
        if not deep:
            return
        attempts = self._store.attempts(deep)
        errors = {action.id: self._mined_error(action, attempts[action.id], view) for action in deep}
        with self._store.transaction(durable=False):
            for action in deep:
                self._store.confirm(action, errors[action.id])
                self._blocked.pop(action.key, None)
        for action in deep:
            assert action.receipt is not None
            mined, why = action.receipt, (errors[action.id] or {}).get("message")
            at = {"transaction": "0x" + mined.transaction_hash.hex(), "block": mined.block.number}
            self._notify("outbox_mined", key=action.key, **at, gas=mined.gas_used, error=why)

    def _mined_error(self, action: Action, attempts: Sequence[Attempt], view: View) -> dict[str, Any] | None:
        """What a mined transaction stands for: None for success, else the error to report."""
        receipt = action.receipt
        assert receipt is not None
        if any(attempt.cancels and attempt.hash == receipt.transaction_hash for attempt in attempts):
            return action.error or late(action, view.head)
        if receipt.succeeded:
            return None
        gas = next((attempt.gas for attempt in attempts if attempt.hash == receipt.transaction_hash), None)
        data = self._chain.revert_data(action, receipt.block)
        if data is None:
            text = "it used all its gas" if gas == receipt.gas_used else "the reason is no longer on the chain"
            return {"kind": "reverted", "data": "", "message": text}
        return {"kind": "reverted", "data": data.hex(), "message": str(self._errors.decode(data))}

    def _release_used_nonce(self, action: Action, attempts: Sequence[Attempt], view: View) -> None:
        """A nonce is used, but no receipt is ours: gives the action a new one if a foreign transaction proves it."""
        assert action.nonce is not None
        since = min((attempt.signed_block for attempt in attempts), default=0)
        user = self._chain.nonce_user(action.nonce, since, view.head)
        if user is None or any(attempt.hash == user.hash for attempt in attempts):
            return  # the node does not show its receipt yet
        if view.head.number - user.block < self.config.confirmations:
            return
        found = "0x" + user.hash.hex()
        self._notify("outbox_foreign_transaction", alert=True, key=action.key, nonce=action.nonce, transaction=found)
        if action.key.startswith(_FILLER):
            self._store.close(action)
        else:
            self._store.requeue(action)

    def _give_up_late(self, view: View) -> None:
        for action in self._store.expired(view.head.timestamp):
            self._close_unsent(action, late(action, view.head))

    # --- fees ------------------------------------------------------------------------------------------------------

    def _open_attempts(self, view: View) -> dict[int, tuple[Action, Attempt]]:
        """The newest attempt of every sent action that is not mined, by nonce."""
        sent = self._store.in_state(State.SENT)
        attempts = self._store.attempts(sent)
        newest = [(action, [a for a in attempts[action.id] if a.nonce == action.nonce][-1]) for action in sent]
        return {attempt.nonce: (action, attempt) for action, attempt in newest if attempt.nonce >= view.next_nonce}

    def _urgent(self, action: Action, head: ChainMoment) -> bool:
        return action.deadline is not None and action.deadline - head.timestamp <= self.config.urgent_before_s

    def _cap(self, nonce: int, sent: dict[int, tuple[Action, Attempt]], view: View) -> Wei:
        """The urgent cap for an urgent action and for everything that stands before one."""
        behind = [action for other, (action, _) in sent.items() if other >= nonce] + self._store.queued(1)
        urgent = any(self._urgent(action, view.head) for action in behind)
        return self.config.urgent_fee_cap if urgent else self.config.fee_cap

    def _replace(self, sent: dict[int, tuple[Action, Attempt]], view: View) -> None:
        """Raises the fee of what cannot or does not get mined; takes back what is too late or was refused for good."""
        stale = [nonce for nonce in sorted(sent)[:1] if self._is_stale(sent[nonce][1], view)]
        known = self._chain.knows([sent[nonce][1] for nonce in stale]) if stale else set()
        signed = []
        for nonce, (action, attempt) in sorted(sent.items()):
            cancel = not attempt.cancels and self._to_cancel(action, view)
            stuck = not covers(attempt.fees, view.market) and view.head.number > attempt.signed_block
            dropped = nonce in stale and attempt.hash not in known
            if dropped:
                self._sent_at.pop(attempt.hash, None)
            if not (cancel or stuck or (nonce in stale and not dropped)):
                continue
            cap = self._cap(nonce, sent, view)
            fees = raised_fees(attempt.fees, view.market, cap)
            if fees is None:
                self._block(action, _fee_wait(view, cap))
                continue
            signed.append(
                (action, self._sign(action, nonce, attempt.gas, fees, view, cancels=cancel or attempt.cancels))
            )
        if signed:
            self._save([attempt for _, attempt in signed])
            for action, attempt in signed:
                sent[attempt.nonce] = (action, attempt)
                self._blocked.pop(action.key, None)
                event = "outbox_cancelling" if attempt.cancels else "outbox_replaced"
                self._notify(event, key=action.key, nonce=attempt.nonce, max_fee=attempt.fees.max_fee)

    def _is_stale(self, attempt: Attempt, view: View) -> bool:
        """Whether the attempt that stands first has waited long enough, in blocks and in seconds, to be replaced."""
        since = self._waits_since.get(attempt.hash, self._clock())
        self._waits_since = {attempt.hash: since}  # only one stands first
        blocks = view.head.number - attempt.signed_block
        return blocks >= self.config.replace_after_blocks and self._clock() - since >= self.config.replace_after_s

    def _to_cancel(self, action: Action, view: View) -> bool:
        late = action.deadline is not None and action.deadline < view.head.timestamp
        return late or action.error is not None

    # --- nonces and signing ----------------------------------------------------------------------------------------

    def _fill_gap(self, sent: dict[int, tuple[Action, Attempt]], view: View) -> None:
        """Sends an empty transfer for the lowest missing nonce below ours, if it stays missing for the grace time."""
        missing = [nonce for nonce in range(view.next_nonce, max(sent, default=0)) if nonce not in sent]
        gap = missing[0] if missing and view.pending_nonce <= missing[0] else None
        self._gap_since = {n: since for n, since in self._gap_since.items() if n == gap}
        if gap is None:
            return
        if self._clock() - self._gap_since.setdefault(gap, self._clock()) < self.config.gap_grace_s:
            return
        fees = first_fees(view.market, self._cap(gap, sent, view))
        if fees is None:
            return
        filler = self._store.add_filler(
            f"{_FILLER}{gap}:{view.head.number}:{view.head.hash.hex()[:16]}",
            address_bytes(self._signer.address),
            lambda action: self._sign(action, gap, _TRANSFER_GAS, fees, view),
        )
        self._notify("outbox_gap_filled", alert=True, nonce=gap, transaction="0x" + filler.hash.hex())

    def _sign_queued(self, sent: dict[int, tuple[Action, Attempt]], view: View) -> None:
        """Simulates, signs and stores as many queued actions as may be in flight, nearest deadline first."""
        room = self.config.max_in_flight - len(sent)
        queued = self._ready(self._store.queued(max(0, room)), view)
        if not queued:
            return
        funds = view.balance - held_by(sent)
        highest = self._store.highest_nonce()
        nonce = max(view.pending_nonce, 0 if highest is None else highest + 1)
        signed = []
        for action, outcome in zip(queued, self._chain.simulate(queued), strict=True):
            gas = self._accepted_gas(action, outcome, view)
            if gas is None:
                continue
            fees = self._affordable(action, gas, funds, view)
            if fees is None:
                if self._holds_coin(action):
                    break
                continue
            funds -= gas * fees.max_fee + action.value
            signed.append(self._sign(action, nonce, gas, fees, view))
            self._blocked.pop(action.key, None)
            nonce += 1
        if signed:
            self._save(signed)

    def _ready(self, queued: Sequence[Action], view: View) -> list[Action]:
        """Those worth simulating: not fruitless at this very block, and not behind one that the coin is kept for."""
        ready = []
        for action in queued:
            if self._simulated.get(action.id, (-1, 0))[0] != view.head.number:
                ready.append(action)
            elif self._holds_coin(action):
                break
        return ready

    def _holds_coin(self, action: Action) -> bool:
        """An action with a deadline that lacks coin keeps what there is from all that are less pressing."""
        return action.deadline is not None and isinstance(self._blocked.get(action.key), InsufficientFunds)

    def _accepted_gas(self, action: Action, outcome: int | LilypadError, view: View) -> int | None:
        """The gas limit to sign with; None when the simulation failed (a revert closes the action at no cost)."""
        if isinstance(outcome, int):
            self._simulated.pop(action.id, None)
            if action.gas is not None:
                return action.gas
            return min(outcome + outcome * self.config.gas_margin_percent // 100, view.head.gas_limit)
        if isinstance(outcome, ContractReverted):
            message = str(self._errors.decode(outcome.data))
            self._close_unsent(action, {"kind": "reverted", "data": outcome.data.hex(), "message": message})
            return None
        failures = self._simulated.get(action.id, (0, 0))[1] + 1
        self._simulated[action.id] = (view.head.number, failures)
        short = "insufficient funds" in outcome.message.lower()
        self._block(action, self._lacks(action, action.value - view.balance) if short else outcome)
        if not short and failures >= self.config.simulation_attempts:
            self._close_unsent(action, {"kind": "refused", "message": outcome.message})
        return None

    def _close_unsent(self, action: Action, error: dict[str, Any]) -> None:
        self._store.fail(action, error)
        self._closed_some = True
        self._simulated.pop(action.id, None)
        self._blocked.pop(action.key, None)
        self._notify("outbox_refused_before_sending", key=action.key, error=error["message"])

    def _affordable(self, action: Action, gas: int, funds: int, view: View) -> Fees | None:
        cap = self.config.urgent_fee_cap if self._urgent(action, view.head) else self.config.fee_cap
        fees = first_fees(view.market, cap)
        if fees is None:
            self._simulated[action.id] = (view.head.number, 0)
            self._block(action, _fee_wait(view, cap))
            return None
        cost = gas * fees.max_fee + action.value
        if cost > funds:
            most = Wei((funds - action.value) // gas)
            if most >= view.market.base_fee + fees.tip and self._urgent(action, view.head):
                return Fees(most, fees.tip)  # there is no time left to wait for the margin
            self._simulated[action.id] = (view.head.number, 0)
            self._block(action, self._lacks(action, cost - funds))
            return None
        return fees

    def _lacks(self, action: Action, missing: int) -> InsufficientFunds:
        return InsufficientFunds(
            f"The account {self._signer.address} lacks {max(1, missing)} wei for gas and value of {action.key}.",
            hint="Send coin to the account; the transaction goes out by itself then.",
            account=self._signer.address,
            missing_wei=max(1, missing),
        )

    def _block(self, action: Action, error: LilypadError) -> None:
        before = self._blocked.get(action.key)
        self._blocked[action.key] = error
        if before is None or before.code != error.code:
            self._notify("outbox_blocked", alert=True, key=action.key, code=error.code, reason=error.message)

    def _sign(self, action: Action, nonce: int, gas: int, fees: Fees, view: View, *, cancels: bool = False) -> Attempt:
        """Signs the action, or the empty transfer to ourselves that takes its nonce back."""
        self._crash.point("outbox.before_sign")
        transaction = FeeMarketTransaction(
            chain_id=self._chain_id,
            nonce=nonce,
            max_priority_fee=fees.tip,
            max_fee=fees.max_fee,
            gas=_TRANSFER_GAS if cancels else gas,
            to=address_bytes(self._signer.address) if cancels else action.recipient,
            value=Wei(0) if cancels else action.value,
            data=b"" if cancels else action.data,
        )
        signed = self._signer.sign_transaction(transaction)
        self._crash.point("outbox.after_sign")
        return Attempt(signed.hash, action.id, nonce, signed.raw, transaction.gas, fees, cancels, view.head.number)

    def _save(self, attempts: Sequence[Attempt]) -> None:
        self._store.save_signed(attempts)
        self._crash.point("outbox.after_commit")

    def _broadcast(self, view: View) -> None:
        """Sends every stored attempt that was not sent lately, lowest nonce first, in one request."""
        now = self._clock()
        due = [
            (action, attempt)
            for _, (action, attempt) in sorted(self._open_attempts(view).items())
            if now - self._sent_at.get(attempt.hash, float("-inf")) >= self.config.rebroadcast_after_s
        ]
        if not due:
            return
        for action, attempt in due:
            if keccak256(attempt.raw) != attempt.hash:
                raise DatabaseCorrupt(f"The stored transaction of {action.key} does not have its stored hash.")
        self._crash.point("outbox.before_broadcast")
        refusals = self._chain.broadcast([attempt for _, attempt in due])
        self._crash.point("outbox.after_broadcast")
        self._sent_at = {hash_: at for hash_, at in self._sent_at.items() if now - at < 600}
        for (action, attempt), refusal in zip(due, refusals, strict=True):
            self._sent_at[attempt.hash] = now
            if refusal is not None:
                self._note_refusal(action, attempt, refusal, view)

    def _note_refusal(self, action: Action, attempt: Attempt, refusal: RpcError, view: View) -> None:
        text = refusal.message.lower()
        if any(phrase in text for phrase in _HARMLESS):
            return
        if any(phrase in text for phrase in _NEVER_VALID) and not attempt.cancels:
            self._store.mark(action, {"kind": "refused", "message": refusal.message})
        elif "insufficient funds" in text:
            missing = held_by(self._open_attempts(view)) - view.balance
            if missing <= 0 and view.head.number <= attempt.signed_block + _POOL_LAG_BLOCKS:
                self._sent_at.pop(attempt.hash, None)  # geth's pool sees coin later than its state: sent again by the next step
            else:  # a chain may ask for more than gas, such as for data
                self._block(action, self._lacks(action, max(1, missing)))
        elif not isinstance(self._blocked.get(action.key), FeeCapReached):  # the better reason for the same refusal
            self._block(action, refusal)

    # --- states -----------------------------------------------------------------------------------------

    def _status_of(self, action: Action) -> Status:
        if action.state is State.FAILED or (action.confirmed and action.error):
            return Failed(stored_error(action, self._errors), action.receipt)
        if action.state is State.DONE or action.confirmed:
            assert action.receipt is not None
            return Mined(action.receipt)
        hashes = tuple(attempt.hash for attempt in self._store.attempts([action])[action.id])
        return Pending(action.state, action.nonce, hashes, self._blocked.get(action.key))


def _fee_wait(view: View, cap: Wei) -> FeeCapReached:
    fee = view.market.base_fee
    return FeeCapReached(f"The base fee is {fee} wei per gas; the cap of {cap} leaves no room.", base_fee=fee, cap=cap)
