"""Rounds, votes and the money of disputes as pure functions: vectors, and what coalitions can expect to gain."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import comb

import pytest
from eth_abi import encode
from eth_utils import keccak

from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import NOBODY, ZERO
from lilypad_agents.protocol.lifecycle import DisputeKind, Verdict
from lilypad_agents.protocol.mediation import (
    VOTE_SERVED,
    DisputeEnd,
    Finding,
    Phase,
    RoundEnd,
    RoundWord,
    Seating,
    SeatState,
    claim_most,
    divide,
    drawer_part,
    first_round,
    round_size,
    seat_fee_parts,
    tally,
    verdict_of,
    vote_commitment,
)
from lilypad_agents.protocol.price import premium_of

DEAL = keccak(text="deal")
MATE, HONEST, PROVIDER, KEEPER = ("0x" + digit * 40 for digit in "1234")
RIGHT, WRONG = keccak(text="right"), keccak(text="wrong")


def test_sizes_and_first_rounds() -> None:
    """inv:I35"""
    assert [round_size(number) for number in range(8)] == [1, 3, 7, 15] * 2
    assert [first_round(kind) for kind in list(DisputeKind)[1:]] == [1, 1, 5, 0, 0]


def test_vote_commitment__is_the_hash_of_five_words() -> None:
    """beh:D14"""
    salt = keccak(text="salt")
    expected = keccak(encode(["bytes32", "uint256", "address", "bytes32", "bytes32"], [DEAL, 2, MATE, RIGHT, salt]))
    assert vote_commitment(DEAL, 2, MATE, RIGHT, salt) == expected
    with pytest.raises(FieldInvalid):
        vote_commitment(DEAL, 2, MATE, RIGHT, b"short")
    assert int.from_bytes(VOTE_SERVED, "big") == 4


def test_round_word__unpacks_its_fields() -> None:
    states = sum(state << 50 + 3 * seat for seat, state in enumerate((1, 2, 4, 0, 7, 5, 3)))
    word = 4 | 2 << 3 | 1 << 6 | 1 << 9 | 1_800_000_000 << 10 | states | 1 << 95 | 12345 << 96
    found = RoundWord.unpack(word)
    assert (found.phase, found.number, found.opened, found.redrawn) == (Phase.REVEAL, 2, True, False)
    assert (found.lone_unavailable, found.provider_late, found.deadline) == (False, True, 1_800_000_000)
    assert found.seats == tuple(SeatState(state) for state in (1, 2, 4, 0, 7, 5, 3)) and found.facts == 12345
    past, finding = RoundWord.unpack_past(word)
    assert (past.phase, finding) == (Phase.EXECUTED, Finding.NOT_OPENED)
    assert RoundWord.unpack(0) is None and RoundWord.unpack_past(0) is None


@pytest.mark.parametrize("kind", list(DisputeKind)[1:])
def test_verdicts__by_finding(kind: DisputeKind) -> None:
    delivery = kind == DisputeKind.DELIVERY
    for finding in Finding:
        if finding == Finding.CONFIRMED:
            expected = Verdict.DELIVERED if delivery else Verdict.CORRECT
        elif finding in (Finding.OTHER_DIGEST, Finding.UNSERVED, Finding.NOT_OPENED):
            expected = Verdict.NOT_DELIVERED if delivery else Verdict.WRONG
        else:
            expected = Verdict.DELIVERED if delivery else Verdict.NO_FAULT
        assert verdict_of(kind, finding) == expected


def test_fee_parts__add_up_and_round_for_the_seat() -> None:
    for fee in (0, 1, 49, 50, 99, 10**18 + 7):
        seat, keepers = seat_fee_parts(fee)
        assert seat + keepers == fee and keepers == fee // 50
        assert drawer_part(fee, 3) == 3 * keepers // 3


# ---- what coalitions gain


@dataclass(frozen=True)
class _Priced:
    """A deal at the standard preset: audits 8 %, collateral 15 times the value, one fee 125 % of it."""

    price: int = 10**18
    unit_price: int = 0
    max_units: int = 1
    collateral: int = 15 * 10**18
    seat_fee: int = 125 * 10**16
    seat_floor: int = 10**15
    audit_bps: int = 800
    royalty_bps: int = 0
    solver_fee_bps: int = 0
    is_verified: bool = True


_DEAL = _Priced()
_STAKE = 64 * _DEAL.seat_fee // 10
_CHOICES = (
    (SeatState.CONFIRMS, ZERO), (SeatState.OTHER_DIGEST, WRONG), (SeatState.UNAVAILABLE, ZERO), (SeatState.MODULE_BROKEN, ZERO),
)  # fmt: skip


def _round(number: int, accounts: tuple[str, ...], votes: tuple) -> RoundEnd:
    states = tuple(state for state, _ in votes)
    word = RoundWord(Phase.EXECUTABLE, number, True, False, False, False, 0, states, 0)
    digests = {seat: vote for seat, (_, vote) in enumerate(votes)}
    return RoundEnd(word, Seating(PROVIDER, 8, 12, RIGHT, accounts), digests, tally(word, digests)[0])


def _audit(accounts: tuple[str, ...], votes: tuple) -> DisputeEnd:
    """A lone seat, and the panel when it does not confirm."""
    lone = _round(0, accounts[:1], votes[:1])
    rounds = (lone,) if lone.finding == Finding.CONFIRMED else (lone, _round(1, accounts[1:], votes[1:]))
    return DisputeEnd(_DEAL, DisputeKind.AUDIT, PROVIDER, KEEPER, KEEPER, _STAKE, rounds)


def _honest_loss(end: DisputeEnd) -> int:
    """What fund and honest mediators lose by an audit in which everybody else is of one coalition, keepers included.

    A wrong verdict costs the coalition its collateral on top, less what it pays to itself as creator.
    """
    division = divide(end)
    seats = 4 * _DEAL.seat_fee - division.to_fund
    honest = sum(amount for account, amount in division.payments if account == HONEST)
    honest -= sum(loss for account, loss in division.losses if account == HONEST)
    slashed = 0
    if division.verdict == Verdict.WRONG:
        slashed = _DEAL.collateral - _DEAL.price - premium_of(_DEAL) - division.claim
    return seats - honest - slashed


def _expected_gain(hostile: float, honest_vote: tuple) -> float:
    """The most that a coalition with provider, creator, module and a share `hostile` of the stake takes from fund and honest
    seats in an audit, over who is drawn; its seats see each other's and know the honest ones' vote."""
    gain = 0.0
    for mates in product((False, True), repeat=4):
        weight = hostile ** sum(mates) * (1 - hostile) ** (4 - sum(mates))
        accounts = tuple(MATE if mate else HONEST for mate in mates)
        options = [_CHOICES if mate else (honest_vote,) for mate in mates]
        gain += weight * max(_honest_loss(_audit(accounts, votes)) for votes in product(*options))
    return gain


@pytest.mark.parametrize("honest_vote", _CHOICES, ids=["right", "wrong", "unserved", "broken module"])
def test_d29__a_fund_loses_nothing_to_whoever_holds_less_than_a_quarter(honest_vote: tuple) -> None:
    """beh:D29 inv:T37 inv:I38: per audited deal the coalition has paid 1.1 seat fees of premium and gets less than that back.

    Whatever the honest seats find: a right result, a wrong one, nothing served, a module of the coalition's own that is broken.
    """
    income = premium_of(_DEAL) * 10_000 / _DEAL.audit_bps
    assert income == 1.1 * _DEAL.seat_fee
    gain = _expected_gain(0.249, honest_vote)
    if honest_vote[0] == SeatState.OTHER_DIGEST:
        # Cheating: a panel of its own has honest seats slashed now and then, but the collateral pays for every other draw.
        assert gain < 0
    else:
        assert gain < income


def test_t20__cheating_with_a_fifth_of_the_stake_loses_money() -> None:
    """inv:T20 beh:D3: the provider skips the work, saves 80 % of the price, and leaks its opening to its mates."""
    hostile = 0.2
    panel_lost = sum(comb(3, mates) * hostile**mates * (1 - hostile) ** (3 - mates) for mates in (2, 3))
    caught = (1 - hostile) * (1 - panel_lost)
    audited = _DEAL.audit_bps / 10_000
    assert 0.8 * _DEAL.price < audited * caught * (_DEAL.price + _DEAL.collateral)
    honest_wrong = (SeatState.OTHER_DIGEST, WRONG)
    end = _audit((HONEST, MATE, HONEST, HONEST), (honest_wrong, _CHOICES[0], honest_wrong, honest_wrong))
    division = divide(end)
    assert division.verdict == Verdict.WRONG
    assert dict(division.losses)[MATE] == _STAKE, "the mate pays with its whole seat stake"


def test_claim_most__is_what_creator_and_premium_leave() -> None:
    """inv:I44"""
    most = _DEAL.collateral - premium_of(_DEAL) - _DEAL.price
    assert claim_most(_DEAL, DisputeKind.CHALLENGE) == most
    assert claim_most(_DEAL, DisputeKind.AUDIT_EXPIRED) == most - 4 * _DEAL.seat_fee
    assert NOBODY not in (MATE, HONEST)
