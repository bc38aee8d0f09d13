"""Which offers should stand, what has to be told to a solver, and when no deals are taken. All from literals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.agents.provider.offers import (
    KnownModule,
    Situation,
    offer_of,
    needs_registry,
    plan,
    reasons_against_offering,
    templates,
)
from lilypad_agents.agents.provider.store import StandingOffer
from lilypad_agents.protocol.ids import ZERO, VersionId, hex_of
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms, name_hash
from lilypad_agents.protocol.units import UNLIMITED_VOLUME
from tests.unit.agents.provider.provider_views import CONFIG, MACHINE, PROVIDER, PUBLISHER, STRATEGY, TOKEN_ACCOUNT

POOL = PoolTerms(STRATEGY, TOKEN_ACCOUNT, 1, 10, 100, ZERO, 12, 8, 12, ZERO)
NOW = 10_000


def known(name: str, version: str = "v1", **changes: Any) -> KnownModule:
    terms = ModuleTerms(
        PUBLISHER, name_hash(name, version), name.encode().ljust(32, b"\0"), ZERO, 0, PUBLISHER, True,
        "0x" + "0" * 40, 0, 0, 0,
    )  # fmt: skip
    return KnownModule(replace(terms, **changes), name, version)


COWSAY, PRIMES, RANDOM = known("cowsay"), known("primes"), known("random", deterministic=False)
ALL = {VersionId(module.terms.id): module for module in (COWSAY, PRIMES, RANDOM)}


def config(**changes: Any) -> ProviderConfig:
    return ProviderConfig(**changes)


def version(module: KnownModule) -> str:
    return hex_of(module.terms.id)


def lists(**changes: Any) -> list[tuple[int, set[bytes] | None]]:
    """(price, modules) of each offer."""
    found = templates(config(**changes), MACHINE, ALL)
    return [(t.price.price, None if t.modules is None else set(t.modules)) for t in found]


def test_templates__curated_lists__are_offered_whole_under_their_own_root_less_what_is_denied() -> None:
    """beh:G10"""
    text = f"{PUBLISHER}/good"
    listed = frozenset({VersionId(COWSAY.terms.id), VersionId(PRIMES.terms.id)})
    (whole,) = templates(config(lists=(text,)), MACHINE, ALL, listed)
    offer = offer_of(whole, config(lists=(text,)), PROVIDER, TOKEN_ACCOUNT, 80, NOW)
    assert offer.modules == MerkleTree.of(listed).root
    (part,) = templates(config(lists=(text,), deny_names=("primes",)), MACHINE, ALL, listed)
    assert set(part.modules or ()) == {COWSAY.terms.id}
    assert templates(config(lists=(text,)), MACHINE, ALL) == [], "a list that is empty, or not sound, offers nothing"
    (more,) = templates(config(lists=(text,), allow_names=("random",)), MACHINE, ALL, listed)
    assert set(more.modules or ()) == {*listed, RANDOM.terms.id}
    assert needs_registry(config(lists=(text,)))


def test_templates__by_default__one_offer_for_any_deterministic_module() -> None:
    assert lists() == [(10**18, None)]
    assert not needs_registry(CONFIG)


def test_templates__versions_allowed__are_the_list_without_any_registry() -> None:
    wanted = config(allow_versions=(version(PRIMES),))
    assert not needs_registry(wanted)
    assert [set(t.modules or ()) for t in templates(wanted, MACHINE, {})] == [{PRIMES.terms.id}]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"allow_names": ("cowsay",)}, {COWSAY.terms.id}),
        ({"allow_names": ("cowsay:v2",)}, set()),
        ({"allow_publishers": (PUBLISHER,)}, {COWSAY.terms.id, PRIMES.terms.id, RANDOM.terms.id}),
        ({"deny_names": ("cowsay",)}, {PRIMES.terms.id}),
        ({"deny_versions": (version(PRIMES),)}, {COWSAY.terms.id}),
        ({"allow_names": ("cowsay", "primes"), "deny_versions": (version(PRIMES),)}, {COWSAY.terms.id}),
        ({"allow_manifests": (hex_of(RANDOM.terms.manifest),)}, {RANDOM.terms.id}),
    ],
)
def test_templates__lists__name_what_passes_them(changes: Any, expected: set[bytes]) -> None:
    """beh:H4 What a signature admits is what the settings admit, so that nothing has to be declined later."""
    assert needs_registry(config(**changes))
    assert [modules for _, modules in lists(**changes)] == ([expected] if expected else [])


def test_templates__other_price_for_one_module__makes_two_offers_that_do_not_overlap() -> None:
    found = lists(module_prices={version(PRIMES): {"price": 5}})
    assert found == [(5, {PRIMES.terms.id}), (10**18, {COWSAY.terms.id})]


def test_templates__pools__have_an_offer_each() -> None:
    found = templates(config(pools=(UNVERIFIED, POOL)), MACHINE, {})
    assert [t.pool for t in found] == [UNVERIFIED, POOL]
    assert len({t.label for t in found}) == 2


def test_offer__from_a_template__says_what_the_settings_and_the_machine_say() -> None:
    wanted = config(allow_versions=(version(COWSAY), version(PRIMES)), price=7, unit_price=2, max_judge_window=500)
    offer = offer_of(templates(wanted, MACHINE, {})[0], wanted, PROVIDER, TOKEN_ACCOUNT, 80, NOW)
    assert offer.modules == MerkleTree.of([COWSAY.terms.id, PRIMES.terms.id]).root
    assert (offer.price, offer.unit_price, offer.volume, offer.max_judge_window) == (7, 2, UNLIMITED_VOLUME, 80)
    assert (offer.expiry, offer.nonce) == (NOW + wanted.offer_seconds, NOW)
    assert offer.resources == MACHINE.resources


# ---- plans


def standing(expiry: int, label: str = "", number: int = 1) -> StandingOffer:
    return StandingOffer(f"0x{number:064x}", "http://solver", label or templates(CONFIG, MACHINE, {})[0].label, expiry)


WANTED = templates(CONFIG, MACHINE, {})
HALF = NOW + CONFIG.offer_seconds // 2


@pytest.mark.parametrize(
    ("offers", "wanted", "posts", "withdraws"),
    [
        ([], WANTED, 1, 0),
        ([standing(HALF + 1)], WANTED, 0, 0),
        ([standing(HALF)], WANTED, 1, 1),
        ([standing(HALF + 1)], [], 0, 1),
        ([standing(HALF + 1, "other")], WANTED, 1, 1),
        ([standing(HALF + 1), standing(HALF + 2, number=2)], WANTED, 0, 1),
    ],
)
def test_plan__from_what_stands__posts_and_withdraws_what_is_needed(
    offers: list[StandingOffer], wanted: list[Any], posts: int, withdraws: int
) -> None:
    """beh:J8 Renewed at half of its life, withdrawn when nothing is wanted, one of each."""
    found = plan(offers, wanted, NOW, CONFIG)
    assert (len(found.post), len(found.withdraw)) == (posts, withdraws)


def test_plan__two_of_one_kind__keeps_the_younger() -> None:
    old, young = standing(HALF + 1), standing(HALF + 9, number=2)
    assert plan([old, young], WANTED, NOW, CONFIG).withdraw == (old,)


# ---- reasons

FINE = Situation(
    unanswered=0, locked=0, free=10**18, coin=10, coin_needed=10, disk_ok=True, draining=False, tested=True
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"unanswered": 9}, None),
        ({"unanswered": 10}, "full"),
        ({"locked": 99}, None),
        ({"locked": 100}, "collateral"),
        ({"free": 10**18 - 1}, "funds"),
        ({"coin": 9}, "gas"),
        ({"disk_ok": False}, "disk"),
        ({"draining": True}, "draining"),
        ({"tested": False}, "untested"),
    ],
)
def test_reasons__at_each_limit__name_it(changes: dict[str, Any], reason: str | None) -> None:
    """beh:J8 flt:F23 flt:F27"""
    found = reasons_against_offering(replace(FINE, **changes), config(max_locked=100), MACHINE)
    assert set(found) == ({reason} if reason else set())


def test_reasons__missing_money__is_told_to_the_unit() -> None:
    """flt:F23 The sum that is missing."""
    found = reasons_against_offering(replace(FINE, free=0, coin=3), CONFIG, MACHINE)
    assert "1000000000000000000 are missing" in found["funds"]
    assert "lacks 7 wei" in found["gas"]
