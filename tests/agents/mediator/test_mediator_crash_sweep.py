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


class MediatorPoints(CrashPlan):
    """Counts the mediator's own points; outbox and cursor have sweeps of their own."""

    def point(self, name: str) -> None:
        if name.startswith("mediator."):
            super().point(name)


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
            (court.folder / "points").write_text("\n".join(crash.passed))
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


@pytest.mark.timeout(280)
def test_mediator__killed_at_every_point_between_draw_and_reveal__reveals_its_one_vote(court: Court) -> None:
    """flt:F34 flt:F28 beh:J2 Three seats of one account: each commits once, reveals what it committed to, and is paid."""
    mediator = court.mediator(start=False)

    def sit(number: int, deaths: tuple[int, ...]) -> int:
        case = court.submitted(f"life {number}")
        court.challenge(case)
        killed = sum(life(court, mediator, case, MediatorPoints(point)) == signals.SIGKILL for point in deaths)
        assert life(court, mediator, case, MediatorPoints(0)) == 0, f"killed at {deaths}: it did not get there"
        assert court.status(case) is Status.MEDIATION_ACCEPTED, f"killed at {deaths}"
        commits = court.events("Committed", case)
        assert sorted(event["seat"] for event in commits) == [0, 1, 2], f"killed at {deaths}"
        assert len(court.events("Revealed", case)) == 3, f"killed at {deaths}"
        return killed

    sit(0, ())
    points = (court.folder / "points").read_text().splitlines()
    expected = {
        "mediator.queue.before", "mediator.queue.queued", "mediator.draw.queued", "mediator.obtained",
        "mediator.run_started", "mediator.run_ended", "mediator.word_stored", "mediator.before_vote",
        "mediator.vote_stored", "mediator.commit.before", "mediator.commit.queued", "mediator.reveal.before",
        "mediator.reveal.queued", "mediator.execute.queued",
    }  # fmt: skip
    assert expected <= set(points)
    chosen = [1 + points.index(name) for name in sorted(expected)]
    assert sum(sit(point, (point,)) for point in chosen) >= len(chosen) - 1
    assert sit(99, (points.index("mediator.vote_stored") + 1, 1, 2, 1)) >= 3  # and several times in a row


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
