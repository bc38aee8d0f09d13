"""What a challenge promises before it acts, what a dispute looks like, and what its end means for the command that waited."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.agents.creator.challenging import ChallengePlan, Challenging, endings
from lilypad_agents.agents.creator.disputes import FINDINGS, KINDS, SEATS, as_json, key_of, next_in_dispute, vote_text
from lilypad_agents.agents.creator.errors import ChallengeLost
from lilypad_agents.agents.creator.outcome import error_of
from lilypad_agents.agents.runtime.disputes import Appeal, Dispute, Facts, Round, Vote
from lilypad_agents.chain.abi import Abi
from lilypad_agents.cli.disputescreens import dispute_lines, progress_text
from lilypad_agents.protocol import payouts
from lilypad_agents.protocol.dispute import Finding, Phase, Seating, SeatState
from lilypad_agents.protocol.ids import address_bytes, address_of
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.price import challenge_fee, charge, delivery_fee, locked_total
from lilypad_agents.protocol.units import Bps, Units
from tests.unit.agents.creator.creator_support import NOW, ONE, TOKEN, deal, job, pool, terms

A, B, C, US = (address_of(number) for number in (1, 2, 3, 4))
FEE = Bps(100)
DEAL = deal(terms(), pool(), audit_bps=800, collateral_bps=162_000)
OPENED = b"\x0d" * 32
SEATING = Seating(US, 8, 12, OPENED, (A, B, C))


def dispute(phase: Phase = Phase.REVEAL, **changes: object) -> Dispute:
    vote = Vote(A, b"\x0e" * 32, True, SeatState.OTHER_DIGEST)
    facts = Facts((Round(1, SEATING, votes={0: vote}, committed=frozenset({0, 1})),))
    seats = (SeatState.OTHER_DIGEST, SeatState.COMMITTED, SeatState.SILENT)
    found = Dispute(b"\x01" * 32, False, phase, NOW + 9, 1, Finding.NONE, True, seats, facts)  # type: ignore[arg-type]
    return replace(found, **changes)  # type: ignore[arg-type]


# ---- before the challenge


def test_endings__of_a_challenge__are_what_the_protocol_pays() -> None:
    """beh:D5 beh:D7 beh:J18 Said before anything is paid."""
    locked, fee = locked_total(DEAL, FEE), challenge_fee(DEAL)
    wrong, confirmed, void = (amount for _, amount in endings(DEAL, FEE, delivery=False, drawn=False))
    assert wrong == DEAL.value + DEAL.collateral // 20
    assert confirmed == -charge(DEAL, Units(0), FEE).total - fee
    assert void == payouts.no_fault(DEAL, FEE).creator - locked - fee
    after_draw = endings(DEAL, FEE, delivery=False, drawn=True)[0]
    assert after_draw[1] == DEAL.value and "bounty" not in after_draw[0]


def test_challenge__drawn_between_plan_and_block__says_that_no_bounty_comes() -> None:
    """beh:J18 The answer names what the chain took, not what was planned."""
    resolver = SimpleNamespace(abi=Abi.load("LilypadResolver"))
    kinds = iter((DisputeKind.CHALLENGE, DisputeKind.CHALLENGE_DRAWN))

    def receipt() -> SimpleNamespace:
        topics = [resolver.abi.event("DisputeOpened").topic, b"\x01" * 32, bytes(12) + address_bytes(US), int(next(kinds)).to_bytes(32, "big")]
        log = {"topics": ["0x" + topic.hex() for topic in topics], "data": "0x" + bytes(4 * 32).hex()}
        return SimpleNamespace(transaction_hash=bytes(32), logs=({"topics": ["0x" + bytes(32).hex()], "data": "0x"}, log))

    session = SimpleNamespace(
        journal=SimpleNamespace(update=lambda found, **_: found),
        wallet=SimpleNamespace(step=lambda *_: receipt()),
        chain=SimpleNamespace(resolver=resolver, parameters=SimpleNamespace(protocol_fee_bps=FEE)),
    )
    planned = ChallengePlan(False, challenge_fee(DEAL), False, endings(DEAL, FEE, delivery=False, drawn=False), NOW)
    work = Challenging(SimpleNamespace(session=session), job(terms(), deal=b"\x01" * 32, record=DEAL), delivery=False)  # type: ignore[arg-type]
    assert work.carry_out(planned, "wrong").plan == planned
    taken = work.carry_out(planned, "wrong").plan
    assert taken.drawn and taken.endings == endings(DEAL, FEE, delivery=False, drawn=True)


def test_endings__of_a_delivery_challenge__cost_floors_and_pay_the_penalty() -> None:
    """beh:C10"""
    missing, delivered, _ = (amount for _, amount in endings(DEAL, FEE, delivery=True, drawn=False))
    assert missing == DEAL.value - DEAL.value // 100  # the keeper's part of the penalty
    assert delivered == -charge(DEAL, Units(0), FEE).total - delivery_fee(DEAL)
    dearer = replace(DEAL, price=2 * ONE, seat_fee=5 * ONE // 2)
    assert delivery_fee(dearer) == delivery_fee(DEAL) < challenge_fee(dearer)


@given(price=st.integers(10**6, 10**19), audit=st.integers(400, 10_000), drawn=st.booleans(), delivery=st.booleans())
def test_endings__any_deal__being_right_pays_more_than_silence_and_being_wrong_less(
    price: int, audit: int, drawn: bool, delivery: bool
) -> None:
    """inv:T22 A challenge without cause costs its fee, one with cause never does."""
    found = replace(DEAL, price=price, seat_fee=price * 5 // 4 + 1, collateral=price * 31, audit_bps=audit, seat_floor=price // 100)
    silence = -charge(found, Units(0), FEE).total
    right, wrong, void = (amount for _, amount in endings(found, FEE, delivery=delivery, drawn=drawn))
    assert wrong <= silence < 0 < right and void < right


# ---- while it runs


@pytest.mark.parametrize("phase", list(Phase))
def test_next__each_phase__says_who_and_until_when(phase: Phase) -> None:
    """beh:J19"""
    text, end = next_in_dispute(dispute(phase), DEAL, TOKEN, NOW, NOW + 600)  # type: ignore[arg-type]
    assert end == NOW + 9 and ("within 9 s" in text) and text.split(":")[0] in (
        "anyone", "the seats", "the provider", "whoever disagrees", "nobody",
    )  # fmt: skip
    if phase is Phase.APPEALABLE:
        assert "7 seats for 8.75 LILY" in text
        assert "execute" in next_in_dispute(dispute(phase, round=3), DEAL, TOKEN, NOW, NOW + 600)[0]  # type: ignore[arg-type]


def test_phase_without_a_deadline__shows_that_of_the_mediation() -> None:
    assert next_in_dispute(dispute(Phase.QUEUED, deadline=0), DEAL, None, NOW, NOW + 600)[1] == NOW + 600  # type: ignore[arg-type]


def test_words__every_kind_finding_and_seat__has_some() -> None:
    assert set(FINDINGS) == set(Finding) and set(SEATS) == set(SeatState)
    assert set(KINDS) == set(DisputeKind) - {DisputeKind.NONE}
    assert [vote_text(number.to_bytes(32, "big")) for number in (1, 2, 3, 4)] == ["Unavailable", "ModuleBroken", "CannotRun", "served"]
    assert vote_text(OPENED) == "0x" + "0d" * 32


def test_progress__counts_seats_and_changes_only_with_them() -> None:
    """beh:J12"""
    assert progress_text(dispute(Phase.COMMIT)) == "round of 3: seats run the job, 2 of 3 have"
    assert progress_text(dispute(Phase.REVEAL)) == "round of 3: seats reveal, 1 of 3 have"
    found = dispute(Phase.APPEALABLE, finding=Finding.OTHER_DIGEST)
    assert progress_text(found) == "round of 3: can be appealed; the result is another"
    assert key_of(found) != key_of(dispute()) and key_of(found) == key_of(replace(found, deadline=1)) and key_of(None) == ()


def test_dispute__as_data_and_as_lines__shows_seats_votes_appeal_and_money() -> None:
    """beh:J17 beh:D17"""
    first = Round(1, SEATING, Finding.OTHER_DIGEST, {0: Vote(A, b"\x0e" * 32, True, SeatState.OTHER_DIGEST)})
    second = Round(2, appeal=Appeal(US, 9 * ONE))
    facts = Facts((first, second), ended="executed", amounts=((A, ONE), (A, 2 * ONE), (US, 0)), to_fund=5 * ONE, lost=ONE, claim=7)
    found = dispute(Phase.EXECUTED, round=2, seats=(), facts=facts)
    data = as_json(found, DisputeKind.CHALLENGE, US, TOKEN)
    assert data["rounds"][0]["seats"][0] == {"account": A, "state": "OTHER_DIGEST", "vote": "0x" + "0e" * 32}
    assert data["rounds"][0]["seats"][1]["state"] == "SILENT"
    assert (data["rounds"][1]["appellant"], data["rounds"][1]["appealFee"], data["rounds"][1]["seats"]) == (US, "9", [])
    assert (data["money"][A], data["toFund"], data["finding"]) == ("3", "5", "OTHER_DIGEST")
    lines = "\n".join(dispute_lines(found, DisputeKind.CHALLENGE, US, TOKEN))
    for word in ("challenge of the result", "executed; finding: the result is another", "round of 7, appealed by", "3 LILY"[:1], "audit fund"):
        assert word in lines, word


# ---- afterwards


@pytest.mark.parametrize("ours", [True, False])
def test_confirmed__only_who_challenged_has_lost_something(ours: bool) -> None:
    """beh:J14 An audit, or somebody else's challenge, that confirms the result is a good end for the creator."""
    error = error_of(job(terms(), pool(), opened=True), Status.MEDIATION_ACCEPTED, object(), ours)  # type: ignore[arg-type]
    assert isinstance(error, ChallengeLost) if ours else error is None
