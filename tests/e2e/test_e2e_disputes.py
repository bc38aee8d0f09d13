"""One dispute from end to end, with real processes: a cheat is found by an own run, challenged, judged, and pays."""

from __future__ import annotations

import time

from lilypad_agents.devnet.funding import address_of
from lilypad_agents.devnet.layout import CHEATER, MEDIATORS, ROLES
from lilypad_agents.protocol.price import challenge_fee, challenger_bounty, locked_total, premium_of
from tests.e2e.network import Network, seconds_on

ONE = 10**18
CHEAT = address_of(CHEATER)
VERDICT_S = seconds_on(anvil=60, geth=120)  # from the challenge on, when nobody appeals


def _free(network: Network, index: int) -> int:
    chain = network.chain()
    try:
        return chain.ledger(address_of(index)).free
    finally:
        chain.rpc.close()


def test_cheat__found_by_an_own_run_and_challenged__loses_its_bond_within_a_minute(network: Network) -> None:
    """beh:D25 beh:D5 beh:D7 beh:J11 beh:J17 beh:J19"""
    assert network.up("--cheater").code == 0
    before = {name: _free(network, index) for name, index in (("creator", ROLES["creator2"]), ("cheat", CHEATER))}
    words = ["--account", "creator2", "--json"]
    run = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=honest?", "--target", CHEAT, "--verify", *words)
    assert run.code == 41 and run.json["error"]["code"] == "verification-failed"
    deal = network.lilypad("job", "list", *words).data["jobs"][0]["deal"]

    asked = network.lilypad("job", "challenge", deal, "--why", "my own run says otherwise", "--account", "creator2")
    assert asked.code == 2 and "4.125 LILY" in asked.err, "it says what it costs, and does nothing unasked"
    began = time.monotonic()
    done = network.lilypad("job", "challenge", deal, "--why", "my own run says otherwise", "--yes", *words)
    audited = done.code != 0  # eight times of a hundred the lottery may be faster
    if audited:
        assert done.code == 2 and network.lilypad("job", "show", deal, *words).data["state"] != "RESULTS_SUBMITTED"
    drawn = audited or done.data["drawn"]
    waited = network.start("job", "wait", deal, "--wait", "final", "--account", "creator2").end(VERDICT_S + 30)
    seconds = time.monotonic() - began
    assert waited.code == 30
    assert seconds < VERDICT_S
    last = [event["event"] for event in waited.events]
    assert last.count("dispute") >= 3 and last[-1] == "end"

    shown = network.lilypad("job", "show", deal, *words).data
    dispute = shown["dispute"]
    assert (shown["state"], dispute["finding"], dispute["ended"]) == ("MEDIATION_REJECTED", "OTHER_DIGEST", "executed")
    seats = [seat for round_ in dispute["rounds"] for seat in round_["seats"]]
    judges = {address_of(index) for index in MEDIATORS}
    assert seats and all(seat["account"] in judges for seat in seats)
    assert {seat["state"] for seat in seats} == {"OTHER_DIGEST"}
    assert shown["why"] == (None if audited else "my own run says otherwise")

    chain = network.chain()
    record = next(iter(chain.opened(deal=bytes.fromhex(deal[2:])))).record  # type: ignore[arg-type]
    chain.rpc.close()
    bounty = 0 if drawn else challenger_bounty(record)
    assert _free(network, ROLES["creator2"]) - before["creator"] == record.value + bounty, "whole, compensated, and its fee back"
    assert _free(network, CHEATER) - before["cheat"] == -record.collateral
    assert record.collateral == 162 * record.value // 10 and challenge_fee(record) == 33 * ONE // 8
    assert locked_total(record, 100) > record.value and premium_of(record) > 0  # type: ignore[arg-type]
    screen = network.lilypad("job", "show", deal, "--account", "creator2").out
    assert "round of" in screen and "another digest" in screen and "money of the dispute".upper() in screen.upper()
    earnings = network.lilypad("provider", "earnings", "--config", ".devnet/cheater/settings.toml", "--json").data
    assert earnings["disputes"][0]["finding"] == "OTHER_DIGEST" and earnings["appealsPaid"] == "0"
