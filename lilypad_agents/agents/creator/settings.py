"""Settings of a creator: the shared ones, and whom it asks and trusts."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from lilypad_agents.agents.runtime.settings import AgentSettings


class CreatorSettings(AgentSettings):
    """What `lilypad run` and its sisters need besides the shared settings; table `[creator]` of the file."""

    ROLE: ClassVar[str] = "creator"

    network: str = Field(default="", description="name of the network, for people")
    solvers: tuple[str, ...] = Field(default=(), description="addresses of solvers; the first that answers is used")
    lists: tuple[str, ...] = Field(default=(), description="curated lists whose short names are trusted: files, or account/name or id of lists on chain")
    ipfs_api: str = Field(default="", description="IPFS node (address of its RPC) that also gets what you publish")
    results: Path = Field(default=Path("results"), description="folder in which results are written, one below it a deal")
    keys: Path = Field(default=Path("~/.lilypad/keys"), description="folder of key files that `lilypad account` manages")
    match_s: int = Field(default=60, ge=1, le=86_400, description="how long an offer waits for a provider")
    judge_window_s: int = Field(default=60, ge=1, description="time to judge a result; brought into the network's bounds")
    collateral_bps: int = Field(default=10_000, ge=0, description="provider's collateral, basis points of the value")
    wait_s: int = Field(default=0, ge=0, description="longest wait for a job; 0: until it ends")
