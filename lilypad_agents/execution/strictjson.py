"""JSON in and out without surprises: no duplicate keys, no NaN, bounded size, depth and nodes, one canonical form."""

from __future__ import annotations

import json
from typing import Any

import rfc8785

MAX_DEPTH = 32
MAX_NODES = 10_000
SAFE_INTEGER = (1 << 53) - 1  # RFC 8785 serialises no larger integer


class JsonRefused(ValueError):
    """Text that is not JSON, or too large, or without one meaning; `path` is where, as `a.b[2]`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path, self.problem = path, problem


def load(raw: bytes | str, *, max_bytes: int) -> Any:
    """Parses and bounds a JSON text of at most `max_bytes` bytes. Raises JsonRefused."""
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    if len(data) > max_bytes:
        raise JsonRefused("", f"has {len(data)} bytes, {max_bytes} are allowed")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError:
        raise JsonRefused("", "is not UTF-8") from None
    except json.JSONDecodeError as failure:
        raise JsonRefused("", f"is not JSON: {failure.msg} in line {failure.lineno} column {failure.colno}") from None
    except RecursionError:
        raise JsonRefused("", f"is nested more than {MAX_DEPTH} deep") from None
    except JsonRefused:
        raise
    except ValueError:
        raise JsonRefused("", "holds a number with too many digits") from None
    bound(value)
    return value


def bound(value: Any) -> None:
    """Raises JsonRefused for values that are nested more than 32 deep or have more than 10,000 nodes."""
    nodes, waiting = 0, [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        nodes += 1
        if depth > MAX_DEPTH:
            raise JsonRefused("", f"is nested more than {MAX_DEPTH} deep")
        if nodes > MAX_NODES:
            raise JsonRefused("", f"has more than {MAX_NODES} values")
        if isinstance(item, dict):
            waiting += [(child, depth + 1) for child in item.values()]
        elif isinstance(item, list):
            waiting += [(child, depth + 1) for child in item]


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes. Raises JsonRefused for integers above 2^53, lone surrogates and what JSON does not know."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as failure:
        place = _too_large(value)
        if place is not None:
            raise JsonRefused(place, "is beyond 2^53 - 1: write it as a decimal string") from None
        raise JsonRefused("", f"has no canonical form: {failure}") from None


def _too_large(value: Any) -> str | None:
    """The path of an integer that JSON readers would not keep; None without one."""
    waiting = [(value, "")]
    while waiting:
        item, path = waiting.pop()
        if isinstance(item, int) and abs(item) > SAFE_INTEGER:
            return path
        if isinstance(item, dict):
            waiting += [(child, f"{path}.{key}" if path else str(key)) for key, child in item.items()]
        elif isinstance(item, list):
            waiting += [(child, f"{path}[{index}]") for index, child in enumerate(item)]
    return None


def normal(value: Any) -> Any:
    """`value` as every reader of its canonical form sees it (1.0 becomes 1)."""
    return json.loads(canonical(value))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise JsonRefused(key, "occurs twice in one object")
        found[key] = value
    return found


def _constant(name: str) -> None:
    raise JsonRefused("", f"holds {name}, which is not JSON")
