"""Comparison policies: declared in the manifest before any deal, the same code for creator and mediator.

This version has `exact`: two results are equal when their digests are (protocol 5.2). It is the only policy that may
slash automatically.
"""

from __future__ import annotations

from lilypad_agents.execution.errors import PolicyUnsupported
from lilypad_agents.execution.manifest import Compare

SUPPORTED_POLICIES = ("exact",)


def check_policy(compare: Compare) -> None:
    """Raises PolicyUnsupported for a policy that this version cannot apply."""
    if compare.policy not in SUPPORTED_POLICIES:
        raise PolicyUnsupported(
            f"the comparison policy {compare.policy} is not supported; this version compares by "
            f"{', '.join(SUPPORTED_POLICIES)}",
            policy=compare.policy,
        )


def same_result(compare: Compare, left: bytes, right: bytes) -> bool:
    """Whether two result digests (32 bytes each) are equal under `compare`. Raises PolicyUnsupported, ValueError."""
    check_policy(compare)
    if len(left) != 32 or len(right) != 32:
        raise ValueError("a result digest has 32 bytes")
    return left == right
