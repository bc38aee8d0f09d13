"""From a request to an offer and its quote: inputs checked before anything is paid, windows within bounds, every part of the price."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from creator_support import (
    CREATOR,
    DOMAIN,
    NOW,
    ONE,
    PARAMETERS,
    PROVIDER,
    SOLVER,
    STRATEGY,
    TOKEN,
    context,
    job_offer,
    manifest,
    pool,
    resource_offer,
    settings,
    terms,
)
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.agents.creator.errors import RequestInvalid
from lilypad_agents.agents.creator.offers import draft_offer, sign_offer, units_limit
from lilypad_agents.agents.creator.quote import as_json, endings, price_offers, time_bound, worst_loss
from lilypad_agents.agents.creator.request import Wishes, collect_files, parse_values, prepare_inputs
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.types import ChainId
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.store import LocalStore
from lilypad_agents.execution.errors import InputsInvalid
from lilypad_agents.execution.inputs import parse_inputs
from lilypad_agents.protocol.consent import examine
from lilypad_agents.protocol.ids import NOBODY, hex_of
from lilypad_agents.protocol.matching import why_not
from lilypad_agents.protocol.payouts import escrow
from lilypad_agents.protocol.price import charge, least_seat_floor_up, locked_total
from lilypad_agents.protocol.refusals import ChainView, refusal
from lilypad_agents.protocol.terms import UNVERIFIED
from lilypad_agents.protocol.units import UINT96_MAX, Units

COW, PRIMES, WORDS = manifest("cowsay"), manifest("primes"), manifest("wordcount")

# ---- inputs


def test_parse_values__everything_after_the_first_equals_sign_is_the_value(tmp_path: Path) -> None:
    """beh:K2 beh:F13"""
    (tmp_path / "m.txt").write_text("from a file\n", encoding="utf-8")
    assert parse_values(COW, ["Message=a=b, \"c\"\n{{x}}"]) == {"Message": 'a=b, "c"\n{{x}}'}
    assert parse_values(COW, [f"Message=@{tmp_path}/m.txt"]) == {"Message": "from a file\n"}
    assert parse_values(PRIMES, ["Limit=17"]) == {"Limit": 17}


def test_parse_values__file_of_values__is_overridden_by_single_ones(tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    path.write_text('{"Message": "in the file"}')
    assert parse_values(COW, [], path) == {"Message": "in the file"}
    assert parse_values(COW, ["Message=here"], path) == {"Message": "here"}


@pytest.mark.parametrize(
    ("assignments", "content"),
    [
        (["Message"], None),
        (["Massage=x"], None),
        (["Message=1", "Message=2"], None),
        (["Message=@/nowhere/at/all"], None),
        ([], "[1]"),
        ([], "{"),
        ([], '{"a": 1, "a": 2}'),
    ],
)
def test_parse_values__nonsense__is_refused_by_name(tmp_path: Path, assignments: list[str], content: str | None) -> None:
    """beh:K5"""
    path = None
    if content is not None:
        path = tmp_path / "values.json"
        path.write_text(content)
    with pytest.raises((InputsInvalid, RequestInvalid)):
        parse_values(COW, assignments, path)


def test_collect_files__names_sizes_and_kinds__are_checked(tmp_path: Path) -> None:
    """beh:K5"""
    (tmp_path / "text.txt").write_text("hi")
    (tmp_path / ".hidden").write_text("")
    assert collect_files(WORDS, tmp_path) == {"text.txt": tmp_path / "text.txt"}
    assert collect_files(WORDS, None, [str(tmp_path / "text.txt")]) == {"text.txt": tmp_path / "text.txt"}
    (tmp_path / "other.bin").write_text("")
    for folder, assignments in ((tmp_path, []), (None, []), (tmp_path / "text.txt", []), (None, [f"text.txt={tmp_path}"]), (None, ["text.txt=/nowhere"])):
        with pytest.raises(InputsInvalid):
            collect_files(WORDS, folder, assignments)


def test_collect_files__larger_than_the_module_allows__is_refused(tmp_path: Path) -> None:
    with (tmp_path / "text.txt").open("wb") as file:
        file.truncate(WORDS.files[0].max_bytes + 1)
    with pytest.raises(InputsInvalid, match="bytes"):
        collect_files(WORDS, tmp_path)


def test_prepare_inputs__document_and_files__are_what_the_provider_reads(tmp_path: Path) -> None:
    """beh:C3"""
    (tmp_path / "text.txt").write_text("some words\n")
    store = LocalStore(tmp_path / "store", durable=False)
    found = prepare_inputs(store, WORDS, terms("wordcount"), {}, {"text.txt": tmp_path / "text.txt"})
    assert found.document == Cid.raw(found.inputs.digest)
    document = store.get(found.document)
    assert parse_inputs(WORDS, document, module=hex_of(terms("wordcount").id)) == found.inputs
    assert found.roots == (found.document, found.files["text.txt"])
    assert store.get(found.files["text.txt"]) == b"some words\n"


@pytest.mark.parametrize(("module", "values"), [(COW, {"Message": "x" * 5_000}), (COW, {"Message": "nul\0"}), (PRIMES, {"Limit": 1}), (PRIMES, {"Limit": "2"}), (WORDS, {})])
def test_prepare_inputs__outside_the_schema__stores_nothing(tmp_path: Path, module: Any, values: dict[str, Any]) -> None:
    """beh:K5"""
    store = LocalStore(tmp_path / "store", durable=False)
    with pytest.raises(InputsInvalid):
        prepare_inputs(store, module, terms(module.name), values, {})
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.stat().st_size > 0 and "blocks" in path.parts]


# ---- the offer


def test_draft_offer__default__asks_for_what_the_manifest_needs_within_the_networks_bounds() -> None:
    """beh:H2 beh:C16"""
    offer = draft_offer(COW, terms(), b"\x07" * 32, Wishes(pool=UNVERIFIED), context())
    needed = COW.resources
    assert (offer.cpu_milli, offer.ram_mib, offer.disk_mib, offer.gpu_count) == (needed.cpu_milli, needed.ram_mib, needed.disk_mib, 0)
    assert (offer.creator, offer.solver, offer.solver_fee_bps, offer.token) == (CREATOR, SOLVER, 200, TOKEN.address)
    assert offer.pool == UNVERIFIED.id and offer.audit_bps == 0
    assert offer.max_price == UINT96_MAX and offer.max_units == 0
    assert offer.expiry == NOW + 60
    assert offer.submit_window * 8 // 10 > COW.limits.wall_seconds
    assert PARAMETERS.min_judge_window <= offer.judge_window <= PARAMETERS.max_judge_window


def test_draft_offer__every_shipped_module__opens_with_default_terms() -> None:
    """beh:C16"""
    for name in ("cowsay", "primes", "wordcount"):
        module, module_terms = manifest(name), terms(name)
        offer = draft_offer(module, module_terms, bytes(32), Wishes(max_price=100 * ONE, pool=UNVERIFIED), context())
        resource = resource_offer(unit_price=ONE // 100)
        view = ChainView(
            domain=DOMAIN,
            time=NOW,
            free={(TOKEN.address, CREATOR): 100 * ONE, (TOKEN.address, PROVIDER): 100 * ONE},
            speakers={offer.struct_hash: CREATOR, resource.struct_hash: PROVIDER},
        )
        assert why_not(offer, resource, module_terms, UNVERIFIED, PARAMETERS, view) == []


@pytest.mark.parametrize("wish", [{"submit_window": 4}, {"submit_window": 7 * 86_400 + 1}, {"judge_window": 4}, {"judge_window": 81}, {"max_units": 5}])
def test_draft_offer__wish_outside_the_bounds__is_refused(wish: dict[str, int]) -> None:
    """beh:B8"""
    with pytest.raises(RequestInvalid):
        draft_offer(COW, terms(), bytes(32), Wishes(**wish), context())


@pytest.mark.parametrize(("wish", "attribute", "value"), [({"submit_window": 15}, "submit_window", 15), ({"judge_window": 80}, "judge_window", 80), ({"collateral_bps": 0}, "collateral_bps", 0), ({"match_seconds": 3}, "expiry", NOW + 3), ({"provider": PROVIDER}, "provider", PROVIDER)])
def test_draft_offer__wish_at_the_bounds__is_taken(wish: dict[str, Any], attribute: str, value: Any) -> None:
    assert getattr(draft_offer(COW, terms(), bytes(32), Wishes(pool=UNVERIFIED, **wish), context()), attribute) == value


def test_draft_offer__window_in_which_no_provider_takes_the_module__is_refused_with_the_least() -> None:
    """beh:B8: cowsay may run for 10 s and two pass before it is seen, within four fifths of the window."""
    with pytest.raises(RequestInvalid, match="may run for 10 s.* 14 s, 15 s are needed") as caught:
        draft_offer(COW, terms(), bytes(32), Wishes(pool=UNVERIFIED, submit_window=14), context())
    assert caught.value.figures["least"] == 15


@pytest.mark.parametrize("wish", [None, 15])
def test_draft_offer__module_that_runs_longer_than_any_window__is_refused_instead_of_waiting_for_nobody(wish: int | None) -> None:
    """beh:B8"""
    here = context()
    here = replace(here, parameters=replace(here.parameters, max_submit_window=14))
    with pytest.raises(RequestInvalid, match="may run for 10 s.* 15 s; this network allows 14 s") as caught:
        draft_offer(COW, terms(), bytes(32), Wishes(pool=UNVERIFIED, submit_window=wish), here)
    assert caught.value.figures == {"found": 15, "most": 14}


def test_draft_offer__no_pool_chosen__is_refused_instead_of_unverified() -> None:
    """beh:D3 Pool 0 has to be asked for."""
    with pytest.raises(RequestInvalid, match="unverified"):
        draft_offer(COW, terms(), bytes(32), Wishes(), context())
    two = settings(pools={"one": pool(), "two": pool(max_value=9 * ONE)})
    with pytest.raises(RequestInvalid, match="one, two, unverified"):
        draft_offer(COW, terms(), bytes(32), Wishes(), context(settings=two))


@pytest.mark.parametrize(("checks", "audit_bps", "collateral_bps"), [("standard", 800, 162_000), ("light", 400, 333_000), ("strict", 2_000, 65_000), ("every-time", 10_000, 80_000)])
def test_draft_offer__only_pool_of_the_settings__judges_at_the_chosen_rate(checks: str, audit_bps: int, collateral_bps: int) -> None:
    """beh:D3 beh:C16 Every preset opens with every shipped module."""
    chosen = settings(pools={"mine": pool()}, checks=checks)
    for name in ("cowsay", "primes", "wordcount"):
        offer = draft_offer(manifest(name), terms(name), bytes(32), Wishes(max_price=100 * ONE), context(settings=chosen))
        assert (offer.pool, offer.audit_bps, offer.collateral_bps) == (pool().id, audit_bps, collateral_bps)
        resource = resource_offer(unit_price=ONE // 125, pool=pool().id)
        view = ChainView(
            domain=DOMAIN,
            time=NOW,
            free={(TOKEN.address, CREATOR): 100 * ONE, (TOKEN.address, PROVIDER): 1_000 * ONE},
            funds={(STRATEGY, TOKEN.address, pool().id): 1_000 * ONE},
            speakers={offer.struct_hash: CREATOR, resource.struct_hash: PROVIDER},
        )
        assert why_not(offer, resource, terms(name), pool(), PARAMETERS, view) == [], name
        wished = draft_offer(manifest(name), terms(name), bytes(32), Wishes(checks="strict"), context(settings=chosen))
        assert wished.audit_bps == 2_000


def test_settings__pool__is_found_by_its_name_and_pool_0_only_by_its_own() -> None:
    found = settings(pools={"one": pool().to_json(), "two": pool(max_value=9 * ONE)}, pool="two")
    assert found.pool_terms() == pool(max_value=9 * ONE) and found.pool_terms("one") == pool()
    assert found.pool_terms("unverified") == UNVERIFIED and found.pool_name(pool().id) == "one"
    with pytest.raises(RequestInvalid, match="three"):
        found.pool_terms("three")
    for wrong in ({"pool": "three"}, {"pools": {"unverified": pool()}}, {"checks": "never"}, {"pools": {"x": {"strategy": "y"}}}):
        with pytest.raises(ValueError):
            settings(**wrong)


def test_draft_offer__verified_pool__keeps_the_modules_least_audit_rate() -> None:
    """beh:D1"""
    strict = replace(terms(), min_audit_bps=900)
    assert draft_offer(COW, strict, bytes(32), Wishes(pool=pool(), audit_bps=800), context()).audit_bps == 900
    assert draft_offer(COW, strict, bytes(32), Wishes(pool=pool(), audit_bps=2_000), context()).audit_bps == 2_000


@pytest.mark.parametrize(("wished", "expected"), [(None, 1_000), (7, 7), (5_000, 1_000), (0, 0)])
def test_units_limit__metered_module__is_at_most_what_its_own_limit_allows(wished: int | None, expected: int) -> None:
    """beh:C7"""
    assert units_limit(PRIMES, wished) == expected


def test_sign_offer__own_key__is_consent() -> None:
    signer = signer_from_test_mnemonic(3, ChainId(1337))
    offer = job_offer(terms(), creator=signer.address)
    consent = examine(offer.creator, DOMAIN.digest(offer.struct_hash), sign_offer(offer, DOMAIN, signer))
    assert consent.valid and consent.speaker == signer.address


def test_settings__judge_window_beyond_the_network__is_brought_into_its_bounds() -> None:
    offer = draft_offer(COW, terms(), bytes(32), Wishes(pool=UNVERIFIED), context(settings=settings(judge_window_s=10**6)))
    assert offer.judge_window == PARAMETERS.max_judge_window


# ---- the quote


@given(price=st.integers(10**17, 10**24), unit_price=st.integers(0, 10**20), units=st.integers(0, 1_000), verified=st.booleans(), royalty=st.integers(0, 3_000))
def test_quote__every_part__adds_up_to_what_the_contract_locks(price: int, unit_price: int, units: int, verified: bool, royalty: int) -> None:
    """beh:C15 beh:A2"""
    module_terms = replace(terms("primes"), royalty_bps=royalty, royalty_to=PROVIDER)
    value = price + unit_price * units
    terms_of_pool = pool(max_value=value, seat_fee_floor=least_seat_floor_up(value)) if verified else UNVERIFIED
    job = job_offer(module_terms, pool=terms_of_pool.id, max_units=units, audit_bps=800 if verified else 0, collateral_bps=162_000)
    offer = resource_offer(price=price, unit_price=unit_price, pool=terms_of_pool.id)
    quote = price_offers(job, [(offer, [])], module_terms, terms_of_pool, PARAMETERS)
    assert quote.best is not None
    most = quote.best.most
    assert most.total == most.gross + most.royalty + most.solver_fee + most.protocol_fee + most.premium == quote.best.locked
    assert most.gross == price + unit_price * units
    assert (most.premium > 0) == verified
    assert worst_loss(quote) == locked_total(quote.best.figures, PARAMETERS.protocol_fee_bps)
    assert escrow(quote.best.figures, PARAMETERS.protocol_fee_bps) == most.total + quote.best.figures.collateral
    assert -min(ending.to_creator for ending in endings(quote)) <= worst_loss(quote)
    assert charge(quote.best.figures, Units(0), PARAMETERS.protocol_fee_bps).total == quote.best.least.total


def test_quote__several_offers__takes_the_cheapest_then_the_oldest_and_counts_refusals() -> None:
    """beh:H3 beh:J22"""
    dear, first, second = (resource_offer(price=price, nonce=nonce) for price, nonce in ((3 * ONE, 1), (2 * ONE, 2), (2 * ONE, 3)))
    refused = resource_offer(price=ONE, nonce=4)
    why = [refusal("FundsMissing", account=PROVIDER, token=TOKEN.address, has=0, needed=1)]
    quote = price_offers(job_offer(terms()), [(dear, []), (first, []), (second, []), (refused, why), (refused, why)], terms(), UNVERIFIED, PARAMETERS)
    assert [item.offer.nonce for item in quote.priced] == [2, 3, 1]
    assert list(quote.refused.values()) == [2]


def test_quote__nobody__has_no_price_and_no_loss() -> None:
    quote = price_offers(job_offer(terms()), [], terms(), UNVERIFIED, PARAMETERS)
    assert (quote.best, worst_loss(quote), endings(quote)) == (None, 0, ())
    assert as_json(quote, TOKEN)["price"] is None


def test_quote__verified_pool__shows_margin_and_every_ending() -> None:
    """beh:D3 beh:J19"""
    terms_of_pool = pool()
    job = job_offer(terms(), pool=terms_of_pool.id, audit_bps=800, collateral_bps=162_000)
    quote = price_offers(job, [(resource_offer(pool=terms_of_pool.id), [])], terms(), terms_of_pool, PARAMETERS)
    data = as_json(quote, TOKEN)
    assert "accepted" in data["deterrence"]
    assert data["price"]["premium"] == "0.11"  # 1.1 * 8 % * 125 % of the value
    assert len(data["endings"]) == 5
    assert data["endings"]["found wrong: refunded, value"] == "1"
    assert time_bound(quote) == job.submit_window + job.judge_window + PARAMETERS.reveal_window + PARAMETERS.mediation_limit


def test_quote__unverified_pool__says_what_is_at_stake() -> None:
    """beh:J13"""
    quote = price_offers(job_offer(terms(), provider=NOBODY), [(resource_offer(), [])], terms(), UNVERIFIED, PARAMETERS)
    data = as_json(quote, TOKEN)
    assert (data["price"]["total"], data["price"]["solverFee"], data["price"]["premium"]) == ("1.02", "0.02", "0")
    assert data["bonds"] == {"collateral": "1", "penaltyIfLate": "1", "ifDeclined": "0.01"}
    assert data["pool"]["verified"] is False and data["deterrence"] is None
    assert data["worstLoss"] == "1.02"
    assert data["endings"]["provider late: refunded, penalty"] == "0.99"  # somebody else may claim it and keep 1 %
