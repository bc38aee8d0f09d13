"""What a participant wants. `SeedConfig` is what decisions depend on; `SeedSettings` adds what every agent needs."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from lilypad_agents.agents.runtime.settings import AgentSettings


class SeedConfig(BaseModel):
    """All that a participant decides for itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    leave: bool = Field(False, description="commit to nothing new, and end when no bond of ours can come back any more")
    commit_by_bps: int = Field(9_000, ge=0, le=9_900, description="share of a period until which it commits for the next")
    most_lost: int = Field(3, ge=1, description="bonds lost within 24 periods after which it commits to nothing new for a while")
    reveal_reserve: int = Field(20, ge=1, le=10_000, description="coin kept for each open reveal, in what one would bid now")


class SeedSettings(AgentSettings, SeedConfig):
    """Settings of the participant, under `[seeds]` in the file and `LILYPAD_SEEDS_` in the environment."""

    ROLE: ClassVar[str] = "seeds"
    # A reveal gets dearer by a quarter when the free bond is withdrawn to the last wei between its estimate and it.
    GAS_MARGIN_PERCENT: ClassVar[int] = 40
