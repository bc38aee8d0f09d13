"""A solver's desk for requests of contracts: what enters the book, what waits, what never does, and what it reports."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lilypad_agents.agents.runtime.requests import Delivery
from lilypad_agents.agents.solver import requests as module_under_test
from lilypad_agents.agents.solver.errors import FundsRefused
from lilypad_agents.agents.solver.requests import RequestDesk
from lilypad_agents.execution.strictjson import canonical
from lilypad_agents.protocol.ids import OfferHash, hex_of
from lilypad_agents.protocol.requests import JobOutcome, JobRequest, JobTerms
from tests.support.live_offers import NOW, job


def request(document: bytes | None = None, **changes: Any) -> JobRequest:
    """A request about the module of a live offer, with a sound document unless told."""
    entry = job()
    inputs = canonical({"files": {}, "module": hex_of(entry.offer.module), "values": {"a": 'b"'}})
    terms = JobTerms.of(entry.offer)._replace(**changes)
    made = JobRequest(OfferHash(bytes(32)), entry.account, terms, document if document is not None else inputs, 50_000)
    return replace(made, id=made.offer.struct_hash)


class Outbox(dict):
    def status(self, key: str) -> Any:
        return self.get(key)

    def submit(self, key: str, to: str, data: bytes) -> None:
        self[key] = data


class Desk(RequestDesk):
    """A desk whose service, clock and registry are in the test's hands."""

    def __init__(self, **settings: Any) -> None:
        self.posted: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.lines: list[str] = []
        self.outbox = Outbox()
        context = SimpleNamespace(
            contracts={}, now=NOW, outbox=self.outbox, log=lambda event, **_: self.lines.append(event)
        )
        store = SimpleNamespace(offer=lambda request_id: None)
        book = SimpleNamespace(jobs=lambda: [job()], pool_terms=lambda pool: None)
        service = SimpleNamespace(store=store, book=book, post_job=self._post)
        super().__init__(context, SimpleNamespace(**settings), service)  # type: ignore[arg-type]

    def _post(self, document: dict[str, Any], caller: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.posted.append(document)


def test_request__with_a_sound_document__is_posted_with_its_inputs_and_no_signature() -> None:
    desk, asked = Desk(), request()
    assert desk._look_at(asked) == 1
    (posted,) = desk.posted
    assert (posted["signature"], posted["document"]) == ("0x", hex_of(asked.inputs))
    assert posted["offer"] == asked.offer.to_json() and posted["module"] == job().module.to_json()
    assert posted["pool"] is None


@pytest.mark.parametrize(
    "document",
    [b"", b"moo", b"[]", b'{"files":{},"module":"0x00","values":{}}', b'{"files": {}, "module":"", "values":{}}', b"\xff", b"{}" * 9],
)
def test_request__without_a_document_of_its_module__never_enters_the_book(document: bytes) -> None:
    """beh:F13"""
    desk, asked = Desk(), request(document)
    assert [desk._look_at(asked) for _ in range(3)] == [0, 0, 0]
    assert desk.posted == [] and desk.lines == ["request_refused"]


def test_request__that_is_expired__is_left_alone() -> None:
    desk = Desk()
    assert desk._look_at(request(expiry=NOW - 1)) == 0 and desk.posted == [] and desk.lines == []
    assert desk._look_at(request(expiry=NOW)) == 1


def test_request__that_cannot_be_taken_yet__is_tried_again_after_a_pause_and_logged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk, asked, clock = Desk(), request(), [100.0]
    monkeypatch.setattr(module_under_test.time, "monotonic", lambda: clock[0])
    desk.failure = FundsRefused("no money", account="0x")
    for second in (0.0, 1.0, 6.0):
        clock[0] = 100.0 + second
        assert desk._look_at(asked) == 0
    assert desk.lines == ["request_waits"]
    desk.failure, clock[0] = None, 112.0
    assert desk._look_at(asked) == 1 and len(desk.posted) == 1


def test_request__of_a_module_that_nobody_showed__waits() -> None:
    desk = Desk()
    other = request(canonical({"files": {}, "module": "0x" + "11" * 32, "values": {}}), module=b"\x11" * 32)
    assert desk._look_at(other) == 0 and desk.lines == ["request_waits"]


def delivery(number: int, callback_gas: int = 50_000) -> Delivery:
    return Delivery(replace(request(), id=OfferHash(number.to_bytes(32, "big")), callback_gas=callback_gas), JobOutcome.LATE, b"")


def test_failures__of_one_contract__are_reported_so_often_an_hour_and_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a request that fails costs its author less gas than the report costs the solver."""
    desk = Desk(callback_gas_most=100_000, failures_per_hour=3)
    desk.requests = SimpleNamespace(contract=SimpleNamespace(address="0x"))  # type: ignore[assignment]
    desk._deliver(delivery(9, callback_gas=100_001))
    assert desk.outbox == {}
    for number in (0, 0, 1, 2, 3, 4):
        desk._deliver(delivery(number))
    assert [int(key[-64:], 16) for key in desk.outbox] == [0, 1, 2]
    desk._context.now = NOW + 3_601
    desk._deliver(delivery(5))
    assert len(desk.outbox) == 4
