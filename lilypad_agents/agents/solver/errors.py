"""Errors of the solver. Each names its HTTP status; clients see the same code, message, hint and figures."""

from __future__ import annotations

from typing import Any, ClassVar

from lilypad_agents.errors import InsufficientFunds, LilypadError


class SolverError(LilypadError):
    """Base of what the solver's API answers with; `status` is the HTTP status."""

    code = "solver-error"
    status: ClassVar[int] = 500


class BadRequest(SolverError):
    """A request is malformed; figures: field, problem."""

    code = "bad-request"
    hint = "Correct the request; the OpenAPI document at /v1/openapi.json describes it."
    status = 400


class Forbidden(SolverError):
    """The request is signed, but not by someone who may do this."""

    code = "forbidden"
    hint = "Sign with the account of a party, or with a key to which it delegated this on chain."
    status = 403


class NotListed(SolverError):
    """This solver takes resource offers only of listed providers; figures: account."""

    code = "not-listed"
    hint = "Ask the operator of this solver to list the account, or use another solver."
    status = 403


class NotFound(SolverError):
    """There is nothing under this id."""

    code = "not-found"
    hint = "Check the id; offers and deals are known by the 0x-hexadecimal ids that the solver and the chain gave them."
    status = 404


class MethodWrong(SolverError):
    """The address exists, but not with this method."""

    code = "method-not-allowed"
    hint = "See the OpenAPI document at /v1/openapi.json for the methods of each address."
    status = 405


class WrongState(SolverError):
    """The offer or deal is in a state that does not allow this; figures: state."""

    code = "wrong-state"
    hint = "Look at the offer or deal again; it moved on."
    status = 409


class InputsMissing(SolverError):
    """The inputs document of a job offer is not here yet; figures: inputs."""

    code = "inputs-missing"
    hint = "Push the inputs document with the scope of the offer first, then post the offer."
    status = 409


class TooLarge(SolverError):
    """A body or a tree is larger than allowed; figures: allowed, found."""

    code = "too-large"
    hint = "Send less; the limits stand in /v1/info."
    status = 413


class MediaWrong(SolverError):
    """A body is not of the media type that this address takes; figures: found."""

    code = "media-type"
    hint = "Send JSON as application/json and trees as application/vnd.ipld.car."
    status = 415


class BodyAltered(SolverError):
    """The body does not have the digest that was signed."""

    code = "body-altered"
    hint = "Something between you and the solver changed the request, or the wrong digest was signed; send it again."
    status = 401


class OfferRefused(SolverError):
    """An offer that nobody could serve, or that this solver does not take; figures: refusals (error, figures)."""

    code = "offer-refused"
    hint = "Mend what the refusals name and sign a new offer."
    status = 422


class FundsRefused(InsufficientFunds):
    """The account behind an offer cannot lock what the least deal would need; figures: account, token, has, needed."""

    code = "offer-unfunded"
    hint = "Deposit first (`lilypad deposit`), then post the same offer again."
    status: ClassVar[int] = 422


class ClientOutdated(SolverError):
    """The client is older than this solver serves; figures: found, least."""

    code = "client-outdated"
    hint = "Upgrade: `pip install --upgrade lilypad-protocol`."
    status = 426


class RateLimited(SolverError):
    """Too many requests, open offers, uploads or bytes of one key or address; figures: retry_after (seconds), what."""

    code = "rate-limited"
    hint = "Wait as long as Retry-After says."
    status = 429

    def __init__(self, message: str, *, retry_after: int, **figures: Any) -> None:
        super().__init__(message, retry_after=retry_after, **figures)
        self.retry_after = retry_after


class Busy(SolverError):
    """The solver as a whole is full, starting or without a chain; figures: retry_after (seconds)."""

    code = "solver-busy"
    hint = "Try again after Retry-After, or use another solver."
    status = 503

    def __init__(self, message: str, *, retry_after: int = 2, **figures: Any) -> None:
        super().__init__(message, retry_after=retry_after, **figures)
        self.retry_after = retry_after


class SolverUnreachable(LilypadError):
    """No answer from a solver within the time limit; figures: url, attempts."""

    code = "solver-unreachable"
    hint = "Check the address with `lilypad doctor`; a provider can also open a deal by itself from an offer it was given."
    exit_code = 40


class SolverAnswered(LilypadError):
    """A solver refused a request; `code`, message, hint and figures are its own, `status` the HTTP status."""

    code = "solver-answered"
    exit_code = 10

    def __init__(self, status: int, code: str, message: str, hint: str, figures: dict[str, Any]) -> None:
        super().__init__(message, hint=hint, **figures)
        self.status = status
        self.answered_code = code

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "code": self.answered_code, "status": self.status}
