"""Hexadecimal words of JSON-RPC, both ways, and the parsing of an answer into values or errors."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from lilypad_agents.chain.errors import ContractReverted, RpcError
from lilypad_agents.chain.transport import EndpointFailure, HttpAnswer

_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_REVERTED = re.compile(r"revert", re.IGNORECASE)
_TOO_MANY = re.compile(
    r"too many requests|rate limit|request limit|exceeded.*(?:per second|quota|capacity)", re.IGNORECASE
)

_INDEXING = re.compile(r"indexing is in progress", re.IGNORECASE)  # geth, for some seconds after its start


class Call(NamedTuple):
    """One JSON-RPC request: method and positional parameters."""

    method: str
    params: Sequence[Any] = ()


class BatchRefused(Exception):
    """A node answered a batch with one error: it takes no batches, or smaller ones."""


Outcome = Any  # a JSON value, RpcError or ContractReverted


def quantity(value: str | int) -> int:
    """Integer of a JSON-RPC quantity. Raises RpcError when it is none, which only a broken node sends."""
    try:
        return value if isinstance(value, int) else int(value, 16)
    except (TypeError, ValueError):
        raise RpcError(f"The node sent {str(value)[:40]!r} for a number.") from None


def to_hex(value: int | bytes) -> str:
    """JSON-RPC form: a quantity for integers, data for bytes."""
    return hex(value) if isinstance(value, int) else "0x" + bytes(value).hex()


def to_bytes(value: str) -> bytes:
    """Bytes of JSON-RPC data. Raises RpcError when it is none."""
    try:
        if value[:2] != "0x":
            raise ValueError
        return bytes.fromhex(value[2:])
    except (TypeError, ValueError):
        raise RpcError(f"The node sent {str(value)[:40]!r} for bytes.") from None


def request_body(calls: Sequence[Call], first_id: int) -> bytes:
    """The JSON text of one request, or of a batch when there are more."""
    requests = [
        {"jsonrpc": "2.0", "id": first_id + index, "method": call.method, "params": list(call.params)}
        for index, call in enumerate(calls)
    ]
    return json.dumps(requests[0] if len(requests) == 1 else requests, separators=(",", ":")).encode()


def parse_answer(answer: HttpAnswer, count: int, first_id: int, label: str) -> list[Outcome]:
    """One outcome per request, in order: the result, or an RpcError or ContractReverted (not raised).

    Raises EndpointFailure for anything that is no complete JSON-RPC answer (HTML, cut-off JSON, 429, 5xx, missing ids)
    and BatchRefused for one error in answer to a batch.
    """
    if answer.status == 429:
        raise EndpointFailure("limits the rate (HTTP 429)", retry_after_s=answer.retry_after_s, limited=True)
    if answer.status >= 500 or 300 <= answer.status < 400:
        raise EndpointFailure(f"answered HTTP {answer.status}", retry_after_s=answer.retry_after_s)
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise EndpointFailure(f"answered something that is not JSON (HTTP {answer.status})") from None
    if isinstance(document, dict) and count > 1 and "error" in document:
        outcome = _outcome(document, label)
        raise BatchRefused(str(outcome))
    entries = document if isinstance(document, list) else [document]
    by_id = {entry["id"]: entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), int)}
    if count == 1 and len(entries) == 1 and isinstance(entries[0], dict) and "error" in entries[0]:
        return [_outcome(entries[0], label)]  # a node that could not read the request answers without its id
    missing = [first_id + index for index in range(count) if first_id + index not in by_id]
    if missing or (answer.status >= 400):
        raise EndpointFailure(f"left {len(missing)} of {count} requests unanswered (HTTP {answer.status})")
    return [_outcome(by_id[first_id + index], label) for index in range(count)]


def _outcome(entry: dict[str, Any], label: str) -> Outcome:
    if "error" not in entry or entry["error"] is None:
        if "result" not in entry:
            raise EndpointFailure("answered without a result")
        return entry["result"]
    error = entry["error"]
    if not isinstance(error, dict):
        raise EndpointFailure("sent an error of unknown form")
    message, data = str(error.get("message", "")), error.get("data")
    code = error.get("code")
    rpc_code = code if isinstance(code, int) else 0
    if rpc_code == 429 or (rpc_code == -32005 and _TOO_MANY.search(message)):
        raise EndpointFailure("limits the rate (JSON-RPC error)", limited=True)
    if _INDEXING.search(message):
        raise EndpointFailure("does not know its transactions yet (it is still indexing them)")
    reverted = revert_data(rpc_code, message, data)
    if reverted is not None:
        return ContractReverted(reverted, message=message)
    return RpcError(f"{label}: {message}", rpc_code=rpc_code, data=data, endpoint=label)


def revert_data(rpc_code: int, message: str, data: Any) -> bytes | None:
    """Raw revert bytes of an error object (they hide in several places), b"" for a bare revert, None for other errors."""
    if rpc_code != 3 and not _REVERTED.search(message):
        return None
    while isinstance(data, dict):
        data = data.get("data", data.get("result"))
    if isinstance(data, str):
        match = _HEX.search(data)
        if match:
            return bytes.fromhex(match.group()[2:])
    return b""
