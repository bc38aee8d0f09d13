"""A pool's queue after bad days: rounds that nobody wants any more, and events that a node kept back."""

from __future__ import annotations

import pytest

from lilypad_agents.protocol.lifecycle import Status
from tests.agents.mediator.court import Court
from tests.support.faultproxy import FaultProxy


def test_queue__of_many_rounds_that_nobody_wants__is_drawn_empty_without_growing_pauses(court: Court) -> None:
    """beh:E7 flt:F38 Its seats count as open until somebody applies that, and each ticket is a matter of its own.

    A soak found that nobody did, and that each success made the pause before the next ticket longer: the pool was dead.
    """
    mediator = court.mediator(start=False)
    cases = [court.submitted("late") for _ in range(10)]
    for case in cases:
        court.challenge(case)
        court.network.send(0, "LilypadMediation", "queue", case.deal.words, court.pool, court.no_seating)
    court.pass_time(700)  # beyond the limit of mediation: nobody was there
    court.start(mediator)
    court.until(lambda: len(court.pool_events("RoundCancelled")) == 10)
    began = court.network.now()
    after = court.submitted("after all that")
    court.challenge(after)
    court.finish(after)
    assert {court.status(case) for case in cases} == {Status.NO_FAULT}
    assert court.status(after) is Status.MEDIATION_ACCEPTED
    assert court.network.now() - began < 120


@pytest.mark.parametrize("every", [4, 10_000])
def test_draw__that_a_node_kept_back__is_asked_for_again(court: Court, every: int) -> None:
    """flt:F12 Every few blocks; and at once where the chain's queue has passed a round that seems to wait."""
    with FaultProxy(court.network.rpc.config.urls[0]) as proxy:
        mediator = court.mediator(start=False)
        life = court.start(mediator, rpc=(proxy.url,), reconcile_blocks=every, keeper=False)
        case = court.submitted("hidden draw")
        court.challenge(case)
        court.network.send(0, "LilypadMediation", "queue", case.deal.words, court.pool, court.no_seating)
        court.until(lambda: life.agent._front(court.pool.id) is not None)
        proxy.hide_logs = True
        while not court.draw(case):
            court.pass_time(1)
        for _ in range(3):
            court.mine()
            court.turn()
        assert life.agent._front(court.pool.id) is not None, "the draw is hidden"
        proxy.hide_logs = False
        court.until(lambda: life.agent._front(court.pool.id) is None)
        assert mediator.lines.named("events_missed")
        assert not life.agent.panels.pools[court.pool.id].queue.waiting
