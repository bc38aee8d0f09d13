"""Whose money `balance --all` shows: everybody on a devnet, and what waits in the ledger for its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lilypad_agents.devnet.layout import CREATOR, FIRST_PROVIDER, PUBLISHER, SECOND_PROVIDER, SOLVER
from lilypad_agents.protocol.ids import NOBODY, Address

if TYPE_CHECKING:
    from lilypad_agents.agents.creator.session import Session

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
    if session.account not in {account for _, account in found}:
        found.insert(0, ("you", session.account))
    return found


def waiting_fees(session: Session) -> dict[str, int]:
    """Amounts that the ledger holds for somebody outside the balances, smallest units: fees, audit funds, and all in all."""
    from lilypad_agents.chain.contract import call_many
    from lilypad_agents.protocol.ids import UNVERIFIED_POOL

    core, token = session.chain.core, session.chain.default_token
    solvers = dict.fromkeys([address for name, address in parties(session) if name == "solver"] + [NOBODY])
    versions = {alias.terms.id for trusted in session.lists for alias in trusted.modules.values()}
    calls = []
    for version in versions:
        for solver in solvers:
            calls.append(core.prepare("accruedOf", token, version, solver, NOBODY, UNVERIFIED_POOL))
            calls.append(core.prepare("feesOf", token, version, solver))
    royalty = fee = 0
    for answer in call_many(session.rpc, [*calls]):
        if isinstance(answer, Exception):
            raise answer
        royalty += int(answer[0])
        fee += int(answer[1])
    return {
        "solver fees, not claimed yet": fee,
        "royalties, not claimed yet": royalty,
        "audit fund of the practice pool": _practice_fund(session),
        "held by the ledger in all": int(core.call("heldOf", token)),
    }


def _practice_fund(session: Session) -> int:
    from lilypad_agents.chain.keys import LOCAL_CHAINS
    from lilypad_agents.devnet.funding import practice_pool

    if session.book.chain_id not in LOCAL_CHAINS:
        return 0
    pool = practice_pool(session.chain.default_token)
    return int(session.chain.core.call("fundOf", pool.strategy, pool.token, pool.id))
