"""What a mediator wants: pools, keeping, appeals. Built once by the command, then passed down.

`MediatorConfig` is what decisions depend on; `MediatorSettings` adds what every agent needs. Amounts are smallest units
of the pool's token, times seconds, rates basis points.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lilypad_agents.agents.runtime.settings import AgentSettings, parse_pools
from lilypad_agents.protocol.ids import Address, checksummed
from lilypad_agents.protocol.terms import PoolTerms
from lilypad_agents.protocol.units import UINT32_MAX, UINT96_MAX


class AppealRule(StrEnum):
    """When it pays for the next round without being asked."""

    NEVER = "never"
    OWN = "own"  # when its own re-run contradicts the finding that stands


class MediatorConfig(BaseModel):
    """All that a mediator decides for itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    pools: tuple[PoolTerms, ...] = Field((), description="terms of the pools in which it may have a stake")
    account: str | None = Field(None, description="account whose seats it works for, if that made this key its operator")
    fetch_by_bps: int = Field(8_000, ge=1_000, le=9_000, description="share of a window until which content is asked for")
    vote_by_bps: int = Field(9_000, ge=1_000, le=9_900, description="share of a window until which a run may take")
    keeper: bool = Field(True, description="take the steps that are due and that anybody may take")
    keeper_turn_s: int = Field(2, ge=0, le=3_600, description="how long it leaves a step to each keeper before it")
    audit_advance: int = Field(0, ge=0, le=UINT96_MAX, description="most of an audit's fees that it advances for a fund")
    appeal: AppealRule = Field(AppealRule.NEVER, description="when it appeals unasked: never, or own")
    appeal_budget: int = Field(0, ge=0, le=UINT96_MAX, description="most that its open appeals may cost together")
    slots: int | None = Field(None, ge=1, le=1_024, description="runs at a time; default: one for each core")
    ram_mib: int | None = Field(None, ge=1, le=UINT32_MAX, description="at most so much memory for all runs")
    batch: int = Field(40, ge=1, le=200, description="most pending changes of a pool applied in one transaction")

    _pools = field_validator("pools", mode="before")(parse_pools)

    @field_validator("account")
    @classmethod
    def _account(cls, value: str | None) -> str | None:
        return None if value is None else checksummed(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(not pool.is_verified for pool in self.pools):
            raise ValueError("pools must have a strategy: nobody sits in the Unverified pool")
        if self.vote_by_bps <= self.fetch_by_bps:
            raise ValueError("vote_by_bps must be above fetch_by_bps")
        if self.appeal is AppealRule.OWN and self.appeal_budget == 0:
            raise ValueError("appeal = own needs an appeal_budget above zero")
        return self

    def pool(self, pool_id: bytes) -> PoolTerms | None:
        """The terms of a pool that it knows, None for others."""
        return next((pool for pool in self.pools if pool.id == pool_id), None)

    def seat_account(self, own: Address) -> Address:
        """Whose seats it works for; `own`: the account of its key."""
        return own if self.account is None else Address(self.account)


class MediatorSettings(AgentSettings, MediatorConfig):
    """Settings of the mediator, under `[mediator]` in the file and `LILYPAD_MEDIATOR_` in the environment."""

    ROLE: ClassVar[str] = "mediator"

    solver_urls: tuple[str, ...] = Field(("http://127.0.0.1:8100",), description="solvers whose relays it asks for content")
    selftest: bool = Field(True, description="test the sandbox at the start; no job runs before it holds")
