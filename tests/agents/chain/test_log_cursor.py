"""The log cursor against a real chain: every event once, whatever the node and the chain do."""

from __future__ import annotations

import os
import signal as signals
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.chain.anvil import Anvil
from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.crash import CrashPlan
from lilypad_agents.chain.database import Database
from lilypad_agents.chain.errors import ChainReset, RpcError
from lilypad_agents.chain.logs import Advance, CursorConfig, EventSource, LogCursor
from lilypad_agents.chain.rpc import Rpc, RpcConfig
from tests.support.chain import CHAIN, Events, mine
from tests.support.emitter import EMITTER_ABI
from tests.support.faultproxy import FaultProxy

OpenCursor = Callable[..., LogCursor]


@pytest.fixture
def open_cursor(tmp_path: Path, rpc: Rpc, emitter: Contract, events: Events) -> OpenCursor:
    """Opens the cursor on the emitter's events; again after a "restart" when called twice."""

    def open_(
        *,
        rpc: Rpc = rpc,
        path: str = "cursor.sqlite",
        start_block: int = 0,
        crash: Any = None,
        names: Any = None,
        **limits: Any,
    ) -> LogCursor:
        options = {} if crash is None else {"crash": crash}
        source = EventSource(emitter.address.lower(), EMITTER_ABI, names)
        database = Database.open(tmp_path / path)
        return LogCursor(
            database, rpc, [source], start_block=start_block, config=CursorConfig(**limits), notify=events, **options
        )

    return open_


def mark(emitter: Contract, *values: int) -> None:
    """Emits Marked(value, value), one block each; comes back when they are mined, which sending alone does not wait for."""
    sender = emitter.rpc.request("eth_accounts")[7]
    for value in values:
        data = emitter.encode("mark", value.to_bytes(32, "big"), value)
        transaction = {"from": sender, "to": emitter.address, "data": "0x" + data.hex(), "gas": "0x186a0"}
        sent = emitter.rpc.request("eth_sendTransaction", transaction)
        deadline = time.monotonic() + 10
        while emitter.rpc.request("eth_getTransactionReceipt", sent) is None:
            assert time.monotonic() < deadline, "not mined"
            time.sleep(0.002)


def to_the_head(cursor: LogCursor) -> list[Advance]:
    steps = [cursor.advance()]
    while not steps[-1].caught_up:
        steps.append(cursor.advance())
        assert len(steps) < 200
    return steps


def values(events: Any) -> list[int]:
    return [event.args["value"] for event in events if event.name == "Marked"]


def test_advance__events_before_and_after__each_once_in_order(emitter: Contract, open_cursor: OpenCursor) -> None:
    """beh:J3 Back-filled from a stored cursor, also after a restart."""
    mark(emitter, 1, 2, 3)
    cursor = open_cursor()
    (step,) = to_the_head(cursor)
    assert values(step.new_logs) == [1, 2, 3] and step.caught_up
    assert not cursor.advance().new_logs
    mark(emitter, 4)
    assert values(cursor.advance().new_logs) == [4]
    mark(emitter, 5, 6)
    again = open_cursor()
    assert values(again.advance().new_logs) == [5, 6]
    assert values(again.events()) == [1, 2, 3, 4, 5, 6]
    assert values(again.events("Marked", topic1=(4).to_bytes(32, "big"))) == [4]
    assert [event.args["value"] for _, event in again.events_after(0, limit=2)] == [1, 2]


def test_advance__event_fields__are_decoded_and_placed(emitter: Contract, open_cursor: OpenCursor) -> None:
    mark(emitter, 9)
    (event,) = open_cursor().advance().new_logs
    block = read_moment(emitter.rpc)
    assert event.name == "Marked" and event.args == {"id": (9).to_bytes(32, "big"), "value": 9}
    assert event.address == emitter.address and event.block_hash == block.hash and event.block_number == block.number


def test_advance__nothing_new__is_one_request(emitter: Contract, proxy: FaultProxy, open_cursor: OpenCursor) -> None:
    client = Rpc(RpcConfig((proxy.url,), CHAIN, chain_check_s=3600))
    cursor = open_cursor(rpc=client)
    to_the_head(cursor)
    before = len(proxy.times)
    cursor.advance()
    assert len(proxy.times) == before + 1


def test_advance__blocks_keep_coming__look_and_logs_in_one_request(
    emitter: Contract, proxy: FaultProxy, open_cursor: OpenCursor
) -> None:
    client = Rpc(RpcConfig((proxy.url,), CHAIN, chain_check_s=3600))
    cursor = open_cursor(rpc=client)
    to_the_head(cursor)
    mark(emitter, 1)
    assert values(cursor.advance().new_logs) == [1]
    for value in (2, 3):
        mark(emitter, value)
        before = len(proxy.times)
        step = cursor.advance()
        assert values(step.new_logs) == [value] and step.caught_up and len(proxy.times) == before + 1


def test_advance__head_that_another_cursor_saw__asks_only_for_what_is_new(
    emitter: Contract, proxy: FaultProxy, open_cursor: OpenCursor
) -> None:
    client = Rpc(RpcConfig((proxy.url,), CHAIN, chain_check_s=3600))
    leading, following = open_cursor(), open_cursor(rpc=client, path="following.sqlite")
    head = leading.advance().head
    assert following.advance(head).caught_up
    mark(emitter, 1, 2)
    head, before = leading.advance().head, len(proxy.times)
    step = following.advance(head)
    assert values(step.new_logs) == [1, 2] and step.caught_up and len(proxy.times) == before + 1
    assert following.advance(head).caught_up and len(proxy.times) == before + 1


def test_advance__reorganised_below_a_follower__removes_what_is_gone(emitter: Contract, open_cursor: OpenCursor) -> None:
    leading, following = open_cursor(), open_cursor(path="following.sqlite")
    to_the_head(following)
    to_the_head(leading)
    snapshot = emitter.rpc.request("evm_snapshot")
    mark(emitter, 1)
    assert values(following.advance(leading.advance().head).new_logs) == [1]
    emitter.rpc.request("evm_revert", snapshot)
    mark(emitter, 2, 3)
    step = following.advance(leading.advance().head)
    assert step.reorganisation is not None
    assert values(step.removed_logs) == [1] and values(step.new_logs) == [2, 3] and values(following.events()) == [2, 3]


def test_advance__confirmations__leaves_the_newest_blocks_alone(emitter: Contract, open_cursor: OpenCursor) -> None:
    """flt:F12 Acts only on what the depth confirms."""
    mark(emitter, 1, 2, 3)
    cursor = open_cursor(confirmations=2)
    assert values(cursor.advance().new_logs) == [1]
    mine(emitter.rpc, 1)
    assert values(cursor.advance().new_logs) == [2]


def test_advance__only_some_events_wanted__others_are_not_read(emitter: Contract, open_cursor: OpenCursor) -> None:
    mark(emitter, 1)
    assert not open_cursor(names=("Taken",)).advance().new_logs


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_advance__reorganisation__removes_and_reads_anew(
    emitter: Contract, open_cursor: OpenCursor, depth: int, events: Events
) -> None:
    """flt:F15 Walks back to the common block, deletes what came after, and reports it."""
    mine(emitter.rpc, 3)
    mark(emitter, *range(1, 9))
    cursor = open_cursor()
    to_the_head(cursor)
    emitter.rpc.request("anvil_reorg", depth, [])
    mark(emitter, 100)
    steps = to_the_head(cursor)
    kept = list(range(1, 9 - depth))
    assert values(steps[0].removed_logs) == list(range(9 - depth, 9))
    assert steps[0].reorganisation is not None and steps[0].reorganisation.replaced
    assert values(cursor.events()) == [*kept, 100]
    assert events.named("chain_reorganised")


def test_advance__reorganisation_while_away__noticed_after_the_restart(
    emitter: Contract, open_cursor: OpenCursor
) -> None:
    """flt:F15 beh:J3"""
    mine(emitter.rpc, 3)
    mark(emitter, 1, 2, 3)
    to_the_head(open_cursor())
    emitter.rpc.request("anvil_reorg", 2, [])
    mark(emitter, 7, 8, 9)
    step = open_cursor().advance()
    assert values(step.removed_logs) == [2, 3]
    assert values(open_cursor().events()) == [1, 7, 8, 9]


def test_advance__reorganisation_deeper_than_the_confirmations__alerts(
    emitter: Contract, open_cursor: OpenCursor, events: Events
) -> None:
    """flt:F17 Loud alert, state rebuilt (snapshot and revert)."""
    mine(emitter.rpc, 2)
    snapshot = emitter.rpc.request("evm_snapshot")
    mark(emitter, 1, 2, 3, 4, 5, 6)
    cursor = open_cursor(confirmations=1)
    to_the_head(cursor)
    assert values(cursor.events()) == [1, 2, 3, 4, 5]
    emitter.rpc.request("evm_revert", snapshot)
    mark(emitter, 21, 22, 23, 24, 25, 26, 27)
    to_the_head(cursor)
    assert values(cursor.events()) == [21, 22, 23, 24, 25, 26]
    assert ("chain_reorganised", True) in [(name, alert) for name, alert, _ in events.seen]


def test_advance__chain_goes_back_without_new_blocks__forgets_what_is_gone(
    emitter: Contract, open_cursor: OpenCursor
) -> None:
    """flt:F17 The head lies below the cursor."""
    mark(emitter, 1)
    snapshot = emitter.rpc.request("evm_snapshot")
    mark(emitter, 2, 3)
    cursor = open_cursor()
    to_the_head(cursor)
    emitter.rpc.request("evm_revert", snapshot)
    step = cursor.advance()
    assert values(step.removed_logs) == [2, 3] and values(cursor.events()) == [1]
    assert step.reorganisation is not None and not step.reorganisation.replaced


def test_advance__all_checkpoints_gone__rebuilds_from_the_start(emitter: Contract, open_cursor: OpenCursor) -> None:
    """flt:F17 Deeper than everything that is remembered."""
    snapshot = emitter.rpc.request("evm_snapshot")
    mark(emitter, *range(1, 30))
    cursor = open_cursor(keep_checkpoints=4)
    to_the_head(cursor)
    emitter.rpc.request("evm_revert", snapshot)
    mark(emitter, *range(101, 140))
    to_the_head(cursor)
    assert values(cursor.events()) == list(range(101, 140))


def test_advance__chain_started_anew__stops_and_says_how_to_start_clean(
    chain: Anvil, emitter: Contract, open_cursor: OpenCursor
) -> None:
    """flt:F40 Another genesis under the same chain id; stored events are left as they are."""
    mark(emitter, 1, 2)
    cursor = open_cursor()
    to_the_head(cursor)
    chain.stop()
    time.sleep(1.1)  # anvil's first block carries the second of its start
    chain.start()
    for candidate in (cursor, open_cursor()):
        with pytest.raises(ChainReset, match="started anew") as caught:
            candidate.advance()
        assert "Start clean" in caught.value.way_out
        assert values(candidate.events()) == [1, 2]


def test_advance__chain_restored_from_an_old_state_file__follows_it(
    start_anvil: Callable[..., Anvil], tmp_path: Path, events: Events
) -> None:
    """flt:F40 Killed and started from its last dump: same genesis, the head has gone back."""
    chain = start_anvil(state_file=tmp_path / "state.json", state_interval_s=3600)
    rpc = Rpc(RpcConfig((chain.url,), CHAIN))
    mine(rpc, 5)
    chain.stop()
    chain.start()
    source = EventSource("0x" + "11" * 20, EMITTER_ABI)
    cursor = LogCursor(Database.open(tmp_path / "c.sqlite"), rpc, [source], notify=events)
    mine(rpc, 7)
    assert cursor.advance().cursor == 12
    chain.kill()
    chain.start()
    assert cursor.advance().cursor == 5
    mine(rpc, 2)
    assert cursor.advance().cursor == 7


@pytest.mark.parametrize("most", [1, 3, 10])
def test_advance__range_too_wide_for_the_node__halves_then_grows(
    emitter: Contract, proxy: FaultProxy, open_cursor: OpenCursor, most: int, events: Events
) -> None:
    """flt:F26"""
    mark(emitter, *range(1, 6))
    mine(emitter.rpc, 60)
    mark(emitter, 6, 7)
    proxy.max_log_range = most
    client = Rpc(RpcConfig((proxy.url,), CHAIN))
    cursor = open_cursor(rpc=client, first_span=64)
    to_the_head(cursor)
    assert values(cursor.events()) == [1, 2, 3, 4, 5, 6, 7]
    assert events.named("log_range_halved")
    proxy.max_log_range = None
    mine(emitter.rpc, 60)
    before = cursor._span
    to_the_head(cursor)
    assert before < cursor._span < 64


def test_advance__node_refuses_even_one_block__raises(
    emitter: Contract, proxy: FaultProxy, open_cursor: OpenCursor
) -> None:
    """flt:F26 Nothing retries for ever."""
    proxy.max_log_range = 0
    with pytest.raises(RpcError, match="max block range"):
        open_cursor(rpc=Rpc(RpcConfig((proxy.url,), CHAIN)), first_span=4).advance()


def test_advance__events_repeated_and_out_of_order__stored_once_in_order(
    emitter: Contract, proxy: FaultProxy, open_cursor: OpenCursor
) -> None:
    """flt:F25"""
    mark(emitter, 1, 2, 3)
    proxy.repeat_logs = True
    cursor = open_cursor(rpc=Rpc(RpcConfig((proxy.url,), CHAIN)))
    (step,) = to_the_head(cursor)
    assert values(step.new_logs) == [1, 2, 3] == values(cursor.events())


def test_rescan__event_was_not_delivered__is_found_later(
    emitter: Contract, proxy: FaultProxy, open_cursor: OpenCursor
) -> None:
    """flt:F24 (the log side of the reconcile)"""
    mark(emitter, 1, 2)
    proxy.hide_logs = True
    cursor = open_cursor(rpc=Rpc(RpcConfig((proxy.url,), CHAIN)))
    assert not to_the_head(cursor)[0].new_logs
    proxy.hide_logs = False
    assert values(cursor.rescan(10)) == [1, 2] == values(cursor.events())
    assert not cursor.rescan(10)
    cursor.rescan(10_000)
    assert values(cursor.events()) == [1, 2]


def test_rescan__long_range__is_asked_for_in_pieces(emitter: Contract, proxy: FaultProxy, open_cursor: OpenCursor) -> None:
    """flt:F24 A busy chain's whole range at once would stay in an agent's memory."""
    mark(emitter, *range(70))
    proxy.hide_logs = True
    cursor = open_cursor(rpc=Rpc(RpcConfig((proxy.url,), CHAIN)))
    to_the_head(cursor)
    proxy.hide_logs, proxy.max_log_range = False, 32
    assert values(cursor.rescan(100)) == list(range(70)) == values(cursor.events())


def test_rescan__chain_is_replaced_between_two_pieces__stores_no_more(
    emitter: Contract, rpc: Rpc, proxy: FaultProxy, open_cursor: OpenCursor
) -> None:
    """flt:F12 flt:F24"""
    mark(emitter, *range(70))
    proxy.hide_logs = True
    cursor = open_cursor(rpc=Rpc(RpcConfig((proxy.url,), CHAIN)))
    to_the_head(cursor)
    place, pieces = read_moment(rpc).number, [0]

    def rewrite(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        pieces[0] += request["method"] == "eth_getLogs"
        if pieces[0] > 1 and request["method"] == "eth_getBlockByNumber" and request["params"][0] == hex(place):
            return {**answer, "result": {**answer["result"], "hash": "0x" + "ab" * 32}}
        return answer

    proxy.hide_logs, proxy.rewrite = False, rewrite
    found = values(cursor.rescan(64))
    assert found and found == values(cursor.events()) and len(found) <= 32 and pieces[0] == 2


def test_advance__logs_of_another_fork_mixed_in__nothing_is_stored(
    emitter: Contract, proxy: FaultProxy, open_cursor: OpenCursor
) -> None:
    """flt:F12 A pool whose nodes disagree within one answer."""
    mark(emitter, 1, 2)
    mixed = [True]

    def rewrite(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "eth_getLogs" and mixed[0]:
            answer["result"][-1]["blockHash"] = "0x" + "ab" * 32
        return answer

    proxy.rewrite = rewrite
    cursor = open_cursor(rpc=Rpc(RpcConfig((proxy.url,), CHAIN)))
    assert not cursor.advance().caught_up
    assert not list(cursor.events())
    with pytest.raises(RpcError, match="contradicts itself"):
        for _ in range(10):
            cursor.advance()
    mixed[0] = False
    to_the_head(cursor)
    assert values(cursor.events()) == [1, 2]


def test_advance__contracts_or_start_changed__reads_anew(emitter: Contract, open_cursor: OpenCursor) -> None:
    mark(emitter, 1, 2)
    to_the_head(open_cursor(names=("Taken",)))
    cursor = open_cursor()
    to_the_head(cursor)
    assert values(cursor.events()) == [1, 2]


def test_prune__old_events__are_forgotten_and_not_read_again(emitter: Contract, open_cursor: OpenCursor) -> None:
    mark(emitter, 1, 2, 3)
    cursor = open_cursor()
    to_the_head(cursor)
    last = [event.block_number for event in cursor.events()][-1]
    assert cursor.prune(last) == 2
    mark(emitter, 4)
    to_the_head(cursor)
    assert values(cursor.events()) == [3, 4]


def test_advance__killed_at_every_point__each_event_once(emitter: Contract, open_cursor: OpenCursor) -> None:
    """flt:F1 beh:J3 kill -9 before and after each commit, a reorganisation included."""
    mine(emitter.rpc, 2)
    mark(emitter, *range(1, 7))
    url = emitter.rpc.config.urls[0]

    def run_until_killed(number: int) -> int:
        """Status of a child that advances to the head with a crash planned; 0 when it survived."""
        child = os.fork()
        if child == 0:
            try:
                client = Rpc(RpcConfig((url,), CHAIN))
                to_the_head(open_cursor(rpc=client, first_span=2, crash=CrashPlan(number)))
                os._exit(0)
            except BaseException:
                os._exit(3)
        return os.waitpid(child, 0)[1]

    killed = 0
    for number in (1, 2, 3, 4, 5, 6):
        killed += run_until_killed(number) == signals.SIGKILL
    emitter.rpc.request("anvil_reorg", 3, [])
    mark(emitter, 100, 101, 102, 103)
    for number in (1, 2, 3, 4):
        killed += run_until_killed(number) == signals.SIGKILL
    assert killed >= 8
    assert run_until_killed(0) == 0
    assert values(open_cursor().events()) == [1, 2, 3, 100, 101, 102, 103]


@pytest.mark.parametrize(
    "damage",
    [
        {"address": "nobody"},
        {"address": None},
        {"blockNumber": "0x" + "f" * 40},
        {"logIndex": None},
        {"topics": None},
        {"topics": ["0xzz"]},
        {"data": 5},
        {"blockHash": "x"},
    ],
)
def test_advance__malformed_log__named_and_nothing_stored(
    emitter: Contract, proxy: FaultProxy, open_cursor: OpenCursor, damage: dict[str, Any]
) -> None:
    """flt:F10 A broken node is named, whatever it sends; the same cursor goes on with a good one."""
    mark(emitter, 1)

    def rewrite(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "eth_getLogs":
            answer["result"] = [{**answer["result"][0], **damage}]
        return answer

    cursor = open_cursor(rpc=Rpc(RpcConfig((proxy.url,), CHAIN)), start_block=2)
    proxy.rewrite = rewrite
    with pytest.raises(RpcError, match="malformed log|for bytes|for a number"):
        for _ in range(6):
            cursor.advance()
    assert not list(cursor.events())
    proxy.rewrite = None
    to_the_head(cursor)
    assert values(cursor.events()) == [1]
