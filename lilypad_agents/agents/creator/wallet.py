"""The creator's own transactions: money in and out, and the claims that a deal leaves to it.

Allowances are exact and used up by the same command: a permit where the token has one (one transaction, no allowance on
chain), else an approval of exactly the amount, followed by its deposit.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.chain import CreatorChain
from lilypad_agents.chain.contract import Contract, call_many
from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.errors import AlreadyRunning, ContractReverted, NoContractCode
from lilypad_agents.chain.keys import Signer
from lilypad_agents.chain.lock import ProcessLock, lock_key
from lilypad_agents.chain.outbox import Outbox, OutboxConfig, Receipt
from lilypad_agents.chain.types import Notify, silent
from lilypad_agents.errors import InsufficientFunds
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import Address, DealId, hex_of, keccak256
from lilypad_agents.protocol.mediation import Seating
from lilypad_agents.protocol.offers import JobOffer
from lilypad_agents.protocol.terms import PoolTerms
from lilypad_agents.protocol.units import Amount

_PERMIT = keccak256(b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
_PERMIT_S = 600
_MINED_S = 120.0
_LOCK_S = 30.0


class Wallet:
    """Sends transactions of one key, one command at a time. `folder` holds the outbox, `locks` those of all agents."""

    def __init__(
        self,
        chain: CreatorChain,
        signer: Signer,
        folder: Path,
        locks: Path,
        config: OutboxConfig | None = None,
        notify: Notify = silent,
        crash: CrashPlan = NEVER,
    ) -> None:
        self._chain = chain
        self._signer = signer
        self._folder = folder
        self._locks = locks
        self._config = config
        self._notify = notify
        self._crash = crash

    @property
    def account(self) -> Address:
        return Address(self._signer.address)

    def deposit(self, token: Token, amount: int) -> list[Receipt]:
        """Moves `amount` smallest units from the wallet into free credit; returns the receipts.

        Raises InsufficientFunds before anything is sent, and what the outbox raises.
        """
        held = self._chain.ledger(self.account, token.address).wallet
        if held < amount:
            raise InsufficientFunds(
                f"Your wallet {self.account} has {token.show(held)}, {token.show(amount)} are needed.",
                hint="Send tokens to the account first; see `lilypad balance`.",
                has=held,
                needed=amount,
            )
        contract = self._chain.token_contract(token.address)
        mark = secrets.token_hex(8)
        with self._outbox() as outbox:
            permit = self._permit(contract, amount)
            if permit is not None:
                return [self._send(outbox, f"deposit:{mark}", self._chain.core, "depositWithPermit", *permit)]
            approval = self._send(outbox, f"approve:{mark}", contract, "approve", self._chain.core.address, amount)
            deposit = self._send(
                outbox, f"deposit:{mark}", self._chain.core, "deposit", token.address, amount, self.account
            )
            return [approval, deposit]

    def withdraw(self, token: Token, amount: int, to: Address) -> Receipt:
        """Sends `amount` smallest units of free credit to an account. Raises InsufficientFunds before anything is sent."""
        free = self._chain.ledger(self.account, token.address).free
        if free < amount:
            raise InsufficientFunds(
                f"Your ledger balance has {token.show(free)} free, {token.show(amount)} were asked for.",
                hint="What is locked in deals comes back when they end; see `lilypad job list`.",
                has=free,
                needed=amount,
            )
        with self._outbox() as outbox:
            key = f"withdraw:{secrets.token_hex(8)}"
            return self._send(outbox, key, self._chain.core, "withdraw", token.address, amount, to)

    def cancel(self, offer: JobOffer) -> Receipt:
        """Makes sure that an offer never opens (again)."""
        with self._outbox() as outbox:
            key = f"cancel:{hex_of(offer.struct_hash)}"
            return self._send(outbox, key, self._chain.core, "cancel", offer.creator, False, [offer.nonce])

    def step(self, name: str, deal_id: DealId, record: Deal) -> Receipt:
        """A call of the resolver that needs the record alone: `timeoutSubmit`, `challengeDelivery` and so on."""
        with self._outbox() as outbox:
            return self._send(outbox, f"{name}:{hex_of(deal_id)}", self._chain.resolver, name, list(record.words))

    def appeal(
        self, deal_id: DealId, record: Deal, pool: PoolTerms, round_: int, seating: Seating, fee: Amount
    ) -> Receipt:
        """Approves exactly the fee of `round_`, smallest units, and appeals: the strategy takes tokens, not credit."""
        mediation = self._chain.mediation
        assert mediation is not None, "the dispute was read from it"
        token = self._chain.token_contract(record.token)
        key = f"appeal:{hex_of(deal_id)}:{round_}"
        with self._outbox() as outbox:
            self._send(outbox, f"approve:{key}", token, "approve", mediation.address, fee)
            return self._send(outbox, key, mediation, "appeal", list(record.words), pool, seating)

    def registry(self, key: str, function: str, *arguments: Any) -> Receipt:
        """A call of the registry of modules. `key` is natural: the same action is sent once, also by a later command."""
        with self._outbox() as outbox:
            return self._send(outbox, key, self._chain.registry, function, *arguments)

    def _send(self, outbox: Outbox, key: str, contract: Contract, function: str, *arguments: Any) -> Receipt:
        outbox.submit(key, contract.address, contract.encode(function, *arguments), again_if_failed=True)
        return outbox.wait(key, _MINED_S)

    def _permit(self, token: Contract, amount: int) -> Sequence[Any] | None:
        """Arguments of `depositWithPermit`, or None for a token without permits (ERC-2612)."""
        questions = [token.prepare("DOMAIN_SEPARATOR"), token.prepare("nonces", self.account)]
        try:
            separator, nonce = call_many(self._chain.rpc, questions)
        except NoContractCode:  # an answer without data: the token does not know the question
            return None
        if isinstance(separator, ContractReverted) or isinstance(nonce, ContractReverted):
            return None
        deadline = self._chain.now() + _PERMIT_S
        spender = self._chain.core.address
        words = [_address(self.account), _address(spender), *(_word(value) for value in (amount, int(nonce), deadline))]
        struct_hash = keccak256(_PERMIT + b"".join(words))
        signature = self._signer.sign_digest(keccak256(b"\x19\x01" + bytes(separator) + struct_hash))
        r, s, v = signature[:32], signature[32:64], signature[64]
        return (token.address, self.account, amount, deadline, v, r, s)

    @contextmanager
    def _outbox(self) -> Iterator[Outbox]:
        lock = self._lock()
        database = Database.open(self._folder / "outbox.sqlite")
        try:
            yield Outbox(
                database,
                self._chain.rpc,
                self._signer,
                self._chain.book.chain_id,
                self._config,
                errors=self._chain.errors,
                notify=self._notify,
                crash=self._crash,
            )
        finally:
            database.close()
            lock.release()

    def _lock(self) -> ProcessLock:
        """The key's lock; another command of the same account is waited for, since it holds it for seconds only."""
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                return lock_key(self._locks, self._chain.book.chain_id, self.account)
            except AlreadyRunning:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address(account: str) -> bytes:
    return bytes(12) + bytes.fromhex(account[2:])
