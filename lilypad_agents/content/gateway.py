"""A trustless HTTP gateway over a store: blocks and CARs by CID, verifiable by whoever receives them, nothing else.

`GET|HEAD /ipfs/{cid}?format=raw|car` (or the matching Accept header). For content that only some may read, `authorize`
is asked with the CID and with whoever `identify` found in the request; a block inside a private tree is asked for with
`&root={cid of the tree}`, and then the right to the root decides. Source: IPFS trustless gateway specification.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lilypad_agents.content.blocks import BlockSource, iter_dag
from lilypad_agents.content.car import car_size, write_block_car, write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.dagpb import decode_node
from lilypad_agents.content.errors import (
    AccessDenied,
    BlockMismatch,
    BlockMissing,
    InvalidBlock,
    InvalidCar,
    InvalidCid,
    LimitExceeded,
    NotAcceptable,
    StoreFull,
    UnsafeName,
    UnsupportedRequest,
)
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.unixfs import is_folder
from lilypad_agents.errors import LilypadError

RAW = "application/vnd.ipld.raw"
CAR = "application/vnd.ipld.car"
CAR_TYPE = f"{CAR}; version=1; order=dfs; dups=n"
_FORMATS = {"raw": RAW, "car": CAR}
_WHOLE_BYTES = 1 << 18  # an archive up to here is sent in one piece
_SCOPES = ("all", "entity", "block")
_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)

_STATUS: dict[type[LilypadError], int] = {
    InvalidCid: 400,
    UnsupportedRequest: 400,
    AccessDenied: 403,
    BlockMissing: 404,
    NotAcceptable: 406,
    LimitExceeded: 413,
    BlockMismatch: 422,
    InvalidBlock: 422,
    InvalidCar: 422,
    UnsafeName: 422,
    StoreFull: 507,
}

Requester = Any
Authorize = Callable[[Cid, Requester | None], bool]
Identify = Callable[[Request], "Requester | None | Awaitable[Requester | None]"]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one request asks for; `root` is the tree whose rights count, the CID itself when none was named."""

    cid: Cid
    root: Cid
    media: str
    scope: str


def create_gateway(
    store: BlockSource, authorize: Authorize, *, identify: Identify | None = None, limits: Limits = Limits()
) -> Starlette:
    """A sub-application to mount at the root of a server.

    `authorize(cid, requester)` decides in a thread and may take its time; `requester` is what `identify` made of the
    request (a checked signature), None for anybody. An error of `identify` that is a LilypadError is answered with
    401. A CAR of a tree beyond `limits` is refused; its blocks can still be fetched one by one.
    """
    gateway = _Gateway(store, authorize, identify, limits)
    routes = [
        Route("/ipfs/{cid}", gateway.serve, methods=["GET", "HEAD"]),
        Route("/ipfs/{cid}/{path:path}", gateway.refuse_path, methods=["GET", "HEAD"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _plain_http_error})


def http_status(error: LilypadError) -> int:
    """The HTTP status for an error of this package, 500 for others; servers that take content use it too."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def error_response(error: LilypadError, status: int | None = None) -> Response:
    """`{"error": {code, message, hint, figures}}` with the fitting status; 401 says that signing may help."""
    status = status or http_status(error)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if status == 401:
        headers["WWW-Authenticate"] = "Signature"
    return JSONResponse({"error": error.as_dict()}, status, headers)


class _Gateway:
    def __init__(self, store: BlockSource, authorize: Authorize, identify: Identify | None, limits: Limits) -> None:
        self._store = store
        self._authorize = authorize
        self._identify = identify
        self._limits = limits

    async def serve(self, request: Request) -> Response:
        try:
            requester = await self._requester(request)
        except LilypadError as error:
            return error_response(error, 401)
        try:
            return await run_in_threadpool(self._answer, request, requester)
        except AccessDenied as error:
            return error_response(error, 401 if requester is None else 403)
        except LilypadError as error:
            return error_response(error)

    async def refuse_path(self, request: Request) -> Response:
        return error_response(UnsupportedRequest("paths behind a CID are not resolved here"))

    async def _requester(self, request: Request) -> Requester | None:
        found = self._identify(request) if self._identify is not None else None
        return await found if inspect.isawaitable(found) else found

    def _answer(self, request: Request, requester: Requester | None) -> Response:
        wish = _read_wish(request)
        # Rights come before existence, so that nobody learns from a refusal what is stored here.
        if not self._authorize(wish.root, requester):
            raise AccessDenied("this content is not for everybody", cid=str(wish.root))
        self._check_membership(wish)
        headers = _headers(wish, public=requester is None)
        answer = self._answer_raw if wish.media == RAW else self._answer_car
        return answer(request, wish, headers)

    def _check_membership(self, wish: _Wish) -> None:
        if wish.cid == wish.root:
            return
        if not any(cid == wish.cid for cid in iter_dag(self._store.get, wish.root, self._limits.max_blocks)):
            raise BlockMissing("the tree does not contain the block", cid=str(wish.cid), root=str(wish.root))

    def _answer_raw(self, request: Request, wish: _Wish, headers: dict[str, str]) -> Response:
        headers["Accept-Ranges"] = "bytes"
        data = self._store.get(wish.cid)
        if _not_modified(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        span = _requested_range(request, headers["ETag"], len(data))
        if span is None:
            return _whole(request, headers, len(data), data)
        start, end = span
        if start >= end:
            headers = {"Content-Range": f"bytes */{len(data)}", "Cache-Control": "no-store"}
            return Response(status_code=416, headers=headers)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        return _whole(request, headers, end - start, data[start:end], status=206)

    def _answer_car(self, request: Request, wish: _Wish, headers: dict[str, str]) -> Response:
        headers["Accept-Ranges"] = "none"
        if wish.scope == "block" or (wish.scope == "entity" and self._is_folder(wish.cid)):
            archive = write_block_car(wish.cid, self._store.get(wish.cid))
            size, chunks = len(archive), iter((archive,))
        else:
            size, chunks = self._size_of_car(wish.cid), write_car(self._store, wish.cid)
        if _not_modified(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        headers["Content-Length"] = str(size)
        if request.method == "HEAD":
            return Response(headers=headers)
        if size <= _WHOLE_BYTES:  # a stream takes a turn through a thread for each block
            return Response(b"".join(chunks), headers=headers)
        return StreamingResponse(chunks, headers=headers)

    def _size_of_car(self, root: Cid) -> int:
        """Raises before the first byte what would otherwise break the stream: a missing block, too much content."""
        size = car_size(self._store, root, self._limits.max_blocks)
        if size > self._limits.max_wire_bytes:
            raise LimitExceeded(
                f"the CAR would have {size} bytes, served are {self._limits.max_wire_bytes}",
                hint="Fetch the blocks one by one with `format=raw`.",
                found=size,
                allowed=self._limits.max_wire_bytes,
            )
        return size

    def _is_folder(self, cid: Cid) -> bool:
        return not cid.is_raw and is_folder(decode_node(self._store.get(cid)))


def _read_wish(request: Request) -> _Wish:
    cid = Cid.parse(request.path_params["cid"])
    query = request.query_params
    root = Cid.parse(query["root"]) if "root" in query else cid
    media = _media(query.get("format"), request.headers.get("accept", ""))
    scope = query.get("dag-scope", "all")
    if scope not in _SCOPES:
        raise UnsupportedRequest("dag-scope is all, entity or block", found=scope[:80])
    if media == CAR:
        _check_car_options(query.get("car-version", "1"), query.get("car-order", "dfs"), query)
    return _Wish(cid, root, media, scope)


def _check_car_options(version: str, order: str, query: Any) -> None:
    if version != "1" or order not in ("dfs", "unk"):
        raise UnsupportedRequest("a CAR comes in version 1 and depth first", version=version[:80], order=order[:80])
    if "entity-bytes" in query:
        raise UnsupportedRequest("parts of a file are not served as a CAR", hint="Fetch its leaves with `format=raw`.")


def _media(wanted: str | None, accept: str) -> str:
    """The media type to answer with; the query wins over the header, a higher q over a lower one."""
    if wanted is not None:
        if wanted not in _FORMATS:
            raise UnsupportedRequest("format is raw or car", found=wanted[:80])
        return _FORMATS[wanted]
    ranked = sorted(map(_accepted, accept.split(",")), key=lambda item: -item[1])
    for media, quality in ranked:
        if media in (RAW, CAR) and quality > 0:
            return media
    raise NotAcceptable("the request asks for no format that can be verified", accept=accept[:200])


def _accepted(item: str) -> tuple[str, float]:
    """Media type and q of one member of an Accept header; q 0 for one that asks for what cannot be had."""
    media, *parameters = (part.strip().lower() for part in item.split(";"))
    options = dict(part.partition("=")[::2] for part in parameters)
    if options.get("version", "1") != "1" or options.get("order", "dfs") not in ("dfs", "unk"):
        return media, 0.0
    try:
        return media, float(options.get("q", "1"))
    except ValueError:
        return media, 0.0


def _headers(wish: _Wish, *, public: bool) -> dict[str, str]:
    suffix = "raw" if wish.media == RAW else f"car.{wish.scope}"
    extension = "bin" if wish.media == RAW else "car"
    return {
        "Content-Type": RAW if wish.media == RAW else CAR_TYPE,
        "Content-Disposition": f'attachment; filename="{wish.cid}.{extension}"',
        "ETag": f'"{wish.cid}.{suffix}"',
        "Cache-Control": "public, max-age=29030400, immutable" if public else "private, no-store",
        "Vary": "Accept",
        "X-Content-Type-Options": "nosniff",
    }


def _not_modified(request: Request, etag: str) -> bool:
    known = request.headers.get("if-none-match", "")
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known.split(","))


def _requested_range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of a single byte range, empty when it lies outside; None to send everything."""
    match = _ONE_RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or match.groups() == ("", "") or request.headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1 if last else size)


def _whole(request: Request, headers: dict[str, str], size: int, data: bytes, status: int = 200) -> Response:
    headers["Content-Length"] = str(size)
    return Response(None if request.method == "HEAD" else data, status, headers)


async def _plain_http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    response = error_response(UnsupportedRequest("the gateway has no such address or method"), status)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response
