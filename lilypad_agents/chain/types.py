"""Small words that the chain layer shares: units, block references and the sink for what happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NewType, Protocol

ChainId = NewType("ChainId", int)
Wei = NewType("Wei", int)


@dataclass(frozen=True)
class BlockRef:
    """A block by number and hash (32 bytes); two references are equal only if they are the same block."""

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number} (0x{self.hash.hex()})"


class Notify(Protocol):
    """Sink for events: a name, whether a person should look (`alert`), and fields. Fits a structured logger."""

    def __call__(self, event: str, *, alert: bool = False, **fields: Any) -> None: ...


def silent(event: str, *, alert: bool = False, **fields: Any) -> None:
    """The sink of callers that do not listen."""
