"""Random values of the protocol's structs for property tests, and plain ones to change by hand."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from hypothesis import strategies as st

from lilypad_agents.protocol.ids import NOBODY, ZERO, Address, address_of
from lilypad_agents.protocol.structs import TypedStruct

Struct = TypeVar("Struct", bound=TypedStruct)

addresses = st.one_of(
    st.just(NOBODY), st.integers(1, 5).map(address_of), st.integers(1, 2**160 - 1).map(address_of)
)
accounts = st.integers(1, 2**160 - 1).map(address_of)
words = st.one_of(st.just(bytes(ZERO)), st.binary(min_size=32, max_size=32))


def uints(bits: int) -> st.SearchStrategy[int]:
    """All of the range, with its borders often."""
    most = 2**bits - 1
    return st.one_of(st.sampled_from((0, 1, most - 1, most)), st.integers(0, most), st.integers(0, min(most, 10_000)))


def member_values(kind: str) -> st.SearchStrategy[Any]:
    """Values of a member by its Solidity type."""
    if match := re.fullmatch(r"uint(\d+)", kind):
        return uints(int(match[1]))
    return {"address": addresses, "bytes32": words, "bool": st.booleans(), "string": st.text(max_size=40)}[kind]


def structs(cls: type[Struct], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Struct]:
    """Instances with every member over its full range, but for the ones in `fixed`."""
    members = {member.attribute: member_values(member.type) for member in cls.TYPE.members}
    return st.builds(cls, **(members | fixed))


def account(number: int) -> Address:
    """A made-up account."""
    return address_of(0xA000_0000 + number)
