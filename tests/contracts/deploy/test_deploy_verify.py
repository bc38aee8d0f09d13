"""The check of a deployment finds every difference between chain, book and package. beh:L3 beh:L4 inv:I22 inv:T13"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from lilypad_agents.chain.bytecode import PROXY_SLOTS, executable, forbidden_instructions, instructions
from lilypad_agents.chain.deployment_check import check_deployment, require_match
from lilypad_agents.chain.deployment_plan import CODE_BYTES_MOST, CONTRACTS, PRESETS, contracts_of, load_artefact
from lilypad_agents.chain.errors import DeploymentMismatch
from lilypad_agents.chain.rpc import Rpc
from tests.support.chain import mined_what_was_sent

Book = dict[str, Any]
DEPLOYED = contracts_of(PRESETS["devnet"])
# Names under which contracts usually let somebody change them, and what of ours has such a name without being that.
ADMINISTRATIVE = re.compile(
    r"^(set|update|upgrade|change|replace|add|remove|initiali[sz]e|migrate|pause|unpause|freeze|sweep|rescue|recover"
    r"|skim|mint|burn|grantRole|revokeRole|transferOwnership|renounce|acceptOwnership|owner|admin|implementation|proxy"
    r"|authority|guardian)(?![a-z])"
)
OWN_RECORD_ONLY = {
    ("Lilypad", "sweep"),  # moves accruals to the owners that the terms name
    ("LilypadModules", "setOperator"),  # of a name, by its owner
    ("LilypadModules", "setPayee"),
    ("LilypadModules", "updateList"),  # by its curator
    ("LilypadStaking", "setOperator"),  # of the caller's own seats
    ("LilypadUsers", "update"),  # of the caller
}


@pytest.fixture
def book(deploy: Callable[..., Book]) -> Book:
    return deploy()


def problems(rpc: Rpc, book: Book) -> dict[str, tuple[str, ...]]:
    return {finding.subject: finding.problems for finding in check_deployment(rpc, book) if finding.problems}


def test_check__sound_deployment__has_no_findings(rpc: Rpc, book: Book) -> None:
    findings = check_deployment(rpc, book)
    assert [finding.subject for finding in findings] == ["chain", "factory", *DEPLOYED]
    require_match(findings)


@pytest.mark.parametrize("name", DEPLOYED)
def test_check__code_swapped_at_any_address__is_found(rpc: Rpc, book: Book, name: str) -> None:
    """inv:I22"""
    rpc.request("anvil_setCode", book["contracts"][name]["address"], "0x6001")
    assert list(problems(rpc, book)) == [name]
    with pytest.raises(DeploymentMismatch, match=name):
        require_match(check_deployment(rpc, book))


def test_check__every_kind_of_alteration__is_found(rpc: Rpc, book: Book) -> None:
    """inv:T14: a hostile book, entry by entry."""
    core = book["contracts"]["Lilypad"]

    def altered(change: Callable[[Book], None]) -> dict[str, tuple[str, ...]]:
        other = copy.deepcopy(book)
        change(other)
        return problems(rpc, other)

    users = book["contracts"]["LilypadUsers"]["address"]
    assert "Lilypad" in altered(lambda b: b["contracts"]["Lilypad"].update(address=users))
    assert list(altered(lambda b: b["contracts"]["Lilypad"].update(codeHash=core["abiHash"]))) == ["Lilypad"]
    assert list(altered(lambda b: b["contracts"]["Lilypad"].update(abiHash=core["codeHash"]))) == ["Lilypad"]
    assert list(altered(lambda b: b["contracts"].pop("LilypadUsers"))) == ["LilypadUsers"]
    assert list(altered(lambda b: b["contracts"].update(Backdoor=core))) == ["Backdoor"]
    assert "Lilypad" in altered(lambda b: b["parameters"].update(revealWindow=31))
    assert "factory" in altered(lambda b: b["factory"].update(address=users))
    assert list(altered(lambda b: b.update(chainId=1))) == ["chain"]
    assert list(altered(lambda b: b.update(genesisHash=core["codeHash"]))) == ["chain"]
    assert list(altered(lambda b: b.update(complete=False))) == ["chain"]


@pytest.mark.parametrize("slot", PROXY_SLOTS)
def test_check__proxy_slot_set__is_found(rpc: Rpc, book: Book, slot: int) -> None:
    """inv:I22"""
    core = book["contracts"]["Lilypad"]["address"]
    rpc.request("anvil_setStorageAt", core, f"0x{slot:064x}", "0x" + "00" * 31 + "01")
    assert problems(rpc, book) == {"Lilypad": ("a slot that proxies use is set",)}


# ---- the audit of what was deployed


def test_audit__deployed_code__has_no_instruction_that_could_change_it(rpc: Rpc, book: Book) -> None:
    """beh:L4 inv:I22 inv:T13 beh:A9: no delegatecall, callcode, selfdestruct, tx.origin; no empty scan either."""
    for name, entry in book["contracts"].items():
        code = bytes.fromhex(rpc.request("eth_getCode", entry["address"], "latest")[2:])
        assert len(list(instructions(executable(code)))) > 300, name
        assert forbidden_instructions(code) == [], name


def test_audit__deployed_code__fits_the_size_limit(rpc: Rpc, book: Book) -> None:
    for finding in check_deployment(rpc, book)[2:]:
        assert 0 < finding.code_bytes <= CODE_BYTES_MOST, finding.subject


@pytest.mark.parametrize("name", CONTRACTS)
def test_audit__interface__has_no_administrative_function(name: str) -> None:
    """beh:L4 beh:B18 inv:I20: what has such a name changes the caller's own record only."""
    found = {(name, function) for function in load_artefact(name).abi.functions if ADMINISTRATIVE.match(function)}
    assert found == {item for item in OWN_RECORD_ONLY if item[0] == name}


def test_audit__same_salt_after_the_deployment__cannot_put_anything_else_there(
    rpc: Rpc, book: Book, deployer: Any
) -> None:
    """inv:T13: creation at an address that is taken fails, for ever, since nothing can destroy the contract."""
    made = rpc.request("eth_getTransactionByHash", book["contracts"]["LilypadUsers"]["txHash"])["input"]
    receipt = _send_anyway(rpc, deployer.address, book["factory"]["address"], made)
    assert int(receipt["status"], 16) == 0
    assert problems(rpc, book) == {}


def _send_anyway(rpc: Rpc, sender: str, to: str, data: str) -> dict[str, Any]:
    call = {"from": sender, "to": to, "data": data, "gas": hex(5_000_000)}
    sent = rpc.request("eth_sendTransaction", call)
    mined_what_was_sent(rpc)
    return dict(rpc.request("eth_getTransactionReceipt", sent))


# ---- the scanner itself


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("6000f4", [(2, "DELEGATECALL")]),
        ("f2", [(0, "CALLCODE")]),
        ("5bff", [(1, "SELFDESTRUCT")]),
        ("3250", [(0, "ORIGIN")]),
        ("60f400", []),  # pushed data
        ("7f" + "f4" * 32 + "00", []),
        ("7f" + "f4" * 32 + "f4", [(33, "DELEGATECALL")]),
        ("5ff4", [(1, "DELEGATECALL")]),  # PUSH0 carries nothing
        ("61f4", []),  # data cut off by the end
        ("", []),
    ],
)
def test_scanner__code__finds_instructions_and_not_data(code: str, found: list[tuple[int, str]]) -> None:
    assert forbidden_instructions(bytes.fromhex(code)) == found


def test_scanner__metadata__is_left_out_and_nothing_else() -> None:
    metadata = bytes.fromhex("a164736f6c63f4ff32")
    assert executable(b"\x5b\xf4" + metadata + len(metadata).to_bytes(2, "big")) == b"\x5b\xf4"
    plain = bytes.fromhex("5bf400005b0002")
    assert executable(plain) == plain, "an end that only looks like a length hides no code"


@pytest.mark.parametrize("name", CONTRACTS)
def test_scanner__planted_delegatecall__turns_the_audit_red(name: str) -> None:
    code = load_artefact(name).creation_code
    assert forbidden_instructions(b"\xf4" + code)[0] == (0, "DELEGATECALL")
