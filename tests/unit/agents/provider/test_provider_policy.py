"""The gate, reason by reason: what is accepted, what is refused and why."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from lilypad_agents.agents.creator.terms import terms_of
from lilypad_agents.agents.provider.capacity import Machine, machine_of, need_of
from lilypad_agents.agents.provider.config import ProviderConfig, ProviderSettings
from lilypad_agents.agents.provider.policy import ACCEPT, DealFacts, Reason, Refusal, contradictions, gate
from lilypad_agents.agents.runtime.errors import SettingInvalid, SettingUnknown
from lilypad_agents.execution.hardware import Gpu, Hardware
from lilypad_agents.execution.inputs import make_inputs
from lilypad_agents.execution.manifest import Manifest, parse_manifest
from lilypad_agents.execution.schedule import FUEL_SCHEDULE
from lilypad_agents.protocol.ids import ZERO, checksummed, hex_of
from lilypad_agents.protocol.terms import UNVERIFIED, PoolTerms
from tests.unit.agents.provider.provider_views import CONFIG, MACHINE, PUBLISHER, STRATEGY, TOKEN_ACCOUNT, deal

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
DOCUMENT: dict[str, Any] = {
    "schema": "lilypad/module@2",
    "publisher": PUBLISHER,
    "name": "cowsay",
    "version": "v1",
    "licence": {"code": "Apache-2.0"},
    "engine": "wasm",
    "wasm": {"module": CID, "args": ["cowsay", {"input": "Message"}]},
    "network": "none",
    "seed": {"policy": "none"},
    "inputs": {
        "type": "object", "additionalProperties": False,
        "properties": {"Message": {"type": "string", "maxLength": 100, "default": "moo"}},
    },
    "outputs": {"stdout": {"mediaType": "text/plain"}},
    "compare": {"policy": "exact"},
    "resources": {"cpuMilli": 1_000, "ramMib": 64, "diskMib": 1, "gpuCount": 0, "vramMib": 0},
    "limits": {
        "fuel": 1_000_000, "wallSeconds": 10, "stdoutBytes": 65_536, "stderrBytes": 65_536, "outputBytes": 0,
        "outputFiles": 0, "processes": 1,
    },
    "examples": [{"inputs": {"Message": "moo"}, "expect": {"exitCode": 0}}],
}  # fmt: skip
POOL = PoolTerms(STRATEGY, TOKEN_ACCOUNT, 1, 10, 100, ZERO, 12, 8, 12, ZERO)


def manifest(**changes: Any) -> Manifest:
    document = copy.deepcopy(DOCUMENT)
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = document
        for part in parents:
            target = target[part]
        target[last] = value
    return parse_manifest(document)


def facts(found: Manifest | None = None, **changes: Any) -> DealFacts:
    found = found or manifest()
    terms = terms_of(found)
    made = deal(module=terms.id, publisher=terms.publisher)
    inputs = make_inputs(found, hex_of(terms.id), {"Message": "hi"}, {})
    return replace(DealFacts(replace(made, inputs=inputs.digest), 80, terms, found, inputs), **changes)


def reason(decision: object) -> Reason | None:
    return decision.reason if isinstance(decision, Refusal) else None


def config(**changes: Any) -> ProviderConfig:
    return ProviderConfig(**changes)


def test_gate__everything_in_order__accepts() -> None:
    assert gate(facts(), CONFIG, MACHINE) == ACCEPT


def test_gate__nothing_known_but_the_record__accepts_for_now() -> None:
    """What is not yet obtained is no reason to refuse."""
    assert gate(DealFacts(deal(), 80), CONFIG, MACHINE) == ACCEPT


FACTS = facts()
VERSION, MANIFEST_DIGEST = hex_of(FACTS.deal.module), hex_of(FACTS.terms.manifest)
OTHER = "0x" + "77" * 32


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"deny_versions": (VERSION,)}, Reason.MODULE_DENIED),
        ({"deny_manifests": (MANIFEST_DIGEST.upper().replace("0X", "0x"),)}, Reason.MODULE_DENIED),
        ({"deny_publishers": (PUBLISHER.lower(),)}, Reason.MODULE_DENIED),
        ({"deny_names": ("cowsay",)}, Reason.MODULE_DENIED),
        ({"deny_names": ("cowsay:v1",)}, Reason.MODULE_DENIED),
        ({"deny_names": ("cowsay:v2", "cow")}, None),
        ({"allow_versions": (VERSION,)}, None),
        ({"allow_manifests": (MANIFEST_DIGEST,)}, None),
        ({"allow_publishers": (PUBLISHER,)}, None),
        ({"allow_names": ("cowsay:v1",)}, None),
        ({"allow_versions": (OTHER,)}, Reason.MODULE_NOT_ALLOWED),
        ({"allow_names": ("primes",)}, Reason.MODULE_NOT_ALLOWED),
        ({"allow_versions": (VERSION,), "deny_names": ("cowsay",)}, Reason.MODULE_DENIED),
        # What curated lists hold, the offer's root has decided; the own lists of refusals count still.
        ({"lists": (f"{PUBLISHER}/good",), "allow_versions": (OTHER,)}, None),
        ({"lists": (f"{PUBLISHER}/good",), "deny_names": ("cowsay",)}, Reason.MODULE_DENIED),
    ],
)
def test_gate__lists__deny_wins_over_allow_and_any_mark_counts(lists: Any, expected: Reason | None) -> None:
    """beh:H4 Modules by version id, publisher, manifest hash or name."""
    assert reason(gate(FACTS, config(**lists), MACHINE)) == expected


def test_gate__allow_by_name_before_the_manifest_is_here__waits() -> None:
    known = replace(FACTS, manifest=None, inputs=None)
    assert gate(known, config(allow_names=("primes",)), MACHINE) == ACCEPT
    assert reason(gate(FACTS, config(allow_names=("primes",)), MACHINE)) == Reason.MODULE_NOT_ALLOWED
    assert gate(replace(known, terms=None), config(allow_manifests=(OTHER,)), MACHINE) == ACCEPT
    assert reason(gate(known, config(allow_manifests=(OTHER,)), MACHINE)) == Reason.MODULE_NOT_ALLOWED


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (facts(deal=deal(pool=POOL.id)), Reason.POOL_NOT_SERVED),
        (facts(terms=replace(FACTS.terms, parent=b"\x01" * 32)), Reason.TERMS_UNKNOWN),
        (facts(manifest(resources__cpuMilli=4_001)), Reason.TOO_LARGE),
        (facts(manifest(resources__ramMib=4_096)), Reason.TOO_LARGE),
        (facts(manifest(resources__diskMib=101)), Reason.TOO_LARGE),
        (facts(manifest(resources__flags=["avx-99"])), Reason.CLASS_MISSING),
        (facts(manifest(metering={"kind": "fuel", "per": 10, "schedule": "other-1"})), Reason.SCHEDULE_UNSUPPORTED),
        (facts(seconds_left=9), Reason.TIME_TOO_SHORT),
        (facts(seconds_left=10), None),
        (facts(manifest(resources__flags=["x86-64-v3"])), None),
        (facts(manifest(metering={"kind": "fuel", "per": 10, "schedule": FUEL_SCHEDULE})), None),
        (facts(deal=replace(FACTS.deal, inputs=b"\x09" * 32)), Reason.INPUTS_INVALID),
    ],
)
def test_gate__one_thing_wrong__names_it(changed: DealFacts, expected: Reason | None) -> None:
    """beh:C12 Every reason to decline has its word."""
    assert reason(gate(changed, CONFIG, MACHINE)) == expected


def test_gate__machine_without_the_engine__refuses() -> None:
    none = replace(MACHINE, engines=frozenset({"container"}))
    assert reason(gate(FACTS, CONFIG, none)) == Reason.ENGINE_UNSUPPORTED


def test_gate__comparison_that_machines_may_differ_in__is_refused_where_a_panel_would_judge() -> None:
    loose = facts(manifest(compare={"policy": "numeric", "params": {"relative": 0.01}}))
    assert gate(loose, CONFIG, MACHINE) == ACCEPT
    judged = replace(loose, deal=replace(loose.deal, pool=POOL.id))
    assert reason(gate(judged, config(pools=(UNVERIFIED, POOL)), MACHINE)) == Reason.COMPARISON_UNSUPPORTED


@pytest.mark.parametrize(
    "field",
    ["publisher", "name_hash", "manifest", "parent", "royalty_bps", "deterministic", "strategy", "min_audit_bps",
     "min_seat_fee", "metering"],
)  # fmt: skip
def test_contradictions__any_field_of_the_terms_changed__is_found(field: str) -> None:
    """A manifest that its terms contradict is a broken module, whoever published it."""
    found = manifest()
    terms = terms_of(found)
    assert list(contradictions(terms, found)) == []
    changed = {
        "publisher": STRATEGY, "name_hash": b"\x01" * 32, "manifest": b"\x01" * 32, "parent": b"\x01" * 32,
        "royalty_bps": 1, "deterministic": not terms.deterministic, "strategy": STRATEGY, "min_audit_bps": 1,
        "min_seat_fee": 1, "metering": 1,
    }  # fmt: skip
    assert list(contradictions(replace(terms, **{field: changed[field]}), found))


def test_contradictions__royalty_account__counts_only_where_the_manifest_names_one() -> None:
    found = manifest()
    assert list(contradictions(replace(terms_of(found), royalty_to=STRATEGY), found)) == []
    named = manifest(royaltyTo=PUBLISHER, royaltyBps=100)
    assert list(contradictions(replace(terms_of(named), royalty_to=STRATEGY), named))


# ---- capacity


def hardware(**changes: Any) -> Hardware:
    found = Hardware(4_000, "", 10_000, 100_000, "x86_64", "x86-64-v3", ("avx2",), (), ("wasm",))
    return replace(found, **changes)


def test_machine__by_default__is_what_is_there_less_the_reserve() -> None:
    found = machine_of(hardware(), CONFIG)
    assert (found.resources.cpu_milli, found.resources.ram_mib, found.resources.disk_mib) == (3_200, 8_000, 80_000)
    assert (found.slots, found.backlog) == (4, 100)
    assert {"x86-64-v1", "x86-64-v2", "x86-64-v3", "wasm", "avx2"} <= found.classes and "x86-64-v4" not in found.classes


def test_machine__configured__is_less_but_never_more_than_there_is() -> None:
    """beh:J8 An offer promises what the machine really has."""
    less = machine_of(hardware(), config(cpu_milli=1_000, ram_mib=512, slots=3, backlog=7))
    assert (less.resources.cpu_milli, less.resources.ram_mib, less.slots, less.backlog) == (1_000, 512, 3, 7)
    more = machine_of(hardware(), config(cpu_milli=64_000, gpu_count=8))
    assert (more.resources.cpu_milli, more.resources.gpu_count) == (3_200, 0)


def test_machine__gpus__offers_the_memory_of_the_smallest() -> None:
    cards = tuple(Gpu(str(n), str(n), size, "9.0", "1", False) for n, size in enumerate((80_000, 24_000)))
    found = machine_of(hardware(gpus=cards), CONFIG)
    assert (found.resources.gpu_count, found.resources.vram_mib) == (2, 24_000)


def test_need__everything_a_run_may_hold__counts_as_memory() -> None:
    found = need_of(manifest(limits__stdoutBytes=2**20, limits__stderrBytes=2**20, limits__outputBytes=2**20))
    assert found.ram_mib >= 64 + 1 + 3
    assert found.cpu_milli == 1_000


# ---- settings


def test_settings__environment_and_flags__reach_the_provider_with_their_origin() -> None:
    """beh:J25"""
    found = ProviderSettings.load(
        environment={"LILYPAD_PROVIDER_ALLOW_NAMES": "cowsay, primes:v1", "LILYPAD_PROVIDER_SLOTS": "3"}, flags={"price": 5}
    )
    assert found.allow.names == {"cowsay", "primes:v1"} and found.slots == 3 and found.price == 5
    assert found.origin("slots") == "environment LILYPAD_PROVIDER_SLOTS"


@pytest.mark.parametrize(
    "flags",
    [
        {"price": 0},
        {"price": -1},
        {"price": 2**96},
        {"allow_versions": ("0x12",)},
        {"deny_publishers": ("me",)},
        {"allow_names": ("Cow Say",)},
        {"module_prices": {"cowsay": {"price": 1}}},
        {"module_prices": {OTHER: {"price": 0}}},
        {"module_prices": {OTHER: {"prize": 1}}},
        {"reserve_bps": 10_000},
        {"slots": 0},
        {"pools": ()},
        {"pools": ({"strategy": "x"},)},
        {"only_solver": "0x1"},
        {"act_by_bps": 10_000},
    ],
)
def test_settings__value_out_of_range__is_refused(flags: dict[str, Any]) -> None:
    with pytest.raises(SettingInvalid):
        ProviderSettings.load(flags=flags)


def test_settings__unknown_name__is_refused() -> None:
    with pytest.raises(SettingUnknown):
        ProviderSettings.load(flags={"prices": 1})


def test_settings__price_of_a_module__overrides_the_default() -> None:
    found = ProviderSettings.load(flags={"module_prices": {OTHER.upper().replace("0X", "0x"): {"price": 3}}})
    assert found.price_of(bytes.fromhex(OTHER[2:])).price == 3
    assert found.price_of(b"\x01" * 32).price == 10**18
    assert isinstance(MACHINE, Machine) and checksummed(PUBLISHER) == PUBLISHER
