"""A SolverClient's exchange over what httpx can mock: the tests write servers as functions of httpx requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx

from lilypad_agents.agents.runtime.exchange import Request
from lilypad_agents.http_connection import HttpFailure


class MockExchange:
    """Carries requests to an httpx transport."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._client = httpx.Client(transport=transport)

    def send(self, request: Request, seconds: float) -> MockAnswer:
        url = f"{request.url.scheme}://{request.headers['host']}{request.url.raw_path.decode()}"
        made = self._client.build_request(request.method, url, headers=request.headers, content=request.content)
        try:
            return MockAnswer(self._client.send(made, stream=True))
        except httpx.HTTPError as error:
            raise HttpFailure(str(error)) from error

    def close(self) -> None:
        self._client.close()


class MockAnswer:
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response

    def chunks(self) -> Iterator[bytes]:
        return self._response.iter_bytes()

    def lines(self, idle_s: float) -> Iterator[str]:
        return self._response.iter_lines()

    def close(self) -> None:
        self._response.close()
