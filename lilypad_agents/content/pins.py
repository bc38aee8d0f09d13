"""The record of a pin, one JSON file: name, root, expiry, and the blocks of a small DAG themselves.

A durable pin promises that its blocks survive a power cut. For a small tree, as inputs and results mostly are, the
record carries the blocks (base64) and is flushed instead of them: one file and one folder instead of two for each block.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import ContentError, InvalidPin

MOST_CARRIED = 64 * 2**10  # bytes of all blocks of one record
_MAX_PIN_NAME = 200


@dataclass(frozen=True, slots=True)
class Pin:
    """A reason to keep the DAG of `root`; `expires_at` in unix seconds, None for never."""

    name: str
    root: Cid
    expires_at: int | None

    def expired(self, now: int) -> bool:
        """Whether the pin no longer keeps anything at `now` (unix seconds); at its very expiry it does not."""
        return self.expires_at is not None and self.expires_at <= now

    def check(self) -> None:
        """Raises InvalidPin for a name or an expiry that cannot be used."""
        name, expires_at = self.name, self.expires_at
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_PIN_NAME or not name.isprintable():
            raise InvalidPin(f"a pin needs a printable name of 1 to {_MAX_PIN_NAME} characters", name=ascii(name)[:80])
        if expires_at is not None and (type(expires_at) is not int or expires_at < 0):
            raise InvalidPin("a pin expires at a whole number of unix seconds, or never", expires_at=str(expires_at))


@dataclass(frozen=True, slots=True)
class PinRecord:
    """A pin and the blocks that its file carries: all of its DAG, or none."""

    pin: Pin
    blocks: Mapping[Cid, bytes] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        pin = self.pin
        document = {"name": pin.name, "root": str(pin.root), "expires_at": pin.expires_at}
        if self.blocks:
            document["blocks"] = {str(cid): base64.b64encode(data).decode() for cid, data in self.blocks.items()}
        return json.dumps(document).encode()

    @classmethod
    def parse(cls, data: bytes, root: Cid, where: str) -> PinRecord:
        """The record in a file of `root`. One that cannot be read keeps its root: losing data is worse."""
        try:
            document = json.loads(data)
            pin = Pin(document["name"], root, document["expires_at"])
            pin.check()
            return cls(pin, _blocks(document.get("blocks", {})))
        except (ValueError, KeyError, TypeError, AttributeError, InvalidPin):
            return cls(Pin(f"unreadable record {where}", root, None))


def _blocks(found: Mapping[str, str]) -> dict[Cid, bytes]:
    """The carried blocks, each verified; none when one is damaged."""
    blocks = {}
    try:
        for text, encoded in found.items():
            cid, data = Cid.parse(text), base64.b64decode(encoded, validate=True)
            cid.verify(data)
            blocks[cid] = data
    except (ValueError, TypeError, ContentError):
        return {}
    return blocks
