"""What the devnet's cheater whispers to the devnet's lazy mediators: the digest that it wants to hear. A folder of small files.

On a real network it would be a message between friends. The ordinary agents know nothing of it.
"""

from __future__ import annotations

from pathlib import Path

from lilypad_agents.execution.cache import write_atomically
from lilypad_agents.protocol.ids import DealId

_NAME = "gossip"


class Gossip:
    """Beside the data folders of the devnet's agents."""

    def __init__(self, data: Path) -> None:
        """`data`: the data folder of one of the devnet's agents."""
        self._folder = data.parent.parent / _NAME

    def tell(self, deal_id: DealId, digest: bytes) -> None:
        self._folder.mkdir(exist_ok=True, mode=0o700)
        write_atomically(self._folder / deal_id.hex(), digest)

    def hear(self, deal_id: DealId) -> bytes | None:
        """The digest that was told, None while nobody said anything."""
        try:
            return (self._folder / deal_id.hex()).read_bytes()
        except FileNotFoundError:
            return None
