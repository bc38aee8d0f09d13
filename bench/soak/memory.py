"""Whether agents grow: memory by time, and the growth that a straight line through the second half shows.

Growth is judged by a process's own (anonymous) resident memory: pages of files, which the resident size counts too, come and
go with what else the machine does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KIB = 1024
PAUSE_S = 10.0
WARM_UP_S = 900.0  # of a process: its caches and Python's arenas fill, and what it keeps for ten minutes (nonces) is there
_LEAST_SAMPLES = 12


@dataclass(frozen=True)
class Sample:
    """Memory of one process at `time` (seconds since the run began), MiB: `mib` its own, `rss` all that is resident."""

    time: float
    pid: int
    mib: float
    rss: float = 0.0


def growth_per_hour(samples: Sequence[Sample], since: float) -> float | None:
    """Growth in percent of the mean an hour, by least squares; None when there is too little to say.

    Counts samples from `since` on. A process that was started anew has a level of its own: one slope is fitted to all, and an
    intercept to each, leaving out the first WARM_UP_S of every process that was seen to start.
    """
    started: dict[int, float] = {}
    for sample in samples:
        started.setdefault(sample.pid, sample.time)
    first = min(started.values(), default=0.0)
    used = [
        sample
        for sample in samples
        if sample.time >= since and (started[sample.pid] == first or sample.time >= started[sample.pid] + WARM_UP_S)
    ]
    if len(used) < _LEAST_SAMPLES:
        return None
    covariance = variance = 0.0
    for pid in {sample.pid for sample in used}:
        own = [sample for sample in used if sample.pid == pid]
        time_mean = sum(sample.time for sample in own) / len(own)
        mib_mean = sum(sample.mib for sample in own) / len(own)
        covariance += sum((sample.time - time_mean) * (sample.mib - mib_mean) for sample in own)
        variance += sum((sample.time - time_mean) ** 2 for sample in own)
    if variance == 0:
        return None
    mean = sum(sample.mib for sample in used) / len(used)
    return 100.0 * 3600.0 * covariance / variance / mean


class Scales(threading.Thread):
    """Weighs every process of `pids` (name to process id, asked each time: agents are restarted)."""

    def __init__(self, pids: Callable[[], Mapping[str, int]], pause_s: float = PAUSE_S) -> None:
        super().__init__(daemon=True, name="scales")
        self.samples: dict[str, list[Sample]] = {}
        self._pids = pids
        self._pause_s = pause_s
        self._began = time.monotonic()
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(self._pause_s):
            now = time.monotonic() - self._began
            for name, pid in self._pids().items():
                sizes = _sizes(pid)
                if sizes is not None:
                    self.samples.setdefault(name, []).append(Sample(now, pid, *sizes))

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def report(self, until: float) -> dict[str, dict[str, Any]]:
        """By name, for samples up to `until` (s): first, last and largest sizes, and growth over the second half."""
        found = {}
        for name, every in sorted(self.samples.items()):
            samples = [sample for sample in every if sample.time <= until]
            if not samples:
                continue
            growth = growth_per_hour(samples, until / 2)
            found[name] = {
                "rss_start_mib": round(samples[0].rss, 1),
                "rss_end_mib": round(samples[-1].rss, 1),
                "rss_most_mib": round(max(sample.rss for sample in samples), 1),
                "own_start_mib": round(samples[0].mib, 1),
                "own_end_mib": round(samples[-1].mib, 1),
                "processes": len({sample.pid for sample in samples}),
                "growth_percent_per_hour": None if growth is None else round(growth, 1),
                "own_each_minute_mib": [round(sample.mib, 1) for sample in samples[:: max(1, round(60 / self._pause_s))]],
            }
        return found


def _sizes(pid: int) -> tuple[float, float] | None:
    """A process's own and whole resident memory, MiB; None when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if line.startswith(("RssAnon:", "VmRSS:")))
    if len(fields) < 2:
        return None  # a zombie
    own, whole = (int(fields[name].split()[0]) / KIB for name in ("RssAnon", "VmRSS"))
    return own, whole
