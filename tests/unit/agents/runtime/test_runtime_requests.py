"""Which requests of contracts wait, and whose documents are kept: nobody can make another's forgotten. beh:F7 beh:F13"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lilypad_agents.agents.runtime import requests as module_under_test
from lilypad_agents.agents.runtime.requests import Requests, request_of
from lilypad_agents.protocol.requests import JobTerms
from tests.support.live_offers import job

DOCUMENT = b'{"files":{},"module":"0x00","values":{}}'


def asked(number: int, document: bytes = DOCUMENT) -> Any:
    entry = job()
    args = {
        "requestId": bytes([number]) * 32, "requester": entry.account, "terms": tuple(JobTerms.of(entry.offer)), "inputs": document,
        "callbackGas": 1,
    }  # fmt: skip
    return SimpleNamespace(name="JobRequested", args=args)


def over(number: int, name: str = "JobDelivered") -> Any:
    return SimpleNamespace(name=name, args={"requestId": bytes([number]) * 32})


def requests() -> Requests:
    return Requests(SimpleNamespace(contracts={}))  # type: ignore[arg-type]


def test_document__of_a_request_that_a_stranger_repeats_and_ends__stays() -> None:
    """The digest of inputs is the same whoever asks: a copy that is cancelled and delivered takes nothing from the first."""
    found, digest = requests(), request_of(asked(1).args).inputs_digest
    found._take([asked(1), asked(2), over(2), over(2, "CallbackFailed"), over(2)])
    assert found.document(digest) == DOCUMENT and set(found.open) == {bytes([1]) * 32}
    found._take([over(1)])
    assert found.document(digest) is None and not found.open and not found._uses


def test_document__event_read_twice__is_forgotten_with_its_request() -> None:
    found, digest = requests(), request_of(asked(1).args).inputs_digest
    found._take([asked(1), asked(1), over(1)])
    assert found.document(digest) is None and not found._uses
    found._take([over(1), asked(3, b"{}"), over(9)])
    assert len(found.open) == 1


def test_failures__behind_hundreds_that_never_end__come_to_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """beh:F7: a contract that fills the list with requests of far expiry hides nobody's end from those who report it."""
    found, looked = requests(), []
    monkeypatch.setattr(found, "_unopened", lambda some, head, wait_s: looked.append([request.id for request in some]) or [])
    many = 2 * module_under_test._MOST_LOOKED_AT + 50
    found.open = {number: SimpleNamespace(id=number) for number in range(many)}  # type: ignore[misc, assignment]
    for _ in range(3):
        assert found.failures({}, SimpleNamespace(), 0) == []  # type: ignore[arg-type]
    assert all(len(set(some)) == len(some) == module_under_test._MOST_LOOKED_AT for some in looked)
    assert {number for some in looked for number in some} == set(range(many))
