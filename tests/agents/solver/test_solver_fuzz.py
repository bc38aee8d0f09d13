"""Requests made from the published document, valid and broken, signed and not: none may make the solver fail.

Through the ASGI interface, so that the short run has many examples; the solver behind it is a real one on a real chain.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lilypad_agents.agents.runtime import http_signature
from lilypad_agents.agents.solver.access import Access
from lilypad_agents.agents.solver.api import create_api
from lilypad_agents.agents.solver.openapi import document
from lilypad_agents.chain.keys import LocalSigner
from tests.support.network import signer
from tests.support.solver import RunningSolver

HOST = "http://solver.test"
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATIONS = [
    (method, path) for path, methods in document()["paths"].items() for method in methods if path != "/v1/events"
]


@schemathesis.serializer("application/vnd.ipld.car")
def archive(context: Any, value: Any) -> Any:
    """Whatever the fuzzer thinks up, as the bytes of an upload."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


class Signing(httpx.Auth):
    """Signs whatever is sent, as it is sent."""

    requires_request_body = True

    def __init__(self, key: LocalSigner) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Any:
        for name in ("signature", "signature-input", "content-digest"):
            request.headers.pop(name, None)
        http_signature.sign(request, self._key, int(time.time()))
        yield request


@pytest.fixture
def send(solver: RunningSolver, creator: LocalSigner) -> Callable[..., httpx.Response]:
    """Sends a request of the fuzzer to the API, signed or not."""
    app = create_api(solver.service, Access(solver.settings, {"solver.test"}))

    def send(request: httpx.Request, signed: bool) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            auth = Signing(creator) if signed else None
            async with httpx.AsyncClient(transport=transport, base_url=HOST) as http:
                return await http.send(request, auth=auth)

        return anyio.run(go)

    return send


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{method} {path}" for method, path in OPERATIONS])
def test_fuzzing__every_operation__finds_no_500(
    send: Callable[..., httpx.Response], method: str, path: str
) -> None:
    """beh:I8 beh:I6: no failure, only documented statuses, and bodies of the documented form."""
    api = schemathesis.openapi.from_dict(document())
    operation = api[path][method.upper()]
    seen: set[int] = set()

    def one(case: Any) -> None:
        for signed in (True, False):
            response = send(_request(case), signed)
            seen.add(response.status_code)
            case.validate_response(response, checks=CHECKS)

    strategy = operation.as_strategy(schemathesis.GenerationMode.POSITIVE) | operation.as_strategy(
        schemathesis.GenerationMode.NEGATIVE
    )
    run = given(strategy)(one)
    settings(
        max_examples=12, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(run)()  # fmt: skip
    assert seen and 500 not in seen


def _request(case: Any) -> httpx.Request:
    """The fuzzer's case as a request of httpx."""
    kwargs = case.as_transport_kwargs(base_url=HOST)
    allowed = {"method", "url", "params", "headers", "json", "data", "content", "cookies"}
    options = {name: value for name, value in kwargs.items() if name in allowed and value is not None}
    data = options.pop("data", None)
    if isinstance(data, (bytes, str)):
        options["content"] = data
    return httpx.Request(**options)


def test_fuzzing__random_account__never_sees_what_is_not_its_own(send: Callable[..., httpx.Response]) -> None:
    response = send(httpx.Request("GET", f"{HOST}/v1/deals", params={"party": signer(19).address}), True)
    assert response.status_code == 403
