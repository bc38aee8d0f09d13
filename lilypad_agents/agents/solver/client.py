"""A solver's API for the other agents: synchronous, signed, patient within a total time, trusting nothing it is told.

What a solver answers decides nothing about money: deals are read from the chain, content is verified block by block,
and notes carry signatures of their own. Safe for several threads.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from lilypad_agents.agents.runtime import http_signature
from lilypad_agents.agents.runtime.exchange import Answer, Exchange, KeptConnections, Request, Server
from lilypad_agents.agents.runtime.http_signature import DigestSigner, Signable
from lilypad_agents.agents.solver import errors as solver_errors
from lilypad_agents.agents.solver.errors import SolverAnswered, SolverUnreachable
from lilypad_agents.agents.solver.wire import (
    API_VERSION,
    EVENT_TYPES,
    VERSION_HEADER,
    ContentKind,
    DealView,
    Event,
    Message,
    MessageKind,
    OfferView,
    Page,
    Scope,
    SolverInfo,
    WhyNot,
    hex_bytes,
)
from lilypad_agents.content.blocks import BlockSource, Store
from lilypad_agents.content.car import write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.sources import Source, fetch_blocking, push_blocking
from lilypad_agents.content.errors import ContentError, PushRefused
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.transfer import import_car
from lilypad_agents.errors import ConfigurationError, LilypadError
from lilypad_agents.http_connection import HttpFailure
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import OfferHash, hex_of
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms

_RETRIED = (429, 500, 502, 503, 504)
_MOST_ANSWER = 32 * 2**20
_INLINE_CAR = 8 * 2**20
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.1, 3.0
_CAR = "application/vnd.ipld.car"
_KNOWN: dict[str, type[LilypadError]] = {
    kind.code: kind
    for kind in vars(solver_errors).values()
    if isinstance(kind, type) and issubclass(kind, LilypadError) and hasattr(kind, "status")
}


class SolverClient:
    """One solver for one account. Without a signer only public addresses work.

    `timeout`: seconds for a call with all its retries. Every method raises SolverUnreachable when there is no usable
    answer in that time, and what the solver answered as SolverAnswered or one of the kinds in `solver.errors`.
    """

    def __init__(
        self,
        base_url: str,
        signer: DigestSigner | None,
        timeout: float = 15.0,
        *,
        exchange: Exchange | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`exchange` carries the requests (default: kept connections). Raises ConfigurationError for no http(s) address."""
        self.base_url = base_url.rstrip("/")
        try:
            self._server = Server(self.base_url)
        except ValueError as error:
            raise ConfigurationError(
                f"The address of a solver is {error}: {self.base_url!r}.", hint="Write it as http://host:port"
            ) from None
        self._signer = signer
        self._timeout = timeout
        self._clock = clock
        self._offset = 0  # seconds that the server's clock is ahead, learnt from a refusal
        self._random = random.Random()
        self._exchange = exchange or KeptConnections(self._server)

    def close(self) -> None:
        self._exchange.close()

    def __enter__(self) -> SolverClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what it is

    def info(self) -> SolverInfo:
        """What the solver says of itself: chain, core, its account, fee, limits, clocks."""
        return self._parsed(SolverInfo.from_json, self._call("GET", "/v1/info", signed=False))

    # ---- offers

    def post_job_offer(
        self,
        offer: JobOffer,
        signature: bytes,
        module: ModuleTerms,
        pool: PoolTerms,
        inputs: Cid | None = None,
        document: bytes | None = None,
    ) -> OfferHash:
        """Hands a signed job offer over; repeating it is harmless. Returns its id, the struct hash.

        `document`: the inputs document itself where it was not pushed before (at most 48 KiB).
        """
        body: dict[str, Any] = {
            "offer": offer.to_json(),
            "signature": hex_of(signature),
            "module": module.to_json(),
            "pool": pool.to_json() if pool.is_verified else None,
        }
        if inputs is not None:
            body["inputs"] = str(inputs)
        if document is not None:
            body["document"] = hex_of(document)
        return self._posted(offer, "/v1/job-offers", body)

    def post_resource_offer(
        self, offer: ResourceOffer, signature: bytes, modules: Iterable[bytes] | None = None
    ) -> OfferHash:
        """Hands a signed resource offer over, with the versions of its list if it names one; repeating it is harmless."""
        body: dict[str, Any] = {"offer": offer.to_json(), "signature": hex_of(signature)}
        if modules is not None:
            body["modules"] = [hex_of(bytes(version)) for version in modules]
        return self._posted(offer, "/v1/resource-offers", body)

    def _posted(self, offer: JobOffer | ResourceOffer, path: str, body: Mapping[str, Any]) -> OfferHash:
        answer = self._call("POST", path, body=body)
        if not isinstance(answer, Mapping) or answer.get("id") != hex_of(offer.struct_hash):
            raise SolverUnreachable("The solver answered with another offer's id.", url=self.base_url)
        return offer.struct_hash

    def withdraw_offer(self, offer_id: bytes) -> None:
        """Takes an offer out of the solver's book. On chain it stays valid until it is cancelled there."""
        self._call("DELETE", f"/v1/offers/{hex_of(offer_id)}")

    def offer(self, offer_id: bytes) -> OfferView:
        return self._parsed(OfferView.from_json, self._call("GET", f"/v1/offers/{hex_of(offer_id)}"))

    def offers(
        self,
        *,
        kind: str | None = None,
        party: str | None = None,
        state: str | None = None,
        since: int = 0,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page:
        """Offers, oldest first; a page of OfferView."""
        query = {"kind": kind, "party": party, "state": state, "since": since or None, "cursor": cursor, "limit": limit}
        return self._page(OfferView.from_json, self._call("GET", "/v1/offers", query=query))

    def why(self, offer_id: bytes) -> list[WhyNot]:
        """What keeps an offer of ours from matching, counterpart by counterpart."""
        answer = self._call("GET", f"/v1/offers/{hex_of(offer_id)}/why")
        return list(self._page(WhyNot.from_json, answer).items)

    # ---- deals

    def deal(self, deal_id: bytes) -> DealView:
        return self._parsed(DealView.from_json, self._call("GET", f"/v1/deals/{hex_of(deal_id)}"))

    def deals(
        self,
        party: str | None = None,
        state: Iterable[Status] = (),
        since: int = 0,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page:
        """Deals of ours (or of an account that lets us act for it), oldest first; a page of DealView."""
        names = ",".join(status.name for status in state) or None
        query = {"party": party, "state": names, "since": since or None, "cursor": cursor, "limit": limit}
        return self._page(DealView.from_json, self._call("GET", "/v1/deals", query=query))

    # ---- notes

    def message(self, deal_id: bytes, kind: MessageKind | str, body: Any) -> int:
        """Leaves a note for the other party; repeating the same is harmless. Returns its sequence number."""
        answer = self._call("POST", f"/v1/deals/{hex_of(deal_id)}/messages", body={"kind": str(kind), "body": body})
        return self._parsed(lambda found: int(found["seq"]), answer)

    def messages(self, deal_id: bytes) -> list[Message]:
        """All notes of a deal of ours, oldest first."""
        answer = self._call("GET", f"/v1/deals/{hex_of(deal_id)}/messages")
        return list(self._page(Message.from_json, answer).items)

    def inbox(self, after: int = 0, limit: int = 500) -> list[Message]:
        """Notes of others in all our deals with a sequence number above `after`, oldest first: one call for many deals."""
        answer = self._call("GET", "/v1/messages", query={"after": after, "limit": limit})
        return list(self._page(Message.from_json, answer).items)

    # ---- content

    def put_content(
        self, root: Cid, store: BlockSource, scope: Scope | str, kind: ContentKind | str = ContentKind.OTHER
    ) -> None:
        """Pushes a tree. Raises BlockMissing when it is not complete here; repeating it is harmless."""
        headers = {http_signature.SCOPE_HEADER: str(scope), http_signature.KIND_HEADER: str(kind)}
        chunks, size = [], 0
        for chunk in write_car(store, root):
            chunks.append(chunk)
            size += len(chunk)
            if size > _INLINE_CAR:
                break
        if size <= _INLINE_CAR:
            car = b"".join(chunks)
            self._call("PUT", f"/v1/content/{root}", raw=car, headers={"content-type": _CAR, **headers})
        else:
            self._push_large(root, store, headers)

    def _push_large(self, root: Cid, store: BlockSource, headers: Mapping[str, str]) -> None:
        def sign(request: Signable) -> None:
            request.headers.update({VERSION_HEADER: API_VERSION, **headers})
            self.sign(request)

        for pause in self._pauses():
            try:
                return push_blocking(store, root, self.base_url, sign=sign, seconds=max(self._timeout, 120.0))
            except PushRefused as error:
                status = int(error.figures.get("status", 503))
                if status not in _RETRIED:
                    raise
                pause(error.message, 0.0)
        raise AssertionError("unreachable")

    def fetch(self, root: Cid, store: Store, *, limits: Limits = Limits(), seconds: float = 60.0) -> None:
        """Brings a tree into the store, every block verified. Raises what `content.client.fetch` raises.

        Asks over the connection that is open already; where that does not do, block by block as `fetch` does.
        """
        if not self._fetch_car(root, store, limits):
            fetch_blocking(store, root, [self.source()], limits=limits, seconds=seconds)

    def _fetch_car(self, root: Cid, store: Store, limits: Limits) -> bool:
        request = self._request("GET", f"/ipfs/{root}", {"accept": _CAR}, {"format": "car"})
        self.sign(request)
        try:
            answer = self._exchange.send(request, self._timeout)
            try:
                if answer.status != 200:
                    return False
                import_car(answer.chunks(), store, root, limits)
            finally:
                answer.close()
        except (HttpFailure, ContentError):
            return False
        return True

    def source(self) -> Source:
        """The solver's relay as a source for `content.client.fetch`."""
        return Source(self.base_url, self.sign if self._signer is not None else None)

    def sign(self, request: Signable) -> None:
        """Signs a request to this solver; nothing happens without a signer."""
        if self._signer is not None:
            request.headers.setdefault(VERSION_HEADER, API_VERSION)
            http_signature.sign(request, self._signer, int(self._clock()) + self._offset)

    # ---- events

    def events(self, since: str | None = None, *, idle_s: float = 60.0) -> Iterator[Event]:
        """Hints that something of ours changed, as they come, until the connection ends (then SolverUnreachable).

        `since`: the `seq` of the last one seen. The first event tells that the stream stands (`type` hello).
        """
        headers = {"accept": "text/event-stream"} | ({"last-event-id": since} if since else {})
        request = self._request("GET", "/v1/events", headers)
        self.sign(request)
        try:
            answer = self._exchange.send(request, idle_s)
        except HttpFailure as failure:
            raise self._unreachable(failure.reason, 1) from None
        try:
            if answer.status != 200:
                raise self._refusal(answer.status, _read(answer))
            yield from _events_in(answer.lines(idle_s))
            raise self._unreachable("the event stream ended", 1)
        except HttpFailure as failure:
            raise self._unreachable(failure.reason, 1) from None
        finally:
            answer.close()

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        query: Mapping[str, Any] | None = None,
        content: bytes = b"",
    ) -> Request:
        ours = {VERSION_HEADER: API_VERSION, "accept": "application/json", "accept-encoding": "identity"}
        return self._server.request(method, path, {**ours, **headers}, query, content)

    # ---- one call

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        signed: bool = True,
    ) -> Any:
        """The JSON of a successful answer. Only 429, 5xx and network failures are tried again, and once a wrong clock."""
        content = raw if raw is not None else b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        sent = dict(headers or {}) if body is None else {"content-type": "application/json", **(headers or {})}
        params = {name: value for name, value in (query or {}).items() if value is not None}
        clock_set = False
        for pause in self._pauses():
            request = self._request(method, path, sent, params, content)
            if signed:
                self.sign(request)
            try:
                answer = self._exchange.send(request, self._timeout)
                try:
                    data = _read(answer)
                finally:
                    answer.close()
            except HttpFailure as failure:
                pause(failure.reason, 0.0)
                continue
            if 200 <= answer.status < 300:
                return self._document(data)
            error = self._refusal(answer.status, data)
            if answer.status in _RETRIED:
                pause(error.message, _retry_after(answer), error)
            elif not clock_set and self._set_clock(error):
                clock_set = True
            else:
                raise error
        raise AssertionError("unreachable")

    def _pauses(self) -> Iterator[Callable[..., None]]:
        """Attempts within the total time; each gets a function that waits before the next or raises why there is none."""
        deadline, attempts, pause_s = time.monotonic() + self._timeout, 0, _FIRST_PAUSE_S

        def pause(reason: str, at_least: float, error: LilypadError | None = None) -> None:
            nonlocal pause_s
            wait = max(at_least, pause_s * self._random.uniform(0.5, 1.0))
            pause_s = min(_LAST_PAUSE_S, pause_s * 2)
            if time.monotonic() + wait >= deadline:
                raise error or self._unreachable(reason, attempts)
            time.sleep(wait)

        while True:
            attempts += 1
            yield pause

    def _set_clock(self, error: LilypadError) -> bool:
        """Takes the server's time for signing when it says that ours is off. It can mislead only about itself."""
        told = error.figures.get("time")
        if error.as_dict()["code"] != "request-stale" or not isinstance(told, int):
            return False
        self._offset = told - int(self._clock())
        return True

    def _refusal(self, status: int, data: bytes) -> LilypadError:
        try:
            found = json.loads(data)["error"]
            code, message = str(found["code"]), str(found["message"])
            hint, figures = str(found.get("hint", "")), dict(found.get("figures") or {})
        except (ValueError, KeyError, TypeError, RecursionError):
            text = f"{self.base_url} answered HTTP {status} without a reason."
            return SolverAnswered(status, "no-reason", text, "Check that this is a solver's address.", {})
        kind = _KNOWN.get(code)
        if kind is not None and getattr(kind, "status", 0) == status:
            try:
                return kind(message, hint=hint, **figures)
            except TypeError:
                pass
        clean = {str(name): value for name, value in figures.items() if name not in ("message", "hint", "status", "code")}
        return SolverAnswered(status, code, message, hint, clean)

    def _document(self, data: bytes) -> Any:
        if not data:
            return None
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise self._unreachable("it answered with something that is no JSON", 1) from None

    def _parsed(self, parse: Callable[[Any], Any], document: Any) -> Any:
        try:
            return parse(document)
        except (KeyError, ValueError, TypeError, AttributeError, FieldInvalid) as error:
            raise self._unreachable(f"its answer is not of the expected form ({_cause(error)})", 1) from None

    def _page(self, parse: Callable[[Any], Any], document: Any) -> Page:
        return self._parsed(
            lambda found: Page(tuple(parse(item) for item in found["items"]), found.get("cursor")), document
        )

    def _unreachable(self, reason: str, attempts: int) -> SolverUnreachable:
        return SolverUnreachable(f"The solver at {self.base_url}: {reason}.", url=self.base_url, attempts=attempts)


class OnEvent(Protocol):
    def __call__(self, event: Event) -> None: ...


class EventListener:
    """A thread that keeps an event stream open, for as long as it takes, and calls `on_event` for every hint.

    After each reconnection it calls it with a `resync` event, since hints may have been lost.
    """

    def __init__(self, client: SolverClient, on_event: OnEvent) -> None:
        self._client = client
        self._on_event = on_event
        self._stopped = threading.Event()
        self.connected = False
        self._thread = threading.Thread(target=self._run, name="solver-events", daemon=True)

    def start(self) -> EventListener:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends the listening; the thread leaves at its next event or reconnection."""
        self._stopped.set()

    def _run(self) -> None:
        last, pause = None, _FIRST_PAUSE_S
        while not self._stopped.is_set():
            try:
                for event in self._client.events(last):
                    if self._stopped.is_set():
                        return
                    self.connected, pause, last = True, _FIRST_PAUSE_S, event.seq or last
                    self._on_event(Event(event.seq, "resync") if event.type == "hello" else event)
            except LilypadError:
                self.connected = False
            except Exception:  # the client was closed under us
                self.connected = False
                if self._stopped.is_set():
                    return
            self._stopped.wait(pause)
            pause = min(_LAST_PAUSE_S, pause * 2)


def _events_in(lines: Iterable[str]) -> Iterator[Event]:
    """Events of a text/event-stream; comments (heartbeats) and malformed ones are left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            if name in ("id", "event", "data"):
                fields[name] = value.removeprefix(" ")
            continue
        if fields:
            event = _event(fields)
            if event is not None:
                yield event
            fields = {}


def _event(fields: Mapping[str, str]) -> Event | None:
    try:
        document = json.loads(fields.get("data", "{}"))
        if document["type"] not in EVENT_TYPES:
            return None
        id_ = hex_bytes("id", document.get("id", "0x"), 32)
        return Event(fields.get("id", ""), document["type"], id_, str(document.get("detail", "")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, FieldInvalid):
        return None


def _read(answer: Answer) -> bytes:
    """The body, cut off where no honest answer reaches."""
    chunks, size = [], 0
    for chunk in answer.chunks():
        size += len(chunk)
        if size > _MOST_ANSWER:
            raise HttpFailure("the answer is too long")
        chunks.append(chunk)
    return b"".join(chunks)


def _retry_after(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "")
    return min(60.0, float(text)) if text.isdecimal() else 0.0


def _cause(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return "".join(character if character.isprintable() else " " for character in text)[:240]
