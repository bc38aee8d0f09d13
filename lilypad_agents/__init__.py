"""Run a job on somebody else's computer and be sure of the result: `from lilypad_agents import run`.

Agents and the command line import their own parts; the client for programs is loaded when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lilypad_agents.client import Client, run

__all__ = ["Client", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lilypad_agents import client

    return getattr(client, name)
