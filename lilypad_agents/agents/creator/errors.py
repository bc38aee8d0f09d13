"""Errors of the creator. Exit codes are those of notes/modules-and-api.md section 5.3."""

from __future__ import annotations

from lilypad_agents.errors import ConfigurationError, ContentUnavailable, LilypadError, UsageError


class ReferenceInvalid(UsageError):
    """The text names no module in any known form."""

    code = "module-reference"
    hint = "Write name:version, publisher/name:version, publisher/name@sha256:<hex>, a manifest CID or a version id."


class ModuleUnknown(UsageError):
    """No list, registry or source knows the module; `tried` says where it was looked for."""

    code = "module-unknown"
    hint = "See `lilypad module list` for what your lists know; check the spelling and the version."


class ModuleDeprecated(UsageError):
    """The publisher marked the version as not for new jobs; figures: `module`, its full name."""

    code = "module-deprecated"
    hint = "Look for a newer version with `lilypad module search`; to order this one all the same, repeat with --deprecated."


class AliasAmbiguous(UsageError):
    """Two trusted lists give one name to different versions."""

    code = "module-ambiguous"
    hint = "Name the version in full: publisher/name:version, or its version id."


class ModuleMismatch(LilypadError):
    """A manifest and the terms that name it do not say the same."""

    code = "module-mismatch"
    hint = "Do not use this version; tell its publisher or the keeper of the list that led here."
    exit_code = 10


class RequestInvalid(UsageError):
    """What was asked of a job cannot be offered: price, windows, target or files."""

    code = "request"
    hint = "Correct the named option; nothing was signed or paid."


class PriceAboveLimit(UsageError):
    """The cheapest offer costs more than the limit that was set."""

    code = "price-above-limit"
    hint = "Raise --max-price, or wait for a cheaper offer; nothing was signed or paid."
    exit_code = 20


class NoMatch(LilypadError):
    """No provider took the job before its offer expired; figures: `reasons`, a count for each failing condition."""

    code = "no-match"
    hint = "Nothing was paid. Loosen the named condition, or try again when more providers offer (`lilypad quote`)."
    exit_code = 20


class JobCancelled(LilypadError):
    """The offer was withdrawn, or both parties closed the deal."""

    code = "job-cancelled"
    hint = "Run the job again when you want it."
    exit_code = 21


class ProviderLate(LilypadError):
    """The provider missed a deadline; what was locked came back with the penalty."""

    code = "provider-late"
    hint = "You were refunded and compensated. Run the job again; `--provider` or a list keeps that one away."
    exit_code = 22


class ProviderDeclined(LilypadError):
    """The provider gave the deal back, and no other took the offer before it expired."""

    code = "provider-declined"
    hint = "You were refunded and got 1 % of the value. Run the job again, or see why with `lilypad job show`."
    exit_code = 24


class ResultRejected(LilypadError):
    """A panel found the result wrong."""

    code = "result-rejected"
    hint = "You were refunded and compensated. Run the job again with another provider."
    exit_code = 30


class ChallengeLost(LilypadError):
    """A panel confirmed the result that was challenged."""

    code = "challenge-lost"
    hint = "The result stands and was paid; fetch it with `lilypad job fetch`."
    exit_code = 31


class NoFaultFound(LilypadError):
    """Nobody was found at fault; refunded less the premium."""

    code = "no-fault"
    hint = "You were refunded less the premium. If it happens again, tell the module's publisher."
    exit_code = 32


class ResultWithheld(ContentUnavailable):
    """The deal was paid, or will be, but the content of its result cannot be had."""

    code = "result-withheld"
    hint = "In the Unverified pool silence pays the provider and nobody can be asked to judge; `lilypad job fetch` tries again."


class ResultMismatch(ContentUnavailable):
    """What was delivered is not what the provider signed or committed to; it is not accepted."""

    code = "result-mismatch"
    hint = "Nothing was accepted. In a verified pool `lilypad job resume` challenges the delivery before the judge deadline."


class JobUnknown(UsageError):
    """No job has this id, here or on the chain."""

    code = "job-unknown"
    hint = "See `lilypad job list`; an id is a deal id, an offer id or the first digits of one."


class JobUnfinished(LilypadError):
    """The wait was over before the job was."""

    code = "job-unfinished"
    hint = "The job goes on; `lilypad job wait` or `lilypad job resume` carries on from here."
    exit_code = 40


class SolverDisagrees(ConfigurationError):
    """The solver serves another chain or core than the one configured."""

    code = "solver-disagrees"
    hint = "Point the solver setting at a solver of this network; `lilypad config show` names where it came from."


class VerificationFailed(LilypadError):
    """A run on this machine gave another digest than the provider's."""

    code = "verification-failed"
    hint = "Nothing was waived or accepted. In a verified pool: lilypad job challenge ID --why TEXT; in pool 0 silence pays."
    exit_code = 41


class ListUnknown(UsageError):
    """No curated list has this name or id."""

    code = "list-unknown"
    hint = "Write account/name or the list's id; `lilypad list create NAME` makes one of your own."


class ListBroken(ConfigurationError):
    """A curated list's entries do not give the root that its curator published."""

    code = "list-broken"
    hint = "Do not trust the list; ask its curator to publish it again (`lilypad list publish`)."
