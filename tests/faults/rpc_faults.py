"""F6 to F14 and F24 to F26: what a node, or what stands before it, may do."""

from __future__ import annotations

import os
import re
import signal as signals
import sqlite3
from collections.abc import Callable
from typing import Any

from lilypad_agents.chain.anvil import Anvil, AnvilConfig
from lilypad_agents.chain.outbox import OutboxConfig
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from lilypad_agents.protocol.ids import keccak256
from lilypad_agents.protocol.lifecycle import Status
from tests.faults.places import AGENTS, ALL, LATE
from tests.faults.run import BACK_S, Run, fault
from tests.faults.scene import Scene
from tests.support.faultproxy import FaultProxy

NOTICE_S = 30.0  # two calls of ten seconds, and what a cycle takes


def outage(run: Run, scene: Scene, begin: Callable[[], Any], end: Callable[[], Any], seconds: float = 0.0) -> None:
    """A fault for which the agent is not ready, and after which it is again within two blocks."""
    run.forgive_seats()
    run.inject(begin)
    run.notice(lambda: scene.troubled("chain" if run.role != "creator" else ""), NOTICE_S, "it stayed ready")
    run.outlast()
    scene.rest(seconds - (run.noticed or 0))
    run.mend(end)
    run.recover(scene.ready, BACK_S)
    scene.finish(90)


def pooled(run: Run, scene: Scene) -> Scene:
    """A deal in its state, and an agent with two endpoints, of which the proxy is the first."""
    scene.changes["rpc"] = (scene.proxy.url, scene.network.chain.url)
    scene.start()
    scene.reach(run.state)
    return scene


@fault("F6", ALL, LATE)
def refuses_connections(run: Run) -> None:
    scene = run.begin()
    if run.role == "provider" and run.late:
        scene.endings |= {Status.TIMED_OUT}  # a minute is longer than the reveal window
    outage(run, scene, scene.proxy.stop, scene.proxy.start, 60.0)
    failures = len(scene.agent.log("cycle_failed"))
    run.expect(failures <= 40, f"{failures} failed cycles in a minute: no backoff")


@fault("F7", ALL)
def accepts_and_hangs(run: Run) -> None:
    """The chain stops in the middle; and an endpoint that hangs beside one that does not."""
    scene = run.begin()
    run.forgive_seats()
    run.inject(lambda: os.kill(scene.network.chain.pid, signals.SIGSTOP))
    try:
        quiet = lambda: scene.troubled("chain" if run.role != "creator" else "")  # noqa: E731
        run.notice(quiet, NOTICE_S, "it stayed ready", play=False)
    finally:
        run.mend(lambda: os.kill(scene.network.chain.pid, signals.SIGCONT))
    calls = 2 if run.role == "creator" else 1  # a command gives up at the second
    run.expect((run.noticed or 0) <= 11 * calls, f"a call and its retries took {run.noticed} s")
    run.recover(scene.ready, BACK_S)
    with FaultProxy(scene.network.chain.url) as second:
        second.mode = "hang"
        scene.agent.kill()
        scene.changes["rpc"] = (second.url, scene.network.chain.url)
        scene.start()
        scene.finish(90)
        run.expect(scene.agent.alive or scene.agent.code == 0, "it did not fail over")


@fault("F8", AGENTS)
def answers_slowly(run: Run) -> None:
    scene = run.begin()
    run.forgive_seats()
    scene.proxy.delay_s = run.rng.uniform(2.0, 5.0)
    before = sum(scene.proxy.requests.values())
    run.inject(lambda: setattr(scene.proxy, "mode", "slow"))
    run.notice(lambda: scene.proxy.most_in_flight, 10, "nothing was asked")
    scene.proxy.most_in_flight = 0
    scene.rest(15)
    most, asked = scene.proxy.most_in_flight, sum(scene.proxy.requests.values()) - before
    run.expect(most <= 4, f"{most} calls in flight at once")
    run.notes.append(f"delay {scene.proxy.delay_s:.1f} s, {most} in flight at most, {asked} calls in 15 s")
    run.mend(lambda: setattr(scene.proxy, "mode", "pass"))
    run.recover(scene.ready, 10)
    scene.finish(90)


@fault("F9", ALL, LATE)
def refuses_with_a_status(run: Run) -> None:
    scene = run.begin()
    run.forgive_seats()
    limited = run.rng.random() < 0.5
    scene.proxy.status, scene.proxy.retry_after = (429, "4") if limited else (500, None)

    def begin() -> None:
        scene.proxy.times.clear()
        scene.proxy.mode = "status"

    run.inject(begin)
    run.notice(lambda: scene.troubled("chain" if run.role != "creator" else ""), NOTICE_S, "it stayed ready")
    asked = list(scene.proxy.times)
    gaps = [later - earlier for earlier, later in zip(asked, asked[1:])]
    run.expect(len(asked) <= 40, f"{len(asked)} requests in {run.noticed:.0f} s: a storm")
    if limited and run.role not in ("creator", "solver"):  # these ask from several threads
        run.expect(not gaps or max(gaps) >= 3.9, f"asked again after {gaps}, told 4 s")
    run.outlast()
    run.mend(lambda: setattr(scene.proxy, "mode", "pass"))
    run.notes.append(f"HTTP {scene.proxy.status}, {len(asked)} requests in {run.noticed:.0f} s")
    run.recover(scene.ready, BACK_S + (5 if limited else 0))
    scene.finish(90)


@fault("F10", ALL, LATE)
def answers_with_nonsense(run: Run) -> None:
    """It counts against that node: while there is another one, nothing is lost."""
    scene = pooled(run, run.make())
    mode = run.rng.choice(("html", "truncated"))
    run.inject(lambda: setattr(scene.proxy, "mode", mode))
    started = scene.agent.pid
    run.outlast()
    failed = lambda: run.told("rpc_endpoint_failed") or run.role == "creator"  # noqa: E731
    run.notice(failed, 20, "no failure of the node was told")
    scene.finish(90)
    run.expect(scene.agent.pid == started, "it crashed")
    run.mend(lambda: setattr(scene.proxy, "mode", "pass"))
    run.recover(scene.ready, BACK_S)
    run.notes.append(mode)


@fault("F11", AGENTS)
def lags(run: Run) -> None:
    scene = run.make()
    scene.mine(60)
    pooled(run, scene)
    run.inject(lambda: setattr(scene.proxy, "lag_blocks", 25))
    run.notice(lambda: run.told("rpc_endpoint_lags"), 30, "it was kept in the pool")
    head = lambda: _metric(scene, "lilypad_head_block")  # noqa: E731
    scene.until(lambda: head() >= scene.head() - 3, 20, "it follows an old head")
    scene.finish(90)
    run.mend(lambda: setattr(scene.proxy, "lag_blocks", 0))
    run.recover(scene.ready, BACK_S)


def _metric(scene: Scene, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", (scene.agent.get("/metrics") or b"").decode(), re.M)
    return float(found[1]) if found else 0.0


@fault("F12", AGENTS)
def nodes_disagree(run: Run) -> None:
    """Another chain of the same id behind the pool; what it says of blocks is neither followed nor acted on."""
    scene = run.make()
    other = Anvil(scene.network.chain.binary, AnvilConfig(chain_id=scene.network.book.chain_id, extra=("--timestamp", "1700000000")))
    other.start()
    try:
        scene.mine(30)
        client = Rpc(RpcConfig((other.url,), scene.network.book.chain_id))
        client.request("anvil_mine", hex(scene.head()))
        client.close()
        scene.changes["rpc"] = (scene.proxy.url, other.url)
        run.inject(lambda: None)
        scene.start()
        run.notice(lambda: scene.agent.log("rpc_endpoints_disagree"), 30, "no alert")
        scene.reach(run.state)
        run.end()
    finally:
        other.stop()


@fault("F13", ALL)
def fails_over_to_another_chain(run: Run) -> None:
    scene = run.begin()

    def begin() -> None:
        scene.proxy.raw_transactions.clear()
        scene.proxy.chain_id = 5
        scene.proxy.stop()  # the next connection is a new one
        scene.proxy.start()

    run.forgive_seats()
    run.inject(begin)
    run.notice(lambda: scene.troubled("chain" if run.role != "creator" else ""), NOTICE_S, "it stayed ready")
    scene.proxy.raw_transactions.clear()
    scene.release()
    scene.rest(4)
    told = str(scene.agent.log("cycle_failed")[-1:]) + str(scene.agent.ended())
    run.expect("1337" in told and re.search(r"\b5\b", told), f"it does not name both ids: {told[:300]}")
    run.expect(not scene.proxy.raw_transactions, "it sent a transaction")
    run.mend(lambda: setattr(scene.proxy, "chain_id", None))
    run.recover(scene.ready, 2 * BACK_S)  # a chain is asked for its id again after a pause of its own
    scene.finish(90)


@fault("F14", AGENTS)
def answer_to_a_transaction_is_lost(run: Run) -> None:
    scene = run.make()
    scene.proxy.lose_methods, scene.proxy.lose_count = frozenset({"eth_sendRawTransaction"}), 3
    scene.start()
    run.inject(lambda: None)
    scene.reach(run.state)
    run.notice(lambda: scene.proxy.lose_count < 3 or scene.release(), 60, "nothing was sent")
    run.end()
    sent_are_stored(run, scene)


def sent_are_stored(run: Run, scene: Scene) -> None:
    """Every transaction that left is in the outbox, byte by byte; what has long been final may be forgotten there."""
    sent = set(scene.proxy.raw_transactions)
    database = sqlite3.connect(f"file:{scene.agent.data / 'agent.sqlite'}?mode=ro", uri=True)
    try:
        stored = {"0x" + bytes(raw).hex() for (raw,) in database.execute("SELECT raw FROM outbox_attempt")}
    finally:
        database.close()
    strange = [told for raw in sent if raw not in stored and (told := _why_not_forgotten(scene, raw))]
    run.expect(not strange, f"{len(strange)} transactions were sent that are not stored: {strange}")


def _why_not_forgotten(scene: Scene, raw: str) -> str:
    """Why the outbox should know a transaction still; "" where it is final and may be forgotten."""
    hash_ = "0x" + keccak256(bytes.fromhex(raw[2:])).hex()
    receipt = scene.network.rpc.request("eth_getTransactionReceipt", hash_)
    if receipt is None:
        return f"{hash_} is not mined"
    depth = scene.head() - int(receipt["blockNumber"], 16)
    if depth >= OutboxConfig().finality_blocks:
        return ""
    return f"{hash_} lies {depth} blocks deep, status {receipt['status']}"


@fault("F24", {"provider": ("agreed",), "mediator": ("challenged",), "keeper": ("challenged",), "solver": ("opened",)})
def event_is_never_delivered(run: Run) -> None:
    """The first event of the deal is swallowed, once; all others come."""
    blocks = 16
    scene = run.make(changes={"reconcile_blocks": blocks})
    scene.start()
    swallowed: list[str] = []

    def swallow(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "eth_getLogs" and answer.get("result") and not swallowed:
            swallowed.append(str(answer["result"][-1]["transactionHash"]))
            answer["result"] = [log for log in answer["result"] if log["transactionHash"] != swallowed[0]]
        return answer

    first = scene.head()
    run.inject(lambda: setattr(scene.proxy, "rewrite", swallow))
    scene.reach(run.state)
    scene.until(lambda: swallowed, 30, "no event was asked for")
    scene.release()
    run.notice(lambda: run.told("events_missed") or scene.mine(), 60, "the periodic comparison did not find it")
    run.notes.append(f"found within {scene.head() - first} blocks, stated are {2 * blocks}")
    run.end()


@fault("F25", AGENTS, LATE)
def events_are_repeated(run: Run) -> None:
    scene = run.make()
    scene.proxy.repeat_logs = True
    scene.start()
    run.inject(lambda: None)
    scene.reach(run.state)
    run.outlast()
    run.end()


@fault("F26", AGENTS)
def log_query_is_too_wide(run: Run) -> None:
    scene = run.make()
    scene.mine(300)
    scene.proxy.max_log_range = run.rng.choice((10, 40, 100))
    run.inject(lambda: None)
    scene.start()
    run.notice(lambda: scene.agent.log("log_range_halved"), 20, "the range was not halved")
    asked = scene.proxy.requests["eth_getLogs"]
    run.expect(asked <= 120, f"{asked} log queries for 300 blocks")
    scene.reach(run.state)
    run.end()
    run.notes.append(f"at most {scene.proxy.max_log_range} blocks a query, {asked} queries at the start")


