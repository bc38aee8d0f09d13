"""Errors of the participant. Each has a stable code and a page in `docs/errors/`."""

from __future__ import annotations

from lilypad_agents.errors import ConfigurationError


class NoCommitReveal(ConfigurationError):
    """The deployment's seeds do not come from participants. Figures: `source`."""

    code = "no-commit-reveal"
    hint = "Nothing has to run here for seeds. Use the address book of a deployment with CommitRevealRandomness, if you meant one."

    def __init__(self, source: str) -> None:
        super().__init__(f"The seeds of this deployment come from {source}: there is nothing to commit to.", source=source)
