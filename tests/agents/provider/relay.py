"""A solver's relay in one thread, as far as a provider needs one: obliging by default, hostile on demand.

It holds offers, content and notes and asks nobody for a signature. `faults` names what it does wrong: `down` (503),
`hang` (answers after the client's patience), `no content`, `lie` (other bytes), `forget` (takes and drops offers).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lilypad_agents.content.car import write_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.store import LocalStore
from lilypad_agents.content.transfer import import_car
from lilypad_agents.errors import LilypadError
from lilypad_agents.protocol.ids import Address, hex_of
from lilypad_agents.protocol.offers import ResourceOffer


class Relay:
    """Use as a context manager. `offers`: resource offers by id, with their signatures; `notes`: all notes in order."""

    def __init__(self, folder: Path) -> None:
        self.store = LocalStore(folder, durable=False)
        self.offers: dict[str, tuple[ResourceOffer, str]] = {}
        self.withdrawn: list[str] = []
        self.notes: list[dict[str, Any]] = []
        self.pushed: list[tuple[str, str]] = []
        self.faults: set[str] = set()
        self.requests: list[str] = []
        self.changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Relay:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def note(self, deal_id: bytes, kind: str, body: Any, sender: str) -> None:
        """Leaves a note as a party would."""
        with self.changed:
            found = {"seq": len(self.notes) + 1, "dealId": hex_of(deal_id), "kind": kind, "sender": sender,
                     "at": 0, "body": body}  # fmt: skip
            self.notes.append(found)
            self.changed.notify_all()

    def of_kind(self, deal_id: bytes, kind: str) -> list[Any]:
        return [n["body"] for n in self.notes if n["dealId"] == hex_of(deal_id) and n["kind"] == kind]

    # ---- routes

    def route(self, method: str, path: str, query: dict[str, list[str]], body: bytes, headers: Any) -> tuple[int, bytes]:
        parts = path.strip("/").split("/")
        if parts[0] == "ipfs":
            return self._content(parts[1], query)
        if parts[:2] == ["v1", "content"]:
            return self._put(parts[2], body, headers)
        if parts[:2] == ["v1", "resource-offers"]:
            return self._post_offer(json.loads(body))
        if parts[:2] == ["v1", "offers"]:
            return self._offer(method, parts[2])
        if parts[:2] == ["v1", "messages"]:
            after = int(query["after"][0])
            return _json(200, {"items": [n for n in self.notes if n["seq"] > after and n["kind"] != "result"]})
        if parts[:2] == ["v1", "deals"] and parts[-1] == "messages":
            if method == "GET":
                return _json(200, {"items": [n for n in self.notes if n["dealId"] == parts[2]]})
            found = json.loads(body)
            self.note(bytes.fromhex(parts[2][2:]), found["kind"], found["body"], headers.get("x", Address("0x" + "00" * 20)))
            return _json(200, {"seq": len(self.notes)})
        return _json(404, {"error": {"code": "not-found", "message": f"no {path}"}})

    def _content(self, text: str, query: dict[str, list[str]]) -> tuple[int, bytes]:
        if "no content" in self.faults:
            return _json(404, {"error": {"code": "block-missing", "message": "gone"}})
        try:
            cid = Cid.parse(text)
            if query["format"] == ["raw"]:
                data = self.store.get(cid)
            else:
                data = b"".join(write_car(self.store, cid))
        except LilypadError as error:
            return _json(404, {"error": error.as_dict()})
        return 200, data[:-1] + b"?" if "lie" in self.faults else data

    def _put(self, text: str, body: bytes, headers: Any) -> tuple[int, bytes]:
        import_car([body], self.store, Cid.parse(text), Limits())
        self.pushed.append((text, headers["lilypad-scope"]))
        return _json(200, {})

    def _post_offer(self, document: dict[str, Any]) -> tuple[int, bytes]:
        offer = ResourceOffer.from_json(document["offer"])
        offer_id = hex_of(offer.struct_hash)
        with self.changed:
            if "forget" not in self.faults:
                self.offers[offer_id] = (offer, document["signature"])
            self.changed.notify_all()
        return _json(200, {"id": offer_id})

    def _offer(self, method: str, offer_id: str) -> tuple[int, bytes]:
        with self.changed:
            if method == "DELETE":
                self.withdrawn.append(offer_id)
                self.offers.pop(offer_id, None)
                self.changed.notify_all()
                return _json(200, {})
        if offer_id not in self.offers:
            return _json(404, {"error": {"code": "not-found", "message": "no such offer"}})
        offer, _ = self.offers[offer_id]
        return _json(200, {"id": offer_id, "kind": "resource", "state": "open", "seq": 1, "postedAt": 0,
                           "expiry": offer.expiry, "account": offer.provider, "matching": True})  # fmt: skip

    def wait(self, condition: Callable[[], bool], seconds: float = 10.0) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, seconds)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients of these tests are killed in the middle of things."""


def _json(status: int, document: Any) -> tuple[int, bytes]:
    return status, json.dumps(document).encode()


def _handler(relay: Relay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # one packet an answer: two would wait for each other (Nagle's algorithm)

        def _answer(self) -> None:
            parsed = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            relay.requests.append(f"{self.command} {parsed.path}")
            if "hang" in relay.faults:
                time.sleep(30)
            if parsed.path == "/v1/events":
                return self._events()
            if "down" in relay.faults:
                status, data = _json(503, {"error": {"code": "solver-busy", "message": "down"}})
            else:
                status, data = relay.route(self.command, parsed.path, parse_qs(parsed.query), body, self.headers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def _events(self) -> None:
            """Hints for every note, until the relay is down."""
            if "down" in relay.faults:
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.close_connection = True
            seen = 0
            self._send("hello", b"")
            while "down" not in relay.faults:
                with relay.changed:
                    relay.changed.wait_for(lambda: len(relay.notes) > seen or "down" in relay.faults, 0.5)
                    fresh, seen = relay.notes[seen:], len(relay.notes)
                for note in fresh:
                    self._send("message", bytes.fromhex(note["dealId"][2:]))

        def _send(self, kind: str, subject: bytes) -> None:
            document = {"type": kind, "id": hex_of(subject), "detail": ""}
            self.wfile.write(f"id: 1\nevent: {kind}\ndata: {json.dumps(document)}\n\n".encode())
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
