"""The client retries what may pass and nothing else, within its time, and believes nobody's form."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from lilypad_agents.agents.solver.client import EventListener, SolverClient
from lilypad_agents.agents.solver.errors import FundsRefused, OfferRefused, RateLimited, SolverAnswered, SolverUnreachable
from lilypad_agents.agents.solver.wire import Event
from lilypad_agents.content.car import write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.importer import add_bytes
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.store import LocalStore
from tests.support.http import MockExchange
from tests.support.live_offers import CREATOR, job

NOW = 1_700_000_000
Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers in turn; the last answer repeats. Remembers the requests."""

    def __init__(self, *answers: httpx.Response | Exception | Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer


def error(status: int, code: str, headers: dict[str, str] | None = None, **figures: Any) -> httpx.Response:
    body = {"error": {"code": code, "message": "text", "hint": "do this", "figures": figures}}
    return httpx.Response(status, json=body, headers=headers)


def client(server: Server, timeout: float = 2.0) -> SolverClient:
    return SolverClient(
        "http://solver.example:81", CREATOR, timeout, exchange=MockExchange(httpx.MockTransport(server)), clock=lambda: NOW
    )


INFO = {
    "version": "0.1.0", "chainId": 1337, "core": "0x" + "c0" * 20, "address": "0x" + "50" * 20, "feeBps": 0,
    "heartbeatSeconds": 30.0, "time": 1, "clock": 2, "block": 3, "ready": True, "limits": {"uploadBytes": 1},
}  # fmt: skip


@pytest.mark.parametrize("first", [httpx.ConnectError("no"), httpx.ReadTimeout("slow"), httpx.Response(503), httpx.Response(500)])
def test_call__server_or_network_fails_once__is_tried_again(first: Any) -> None:
    """beh:I6"""
    server = Server(first, httpx.Response(200, json=INFO))
    assert client(server).info().chain_id == 1337
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 426])
def test_call__refused__is_not_tried_again(status: int) -> None:
    """beh:I6"""
    server = Server(error(status, "some-code", found=3))
    with pytest.raises(SolverAnswered) as caught:
        client(server).deal(bytes(32))
    assert len(server.requests) == 1
    assert (caught.value.status, caught.value.as_dict()["code"], caught.value.figures["found"]) == (status, "some-code", 3)


def test_call__rate_limited__waits_as_long_as_it_was_told() -> None:
    """beh:I6 beh:I9"""
    server = Server(error(429, "rate-limited", {"Retry-After": "60"}, retry_after=60))
    with pytest.raises(RateLimited) as caught:  # a minute does not fit into two seconds: no second try
        client(server).deal(bytes(32))
    assert caught.value.retry_after == 60 and len(server.requests) == 1


def test_call__never_answers__ends_within_its_time() -> None:
    server = Server(httpx.ConnectError("no"))
    with pytest.raises(SolverUnreachable) as caught:
        client(server, 0.5).info()
    assert len(server.requests) > 1 and caught.value.exit_code == 40


def test_call__each_attempt__is_signed_anew() -> None:
    """A repeated nonce would be refused as a replay. beh:I2"""
    server = Server(httpx.Response(503), httpx.Response(503), httpx.Response(200, json={"items": [], "cursor": None}))
    client(server).messages(bytes(32))
    nonces = {re.search(r'nonce="([^"]+)"', request.headers["signature-input"])[1] for request in server.requests}  # type: ignore[index]
    assert len(nonces) == 3


def test_call__clock_off__signs_by_the_servers_time_once() -> None:
    """flt:F29 beh:I2"""
    server = Server(
        error(401, "request-stale", created=NOW, time=NOW + 7_200),
        httpx.Response(200, json={"items": [], "cursor": None}),
    )
    asking = client(server)
    asking.messages(bytes(32))
    asking.messages(bytes(32))
    assert [f"created={NOW + offset};" in request.headers["signature-input"] for offset, request in
            zip((0, 7_200, 7_200), server.requests, strict=True)] == [True] * 3  # fmt: skip


def test_call__server_that_always_says_stale__is_not_asked_for_ever() -> None:
    server = Server(error(401, "request-stale", time=NOW + 7_200))
    with pytest.raises(SolverAnswered):
        client(server).messages(bytes(32))
    assert len(server.requests) == 2


def test_post__refused__is_the_same_error_as_inside_the_solver() -> None:
    """beh:I7"""
    refusals = [{"error": "TermAbove", "figures": {"term": "cpu", "found": 2, "most": 1}}]
    entry = job()
    with pytest.raises(OfferRefused) as caught:
        client(Server(error(422, "offer-refused", refusals=refusals))).post_job_offer(
            entry.offer, entry.signature, entry.module, entry.pool
        )
    assert caught.value.figures["refusals"] == refusals
    with pytest.raises(FundsRefused) as funds:
        client(Server(error(422, "offer-unfunded", has="1", needed="2"))).post_job_offer(
            entry.offer, entry.signature, entry.module, entry.pool
        )
    assert funds.value.exit_code == 11


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"items": 5}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"items": [{"seq": "x"}]}),
        httpx.Response(200, text="[" * 100_000),
        httpx.Response(302, headers={"location": "http://elsewhere.example/"}),
        httpx.Response(400, text="<html>"),
        httpx.Response(400, json={"error": "text"}),
    ],
)
def test_call__answer_of_another_form__is_one_of_our_errors(answer: httpx.Response) -> None:
    """flt:F10"""
    with pytest.raises((SolverUnreachable, SolverAnswered)):
        client(Server(answer), 0.3).messages(bytes(32))


def test_post__solver_answers_with_another_id__is_not_believed() -> None:
    """beh:I16 flt:F33"""
    entry = job()
    server = Server(httpx.Response(200, json={"id": "0x" + "00" * 32}))
    with pytest.raises(SolverUnreachable, match="another offer"):
        client(server).post_job_offer(entry.offer, entry.signature, entry.module, entry.pool)


def test_call__answer_without_end__is_cut_off() -> None:
    def endless() -> Any:
        while True:
            yield b" " * 2**20

    server = Server(lambda request: httpx.Response(200, content=endless()))
    with pytest.raises(SolverUnreachable):
        client(server, 1.0).info()


def test_put__tree__goes_with_scope_kind_and_digest_under_the_signature(tmp_path: Path) -> None:
    """beh:I2 beh:I5"""
    store = LocalStore(tmp_path, durable=False)
    root = add_bytes(store, b"hello")
    server = Server(httpx.Response(201, json={}))
    client(server).put_content(root, store, "offer 0x" + "11" * 32, "inputs")
    (request,) = server.requests
    assert (request.method, request.url.path) == ("PUT", f"/v1/content/{root}")
    assert '"content-digest" "lilypad-scope" "lilypad-kind"' in request.headers["signature-input"]
    assert request.headers["content-type"] == "application/vnd.ipld.car"


def test_fetch__solver_sends_other_bytes__nothing_of_it_is_kept(tmp_path: Path) -> None:
    """beh:I3 flt:F32"""
    other = LocalStore(tmp_path / "other", durable=False)
    wanted, sent = Cid.of(b"wanted"), add_bytes(other, b"something else")
    car = b"".join(write_car(other, sent))
    mine = LocalStore(tmp_path / "mine", durable=False)
    asking = client(Server(lambda request: httpx.Response(200, stream=httpx.ByteStream(car))))
    assert asking._fetch_car(wanted, mine, Limits()) is False
    assert not mine.has(wanted)


# ---- events


def stream(*events: dict[str, Any]) -> httpx.Response:
    text = ": here\n\n"
    for number, event in enumerate(events):
        text += f"id: b-{number}\nevent: x\ndata: {json.dumps(event)}\n\n"
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def test_events__stream__yields_hints_and_ends_as_unreachable() -> None:
    found = []
    with pytest.raises(SolverUnreachable):
        for event in client(Server(stream({"type": "hello"}, {"type": "deal", "id": "0x01", "detail": "AGREED"}))).events():
            found.append(event)
    assert found == [Event("b-0", "hello"), Event("b-1", "deal", b"\x01", "AGREED")]


def test_events__malformed_hints__are_left_out() -> None:
    server = Server(stream({"type": 5, "id": 7}, {"nothing": 1}, {"type": "deal", "id": "0xzz"}, {"type": "deal"}))
    found = []
    with pytest.raises(SolverUnreachable):
        for event in client(server).events():
            found.append(event)
    assert found == [Event("b-3", "deal")]


def test_listener__stream_breaks__comes_back_and_says_that_hints_may_be_lost() -> None:
    """beh:J7 flt:F33"""
    server = Server(
        stream({"type": "hello"}, {"type": "deal", "id": "0x01"}),
        httpx.ConnectError("gone"),
        stream({"type": "hello"}),
    )
    heard: list[str] = []
    enough = threading.Event()

    def on_event(event: Event) -> None:
        heard.append(event.type)
        if len(heard) >= 3:
            enough.set()

    listener = EventListener(client(server), on_event).start()
    assert enough.wait(10)
    listener.stop()
    assert heard[:3] == ["resync", "deal", "resync"]
    assert server.requests[1].headers["last-event-id"] == "b-1"
