"""kill -9 at every named point of a deal: after a restart each deal has one result, is paid once, and nothing is lost."""

from __future__ import annotations

import os
import signal as signals
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.chain.crash import NEVER, CrashPlan
from lilypad_agents.protocol.deal import DealState
from lilypad_agents.protocol.ids import DealId, hex_of
from lilypad_agents.protocol.lifecycle import Status
from tests.agents.provider.harness import Stage
from tests.support.network import TOKEN


class ProviderPoints(CrashPlan):
    """Counts the provider's own points; outbox and cursor have sweeps of their own."""

    def point(self, name: str) -> None:
        if name.startswith("provider."):
            super().point(name)


def life(stage: Stage, deal_id: DealId, crash: CrashPlan, end: Status) -> int:
    """Wait status of a forked provider that serves until the deal has ended, or until it dies."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 3
    try:
        running = stage.start(crash=crash)
        core = running.context.core  # a connection of this process; the parent's must not be used here
        running.until(lambda: DealState.of(core.call("dealOf", deal_id)).status is end, 30)
        running.until(lambda: running.agent.actor.is_idle and deal_id not in running.agent.entries, 30)
        (stage.folder / "points").write_text("\n".join(crash.passed))
        running.close()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def accept_results(stage: Stage) -> None:
    """The creator accepts each result as soon as it is delivered."""
    leave = stage.relay.note

    def note(deal_id: bytes, kind: str, body: Any, sender: str) -> None:
        leave(deal_id, kind, body, sender)
        if kind == "result":
            threading.Thread(target=stage.accept, args=(deal_id,)).start()

    stage.relay.note = note  # type: ignore[method-assign]


def results_of(stage: Stage, deal_id: DealId) -> int:
    """How many results the chain has for a deal."""
    core = stage.network.contracts.core
    topics = ["0x" + core.abi.event("ResultSubmitted").topic.hex(), hex_of(deal_id)]
    query = {"address": core.address, "topics": topics, "fromBlock": "0x0"}
    return len(stage.network.rpc.request("eth_getLogs", query))


@pytest.mark.timeout(280)
def test_provider__killed_at_every_point_of_a_deal__one_result_and_paid_once(stage: Stage) -> None:
    """flt:F1 flt:F2 beh:J2 beh:J3 No second result, no lost deal, a run adopted or repeated; over every named point."""
    accept_results(stage)
    free = stage.network.free(stage.provider.address)

    def serve(number: int, deaths: tuple[int, ...]) -> int:
        nonlocal free
        deal_id, _ = stage.deal({"Message": f"life {number}"})
        killed = sum(life(stage, deal_id, ProviderPoints(point), Status.ACCEPTED) == signals.SIGKILL for point in deaths)
        assert life(stage, deal_id, ProviderPoints(0), Status.ACCEPTED) == 0, f"killed at {deaths}: it did not get there"
        free += TOKEN
        assert stage.network.free(stage.provider.address) == free, f"killed at {deaths}"
        assert results_of(stage, deal_id) == 1, f"killed at {deaths}"
        return killed

    serve(0, ())
    points = (stage.folder / "points").read_text().splitlines()
    expected = {
        "provider.obtained", "provider.run_started", "provider.run_ended", "provider.result_made",
        "provider.result_pinned", "provider.result_stored", "provider.run_forgotten", "provider.submit.before",
        "provider.submit.queued", "provider.before_delivery", "provider.delivered", "provider.settle.before",
        "provider.settle.queued",
    }  # fmt: skip
    assert expected <= set(points)
    swept = sum(serve(point, (point,)) for point in range(1, len(points) + 1))
    assert swept >= len(points) - 1
    assert serve(len(points) + 1, (1, 2, 3, 2)) >= 3  # and several times in a row


def test_provider__killed_while_a_job_runs__no_process_is_left_and_the_run_is_repeated(stage: Stage) -> None:
    """flt:F2 beh:J2 The job dies with the agent's fork server, and one result is posted."""
    accept_results(stage)
    module = stage.module("primes")
    inputs = stage.inputs(module, {"Limit": 400_000_000})
    deal_id, _ = stage.open(stage.pair(module, inputs, {"submit_window": 600}))[0]
    child = os.fork()
    if not child:
        try:
            stage.start().until(lambda: False, 60)
        finally:
            os._exit(3)
    process = stage.folder / "provider" / "work" / "jobs" / deal_id.hex() / "process"
    assert _appears(process)
    os.kill(child, signals.SIGKILL)
    os.waitpid(child, 0)
    assert stage.status(deal_id) is Status.AGREED
    assert life(stage, deal_id, NEVER, Status.ACCEPTED) == 0
    assert results_of(stage, deal_id) == 1


def _appears(path: Path, seconds: float = 20.0) -> bool:
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and path.read_bytes():
            return True
        time.sleep(0.02)
    return False
