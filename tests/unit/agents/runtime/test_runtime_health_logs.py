"""Health answers and log lines."""

from __future__ import annotations

import io
import json
from pathlib import Path

import httpx
import pytest

from lilypad_agents.agents.runtime.errors import PortTaken
from lilypad_agents.agents.runtime.health import Health, HealthServer
from lilypad_agents.agents.runtime.logs import open_log


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_health__before_the_first_cycle__is_live_but_not_ready() -> None:
    """beh:L11"""
    health = Health(clock=Clock())
    assert health.live
    assert set(health.against()) == {"start"}


def test_health__loop_stalls__readiness_and_liveness_drop_until_it_beats_again() -> None:
    """beh:L11"""
    clock = Clock()
    health = Health(stall_s=10, clock=clock)
    health.set("start", None)
    assert health.against() == {}
    clock.now += 10.5
    assert not health.live
    assert set(health.against()) == {"stall"}
    health.beat()
    assert health.live and health.against() == {}


def test_health__chain_lost_and_back__is_told() -> None:
    """beh:L11"""
    health = Health(clock=Clock())
    health.set("start", None)
    health.set("chain", "no endpoint answers")
    assert health.against() == {"chain": "no endpoint answers"}
    health.set("chain", None)
    assert health.against() == {}


def test_server__three_addresses__answer_as_monitors_expect(tmp_path: Path) -> None:
    """beh:L11"""
    health = Health()
    server = HealthServer(health, "127.0.0.1", 0, tmp_path).start()
    try:
        assert json.loads((tmp_path / "health.json").read_text())["url"] == server.url
        assert httpx.get(f"{server.url}/livez").status_code == 200
        unready = httpx.get(f"{server.url}/readyz")
        assert (unready.status_code, list(unready.json()["reasons"])) == (503, ["start"])
        health.set("start", None)
        assert httpx.get(f"{server.url}/readyz").json() == {"ready": True, "reasons": {}}
        metrics = httpx.get(f"{server.url}/metrics").text
        assert "lilypad_resident_bytes" in metrics and "lilypad_ready 1.0" in metrics
        assert httpx.get(f"{server.url}/else").status_code == 404
    finally:
        server.stop()
    assert not (tmp_path / "health.json").exists()


def test_server__port_taken__is_a_clear_error(tmp_path: Path) -> None:
    first = HealthServer(Health(), "127.0.0.1", 0, None).start()
    port = int(first.url.rpartition(":")[2])
    try:
        with pytest.raises(PortTaken) as caught:
            HealthServer(Health(), "127.0.0.1", port, None).start()
        assert caught.value.figures["port"] == port
    finally:
        first.stop()


# ---- logs


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_log__event_with_fields__is_one_json_line() -> None:
    """beh:L11"""
    stream = io.StringIO()
    log = open_log(None, stream=stream, agent="solver")
    log("deal_opened", deal=b"\x01" * 32, block=7)
    (line,) = lines(stream)
    assert (line["event"], line["agent"], line["deal"], line["block"]) == ("deal_opened", "solver", "0x" + "01" * 32, 7)


def test_log__secrets__never_reach_it() -> None:
    stream = io.StringIO()
    open_log(None, stream=stream)("x", password="hunter2", salt=b"\x02", nested={"private_key": "k3y"})
    assert "hunter2" not in stream.getvalue() and "k3y" not in stream.getvalue() and "0x02" not in stream.getvalue()


def test_log__alert__is_a_warning_and_below_the_level_nothing() -> None:
    stream = io.StringIO()
    log = open_log(None, level="warning", stream=stream)
    log("quiet")
    log("loud", alert=True)
    assert [(line["event"], line["level"]) for line in lines(stream)] == [("loud", "warning")]


def test_log__stream_closed__file_still_gets_every_line(tmp_path: Path) -> None:
    """flt:F36"""
    stream = io.StringIO()
    log = open_log(tmp_path / "agent.log", stream=stream)
    log("one")
    stream.close()
    log("two")
    log("three")
    assert [json.loads(line)["event"] for line in (tmp_path / "agent.log").read_text().splitlines()] == [
        "one",
        "two",
        "three",
    ]


def test_log__folder_is_a_file__loses_lines_and_raises_nothing(tmp_path: Path) -> None:
    """flt:F36"""
    (tmp_path / "blocked").write_text("")
    open_log(tmp_path / "blocked" / "agent.log", stream=None)("event")


def test_log__grows_beyond_its_size__is_rotated_once(tmp_path: Path) -> None:
    log = open_log(tmp_path / "agent.log", rotate_bytes=2_000)
    for number in range(100):
        log("event", number=number)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["agent.log", "agent.log.1"]
    assert all(path.stat().st_size < 2_500 for path in tmp_path.iterdir())
