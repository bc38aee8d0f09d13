"""Which offers become deals: for each job, oldest first, the cheapest total, then the oldest offer.

The rule is deterministic: the same offers in the same order against the same view of the chain give the same matches, so
anyone can replay what a solver published. `refusals.why_not` decides on one pair; `match` finds the same answer for many
at once: per token and pool it keeps, for each limit, which offers meet which level as a bit set, so that a job costs a
dozen set operations instead of a look at every offer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from lilypad_agents.protocol.book import Book
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.deterrence import is_deterrent
from lilypad_agents.protocol.ids import NOBODY, UNVERIFIED_POOL, Address, OfferHash, PoolId, VersionId
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.price import figures_of, locked_total, premium_up, seat_fee_up
from lilypad_agents.protocol.refusals import (
    ChainView,
    Refusal,
    job_refusals,
    module_refusals,
    pool_refusals,
    rate_refusals,
    why_not,
)
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import AUDIT_SEATS, UINT96_MAX, WHOLE, Amount, Bps

__all__ = ["Match", "Matching", "Rules", "match", "reasons", "view_after", "why_not", "ChainView", "Refusal"]


@dataclass(frozen=True)
class Rules:
    """What does not change within a pass: known terms by id, and the deployment's parameters."""

    modules: Mapping[VersionId, ModuleTerms]
    pools: Mapping[PoolId, PoolTerms]
    parameters: Parameters

    def pool(self, pool: bytes) -> PoolTerms | None:
        return UNVERIFIED if pool == UNVERIFIED_POOL else self.pools.get(PoolId(pool))


@dataclass(frozen=True)
class Match:
    """A pair to open; `total` is what the creator locks, `collateral` what the provider locks."""

    job: JobOffer
    resource: ResourceOffer
    module: ModuleTerms
    pool: PoolTerms
    total: Amount
    collateral: Amount

    @property
    def deal(self) -> Deal:
        return deal_from_offers(self.job, self.resource, self.module, self.pool)


@dataclass(frozen=True)
class Matching:
    matches: tuple[Match, ...]
    unmatched: tuple[JobOffer, ...]


def match(
    jobs: Sequence[JobOffer], resources: Sequence[ResourceOffer], rules: Rules, view: ChainView
) -> Matching:
    """Matches jobs to resource offers; both oldest first. Each match takes its money, volume and nonce from the pass.

    Offers whose terms `rules` does not know stay unmatched.
    """
    run = _Pass(resources, rules, view)
    matches, unmatched = [], []
    for job in jobs:
        found = run.place(job)
        if found is None:
            unmatched.append(job)
        else:
            matches.append(found)
    return Matching(tuple(matches), tuple(unmatched))


def reasons(
    job: JobOffer, resources: Sequence[ResourceOffer], rules: Rules, view: ChainView
) -> Iterator[tuple[ResourceOffer, list[Refusal]]]:
    """For each resource offer everything that keeps it from serving the job; an empty list: it could serve it now.

    Offers in pools whose terms are unknown are left out, all of them when the module's are.
    """
    module, pool = rules.modules.get(job.module), rules.pool(job.pool)
    if module is None or pool is None:
        return
    for resource in resources:
        yield resource, why_not(job, resource, module, pool, rules.parameters, view)


def view_after(view: ChainView, found: Match) -> ChainView:
    """The view once a match is open: money locked, nonce and volume used, caps lowered."""
    job, resource, token = found.job, found.resource, found.job.token
    free, caps, uses = dict(view.free), dict(view.caps), dict(view.uses)
    for account, offer_hash, amount in (
        (job.creator, job.struct_hash, found.total),
        (resource.provider, resource.struct_hash, found.collateral),
    ):
        free[token, account] = free.get((token, account), 0) - amount
        speaker = view.speakers[offer_hash]
        if speaker != account:
            caps[account, speaker, token] = caps.get((account, speaker, token), 0) - amount
    if not resource.is_unlimited:
        key = (resource.provider, resource.nonce)
        uses[key] = uses.get(key, 0) + 1
    return replace(
        view,
        free=free,
        caps=caps,
        uses=uses,
        used_nonces=view.used_nonces | {(job.creator, job.nonce)},
        opened=view.opened | {(job.struct_hash, resource.struct_hash)},
    )


@dataclass(frozen=True)
class _Ask:
    """A job with what all its candidates share."""

    job: JobOffer
    module: ModuleTerms
    pool: PoolTerms
    fund: int
    budget: int  # the most that the creator can and will lock
    least_value: int  # no smaller value can satisfy the collateral rule
    most_value: int


class _Pass:
    """One run over the jobs: what is left of money, volumes and nonces, and the books of offers."""

    def __init__(self, resources: Sequence[ResourceOffer], rules: Rules, view: ChainView) -> None:
        self._rules, self._view = rules, view
        self._free, self._caps, self._uses = dict(view.free), dict(view.caps), dict(view.uses)
        self._used_nonces = set(view.used_nonces)
        self._sound: dict[tuple[OfferHash, OfferHash], bool] = {}
        self._books: dict[tuple[Address, bytes], Book] = {}
        self._sharing: dict[tuple[Address, int], list[ResourceOffer]] = {}  # offers with one use counter
        grouped: dict[tuple[Address, bytes], list[tuple[int, ResourceOffer]]] = {}
        for age, resource in enumerate(resources):
            grouped.setdefault((resource.token, resource.pool), []).append((age, resource))
            self._sharing.setdefault((resource.provider, resource.nonce), []).append(resource)
        self._books_of: dict[tuple[Address, Address], list[Book]] = {}  # by token and provider
        for (token, pool), offers in grouped.items():
            book = self._books[token, pool] = Book(offers, view, partial(self._left, token))
            for provider in book.providers:
                self._books_of.setdefault((token, provider), []).append(book)

    def place(self, job: JobOffer) -> Match | None:
        """Takes the best offer for a job; None when none serves it now."""
        book = self._books.get((job.token, job.pool))
        ask = self._ask(job) if book else None
        if book is None or ask is None:
            return None
        candidates = book.candidates(job, ask.module)
        best: tuple[int, int, int] | None = None  # total, age, position
        for group, fee in book.by_solver_fee(candidates, job):
            found = self._cheapest(book, group, fee, ask)
            if found is not None and (best is None or found < best):
                best = found
        return self._take(ask, book.offers[best[2]], Amount(best[0])) if best else None

    def _ask(self, job: JobOffer) -> _Ask | None:
        """The job's own limits; None when no offer could serve it."""
        module, pool = self._rules.modules.get(job.module), self._rules.pool(job.pool)
        if module is None or pool is None or not self._are_sound(module, pool, job.token):
            return None
        view, parameters = self._view, self._rules.parameters
        if (
            view.time > job.expiry
            or job.creator == NOBODY
            or (job.creator, job.nonce) in self._used_nonces
            or any(job_refusals(job, view))
            or any(rate_refusals(job, module))
            or not parameters.min_submit_window <= job.submit_window <= parameters.max_submit_window
            or not parameters.min_judge_window <= job.judge_window <= parameters.max_judge_window
        ):
            return None
        free = self._left(job.token, job.creator, view.speakers[job.struct_hash])
        fund = view.funds.get((pool.strategy, job.token, pool.id), 0)
        least, most = _value_bounds(job, module, pool)
        return _Ask(job, module, pool, fund, min(free, job.max_price), least, most) if least <= most else None

    def _are_sound(self, module: ModuleTerms, pool: PoolTerms, token: Address) -> bool:
        key = (module.struct_hash, pool.struct_hash)
        if key not in self._sound:
            # Asked with the pool's own token, so that an offer in another one spoils the answer for nobody else.
            broken = [*pool_refusals(pool, pool.token, module, self._rules.parameters), *module_refusals(module, pool)]
            self._sound[key] = not broken
        return self._sound[key] and (not pool.is_verified or pool.token == token)

    def _left(self, token: Address, account: Address, speaker: Address) -> int:
        """What the account's free credit and, where a delegate spoke, its cap still allow to lock."""
        free = self._free.get((token, account), 0)
        return free if speaker == account else min(free, self._caps.get((account, speaker, token), 0))

    def _cheapest(self, book: Book, candidates: int, fee: Bps, ask: _Ask) -> tuple[int, int, int] | None:
        """(total, age, position) of the cheapest candidate that its provider can bind; None without one.

        Totals rise with the value, so the first candidate beyond the budget ends the search.
        """
        job, units, rate = ask.job, ask.job.max_units, ask.job.collateral_bps
        candidates = book.known_funded(candidates, units, rate)
        least = ask.least_value
        while (found := book.cheapest(candidates, units, least)) is not None:
            value, position = found
            total, audit_fee, needed = self._price(ask, value, fee)
            if value > ask.most_value or total > ask.budget or audit_fee > ask.fund:
                return None
            collateral = value * rate // WHOLE
            if collateral > UINT96_MAX:
                return None
            if collateral < needed:  # a matter of rounding: the next value may do
                least = value + 1
                continue
            if not book.can_bind(position, value, rate):
                candidates = book.funded(candidates, units, rate)
            elif (job.struct_hash, book.offers[position].struct_hash) in self._view.opened:
                candidates &= ~(1 << position)
            else:
                return total, book.ages[position], position
        return None

    def _price(self, ask: _Ask, value: int, solver_fee_bps: Bps) -> tuple[int, int, int]:
        """Total, audit fee, and the least collateral, as `price.charge` computes them at the maximum of units."""
        total = value + value * ask.module.royalty_bps // WHOLE + value * solver_fee_bps // WHOLE
        if not ask.pool.is_verified:
            return total, 0, 0
        seat_fee = seat_fee_up(value, ask.pool.seat_fee_floor, ask.module.min_seat_fee)
        premium = premium_up(seat_fee, ask.job.audit_bps)
        total += value * self._rules.parameters.protocol_fee_bps // WHOLE + premium
        audit_fee = AUDIT_SEATS * seat_fee
        return total, audit_fee, value + premium + audit_fee

    def _take(self, ask: _Ask, resource: ResourceOffer, total: Amount) -> Match:
        job, token = ask.job, ask.job.token
        figures = figures_of(job, resource, ask.module, ask.pool)
        assert total == locked_total(figures, self._rules.parameters.protocol_fee_bps)
        for account, offer, amount in (
            (job.creator, job.struct_hash, total),
            (resource.provider, resource.struct_hash, figures.collateral),
        ):
            self._free[token, account] = self._free.get((token, account), 0) - amount
            speaker = self._view.speakers[offer]
            if speaker != account:
                self._caps[account, speaker, token] = self._caps.get((account, speaker, token), 0) - amount
            for book in self._books_of.get((token, account), ()):
                book.refresh(account, partial(self._left, token))
        self._used_nonces.add((job.creator, job.nonce))
        self._use(resource)
        return Match(job, resource, ask.module, ask.pool, total, figures.collateral)

    def _use(self, resource: ResourceOffer) -> None:
        """Counts a deal on a limited offer; every offer with the same counter sees it."""
        if resource.is_unlimited:
            return
        key = (resource.provider, resource.nonce)
        self._uses[key] = self._uses.get(key, 0) + 1
        for sharing in self._sharing[key]:
            if not sharing.is_unlimited and self._uses[key] >= sharing.volume:
                self._books[sharing.token, sharing.pool].remove(sharing)


def _value_bounds(job: JobOffer, module: ModuleTerms, pool: PoolTerms) -> tuple[int, int]:
    """Between which values the deterrence rules can hold at all; (1, 0) for nowhere.

    Necessary, not sufficient: from collateral >= value + premium + 4 seat fees with the seat fee at its smallest.
    """
    if not pool.is_verified:
        return (1, UINT96_MAX) if job.audit_bps == 0 else (1, 0)
    if not is_deterrent(job.audit_bps, job.collateral_bps):
        return 1, 0
    # With a seat fee of 125 % of the value the rule reads collateral rate >= 6 + 1.375 audit rates.
    if 1_000 * job.collateral_bps < 60_000_000 + 1_375 * job.audit_bps:
        return 1, 0
    smallest = max(pool.seat_fee_floor, module.min_seat_fee)
    beside = premium_up(smallest, job.audit_bps) + AUDIT_SEATS * smallest
    least = -(-WHOLE * beside // (job.collateral_bps - WHOLE))
    return max(1, least), min(pool.max_value, UINT96_MAX)
