"""Where content comes from, and fetching and pushing for synchronous code.

What carries the bytes (`content.client`, asynchronous) is imported with the first transfer: most commands need none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.content.blocks import BlockSource, Store
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.reader import TreeSummary

DEFAULT_SECONDS = 120.0

Sign = Callable[[Any], None]  # adds headers to a request of httpx before it is sent
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """A trustless gateway: `base_url` up to, not including, `/ipfs/`; `sign` adds headers to a request, if needed."""

    base_url: str
    sign: Sign | None = None


def fetch_blocking(
    store: Store,
    root: Cid,
    sources: Sequence[Source],
    *,
    limits: Limits = Limits(),
    seconds: float = DEFAULT_SECONDS,
    on_progress: OnProgress | None = None,
) -> TreeSummary:
    """`content.client.fetch` in a loop of its own: call it from a thread or from synchronous code."""
    import asyncio

    from lilypad_agents.content.client import fetch

    return asyncio.run(fetch(store, root, sources, limits=limits, seconds=seconds, on_progress=on_progress))


def push_blocking(
    store: BlockSource, root: Cid, base_url: str, *, sign: Sign | None = None, seconds: float = DEFAULT_SECONDS
) -> None:
    """`content.client.push` in a loop of its own: call it from a thread or from synchronous code."""
    import asyncio

    from lilypad_agents.content.client import push

    asyncio.run(push(store, root, base_url, sign=sign, seconds=seconds))
