"""The market as a creator sees it: open resource offers at its solver, and what the chain says of those behind them."""

from __future__ import annotations

from collections.abc import Sequence

from lilypad_agents.agents.creator.chainlists import versions_behind
from lilypad_agents.agents.creator.quote import Quote, price_offers
from lilypad_agents.agents.creator.session import Session
from lilypad_agents.chain.contract import call_many
from lilypad_agents.protocol.ids import ZERO, Address, VersionId
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.refusals import ChainView, why_not
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import UINT96_MAX, Timestamp

_PAGE = 500
_MOST_OFFERS = 2_000


def open_offers(session: Session) -> list[ResourceOffer]:
    """Resource offers that may match now, oldest first."""
    offers: list[ResourceOffer] = []
    cursor: str | None = None
    while len(offers) < _MOST_OFFERS:
        page = session.solver.offers(kind="resource", state="open", cursor=cursor, limit=_PAGE)
        offers += [view.offer for view in page.items if view.matching and isinstance(view.offer, ResourceOffer)]
        cursor = page.cursor
        if cursor is None:
            break
    return offers


def quote_for(session: Session, draft: JobOffer, module: ModuleTerms, pool: PoolTerms, time: Timestamp) -> Quote:
    """Prices a draft against the open offers, by the contract's own rule. Signs nothing.

    The creator's own balance does not count here: whether it suffices is asked when the price is known.
    """
    offers = open_offers(session)
    view = _view(session, draft, module, pool, offers, time)
    parameters = session.chain.parameters
    checked = [(offer, why_not(draft, offer, module, pool, parameters, view)) for offer in offers]
    return price_offers(draft, checked, module, pool, parameters)


def _view(
    session: Session, draft: JobOffer, module: ModuleTerms, pool: PoolTerms, offers: Sequence[ResourceOffer], time: Timestamp
) -> ChainView:
    core = session.chain.core
    providers = sorted({offer.provider for offer in offers})
    calls = [core.prepare("accountOf", draft.token, provider) for provider in providers]
    if pool.is_verified:
        calls.append(core.prepare("fundOf", pool.strategy, pool.token, pool.id))
    answers = call_many(session.rpc, calls)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    free: dict[tuple[Address, Address], int] = {(draft.token, draft.creator): UINT96_MAX}
    floors: dict[tuple[Address, Address], tuple[int, int]] = {}
    for provider, answer in zip(providers, answers, strict=False):
        free[draft.token, provider] = int(answer[0])
        floors[draft.token, provider] = (int(answer[2]), int(answer[3]))
    funds = {(pool.strategy, pool.token, pool.id): int(answers[-1])} if pool.is_verified else {}
    speakers = {offer.struct_hash: offer.provider for offer in offers} | {draft.struct_hash: draft.creator}
    return ChainView(
        domain=session.chain.domain,
        time=time,
        free=free,
        floors=floors,
        funds=funds,
        speakers=speakers,
        lists=_lists(session, module.id, offers),
    )


def _lists(session: Session, version: VersionId, offers: Sequence[ResourceOffer]) -> dict[bytes, frozenset[VersionId]]:
    """What is behind the roots that offers name: the module alone, each trusted list, and whatever list published the root."""
    known = [frozenset({version})]
    known += [frozenset(alias.terms.id for alias in trusted.modules.values()) for trusted in session.lists]
    found = {bytes(MerkleTree.of(versions).root): versions for versions in known if versions}
    unknown = {bytes(offer.modules) for offer in offers} - found.keys() - {ZERO}
    return {**found, **versions_behind(session.chain, unknown)}
