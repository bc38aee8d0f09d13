"""Amounts as old modules write them: `"8"`, `"500m"`, `"16Gb"`, `"24000MB"`, milli-CPU, MB. MB is read as MiB."""

from __future__ import annotations

import re

_CPU = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)(m?)")
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)\s*([kmgt]?)(i?b?)", re.IGNORECASE)
_MIB_OF = {"": 1 / 2**20, "k": 1 / 2**10, "m": 1, "g": 2**10, "t": 2**20}


def cpu_milli(text: str) -> int | None:
    """Thousandths of a core, rounded up; None for what cannot be read."""
    match = _CPU.fullmatch(text.strip())
    if match is None:
        return None
    return _up(float(match[1]) * (1 if match[2] else 1000))


def mib(text: str) -> int | None:
    """MiB, rounded up; None for what cannot be read."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    return _up(float(match[1]) * _MIB_OF[match[2].lower()])


def whole(text: str) -> int | None:
    """A count; None for what cannot be read."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text.strip()) else None


def _up(value: float) -> int:
    return int(-(-value // 1))
