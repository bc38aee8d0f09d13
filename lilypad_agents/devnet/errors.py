"""Errors of the devnet."""

from __future__ import annotations

from lilypad_agents.errors import ConfigurationError


class DevnetNotRunning(ConfigurationError):
    """There is no devnet here, or a part of it does not run."""

    code = "devnet-not-running"
    hint = "Start it with `lilypad devnet up`; see `lilypad devnet status`."


class DevnetPartFailed(ConfigurationError):
    """A process of the devnet ended or did not become ready; figures: part, log."""

    code = "devnet-part-failed"
    hint = "See the end of its log; `lilypad devnet reset` starts from nothing."


class ModulesMissing(ConfigurationError):
    """The folder with the example modules is not there."""

    code = "modules-missing"
    hint = "Run the command in a checkout of Lilypad, or name the folder with --modules."
