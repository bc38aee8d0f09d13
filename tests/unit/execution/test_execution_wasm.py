"""The engine: ends and their classes, limits, modules that cannot run, and equality of repeated runs."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from execution_support import EMPTY_PROGRAM, FIXTURES, fingerprint, job, limits, program, wat, write_all

from lilypad_agents.execution.errors import EngineMismatch, ModuleBroken
from lilypad_agents.execution.job import ENGINE_EXIT_CODES, MIB, ExitClass, exit_class_of
from lilypad_agents.execution.schedule import CALL_FUEL, FUEL_SCHEDULE
from lilypad_agents.execution.wasm import WasmEngine


def exit_program(code: int) -> bytes:
    return program(f"(call $proc_exit (i32.const {code}))", "proc_exit")


def test_run__plain_return__is_ok_with_code_zero(engine):
    result = engine.run(job(EMPTY_PROGRAM))
    assert (result.exit_code, result.exit_class, result.stdout, result.outputs) == (0, ExitClass.OK, b"", {})
    assert result.schedule == FUEL_SCHEDULE and result.deterministic


@pytest.mark.parametrize(
    ("status", "code", "exit_class"),
    [
        (0, 0, ExitClass.OK),
        (1, 1, ExitClass.NONZERO),
        (255, 255, ExitClass.NONZERO),
        (256, 0, ExitClass.OK),
        (-1, 255, ExitClass.NONZERO),
    ],
)
def test_run__proc_exit__takes_the_status_modulo_256(engine, status, code, exit_class):
    """beh:C11: a job that exits non-zero has a result like any other."""
    result = engine.run(job(exit_program(status)))
    assert (result.exit_code, result.exit_class) == (code, exit_class)


ENDS = {
    ExitClass.FUEL: "(loop (br 0))",
    ExitClass.TRAP: "unreachable",
    ExitClass.QUOTA: f"(loop {write_all(50_000)} (br 0))",
    ExitClass.OOM: "(drop (memory.grow (i32.const 1023))) (i32.store (i32.const 67108864) (i32.const 1))",
}


@pytest.mark.parametrize("expected", ENDS)
def test_run__end_made_by_the_engine__has_its_class_and_code(engine, expected):
    """beh:K9, flt:S17: each limit ends the job and is recorded."""
    result = engine.run(job(program(ENDS[expected], "fd_write")))
    assert (result.exit_class, result.exit_code) == (expected, ENGINE_EXIT_CODES[expected])


@pytest.mark.parametrize(
    "body", ["unreachable", "(drop (i32.div_u (i32.const 1) (local.get $n)))", "(drop (i32.load (i32.const -4)))"]
)
def test_run__trap__keeps_what_was_written_and_repeats(engine, body):
    spec = job(program(write_all(10) + body, "fd_write"))
    first, second = engine.run(spec), engine.run(spec)
    assert first.exit_class is ExitClass.TRAP and len(first.stdout) == 10
    assert fingerprint(first) == fingerprint(second)


def test_run__out_of_fuel__has_used_exactly_the_limit(engine):
    """flt:S5, flt:S17: an endless loop is ended by fuel."""
    assert engine.run(job(program(ENDS[ExitClass.FUEL]), limits=limits(fuel=1_234_567))).fuel == 1_234_567


def test_run__host_call_with_too_little_fuel__ends_as_fuel_with_the_limit_used(engine):
    spec = job(program("(drop (call $sched_yield))", "sched_yield"), limits=limits(fuel=CALL_FUEL - 1))
    result = engine.run(spec)
    assert (result.exit_class, result.fuel) == (ExitClass.FUEL, CALL_FUEL - 1)


def test_run__host_calls__are_charged_by_the_published_schedule(engine):
    calls = [engine.run(job(program("(drop (call $sched_yield))" * n, "sched_yield"))).fuel for n in (1, 2, 5)]
    per_call = calls[1] - calls[0]
    assert CALL_FUEL < per_call < CALL_FUEL + 10  # the call itself and the drop cost a little machine code
    assert calls[2] - calls[1] == 3 * per_call


def test_run__wall_time_passed__is_timeout_without_streams_or_fuel(engine):
    """flt:S5: what depends on the machine is left out of the result."""
    body = write_all(5) + "(loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (br 0))"
    result = engine.run(job(program(body, "fd_write"), limits=limits(fuel=1 << 60, wall_seconds=1)))
    assert (result.exit_class, result.stdout, result.fuel) == (ExitClass.TIMEOUT, b"", 0)
    assert not result.deterministic and 1000 <= result.wall_ms < 5000


def test_run__stack_overflow__is_indeterminate_without_streams_or_fuel(engine):
    wasm = wat('(module (memory (export "memory") 1) (func $f (export "_start") (call $f)))')
    result = engine.run(job(wasm))
    assert (result.exit_class, result.stdout, result.fuel) == (ExitClass.INDETERMINATE, b"", 0)


def test_run__memory_minimum_over_the_limit__is_oom(engine):
    """flt:S4: memory is bounded from the first page."""
    result = engine.run(job(program("", memory="1025"), limits=limits(memory_bytes=64 * MIB)))
    assert (result.exit_class, result.peak_memory) == (ExitClass.OOM, 0)


def test_run__growth_over_the_limit__is_refused_to_the_program(engine):
    """flt:S17: 250 MB of growth under 64 MB answer -1, and the program goes on."""
    body = "(call $proc_exit (i32.eq (memory.grow (i32.const 4000)) (i32.const -1)))"
    assert engine.run(job(program(body, "proc_exit"))).exit_code == 1


def test_run__output_at_the_limit__is_kept_and_one_byte_more_ends_the_job(engine):
    """flt:S7: never a silent cut."""
    spec = job(program(write_all(1000) + write_all(1, 2000), "fd_write"), limits=limits(stdout_bytes=1001))
    assert len(engine.run(spec).stdout) == 1001
    over = engine.run(job(spec.wasm, limits=limits(stdout_bytes=1000)))
    assert (over.exit_class, over.detail, len(over.stdout)) == (ExitClass.QUOTA, "stdout", 1000)


def test_run__stderr_over_its_limit__names_it(engine):
    result = engine.run(job(program(write_all(11, descriptor=2), "fd_write"), limits=limits(stderr_bytes=10)))
    assert (result.exit_class, result.detail) == (ExitClass.QUOTA, "stderr")


BROKEN = {
    "not wasm": b"hello",
    "text instead of wasm": b'(module (memory (export "memory") 1) (func (export "_start")))',
    "component": b"\0asm\x0d\0\1\0",
    "cut": EMPTY_PROGRAM[:-3],
    "unknown import module": wat(
        '(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))'
    ),
    "unknown wasi function": wat(
        '(module (import "wasi_snapshot_preview1" "teleport" (func))'
        ' (memory (export "memory") 1) (func (export "_start")))'
    ),
    "wrong import type": wat(
        '(module (import "wasi_snapshot_preview1" "fd_write" (func))'
        ' (memory (export "memory") 1) (func (export "_start")))'
    ),
    "imported memory": wat('(module (import "env" "memory" (memory 1)) (func (export "_start")))'),
    "no memory": wat('(module (func (export "_start")))'),
    "no entry": wat('(module (memory (export "memory") 1) (func (export "main")))'),
    "entry with parameters": wat('(module (memory (export "memory") 1) (func (export "_start") (param i32)))'),
    "huge table": wat('(module (memory (export "memory") 1) (table 2000000 funcref) (func (export "_start")))'),
    "five tables": wat('(module (memory (export "memory") 1)' + "(table 1 funcref)" * 5 + '(func (export "_start")))'),
    "memory64": wat('(module (memory (export "memory") i64 1) (func (export "_start")))'),
    "shared memory": wat('(module (memory (export "memory") 1 2 shared) (func (export "_start")))'),
    "two memories": wat('(module (memory (export "memory") 1) (memory 1) (func (export "_start")))'),
    "host references": wat('(module (memory (export "memory") 1) (table 1 externref) (func (export "_start")))'),
    "exceptions": wat('(module (tag $t) (memory (export "memory") 1) (func (export "_start") (throw $t)))'),
}


@pytest.mark.parametrize("name", BROKEN)
def test_run__module_that_no_engine_can_run__is_broken(engine, name):
    """inv:T59: such a module is the publisher's fault, not a result."""
    with pytest.raises(ModuleBroken):
        engine.run(job(BROKEN[name]))


def test_run__start_function__is_fuelled_and_cannot_reach_memory_by_host_calls(engine):
    spin = wat('(module (memory (export "memory") 1) (func $s (loop (br 0))) (start $s) (func (export "_start")))')
    assert engine.run(job(spin)).exit_class is ExitClass.FUEL
    check = "(i32.ne (call $random_get (i32.const 0) (i32.const 8)) (i32.const 21))"
    more = f"(func $early (if {check} (then unreachable))) (start $early)"
    assert engine.run(job(program("", "random_get", more=more))).exit_class is ExitClass.OK


def test_engine__other_wasmtime_version__is_refused(monkeypatch):
    """beh:K10: fuel is only counted by the engine that the schedule names."""
    monkeypatch.setattr("lilypad_agents.execution.wasm.version", lambda name: "49.0.0")
    with pytest.raises(EngineMismatch, match="49.0.0"):
        WasmEngine()


def test_exit_codes__of_engine_ends__are_distinct_and_no_program_can_make_them(engine):
    assert len(set(ENGINE_EXIT_CODES.values())) == len(ENGINE_EXIT_CODES)
    assert all(code > 255 and exit_class_of(code) is exit_class for exit_class, code in ENGINE_EXIT_CODES.items())
    assert engine.run(job(exit_program(ENGINE_EXIT_CODES[ExitClass.TIMEOUT]))).exit_class is ExitClass.NONZERO
    for impossible in (-1, 300, 512):
        with pytest.raises(ValueError):
            exit_class_of(impossible)


def probe_job():
    return job(
        (FIXTURES / "probe.wasm").read_bytes(),
        args=("probe", "ä b"),
        env=(("HOME", "/"), ("LANG", "C")),
        files={"inputs.json": b"{}", "b.txt": b"bb", "a/deep.txt": b"a"},
        seed=bytes(range(32)),
    )


RUN_PROBE = """
import os, sys
sys.path[:] = sys.argv[2:]
os.environ["EXTRA"] = "leak"
from execution_support import fingerprint
from test_execution_wasm import probe_job
from lilypad_agents.execution.wasm import WasmEngine
print(fingerprint(WasmEngine(opt_level=sys.argv[1]).run(probe_job())))
"""


def test_probe__two_processes_and_three_optimisation_levels__are_equal(engine):
    """beh:K11, flt:S17, inv:T59: clock, randomness, order of names, inodes, addresses, floats and fuel all repeat."""
    expected = fingerprint(engine.run(probe_job()))
    assert fingerprint(engine.run(probe_job())) == expected
    for level, hash_seed in (("none", "1"), ("speed", "2"), ("speed_and_size", "3")):
        found = subprocess.run(
            [sys.executable, "-c", RUN_PROBE, level, *sys.path],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed, "TZ": "Asia/Tokyo"},
            timeout=120,
        )
        assert found.stdout.strip() == expected, level


def test_probe__what_it_sees__is_ours_and_nothing_of_the_host(engine):
    """flt:S2, beh:K8: no host file, environment, clock or entropy."""
    result = engine.run(probe_job())
    text = result.stdout.decode()
    assert result.exit_code == 7 and "errno" in text
    assert [line for line in text.splitlines() if line.startswith("env ")] == ["env HOME=/", "env LANG=C"]
    assert text.splitlines()[:2] == ["arg probe", "arg ä b"]
    assert "/etc: errno" in text and "/: errno" in text
    slept = [line.split() for line in text.splitlines() if line.startswith(("start", "slept"))]
    assert 3.14 < float(slept[1][2]) - float(slept[0][2]) < 3.15 and result.wall_ms < 3000
    assert slept[0][1].startswith("1700000000.")
    assert "tty 0 0 0" in result.stderr.decode() and "stdin -1" in result.stderr.decode()
    assert result.outputs == {"z.txt": b"z\n", "deep/y.txt": b"y\n"}


def test_probe__another_seed__changes_only_the_random_bytes(engine):
    first = engine.run(probe_job()).stdout.decode().splitlines()
    other = engine.run(job(**{**_fields(probe_job()), "seed": bytes(32)})).stdout.decode().splitlines()
    differing = [a for a, b in zip(first, other, strict=True) if a != b]
    assert len(differing) == 2 and all(len(line) == 80 for line in differing)


def _fields(spec):
    return {name: getattr(spec, name) for name in spec.__slots__}


def test_random__stream__is_shake_256_of_seed_and_counter(engine):
    body = "".join(
        f"(drop (call $random_get (i32.const {at}) (i32.const {size})))" for at, size in ((0, 100), (100, 28))
    )
    seed = bytes(range(32))
    result = engine.run(job(program(body + write_all(128), "random_get", "fd_write"), seed=seed))
    blocks = [hashlib.shake_256(seed + n.to_bytes(8, "big")).digest(size) for n, size in ((0, 100), (1, 28))]
    assert result.stdout == b"".join(blocks)


def test_floats__nan_payloads__are_canonical(engine):
    """beh:K11: 0/0 has one bit pattern on every processor."""
    body = "(i64.store (i32.const 0) (i64.reinterpret_f64 (f64.div (f64.neg (f64.const 0)) (f64.const 0))))"
    assert engine.run(job(program(body + write_all(8), "fd_write"))).stdout == (0x7FF8 << 48).to_bytes(8, "little")
