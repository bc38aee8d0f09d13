"""Lean JSON-RPC client over several endpoints, with one explicit time limit for a call and all its retries.

The endpoints are used in the order given. One that fails pauses (with jitter, longer each time, or as long as its
Retry-After says) and the next takes over. On every new connection, at every failover and every few seconds, the chain
id rides along in the same HTTP request; an endpoint on another chain is refused by both ids. While there are several
endpoints, their heads are compared in the background: one that is too many blocks behind leaves the pool until it has
caught up. (An endpoint that claims a head far above the truth would empty the pool: use only endpoints you chose.)

Thread safe and synchronous: an agent's loop needs no event loop, and parallel callers get parallel connections.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.chain.codec import BatchRefused, Call, Outcome, parse_answer, quantity, request_body
from lilypad_agents.chain.errors import ContractReverted, RpcError, WrongChain
from lilypad_agents.chain.transport import ConnectionPool, EndpointFailure, EndpointUrl
from lilypad_agents.chain.types import ChainId, Notify, silent
from lilypad_agents.errors import ChainUnreachable, ConfigurationError

__all__ = ["Call", "Disagreement", "EndpointStatus", "Rpc", "RpcConfig"]

_CHAIN_ID = Call("eth_chainId")
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,16}")


@dataclass(frozen=True)
class RpcConfig:
    """Endpoints and limits; times in seconds, `chain_id` None accepts (and then keeps to) the first chain that answers."""

    urls: tuple[str, ...]
    chain_id: ChainId | None = None
    total_timeout_s: float = 10.0
    attempt_timeout_s: float = 3.0  # while another endpoint could take over
    lone_attempt_timeout_s: float = 6.0  # when no other can: slow is better than nothing
    backoff_first_s: float = 0.1
    backoff_max_s: float = 1.5
    limited_backoff_max_s: float = 30.0
    chain_check_s: float = 5.0
    head_check_s: float = 5.0
    head_lag_blocks: int = 20
    agree_depth_blocks: int = 12
    batch_size: int = 100
    max_connections: int = 8
    max_answer_bytes: int = 64 * 2**20


@dataclass(frozen=True)
class EndpointStatus:
    """What `doctor` and metrics show of an endpoint; `paused_s` 0 when it may be used, `last_failure` "" without one."""

    label: str
    usable: bool
    paused_s: float
    head: int | None
    lagging: bool
    wrong_chain: ChainId | None
    failures: int
    last_failure: str


@dataclass(frozen=True)
class Disagreement:
    """Endpoints name different hashes for one settled block number."""

    number: int
    hashes: tuple[tuple[str, str], ...]


@dataclass
class _Endpoint:
    url: EndpointUrl
    pool: ConnectionPool
    failures: int = 0
    timeouts: int = 0
    retry_at: float = 0.0
    checked_at: float = float("-inf")
    head: int | None = None
    head_at: float = float("-inf")
    catch_up_to: int | None = None
    wrong_chain: ChainId | None = None
    last_failure: str = ""

    def usable(self, now: float) -> bool:
        return self.retry_at <= now and self.catch_up_to is None


class Rpc:
    """JSON-RPC calls to the first healthy endpoint. Raises WrongChain and ChainUnreachable as its module says."""

    def __init__(
        self,
        config: RpcConfig,
        *,
        notify: Notify = silent,
        clock: Callable[[], float] = time.monotonic,
        random_source: random.Random | None = None,
    ) -> None:
        if not config.urls:
            raise ConfigurationError("No RPC endpoint is set.", hint="Set at least one endpoint (rpc urls).")
        self.config = config
        self.disagreement: Disagreement | None = None
        self._chain_id = config.chain_id
        self._notify = notify
        self._clock = clock
        self._random = random_source or random.Random()
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._serving: _Endpoint | None = None  # the one that answered last; another one must name its chain first
        self._heads_at = float("-inf")
        self._heads_running = threading.Lock()
        self._endpoints = [self._endpoint(url) for url in config.urls]

    def _endpoint(self, url: str) -> _Endpoint:
        parsed = EndpointUrl.parse(url)
        limit = self.config.max_answer_bytes
        pool = ConnectionPool(parsed, size=self.config.max_connections, max_body=limit, clock=self._clock)
        return _Endpoint(parsed, pool)

    # --- calls -----------------------------------------------------------------------------------------------------

    def request(self, method: str, *params: Any, timeout_s: float | None = None) -> Any:
        """The result of one call.

        Raises ContractReverted or RpcError for the node's own refusal, WrongChain, and ChainUnreachable after
        `timeout_s` (default: the configured total, at most 10 s) with all retries. Development methods (anvil_, evm_)
        and eth_sendTransaction are never repeated once they may have arrived.
        """
        outcome = self._within([Call(method, params)], timeout_s)[0]
        if isinstance(outcome, (ContractReverted, RpcError)):
            raise outcome
        return outcome

    def batch(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> list[Outcome]:
        """The outcomes of many calls in one HTTP request: values, or ContractReverted and RpcError objects as values.

        More than `batch_size` calls go in several requests within the same time limit.
        """
        outcomes: list[Outcome] = []
        deadline = self._clock() + (self.config.total_timeout_s if timeout_s is None else timeout_s)
        for start in range(0, len(calls), self.config.batch_size):
            part = calls[start : start + self.config.batch_size]
            outcomes += self._within(part, deadline - self._clock())
        return outcomes

    def chain_id(self) -> ChainId:
        """Asks the endpoint for its chain id now. Raises WrongChain when it is not ours."""
        found = ChainId(quantity(self.request("eth_chainId")))
        if self._chain_id is not None and found != self._chain_id:
            raise _wrong(self._chain_id, found, "endpoint")
        return found

    def require_chain(self, answer: str) -> None:
        """Checks an eth_chainId answer that rode in a caller's own batch. Raises WrongChain naming both ids."""
        found = ChainId(quantity(answer))
        if self._chain_id is not None and found != self._chain_id:
            raise _wrong(self._chain_id, found, "endpoint")

    def close(self) -> None:
        """Ends waits at once and closes the connections; later calls raise ChainUnreachable."""
        self._closed.set()
        for endpoint in self._endpoints:
            endpoint.pool.drop_idle()

    def status(self) -> tuple[EndpointStatus, ...]:
        """The state of each endpoint, in the configured order."""
        now = self._clock()
        return tuple(
            EndpointStatus(
                label=endpoint.url.label,
                usable=endpoint.usable(now) and endpoint.wrong_chain is None,
                paused_s=max(0.0, endpoint.retry_at - now),
                head=endpoint.head,
                lagging=endpoint.catch_up_to is not None,
                wrong_chain=endpoint.wrong_chain,
                failures=endpoint.failures,
                last_failure=endpoint.last_failure,
            )
            for endpoint in self._endpoints
        )

    # --- one call over the pool --------------------------------------------------------------------------------------

    def _within(self, calls: Sequence[Call], timeout_s: float | None) -> list[Outcome]:
        deadline = self._clock() + (self.config.total_timeout_s if timeout_s is None else timeout_s)
        repeatable = all(_repeatable(call.method) for call in calls)
        self._compare_heads_when_due()
        for tries in itertools.count():
            endpoint = self._choose(deadline, tried=tries > 0)
            try:
                outcomes = self._exchange(endpoint, calls, self._attempt_deadline(endpoint, deadline))
                self._serving = endpoint
                return outcomes
            except EndpointFailure as failure:
                self._note_failure(endpoint, failure)
                if not repeatable and failure.sent:
                    raise self._unreachable(f"{calls[0].method} may have arrived and is not repeated") from failure
        raise AssertionError("unreachable")

    def _choose(self, deadline: float, *, tried: bool) -> _Endpoint:
        """The first usable endpoint, waiting for one until `deadline` at the latest; one on another chain is asked again
        by the next call, not within the same."""
        while True:
            now = self._clock()
            if self._closed.is_set():
                raise self._unreachable("the client is closed")
            if now >= deadline:
                raise self._unreachable("the time limit is over")
            usable = [endpoint for endpoint in self._endpoints if endpoint.usable(now)]
            if usable:  # one that failed is proven again in the background first, while others answer
                return min(usable, key=lambda endpoint: endpoint.failures > 0)
            if tried and all(endpoint.wrong_chain is not None for endpoint in self._endpoints):
                raise self._unreachable("wrong chain")
            waiting = [endpoint.retry_at for endpoint in self._endpoints if endpoint.catch_up_to is None]
            if waiting and min(waiting) >= deadline:
                raise self._unreachable("all endpoints asked for a longer pause or fail")
            if not waiting:
                self.compare_heads()
            pause = min(waiting, default=now + 0.25)
            self._closed.wait(max(0.0, min(pause, deadline) - self._clock()))

    def _attempt_deadline(self, endpoint: _Endpoint, deadline: float) -> float:
        """Short while others could take over, longer after each time-out, so that a slow pool still answers."""
        now = self._clock()
        alone = not any(other.usable(now) for other in self._endpoints if other is not endpoint)
        patience = self.config.lone_attempt_timeout_s if alone else self.config.attempt_timeout_s
        return min(deadline, now + patience * 2 ** min(endpoint.timeouts, 4))

    def _exchange(self, endpoint: _Endpoint, calls: Sequence[Call], deadline: float) -> list[Outcome]:
        """One HTTP request with the chain check riding along where it is due. Raises EndpointFailure."""
        connection = endpoint.pool.take(deadline)
        keep = False
        try:
            age = self._clock() - endpoint.checked_at
            due = connection.fresh or endpoint is not self._serving or age >= self.config.chain_check_s
            asked = [_CHAIN_ID, *calls] if due else list(calls)
            first_id = next(self._ids) * 1_000
            answer = connection.post(request_body(asked, first_id), deadline)
            try:
                outcomes = parse_answer(answer, len(asked), first_id, endpoint.url.label)
            except BatchRefused:
                outcomes = self._in_parts(connection, endpoint, asked, deadline)
            if due:
                self._check_chain(endpoint, outcomes.pop(0))
            _check_head_form(calls, outcomes)
            keep = True
        finally:
            endpoint.pool.give(connection, keep=keep)
        self._note_success(endpoint, calls, outcomes)
        return outcomes

    def _in_parts(self, connection: Any, endpoint: _Endpoint, calls: list[Call], deadline: float) -> list[Outcome]:
        """Asks a node that refuses a batch in two halves, down to single requests."""
        if len(calls) == 1:
            parts = [calls]
        else:
            parts = [calls[: len(calls) // 2], calls[len(calls) // 2 :]]
        outcomes: list[Outcome] = []
        for part in parts:
            first_id = next(self._ids) * 1_000
            answer = connection.post(request_body(part, first_id), deadline)
            try:
                outcomes += parse_answer(answer, len(part), first_id, endpoint.url.label)
            except BatchRefused:
                outcomes += self._in_parts(connection, endpoint, part, deadline)
        return outcomes

    def _check_chain(self, endpoint: _Endpoint, answer: Outcome) -> None:
        if isinstance(answer, Exception):
            raise EndpointFailure(f"does not name its chain: {answer}")
        try:
            found = ChainId(quantity(answer))
        except RpcError as error:
            raise EndpointFailure(error.message) from None
        with self._lock:
            if self._chain_id is None:
                self._chain_id = found
            endpoint.wrong_chain = found if found != self._chain_id else None
            endpoint.checked_at = self._clock()
        if endpoint.wrong_chain is not None:
            raise EndpointFailure(f"serves chain {found} instead of {self._chain_id}")

    # --- health --------------------------------------------------------------------------------------------------

    def _note_success(self, endpoint: _Endpoint, calls: Sequence[Call], outcomes: list[Outcome]) -> None:
        with self._lock:
            recovered = endpoint.failures > 0
            endpoint.failures = endpoint.timeouts = 0
            endpoint.retry_at = 0.0
            for call, outcome in zip(calls, outcomes, strict=True):
                if call.method == "eth_blockNumber" and isinstance(outcome, str):
                    endpoint.head, endpoint.head_at = int(outcome, 16), self._clock()
        if recovered:
            self._notify("rpc_endpoint_recovered", endpoint=endpoint.url.label)

    def _note_failure(self, endpoint: _Endpoint, failure: EndpointFailure) -> None:
        """Pauses the endpoint; a kept connection that the server had closed costs nothing."""
        if failure.stale:
            endpoint.pool.drop_idle()
            return
        with self._lock:
            endpoint.failures += 1
            endpoint.timeouts += failure.timed_out
            endpoint.last_failure = failure.reason
            pause = self._pause(endpoint.failures, failure)
            endpoint.retry_at = max(endpoint.retry_at, self._clock() + pause)
            endpoint.checked_at = float("-inf")
        endpoint.pool.drop_idle()
        self._notify(
            "rpc_endpoint_failed",
            alert=endpoint.wrong_chain is not None,
            endpoint=endpoint.url.label,
            reason=failure.reason,
            pause_s=round(pause, 3),
        )

    def _pause(self, failures: int, failure: EndpointFailure) -> float:
        """Doubling pause with jitter; what the server asked for is the least."""
        first, most = self.config.backoff_first_s, self.config.backoff_max_s
        if failure.limited:
            first, most = 5 * first, self.config.limited_backoff_max_s
        pause = min(most, first * 2 ** min(failures - 1, 20)) * self._random.uniform(0.5, 1.0)
        return max(pause, failure.retry_after_s or 0.0)

    def _unreachable(self, why: str) -> Exception:
        if self._chain_id is not None and not self._closed.is_set():
            wrong = [endpoint for endpoint in self._endpoints if endpoint.wrong_chain is not None]
            if wrong and all(e.wrong_chain is not None or e.failures for e in self._endpoints):
                return _wrong(self._chain_id, wrong[0].wrong_chain, wrong[0].url.label)
        now = self._clock()
        parts = []
        for endpoint in self._endpoints:
            reason = "is too many blocks behind" if endpoint.catch_up_to is not None else endpoint.last_failure
            parts.append(f"{endpoint.url.label} {reason or 'was not tried'}")
        wait = max(0.0, min(endpoint.retry_at for endpoint in self._endpoints) - now)
        return ChainUnreachable(
            f"No RPC endpoint answers ({why}): {'; '.join(parts)}.",
            retry_after_s=round(wait, 3),
            endpoints=[endpoint.url.label for endpoint in self._endpoints],
        )

    # --- heads -----------------------------------------------------------------------------------------------------

    def _compare_heads_when_due(self) -> None:
        if len(self._endpoints) < 2 or self._clock() - self._heads_at < self.config.head_check_s:
            return
        if self._heads_running.locked():
            return
        self._heads_at = self._clock()
        threading.Thread(target=self.compare_heads, name="rpc-heads", daemon=True).start()

    def compare_heads(self) -> None:
        """Asks every endpoint for its head; marks those that lag, and compares a settled block's hash between them.

        Runs by itself every `head_check_s` while calls are made and there are several endpoints. Never raises.
        """
        if len(self._endpoints) < 2 or not self._heads_running.acquire(blocking=False):
            return
        try:
            self._heads_at = self._clock()
            for endpoint in self._endpoints:
                self._ask(endpoint, Call("eth_blockNumber"))
            self._mark_lagging()
            self._compare_settled_block()
        finally:
            self._heads_running.release()

    def _ask(self, endpoint: _Endpoint, call: Call) -> Outcome | None:
        if endpoint.retry_at > self._clock() or self._closed.is_set():
            return None
        try:
            return self._exchange(endpoint, [call], self._clock() + self.config.attempt_timeout_s)[0]
        except EndpointFailure as failure:
            self._note_failure(endpoint, failure)
            return None

    def _mark_lagging(self) -> None:
        horizon = self._clock() - 3 * self.config.head_check_s - 2 * self.config.attempt_timeout_s
        for endpoint in self._endpoints:
            peers = [
                e.head for e in self._endpoints if e is not endpoint and e.head is not None and e.head_at >= horizon
            ]
            if endpoint.head is None or endpoint.head_at < horizon:
                continue
            target = max(peers) - self.config.head_lag_blocks if peers else endpoint.catch_up_to
            lags = target is not None and (endpoint.head <= target if peers else endpoint.head < target)
            if lags == (endpoint.catch_up_to is not None):
                continue
            endpoint.catch_up_to = target if lags else None
            event = "rpc_endpoint_lags" if lags else "rpc_endpoint_caught_up"
            self._notify(
                event, alert=lags, endpoint=endpoint.url.label, head=endpoint.head, best=max(peers, default=None)
            )

    def _compare_settled_block(self) -> None:
        taking_part = [
            e for e in self._endpoints if e.catch_up_to is None and e.head is not None and e.wrong_chain is None
        ]
        if len(taking_part) < 2:
            return
        number = min(e.head or 0 for e in taking_part) - self.config.agree_depth_blocks
        if number < 0:
            return
        hashes = []
        for endpoint in taking_part:
            block = self._ask(endpoint, Call("eth_getBlockByNumber", (hex(number), False)))
            if isinstance(block, dict):
                hashes.append((endpoint.url.label, str(block.get("hash"))))
        differ = len({value for _, value in hashes}) > 1
        self.disagreement = Disagreement(number, tuple(hashes)) if differ else None
        if differ:
            self._notify("rpc_endpoints_disagree", alert=True, block=number, hashes=dict(hashes))


def _check_head_form(calls: Sequence[Call], outcomes: list[Outcome]) -> None:
    for call, outcome in zip(calls, outcomes, strict=True):
        if call.method == "eth_blockNumber" and not (isinstance(outcome, str) and _QUANTITY.fullmatch(outcome)):
            raise EndpointFailure("does not name its head block")


def _repeatable(method: str) -> bool:
    """Whether a call that may have arrived can be sent again; raw transactions can, they are known by their hash."""
    return method.startswith(("eth_", "net_", "web3_", "debug_", "txpool_")) and method != "eth_sendTransaction"


def _wrong(expected: ChainId, found: ChainId | None, label: str) -> WrongChain:
    return WrongChain(
        f"The endpoint {label} serves chain {found}, but this agent works on chain {expected}; nothing is signed.",
        expected=expected,
        found=found,
        endpoint=label,
    )
