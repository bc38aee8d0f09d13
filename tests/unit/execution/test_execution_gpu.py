"""A job that asks for no GPU sees none: neither a device, nor a driver, nor a word about one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from execution_support import job, limits, wat

from lilypad_agents.execution.worker import WorkerPool

MARKS = ("nvidia", "cuda", "kfd", "/dev/dri", "libamdhip", "librocm", "level_zero")
SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop $l br $l)))'


@pytest.fixture
def spinning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The process of a job that spins, under an agent whose own environment speaks of GPUs."""
    for name, value in (("CUDA_VISIBLE_DEVICES", "0"), ("NVIDIA_VISIBLE_DEVICES", "all"), ("HIP_VISIBLE_DEVICES", "0")):
        monkeypatch.setenv(name, value)
    with WorkerPool(1, tmp_path) as pool:
        pool.submit("spin", job(wat(SPIN), limits=limits(fuel=1 << 60, wall_seconds=30)))
        path, end = tmp_path / "jobs" / "spin" / "process", time.monotonic() + 20
        while not (path.exists() and path.read_text()):
            assert time.monotonic() < end
            time.sleep(0.02)
        pid = int(json.loads(path.read_text())["pid"])
        while psutil.Process(pid).cpu_times().user < 0.2:
            assert time.monotonic() < end
            time.sleep(0.02)
        yield pid


def test_job__without_a_request_for_gpus__holds_no_device_and_no_driver(spinning: int) -> None:
    """flt:S18 As far as engines exist: the wasm engine, which has no GPU to give."""
    held = [os.readlink(f"/proc/{spinning}/fd/{name}") for name in os.listdir(f"/proc/{spinning}/fd")]
    mapped = Path(f"/proc/{spinning}/maps").read_text()
    for mark in MARKS:
        assert not [path for path in held if mark in path.lower()], held
        assert mark not in mapped.lower()
