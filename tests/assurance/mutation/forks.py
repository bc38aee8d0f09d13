"""Work in forks of this process, a few at a time: what a fork does to its memory is gone with it."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

# Writes one answer (anything JSON can hold) and ends the fork.
Say = Callable[[Any], NoReturn]


def in_forks(tasks: Iterable[T], work: Callable[[T, Say], Any], jobs: int) -> Iterator[tuple[T, Any, float]]:
    """Each task, its answer and its seconds, as they end.

    `work` answers by what it returns, or by `say` from wherever it is. None stands for a fork that died without an answer. The
    next task is taken when a place is free, so `tasks` may decide late.
    """
    waiting = iter(tasks)
    running: dict[int, tuple[T, int, float, bytearray]] = {}
    while True:
        while len(running) < jobs:
            try:
                task = next(waiting)
            except StopIteration:
                break
            reading, child = _fork(task, work)
            running[reading] = task, child, time.monotonic(), bytearray()
        if not running:
            return
        for reading in select.select(list(running), [], [])[0]:
            task, child, began, text = running[reading]
            part = os.read(reading, 65_536)
            text += part
            if not part:
                del running[reading]
                os.close(reading)
                os.waitpid(child, 0)
                yield task, json.loads(text) if text else None, time.monotonic() - began


def _fork(task: T, work: Callable[[T, Say], Any]) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return reading, child

    def say(answer: Any) -> NoReturn:
        text = json.dumps(answer).encode()
        while text:
            text = text[os.write(writing, text) :]
        os._exit(0)

    try:
        os.close(reading)
        say(work(task, say))
    finally:
        os._exit(1)
