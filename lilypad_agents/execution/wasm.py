"""The wasm engine: runs a `JobSpec` under our WASI and gives a `RunResult` that every machine repeats.

Bounds: fuel (contractual, deterministic), linear memory, streams and files (exit classes), and wall time by epoch
interruption as a safety net. Nothing of the host reaches the program; see `execution.wasi`.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import wasmtime
from wasmtime import TrapCode

from lilypad_agents.execution.cache import CompileCache
from lilypad_agents.execution.errors import EngineMismatch, ModuleBroken
from lilypad_agents.execution.job import ENGINE_EXIT_CODES, MACHINE_DEPENDENT, ExitClass, JobSpec, RunResult
from lilypad_agents.execution.schedule import ENGINE_ID, FUEL_SCHEDULE, WASMTIME_VERSION
from lilypad_agents.execution.wasi import binding
from lilypad_agents.execution.wasi.ends import GuestExit, HostFault, OutOfFuel, QuotaExceeded
from lilypad_agents.execution.wasi.host import STANDARD, Circumstances, Host
from lilypad_agents.execution.wasi.memfs import walk_files

if TYPE_CHECKING:
    from lilypad_agents.execution.inputs import Inputs
    from lilypad_agents.execution.job import Limits
    from lilypad_agents.execution.manifest import Manifest

MAX_WASM_BYTES = 64 * 1024 * 1024
MAX_TABLE_ELEMENTS = 1_000_000
MAX_TABLES = 4
PAGE_BYTES = 65_536
MAX_WASM_STACK = 1024 * 1024
_WASM_HEADER = b"\0asm\x01\0\0\0"
_OFF = (
    "wasm_threads",
    "shared_memory",
    "wasm_memory64",
    "wasm_multi_memory",
    "wasm_tail_call",
    "wasm_gc",
    "wasm_function_references",
    "wasm_exceptions",
    "wasm_wide_arithmetic",
    "wasm_custom_page_sizes",
    "wasm_stack_switching",
    "wasm_component_model",
    "gc_support",
    "parallel_compilation",
    "memory_init_cow",  # it would need a file in memory for each run, which the sandbox refuses
)
_ON = (
    "consume_fuel",
    "epoch_interruption",
    "cranelift_nan_canonicalization",
    "wasm_relaxed_simd_deterministic",
    "wasm_simd",
    "wasm_bulk_memory",
    "wasm_multi_value",
)
# The binding keeps the exception of a host call in one place for the whole process, so two runs at once could take each
# other's end; it also keeps one run's timer from interrupting another.
_RUN_LOCK = threading.Lock()
_TRAP_CLASSES: Mapping[TrapCode, ExitClass] = {
    TrapCode.OUT_OF_FUEL: ExitClass.FUEL,
    TrapCode.INTERRUPT: ExitClass.TIMEOUT,
    # The depth at which the native stack ends depends on the compiler: the one trap that machines may not share.
    TrapCode.STACK_OVERFLOW: ExitClass.INDETERMINATE,
}


@dataclass(frozen=True, slots=True)
class _End:
    code: int
    exit_class: ExitClass
    detail: str = ""


class WasmEngine:
    """Compiles and runs modules; one run at a time in a process.

    `opt_level` (none, speed, speed_and_size) changes speed only, never a result or fuel; tests prove it.
    """

    def __init__(self, cache: CompileCache | None = None, *, opt_level: str = "speed") -> None:
        if version("wasmtime") != WASMTIME_VERSION:
            raise EngineMismatch(
                f"wasmtime {version('wasmtime')} is installed, this release counts fuel by {WASMTIME_VERSION}"
            )
        config = wasmtime.Config()
        for name in _OFF:
            setattr(config, name, False)
        for name in _ON:
            setattr(config, name, True)
        config.max_wasm_stack = MAX_WASM_STACK
        config.cranelift_opt_level = opt_level
        self._engine = wasmtime.Engine(config)
        self._cache = cache
        settings = [WASMTIME_VERSION, opt_level, MAX_WASM_STACK, _ON, _OFF]
        self._configuration = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]

    def compile(self, wasm: bytes) -> wasmtime.Module:
        """Compiles, or takes the compiled code from the cache. Raises ModuleBroken for what is not a wasm module."""
        if not wasm.startswith(_WASM_HEADER):
            raise ModuleBroken("the artefact is not a WebAssembly core module of version 1")
        if len(wasm) > MAX_WASM_BYTES:
            raise ModuleBroken(f"the artefact has {len(wasm)} bytes, {MAX_WASM_BYTES} are allowed", bytes=len(wasm))
        key = f"{hashlib.sha256(wasm).hexdigest()}-{self._configuration}"
        cached = self._cache.load(key) if self._cache is not None else None
        if cached is not None:
            try:
                return wasmtime.Module.deserialize(self._engine, cached)
            except wasmtime.WasmtimeError:
                pass  # compiled for another CPU: compile again
        try:
            module = wasmtime.Module(self._engine, wasm)
        except wasmtime.WasmtimeError as failure:
            raise ModuleBroken(f"the artefact does not compile: {_first_line(failure)}") from None
        if self._cache is not None:
            self._cache.store(key, bytes(module.serialize()))
        return module

    def run(self, spec: JobSpec) -> RunResult:
        """Runs one job in this process. Raises ModuleBroken when no machine could run it, and MemoryError when this
        machine lacks memory below the job's own limits (no result then: that is not the job's end).
        """
        return self.run_compiled(self.compile(spec.wasm), spec)

    def run_compiled(
        self, module: wasmtime.Module, spec: JobSpec, *, timer: bool = True, circumstances: Circumstances = STANDARD
    ) -> RunResult:
        """Runs a module that `compile` gave; the part that happens inside a job's sandbox.

        Without `timer` no thread is started and the caller bounds the wall time, as the fork server does by killing.
        """
        check_exports(module, spec.entry)
        host = Host(spec, circumstances)
        store = wasmtime.Store(self._engine)
        limits = spec.limits
        store.set_limits(
            memory_size=limits.memory_bytes,
            table_elements=MAX_TABLE_ELEMENTS,
            instances=1,
            tables=MAX_TABLES,
            memories=1,
        )
        store.set_fuel(limits.fuel)
        host.attach_fuel(store.get_fuel, store.set_fuel)
        linker = wasmtime.Linker(self._engine)
        binding.bind(linker, host, ((item.module, item.name or "") for item in module.imports))
        memory = _Memory(store, limits.memory_bytes)
        started, cpu_started = time.monotonic_ns(), time.process_time_ns()
        with _RUN_LOCK:
            store.set_epoch_deadline(1)
            with _wall_timer(self._engine, limits.wall_seconds) if timer else nullcontext():
                end = _execute(linker, store, module, spec.entry, host, memory)
        wall, cpu = time.monotonic_ns() - started, time.process_time_ns() - cpu_started
        fuel = limits.fuel if end.exit_class is ExitClass.FUEL else limits.fuel - store.get_fuel()
        return _result(end, host, fuel, memory.size(), wall, cpu)


@contextmanager
def _wall_timer(engine: wasmtime.Engine, seconds: int) -> Iterator[None]:
    timer = threading.Timer(seconds, engine.increment_epoch)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


class _Memory:
    """Size and address of the guest's memory, once it exists."""

    def __init__(self, store: wasmtime.Store, limit: int) -> None:
        self._store, self.limit = store, limit
        self._memory: wasmtime.Memory | None = None

    def attach(self, instance: wasmtime.Instance, host: Host) -> None:
        self._memory = instance.exports(self._store)["memory"]
        host.memory.attach(self.size, self.base)

    def size(self) -> int:
        return self._memory.data_len(self._store) if self._memory is not None else 0

    def base(self) -> int:
        return ctypes.addressof(self._memory.data_ptr(self._store).contents)

    @property
    def nearly_full(self) -> bool:
        """Grown to 15/16 of the limit or more: a trap is then taken for a lack of memory."""
        return self.size() * 16 >= self.limit * 15


def check_exports(module: wasmtime.Module, entry: str) -> None:
    """Raises ModuleBroken unless the module has a memory and the entry function."""
    exports = {item.name: item.type for item in module.exports}
    if not isinstance(exports.get("memory"), wasmtime.MemoryType):
        raise ModuleBroken("the artefact exports no memory named `memory`")
    function = exports.get(entry)
    if not isinstance(function, wasmtime.FuncType) or function.params or function.results:
        raise ModuleBroken(f"the artefact exports no function `{entry}` without parameters and results")


def _execute(
    linker: wasmtime.Linker, store: wasmtime.Store, module: wasmtime.Module, entry: str, host: Host, memory: _Memory
) -> _End:
    try:
        try:
            linked = linker.instantiate_pre(module)
        except wasmtime.WasmtimeError as failure:
            raise ModuleBroken(f"the artefact cannot be linked: {_first_line(failure)}") from None
        try:
            instance = linked.instantiate(store)
        except wasmtime.WasmtimeError as failure:
            return _instantiation_end(failure)
        memory.attach(instance, host)
        instance.exports(store)[entry](store)
        return _End(0, ExitClass.OK)
    except GuestExit as end:
        return _End(end.code, ExitClass.OK if end.code == 0 else ExitClass.NONZERO)
    except OutOfFuel:
        return _engine_end(ExitClass.FUEL)
    except QuotaExceeded as end:
        return _engine_end(ExitClass.QUOTA, end.what)
    except wasmtime.Trap as trap:
        return _trap_end(trap, memory)
    except HostFault:
        return _engine_end(ExitClass.INDETERMINATE, "host fault")


def _instantiation_end(failure: wasmtime.WasmtimeError) -> _End:
    """Over the memory limit ends the job, over another breaks the module, the rest is this machine's fault."""
    message = _first_line(failure)
    if "memory minimum size" in message:
        return _engine_end(ExitClass.OOM, "memory minimum")
    if "table minimum size" in message or "resource limit exceeded" in message:
        raise ModuleBroken(f"the artefact cannot be instantiated: {message}") from None
    raise failure


def _trap_end(trap: wasmtime.Trap, memory: _Memory) -> _End:
    code = trap.trap_code
    if code is None:
        return _engine_end(ExitClass.INDETERMINATE, "unknown trap")
    exit_class = _TRAP_CLASSES.get(code, ExitClass.TRAP)
    if exit_class is ExitClass.TRAP and memory.nearly_full:
        exit_class = ExitClass.OOM
    return _engine_end(exit_class, code.name.lower().replace("_", " "))


def _engine_end(exit_class: ExitClass, detail: str = "") -> _End:
    return _End(ENGINE_EXIT_CODES[exit_class], exit_class, detail)


def _result(end: _End, host: Host, fuel: int, peak: int, wall_ns: int, cpu_ns: int) -> RunResult:
    kept = end.exit_class not in MACHINE_DEPENDENT
    return RunResult(
        exit_code=end.code,
        exit_class=end.exit_class,
        stdout=bytes(host.stdout.data) if kept else b"",
        stderr=bytes(host.stderr.data) if kept else b"",
        outputs=dict(walk_files(host.outputs)) if kept else {},
        fuel=fuel if kept else 0,
        peak_memory=peak,
        wall_ms=wall_ns // 1_000_000,
        cpu_ms=cpu_ns // 1_000_000,
        engine=ENGINE_ID,
        schedule=FUEL_SCHEDULE,
        detail=end.detail,
    )


def _first_line(failure: Exception) -> str:
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    text = next((line for line in lines[1:] if line != "Caused by:"), lines[0] if lines else "unknown reason")
    return ascii(text)[1:-1][:200]


def run(
    manifest: Manifest,
    wasm: bytes,
    inputs: Inputs,
    *,
    files: Mapping[str, bytes] | None = None,
    artifacts: Mapping[str, bytes] | None = None,
    deal_seed: bytes = bytes(32),
    limits: Limits | None = None,
    cache: CompileCache | None = None,
) -> RunResult:
    """Runs a module once in this process (local runs, tests); agents use `worker.WorkerPool` with `prepare.prepare`.

    `limits` replaces the module's own. Raises what `prepare` and `WasmEngine.run` raise.
    """
    from lilypad_agents.execution.prepare import prepare

    spec = prepare(manifest, wasm, inputs, files=files, artifacts=artifacts, deal_seed=deal_seed)
    return WasmEngine(cache).run(spec if limits is None else replace(spec, limits=limits))
