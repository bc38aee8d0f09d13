"""Walking the syntax trees that the compiler writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every node below, this one first, in the order of the source."""
    if isinstance(node, list):
        for item in node:
            yield from nodes(item)
    elif isinstance(node, dict):
        if "nodeType" in node:
            yield node
        for child in node.values():
            if isinstance(child, (dict, list)):
                yield from nodes(child)
