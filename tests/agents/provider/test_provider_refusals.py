"""What a provider cannot serve it gives back early; what a job does wrong is the job's own, valid result."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lilypad_agents.content.importer import add_bytes
from lilypad_agents.execution.job import MIB
from lilypad_agents.execution.strictjson import canonical
from lilypad_agents.protocol.ids import hex_of
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.price import decline_cost
from tests.agents.provider.harness import Stage, TestModule
from tests.support.network import TOKEN
from tests.unit.execution.execution_support import document, program, wat, write_all

Make = Callable[[TestModule], bytes]


def raw(text: bytes) -> Make:
    return lambda module: text


def inputs(**changes: Any) -> Make:
    def make(module: TestModule) -> bytes:
        found: dict[str, Any] = {"module": hex_of(module.terms.id), "values": {"Message": "hi"}, "files": {}}
        return canonical(found | changes)

    return make


BAD_INPUTS = {
    "no JSON": raw(b"{"),
    "no UTF-8": raw(b"\xff\xfe{}"),
    "not canonical": lambda module: json.dumps(json.loads(inputs()(module)), indent=1).encode(),
    "deep nesting": raw(b"[" * 100_000),
    "twice the same key": raw(b'{"files":{},"files":{},"module":"x","values":{}}'),
    "other module": inputs(module="0x" + "11" * 32),
    "wrong type": inputs(values={"Message": 7}),
    "unknown input": inputs(values={"Message": "hi", "Password": "x"}),
    "missing default": inputs(values={}),
    "unknown file": inputs(files={"x.txt": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"}),
    "file that is no CID": inputs(files={"text.txt": "../etc/passwd"}),
    "a NUL in a value": inputs(values={"Message": "a\0b"}),
    "too long a value": inputs(values={"Message": "x" * 5_000}),
    "giant": raw(b'{"x":"' + b"y" * (2 * MIB) + b'"}'),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_inputs__not_a_valid_document__are_declined_for_one_percent(name: str, stage: Stage) -> None:
    """beh:C12 flt:F31 The creator has its money back and one percent on top; the provider lost no more than that."""
    module = stage.module()
    data = BAD_INPUTS[name](module)
    digest = add_bytes(stage.relay.store, data).digest
    deal_id, deal = stage.open(stage.pair(module, digest, {"submit_window": 40}))[0]
    creator, provider = (stage.network.free(key.address) for key in (stage.creator, stage.provider))
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.DECLINED), 30)
    cost = decline_cost(deal)
    assert cost == TOKEN // 100
    assert stage.network.free(stage.creator.address) == creator + TOKEN + cost
    assert stage.network.free(stage.provider.address) == provider + deal.collateral - cost
    expected = "content-unavailable" if name == "giant" else "inputs-invalid"  # a document is one block, or nothing
    assert expected in stage.lines.named("deal_declined")[0]["reason"]


def test_decline__the_same_job_offer__can_be_opened_with_another_provider(stage: Stage) -> None:
    """beh:C12 The nonce of a declined offer counts as unused."""
    module = stage.module()
    pair = stage.pair(module, add_bytes(stage.relay.store, b"{").digest)
    deal_id, _ = stage.open(pair)[0]
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.DECLINED), 30)
    again = stage.network.resource(stage.provider.address)
    other, _ = stage.open(pair._replace(resource=again, resource_signature=stage.network.sign(again, stage.provider)))[0]
    assert other != deal_id and stage.status(other) is Status.AGREED


def test_manifest__contradicts_the_terms__is_declined(stage: Stage) -> None:
    """beh:C12 The terms promise one thing, the manifest another: nobody could judge that."""
    module = stage.publish(stage.module().manifest, {}, min_seat_fee=7)
    deal_id, _ = stage.open(stage.pair(module, stage.inputs(module, {})))[0]
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.DECLINED), 30)
    assert stage.lines.named("deal_refused")[0]["reason"] == "terms-contradict"


def test_manifest__not_what_the_digest_says__is_declined_in_time(stage: Stage) -> None:
    """beh:C12 flt:F32 A module whose manifest nobody serves is given back within the quarter."""
    module = stage.module()
    unknown = TestModule(module.manifest, replace(module.terms, manifest=b"\x05" * 32))
    deal_id, deal = stage.open(stage.pair(unknown, stage.inputs(module, {}), {"submit_window": 24}))[0]
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.DECLINED), 30)
    assert stage.state(deal_id).deadline <= stage.lives[0].context.deals.get(deal_id).opened_at + 6


def test_inputs__nobody_serves_them__are_declined_in_time(stage: Stage) -> None:
    """beh:C12 flt:F32"""
    module = stage.module()
    deal_id, _ = stage.open(stage.pair(module, b"\x05" * 32, {"submit_window": 24}))[0]
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.DECLINED), 30)
    assert "content-unavailable" in stage.lines.named("deal_declined")[0]["reason"]


def test_inputs__come_late__are_served_all_the_same(stage: Stage) -> None:
    """A relay that has a bad moment costs nothing."""
    stage.relay.faults.add("no content")
    deal_id, _ = stage.deal()
    life = stage.start()
    life.until(lambda: bool(stage.lines.named("deal_work_failed")))
    stage.relay.faults.clear()
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))


def test_relay__serves_other_bytes__none_of_them_are_run(stage: Stage) -> None:
    """flt:F32 flt:F33 beh:K2 Bytes that do not have their hash never count."""
    stage.relay.faults.add("lie")
    deal_id, _ = stage.deal(submit_window=24)
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.DECLINED), 30)
    assert not stage.relay.of_kind(deal_id, "result")


@pytest.mark.parametrize(
    "settings", [{"deny_names": ("cowsay",)}, {"allow_names": ("primes",)}, {"deny_versions": ("{version}",)}]
)
def test_module__not_wanted__is_declined(settings: dict[str, Any], stage: Stage) -> None:
    """beh:C12 Somebody opened it on an older offer; that costs one percent and no run."""
    module = stage.module()
    chosen = {name: tuple(v.format(version=hex_of(module.terms.id)) for v in values) for name, values in settings.items()}
    deal_id, _ = stage.open(stage.pair(module, stage.inputs(module, {})))[0]
    life = stage.start(**chosen)
    life.until(stage.is_in(deal_id, Status.DECLINED), 30)
    assert not stage.lines.named("run_ended")


# ---- what a job does wrong

SPIN = wat('(module (memory (export "memory") 1) (func (export "_start") (loop $l br $l)))')
EXIT_3 = program("(call $proc_exit (i32.const 3))", "proc_exit")
TRAP = wat('(module (memory (export "memory") 1) (func (export "_start") unreachable))')
ENDLESS = program(f"(loop $l {write_all(1000)} br $l)", "fd_write")
HUNGRY = wat(
    '(module (memory (export "memory") 1) (func (export "_start")'
    " (loop $l (br_if $l (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) unreachable))"
)


@pytest.mark.parametrize(
    ("wasm", "changes", "expected"),
    [
        (EXIT_3, {}, "nonzero"),
        (TRAP, {}, "trap"),
        (SPIN, {"limits.fuel": 1_000_000}, "fuel"),
        (SPIN, {"limits.fuel": (1 << 53) - 1, "limits.wallSeconds": 1}, "timeout"),
        (ENDLESS, {}, "quota"),
        (HUNGRY, {}, "oom"),
    ],
    ids=["exit 3", "trap", "fuel", "timeout", "endless output", "memory"],
)
def test_job__ends_badly__is_a_valid_result_and_paid(wasm: bytes, changes: dict[str, Any], expected: str, stage: Stage) -> None:
    """beh:C11 beh:C4 flt:F37 flt:S7 The job's failure is not the provider's; the agent goes on."""
    made = document()
    for path, value in changes.items():
        section, name = path.split(".")
        made[section] = made[section] | {name: value}
    module = stage.made_module(made, wasm)
    deal_id, _ = stage.open(stage.pair(module, stage.inputs(module, {})))[0]
    life = stage.start()
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    assert stage.result(deal_id)["receipt"]["receipt"]["exitClass"] == expected
    stage.accept(deal_id)
    life.until(stage.is_in(deal_id, Status.ACCEPTED))


def test_module__that_no_machine_can_run__is_declined(stage: Stage) -> None:
    """beh:C12 Its artefact is no wasm."""
    module = stage.made_module(document(), b"not a program")
    deal_id, _ = stage.open(stage.pair(module, stage.inputs(module, {})))[0]
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.DECLINED), 30)
    assert stage.lines.named("deal_refused")[0]["reason"] == "module-broken"
