"""Play money: tokens and ledger balances for every role, the pool's audit fund, the mediators' stakes. Repeating it adds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lilypad_agents.agents.creator.chain import CreatorChain, Ledger
from lilypad_agents.chain.codec import quantity
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.deployer import RpcSender
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.types import ChainId
from lilypad_agents.devnet.layout import CHAIN_ID, DEPLOYER
from lilypad_agents.protocol.ids import ZERO, Address, keccak256
from lilypad_agents.protocol.price import least_seat_floor_up, least_seat_stake_up, seat_fee_up
from lilypad_agents.protocol.terms import PoolTerms
from lilypad_agents.protocol.units import Amount, Seconds

TOKEN = 10**18
FUND = 1_000 * TOKEN  # protocol section 15, devnet column
POOL_MAX_VALUE = 10 * TOKEN  # its eighth, the least floor, is a seat's fee for a job that costs one token
SEATS_EACH = 20  # of a mediator; two of them can seat the largest round while another panel sits
COIN = 100 * 10**18  # of those accounts that the chain does not begin with
APPEAL_BUDGET = 100 * TOKEN  # of a mediator whose own re-run a panel contradicts


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


def mediated_pool(book: AddressBook) -> PoolTerms:
    """The pool that judges by default: open to every staker, at the panel strategy of the deployment.

    Windows: protocol section 15, devnet column. A seat's least fee and its stake are what section 6.6 asks for at the pool's
    largest value.
    """
    seat_fee = seat_fee_up(POOL_MAX_VALUE, 0, 0)
    return PoolTerms(
        strategy=Address(book.address("LilypadMediation")),
        token=Address(book.address("LilypadToken")),
        seat_fee_floor=least_seat_floor_up(POOL_MAX_VALUE),
        seat_stake=least_seat_stake_up(seat_fee),
        max_value=Amount(POOL_MAX_VALUE),
        members=ZERO,
        commit_window=Seconds(12),
        reveal_window=Seconds(8),
        appeal_window=Seconds(12),
        note=keccak256(b"pool of the devnet: whatever machine runs it"),
    )


def fund(chain: CreatorChain, grants: Mapping[int, Grant]) -> list[Address]:
    """Gives each account that never had anything its grant, and seeds the fund; returns the accounts that got something."""
    sender = _sender(chain, DEPLOYER)
    token = chain.token_contract(chain.default_token)
    new = [(address_of(index), grant) for index, grant in grants.items() if _is_new(chain.ledger(address_of(index)))]
    pool = mediated_pool(chain.book)
    seeded = int(chain.core.call("fundOf", pool.strategy, pool.token, pool.id)) > 0
    _deposit(sender, chain.core, token, new, 0 if seeded else FUND)
    if not seeded:
        _send(sender, chain.core, "donate", pool.strategy, pool.token, pool.id, FUND)
    for account, grant in new:
        if grant.wallet:
            _send(sender, token, "transfer", account, grant.wallet)
    return [account for account, _ in new]


def stake(chain: CreatorChain, indices: Iterable[int]) -> list[Address]:
    """Gives each account that has no stake one of SEATS_EACH seats, coin for gas and tokens for appeals; returns those."""
    pool, deployer = mediated_pool(chain.book), _sender(chain, DEPLOYER)
    staking, token = chain.staking, chain.token_contract(chain.default_token)
    amount, made = SEATS_EACH * pool.seat_stake, []
    for index in indices:
        account = address_of(index)
        if int(staking.call("stakeOf", pool.id, account)[0]):
            continue
        give_coin(chain, [index])
        _send(deployer, token, "transfer", account, amount + APPEAL_BUDGET)
        own = _sender(chain, index)
        _send(own, token, "approve", staking.address, amount)
        _send(own, staking, "stake", pool, amount, [])
        made.append(account)
    return made


def give_coin(chain: CreatorChain, indices: Iterable[int]) -> None:
    """Gives each account that has less than half of COIN as much, for gas and for the bonds of seeds."""
    for account in map(address_of, indices):
        if quantity(chain.rpc.request("eth_getBalance", account, "latest")) < COIN // 2:
            _sender(chain, DEPLOYER).send(account, b"", COIN)


def _sender(chain: CreatorChain, index: int) -> RpcSender:
    return RpcSender(chain.rpc, signer_from_test_mnemonic(index, ChainId(CHAIN_ID)), ChainId(CHAIN_ID))


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
