"""Errors of the protocol package. Each has a stable code and a page in `docs/errors/`."""

from __future__ import annotations

from typing import Any

from lilypad_agents.errors import UsageError


class FieldInvalid(UsageError):
    """A field of an offer, of terms or of a message is missing, unknown, ill-typed or out of range.

    Figures: `struct`, `field`, `problem`.
    """

    code = "field-invalid"
    hint = "Correct the named field; docs/protocol.md section 3 lists fields, units and ranges."

    def __init__(self, struct: str, field: str, problem: str, **figures: Any) -> None:
        super().__init__(f"{struct}.{field}: {problem}.", struct=struct, field=field, problem=problem, **figures)


class SignatureMalformed(UsageError):
    """Bytes that are no signature argument of the core: unknown kind, wrong length, high s, or v not 27 or 28."""

    code = "signature-malformed"
    hint = "Sign the typed data again; a signature argument begins with its kind: 0 own key, 1 delegate, 2 contract."


class OffersDiffer(UsageError):
    """Two offers or terms that cannot become one deal. Figures: `field`, `job`, `other`."""

    code = "offers-differ"
    hint = "Both offers must name the same token, pool and module, and no two different solvers."

    def __init__(self, field: str, job: Any, other: Any) -> None:
        super().__init__(f"The job offer has {field} {job}, its counterpart has {other}.", field=field, job=job, other=other)


class TermsUnsafe(UsageError):
    """Audit rate and collateral under which cheating pays, so that the core refuses the deal."""

    code = "terms-unsafe"
    hint = "Raise the audit rate or the collateral, or take a preset (`lilypad quote` shows them with their margins)."
