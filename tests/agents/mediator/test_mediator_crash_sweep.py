"""kill -9 at every named point between draw and reveal: the vote is the same, committed once, and revealed in time."""

from __future__ import annotations

import os
import signal as signals
import time
import traceback

import pytest

from lilypad_agents.chain.crash import CrashPlan
from lilypad_agents.chain.database import Database
from lilypad_agents.protocol.lifecycle import Status
from tests.agents.mediator.court import Case, Court, Mediator


POINTS = (
    "mediator.queue.before", "mediator.queue.queued", "mediator.draw.before", "mediator.draw.queued", "mediator.obtained",
    "mediator.run_started", "mediator.run_ended", "mediator.word_stored", "mediator.before_vote", "mediator.vote_stored",
    "mediator.commit.before", "mediator.commit.queued", "mediator.reveal.before", "mediator.reveal.queued",
    "mediator.execute.before", "mediator.execute.queued",
)  # fmt: skip


def life(court: Court, mediator: Mediator, case: Case, crash: CrashPlan) -> int:
    """Wait status of a forked mediator that works until the deal has ended, or until it dies; the provider answers here."""
    child = os.fork()
    if not child:
        status = 3
        try:
            running = court.start(mediator, crash=crash)
            end = time.monotonic() + 40
            while running.context.deals.get(case.id) is None or running.context.deals.get(case.id).is_open:
                if time.monotonic() > end:
                    raise TimeoutError(mediator.lines.seen[-8:])
                running.loop.cycle()
                time.sleep(0.02)
            running.close()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        court.answer(case)
        court.mine()
        time.sleep(0.1)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("points", [POINTS[:7], POINTS[7:]], ids=["until the run", "until the verdict"])
def test_mediator__killed_at_every_point__reveals_its_one_vote(slow_court: Court, points: tuple[str, ...]) -> None:
    """flt:F34 flt:F28 beh:J2 One dispute, one death at each point: each seat commits once, reveals that, and is paid."""
    court = slow_court
    mediator = court.mediator(start=False)
    case = court.submitted("many lives")
    court.challenge(case)
    for point in points:
        assert life(court, mediator, case, CrashPlan(1, only=point)) == signals.SIGKILL, f"it did not come to {point}"
    if not court.ended(case):  # the last death came after its transaction was signed, or before
        assert life(court, mediator, case, CrashPlan(0)) == 0
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    assert sorted(event["seat"] for event in court.events("Committed", case)) == [0, 1, 2]
    assert [vote["vote"] for vote in court.events("Revealed", case)] == [case.opened.digest] * 3


@pytest.mark.parametrize("lost", ["database", "vote"])
def test_database__lost_between_commit_and_reveal__the_vote_is_found_again(court: Court, lost: str) -> None:
    """flt:F28 The salt follows from key and vote, so the commitment on chain says which vote it was."""
    mediator = court.mediator()
    case = court.submitted(f"lost {lost}")
    court.challenge(case)
    court.until(lambda: len(court.events("Committed", case)) == 3)
    court.end(mediator)
    path = mediator.folder / "agent.sqlite"
    if lost == "database":
        for file in mediator.folder.glob("agent.sqlite*"):
            file.unlink()
    else:  # as one restored from yesterday, that decided otherwise since
        database = Database.open(path)
        with database.transaction() as sql:
            sql.execute("UPDATE mediator_vote SET vote = ?", ((1).to_bytes(32, "big"),))
        database.close()
    court.start(mediator)
    court.finish(case)
    assert [vote["vote"] for vote in court.events("Revealed", case)] == [case.opened.digest] * 3
    assert len(mediator.lines.named("vote_recovered")) == 1
    assert court.status(case) is Status.MEDIATION_ACCEPTED
