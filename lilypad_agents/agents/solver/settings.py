"""Settings of a solver: the shared ones, its policy and its limits."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from lilypad_agents.agents.runtime.settings import AgentSettings, parse_pools
from lilypad_agents.protocol.terms import PoolTerms

_MIB = 2**20
_DAY = 86_400


class SolverSettings(AgentSettings):
    """What `lilypad solver start` needs besides the shared settings; table `[solver]` of the file."""

    ROLE: ClassVar[str] = "solver"

    # where it is
    host: str = Field(default="127.0.0.1", description="where the API listens")
    port: int = Field(default=8100, ge=0, le=65_535, description="0 takes a free one, see solver.json")
    served_as: tuple[str, ...] = Field(default=(), description="public authorities (host or host:port) besides the listening one")
    proxies: tuple[str, ...] = Field(default=(), description="addresses of proxies whose X-Forwarded-For counts")
    public_scheme: str = Field(default="http", pattern="^https?$", description="scheme by which clients come")

    # policy
    fee_bps: int = Field(default=0, ge=0, le=1_000, description="least solver fee, basis points of gross, of job offers that name it")
    providers: tuple[str, ...] = Field(default=(), description="accounts whose resource offers are taken; empty: all")
    lists: tuple[str, ...] = Field(default=(), description="curated lists on chain (account/name, or ids) whose modules may be ordered; empty: all")
    pools: tuple[PoolTerms, ...] = Field(default=(), description="terms of pools that nobody shows on chain; those with stakes need none")
    heartbeat_s: float = Field(default=30.0, gt=0, description="silence after which a provider's offers stop matching")
    furthest_expiry_s: int = Field(default=30 * _DAY, ge=60, description="how far ahead an offer may expire")
    require_inputs: bool = Field(default=True, description="take job offers only once their inputs document is here")
    callback_gas_most: int = Field(default=200_000, ge=0, description="most callback gas of a request whose failure is reported to its contract; 0: none")
    failures_per_hour: int = Field(default=60, ge=0, description="most failures reported to one contract in an hour; each costs this solver gas")

    # opening
    batch_pairs: int = Field(default=64, ge=1, le=200, description="most deals opened in one transaction")
    batch_wait_s: float = Field(default=0.25, ge=0, description="how long pairs gather while another batch is in flight")
    batches_in_flight: int = Field(default=4, ge=1, description="most opening transactions at a time")
    retry_s: float = Field(default=10.0, ge=0, description="pause for a pair that the core left out")

    # limits
    offers_per_account: int = Field(default=1_000, ge=1, description="open offers of one account")
    offers_total: int = Field(default=20_000, ge=1, description="open offers of all accounts")
    upload_bytes: int = Field(default=256 * _MIB, ge=1, description="largest tree that may be pushed")
    quota_bytes: int = Field(default=2_048 * _MIB, ge=1, description="content that one account may keep here")
    uploads_per_account: int = Field(default=8, ge=1, description="uploads of one account at a time")
    account_rate: float = Field(default=100.0, gt=0, description="requests a second of one key, over time")
    account_burst: int = Field(default=1_000, ge=1, description="requests of one key at once")
    address_rate: float = Field(default=200.0, gt=0, description="requests a second of one network address, over time")
    address_burst: int = Field(default=2_000, ge=1, description="requests of one network address at once")
    streams: int = Field(default=500, ge=1, description="event streams at a time")

    # keeping
    keep_s: int = Field(default=_DAY, ge=0, description="how long content and notes stay after their deal is final")
    keep_unbound_s: int = Field(default=900, ge=1, description="how long content stays whose offer never came")
    keep_public_s: int = Field(default=30 * _DAY, ge=1, description="how long public content stays after its last push")
    collect_s: float = Field(default=300.0, gt=0, description="pause between two collections of unneeded content")

    _pools = field_validator("pools", mode="before")(parse_pools)
