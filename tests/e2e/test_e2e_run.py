"""Jobs from the command line to the last wei, with real processes: the happy path and every way in which a job is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lilypad_agents.agents.creator.delivery import check_folder
from lilypad_agents.devnet.funding import address_of
from lilypad_agents.devnet.layout import FIRST_PROVIDER
from lilypad_agents.execution.manifest import parse_published
from lilypad_agents.protocol.ids import DealId
from tests.e2e.e2e_modules import ESCAPES
from tests.e2e.network import PAID, PLAIN, PROJECT, Network, changes, seconds_on

ONE = 10**18


def wei(text: str) -> int:
    """A decimal amount of tokens in smallest units."""
    whole, _, part = text.partition(".")
    return int(whole) * ONE + int(part.ljust(18, "0") or 0)


def test_up__cold__is_ready_and_runs_a_first_job_within_a_minute(network: Network) -> None:
    """beh:L1 (the job itself is timed in bench/latency.py)"""
    assert network.cold_seconds < seconds_on(anvil=45, geth=240)  # type: ignore[attr-defined]
    done = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=first", seconds=seconds_on(anvil=15, geth=40))
    assert done.code == 0, done.err
    assert "< first >" in done.out


def test_run__cowsay__pays_everybody_exactly_what_the_quote_said(network: Network) -> None:
    """beh:C15 beh:J12 beh:J14 beh:A2"""
    quote = network.lilypad("quote", "cowsay:v0.0.1", "--json").data
    before = network.money()
    done = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=to the wei", "--wait", "final", "--json")
    assert done.code == 0, done.err
    price, state = quote["price"], done.data["state"]
    assert (price["gross"], price["solverFee"], price["protocolFee"], price["premium"]) == ("1", "0.02", "0.01", "0.11")
    assert price["total"] == "1.14" and quote["pool"]["verified"] and quote["auditBps"] == 800
    assert quote["bonds"]["collateral"] == "16.2" and "16.3 % of the value" in quote["deterrence"]
    provider = "provider1" if done.data["provider"] == address_of(FIRST_PROVIDER) else "provider2"
    moved = changes(before, network.money())
    assert state in PAID
    assert moved["creator"] == -wei(price["total"])
    if state == "ACCEPTED":  # an audit (8 %) moves the fund's money to mediators and keepers, and sets fees aside at once, not as accruals
        fund = wei(price["protocolFee"]) + wei(price["premium"])
        assert moved == {"creator": -wei("1.14"), provider: wei("1"), "solver": wei("0.02"), "fund": fund}
    assert moved[provider] >= wei(price["gross"])
    assert done.data["payment"] == {
        "token": "LILY",
        "paid": price["total"],
        "back": "0",
        "parts": {f"provider {done.data['provider']}": "1", f"solver {_solver(network)}": "0.02", "audit fund": "0.12"},
    }


def test_run__pool_0_asked_for__says_so_on_every_screen_and_costs_no_premium(network: Network) -> None:
    """beh:D3 beh:J19"""
    before = network.money()
    done = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=unchecked", *PLAIN, "--wait", "final")
    assert done.code == 0, done.err
    assert done.err.count("Unverified pool (pool 0)") == 2  # before the signature and at the end
    moved = changes(before, network.money())
    assert (moved["creator"], moved["solver"]) == (-wei("1.02"), wei("0.02")) and "fund" not in moved
    quote = network.lilypad("quote", "cowsay:v0.0.1", *PLAIN)
    shown = network.lilypad("job", "show", network.lilypad("job", "list", "--json").data["jobs"][0]["deal"])
    assert "Unverified pool (pool 0)" in quote.out and "Unverified pool (pool 0)" in shown.out
    assert "pool 0 (Unverified)" in network.lilypad("job", "list").out
    unknown = network.lilypad("run", "cowsay:v0.0.1", "--pool", "nobody")
    assert unknown.code == 2 and "mediated, unverified" in unknown.err


def _solver(network: Network) -> str:
    from lilypad_agents.devnet.layout import SOLVER

    return address_of(SOLVER)


def test_run__result_folder__holds_everything_and_verifies_offline(network: Network) -> None:
    """beh:J23 beh:C8"""
    done = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=folder", *PLAIN, "--wait", "final", "--json", "-o", "there")
    folder = Path(done.data["results"])
    assert folder == network.folder / "there" / done.data["deal"]
    assert sorted(path.name for path in folder.iterdir()) == ["exitCode", "outputs", "receipt.json", "stderr", "stdout"]
    assert b"< folder >" in (folder / "stdout").read_bytes()
    chain = network.chain()
    deal_id = DealId(bytes.fromhex(done.data["deal"][2:]))
    opened = next(iter(chain.opened(deal=deal_id)))
    chain.rpc.close()
    shown = network.lilypad("module", "show", "cowsay:v0.0.1", "--json").data
    from lilypad_agents.execution.strictjson import canonical

    raw = canonical(shown["manifest"])
    manifest = parse_published(raw, bytes.fromhex(shown["terms"]["manifest"][2:]))
    delivered = check_folder(folder, manifest, opened.record, deal_id)
    assert "0x" + delivered.digest.hex() == done.data["resultDigest"]
    (folder / "stdout").write_bytes(b"another cow")
    with pytest.raises(Exception, match="data id"):
        check_folder(folder, manifest, opened.record, deal_id)


def test_run__wordcount__takes_files_and_gives_outputs(network: Network) -> None:
    """beh:K5"""
    texts = network.folder / "texts"
    texts.mkdir()
    (texts / "text.txt").write_text("one two\nthree\n")
    (network.folder / "b.txt").write_text("four\n")
    done = network.lilypad(
        "run", "wordcount:v0.0.1", "--inputs-path", "texts", "--file", "text2.txt=b.txt", "--json"
    )
    assert done.code == 0, done.err
    counts = json.loads((Path(done.data["results"]) / "outputs" / "counts.json").read_text())
    assert counts["total"] == {"lines": 3, "words": 4, "bytes": 19}


def test_run__primes__charges_metered_units_and_gives_the_rest_back(network: Network) -> None:
    """beh:C7"""
    before = network.money("creator2")
    done = network.lilypad("run", "primes:v0.0.1", "-i", "Limit=3000000", "--wait", "final", "--json", "--account", "creator2")
    assert done.code == 0, done.err
    receipt = json.loads((Path(done.data["results"]) / "receipt.json").read_text())["receipt"]
    units = receipt["units"]
    assert units == receipt["fuel"] // 100_000_000 and units > 0
    due = network.due(done.data["deal"], units)
    paid = due.total
    assert due.gross == ONE + units * ONE // 125
    assert paid == due.gross + due.gross * 2 // 100 + due.gross // 100 + due.premium
    assert wei(done.data["payment"]["paid"]) == paid
    assert changes(before, network.money("creator2"))["creator"] == -paid
    assert wei(done.data["payment"]["back"]) > 0


def test_run__job_that_fails__is_paid_and_shows_its_own_exit_code(network: Network) -> None:
    """beh:J15 beh:C11 beh:J14"""
    before = network.money()
    done = network.lilypad("run", "failing:v0.0.1", "--wait", "final")
    assert done.code == 23
    assert "this is why" in done.err
    assert "exit code 3" in done.err
    assert changes(before, network.money())["creator"] == -wei("1.14")


def test_run__endless_job__ends_by_its_work_limit_and_is_paid(network: Network) -> None:
    """beh:C11 beh:K9 flt:S5"""
    done = network.lilypad("run", "endless:v0.0.1", *PLAIN, "--wait", "final", "--json")
    assert done.code == 23
    assert (done.data["exitClass"], done.data["exitCode"], done.data["state"]) == ("fuel", 256 + 152, "ACCEPTED")


def test_run__job_that_writes_escapes__cannot_drive_the_terminal_but_keeps_its_bytes(network: Network) -> None:
    """flt:S19"""
    done = network.lilypad("run", "escapes:v0.0.1", *PLAIN, "--wait", "final")
    assert done.code == 0
    assert "\x1b" not in done.out and "\x07" not in done.out and "\u202e" not in done.out
    assert r"\x1b]0;owned\x07" in done.out
    results = [line.split()[-1] for line in done.err.splitlines() if line.startswith("results")]
    assert (Path(results[0]) / "stdout").read_bytes() == ESCAPES


def test_run__verify__runs_here_too_and_waives(network: Network) -> None:
    """beh:J11"""
    done = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=check", "--verify", "--wait", "final", "--json")
    assert done.code == 0, done.err
    assert done.data["agreed"] == "waiver" and done.data["state"] in PAID


def test_run__never_accepted__is_paid_by_silence_after_the_judge_window(network: Network) -> None:
    """beh:E2"""
    done = network.lilypad(
        "run", "cowsay:v0.0.1", "-i", "Message=silent", "--no-accept", "--judge-window", "5", "--wait", "final", "--json"
    )
    assert done.code == 0, done.err
    assert done.data["agreed"] is None and done.data["state"] in PAID


def test_run__unknown_module__says_what_was_tried(network: Network) -> None:
    """beh:K1 beh:J21"""
    done = network.lilypad("run", "cowsy:v0.0.1", "--json")
    assert done.code == 2
    assert done.json["error"]["code"] == "module-unknown"
    assert "cowsay:v0.0.1" in done.json["error"]["message"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["cowsay:v0.0.1", "-i", "Massage=moo"], "Message"),
        (["primes:v0.0.1", "-i", "Limit=one"], "Limit"),
        (["primes:v0.0.1", "-i", "Limit=1"], "Limit"),
        (["wordcount:v0.0.1"], "text.txt"),
        (["wordcount:v0.0.1", "--file", "other.txt=b.txt"], "other.txt"),
        (["cowsay:v0.0.1", "-i", "Message"], "Message"),
        (["cowsay:v0.0.1", "--submit-window", "1"], "submit window"),
        (["cowsay:v0.0.1", "--max-price", "1e3"], "max-price"),
        (["cowsay:v0.0.1", "--target", "0x12"], "account"),
    ],
)
def test_run__input_that_does_not_fit__is_refused_before_anything_is_paid(network: Network, words: list[str], name: str) -> None:
    """beh:K5"""
    (network.folder / "b.txt").write_text("x")
    before, deals = network.money(), network.deals()
    done = network.lilypad("run", *words)
    assert done.code == 2
    assert name in done.err
    assert "Traceback" not in done.err
    assert (network.money(), network.deals()) == (before, deals)


def test_run__no_funds__says_how_much_is_missing(network: Network) -> None:
    """beh:B17 beh:J21"""
    done = network.lilypad("run", "cowsay:v0.0.1", "--account", "penniless", "--json")
    assert done.code == 11
    assert done.json["error"]["code"] == "insufficient-funds"
    assert "lilypad deposit 1.14" in done.json["error"]["hint"]


def test_run__price_limit_below_the_market__is_refused_at_once(network: Network) -> None:
    """beh:J13 beh:H4"""
    done = network.lilypad("run", "cowsay:v0.0.1", "--max-price", "1.139999999999999999")
    assert done.code == 20
    assert "1.14 LILY" in done.err


def test_run__nobody_matches_in_time__says_which_condition_failed_and_costs_nothing(network: Network) -> None:
    """beh:J22 beh:H5"""
    before = network.money()
    words = ["run", "cowsay:v0.0.1", "-i", "Message=nobody", "--target", "0x" + "aa" * 20]
    at_once = network.lilypad(*words, "--json")
    assert at_once.code == 20 and "provider" in at_once.json["error"]["message"]
    waited = network.lilypad(*words, "--match-seconds", "3", "--json")
    assert waited.code == 20
    assert waited.json["error"]["code"] == "no-match"
    assert waited.json["error"]["figures"]["reasons"]
    assert network.money() == before


def test_quote_and_dry_run__show_everything_and_send_nothing(network: Network) -> None:
    """beh:J13"""
    before, deals = network.money(), network.deals()
    quote = network.lilypad("quote", "primes:v0.0.1", "-i", "Limit=100")
    dry = network.lilypad("run", "cowsay:v0.0.1", "--dry-run")
    for done in (quote, dry):
        assert done.code == 0, done.err
        for word in ("price", "solver", "royalty", "protocol", "premium", "total", "bond", "gas", "time", "at worst", "audits", "Verified pool"):
            assert word in done.out, word
    assert (network.money(), network.deals()) == (before, deals)


def test_local__same_module_and_inputs__gives_the_data_id_of_the_provider(network: Network) -> None:
    """beh:K12 (run --local and the provider agree)"""
    here = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=both", "--local", "--json").data
    there = network.lilypad("run", "cowsay:v0.0.1", "-i", "Message=both", "--json").data
    assert here["dataId"] == there["dataId"]
    folder = network.lilypad("module", "run", str(PROJECT / "modules" / "cowsay"), "--local", "-i", "Message=both", "--json")
    assert folder.data["dataId"] == here["dataId"]
