"""RLP against the `rlp` package."""

from __future__ import annotations

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from lilypad_agents.chain.rlp_encoding import encode

ITEMS = st.recursive(
    st.binary(max_size=300) | st.integers(0, 2**256), lambda inner: st.lists(inner, max_size=5), max_leaves=20
)


@given(ITEMS)
def test_encode__any_item__as_the_reference(item: object) -> None:
    assert encode(item) == rlp.encode(item)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 1, 55, 56, 255, 256, 70_000])
def test_encode__each_length_form__as_the_reference(size: int) -> None:
    assert encode(b"\x80" * size) == rlp.encode(b"\x80" * size)


def test_encode__negative_number__value_error() -> None:
    with pytest.raises(ValueError):
        encode([-1])
