"""Errors of the runtime that all agents share."""

from __future__ import annotations

from typing import Any

from lilypad_agents.errors import ConfigurationError, LilypadError


class SettingUnknown(ConfigurationError):
    """A settings file, the environment or a flag names something that is no setting; figures: name, origin."""

    code = "setting-unknown"
    hint = "Correct the name; `lilypad config show` lists all settings with their origins."


class SettingInvalid(ConfigurationError):
    """The value of a setting is malformed or out of range; figures: name, origin, problem."""

    code = "setting-invalid"
    hint = "Correct the value where it comes from; `lilypad config show` lists all settings with their origins."


class SettingsUnreadable(ConfigurationError):
    """The settings file is missing, unreadable or no TOML; figures: path."""

    code = "settings-unreadable"
    hint = "Give the path of a TOML file that this user can read, or none at all."


class PortTaken(ConfigurationError):
    """An agent cannot listen where it was told to; figures: host, port."""

    code = "port-taken"
    hint = "Stop what listens there, or choose another port (0 takes a free one)."


class RequestUnsigned(LilypadError):
    """A request lacks the signature that it needs, or what it has is no signature of this protocol."""

    code = "request-unsigned"
    hint = "Sign the request by your account key (RFC 9421, docs/api); the clients of this package do it for you."


class RequestForged(LilypadError):
    """A request's signature does not fit its method, host, path, body or key."""

    code = "request-forged"
    hint = "Sign exactly what you send, to the host you send it to, with the key of the account that you name."


class RequestStale(LilypadError):
    """A request was signed too long ago or in the future; figures: created, time (the server's unix seconds), window."""

    code = "request-stale"
    hint = "Set this machine's clock (the figure `time` is the server's), then send the request again."


class RequestReplayed(LilypadError):
    """A request with this nonce came before; figures: nonce."""

    code = "request-replayed"
    hint = "Sign the request again: each one needs a nonce of its own."


class RequestElsewhere(LilypadError):
    """A request was signed for another host; figures: found, served."""

    code = "request-elsewhere"
    hint = "Use one of the addresses under which this server is known (its `served_as` setting)."


def figures_of(error: BaseException) -> dict[str, Any]:
    """What a log line says of an error: code, message and figures of ours, type and text of others."""
    if isinstance(error, LilypadError):
        return {"code": error.code, "reason": error.message, **{f"figure_{k}": v for k, v in error.figures.items()}}
    return {"code": "unexpected", "reason": f"{type(error).__name__}: {error}"}
