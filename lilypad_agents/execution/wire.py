"""Messages between agent and fork server: four bytes of length (big endian), then one JSON object."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

MAX_MESSAGE_BYTES = 64 * 1024
_LENGTH = struct.Struct(">I")


class MalformedMessage(Exception):
    """The other side sent what no message can be."""


def encode(message: Mapping[str, Any]) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(body)) + body


class Decoder:
    """Collects bytes and gives whole messages; raises MalformedMessage for nonsense."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_MESSAGE_BYTES:
                raise MalformedMessage(f"a message of {length} bytes")
            if len(self._buffer) < _LENGTH.size + length:
                return
            body = bytes(self._buffer[_LENGTH.size : _LENGTH.size + length])
            del self._buffer[: _LENGTH.size + length]
            try:
                message = json.loads(body)
            except (ValueError, RecursionError):
                raise MalformedMessage("not JSON") from None
            if not isinstance(message, dict):
                raise MalformedMessage("not an object")
            yield message
