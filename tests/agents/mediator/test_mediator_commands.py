"""`lilypad mediator` beside a running agent and without one: stakes, seats, votes, earnings, draws recomputed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from lilypad_agents.agents.mediator.office import open_office
from lilypad_agents.cli.main import cli
from lilypad_agents.protocol.ids import hex_of
from lilypad_agents.protocol.lifecycle import Status
from tests.agents.mediator.court import SEAT_STAKE, Court, Mediator
from tests.support.cli_schemas import check_object
from tests.support.network import TOKEN


def command(court: Court, mediator: Mediator, *words: str, code: int = 0) -> Any:
    """The data of a command with --json, checked against its schema, or its error."""
    done = CliRunner(mix_stderr=False).invoke(cli, ["mediator", *words, "--config", str(court.settings_file(mediator)), "--json"])
    assert done.return_value == code, done.stdout + done.stderr
    return data_of(done.stdout)


def beside(court: Court, mediator: Mediator, *words: str, code: int = 0, mine: bool = True) -> Any:
    """The same in a process of its own, while the agent runs here."""
    arguments = ["-m", "lilypad_agents.cli", "mediator", *words, "--config", str(court.settings_file(mediator)), "--json"]
    done = court.beside(lambda: subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60), mine=mine)
    assert done.returncode == code, done.stderr
    return data_of(done.stdout)


def data_of(text: str) -> Any:
    found = check_object(text)
    return found["data"] if found["error"] is None else found["error"]


def test_stake__without_a_running_agent__says_what_is_locked_and_sends(court: Court) -> None:
    """beh:J26 Nothing is sent unasked; a stake that is taken back comes after the unbonding time, without penalty."""
    mediator = court.mediator(seats=0, start=False)
    refused = command(court, mediator, "stake", "50", code=2)
    assert "15 min" in refused["message"] and "LILY" in refused["message"]
    poor = command(court, mediator, "stake", str(2 * SEAT_STAKE // TOKEN), "--yes", code=11)
    assert poor["figures"] == {"has": str(SEAT_STAKE), "needed": str(2 * SEAT_STAKE)}
    court.network.send(0, "LilypadToken", "transfer", mediator.account, SEAT_STAKE)
    staked = command(court, mediator, "stake", str(2 * SEAT_STAKE // TOKEN), "--yes")
    assert (staked["staked"], staked["seats"], len(staked["transactions"])) == (str(2 * SEAT_STAKE), 2, 2)
    taken = command(court, mediator, "unstake", "all", "--yes")
    assert (taken["staked"], taken["unbonding"]) == ("0", str(2 * SEAT_STAKE))
    early = command(court, mediator, "unstake", "--withdraw", "--yes", code=10)
    assert "UnbondingNotOver" in early["message"]
    court.pass_time(901)
    before = court.network.free(mediator.account)
    assert command(court, mediator, "unstake", "--withdraw", "--yes")["unbonding"] == "0"
    assert court.network.free(mediator.account) == before + 2 * SEAT_STAKE


def test_unstake__beside_a_running_agent__is_its_order_and_withdrawn_by_itself(court: Court) -> None:
    """beh:J26 beh:E7 One key sends from one process."""
    mediator = court.mediator(seats=3)
    found = beside(court, mediator, "unstake", str(SEAT_STAKE // TOKEN), "--yes")
    assert found["unbonding"] == str(SEAT_STAKE)
    court.pass_time(901)
    before = court.network.free(mediator.account)
    court.until(lambda: court.network.free(mediator.account) == before + SEAT_STAKE)


def test_commands__after_an_audit__show_seats_earnings_and_a_draw_that_anyone_can_recompute(court: Court) -> None:
    """beh:D11 beh:J26 flt:F16 Every try with its point, account and outcome; a seed in the block of the draw when it is lost now."""
    mediators = [court.mediator(seats=n) for n in (2, 3, 5)]
    case = court.submitted("commands")
    court.challenge(case)
    court.finish(case)
    assert court.status(case) is Status.MEDIATION_ACCEPTED
    court.until(lambda: not any(m.life.agent.disputes for m in mediators if m.life))
    drawn = court.events("SeatsDrawn", case)[0]["seating"].accounts
    sitting = next(m for m in mediators if m.account in drawn)

    assert command(court, sitting, "seats")["seats"] == []
    rows = command(court, sitting, "seats", "--all")["seats"]
    assert [row["seat"] for row in rows] == [n for n, account in enumerate(drawn) if account == sitting.account]
    assert {(row["vote"], row["state"], row["decidedBy"]) for row in rows} == {(hex_of(case.opened.digest), "CONFIRMS", "run")}
    assert len(command(court, sitting, "vote", hex_of(case.id))["votes"]) == len(rows)
    status = command(court, sitting, "status", code=10)  # its loop is turned by the test, and serves no health
    assert int(status["earnings"]["earned"]) > 0 and status["earnings"]["lost"] == "0"
    assert int(status["earnings"]["gasWei"]) > 0

    found = command(court, sitting, "verify-draw", hex_of(case.id))
    assert found["right"] and found["draws"][0]["seats"] == list(drawn)
    assert {item["outcome"] for item in found["draws"][0]["tries"]} <= {"seated", "excluded", "full"}
    assert found["draws"][0]["weight"] == 10 and found["draws"][0]["stakers"] == 3
    unknown = command(court, sitting, "verify-draw", "0x" + "11" * 32, code=2)
    assert unknown["code"] == "no-such-round"


def test_verify_draw__of_other_seats__says_that_it_was_not_right(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    """beh:D11 An endpoint, or a contract, that shows other seats than seed and stakes give."""
    liar = court.mediator(seats=4)
    court.mediator(seats=4)
    case = court.submitted("lied to")
    court.challenge(case)
    court.until(lambda: bool(court.events("SeatsDrawn", case)))
    with open_office(court.options(liar, test_account=liar.index)) as office:
        found = office.draws(case.id)[0]
        assert found.is_right
    turned = replace(found, seats=(court.creator.address, *found.seats[1:]))
    monkeypatch.setattr("lilypad_agents.agents.mediator.office.Office.draws", lambda self, deal_id: [turned])
    assert command(court, liar, "verify-draw", hex_of(case.id), code=41)["code"] == "draw-differs"


def test_vote__set_by_hand_after_it_was_decided__is_refused(court: Court) -> None:
    """flt:F28 A round has one vote."""
    mediator = court.mediator()
    case = court.submitted("one vote")
    court.challenge(case)
    court.until(lambda: bool(mediator.lines.named("vote_decided")))
    words = ("vote", hex_of(case.id), "--override", "CANNOT_RUN", "--yes")
    refused = beside(court, mediator, *words, code=10, mine=False)
    assert refused["code"] == "order-refused" and "decided" in refused["message"]
    wrong = command(court, mediator, "vote", hex_of(case.id), "--override", "SERVED", "--yes", code=2)
    assert "no vote" in wrong["message"]
