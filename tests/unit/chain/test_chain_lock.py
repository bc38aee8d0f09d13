"""One process per key and data folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lilypad_agents.chain.errors import AlreadyRunning
from lilypad_agents.chain.lock import ProcessLock, lock_folder, lock_key
from lilypad_agents.chain.types import ChainId

ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def in_another_process(action: Callable[[], object]) -> int:
    """Exit code: 0 when it went through, 7 when it was refused by the lock of `expected` process."""
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        except AlreadyRunning as error:
            code = 7 if error.figures["holder"] == parent and str(parent) in error.message else 8
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
    "take",
    [
        lock_folder,
        lambda folder: lock_key(folder, ChainId(1337), ADDRESS),
        lambda folder: lock_key(folder, ChainId(1337), ADDRESS.lower()),
    ],
    ids=["folder", "key", "key in lower case"],
)
def test_lock__second_process__refused_naming_the_holder(tmp_path: Path, take: Callable[[Path], ProcessLock]) -> None:
    """flt:F4"""
    lock = lock_key(tmp_path, ChainId(1337), ADDRESS) if take is not lock_folder else lock_folder(tmp_path)
    assert in_another_process(lambda: take(tmp_path)) == 7
    with pytest.raises(AlreadyRunning):
        take(tmp_path)
    lock.release()
    lock.release()
    assert in_another_process(lambda: take(tmp_path)) == 0


def test_lock__same_key_on_another_chain__is_free(tmp_path: Path) -> None:
    with lock_key(tmp_path, ChainId(1337), ADDRESS), lock_key(tmp_path, ChainId(1), ADDRESS):
        pass


def test_lock__holder_killed__is_free_again(tmp_path: Path) -> None:
    """flt:F4 flt:F1 A stale file does not lock anybody out."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        lock_folder(tmp_path)
        os.write(told, b"x")
        signal.pause()
    os.read(ready, 1)
    with pytest.raises(AlreadyRunning) as caught:
        lock_folder(tmp_path)
    assert caught.value.figures["holder"] == child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with lock_folder(tmp_path):
        assert (tmp_path / "agent.lock").read_text().strip() == str(os.getpid())


def test_lock__worker_outlives_its_agent__does_not_keep_the_lock(tmp_path: Path) -> None:
    """flt:F2 flt:F4 A job left alive by kill -9 must not hinder the restart."""
    ready, told = os.pipe()
    agent = os.fork()
    if agent == 0:
        lock_folder(tmp_path)
        worker = os.fork()
        if worker == 0:
            os.write(told, os.getpid().to_bytes(8, "big"))
            signal.pause()
        signal.pause()
    worker = int.from_bytes(os.read(ready, 8), "big")
    os.kill(agent, signal.SIGKILL)
    os.waitpid(agent, 0)
    try:
        with lock_folder(tmp_path):
            os.kill(worker, 0)  # it is alive
    finally:
        os.kill(worker, signal.SIGKILL)
