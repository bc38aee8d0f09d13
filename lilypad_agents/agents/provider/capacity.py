"""How much this machine takes on: what a job needs, what is left, and what an offer may promise. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lilypad_agents.agents.provider.config import ProviderConfig
from lilypad_agents.execution.hardware import Hardware, offerable
from lilypad_agents.execution.job import MIB
from lilypad_agents.execution.manifest import Manifest
from lilypad_agents.protocol.offers import Resources
from lilypad_agents.protocol.units import UINT32_MAX, CpuMilli, Mib

SLOT_MIB = 64  # memory of a worker process beside what its job may use
_SLOTS_A_CORE = 1
_BACKLOG_A_SLOT = 25


@dataclass(frozen=True)
class Need:
    """What one run takes from the machine while it runs: milli-cores, MiB of memory, GPUs."""

    cpu_milli: int = 0
    ram_mib: int = 0
    gpu_count: int = 0

    def __add__(self, other: Need) -> Need:
        return Need(
            self.cpu_milli + other.cpu_milli, self.ram_mib + other.ram_mib, self.gpu_count + other.gpu_count
        )

    def within(self, limit: Need) -> bool:
        return (
            self.cpu_milli <= limit.cpu_milli and self.ram_mib <= limit.ram_mib and self.gpu_count <= limit.gpu_count
        )


NOTHING = Need()


@dataclass(frozen=True)
class Machine:
    """What is offered of this machine. `slots`: runs at a time, `backlog`: deals not yet answered at which it is full.

    `classes`: names of its instruction sets and engines, which modules may ask for.
    """

    resources: Resources
    slots: int
    backlog: int
    classes: frozenset[str]
    engines: frozenset[str]
    isa: str

    @property
    def limit(self) -> Need:
        return Need(self.resources.cpu_milli, self.resources.ram_mib, self.resources.gpu_count)


def machine_of(hardware: Hardware, config: ProviderConfig) -> Machine:
    """What the machine has, less the reserve, or less by configuration; never more than it has."""
    found = offerable(hardware, config.reserve_bps)
    resources = Resources(
        cpu_milli=CpuMilli(_least(config.cpu_milli, found.cpu_milli)),
        ram_mib=Mib(_least(config.ram_mib, found.ram_mib)),
        disk_mib=Mib(_least(config.disk_mib, found.disk_mib)),
        gpu_count=_least(config.gpu_count, found.gpu_count),
        vram_mib=Mib(_least(config.vram_mib, found.vram_mib)),
    )
    slots = config.slots or max(1, hardware.cpu_milli * _SLOTS_A_CORE // 1_000)
    return Machine(
        resources=resources,
        slots=slots,
        backlog=config.backlog or slots * _BACKLOG_A_SLOT,
        classes=frozenset(_isa_classes(hardware.isa)) | frozenset(hardware.flags) | frozenset(hardware.engines),
        engines=frozenset(hardware.engines),
        isa=hardware.isa,
    )


def need_of(manifest: Manifest) -> Need:
    """What a run of the module takes at most. Everything that it reads and may write is held in memory, so that counts."""
    declared = manifest.resources
    given = sum(slot.max_bytes for slot in manifest.files) + sum(item.size for item in manifest.artifacts)
    ram_mib = -(-(manifest.run_limits().host_bytes + given) // MIB) + SLOT_MIB
    return Need(declared.cpu_milli, ram_mib, declared.gpu_count)


def _least(configured: int | None, found: int) -> int:
    return min(found, UINT32_MAX) if configured is None else min(configured, found, UINT32_MAX)


def _isa_classes(isa: str) -> list[str]:
    """An instruction set and those that it includes: x86-64-v3 is v2 and v1 as well."""
    name, separator, level = isa.rpartition("-v")
    if not separator or not level.isdigit():
        return [isa]
    return [f"{name}-v{number}" for number in range(1, int(level) + 1)]
