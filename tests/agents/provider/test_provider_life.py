"""A provider's life: restarts, lost data, offers, outages, clocks that jump, chains that change their mind."""

from __future__ import annotations

import json
import os
import signal as signals
import time
from pathlib import Path

import psutil
import pytest

from lilypad_agents.agents.provider.agent import drain_file
from lilypad_agents.agents.provider.errors import OfferFileInvalid, OpeningRefused, ProviderSettingInvalid
from lilypad_agents.agents.provider.gateway import Gateway
from lilypad_agents.agents.provider.income import earnings, read_earnings
from lilypad_agents.agents.provider.opening import (
    JobFile,
    answer,
    hand_over,
    open_and_submit,
    open_deal,
    open_submit_and_settle,
    parse_job_file,
)
from lilypad_agents.agents.provider.run import require_possible
from lilypad_agents.agents.provider.view import Stage as WorkStage
from lilypad_agents.agents.runtime import http_signature
from lilypad_agents.chain.deployer import RpcSender
from lilypad_agents.chain.errors import AlreadyRunning
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.sources import Source, fetch_blocking
from lilypad_agents.content.store import LocalStore
from lilypad_agents.errors import ContentUnavailable
from lilypad_agents.execution.strictjson import canonical
from lilypad_agents.protocol.consent import Waiver, by_own_key
from lilypad_agents.protocol.deal import deal_from_offers
from lilypad_agents.protocol.digest import Opened, commitment
from lilypad_agents.protocol.ids import hex_of
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.opening import ResultOpening, Settling, opening_of, settlements_of
from lilypad_agents.protocol.price import keeper_bounty, penalty
from tests.agents.provider.harness import Stage
from tests.support.faultproxy import FaultProxy
from tests.support.network import TOKEN
from tests.unit.execution.execution_support import document, wat


def forget_database(stage: Stage) -> None:
    for path in (stage.folder / "provider").glob("agent.sqlite*"):
        path.unlink()


def offered(stage: Stage) -> int:
    return len(stage.relay.offers)


# ---- restarts


def test_restart__result_submitted__settles_with_the_stored_salt(stage: Stage) -> None:
    """beh:J2 flt:F3 A stop in the middle of a deal loses nothing."""
    deal_id, _ = stage.deal()
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    life.close()
    stage.accept(deal_id)
    stage.start().until(stage.is_in(deal_id, Status.ACCEPTED))
    assert len(stage.lines.named("run_ended")) == 1


def test_restart__database_deleted_before_the_run__serves_the_deal(stage: Stage) -> None:
    """beh:J1 beh:J3 Events of the past are read again."""
    deal_id, _ = stage.deal()
    life = stage.start()
    life.turn(2)
    life.close()
    forget_database(stage)
    stage.start().until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))


def test_restart__database_deleted_after_the_submission__makes_the_result_again_and_settles(stage: Stage) -> None:
    """beh:J1 beh:J2 flt:F28 The salt follows from the key: the new result opens the old commitment."""
    deal_id, _ = stage.deal()
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    posted = stage.state(deal_id).commitment
    life.close()
    forget_database(stage)
    stage.accept(deal_id)
    stage.start().until(stage.is_in(deal_id, Status.ACCEPTED))
    assert stage.state(deal_id).commitment == posted
    submitted = [e for e in stage.lines.named("action_queued") if e["action"] == "submit"]
    assert len(submitted) == 1  # no second result


def test_restart__all_data_deleted__serves_as_if_nothing_had_been(stage: Stage) -> None:
    """beh:J1"""
    deal_id, _ = stage.deal()
    life = stage.start()
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    life.close()
    for path in sorted((stage.folder / "provider").rglob("*"), reverse=True):
        path.unlink() if path.is_file() or path.is_symlink() else path.rmdir()
    stage.accept(deal_id)
    stage.start().until(stage.is_in(deal_id, Status.ACCEPTED))


def test_start__twice_on_one_key__the_second_refuses(stage: Stage, tmp_path: Path) -> None:
    """flt:F4 It names the holder and sends nothing."""
    stage.start()
    with pytest.raises(AlreadyRunning):
        stage.start()
    with pytest.raises(AlreadyRunning):
        stage.start(data=tmp_path / "other")


# ---- runs


def test_run__its_process_is_stopped__ends_at_the_wall_time_and_frees_the_slot(stage: Stage) -> None:
    """flt:F37 beh:C11 beh:J8"""
    spin = wat('(module (memory (export "memory") 1) (func (export "_start") (loop $l br $l)))')
    made = document()
    made["limits"] = made["limits"] | {"fuel": (1 << 53) - 1, "wallSeconds": 3}
    module = stage.made_module(made, spin)
    deal_id, _ = stage.open(stage.pair(module, stage.inputs(module, {})))[0]
    life = stage.start(slots=1)
    process = life.context.data / "work" / "jobs" / deal_id.hex() / "process"
    life.until(process.exists)
    child = psutil.Process(json.loads(process.read_text())["pid"])
    life.until(lambda: child.cpu_times().user > 0.5)  # it spins, so it is past its compilation
    child.suspend()
    assert life.agent.workshop.free_slots == 0
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    assert stage.result(deal_id)["receipt"]["receipt"]["exitClass"] == "timeout"
    assert life.agent.workshop.free_slots == 1


def test_run__its_worker_dies__is_repeated_and_then_given_back(stage: Stage) -> None:
    """beh:J2 beh:C12 A crash of a worker never harms the agent; a job that keeps crashing it is declined."""
    spin = wat('(module (memory (export "memory") 1) (func (export "_start") (loop $l br $l)))')
    made = document()
    made["limits"] = made["limits"] | {"fuel": (1 << 53) - 1, "wallSeconds": 20}
    module = stage.made_module(made, spin)
    deal_id, _ = stage.open(stage.pair(module, stage.inputs(module, {}), {"submit_window": 100}))[0]
    life = stage.start()
    process = life.context.data / "work" / "jobs" / deal_id.hex() / "process"
    for attempt in range(1, 4):
        life.until(lambda: process.exists() and bool(process.read_text()))
        os.kill(json.loads(process.read_text())["pid"], signals.SIGKILL)
        life.until(lambda attempt=attempt: len(stage.lines.named("run_without_result")) == attempt)
    life.until(stage.is_in(deal_id, Status.DECLINED))


# ---- offers


def test_offers__after_the_start__stand_at_the_solver_with_what_the_machine_has(stage: Stage) -> None:
    """beh:J8 The core takes the offer as it stands: a deal can be opened on it."""
    life = stage.start(price=3 * TOKEN)
    life.until(lambda: offered(stage) == 1)
    offer, signature = next(iter(stage.relay.offers.values()))
    assert (offer.provider, offer.price, offer.is_unlimited) == (stage.provider.address, 3 * TOKEN, True)
    assert offer.cpu_milli <= life.agent.machine.resources.cpu_milli < 1_000 * (os.cpu_count() or 1)
    module = stage.module()
    pair = stage.pair(module, stage.inputs(module, {}), {"max_price": 5 * TOKEN})
    pair = pair._replace(resource=offer, resource_signature=bytes.fromhex(signature[2:]))
    deal_id, _ = stage.open(pair)[0]
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))


def test_offers__full__are_withdrawn_and_come_back_when_there_is_room(stage: Stage) -> None:
    """beh:J8"""
    life = stage.start(backlog=2)
    life.until(lambda: offered(stage) == 1)
    stage.relay.faults.add("no content")
    deals = [stage.deal({"Message": str(n)}, submit_window=600)[0] for n in range(2)]
    life.until(lambda: offered(stage) == 0)
    assert "full" in stage.lines.named("not_offering")[-1]["reasons"]
    stage.relay.faults.clear()
    life.until(lambda: all(stage.status(deal_id) is Status.RESULTS_SUBMITTED for deal_id in deals))
    life.until(lambda: offered(stage) == 1)


def test_offers__collateral_at_its_limit__are_withdrawn(stage: Stage) -> None:
    """beh:J8"""
    life = stage.start(max_locked=TOKEN)
    life.until(lambda: offered(stage) == 1)
    stage.deal()
    life.until(lambda: offered(stage) == 0)


def test_offers__solver_goes_and_comes_back__stand_again(stage: Stage) -> None:
    """beh:J7 flt:F33 The deal that runs meanwhile goes on; only its delivery waits."""
    life = stage.start()
    life.until(lambda: offered(stage) == 1)
    stage.relay.faults.add("down")
    stage.relay.offers.clear()
    life.until(lambda: bool(stage.lines.named("solver_lost")), guarded=True)
    stage.relay.faults.clear()
    life.until(lambda: offered(stage) == 1, guarded=True)


def test_offers__solver_forgets_them__are_posted_anew(stage: Stage) -> None:
    """beh:J7 flt:F33 A solver that lost its data is told again."""
    life = stage.start()
    life.until(lambda: offered(stage) == 1)
    stage.relay.offers.clear()
    life.agent.desks[0]._check_due = True
    life.agent.desks[0]._hint.set()
    life.until(lambda: offered(stage) == 1)


def test_offers__account_without_money__takes_no_deals_and_names_what_is_missing(stage: Stage) -> None:
    """flt:F23 Obligations go first: what it has already accepted is served as long as gas lasts."""
    deal_id, _ = stage.deal()
    life = stage.start()
    life.until(lambda: offered(stage) == 1)
    free = stage.network.free(stage.provider.address)
    core = stage.network.contracts.core
    stage.network.rpc.request("anvil_setBalance", stage.provider.address, hex(10**20))
    sender = RpcSender(stage.network.rpc, stage.provider, stage.network.rpc.chain_id())
    sender.send(core.address, core.encode("withdraw", stage.network.token, free, stage.provider.address))
    life.until(lambda: offered(stage) == 0)
    assert f"{TOKEN - 0} are missing" in stage.lines.named("not_offering")[-1]["reasons"]["funds"]
    assert "funds" in life.context.health.against()
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))


def test_offers__account_without_coin__takes_no_deals(stage: Stage) -> None:
    """flt:F23"""
    life = stage.start()
    life.until(lambda: offered(stage) == 1)
    stage.network.rpc.request("anvil_setBalance", stage.provider.address, "0x0")
    life.until(lambda: offered(stage) == 0)
    assert "wei for gas" in stage.lines.named("not_offering")[-1]["reasons"]["gas"]
    stage.network.rpc.request("anvil_setBalance", stage.provider.address, hex(10**20))
    life.until(lambda: offered(stage) == 1)


# ---- notes of creators


def test_notes__forged_or_malformed__change_nothing(stage: Stage) -> None:
    """flt:F33 Only the creator's own signature over our digest counts."""
    deal_id, _ = stage.deal()
    life = stage.start()
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    digest = bytes.fromhex(stage.result(deal_id)["resultDigest"][2:])
    by_another = by_own_key(
        stage.provider.sign_digest(stage.network.domain.digest(Waiver(deal_id=deal_id, result_digest=digest).struct_hash))
    )
    for body in (None, 7, [], "x", {}, {"signature": None}, {"signature": "0x"}, {"signature": "0x00"},
                 {"signature": "0x" + "11" * 66}, {"signature": hex_of(by_another)}, {"signature": "0x01" + "22" * 90}):  # fmt: skip
        stage.relay.note(deal_id, "waiver", body, stage.creator.address)
        stage.relay.note(deal_id, "closing", body, stage.creator.address)
    stage.waive(deal_id, b"\x01" * 32)  # another digest
    last = len(stage.relay.notes)
    life.until(lambda: int(life.agent.store.meta(f"inbox {stage.relay.url}") or 0) >= last)
    life.turn(3)
    assert stage.status(deal_id) is Status.RESULTS_SUBMITTED
    assert not stage.lines.named("creator_agreed")
    stage.accept(deal_id)
    life.until(stage.is_in(deal_id, Status.ACCEPTED))


def test_settlement__somebody_was_faster__is_decided_anew(own_stage: Stage) -> None:
    """flt:F22 beh:C9 beh:J5 The simulation passed, the transaction reverts: the reason is decoded, and nothing is repeated."""
    stage = own_stage
    rpc, core = stage.network.rpc, stage.network.contracts.core
    deal_id, deal = stage.deal()
    life = stage.start()
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    result = life.agent.store.result(deal_id)
    assert result is not None
    life.until(lambda: life.agent.actor.is_idle)
    rpc.request("evm_setIntervalMining", 0)
    rpc.request("evm_setAutomine", False)
    stage.accept(deal_id)
    life.until(lambda: int(rpc.request("txpool_status")["pending"], 16) == 1)
    rpc.request("anvil_impersonateAccount", stage.creator.address)
    data = core.encode("settle", settlements_of([Settling(deal, result.opening.words)])[0])
    rival = {"from": stage.creator.address, "to": core.address, "data": hex_of(data), "gas": hex(500_000),
             "maxFeePerGas": hex(10**11), "maxPriorityFeePerGas": hex(10**10)}  # fmt: skip
    rpc.request("eth_sendTransaction", rival)
    rpc.request("anvil_mine", "0x1")
    life.until(lambda: life.agent.actor.is_idle and deal_id not in life.agent.entries)
    assert stage.status(deal_id) is Status.ACCEPTED
    failed = stage.lines.named("action_failed")
    assert len(failed) == 1 and "DealNotIn" in failed[0]["reason"]
    for _ in range(3):
        rpc.request("anvil_mine", "0x1")
        life.turn(2)
    assert len([e for e in stage.lines.named("action_queued") if e["action"] == "settle"]) == 1


# ---- clocks


def test_clock__ten_minutes_pass_while_it_sleeps__claims_what_is_overdue_and_sends_nothing_stale(own_stage: Stage) -> None:
    """flt:F30 beh:E2 beh:E5 beh:E6 beh:E7 The late provider pays the penalty and claims its own timeout for the bounty."""
    stage = own_stage
    before = stage.network.free(stage.provider.address)
    deal_id, deal = stage.deal()
    life = stage.start()
    life.turn(1)
    stage.pass_time(600)
    life.until(stage.is_in(deal_id, Status.TIMED_OUT))
    assert stage.network.free(stage.provider.address) == before - penalty(deal) + keeper_bounty(deal)
    assert {e["action"] for e in stage.lines.named("action_queued")} == {"timeout-submit"}
    life.until(lambda: life.agent.actor.is_idle)
    found = earnings(life.context.database, stage.provider.address)
    assert (found.net, found.by_status[Status.TIMED_OUT][0]) == (keeper_bounty(deal) - penalty(deal), 1)


def test_clock__reveal_window_passed_while_it_was_down__claims_the_end(own_stage: Stage) -> None:
    """beh:E2 beh:E7 A missed opening refunds with the penalty; the rest of the bond is free again."""
    stage = own_stage
    deal_id, deal = stage.deal(judge_window=5)
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    life.close()
    stage.pass_time(100)
    stage.start().until(stage.is_in(deal_id, Status.TIMED_OUT))


# ---- chains that change their mind


def test_chain__the_opening_is_undone__work_stops_and_the_offer_stands(own_stage: Stage) -> None:
    """flt:F18 flt:F17 Nothing is done for a deal that vanished."""
    stage = own_stage
    rpc = stage.network.rpc
    module = stage.module("primes")
    pair = stage.pair(module, stage.inputs(module, {"Limit": 3_000_000_000}), {"submit_window": 600})
    snapshot = rpc.request("evm_snapshot")
    deal_id, _ = stage.open(pair)[0]
    life = stage.start(slots=1)
    life.until(lambda: bool(life.agent.workshop.running))
    assert rpc.request("evm_revert", snapshot)
    rpc.request("anvil_mine", "0x40")
    life.until(lambda: not life.agent.workshop.jobs, guarded=True)
    assert life.agent.workshop.free_slots == 1
    assert stage.lines.named("work_stopped")
    assert stage.status(deal_id) is Status.NONE
    life.until(lambda: offered(stage) == 1, guarded=True)


# ---- opening by oneself


def job_file(stage: Stage, **job: object) -> JobFile:
    module = stage.module()
    pair = stage.pair(module, stage.inputs(module, {}), job)
    return JobFile(pair.job, pair.job_signature, module.terms)


def test_open__offer_file_handed_over_while_it_runs__is_opened_served_and_paid(stage: Stage, tmp_path: Path) -> None:
    """flt:F33 No solver took part: both signatures suffice."""
    found = job_file(stage)
    path = tmp_path / "offer.json"
    path.write_bytes(canonical(found.to_json()))
    life = stage.start()
    hand_over(life.context.data, path)
    life.until(lambda: bool(life.agent.entries))
    deal_id = next(iter(life.agent.entries))
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    stage.accept(deal_id)
    life.until(stage.is_in(deal_id, Status.ACCEPTED))


def test_open__offer_file_twice__opens_one_deal(stage: Stage, tmp_path: Path) -> None:
    """beh:J2 The answer to an offer follows from the offer."""
    path = tmp_path / "offer.json"
    path.write_bytes(canonical(job_file(stage).to_json()))
    life = stage.start()
    for _ in range(2):
        hand_over(life.context.data, path)
    life.until(lambda: len(list((life.context.data / "inbox").glob("*.json"))) == 0)
    life.until(lambda: bool(life.agent.entries))
    life.turn(3)
    assert len(life.agent.entries) == 1


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"[]", b'{"offer": 7, "signature": "0x", "module": {}}', b"\xff", b"{" * 100, b"x" * 100_000],
)
def test_open__file_that_is_no_offer__is_refused(raw: bytes) -> None:
    with pytest.raises(OfferFileInvalid):
        parse_job_file(raw)


def test_open__offer_that_the_core_refuses__sends_nothing(stage: Stage) -> None:
    """The reason is the core's own, decoded."""
    life = stage.start(desks=False)
    life.turn()
    found = job_file(stage, max_price=TOKEN // 2)
    pair = answer(life.context, life.agent.settings, life.agent.machine, found)
    with pytest.raises(OpeningRefused, match="TermAbove"):
        open_deal(life.context, pair)
    fair = answer(life.context, life.agent.settings, life.agent.machine, job_file(stage))
    forged = fair._replace(job_signature=by_own_key(stage.provider.sign_digest(b"\x01" * 32)))
    with pytest.raises(OpeningRefused, match="SignatureInvalid"):
        open_deal(life.context, forged)


def test_open__together_with_result_and_waiver__is_one_transaction(stage: Stage) -> None:
    """beh:C4 Open, submit and settle at once; and open with the result, still to be judged."""
    life = stage.start(desks=False)
    life.turn()
    pair = answer(life.context, life.agent.settings, life.agent.machine, job_file(stage))
    deal = deal_from_offers(pair.job, pair.resource, pair.module, pair.pool)
    deal_id = deal.id(stage.network.domain)
    opened, salt = Opened(b"\x00" * 32, b"\x01" * 32), life.agent.workshop.salts.of(deal_id)
    message = Waiver(deal_id=deal_id, result_digest=opened.digest)
    waiver = by_own_key(stage.creator.sign_digest(stage.network.domain.digest(message.struct_hash)))
    assert open_submit_and_settle(life.context, pair, ResultOpening(opened.head, opened.content, salt), waiver) == deal_id
    life.until(stage.is_in(deal_id, Status.ACCEPTED))
    second = answer(life.context, life.agent.settings, life.agent.machine, job_file(stage))
    other = deal_from_offers(second.job, second.resource, second.module, second.pool)
    other_id = other.id(stage.network.domain)
    posted = commitment(other_id, other.provider, opened.digest, life.agent.workshop.salts.of(other_id))
    open_and_submit(life.context, second, posted)
    life.until(stage.is_in(other_id, Status.RESULTS_SUBMITTED))
    assert stage.state(other_id).commitment == posted


# ---- leaving


def test_drain__with_deals_open__finishes_them_takes_no_more_and_ends(stage: Stage) -> None:
    """beh:J26 Offers that are still out are cancelled on chain, so nobody can open a deal on one later."""
    life = stage.start()
    life.until(lambda: offered(stage) == 1)
    offer, signature = next(iter(stage.relay.offers.values()))
    deal_id, _ = stage.deal()
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    drain_file(life.context.data).touch()
    life.until(lambda: offered(stage) == 0)
    assert not life.loop.stopping
    stage.accept(deal_id)
    life.until(lambda: life.loop.stopping)
    assert stage.status(deal_id) is Status.ACCEPTED
    module = stage.module()
    pair = stage.pair(module, stage.inputs(module, {}))
    pair = pair._replace(resource=offer, resource_signature=bytes.fromhex(signature[2:]))
    with pytest.raises(Exception, match="OfferCancelled|revert"):
        stage.network.contracts.core.call("open", opening_of([pair]))


def test_earnings__paid_and_declined_deals__are_net_of_what_was_lost_and_tell_the_gas(stage: Stage) -> None:
    """beh:J26 Also while the provider runs, from its data folder."""
    good, _ = stage.deal()
    module = stage.module()
    bad, deal = stage.open(stage.pair(module, b"\x05" * 32, {"submit_window": 20}))[0]
    life = stage.start()
    life.until(lambda: bool(stage.relay.of_kind(good, "result")))
    stage.accept(good)
    life.until(stage.is_in(good, Status.ACCEPTED))
    life.until(stage.is_in(bad, Status.DECLINED))
    life.until(lambda: not life.agent.entries and life.agent.actor.is_idle)
    found = read_earnings(life.agent.settings, stage.provider.address)
    assert (found.earned, found.lost, found.running) == (TOKEN, TOKEN // 100, 0)
    assert found.transactions == 3 and found.gas_wei > 0
    coin = int(stage.network.rpc.request("eth_getBalance", stage.provider.address, "latest"), 16)
    assert coin == 10**20 - found.gas_wei
    assert found.as_dict()["net"] == str(TOKEN - TOKEN // 100)




def test_declined_deals__are_forgotten__and_do_not_count_as_work(stage: Stage) -> None:
    """beh:J8 beh:J10 What is over takes neither memory nor a place in the queue."""
    module = stage.module()
    for _ in range(3):
        stage.open(stage.pair(module, stage.inputs(module, {})))
    life = stage.start(backlog=2, deny_names=("cowsay",))
    life.until(lambda: len(stage.lines.named("deal_ended")) == 3)
    life.until(lambda: not life.agent.workshop.jobs)
    assert life.agent.workshop.unanswered == 0
    life.until(lambda: offered(stage) == 0)  # nothing is published that passes the lists
    assert "full" not in life.agent._against


def test_gateway__of_the_provider__serves_results_to_their_creator_alone(stage: Stage, tmp_path: Path) -> None:
    """A creator whose relay is gone fetches from the provider itself; strangers do not."""
    deal_id, _ = stage.deal()
    life = stage.start()
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    gateway = Gateway(life.context, life.agent.store, "127.0.0.1", 0).start()
    try:
        data_id = Cid.parse(stage.result(deal_id)["dataId"])
        store = LocalStore(tmp_path / "creator", durable=False)

        def fetch(root: Cid, key: LocalSigner | None) -> None:
            sign = None if key is None else lambda request: http_signature.sign(request, key, int(time.time()))
            fetch_blocking(store, root, [Source(gateway.url, sign)], seconds=5)

        for stranger in (None, stage.provider):
            with pytest.raises(ContentUnavailable):
                fetch(data_id, stranger)
        fetch(data_id, stage.creator)
        assert store.has(data_id)
        fetch(Cid.raw(stage.module().manifest.digest), None)
    finally:
        gateway.stop()


def test_settings__that_no_deal_could_meet__are_refused_at_the_start(stage: Stage) -> None:
    for changes, name in (
        ({"only_solver": stage.provider.address}, "only_solver"),
        ({"min_submit_window": 2**32 - 1}, "min_submit_window"),
        ({"max_judge_window": 1}, "max_judge_window"),
    ):
        with pytest.raises(ProviderSettingInvalid, match=name):
            require_possible(stage.options(**changes), stage.network.parameters, stage.provider.address, stage.network.token)
    require_possible(stage.options(), stage.network.parameters, stage.provider.address, stage.network.token)


def test_notes__solver_lost_its_data_and_counts_anew__are_found_all_the_same(stage: Stage) -> None:
    """beh:J7 flt:F33 The place in the old inbox says nothing about the new one."""
    first, _ = stage.deal()
    life = stage.start()
    life.until(lambda: bool(stage.relay.of_kind(first, "result")))
    stage.accept(first)
    life.until(stage.is_in(first, Status.ACCEPTED))
    life.agent.store.set_meta(f"inbox {stage.relay.url}", "1000000")
    second, _ = stage.deal()
    life.until(lambda: bool(stage.relay.of_kind(second, "result")))
    stage.accept(second)
    life.until(stage.is_in(second, Status.ACCEPTED))


def test_notes__read_by_a_life_that_died_before_it_acted__are_read_again(stage: Stage) -> None:
    """beh:J2 flt:F1"""
    deal_id, _ = stage.deal()
    life = stage.start()
    life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    life.close()
    stage.accept(deal_id)
    life = stage.start(desks=False)
    life.agent.store.set_meta(f"inbox {stage.relay.url}", str(len(stage.relay.notes)))  # read, and then it died
    life.close()
    stage.start().until(stage.is_in(deal_id, Status.ACCEPTED))


def test_declines__more_than_the_settings_allow__end_the_offering(stage: Stage) -> None:
    """A creator and a solver who make deals that cannot be served earn one percent each time; not for ever."""
    module = stage.module()
    for number in range(2):
        stage.open(stage.pair(module, b"\x05" * 31 + bytes([number]), {"submit_window": 20}))
    life = stage.start(most_declines=2)
    life.until(lambda: "declines" in life.agent._against)
    life.until(lambda: offered(stage) == 0)
    assert "declines" in life.context.health.against()


@pytest.mark.parametrize("fault", ["refused", "hang", "html", "status"])
def test_chain__does_not_answer_for_a_while__everything_goes_on_when_it_is_back(fault: str, stage: Stage) -> None:
    """beh:J7 flt:F6 flt:F7 flt:F9 flt:F10 Not ready meanwhile; the deal is served, nothing is sent twice."""
    with FaultProxy(stage.network.chain.url) as proxy:
        deal_id, _ = stage.deal(submit_window=120)
        life = stage.start(rpc=(proxy.url,))
        life.until(lambda: offered(stage) == 1, guarded=True)
        if fault == "refused":
            proxy.stop()
        else:
            proxy.mode = fault
        life.until(lambda: "chain" in life.context.health.against(), 30, guarded=True)
        if fault == "refused":
            proxy.start()
        else:
            proxy.mode = "pass"
        life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED), 40, guarded=True)
        life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")), 40, guarded=True)
        stage.accept(deal_id)
        life.until(stage.is_in(deal_id, Status.ACCEPTED), 40, guarded=True)
        assert "chain" not in life.context.health.against()
        life.close()


def test_relay__hangs__results_are_committed_all_the_same(stage: Stage) -> None:
    """flt:F33 flt:F32 What a deadline waits for never stands behind a delivery."""
    deals = [stage.deal({"Message": str(n)})[0] for n in range(6)]
    life = stage.start(slots=1)
    life.until(lambda: all(deal_id in life.agent.workshop.jobs for deal_id in deals))
    life.until(lambda: all(life.agent.workshop.jobs[d].stage is not WorkStage.NEW for d in deals))
    life.until(lambda: all(life.agent.workshop.jobs[d].stage is not WorkStage.FETCHING for d in deals))
    stage.relay.faults.add("hang")
    life.until(lambda: all(stage.status(deal_id) is Status.RESULTS_SUBMITTED for deal_id in deals), 15)
