"""The API's HTTP server: uvicorn in a thread beside the agent's loop, on a socket that is bound before anything starts."""

from __future__ import annotations

import asyncio
import socket
import threading

import uvicorn

from lilypad_agents.agents.runtime.errors import PortTaken
from lilypad_agents.agents.runtime.http_heads import BoundedHeads
from lilypad_agents.agents.solver.access import Access
from lilypad_agents.agents.solver.api import create_api
from lilypad_agents.agents.solver.service import SolverService
from lilypad_agents.agents.solver.settings import SolverSettings

_BACKLOG = 512
_KEEP_ALIVE_S = 75
_SPARE_CONNECTIONS = 500  # besides event streams; beyond that uvicorn answers 503
_STOP_S = 3.0


class ApiServer:
    """Serves from `start` to `stop`; `url` is where, without a final slash."""

    def __init__(self, service: SolverService, settings: SolverSettings) -> None:
        self._service = service
        self._settings = settings
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.url = ""

    def start(self) -> ApiServer:
        """Listens and returns. Raises PortTaken."""
        settings = self._settings
        self._socket = _bind(settings.host, settings.port, settings.heartbeat_s)
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://{_bracketed(host)}:{port}"
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(host, port, started), name="api", daemon=True)
        self._thread.start()
        started.wait(10)
        return self

    def _run(self, host: str, port: int, started: threading.Event) -> None:
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            runner.run(self._serve(host, port, started))

    async def _serve(self, host: str, port: int, started: threading.Event) -> None:
        assert self._socket is not None
        access = Access(self._settings, self._authorities(host, port))
        config = uvicorn.Config(
            create_api(self._service, access),
            http=BoundedHeads,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=2,
            limit_concurrency=self._settings.streams + _SPARE_CONNECTIONS,
        )
        self._server = uvicorn.Server(config)
        started.set()
        await self._server.serve(sockets=[self._socket])

    def _authorities(self, host: str, port: int) -> set[str]:
        """The names under which requests may be signed: the configured ones, and this machine's where it listens."""
        names = {name.lower() for name in self._settings.served_as}
        local = {"127.0.0.1", "localhost", "[::1]"} if host in ("127.0.0.1", "::1", "0.0.0.0", "::") else set()
        for name in {_bracketed(host), *local}:
            names.add(f"{name}:{port}")
        return names

    def stop(self) -> None:
        """Ends streams, answers what is being answered, closes. A second call does nothing."""
        server, self._server = self._server, None
        thread, self._thread = self._thread, None
        if server is not None:
            server.should_exit = True
            self._service.hub.close()
            if thread is not None:
                thread.join(_STOP_S)
            server.force_exit = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where there is one: a request costs a fifth less CPU."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _bind(host: str, port: int, patience_s: float) -> socket.socket:
    """A bound socket whose connections end when a peer stays silent for `patience_s` though something was sent to it.

    A provider whose machine lost power would else keep its event stream, and so its presence, for a quarter of an hour.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, or asyncio leaves Nagle's algorithm on for its connections: 40 ms on each answer of two parts.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(patience_s * 1_000))
        bound.bind((host, port))
        bound.set_inheritable(False)
    except OSError as error:
        bound.close()
        raise PortTaken(f"Nothing can listen on {host}:{port}: {error.strerror}.", host=host, port=port) from None
    return bound


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
