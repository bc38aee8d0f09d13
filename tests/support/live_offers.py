"""Live offers made of literals, and a view of the chain in which all of them are signed and funded."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from lilypad_agents.agents.solver.book import JobEntry, ResourceEntry
from lilypad_agents.agents.solver.decide import Situation
from lilypad_agents.chain.keys import LocalSigner, signer_from_test_mnemonic
from lilypad_agents.chain.types import ChainId
from lilypad_agents.protocol.consent import Domain, by_own_key
from lilypad_agents.protocol.ids import NOBODY, ZERO, Address, checksummed, keccak256
from lilypad_agents.protocol.matching import Match
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.parameters import Parameters, devnet
from lilypad_agents.protocol.refusals import ChainView
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import UNLIMITED_VOLUME

NOW = 1_700_000_000
TOKEN = checksummed("0x" + "70" * 20)
CORE = checksummed("0x" + "c0" * 20)
DOMAIN = Domain(1337, CORE)
PARAMETERS: Parameters = devnet(80)  # type: ignore[arg-type]
CREATOR, PROVIDER, RIVAL, SOLVER = (signer_from_test_mnemonic(n, ChainId(1337)) for n in (1, 2, 3, 5))
MODULE = ModuleTerms(
    publisher=checksummed("0x" + "99" * 20), name_hash=keccak256(b"cowsay:v1"), manifest=keccak256(b"m"), parent=ZERO,
    royalty_bps=0, royalty_to=NOBODY, deterministic=True, strategy=NOBODY, min_audit_bps=0, min_seat_fee=0, metering=0,
)  # fmt: skip
_numbers = itertools.count(1)


def sign(message: Any, signer: LocalSigner) -> bytes:
    return by_own_key(signer.sign_digest(DOMAIN.digest(message.struct_hash)))


def job(signer: LocalSigner = CREATOR, module: ModuleTerms = MODULE, pool: PoolTerms = UNVERIFIED, **changes: Any) -> JobEntry:
    number = next(_numbers)
    offer = JobOffer(
        creator=Address(signer.address), module=module.id, inputs=keccak256(b"i"), token=TOKEN, max_price=1_000,
        max_units=0, cpu_milli=100, ram_mib=64, disk_mib=16, gpu_count=0, vram_mib=0, flags=0, submit_window=60,
        judge_window=20, collateral_bps=10_000, audit_bps=0, pool=pool.id, solver=NOBODY, solver_fee_bps=0,
        provider=NOBODY, expiry=NOW + 600, nonce=number,
    )  # fmt: skip
    offer = replace(offer, **changes)
    return JobEntry(number, offer, sign(offer, signer), module, pool, offer.creator, NOW)  # type: ignore[arg-type]


def resource(signer: LocalSigner = PROVIDER, tree: MerkleTree | None = None, **changes: Any) -> ResourceEntry:
    number = next(_numbers)
    offer = ResourceOffer(
        provider=Address(signer.address), token=TOKEN, price=100, unit_price=0, max_units=10**9, cpu_milli=4_000,
        ram_mib=4_096, disk_mib=10_000, gpu_count=0, vram_mib=0, flags=0, modules=tree.root if tree else ZERO,
        max_collateral_bps=200_000, min_submit_window=5, max_judge_window=80, pool=ZERO, solver=NOBODY,
        volume=UNLIMITED_VOLUME, expiry=NOW + 3_600, nonce=number,
    )  # fmt: skip
    offer = replace(offer, **changes)
    return ResourceEntry(number, offer, sign(offer, signer), tree, offer.provider, NOW)  # type: ignore[arg-type]


def view(*entries: JobEntry | ResourceEntry, free: int = 10_000, **changes: Any) -> ChainView:
    made = ChainView(
        domain=DOMAIN,
        time=NOW,  # type: ignore[arg-type]
        free={(TOKEN, entry.account): free for entry in entries},
        speakers={entry.id: entry.account for entry in entries},
        lists={entry.offer.modules: entry.versions for entry in entries if isinstance(entry, ResourceEntry) and entry.tree},
    )
    return replace(made, **changes)


def situation(
    jobs: list[JobEntry],
    resources: list[ResourceEntry],
    *,
    in_flight: list[Match] | None = None,
    paused: frozenset[Any] = frozenset(),
    known: ChainView | None = None,
) -> Situation:
    return Situation(jobs, resources, in_flight or [], paused, known or view(*jobs, *resources), PARAMETERS)
