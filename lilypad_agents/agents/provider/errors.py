"""Errors of the provider. Each has a stable code and a page in `docs/errors/`."""

from __future__ import annotations

from lilypad_agents.errors import ConfigurationError, LilypadError


class ProviderSettingInvalid(ConfigurationError):
    """A setting of the provider contradicts another one, or what the deployment allows. Figures: `setting`."""

    code = "provider-setting"
    hint = "Correct the named setting; `lilypad config show` tells where each value comes from."

    def __init__(self, setting: str, problem: str, **figures: object) -> None:
        super().__init__(f"The provider's setting {setting} {problem}.", setting=setting, **figures)


class ResultLost(LilypadError):
    """A run for a deal whose commitment is posted gave another digest than the one committed to. Figures: `deal`."""

    code = "result-lost"
    hint = "Restore the provider's content folder from before; without the result the deal cannot be settled."


class RunInconclusive(LilypadError):
    """A second run of a disputed job ended without a result, so nobody knows whether to appeal. Figures: `deal`."""

    code = "run-inconclusive"
    hint = "Nothing to do: it is run again. If it happens often, the machine is overloaded or short of memory."


class OpeningRefused(LilypadError):
    """A pair of offers cannot be opened; the message names the broken limit. Figures: those of the limit."""

    code = "opening-refused"
    hint = "Correct the named term and sign again; nothing was sent."
    exit_code = 10


class OfferFileInvalid(LilypadError):
    """A file with a job offer is malformed. Figures: `path`, `problem`."""

    code = "offer-file"
    hint = "Ask the creator for the file again: JSON with offer, signature, module, pool."
    exit_code = 2
