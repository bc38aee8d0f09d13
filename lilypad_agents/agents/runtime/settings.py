"""Settings of an agent: built once by the command from defaults, a TOML file, the environment and flags, in that order.

The file has the shared settings at its top level and those of each role in a table of the role's name, which may also
override shared ones:

    rpc = ["http://127.0.0.1:8545"]
    address_book = "deployments/1337.json"
    [solver]
    port = 8100

The environment has `LILYPAD_RPC` and `LILYPAD_SOLVER_PORT`; lists there are separated by commas. A key that nobody
knows is an error, wherever it stands.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, get_origin

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from lilypad_agents.agents.runtime.errors import SettingInvalid, SettingsUnreadable, SettingUnknown
from lilypad_agents.chain.outbox_types import OutboxConfig
from lilypad_agents.protocol.errors import FieldInvalid
from lilypad_agents.protocol.terms import PoolTerms

ROLES = ("creator", "provider", "solver", "mediator", "seeds", "directory")
PREFIX = "LILYPAD_"
NOT_SETTINGS = frozenset({"LILYPAD_CONFIG", "LILYPAD_PASSWORD_FILE"})  # that the command line reads for itself
DEFAULT = "default"


class AgentSettings(BaseModel):
    """What all agents need. Seconds, blocks and gwei by name; paths absolute once loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ROLE: ClassVar[str] = ""
    GAS_MARGIN_PERCENT: ClassVar[int] = OutboxConfig.gas_margin_percent  # more than was estimated

    data: Path = Field(default=Path("~/.lilypad"), description="folder of this agent alone: database, content, log")
    state: Path = Field(default=Path("~/.local/state/lilypad"), description="folder of locks, shared by all agents")
    rpc: tuple[str, ...] = Field(default=("http://127.0.0.1:8545",), min_length=1, description="chain endpoints")
    address_book: Path = Field(default=Path("deployments/1337.json"), description="file that names the contracts")
    keystore: Path | None = Field(default=None, description="V3 key file")
    password_file: Path | None = Field(default=None, description="file whose first line opens the key file")
    ape_account: str | None = Field(default=None, description="alias of an Ape account, instead of a key file")
    test_account: int | None = Field(default=None, ge=0, description="account of the public test mnemonic, local chains only")
    confirmations: int = Field(default=0, ge=0, description="blocks below the head that are not acted on")
    poll_interval_s: float = Field(default=0.25, gt=0, le=60, description="longest pause between two looks at the chain")
    reconcile_blocks: int = Field(default=64, ge=1, description="blocks between two comparisons of all open deals")
    stall_s: float = Field(default=30.0, gt=0, description="age of the last cycle at which the agent counts as stalled")
    stop_s: float = Field(default=8.0, gt=0, description="time to finish after a request to stop")
    health_host: str = Field(default="127.0.0.1", description="where /livez, /readyz and /metrics are served")
    health_port: int = Field(default=0, ge=0, le=65_535, description="0 takes a free one, see health.json")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_stderr: bool = Field(default=True, description="log lines also on standard error")
    log_file_bytes: int = Field(default=20_000_000, ge=0, description="size at which the log file is rotated; 0: never")
    fee_cap_gwei: int = Field(default=200, ge=1, description="most per gas for ordinary transactions")
    urgent_fee_cap_gwei: int = Field(default=1_000, ge=1, description="most per gas close to a deadline")
    reserve_bytes: int = Field(default=64 * 2**20, ge=0, description="disk space that content leaves free")
    durable_content: bool = Field(default=True, description="flush content to disk before it is relied on")

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origins(self) -> Mapping[str, str]:
        """Where each setting comes from: `default`, `file PATH`, `environment NAME` or `flag`."""
        return {name: self._origins.get(name, DEFAULT) for name in type(self).model_fields}

    def origin(self, name: str) -> str:
        return self.origins[name]

    @classmethod
    def load(
        cls,
        *,
        file: Path | None = None,
        environment: Mapping[str, str] | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> Self:
        """Merges the sources. Flags whose value is None were not given.

        Raises SettingsUnreadable, SettingUnknown and SettingInvalid, which name the setting and its origin.
        """
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for found, origin in (
            *cls._from_file(file),
            *cls._from_environment(environment or {}),
            *cls._from_flags(flags or {}),
        ):
            for name, value in found.items():
                values[name], origins[name] = value, origin
        try:
            settings = cls(**values)
        except ValidationError as error:
            raise _invalid(error, origins) from None
        settings = settings.model_copy(update=_absolute(settings))
        settings._origins = origins
        return settings

    @classmethod
    def _from_file(cls, path: Path | None) -> Iterable[tuple[dict[str, Any], str]]:
        if path is None:
            return []
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsUnreadable(f"The settings file {path} cannot be read: {error.strerror}.", path=str(path)) from None
        except ValueError as error:
            raise SettingsUnreadable(f"The settings file {path} is no TOML: {error}.", path=str(path)) from None
        origin = f"file {path}"
        shared = {key: value for key, value in document.items() if key not in ROLES}
        own = document.get(cls.ROLE, {}) if cls.ROLE else {}
        if not isinstance(own, Mapping):
            raise SettingInvalid(f"{cls.ROLE} in {path} must be a table.", name=cls.ROLE, origin=origin)
        cls._require_known(shared, AgentSettings.model_fields, origin)
        cls._require_known(own, cls.model_fields, f"{origin}, table [{cls.ROLE}]")
        return [(cls._anchored(dict(part), path.parent), origin) for part in (shared, own)]

    @classmethod
    def _anchored(cls, values: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Relative paths of a file are relative to its folder."""
        for name, value in values.items():
            if _is_path(cls, name) and isinstance(value, str) and not value.startswith(("~", "/")):
                values[name] = str(folder / value)
        return values

    @classmethod
    def _from_environment(cls, environment: Mapping[str, str]) -> list[tuple[dict[str, Any], str]]:
        shared, own = [], []
        for variable in sorted(environment):
            if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
                continue
            name = variable.removeprefix(PREFIX).lower()
            role = next((role for role in ROLES if name.startswith(f"{role}_")), "")
            if role and role != cls.ROLE:
                continue
            origin = f"environment {variable}"
            known: Mapping[str, Any] = cls.model_fields if role else AgentSettings.model_fields
            name = name.removeprefix(f"{role}_") if role else name
            cls._require_known({name: None}, known, origin)
            text = environment[variable]
            value: Any = _split(text) if get_origin(cls.model_fields[name].annotation) is tuple else text
            (own if role else shared).append(({name: value}, origin))
        return shared + own

    @classmethod
    def _from_flags(cls, flags: Mapping[str, Any]) -> list[tuple[dict[str, Any], str]]:
        given = {name: value for name, value in flags.items() if value is not None}
        cls._require_known(given, cls.model_fields, "flag")
        return [(given, "flag")]

    @staticmethod
    def _require_known(values: Iterable[str], known: Mapping[str, Any], origin: str) -> None:
        for name in values:
            if name not in known:
                raise SettingUnknown(f"{name} ({origin}) is no setting.", name=name, origin=origin)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _is_path(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and field.annotation in (Path, Path | None)


def _absolute(settings: AgentSettings) -> dict[str, Path]:
    found = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Path):
            found[name] = value.expanduser().absolute()
    return found


def _invalid(error: ValidationError, origins: Mapping[str, str]) -> SettingInvalid:
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    origin = origins.get(name, DEFAULT)
    return SettingInvalid(f"{name} ({origin}): {first['msg']}.", name=name, origin=origin, problem=first["msg"])


def parse_pools(values: Any) -> Any:
    """A setting `pools` before it is checked: terms as tables of a file become terms. Raises ValueError for what are none."""
    if not isinstance(values, (list, tuple)):
        return values
    try:
        return tuple(PoolTerms.from_json(value) if isinstance(value, Mapping) else value for value in values)
    except FieldInvalid as error:
        raise ValueError(error.message) from None
