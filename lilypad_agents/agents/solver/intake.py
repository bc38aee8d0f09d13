"""Whether an offer is taken: what no counterpart could mend, what this solver does not want, what the chain says of it.

An offer is measured against the most generous counterpart that could exist, by the same rule that the core applies, so
that a refusal here is one that the core would give whoever came along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from lilypad_agents.agents.solver.book import JobEntry, OfferBook, ResourceEntry
from lilypad_agents.agents.solver.errors import FundsRefused, NotListed, OfferRefused, RateLimited
from lilypad_agents.agents.solver.facts import ChainFacts, facts_of, view_of
from lilypad_agents.agents.solver.settings import SolverSettings
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.ids import NOBODY, Address, OfferHash, PoolId, VersionId, keccak256
from lilypad_agents.protocol.lifecycle import Term
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.refusals import ChainView, Refusal, refusal, why_not
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import UINT32_MAX, UINT96_MAX, UNLIMITED_VOLUME, WHOLE

_ANY_LIST = keccak256(b"any list")
_UINT64_MAX, _UINT40_MAX, _UINT16_MAX = 2**64 - 1, 2**40 - 1, 2**16 - 1
# Terms that depend on the value of a deal, which the counterpart's price decides.
_OF_THE_PAIR = frozenset({Term.VALUE, Term.COLLATERAL, Term.FUND_COVER})
_STAND_INS = (Address("0x0000000000000000000000000000000000000001"), Address("0x0000000000000000000000000000000000000002"))



class Intake:
    """Decides on new offers. Thread safe; `now` is block time."""

    def __init__(
        self,
        settings: SolverSettings,
        address: Address,
        domain: Domain,
        parameters: Parameters,
        book: OfferBook,
        facts: ChainFacts,
        listed: Callable[[], AbstractSet[VersionId]] | None = None,
        pool_terms: Callable[[PoolId], PoolTerms | None] | None = None,
        manifest_of: Callable[[ModuleTerms], Manifest | None] = lambda _: None,
    ) -> None:
        """`listed` gives the modules that may be ordered; None: all. `pool_terms` finds terms by id; None: in the book alone.

        `manifest_of` finds the manifest that terms name; None where it is not here.
        """
        self._manifest_of = manifest_of
        self._pool_terms = pool_terms or book.pool_terms
        self._listed = listed
        self._settings = settings
        self._address = address
        self._domain = domain
        self._parameters = parameters
        self._book = book
        self._facts = facts

    # ---- what is asked

    def check_job(self, entry: JobEntry, now: int) -> None:
        """Raises OfferRefused, FundsRefused, RateLimited for an offer that is not taken; RpcError, ChainUnreachable."""
        self._check_room(entry.account)
        refusals = [*self._policy_of_solver(entry.offer.solver), *self._policy_of_job(entry, now)]
        refusals += self._differences(entry)
        if refusals:
            raise refused(refusals)
        self._check_with_chain(entry, lambda: self._check_job_view(entry, self._view(entry, now)))

    def check_resource(self, entry: ResourceEntry, now: int) -> None:
        """As check_job, for a resource offer; also NotListed."""
        self._check_room(entry.account)
        if self._settings.providers and entry.account not in self._settings.providers:
            raise NotListed("This solver serves listed providers only.", account=entry.account)
        refusals = [*self._policy_of_solver(entry.offer.solver), *self._policy_of_expiry(entry.offer.expiry, entry.id, now)]
        refusals += self._list_problems(entry)
        if refusals:
            raise refused(refusals)
        self._check_with_chain(entry, lambda: self._check_resource_view(entry, self._view(entry, now)))

    def _check_with_chain(self, entry: JobEntry | ResourceEntry, check: Callable[[], None]) -> None:
        """A refusal never stands on what was true a moment ago: the chain is asked once more before it is given."""
        try:
            check()
        except (OfferRefused, FundsRefused):
            if not self._facts.doubt([entry.account]):
                raise
            check()

    def _check_job_view(self, entry: JobEntry, view: ChainView) -> None:
        refusals = hopeless_job(entry.offer, entry.module, entry.pool, self._parameters, view)
        if refusals:
            raise refused(refusals)
        self._check_job_funds(entry, view)

    def _check_resource_view(self, entry: ResourceEntry, view: ChainView) -> None:
        pool = UNVERIFIED if not any(entry.offer.pool) else self._pool_terms(PoolId(entry.offer.pool))
        refusals = hopeless_resource(entry.offer, pool, self._parameters, view)
        if refusals:
            raise refused(refusals)

    # ---- room and policy

    def _check_room(self, account: Address) -> None:
        mine, all_ = self._book.count(account), self._book.count()
        if mine >= self._settings.offers_per_account:
            raise RateLimited(
                f"{account} has {mine} open offers here, {self._settings.offers_per_account} are allowed.",
                retry_after=5,
                what="open offers",
                found=mine,
                allowed=self._settings.offers_per_account,
            )
        if all_ >= self._settings.offers_total:
            raise RateLimited(
                f"This solver has {all_} open offers and takes no more now.",
                retry_after=5,
                what="open offers of all",
                found=all_,
                allowed=self._settings.offers_total,
            )

    def _policy_of_solver(self, named: Address) -> list[Refusal]:
        if named in (NOBODY, self._address):
            return []
        return [refusal("OffersDiffer", field="solver", job=named, other=self._address)]

    def _policy_of_job(self, entry: JobEntry, now: int) -> list[Refusal]:
        offer, found = entry.offer, self._policy_of_expiry(entry.offer.expiry, entry.id, now)
        if offer.solver == self._address and offer.solver_fee_bps < self._settings.fee_bps:
            found.append(
                refusal("TermBelow", term=Term.SOLVER_FEE_BPS, found=offer.solver_fee_bps, least=self._settings.fee_bps)
            )
        if self._listed is not None and offer.module not in self._listed():
            found.append(Refusal("ModuleNotListed", {"module": offer.module, "lists": list(self._settings.lists)}))
        manifest = self._manifest_of(entry.module) if entry.module.id == offer.module else None
        least = 0 if manifest is None else manifest.limits.least_window
        if offer.submit_window < least:  # whoever got it would have to decline, and pay for that
            found.append(refusal("TermBelow", term=Term.SUBMIT_WINDOW, found=offer.submit_window, least=least))
        return found

    def _policy_of_expiry(self, expiry: int, offer_id: OfferHash, now: int) -> list[Refusal]:
        if expiry < now:
            return [refusal("OfferExpired", offerHash=offer_id, expiry=expiry, time=now)]
        furthest = now + self._settings.furthest_expiry_s
        if expiry > furthest:
            return [Refusal("ExpiryTooFar", {"offerHash": offer_id, "expiry": expiry, "most": furthest})]
        return []

    @staticmethod
    def _differences(entry: JobEntry) -> list[Refusal]:
        """Terms that are not those that the offer names."""
        pairs = (("module", entry.offer.module, entry.module.id), ("pool", entry.offer.pool, entry.pool.id))
        return [
            refusal("OffersDiffer", field=name, job=ours, other=theirs) for name, ours, theirs in pairs if ours != theirs
        ]

    @staticmethod
    def _list_problems(entry: ResourceEntry) -> list[Refusal]:
        root = bytes(32) if entry.tree is None else entry.tree.root
        if root == entry.offer.modules:
            return []
        return [refusal("OffersDiffer", field="modules", job=entry.offer.modules, other=root)]

    # ---- chain

    def _view(self, entry: JobEntry | ResourceEntry, now: int) -> ChainView:
        """The chain as far as this offer is concerned, freshly asked where it is not known."""
        speaker = self._facts.speaker(entry.offer, entry.account, entry.signature)
        if speaker is None:
            raise refused([refusal("SignatureInvalid", structHash=entry.id, account=entry.account)])
        self._facts.get(facts_of(entry, speaker))
        jobs = [entry] if isinstance(entry, JobEntry) else []
        resources = [entry] if isinstance(entry, ResourceEntry) else []
        return view_of(self._facts, jobs, resources, self._domain, now)

    def _check_job_funds(self, entry: JobEntry, view: ChainView) -> None:
        """Refuses a creator that could pay none of the offers that are here."""
        offer = entry.offer
        free = view.free.get((offer.token, offer.creator), 0)
        prices = [
            other.offer.price + other.offer.unit_price * offer.max_units
            for other in self._book.resources()
            if (other.offer.token, other.offer.pool) == (offer.token, offer.pool)
            and offer.provider in (NOBODY, other.account)
        ]
        needed = max(1, min(prices, default=1))
        if free < needed:
            raise FundsRefused(
                f"{offer.creator} has {free} of {offer.token} in its account, the cheapest offer here needs {needed}.",
                account=offer.creator,
                token=offer.token,
                has=free,
                needed=needed,
            )


def refused(refusals: Sequence[Refusal]) -> OfferRefused:
    """The error for an offer with these faults."""
    text = "; ".join(describe(item) for item in refusals)
    return OfferRefused(f"The offer cannot be taken: {text}.", refusals=[item.to_json() for item in refusals])


def describe(item: Refusal) -> str:
    """A refusal as a sentence, those of the solver's own included."""
    figures = item.to_json()["figures"]
    if item.error == "ExpiryTooFar":
        return f"it expires at {figures['expiry']}, at most {figures['most']} is taken here"
    if item.error == "ModuleNotListed":
        return f"the module {figures['module']} is on none of the lists that this solver trusts ({', '.join(figures['lists'])})"
    if item.error == "ProviderAway":
        silent = "since the solver's start" if figures["silent"] is None else f"for {figures['silent']} s"
        return f"the provider {figures['account']} was not heard of {silent}, {figures['most']} s are allowed"
    return str(item)


def hopeless_job(
    job: JobOffer, module: ModuleTerms, pool: PoolTerms, parameters: Parameters, view: ChainView
) -> list[Refusal]:
    """What keeps the core from opening the job with any counterpart whatever."""
    provider = job.provider if job.provider != NOBODY else next(who for who in _STAND_INS if who != job.creator)
    generous = ResourceOffer(
        provider=provider, token=job.token, price=1, unit_price=0, max_units=_UINT64_MAX, cpu_milli=UINT32_MAX,
        ram_mib=UINT32_MAX, disk_mib=UINT32_MAX, gpu_count=_UINT16_MAX, vram_mib=UINT32_MAX, flags=_UINT64_MAX,
        modules=_ANY_LIST, max_collateral_bps=UINT32_MAX, min_submit_window=0, max_judge_window=UINT32_MAX,
        pool=job.pool, solver=NOBODY, volume=UNLIMITED_VOLUME, expiry=_UINT40_MAX, nonce=UINT32_MAX,
    )  # fmt: skip
    found = why_not(job, generous, module, pool, parameters, _with_rich(view, generous.struct_hash, job.token, provider, module))
    return _mendable_left_out(found)


def hopeless_resource(
    resource: ResourceOffer, pool: PoolTerms | None, parameters: Parameters, view: ChainView
) -> list[Refusal]:
    """What keeps the core from opening any job with this offer; with unknown pool terms, as far as can be said."""
    known = pool or UNVERIFIED
    module = ModuleTerms(
        publisher=NOBODY, name_hash=bytes(32), manifest=bytes(32), parent=bytes(32), royalty_bps=0, royalty_to=NOBODY,
        deterministic=True, strategy=known.strategy, min_audit_bps=0, min_seat_fee=0, metering=0,
    )  # fmt: skip
    creator = next(who for who in _STAND_INS if who not in (resource.provider, resource.solver))
    verified = known.is_verified
    job = JobOffer(
        creator=creator, module=module.id, inputs=bytes(32), token=resource.token, max_price=UINT96_MAX, max_units=0,
        cpu_milli=0, ram_mib=0, disk_mib=0, gpu_count=0, vram_mib=0, flags=0, submit_window=parameters.max_submit_window,
        judge_window=parameters.min_judge_window, collateral_bps=resource.max_collateral_bps if verified else 0,
        audit_bps=WHOLE if verified else 0, pool=known.id, solver=NOBODY, solver_fee_bps=0, provider=NOBODY,
        expiry=_UINT40_MAX, nonce=UINT32_MAX,
    )  # fmt: skip
    if pool is None:
        resource = replace(resource, pool=known.id)
    rich = _with_rich(view, job.struct_hash, resource.token, creator, module, root=resource.modules)
    if pool is None:
        rich = replace(rich, speakers={**rich.speakers, resource.struct_hash: resource.provider})
    return _mendable_left_out(why_not(job, resource, module, known, parameters, rich))


def _with_rich(
    view: ChainView, offer: OfferHash, token: Address, account: Address, module: ModuleTerms, root: bytes = _ANY_LIST
) -> ChainView:
    """The view in which the counterpart signed, has money without end and knows the module."""
    lists = {**view.lists, _ANY_LIST: frozenset({module.id})}
    if any(root):
        lists[root] = lists.get(root, frozenset()) | {module.id}
    return replace(
        view,
        free={**view.free, (token, account): max(view.free.get((token, account), 0), 2**200)},
        speakers={**view.speakers, offer: account},
        lists=lists,
    )


def _mendable_left_out(refusals: Sequence[Refusal]) -> list[Refusal]:
    """Without what depends on the counterpart's price, and without money, which may come before the match does."""
    return [
        item
        for item in refusals
        if item.figures.get("term") not in _OF_THE_PAIR and item.error not in ("FundsMissing", "CapExceeded")
    ]
