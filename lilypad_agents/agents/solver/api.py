"""The solver over HTTP: signed JSON under /v1, pushed trees, a gateway for content, and a stream of hints.

Every request passes the same steps: rate limit, client version, signature, body within its limit and with the digest
that was signed, then the handler in a thread. Errors carry code, message, hint and figures, and never anything else.
"""

from __future__ import annotations

import hashlib
import json
from asyncio import Future, get_running_loop
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from functools import cached_property
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from lilypad_agents.agents.runtime.errors import (
    RequestElsewhere,
    RequestForged,
    RequestReplayed,
    RequestStale,
    RequestUnsigned,
)
from lilypad_agents.agents.runtime.http_signature import KIND_HEADER, SCOPE_HEADER, Signed
from lilypad_agents.agents.runtime.threads import Threads
from lilypad_agents.agents.solver.access import Access, retry_after
from lilypad_agents.agents.solver.endpoints import ENDPOINTS, Asked, Endpoint
from lilypad_agents.agents.solver.errors import (
    BadRequest,
    BodyAltered,
    Busy,
    Forbidden,
    MediaWrong,
    MethodWrong,
    NotFound,
    RateLimited,
    SolverError,
    TooLarge,
)
from lilypad_agents.agents.solver.openapi import document
from lilypad_agents.agents.solver.service import SolverService
from lilypad_agents.agents.solver.wire import ContentKind, Event, Scope, exact
from lilypad_agents.chain.errors import DatabaseUnusable, DiskFull, RpcError
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import ContentError
from lilypad_agents.content.gateway import create_gateway
from lilypad_agents.content.gateway import http_status as content_status
from lilypad_agents.content.transfer import import_car, import_car_async
from lilypad_agents.errors import ChainUnreachable, ConfigurationError, LilypadError, UsageError
from lilypad_agents.protocol.ids import Address, checksummed

_JSON = "application/json"
_CAR = "application/vnd.ipld.car"
_HEARTBEAT_S = 10.0
_WHOLE_UPLOAD = 1 << 18  # bytes of a body that is read before anything is done with it
_MOST_ACCOUNTS = 16  # of one event stream
_HANDLER_THREADS = 40  # requests that wait for the chain or the database at once
_SIGNATURE_ERRORS = (RequestUnsigned, RequestForged, RequestStale, RequestReplayed, RequestElsewhere)
_SAFE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
Scope_ = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def create_api(service: SolverService, access: Access) -> Any:
    """The ASGI application. Event streams end when the service's hub is closed."""
    api = _Api(service, access)
    return _Admission(api.application(), access, service)


class _Admission:
    """Before everything else: the rate of the network address. After it: whatever went wrong becomes an answer."""

    def __init__(self, inner: Any, access: Access, service: SolverService) -> None:
        self._inner = inner
        self._access = access
        self._service = service

    async def __call__(self, scope: Scope_, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = False
        unread = scope["method"] in ("POST", "PUT", "PATCH")

        async def taken() -> MutableMapping[str, Any]:
            nonlocal unread
            message = await receive()
            unread = unread and bool(message.get("more_body", False))
            return message

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                if unread:  # what follows of the body is not wanted: the connection must end, or it would be read for ever
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            self._access.admit(scope)
            self._access.check_version(scope)
            await self._inner(scope, taken, watched)
        except ClientDisconnect:
            return
        except Exception as error:  # the last resort: whoever asked gets an answer, the operator the reason
            if not isinstance(error, LilypadError):
                self._service.context.log.error(
                    "request_failed", exc_info=error, reason=f"{type(error).__name__}: {error}", path=scope["path"]
                )
            if not started:
                await error_response(error)(scope, receive, watched)


class _Api:
    def __init__(self, service: SolverService, access: Access) -> None:
        self._service = service
        self._access = access
        self._document = json.dumps(document(), separators=(",", ":")).encode()

    def application(self) -> Starlette:
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in ENDPOINTS:
            by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        routes: list[BaseRoute] = [
            Route("/v1/openapi.json", self._openapi, methods=["GET"]),
            Route("/v1/events", self._events, methods=["GET"]),
            Route("/v1/content/{root}", self._put_content, methods=["PUT"]),
            *(Route(path, self._serve(methods), methods=list(methods)) for path, methods in by_path.items()),
        ]
        gateway = create_gateway(
            self._service.context.store, self._authorize, identify=self._identify, limits=self._service.relay.limits
        )
        routes += gateway.routes  # not mounted: a mount at the root would swallow what has another method here
        handlers: Any = {HTTPException: _http_error, LilypadError: _own_error, Exception: _own_error}
        return Starlette(routes=routes, exception_handlers=handlers)

    # ---- JSON

    def _serve(self, methods: Mapping[str, Endpoint]) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            endpoint = methods.get("GET" if request.method == "HEAD" else request.method)
            if endpoint is None:
                raise MethodWrong(f"There is no {request.method} here.")
            signed = self._signed(request) if endpoint.signed else None
            data = await _body(request, endpoint.most_bytes)
            _check_digest(signed, data)
            asked = Asked(
                None if signed is None else signed.account,
                dict(request.path_params),
                _query(request),
                _json(request, data) if endpoint.body else None,
            )
            found = await self._handled(endpoint, asked)
            return json_response(found)

        return serve

    async def _handled(self, endpoint: Endpoint, asked: Asked) -> Any:
        """What the endpoint's handler answers, from a thread: it may wait for the chain or the database."""
        answer: Future[Any] = get_running_loop().create_future()
        self._threads.submit(_handle, answer, endpoint.handler, self._service, asked)
        return await answer

    @cached_property
    def _threads(self) -> Threads:
        """A quarter of a request's CPU cheaper than anyio's threads, and as many of them."""
        return Threads(_HANDLER_THREADS, "handler", self._not_answered)

    def _not_answered(self, error: Exception) -> None:
        self._service.context.log("answer_lost", reason=f"{type(error).__name__}: {error}")  # the server was stopped

    async def _openapi(self, request: Request) -> Response:
        return Response(self._document, media_type=_JSON, headers={"X-Content-Type-Options": "nosniff"})

    def _signed(self, request: Request) -> Signed:
        signed = self._access.identify(request.scope)
        self._service.heard(signed.account)
        return signed

    # ---- content

    async def _put_content(self, request: Request) -> Response:
        """Takes a tree as a CAR: streamed into the store, verified block by block, kept only when it is complete."""
        signed = self._signed(request)
        root = Cid.parse(request.path_params["root"])
        scope, kind = _scope_of(request), _kind_of(request)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _CAR:
            raise MediaWrong(f"Trees come as {_CAR}.", found=request.headers.get("content-type", "")[:80])
        relay, account, size = self._service.relay, signed.account, _length(request)
        if size is not None and size <= _WHOLE_UPLOAD:
            data = await _body(request, size)
            _check_digest(signed, data)
            await run_in_threadpool(self._take_content, root, scope, account, kind, data)
            return json_response({"root": str(root), "bytes": size}, 201)
        if scope.kind == "deal" and self._service.context.deals.get(scope.id) is None:
            await run_in_threadpool(self._service.wait_for_cycle, 2.0)
        upload = relay.upload(root, scope, account, size)
        await run_in_threadpool(upload.__enter__)
        try:
            digest, counted = hashlib.sha256(), [0]
            chunks = _counted(request, digest, counted)
            await import_car_async(chunks, self._service.context.store, root, relay.limits)
            if digest.digest() != signed.digest:
                raise BodyAltered("The upload does not have the digest that was signed.")
            await run_in_threadpool(relay.keep, root, scope, account, kind, counted[0])
        finally:
            upload.__exit__(None, None, None)
        return json_response({"root": str(root), "bytes": counted[0]}, 201)

    def _take_content(self, root: Cid, scope: Scope, account: Address, kind: ContentKind, data: bytes) -> None:
        """As `_put_content`, for a body that is here already: in one turn through a thread."""
        service, relay = self._service, self._service.relay
        if scope.kind == "deal" and service.context.deals.get(scope.id) is None:
            service.wait_for_cycle(2.0)
        with relay.upload(root, scope, account, len(data)):
            import_car([data], service.context.store, root, relay.limits)
            relay.keep(root, scope, account, kind, len(data))

    def _identify(self, request: Request) -> Address | None:
        """For the gateway: who asks, nobody without a signature."""
        if "signature-input" not in request.headers and "signature" not in request.headers:
            return None
        try:
            return self._signed(request).account
        except RateLimited as error:
            raise HTTPException(429) from error

    def _authorize(self, root: Cid, requester: Any) -> bool:
        try:
            return self._service.relay.may_read(root, requester)
        except (ChainUnreachable, RpcError) as error:
            raise HTTPException(503) from error

    # ---- hints

    async def _events(self, request: Request) -> Response:
        signed = self._signed(request)
        _check_digest(signed, await _body(request, 0))
        service = self._service
        if service.hub.listening >= service.settings.streams:
            raise Busy(f"There are {service.hub.listening} event streams already.", retry_after=10)
        accounts = await run_in_threadpool(self._heard_accounts, request, signed.account)
        since = request.headers.get("last-event-id") or request.query_params.get("since")
        listener, missed = service.hub.listen(accounts, since)
        pause = min(_HEARTBEAT_S, service.settings.heartbeat_s / 3)

        async def stream() -> AsyncIterator[bytes]:
            try:
                for event in missed:
                    yield _event_text(event)
                while not listener.closed:
                    found = await listener.next(pause)
                    service.heard(signed.account)
                    yield b"".join(map(_event_text, found)) or b": here\n\n"
            finally:
                service.hub.leave(listener)

        headers = {**_SAFE_HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)

    def _heard_accounts(self, request: Request, caller: Address) -> set[Address]:
        """The caller and those for which it acts, as it asks. Raises Forbidden, BadRequest."""
        named = request.query_params.getlist("party")
        if len(named) > _MOST_ACCOUNTS:
            raise BadRequest(f"At most {_MOST_ACCOUNTS} accounts a stream.", field="party", problem="too many")
        accounts = {caller}
        for text in named:
            try:
                account = checksummed(text)
            except ValueError:
                raise BadRequest("party must be an address.", field="party", problem="no address") from None
            if not self._service.parties.acts_for(account, caller):
                raise Forbidden(f"{caller} does not act for {account}.", account=caller)
            accounts.add(account)
        return accounts


def _handle(answer: Future[Any], handler: Callable[..., Any], *arguments: Any) -> None:
    """Runs a handler and hands its answer or error to the loop that waits for it."""
    try:
        found, error = handler(*arguments), None
    except Exception as caught:
        found, error = None, caught
    answer.get_loop().call_soon_threadsafe(_settle, answer, found, error)


def _settle(answer: Future[Any], found: Any, error: Exception | None) -> None:
    if answer.done():
        return  # whoever asked has gone
    if error is None:
        answer.set_result(found)
    else:
        answer.set_exception(error)


# ---- reading requests


async def _body(request: Request, most: int) -> bytes:
    """The body, at most `most` bytes. Raises TooLarge before more is read."""
    announced = _length(request)
    if announced is not None and announced > most:
        raise TooLarge(f"The body has {announced} bytes, {most} are allowed.", found=announced, allowed=most)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise TooLarge(f"The body has more than {most} bytes.", found=len(data), allowed=most)
    return bytes(data)


def _length(request: Request) -> int | None:
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise BadRequest("Content-Length is no number.", field="content-length", problem="malformed")
    return int(text)


def _check_digest(signed: Signed | None, data: bytes) -> None:
    if signed is not None and hashlib.sha256(data).digest() != signed.digest:
        raise BodyAltered("The body does not have the digest that was signed.")


def _json(request: Request, data: bytes) -> Any:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != _JSON:
        raise MediaWrong(f"The body must be {_JSON}.", found=media[:80])
    try:
        return json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadRequest("The body is no JSON.", field="", problem="no JSON") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _query(request: Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise BadRequest(f"{name[:40]} is given twice.", field=name[:40], problem="repeated")
        found[name] = value
    return found


def _scope_of(request: Request) -> Scope:
    text = request.headers.get(SCOPE_HEADER)
    if text is None:
        raise BadRequest("The upload needs a Lilypad-Scope.", field=SCOPE_HEADER, problem="missing")
    return Scope.parse(text)


def _kind_of(request: Request) -> ContentKind:
    text = request.headers.get(KIND_HEADER, str(ContentKind.OTHER))
    try:
        return ContentKind(text)
    except ValueError:
        kinds = ", ".join(ContentKind)
        raise BadRequest(f"Lilypad-Kind must be one of {kinds}.", field=KIND_HEADER, problem="unknown") from None


async def _counted(request: Request, digest: Any, counted: list[int]) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            digest.update(chunk)
            counted[0] += len(chunk)
            yield chunk


# ---- answering


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Response(body, status, {**_SAFE_HEADERS, **(headers or {})}, media_type=_JSON)


def error_response(error: Exception) -> Response:
    """Any error as an answer; what is not ours becomes a 500 without details."""
    if not isinstance(error, LilypadError):
        error = SolverError("The solver failed at this request.", hint="It is logged; tell the operator when.")
    status = status_of(error)
    headers = retry_after(error)
    if status == 503 and not headers:
        headers = {"Retry-After": "2"}
    if status == 401:
        headers["WWW-Authenticate"] = "Signature"
    if status == 426:
        headers["Upgrade"] = "lilypad"
    return json_response({"error": exact(error.as_dict())}, status, headers)


def status_of(error: LilypadError) -> int:
    """The HTTP status of an error."""
    if _only_signature(error):
        return 401
    declared = getattr(error, "status", None)
    if isinstance(declared, int):
        return declared
    if isinstance(error, _SIGNATURE_ERRORS):
        return 401
    if isinstance(error, ContentError):
        return content_status(error)
    if isinstance(error, DiskFull):
        return 507
    if isinstance(error, (ChainUnreachable, RpcError, DatabaseUnusable)):
        return 503
    if isinstance(error, ConfigurationError):
        return 503
    return 400 if isinstance(error, UsageError) else 500


def _only_signature(error: LilypadError) -> bool:
    """An offer whose only fault is that nobody who may signed it."""
    refusals = error.figures.get("refusals")
    return isinstance(refusals, list) and [item.get("error") for item in refusals] == ["SignatureInvalid"]


async def _own_error(request: Request, error: Exception) -> Response:
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals in our form, and ours that had to pass through the gateway."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, LilypadError):
        return error_response(error.__cause__)
    if error.status_code == 405:
        answer = error_response(MethodWrong(f"There is no {request.method} here."))
    elif error.status_code == 404:
        answer = error_response(NotFound("There is nothing at this address."))
    else:
        answer = error_response(BadRequest("The request is not one that this server takes.", field="", problem="malformed"))
        answer.status_code = error.status_code
    answer.headers.update(error.headers or {})
    return answer


def _event_text(event: Event) -> bytes:
    data = json.dumps(event.to_json(), separators=(",", ":"))
    return f"id: {event.seq}\nevent: {event.type}\ndata: {data}\n\n".encode()
