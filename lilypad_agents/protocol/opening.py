"""Arguments of the core's calls, as the ABI wants them: named tuples under the structs' names (contracts/types/Calls.sol).

Field names are those of Solidity in snake case, in the same order, so that any encoder of structs by name or position
takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lilypad_agents.protocol.consent import Closing as ClosingTerms
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.errors import OffersDiffer
from lilypad_agents.protocol.ids import NOBODY, Address, Bytes32, Commitment, DealId
from lilypad_agents.protocol.lifecycle import Agreement
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import Amount, Timestamp

Words = tuple[Bytes32, ...]


class SignedJob(NamedTuple):
    words: Words
    signature: bytes


class Opening(NamedTuple):
    resource: Words
    resource_signature: bytes
    module: Words  # six
    pool: Words  # five
    membership: tuple[bytes, ...]
    jobs: tuple[SignedJob, ...]


class ResultOpening(NamedTuple):
    head: bytes
    content: bytes
    salt: bytes


NO_OPENING = ResultOpening(bytes(32), bytes(32), bytes(32))  # for verdicts that need none


class SettledItem(NamedTuple):
    details: bytes
    head: bytes
    content: bytes
    salt: bytes
    agreement: Agreement
    signature: bytes


class Settlement(NamedTuple):
    shared: Words
    items: tuple[SettledItem, ...]


class SignedResult(NamedTuple):
    deal_id: DealId
    commitment: Commitment
    signature: bytes


class Closing(NamedTuple):
    to_creator: Amount
    to_provider: Amount
    expiry: Timestamp
    creator_signature: bytes
    provider_signature: bytes


class Pair(NamedTuple):
    """A job offer and a resource offer with their signature arguments and the terms that both name."""

    job: JobOffer
    job_signature: bytes
    resource: ResourceOffer
    resource_signature: bytes
    module: ModuleTerms
    pool: PoolTerms
    membership: tuple[bytes, ...] = ()

    @property
    def solver(self) -> Address:
        return self.job.solver if self.resource.solver == NOBODY else self.resource.solver


class Settling(NamedTuple):
    """A deal that is ready to be settled, with the opening of its commitment."""

    deal: Deal
    opening: ResultOpening
    agreement: Agreement = Agreement.NONE
    signature: bytes = b""


def opening_of(pairs: Sequence[Pair]) -> Opening:
    """The argument of `open`, `openAndSubmit` and `openSubmitAndSettle`: job offers that one resource offer serves.

    Raises OffersDiffer when the pairs cannot travel in one opening.
    """
    groups = grouped(pairs)
    if len(groups) != 1:
        raise OffersDiffer("group", f"of {len(groups)} openings", "one opening")
    return _opening(*groups[0])


def openings_of(pairs: Iterable[Pair]) -> list[Opening]:
    """The argument of `openBatch`: pairs grouped by resource offer and terms, in the order of their first job.

    `Skipped(group, item)` counts in this order; `grouped` gives the pairs in it.
    """
    return [_opening(solver, group) for solver, group in grouped(pairs)]


def grouped(pairs: Iterable[Pair]) -> list[tuple[Address, list[Pair]]]:
    """Pairs by what an opening sends once, with the solver of each group.

    A job that names no solver fits beside jobs that do, since the solver's word counts only for offers that name it.
    """
    groups: dict[tuple[object, ...], list[tuple[Address, list[Pair]]]] = {}
    order: list[tuple[tuple[object, ...], int]] = []
    for pair in pairs:
        key = (pair.resource.struct_hash, pair.resource_signature, pair.module.id, pair.pool.id, pair.membership)
        found = groups.setdefault(key, [])
        for index, (solver, members) in enumerate(found):
            if pair.solver in (NOBODY, solver) or solver == NOBODY:
                found[index] = (pair.solver if solver == NOBODY else solver, members)
                members.append(pair)
                break
        else:
            order.append((key, len(found)))
            found.append((pair.solver, [pair]))
    return [groups[key][index] for key, index in order]


def settlements_of(settlings: Iterable[Settling]) -> list[Settlement]:
    """The argument of `settleBatch` (or, for one group, of `settle`): deals grouped by what they share."""
    groups: dict[Words, list[SettledItem]] = {}
    for settling in settlings:
        deal, opening = settling.deal, settling.opening
        item = SettledItem(deal.details, *opening, settling.agreement, settling.signature)
        groups.setdefault(deal.shared, []).append(item)
    return [Settlement(shared, tuple(items)) for shared, items in groups.items()]


def waived_at_once(deal: Deal, opening: ResultOpening, waiver: bytes) -> tuple[Words, bytes, bytes, bytes, bytes]:
    """The arguments of `submitAndSettle`; its result is public at once, so the core takes 0 for the salt."""
    return deal.shared, deal.details, opening.head, opening.content, waiver


def closing_of(terms: ClosingTerms, creator_signature: bytes, provider_signature: bytes) -> Closing:
    """The argument of `close`."""
    return Closing(terms.to_creator, terms.to_provider, terms.expiry, creator_signature, provider_signature)


def _opening(solver: Address, pairs: Sequence[Pair]) -> Opening:
    first = pairs[0]
    return Opening(
        first.resource.words(solver),
        first.resource_signature,
        first.module.words,
        first.pool.words,
        tuple(first.membership),
        tuple(SignedJob(pair.job.words(), pair.job_signature) for pair in pairs),
    )
