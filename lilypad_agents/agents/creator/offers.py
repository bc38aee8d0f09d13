"""From a request to the offer that is signed: requirements from the manifest, windows inside the network's bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lilypad_agents.agents.creator.errors import RequestInvalid
from lilypad_agents.agents.creator.request import Wishes
from lilypad_agents.agents.creator.settings import CreatorSettings, preset_of
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.protocol.consent import Domain, by_own_key
from lilypad_agents.protocol.ids import NOBODY, Address
from lilypad_agents.protocol.offers import JobOffer
from lilypad_agents.protocol.parameters import Parameters
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import (
    UINT96_MAX,
    Amount,
    Bps,
    CpuMilli,
    Mib,
    Nonce,
    Seconds,
    Timestamp,
    Units,
)

_HANDLING_S = 60  # for matching transactions, transfers and a provider's queue, beside the run itself


class DigestSigner(Protocol):
    """What is needed of a key (`chain.keys.Signer`)."""

    def sign_digest(self, digest: bytes) -> bytes: ...


@dataclass(frozen=True)
class SolverTerms:
    """The solver that an offer names, and the fee that it asks (basis points of gross)."""

    address: Address
    fee_bps: Bps


NO_SOLVER = SolverTerms(NOBODY, Bps(0))


@dataclass(frozen=True)
class OfferContext:
    """What an offer depends on beside the request. `time`: block time, unix seconds."""

    creator: Address
    token: Address
    solver: SolverTerms
    parameters: Parameters
    settings: CreatorSettings
    time: Timestamp


def draft_offer(
    manifest: Manifest, terms: ModuleTerms, inputs: bytes, wishes: Wishes, context: OfferContext, nonce: Nonce = Nonce(0)
) -> JobOffer:
    """The offer for a job whose inputs document has the sha2-256 `inputs`; without a price limit, the highest there is.

    Raises RequestInvalid when a wish lies outside what the deployment accepts, or no pool is named.
    """
    needed = manifest.resources
    pool = wishes.pool or context.settings.pool_terms()
    parameters = context.parameters
    return JobOffer(
        creator=context.creator,
        module=terms.id,
        inputs=inputs,
        token=context.token,
        max_price=Amount(UINT96_MAX if wishes.max_price is None else wishes.max_price),
        max_units=units_limit(manifest, wishes.max_units),
        cpu_milli=CpuMilli(needed.cpu_milli),
        ram_mib=Mib(needed.ram_mib),
        disk_mib=Mib(needed.disk_mib),
        gpu_count=needed.gpu_count,
        vram_mib=Mib(needed.vram_mib),
        flags=0,
        submit_window=_submit_window(manifest, wishes, parameters),
        judge_window=_judge_window(wishes, context),
        collateral_bps=_collateral(pool, wishes, context.settings),
        audit_bps=_audit_rate(pool, terms, wishes, context.settings),
        pool=pool.id,
        solver=context.solver.address,
        solver_fee_bps=context.solver.fee_bps,
        provider=wishes.provider,
        expiry=Timestamp(context.time + (wishes.match_seconds or context.settings.match_s)),
        nonce=nonce,
    )


def _collateral(pool: PoolTerms, wishes: Wishes, settings: CreatorSettings) -> Bps:
    """What was wished, else that of the preset; nothing follows from audits in pool 0, so the settings say it there."""
    if wishes.collateral_bps is not None:
        return Bps(wishes.collateral_bps)
    return preset_of(wishes.checks or settings.checks).collateral_bps if pool.is_verified else Bps(settings.collateral_bps)


def _audit_rate(pool: PoolTerms, terms: ModuleTerms, wishes: Wishes, settings: CreatorSettings) -> Bps:
    if not pool.is_verified:
        return Bps(0)
    chosen = preset_of(wishes.checks or settings.checks).audit_bps if wishes.audit_bps is None else wishes.audit_bps
    return Bps(max(chosen, terms.min_audit_bps))


def sign_offer(offer: JobOffer, domain: Domain, signer: DigestSigner) -> bytes:
    """The signature argument of the creator's own key."""
    return by_own_key(signer.sign_digest(domain.digest(offer.struct_hash)))


def units_limit(manifest: Manifest, wished: int | None) -> Units:
    """The most units that the job may be charged: what was wished, else what the module's own limit of work allows."""
    metering = manifest.metering
    if metering.kind == "none":
        if wished:
            raise RequestInvalid(f"{manifest.name} meters nothing, so there are no units to limit.", found=wished)
        return Units(0)
    most = -(-manifest.limits.fuel // metering.per)
    return Units(most if wished is None else min(wished, most))


def _submit_window(manifest: Manifest, wishes: Wishes, parameters: Parameters) -> Seconds:
    """Long enough for a run of the whole wall limit, and for what happens around it."""
    least, most = max(parameters.min_submit_window, manifest.limits.least_window), parameters.max_submit_window
    if least > most:
        raise RequestInvalid(
            f"{manifest.name} may run for {manifest.limits.wall_seconds} s and needs a submit window of {least} s; this network "
            f"allows {most} s at most, so no provider takes it.",
            found=least,
            most=most,
        )
    if wishes.submit_window is None:
        return Seconds(min(max(manifest.limits.least_window + _HANDLING_S, least), most))
    if parameters.min_submit_window <= wishes.submit_window < least:
        raise RequestInvalid(
            f"{manifest.name} may run for {manifest.limits.wall_seconds} s: providers decline it in a submit window of "
            f"{wishes.submit_window} s, {least} s are needed.",
            found=wishes.submit_window,
            least=least,
            most=most,
        )
    return _within("submit window", wishes.submit_window, least, most)


def _judge_window(wishes: Wishes, context: OfferContext) -> Seconds:
    least, most = context.parameters.min_judge_window, context.parameters.max_judge_window
    if wishes.judge_window is None:
        return Seconds(min(max(context.settings.judge_window_s, least), most))
    return _within("judge window", wishes.judge_window, least, most)


def _within(what: str, wanted: int, least: int, most: int) -> Seconds:
    if not least <= wanted <= most:
        raise RequestInvalid(
            f"The {what} of {wanted} s is outside what this network accepts: {least} to {most} s.",
            found=wanted,
            least=least,
            most=most,
        )
    return Seconds(wanted)
