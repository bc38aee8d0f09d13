"""What this machine can offer. All self-reported; `Probe` is where the machine is asked, so tests replace it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

MIB = 1024 * 1024
DEFAULT_RESERVE_BPS = 2_000  # share of CPU, memory and disk that is not offered, in basis points


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: `uuid` names it, `vram_mib` in MiB, `compute` its capability (9.0), `mig` whether it is divided."""

    name: str
    uuid: str
    vram_mib: int
    compute: str
    driver: str
    mig: bool


@dataclass(frozen=True, slots=True)
class Hardware:
    """The machine as found: usable milli-cores, MiB of memory and of free disk in the work folder."""

    cpu_milli: int
    cpu_model: str
    ram_mib: int
    disk_mib: int
    architecture: str
    isa: str
    flags: tuple[str, ...]
    gpus: tuple[Gpu, ...]
    engines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offerable:
    """Resources for an offer, reserve taken off and rounded down; `vram_mib` is that of the smallest GPU."""

    cpu_milli: int
    ram_mib: int
    disk_mib: int
    gpu_count: int
    vram_mib: int


class Probe(Protocol):
    """What is asked of a machine; amounts in cores, bytes and microseconds as the system gives them."""

    def usable_cpus(self) -> int: ...
    def memory_bytes(self) -> int: ...
    def disk_free_bytes(self, folder: Path) -> int: ...
    def text(self, path: str) -> str | None: ...
    def machine(self) -> str: ...
    def gpus(self) -> tuple[Gpu, ...]: ...


class LocalProbe:
    """This machine, by psutil, /proc, cgroups and NVML where there is a driver."""

    def usable_cpus(self) -> int:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def memory_bytes(self) -> int:
        return psutil.virtual_memory().total

    def disk_free_bytes(self, folder: Path) -> int:
        return psutil.disk_usage(str(folder)).free

    def text(self, path: str) -> str | None:
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def machine(self) -> str:
        return platform.machine().lower()

    def gpus(self) -> tuple[Gpu, ...]:
        return nvidia_gpus()


def nvidia_gpus() -> tuple[Gpu, ...]:
    """GPUs by NVML; none without the optional package `nvidia-ml-py` or without a driver."""
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_nvidia_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _nvidia_gpu(nvml, index: int) -> Gpu:
    device = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(device)
    try:
        mig = nvml.nvmlDeviceGetMigMode(device)[0] == nvml.NVML_DEVICE_MIG_ENABLE
    except nvml.NVMLError:
        mig = False  # older cards do not know the question
    return Gpu(
        name=_text(nvml.nvmlDeviceGetName(device)),
        uuid=_text(nvml.nvmlDeviceGetUUID(device)),
        vram_mib=nvml.nvmlDeviceGetMemoryInfo(device).total // MIB,
        compute=f"{major}.{minor}",
        driver=_text(nvml.nvmlSystemGetDriverVersion()),
        mig=mig,
    )


def detect(folder: Path, probe: Probe | None = None) -> Hardware:
    """Asks the machine; `folder` is where jobs will work. CPU and memory are the minimum of machine and cgroup."""
    probe = probe or LocalProbe()
    limits = _cgroup_limits(probe)
    model, flags = _cpu_info(probe)
    machine = probe.machine()
    return Hardware(
        cpu_milli=min(probe.usable_cpus() * 1000, limits.cpu_milli or 1 << 62),
        cpu_model=model,
        ram_mib=min(probe.memory_bytes(), limits.memory_bytes or 1 << 62) // MIB,
        disk_mib=probe.disk_free_bytes(folder) // MIB,
        architecture=machine,
        isa=isa_class(machine, flags),
        flags=flags,
        gpus=probe.gpus(),
        engines=("wasm",),
    )


def offerable(hardware: Hardware, reserve_bps: int = DEFAULT_RESERVE_BPS) -> Offerable:
    """What may stand in an offer when `reserve_bps` (basis points) of CPU, memory and disk are kept back."""
    kept = 10_000 - reserve_bps
    if not 0 <= reserve_bps < 10_000:
        raise ValueError(f"a reserve of {reserve_bps} basis points leaves nothing to offer")
    return Offerable(
        cpu_milli=hardware.cpu_milli * kept // 10_000,
        ram_mib=hardware.ram_mib * kept // 10_000,
        disk_mib=hardware.disk_mib * kept // 10_000,
        gpu_count=len(hardware.gpus),
        vram_mib=min((gpu.vram_mib for gpu in hardware.gpus), default=0),
    )


def isa_class(machine: str, flags: tuple[str, ...]) -> str:
    """Instruction set class for offers and receipts: x86-64-v1 to v4 (the psABI levels), else the machine's name."""
    if machine not in ("x86_64", "amd64"):
        return machine or "unknown"
    levels = (
        {"cx16", "popcnt", "sse4_1", "sse4_2", "ssse3"},
        {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
        {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    )
    level = 1
    for wanted in levels:
        if not wanted <= set(flags):
            break
        level += 1
    return f"x86-64-v{level}"


@dataclass(frozen=True, slots=True)
class _CgroupLimits:
    cpu_milli: int | None
    memory_bytes: int | None


def _cgroup_limits(probe: Probe) -> _CgroupLimits:
    """The tightest limits of this process's cgroup and those above it, version 2 or 1."""
    paths = {}
    for line in (probe.text("/proc/self/cgroup") or "").splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        for controller in controllers.split(","):
            paths[controller] = path
    cpus, memories = [], []
    for base in _levels("/sys/fs/cgroup", paths.get("", "/")):
        quota, period = ((probe.text(f"{base}/cpu.max") or "max").split() + ["100000"])[:2]
        cpus.append(_milli(quota, period))
        memories.append(_whole(probe.text(f"{base}/memory.max")))
    for base in _levels("/sys/fs/cgroup/cpu", paths.get("cpu", "/")):
        cpus.append(_milli(probe.text(f"{base}/cpu.cfs_quota_us"), probe.text(f"{base}/cpu.cfs_period_us")))
    for base in _levels("/sys/fs/cgroup/memory", paths.get("memory", "/")):
        memories.append(_whole(probe.text(f"{base}/memory.limit_in_bytes")))
    return _CgroupLimits(min(filter(None, cpus), default=None), min(filter(None, memories), default=None))


def _levels(root: str, path: str) -> list[str]:
    parts = [part for part in path.split("/") if part and part != ".."]
    return [root + "".join(f"/{part}" for part in parts[:depth]) for depth in range(len(parts) + 1)]


def _whole(text: str | None) -> int | None:
    stripped = (text or "").strip()
    return int(stripped) if stripped.isdigit() and int(stripped) > 0 else None


def _milli(quota: str | None, period: str | None) -> int | None:
    allowed, each = _whole(quota), _whole(period)
    return allowed * 1000 // each if allowed and each else None


def _cpu_info(probe: Probe) -> tuple[str, tuple[str, ...]]:
    """(model name, sorted flags) of the first processor in /proc/cpuinfo; empty where there is none."""
    found: dict[str, str] = {}
    for line in (probe.text("/proc/cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    flags = found.get("flags") or found.get("Features") or ""
    return found.get("model name", ""), tuple(sorted(set(flags.split())))


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
