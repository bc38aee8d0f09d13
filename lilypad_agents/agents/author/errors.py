"""Errors of a module's author and of a list's curator. Each has a stable code and a page in `docs/errors/`."""

from __future__ import annotations

from lilypad_agents.errors import LilypadError, UsageError


class LintFailed(UsageError):
    """The module breaks a rule, or declares something that nobody would honour; figures: `findings`."""

    code = "lint-failed"
    hint = "Correct the named fields of lilypad_module.json; nothing was published or paid."


class ExamplesFailed(LilypadError):
    """Examples of the manifest did not end as it says; figures: `failed`, their numbers."""

    code = "examples-failed"
    hint = "Run `lilypad module test` and correct the program, or what the example expects; nothing was published or paid."
    exit_code = 10


class NotDeterministic(LilypadError):
    """Runs of one job gave different results, so nobody could judge a result of the module."""

    code = "not-deterministic"
    hint = "Look at the evidence for the runs that differ; only modules whose runs agree may declare the policy `exact`."
    exit_code = 10


class ConfirmationNeeded(UsageError):
    """The command changes something for ever and nobody was there to be asked."""

    code = "confirmation-needed"
    hint = "Read what becomes permanent, then repeat the command with --yes; nothing was signed or paid."


class NameOwned(LilypadError):
    """The name stands under another account, or was sold to one; figures: `owner`."""

    code = "name-owned"
    hint = "Publish under a name of your own, or ask the owner to name you its operator; nothing was signed or paid."
    exit_code = 10


class VersionTaken(LilypadError):
    """Another content was published under this name and version; figures: `found`, `ours` (version ids)."""

    code = "version-taken"
    hint = "A version stands for ever: raise `version` in lilypad_module.json and publish again; nothing was signed or paid."
    exit_code = 10


class LineageRefused(UsageError):
    """The parent is not registered, the line is too long, or a share is below what the parent asks."""

    code = "lineage-refused"
    hint = "See the parent's terms with `lilypad module show`; nothing was signed or paid."


class TargetTaken(UsageError):
    """A folder or file that the command would write exists already."""

    code = "target-taken"
    hint = "Name another folder, or move the old one away; nothing was changed."


class ImportRefused(UsageError):
    """An old module cannot be imported; figures: `errors`, the codes of the report."""

    code = "import-refused"
    hint = "Read the report: each finding names its line and the smallest change that mends it."


class ListRefused(UsageError):
    """A change of a curated list is not possible."""

    code = "list-refused"
    hint = "See what the list holds and what is noted for it with `lilypad list show`; nothing was signed or paid."


class RepositoryRefused(UsageError):
    """A repository's address, ref or file that is not fetched; figures: `found`, or what was tried."""

    code = "repository-refused"
    hint = "Name it as https://host/user/repository:TAG, or clone it yourself and import the folder."


class RepositoryUnavailable(LilypadError):
    """A repository could not be fetched within the limits; figures: the `step` that failed."""

    code = "repository-unavailable"
    hint = "Try again; if it stays, clone it yourself and import the folder."
    exit_code = 10


class RefMoved(LilypadError):
    """A tag means another commit than when it was imported first; figures: `ref`, `known`, `found`."""

    code = "ref-moved"
    hint = "Find out why its owner moved it. To take what it means now, name that commit with --commit."
    exit_code = 10
