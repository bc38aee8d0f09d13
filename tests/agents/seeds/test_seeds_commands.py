"""`lilypad seeds` as a process and beside it: start, SIGKILL, --leave, status, withdraw."""

from __future__ import annotations

import json
import shutil
import signal as signals
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lilypad_agents.agents.seeds.decide import LEFT_FREE
from lilypad_agents.cli.main import cli
from tests.agents.seeds.circle import BOND, Circle, Participant
from tests.support.chain import PROJECT
from tests.support.cli_schemas import check_object
from tests.support.network import Network


def settings_file(circle: Circle, member: Participant) -> Path:
    options = circle.options(member)
    values = {"data": str(options.data), "state": str(options.state), "rpc": list(options.rpc), "address_book": str(options.address_book)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path = circle.folder / f"{member.index}.toml"
    path.write_text("\n".join([*lines, f"test_account = {member.index}", "[seeds]", "reveal_reserve = 5", ""]), encoding="utf-8")
    return path


def command(file: Path, *words: str, code: int = 0) -> Any:
    """The data of a command with --json, checked against its schema, or its error."""
    done = CliRunner(mix_stderr=False).invoke(cli, ["seeds", *words, "--config", str(file), "--json"])
    assert done.return_value == code, done.stdout + done.stderr
    found = check_object(done.stdout)
    return found["data"] if found["error"] is None else found["error"]


def wait(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not get there in time"
        time.sleep(0.02)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []

    def start(file: Path, *words: str) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-m", "lilypad_agents.cli", "seeds", "start", "--config", str(file), *words]
        running.append(subprocess.Popen(arguments, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_process__killed_and_robbed_of_its_folder__reveals_leaves_and_withdraws(
    circle: Circle, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """flt:F1 flt:F3 flt:F28 beh:J26 kill -9 between commit and reveal, an empty folder, --leave: no bond is lost."""
    ann = circle.participant(start=False)
    file, period = settings_file(circle, ann), circle.period + 1
    first = start(file)
    wait(lambda: circle.committed(period, ann))
    wait(lambda: command_ready(file))
    found = command(file, "status")
    assert (found["running"], found["ready"], found["period"], found["committedForNext"]) == (True, True, circle.period, True)
    assert [item["period"] for item in found["open"]] == [period] and found["open"][0]["ours"]
    assert found["lockedBond"] == str(BOND) and found["freeBond"] == str(LEFT_FREE)
    assert command(file, "withdraw", "--all", code=10)["code"] == "already-running"
    first.kill()
    assert first.wait() == -signals.SIGKILL
    shutil.rmtree(ann.folder)
    second = start(file, "--leave")
    wait(lambda: (ann.folder / "health.json").exists())
    circle.to(circle.rounds.reveal_start(period))
    assert second.wait(30) == 0
    assert circle.counts(period) == (1, 1)
    left = command(file, "status", code=10)
    assert (left["running"], left["open"], left["revealed"], left["lostBond"]) == (False, [], 1, "0")
    assert left["freeBond"] == str(BOND + LEFT_FREE)
    assert int(left["gasWei"]) > 0 and left["transactions"] == 1  # those of the folder that was lost are not known
    assert {row["period"]: row["seed"] for row in left["periods"]}[period] == "expired"  # one participant makes no seed


def command_ready(file: Path) -> bool:
    done = CliRunner(mix_stderr=False).invoke(cli, ["seeds", "status", "--config", str(file), "--json"])
    return bool(done.return_value == 0)


def test_process__asked_to_stop__ends_well(circle: Circle, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """flt:F3"""
    ann = circle.participant(start=False)
    process = start(settings_file(circle, ann))
    wait(lambda: circle.committed(circle.period + 1, ann))
    process.send_signal(signals.SIGTERM)
    assert process.wait(12) == 0


def test_withdraw__free_bond__by_parts_and_all_and_never_more(circle: Circle) -> None:
    """beh:J26"""
    ann = circle.participant(start=False)
    file = settings_file(circle, ann)
    empty = command(file, "withdraw", "--all", code=11)
    assert empty["figures"] == {"has": "0", "needed": "1"} or empty["figures"] == {"has": 0, "needed": 1}
    circle.network.sender(ann.index).send(circle.source.address, circle.source.encode("deposit"), 3 * BOND)
    assert command(file, "withdraw", "0.4", code=11)["code"] == "insufficient-funds"
    part = command(file, "withdraw", "0.1")
    assert (part["withdrawn"], part["freeBond"], part["open"]) == (str(BOND), str(2 * BOND), [])
    rest = command(file, "withdraw", "--all")
    assert (rest["withdrawn"], rest["freeBond"]) == (str(2 * BOND), "0")
    assert circle.free(ann) == 0
    assert command(file, "withdraw", code=2)["code"] == "usage"
    assert command(file, "withdraw", "1", "--all", code=2)["code"] == "usage"


def test_withdraw__with_a_commitment_that_never_left__takes_it_back(circle: Circle) -> None:
    """What an agent queued before it died must not leave by a command, after which nobody would reveal it."""
    ann = circle.participant()
    circle.network.sender(ann.index).send(circle.source.address, circle.source.encode("deposit"), 2 * BOND)
    circle.decide_only(ann)
    assert ann.lines.named("action_queued"), "it has decided to commit"
    ann.end()
    done = command(settings_file(circle, ann), "withdraw", "--all")
    assert (done["withdrawn"], done["open"]) == (str(2 * BOND), [])
    assert not circle.committed(circle.period + 1, ann)


def test_status__with_bonds_lost_open_and_by_hand__names_each(circle: Circle) -> None:
    """For people and machines, without a running agent and without a data folder."""
    ann, ben = circle.participant(), circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann, ben))
    ann.end()
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (2, 1))
    circle.to(circle.rounds.reveal_end(period) + 1)
    circle.network.sender(ann.index).send(
        circle.source.address, circle.source.encode("commit", period + 1, b"\5" * 32), BOND
    )
    file = settings_file(circle, ann)
    for _ in range(2):
        found = command(file, "status", code=10)
        assert (found["lost"], found["lostBond"], found["reclaimable"]) == ([period], str(BOND), [])
        assert [(item["period"], item["ours"]) for item in found["open"]] == [(period + 1, False)]
        shutil.rmtree(ann.folder, ignore_errors=True)
    shown = CliRunner(mix_stderr=False).invoke(cli, ["seeds", "status", "--config", str(file)]).stdout
    assert "not running" in shown and "not from this key's secret" in shown
    assert f"lost: 0.1 coin in the periods {period}" in shown
    ben.end()
    circle.start(ben)
    circle.turn(2)
    assert command(settings_file(circle, ben), "status", code=10)["revealed"] == 1


def test_commands__deployment_with_another_source__say_which(circle: Circle, network: Network) -> None:
    ann = circle.participant(start=False)
    file = settings_file(circle, ann)
    text = file.read_text(encoding="utf-8").replace(str(circle.network.book_path), str(network.book_path))
    file.write_text(text.replace(circle.network.rpc.config.urls[0], network.rpc.config.urls[0]), encoding="utf-8")
    for words in (("status",), ("start",), ("withdraw", "--all")):
        done = command(file, *words, code=10)
        assert (done["code"], done["figures"]) == ("no-commit-reveal", {"source": "BlockHashRandomness"})
