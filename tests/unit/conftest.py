"""Agents run with Python's own recursion limit, and so do these tests.

py_ecc, which ape's pytest plugin imports, raises it to 100,000. Then hostile JSON of that depth overflows the stack of
the process, which ends it, where an agent gets a RecursionError.
"""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def recursion_limit() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(before)
