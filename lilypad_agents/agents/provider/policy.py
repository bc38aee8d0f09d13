"""The gate: may this deal be served? One pure function, from what is known of a deal to Accept or a typed Refusal.

A deal exists because this provider signed an offer, so its money is right by construction: the core checked price,
collateral, windows, resources and the list of modules against that offer. The gate filters what a signature cannot
promise:

- modules: `deny`, then `allow`, by version id, publisher, manifest digest or name (an offer without a list admits any
  deterministic module, and names are not on the chain);
- pools that the settings no longer name;
- terms that are not those of the deal, a manifest that is not that of the terms, or that contradicts them;
- engines, fuel schedules, instruction sets and comparison policies that this release cannot serve;
- jobs that need more than the machine offers, or longer than the submit window leaves;
- inputs that are not the deal's, or not what the manifest takes.

It does not filter by creator, by price, or by what the inputs say or the program does: the sandbox bounds what a
program can do, and nobody here judges content. It does not look at load: `decide` declines what comes too late in the
queue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lilypad_agents.agents.provider.capacity import Machine, need_of
from lilypad_agents.agents.provider.config import ModuleRules, ProviderConfig
from lilypad_agents.execution.inputs import Inputs
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.execution.schedule import FUEL_SCHEDULE
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import NOBODY, ZERO, checksummed, hex_of
from lilypad_agents.protocol.terms import Metering, ModuleTerms, name_hash
from lilypad_agents.protocol.units import WHOLE

_METERING = {"none": Metering.NONE, "fuel": Metering.FUEL, "tokens": Metering.TOKENS, "bytes": Metering.BYTES}
_COUNTED_HERE = ("none", "fuel")


class Reason(StrEnum):
    """Why a deal is declined; a stable word for logs and for the creator."""

    MODULE_DENIED = "module-denied"
    MODULE_NOT_ALLOWED = "module-not-allowed"
    POOL_NOT_SERVED = "pool-not-served"
    TERMS_UNKNOWN = "terms-unknown"
    TERMS_CONTRADICT = "terms-contradict"
    MANIFEST_INVALID = "manifest-invalid"
    ENGINE_UNSUPPORTED = "engine-unsupported"
    SCHEDULE_UNSUPPORTED = "schedule-unsupported"
    CLASS_MISSING = "class-missing"
    COMPARISON_UNSUPPORTED = "comparison-unsupported"
    TOO_LARGE = "too-large"
    TIME_TOO_SHORT = "time-too-short"
    INPUTS_INVALID = "inputs-invalid"
    MODULE_BROKEN = "module-broken"
    CONTENT_UNAVAILABLE = "content-unavailable"
    OVER_CAPACITY = "over-capacity"
    RUN_FAILED = "run-failed"


@dataclass(frozen=True)
class Refusal:
    """`found` and `needed` are the figures of the reason, as text."""

    reason: Reason
    found: str = ""
    needed: str = ""

    def __str__(self) -> str:
        tail = f": {self.found}" if self.found else ""
        return f"{self.reason}{tail}" + (f" (needed: {self.needed})" if self.needed else "")


@dataclass(frozen=True)
class Accept:
    """Nothing that is known speaks against the deal."""


ACCEPT = Accept()


@dataclass(frozen=True)
class DealFacts:
    """What is known of a deal so far; None: not yet obtained, which is no reason to refuse.

    `seconds_left`: from now to the time by which a result should be submitted.
    """

    deal: Deal
    seconds_left: int
    terms: ModuleTerms | None = None
    manifest: Manifest | None = None
    inputs: Inputs | None = None


def gate(facts: DealFacts, config: ProviderConfig, machine: Machine) -> Accept | Refusal:
    """The first reason against the deal, cheapest first; Accept when there is none. See the module for what is filtered."""
    for refusal in _refusals(facts, config, machine):
        return refusal
    return ACCEPT


def _refusals(facts: DealFacts, config: ProviderConfig, machine: Machine) -> Iterator[Refusal]:
    deal = facts.deal
    if config.pool(deal.pool) is None:
        yield Refusal(Reason.POOL_NOT_SERVED, hex_of(deal.pool))
    yield from _list_refusals(facts, config)
    if facts.terms is not None and facts.terms.id != deal.module:
        yield Refusal(Reason.TERMS_UNKNOWN, hex_of(facts.terms.id), hex_of(deal.module))
    if facts.manifest is not None:
        yield from _manifest_refusals(facts, facts.manifest, machine)
    if facts.inputs is not None:
        yield from _inputs_refusals(deal, facts.inputs)


def _list_refusals(facts: DealFacts, config: ProviderConfig) -> Iterator[Refusal]:
    marks = _marks(facts)
    if is_listed(config.deny, marks):
        yield Refusal(Reason.MODULE_DENIED, hex_of(facts.deal.module))
    undecided = facts.manifest is None and not _decides(config.allow, facts)
    # What curated lists hold is not in the settings: there the offer's root has decided, which the core checked.
    if not config.allow.is_empty and not config.lists and not is_listed(config.allow, marks) and not undecided:
        yield Refusal(Reason.MODULE_NOT_ALLOWED, hex_of(facts.deal.module))


@dataclass(frozen=True)
class ModuleMarks:
    """By what a list may name a module; the manifest's digest and names where they are known."""

    version: str
    publisher: str
    manifest: str | None
    names: frozenset[str]


def _marks(facts: DealFacts) -> ModuleMarks:
    manifest = facts.terms.manifest if facts.terms is not None else None
    names: frozenset[str] = frozenset()
    if facts.manifest is not None:
        names = frozenset((facts.manifest.name, f"{facts.manifest.name}:{facts.manifest.version}"))
    return ModuleMarks(
        hex_of(facts.deal.module), facts.deal.publisher, None if manifest is None else hex_of(manifest), names
    )


def is_listed(rules: ModuleRules, marks: ModuleMarks) -> bool:
    """Whether any mark of the module is in the list."""
    return (
        marks.version in rules.versions
        or marks.publisher in rules.publishers
        or marks.manifest in rules.manifests
        or bool(marks.names & rules.names)
    )


def _decides(rules: ModuleRules, facts: DealFacts) -> bool:
    """Whether the list can be decided by now: names wait for the manifest, digests for the terms."""
    return not rules.names and (not rules.manifests or facts.terms is not None)


def _manifest_refusals(facts: DealFacts, manifest: Manifest, machine: Machine) -> Iterator[Refusal]:
    if facts.terms is not None:
        yield from contradictions(facts.terms, manifest)
    if manifest.engine not in machine.engines or manifest.wasm is None:
        yield Refusal(Reason.ENGINE_UNSUPPORTED, manifest.engine, ", ".join(sorted(machine.engines)))
    metering = manifest.metering
    if metering.kind not in _COUNTED_HERE or (metering.kind != "none" and metering.schedule != FUEL_SCHEDULE):
        yield Refusal(Reason.SCHEDULE_UNSUPPORTED, str(metering.schedule), FUEL_SCHEDULE)
    missing = set(manifest.resources.flags) - machine.classes
    if missing:
        yield Refusal(Reason.CLASS_MISSING, "this machine", ", ".join(sorted(missing)))
    if facts.deal.is_verified and (manifest.compare.policy != "exact" or not manifest.deterministic):
        # Seats of a panel vote on digests: a result that may differ between honest machines would be found wrong.
        yield Refusal(Reason.COMPARISON_UNSUPPORTED, manifest.compare.policy, "exact and deterministic")
    yield from _size_refusals(facts, manifest, machine)


def _size_refusals(facts: DealFacts, manifest: Manifest, machine: Machine) -> Iterator[Refusal]:
    need, limit = need_of(manifest), machine.limit
    if not need.within(limit):
        yield Refusal(Reason.TOO_LARGE, str(limit), str(need))
    if manifest.resources.disk_mib > machine.resources.disk_mib:
        yield Refusal(Reason.TOO_LARGE, f"{machine.resources.disk_mib} MiB", f"{manifest.resources.disk_mib} MiB disk")
    if manifest.resources.vram_mib > machine.resources.vram_mib:
        yield Refusal(Reason.TOO_LARGE, f"{machine.resources.vram_mib} MiB", f"{manifest.resources.vram_mib} MiB VRAM")
    if facts.seconds_left < manifest.limits.wall_seconds:
        # A run that the module's own wall time ends is a paid result; one that the deadline overtakes costs the penalty.
        yield Refusal(Reason.TIME_TOO_SHORT, f"{facts.seconds_left} s", f"{manifest.limits.wall_seconds} s")


def _inputs_refusals(deal: Deal, inputs: Inputs) -> Iterator[Refusal]:
    if inputs.digest != deal.inputs:
        yield Refusal(Reason.INPUTS_INVALID, hex_of(inputs.digest), hex_of(deal.inputs))
    if inputs.module != hex_of(deal.module):
        yield Refusal(Reason.INPUTS_INVALID, inputs.module, hex_of(deal.module))


def contradictions(terms: ModuleTerms, manifest: Manifest) -> Iterator[Refusal]:
    """Where a manifest says something else than the terms that name it. Such a module is broken: nobody could judge it."""
    if manifest.digest != terms.manifest:
        yield Refusal(Reason.MANIFEST_INVALID, hex_of(manifest.digest), hex_of(terms.manifest))
    promised = _promised(manifest)
    for field, value in promised.items():
        found = getattr(terms, field)
        if found != value:
            yield Refusal(Reason.TERMS_CONTRADICT, f"{field} {_shown(found)} in the terms", f"{_shown(value)} of the manifest")


def _promised(manifest: Manifest) -> dict[str, Any]:
    """The fields of the terms that a manifest fixes; who gets the royalty only where it names somebody."""
    verification = manifest.verification
    promised: dict[str, Any] = {
        "name_hash": name_hash(manifest.name, manifest.version),
        "royalty_bps": manifest.royalty_bps,
        "deterministic": manifest.deterministic,
        "strategy": NOBODY if verification.strategy is None else _account(verification.strategy),
        "min_audit_bps": verification.min_audit_bps,
        "min_seat_fee": verification.min_seat_fee,
        "metering": _METERING[manifest.metering.kind],
        "publisher": _account(manifest.publisher or ""),
        "parent": bytes.fromhex(manifest.parent[2:]) if manifest.parent else ZERO,
    }
    if manifest.royalty_to is not None:
        promised["royalty_to"] = _account(manifest.royalty_to)
    return promised


def _account(text: str) -> str:
    """The account in EIP-55 form; a text that is none stays as it is, and contradicts every account."""
    try:
        return checksummed(text.lower())
    except ValueError:
        return text


def _shown(value: Any) -> str:
    return hex_of(value) if isinstance(value, bytes) else str(value)


def act_by(begin: int, end: int, config: ProviderConfig) -> int:
    """The second by which something that may be done from `begin` to `end` (unix seconds) is done at the latest."""
    return begin + (end - begin) * config.act_by_bps // WHOLE
