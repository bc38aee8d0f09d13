"""Python and Solidity agree: hashes, ids, dense words, prices, results, and which pairs open.

`TypesHarness` opens the contracts' internal libraries; every property is checked on random values over full ranges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lilypad_agents.protocol import price
from lilypad_agents.protocol.consent import Domain
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.digest import commitment, deciding_period, is_drawn, result_digest
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import NOBODY, ZERO, address_of
from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Status
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.opening import Pair, Settling, opening_of, settlements_of
from lilypad_agents.protocol.parameters import devnet
from lilypad_agents.protocol.refusals import why_not
from lilypad_agents.protocol.terms import UNVERIFIED, ModuleTerms, PoolTerms
from lilypad_agents.protocol.units import UNLIMITED_VOLUME
from tests.support.evm import Contract, Evm, Halted, Reverted, expect_revert
from tests.support.values import accounts, structs, uints, words
from tests.support.world import COIN, World

pools = structs(PoolTerms, strategy=accounts)
FEE = 137  # an odd protocol fee shows which one is used
agreeing = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def harness() -> Contract:
    evm = Evm()
    randomness = evm.deploy("ScriptedRandomness", 6, 36_000, 9)
    return evm.deploy("TypesHarness", replace(devnet(3_600, randomness.address), protocol_fee_bps=FEE))


@pytest.fixture(scope="module")
def domain(harness: Contract) -> Domain:
    return Domain(1337, harness.address)


# ---- hashes and ids


@agreeing
@given(job=structs(JobOffer), solver=accounts, provider=accounts)
def test_job_offer__in_words__hashes_as_it_was_signed(
    harness: Contract, job: JobOffer, solver: str, provider: str
) -> None:
    """beh:B3: what the contract rebuilds from calldata has the struct hash that the creator signed."""
    solver = job.solver if job.solver != NOBODY else solver
    provider = job.provider if job.provider != NOBODY else provider
    answer = harness.jobHash(job.words(), job.token, job.module, job.pool, solver, provider)
    assert tuple(answer) == (job.struct_hash, True)


@agreeing
@given(resource=structs(ResourceOffer), other=accounts)
def test_resource_offer__in_words__hashes_as_it_was_signed(
    harness: Contract, resource: ResourceOffer, other: str
) -> None:
    """beh:B3"""
    solver = resource.solver if resource.solver != NOBODY else other
    assert tuple(harness.resourceHash(resource.words(solver), resource.pool)) == (resource.struct_hash, solver, True)


@agreeing
@given(deal=structs(Deal))
def test_deal__in_words__has_the_id_of_its_typed_data(harness: Contract, domain: Domain, deal: Deal) -> None:
    """beh:B3: the deal id, bound to chain and contract, and the way back."""
    assert harness.dealHash(deal.words) == deal.struct_hash
    assert harness.dealId(deal.words) == deal.id(domain)
    assert harness.repack(deal.words) == deal.words
    assert harness.dealHashOfFields(deal.words) == deal.struct_hash
    assert harness.settledHash(deal.shared, deal.details) == deal.struct_hash


def test_deal_id__on_another_chain_or_contract__is_another(harness: Contract) -> None:
    """beh:B3, inv:T4 for ids: two chains and two deployments give three ids, as Python says."""
    deal = Deal(**_plain_deal())
    ids = set()
    for chain_id, deployments in ((1337, 2), (31337, 1)):
        evm = Evm(chain_id=chain_id)
        randomness = evm.deploy("ScriptedRandomness", 6, 36_000, 9)
        for _ in range(deployments):
            other = evm.deploy("TypesHarness", devnet(3_600, randomness.address))
            found = other.dealId(deal.words)
            assert found == deal.id(Domain(chain_id, other.address))
            ids.add(found)
    assert len(ids) == 3


@agreeing
@given(terms=structs(ModuleTerms))
def test_module_terms__as_struct_and_as_words__have_one_id(harness: Contract, terms: ModuleTerms) -> None:
    assert harness.moduleId(terms) == terms.id
    assert tuple(harness.moduleWordsId(terms.words)) == (terms.id, True)


@agreeing
@given(terms=pools)
def test_pool_terms__as_struct_and_as_words__have_one_id(harness: Contract, terms: PoolTerms) -> None:
    assert harness.poolId(terms) == terms.id
    assert tuple(harness.poolWordsId(terms.words)) == (terms.id, True)


def test_pool_terms__unverified__have_id_zero(harness: Contract) -> None:
    assert tuple(harness.poolWordsId(UNVERIFIED.words)) == (ZERO, True)


@agreeing
@given(values=st.sets(words, min_size=1, max_size=12), stranger=words)
def test_list__of_versions__proves_its_members_to_the_contract(
    harness: Contract, values: set[bytes], stranger: bytes
) -> None:
    tree = MerkleTree.of(values)
    for value in values:
        assert harness.isMember(tree.root, value, tree.proof(value))
        if stranger not in values:
            assert not harness.isMember(tree.root, stranger, tree.proof(value))


# ---- one encoding, one meaning


@agreeing
@given(deal=structs(Deal), bit=st.integers(0, 12 * 256 - 1))
def test_record__one_bit_flipped__is_another_deal_or_refused(
    harness: Contract, domain: Domain, deal: Deal, bit: int
) -> None:
    """inv:I31, inv:T44: no two encodings stand for one deal."""
    flipped = _flip(deal.words, bit)
    try:
        other = Deal.from_words(flipped)
    except FieldInvalid:
        with expect_revert("DealEncodingNotCanonical", word=flipped[3]):
            harness.dealHashOfFields(flipped)
        assert harness.dealId(flipped) != deal.id(domain)
    else:
        assert other != deal
        assert harness.dealId(flipped) == other.id(domain) != deal.id(domain)


@agreeing
@given(job=structs(JobOffer, solver=accounts, provider=accounts), bit=st.integers(0, 4 * 256 - 1))
def test_job_words__one_bit_flipped__are_another_offer_or_refused(harness: Contract, job: JobOffer, bit: int) -> None:
    """inv:T44: the signature of the original does not cover what the words mean now."""
    flipped = _flip(job.words(), bit)
    shared = {"token": job.token, "module": job.module, "pool": job.pool, "solver": job.solver, "provider": job.provider}
    found, canonical = harness.jobHash(flipped, *shared.values())
    try:
        other = JobOffer.from_words(flipped, **shared)
    except FieldInvalid:
        assert not canonical
    else:
        assert canonical
        assert found == other.struct_hash != job.struct_hash


@agreeing
@given(resource=structs(ResourceOffer, solver=accounts), bit=st.integers(0, 6 * 256 - 1))
def test_resource_words__one_bit_flipped__are_another_offer_or_refused(
    harness: Contract, resource: ResourceOffer, bit: int
) -> None:
    """inv:T44"""
    flipped = _flip(resource.words(), bit)
    found, solver, canonical = harness.resourceHash(flipped, resource.pool)
    try:
        other, named = ResourceOffer.from_words(flipped, pool=resource.pool)
    except FieldInvalid:
        assert not canonical
    else:
        assert canonical
        assert (found, solver) == (other.struct_hash, named)
        assert found != resource.struct_hash


@agreeing
@given(terms=structs(ModuleTerms), bit=st.integers(0, 6 * 256 - 1))
def test_module_words__one_bit_flipped__are_other_terms_or_refused(
    harness: Contract, terms: ModuleTerms, bit: int
) -> None:
    """inv:T44: dirty upper bits of a field are refused, meaningful ones change the id."""
    found, fits = harness.moduleWordsId(_flip(terms.words, bit))
    assert found != terms.id
    word, position = divmod(bit, 256)
    width = (256, 201, 160, 256, 256, 256)[word]
    assert fits == (position < width)


@agreeing
@given(terms=pools, bit=st.integers(0, 5 * 256 - 1))
def test_pool_words__one_bit_flipped__are_other_terms_or_refused(
    harness: Contract, terms: PoolTerms, bit: int
) -> None:
    """inv:T44"""
    flipped = _flip(terms.words, bit)
    found, fits = harness.poolWordsId(flipped)
    assert found != terms.id
    word, position = divmod(bit, 256)
    width = (256, 256, 192, 256, 256)[word]
    named_still = any(flipped[0][12:])
    assert fits == (position < width and (named_still or not any(map(any, flipped))))


# ---- prices


@agreeing
@given(deal=structs(Deal), units=uints(64))
def test_charge__any_record__is_the_same_in_both(harness: Contract, deal: Deal, units: int) -> None:
    """beh:C5 for the arithmetic: each part of the charge, and what is locked, by two implementations."""
    due = price.charge(deal, units, FEE)
    assert tuple(harness.charge(deal.words, units)) == (
        due.gross, due.royalty, due.solver_fee, due.to_fund, due.total
    )  # fmt: skip
    value, locked, premium, penalty, audit_fee = harness.figures(deal.words)
    assert (value, locked) == (deal.value, price.locked_total(deal, FEE))
    assert premium == price.premium_up(deal.seat_fee, deal.audit_bps)
    assert (penalty, audit_fee) == (price.penalty(deal), price.audit_fee(deal))


@agreeing
@given(value=uints(160), floor=uints(96), minimum=uints(96))
def test_seat_fee__any_value__is_the_same_in_both(harness: Contract, value: int, floor: int, minimum: int) -> None:
    assert harness.seatFee(value, floor, minimum) == price.seat_fee_up(value, floor, minimum)


# ---- results


@agreeing
@given(head=words, content=words, deal_id=words, provider=accounts, salt=words)
def test_commitment__any_result__is_the_same_in_both(
    harness: Contract, head: bytes, content: bytes, deal_id: bytes, provider: str, salt: bytes
) -> None:
    digest = result_digest(head, content)
    assert harness.digest(head, content) == digest
    assert harness.commitment(deal_id, provider, digest, salt) == commitment(deal_id, provider, digest, salt)


@agreeing
@given(seed=words, deal_id=words, rate=st.integers(1, 10_000), submitted_in=st.integers(0, 2**32 - 2))
def test_lottery__any_seed__draws_the_same_in_both(
    harness: Contract, seed: bytes, deal_id: bytes, rate: int, submitted_in: int
) -> None:
    """beh:D11 for the lottery: anyone can recompute it from the seed."""
    evm = harness._evm
    randomness = evm.at("ScriptedRandomness", _source_of(harness))
    with evm.snapshot():
        assert tuple(harness.lottery(deal_id, rate, submitted_in)) == (False, False, False)
        randomness.setSeed(deciding_period(submitted_in), seed)
        assert tuple(harness.lottery(deal_id, rate, submitted_in)) == (True, is_drawn(seed, deal_id, rate), False)
        randomness.setExpired(deciding_period(submitted_in))
        assert tuple(harness.lottery(deal_id, rate, submitted_in)) == (True, True, True)
        assert tuple(harness.lottery(deal_id, 0, submitted_in)) == (True, False, False)


# ---- packed words


@agreeing
@given(free=uints(96), locked=uints(96), job=uints(32), resource=uints(32), amount=uints(96))
def test_account_word__moving_an_amount__changes_only_its_fields_or_reverts(
    harness: Contract, free: int, locked: int, job: int, resource: int, amount: int
) -> None:
    """inv:I33: nothing spills into the next field, an amount that does not fit reverts."""
    word = free | locked << 96 | job << 192 | resource << 224
    assert tuple(harness.account(word)) == (free, locked, job, resource)

    def outcome(call: Any, *arguments: int) -> Any:
        try:
            return tuple(harness.account(call(word, *arguments)))
        except Reverted as reverted:
            return reverted.name

    most = 2**96 - 1
    fits, has, holds = free + amount <= most, free >= amount, locked >= amount
    assert outcome(harness.addFree, amount) == ((free + amount, locked, job, resource) if fits else "AmountOverflows")
    assert outcome(harness.subFree, amount) == ((free - amount, locked, job, resource) if has else "AmountUnderflows")
    assert outcome(harness.subLocked, amount) == ((free, locked - amount, job, resource) if holds else "AmountUnderflows")
    moved = (free - amount, locked + amount, job, resource)
    refused = "AmountUnderflows" if not has else "AmountOverflows"
    assert outcome(harness.lock, amount) == (moved if has and locked + amount <= most else refused)
    raised = (free, locked, max(job, 7), max(resource, 9))
    assert outcome(harness.raiseFloors, 7, 9) == raised


@pytest.mark.parametrize("has, amount", [(0, 2**96 - 1), (1, 2**96 - 2), (2**96 - 1, 0), (2**95, 2**95 - 1)])
def test_account_word__to_the_last_unit_of_a_field__moves_and_one_unit_more_not(
    harness: Contract, has: int, amount: int
) -> None:
    """inv:I33: in both directions, with the other fields full."""
    floors, most = 2**256 - 2**192, 2**96 - 1
    assert harness.addFree(floors | most << 96 | has, amount) == floors | most << 96 | most
    assert harness.lock(floors | has << 96 | amount, amount) == floors | most << 96
    assert harness.subFree(floors | most << 96 | amount, amount) == floors | most << 96
    assert harness.subLocked(floors | amount << 96 | most, amount) == floors | most
    with expect_revert("AmountOverflows", amount=amount + 1):
        harness.addFree(floors | most << 96 | has, amount + 1)
    if amount < most:
        with expect_revert("AmountOverflows", amount=amount + 1):
            harness.lock(floors | has << 96 | amount + 1, amount + 1)
    with expect_revert("AmountUnderflows", has=amount, needed=amount + 1):
        harness.subFree(floors | most << 96 | amount, amount + 1)
    with expect_revert("AmountUnderflows", has=amount, needed=amount + 1):
        harness.subLocked(floors | amount << 96 | most, amount + 1)


@agreeing
@given(
    provider=accounts, window=uints(16), deadline=uints(40), auditable=st.booleans(), posted=uints(176),
    period=uints(32), later=uints(40),
)  # fmt: skip
def test_deal_word__through_its_life__keeps_what_it_must(
    harness: Contract, provider: str, window: int, deadline: int, auditable: bool, posted: int, period: int, later: int
) -> None:
    """inv:I33, inv:I25 in part: decoding inverts encoding, and commitment and period survive every later step."""
    agreed = harness.dealWord(harness.agreed(provider, window, deadline, auditable))
    assert (agreed.status, agreed.deadline, agreed.provider, agreed.judgeWindow) == (1, deadline, provider, window)
    submitted = harness.resultsSubmitted(posted, deadline, period)
    found = harness.dealWord(submitted)
    assert (found.status, found.kind, found.deadline, found.period) == (2, 0, deadline, period)
    assert (found.commitment_, found.deliveryChallenged) == (posted, False)
    for kind in (DisputeKind.CHALLENGE, DisputeKind.DELIVERY, DisputeKind.AUDIT_EXPIRED):
        disputed = harness.inMediation(submitted, kind, later)
        found = harness.dealWord(disputed)
        assert (found.status, found.kind, found.deadline) == (3, kind, later)
        assert (found.period, found.commitment_) == (period, posted)
        assert found.deliveryChallenged == (kind == DisputeKind.DELIVERY)
        again = harness.dealWord(harness.delivered(disputed, deadline))
        assert (again.status, again.kind, again.deadline) == (2, 0, deadline)
        assert (again.period, again.commitment_) == (period, posted)
        ended = harness.dealWord(harness.ended(disputed, Status.NO_FAULT, later))
        assert (ended.status, ended.deadline, ended.commitment_) == (Status.NO_FAULT, later, posted)


# ---- which pairs open

JOB_CHANGES: dict[str, list[Any]] = {
    "max_price": [0, COIN, 13 * COIN // 10], "max_units": [0, 1_000, 1_001, 2**64 - 1], "cpu_milli": [4_000, 4_001],
    "ram_mib": [8_192, 8_193], "disk_mib": [10_000, 10_001], "gpu_count": [1], "vram_mib": [1], "flags": [1],
    "submit_window": [4, 5, 7 * 86_400, 7 * 86_400 + 1], "judge_window": [4, 5, 3_600, 3_601],
    "collateral_bps": [0, 61_099, 61_100, 400_000, 400_001], "audit_bps": [0, 799, 800, 10_000, 10_001],
    "solver": [NOBODY, "creator", "provider"], "solver_fee_bps": [1_000, 1_001], "provider": ["provider"],
    "creator": ["provider", NOBODY, "solver"], "expiry": ["now", "past"],
}  # fmt: skip
RESOURCE_CHANGES: dict[str, list[Any]] = {
    "price": [0, 1, 99 * COIN, 101 * COIN, 2**96 - 1], "unit_price": [0, 2**96 - 1], "max_units": [9, 10],
    "modules": [bytes([1]) * 32], "max_collateral_bps": [161_999, 162_000], "min_submit_window": [60, 61],
    "max_judge_window": [59, 60], "solver": ["solver", "provider", "creator"], "volume": [0, 1], "expiry": ["now", "past"],
}  # fmt: skip
MODULE_CHANGES: dict[str, list[Any]] = {
    "royalty_bps": [3_000, 3_001], "royalty_to": [NOBODY], "deterministic": [False], "strategy": ["solver", "strategy"],
    "min_audit_bps": [800, 801], "min_seat_fee": [2 * COIN, 200 * COIN, 2**96 - 1],
}  # fmt: skip
POOL_CHANGES: dict[str, list[Any]] = {
    "token": ["solver"], "seat_fee_floor": [2 * COIN, 2**96 - 1], "seat_stake": [800 * COIN, 800 * COIN - 1, 0],
    "max_value": [COIN, 11 * COIN // 10], "commit_window": [0, 21, 22], "reveal_window": [0], "appeal_window": [0, 2**32 - 1],
    "strategy": ["solver"],
}  # fmt: skip


@st.composite
def changed(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Up to three changes anywhere in the four documents."""
    tables = {"job": JOB_CHANGES, "resource": RESOURCE_CHANGES, "module": MODULE_CHANGES, "pool": POOL_CHANGES}
    entries = [(side, name) for side, table in tables.items() for name in table]
    chosen = draw(st.lists(st.sampled_from(entries), max_size=3, unique=True))
    changes: dict[str, dict[str, Any]] = {side: {} for side in tables}
    for side, name in chosen:
        changes[side][name] = draw(st.sampled_from(tables[side][name]))
    return changes


def _pair(world: World, changes: dict[str, dict[str, Any]], unverified: bool) -> Pair:
    meant = {"now": world.evm.timestamp, "past": world.evm.timestamp - 1}
    meant |= {name: getattr(world, name).address for name in ("creator", "provider", "solver", "strategy")}
    plain = {side: {name: meant.get(value, value) if isinstance(value, str) else value for name, value in table.items()}
             for side, table in changes.items()}  # fmt: skip
    module = replace(world.module, **plain["module"])
    pool = UNVERIFIED if unverified else replace(world.pool, **plain["pool"])
    rates = {"audit_bps": 0, "collateral_bps": 1_000} if unverified else {}
    return world.pair(rates | plain["job"], {"volume": UNLIMITED_VOLUME} | plain["resource"], module=module, pool=pool)


def _differ(pair: Pair) -> bool:
    return NOBODY not in (pair.job.solver, pair.resource.solver) and pair.job.solver != pair.resource.solver


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=changed(), unverified=st.booleans(), poor=st.sampled_from(["", "", "", "creator", "provider"]))
def test_open__any_pair__does_what_why_not_says(
    world: World, changes: dict[str, dict[str, Any]], unverified: bool, poor: str
) -> None:
    """beh:B7: the mirror's first refusal is the contract's error, with its figures; without one the deal opens."""
    with world.evm.snapshot():
        pair = _pair(world, changes, unverified)
        if _differ(pair):
            return  # two solvers cannot be written into one opening
        if poor:
            account = getattr(world, poor)
            world.core.withdraw(world.token, world.free(account) - COIN, account, sender=account)
        view = world.view(pair)
        refusals = why_not(pair.job, pair.resource, pair.module, pair.pool, world.parameters, view)
        try:
            receipt = world.core.open(opening_of([pair]), sender=world.solver)
        except Reverted as reverted:
            assert refusals, f"the contract says {reverted}, the mirror nothing"
            assert (reverted.name, dict(reverted.arguments)) == (refusals[0].error, dict(refusals[0].figures))
        else:
            assert refusals == []
            record = receipt.event("DealOpened")["record"]
            assert Deal.from_words(record).id(world.domain) == receipt.value[0]


# ---- bytes of a call


def _spoilt(calldata: bytes, at: int) -> bytes:
    """One byte changed; by what depends on where, so that the high and the low bits are tried."""
    return calldata[:at] + bytes([calldata[at] ^ (1, 0x80, 0xFF)[at % 3]]) + calldata[at + 1 :]


def _opened(world: World, calldata: bytes) -> list[tuple[bytes, ...]] | None:
    """The records of the deals that this call opens; None when it reverts."""
    with world.evm.snapshot():
        try:
            receipt = world.evm.transact(world.core, calldata, sender=world.solver)
        except (Reverted, Halted):
            return None
        return [event["record"] for event in receipt.events("DealOpened")]


def test_open__any_byte_of_the_call_changed__opens_the_signed_deals_or_nothing(world: World) -> None:
    """inv:T44: every byte in turn, offsets, lengths, paddings and dirty upper bits included."""
    first = world.pair()
    pairs = [first, world.pair(resource=first.resource)]
    calldata = world.core.calldata("open", opening_of(pairs))
    signed = _opened(world, calldata)
    assert signed is not None and len(signed) == 2
    for at in range(4, len(calldata)):
        found = _opened(world, _spoilt(calldata, at))
        # An array that became shorter opens fewer deals, never another one.
        assert found is None or set(found) <= set(signed), at


def test_open__bytes_behind_the_call__change_nothing(world: World) -> None:
    """inv:T44"""
    calldata = world.core.calldata("open", opening_of([world.pair()]))
    signed = _opened(world, calldata)
    assert signed is not None
    assert _opened(world, calldata + b"\xff" * 33) == signed
    assert _opened(world, calldata[:-1]) is None or _opened(world, calldata[:-1]) == signed


def test_settle__any_byte_of_the_call_changed__pays_the_signed_amounts_or_nothing(world: World) -> None:
    """inv:T44: a forged record, head, salt or agreement settles nothing."""
    deal, deal_id = world.open()
    result = world.submit(deal, units=3)
    (settlement,) = settlements_of([Settling(deal, result, Agreement.WAIVER, world.waiver(deal, result))])
    calldata = world.core.calldata("settle", settlement)
    with world.evm.snapshot():
        world.evm.transact(world.core, calldata, sender=world.keeper)
        paid = world.ledger(deal)
    before = world.ledger(deal)
    assert paid != before
    for at in range(4, len(calldata)):
        with world.evm.snapshot():
            try:
                world.evm.transact(world.core, _spoilt(calldata, at), sender=world.keeper)
            except (Reverted, Halted):
                continue
            assert world.ledger(deal) in (paid, before), at
            assert world.core.dealOf(deal_id).status in (Status.RESULTS_SUBMITTED, Status.ACCEPTED), at


def _flip(found: tuple[bytes, ...], bit: int) -> tuple[bytes, ...]:
    word, position = divmod(bit, 256)
    spoilt = (int.from_bytes(found[word], "big") ^ 1 << position).to_bytes(32, "big")
    return (*found[:word], spoilt, *found[word + 1 :])


def _plain_deal() -> dict[str, Any]:
    kinds = {"address": address_of(5), "bytes32": bytes([5]) * 32}
    return {member.attribute: kinds.get(member.type, 5) for member in Deal.TYPE.members}


def _source_of(harness: Contract) -> str:
    """The harness' randomness was deployed just before it."""
    return next(address for address, name in harness._evm._contracts.items() if name == "ScriptedRandomness")
