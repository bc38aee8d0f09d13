"""Which resource offers should stand, and what has to happen so that they do. Pure.

An offer is good for any number of deals, so what bounds them is the collateral that each deal locks and that a full
provider withdraws what stands and posts anew when there is room again. A short life bounds what a solver that ignores
the withdrawal can do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from lilypad_agents.agents.provider.capacity import Machine
from lilypad_agents.agents.provider.config import Price, ProviderConfig
from lilypad_agents.agents.provider.policy import ModuleMarks, is_listed
from lilypad_agents.agents.provider.store import StandingOffer
from lilypad_agents.protocol.ids import Address, VersionId, ZERO, hex_of, keccak256
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.offers import ResourceOffer
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import UNLIMITED_VOLUME, Amount, Bps, Nonce, Seconds, Timestamp, Units


@dataclass(frozen=True)
class KnownModule:
    """A published version, as the registry tells: its terms, and its name and version in words."""

    terms: ModuleTerms
    name: str
    version: str

    @property
    def marks(self) -> ModuleMarks:
        names = frozenset((self.name, f"{self.name}:{self.version}"))
        return ModuleMarks(hex_of(self.terms.id), self.terms.publisher, hex_of(self.terms.manifest), names)


@dataclass(frozen=True)
class Template:
    """What one offer says, without the moment: `modules` None means any deterministic one, else a sorted list."""

    pool: PoolTerms
    price: Price
    modules: tuple[VersionId, ...] | None
    machine: Machine
    limits: tuple[object, ...] = ()  # further terms, which are the same in all offers of one provider

    @property
    def label(self) -> str:
        """Equal for templates that offer the same; free disk, which changes all the time, does not count."""
        resources = self.machine.resources
        parts = (
            self.pool.id.hex(), str(self.price.price), str(self.price.unit_price),
            "any" if self.modules is None else b"".join(self.modules).hex(),
            f"{resources.cpu_milli} {resources.ram_mib} {resources.gpu_count} {resources.vram_mib} {resources.flags}",
            repr(self.limits),
        )  # fmt: skip
        return keccak256("|".join(parts).encode()).hex()[:32]


def needs_registry(config: ProviderConfig) -> bool:
    """Whether offers must list modules by what only the registry knows: names, publishers, what else there is."""
    if config.lists:
        return True
    if config.allow.is_empty:
        return bool(config.module_prices) or not config.deny.is_empty
    return bool(config.allow_names or config.allow_publishers or config.allow_manifests) or not config.deny.is_empty


def templates(
    config: ProviderConfig,
    machine: Machine,
    known: Mapping[VersionId, KnownModule],
    listed: AbstractSet[VersionId] = frozenset(),
) -> list[Template]:
    """The offers that the settings stand for: one for each pool and price. `known`: what the registry lists, if needed;
    `listed`: what the trusted curated lists hold. With one list and one price an offer names that list's own root.
    """
    groups: list[tuple[Price, tuple[VersionId, ...] | None]] = []
    if config.allow.is_empty and not needs_registry(config):
        groups.append((config.default_price, None))
    else:
        by_price: dict[tuple[int, int], list[VersionId]] = {}
        for version in _served(config, known, listed):
            price = config.price_of(version)
            by_price.setdefault((price.price, price.unit_price), []).append(version)
        groups += [
            (Price(price=price, unit_price=unit_price), tuple(sorted(versions)))
            for (price, unit_price), versions in sorted(by_price.items())
        ]
    limits = (
        config.max_units, config.max_collateral_bps, config.min_submit_window, config.max_judge_window, config.only_solver,
    )  # fmt: skip
    return [Template(pool, price, modules, machine, limits) for pool in config.pools for price, modules in groups]


def _served(
    config: ProviderConfig, known: Mapping[VersionId, KnownModule], listed: AbstractSet[VersionId]
) -> set[VersionId]:
    """Versions that pass the lists. Those named by their id need no registry; without a list, what is deterministic."""
    named = {VersionId(bytes.fromhex(text[2:])) for text in config.allow_versions} | listed
    if config.allow.is_empty and not config.lists:
        named = {version for version, module in known.items() if module.terms.deterministic}
        named |= {VersionId(bytes.fromhex(text[2:])) for text in config.module_prices}
    named |= {version for version, module in known.items() if is_listed(config.allow, module.marks)}
    denied = {version for version, module in known.items() if is_listed(config.deny, module.marks)}
    denied |= {VersionId(bytes.fromhex(text[2:])) for text in config.deny_versions}
    return named - denied


def offer_of(
    template: Template, config: ProviderConfig, provider: Address, token: Address, max_judge_window: int, now: Timestamp
) -> ResourceOffer:
    """The offer to sign at block time `now`; its nonce is the second, so that later ones can cancel all before."""
    resources = template.machine.resources
    return ResourceOffer(
        provider=provider,
        token=token,
        price=Amount(template.price.price),
        unit_price=Amount(template.price.unit_price),
        max_units=Units(config.max_units),
        cpu_milli=resources.cpu_milli,
        ram_mib=resources.ram_mib,
        disk_mib=resources.disk_mib,
        gpu_count=resources.gpu_count,
        vram_mib=resources.vram_mib,
        flags=resources.flags,
        modules=ZERO if template.modules is None else MerkleTree.of(template.modules).root,
        max_collateral_bps=Bps(config.max_collateral_bps),
        min_submit_window=Seconds(config.min_submit_window),
        max_judge_window=Seconds(min(config.max_judge_window, max_judge_window)),
        pool=template.pool.id,
        solver=config.solver_address,
        volume=UNLIMITED_VOLUME,
        expiry=Timestamp(now + config.offer_seconds),
        nonce=Nonce(now & 0xFFFFFFFF),
    )


@dataclass(frozen=True)
class OfferPlan:
    """What to tell one solver: offers to post, and ids to withdraw."""

    post: tuple[Template, ...] = ()
    withdraw: tuple[StandingOffer, ...] = ()


def plan(
    standing: Iterable[StandingOffer], wanted: Sequence[Template], now: Timestamp, config: ProviderConfig
) -> OfferPlan:
    """How to get from what stands at one solver to what is wanted (nothing, when full or draining).

    An offer is replaced when half of its life is over; the new one is posted before the old one is withdrawn.
    """
    fresh_until = now + config.offer_seconds // 2
    labels = {template.label for template in wanted}
    fresh: dict[str, StandingOffer] = {}
    withdraw = []
    for offer in sorted(standing, key=lambda offer: -offer.expiry):
        if offer.label in labels and offer.label not in fresh and offer.expiry > fresh_until:
            fresh[offer.label] = offer
        else:
            withdraw.append(offer)
    post = tuple(template for template in wanted if template.label not in fresh)
    return OfferPlan(post, tuple(withdraw))


@dataclass(frozen=True)
class Situation:
    """What decides whether more deals are welcome. Amounts in smallest units, `coin` and `coin_needed` in wei."""

    unanswered: int
    locked: int
    free: int
    coin: int
    coin_needed: int
    disk_ok: bool
    draining: bool
    tested: bool
    declined: int = 0  # deals within the last hour


def reasons_against_offering(situation: Situation, config: ProviderConfig, machine: Machine) -> dict[str, str]:
    """Why no more deals are taken now, by a stable word; empty when they are. Obligations go on in every case."""
    found: dict[str, str] = {}
    if situation.draining:
        found["draining"] = "the provider finishes its deals and takes no more"
    if not situation.tested:
        found["untested"] = "the sandbox self-test has not passed"
    if situation.unanswered >= machine.backlog:
        found["full"] = f"{situation.unanswered} deals wait for their results, {machine.backlog} is the limit"
    if config.max_locked is not None and situation.locked >= config.max_locked:
        found["collateral"] = f"{situation.locked} smallest units are locked, {config.max_locked} is the limit"
    if situation.free < config.price:
        found["funds"] = f"the ledger has {situation.free} smallest units free; {config.price - situation.free} are missing"
    if situation.coin < situation.coin_needed:
        found["gas"] = f"the account lacks {situation.coin_needed - situation.coin} wei for gas"
    if situation.declined >= config.most_declines:
        # Each costs a part of the value, which goes to the creator: whoever makes them on purpose must not go on.
        found["declines"] = f"{situation.declined} deals were declined within an hour, {config.most_declines} is the limit"
    if not situation.disk_ok:
        found["disk"] = "the disk is full"
    return found
