"""Contracts written for the three earlier generations get their answers through adapters. beh:K19"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from eth_utils import keccak

from lilypad_agents.content.cid import Cid
from lilypad_agents.protocol.ids import hex_of, keccak256
from lilypad_agents.protocol.requests import JobOutcome, JobRequest, RequestState
from tests.support.evm import Account, Contract, Receipt, _artefact, expect_revert
from tests.support.requests import COIN, Requests

FEE = 3 * COIN
PREFIX, SUFFIX = '{"Engine":"Docker","Docker":{"Entrypoint":["cowsay","', '"]}}'
SELECTORS = {
    "AdapterV0": {"321bbe49": "runLilypadJob(address,string,uint8)", "d992cac8": "runBacalhauJob(address,string,uint8)"},
    "OldClientV0": {
        "d5040d65": "lilypadFulfilled(address,uint256,uint8,string)", "3487823e": "lilypadCancelled(address,uint256,string)",
    },
    "AdapterV1": {
        "7ce7b179": "runModuleWithDefaultMediators(string,string)", "a797f1c7": "runModule(string,string,address[])",
    },
    "OldClientV1": {"7a494362": "receiveJobResults(uint256,string)"},
    "AdapterV2": {"c75555fa": "runJob(string,string[],address)"},
    "OldClientV2": {"6c0f1f58": "submitResults(uint256,string,string)"},
}  # fmt: skip


@pytest.mark.parametrize("name", SELECTORS)
def test_signatures__are_those_of_the_notes(desk: Requests, name: str) -> None:
    functions = {function for found in _artefact(name).abi.functions.values() for function in found}
    known = {function.selector.hex() for function in functions}
    for selector, signature in SELECTORS[name].items():
        assert keccak(text=signature)[:4].hex() == selector and selector in known


class Coins:
    """A provider who works for wrapped coin."""

    def __init__(self, desk: Requests) -> None:
        self.desk, self.world = desk, desk.world
        self.wrapped = desk.world.evm.deploy("WrappedCoin")
        provider = self.world.provider
        self.wrapped.deposit(sender=provider, value=100 * COIN)
        self.wrapped.approve(self.world.core, 100 * COIN, sender=provider)
        self.world.core.deposit(self.wrapped, 100 * COIN, provider, sender=provider)

    def free(self, account: Any) -> int:
        return self.world.core.accountOf(self.wrapped, account)[0]

    def paid(self, request: JobRequest, stdout: bytes, **result: Any) -> Receipt:
        deal = self.desk.matched(request, token=self.wrapped.address)
        return self.desk.deliver(deal, self.desk.settled(deal, stdout, **result), stdout)

    def cost(self) -> int:
        """Of one of this world's jobs without units: the price, and a royalty of 5 %."""
        return COIN + COIN // 20


@pytest.fixture
def coins(desk: Requests) -> Coins:
    return Coins(desk)


def values(request: JobRequest) -> dict[str, Any]:
    return json.loads(request.inputs)["values"]


# ---- v0


@pytest.fixture
def v0(desk: Requests, coins: Coins) -> tuple[Contract, Contract]:
    terms = desk.terms(token=coins.wrapped)
    templates = [("{}", "x", "Other", keccak256(b"other")), (PREFIX, SUFFIX, "Message", desk.world.module.id)]
    adapter = desk.world.evm.deploy("AdapterV0", desk.jobs, terms, FEE, templates)
    return adapter, desk.world.evm.deploy("OldClientV0", adapter)


def ask_v0(desk: Requests, client: Contract, text: str = "hello", kind: int = 1, older: bool = False) -> JobRequest:
    return desk.requested(client.ask(PREFIX + text + SUFFIX, kind, older, value=FEE + 5))


@pytest.mark.parametrize("older", [False, True])
def test_v0__standard_output_comes_back_and_the_rest_of_the_coin_is_the_clients(
    desk: Requests, coins: Coins, v0: tuple[Contract, Contract], older: bool
) -> None:
    adapter, client = v0
    assert adapter.getLilypadFee() == FEE
    request = ask_v0(desk, client, "hello = {world}", older=older)
    assert request.requester == adapter.address and values(request) == {"Message": "hello = {world}"}
    coins.paid(request, b" _______\n< hello >\n")
    assert (client.method("from")(), client.lastId(), client.resultType()) == (adapter.address, 0, 1)
    assert client.result() == " _______\n< hello >\n"
    assert coins.free(client) == FEE + 5 - coins.cost() and coins.free(adapter) == 0


def test_v0__cid_and_exit_code__are_answered_as_text(desk: Requests, coins: Coins, v0: tuple[Contract, Contract]) -> None:
    _, client = v0
    root = hashlib.sha256(b"root").digest()
    coins.paid(ask_v0(desk, client, kind=0), b"moo", outputs=root)
    assert client.result() == str(Cid.dag_pb(root))
    coins.paid(ask_v0(desk, client, kind=0), b"moo")
    assert client.result() == str(Cid.raw(hashlib.sha256(b"moo").digest()))
    coins.paid(ask_v0(desk, client, kind=3), b"moo", exit_code=42)
    assert (client.result(), client.lastId()) == ("42", 2)


def test_v0__failures__cancel_and_refund(desk: Requests, coins: Coins, v0: tuple[Contract, Contract]) -> None:
    adapter, client = v0
    request = ask_v0(desk, client)
    with expect_revert("NotYours"):
        adapter.cancelJob(0)
    desk.world.pass_to(request.terms.expiry + 1)
    desk.jobs.deliverUnopened(request.requester, request.terms, request.inputs_digest)
    assert (client.errorText(), client.lastId(), coins.free(client)) == ("expired", 0, FEE + 5)
    late = ask_v0(desk, client)
    deal = desk.matched(late, token=coins.wrapped.address)
    desk.world.pass_to(desk.world.evm.timestamp + deal.submit_window + 1)
    desk.world.resolver.timeoutSubmit(deal.words, sender=desk.world.keeper)
    desk.jobs.deliverFailure(deal.words)
    penalty = deal.value // 10
    assert client.errorText() == "late" and coins.free(client) == 2 * (FEE + 5) + penalty - penalty // 100
    assert coins.free(adapter) == 0


@pytest.mark.parametrize("text", ['"', "\\", "\n", "\x7f", '","rm -rf"', "\t"])
def test_v0__an_input_that_could_end_the_text__is_refused(desk: Requests, v0: tuple[Contract, Contract], text: str) -> None:
    """beh:K2"""
    with expect_revert("InputUnsafe"):
        v0[1].ask(PREFIX + "a" + text + SUFFIX, 1, False, value=FEE)


def test_v0__what_it_cannot_honour__is_refused_before_anything_is_paid(desk: Requests, v0: tuple[Contract, Contract]) -> None:
    adapter, client = v0
    with expect_revert("SpecUnknown"):
        client.ask('{"Engine":"Wasm"}', 1, False, value=FEE)
    with expect_revert("ResultTypeUnsupported", resultType=2):
        client.ask(PREFIX + SUFFIX, 2, False, value=FEE)
    with expect_revert("PaymentTooLow", found=FEE - 1, needed=FEE):
        client.ask(PREFIX + SUFFIX, 1, False, value=FEE - 1)
    with expect_revert("CallerIsNotFrom"):  # inv:T11: nobody aims a callback at another
        client.askFor(desk.world.token, PREFIX + SUFFIX, value=FEE)


def test_v0__a_client_that_refuses__blocks_no_money_and_may_be_called_again(
    desk: Requests, coins: Coins, v0: tuple[Contract, Contract]
) -> None:
    """inv:I17"""
    adapter, client = v0
    request = ask_v0(desk, client)
    client.setRefusing(True)
    receipt = coins.paid(request, b"moo")
    assert desk.state(request) == (RequestState.DELIVERED, JobOutcome.FULFILLED)
    assert coins.free(client) == FEE + 5 - coins.cost()
    callback = receipt.event("OldCallbackFailed")["callback"]
    with expect_revert("CallbackUnknown"):
        adapter.repeat(0, callback + b"\0")
    with expect_revert("Error"):
        adapter.repeat(0, callback)
    client.setRefusing(False)
    adapter.repeat(0, callback)
    assert client.result() == "moo"
    with expect_revert("CallbackUnknown"):
        adapter.repeat(0, callback)


# ---- v1


@pytest.fixture
def v1(desk: Requests, coins: Coins) -> tuple[Contract, Contract]:
    modules = [("cowsay:v0.0.1", "Message", desk.world.module.id, FEE)]
    adapter = desk.world.evm.deploy("AdapterV1", desk.jobs, desk.terms(token=coins.wrapped), modules)
    return adapter, desk.world.evm.deploy("OldClientV1", adapter)


def test_v1__params_reach_the_module_and_the_cid_comes_back(desk: Requests, coins: Coins, v1: tuple[Contract, Contract]) -> None:
    adapter, client = v1
    params = 'say "moo"\\n {{x}}'
    request = desk.requested(client.ask("cowsay:v0.0.1", params, value=FEE))
    assert values(request) == {"Message": params}
    root = hashlib.sha256(b"root").digest()
    coins.paid(request, b"moo", outputs=root)
    assert (client.lastId(), client.cid()) == (1, str(Cid.dag_pb(root)))
    assert coins.free(client) == FEE - coins.cost() and coins.free(adapter) == 0


def test_v1__a_failure__has_no_call_and_returns_the_money(desk: Requests, coins: Coins, v1: tuple[Contract, Contract]) -> None:
    adapter, client = v1
    request = desk.requested(client.askWith("cowsay:v0.0.1", "x", [], value=FEE))
    desk.world.pass_to(request.terms.expiry + 1)
    receipt = desk.jobs.deliverUnopened(request.requester, request.terms, request.inputs_digest)
    assert receipt.event("OldJobEnded") == {"id": 1, "outcome": JobOutcome.EXPIRED, "rest": FEE}
    assert (client.lastId(), coins.free(client)) == (0, FEE)


def test_v1__unknown_names_mediators_and_small_payments__are_refused(desk: Requests, v1: tuple[Contract, Contract]) -> None:
    adapter, client = v1
    with expect_revert("ModuleUnknown"):
        adapter.getModuleCost("nothing")
    with expect_revert("MediatorsNotChosenHere", count=1):
        client.askWith("cowsay:v0.0.1", "x", [desk.world.keeper], value=FEE)
    with expect_revert("PaymentTooLow"):
        client.askWith("cowsay:v0.0.1", "x", [], value=FEE - 1)


# ---- v2


@pytest.fixture
def v2(desk: Requests) -> tuple[Contract, Contract]:
    modules = [("cowsay:v0.0.4", desk.world.module.id)]
    adapter = desk.world.evm.deploy("AdapterV2", desk.jobs, desk.terms(), FEE, modules)
    client = desk.world.evm.deploy("OldClientV2", adapter)
    desk.world.token.mint(client, 10 * COIN)
    return adapter, client


def test_v2__inputs_are_split_at_the_first_sign_and_results_come_back(desk: Requests, v2: tuple[Contract, Contract]) -> None:
    adapter, client = v2
    request = desk.requested(client.ask("cowsay:v0.0.4", ["Message=a=b=c", "Empty="]))
    assert values(request) == {"Message": "a=b=c", "Empty": ""}
    deal, parts = desk.paid(request, b"moo")
    desk.deliver(deal, parts, b"moo")
    assert (client.lastId(), client.dealId()) == (1, hex_of(deal.id(desk.world.domain)))
    assert client.dataId() == str(Cid.raw(hashlib.sha256(b"moo").digest()))
    assert 0 < desk.world.free(client) < FEE and desk.world.free(adapter) == desk.world.locked(adapter) == 0


def test_v2__a_payee__is_the_caller_or_has_allowed_it(desk: Requests, v2: tuple[Contract, Contract]) -> None:
    """The old contracts let any caller spend any payee's allowance."""
    adapter, client = v2
    payee: Account = desk.world.creator
    desk.world.token.mint(payee, FEE)
    desk.world.token.approve(adapter, FEE, sender=payee)
    with expect_revert("PayeeDidNotAllow", payee=payee, caller=client):
        client.askAtExpenseOf(payee, "cowsay:v0.0.4", [])
    adapter.allowCaller(client, True, sender=payee)
    before = desk.world.free(payee)
    request = desk.requested(client.askAtExpenseOf(payee, "cowsay:v0.0.4", []))
    with expect_revert("NotYours"):
        adapter.cancelJob(1, sender=desk.world.keeper)
    adapter.cancelJob(1, sender=payee)
    desk.jobs.deliverUnopened(request.requester, request.terms, request.inputs_digest)
    assert desk.world.free(payee) == before + FEE and client.lastId() == 0


def test_v2__unknown_modules_and_inputs_without_a_value__are_refused(desk: Requests, v2: tuple[Contract, Contract]) -> None:
    _, client = v2
    with expect_revert("ModuleUnknown"):
        client.ask("nothing", [])
    with expect_revert("InputWithoutValue", index=1):
        client.ask("cowsay:v0.0.4", ["a=b", "c"])


def test_adapters__jobs_of_several_payers_at_once__keep_their_accounts_apart(desk: Requests, v2: tuple[Contract, Contract]) -> None:
    """beh:F7: each gets what its own job left, in whatever order they end."""
    adapter, first = v2
    second = desk.world.evm.deploy("OldClientV2", adapter)
    desk.world.token.mint(second, 10 * COIN)
    requests = [desk.requested(client.ask("cowsay:v0.0.4", [f"n={number}"])) for number, client in enumerate((first, second))]
    deal, parts = desk.paid(requests[1], b"moo", units=10)
    desk.deliver(deal, parts, b"moo")
    desk.world.pass_to(requests[0].terms.expiry + 1)
    desk.jobs.deliverUnopened(requests[0].requester, requests[0].terms, requests[0].inputs_digest)
    assert desk.world.free(first) == FEE
    assert desk.world.free(second) == FEE - (COIN + COIN // 10) - (COIN + COIN // 10) // 20
    assert desk.world.free(adapter) == 0
