"""Keeps the C library from hoarding memory that this process has given back.

glibc opens up to eight arenas a core for a process's threads, and what one leaves in its arena serves no other thread: in the
soak a solver held 20 MiB in fifteen of them, and grew. Other C libraries have neither call.
"""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8  # of <malloc.h>
_ARENAS = 2


def use_few_arenas() -> None:
    """From now on threads share two arenas. Call before threads start."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Returns unused pages of all arenas to the system; milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
