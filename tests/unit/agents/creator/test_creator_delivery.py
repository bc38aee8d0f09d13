"""Taking delivery from a provider that nobody trusts: every byte, the receipt and the digest are checked; all or nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from creator_support import DOMAIN, ONE, deal, manifest, terms

from lilypad_agents.agents.creator.delivery import (
    ResultNote,
    check_folder,
    flat,
    is_here,
    limits_of,
    note_on_disk,
    read_note,
    verify,
    write_results,
)
from lilypad_agents.agents.creator.errors import ResultMismatch
from lilypad_agents.agents.provider.messages import result_note
from lilypad_agents.agents.provider.results import Opening, opened_of, receipt_of, store_receipt, store_result
from lilypad_agents.chain.keys import LocalSigner, signer_from_test_mnemonic
from lilypad_agents.chain.types import ChainId
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import TargetExists
from lilypad_agents.content.importer import put_tree
from lilypad_agents.content.store import LocalStore
from lilypad_agents.execution.job import ExitClass, RunResult
from lilypad_agents.execution.schedule import ENGINE_ID, FUEL_SCHEDULE
from lilypad_agents.protocol.deal import Deal
from lilypad_agents.protocol.ids import Address, ResultDigest

PROVIDER_KEY: LocalSigner = signer_from_test_mnemonic(2, ChainId(1337))
COW = manifest("cowsay")


def run_result(**changes: Any) -> RunResult:
    values: dict[str, Any] = dict(
        exit_code=0, exit_class=ExitClass.OK, stdout=b"moo\n", stderr=b"", outputs={}, fuel=250_000_000, peak_memory=1, wall_ms=2,
        cpu_ms=1, engine=ENGINE_ID, schedule=FUEL_SCHEDULE,
    )  # fmt: skip
    return RunResult(**(values | changes))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", durable=False)


def record(name: str = "cowsay", **changes: Any) -> Deal:
    found = deal(terms(name))
    return replace(found, provider=Address(PROVIDER_KEY.address), **changes)


Deliver = Callable[..., tuple[Deal, ResultNote]]


@pytest.fixture
def deliver(store: LocalStore) -> Deliver:
    """What an honest provider would hand over for a run, put into the creator's store as if it had been fetched."""

    def make(result: RunResult | None = None, *, name: str = "cowsay", of: Deal | None = None, signer: LocalSigner = PROVIDER_KEY, **receipt: Any) -> tuple[Deal, ResultNote]:
        found, result = of or record(name), result or run_result()
        opened, units = opened_of(manifest(name), found, result)
        opening = Opening(opened, bytes(32), store_result(store, result), units)
        signed = receipt_of(
            found.id(DOMAIN), found, b"\x01" * 32, result, opening, isa="x86-64-v3", started_at=1, ended_at=2, signer=signer
        )
        if receipt:
            from lilypad_agents.agents.runtime.http_signature import personal_digest
            from lilypad_agents.execution.receipt import sign_receipt

            signed = sign_receipt(replace(signed.receipt, **receipt), lambda message: signer.sign_digest(personal_digest(message)))
        body = json.loads(json.dumps(result_note(opening.data_id, store_receipt(store, signed), signed, opened)))
        note = read_note(body)
        assert note is not None
        return found, note

    return make


def checked(store: LocalStore, found: Deal, note: ResultNote, name: str = "cowsay") -> Any:
    return verify(store, manifest(name), found, found.id(DOMAIN), note)


# ---- honest


@pytest.mark.parametrize(
    "result",
    [
        run_result(),
        run_result(exit_code=3, exit_class=ExitClass.NONZERO, stderr=b"why\n"),
        run_result(exit_code=256 + 152, exit_class=ExitClass.FUEL),
        run_result(stdout=b"", stderr=b""),
    ],
)
def test_verify__honest_result__recomputes_the_digest(store: LocalStore, deliver: Deliver, result: RunResult) -> None:
    """beh:C8 beh:C11"""
    found, note = deliver(result)
    delivered = checked(store, found, note)
    assert delivered.digest == note.digest
    assert delivered.files.exit_code == result.exit_code
    assert delivered.files.stdout == result.stdout


def test_verify__outputs_and_metered_units__count(store: LocalStore, deliver: Deliver) -> None:
    """beh:C3 beh:C7"""
    found, note = deliver(run_result(outputs={"counts.json": b"{}"}), name="wordcount")
    assert checked(store, found, note, "wordcount").files.outputs == {"counts.json": b"{}"}
    priced = record("primes", unit_price=ONE // 100, max_units=1_000)
    found, note = deliver(run_result(), name="primes", of=priced)
    assert checked(store, found, note, "primes").receipt.units == 2


# ---- hostile


def test_verify__other_bytes_under_the_providers_digest__are_refused(store: LocalStore, deliver: Deliver) -> None:
    """beh:C8 flt:F31"""
    found, note = deliver()
    other = store_result(store, run_result(stdout=b"something else\n"))
    receipt = json.loads(note.receipt)
    for changed in (replace(note, data_id=other), replace(note, digest=ResultDigest(b"\x07" * 32))):
        with pytest.raises(ResultMismatch):
            checked(store, found, changed)
    _, lying = deliver(data_id=str(other))  # signed by the provider itself: only the recomputed digest tells
    with pytest.raises(ResultMismatch, match="delivered bytes"):
        checked(store, found, replace(lying, data_id=other))
    assert receipt["receipt"]["dataId"] == str(note.data_id)


@pytest.mark.parametrize(
    "lie",
    [
        {"deal": "0x" + "11" * 32},
        {"module": "0x" + "11" * 32},
        {"inputs": "0x" + "12" * 32},
        {"units": 1},
        {"exit_code": 3, "exit_class": ExitClass.NONZERO},
        {"result_digest": "0x" + "13" * 32},
    ],
)
def test_verify__receipt_about_something_else__is_refused(store: LocalStore, deliver: Deliver, lie: dict[str, Any]) -> None:
    """beh:C8 flt:F31"""
    found, note = deliver(**lie)
    with pytest.raises(ResultMismatch):
        checked(store, found, note)


@pytest.mark.parametrize("lie", [{"units": 3}, {"units": 0}, {"schedule": "other/schedule-1"}])
def test_verify__units_that_do_not_follow_from_the_work__are_refused(store: LocalStore, deliver: Deliver, lie: dict[str, Any]) -> None:
    """beh:C7"""
    priced = record("primes", unit_price=ONE // 100, max_units=1_000)
    found, note = deliver(name="primes", of=priced, **lie)
    with pytest.raises(ResultMismatch):
        checked(store, found, note, "primes")


def test_verify__receipt_signed_by_another__is_refused(store: LocalStore, deliver: Deliver) -> None:
    """beh:C1"""
    found, note = deliver(signer=signer_from_test_mnemonic(3, ChainId(1337)))
    with pytest.raises(ResultMismatch, match="signed by"):
        checked(store, found, note)


@pytest.mark.parametrize(
    "tree",
    [
        {"stdout": b"", "stderr": b""},
        {"exitCode": b"0", "stdout": b"", "stderr": b"", "extra": b""},
        {"exitCode": b" 0", "stdout": b"", "stderr": b""},
        {"exitCode": b"1000", "stdout": b"", "stderr": b""},
        {"exitCode": b"0", "stdout": b"", "stderr": b"", "outputs": {"a": b"x"}},  # cowsay may write none
        {"exitCode": b"0", "stdout": b"x" * (65_536 + 1), "stderr": b""},
    ],
)
def test_verify__tree_that_is_no_result_of_the_module__is_refused(store: LocalStore, deliver: Deliver, tree: dict[str, Any]) -> None:
    """flt:F31 flt:S7 flt:S8"""
    found, note = deliver()
    root = put_tree(store, tree)
    with pytest.raises(ResultMismatch):
        checked(store, found, replace(note, data_id=root))


def test_limits__tree_larger_than_the_module_allows__is_not_even_read(store: LocalStore, deliver: Deliver) -> None:
    """flt:F31 flt:S9"""
    found, note = deliver()
    root = put_tree(store, {"exitCode": b"0", "stdout": b"y" * (limits_of(COW).max_bytes + 1), "stderr": b""})
    assert not is_here(store, root, limits_of(COW))
    with pytest.raises(ResultMismatch):
        checked(store, found, replace(note, data_id=root))


@pytest.mark.parametrize("body", [None, "x", [], {}, {"dataId": "Qm", "receipt": {}, "resultDigest": "0x"}, {"dataId": 5, "receipt": 5, "resultDigest": 5}, {"receipt": {"a": float("nan")}}])
def test_read_note__nonsense__is_none(body: Any) -> None:
    """flt:F31"""
    assert read_note(body) is None


# ---- writing


def test_write_results__everything__at_once_and_again(store: LocalStore, deliver: Deliver, tmp_path: Path) -> None:
    """beh:J23"""
    found, note = deliver(run_result(stderr=b"e"))
    delivered = checked(store, found, note)
    target = tmp_path / "results" / "deal"
    assert write_results(store, delivered, target) == target
    assert sorted(path.name for path in target.iterdir()) == ["exitCode", "outputs", "receipt.json", "stderr", "stdout"]
    assert (target / "stdout").read_bytes() == b"moo\n"
    assert not [path for path in target.parent.iterdir() if path != target], "something half-written is left"
    assert write_results(store, delivered, target) == target
    assert note_on_disk(target) == note
    assert check_folder(target, COW, found, found.id(DOMAIN)).digest == note.digest


def test_write_results__over_something_else__is_refused_and_changes_nothing(store: LocalStore, deliver: Deliver, tmp_path: Path) -> None:
    found, note = deliver()
    delivered = checked(store, found, note)
    target = tmp_path / "deal"
    target.mkdir()
    (target / "mine.txt").write_text("keep")
    with pytest.raises(TargetExists):
        write_results(store, delivered, target)
    assert [path.name for path in target.iterdir()] == ["mine.txt"]
    (tmp_path / "link").symlink_to("/nowhere")
    with pytest.raises(TargetExists):
        write_results(store, delivered, tmp_path / "link")


@pytest.mark.parametrize("name", ["stdout", "exitCode", "receipt.json", "outputs/new"])
def test_check_folder__one_byte_changed__is_refused(store: LocalStore, deliver: Deliver, tmp_path: Path, name: str) -> None:
    """beh:J23"""
    found, note = deliver(run_result(stderr=b"e"))
    target = write_results(store, checked(store, found, note), tmp_path / "deal")
    path = target / name
    raw = path.read_bytes() if path.exists() else b""
    path.write_bytes(raw.replace(b"moo", b"mooo") if name == "stdout" else raw + b"1" if name != "receipt.json" else raw.replace(b'"wallMs":2', b'"wallMs":3'))
    with pytest.raises((ResultMismatch, Exception), match="data id|signed|malformed|refused"):
        check_folder(target, COW, found, found.id(DOMAIN))


def test_flat__nested_folders__are_paths() -> None:
    assert flat({"a": {"b": b"1", "c": {"d": b"2"}}, "e": b"3"}) == {"a/b": b"1", "a/c/d": b"2", "e": b"3"}
    assert Cid.raw(bytes(32))
