"""What the strategy's events tell of a dispute: rounds in order, votes, appeals, and which of two disputes an end belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lilypad_agents.agents.runtime.disputes import facts_of
from lilypad_agents.chain.abi import DecodedEvent
from lilypad_agents.protocol.dispute import NO_SEATING, Finding, SeatState, appeal_fee, next_round, seats_of, verdict_of
from lilypad_agents.protocol.ids import address_of
from lilypad_agents.protocol.lifecycle import Verdict
from lilypad_agents.protocol.opening import NO_OPENING
from tests.unit.agents.provider.provider_views import COIN, deal

A, B, C, PROVIDER = (address_of(number) for number in (1, 2, 3, 9))
DEAL = b"\x07" * 32
OPENED, OTHER = b"\x01" * 32, b"\x02" * 32


def events(*told: tuple[str, dict[str, Any]]) -> list[DecodedEvent]:
    """Events in chain order, one a block."""
    return [
        DecodedEvent(name, {"dealId": DEAL, **args}, "0x", block, bytes(32), bytes(32), 0) for block, (name, args) in enumerate(told, 1)
    ]


def drawn(round_: int, *accounts: str, redraw: bool = False, opened: bytes = bytes(32)) -> tuple[str, dict[str, Any]]:
    return "SeatsDrawn", {"round": round_, "redraw": redraw, "seating": (PROVIDER, 8, 12, opened, accounts)}


def revealed(round_: int, seat: int, account: str, vote: bytes, state: SeatState) -> tuple[str, dict[str, Any]]:
    return "Revealed", {"round": round_, "seat": seat, "account": account, "vote": vote, "served": True, "state": int(state)}


def ended(*amounts: tuple[str, int]) -> Sequence[tuple[str, dict[str, Any]]]:
    accounts, sums = [account for account, _ in amounts], [amount for _, amount in amounts]
    return (
        ("DisputeExecuted", {"verdict": 1, "finding": 2, "keeper": A}),
        ("MoneyDivided", {"accounts": accounts, "amounts": sums, "toFund": 5, "lost": 6, "claim": 7}),
    )


def test_facts__nothing_told__are_those_of_a_dispute_that_has_just_begun() -> None:
    facts = facts_of([], delivery=False)
    assert (facts.seating, facts.seatings, facts.standing, facts.opening) == (NO_SEATING, (), Finding.NONE, NO_OPENING)


def test_facts__panel_and_appeal__bring_back_every_seating_in_order() -> None:
    """beh:D17 What the strategy wants to be brought back is all there."""
    told = events(
        ("RoundQueued", {"round": 1, "redraw": False, "ticket": 4, "seats": 3, "pool": bytes(32)}),
        drawn(1, A, B, A),
        ("Committed", {"round": 1, "seat": 0, "account": A}),
        ("ResultOpened", {"round": 1, "digest": OPENED, "opening": (b"\x11" * 32, b"\x12" * 32, b"\x13" * 32), "dataId": bytes(32)}),
        revealed(1, 0, A, OTHER, SeatState.OTHER_DIGEST),
        revealed(1, 1, B, OPENED, SeatState.CONFIRMS),
        ("Tallied", {"round": 1, "finding": int(Finding.OTHER_DIGEST)}),
        ("Appealed", {"round": 2, "appellant": PROVIDER, "fee": 70}),
        ("RoundQueued", {"round": 2, "redraw": False, "ticket": 5, "seats": 7, "pool": bytes(32)}),
        drawn(2, A, B, C, A, B, C, A, opened=OPENED),
    )
    facts = facts_of(told, delivery=False)
    assert [item.number for item in facts.rounds] == [1, 2] and len(facts.seatings) == 2
    assert facts.seatings[0].opened == OPENED and facts.seating.accounts == (A, B, C, A, B, C, A)
    assert facts.rounds[0].votes[0].vote == OTHER and facts.rounds[0].committed == {0}
    assert facts.opening.salt == b"\x13" * 32
    assert facts.standing is Finding.OTHER_DIGEST
    assert (facts.paid_by(PROVIDER), facts.paid_by(A)) == (70, 0)
    before = facts_of(told[:9], delivery=False)
    assert len(before.seatings) == 1, "a round that waits for its draw has no seats yet"


def test_facts__redraw__replaces_the_seats_of_the_round() -> None:
    told = events(drawn(1, A, B, A), ("Committed", {"round": 1, "seat": 0, "account": A}), drawn(1, A, C, C, redraw=True))
    facts = facts_of(told, delivery=False)
    assert facts.seatings == (facts.seating,) and facts.seating.accounts == (A, C, C)
    assert facts.rounds[0].redrawn and facts.rounds[0].committed == {0}


def test_facts__delivery_first_and_a_challenge_later__are_kept_apart() -> None:
    """inv:T33 Each dispute of a deal has its own rounds and its own end."""
    told = events(
        drawn(5, A, B, C),
        ("DataNamed", {"round": 5, "dataId": OTHER}),
        ("Tallied", {"round": 5, "finding": int(Finding.CONFIRMED)}),
        *ended((A, 10)),
        ("RoundQueued", {"round": 0, "redraw": False, "ticket": 9, "seats": 1, "pool": bytes(32)}),
        drawn(0, B),
        *ended((B, 20), (B, 1)),
    )
    delivery, audit = facts_of(told, delivery=True), facts_of(told, delivery=False)
    assert (delivery.amounts, audit.amounts) == (((A, 10),), ((B, 20), (B, 1)))
    assert delivery.seating.opened == OTHER and delivery.standing is Finding.CONFIRMED
    assert (audit.standing, audit.ended, audit.to_fund, audit.lost, audit.claim) == (Finding.NONE, "executed", 5, 6, 7)
    running = facts_of(told[:6], delivery=False)
    assert running.ended == "" and len(running.rounds) == 1


@pytest.mark.parametrize(
    ("round_", "seats", "following"), [(0, 1, 1), (1, 3, 2), (2, 7, 3), (3, 15, None), (5, 3, 6), (6, 7, 7), (7, 15, None)]
)
def test_rounds__sizes_and_what_follows(round_: int, seats: int, following: int | None) -> None:
    """inv:I35"""
    assert (seats_of(round_), next_round(round_)) == (seats, following)
    assert appeal_fee(deal(seat_fee=COIN, seat_floor=3), round_) == seats * (3 if round_ & 4 else COIN)


@pytest.mark.parametrize("finding", list(Finding))
def test_verdict__of_each_finding__is_never_against_a_provider_for_a_seats_failure(finding: Finding) -> None:
    """beh:D9 beh:D28"""
    against = finding in (Finding.OTHER_DIGEST, Finding.UNSERVED, Finding.NOT_OPENED)
    assert (verdict_of(finding, delivery=False) is Verdict.WRONG) == against
    assert (verdict_of(finding, delivery=True) is Verdict.NOT_DELIVERED) == against
    assert verdict_of(Finding.CONFIRMED, delivery=False) is Verdict.CORRECT
    assert verdict_of(Finding.CONFIRMED, delivery=True) is Verdict.DELIVERED
