"""A deployment that is killed, raced, repeated or aimed at the wrong chain. beh:L3 inv:T14"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lilypad_agents.chain.abi import Abi
from lilypad_agents.chain.anvil import Anvil
from lilypad_agents.chain.contract import Contract
from lilypad_agents.chain.crash import CrashPlan
from lilypad_agents.chain.deployer import FACTORY, FACTORY_CODE, DeploymentFailed, RpcSender, write_book
from lilypad_agents.chain.deployment_check import check_deployment
from lilypad_agents.chain.deployment_plan import PRESETS, DeploymentParameters, ParameterInvalid, completed, contracts_of, plan
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.errors import DeploymentMismatch, RpcError
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.errors import ConfigurationError, InsufficientFunds
from tests.support.chain import PROJECT, Events, nonce

Deploy = Callable[..., dict[str, Any]]
DEPLOYED = contracts_of(PRESETS["devnet"])


class Died(BaseException):
    """Stands for SIGKILL: nothing in the code under test may catch it."""


def crash_at(number: int) -> CrashPlan:
    def die() -> None:
        raise Died

    return CrashPlan(number, die=die)


def in_order(book: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, entry["address"]) for name, entry in book["contracts"].items()]


def given_to_faucet(rpc: Rpc, book: dict[str, Any]) -> int:
    token = Contract(book["contracts"]["LilypadToken"]["address"], Abi.load("LilypadToken"), rpc)
    return int(token.call("balanceOf", book["contracts"]["LilypadFaucet"]["address"]))


def test_deploy__fresh_chain__everything_is_there_and_in_the_book(deploy: Deploy, rpc: Rpc, book_path: Path) -> None:
    """beh:L3: the book that agents read fits the chain, and names block, transaction and deployer of each contract."""
    book = deploy()
    assert json.loads(book_path.read_text()) == book
    assert [name for name, _ in in_order(book)] == list(DEPLOYED)
    AddressBook.load(book_path).verify(rpc)
    assert [problem for finding in check_deployment(rpc, book) for problem in finding.problems] == []
    for entry in book["contracts"].values():
        receipt = rpc.request("eth_getTransactionReceipt", entry["txHash"])
        assert int(receipt["blockNumber"], 16) == entry["block"]
        assert int(receipt["from"], 16) == int(entry["deployer"], 16)
    assert given_to_faucet(rpc, book) == PRESETS["devnet"].faucet_share


def test_deploy__again__sends_nothing_and_changes_nothing(deploy: Deploy, deployer: RpcSender, rpc: Rpc) -> None:
    """beh:L3"""
    first = deploy()
    sent = nonce(rpc, deployer.address)
    assert deploy() == first
    assert nonce(rpc, deployer.address) == sent


def test_deploy__book_lost__is_rebuilt_from_the_chain(deploy: Deploy, book_path: Path, rpc: Rpc) -> None:
    """beh:L3: blocks, transactions and deployers are found again, however many blocks later."""
    first = deploy()
    book_path.unlink()
    rpc.request("anvil_mine", hex(300))
    assert deploy() == first


def test_deploy__killed_at_any_point__the_next_run_completes_it(
    deploy: Deploy, rpc: Rpc, book_path: Path, deployer: RpcSender
) -> None:
    """beh:L3: for every point, two runs give what one undisturbed run gives, and nothing is sent twice."""
    fresh = rpc.request("evm_snapshot")
    counting = CrashPlan()
    undisturbed = deploy(crash=counting)
    transactions = nonce(rpc, deployer.address)
    assert len(counting.passed) >= 4 * len(DEPLOYED)
    for number in range(1, len(counting.passed) + 1):
        rpc.request("evm_revert", fresh)
        fresh = rpc.request("evm_snapshot")
        book_path.unlink()
        with pytest.raises(Died):
            deploy(crash=crash_at(number))
        resumed = deploy()
        assert in_order(resumed) == in_order(undisturbed), counting.passed[number - 1]
        assert resumed["complete"]
        assert nonce(rpc, deployer.address) == transactions, counting.passed[number - 1]
        assert given_to_faucet(rpc, resumed) == PRESETS["devnet"].faucet_share, counting.passed[number - 1]
        for entry in resumed["contracts"].values():
            assert int(rpc.request("eth_getTransactionReceipt", entry["txHash"])["status"], 16) == 1


def test_deploy__process_killed__leaves_a_whole_book_and_resumes(
    node: Anvil, rpc: Rpc, book_path: Path, deploy: Deploy
) -> None:
    """beh:L3: a real SIGKILL between a transaction and the book."""
    program = f"""
from pathlib import Path
from lilypad_agents.chain.crash import CrashPlan
from lilypad_agents.chain.deployer import Deployment, RpcSender
from lilypad_agents.chain.deployment_plan import PRESETS
from lilypad_agents.chain.keys import signer_from_test_mnemonic
from lilypad_agents.chain.rpc import Rpc, RpcConfig
rpc = Rpc(RpcConfig(({node.url!r},), 1337))
sender = RpcSender(rpc, signer_from_test_mnemonic(0, 1337), 1337)
Deployment(rpc, sender, PRESETS["devnet"], Path({str(book_path)!r}), crash=CrashPlan(1, only="made Lilypad")).run()
"""
    killed = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    partial = json.loads(book_path.read_text())
    assert not partial["complete"] and "Lilypad" not in partial["contracts"]
    assert check_deployment(rpc, partial)[0].problems == ("the deployment was not carried to its end",)
    assert deploy()["complete"]
    assert [path.name for path in book_path.parent.iterdir()] == [book_path.name]


def test_write_book__disk_refuses__keeps_the_old_one(book_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_book(book_path, {"old": 1})

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="No space"):
        write_book(book_path, {"new": 1})
    assert json.loads(book_path.read_text()) == {"old": 1}
    assert [path.name for path in book_path.parent.iterdir()] == [book_path.name]


# ---- rivals


def test_deploy__rival_deployed_the_same_before__is_adopted_as_his(
    deploy: Deploy, rival: RpcSender, deployer: RpcSender, rpc: Rpc, parameters: DeploymentParameters
) -> None:
    """inv:T14: who sends the creation code gains nothing, for the code is the same."""
    planned = plan(completed(parameters, deployer.address, True), FACTORY)
    rival.send(FACTORY, bytes.fromhex(parameters.salt[2:]) + planned[0].init_code)
    book = deploy()
    assert book["contracts"]["LilypadToken"]["address"] == planned[0].address
    assert book["contracts"]["LilypadToken"]["deployer"] == rival.address
    assert all(not finding.problems for finding in check_deployment(rpc, book))


def test_deploy__rival_races_each_step__ends_with_the_same_contracts(
    deploy: Deploy, deployer: RpcSender, rival: RpcSender, rpc: Rpc
) -> None:
    """inv:T14: a rival who is faster with every single transaction only pays the gas."""

    class Raced:
        address = deployer.address

        def send(self, to: str | None, data: bytes, value: int = 0) -> bytes:
            if to == FACTORY:
                rival.send(to, data, value)
            return deployer.send(to, data, value)

    book = deploy(sender=Raced())
    assert [entry["deployer"] for entry in book["contracts"].values()] == [rival.address] * len(DEPLOYED)
    assert all(not finding.problems for finding in check_deployment(rpc, book))
    assert given_to_faucet(rpc, book) == PRESETS["devnet"].faucet_share


# ---- refusals


def test_deploy__parameter_out_of_bounds__nothing_is_sent(
    deploy: Deploy, parameters: DeploymentParameters, rpc: Rpc, deployer: RpcSender, book_path: Path
) -> None:
    with pytest.raises(ParameterInvalid):
        deploy(parameters=replace(parameters, reveal_window=1))
    assert nonce(rpc, deployer.address) == 0 and not book_path.exists()


def test_deploy__bounds_of_the_core__refused_by_the_constructor_with_its_reason(
    deploy: Deploy, parameters: DeploymentParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract is the judge when our own check is missing."""
    monkeypatch.setattr("lilypad_agents.chain.deployer.require_sound", lambda *_: None)
    with pytest.raises(DeploymentFailed, match=r"ParameterOutOfBounds\(name=revealWindow, found=1, least=18"):
        deploy(parameters=replace(parameters, reveal_window=1))


def test_deploy__account_without_coin__says_how_much_is_missing(deploy: Deploy, deployer: RpcSender, rpc: Rpc) -> None:
    rpc.request("anvil_setBalance", deployer.address, hex(10**14))
    with pytest.raises((InsufficientFunds, DeploymentFailed)) as refusal:
        deploy()
    assert "nsufficient" in refusal.value.message or "wei" in refusal.value.message


def test_deploy__book_of_a_reset_local_chain__is_replaced(deploy: Deploy, book_path: Path, events: Events) -> None:
    write_book(book_path, deploy() | {"genesisHash": "0x" + "11" * 32})
    assert deploy()["genesisHash"] != "0x" + "11" * 32
    assert events.named("address_book_of_a_reset_chain_replaced")


def test_deploy__book_of_another_chain__is_refused(deploy: Deploy, book_path: Path) -> None:
    before = deploy() | {"chainId": 5}
    write_book(book_path, before)
    with pytest.raises(DeploymentMismatch, match="chain 5"):
        deploy()
    assert json.loads(book_path.read_text()) == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"chainId": 1337}'])
def test_deploy__malformed_book__is_refused_and_kept(deploy: Deploy, book_path: Path, text: str) -> None:
    book_path.parent.mkdir()
    book_path.write_text(text)
    with pytest.raises(ConfigurationError):
        deploy()
    assert book_path.read_text() == text


def test_deploy__book_with_another_code_hash__is_refused(deploy: Deploy, book_path: Path) -> None:
    """flt:F38"""
    book = deploy()
    book["contracts"]["Lilypad"]["codeHash"] = "0x" + "22" * 32
    write_book(book_path, book)
    with pytest.raises(DeploymentMismatch, match="Lilypad"):
        deploy()


def test_deploy__other_parameters__keeps_the_earlier_deployment_beside_it(
    deploy: Deploy, parameters: DeploymentParameters
) -> None:
    """beh:L5: open deals end where they began, so its addresses stay known."""
    first = deploy()
    second = deploy(parameters=replace(parameters, reveal_window=40))
    assert second["contracts"]["Lilypad"]["address"] != first["contracts"]["Lilypad"]["address"]
    assert second["contracts"]["LilypadToken"] == first["contracts"]["LilypadToken"]
    assert [item["contracts"] for item in second["previous"]] == [first["contracts"]]
    assert deploy()["previous"][0]["contracts"] == second["contracts"], "and back again"


def test_deploy__supply_goes_elsewhere__faucet_stays_empty_and_says_so(
    deploy: Deploy, parameters: DeploymentParameters, rival: RpcSender, rpc: Rpc, events: Events
) -> None:
    book = deploy(parameters=replace(parameters, token_recipient=rival.address))
    assert given_to_faucet(rpc, book) == 0
    assert events.named("faucet_left_empty")


# ---- chains without the usual factory


class Choosy:
    """A node that takes no transaction without a chain id, as most do."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def request(self, method: str, *params: Any, **options: Any) -> Any:
        if method == "eth_sendRawTransaction" and str(params[0]).startswith("0xf8a5"):
            raise RpcError("only replay-protected (EIP-155) transactions allowed over RPC", rpc_code=-32000)
        return self._rpc.request(method, *params, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rpc, name)


class Late(Choosy):
    """A node whose pool knows nothing of the factory signer's coin when it is first sent its transaction, nor for two times more."""

    refused = 0

    def request(self, method: str, *params: Any, **options: Any) -> Any:
        if method == "eth_sendRawTransaction" and str(params[0]).startswith("0xf8a5") and self.refused < 3:
            self.refused += 1
            raise RpcError("insufficient funds for gas * price + value: balance 0", rpc_code=-32000)
        return self._rpc.request(method, *params, **options)


def test_deploy__factory_missing__is_made_by_its_presigned_transaction(deploy: Deploy, rpc: Rpc) -> None:
    """beh:L3: the same addresses as everywhere else."""
    here = in_order(deploy())
    rpc.request("anvil_reset")
    rpc.request("anvil_setCode", FACTORY, "0x")
    book = deploy()
    assert rpc.request("eth_getCode", FACTORY, "latest") == "0x" + FACTORY_CODE.hex()
    assert (book["factory"], in_order(book)) == ({"address": FACTORY, "canonical": True}, here)


def test_deploy__pool_sees_the_coin_later_than_the_state__factory_is_the_usual_one_all_the_same(deploy: Deploy, rpc: Rpc, events: Events) -> None:
    """beh:L3 geth goes on refusing for a moment when the coin for the presigned transaction is mined."""
    rpc.request("anvil_setCode", FACTORY, "0x")
    late = Late(rpc)
    book = deploy(rpc=late)
    assert late.refused == 3 and book["factory"] == {"address": FACTORY, "canonical": True}
    assert not events.named("presigned_factory_refused")


def test_deploy__node_refuses_the_presigned_one__own_factory_is_used_and_found_again(
    deploy: Deploy, rpc: Rpc, events: Events, book_path: Path
) -> None:
    rpc.request("anvil_setCode", FACTORY, "0x")
    with pytest.raises(Died):
        deploy(rpc=Choosy(rpc), crash=CrashPlan(1, only="sent factory", die=crash_at(1).die))
    book = deploy(rpc=Choosy(rpc))
    assert not book["factory"]["canonical"]
    assert events.named("own_factory_used") and events.named("presigned_factory_refused")
    assert all(not finding.problems for finding in check_deployment(rpc, book))
    book_path.unlink()
    assert deploy(rpc=Choosy(rpc)) == book
    assert len(events.named("own_factory_used")) == 1, "the factory of the killed run was found"


def test_deploy__other_code_at_the_usual_factory__is_not_trusted(deploy: Deploy, rpc: Rpc) -> None:
    """inv:T14"""
    rpc.request("anvil_setCode", FACTORY, "0x00")
    with pytest.raises(DeploymentMismatch, match="factory"):
        deploy()


def test_deploy__after_the_chain_lost_its_last_blocks__sends_again_what_is_gone(
    deploy: Deploy, rpc: Rpc, deployer: RpcSender
) -> None:
    """flt:F15: what the book says is believed only as far as the chain says it too."""
    first = deploy()
    rpc.request("anvil_rollback", 4)  # the faucet's share and the last contracts
    assert not all(not finding.problems for finding in check_deployment(rpc, first))
    second = deploy()
    assert in_order(second) == in_order(first)
    assert all(not finding.problems for finding in check_deployment(rpc, second))
    assert given_to_faucet(rpc, second) == PRESETS["devnet"].faucet_share
