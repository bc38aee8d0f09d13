"""Health of an agent over HTTP: `/livez`, `/readyz` and `/metrics`, from a small thread of its own.

Live: the loop finished a cycle lately. Ready: live, and nobody reported a reason against it (chain lost, disk full,
starting). Where it listens stands in `<data>/health.json`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from lilypad_agents.agents.runtime.errors import PortTaken


class Health:
    """What is wrong with an agent now, and its metrics. Thread safe."""

    def __init__(self, *, stall_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_s = stall_s
        self._clock = clock
        self._beat = clock()
        self._reasons: dict[str, str] = {"start": "the agent has not finished its first cycle"}
        self._lock = threading.Lock()
        self.registry = CollectorRegistry()
        self.cycles = Counter("lilypad_cycles", "Cycles of the loop", registry=self.registry)
        self.failures = Counter("lilypad_cycle_failures", "Cycles that failed", ["code"], registry=self.registry)
        self.head = Gauge("lilypad_head_block", "Newest block seen", registry=self.registry)
        self.cycle_seconds = Gauge("lilypad_cycle_seconds", "Length of the last cycle", registry=self.registry)
        memory = Gauge("lilypad_resident_bytes", "Memory of the process", registry=self.registry)
        memory.set_function(_resident_bytes)
        Gauge("lilypad_ready", "1 when ready", registry=self.registry).set_function(lambda: float(not self.against()))

    def beat(self) -> None:
        """The loop finished a cycle, with or without success."""
        with self._lock:
            self._beat = self._clock()

    def set(self, name: str, reason: str | None) -> None:
        """Reports (or with None takes back) the reason `name` against being ready."""
        with self._lock:
            if reason is None:
                self._reasons.pop(name, None)
            else:
                self._reasons[name] = reason

    @property
    def live(self) -> bool:
        with self._lock:
            return self._clock() - self._beat <= self._stall_s

    def against(self) -> dict[str, str]:
        """Reasons against being ready; empty when ready."""
        with self._lock:
            reasons = dict(self._reasons)
        if not self.live:
            reasons["stall"] = f"no cycle for more than {self._stall_s:g} s"
        return reasons


class HealthServer:
    """Serves a `Health` from `start` to `stop`. `url` without a final slash."""

    def __init__(self, health: Health, host: str, port: int, data: Path | None) -> None:
        """`port` 0 takes a free one; with `data` the address is written to `data/health.json`."""
        self._health = health
        self._place = (host, port)
        self._data = data
        self._server: ThreadingHTTPServer | None = None
        self.url = ""

    def start(self) -> HealthServer:
        """Raises PortTaken."""
        health = self._health

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_GET(self) -> None:
                _answer(self, health)

            def log_message(self, *_: Any) -> None:
                pass

        try:
            self._server = ThreadingHTTPServer(self._place, Handler)
        except OSError as error:
            host, port = self._place
            raise PortTaken(f"Nothing can listen on {host}:{port}: {error.strerror}.", host=host, port=port) from None
        self._server.daemon_threads = True
        host, port = self._server.server_address[:2]
        self.url = f"http://{str(host)}:{port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="health", daemon=True).start()
        if self._data is not None:
            (self._data / "health.json").write_text(json.dumps({"url": self.url, "port": port}) + "\n")
        return self

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            if self._data is not None:
                (self._data / "health.json").unlink(missing_ok=True)


def _answer(request: BaseHTTPRequestHandler, health: Health) -> None:
    path = request.path.partition("?")[0]
    if path == "/livez":
        _send(request, 200 if health.live else 503, {"live": health.live})
    elif path == "/readyz":
        reasons = health.against()
        _send(request, 503 if reasons else 200, {"ready": not reasons, "reasons": reasons})
    elif path == "/metrics":
        _send_bytes(request, 200, generate_latest(health.registry), CONTENT_TYPE_LATEST)
    else:
        _send(request, 404, {"error": "there are /livez, /readyz and /metrics"})


def _send(request: BaseHTTPRequestHandler, status: int, document: dict[str, Any]) -> None:
    _send_bytes(request, status, json.dumps(document).encode() + b"\n", "application/json")


def _send_bytes(request: BaseHTTPRequestHandler, status: int, body: bytes, media: str) -> None:
    request.send_response(status)
    request.send_header("Content-Type", media)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def _resident_bytes() -> float:
    import psutil

    return float(psutil.Process().memory_info().rss)
