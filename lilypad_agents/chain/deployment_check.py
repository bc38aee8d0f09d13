"""Compares a chain with an address book, contract by contract, and looks for ways in which the code could change.

Nothing of the book is believed: addresses are computed anew from the packaged code and the book's parameters, so that a
book, a factory or a contract that somebody altered shows up. Behaviours L3 and L4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.chain.bytecode import PROXY_SLOTS, forbidden_instructions
from lilypad_agents.chain.codec import Call, to_bytes
from lilypad_agents.chain.deployer import FACTORY_CODE, block_hash
from lilypad_agents.chain.deployment_plan import CODE_BYTES_MOST, DeploymentParameters, PlannedContract, plan
from lilypad_agents.chain.errors import DeploymentMismatch
from lilypad_agents.chain.rpc import Rpc
from lilypad_agents.protocol.ids import keccak256


@dataclass(frozen=True)
class Finding:
    """One contract (or `chain`, `factory`) as found; `problems` is empty when all is as it should be."""

    subject: str
    address: str
    code_bytes: int
    problems: tuple[str, ...]


def check_deployment(rpc: Rpc, book: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Findings for the chain, the factory and every contract of `book` or of the plan that belongs to it.

    Raises ParameterInvalid when the book's parameters make no sense, ChainUnreachable.
    """
    factory = str(book["factory"]["address"])
    planned = {item.name: item for item in plan(DeploymentParameters.from_json(book["parameters"]), factory)}
    names = [*planned, *(name for name in book["contracts"] if name not in planned)]
    findings = [_chain(rpc, book), _factory(rpc, factory)]
    return (*findings, *(_contract(rpc, name, planned.get(name), book["contracts"].get(name)) for name in names))


def require_match(findings: tuple[Finding, ...]) -> None:
    """Raises DeploymentMismatch naming the first problem when there is one."""
    for finding in findings:
        for problem in finding.problems:
            raise DeploymentMismatch(f"{finding.subject}: {problem}", subject=finding.subject, address=finding.address)


def _chain(rpc: Rpc, book: Mapping[str, Any]) -> Finding:
    problems = []
    chain_id, genesis = rpc.chain_id(), "0x" + block_hash(rpc, 0).hex()
    if int(book["chainId"]) != chain_id:
        problems.append(f"the book is of chain {book['chainId']}, the endpoint serves {chain_id}")
    if book["genesisHash"] != genesis:
        problems.append(f"the book's chain began with {book['genesisHash']}, this one with {genesis}")
    if not book.get("complete", False):
        problems.append("the deployment was not carried to its end")
    return Finding("chain", "", 0, tuple(problems))


def _factory(rpc: Rpc, address: str) -> Finding:
    code = to_bytes(rpc.request("eth_getCode", address, "latest"))
    problems = () if code == FACTORY_CODE else ("its code is not the known factory's, so it could have made anything",)
    return Finding("factory", address, len(code), problems)


def _contract(rpc: Rpc, name: str, planned: PlannedContract | None, entry: Mapping[str, Any] | None) -> Finding:
    if planned is None:
        return Finding(name, str((entry or {}).get("address")), 0, ("this version of the software does not know it",))
    if entry is None:
        return Finding(name, planned.address, 0, ("the book does not have it",))
    problems = []
    if entry["address"] != planned.address:
        problems.append(f"the book has {entry['address']}, this code with these parameters belongs at {planned.address}")
    if entry.get("abiHash") != "0x" + planned.abi_hash.hex():
        problems.append("its interface is not the packaged one")
    calls = [Call("eth_getCode", (entry["address"], "latest"))]
    calls += [Call("eth_getStorageAt", (entry["address"], f"0x{slot:064x}", "latest")) for slot in PROXY_SLOTS]
    answers = rpc.batch(calls)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    code, *slots = [to_bytes(answer) for answer in answers]
    problems += code_problems(code, str(entry["codeHash"]))
    if any(slot.strip(b"\0") for slot in slots):
        problems.append("a slot that proxies use is set")
    return Finding(name, str(entry["address"]), len(code), tuple(problems))


def code_problems(code: bytes, code_hash: str) -> list[str]:
    """What is wrong with the code at an address that should have `code_hash` (0x, keccak-256)."""
    if not code:
        return ["there is no code"]
    problems = []
    found = "0x" + keccak256(code).hex()
    if found != code_hash:
        problems.append(f"its code has hash {found}, the book says {code_hash}")
    if len(code) > CODE_BYTES_MOST:
        problems.append(f"its code has {len(code)} bytes, more than {CODE_BYTES_MOST}")
    for offset, instruction in forbidden_instructions(code):
        problems.append(f"its code has {instruction} at byte {offset}")
    return problems
