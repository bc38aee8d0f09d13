"""Values that tests of the creator share: a module, a job, a deal, a journal entry, a quote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lilypad_agents.agents.creator.amounts import Token
from lilypad_agents.agents.creator.journal import Job, Stage
from lilypad_agents.agents.creator.offers import OfferContext, SolverTerms
from lilypad_agents.agents.creator.settings import CreatorSettings
from lilypad_agents.agents.creator.terms import terms_of
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.execution.pack import PackedModule, pack
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.deal import Deal, deal_from_offers
from lilypad_agents.protocol.ids import NOBODY, ZERO, Address, address_of, hex_of
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.parameters import Parameters, devnet
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import UNLIMITED_VOLUME, Seconds

PROJECT = Path(__file__).resolve().parents[4]
ONE = 10**18
CREATOR, PROVIDER, SOLVER, PUBLISHER, STRATEGY = (address_of(0xC0FFEE00 + number) for number in range(5))
TOKEN = Token(address_of(0x70CE), "LILY", 18)
DOMAIN = Domain(1337, Address(address_of(0xC0DE)))
PARAMETERS: Parameters = devnet(Seconds(80))
NOW = 1_800_000_000


def packed(name: str = "cowsay") -> PackedModule:
    """One of the shipped modules, as its publisher would publish it."""
    from lilypad_agents.agents.provider.results import content_cid

    return pack(PROJECT / "modules" / name, PUBLISHER, content_cid=content_cid)


def manifest(name: str = "cowsay") -> Manifest:
    return packed(name).manifest


def settings(**changes: Any) -> CreatorSettings:
    return CreatorSettings(**changes)


def context(**changes: Any) -> OfferContext:
    values: dict[str, Any] = {
        "creator": CREATOR,
        "token": TOKEN.address,
        "solver": SolverTerms(SOLVER, 200),
        "parameters": PARAMETERS,
        "settings": settings(),
        "time": NOW,
    }
    return OfferContext(**(values | changes))


def pool(**changes: Any) -> PoolTerms:
    """A verified pool that section 6.6 lets pass."""
    values: dict[str, Any] = dict(
        strategy=STRATEGY, token=TOKEN.address, seat_fee_floor=5 * ONE // 4, seat_stake=80 * ONE, max_value=10 * ONE,
        members=ZERO, commit_window=12, reveal_window=8, appeal_window=12, note=ZERO,
    )  # fmt: skip
    return PoolTerms(**(values | changes))


def job_offer(terms: ModuleTerms, **changes: Any) -> JobOffer:
    values: dict[str, Any] = dict(
        creator=CREATOR, module=terms.id, inputs=b"\x11" * 32, token=TOKEN.address, max_price=2 * ONE, max_units=0,
        cpu_milli=100, ram_mib=64, disk_mib=1, gpu_count=0, vram_mib=0, flags=0, submit_window=60, judge_window=40,
        collateral_bps=10_000, audit_bps=0, pool=ZERO, solver=SOLVER, solver_fee_bps=200, provider=NOBODY,
        expiry=NOW + 60, nonce=7,
    )  # fmt: skip
    return JobOffer(**(values | changes))


def resource_offer(**changes: Any) -> ResourceOffer:
    values: dict[str, Any] = dict(
        provider=PROVIDER, token=TOKEN.address, price=ONE, unit_price=0, max_units=10**9, cpu_milli=2_000, ram_mib=4_096,
        disk_mib=10_000, gpu_count=0, vram_mib=0, flags=0, modules=ZERO, max_collateral_bps=400_000, min_submit_window=5,
        max_judge_window=80, pool=ZERO, solver=NOBODY, volume=UNLIMITED_VOLUME, expiry=NOW + 600, nonce=1,
    )  # fmt: skip
    return ResourceOffer(**(values | changes))


def deal(terms: ModuleTerms, pool_terms: PoolTerms = UNVERIFIED, **changes: Any) -> Deal:
    offer = job_offer(terms, pool=pool_terms.id, **changes)
    return deal_from_offers(offer, resource_offer(pool=pool_terms.id), terms, pool_terms)


def job(terms: ModuleTerms, pool_terms: PoolTerms = UNVERIFIED, *, opened: bool = False, **changes: Any) -> Job:
    """A journal entry; `opened`: with a deal."""
    offer = job_offer(terms, pool=pool_terms.id)
    found = Job(
        id=hex_of(offer.struct_hash),
        request_key="key",
        created_at=NOW,
        label="cowsay:v0.0.1",
        terms=terms,
        pool=pool_terms,
        offer=offer,
        signature=b"\x00" + bytes(65),
        roots=("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",),
        solver="http://solver.invalid",
        posted_block=3,
        stage=Stage.OPENED if opened else Stage.SIGNED,
        folder="/nowhere",
    )
    if opened:
        record = deal_from_offers(offer, resource_offer(pool=pool_terms.id), terms, pool_terms)
        found = replace(found, record=record, deal=record.id(DOMAIN))
    return replace(found, **changes)


def terms(name: str = "cowsay") -> ModuleTerms:
    return terms_of(manifest(name))
