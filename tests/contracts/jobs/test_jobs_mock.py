"""The mock market behaves like the real one to its clients. beh:F16"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from lilypad_agents.protocol.ids import ZERO, keccak256
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.requests import JobOutcome, JobRequest, RequestState
from tests.support.evm import Contract, Receipt, expect_revert
from tests.support.requests import CALLBACK_GAS, COIN, Requests

PRICE = 10 * COIN


@dataclass
class Side:
    """A client at the real market or at the mock, and how the world treats its requests there."""

    desk: Requests
    jobs: Contract
    core: Contract
    client: Contract
    fulfil: Callable[..., Receipt]
    fail_unopened: Callable[[JobRequest], Receipt]

    def ask(self, **changes: Any) -> JobRequest:
        terms = self.desk.terms(**({"max_price": PRICE} | changes))
        return self.desk.requested(self.client.ask(terms, b"{}", CALLBACK_GAS))

    def state(self, request: JobRequest) -> tuple[RequestState, JobOutcome]:
        *_, state, outcome = self.jobs.requestOf(request.id)
        return RequestState(state), JobOutcome(outcome)


def real(desk: Requests) -> Side:
    def fulfil(request: JobRequest, exit_code: int, stdout: bytes, **options: Any) -> Receipt:
        return desk.deliver(*desk.paid(request, stdout, exit_code=exit_code), stdout, **options)

    def fail_unopened(request: JobRequest) -> Receipt:
        return desk.jobs.deliverUnopened(request.requester, request.terms, request.inputs_digest)

    return Side(desk, desk.jobs, desk.world.core, desk.client, fulfil, fail_unopened)


def mocked(desk: Requests) -> Side:
    mock = desk.world.evm.deploy("MockLilypad")
    client = desk.world.evm.deploy("RecordingClient", mock)
    mock.give(desk.world.token, client, 1_000 * COIN)
    return Side(
        desk, mock, mock, client,
        lambda request, exit_code, stdout, **options: mock.fulfil(request.id, exit_code, stdout, **options),
        lambda request: mock.fail(request.id, JobOutcome.CANCELLED),
    )  # fmt: skip


@pytest.fixture(params=[real, mocked])
def side(request: pytest.FixtureRequest, desk: Requests) -> Side:
    return request.param(desk)


def test_both__answer_a_client_alike(side: Side) -> None:
    request = side.ask()
    receipt = side.fulfil(request, 3, b"moo\n")
    assert receipt.event("JobDelivered")["outcome"] == JobOutcome.FULFILLED
    result = side.client.lastResult()
    assert (result[3], result[6], result[10], result[11]) == (3, keccak256(b"moo\n"), True, b"moo\n")
    assert side.state(request) == (RequestState.DELIVERED, JobOutcome.FULFILLED)
    assert 0 < result[9] <= PRICE and side.core.accountOf(side.desk.world.token, side.client)[1] == 0


def test_both__record_a_refusing_client_and_try_again(side: Side) -> None:
    request = side.ask()
    side.client.setRefusing(True)
    side.client.cancel(request.id)
    assert side.fail_unopened(request).value is False
    assert side.state(request) == (RequestState.CALLBACK_FAILED, JobOutcome.CANCELLED)
    side.client.setRefusing(False)
    assert side.fail_unopened(request).value is True
    assert side.client.lastFailure()[0] == JobOutcome.CANCELLED
    with expect_revert("RequestClosed"):
        side.fail_unopened(request)


def test_both__refuse_the_same_requests(side: Side) -> None:
    request = side.ask()
    with expect_revert("RequestExpired"):
        side.ask(expiry=side.desk.world.evm.timestamp - 1)
    with expect_revert("CallbackGasTooHigh"):
        side.client.ask(side.desk.terms(), b"{}", 10**7 + 1)
    with expect_revert("RequestUnknown"):
        side.fail_unopened(replace(request, id=ZERO, terms=request.terms._replace(nonce=99)))
    with expect_revert("RequestNotApproved"):
        side.desk.hostile.execute(side.jobs, side.jobs.calldata("request", side.desk.terms(), b"{}", 1))


def test_both__give_a_callback_its_gas_or_revert(side: Side) -> None:
    request = side.ask()
    with expect_revert("DeliveryGasTooLow", needed=CALLBACK_GAS + CALLBACK_GAS // 63 + 20_000):
        side.fulfil(request, 0, b"x", gas=CALLBACK_GAS)


# ---- of the mock alone


@pytest.fixture
def mock(desk: Requests) -> Side:
    return mocked(desk)


def test_mock__advance__opens_with_the_price_locked_then_submits(mock: Side) -> None:
    request, token = mock.ask(), mock.desk.world.token
    assert mock.jobs.advance(request.id).value == Status.AGREED
    assert tuple(mock.core.accountOf(token, mock.client)[:2]) == (990 * COIN, PRICE)
    assert mock.jobs.advance(request.id).value == Status.RESULTS_SUBMITTED
    with expect_revert("WrongStatus"):
        mock.jobs.advance(request.id)
    with expect_revert("NotAnOutcomeOf"):
        mock.jobs.fail(request.id, JobOutcome.EXPIRED)
    mock.jobs.fail(request.id, JobOutcome.LATE)
    assert tuple(mock.core.accountOf(token, mock.client)[:2]) == (1_000 * COIN, 0)
    assert mock.client.lastFailure() == (JobOutcome.LATE, mock.jobs.dealIdOf(request.id), 0, 0)


def test_mock__a_client_without_money__is_not_served(mock: Side) -> None:
    """As on the network: the deal does not open."""
    request = mock.ask(max_price=1_001 * COIN)
    with expect_revert("FundsMissing", needed=1_001 * COIN):
        mock.jobs.fulfil(request.id, 0, b"")


def test_mock__a_cancelled_request__cannot_be_opened_and_one_that_is_not_cannot_fail_so(mock: Side) -> None:
    request = mock.ask()
    with expect_revert("NotAnOutcomeOf"):
        mock.jobs.fail(request.id, JobOutcome.CANCELLED)
    mock.client.cancel(request.id)
    with expect_revert("WrongStatus"):
        mock.jobs.advance(request.id)


def test_mock__a_result_that_the_client_refused__is_paid_once(mock: Side) -> None:
    request, token = mock.ask(), mock.desk.world.token
    mock.client.setRefusing(True)
    mock.jobs.fulfil(request.id, 0, b"x")
    mock.client.setRefusing(False)
    mock.jobs.fulfil(request.id, 0, b"x")
    assert tuple(mock.core.accountOf(token, mock.client)[:2]) == (990 * COIN, 0) and mock.client.results() == 1


def test_mock__an_outcome_that_was_recorded__stays(mock: Side) -> None:
    request = mock.ask()
    mock.client.setRefusing(True)
    mock.jobs.fail(request.id, JobOutcome.EXPIRED)
    with expect_revert("NotAnOutcomeOf", outcome=JobOutcome.FULFILLED):
        mock.jobs.fulfil(request.id, 0, b"x")
    with expect_revert("NotAnOutcomeOf", outcome=JobOutcome.LATE):
        mock.jobs.fail(request.id, JobOutcome.LATE)


def test_mock__real_tokens__go_in_and_out(mock: Side) -> None:
    token, keeper = mock.desk.world.token, mock.desk.world.keeper
    token.mint(keeper, COIN)
    token.approve(mock.client, COIN, sender=keeper)
    mock.client.depositFromCaller(token, COIN, sender=keeper)
    assert mock.client.freeBalance(token) == 1_001 * COIN
    mock.client.withdraw(token, COIN, keeper)
    assert token.balanceOf(keeper) == COIN


def test_mock__proofs_and_quotes__are_not_pretended(mock: Side) -> None:
    with expect_revert("OnlyOnTheNetwork"):
        mock.jobs.deliverFailure([bytes(32)] * 12)
    terms = mock.desk.terms(max_price=PRICE)
    assert mock.jobs.quote(terms, mock.desk.world.module, mock.desk.pool, 1, 1) == PRICE
