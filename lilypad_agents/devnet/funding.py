"""Play money: tokens and ledger balances for every role, and the audit fund of the practice pool. Repeating it adds nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lilypad_agents.agents.creator.chain import CreatorChain, Ledger
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.deployer import RpcSender
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.types import ChainId
from lilypad_agents.devnet.layout import CHAIN_ID, DEPLOYER, JUDGE
from lilypad_agents.protocol.ids import ZERO, Address, keccak256
from lilypad_agents.protocol.terms import PoolTerms
from lilypad_agents.protocol.units import Amount, Seconds

TOKEN = 10**18
FUND = 1_000 * TOKEN  # protocol section 15, devnet column
_POOL_MAX_VALUE = 20 * TOKEN


@dataclass(frozen=True)
class Grant:
    """What an account starts with, smallest units."""

    wallet: int = 0
    ledger: int = 0


CREATOR_GRANT = Grant(wallet=9_000 * TOKEN, ledger=1_000 * TOKEN)
PROVIDER_GRANT = Grant(ledger=10_000 * TOKEN)


def address_of(index: int) -> Address:
    """The account of an index of the public test mnemonic."""
    return Address(signer_from_test_mnemonic(index, ChainId(CHAIN_ID)).address)


def practice_pool(token: Address) -> PoolTerms:
    """A verified pool whose judge is a test account: for trying out audits and disputes before there are panels.

    Nobody's result is safe in it. Its seat stake is what section 6.6 asks for at its largest value.
    """
    seat_fee = _POOL_MAX_VALUE * 125 // 100
    return PoolTerms(
        strategy=address_of(JUDGE),
        token=token,
        seat_fee_floor=Amount(TOKEN // 100),
        seat_stake=Amount(-(-seat_fee * 64 // 10)),
        max_value=Amount(_POOL_MAX_VALUE),
        members=ZERO,
        commit_window=Seconds(12),
        reveal_window=Seconds(8),
        appeal_window=Seconds(12),
        note=keccak256(b"practice pool of the devnet: judged by a test account"),
    )


def fund(chain: CreatorChain, grants: Mapping[int, Grant]) -> list[Address]:
    """Gives each account that never had anything its grant, and seeds the fund; returns the accounts that got something."""
    sender = RpcSender(chain.rpc, signer_from_test_mnemonic(DEPLOYER, ChainId(CHAIN_ID)), ChainId(CHAIN_ID))
    token = chain.token_contract(chain.default_token)
    new = [(address_of(index), grant) for index, grant in grants.items() if _is_new(chain.ledger(address_of(index)))]
    pool = practice_pool(chain.default_token)
    seeded = int(chain.core.call("fundOf", pool.strategy, pool.token, pool.id)) > 0
    _deposit(sender, chain.core, token, new, 0 if seeded else FUND)
    if not seeded:
        _send(sender, chain.core, "donate", pool.strategy, pool.token, pool.id, FUND)
    for account, grant in new:
        if grant.wallet:
            _send(sender, token, "transfer", account, grant.wallet)
    return [account for account, _ in new]


def _deposit(
    sender: RpcSender, core: Contract, token: Contract, new: Sequence[tuple[Address, Grant]], own: int
) -> None:
    """One approval of exactly what is deposited, then a deposit on behalf of each account."""
    amounts = [(account, grant.ledger) for account, grant in new if grant.ledger]
    if own:
        amounts.append((Address(sender.address), own))
    if not amounts:
        return
    _send(sender, token, "approve", core.address, sum(amount for _, amount in amounts))
    for account, amount in amounts:
        _send(sender, core, "deposit", token.address, amount, account)


def _send(sender: RpcSender, contract: Contract, function: str, *arguments: object) -> None:
    sender.send(contract.address, contract.encode(function, *arguments))


def _is_new(ledger: Ledger) -> bool:
    return ledger.wallet + ledger.free + ledger.locked == 0
