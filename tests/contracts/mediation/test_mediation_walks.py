"""Whole disputes at random: whatever seats, provider and appellants do, contract and twin agree to the unit, and nothing is left.

`Case.execute` and `Case.unwind` compare every payment, loss and claim with `protocol/mediation.py`, and the phases on the way.
"""

from __future__ import annotations

import random

import pytest

from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.mediation import Phase
from tests.support.panels import (
    BROKEN,
    CANNOT_RUN,
    NEVER,
    RIGHT,
    SECRET,
    SERVED,
    UNAVAILABLE,
    UNSERVED,
    WRONG,
    WRONG2,
    Case,
    Court,
)

_RESULT = (RIGHT, UNSERVED, WRONG, WRONG2, UNAVAILABLE, BROKEN, CANNOT_RUN, NEVER, SECRET)
_DELIVERY = (SERVED, UNAVAILABLE, CANNOT_RUN, NEVER, SECRET)


def _begin(court: Court, luck: random.Random) -> Case:
    begin = luck.choice(("challenge", "challenge", "audit", "audit", "lost", "delivery"))
    if begin == "challenge":
        return court.challenged()
    if begin == "delivery":
        return court.delivery_challenged()
    return court.audited(lost_seed=begin == "lost")


def _choices(case: Case, luck: random.Random) -> list[str]:
    """One vote a seat; most seats agree on one."""
    words = _DELIVERY if case.word.is_delivery else _RESULT
    favourite = luck.choice(words)
    return [favourite if luck.random() < 0.7 else luck.choice(words) for _ in case.word.seats]


def _round(case: Case, luck: random.Random) -> None:
    """Runs the round that stands, up to a finding or a panel that is due. Sometimes stops in the middle."""
    if luck.random() < 0.05:
        return
    case.seat()
    if luck.random() < 0.05:
        return
    case.vote(*_choices(case, luck), opens=luck.random() < 0.85)
    if case.phase == Phase.REVEAL:
        case.pass_deadline()


def _total(court: Court) -> int:
    """All money of the token: it only changes hands."""
    return court.world.core.heldOf(court.world.token)


def _walk(court: Court, luck: random.Random) -> None:
    case = _begin(court, luck)
    payer = court.rich("payer", 1_000 * 10**18)
    held = _total(court)
    for _ in range(6):
        _round(case, luck)
        phase = case.phase
        if phase == Phase.APPEALABLE and case.word.number & 3 < 3 and luck.random() < 0.6:
            fee = case.appeal(payer).event("Appealed")["fee"]
            held += fee
        elif phase != Phase.DUE:
            break
    ending = luck.random()
    if ending < 0.2 or case.phase not in (Phase.APPEALABLE, Phase.EXECUTABLE):
        case.pass_last_call()
    if ending < 0.12:
        case.pass_mediation()
        court.world.resolver.timeoutMediation(case.deal.words, sender=court.world.keeper)
        case.unwind()
    else:
        case.execute()
    assert court.credit() == 0, "money of a dispute that is over (beh:A4)"
    assert all(court.staking.stakeOf(court.pool.id, person)[3] == 0 for person in court.mediators), "a seat stays locked"
    assert _total(court) == held
    delivered = case.status == Status.RESULTS_SUBMITTED
    assert delivered or case.status.is_final
    if not delivered:
        assert case.kind != DisputeKind.NONE


@pytest.mark.parametrize("seed", range(60))
def test_walk__every_unit_has_an_owner_and_every_lock_ends(court: Court, seed: int) -> None:
    """beh:A4 beh:D15 beh:D16 beh:D19 inv:I9 inv:I34 inv:I35 inv:I39: by contract and twin, for disputes of all kinds."""
    _walk(court, random.Random(seed))
