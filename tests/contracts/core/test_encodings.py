"""Calldata with one bit changed: every bit of an opening, a record, a settlement means something or is refused.

beh:A8 beh:B3 inv:I31 inv:I21 inv:I25 inv:T44
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest

from lilypad_agents.protocol.consent import Closing, Result
from lilypad_agents.protocol.deal import deal_from_offers
from lilypad_agents.protocol.ids import NOBODY, keccak256
from lilypad_agents.protocol.lifecycle import Agreement, Status
from lilypad_agents.protocol.opening import Opening, Settling, SignedResult, closing_of, opening_of, settlements_of
from lilypad_agents.protocol.price import locked_total
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.support.evm import Halted, Reverted
from tests.support.world import World

Words = tuple[bytes, ...]


def flipped(words: Words, index: int, bit: int) -> Words:
    number = int.from_bytes(words[index], "big") ^ 1 << bit
    return (*words[:index], number.to_bytes(32, "big"), *words[index + 1 :])


def attempt(world: World, data: bytes) -> str | None:
    """The name of the error; None: it opened."""
    try:
        world.evm.transact(world.core, data, sender=world.keeper)
    except Reverted as reverted:
        return reverted.name
    return None


class Changeable:
    """The calldata of an opening, of which any word can be changed."""

    def __init__(self, world: World, opening: Opening, part: str) -> None:
        self.data = world.core.calldata("open", opening)
        words = opening.jobs[0].words if part == "job" else getattr(opening, part)
        self.size, block = len(words), b"".join(words)
        self.start = self.data.index(block)
        assert self.data.count(block) == 1

    def flipped(self, index: int, bit: int) -> bytes:
        at = self.start + 32 * index + 31 - bit // 8
        return self.data[:at] + bytes([self.data[at] ^ 1 << bit % 8]) + self.data[at + 1 :]


def signed_openings(world: World) -> dict[str, Opening]:
    """One with all parties named and a pool, one with nobody named in pool 0."""
    named = world.pair({"provider": world.provider}, {"solver": world.solver, "volume": 3})
    bare = world.pair({"audit_bps": 0, "collateral_bps": 1_000, "solver": NOBODY}, pool=UNVERIFIED)
    return {"named": opening_of([named]), "bare": opening_of([bare])}


# Bits that no offer covers, where nobody names a solver: its address counts for nothing, and to name nobody is to name none.
# The deal is the same.
_FREE = {("bare", "resource", 2): range(160), ("bare", "resource", 4): (136,), ("bare", "job", 3): (233,)}


@pytest.mark.parametrize("name", ["named", "bare"])
@pytest.mark.parametrize("part", ["resource", "job", "module", "pool"])
def test_open__with_any_single_bit_changed__is_refused(world: World, name: str, part: str) -> None:
    """inv:I31 inv:T44: 6, 4, 6 and 5 words, 256 bits each."""
    whole = Changeable(world, signed_openings(world)[name], part)
    for index in range(whole.size):
        free = _FREE.get((name, part, index), ())
        for bit in range(256):
            if bit in free:
                with world.evm.snapshot():
                    assert attempt(world, whole.flipped(index, bit)) is None
                    assert attempt(world, whole.data) == "DealExists"  # it was the same deal
            else:
                error = attempt(world, whole.flipped(index, bit))
                assert error in ACCOUNTED, f"{part} word {index} bit {bit}: {error}"
    assert attempt(world, whole.data) is None


ACCOUNTED = (
    "EncodingNotCanonical", "SignatureInvalid", "TermAbove", "TermBelow", "TokenNotOfPool", "StrategyNotOfPool",
    "ModuleNotOffered", "OfferExpired", "PartiesNotDistinct", "VolumeUsedUp", "DeterrenceTooLow", "FundsMissing",
)  # fmt: skip

# Bits of each word that have no meaning: (part, word, bits).
SPARE = [
    ("resource", 3, range(144, 160)), ("resource", 4, range(137, 256)), ("job", 2, range(240, 256)),
    ("job", 3, range(234, 256)), ("module", 1, range(201, 256)), ("module", 2, range(160, 256)), ("pool", 2, range(192, 256)),
]  # fmt: skip


@pytest.mark.parametrize("part, index, bits", SPARE)
def test_open__with_a_bit_that_has_no_meaning__is_not_canonical(world: World, part: str, index: int, bits: range) -> None:
    """inv:I31 inv:T44"""
    whole = Changeable(world, signed_openings(world)["named"], part)
    for bit in bits:
        assert attempt(world, whole.flipped(index, bit)) == "EncodingNotCanonical", f"{part} word {index} bit {bit}"


@pytest.mark.parametrize("index", range(1, 5))
def test_open__unverified_with_anything_in_the_pool_s_words__is_not_canonical(world: World, index: int) -> None:
    """inv:I31: terms without a strategy are all zero."""
    opening = signed_openings(world)["bare"]
    for bit in (0, 31, 95, 159, 255):
        data = world.core.calldata("open", opening._replace(pool=flipped(opening.pool, index, bit)))
        assert attempt(world, data) == "EncodingNotCanonical"


# ---- records


@pytest.fixture
def settled_case(world: World) -> Iterator[tuple[World, Any, Any]]:
    deal, _ = world.open()
    result = world.submit(deal, units=3)
    world.set_seed(deal, drawn=False)
    yield world, deal, result


def test_record__with_any_single_bit_changed__is_another_deal(settled_case: tuple[World, Any, Any]) -> None:
    """inv:I21 inv:I31 inv:T44: nobody acts on a deal with other terms than those of its opening."""
    world, deal, _ = settled_case
    selector = world.resolver.calldata("timeoutReveal", deal.words)[:4]
    for index in range(12):
        for bit in range(256):
            words = flipped(deal.words, index, bit)
            data = selector + b"".join(words)
            error = decode(world, data)
            assert error == ("DealEncodingNotCanonical" if index == 3 and bit >= 240 else "DealNotIn")


def decode(world: World, data: bytes) -> str:
    """The error of a call of the resolver that must not work."""
    with pytest.raises(Reverted) as reverted:
        world.evm.transact(world.resolver, data, sender=world.keeper)
    return reverted.value.name


def test_settlement__with_any_single_bit_changed__pays_nobody(settled_case: tuple[World, Any, Any]) -> None:
    """inv:I25 inv:I31 inv:T44"""
    world, deal, result = settled_case
    (settlement,) = settlements_of([Settling(deal, result, Agreement.ACCEPTANCE, world.acceptance(deal, result))])
    for index in range(5):
        for bit in range(256):
            changed = settlement._replace(shared=flipped(settlement.shared, index, bit))
            with pytest.raises(Reverted) as reverted:
                world.core.settle(changed)
            assert reverted.value.name == "DealNotIn"
    (item,) = settlement.items
    for name in ("details", "head", "content", "salt"):
        for bit in range(256):
            (word,) = flipped((getattr(item, name),), 0, bit)
            changed = settlement._replace(items=(item._replace(**{name: word}),))
            with pytest.raises(Reverted) as reverted:
                world.core.settle(changed)
            expected = "DealNotIn" if name == "details" else "CommitmentMismatch"
            assert reverted.value.name == expected, f"{name} bit {bit}"
    for bit in range(len(item.signature) * 8):
        signature = bytearray(item.signature)
        signature[bit // 8] ^= 1 << bit % 8
        changed = settlement._replace(items=(item._replace(signature=bytes(signature)),))
        with pytest.raises(Reverted):
            world.core.settle(changed)
    world.core.settle(settlement)


# ---- raw calldata


@pytest.mark.parametrize("call", ["open", "settle", "submitSignedResults", "close"])
def test_calldata__damaged_at_random__never_moves_what_was_not_signed(world: World, call: str) -> None:
    """inv:T44: flipped bytes, cut ends, other offsets; whatever still works does exactly what was signed."""
    deal, contract, data = _raw(world, call)
    choose = random.Random(call)
    before = _facts(world, deal)
    with world.evm.snapshot():
        world.evm.transact(contract, data, sender=world.keeper)
        done = _facts(world, deal)
    for _ in range(400):
        damaged = bytearray(data)
        habit = choose.randrange(3)
        if habit == 0:
            damaged[choose.randrange(4, len(damaged))] ^= 1 << choose.randrange(8)
        elif habit == 1:
            del damaged[choose.randrange(4, len(damaged)) :]
        else:
            at = choose.randrange((len(damaged) - 4) // 32) * 32 + 4
            damaged[at : at + 32] = choose.choice([bytes(32), b"\xff" * 32, (32 * choose.randrange(40)).to_bytes(32, "big")])
        with world.evm.snapshot():
            try:
                world.evm.transact(contract, bytes(damaged), sender=world.keeper)
            except (Reverted, Halted):
                pass
            assert _facts(world, deal) in (before, done)
    longer = data + bytes(100)  # trailing bytes say nothing
    world.evm.transact(contract, longer, sender=world.keeper)
    assert _facts(world, deal) == done


def _facts(world: World, deal: Any) -> tuple[Any, ...]:
    return world.ledger(deal), world.state(deal)


def _raw(world: World, call: str) -> tuple[Any, Any, bytes]:
    core = world.core
    if call == "open":
        pair = world.pair()
        deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
        return deal, core, core.calldata("open", opening_of([pair]))
    deal, deal_id = world.open()
    if call == "submitSignedResults":
        commitment = world.commitment(deal, world.result(deal, salt=keccak256(b"salt")))
        signed = SignedResult(deal_id, commitment, world.sign(Result(deal_id, commitment), world.provider))
        return deal, core, core.calldata("submitSignedResults", [signed])
    if call == "close":
        terms = Closing(deal_id, locked_total(deal, 100), deal.collateral, 2**40 - 1)
        argument = closing_of(terms, world.sign(terms, world.creator), world.sign(terms, world.provider))
        return deal, world.resolver, world.resolver.calldata("close", deal.words, argument)
    result = world.submit(deal, units=3)
    world.set_seed(deal, drawn=False)
    (settlement,) = settlements_of([Settling(deal, result, Agreement.ACCEPTANCE, world.acceptance(deal, result))])
    return deal, core, core.calldata("settle", settlement)


def test_ids__of_deals_that_differ_in_one_field__differ(world: World) -> None:
    """inv:I31: every field of the record is in the id."""
    deal, _ = world.open()
    seen = {deal.id(world.domain)}
    for field in fields(deal):
        value = getattr(deal, field.name)
        if isinstance(value, int):
            other: Any = value + 1
        elif isinstance(value, bytes):
            other = keccak256(value)
        else:
            other = world.keeper.address
        changed = replace(deal, **{field.name: other})
        assert world.core.digestOf(changed.struct_hash) == changed.id(world.domain)
        seen.add(changed.id(world.domain))
        assert world.state(changed).status == Status.NONE
    assert len(seen) == 1 + len(fields(deal))
