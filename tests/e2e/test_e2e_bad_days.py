"""Kills, interruptions, outages and second thoughts in the middle of real jobs: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from lilypad_agents.devnet.funding import address_of
from lilypad_agents.devnet.layout import FIRST_PROVIDER, SECOND_PROVIDER
from tests.e2e.network import PAID, PLAIN, Network, changes

ONE = 10**18
FIRST, SECOND = address_of(FIRST_PROVIDER), address_of(SECOND_PROVIDER)
LONG = "Limit=120000000"  # a few seconds of work
LONGER = "Limit=400000000"  # so long that a signal comes in time on a busy machine


def _agreed(event: dict[str, object]) -> bool:
    return event.get("state") == "Agreed"


def _wait_for_offer(network: Network, provider: str) -> None:
    """Until a restarted provider offers again."""
    deadline = time.monotonic() + 40
    while network.lilypad("run", "cowsay:v0.0.1", "--quote", "--target", provider).code != 0:
        assert time.monotonic() < deadline, "no offer came back"
        time.sleep(0.5)


def test_interrupt__in_mid_job__prints_how_to_resume_and_the_job_is_paid_once(network: Network) -> None:
    """beh:J16"""
    deals = network.deals("creator3")
    words = ["run", "primes:v0.0.1", "-i", LONGER, *PLAIN, "--account", "creator3"]
    running = network.start(*words)
    running.wait_for(_agreed)
    running.process.send_signal(signal.SIGINT)
    ended = running.end()
    last = running.events[-1]
    assert ended.code == 130
    assert last["error"]["code"] == "interrupted"
    assert "lilypad job wait 0x" in last["error"]["hint"]
    again = network.lilypad(*words, "--wait", "final", "--json", seconds=240)  # most of it the job itself
    assert again.code == 0, again.err
    assert network.deals("creator3") == deals + 1
    waited = network.lilypad("job", "wait", again.data["deal"], "--account", "creator3", "--json")
    assert (waited.code, waited.data["state"]) == (0, "ACCEPTED")


def test_repeat__after_the_job_ended__orders_a_new_one(network: Network) -> None:
    """beh:J16"""
    words = ["run", "cowsay:v0.0.1", "-i", "Message=twice", *PLAIN, "--wait", "final", "--json", "--account", "creator4"]
    first, second = network.lilypad(*words), network.lilypad(*words)
    assert (first.code, second.code) == (0, 0)
    assert first.data["deal"] != second.data["deal"]


def test_two_commands_at_once__same_job__open_one_deal_each_when_they_are_told_to(network: Network) -> None:
    """Several commands of one account share journal and ledger without losing anything. beh:J4"""
    deals = network.deals("creator4")
    running = [network.start("run", "cowsay:v0.0.1", "-i", f"Message=side {number}", "--account", "creator4") for number in range(4)]
    ended = [item.end() for item in running]
    assert [item.code for item in ended] == [0, 0, 0, 0], [item.err for item in ended]
    assert network.deals("creator4") == deals + 4


def test_provider_killed__in_mid_job_and_restarted__delivers_once(network: Network) -> None:
    """beh:J2 flt:F2"""
    before = network.money("creator2")
    running = network.start("run", "primes:v0.0.1", "-i", LONG, *PLAIN, "--target", SECOND, "--account", "creator2", "--wait", "final")
    running.wait_for(_agreed)
    time.sleep(0.3)
    network.kill("provider2")
    network.restart("provider2")
    ended = running.end(90)
    assert ended.code == 0, ended.err
    moved = changes(before, network.money("creator2"))
    assert moved["creator"] + moved["provider2"] + moved["solver"] == 0
    assert moved["provider2"] > ONE


def test_provider_gone__misses_its_deadline__the_creator_claims_refund_and_penalty(network: Network) -> None:
    """beh:E7 beh:E2"""
    _wait_for_offer(network, SECOND)
    before = network.money("creator2")
    running = network.start(
        "run", "cowsay:v0.0.1", "-i", "Message=late", "--target", SECOND, "--account", "creator2", "--submit-window", "15",
        "--wait", "final",
    )  # fmt: skip
    os.kill(network.pid("provider2"), signal.SIGSTOP)  # offers stand until the next heartbeat is missed
    try:
        running.wait_for(_agreed)
        network.kill("provider2")
        ended = running.end(60)
    finally:
        network.restart("provider2")
    last = running.events[-1]
    assert ended.code == 22, last
    assert last["error"]["code"] == "provider-late"
    moved = changes(before, network.money("creator2"))
    assert moved == {"creator": ONE, "provider2": -ONE}
    assert network.lilypad("job", "list", "--account", "creator2", "--state", "TimedOut", "--json").data["jobs"]


def test_solver_killed__in_mid_job_and_restarted__the_job_ends_well(network: Network) -> None:
    """beh:J7 flt:F33"""
    running = network.start("run", "primes:v0.0.1", "-i", LONG, *PLAIN, "--account", "creator3", "--wait", "final", "--new")
    running.wait_for(_agreed)
    network.kill("solver")
    time.sleep(1.0)
    network.restart("solver")
    ended = running.end(90)
    assert ended.code == 0, (ended.err, running.events[-1])
    _wait_for_offer(network, FIRST)


def test_solver_away__new_job__says_so_and_pays_nothing(network: Network) -> None:
    """flt:F33"""
    before = network.money()
    done = network.lilypad("run", "cowsay:v0.0.1", "--solver", "http://127.0.0.1:9", "--json", seconds=40)
    assert done.code == 40
    assert done.json["error"]["code"] == "solver-unreachable"
    assert network.money() == before


def test_cancel__offer_that_nobody_took__never_opens(network: Network) -> None:
    """beh:J18 beh:B10"""
    out = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=no", "--target", "0x" + "ab" * 20, "--detach", "--account", "creator5")
    assert out.code == 0, out.err
    job = out.out.strip()
    asked = network.lilypad("job", "cancel", job, "--account", "creator5")
    assert asked.code == 2 and "costs gas and nothing else" in asked.err
    done = network.lilypad("job", "cancel", job, "--yes", "--account", "creator5", "--json")
    assert (done.code, done.data["way"]) == (0, "invalidate")
    waited = network.lilypad("job", "wait", job, "--account", "creator5", "--json")
    assert waited.code == 21
    chain = network.chain()
    from lilypad_agents.agents.creator.journal import Journal
    from lilypad_agents.devnet.layout import ROLES

    account = address_of(ROLES["creator5"])
    journal = Journal.open(network.folder / ".devnet" / "creator" / "1337" / account.lower() / "journal.sqlite")
    offer = journal.find(job)[0].offer
    assert offer is not None and chain.is_cancelled(account, offer.nonce)
    journal.close()
    chain.rpc.close()


def test_cancel__open_deal__says_what_it_costs_and_ends_one_way_or_the_other(network: Network) -> None:
    """beh:J18 beh:C13"""
    os.kill(network.pid("provider2"), signal.SIGSTOP)
    try:
        running = network.start("run", "primes:v0.0.1", "-i", LONG, "--target", SECOND, "--account", "creator5", "--wait", "final", "--max-units", "100")
        deal = running.wait_for(_agreed)["id"]
        done = network.lilypad("job", "cancel", str(deal), "--yes", "--account", "creator5", "--json")
        assert (done.code, done.data["way"]) == (0, "propose")
        assert done.data["toCreator"] == "2.034" and done.data["toProvider"] == "29.178"
    finally:
        os.kill(network.pid("provider2"), signal.SIGCONT)
    ended = running.end(90)
    # The provider may have begun the job when it woke; then it is not bound to let go.
    assert ended.code in (0, 21), running.events[-1]


def test_other_machine__same_key__finds_the_job_fetches_and_verifies(network: Network, tmp_path: Path) -> None:
    """beh:J17 beh:J1"""
    done = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=elsewhere", "--no-accept", "--json", "--account", "creator6")
    deal = done.data["deal"]
    elsewhere = {"LILYPAD_DATA": str(tmp_path / "data")}
    listed = network.lilypad("job", "list", "--account", "creator6", "--json", env=elsewhere)
    assert [item["deal"] for item in listed.data["jobs"]] == [deal]
    fetched = network.lilypad("job", "fetch", deal[:12], "-o", str(tmp_path / "out"), "--account", "creator6", "--json", env=elsewhere)
    assert fetched.code == 0, fetched.err
    assert b"< elsewhere >" in (Path(fetched.data["results"]) / "stdout").read_bytes()
    logs = network.lilypad("job", "logs", deal, "--account", "creator6", env=elsewhere)
    assert "< elsewhere >" in logs.out
    accepted = network.lilypad("job", "accept", deal, "--wait", "final", "--account", "creator6", "--json", env=elsewhere)
    assert accepted.code == 0 and accepted.data["state"] in PAID
    shown = network.lilypad("job", "show", deal, "--account", "creator6", "--json")
    assert (shown.data["state"], shown.data["next"]) == (accepted.data["state"], "nobody: the deal has ended")


def test_resume__everything_unfinished__is_carried_on(network: Network) -> None:
    """beh:J17 beh:F1"""
    jobs = [
        network.lilypad("run", "cowsay:v0.0.1", "-i", f"Message=later {number}", *PLAIN, "--detach", "--account", "creator7").out.strip()
        for number in range(2)
    ]
    done = network.lilypad("job", "resume", "--wait", "final", "--account", "creator7", "--json")
    assert done.code == 0, done.out
    assert sorted(item["outcome"] for item in done.data["jobs"]) == ["done", "done"]
    for job in jobs:
        assert network.lilypad("job", "show", job, "--account", "creator7", "--json").data["state"] == "ACCEPTED"


def test_money__in_and_out__leaves_no_allowance(network: Network) -> None:
    """inv:T27 beh:A12 beh:A7"""
    account = ["--account", "creator8"]
    assert network.lilypad("deposit", "2.5", *account).code == 0
    assert network.allowance("creator8") == 0
    out = network.lilypad("withdraw", "all", *account, "--json")
    assert (out.code, out.data["free"], out.data["wallet"]) == (0, "0", "10000")
    refused = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=poor", *account)
    assert refused.code == 11
    funded = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=poor", "--deposit", "--wait", "final", *account, "--json")
    assert funded.code == 0, funded.err
    assert network.allowance("creator8") == 0
    balance = network.lilypad("balance", *account, "--json").data
    assert (balance["wallet"], balance["free"], balance["locked"]) == ("9998.86", "0", "0")
    assert network.lilypad("deposit", "1000000", *account).code == 11
    assert network.lilypad("withdraw", "1", *account).code == 11


@pytest.mark.parametrize("words", [["run", "cowsay:v0.0.1"], ["balance"], ["job", "list"], ["quote", "cowsay:v0.0.1"]])
def test_chain_away__any_command__ends_with_40_in_time(network: Network, words: list[str]) -> None:
    """beh:J6 flt:F6"""
    began = time.monotonic()
    done = network.lilypad(*words, "--rpc", "http://127.0.0.1:9", "--json")
    assert done.code == 40
    assert done.json["error"]["code"] == "chain-unreachable"
    assert time.monotonic() - began < 15


def test_chain_hangs__command__gives_up_in_time_and_the_network_recovers(network: Network) -> None:
    """flt:F7"""
    os.kill(network.pid("chain"), signal.SIGSTOP)
    try:
        began = time.monotonic()
        done = network.lilypad("balance", "--json", seconds=40)
        assert done.code == 40
        assert time.monotonic() - began < 20
    finally:
        os.kill(network.pid("chain"), signal.SIGCONT)
    after = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=awake", *PLAIN, "--wait", "final", seconds=60)
    assert after.code == 0, after.err


def test_wrong_address_book__command__refuses_to_sign(network: Network, tmp_path: Path) -> None:
    """beh:J6 flt:F38"""
    import json

    book = json.loads((network.folder / ".devnet" / "deployments" / "1337.json").read_text())
    book["contracts"]["Lilypad"]["codeHash"] = "0x" + "11" * 32
    (tmp_path / "book.json").write_text(json.dumps(book))
    done = network.lilypad("run", "cowsay:v0.0.1", "--json", env={"LILYPAD_ADDRESS_BOOK": str(tmp_path / "book.json")})
    assert done.code == 10
    assert done.json["error"]["code"] == "deployment-mismatch"
