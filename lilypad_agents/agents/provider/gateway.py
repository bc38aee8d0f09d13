"""The provider's own endpoint, where it has one: results for the creators who pay for them, modules for everybody.

A trustless gateway over the agent's store. Requests for a result are signed like those to a solver (RFC 9421); what
belongs to no deal of the requester, and to none that it sits in judgement over, is answered as if it were not there.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Collection
from typing import Any

import uvicorn
from starlette.requests import Request

from lilypad_agents.agents.provider.library import MODULE_PINS
from lilypad_agents.agents.provider.store import ProviderStore
from lilypad_agents.agents.runtime import http_signature
from lilypad_agents.agents.runtime.context import AgentContext
from lilypad_agents.agents.runtime.errors import PortTaken
from lilypad_agents.agents.runtime.http_heads import BoundedHeads
from lilypad_agents.agents.runtime.http_signature import NonceStore
from lilypad_agents.agents.runtime.panels import Panels
from lilypad_agents.agents.solver.access import received
from lilypad_agents.chain.clock import read_moment
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import ContentError
from lilypad_agents.content.gateway import create_gateway
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import Address, DealId
from lilypad_agents.protocol.lifecycle import DisputeKind, Status

_STOP_S = 2.0


class Readers:
    """Who may read what: the creator of a deal its result and receipt; everybody manifests and artefacts.

    Mediators who sit in a deal's dispute read its inputs from their draw on, and the result once their commits are closed.
    """

    def __init__(self, context: AgentContext, store: ProviderStore, served_as: Collection[str]) -> None:
        self._context = context
        self._store = store
        self._panels = Panels(context, "gateway") if Panels.exist_in(context) else None
        self._following = threading.Lock()
        self._served_as = served_as
        self._nonces = NonceStore(since=int(time.time()))

    def identify(self, request: Request) -> Address | None:
        """The account that signed a request; None for one without a signature. Raises what is wrong with one."""
        if "signature" not in request.headers:
            return None
        found = received(request.scope, request.url.scheme)
        signed = http_signature.verify(found, now=int(time.time()), nonces=self._nonces, served_as=self._served_as)
        return signed.account

    def may_read(self, root: Cid, reader: Any | None) -> bool:
        """Whether the reader may have the tree of `root`."""
        if any(pin.root == root for pin in self._context.store.pins(MODULE_PINS)):
            return True
        if reader is None:
            return False
        asked = set(self._store.deals_with(root))
        creators = (self._context.deals.get(deal_id) for deal_id in asked)
        if any(entry is not None and entry.deal.creator == reader for entry in creators):
            return True
        return self._panels is not None and self._may_judge(self._panels, root, reader, asked)

    def _may_judge(self, panels: Panels, root: Cid, reader: Address, asked: Collection[DealId]) -> bool:
        """Whether the reader sits in a dispute of ours for which it may have this. Raises ChainUnreachable, RpcError."""
        disputed = [entry for entry in self._context.deals.open_deals() if entry.state.status is Status.IN_MEDIATION]
        if not disputed:
            return False
        with self._following:
            panels.follow(read_moment(self._context.rpc))
        for entry in disputed:
            delivery = entry.state.kind is DisputeKind.DELIVERY
            if root in self._inputs_of(entry.deal) and panels.sits(entry.id, reader, delivery=delivery):
                return True
            if entry.id in asked and panels.may_see_result(entry.id, reader, delivery=delivery):
                return True
        return False

    def _inputs_of(self, deal: Deal) -> set[Cid]:
        """The inputs document of a deal, and the files that it names."""
        document = Cid.raw(deal.inputs)
        try:
            files = json.loads(self._context.store.get(document))["files"].values()
            return {document, *(Cid.parse(text) for text in files)}
        except (ContentError, ValueError, KeyError, TypeError, AttributeError):
            return {document}


class Gateway:
    """Serves from `start` to `stop`; `url` is where, without a final slash."""

    def __init__(self, context: AgentContext, store: ProviderStore, host: str, port: int) -> None:
        self._context = context
        self._store = store
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.url = ""

    def start(self) -> Gateway:
        """Listens and returns. Raises PortTaken."""
        try:
            self._socket = socket.create_server((self._host, self._port))
        except OSError as error:
            raise PortTaken(
                f"Nothing can listen on {self._host}:{self._port}: {error.strerror}.", host=self._host, port=self._port
            ) from None
        authority = f"{self._host}:{self._socket.getsockname()[1]}"
        self.url = f"http://{authority}"
        readers = Readers(self._context, self._store, {authority, authority.replace("127.0.0.1", "localhost")})
        app = create_gateway(self._context.store, readers.may_read, identify=readers.identify)
        config = uvicorn.Config(app, http=BoundedHeads, log_config=None, access_log=False, lifespan="off", server_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()
        self._context.log("gateway_serves", url=self.url)
        return self

    def _run(self) -> None:
        assert self._server is not None and self._socket is not None
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """Closes; a second call does nothing."""
        server, self._server = self._server, None
        if server is not None:
            server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_S)
        if self._socket is not None:
            self._socket.close()
            self._socket = None
