"""How much content a caller is ready to take, and what the profile itself allows."""

from __future__ import annotations

from dataclasses import dataclass

from lilypad_agents.content.errors import LimitExceeded

CHUNK_BYTES = 1 << 20
MAX_FANOUT = 1024
MAX_NODE_BYTES = 256 << 10
MAX_BLOCK_BYTES = CHUNK_BYTES
MAX_FOLDER_ENTRIES = 1000
MAX_NAME_BYTES = 255

_WIRE_BYTES_PER_BLOCK = 160
_WIRE_BYTES_PER_ENTRY = MAX_NAME_BYTES + 128


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one tree, each counted along every path, so that shared blocks cannot hide an explosion.

    `max_bytes`: contents of all files; `max_entries`: files and folders below the root; `max_depth`: names in the
    longest path.
    """

    max_bytes: int = 1 << 30
    max_entries: int = 10_000
    max_depth: int = 32

    @property
    def max_blocks(self) -> int:
        """No tree within the limits has more distinct blocks.

        Each entry has one root block, each further MiB of a file a leaf, and inner nodes number fewer than leaves.
        """
        return 1 + 2 * self.max_entries + 3 * (self.max_bytes // CHUNK_BYTES + 1)

    @property
    def max_wire_bytes(self) -> int:
        """No CAR of a tree within the limits is larger: contents, names and links, and the framing of each block."""
        return self.max_bytes + _WIRE_BYTES_PER_BLOCK * self.max_blocks + _WIRE_BYTES_PER_ENTRY * self.max_entries

    def check_bytes(self, found: int, what: str) -> None:
        """Raise LimitExceeded when contents add up to more than `max_bytes`."""
        _check(found, self.max_bytes, "bytes", what)

    def check_entries(self, found: int, what: str) -> None:
        """Raise LimitExceeded for more than `max_entries` files and folders."""
        _check(found, self.max_entries, "entries", what)

    def check_depth(self, found: int, what: str) -> None:
        """Raise LimitExceeded for a path of more than `max_depth` names."""
        _check(found, self.max_depth, "levels", what)


def _check(found: int, allowed: int, unit: str, what: str) -> None:
    if found > allowed:
        raise LimitExceeded(
            f"{what} has at least {found} {unit}, allowed are {allowed}", found=found, allowed=allowed, unit=unit
        )
