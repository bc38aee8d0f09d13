"""Reading JSON-RPC answers: everything that is no answer is named, reverts are found wherever nodes put them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.chain.codec import BatchRefused, Call, parse_answer, quantity, request_body, revert_data, to_bytes
from lilypad_agents.chain.errors import ContractReverted, RpcError
from lilypad_agents.chain.transport import EndpointFailure, EndpointUrl, HttpAnswer, parse_retry_after
from lilypad_agents.errors import ConfigurationError


def answer(document: Any, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, document if isinstance(document, bytes) else json.dumps(document).encode(), None)


def result(id_: int, value: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "result": value}


def test_parse__batch_in_any_order__outcomes_in_ours() -> None:
    body = answer([result(11, "b"), {"id": 12, "error": {"code": -32000, "message": "no"}}, result(10, "a")])
    first, second, third = parse_answer(body, 3, 10, "host:1")
    assert (first, second) == ("a", "b") and isinstance(third, RpcError) and "host:1: no" in third.message


@pytest.mark.parametrize(
    ("document", "status", "reason"),
    [
        (b"<html></html>", 200, "not JSON"),
        (b'{"jsonrpc":"2.0","id":1,"res', 200, "not JSON"),
        (b"", 200, "not JSON"),
        (b"[" * 100_000, 200, "not JSON"),
        (result(2, "x"), 200, "unanswered"),
        ([], 200, "unanswered"),
        ("text", 200, "unanswered"),
        ({"jsonrpc": "2.0", "id": 1}, 200, "without a result"),
        ({"id": 1, "error": "text"}, 200, "unknown form"),
        (result(1, "x"), 500, "HTTP 500"),
        (result(1, "x"), 301, "HTTP 301"),
        (result(1, "x"), 404, "HTTP 404"),
        (b"no", 403, "HTTP 403"),
        ({"id": 1, "error": {"code": 429, "message": "slow down"}}, 200, "rate"),
        ({"id": 1, "error": {"code": -32005, "message": "Too many requests"}}, 200, "rate"),
        ({"id": 1, "error": {"code": -32000, "message": "transaction indexing is in progress"}}, 200, "still indexing"),  # geth
    ],
)
def test_parse__no_usable_answer__counts_against_the_endpoint(document: Any, status: int, reason: str) -> None:
    """flt:F9 flt:F10"""
    with pytest.raises(EndpointFailure, match=reason):
        parse_answer(answer(document, status), 1, 1, "host:1")


def test_parse__429__carries_the_wait() -> None:
    """flt:F9"""
    with pytest.raises(EndpointFailure) as caught:
        parse_answer(HttpAnswer(429, b"", 7.0), 1, 1, "h")
    assert caught.value.limited and caught.value.retry_after_s == 7.0


@given(st.binary(max_size=80), st.sampled_from([200, 201, 302, 400, 401, 429, 500, 503]), st.integers(1, 3))
def test_parse__any_bytes__an_outcome_or_a_named_failure(body: bytes, status: int, count: int) -> None:
    """flt:F10 No crash."""
    try:
        assert len(parse_answer(HttpAnswer(status, body, None), count, 1, "h")) == count
    except (EndpointFailure, BatchRefused):
        pass


def test_parse__one_error_for_a_batch__batch_refused() -> None:
    with pytest.raises(BatchRefused):
        parse_answer(answer({"id": None, "error": {"code": -32600, "message": "batch too large"}}), 2, 1, "h")


def test_parse__error_without_id_for_a_single_request__is_its_error() -> None:
    (outcome,) = parse_answer(answer({"id": None, "error": {"code": -32700, "message": "parse"}}), 1, 1, "h")
    assert isinstance(outcome, RpcError) and outcome.rpc_code == -32700


@pytest.mark.parametrize(
    ("code", "message", "data", "expected"),
    [
        (3, "execution reverted", "0xdeadbeef", b"\xde\xad\xbe\xef"),
        (-32000, "execution reverted", "0xdeadbeef", b"\xde\xad\xbe\xef"),
        (-32015, "VM execution error: reverted", "Reverted 0xdeadbeef", b"\xde\xad\xbe\xef"),
        (-32603, "Error: reverted", {"data": {"data": "0xdeadbeef"}}, b"\xde\xad\xbe\xef"),
        (-32000, "execution reverted", None, b""),
        (-32000, "nonce too low", None, None),
        (-32000, "insufficient funds", "0x", None),
    ],
)
def test_revert_data__forms_of_several_nodes__same_bytes(
    code: int, message: str, data: Any, expected: bytes | None
) -> None:
    """beh:J5"""
    assert revert_data(code, message, data) == expected


def test_parse__revert__is_an_outcome_with_its_bytes() -> None:
    (outcome,) = parse_answer(answer({"id": 1, "error": {"code": 3, "message": "m", "data": "0x01020304"}}), 1, 1, "h")
    assert isinstance(outcome, ContractReverted) and outcome.data == b"\x01\x02\x03\x04"
    assert json.dumps(outcome.as_dict())


def test_request_body__one_or_many__object_or_list() -> None:
    assert json.loads(request_body([Call("a", (1,))], 5)) == {"jsonrpc": "2.0", "id": 5, "method": "a", "params": [1]}
    assert [entry["id"] for entry in json.loads(request_body([Call("a"), Call("b")], 5))] == [5, 6]


@pytest.mark.parametrize("value", [None, "x", "", {}, [], "0xzz"])
def test_quantity_and_bytes__malformed__rpc_error(value: Any) -> None:
    with pytest.raises(RpcError):
        quantity(value)
    if value != "":
        with pytest.raises(RpcError):
            to_bytes(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5.0),
        (" 2.5 ", 2.5),
        ("-3", 0.0),
        ("1e9", 300.0),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after__seconds_or_date__bounded(text: str, seconds: float | None) -> None:
    """flt:F9"""
    assert parse_retry_after(text, 1_000.0) == seconds


def test_endpoint__address_with_secrets__label_has_host_and_port_only() -> None:
    """beh:L17"""
    url = EndpointUrl.parse("https://me:pass%40word@Example.org/v3/key?x=y")
    assert url.label == "example.org:443" and url.target == "/v3/key?x=y"
    assert url.authorization == "Basic bWU6cGFzc0B3b3Jk"
    assert "key" not in repr(url) and "pass" not in repr(url)
    assert EndpointUrl.parse("http://[::1]:8545").label == "[::1]:8545"


@pytest.mark.parametrize("url", ["http://a..b/", "http://" + "a" * 70 + ".org", "ws://host"])
def test_endpoint__impossible_host__configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError):
        EndpointUrl.parse(url)
