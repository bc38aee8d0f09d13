"""The RPC client behind a proxy that misbehaves: one time limit, named failures, failover, no storm."""

from __future__ import annotations

import os
import random
import signal as signals
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lilypad_agents.chain.anvil import Anvil
from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.contract import Contract, call_many
from lilypad_agents.chain.errors import ContractReverted, NoContractCode, RpcError, WrongChain
from lilypad_agents.chain.rpc import Call, Rpc, RpcConfig
from lilypad_agents.errors import ChainUnreachable, ConfigurationError
from tests.support.chain import CHAIN, Events, fresh_address, mine, mined_what_was_sent
from tests.support.emitter import EMITTER_ABI
from tests.support.faultproxy import FaultProxy

Connect = Callable[..., Rpc]


@pytest.fixture
def second(chain: Anvil) -> Iterator[FaultProxy]:
    with FaultProxy(chain.url) as proxy:
        yield proxy


@pytest.fixture
def connect(events: Events) -> Iterator[Connect]:
    clients: list[Rpc] = []

    def connect_(*proxies: FaultProxy, **limits: object) -> Rpc:
        urls = tuple(proxy.url for proxy in proxies)
        client = Rpc(RpcConfig(urls, CHAIN, **limits), notify=events, random_source=random.Random(1))  # type: ignore[arg-type]
        clients.append(client)
        return client

    yield connect_
    for client in clients:
        client.close()


def seconds_of(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def test_request__endpoint_refuses_connections__fails_in_time_and_recovers(proxy: FaultProxy, connect: Connect) -> None:
    """flt:F6 Backoff meanwhile, back as soon as it answers."""
    client = connect(proxy, total_timeout_s=1.0)
    assert client.request("eth_blockNumber") == "0x0"
    proxy.stop()

    def fails() -> None:
        with pytest.raises(ChainUnreachable, match="does not accept connections"):
            client.request("eth_blockNumber")

    assert seconds_of(fails) < 1.5
    assert not client.status()[0].usable
    proxy.start()
    assert client.request("eth_blockNumber") == "0x0"
    assert client.status()[0].failures == 0


def test_request__endpoint_returns_while_a_call_waits__the_call_succeeds(proxy: FaultProxy, connect: Connect) -> None:
    """flt:F6"""
    client = connect(proxy)
    proxy.stop()
    threading.Timer(0.8, proxy.start).start()
    assert 0.7 < seconds_of(lambda: client.request("eth_blockNumber")) < 3


def test_request__chain_process_is_stopped__ends_within_the_limit(
    chain: Anvil, connect: Connect, proxy: FaultProxy
) -> None:
    """flt:F7 Accepts and hangs (SIGSTOP): total limit holds including retries."""
    client = Rpc(RpcConfig((chain.url,), CHAIN, total_timeout_s=2.0))
    client.request("eth_blockNumber")
    os.kill(chain.pid, signals.SIGSTOP)
    until = time.monotonic() + 10
    while not _stands_still(chain.pid) and time.monotonic() < until:
        time.sleep(0.01)  # on a busy machine it may answer once more
    try:

        def fails() -> None:
            with pytest.raises(ChainUnreachable, match="does not answer in time"):
                client.request("eth_blockNumber")

        assert 1.5 < seconds_of(fails) < 2.6
    finally:
        os.kill(chain.pid, signals.SIGCONT)
    assert client.request("eth_blockNumber") == "0x0"


def _stands_still(pid: int) -> bool:
    """Whether every thread of a process is stopped."""
    states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


def test_default_limit__is_at_most_ten_seconds() -> None:
    """flt:F7"""
    assert RpcConfig(("http://h",)).total_timeout_s <= 10


@pytest.mark.parametrize("mode", ["hang", "html", "truncated", "lost", "status"])
def test_request__first_endpoint_misbehaves__second_answers(
    proxy: FaultProxy, second: FaultProxy, connect: Connect, mode: str, events: Events
) -> None:
    """flt:F7 flt:F9 flt:F10 beh:J6 Counts against that node, no crash, failover while running; it is used again later."""
    client = connect(proxy, second, attempt_timeout_s=0.4, head_check_s=0.3)
    assert client.request("eth_blockNumber") == "0x0"
    proxy.mode = mode
    assert seconds_of(lambda: client.request("eth_chainId")) < 2
    assert events.named("rpc_endpoint_failed")[0]["endpoint"] == proxy.url.removeprefix("http://")
    before = second.requests["eth_gasPrice"]
    for _ in range(5):
        assert seconds_of(lambda: client.request("eth_gasPrice")) < 0.3  # the bad one is not tried first each time
    assert second.requests["eth_gasPrice"] == before + 5
    proxy.mode = "pass"
    end = time.monotonic() + 8
    while client.status()[0].failures and time.monotonic() < end:
        client.request("eth_blockNumber")
        time.sleep(0.05)
    assert client.status()[0].failures == 0


def test_request__one_byte_at_a_time__limit_holds(proxy: FaultProxy, connect: Connect) -> None:
    """flt:F7 A trickle cannot stretch the limit of the whole call."""
    client = connect(proxy, total_timeout_s=1.0)
    proxy.mode, proxy.delay_s = "trickle", 0.2

    def fails() -> None:
        with pytest.raises(ChainUnreachable):
            client.request("eth_blockNumber")

    assert seconds_of(fails) < 1.6


def test_request__slow_endpoint__answers_without_pile_up(proxy: FaultProxy, connect: Connect) -> None:
    """flt:F8 A node that takes long is used, and callers in a loop have one call each in flight."""
    client = connect(proxy)
    proxy.mode, proxy.delay_s = "slow", 4.0
    assert client.request("eth_blockNumber") == "0x0"
    assert proxy.most_in_flight == 1 and len(proxy.times) == 1


def test_request__all_endpoints_slow__patience_grows_until_one_answers(
    proxy: FaultProxy, second: FaultProxy, connect: Connect
) -> None:
    """flt:F8"""
    client = connect(proxy, second, attempt_timeout_s=0.3, total_timeout_s=6.0, head_check_s=60.0)
    for slow in (proxy, second):
        slow.mode, slow.delay_s = "slow", 0.8
    assert client.request("eth_chainId") == "0x539"


def test_request__many_threads__no_more_connections_than_allowed(proxy: FaultProxy, connect: Connect) -> None:
    """flt:F8"""
    client = connect(proxy, max_connections=3)
    proxy.mode, proxy.delay_s = "slow", 0.1
    threads = [threading.Thread(target=client.request, args=("eth_blockNumber",)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert proxy.most_in_flight <= 3 and proxy.requests["eth_blockNumber"] == 12


def test_request__429_with_retry_after__obeys_the_header(proxy: FaultProxy, connect: Connect) -> None:
    """flt:F9 Obeys the header."""
    client = connect(proxy)
    proxy.mode, proxy.status, proxy.retry_after = "status", 429, "2"
    threading.Timer(0.5, lambda: setattr(proxy, "mode", "pass")).start()
    assert seconds_of(lambda: client.request("eth_blockNumber")) >= 2.0
    assert len(proxy.times) == 2


def test_request__retry_after_beyond_the_limit__fails_at_once_and_stays_away(
    proxy: FaultProxy, connect: Connect
) -> None:
    """flt:F9 No retry storm: later calls do not reach the node before its time."""
    client = connect(proxy)
    proxy.mode, proxy.status, proxy.retry_after = "status", 429, "60"
    for _ in range(20):
        with pytest.raises(ChainUnreachable) as caught:
            client.request("eth_blockNumber")
    assert len(proxy.times) == 1 and 50 < caught.value.figures["retry_after_s"] <= 60


@pytest.mark.parametrize("status", [429, 500])
def test_request__errors_without_header__rate_falls(proxy: FaultProxy, connect: Connect, status: int) -> None:
    """flt:F9 Lowers its rate: pauses grow, so a few tries fit into the limit."""
    client = connect(proxy, total_timeout_s=3.0)
    proxy.mode, proxy.status = "status", status
    with pytest.raises(ChainUnreachable):
        client.request("eth_blockNumber")
    assert 2 <= len(proxy.times) <= 8
    pauses = [later - earlier for earlier, later in zip(proxy.times, proxy.times[1:], strict=False)]
    assert pauses[-1] > pauses[0]


def test_heads__first_endpoint_lags_20_blocks__leaves_the_pool_until_it_caught_up(
    proxy: FaultProxy, second: FaultProxy, connect: Connect, rpc: Rpc, events: Events
) -> None:
    """flt:F11"""
    mine(rpc, 60)
    client = connect(proxy, second, head_check_s=60.0)
    proxy.lag_blocks = 19
    client.compare_heads()
    assert not client.status()[0].lagging
    proxy.lag_blocks = 20
    client.compare_heads()
    assert client.status()[0].lagging and events.named("rpc_endpoint_lags")[0]["head"] == 40
    assert client.request("eth_blockNumber") == hex(60)
    proxy.lag_blocks = 0
    client.compare_heads()
    assert not client.status()[0].lagging
    before = proxy.requests["eth_chainId"] + proxy.requests["eth_gasPrice"]
    client.request("eth_gasPrice")
    assert proxy.requests["eth_chainId"] + proxy.requests["eth_gasPrice"] > before


def test_heads__only_the_lagging_one_is_left__refuses_rather_than_act_on_old_state(
    proxy: FaultProxy, second: FaultProxy, connect: Connect, rpc: Rpc
) -> None:
    """flt:F11"""
    mine(rpc, 60)
    client = connect(proxy, second, head_check_s=60.0, total_timeout_s=0.8)
    proxy.lag_blocks = 30
    client.compare_heads()
    second.stop()
    with pytest.raises(ChainUnreachable, match="too many blocks behind"):
        client.request("eth_blockNumber")


def test_heads__endpoints_disagree_about_a_settled_block__alerts(
    start_anvil: Callable[..., Anvil], proxy: FaultProxy, rpc: Rpc, connect: Connect, events: Events
) -> None:
    """flt:F12 (the alert; what is acted on is the log cursor's matter) Two chains behind the pool."""
    with FaultProxy(start_anvil(extra=("--timestamp", "1700000000")).url) as other:
        client = connect(proxy, other, head_check_s=60.0)
        for endpoint in (rpc, Rpc(RpcConfig((other.url,), CHAIN))):
            mine(endpoint, 20)
        client.compare_heads()
        assert client.disagreement is not None and client.disagreement.number == 8
        assert ("rpc_endpoints_disagree", True) in [(name, alert) for name, alert, _ in events.seen]


def test_request__endpoint_on_another_chain__refuses_naming_both(proxy: FaultProxy, connect: Connect) -> None:
    """flt:F13 beh:J6"""
    proxy.chain_id = 5
    client = connect(proxy)
    with pytest.raises(WrongChain, match="serves chain 5, but this agent works on chain 1337") as caught:
        client.request("eth_blockNumber")
    assert caught.value.figures["found"] == 5 and caught.value.figures["expected"] == 1337


def test_request__failover_leads_to_another_chain__refuses_and_waits_for_ours(
    proxy: FaultProxy, second: FaultProxy, connect: Connect
) -> None:
    """flt:F13"""
    client = connect(proxy, second, total_timeout_s=1.0, head_check_s=60.0)
    client.compare_heads()  # the second was on our chain a moment ago, and its connection is kept
    client.request("eth_blockNumber")
    proxy.stop()
    second.chain_id = 5
    with pytest.raises(WrongChain):
        client.request("eth_blockNumber")
    proxy.start()
    assert client.request("eth_blockNumber") == "0x0"


def test_request__chain_behind_a_kept_connection_changes__noticed_within_the_check_time(
    proxy: FaultProxy, connect: Connect
) -> None:
    """flt:F13 Not only at a reconnect: the id rides along every few seconds."""
    client = connect(proxy, chain_check_s=0.2)
    client.request("eth_blockNumber")
    proxy.chain_id = 5
    time.sleep(0.25)
    with pytest.raises(WrongChain):
        client.request("eth_blockNumber")


def test_request__every_new_connection__asks_for_the_chain_id(proxy: FaultProxy, connect: Connect) -> None:
    """flt:F13"""
    client = connect(proxy, chain_check_s=3600.0)
    client.request("eth_gasPrice")
    client.request("eth_gasPrice")
    assert proxy.requests["eth_chainId"] == 1 and len(proxy.times) == 2
    proxy.stop()
    proxy.start()
    client.request("eth_gasPrice")
    assert proxy.requests["eth_chainId"] == 2


def test_request__node_closed_the_kept_connection__repeated_without_blame(proxy: FaultProxy, connect: Connect) -> None:
    client = connect(proxy)
    client.request("eth_gasPrice")
    proxy.lose_methods, proxy.lose_count = frozenset({"eth_gasPrice"}), 1
    client.request("eth_gasPrice")
    assert client.status()[0].last_failure == ""


def test_request__development_method_lost__is_not_repeated(proxy: FaultProxy, connect: Connect, rpc: Rpc) -> None:
    client = connect(proxy, total_timeout_s=2.0)
    proxy.lose_methods, proxy.lose_count = frozenset({"anvil_mine"}), 1
    with pytest.raises(ChainUnreachable, match="anvil_mine may have arrived"):
        client.request("anvil_mine", "0x5")
    assert read_moment(rpc).number == 5


def test_batch__more_calls_than_a_batch__all_in_order(rpc: Rpc, proxy: FaultProxy, connect: Connect) -> None:
    mine(rpc, 30)
    client = connect(proxy, batch_size=8)
    outcomes = client.batch([Call("eth_getBlockByNumber", (hex(number), False)) for number in range(31)])
    assert [int(block["number"], 16) for block in outcomes] == list(range(31))
    assert len(proxy.times) == 4


def test_batch__one_of_them_fails__others_keep_their_place(rpc: Rpc) -> None:
    first, bad, last = rpc.batch([Call("eth_chainId"), Call("eth_nonsense"), Call("eth_blockNumber")])
    assert first == "0x539" and isinstance(bad, RpcError) and last == "0x0"


def test_batch__node_takes_no_batches__asked_in_parts(rpc: Rpc, proxy: FaultProxy, connect: Connect) -> None:
    client = connect(proxy)
    forward = proxy.forward

    def refuse(requests: list, batch: bool) -> bytes:  # type: ignore[type-arg]
        if batch and len(requests) > 2:
            return b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch too large"}}'
        return forward(requests, batch)

    proxy.forward = refuse  # type: ignore[method-assign]
    outcomes = client.batch([Call("eth_chainId"), *[Call("eth_blockNumber")] * 6])
    assert outcomes == ["0x539", *["0x0"] * 6]


def test_close__while_a_call_waits__ends_it_at_once(proxy: FaultProxy, connect: Connect) -> None:
    client = connect(proxy)
    proxy.stop()
    threading.Timer(0.3, client.close).start()

    def fails() -> None:
        with pytest.raises(ChainUnreachable, match="closed"):
            client.request("eth_blockNumber")

    assert seconds_of(fails) < 2


def test_errors_and_events__endpoint_with_a_key_in_its_address__never_show_it(events: Events) -> None:
    """beh:L17 Provider keys stand in paths, queries and user parts of addresses."""
    url = "http://user:planted-secret@127.0.0.1:9/v3/planted-secret?key=planted-secret"
    client = Rpc(RpcConfig((url,), CHAIN, total_timeout_s=0.3), notify=events)
    with pytest.raises(ChainUnreachable) as caught:
        client.request("eth_blockNumber")
    shown = f"{caught.value} {caught.value.as_dict()} {events.seen} {client.status()} {client._endpoints[0].url!r}"
    assert "127.0.0.1:9" in shown and "planted-secret" not in shown


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "host:8545", "http://host:99999"])
def test_open__address_is_no_http__is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Rpc(RpcConfig((url,), CHAIN))


def test_contract__reverting_view__is_decoded(emitter: Contract) -> None:
    """beh:J5"""
    with pytest.raises(ContractReverted, match=r"NotEnough\(have=1, need=2\)"):
        emitter.call("fail", 1, 2)


def test_contract__no_code_at_the_address__says_so(rpc: Rpc) -> None:
    with pytest.raises(NoContractCode):
        Contract(fresh_address(1), EMITTER_ABI, rpc).call("taker")


def test_call_many__pinned_to_a_block__reads_that_block(rpc: Rpc, emitter: Contract, signer: object) -> None:
    """One cycle reads one block, whatever is mined meanwhile, and a reorganised block is refused."""
    before = read_moment(rpc)
    address = rpc.request("eth_accounts")[5]
    rpc.request(
        "eth_sendTransaction", {"from": address, "to": emitter.address, "data": "0x" + emitter.encode("take").hex()}
    )
    mined_what_was_sent(rpc)
    now = read_moment(rpc)
    zero = "0x" + "0" * 40
    assert emitter.call("taker", block=before) == zero == emitter.call("taker", block=before.number)
    assert emitter.call("taker").lower() == address.lower()
    results = call_many(rpc, [emitter.prepare("taker"), emitter.prepare("fail", 1, 2)], now)
    assert results[0].lower() == address.lower() and isinstance(results[1], ContractReverted)
    rpc.request("anvil_reorg", 1, [])
    with pytest.raises(RpcError):
        emitter.call("taker", block=now)
