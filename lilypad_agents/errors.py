"""The error tree of Lilypad: every error has a stable code, a cause and a way out.

Commands print `code: message` with the hint below it and exit with `exit_code` (notes: `docs/exit-codes.md`).
`figures` holds the numbers the message speaks of, so that callers decide on fields and not on text.
"""

from __future__ import annotations

from typing import Any, ClassVar


class LilypadError(Exception):
    """Base of all errors that a user may see.

    Class attributes: `code` (stable, kebab case, also the name of the page in `docs/errors/`), `hint` (what to do
    next) and `exit_code` (of the command line). Instances add a `message` and the `figures` it speaks of.
    """

    code: ClassVar[str] = "lilypad-error"
    hint: ClassVar[str] = ""
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, **figures: Any) -> None:
        super().__init__(message)
        self.message = message
        self.figures = figures
        self.way_out = hint if hint is not None else self.hint

    def as_dict(self) -> dict[str, Any]:
        """The error as the `error` object of `--json` output."""
        return {"code": self.code, "message": self.message, "hint": self.way_out, "figures": self.figures}


class UsageError(LilypadError):
    """The words of a command or a value given to it are wrong."""

    code = "usage"
    hint = "Run the command with --help to see its form and examples."
    exit_code = 2


class ConfigurationError(LilypadError):
    """A setting, file, address book or environment does not allow the command to start."""

    code = "configuration"
    hint = "Run `lilypad doctor` to see which check fails."
    exit_code = 10


class InsufficientFunds(LilypadError):
    """An account lacks tokens, ledger balance, allowance or coin for gas."""

    code = "insufficient-funds"
    hint = "See `lilypad balance`, then `lilypad deposit`."
    exit_code = 11


class ChainUnreachable(LilypadError):
    """No configured endpoint answers, or all are behind, or on another chain."""

    code = "chain-unreachable"
    hint = "Check the endpoint with `lilypad doctor`; nothing was lost, repeat the command when it answers."
    exit_code = 40


class ContentUnavailable(LilypadError):
    """No source serves the content, or what they serve does not have its hash."""

    code = "content-unavailable"
    hint = "Try again later or from another source with `lilypad job fetch`; what is fetched is checked block by block."
    exit_code = 41
