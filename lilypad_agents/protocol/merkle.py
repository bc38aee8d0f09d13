"""OpenZeppelin's standard Merkle tree over bytes32 leaves: roots and proofs of lists of versions or accounts.

Leaves are hashed twice, sorted, and laid out as a complete binary tree whose pairs are hashed in sorted order
(`@openzeppelin/merkle-tree`, `MerkleProof.verify`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.ids import Bytes32, keccak256


@dataclass(frozen=True)
class MerkleTree:
    """A tree over distinct 32-byte values; their order does not matter."""

    values: frozenset[bytes]

    @classmethod
    def of(cls, values: Iterable[bytes]) -> MerkleTree:
        """Raises FieldInvalid for an empty list or values that are not 32 bytes."""
        found = frozenset(bytes(value) for value in values)
        if not found or any(len(value) != 32 for value in found):
            raise FieldInvalid("list", "values", "must be at least one value of 32 bytes")
        return cls(found)

    @cached_property
    def _nodes(self) -> Sequence[bytes]:
        leaves = sorted((leaf_of(value) for value in self.values), reverse=True)
        nodes = [b""] * (len(leaves) - 1) + leaves
        for index in range(len(leaves) - 2, -1, -1):
            nodes[index] = hash_pair(nodes[2 * index + 1], nodes[2 * index + 2])
        return nodes

    @cached_property
    def _positions(self) -> dict[bytes, int]:
        first = len(self.values) - 1
        return {node: index for index, node in enumerate(self._nodes) if index >= first}

    @property
    def root(self) -> Bytes32:
        return Bytes32(self._nodes[0])

    def proof(self, value: bytes) -> tuple[Bytes32, ...]:
        """The siblings from the leaf up. Raises FieldInvalid when the value is not in the list."""
        index = self._positions.get(leaf_of(value), -1)
        if index < 0:
            raise FieldInvalid("list", "value", f"0x{value.hex()} is not in it")
        siblings = []
        while index:
            siblings.append(Bytes32(self._nodes[index + 1 if index % 2 else index - 1]))
            index = (index - 1) // 2
        return tuple(siblings)


def leaf_of(value: bytes) -> Bytes32:
    return keccak256(keccak256(value))


def hash_pair(left: bytes, right: bytes) -> Bytes32:
    return keccak256(left + right if left < right else right + left)


def verify(root: bytes, value: bytes, proof: Iterable[bytes]) -> bool:
    """Whether `proof` leads from `value` to `root`, as MerkleProof.verify decides."""
    node = leaf_of(value)
    for sibling in proof:
        node = hash_pair(node, sibling)
    return node == root
