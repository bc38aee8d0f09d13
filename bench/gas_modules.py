"""Gas of the registry of modules, from receipts of a real chain. `measure(place)` returns the rows; `python -m bench.gas_modules` prints them.

`publish` is the first version under a new name, with royalty, a name of 6 and a version of 6 characters: the dearest
ordinary case. The others stand beside it.
"""

from __future__ import annotations

from dataclasses import replace

from bench.gas_world import World, world
from lilypad_agents.chain.abi import Abi
from lilypad_agents.protocol.ids import keccak256
from lilypad_agents.protocol.merkle import MerkleTree
from lilypad_agents.protocol.terms import ModuleTerms, name_hash

TARGETS = {"publish": 130_000}
_LIST = "bench"


class Registry:
    """A registry on the bench's chain, and the calls that are measured."""

    def __init__(self, place: World) -> None:
        self._place = place
        self._abi = place.abi["LilypadModules"] = Abi.load("LilypadModules")
        self.address = place._create("LilypadModules", place.core)

    def call(self, sender: str, function: str, *arguments: object) -> int:
        data = self._abi.function(function, len(arguments)).encode(*arguments)
        receipt = self._place._transact({"from": sender, "to": self.address, "data": "0x" + data.hex()})
        return int(receipt["gasUsed"], 16)

    def terms(self, name: str, version: str, **changes: object) -> ModuleTerms:
        made = replace(
            self._place.module, name_hash=name_hash(name, version), royalty_to=self.address, manifest=keccak256(version.encode())
        )
        return replace(made, **changes)

    def publish(self, terms: ModuleTerms, name: str, version: str, parent_share: int = 0, fork_share: int = 0) -> int:
        return self.call(terms.publisher, "publish", terms, name, version, parent_share, fork_share)


def measure(place: World) -> dict[str, int]:
    """Gas by label; deploys a registry of its own on the chain of `place`."""
    registry = Registry(place)
    first = registry.terms("cowsay", "v0.0.1")
    rows = {"publish": registry.publish(first, "cowsay", "v0.0.1", 0, 1_000)}
    rows["publish_next_version"] = registry.publish(registry.terms("cowsay", "v0.0.2"), "cowsay", "v0.0.2")
    fork = registry.terms("louder", "v0.0.1", parent=first.id)
    rows["publish_fork"] = registry.publish(fork, "louder", "v0.0.1", 1_000, 500)
    name, version = "n" * 63, "v" * 64
    rows["publish_longest_names"] = registry.publish(registry.terms(name, version), name, version)
    rows["deprecate"] = registry.call(place.publisher, "deprecate", fork.id, "use v0.0.2")
    rows["list_create"] = registry.call(place.publisher, "createList", _LIST)
    list_id = keccak256(bytes(12) + bytes.fromhex(place.publisher[2:]) + keccak256(_LIST.encode()))
    entries = [(first.id, "cowsay:v0.0.1", "deterministic, reviewed")]
    root = MerkleTree.of([first.id]).root
    rows["list_add_one"] = registry.call(place.publisher, "updateList", list_id, [], entries, root)
    return rows


def main() -> None:
    anvil, place = world("cancun")
    try:
        rows = measure(place)
    finally:
        anvil.stop()
    for name, gas in rows.items():
        target = TARGETS.get(name)
        verdict = "" if target is None else f"  target {target:>9,}  {'ok' if gas <= target else 'OVER'}"
        print(f"{name:28} {gas:>9,}{verdict}")


if __name__ == "__main__":
    main()
