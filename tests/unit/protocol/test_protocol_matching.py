"""Matching: every refusal with its figures, and the same choice as looking at every pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lilypad_agents.protocol import matching
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.deal import deal_from_offers
from lilypad_agents.protocol.ids import NOBODY, ZERO
from lilypad_agents.protocol.lifecycle import Term
from lilypad_agents.protocol.matching import Matching, Rules, match, reasons, view_after
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.parameters import Parameters, devnet
from lilypad_agents.protocol.price import figures_of, locked_total
from lilypad_agents.protocol.refusals import ChainView, Refusal, why_not
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import CANCELLED_USES, UNLIMITED_VOLUME
from tests.support.values import account

COIN = 10**18
NOW = 1_800_000_000


def signed(view: ChainView, *offers: JobOffer | ResourceOffer) -> ChainView:
    """The view in which these offers too are signed by their own accounts."""
    speakers = dict(view.speakers)
    for offer in offers:
        speakers[offer.struct_hash] = offer.creator if isinstance(offer, JobOffer) else offer.provider
    return replace(view, speakers=speakers)


# ---- one pair


def test_why_not__offers_that_fit__is_empty(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms, parameters: Parameters, view: ChainView
) -> None:
    assert why_not(job, resource, module, pool, parameters, view) == []


ABOVE, BELOW = "TermAbove", "TermBelow"
JOB_LIMITS = [
    # changed field, value, error, term, found, limit
    ("cpu_milli", 4_001, ABOVE, Term.CPU, 4_001, 4_000),
    ("ram_mib", 8_193, ABOVE, Term.RAM, 8_193, 8_192),
    ("disk_mib", 10_001, ABOVE, Term.DISK, 10_001, 10_000),
    ("gpu_count", 3, ABOVE, Term.GPU_COUNT, 3, 2),
    ("vram_mib", 8_193, ABOVE, Term.VRAM, 8_193, 8_192),
    ("flags", 0b1000, ABOVE, Term.FLAGS, 0b1000, 0b111),
    ("max_units", 1_001, ABOVE, Term.UNITS, 1_001, 1_000),
    ("submit_window", 4, BELOW, Term.SUBMIT_WINDOW, 4, 5),
    ("submit_window", 7 * 86_400 + 1, ABOVE, Term.SUBMIT_WINDOW, 7 * 86_400 + 1, 7 * 86_400),
    ("judge_window", 4, BELOW, Term.JUDGE_WINDOW, 4, 5),
    ("judge_window", 3_601, ABOVE, Term.JUDGE_WINDOW, 3_601, 3_600),
    ("solver_fee_bps", 1_001, ABOVE, Term.SOLVER_FEE_BPS, 1_001, 1_000),
    ("audit_bps", 10_001, ABOVE, Term.AUDIT_BPS, 10_001, 10_000),
    ("collateral_bps", 400_001, ABOVE, Term.COLLATERAL_BPS, 400_001, 400_000),
]


@pytest.mark.parametrize(("name", "value", "error", "term", "found", "limit"), JOB_LIMITS)
def test_why_not__job_beyond_a_limit__names_term_and_both_figures(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms, parameters: Parameters,
    view: ChainView, name: str, value: int, error: str, term: Term, found: int, limit: int,
) -> None:  # fmt: skip
    """beh:H1, beh:H8: one unit beyond is refused with both values; at the limit it matches."""
    side = "most" if error == ABOVE else "least"
    beyond = replace(job, **{name: value})
    answer = why_not(beyond, resource, module, pool, parameters, signed(view, beyond))
    assert Refusal(error, {"term": term, "found": found, side: limit}) in answer
    at_limit = replace(job, **{name: limit if error == ABOVE else limit})
    answer = why_not(at_limit, resource, module, pool, parameters, signed(view, at_limit))
    assert not [refusal for refusal in answer if refusal.figures.get("term") == term]


def test_why_not__several_limits_broken__lists_all_in_the_order_of_the_contract(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms, parameters: Parameters, view: ChainView
) -> None:
    bad = replace(job, cpu_milli=9_999, judge_window=1, collateral_bps=0, expiry=NOW - 1)
    answer = why_not(bad, resource, module, pool, parameters, view)
    assert [(refusal.error, refusal.figures.get("term")) for refusal in answer] == [
        (ABOVE, Term.CPU),
        (BELOW, Term.JUDGE_WINDOW),
        ("DeterrenceTooLow", None),
        (BELOW, Term.COLLATERAL),
        ("OfferExpired", None),
        ("SignatureInvalid", None),
    ]


def changes() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Changes of job, resource, module, pool or view, and the refusal that they cause."""
    return [
        ("job", {"token": account(99)}, {"error": "OffersDiffer", "field": "token"}),
        ("job", {"pool": bytes([9]) * 32}, {"error": "OffersDiffer", "field": "pool"}),
        ("job", {"module": bytes([9]) * 32}, {"error": "OffersDiffer", "field": "module"}),
        ("job", {"provider": account(99)}, {"error": "OffersDiffer", "field": "provider"}),
        ("resource", {"solver": account(99)}, {"error": "OffersDiffer", "field": "solver"}),
        ("job", {"max_price": COIN}, {"error": ABOVE, "term": Term.PRICE, "most": COIN}),
        ("job", {"audit_bps": 0}, {"error": "DeterrenceTooLow", "auditBps": 0}),
        ("job", {"collateral_bps": 61_000, "audit_bps": 10_000}, {"error": BELOW, "term": Term.COLLATERAL}),
        ("job", {"creator": account(7)}, {"error": "PartiesNotDistinct"}),
        ("job", {"creator": account(6)}, {"error": "PartiesNotDistinct"}),
        ("job", {"solver": account(7)}, {"error": "PartiesNotDistinct"}),
        ("job", {"expiry": NOW - 1}, {"error": "OfferExpired", "time": NOW}),
        ("resource", {"expiry": NOW - 1}, {"error": "OfferExpired", "expiry": NOW - 1}),
        ("resource", {"price": 0, "unit_price": 0}, {"error": BELOW, "term": Term.VALUE, "found": 0, "least": 1}),
        ("resource", {"unit_price": 2**96 - 1}, {"error": ABOVE, "term": Term.VALUE, "most": 2**96 - 1}),
        ("resource", {"price": 11 * COIN}, {"error": ABOVE, "term": Term.VALUE, "most": 10 * COIN}),
        ("resource", {"modules": bytes([1]) * 32}, {"error": "ModuleNotOffered", "modules": bytes([1]) * 32}),
        ("resource", {"volume": 0}, {"error": "VolumeUsedUp", "used": 0, "volume": 0}),
        ("module", {"deterministic": False}, {"error": "ModuleNotOffered", "modules": bytes(32)}),
        ("module", {"royalty_bps": 3_001}, {"error": ABOVE, "term": Term.ROYALTY_BPS, "most": 3_000}),
        ("module", {"royalty_to": NOBODY}, {"error": ABOVE, "term": Term.ROYALTY_BPS, "found": 500, "most": 0}),
        ("module", {"min_audit_bps": 801}, {"error": BELOW, "term": Term.AUDIT_BPS, "found": 800, "least": 801}),
        ("module", {"strategy": account(99)}, {"error": "StrategyNotOfPool", "moduleStrategy": account(99)}),
        ("module", {"min_seat_fee": 200 * COIN}, {"error": BELOW, "term": Term.SEAT_STAKE, "least": 1_280 * COIN}),
        ("pool", {"token": account(99)}, {"error": "TokenNotOfPool", "poolToken": account(99)}),
        ("pool", {"commit_window": 0}, {"error": BELOW, "term": Term.POOL_WINDOWS, "least": 1}),
        ("pool", {"appeal_window": 36}, {"error": ABOVE, "term": Term.POOL_WINDOWS, "found": 304, "most": 300}),
        ("pool", {"seat_stake": 79 * COIN}, {"error": BELOW, "term": Term.SEAT_STAKE, "least": 80 * COIN}),
        ("pool", {"seat_fee_floor": COIN}, {"error": BELOW, "term": Term.SEAT_FEE_FLOOR, "found": COIN, "least": 5 * COIN // 4}),
    ]  # fmt: skip


@pytest.mark.parametrize(("side", "change", "expected"), changes())
def test_why_not__one_thing_wrong__is_found(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms, parameters: Parameters,
    view: ChainView, side: str, change: dict[str, Any], expected: dict[str, Any],
) -> None:  # fmt: skip
    """beh:B6, beh:B7 in the mirror of the contract's rule."""
    if side == "module":
        module = replace(module, **change)
        job = replace(job, module=module.id)
    elif side == "pool":
        pool = replace(pool, **change)
        job, resource = replace(job, pool=pool.id), replace(resource, pool=pool.id)
        view = replace(view, funds={(pool.strategy, job.token, pool.id): 10**6 * COIN})
    elif side == "job":
        job = replace(job, **change)
    else:
        resource = replace(resource, **change)
    free = {(job.token, job.creator): 10**9 * COIN, (resource.token, resource.provider): 10**9 * COIN}
    answer = why_not(job, resource, module, pool, parameters, signed(replace(view, free=free), job, resource))
    found = {"error": answer[0].error, **answer[0].figures}
    assert found == found | expected
    assert str(answer[0]) and answer[0].to_json()["error"] == expected["error"]


def test_why_not__what_the_chain_knows__is_checked(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms, parameters: Parameters, view: ChainView
) -> None:
    """beh:B9, beh:B10, beh:B17 in the mirror: nonces, volume, cancellation, money, caps, consent."""
    figures = figures_of(job, resource, module, pool)
    total = locked_total(figures, parameters.protocol_fee_bps)
    token, creator, provider = job.token, job.creator, resource.provider
    deal_id = deal_from_offers(job, resource, module, pool).id(view.domain)
    hot = account(50)
    cases: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
        ({"used_nonces": {(creator, 7)}}, "NonceUsed", {"account": creator, "nonce": 7}),
        ({"cancelled_nonces": {(creator, 7)}}, "OfferCancelled", {"account": creator}),
        ({"floors": {(token, creator): (8, 0)}}, "OfferCancelled", {"account": creator}),
        ({"floors": {(token, provider): (0, 10)}}, "OfferCancelled", {"account": provider}),
        ({"uses": {(provider, 9): CANCELLED_USES}}, "OfferCancelled", {"account": provider}),
        ({"opened": {(job.struct_hash, resource.struct_hash)}}, "DealExists", {"dealId": deal_id}),
        ({"speakers": {job.struct_hash: creator}}, "SignatureInvalid", {"account": provider}),
        ({"speakers": {resource.struct_hash: provider}}, "SignatureInvalid", {"account": creator}),
        ({"free": view.free | {(token, creator): total - 1}}, "FundsMissing", {"has": total - 1, "needed": total}),
        ({"free": view.free | {(token, provider): 0}}, "FundsMissing", {"account": provider, "needed": figures.collateral}),
        ({"speakers": view.speakers | {job.struct_hash: hot}}, "CapExceeded", {"key": hot, "left": 0, "needed": total}),
        ({"speakers": view.speakers | {resource.struct_hash: hot}}, "CapExceeded", {"account": provider}),
        ({"funds": {}}, BELOW, {"term": Term.FUND_COVER, "found": 0, "least": 4 * figures.seat_fee}),
    ]  # fmt: skip
    for change, error, expected in cases:
        (answer,) = why_not(job, resource, module, pool, parameters, replace(view, **change))
        assert answer.error == error, change
        assert dict(answer.figures) == dict(answer.figures) | expected, change
    exact = view.free | {(token, creator): total, (token, provider): figures.collateral}
    funds = {(pool.strategy, token, pool.id): 4 * figures.seat_fee}
    caps = {(creator, hot, token): total, (provider, hot, token): figures.collateral}
    speakers = {job.struct_hash: hot, resource.struct_hash: hot}
    enough = replace(view, free=exact, funds=funds, caps=caps, speakers=speakers)
    assert why_not(job, resource, module, pool, parameters, enough) == []


def test_why_not__unverified_pool__takes_no_audit_and_asks_for_no_fund(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, parameters: Parameters, view: ChainView
) -> None:
    resource = replace(resource, pool=ZERO)
    free = replace(job, pool=ZERO, audit_bps=0, collateral_bps=0)
    bare = replace(view, funds={})
    assert why_not(free, resource, module, UNVERIFIED, parameters, signed(bare, free, resource)) == []
    audited = replace(free, audit_bps=1)
    (answer,) = why_not(audited, resource, module, UNVERIFIED, parameters, signed(bare, audited, resource))
    assert answer == Refusal(ABOVE, {"term": Term.AUDIT_BPS, "found": 1, "most": 0})


def test_refusal__in_words__says_what_is_and_what_is_needed(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms, parameters: Parameters, view: ChainView
) -> None:
    small = replace(resource, ram_mib=256, flags=1)
    answer = why_not(job, small, module, pool, parameters, signed(view, small))
    assert [str(refusal) for refusal in answer] == [
        "ram is 512, at most 256 is allowed",
        "the capability flags 0x5 are needed, the provider has 0x1",
    ]
    assert answer[0].to_json() == {"error": "TermAbove", "figures": {"term": "ram", "found": 512, "most": 256}}
    dear = replace(job, max_price=COIN)
    (answer,) = why_not(dear, resource, module, pool, parameters, signed(view, dear))
    assert answer.to_json()["figures"]["most"] == str(COIN)


def test_why_not__module_on_the_provider_s_list__is_offered_even_when_not_deterministic(
    job: JobOffer, resource: ResourceOffer, module: ModuleTerms, pool: PoolTerms, parameters: Parameters, view: ChainView
) -> None:
    """beh:H7 in part: allow lists."""
    module = replace(module, deterministic=False)
    job, listed = replace(job, module=module.id), replace(resource, modules=bytes([5]) * 32)
    view = signed(view, job, listed)
    for members, offered in (({module.id}, True), ({bytes(32)}, False), (set(), False)):
        answer = why_not(job, listed, module, pool, parameters, replace(view, lists={listed.modules: frozenset(members)}))
        assert (answer == []) == offered


# ---- many


def brute_force(jobs: Sequence[JobOffer], resources: Sequence[ResourceOffer], rules: Rules, view: ChainView) -> Matching:
    """The rule as it is written: for each job in turn the cheapest total among all that fit, then the oldest."""
    matches, unmatched = [], []
    for job in jobs:
        best = None
        for age, (resource, refusals) in enumerate(reasons(job, resources, rules, view)):
            if not refusals:
                module, pool = rules.modules[job.module], rules.pool(job.pool)
                assert pool is not None
                figures = figures_of(job, resource, module, pool)
                total = locked_total(figures, rules.parameters.protocol_fee_bps)
                if best is None or (total, age) < best[0]:
                    best = ((total, age), matching.Match(job, resource, module, pool, total, figures.collateral))
        if best is None:
            unmatched.append(job)
        else:
            matches.append(best[1])
            view = view_after(view, best[1])
    return Matching(tuple(matches), tuple(unmatched))


DOMAIN = Domain(1337, account(1))
TOKENS = (account(20), account(21))
MODULES = [
    ModuleTerms(account(2), bytes([n]) * 32, ZERO, ZERO, 500 * n, account(2), n < 2, strategy, audit, fee, 0)
    for n, (strategy, audit, fee) in enumerate(((NOBODY, 0, 0), (account(3), 500, 0), (NOBODY, 0, 50)))
]
POOLS = [
    PoolTerms(account(3), TOKENS[0], 10, 10_000, 1_000, ZERO, 1, 1, 1, ZERO),
    PoolTerms(account(3), TOKENS[0], 0, 1_000, 100, ZERO, 1, 1, 1, ZERO),  # too small a stake for the dearest module
]
RULES = Rules({module.id: module for module in MODULES}, {pool.id: pool for pool in POOLS}, devnet(3_600))
LIST = bytes([7]) * 32


def few(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


# What fits, and for each field what else it may be.
JOB = {
    "creator": account(30), "module": MODULES[0].id, "inputs": ZERO, "token": TOKENS[0], "max_price": 10**6, "max_units": 7,
    "cpu_milli": 0, "ram_mib": 0, "disk_mib": 0, "gpu_count": 0, "vram_mib": 0, "flags": 0, "submit_window": 9,
    "judge_window": 5, "collateral_bps": 333_000, "audit_bps": 800, "pool": POOLS[0].id, "solver": NOBODY,
    "solver_fee_bps": 0, "provider": NOBODY, "expiry": NOW, "nonce": 3,
}  # fmt: skip
JOB_CHANGES = {
    "creator": [account(n) for n in range(30, 34)], "module": list(RULES.modules), "token": list(TOKENS),
    "max_price": [300, 500, 3_000], "max_units": [0, 1, 8, 10**6], "cpu_milli": [1, 2], "ram_mib": [1], "disk_mib": [1],
    "gpu_count": [1], "vram_mib": [1], "flags": [1, 3], "submit_window": [4, 5], "judge_window": [4, 9, 3_601],
    "collateral_bps": [0, 61_100, 61_101, 62_000, 162_000], "audit_bps": [0, 400, 10_000, 10_001],
    "pool": [ZERO, POOLS[1].id], "solver": [account(30), account(40), account(41)], "solver_fee_bps": [1, 1_000, 1_001],
    "provider": [account(31)], "expiry": [NOW - 1], "nonce": list(range(6)),
}  # fmt: skip
RESOURCE = {
    "provider": account(32), "token": TOKENS[0], "price": 20, "unit_price": 2, "max_units": 7, "cpu_milli": 1, "ram_mib": 1,
    "disk_mib": 1, "gpu_count": 1, "vram_mib": 1, "flags": 1, "modules": ZERO, "max_collateral_bps": 333_000,
    "min_submit_window": 0, "max_judge_window": 9, "pool": POOLS[0].id, "solver": NOBODY, "volume": UNLIMITED_VOLUME,
    "expiry": NOW, "nonce": 3,
}  # fmt: skip
RESOURCE_CHANGES = {
    "provider": [account(n) for n in range(30, 34)], "token": [TOKENS[1]], "max_units": [1, 6, 10**6], "cpu_milli": [0, 2],
    "ram_mib": [0], "disk_mib": [0], "gpu_count": [0], "vram_mib": [0], "flags": [0, 3], "modules": [LIST],
    "max_collateral_bps": [162_000], "min_submit_window": [6, 10], "max_judge_window": [4, 5], "pool": [ZERO, POOLS[1].id],
    "solver": [account(30), account(40), account(41)], "volume": [0, 1, 2], "expiry": [NOW - 1], "nonce": list(range(6)),
}  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, base: dict[str, Any], options: dict[str, list[Any]], most: int) -> dict[str, Any]:
    """The base with up to `most` fields changed."""
    names = draw(st.lists(few(*options), max_size=most, unique=True))
    return base | {name: draw(few(*options[name])) for name in names}


@st.composite
def job_offers(draw: st.DrawFn, common: dict[str, Any]) -> JobOffer:
    return JobOffer(**draw(changed(JOB | common | {"nonce": draw(st.integers(0, 12))}, JOB_CHANGES, 2)))


@st.composite
def resource_offers(draw: st.DrawFn, common: dict[str, Any]) -> ResourceOffer:
    fields = draw(changed(RESOURCE | common | {"nonce": draw(st.integers(0, 12))}, RESOURCE_CHANGES, 2))
    price, unit_price = draw(st.integers(0, 60)), draw(few(0, 0, 1, 2, 5, 9))
    return ResourceOffer(**(fields | {"price": price, "unit_price": unit_price}))


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[JobOffer], list[ResourceOffer], ChainView]:
    """Crowded markets: most pairs nearly fit, so that limits, ties, money, volumes and nonces all bite."""
    pool = draw(few(POOLS[0].id, POOLS[0].id, POOLS[1].id, ZERO))
    job_terms = {"pool": pool} | ({"audit_bps": 0} if pool == ZERO else {})
    solver_terms = draw(few({}, {}, {"solver": account(41), "solver_fee_bps": 900}, {"solver_fee_bps": 900}))
    jobs = draw(st.lists(job_offers(job_terms | solver_terms), min_size=1, max_size=10))
    resources = draw(st.lists(resource_offers({"pool": pool}), min_size=1, max_size=16))
    money = few(*[10**6] * 6, 0, 2_000, 3_000, 4_000)
    token_accounts = [(token, account(n)) for token in TOKENS for n in range(30, 34)]
    speakers = {}
    for offer in (*jobs, *resources):
        own = offer.creator if isinstance(offer, JobOffer) else offer.provider
        speaker = draw(few(*[own] * 8, account(60), None))
        if speaker is not None:
            speakers[offer.struct_hash] = speaker
    numbers = st.tuples(st.integers(30, 33).map(account), st.integers(0, 12))
    view = ChainView(
        DOMAIN, NOW,
        free={key: draw(money) for key in token_accounts},
        floors={key: draw(few(*[(0, 0)] * 12, (3, 0), (0, 4))) for key in token_accounts},
        funds={(account(3), TOKENS[0], pool.id): draw(few(*[10**6] * 6, 150, 500)) for pool in POOLS},
        used_nonces=draw(st.frozensets(numbers, max_size=2)),
        cancelled_nonces=draw(st.frozensets(numbers, max_size=2)),
        uses=draw(st.dictionaries(numbers, few(1, 1, CANCELLED_USES), max_size=3)),
        speakers=speakers,
        caps={(account(n), account(60), token): draw(money) for n in range(30, 34) for token in TOKENS},
        opened=draw(st.frozensets(st.sampled_from(
            [(job.struct_hash, item.struct_hash) for job in jobs for item in resources]), max_size=3)),
        lists={LIST: draw(st.frozensets(few(*RULES.modules)))},
    )  # fmt: skip
    return jobs, resources, view


@settings(max_examples=200, deadline=None)
@given(markets())
def test_match__any_market__is_what_the_rule_says_pair_by_pair(
    market: tuple[list[JobOffer], list[ResourceOffer], ChainView]
) -> None:
    """beh:H3, beh:H6, inv:I15: against a search through all pairs by `why_not`, with money and volumes going down."""
    jobs, resources, view = market
    assert match(jobs, resources, RULES, view) == brute_force(jobs, resources, RULES, view)


@settings(max_examples=60, deadline=None)
@given(markets())
def test_match__many_unit_prices__is_what_the_rule_says_pair_by_pair(
    market: tuple[list[JobOffer], list[ResourceOffer], ChainView]
) -> None:
    """The other way of finding the cheapest, which a book takes when unit prices are many."""
    jobs, resources, view = market
    spread = [replace(item, unit_price=n, nonce=100 + n) for n, item in enumerate(resources * 2)]
    view = replace(view, speakers=view.speakers | {item.struct_hash: item.provider for item in spread})
    assert match(jobs, spread, RULES, view) == brute_force(jobs, spread, RULES, view)


@settings(max_examples=300, deadline=None)
@given(
    prices=st.lists(st.integers(1, 400), min_size=1, max_size=20, unique=True),
    rate=st.one_of(st.integers(60_000, 66_000), few(61_099, 61_100, 61_101, 333_000)),
    audit=few(800, 2_000, 9_000, 10_000),
    spread=st.booleans(),
    pool=few(*(replace(POOLS[0], seat_fee_floor=floor) for floor in (0, 3, 10, 100, 300))),
)
def test_match__collateral_near_its_least__is_what_the_rule_says_pair_by_pair(
    prices: list[int], rate: int, audit: int, spread: bool, pool: PoolTerms
) -> None:
    """Where roundings decide which values the collateral rule allows: too cheap ones fail, dearer ones pass."""
    rules = replace(RULES, pools={pool.id: pool})
    jobs = [JobOffer(**(JOB | {"collateral_bps": rate, "audit_bps": audit, "nonce": n, "pool": pool.id, "max_units": 0}))
            for n in range(3)]  # fmt: skip
    offers = [
        ResourceOffer(**(RESOURCE | {"price": price, "unit_price": price if spread else 0, "nonce": price,
                                     "pool": pool.id, "volume": 1}))
        for price in prices
    ]  # fmt: skip
    view = ChainView(DOMAIN, NOW, free={(TOKENS[0], account(n)): 10**6 for n in (30, 32)},
                     funds={(account(3), TOKENS[0], pool.id): 10**6})  # fmt: skip
    view = signed(view, *jobs, *offers)
    assert match(jobs, offers, rules, view) == brute_force(jobs, offers, rules, view)


@settings(max_examples=50, deadline=None)
@given(markets())
def test_match__same_offers_twice__gives_the_same_matches(
    market: tuple[list[JobOffer], list[ResourceOffer], ChainView]
) -> None:
    """beh:H10: a replay of the published offers confirms the choice, also from their JSON."""
    jobs, resources, view = market
    copies = [JobOffer.from_json(job.to_json()) for job in jobs], [ResourceOffer.from_json(r.to_json()) for r in resources]
    assert match(jobs, resources, RULES, view) == match(*copies, RULES, view)


# ---- named cases


def world(
    job: JobOffer, resource: ResourceOffer, view: ChainView, jobs: int, resources: Sequence[dict[str, Any]]
) -> tuple[list[JobOffer], list[ResourceOffer], ChainView]:
    many = [replace(job, nonce=n, inputs=n.to_bytes(32, "big")) for n in range(jobs)]
    offers = [replace(resource, **({"nonce": n} | changes)) for n, changes in enumerate(resources)]
    free = dict(view.free) | {(offer.token, offer.provider): 10**9 * COIN for offer in offers}
    return many, offers, signed(replace(view, free=free), *many, *offers)


def test_match__equal_totals__takes_the_oldest(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView
) -> None:
    """beh:H3"""
    jobs, offers, view = world(job, resource, view, 1, [{"price": 2 * COIN}, {}, {}, {"price": COIN + 1}])
    (found,) = match(jobs, offers, rules, view).matches
    assert found.resource == offers[1]
    (found,) = match(jobs, [offers[0], *offers[:0:-1]], rules, view).matches
    assert found.resource == offers[2]


def test_match__fixed_and_metered_price__are_compared_at_the_job_s_maximum(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView
) -> None:
    """beh:H3: the total decides, not a part of the price."""
    jobs, offers, view = world(
        job, resource, view, 1, [{"price": COIN, "unit_price": 0}, {"price": 0, "unit_price": COIN // 11}]
    )
    assert match(jobs, offers, rules, view).matches[0].resource == offers[1]
    longer = [replace(jobs[0], max_units=12)]
    assert match(longer, offers, rules, signed(view, *longer)).matches[0].resource == offers[0]


def test_match__ceiling_one_unit_short__finds_nobody(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView
) -> None:
    """beh:H4: the ceiling includes every fee, for jobs that name nobody too."""
    total = match([job], [resource], rules, view).matches[0].total
    short = replace(job, max_price=total - 1)
    assert match([short], [resource], rules, signed(view, short)).unmatched == (short,)
    exact = replace(job, max_price=total)
    assert match([exact], [resource], rules, signed(view, exact)).matches[0].total == total


def test_match__named_provider__must_still_meet_all_conditions(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView
) -> None:
    """beh:H5 in part: the named provider is taken though dearer, and not at all when it does not fit."""
    jobs, offers, view = world(
        replace(job, provider=account(70)), resource, view, 1, [{}, {"provider": account(70), "price": 2 * COIN}]
    )
    assert match(jobs, offers, rules, view).matches[0].resource == offers[1]
    weak = [offers[0], replace(offers[1], ram_mib=1)]
    assert match(jobs, weak, rules, signed(view, *weak)).unmatched == tuple(jobs)


def test_match__more_jobs_than_volume__uses_each_offer_up_to_it(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView
) -> None:
    """beh:H6"""
    jobs, offers, view = world(job, resource, view, 6, [{"volume": 2}, {"volume": 3, "price": 2 * COIN}])
    found = match(jobs, offers, rules, view)
    assert [match.resource for match in found.matches] == [offers[0]] * 2 + [offers[1]] * 3
    assert found.unmatched == (jobs[5],)


def test_match__a_spoilt_offer_first__spoils_nothing_for_the_others(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView
) -> None:
    """A job in another token that names the pool must not mark the pool as unusable."""
    wrong = replace(job, token=account(90), nonce=1)
    odd = replace(resource, token=account(90), nonce=2)
    found = match([wrong, job], [odd, resource], rules, signed(view, wrong, odd))
    assert [match.job for match in found.matches] == [job]


def test_match__money_of_one_provider__is_not_spent_twice(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView
) -> None:
    jobs, offers, view = world(job, resource, view, 3, [{}, {}])
    collateral = match(jobs[:1], offers, rules, view).matches[0].collateral
    poor = replace(view, free=dict(view.free) | {(job.token, resource.provider): 2 * collateral + collateral // 2})
    assert len(match(jobs, offers, rules, poor).matches) == 2


def test_match__many_units_at_no_price__need_no_more_money(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView
) -> None:
    """A provider of a flat price may allow any number of units."""
    flat = replace(resource, unit_price=0, max_units=2**64 - 1)
    wide = replace(job, max_units=2**64 - 1)
    exact = view.free | {(job.token, resource.provider): 162 * COIN // 10}
    assert len(match([wide], [flat], rules, signed(replace(view, free=exact), wide, flat)).matches) == 1
    metered = replace(resource, price=0, unit_price=COIN)
    one = replace(job, max_units=1)
    assert len(match([one], [metered], rules, signed(replace(view, free=exact), one, metered)).matches) == 1


@pytest.mark.parametrize("many_prices", [False, True], ids=["few unit prices", "many unit prices"])
@pytest.mark.parametrize("side", ["creator", "provider"])
@pytest.mark.parametrize("delegate", [False, True], ids=["own money", "cap of a delegate"])
def test_match__money_for_two_to_the_unit__opens_two_and_one_unit_less_only_one(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView, many_prices: bool, side: str, delegate: bool
) -> None:
    """beh:B17, beh:B19 in the mirror: free credit and a delegate's cap go down with each match, to the unit."""
    jobs, offers, view = world(job, resource, view, 3, [{}])
    if many_prices:  # others that serve no job of ten units
        dear = [replace(resource, unit_price=COIN + n, nonce=50 + n, max_units=1) for n in range(20)]
        offers, view = offers + dear, signed(view, *dear)
    first = match(jobs[:1], offers, rules, view).matches[0]
    needed = first.total if side == "creator" else first.collateral
    account_, hot = (job.creator if side == "creator" else resource.provider), account(60)
    if delegate:
        spoken = jobs if side == "creator" else offers
        view = replace(view, speakers=view.speakers | {offer.struct_hash: hot for offer in spoken})
    for money, opened in ((2 * needed, 2), (2 * needed - 1, 1), (needed - 1, 0)):
        free, caps = dict(view.free), {(account_, hot, job.token): money}
        if not delegate:
            free, caps = free | {(job.token, account_): money}, {}
        assert len(match(jobs, offers, rules, replace(view, free=free, caps=caps)).matches) == opened, money


def test_reasons__for_a_job_without_a_match__says_for_each_offer_what_failed(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView
) -> None:
    """beh:H8"""
    jobs, offers, view = world(job, resource, view, 1, [{"ram_mib": 1}, {"disk_mib": 1}, {}])
    found = [[refusal.figures["term"] for refusal in refusals] for _, refusals in reasons(jobs[0], offers, rules, view)]
    assert found == [[Term.RAM], [Term.DISK], []]
    unknown = replace(jobs[0], module=bytes([1]) * 32)
    assert list(reasons(unknown, offers, rules, view)) == []
    assert match([unknown], offers, rules, signed(view, unknown)).unmatched == (unknown,)


@pytest.mark.parametrize("flood", ["none", "weak", "unfunded", "unfunded by the unit", "exhausted", "too cheap for the floor"])
def test_match__flood_of_useless_offers__costs_no_look_at_each(
    job: JobOffer, resource: ResourceOffer, rules: Rules, view: ChainView, flood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """beh:H13: counted in candidates priced: about one a job, whatever cheap dust lies in front."""
    dust: dict[str, dict[str, Any]] = {
        "none": {"price": 2 * COIN},
        "weak": {"price": 1, "cpu_milli": 1},
        "unfunded": {"price": COIN // 2, "unit_price": 0},
        "unfunded by the unit": {"price": 0, "unit_price": COIN // 20},
        "exhausted": {"price": COIN // 2, "unit_price": 0},
        "too cheap for the floor": {"price": 1, "unit_price": 0},
    }
    changes = [dust[flood] | {"provider": account(100 + n)} for n in range(300)]
    jobs, offers, view = world(job, resource, view, 300, [*changes, {}])
    left = {"unfunded": 1, "unfunded by the unit": 1, "exhausted": 10 * COIN}.get(flood, 10**9 * COIN)
    free = dict(view.free) | {(job.token, account(100 + n)): left for n in range(300)}
    looked = 0
    price = matching._Pass._price

    def counting(*arguments: Any) -> Any:
        nonlocal looked
        looked += 1
        return price(*arguments)

    monkeypatch.setattr(matching._Pass, "_price", counting)
    found = match(jobs, offers, rules, replace(view, free=free))
    assert len(found.matches) == 300
    # The exhausted ones serve one job each before they are.
    assert looked <= 2 * len(jobs)
