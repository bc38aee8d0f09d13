"""A small HTTP proxy in front of a JSON-RPC endpoint that misbehaves on demand (fault list, "Anvil caveats").

Set the public attributes at any time; they hold for the requests that come after. Counts what it saw.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HTML = b"<!DOCTYPE html><html><body>Bad gateway</body></html>"


class FaultProxy:
    """Forwards to `upstream` (http://host:port). `mode` is one of:

    pass; status (answers `status` with `retry_after`); html; truncated; slow (`delay_s` before forwarding);
    trickle (one byte every `delay_s`); hang (until another mode is set); lost (forwards, then drops the connection).
    Independently of the mode: `lag_blocks` serves an old head, `chain_id` another id, `hide_logs` no events,
    `repeat_logs` each event twice and in reverse, `max_log_range` refuses wider log queries, `lose_methods` drops the
    answer to these methods `lose_count` times, and `rewrite` is called with every request and its answer.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.mode = "pass"
        self.status = 500
        self.retry_after: str | None = None
        self.delay_s = 0.0
        self.lag_blocks = 0
        self.chain_id: int | None = None
        self.hide_logs = False
        self.repeat_logs = False
        self.max_log_range: int | None = None
        self.lose_methods: frozenset[str] = frozenset()
        self.lose_count = 0
        self.rewrite: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] | None = None
        self.requests: Counter[str] = Counter()
        self.times: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.raw_transactions: list[str] = []
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listens (again on the same port after `stop`)."""
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Refuses connections and ends those that are open."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.mode = "pass"
        self.stop()

    # --- one request -------------------------------------------------------------------------------------------------

    def note(self, requests: list[dict[str, Any]]) -> None:
        with self._lock:
            self.times.append(time.monotonic())
            for request in requests:
                self.requests[request["method"]] += 1
                if request["method"] == "eth_sendRawTransaction":
                    self.raw_transactions.append(request["params"][0])

    def enter(self, step: int) -> None:
        with self._lock:
            self.in_flight += step
            self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def loses(self, requests: list[dict[str, Any]]) -> bool:
        with self._lock:
            if self.lose_count > 0 and any(request["method"] in self.lose_methods for request in requests):
                self.lose_count -= 1
                return True
        return self.mode == "lost"

    @property
    def touches_answers(self) -> bool:
        """Whether an answer has to be read, and perhaps changed, before it is passed on."""
        set_ = (self.lag_blocks, self.chain_id is not None, self.hide_logs, self.repeat_logs, self.rewrite)
        return any(set_) or self.max_log_range is not None

    def forward(self, requests: list[dict[str, Any]], batch: bool) -> bytes:
        if not self.touches_answers:
            return self._post(json.dumps(requests if batch else requests[0]).encode())
        answers = []
        head = self._head() if self.lag_blocks else 0
        for request in requests:
            answers.append(self._answer(request, head))
        return json.dumps(answers if batch else answers[0]).encode()

    def _head(self) -> int:
        return int(self._upstream({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []})["result"], 16)

    def _answer(self, request: dict[str, Any], head: int) -> dict[str, Any]:
        method, params = request["method"], request["params"]
        shown = max(0, head - self.lag_blocks)
        if self.chain_id is not None and method in ("eth_chainId", "net_version"):
            return {"jsonrpc": "2.0", "id": request["id"], "result": hex(self.chain_id)}
        if self.lag_blocks and method == "eth_blockNumber":
            return {"jsonrpc": "2.0", "id": request["id"], "result": hex(shown)}
        if self.lag_blocks and method == "eth_getLogs" and params[0].get("toBlock") == "latest":
            request = {**request, "params": [{**params[0], "toBlock": hex(shown)}]}
        if self.lag_blocks and method == "eth_getBlockByNumber":
            if params[0] == "latest":
                request = {**request, "params": [hex(shown), *params[1:]]}
            elif params[0].startswith("0x") and int(params[0], 16) > shown:
                return {"jsonrpc": "2.0", "id": request["id"], "result": None}
        longest = self.max_log_range  # read once: others change it meanwhile
        if method == "eth_getLogs" and longest is not None and "fromBlock" in params[0]:
            last = self._head() if params[0]["toBlock"] == "latest" else int(params[0]["toBlock"], 16)
            if last - int(params[0]["fromBlock"], 16) + 1 > longest:
                error = {"code": -32005, "message": "query exceeds max block range"}
                return {"jsonrpc": "2.0", "id": request["id"], "error": error}
        answer = self._upstream(request)
        if method == "eth_getLogs" and isinstance(answer.get("result"), list):
            if self.hide_logs:
                answer["result"] = []
            if self.repeat_logs:
                answer["result"] = list(reversed(answer["result"] + answer["result"]))
        return self.rewrite(request, answer) if self.rewrite else answer

    def _upstream(self, request: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._post(json.dumps(request).encode()))
        return answer

    def _post(self, body: bytes) -> bytes:
        connection = http.client.HTTPConnection(self.upstream.hostname or "", self.upstream.port, timeout=30)
        try:
            connection.request("POST", "/", body, {"content-type": "application/json"})
            return connection.getresponse().read()
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed, or a chain that does not answer, is what this is for; anything else is told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # one packet per answer
    owner: FaultProxy

    def setup(self) -> None:
        super().setup()
        with self.owner._lock:
            self.owner._connections.add(self.connection)

    def finish(self) -> None:
        with self.owner._lock:
            self.owner._connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def do_POST(self) -> None:
        proxy = self.owner
        length = int(self.headers["content-length"])
        body = self.rfile.read(length)
        if len(body) < length:  # killed in the middle of a request
            self.close_connection = True
            return
        document = json.loads(body)
        batch = isinstance(document, list)
        requests = document if batch else [document]
        proxy.note(requests)
        proxy.enter(1)
        try:
            self._serve(proxy, requests, batch)
        except (BrokenPipeError, ConnectionError, http.client.HTTPException):
            self.close_connection = True
        finally:
            proxy.enter(-1)

    def _serve(self, proxy: FaultProxy, requests: list[dict[str, Any]], batch: bool) -> None:
        mode = proxy.mode
        if mode == "status":
            headers = {"retry-after": proxy.retry_after} if proxy.retry_after is not None else {}
            return self._send(proxy.status, b"no", headers)
        if mode == "html":
            return self._send(200, HTML, {"content-type": "text/html"})
        while proxy.mode == "hang":
            time.sleep(0.02)
        if mode == "slow":
            time.sleep(proxy.delay_s)
        body = proxy.forward(requests, batch)
        if proxy.loses(requests):
            self.close_connection = True
            return None
        if mode == "truncated":
            return self._send(200, body[: len(body) // 2], {})
        if mode == "trickle":
            return self._trickle(body, proxy)
        return self._send(200, body, {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _trickle(self, body: bytes, proxy: FaultProxy) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(proxy.delay_s)

    def log_message(self, format: str, *args: Any) -> None:
        return None
