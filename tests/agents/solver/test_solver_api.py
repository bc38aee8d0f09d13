"""The API against people who lie, repeat, flood, peek and break things."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import psutil
import pytest

from lilypad_agents.agents.runtime import http_signature
from lilypad_agents.agents.solver.access import Access
from lilypad_agents.agents.solver.api import create_api
from lilypad_agents.agents.solver.client import SolverClient
from lilypad_agents.agents.solver.errors import RateLimited, SolverUnreachable
from lilypad_agents.agents.solver.openapi import document
from lilypad_agents.agents.solver.wire import OfferState
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.protocol.consent import Domain, by_own_key
from lilypad_agents.protocol.ids import hex_of
from lilypad_agents.protocol.offers import JobOffer
from tests.support.network import Network, signer
from tests.support.solver import DOCUMENT, RunningSolver, eventually

Start = Callable[..., RunningSolver]
UNKNOWN = "0x" + "ab" * 32


def code(response: httpx.Response) -> str:
    """The error's code; every refusal must have text and hint beside it."""
    error = response.json()["error"]
    assert error["message"] and error["hint"] and isinstance(error["figures"], dict)
    return str(error["code"])


def posted(solver: RunningSolver, key: LocalSigner, **changes: Any) -> dict[str, Any]:
    """The body of a job offer's posting."""
    network, module = solver.network, solver.network.module()
    offer = network.job(key.address, module, **{"inputs": hashlib.sha256(DOCUMENT).digest(), **changes})
    return {
        "offer": offer.to_json(),
        "signature": hex_of(network.sign(offer, key)),
        "module": module.to_json(),
        "pool": None,
        "document": hex_of(DOCUMENT),
    }


# ---- signatures


def test_request__unsigned__is_401_and_says_how(solver: RunningSolver) -> None:
    """beh:I1 beh:I6"""
    for method, path in (("GET", "/v1/deals"), ("GET", "/v1/events"), ("DELETE", f"/v1/offers/{UNKNOWN}")):
        response = solver.request(method, path)
        assert (response.status_code, code(response)) == (401, "request-unsigned")
        assert response.headers["www-authenticate"] == "Signature"


def test_request__repeated_byte_by_byte__is_401(solver: RunningSolver, creator: LocalSigner) -> None:
    """beh:I2"""
    kept: list[httpx.Request] = []
    assert solver.request("GET", "/v1/deals", creator, alter=kept.append).status_code == 200
    with httpx.Client(trust_env=False) as http:
        again = http.send(httpx.Request("GET", kept[0].url, headers=kept[0].headers))
    assert (again.status_code, code(again)) == (401, "request-replayed")


def test_request__sent_to_another_solver__cannot_be_handed_on(
    solver: RunningSolver, creator: LocalSigner, start_solver: Start
) -> None:
    """beh:I2"""
    other = start_solver("other", test_account=6)
    kept: list[httpx.Request] = []
    assert other.request("GET", "/v1/deals", creator, alter=kept.append).status_code == 200
    handed_on = httpx.Request("GET", f"{solver.url}/v1/deals", headers=kept[0].headers)
    with httpx.Client(trust_env=False) as http:
        response = http.send(handed_on)
    assert (response.status_code, code(response)) == (401, "request-elsewhere")


def test_request__body_altered_on_the_way__is_401(solver: RunningSolver, creator: LocalSigner) -> None:
    """beh:I2 beh:I16"""
    body = posted(solver, creator)

    def alter(request: httpx.Request) -> None:
        changed = request.content.replace(b'"nonce":', b'"nonce": ')
        request.stream = httpx.ByteStream(changed)
        request.headers["content-length"] = str(len(changed))

    response = solver.request("POST", "/v1/job-offers", creator, body=body, alter=alter)
    assert (response.status_code, code(response)) == (401, "body-altered")


def test_request__digest_altered_with_the_body__is_401(solver: RunningSolver, creator: LocalSigner) -> None:
    """beh:I2"""

    def alter(request: httpx.Request) -> None:
        request.headers["content-digest"] = http_signature.content_digest(b"{}")

    response = solver.request("POST", "/v1/job-offers", creator, body=posted(solver, creator), alter=alter)
    assert (response.status_code, code(response)) == (401, "request-forged")


@pytest.mark.parametrize("off", [-3_600, 3_600])
def test_request__clock_far_off__is_401_with_the_servers_time_and_the_client_mends_itself(
    solver: RunningSolver, creator: LocalSigner, off: int
) -> None:
    """beh:I2 flt:F29"""
    response = solver.request("GET", "/v1/deals", creator, created=int(time.time()) + off)
    assert (response.status_code, code(response)) == (401, "request-stale")
    assert abs(response.json()["error"]["figures"]["time"] - time.time()) < 5
    with SolverClient(solver.url, creator, clock=lambda: time.time() + off) as wrong_clock:
        wrong_clock.inbox()


def test_offer__posted_by_somebody_else__is_403(
    solver: RunningSolver, creator: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I1"""
    response = solver.request("POST", "/v1/job-offers", stranger, body=posted(solver, creator))
    assert (response.status_code, code(response)) == (403, "forbidden")


def test_offer__with_the_signature_of_another__is_401(
    solver: RunningSolver, creator: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I1"""
    body = posted(solver, creator)
    body["signature"] = posted(solver, stranger)["signature"]
    response = solver.request("POST", "/v1/job-offers", creator, body=body)
    assert (response.status_code, code(response)) == (401, "offer-refused")


def test_offer__altered_by_its_own_carrier__never_opens(solver: RunningSolver, creator: LocalSigner) -> None:
    """beh:I16 flt:F33"""
    body = posted(solver, creator)
    body["offer"]["maxPrice"] = str(10**20)
    response = solver.request("POST", "/v1/job-offers", creator, body=body)
    assert response.status_code == 401


def test_offer__of_another_chain__is_401(solver: RunningSolver, creator: LocalSigner) -> None:
    """inv: signatures are useless elsewhere (protocol 13 j)"""
    body = posted(solver, creator)
    offer = JobOffer.from_json(body["offer"])
    foreign = replace(solver.network.domain, chain_id=1)
    assert isinstance(foreign, Domain)
    body["signature"] = hex_of(by_own_key(creator.sign_digest(foreign.digest(offer.struct_hash))))
    assert solver.request("POST", "/v1/job-offers", creator, body=body).status_code == 401


# ---- statuses and forms


@pytest.mark.parametrize(
    "path",
    [f"/v1/offers/{UNKNOWN}", f"/v1/deals/{UNKNOWN}", f"/v1/deals/{UNKNOWN}/messages", f"/v1/offers/{UNKNOWN}/why"],
)
def test_unknown_id__is_404(solver: RunningSolver, creator: LocalSigner, path: str) -> None:
    """beh:I8"""
    response = solver.request("GET", path, creator)
    assert (response.status_code, code(response)) == (404, "not-found")


@pytest.mark.parametrize("id_", ["0x12", "x", "0x" + "zz" * 32, "%2e%2e%2fetc", "0x" + "ab" * 33, "%00"])
def test_malformed_id__is_400_or_404(solver: RunningSolver, creator: LocalSigner, id_: str) -> None:
    """beh:I8"""
    response = solver.request("GET", f"/v1/offers/{id_}", creator)
    assert response.status_code in (400, 404)
    code(response)


@pytest.mark.parametrize(
    "path",
    ["/ipfs/../../etc/passwd", "/ipfs/..%2f..%2fetc%2fpasswd", "/ipfs//etc/passwd", "/v1/content/..%2fx", "/ipfs/%00",
     "/%2e%2e/agent.sqlite", "/ipfs/bafkqaaa/../../x", "//etc/passwd", "/v1/../agent.sqlite"],
)  # fmt: skip
def test_path_tricks__find_nothing(solver: RunningSolver, creator: LocalSigner, path: str) -> None:
    """beh:I5"""
    target = urlsplit(solver.url)
    for method in ("GET", "PUT"):
        with socket.create_connection((target.hostname, target.port), 5) as raw:  # no client that tidies the path up
            raw.sendall(f"{method} {path} HTTP/1.1\r\nHost: {target.netloc}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while chunk := raw.recv(65_536):
                answer += chunk
        status = int(answer.split(b" ", 2)[1])
        assert status in (400, 401, 404, 405), answer[:200]
        assert b"root:" not in answer and b"SQLite" not in answer


def test_method__that_does_not_exist__is_405(solver: RunningSolver) -> None:
    """beh:I6"""
    for method, path in (("PATCH", "/v1/info"), ("POST", f"/v1/offers/{UNKNOWN}"), ("DELETE", "/v1/deals")):
        response = solver.request(method, path)
        assert (response.status_code, code(response)) == (405, "method-not-allowed")


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"{", 400), (b"[]", 400), (b"null", 400), (b'{"offer": NaN}', 400), (b"[" * 60_000, 400), (b"\xff\xfe", 400),
     (b'{"offer":{},"signature":"0x","module":{},"evil":1}', 400), (b'{"offer":[],"signature":"0x","module":{}}', 400),
     (b'{"offer":{},"signature":5,"module":{}}', 400)],
)  # fmt: skip
def test_body__that_is_no_offer__is_400_with_the_field(
    solver: RunningSolver, creator: LocalSigner, content: bytes, status: int
) -> None:
    """beh:I6"""
    headers = {"content-type": "application/json"}
    response = solver.request("POST", "/v1/job-offers", creator, content=content, headers=headers)
    assert response.status_code == status
    assert code(response) in ("bad-request", "field-invalid")


def test_body__too_large__is_413_before_it_is_read(solver: RunningSolver, creator: LocalSigner) -> None:
    """beh:I5"""
    headers = {"content-type": "application/json"}
    response = solver.request("POST", "/v1/job-offers", creator, content=b" " * 300_000, headers=headers)
    assert (response.status_code, code(response)) == (413, "too-large")


def test_body__without_a_length_and_without_end__is_cut_off(solver: RunningSolver, creator: LocalSigner) -> None:
    """beh:I5 flt:F35"""
    target = urlsplit(solver.url)
    signed = httpx.Request("POST", f"{solver.url}/v1/job-offers", content=b"", headers={"content-type": "application/json"})
    http_signature.sign(signed, creator, int(time.time()))
    head = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items() if name != "content-length")
    sent = 0
    with socket.create_connection((target.hostname, target.port), 5) as raw:
        raw.sendall(f"POST /v1/job-offers HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(1_000):
                raw.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                sent += 65_536
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sent < 30 * 2**20


@pytest.mark.parametrize("start", ["GET /v1/info HTTP/1.1\r\nhost: x\r\nx: ", "GET /", "\r\n"])
def test_head__without_end__is_cut_off(solver: RunningSolver, start: str) -> None:
    """flt:F35 In a header, in the address, or before either."""
    target = urlsplit(solver.url)
    filler = b"\r\n" if start == "\r\n" else b"a"
    sent = 0
    with socket.create_connection((target.hostname, target.port), 5) as raw:
        raw.sendall(start.encode())
        try:
            for _ in range(1_000):
                raw.sendall(filler * (65_536 // len(filler)))
                sent += 65_536
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sent < 30 * 2**20


def test_requests__many_on_one_connection_with_long_heads__are_all_answered(solver: RunningSolver) -> None:
    """flt:F35 The bound is one of each head, not of a connection."""
    target = urlsplit(solver.url)
    connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=5)
    for _ in range(4):
        connection.request("GET", "/v1/info", headers={"x-long": "a" * 40_000})
        response = connection.getresponse()
        assert response.status == 200 and response.read()


def test_body__of_another_media_type__is_415(solver: RunningSolver, creator: LocalSigner) -> None:
    """beh:I6"""
    response = solver.request("POST", "/v1/job-offers", creator, content=b"{}", headers={"content-type": "text/plain"})
    assert (response.status_code, code(response)) == (415, "media-type")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "cursor=-1", "since=1e9", "kind=all", "state=done", "party=0x12", "limit=1&limit=2",
     "cursor=99999999999999999999"],
)  # fmt: skip
def test_query__out_of_range__is_400(solver: RunningSolver, query: str) -> None:
    """beh:I6"""
    assert solver.request("GET", f"/v1/offers?{query}").status_code == 400


def test_client__outdated__is_426_with_the_way_up(solver: RunningSolver) -> None:
    """beh:I10"""
    response = solver.request("GET", "/v1/info", headers={"lilypad-version": "0.0.9"})
    assert (response.status_code, code(response)) == (426, "client-outdated")
    assert "pip install" in response.json()["error"]["hint"]
    assert solver.request("GET", "/v1/info", headers={"lilypad-version": "0.1.0"}).status_code == 200
    assert solver.request("GET", "/v1/info", headers={"lilypad-version": "ancient"}).status_code == 400


def test_provider__not_on_the_operators_list__is_403(
    start_solver: Start, provider: LocalSigner, rival: LocalSigner
) -> None:
    """beh:I10"""
    solver = start_solver(providers=(provider.address,))
    solver.offer_resource(provider)
    offer = solver.network.resource(rival.address)
    body = {"offer": offer.to_json(), "signature": hex_of(solver.network.sign(offer, rival))}
    response = solver.request("POST", "/v1/resource-offers", rival, body=body)
    assert (response.status_code, code(response)) == (403, "not-listed")


def test_refusals__low_funds_and_missing_inputs__are_stated(
    solver: RunningSolver, creator: LocalSigner, network: Network
) -> None:
    """beh:I7"""
    poor = signer(17)
    response = solver.request("POST", "/v1/job-offers", poor, body=posted(solver, poor))
    assert (response.status_code, code(response)) == (422, "offer-unfunded")
    assert response.json()["error"]["figures"]["has"] == 0
    body = posted(solver, creator)
    del body["document"]
    response = solver.request("POST", "/v1/job-offers", creator, body=body)
    assert (response.status_code, code(response)) == (409, "inputs-missing")
    body["document"] = hex_of(b"other")
    response = solver.request("POST", "/v1/job-offers", creator, body=body)
    assert (response.status_code, code(response)) == (422, "block-mismatch")


def test_openapi__served__is_the_document(solver: RunningSolver) -> None:
    """beh:I8"""
    assert solver.request("GET", "/v1/openapi.json").json() == json.loads(json.dumps(document()))


# ---- lists


def test_offers__by_party_state_and_age__page_by_a_stable_cursor(
    solver: RunningSolver, creator: LocalSigner, other_creator: LocalSigner, provider: LocalSigner
) -> None:
    """beh:I11 beh:H10: hashes and terms are public, signatures and documents are not."""
    mine = [solver.offer_job(creator) for _ in range(5)]
    solver.offer_job(other_creator)
    resource = solver.offer_resource(provider, cpu_milli=1)
    client = solver.client(creator)
    first = client.offers(kind="job", party=creator.address, limit=3)
    solver.offer_job(creator)
    rest = client.offers(kind="job", party=creator.address, cursor=first.cursor)
    assert [view.id for view in (*first.items, *rest.items)][:5] == [job.struct_hash for job in mine]
    assert rest.cursor is None and len(rest.items) == 3
    assert [view.id for view in client.offers(kind="resource", state="open").items] == [resource.struct_hash]
    assert client.offers(since=solver.network.now() + 1_000).items == ()
    public = solver.request("GET", "/v1/offers").text
    assert hex_of(DOCUMENT)[2:] not in public and "signature" not in public


def test_deals__of_ones_own__only(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I3 beh:I11"""
    solver.offer_resource(provider)
    jobs = [solver.offer_job(creator) for _ in range(3)]
    ids = [solver.wait(creator, job, "opened").deal_id for job in jobs]
    page = solver.client(creator).deals(limit=500)
    assert set(ids) <= {deal.id for deal in page.items}
    assert solver.client(stranger).deals().items == ()
    assert solver.request("GET", f"/v1/deals?party={creator.address}", stranger).status_code == 403
    assert ids[0] is not None
    response = solver.request("GET", f"/v1/deals/{hex_of(ids[0])}", stranger)
    assert (response.status_code, code(response)) == (403, "forbidden")


# ---- withdrawing and hints


def test_withdraw__by_a_stranger__is_403_and_by_its_owner_works_and_can_come_back(
    solver: RunningSolver, creator: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I4"""
    module = solver.network.module()
    job = solver.offer_job(creator, module)
    path = f"/v1/offers/{hex_of(job.struct_hash)}"
    assert solver.request("DELETE", path, stranger).status_code == 403
    assert solver.client(creator).offer(job.struct_hash).state == OfferState.OPEN
    solver.client(creator).withdraw_offer(job.struct_hash)
    view = solver.client(creator).offer(job.struct_hash)
    assert view.state == OfferState.CANCELLED and view.reason is not None and view.reason["code"] == "withdrawn"
    solver.post_job(creator, job, module)
    assert solver.client(creator).offer(job.struct_hash).state == OfferState.OPEN


def test_withdraw__once_it_is_opened__is_409(solver: RunningSolver, creator: LocalSigner, provider: LocalSigner) -> None:
    """beh:I6"""
    solver.offer_resource(provider)
    job = solver.offer_job(creator)
    solver.wait(creator, job, "opened")
    response = solver.request("DELETE", f"/v1/offers/{hex_of(job.struct_hash)}", creator)
    assert (response.status_code, code(response)) == (409, "wrong-state")


def test_events__each_hears_of_its_own_and_nobody_else(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I4"""
    heard: dict[str, list[str]] = {}
    streams = {name: solver.client(key).events() for name, key in (("creator", creator), ("stranger", stranger))}

    def listen(name: str) -> None:
        with suppress(SolverUnreachable):  # the solver ends before they do
            for event in streams[name]:
                heard.setdefault(name, []).append(f"{event.type} {event.detail}".strip())

    for name in streams:
        threading.Thread(target=listen, args=(name,), daemon=True).start()
    eventually(lambda: len(heard) == 2)
    solver.offer_resource(provider)
    job = solver.offer_job(creator)
    solver.wait(creator, job, "opened")
    eventually(lambda: "deal AGREED" in heard["creator"])
    assert heard["creator"] == ["hello", "offer open", "offer opening", "deal AGREED"]
    assert heard["stranger"] == ["hello"]


def test_events__of_somebody_else__is_403(solver: RunningSolver, creator: LocalSigner, stranger: LocalSigner) -> None:
    """beh:I4"""
    assert solver.request("GET", f"/v1/events?party={creator.address}", stranger).status_code == 403


def test_delegate__acts_for_its_account_until_it_is_revoked(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner, stranger: LocalSigner
) -> None:
    """A hot key reads and posts for a cold account. beh:I1"""
    network = solver.network
    solver.offer_resource(provider)
    job = solver.offer_job(creator)
    deal_id = solver.wait(creator, job, "opened").deal_id
    assert deal_id is not None
    path = f"/v1/deals/{hex_of(deal_id)}"
    assert solver.request("GET", path, stranger).status_code == 403
    network.send(1, "Lilypad", "grantDelegate", stranger.address, 7, 2**40 - 1, [(network.token, 10**20)])
    eventually(lambda: solver.request("GET", path, stranger).status_code == 200)
    network.send(1, "Lilypad", "revokeDelegate", stranger.address)
    eventually(lambda: solver.request("GET", path, stranger).status_code == 403)


# ---- floods


def test_flood__of_one_key__is_429_with_retry_after_while_others_are_served(
    start_solver: Start, creator: LocalSigner, provider: LocalSigner
) -> None:
    """beh:I9 flt:F35"""
    solver = start_solver(account_rate=0.01, account_burst=20)
    answers = [solver.request("GET", "/v1/messages", creator) for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 10
    assert int(refused[0].headers["retry-after"]) >= 1 and code(refused[0]) == "rate-limited"
    assert solver.request("GET", "/v1/messages", provider).status_code == 200


def test_flood__of_one_address__known_accounts_behind_it_are_still_served(
    start_solver: Start, creator: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I9 flt:F35"""
    solver = start_solver(address_rate=0.01, address_burst=30)  # so slow that a busy machine refills nothing
    assert solver.request("GET", "/v1/messages", creator).status_code == 200  # signed in
    statuses = [solver.request("GET", "/v1/info").status_code for _ in range(40)]
    assert statuses.count(429) >= 8
    assert solver.request("GET", "/v1/messages", stranger).status_code == 429  # not known yet
    assert solver.request("GET", "/v1/messages", creator).status_code == 200


def test_flood__that_claims_to_be_a_known_account__is_shut_out_soon(
    start_solver: Start, creator: LocalSigner, stranger: LocalSigner
) -> None:
    """beh:I9 flt:F35: on a clock that stands still, since on a slow machine a flood can be too thin to be one."""
    solver = start_solver(address_rate=0.5, address_burst=5)
    app = create_api(solver.service, Access(solver.settings, {"solver.test"}, clock=lambda: 0.0))

    async def flood() -> list[int]:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://solver.test") as http:
            statuses = []
            for key in (creator, *[stranger] * 120):
                request = http.build_request("GET", "/v1/messages")
                http_signature.sign(request, key, int(time.time()))
                told = request.headers["signature-input"]
                request.headers["signature-input"] = told.replace(key.address, creator.address)
                statuses.append((await http.send(request)).status_code)
            return statuses

    first, *rest = anyio.run(flood)
    assert first == 200
    assert rest == [401] * 50 + [429] * 70  # as many forgeries as are heard of one address, then none


def test_forwarded_addresses__count_only_from_a_configured_proxy(start_solver: Start) -> None:
    """beh:I9"""
    for proxies, expected in (((), 429), (("127.0.0.1",), 200)):
        solver = start_solver(f"p{len(proxies)}", address_rate=0.1, address_burst=3, proxies=proxies)
        last = 0
        for number in range(6):
            last = solver.request("GET", "/v1/info", headers={"x-forwarded-for": f"10.0.0.{number}"}).status_code
        assert last == expected
        solver.stop()


def test_dust__thousands_of_offers__are_bounded_and_an_honest_pair_still_matches(
    start_solver: Start, creator: LocalSigner, other_creator: LocalSigner, provider: LocalSigner
) -> None:
    """flt:F35: the queue is bounded, the rest is told so, memory stays flat."""
    solver = start_solver(offers_per_account=300, account_rate=50.0, account_burst=400)
    network = solver.network
    before = psutil.Process().memory_info().rss
    template = posted(solver, other_creator, max_price=1)
    dust = JobOffer.from_json(template["offer"])
    statuses: list[int] = []
    with httpx.Client(base_url=solver.url, trust_env=False, timeout=20) as http:
        for number in range(1_500):
            offer = replace(dust, nonce=10**6 + number)
            body = {**template, "offer": offer.to_json(), "signature": hex_of(network.sign(offer, other_creator))}
            request = http.build_request("POST", "/v1/job-offers", json=body)
            if number < 900:
                http_signature.sign(request, other_creator, int(time.time()))
            statuses.append(http.send(request).status_code)
    assert statuses.count(200) == 300 and set(statuses) <= {200, 401, 429}
    assert solver.service.book.count() == 300
    solver.offer_resource(provider)
    job = solver.offer_job(creator)
    solver.wait(creator, job, "opened")
    assert psutil.Process().memory_info().rss - before < 60 * 2**20


def test_account__with_too_many_offers__is_told_to_wait(start_solver: Start, creator: LocalSigner) -> None:
    """beh:I7"""
    solver = start_solver(offers_per_account=2)
    solver.offer_job(creator)
    solver.offer_job(creator)
    with pytest.raises(RateLimited) as caught:
        solver.offer_job(creator)
    assert caught.value.figures["what"] == "open offers"


# ---- operating


def test_solver__while_it_runs__tells_health_and_metrics(solver: RunningSolver, tmp_path: Path) -> None:
    """beh:L11"""
    health = json.loads((solver.settings.data / "health.json").read_text())
    assert httpx.get(f"{health['url']}/readyz").status_code == 200
    metrics = httpx.get(f"{health['url']}/metrics").text
    assert re.search(r"^lilypad_offers 0\.0$", metrics, re.M) and "lilypad_head_block" in metrics
    log = (solver.settings.data / "agent.log").read_text().splitlines()
    assert json.loads(log[0])["event"] == "agent_started"
