"""What a durable pin promises: after a power cut its blocks are there, at the price of three flushes for a small tree."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lilypad_agents.content.cid import Cid
from lilypad_agents.content.errors import BlockMissing
from lilypad_agents.content.importer import put_tree
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.pins import MOST_CARRIED, Pin
from lilypad_agents.content.reader import read_tree
from lilypad_agents.content.store import LocalStore

SMALL = {"stdout": b"moo\n", "outputs": {"a": b"one", "b": b"two"}}
LARGE = {"data": os.urandom(MOST_CARRIED + 1), "note": b"x"}
NOW = 1_700_000_000


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, durable=True)


def blocks(root: Path) -> list[Path]:
    return [path for path in (root / "blocks").rglob("b*") if path.is_file()]


def record(root: Path) -> Path:
    (path,) = [path for path in (root / "pins").rglob("b*") if path.is_file()]
    return path


def power_cut(root: Path, change: Callable[[Path], None] = Path.unlink) -> None:
    """All that was not flushed is gone (or `change`d), and the system starts anew."""
    for path in blocks(root):
        change(path)
    (root / "boot").write_bytes(b"an earlier start of the system")


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was flushed, by path."""
    found: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_pin__small_tree__three_flushes_and_the_record_carries_it(store: LocalStore, tmp_path: Path, flushes: list[str]) -> None:
    root = put_tree(store, SMALL)
    store.pin(root, "deal", NOW)
    carried = json.loads(record(tmp_path).read_bytes())["blocks"]
    assert len(flushes) == 3 and not any("/blocks" in path for path in flushes)
    assert set(carried) == {path.name for path in blocks(tmp_path)}


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["lost", "empty"])
def test_open__power_cut__small_pinned_tree_is_restored(
    store: LocalStore, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    root = put_tree(store, SMALL)
    store.pin(root, "deal", NOW)
    power_cut(tmp_path, change)
    again = LocalStore(tmp_path, durable=True)
    assert read_tree(again, root, Limits()) == SMALL
    assert list(again.pins()) == [Pin("deal", root, NOW)]


def test_open__same_start_of_the_system__restores_nothing(store: LocalStore, tmp_path: Path) -> None:
    root = put_tree(store, SMALL)
    store.pin(root, "deal", NOW)
    for path in blocks(tmp_path):
        path.unlink()
    with pytest.raises(BlockMissing):
        read_tree(LocalStore(tmp_path, durable=True), root, Limits())


def test_pin__again_with_another_expiry__keeps_what_it_carries(store: LocalStore, tmp_path: Path, flushes: list[str]) -> None:
    root = put_tree(store, SMALL)
    store.pin(root, "deal", None)
    flushes.clear()
    store.pin(root, "deal", NOW)
    assert len(flushes) == 2
    power_cut(tmp_path)
    again = LocalStore(tmp_path, durable=True)
    assert read_tree(again, root, Limits()) == SMALL
    assert list(again.pins()) == [Pin("deal", root, NOW)]
    assert again.collect(NOW).pins == 1


def test_pin__large_tree__every_block_and_its_folder_is_flushed(store: LocalStore, tmp_path: Path, flushes: list[str]) -> None:
    root = put_tree(store, LARGE)
    store.pin(root, "deal", NOW)
    paths = blocks(tmp_path)
    assert {str(path) for path in paths} | {str(path.parent) for path in paths} <= set(flushes)
    assert "blocks" not in json.loads(record(tmp_path).read_bytes())


def test_open__carried_block_damaged__nothing_of_the_record_is_believed(store: LocalStore, tmp_path: Path) -> None:
    root = put_tree(store, SMALL)
    store.pin(root, "deal", NOW)
    document = json.loads(record(tmp_path).read_bytes())
    document["blocks"][next(iter(document["blocks"]))] = "eHh4"
    record(tmp_path).write_text(json.dumps(document))
    power_cut(tmp_path)
    again = LocalStore(tmp_path, durable=True)
    assert not blocks(tmp_path) and list(again.pins()) == [Pin("deal", root, NOW)]


def test_pin__refused_for_a_missing_block__the_earlier_record_carries_on(store: LocalStore, tmp_path: Path) -> None:
    root = put_tree(store, SMALL)
    store.pin(root, "deal", NOW)
    before = json.loads(record(tmp_path).read_bytes())
    missing = next(path for path in blocks(tmp_path) if Cid.parse(path.name).is_raw)
    missing.unlink()
    with pytest.raises(BlockMissing):
        store.pin(root, "deal", NOW + 1)
    assert json.loads(record(tmp_path).read_bytes()) == before
