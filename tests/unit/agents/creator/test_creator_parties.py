"""Facts of an account are read at one block, and again when that block is gone. beh:G9"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lilypad_agents.agents.creator import parties
from lilypad_agents.agents.creator.parties import read_party
from lilypad_agents.errors import ChainUnreachable
from lilypad_agents.protocol.ids import checksummed

P = checksummed("0x" + "aa" * 20)


class Chain:
    """A chain whose head is reorganised while it is read, so many times."""

    def __init__(self, reorganisations: int) -> None:
        self.left, self.branch = reorganisations, 0
        self.rpc: Any = SimpleNamespace(request=self._block)
        self.book = SimpleNamespace(contracts={})
        events = {name: None for name in (parties.OPENED, *parties.ENDINGS)}
        self.core = SimpleNamespace(name="core", abi=SimpleNamespace(events=events))
        self.resolver = SimpleNamespace(name="resolver", abi=SimpleNamespace(events={}))

    def _block(self, method: str, number: str, full: bool) -> dict[str, Any] | None:
        if number != "latest" and self.branch == 2:
            return None  # this branch is shorter
        head = {"gasLimit": "0x1", "number": "0x9", "timestamp": "0x1", "parentHash": "0x" + "00" * 32}
        return {**head, "hash": "0x" + bytes([self.branch]).hex() * 32}

    def events_of(self, contract: Any, names: tuple[str, ...], topics: list[Any], last: int) -> list[Any]:
        """On branch b the account has opened b deals as a provider."""
        assert last == 9
        if contract is not self.core or len(topics) != 3:
            return []
        found = [
            SimpleNamespace(name="DealOpened", args={"dealId": bytes([number]) * 32, "provider": P}) for number in range(self.branch)
        ]
        if self.left:
            self.left, self.branch = self.left - 1, self.branch + 1
        return found


def test_read__reorganised_in_between__gives_the_facts_of_one_branch() -> None:
    chain: Any = Chain(3)
    found = read_party(chain, P)
    assert (found.as_provider.opened, found.block.hash, found.block.number) == (3, b"\x03" * 32, 9)


def test_read__chain_that_never_stands_still__is_an_error() -> None:
    chain: Any = Chain(10**6)
    with pytest.raises(ChainUnreachable):
        read_party(chain, P)
