"""Settings of a creator: the shared ones, and whom it asks and trusts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from lilypad_agents.agents.creator.errors import RequestInvalid
from lilypad_agents.agents.runtime.settings import AgentSettings
from lilypad_agents.protocol import deterrence
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.terms import UNVERIFIED, PoolTerms

UNVERIFIED_NAME = "unverified"  # how pool 0 is asked for
CHECKS = tuple(preset.name.replace(" ", "-") for preset in deterrence.PRESETS)


class CreatorSettings(AgentSettings):
    """What `lilypad run` and its sisters need besides the shared settings; table `[creator]` of the file."""

    ROLE: ClassVar[str] = "creator"
    model_config = ConfigDict(arbitrary_types_allowed=True)

    network: str = Field(default="", description="name of the network, for people")
    solvers: tuple[str, ...] = Field(default=(), description="addresses of solvers; the first that answers is used")
    lists: tuple[str, ...] = Field(default=(), description="curated lists whose short names are trusted: files, or account/name or id of lists on chain")
    ipfs_api: str = Field(default="", description="IPFS node (address of its RPC) that also gets what you publish")
    results: Path = Field(default=Path("results"), description="folder in which results are written, one below it a deal")
    keys: Path = Field(default=Path("~/.lilypad/keys"), description="folder of key files that `lilypad account` manages")
    match_s: int = Field(default=60, ge=1, le=86_400, description="how long an offer waits for a provider")
    judge_window_s: int = Field(default=60, ge=1, description="time to judge a result; brought into the network's bounds")
    pools: Mapping[str, PoolTerms] = Field(default_factory=dict, description="pools of mediators that you trust, by your names for them")
    pool: str = Field(default="", description="name of the pool that judges your jobs; default: the only one of pools")
    checks: str = Field(default=CHECKS[0], description=f"how often results are checked: {', '.join(CHECKS)}")
    collateral_bps: int = Field(default=10_000, ge=0, description="provider's collateral in pool 0, basis points of the value")
    wait_s: int = Field(default=0, ge=0, description="longest wait for a job; 0: until it ends")

    @field_validator("pools", mode="before")
    @classmethod
    def _pools(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        try:
            return {
                str(name): PoolTerms.from_json(value) if isinstance(value, Mapping) else value for name, value in values.items()
            }
        except FieldInvalid as error:
            raise ValueError(error.message) from None

    @model_validator(mode="after")
    def _known(self) -> Self:
        if UNVERIFIED_NAME in self.pools:
            raise ValueError(f"{UNVERIFIED_NAME} is pool 0 and cannot name another one")
        if self.pool and self.pool != UNVERIFIED_NAME and self.pool not in self.pools:
            raise ValueError(f"pool {self.pool!r} is none of pools")
        preset_of(self.checks)
        return self

    def pool_terms(self, name: str | None = None) -> PoolTerms:
        """The terms of a pool by its name; without one those of the default. Raises RequestInvalid.

        Pool 0, in which nobody checks anything, is never a default by itself: it has to be named.
        """
        wanted = name or self.pool or (next(iter(self.pools)) if len(self.pools) == 1 else "")
        if wanted == UNVERIFIED_NAME:
            return UNVERIFIED
        if wanted in self.pools:
            return self.pools[wanted]
        known = ", ".join((*self.pools, UNVERIFIED_NAME))
        if not wanted:
            raise RequestInvalid(f"No pool is chosen to judge the job; there are {known}.", pools=list(self.pools))
        raise RequestInvalid(f"There is no pool {wanted!r} in your settings; there are {known}.", pool=wanted)

    def pool_name(self, pool_id: bytes) -> str:
        """Your name for a pool; empty for one that the settings do not know."""
        return next((name for name, pool in self.pools.items() if pool.id == pool_id), "")


def preset_of(checks: str) -> deterrence.Preset:
    """Audit rate and collateral by their name on the command line. Raises ValueError, which lists the names."""
    found = next((preset for preset in deterrence.PRESETS if preset.name.replace(" ", "-") == checks), None)
    if found is None:
        raise ValueError(f"checks must be one of {', '.join(CHECKS)}")
    return found
