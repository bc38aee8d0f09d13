"""Resource offers of one token and pool, indexed so that a job finds its cheapest candidate in a dozen set operations.

A set of offers is an integer with one bit an offer. Positions are ordered by unit price, then price, then age, so that
within one unit price the lowest bit of a set is its cheapest offer at any number of units.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import compress
from typing import TypeVar

from lilypad_agents.protocol.ids import NOBODY, Address, VersionId
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.refusals import ChainView, resource_refusals
from lilypad_agents.protocol.terms import ModuleTerms
from lilypad_agents.protocol.units import WHOLE, Bps

Left = Callable[[Address, Address], int]  # account, speaker -> smallest units that may be locked
Offers = int  # a set: bit i stands for the offer at position i
Key = TypeVar("Key", bound=Hashable)

_MOST_CLASSES = 8  # unit prices up to which going through their classes is faster than looking at every candidate
_MOST_RANKS = 64  # numbers of units whose ranks are kept
_MOST_SCANS = 32  # scans for money after which its index is made anew
_ANY = 1 << 256  # more than any rate times any number of units
_AGE_BITS = 32
_AGE_MASK = (1 << _AGE_BITS) - 1
_DIGITS = bytes.maketrans(b"01", b"\x00\x01")


class Book:
    """The offers that can serve anybody at all; `offers` and `ages` by position."""

    def __init__(self, aged: Iterable[tuple[int, ResourceOffer]], view: ChainView, left: Left) -> None:
        """`aged`: offers with their age, a smaller number being older. `left`: what an account may lock now."""
        distinct = {offer.struct_hash: (age, offer) for age, offer in sorted(aged, key=lambda entry: -entry[0])}
        useful = [(age, offer) for age, offer in distinct.values() if _is_useful(offer, view)]
        useful.sort(key=lambda entry: (entry[1].unit_price, entry[1].price, entry[0]))
        self.offers: Sequence[ResourceOffer] = [offer for _, offer in useful]
        self.ages = [age for age, _ in useful]
        self._prices = [offer.price for offer in self.offers]
        self._classes = _classes(self.offers)
        self._available: Offers = (1 << len(self.offers)) - 1
        self._positions = {offer.struct_hash: position for position, offer in enumerate(self.offers)}
        self._unfunded: dict[tuple[int, int], Offers] = {}
        self._ranks_cache: dict[int, Sequence[int]] = {}
        self._by_age = {age: position for position, age in enumerate(self.ages)}
        self._rank_terms = [
            (offer.price << _AGE_BITS | age, offer.unit_price << _AGE_BITS)
            for age, offer in zip(reversed(self.ages), reversed(self.offers), strict=True)
        ]
        self._index_purses(view, left)
        self._index_funds()
        self._index_limits()
        self._by_provider = _groups(offer.provider for offer in self.offers)
        self._by_solver = _groups(offer.solver for offer in self.offers)
        self._by_flags = _groups(offer.flags for offer in self.offers)
        self._by_list = _groups(offer.modules for offer in self.offers)
        self._lists = view.lists
        self._flags_cache: dict[int, Offers] = {}
        self._module_cache: dict[VersionId, Offers] = {}

    def _index_purses(self, view: ChainView, left: Left) -> None:
        """Offers of one account and one speaker draw on the same money, a purse."""
        purses: dict[tuple[Address, Address], int] = {}
        self._purse_of = []
        for offer in self.offers:
            key = (offer.provider, view.speakers[offer.struct_hash])
            self._purse_of.append(purses.setdefault(key, len(purses)))
        self._purses = [_purse(left(*key)) for key in purses]
        self._purses_of: dict[Address, list[tuple[int, Address]]] = {}
        for (account, speaker), index in purses.items():
            self._purses_of.setdefault(account, []).append((index, speaker))

    def _index_limits(self) -> None:
        offers = self.offers
        self._limits = (
            ("cpu_milli", _Levels([offer.cpu_milli for offer in offers])),
            ("ram_mib", _Levels([offer.ram_mib for offer in offers])),
            ("disk_mib", _Levels([offer.disk_mib for offer in offers])),
            ("gpu_count", _Levels([offer.gpu_count for offer in offers])),
            ("vram_mib", _Levels([offer.vram_mib for offer in offers])),
            ("max_units", _Levels([offer.max_units for offer in offers])),
            ("judge_window", _Levels([offer.max_judge_window for offer in offers])),
            ("collateral_bps", _Levels([offer.max_collateral_bps for offer in offers])),
        )
        # The one limit from below: negated, it is one from above.
        self._submit_windows = _Levels([-offer.min_submit_window for offer in offers])

    def _index_funds(self) -> None:
        """Fixed part and metered part of the price must each be fundable by themselves.

        Money only falls in a pass, so this may lag behind: it leaves out most of what nobody can pay, never more.
        """
        offers, purses = self.offers, [self._purses[index] - 1 for index in self._purse_of]
        self._scans = 0
        self._price_rates = _Levels(
            [purse // offer.price if offer.price else _ANY for offer, purse in zip(offers, purses, strict=True)]
        )
        self._unit_rates = _Levels(
            [purse // offer.unit_price if offer.unit_price else _ANY for offer, purse in zip(offers, purses, strict=True)]
        )

    @property
    def providers(self) -> Iterable[Address]:
        return self._by_provider.keys()

    def candidates(self, job: JobOffer, module: ModuleTerms) -> Offers:
        """Offers that meet every limit of the job but money, and whose parties are distinct from its own."""
        found = self._available & self._of_module(module) & self._with_flags(job.flags)
        for name, levels in self._limits:
            if not found:
                return 0
            found &= levels.at_least(getattr(job, name))
        found &= self._submit_windows.at_least(-job.submit_window)
        found &= self._price_rates.at_least(job.collateral_bps)
        found &= self._unit_rates.at_least(job.max_units * job.collateral_bps)
        if job.provider != NOBODY:
            found &= self._by_provider.get(job.provider, 0)
        return found & self._of_distinct_parties(job)

    def by_solver_fee(self, candidates: Offers, job: JobOffer) -> Iterator[tuple[Offers, Bps]]:
        """The candidates parted by the solver fee that the creator pays with them: that of a solver whom either names."""
        if job.solver != NOBODY or job.solver_fee_bps == 0:
            yield candidates, job.solver_fee_bps
            return
        without = candidates & self._by_solver.get(NOBODY, 0)
        yield without, Bps(0)
        yield candidates & ~without, job.solver_fee_bps

    def cheapest(self, candidates: Offers, units: int, least_value: int) -> tuple[int, int] | None:
        """(value, position) of the candidate with the smallest value from `least_value` on, then the oldest."""
        if len(self._classes) > _MOST_CLASSES:
            return self._cheapest_of_many(candidates, units, least_value)
        best: tuple[int, int, int] | None = None
        for unit_price, start, end in self._classes:
            fixed = unit_price * units
            from_ = bisect_left(self._prices, least_value - fixed, start, end)
            rest = (candidates >> from_) & (1 << end - from_) - 1
            if not rest:
                continue
            position = from_ + (rest & -rest).bit_length() - 1
            found = (fixed + self._prices[position], self.ages[position], position)
            if best is None or found < best:
                best = found
        return (best[0], best[2]) if best else None

    def _cheapest_of_many(self, candidates: Offers, units: int, least_value: int) -> tuple[int, int] | None:
        """As `cheapest`, looking at every candidate: where unit prices are many, going through their classes costs more."""
        if not candidates:
            return None
        chosen = compress(self._ranks(units), _flags_of(candidates, len(self.offers)))
        least_rank = least_value << _AGE_BITS
        best = min(chosen)
        if best < least_rank:
            chosen = compress(self._ranks(units), _flags_of(candidates, len(self.offers)))
            best = min((rank for rank in chosen if rank >= least_rank), default=-1)
        return (best >> _AGE_BITS, self._by_age[best & _AGE_MASK]) if best >= 0 else None

    def _ranks(self, units: int) -> Sequence[int]:
        """Value and age of each offer in one number, at some number of units; from the last position to the first."""
        if units not in self._ranks_cache:
            if len(self._ranks_cache) >= _MOST_RANKS:
                self._ranks_cache.clear()
            self._ranks_cache[units] = [fixed + per_unit * units for fixed, per_unit in self._rank_terms]
        return self._ranks_cache[units]

    def remove(self, offer: ResourceOffer) -> None:
        """An offer that is used up."""
        position = self._positions.get(offer.struct_hash)
        if position is not None:
            self._available &= ~(1 << position)

    def refresh(self, account: Address, left: Left) -> None:
        """An account locked something: it can only have less from now on."""
        for index, speaker in self._purses_of.get(account, ()):
            self._purses[index] = _purse(left(account, speaker))

    def can_bind(self, position: int, value: int, collateral_bps: int) -> bool:
        """Whether the provider can lock the collateral of a deal of this value."""
        return value * collateral_bps < self._purses[self._purse_of[position]]

    def funded(self, candidates: Offers, units: int, collateral_bps: int) -> Offers:
        """The candidates whose providers can lock the collateral. What is not in the answer never is again in a pass."""
        key = (collateral_bps, units)
        candidates &= ~self._unfunded.get(key, 0)
        purses = self._purses
        kept = "".join(
            "1" if flag and (rank >> _AGE_BITS) * collateral_bps < purses[purse] else "0"
            for flag, rank, purse in zip(
                _flags_of(candidates, len(self.offers)), self._ranks(units), reversed(self._purse_of), strict=True
            )
        )
        found = int(kept, 2)
        self._scans += 1
        if self._scans >= _MOST_SCANS:
            self._index_funds()
        self._unfunded[key] = self._unfunded.get(key, 0) | candidates & ~found
        return found

    def known_funded(self, candidates: Offers, units: int, collateral_bps: int) -> Offers:
        """The candidates without those that `funded` left out before."""
        return candidates & ~self._unfunded.get((collateral_bps, units), 0)

    def _of_module(self, module: ModuleTerms) -> Offers:
        if module.id not in self._module_cache:
            found = 0
            for root, offers in self._by_list.items():
                listed = module.id in self._lists.get(root, ()) if any(root) else module.deterministic
                found |= offers if listed else 0
            self._module_cache[module.id] = found
        return self._module_cache[module.id]

    def _with_flags(self, flags: int) -> Offers:
        if flags not in self._flags_cache:
            self._flags_cache[flags] = sum(offers for has, offers in self._by_flags.items() if flags & ~has == 0)
        return self._flags_cache[flags]

    def _of_distinct_parties(self, job: JobOffer) -> Offers:
        found = self._available & ~self._by_provider.get(job.creator, 0)
        if job.solver == NOBODY:
            return found & ~self._by_solver.get(job.creator, 0)
        if job.solver == job.creator:
            return 0
        found &= self._by_solver.get(NOBODY, 0) | self._by_solver.get(job.solver, 0)
        return found & ~self._by_provider.get(job.solver, 0)


class _Levels:
    """For a number that each offer has: which offers have at least so much."""

    def __init__(self, numbers: Sequence[int]) -> None:
        by_number = _groups(numbers)
        self._levels = sorted(by_number)
        self._sets = [0] * (len(self._levels) + 1)
        for index in range(len(self._levels) - 1, -1, -1):
            self._sets[index] = self._sets[index + 1] | by_number[self._levels[index]]

    def at_least(self, number: int) -> Offers:
        return self._sets[bisect_left(self._levels, number)]


def _flags_of(offers: Offers, count: int) -> bytes:
    """A byte an offer, 1 for those in the set, from the last position to the first."""
    return f"{offers:0{count}b}".encode("ascii").translate(_DIGITS)


def _groups(keys: Iterable[Key]) -> dict[Key, Offers]:
    found: dict[Key, Offers] = {}
    for position, key in enumerate(keys):
        found[key] = found.get(key, 0) | 1 << position
    return found


def _classes(offers: Sequence[ResourceOffer]) -> list[tuple[int, int, int]]:
    """(unit price, first position, position after the last) of each unit price, rising."""
    unit_prices = [offer.unit_price for offer in offers]
    found, start = [], 0
    while start < len(offers):
        end = bisect_right(unit_prices, unit_prices[start])
        found.append((unit_prices[start], start, end))
        start = end
    return found


def _is_useful(offer: ResourceOffer, view: ChainView) -> bool:
    used_up = not offer.is_unlimited and view.uses.get((offer.provider, offer.nonce), 0) >= offer.volume
    return not used_up and offer.solver != offer.provider and not any(resource_refusals(offer, view))


def _purse(left: int) -> int:
    """value * rate must be below this for floor(value * rate / 10,000) to be at most `left`."""
    return (left + 1) * WHOLE
