"""Structured logs: one JSON object a line, to `<data>/agent.log` and standard error, never a secret.

Events are names with fields (`deal`, `tx`, `block` where there is one). A sink that fails (full disk, closed pipe) loses
lines and nothing else: an agent does not stop for its log.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_SECRETS = ("password", "secret", "private_key", "mnemonic", "salt")
_MOST_TEXT = 2_000


class LogSink:
    """Writes lines to a file that it rotates, and to a stream. `dropped` counts the lines that a sink did not take."""

    def __init__(self, path: Path | None, stream: TextIO | None, rotate_bytes: int = 0) -> None:
        self._path = path
        self._stream = stream
        self._rotate_bytes = rotate_bytes
        self._lock = threading.Lock()
        self._file: Any = None
        self._size = 0
        self.dropped = 0

    def write(self, line: str) -> None:
        """Takes one line without its end; never raises for a sink that fails."""
        with self._lock:
            if self._path is not None:
                self._guarded(self._to_file, line)
            if self._stream is not None:
                self._guarded(self._to_stream, line)

    def _guarded(self, sink: Any, line: str) -> None:
        try:
            sink(line + "\n")
        except (OSError, ValueError):  # ValueError: the stream was closed
            self.dropped += 1
            self._file = None

    def _to_file(self, line: str) -> None:
        assert self._path is not None
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, "a", encoding="utf-8", buffering=1)
            self._size = self._file.tell()
        self._file.write(line)
        self._size += len(line)
        if self._rotate_bytes and self._size >= self._rotate_bytes:
            self._file.close()
            self._file = None
            self._path.replace(self._path.with_suffix(".log.1"))

    def _to_stream(self, line: str) -> None:
        assert self._stream is not None
        self._stream.write(line)
        self._stream.flush()

    # what structlog calls
    def msg(self, line: str) -> None:
        self.write(line)

    debug = info = warning = error = msg

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._guarded(lambda _: self._file.close(), "")
                self._file = None


class Log:
    """A logger with fixed fields; itself a `Notify`: `log("event", alert=True, deal=...)`."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def __call__(self, event: str, *, alert: bool = False, **fields: Any) -> None:
        if alert:
            self._logger.warning(event, alert=True, **fields)
        else:
            self._logger.info(event, **fields)

    def debug(self, event: str, **fields: Any) -> None:
        self._logger.debug(event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self._logger.error(event, alert=True, **fields)

    def bind(self, **fields: Any) -> Log:
        """The same sink with more fixed fields."""
        return Log(self._logger.bind(**fields))


def open_log(
    path: Path | None, *, level: str = "info", stream: TextIO | None = None, rotate_bytes: int = 0, **fields: Any
) -> Log:
    """A logger of its own; nothing global is configured. `fields` stand in every line."""
    logger = structlog.wrap_logger(
        LogSink(path, stream, rotate_bytes),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _presentable,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=False,
    )
    return Log(logger.bind(**fields))


def standard_error() -> TextIO:
    return sys.stderr


def _presentable(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if any(word in name.lower() for word in _SECRETS):
            event[name] = "(hidden)"
        else:
            event[name] = _shown(value)
    return event


def _shown(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return "0x" + bytes(value).hex()
    if isinstance(value, str) and len(value) > _MOST_TEXT:
        return value[:_MOST_TEXT] + "…"
    if isinstance(value, dict):
        return {str(key): "(hidden)" if any(w in str(key).lower() for w in _SECRETS) else _shown(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    return value
