"""Whose money `balance --all` shows: everybody on a devnet, and what waits in the ledger for its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lilypad_agents.devnet.layout import CHEATER, CREATOR, FIRST_PROVIDER, MEDIATORS, PUBLISHER, SECOND_PROVIDER, SOLVER
from lilypad_agents.protocol.ids import NOBODY, Address

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.session import Session
    from lilypad_agents.protocol.terms import PoolTerms

_SHOWN = {
    "creator": CREATOR,
    "provider1": FIRST_PROVIDER,
    "provider2": SECOND_PROVIDER,
    "solver": SOLVER,
    "publisher": PUBLISHER,
}


def parties(session: Session) -> list[tuple[str, Address]]:
    """Names and accounts: the devnet's roles on a local chain, else this account alone; the user first."""
    from lilypad_agents.chain.keys import LOCAL_CHAINS
    from lilypad_agents.devnet.funding import address_of

    if session.book.chain_id not in LOCAL_CHAINS:
        return [("you", session.account)]
    found = [(name, address_of(index)) for name, index in _SHOWN.items()]
    found += _present(session)
    if session.account not in {account for _, account in found}:
        found.insert(0, ("you", session.account))
    return found


def _present(session: Session) -> list[tuple[str, Address]]:
    """Those of the devnet's cheater and mediators who have a stake or ledger credit."""
    from lilypad_agents.chain.contract import call_many
    from lilypad_agents.devnet.funding import address_of

    chain, token = session.chain, session.chain.default_token
    candidates = [("cheater", address_of(CHEATER)), *((f"mediator{n}", address_of(i)) for n, i in enumerate(MEDIATORS, 1))]
    calls = [chain.core.prepare("accountOf", token, account) for _, account in candidates]
    for pool in session.settings.pools.values():
        if chain.mediation is not None and pool.strategy == chain.mediation.address:
            calls += [chain.staking.prepare("stakeOf", pool.id, account) for _, account in candidates]
    answers = call_many(session.rpc, calls)
    rich = [False] * len(candidates)
    for index, answer in enumerate(answers):
        if isinstance(answer, Exception):
            raise answer
        rich[index % len(candidates)] |= int(answer[0]) + int(answer[1]) > 0
    return [candidate for candidate, is_rich in zip(candidates, rich, strict=True) if is_rich]


def waiting_fees(session: Session) -> dict[str, int]:
    """Amounts that the ledger holds for somebody outside the balances, smallest units: fees, audit funds, stakes, and all in all."""
    from lilypad_agents.chain.contract import call_many
    from lilypad_agents.protocol.terms import UNVERIFIED

    core, token = session.chain.core, session.chain.default_token
    pools = {name: pool for name, pool in session.settings.pools.items() if pool.token == token}
    solvers = dict.fromkeys([address for name, address in parties(session) if name == "solver"] + [NOBODY])
    versions = {alias.terms.id for trusted in session.lists for alias in trusted.modules.values()}
    keys = [(version, solver) for version in versions for solver in solvers]
    calls = [core.prepare("feesOf", token, *key) for key in keys]
    for pool in (UNVERIFIED, *pools.values()):
        calls += [core.prepare("accruedOf", token, *key, pool.strategy, pool.id) for key in keys]
    calls += [core.prepare("fundOf", pool.strategy, token, pool.id) for pool in pools.values()]
    answers = call_many(session.rpc, calls)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    claimable, accrued = answers[: len(keys)], answers[len(keys) : len(answers) - len(pools)]
    funds = dict.fromkeys(pools, 0)
    for index, (name, swept) in enumerate(zip(pools, answers[len(answers) - len(pools) :], strict=True), 1):
        waiting = accrued[index * len(keys) : (index + 1) * len(keys)]
        funds[name] = int(swept) + sum(int(answer[2]) for answer in waiting)
    return {
        "solver fees, not claimed yet": sum(int(answer[1]) for answer in (*claimable, *accrued)),
        "royalties, not claimed yet": sum(int(answer[0]) for answer in (*claimable, *accrued)),
        **{f"audit fund of the pool {name}": amount for name, amount in funds.items()},
        **{f"stakes in the pool {name}": staked(session, pool) for name, pool in pools.items()},
        "held by the ledger in all": int(core.call("heldOf", token)),
    }


def staked(session: Session, pool: PoolTerms) -> int:
    """What mediators have staked in a pool at the deployment's panel strategy; 0 for other strategies."""
    chain = session.chain
    if chain.mediation is None or pool.strategy != chain.mediation.address:
        return 0
    return int(chain.staking.call("poolOf", pool.id)[0])
