"""The cache of compiled code: it is executed, so only whole files of our own are ever loaded."""

from __future__ import annotations

import os
import threading

import pytest
from execution_support import EMPTY_PROGRAM, job

from lilypad_agents.execution.cache import CompileCache
from lilypad_agents.execution.job import ExitClass
from lilypad_agents.execution.wasm import WasmEngine


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "compiled"


def test_store_then_load__another_process_view__is_the_same_code(folder):
    assert CompileCache(folder).store("k", b"code")
    assert CompileCache(folder).load("k") == b"code"
    assert CompileCache(folder).load("other") is None


def damage_byte(path):
    raw = bytearray(path.read_bytes())
    raw[1] ^= 1
    path.write_bytes(raw)


DAMAGE = {
    "a flipped byte": damage_byte,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "writable by others": lambda path: path.chmod(0o666),
    "replaced by a link": lambda path: (path.rename(path.with_name("real")), path.symlink_to(path.with_name("real"))),
    "replaced by a folder": lambda path: (path.unlink(), path.mkdir()),
    "stored under another key": lambda path: path.write_bytes((path.parent / "other.cwasm").read_bytes()),
    "key replaced": lambda path: (path.parent / "key").write_bytes(b"x" * 32),
    "key gone": lambda path: (path.parent / "key").unlink(),
    "folder writable by others": lambda path: path.parent.chmod(0o777),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_load__file_not_ours_or_not_whole__is_a_miss(folder, name):
    """beh:K6: native code that anybody else could have put there is compiled again."""
    cache = CompileCache(folder)
    cache.store("k", b"code")
    cache.store("other", b"evil")
    DAMAGE[name](folder / "k.cwasm")
    assert CompileCache(folder).load("k") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_load__file_of_another_user__is_a_miss(folder):
    cache = CompileCache(folder)
    cache.store("k", b"code")
    os.chown(folder / "k.cwasm", 65534, 65534)
    assert CompileCache(folder).load("k") is None


def test_store__folder_cannot_be_made__is_no_error(tmp_path):
    """flt:F27: without a cache the engine only is slower."""
    (tmp_path / "file").write_text("")
    cache = CompileCache(tmp_path / "file" / "compiled")
    assert cache.store("k", b"code") is False and cache.load("k") is None
    assert WasmEngine(cache).run(job(EMPTY_PROGRAM)).exit_class is ExitClass.OK


def test_engine__cached_code_of_another_processor__is_compiled_again(folder):
    cache = CompileCache(folder)
    engine = WasmEngine(cache)
    engine.compile(EMPTY_PROGRAM)
    (path,) = folder.glob("*.cwasm")
    cache.store(path.stem, b"not machine code of this engine")
    assert WasmEngine(CompileCache(folder)).run(job(EMPTY_PROGRAM)).exit_class is ExitClass.OK


def test_engine__optimisation_levels__never_share_code(folder):
    for level in ("none", "speed"):
        WasmEngine(CompileCache(folder), opt_level=level).compile(EMPTY_PROGRAM)
    assert len(list(folder.glob("*.cwasm"))) == 2


def test_cache__parallel_first_use__agrees_on_one_key(folder):
    """beh:K16: no locks, so none can go stale."""
    caches = [CompileCache(folder) for _ in range(8)]
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for turn in range(20):
            caches[number].store(f"k{turn}", b"code%d" % turn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fresh = CompileCache(folder)
    assert [fresh.load(f"k{turn}") for turn in range(20)] == [b"code%d" % turn for turn in range(20)]
    assert {path.name for path in folder.iterdir() if path.name.startswith(".")} == set()
