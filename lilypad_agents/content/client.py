"""Fetching content from sources that nobody trusts, and pushing it to where it will be served.

A fetch takes what the local store has, then one source after the other: the whole tree as a CAR while nothing of it is
here, single blocks afterwards. Every block is verified before it counts, so sources can be mixed freely, a broken
transfer goes on where it stopped, and a source that sends wrong bytes is asked no more. The time limit is a hard one,
whatever a source does. For synchronous callers: `content.sources`.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx

from lilypad_agents.content.blocks import BlockSource, Store
from lilypad_agents.content.car import CarDecoder, write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import BlockMismatch, InvalidCar, PushRefused
from lilypad_agents.content.limits import MAX_BLOCK_BYTES, Limits
from lilypad_agents.content.reader import TreeSummary, check_tree
from lilypad_agents.content.sources import DEFAULT_SECONDS, OnProgress, Sign, Source
from lilypad_agents.content.transfer import DagProgress, take_block
from lilypad_agents.errors import ContentUnavailable

CAR_MEDIA = "application/vnd.ipld.car"
RAW_MEDIA = "application/vnd.ipld.raw"
_STEP_TIMEOUT = httpx.Timeout(20.0, connect=10.0)
_ANSWER_BYTES = 4096
_READ_BYTES = 1 << 18


async def fetch(
    store: Store,
    root: Cid,
    sources: Sequence[Source],
    *,
    limits: Limits = Limits(),
    seconds: float = DEFAULT_SECONDS,
    http: httpx.AsyncClient | None = None,
    on_progress: OnProgress | None = None,
) -> TreeSummary:
    """Bring the complete tree of `root` into the store. Pin it afterwards.

    `on_progress(blocks, bytes)` hears what is here so far. Raises ContentUnavailable with what each source answered
    (`answers`), also when `seconds` are over; InvalidBlock, UnsafeName or LimitExceeded when the content itself is at
    fault, from wherever it comes; StoreFull. What arrived stays and shortens the next attempt.
    """
    job = _Fetch(store, root, limits, on_progress)
    try:
        async with asyncio.timeout(seconds), _client(http) as client:
            await job.run(client, sources)
    except TimeoutError as error:
        raise job.unavailable(f"not complete within {seconds:g} seconds") from error
    return await asyncio.to_thread(check_tree, store, root, limits)


async def push(
    store: BlockSource,
    root: Cid,
    base_url: str,
    *,
    sign: Sign | None = None,
    seconds: float = DEFAULT_SECONDS,
    http: httpx.AsyncClient | None = None,
) -> None:
    """Upload the complete tree of `root` as a CAR: `PUT {base_url}/v1/content/{root}`.

    The request carries Content-Length and Content-Digest (RFC 9530) when `sign` sees it. The store is read twice.
    Raises BlockMissing when the tree is not complete here, PushRefused with the answer or the failure.
    """
    try:
        async with asyncio.timeout(seconds), _client(http) as client:
            await _put(client, store, root, _base(base_url), sign)
    except TimeoutError as error:
        raise PushRefused("the upload did not end in time", url=base_url, seconds=seconds) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PushRefused(f"the upload failed: {_cause(error)}", url=base_url) from error


class _SourceFailed(Exception):
    """A source did not help; `lied` when it sent bytes that are not what it was asked for."""

    def __init__(self, reason: str, *, lied: bool = False) -> None:
        super().__init__(reason)
        self.lied = lied


class _CarUnusable(Exception):
    """A source has no CAR that can be read; its single blocks may do."""


class _Fetch:
    """One fetch: what is here, what is wanted, what each source answered."""

    def __init__(self, store: Store, root: Cid, limits: Limits, on_progress: OnProgress | None) -> None:
        self._store = store
        self._root = root
        self._limits = limits
        self._progress = DagProgress(root, limits)
        self._on_progress = on_progress
        self._answers: dict[str, str] = {}

    async def run(self, client: httpx.AsyncClient, sources: Sequence[Source]) -> None:
        """Ask the sources in turn, and again as long as a round brought something that the one before had not."""
        await asyncio.to_thread(self._progress.absorb, self._store)
        usable = list(sources)
        while not self._progress.complete:
            before = self._progress.blocks
            for source in list(usable):
                if not self._progress.complete and not await self._try(client, source):
                    usable.remove(source)
            if self._progress.blocks == before:
                raise self.unavailable("no source serves all of it")

    def unavailable(self, reason: str) -> ContentUnavailable:
        """The error that says what every source answered."""
        answers = [{"source": url, "answer": answer} for url, answer in self._answers.items()]
        told = "; ".join(f"{item['source']}: {item['answer']}" for item in answers) or "no source was asked"
        return ContentUnavailable(
            f"{self._root} cannot be had: {reason} ({told})", root=str(self._root), answers=answers
        )

    async def _try(self, client: httpx.AsyncClient, source: Source) -> bool:
        """Take all that the source gives. False when it is not to be asked again."""
        try:
            await self._take(client, source)
        except _SourceFailed as failure:
            self._answers[source.base_url] = str(failure)
            return not failure.lied
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._answers[source.base_url] = _cause(error)
        return True

    async def _take(self, client: httpx.AsyncClient, source: Source) -> None:
        self._answers.setdefault(source.base_url, "had not answered when the time was over")
        if self._progress.blocks == 0 and not self._root.is_raw:
            try:
                await self._take_car(client, source)
            except _CarUnusable as problem:
                self._answers[source.base_url] = str(problem)
        while not self._progress.complete:
            await self._take_block(client, source, self._progress.next())

    async def _take_car(self, client: httpx.AsyncClient, source: Source) -> None:
        decoder, received = CarDecoder(self._root), 0
        async with _get(client, source, self._root, {"format": "car"}, CAR_MEDIA) as response:
            if response.status_code in (400, 406, 413, 415, 501):
                raise _CarUnusable(await _answer_of(response))
            await _require_success(response)
            async for chunk in response.aiter_raw(_READ_BYTES):
                received += len(chunk)
                if received > self._limits.max_wire_bytes:
                    raise _SourceFailed("sent more than the content can have", lied=True)
                await asyncio.to_thread(self._store_chunk, decoder, chunk)
                self._report()

    def _store_chunk(self, decoder: CarDecoder, chunk: bytes) -> None:
        try:
            for cid, data in decoder.feed(chunk):
                take_block(self._store, self._progress, cid, data)
        except InvalidCar as error:
            raise _CarUnusable(error.message) from error
        except BlockMismatch as error:
            raise _SourceFailed(error.message, lied=True) from error

    async def _take_block(self, client: httpx.AsyncClient, source: Source, cid: Cid) -> None:
        query = {"format": "raw"} if cid == self._root else {"format": "raw", "root": str(self._root)}
        data = bytearray()
        async with _get(client, source, cid, query, RAW_MEDIA) as response:
            await _require_success(response)
            async for chunk in response.aiter_raw(_READ_BYTES):
                data += chunk
                if len(data) > MAX_BLOCK_BYTES:
                    raise _SourceFailed("sent more than a block can have", lied=True)
        await asyncio.to_thread(self._store_block, cid, bytes(data))
        self._report()

    def _store_block(self, cid: Cid, data: bytes) -> None:
        try:
            take_block(self._store, self._progress, cid, data)
        except BlockMismatch as error:
            raise _SourceFailed(error.message, lied=True) from error

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._progress.blocks, self._progress.bytes)


@asynccontextmanager
async def _client(given: httpx.AsyncClient | None) -> AsyncIterator[httpx.AsyncClient]:
    """The caller's client, or one for this call: no redirects, no proxies or passwords from the environment."""
    if given is not None:
        yield given
        return
    async with httpx.AsyncClient(verify=_tls(), trust_env=False, timeout=_STEP_TIMEOUT) as client:
        yield client


@functools.cache
def _tls() -> ssl.SSLContext:
    """Loading the certificates takes longer than a small fetch: once per process."""
    return httpx.create_ssl_context(trust_env=False)


@asynccontextmanager
async def _get(
    client: httpx.AsyncClient, source: Source, cid: Cid, query: dict[str, str], accept: str
) -> AsyncIterator[httpx.Response]:
    headers = {"Accept": accept, "Accept-Encoding": "identity"}
    request = client.build_request("GET", f"{_base(source.base_url)}/ipfs/{cid}", params=query, headers=headers)
    if source.sign is not None:
        source.sign(request)
    response = await client.send(request, stream=True, follow_redirects=False)
    try:
        yield response
    finally:
        await response.aclose()


async def _require_success(response: httpx.Response) -> None:
    if response.status_code != 200:
        raise _SourceFailed(await _answer_of(response))
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _SourceFailed("sent a compressed answer that was not asked for")


async def _put(client: httpx.AsyncClient, store: BlockSource, root: Cid, base: str, sign: Sign | None) -> None:
    size, digest = await asyncio.to_thread(_measure_car, store, root)
    headers = {
        "Content-Type": CAR_MEDIA,
        "Content-Length": str(size),
        "Content-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
    }
    request = client.build_request(
        "PUT", f"{base}/v1/content/{root}", headers=headers, content=_stream_car(store, root)
    )
    if sign is not None:
        sign(request)
    response = await client.send(request, stream=True, follow_redirects=False)
    try:
        if not response.is_success:
            answer = await _answer_of(response)
            raise PushRefused(f"the endpoint answered: {answer}", url=base, status=response.status_code)
    finally:
        await response.aclose()


def _measure_car(store: BlockSource, root: Cid) -> tuple[int, bytes]:
    size, digest = 0, hashlib.sha256()
    for chunk in write_car(store, root):
        size += len(chunk)
        digest.update(chunk)
    return size, digest.digest()


async def _stream_car(store: BlockSource, root: Cid) -> AsyncIterator[bytes]:
    chunks = write_car(store, root)
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


async def _answer_of(response: httpx.Response) -> str:
    """What an answer that is no success says: its status, and the code and message of our own kind of error."""
    body = b""
    async for chunk in response.aiter_raw(_ANSWER_BYTES):
        body += chunk
        if len(body) >= _ANSWER_BYTES:
            break
    try:
        error = json.loads(body)["error"]
        told = f"{error['code']}: {error['message']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        told = response.reason_phrase
    return _printable(f"HTTP {response.status_code} {told}")


def _base(url: str) -> str:
    """The URL without a final slash. Raises httpx.InvalidURL for anything but http(s) up to a path."""
    parsed = httpx.URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise httpx.InvalidURL("not an http(s) address")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise httpx.InvalidURL("an address with a password, a query or a fragment is not used")
    return str(parsed).rstrip("/")


def _cause(error: Exception) -> str:
    return _printable(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:240]
