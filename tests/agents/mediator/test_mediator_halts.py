"""No block comes while seats are to commit: what half a window costs them, and what two windows do."""

from __future__ import annotations

from lilypad_agents.protocol.lifecycle import Status
from tests.agents.mediator.court import SEAT_STAKE, Case, Court, Mediator


def drawn(court: Court) -> tuple[Mediator, Case]:
    """A mediator with all seats of a round that has just been drawn; it has not looked since."""
    mediator = court.mediator(start=False)
    case = court.submitted("halted")
    court.challenge(case)
    court.network.send(0, "LilypadMediation", "queue", case.deal.words, court.pool, court.no_seating)
    court.until(lambda: court.draw(case))
    return mediator, case


def test_halt__for_half_a_commit_window__nobody_loses(court: Court) -> None:
    """inv:T47"""
    mediator, case = drawn(court)
    stake = court.stake_of(mediator)
    court.pass_time(court.windows[0] // 2)
    court.start(mediator)
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    assert court.stake_of(mediator) == stake == 20 * SEAT_STAKE


def test_halt__for_two_commit_windows__seats_are_drawn_again_and_the_deal_ends(court: Court) -> None:
    """inv:T47 The normal ending of a missed commit: a quarter of each seat's stake, another draw, nothing stuck."""
    mediator, case = drawn(court)
    court.pass_time(2 * court.windows[0])
    court.start(mediator)
    court.finish(case)
    assert court.status(case) in (Status.MEDIATION_ACCEPTED, Status.NO_FAULT)
    lost = 20 * SEAT_STAKE - court.stake_of(mediator)
    assert lost > 0 and lost % (SEAT_STAKE // 4) == 0
    court.until(lambda: int(court.staking.call("stakeOf", court.pool.id, mediator.account)[3]) == 0)
