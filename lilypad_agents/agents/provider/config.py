"""What a provider wants: prices, modules, capacity, windows. Built once by the command, then passed down.

`ProviderConfig` is what decisions depend on; `ProviderSettings` adds what every agent needs. Amounts are smallest units
of the deployment's token, times seconds, sizes MiB, rates basis points.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lilypad_agents.agents.runtime.lists import parse_list
from lilypad_agents.agents.runtime.settings import AgentSettings, parse_pools
from lilypad_agents.protocol.ids import NOBODY, Address, VersionId, checksummed
from lilypad_agents.protocol.terms import UNVERIFIED, PoolTerms
from lilypad_agents.protocol.units import UINT32_MAX, UINT96_MAX, WHOLE

_ID = re.compile(r"0x[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}(:[A-Za-z0-9][A-Za-z0-9._+-]{0,63})?")


class Price(BaseModel):
    """What a job costs, net for the provider: a fixed part, and a part for each metered unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    price: int = Field(ge=0, le=UINT96_MAX)
    unit_price: int = Field(0, ge=0, le=UINT96_MAX)


@dataclass(frozen=True)
class ModuleRules:
    """Modules by any of their marks; one that matches suffices.

    `versions` and `manifests`: 32 bytes in hex (version ids; manifest digests). `publishers`: accounts. `names`:
    `name` or `name:version`, as in the manifest, whoever publishes it.
    """

    versions: frozenset[str] = frozenset()
    manifests: frozenset[str] = frozenset()
    publishers: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        return not (self.versions or self.manifests or self.publishers or self.names)


class ProviderConfig(BaseModel):
    """All that a provider decides for itself. Without `allow` and `lists` any deterministic module is served; `deny` wins."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    price: int = Field(10**18, ge=0, le=UINT96_MAX, description="fixed part of a job's price")
    unit_price: int = Field(0, ge=0, le=UINT96_MAX, description="price of each metered unit")
    module_prices: Mapping[str, Price] = Field(default_factory=dict, description="version id to other prices")
    max_units: int = Field(2**40, ge=0, lt=2**64, description="most metered units of one job")
    allow_versions: tuple[str, ...] = Field((), description="version ids it serves")
    allow_manifests: tuple[str, ...] = Field((), description="manifest digests it serves")
    allow_publishers: tuple[str, ...] = Field((), description="accounts whose modules it serves")
    allow_names: tuple[str, ...] = Field((), description="module names it serves, with or without :version")
    lists: tuple[str, ...] = Field((), description="curated lists on chain whose modules it serves: account/name, or ids")
    deny_versions: tuple[str, ...] = Field((), description="version ids it never serves")
    deny_manifests: tuple[str, ...] = Field((), description="manifest digests it never serves")
    deny_publishers: tuple[str, ...] = Field((), description="accounts whose modules it never serves")
    deny_names: tuple[str, ...] = Field((), description="module names it never serves, with or without :version")
    cpu_milli: int | None = Field(None, ge=1, le=UINT32_MAX, description="at most so many thousandths of a core")
    ram_mib: int | None = Field(None, ge=1, le=UINT32_MAX, description="at most so much memory")
    disk_mib: int | None = Field(None, ge=0, le=UINT32_MAX, description="at most so much disk")
    gpu_count: int | None = Field(None, ge=0, le=65_535, description="at most so many GPUs")
    vram_mib: int | None = Field(None, ge=0, le=UINT32_MAX, description="at most so much memory of each GPU")
    reserve_bps: int = Field(2_000, ge=0, lt=WHOLE, description="share of the machine that is not offered")
    slots: int | None = Field(None, ge=1, le=1_024, description="runs at a time; default: one for each core")
    backlog: int | None = Field(None, ge=1, le=100_000, description="unanswered deals at which it is full; default: 25 a slot")
    max_collateral_bps: int = Field(400_000, ge=0, le=UINT32_MAX, description="most collateral of one deal, of its value")
    max_locked: int | None = Field(None, ge=0, description="collateral of all running deals at which it is full")
    most_declines: int = Field(50, ge=1, description="deals declined within an hour at which it offers no more")
    min_submit_window: int = Field(5, ge=1, le=UINT32_MAX, description="shortest time for a job that it takes")
    max_judge_window: int = Field(UINT32_MAX, ge=1, le=UINT32_MAX, description="longest time to judge that it takes")
    pools: tuple[PoolTerms, ...] = Field((UNVERIFIED,), min_length=1, description="pools it serves; default: Unverified")
    only_solver: str | None = Field(None, description="account of the only solver that may match its offers")
    offer_seconds: int = Field(600, ge=30, le=86_400, description="life of an offer, which is renewed at half of it")
    keep_seconds: int = Field(86_400, ge=0, description="how long results stay after a deal is final")
    act_by_bps: int = Field(8_000, ge=1_000, le=9_500, description="share of a window within which it acts")
    batch: int = Field(40, ge=1, le=200, description="most deals in one transaction")
    callback_gas_most: int = Field(500_000, ge=0, description="most callback gas of a request whose outcome it delivers; 0: none")
    appeal_most: int = Field(
        50 * 10**18, ge=0, le=UINT96_MAX, description="most that it pays for appeals of one dispute; 0: it never appeals"
    )
    step_after_s: int = Field(4, ge=0, description="seconds for which it leaves a strategy's steps to those who are paid for them")
    cancel_bps: int = Field(100, ge=0, le=WHOLE, description="of the value: for this it lets a creator out before the job began")

    @field_validator("allow_versions", "allow_manifests", "deny_versions", "deny_manifests")
    @classmethod
    def _ids(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_matching(_ID, value.lower(), "0x and 64 hexadecimal digits") for value in values)

    @field_validator("allow_publishers", "deny_publishers")
    @classmethod
    def _accounts(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checksummed(value) for value in values)

    @field_validator("allow_names", "deny_names")
    @classmethod
    def _names(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_matching(_NAME, value, "name or name:version") for value in values)

    @field_validator("lists")
    @classmethod
    def _lists(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if parse_list(value) is None:
                raise ValueError(f"{value[:100]!r} is neither account/name nor the id of a list")
        return values

    @field_validator("module_prices")
    @classmethod
    def _versions(cls, values: Mapping[str, Price]) -> Mapping[str, Price]:
        return {_matching(_ID, key.lower(), "0x and 64 hexadecimal digits"): price for key, price in values.items()}

    _pools = field_validator("pools", mode="before")(parse_pools)

    @field_validator("only_solver")
    @classmethod
    def _account(cls, value: str | None) -> str | None:
        return None if value is None else checksummed(value)

    @model_validator(mode="after")
    def _priced(self) -> Self:
        for price in (self.default_price, *self.module_prices.values()):
            if price.price == price.unit_price == 0:
                raise ValueError("a price must be above zero: the core opens no deal without value")
        return self

    @property
    def default_price(self) -> Price:
        return Price(price=self.price, unit_price=self.unit_price)

    @property
    def allow(self) -> ModuleRules:
        return _rules(self.allow_versions, self.allow_manifests, self.allow_publishers, self.allow_names)

    @property
    def deny(self) -> ModuleRules:
        return _rules(self.deny_versions, self.deny_manifests, self.deny_publishers, self.deny_names)

    @property
    def solver_address(self) -> Address:
        return NOBODY if self.only_solver is None else Address(self.only_solver)

    def pool(self, pool_id: bytes) -> PoolTerms | None:
        """The terms of a pool that it serves, None for others."""
        return next((pool for pool in self.pools if pool.id == pool_id), None)

    def price_of(self, module: VersionId) -> Price:
        return self.module_prices.get("0x" + module.hex(), self.default_price)


class ProviderSettings(AgentSettings, ProviderConfig):
    """Settings of the provider, under `[provider]` in the file and `LILYPAD_PROVIDER_` in the environment."""

    ROLE: ClassVar[str] = "provider"

    solver_urls: tuple[str, ...] = Field(("http://127.0.0.1:8100",), description="solvers to which it offers")
    selftest: bool = Field(True, description="test the sandbox at the start, and offer only when it holds")
    gateway_port: int | None = Field(None, ge=0, le=65_535, description="serve results from here as well; 0 takes a free one")
    gateway_host: str = Field("127.0.0.1", description="address of that gateway")


def _rules(*groups: tuple[str, ...]) -> ModuleRules:
    return ModuleRules(*(frozenset(group) for group in groups))


def _matching(pattern: re.Pattern[str], value: str, what: str) -> str:
    if pattern.fullmatch(value) is None:
        raise ValueError(f"{value[:100]!r} is not {what}")
    return value
