"""Each limit of an opening at its last good number and one beyond, with the error and the figures that it promises.

beh:B6 beh:B7 beh:B8 beh:B12 beh:B17 beh:D1 beh:D3 beh:D23 inv:I14 inv:I15 inv:I38 inv:T7 inv:T30 inv:T43
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lilypad_agents.protocol.deal import deal_from_offers
from lilypad_agents.protocol.deterrence import is_deterrent
from lilypad_agents.protocol.ids import NOBODY, PoolId, keccak256
from lilypad_agents.protocol.lifecycle import Status, Term
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.opening import Pair, opening_of, openings_of
from lilypad_agents.protocol.price import audit_fee, figures_of, locked_total, premium_of, seat_fee_up
from lilypad_agents.protocol.refusals import why_not
from lilypad_agents.protocol.terms import UNVERIFIED
from lilypad_agents.protocol.units import UINT32_MAX, UINT96_MAX
from tests.support.evm import Reverted, decode_error, expect_revert
from tests.support.world import COIN, JUDGE_WINDOW_LIMIT, START_CREDIT, START_FUND, World, build_world


@dataclass(frozen=True)
class Limit:
    """Changes that still open, changes that do not, and the error with its figures. Prepare: what has to be done before."""

    good: dict[str, Any]
    bad: dict[str, Any]
    error: str
    figures: dict[str, Any]
    prepare: Callable[[World], None] = lambda world: None
    options: dict[str, Any] = field(default_factory=dict)


def above(term: Term, most: int, found: int | None = None) -> tuple[str, dict[str, int]]:
    return "TermAbove", {"term": term, "found": most + 1 if found is None else found, "most": most}


def below(term: Term, least: int, found: int | None = None) -> tuple[str, dict[str, int]]:
    return "TermBelow", {"term": term, "found": least - 1 if found is None else found, "least": least}


def job(**changes: Any) -> dict[str, Any]:
    return {"job": changes}


def resource(**changes: Any) -> dict[str, Any]:
    return {"resource": changes}


def both(job: dict[str, Any], resource: dict[str, Any]) -> dict[str, Any]:
    return {"job": job, "resource": resource}


def requirement(name: str, term: Term, most: int) -> Limit:
    return Limit(
        both({name: most}, {name: most}), both({name: most + 1}, {name: most}), *above(term, most)
    )


# With a price of one coin and no unit price the value is one coin and the seat fee 1.25 coins.
PLAIN = {"unit_price": 0}
FEE = 5 * COIN // 4
PREMIUM = FEE * 1_100 // 1_000 * 8 // 100  # 1.1 times 8 % of the seat fee
# 0.08 * 0.70 * (1 + c) >= 0.96 holds from c = 16.142858.
DETERRENT = 161_429

LIMITS = {
    "cpu": requirement("cpu_milli", Term.CPU, 4_000),
    "ram": requirement("ram_mib", Term.RAM, 8_192),
    "disk": requirement("disk_mib", Term.DISK, 10),
    "gpus": requirement("gpu_count", Term.GPU_COUNT, 2**16 - 2),
    "vram": requirement("vram_mib", Term.VRAM, 2**32 - 2),
    "units": requirement("max_units", Term.UNITS, 10),
    "flags": Limit(
        both({"flags": 0b101}, {"flags": 0b111}), both({"flags": 0b1001}, {"flags": 0b111}), *above(Term.FLAGS, 0b111, 0b1001)
    ),
    "flags, a larger number": Limit(
        both({"flags": 1}, {"flags": 1}), both({"flags": 1}, {"flags": 2**63}), *above(Term.FLAGS, 2**63, 1)
    ),
    "submit window of the provider": Limit(
        both({"submit_window": 20}, {"min_submit_window": 20}), both({"submit_window": 19}, {"min_submit_window": 20}),
        *below(Term.SUBMIT_WINDOW, 20),
    ),
    "submit window, least": Limit(
        both({"submit_window": 5}, {"min_submit_window": 0}), both({"submit_window": 4}, {"min_submit_window": 0}),
        *below(Term.SUBMIT_WINDOW, 5),
    ),
    "submit window, most": Limit(
        job(submit_window=604_800), job(submit_window=604_801), *above(Term.SUBMIT_WINDOW, 604_800)
    ),
    "judge window, least": Limit(job(judge_window=5), job(judge_window=4), *below(Term.JUDGE_WINDOW, 5)),
    "judge window of the provider": Limit(
        both({"judge_window": 90}, {"max_judge_window": 90}), both({"judge_window": 91}, {"max_judge_window": 90}),
        *above(Term.JUDGE_WINDOW, 90),
    ),
    "judge window, most": Limit(
        both({"judge_window": JUDGE_WINDOW_LIMIT}, {"max_judge_window": UINT32_MAX}),
        both({"judge_window": JUDGE_WINDOW_LIMIT + 1}, {"max_judge_window": UINT32_MAX}),
        *above(Term.JUDGE_WINDOW, JUDGE_WINDOW_LIMIT),
    ),
    "collateral of the provider": Limit(
        both({}, {"max_collateral_bps": 162_000}), both({}, {"max_collateral_bps": 161_999}),
        *above(Term.COLLATERAL_BPS, 161_999, 162_000),
    ),
    "solver fee": Limit(job(solver_fee_bps=1_000), job(solver_fee_bps=1_001), *above(Term.SOLVER_FEE_BPS, 1_000)),
    "solver fee of nobody": Limit(
        job(solver=NOBODY, solver_fee_bps=1_000), job(solver=NOBODY, solver_fee_bps=1_001), *above(Term.SOLVER_FEE_BPS, 1_000)
    ),
    "audit rate, most": Limit(job(audit_bps=10_000), job(audit_bps=10_001), *above(Term.AUDIT_BPS, 10_000)),
    "audit rate of the module": Limit(
        {"module": {"min_audit_bps": 800}}, {"module": {"min_audit_bps": 801}}, *below(Term.AUDIT_BPS, 801)
    ),
    "royalty": Limit({"module": {"royalty_bps": 3_000}}, {"module": {"royalty_bps": 3_001}}, *above(Term.ROYALTY_BPS, 3_000)),
    "value, least": Limit(
        both({"max_units": 1, "collateral_bps": 6_000_000}, {"price": 0, "max_collateral_bps": 6_000_000}),
        both({"max_units": 0}, {"price": 0}), *below(Term.VALUE, 1)
    ),
    "value of the pool": Limit(
        both({"max_units": 1}, {"price": 1, "unit_price": 10 * COIN - 1}),
        both({"max_units": 1}, {"price": 2, "unit_price": 10 * COIN - 1}),
        *above(Term.VALUE, 10 * COIN, 10 * COIN + 1),
        prepare=lambda world: enrich(world, 1_000 * COIN),
    ),
    "deterrence, collateral": Limit(
        both({"collateral_bps": DETERRENT}, PLAIN), both({"collateral_bps": DETERRENT - 1}, PLAIN),
        "DeterrenceTooLow", {"auditBps": 800, "collateralBps": DETERRENT - 1},
    ),
    "deterrence, audit rate": Limit(
        both({"audit_bps": 800, "collateral_bps": DETERRENT}, PLAIN), both({"audit_bps": 799, "collateral_bps": DETERRENT}, PLAIN),
        "DeterrenceTooLow", {"auditBps": 799, "collateralBps": DETERRENT},
    ),
    "collateral covers value, premium, audit": Limit(
        both({"audit_bps": 10_000, "collateral_bps": 73_750}, PLAIN),
        both({"audit_bps": 10_000, "collateral_bps": 73_749}, PLAIN),
        *below(Term.COLLATERAL, 7_375 * COIN // 1_000, 73_749 * COIN // 10_000),
    ),
    "price": Limit(
        both({"max_price": COIN * 107 // 100 + PREMIUM}, PLAIN), both({"max_price": COIN * 107 // 100 + PREMIUM - 1}, PLAIN),
        *above(Term.PRICE, COIN * 107 // 100 + PREMIUM - 1, COIN * 107 // 100 + PREMIUM),
    ),
    "seat stake": Limit(
        {"pool": {"seat_stake": 80 * COIN}}, {"pool": {"seat_stake": 80 * COIN - 1}}, *below(Term.SEAT_STAKE, 80 * COIN)
    ),
    "seat fee floor, for the pool's maximum": Limit(
        {"pool": {"max_value": 10 * COIN - 7, "seat_fee_floor": 5 * COIN // 4}},
        {"pool": {"max_value": 10 * COIN - 7, "seat_fee_floor": 5 * COIN // 4 - 1}}, *below(Term.SEAT_FEE_FLOOR, 5 * COIN // 4),
    ),
    "seat stake, for the pool's floor": Limit(
        {"pool": {"seat_fee_floor": 3, "max_value": 2, "seat_stake": 20}, **both({"collateral_bps": 162_000}, {"price": 2, "unit_price": 0})},
        {"pool": {"seat_fee_floor": 3, "max_value": 2, "seat_stake": 19}, **both({"collateral_bps": 162_000}, {"price": 2, "unit_price": 0})},
        *below(Term.SEAT_STAKE, 20),
    ),
    "seat stake, for the module's minimum": Limit(
        {"module": {"min_seat_fee": 150 * COIN}, "pool": {"seat_stake": 960 * COIN}, **job(collateral_bps=10_000_000), **resource(max_collateral_bps=10_000_000)},
        {"module": {"min_seat_fee": 150 * COIN}, "pool": {"seat_stake": 960 * COIN - 1}, **job(collateral_bps=10_000_000), **resource(max_collateral_bps=10_000_000)},
        *below(Term.SEAT_STAKE, 960 * COIN),
        prepare=lambda world: enrich(world, COIN),
    ),
    "windows of the pool, most": Limit(
        {"pool": {"commit_window": 20, "reveal_window": 10, "appeal_window": 15}},
        {"pool": {"commit_window": 20, "reveal_window": 10, "appeal_window": 16}},
        *above(Term.POOL_WINDOWS, 300, 304),
    ),
    **{
        f"windows of the pool, {name}": Limit(
            {"pool": {name: 1}}, {"pool": {name: 0}}, *below(Term.POOL_WINDOWS, 1, 0)
        )
        for name in ("commit_window", "reveal_window", "appeal_window")
    },
    "windows of the pool, overflowing": Limit(
        {}, {"pool": {"commit_window": UINT32_MAX, "reveal_window": UINT32_MAX, "appeal_window": UINT32_MAX}},
        *above(Term.POOL_WINDOWS, 300, 20 * UINT32_MAX),
    ),
}  # fmt: skip


def enrich(world: World, coins: int) -> None:
    for account in (world.creator, world.provider, world.keeper):
        world.deposit(account, 1_000 * coins)


def pair_of(world: World, changes: dict[str, Any], fund: int = START_FUND) -> Pair:
    """Offers with these changes; a pool that they make up gets a fund of its own."""
    module = replace(world.module, **changes.get("module", {}))
    pool = replace(world.pool, **changes["pool"]) if isinstance(changes.get("pool"), dict) else changes.get("pool", world.pool)
    if pool not in (world.pool, UNVERIFIED):
        world.deposit(world.keeper, fund)
        world.core.donate(world.strategy, world.token, PoolId(pool.id), fund, sender=world.keeper)
    return world.pair(
        changes.get("job"), changes.get("resource"), module=module, pool=pool, membership=changes.get("membership", ())
    )


def open_pair(world: World, pair: Pair) -> None:
    world.core.open(opening_of([pair]), sender=world.solver)


@pytest.mark.parametrize("name", LIMITS)
def test_open__at_a_limit__opens(world: World, name: str) -> None:
    limit = LIMITS[name]
    limit.prepare(world)
    pair = pair_of(world, limit.good)
    assert why_not(pair.job, pair.resource, pair.module, pair.pool, world.parameters, world.view(pair)) == []
    open_pair(world, pair)
    deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
    assert world.state(deal).status == Status.AGREED


@pytest.mark.parametrize("name", LIMITS)
def test_open__one_beyond_a_limit__names_it_with_its_figures(world: World, name: str) -> None:
    """beh:B7 beh:B8"""
    limit = LIMITS[name]
    limit.prepare(world)
    pair = pair_of(world, limit.bad)
    with expect_revert(limit.error, **limit.figures):
        open_pair(world, pair)
    (first, *_) = why_not(pair.job, pair.resource, pair.module, pair.pool, world.parameters, world.view(pair))
    assert (first.error, dict(first.figures)) == (limit.error, limit.figures), "the Python twin says something else"


@pytest.mark.parametrize("name", LIMITS)
def test_open_batch__one_beyond_a_limit__skips_for_the_same_reason_and_changes_nothing(world: World, name: str) -> None:
    """beh:B13 beh:B17"""
    limit = LIMITS[name]
    limit.prepare(world)
    bad = pair_of(world, limit.bad)
    before = _snapshot(world, bad)
    receipt = world.core.openBatch(openings_of([bad]), sender=world.solver)
    reason = decode_error(receipt.event("Skipped")["reason"])
    assert (reason.name, dict(reason.arguments)) == (limit.error, limit.figures)
    assert _snapshot(world, bad) == before


def _snapshot(world: World, pair: Pair) -> tuple[Any, ...]:
    return (
        world.free(world.creator), world.locked(world.creator), world.free(world.provider), world.locked(world.provider),
        world.fund(pair.pool), world.core.jobNonce(world.creator, pair.job.nonce),
        world.core.resourceUse(world.provider, pair.resource.nonce),
    )  # fmt: skip


# ---- numbers that do not fit


@pytest.mark.parametrize("price, unit_price, units, value", [
    (UINT96_MAX, 1, 1, UINT96_MAX + 1),
    (UINT96_MAX, UINT96_MAX, 2**64 - 1, UINT96_MAX * 2**64),
    (0, 2**33, 2**63, 2**96),
])  # fmt: skip
def test_open__value_above_96_bits__is_refused(world: World, price: int, unit_price: int, units: int, value: int) -> None:
    """inv:T43 inv:I33"""
    pair = world.pair(
        {"max_units": units, "audit_bps": 0, "collateral_bps": 0},
        {"price": price, "unit_price": unit_price, "max_units": 2**64 - 1},
        pool=UNVERIFIED,
    )
    with expect_revert("TermAbove", term=Term.VALUE, found=value, most=UINT96_MAX):
        open_pair(world, pair)


def test_open__collateral_above_96_bits__is_refused(world: World) -> None:
    """inv:T43 inv:I33"""
    options = {"audit_bps": 0, "collateral_bps": UINT32_MAX, "max_units": 0, "max_price": UINT96_MAX}
    pair = world.pair(options, {"price": 2**90, "max_collateral_bps": UINT32_MAX}, pool=UNVERIFIED)
    with expect_revert("TermAbove", term=Term.COLLATERAL, found=2**90 * UINT32_MAX // 10_000, most=UINT96_MAX):
        open_pair(world, pair)


def test_open__that_deters_too_little_and_costs_too_much__names_the_deterrence(world: World) -> None:
    """beh:B7: the checks that protect others come first, and the first that fails is the answer."""
    with expect_revert("DeterrenceTooLow"):
        open_pair(world, world.pair({"collateral_bps": 100_000, "max_price": 1}))
    with expect_revert("TermAbove", term=Term.PRICE, most=1):
        open_pair(world, world.pair({"max_price": 1}))


def test_open__collateral_of_exactly_96_bits__is_no_limit_but_money(world: World) -> None:
    """inv:T43: nobody can have it, as the creator needs some of the token as well; but that is what is missing."""
    options = {"audit_bps": 0, "collateral_bps": 10_000, "max_units": 0, "max_price": UINT96_MAX, "solver_fee_bps": 0}
    world.deposit(world.creator, 2**95)
    pair = world.pair(options, {"price": UINT96_MAX, "unit_price": 0}, module=replace(world.module, royalty_bps=0), pool=UNVERIFIED)
    with expect_revert("FundsMissing", account=world.creator, needed=UINT96_MAX):
        open_pair(world, pair)


def test_open__with_every_field_at_its_largest__locks_what_it_says(world: World) -> None:
    """inv:T43 inv:I33"""
    value = 2**90
    world.deposit(world.creator, 3 * value)
    world.deposit(world.provider, 3 * value)
    most32, most64 = UINT32_MAX, 2**64 - 1
    job = {
        "max_price": UINT96_MAX, "max_units": most64, "cpu_milli": most32, "ram_mib": most32, "disk_mib": most32,
        "gpu_count": 2**16 - 1, "vram_mib": most32, "flags": most64, "submit_window": 604_800,
        "judge_window": JUDGE_WINDOW_LIMIT, "collateral_bps": 20_000, "audit_bps": 0, "solver_fee_bps": 1_000,
        "provider": world.provider, "expiry": 2**40 - 1, "nonce": most32,
    }  # fmt: skip
    resource = {
        "price": value - (2**26 * most64), "unit_price": 2**26, "max_units": most64, "cpu_milli": most32,
        "ram_mib": most32, "disk_mib": most32, "gpu_count": 2**16 - 1, "vram_mib": most32, "flags": most64,
        "max_collateral_bps": most32, "min_submit_window": 604_800, "max_judge_window": most32, "solver": world.solver,
        "volume": most32 - 1, "expiry": 2**40 - 1, "nonce": most32,
    }  # fmt: skip
    module = replace(world.module, royalty_bps=3_000)
    pair = world.pair(job, resource, module=module, pool=UNVERIFIED)
    free = world.free(world.creator)
    deal, _ = world.open(pair)
    assert deal.value == value
    assert world.locked(world.creator) == locked_total(deal, 100) == value + value * 3 // 10 + value // 10
    assert world.locked(world.provider) == deal.collateral == 2 * value
    assert world.free(world.creator) == free - locked_total(deal, 100)
    result = world.submit(deal, units=most64)
    world.settle(deal, result, by=world.creator)
    assert world.free(world.creator) == free - locked_total(deal, 100)
    assert world.accrued(deal) == (value * 3 // 10, value // 10, 0)


# ---- tokens, strategies, modules


def test_open__in_another_token_than_the_pool_s__is_refused(world: World) -> None:
    other = world.evm.deploy("PlainToken", "Other", 18)
    pair = world.pair({"token": other}, {"token": other})
    with expect_revert("TokenNotOfPool", token=other, poolToken=world.token):
        open_pair(world, pair)


def test_open__windows_of_the_pool_beyond_half_of_an_odd_limit__are_refused() -> None:
    """Half of the limit, rounded down, stays for draws and the queue: four rounds of 2 * (12 + 8) + 36 seconds are too many."""
    world = build_world(mediation_limit=607)
    with expect_revert("TermAbove", term=Term.POOL_WINDOWS, found=304, most=303):
        world.open(pool=replace(world.pool, appeal_window=36))


def test_open__module_that_wants_another_strategy__is_refused(world: World) -> None:
    """beh:D1"""
    other = world.challenger.address
    module = replace(world.module, strategy=other)
    with expect_revert("StrategyNotOfPool", moduleStrategy=other, poolStrategy=world.strategy):
        open_pair(world, world.pair(module=module))
    with expect_revert("StrategyNotOfPool", moduleStrategy=other, poolStrategy=NOBODY):
        open_pair(world, world.pair({"audit_bps": 0, "collateral_bps": 0}, module=module, pool=UNVERIFIED))
    open_pair(world, world.pair(module=replace(world.module, strategy=world.strategy.address)))


def test_open__audit_rate_in_the_unverified_pool__is_refused(world: World) -> None:
    with expect_revert("TermAbove", term=Term.AUDIT_BPS, found=1, most=0):
        open_pair(world, world.pair({"audit_bps": 1}, pool=UNVERIFIED))


def test_open__module_not_deterministic__needs_to_be_in_the_provider_s_list(world: World) -> None:
    """beh:D4 inv:T59"""
    module = replace(world.module, deterministic=False)
    with expect_revert("ModuleNotOffered", version=module.id, modules=bytes(32)):
        open_pair(world, world.pair(module=module))
    tree = MerkleTree.of([module.id])
    open_pair(world, world.pair(resource={"modules": tree.root}, module=module))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 33])
def test_open__with_a_list_of_modules__takes_its_members_only(world: World, size: int) -> None:
    tree = MerkleTree.of([world.module.id, *(keccak256(bytes([number])) for number in range(size - 1))])
    root = {"modules": tree.root}
    good = tree.proof(world.module.id)
    open_pair(world, world.pair(resource=root, membership=good))
    outsider = replace(world.module, manifest=keccak256(b"another"))
    bad = [(outsider, good), (world.module, (*good, bytes(32)))]
    if good:
        flipped = bytes([good[0][0] ^ 1]) + good[0][1:]
        bad += [(world.module, good[:-1]), (world.module, (flipped, *good[1:]))]
    for module, proof in bad:
        with expect_revert("ModuleNotOffered", version=module.id, modules=tree.root):
            open_pair(world, world.pair(resource=root, module=module, membership=proof))


def test_open__inner_node_of_the_list_as_a_version__is_refused(world: World) -> None:
    """A node is not a leaf: leaves are hashed twice."""
    values = [world.module.id, keccak256(b"other")]
    tree = MerkleTree.of(values)
    root_of_node = MerkleTree.of([tree.root])
    with expect_revert("ModuleNotOffered"):
        open_pair(world, world.pair(resource={"modules": root_of_node.root}, membership=()))
    with expect_revert("ModuleNotOffered"):
        open_pair(world, world.pair(resource={"modules": world.module.id}, membership=()))


# ---- time


@pytest.mark.parametrize("side", ["job", "resource"])
def test_open__at_the_last_second_of_an_offer__opens_and_one_later_not(world: World, side: str) -> None:
    """beh:B5 beh:E1"""
    end = world.evm.timestamp + 10
    pair = world.pair(**{side: {"expiry": end}})
    world.pass_to(end + 1)
    offer = getattr(pair, side)
    with expect_revert("OfferExpired", offerHash=offer.struct_hash, expiry=end, time=end + 1):
        open_pair(world, pair)
    world.pass_to(end)
    open_pair(world, pair)


# ---- money of both sides


def test_open__creator_one_unit_short__says_who_lacks_how_much(world: World) -> None:
    """beh:B17"""
    pair = world.pair()
    figures = figures_of(pair.job, pair.resource, pair.module, pair.pool)
    total = locked_total(figures, 100)
    world.core.withdraw(world.token, START_CREDIT - total + 1, world.creator, sender=world.creator)
    wanted = {"account": world.creator, "token": world.token, "has": total - 1, "needed": total}
    with expect_revert("FundsMissing", **wanted):
        open_pair(world, pair)
    world.deposit(world.creator, 1)
    open_pair(world, pair)
    assert world.free(world.creator) == 0 and world.locked(world.creator) == total


def test_open__provider_one_unit_short__says_who_lacks_how_much(world: World) -> None:
    """beh:B17"""
    pair = world.pair()
    collateral = figures_of(pair.job, pair.resource, pair.module, pair.pool).collateral
    world.core.withdraw(world.token, START_CREDIT - collateral + 1, world.provider, sender=world.provider)
    wanted = {"account": world.provider, "token": world.token, "has": collateral - 1, "needed": collateral}
    with expect_revert("FundsMissing", **wanted):
        open_pair(world, pair)
    world.deposit(world.provider, 1)
    open_pair(world, pair)
    assert world.free(world.provider) == 0 and world.locked(world.provider) == collateral


def test_open__fund_one_unit_short_of_four_seat_fees__is_refused(world: World) -> None:
    """beh:D23 inv:I38"""
    pool = replace(world.pool, note=keccak256(b"a pool of its own"))
    pair = pair_of(world, {"pool": {"note": pool.note}}, fund=1)
    needed = audit_fee(figures_of(pair.job, pair.resource, pair.module, pair.pool))
    world.deposit(world.keeper, needed)
    world.core.donate(world.strategy, world.token, PoolId(pool.id), needed - 2, sender=world.keeper)
    with expect_revert("TermBelow", term=Term.FUND_COVER, found=needed - 1, least=needed):
        open_pair(world, pair)
    world.core.donate(world.strategy, world.token, PoolId(pool.id), 1, sender=world.keeper)
    open_pair(world, pair)


def test_open__rich_fund_of_another_pool_token_or_strategy__does_not_count(world: World) -> None:
    """inv:T49"""
    pair = world.pair(pool=replace(world.pool, note=keccak256(b"poor")))
    other = world.evm.deploy("PlainToken", "Other", 18)
    other.mint(world.keeper, START_FUND)
    other.approve(world.core, START_FUND, sender=world.keeper)
    world.core.deposit(other, START_FUND, world.keeper, sender=world.keeper)
    world.core.donate(world.strategy, other, PoolId(pair.pool.id), START_FUND, sender=world.keeper)
    world.deposit(world.keeper, START_FUND)
    world.core.donate(world.challenger, world.token, PoolId(pair.pool.id), START_FUND, sender=world.keeper)
    with expect_revert("TermBelow", term=Term.FUND_COVER, found=0):
        open_pair(world, pair)


def test_open__verified__covers_creator_premium_and_audit_by_the_collateral(world: World) -> None:
    """beh:D3: the numbers of protocol 6.6 for each preset."""
    for audit, collateral in ((800, 162_000), (400, 333_000), (2_000, 65_000), (10_000, 80_000)):
        deal, _ = world.open(job={"audit_bps": audit, "collateral_bps": collateral}, resource=PLAIN)
        assert deal.seat_fee == seat_fee_up(deal.value, 0, 0) == FEE
        assert deal.collateral >= deal.value + premium_of(deal) + 4 * FEE
        assert is_deterrent(audit, collateral)


# ---- parties


def _signed(world: World, job: dict[str, Any], resource: dict[str, Any], creator: Any, provider: Any) -> Pair:
    pair = world.pair(job, resource)
    return pair._replace(
        job_signature=world.sign(pair.job, creator), resource_signature=world.sign(pair.resource, provider)
    )


def test_open__creator_as_provider__is_refused(world: World) -> None:
    """beh:B6"""
    pair = _signed(world, {"creator": world.provider}, {}, world.provider, world.provider)
    with expect_revert("PartiesNotDistinct", creator=world.provider, provider=world.provider, solver=world.solver):
        open_pair(world, pair)


@pytest.mark.parametrize("side", ["creator", "provider"])
@pytest.mark.parametrize("named_by", ["job", "resource"])
def test_open__a_party_as_solver__is_refused(world: World, side: str, named_by: str) -> None:
    """beh:B6 inv:T7"""
    party = getattr(world, side)
    changes = {"job": {"solver": NOBODY}, "resource": {}} | {named_by: {"solver": party}}
    if named_by == "resource":
        changes["job"] = {"solver": NOBODY}
    with expect_revert("PartiesNotDistinct", creator=world.creator, provider=world.provider, solver=party):
        open_pair(world, world.pair(**changes))


def test_open__nobody_as_creator_or_provider__is_refused(world: World) -> None:
    """beh:B6 beh:A8"""
    with expect_revert("PartiesNotDistinct", creator=NOBODY):
        open_pair(world, world.pair({"creator": NOBODY}))
    for signature in (b"", b"\0" + bytes(65), b"\2", b"\1" + bytes(20)):
        pair = world.pair(resource={"provider": NOBODY})._replace(resource_signature=signature)
        with expect_revert("SignatureInvalid", structHash=pair.resource.struct_hash, account=NOBODY):
            open_pair(world, pair)


def test_open__a_provider_that_the_job_did_not_name__is_refused(world: World) -> None:
    """beh:B11: the named counterparty is part of what the creator signed."""
    pair = world.pair({"provider": world.challenger})
    with pytest.raises(Exception, match="provider"):
        deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
    with expect_revert("SignatureInvalid", account=world.creator):
        open_pair(world, pair)


SOLVERS = {
    # named by the job, by the resource, counts
    "both name it": (True, True, True),
    "the job names it": (True, False, True),
    "the resource names it": (False, True, True),
    "nobody names one": (False, False, False),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_open__solver__is_who_either_offer_names_and_nobody_else(world: World, name: str) -> None:
    """beh:B11 beh:B12"""
    by_job, by_resource, counts = SOLVERS[name]
    solver = world.solver.address
    pair = world.pair(
        {"solver": solver if by_job else NOBODY, "solver_fee_bps": 700}, {"solver": solver if by_resource else NOBODY}
    )
    opening = opening_of([pair])
    if not counts:  # whoever sends it may write itself into the word: it counts for nothing
        opening = opening._replace(resource=pair.resource.words(world.challenger.address))
    world.core.open(opening, sender=world.challenger)
    deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
    assert world.state(deal).status == Status.AGREED
    assert deal.solver == (solver if counts else NOBODY) and deal.solver_fee_bps == (700 if counts else 0)
    result = world.submit(deal)
    world.set_seed(deal, drawn=False)
    world.settle(deal, result, by=world.creator)
    assert world.accrued(deal)[1] == (COIN * 7 // 100 if counts else 0)


@pytest.mark.parametrize("named_by", ["job", "resource", "both"])
def test_open__with_another_solver_in_the_word_than_was_signed__is_refused(world: World, named_by: str) -> None:
    """beh:B11 inv:T6"""
    solver = world.solver.address
    pair = world.pair(
        {"solver": NOBODY if named_by == "resource" else solver}, {"solver": NOBODY if named_by == "job" else solver}
    )
    opening = opening_of([pair])
    words = list(opening.resource)
    word = int.from_bytes(words[2], "big")
    words[2] = (word >> 160 << 160 | int(world.challenger.address, 16)).to_bytes(32, "big")
    with expect_revert("SignatureInvalid"):
        world.core.open(opening._replace(resource=tuple(words)), sender=world.challenger)


@pytest.mark.parametrize("change", ["job", "resource"])
def test_open__two_offers_that_name_different_solvers__cannot_meet(world: World, change: str) -> None:
    pair = world.pair({"solver": world.solver}, {"solver": world.challenger})
    word = world.solver if change == "job" else world.challenger
    other = pair.resource if change == "job" else pair.job
    opening = opening_of([world.pair({"solver": word}, {"solver": word})])
    words = list(pair.resource.words(world.challenger.address))
    if change == "job":
        words = list(replace(pair.resource, solver=world.solver.address).words())
    opening = opening._replace(
        resource=tuple(words),
        resource_signature=pair.resource_signature,
        jobs=(opening.jobs[0]._replace(words=pair.job.words(), signature=pair.job_signature),),
    )
    with expect_revert("SignatureInvalid", account=other.provider if change == "job" else other.creator):
        world.core.open(opening, sender=world.solver)


# ---- volume, nonces: see test_opening_groups.py; signatures: test_consent.py


def test_open__refused__leaves_both_offers_usable(world: World) -> None:
    """beh:B17"""
    pair = world.pair({"max_price": 1})
    before = _snapshot(world, pair)
    with pytest.raises(Reverted):
        open_pair(world, pair)
    assert _snapshot(world, pair) == before
