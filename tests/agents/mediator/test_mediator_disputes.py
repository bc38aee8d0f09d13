"""Disputes before real mediators and real contracts: what they find, and what it pays and costs them."""

from __future__ import annotations

from lilypad_agents.protocol.lifecycle import Status
from tests.agents.mediator.court import Court, wrong


def test_audit__honest_result__is_confirmed_by_the_lone_seat(court: Court) -> None:
    """beh:E7 beh:D27 Nobody but the mediators does anything: audit, seats, votes, verdict."""
    for _ in range(3):
        court.mediator()
    case = court.submitted()
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    assert len(court.events("Revealed", case)) == 1
