"""A few threads for work that blocks. They end with the process: nothing that they do needs a last word."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

Task = tuple[Callable[..., None], tuple[Any, ...]]


class Threads:
    """Runs tasks in the order in which they came. A task reports its own failures; one that raises ends up in `failed`."""

    def __init__(self, count: int, name: str, failed: Callable[[Exception], None]) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._failed = failed
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[..., None], *arguments: Any) -> bool:
        """Runs `task(*arguments)` soon; False when closed."""
        if self._closed:
            return False
        self._tasks.put((task, arguments))
        return True

    def close(self, timeout_s: float) -> bool:
        """Takes no more tasks and drops those that wait; True when all threads ended within the time."""
        self._closed = True
        try:
            while True:
                self._tasks.get_nowait()
        except queue.Empty:
            pass
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(timeout_s / len(self._threads))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task[0](*task[1])
            except Exception as error:
                self._failed(error)
