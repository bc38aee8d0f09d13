"""Plain offers and terms that match, to be changed by each test."""

from __future__ import annotations

import pytest

from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.ids import NOBODY, ZERO
from lilypad_agents.protocol.matching import Rules
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.parameters import Parameters, devnet
from lilypad_agents.protocol.refusals import ChainView
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms, name_hash
from lilypad_agents.protocol.units import UNLIMITED_VOLUME
from tests.support.values import account

COIN = 10**18
NOW = 1_800_000_000


@pytest.fixture
def domain() -> Domain:
    return Domain(1337, account(1))


@pytest.fixture
def parameters() -> Parameters:
    return devnet(3_600)


@pytest.fixture
def module() -> ModuleTerms:
    return ModuleTerms(
        account(2), name_hash("cowsay", "v0.0.1"), bytes([1]) * 32, ZERO, 500, account(2), True, NOBODY, 0, 0, 1
    )


@pytest.fixture
def pool() -> PoolTerms:
    return PoolTerms(
        account(3), account(4), 5 * COIN // 4, 1_000 * COIN, 10 * COIN, ZERO, 12, 8, 12, ZERO
    )


@pytest.fixture
def job(module: ModuleTerms, pool: PoolTerms) -> JobOffer:
    return JobOffer(
        creator=account(5), module=module.id, inputs=bytes([2]) * 32, token=pool.token, max_price=10_000 * COIN,
        max_units=10, cpu_milli=1_000, ram_mib=512, disk_mib=100, gpu_count=1, vram_mib=4_096, flags=0b101,
        submit_window=60, judge_window=60, collateral_bps=162_000, audit_bps=800, pool=pool.id, solver=account(6),
        solver_fee_bps=100, provider=NOBODY, expiry=NOW + 60, nonce=7,
    )  # fmt: skip


@pytest.fixture
def resource(pool: PoolTerms) -> ResourceOffer:
    return ResourceOffer(
        provider=account(7), token=pool.token, price=COIN, unit_price=COIN // 100, max_units=1_000, cpu_milli=4_000,
        ram_mib=8_192, disk_mib=10_000, gpu_count=2, vram_mib=8_192, flags=0b111, modules=ZERO,
        max_collateral_bps=400_000, min_submit_window=5, max_judge_window=3_600, pool=pool.id, solver=NOBODY,
        volume=UNLIMITED_VOLUME, expiry=NOW + 60, nonce=9,
    )  # fmt: skip


@pytest.fixture
def rules(module: ModuleTerms, pool: PoolTerms, parameters: Parameters) -> Rules:
    return Rules({module.id: module}, {pool.id: pool}, parameters)


@pytest.fixture
def view(domain: Domain, job: JobOffer, resource: ResourceOffer, pool: PoolTerms) -> ChainView:
    """Both parties rich, both offers signed, the fund full."""
    return ChainView(
        domain,
        NOW,
        free={(job.token, job.creator): 10**9 * COIN, (job.token, resource.provider): 10**9 * COIN},
        funds={(pool.strategy, pool.token, pool.id): 10**6 * COIN},
        speakers={job.struct_hash: job.creator, resource.struct_hash: resource.provider},
    )
