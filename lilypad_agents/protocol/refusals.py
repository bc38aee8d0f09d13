"""Why two offers do not become a deal: every check of contracts/core/LilypadOpening.sol, in its order, with its figures.

The first refusal of `why_not` is the error with which the core would revert (or report a skipped pair); the others are
what would come next. One refusal is ours: `OffersDiffer`, for offers that no calldata can bring together, since token,
module, pool and solver are sent once for both; the core would call such a job's signature invalid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.deal import counterparts, deal_from_offers
from lilypad_agents.protocol.deterrence import is_deterrent
from lilypad_agents.protocol.ids import NOBODY, Address, OfferHash, PoolId, VersionId, hex_of
from lilypad_agents.protocol.lifecycle import Term
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.price import (
    Figures,
    audit_fee,
    figures_of,
    least_seat_floor_up,
    least_seat_stake_up,
    locked_total,
    premium_of,
    seat_fee_up,
)
from lilypad_agents.protocol.structs import SAFE_BITS
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import (
    CANCELLED_USES,
    MAX_ROYALTY_BPS,
    MAX_SOLVER_FEE_BPS,
    ROUNDS,
    UINT96_MAX,
    WHOLE,
    Amount,
    Nonce,
    Timestamp,
)

_SENTENCES = {
    "OffersDiffer": "the job offer has {field} {job}, its counterpart has {other}",
    "TermAbove": "{term} is {found}, at most {most} is allowed",
    "TermBelow": "{term} is {found}, at least {least} is needed",
    "OfferExpired": "the offer {offerHash} expired at {expiry}, now it is {time}",
    "OfferCancelled": "{account} cancelled its offer {offerHash} (nonce {nonce})",
    "NonceUsed": "{account} used nonce {nonce} for another deal",
    "VolumeUsedUp": "the offer {offerHash} served {used} of its {volume} deals",
    "SignatureInvalid": "{account} did not sign {structHash}",
    "CapExceeded": "the delegate {key} of {account} may lock {left} more, {needed} are needed",
    "PartiesNotDistinct": "creator {creator}, provider {provider} and solver {solver} must differ",
    "ModuleNotOffered": "the provider's list of modules {modules} does not hold {version}",
    "StrategyNotOfPool": "the module wants to be checked by {moduleStrategy}, the pool's strategy is {poolStrategy}",
    "TokenNotOfPool": "prices are in {token}, the pool's token is {poolToken}",
    "DeterrenceTooLow": "an audit rate of {auditBps} and a collateral of {collateralBps} basis points do not deter cheating",
    "FundsMissing": "{account} has {has} of {token} in its account, {needed} are needed",
    "DealExists": "these offers were opened before, as deal {dealId}",
}
_FLAGS_SENTENCE = "the capability flags {found:#x} are needed, the provider has {most:#x}"


@dataclass(frozen=True)
class Refusal:
    """One broken limit: the name of the core's error and its arguments under their Solidity names.

    Ids and hashes are bytes, accounts checksummed, `term` a Term.
    """

    error: str
    figures: Mapping[str, Any]

    def __str__(self) -> str:
        shown = {name: _shown(value) for name, value in self.figures.items()}
        pattern = _FLAGS_SENTENCE if self.figures.get("term") == Term.FLAGS else _SENTENCES[self.error]
        return pattern.format(**shown)

    def to_json(self) -> dict[str, Any]:
        """Name and figures; numbers beyond 53 bits are decimal strings, as everywhere in our JSON."""
        shown = {name: _shown(value) for name, value in self.figures.items()}
        return {
            "error": self.error,
            "figures": {
                name: str(value) if isinstance(value, int) and value >> SAFE_BITS else value
                for name, value in shown.items()
            },
        }


def _shown(value: Any) -> Any:
    if isinstance(value, Term):
        return value.name.lower().replace("_", " ")
    return hex_of(value) if isinstance(value, bytes) else value


def refusal(error: str, **figures: Any) -> Refusal:
    return Refusal(error, figures)


@dataclass(frozen=True)
class ChainView:
    """What an opening reads of the chain, at one block. What a mapping does not hold is zero, unused or unknown.

    `speakers`: for each offer the account or delegate that consented to it (`consent.examine` and, for delegates,
    contracts and approvals, the chain); offers that are not here count as unsigned.
    `lists`: the version ids behind the Merkle roots that resource offers name.
    """

    domain: Domain
    time: Timestamp
    free: Mapping[tuple[Address, Address], int] = field(default_factory=dict)  # (token, account) -> smallest units
    floors: Mapping[tuple[Address, Address], tuple[int, int]] = field(default_factory=dict)  # -> job and resource floor
    funds: Mapping[tuple[Address, Address, PoolId], int] = field(default_factory=dict)  # (strategy, token, pool)
    used_nonces: AbstractSet[tuple[Address, Nonce]] = frozenset()  # of job offers
    cancelled_nonces: AbstractSet[tuple[Address, Nonce]] = frozenset()  # of job offers
    uses: Mapping[tuple[Address, Nonce], int] = field(default_factory=dict)  # of resource offers; CANCELLED_USES
    speakers: Mapping[OfferHash, Address] = field(default_factory=dict)
    caps: Mapping[tuple[Address, Address, Address], int] = field(default_factory=dict)  # (account, delegate, token)
    opened: AbstractSet[tuple[OfferHash, OfferHash]] = frozenset()  # (job offer, resource offer) of deals that exist
    lists: Mapping[bytes, AbstractSet[VersionId]] = field(default_factory=dict)

    def cap_left(self, account: Address, speaker: Address, token: Address) -> int | None:
        """What the speaker may still lock; None: without bound, since it is the account itself."""
        return None if speaker == account else self.caps.get((account, speaker, token), 0)


def why_not(
    job: JobOffer,
    resource: ResourceOffer,
    module: ModuleTerms,
    pool: PoolTerms,
    parameters: Parameters,
    view: ChainView,
) -> list[Refusal]:
    """Everything that keeps the core from opening a deal of these offers; empty when it would open one.

    Source: contracts/core/LilypadOpening.sol, docs/protocol.md sections 3.4, 6.5 and 6.6.
    """
    differences = [refusal("OffersDiffer", field=name, job=ours, other=theirs)
                   for name, ours, theirs in counterparts(job, resource, module, pool)]  # fmt: skip
    found = differences + [
        *pool_refusals(pool, resource.token, module, parameters),
        *module_refusals(module, pool),
        *offered_refusals(resource, module, view),
        *resource_refusals(resource, view),
        *_requirement_refusals(job, resource),
        *_window_refusals(job, resource, parameters),
    ]
    figures = figures_of(job, resource, module, pool)
    found += _money_refusals(job, resource, module, pool, figures, parameters, view)
    found += _party_refusals(job, resource, view)
    if not differences and (job.struct_hash, resource.struct_hash) in view.opened:
        deal_id = deal_from_offers(job, resource, module, pool).id(view.domain)
        found.append(refusal("DealExists", dealId=deal_id))
    found += job_refusals(job, view)
    found += _fund_refusals(job, resource, figures, parameters, view)
    return found


# ---- the group: pool, module, resource offer


def pool_refusals(pool: PoolTerms, token: Address, module: ModuleTerms, parameters: Parameters) -> Iterator[Refusal]:
    """A pool that its terms make unusable. Nothing for Unverified."""
    if not pool.is_verified:
        return
    if pool.token != token:
        yield refusal("TokenNotOfPool", token=token, poolToken=pool.token)
    windows = ROUNDS * (2 * pool.commit_window + 2 * pool.reveal_window + pool.appeal_window)
    if windows > parameters.mediation_limit // 2:
        yield _above(Term.POOL_WINDOWS, windows, parameters.mediation_limit // 2)
    if 0 in (pool.commit_window, pool.reveal_window, pool.appeal_window):
        yield _below(Term.POOL_WINDOWS, 0, 1)
    least_floor = least_seat_floor_up(pool.max_value)
    if pool.seat_fee_floor < least_floor:
        yield _below(Term.SEAT_FEE_FLOOR, pool.seat_fee_floor, least_floor)
    least = least_seat_stake_up(seat_fee_up(pool.max_value, pool.seat_fee_floor, module.min_seat_fee))
    if pool.seat_stake < least:
        yield _below(Term.SEAT_STAKE, pool.seat_stake, least)


def module_refusals(module: ModuleTerms, pool: PoolTerms) -> Iterator[Refusal]:
    most = 0 if module.royalty_to == NOBODY else MAX_ROYALTY_BPS  # what nobody may claim would be stuck
    if module.royalty_bps > most:
        yield _above(Term.ROYALTY_BPS, module.royalty_bps, most)
    if module.strategy not in (NOBODY, pool.strategy):
        yield refusal("StrategyNotOfPool", moduleStrategy=module.strategy, poolStrategy=pool.strategy)


def offered_refusals(resource: ResourceOffer, module: ModuleTerms, view: ChainView) -> Iterator[Refusal]:
    if any(resource.modules):
        offered = module.id in view.lists.get(resource.modules, frozenset())
    else:
        offered = module.deterministic
    if not offered:
        yield refusal("ModuleNotOffered", version=module.id, modules=resource.modules)


def resource_refusals(resource: ResourceOffer, view: ChainView) -> Iterator[Refusal]:
    """What makes the offer useless for every job."""
    provider, nonce = resource.provider, resource.nonce
    if view.time > resource.expiry:
        yield _expired(resource.struct_hash, resource.expiry, view.time)
    floor = view.floors.get((resource.token, provider), (0, 0))[1]
    if nonce < floor or view.uses.get((provider, nonce), 0) == CANCELLED_USES:
        yield refusal("OfferCancelled", offerHash=resource.struct_hash, account=provider, nonce=nonce)
    if resource.struct_hash not in view.speakers:
        yield refusal("SignatureInvalid", structHash=resource.struct_hash, account=provider)


# ---- one job


def _requirement_refusals(job: JobOffer, resource: ResourceOffer) -> Iterator[Refusal]:
    for term, needed, has in (
        (Term.CPU, job.cpu_milli, resource.cpu_milli),
        (Term.RAM, job.ram_mib, resource.ram_mib),
        (Term.DISK, job.disk_mib, resource.disk_mib),
        (Term.GPU_COUNT, job.gpu_count, resource.gpu_count),
        (Term.VRAM, job.vram_mib, resource.vram_mib),
    ):
        if needed > has:
            yield _above(term, needed, has)
    if job.flags & ~resource.flags:
        yield _above(Term.FLAGS, job.flags, resource.flags)
    if job.max_units > resource.max_units:
        yield _above(Term.UNITS, job.max_units, resource.max_units)


def _window_refusals(job: JobOffer, resource: ResourceOffer, parameters: Parameters) -> Iterator[Refusal]:
    least = max(resource.min_submit_window, parameters.min_submit_window)
    most = min(resource.max_judge_window, parameters.max_judge_window)
    if job.submit_window < least:
        yield _below(Term.SUBMIT_WINDOW, job.submit_window, least)
    if job.submit_window > parameters.max_submit_window:
        yield _above(Term.SUBMIT_WINDOW, job.submit_window, parameters.max_submit_window)
    if job.judge_window < parameters.min_judge_window:
        yield _below(Term.JUDGE_WINDOW, job.judge_window, parameters.min_judge_window)
    if job.judge_window > most:
        yield _above(Term.JUDGE_WINDOW, job.judge_window, most)


def _money_refusals(
    job: JobOffer,
    resource: ResourceOffer,
    module: ModuleTerms,
    pool: PoolTerms,
    figures: Figures,
    parameters: Parameters,
    view: ChainView,
) -> Iterator[Refusal]:
    yield from rate_refusals(job, module)
    if job.collateral_bps > resource.max_collateral_bps:
        yield _above(Term.COLLATERAL_BPS, job.collateral_bps, resource.max_collateral_bps)
    value = figures.value
    if value == 0:
        yield _below(Term.VALUE, 0, 1)
    if value > UINT96_MAX:
        yield _above(Term.VALUE, value, UINT96_MAX)
    if figures.collateral > UINT96_MAX:
        yield _above(Term.COLLATERAL, figures.collateral, UINT96_MAX)
    if not pool.is_verified:
        if job.audit_bps:
            yield _above(Term.AUDIT_BPS, job.audit_bps, 0)
    else:
        yield from _deterrence_refusals(job, pool, figures, view)
    total = locked_total(figures, parameters.protocol_fee_bps)
    if total > job.max_price:
        yield _above(Term.PRICE, total, job.max_price)


def rate_refusals(job: JobOffer, module: ModuleTerms) -> Iterator[Refusal]:
    """Rates of the job offer that no counterpart can mend."""
    if job.solver_fee_bps > MAX_SOLVER_FEE_BPS:
        yield _above(Term.SOLVER_FEE_BPS, job.solver_fee_bps, MAX_SOLVER_FEE_BPS)
    if job.audit_bps > WHOLE:
        yield _above(Term.AUDIT_BPS, job.audit_bps, WHOLE)
    if job.audit_bps < module.min_audit_bps:
        yield _below(Term.AUDIT_BPS, job.audit_bps, module.min_audit_bps)


def _deterrence_refusals(job: JobOffer, pool: PoolTerms, figures: Figures, view: ChainView) -> Iterator[Refusal]:
    if figures.value > pool.max_value:
        yield _above(Term.VALUE, figures.value, pool.max_value)
    if not is_deterrent(job.audit_bps, job.collateral_bps):
        yield refusal("DeterrenceTooLow", auditBps=job.audit_bps, collateralBps=job.collateral_bps)
    fee = audit_fee(figures)
    least = Amount(figures.value + premium_of(figures) + fee)
    if figures.collateral < least:
        yield _below(Term.COLLATERAL, figures.collateral, least)
    fund = view.funds.get((pool.strategy, job.token, pool.id), 0)
    if fund < fee:
        yield _below(Term.FUND_COVER, fund, fee)


def _party_refusals(job: JobOffer, resource: ResourceOffer, view: ChainView) -> Iterator[Refusal]:
    solver = job.solver if resource.solver == NOBODY else resource.solver
    creator, provider = job.creator, resource.provider
    if creator in (NOBODY, provider, solver) or provider == solver:
        yield refusal("PartiesNotDistinct", creator=creator, provider=provider, solver=solver)
    if view.time > job.expiry:
        yield _expired(job.struct_hash, job.expiry, view.time)
    used = view.uses.get((provider, resource.nonce), 0)
    if not resource.is_unlimited and used >= resource.volume:
        yield refusal("VolumeUsedUp", offerHash=resource.struct_hash, used=used, volume=resource.volume)


def job_refusals(job: JobOffer, view: ChainView) -> Iterator[Refusal]:
    """A job offer that was cancelled, used or never signed."""
    creator, nonce = job.creator, job.nonce
    floor = view.floors.get((job.token, creator), (0, 0))[0]
    if nonce < floor or (creator, nonce) in view.cancelled_nonces:
        yield refusal("OfferCancelled", offerHash=job.struct_hash, account=creator, nonce=nonce)
    if (creator, nonce) in view.used_nonces:
        yield refusal("NonceUsed", offerHash=job.struct_hash, account=creator, nonce=nonce)
    if job.struct_hash not in view.speakers:
        yield refusal("SignatureInvalid", structHash=job.struct_hash, account=creator)


def _fund_refusals(
    job: JobOffer, resource: ResourceOffer, figures: Figures, parameters: Parameters, view: ChainView
) -> Iterator[Refusal]:
    total = locked_total(figures, parameters.protocol_fee_bps)
    sides = (
        (job.creator, job.struct_hash, total),
        (resource.provider, resource.struct_hash, figures.collateral),
    )
    token = job.token
    for account, _, needed in sides:
        has = view.free.get((token, account), 0)
        if has < needed:
            yield refusal("FundsMissing", account=account, token=token, has=has, needed=needed)
    for account, offer_hash, needed in sides:
        speaker = view.speakers.get(offer_hash, account)
        left = view.cap_left(account, speaker, token)
        if left is not None and left < needed:
            yield refusal("CapExceeded", account=account, key=speaker, left=left, needed=needed)


def _above(term: Term, found: int, most: int) -> Refusal:
    return refusal("TermAbove", term=term, found=found, most=most)


def _below(term: Term, found: int, least: int) -> Refusal:
    return refusal("TermBelow", term=term, found=found, least=least)


def _expired(offer_hash: bytes, expiry: int, time: int) -> Refusal:
    return refusal("OfferExpired", offerHash=offer_hash, expiry=expiry, time=time)
