"""From signed offers to open deals on a real chain, and every way that does not lead there."""

from __future__ import annotations

import hashlib
import os
import signal as signals
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lilypad_agents.agents.solver.errors import OfferRefused
from lilypad_agents.agents.solver.wire import OfferState
from lilypad_agents.chain.errors import AlreadyRunning
from lilypad_agents.chain.keys import LocalSigner
from lilypad_agents.protocol.ids import Address
from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.opening import Pair, opening_of
from lilypad_agents.protocol.terms import UNVERIFIED
from tests.support.network import TOKEN, Network, signer
from tests.support.solver import DOCUMENT, RunningSolver, eventually, open_solver, people

Start = Callable[..., RunningSolver]


def test_offers__that_fit__become_a_deal_that_both_parties_see(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner
) -> None:
    """beh:I16: the solver's own key pays gas and nothing else."""
    network = solver.network
    before = network.free(creator.address), network.free(provider.address)
    resource = solver.offer_resource(provider)
    job = solver.offer_job(creator)
    view = solver.wait(creator, job, "opened")
    assert view.deal_id is not None and view.record is not None
    for key in (creator, provider):
        deal = solver.client(key).deal(view.deal_id)
        assert (deal.job, deal.resource, deal.record) == (job, resource, view.record)
        assert deal.job_words == job.words() and deal.resource_offer_id == resource.struct_hash
        assert deal.state.status is Status.AGREED and deal.ending == ""
    assert network.contracts.core.call("dealOf", view.deal_id)[0] == int(Status.AGREED)
    assert network.free(creator.address) == before[0] - TOKEN
    assert network.free(provider.address) == before[1] - TOKEN
    assert network.free(solver.context.address) == 0


def test_offers__thirty_at_once__open_in_few_transactions(
    solver: RunningSolver, creator: LocalSigner, other_creator: LocalSigner, provider: LocalSigner
) -> None:
    jobs = [(key, solver.offer_job(key)) for _ in range(15) for key in (creator, other_creator)]
    solver.offer_resource(provider)
    deals = {solver.wait(key, job, "opened").deal_id for key, job in jobs}
    assert len(deals) == 30
    batches = {match["batch"] for match in solver.request("GET", "/v1/matches?limit=500").json()["items"]}
    assert len(batches) <= 4
    transactions = {solver.client(provider).deal(deal).opened_tx for deal in deals if deal is not None}
    assert len(transactions) == len(batches)


def test_posting_twice__same_id__one_deal(solver: RunningSolver, creator: LocalSigner, provider: LocalSigner) -> None:
    """beh:I15 beh:H11"""
    solver.offer_resource(provider)
    module = solver.network.module()
    job = solver.offer_job(creator, module)
    assert solver.post_job(creator, job, module) == job.struct_hash
    first = solver.wait(creator, job, "opened").deal_id
    assert solver.post_job(creator, job, module) == job.struct_hash
    assert solver.client(creator).offer(job.struct_hash).deal_id == first
    assert len(solver.context.deals.of_job_offer(job.struct_hash)) == 1


def test_volume__used_up__offer_closes_and_the_third_job_stays(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner
) -> None:
    """beh:H6 beh:H12"""
    resource = solver.offer_resource(provider, volume=2)
    jobs = [solver.offer_job(creator) for _ in range(3)]
    eventually(lambda: sum(solver.client(creator).offer(job.struct_hash).state == "opened" for job in jobs) == 2)
    closed = solver.wait(provider, resource, "cancelled")
    assert closed.reason is not None and closed.reason["error"] == "VolumeUsedUp"
    assert [solver.client(creator).offer(job.struct_hash).state for job in jobs].count(OfferState.OPEN) == 1


@pytest.mark.parametrize("how", ["nonce", "floor"])
def test_job__cancelled_on_chain__closes_and_never_opens(
    solver: RunningSolver, other_creator: LocalSigner, provider: LocalSigner, how: str
) -> None:
    """beh:H12 beh:J18 in part"""
    network = solver.network
    job = solver.offer_job(other_creator)
    if how == "nonce":
        network.send(4, "Lilypad", "cancel", other_creator.address, False, [job.nonce])
    else:
        network.send(4, "Lilypad", "cancelBelow", other_creator.address, [network.token], job.nonce + 1, 0)
    view = solver.wait(other_creator, job, "cancelled")
    assert view.reason is not None and view.reason["error"] == "OfferCancelled"
    solver.offer_resource(provider)
    assert solver.client(other_creator).offer(job.struct_hash).state == "cancelled"
    with pytest.raises(OfferRefused):
        solver.offer_job(other_creator, nonce=job.nonce, cpu_milli=1)


def test_resource__cancelled_on_chain__stops_matching(
    solver: RunningSolver, creator: LocalSigner, rival: LocalSigner
) -> None:
    """beh:H12"""
    resource = solver.offer_resource(rival)
    solver.network.send(3, "Lilypad", "cancel", rival.address, True, [resource.nonce])
    solver.wait(rival, resource, "cancelled")
    job = solver.offer_job(creator, provider=Address(rival.address))
    assert solver.client(creator).why(job.struct_hash) == []


def test_provider__silent_beyond_the_heartbeat__gets_nothing_until_it_is_back(
    start_solver: Start, creator: LocalSigner, provider: LocalSigner
) -> None:
    """beh:H12 beh:J7 flt:F33"""
    solver = start_solver(heartbeat_s=0.3)
    resource = solver.offer_resource(provider)
    eventually(lambda: not solver.client(creator).offer(resource.struct_hash).matching)
    job = solver.offer_job(creator)
    (reason,) = solver.client(creator).why(job.struct_hash)
    assert (reason.condition, reason.counterpart) == ("ProviderAway", resource.struct_hash)
    assert solver.client(creator).offer(job.struct_hash).state == "open"
    assert solver.client(provider).offer(resource.struct_hash).state == "open"  # any signed request is a sign of life
    solver.client(provider).inbox()
    solver.wait(creator, job, "opened")


def test_job__nobody_fits_until_it_expires__says_what_failed_for_how_many(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner, rival: LocalSigner
) -> None:
    """beh:I13 beh:J22 beh:H8"""
    solver.offer_resource(provider)
    solver.offer_resource(rival, cpu_milli=100, price=5 * TOKEN)
    job = solver.offer_job(creator, cpu_milli=4_001, expiry=solver.network.now() + 2)
    view = solver.wait(creator, job, "expired")
    assert view.reason is not None and view.reason["code"] == "match-timeout"
    assert view.reason["figures"] == {"offers": 2, "conditions": {"TermAbove: cpu": 2, "TermAbove: price": 1}}


def test_job__only_provider_that_it_allows_is_not_there__is_cancelled_with_that_reason(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner, rival: LocalSigner
) -> None:
    """beh:H5"""
    solver.offer_resource(provider)
    job = solver.offer_job(creator, provider=Address(rival.address), expiry=solver.network.now() + 2)
    view = solver.wait(creator, job, "cancelled")
    assert view.reason is not None
    assert (view.reason["code"], view.reason["figures"]["provider"]) == ("target-unavailable", rival.address)


def test_named_provider__that_does_not_fit__is_not_replaced(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner, rival: LocalSigner
) -> None:
    """beh:H5"""
    solver.offer_resource(provider)
    solver.offer_resource(rival, cpu_milli=50)
    job = solver.offer_job(creator, provider=Address(rival.address), expiry=solver.network.now() + 2)
    view = solver.wait(creator, job, "expired")
    assert view.reason is not None and "TermAbove: cpu" in view.reason["figures"]["conditions"]


def test_two_solvers__same_offers__one_deal_and_both_know_it(
    start_solver: Start, creator: LocalSigner, provider: LocalSigner
) -> None:
    """beh:H11"""
    first, second = start_solver("one"), start_solver("two", test_account=6)
    network, module = first.network, first.network.module()
    jobs = [network.job(creator.address, module, inputs=hashlib.sha256(DOCUMENT).digest()) for _ in range(5)]
    for solver in (first, second):
        for job in jobs:
            solver.post_job(creator, job, module)
    resource = network.resource(provider.address)
    for solver in (first, second):
        solver.client(provider).post_resource_offer(resource, network.sign(resource, provider))
    for job in jobs:
        seen = {solver.wait(creator, job, "opened").deal_id for solver in (first, second)}
        assert len(seen) == 1
        assert len(first.context.deals.of_job_offer(job.struct_hash)) == 1


def test_posting_to_a_second_solver__deal_is_open_already__it_says_so(
    start_solver: Start, creator: LocalSigner, provider: LocalSigner
) -> None:
    """beh:H11 beh:I15"""
    first, second = start_solver("one"), start_solver("two", test_account=6)
    module = first.network.module()
    first.offer_resource(provider)
    job = first.offer_job(creator, module)
    deal_id = first.wait(creator, job, "opened").deal_id
    assert deal_id is not None
    eventually(lambda: second.context.deals.get(deal_id))
    second.post_job(creator, job, module)
    view = second.client(creator).offer(job.struct_hash)
    assert (view.state, view.deal_id) == ("opened", deal_id)
    assert second.client(provider).deal(deal_id).job == job


def test_direct_opening__by_the_provider_itself__is_seen_and_not_repeated(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner
) -> None:
    """beh:H11"""
    network, module = solver.network, solver.network.module()
    job = solver.offer_job(creator, module)
    resource = network.resource(provider.address)
    pair = Pair(job, network.sign(job, creator), resource, network.sign(resource, provider), module, UNVERIFIED)
    network.send(2, "Lilypad", "open", opening_of([pair]))
    view = solver.wait(creator, job, "opened")
    assert view.record is not None and view.record.resource_offer_hash == resource.struct_hash
    solver.offer_resource(provider)
    assert len(solver.context.deals.of_job_offer(job.struct_hash)) == 1


def test_decline__job_goes_to_another_provider(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner, rival: LocalSigner
) -> None:
    """A declined offer counts as unused again, but not for the same pair."""
    solver.offer_resource(provider)
    job = solver.offer_job(creator)
    first = solver.wait(creator, job, "opened")
    assert first.record is not None and first.record.provider == provider.address
    solver.network.send(2, "LilypadResolver", "decline", first.record.words, job.words())
    back = solver.wait(creator, job, "open")
    assert back.reason is not None and back.reason["code"] == "declined"
    solver.offer_resource(rival, price=TOKEN + 1)
    second = eventually(lambda: (v := solver.client(creator).offer(job.struct_hash)).state == "opened" and v)
    assert second.record.provider == rival.address and second.deal_id != first.deal_id


def test_approval_on_chain__offer_without_a_signature__is_carried_by_anybody(
    solver: RunningSolver, creator: LocalSigner, provider: LocalSigner, stranger: LocalSigner
) -> None:
    """As a contract account would do it; it can take its consent back. beh:I16"""
    network, module = solver.network, solver.network.module()
    job = network.job(creator.address, module, inputs=hashlib.sha256(DOCUMENT).digest())
    post = lambda: solver.client(stranger).post_job_offer(job, b"", module, UNVERIFIED, document=DOCUMENT)  # noqa: E731
    with pytest.raises(Exception, match="did not sign"):
        post()
    digest = network.domain.digest(job.struct_hash)
    network.send(1, "Lilypad", "approve", creator.address, digest, True)
    post()
    network.send(1, "Lilypad", "approve", creator.address, digest, False)
    assert solver.wait(creator, job, "refused").reason is not None
    network.send(1, "Lilypad", "approve", creator.address, digest, True)
    again = replace(job, nonce=network.nonce())
    network.send(1, "Lilypad", "approve", creator.address, network.domain.digest(again.struct_hash), True)
    solver.client(stranger).post_job_offer(again, b"", module, UNVERIFIED, document=DOCUMENT)
    solver.offer_resource(provider)
    solver.wait(creator, again, "opened")


def test_rival_first__pair_is_left_out_by_the_core__reason_is_kept_and_nothing_repeats(
    own_network: Network, start_solver: Start
) -> None:
    """flt:F22: the creator cancels in the same block, before the batch."""
    network = own_network
    creator, provider = people(network, 1, 2)
    solver = start_solver(on=network)
    network.rpc.request("evm_setAutomine", False)
    network.rpc.request("evm_setIntervalMining", 0)
    solver.offer_resource(provider)
    bad, good = solver.offer_job(creator), solver.offer_job(creator)
    eventually(lambda: len(solver.service.openings.in_flight) == 2)
    eventually(lambda: int(network.rpc.request("txpool_status")["pending"], 16) >= len(solver.service.openings))
    core = network.contracts.core
    cancel = {"from": creator.address, "to": core.address, "maxPriorityFeePerGas": hex(50 * 10**9),
              "maxFeePerGas": hex(200 * 10**9), "gas": hex(200_000),
              "data": "0x" + core.encode("cancel", creator.address, False, [bad.nonce]).hex()}  # fmt: skip
    network.rpc.request("eth_sendTransaction", cancel)
    network.rpc.request("anvil_mine", "0x1")
    network.rpc.request("evm_setIntervalMining", 1)
    assert solver.wait(creator, good, "opened").deal_id is not None
    view = solver.wait(creator, bad, "cancelled")
    assert view.reason is not None and view.reason["error"] == "OfferCancelled"
    outcomes = {match["job"]: match["outcome"] for match in solver.request("GET", "/v1/matches").json()["items"]}
    assert outcomes["0x" + bad.struct_hash.hex()].startswith("OfferCancelled(")
    assert outcomes["0x" + good.struct_hash.hex()] == "opened"


def test_reorganisation__undoes_the_opening__job_is_opened_again(own_network: Network, start_solver: Start) -> None:
    """flt:F15 flt:F17"""
    network = own_network
    creator, provider = people(network, 1, 2)
    solver = start_solver(on=network)
    solver.offer_resource(provider)
    snapshot = network.rpc.request("evm_snapshot")
    job = solver.offer_job(creator)
    first = solver.wait(creator, job, "opened")
    network.rpc.request("evm_revert", snapshot)
    network.rpc.request("anvil_mine", "0x1")
    eventually(lambda: network.contracts.core.call("dealOf", first.deal_id)[0] == int(Status.AGREED))
    eventually(lambda: len(solver.context.deals.of_job_offer(job.struct_hash)) == 1)
    assert solver.wait(creator, job, "opened").deal_id == first.deal_id


# ---- restarts


def test_restart__same_folder__goes_on_with_open_offers(
    network: Network, tmp_path: Path, creator: LocalSigner, provider: LocalSigner, start_solver: Start
) -> None:
    """beh:I16 beh:J1"""
    first = open_solver(network, tmp_path / "again").start()
    job = first.offer_job(creator)
    first.stop()
    second = start_solver("again")
    assert second.client(creator).offer(job.struct_hash).state == "open"
    second.offer_resource(provider)
    second.wait(creator, job, "opened")


def test_restart__database_deleted__deals_come_back_from_the_chain_and_offers_from_their_signers(
    network: Network, tmp_path: Path, creator: LocalSigner, provider: LocalSigner, start_solver: Start
) -> None:
    """beh:I16 beh:J1 flt:F28"""
    module = network.module()
    first = open_solver(network, tmp_path / "lost").start()
    first.offer_resource(provider)
    job = first.offer_job(creator, module)
    deal_id = first.wait(creator, job, "opened").deal_id
    waiting = first.offer_job(creator, module, cpu_milli=4_001)
    first.stop()
    for path in (tmp_path / "lost").glob("agent.sqlite*"):
        path.unlink()
    second = start_solver("lost")
    assert deal_id is not None
    assert second.client(creator).deal(deal_id).state.status is Status.AGREED
    second.post_job(creator, job, module)
    assert second.client(creator).offer(job.struct_hash).deal_id == deal_id
    assert second.post_job(creator, waiting, module) == waiting.struct_hash
    assert second.client(creator).offer(waiting.struct_hash).state == "open"


def test_restart__killed_with_a_batch_that_was_never_sent__it_goes_out_once(
    network: Network, tmp_path: Path, creator: LocalSigner, provider: LocalSigner, start_solver: Start
) -> None:
    """flt:F1 beh:J2"""
    module = network.module()
    first = open_solver(network, tmp_path / "killed")
    first.server.start()
    first.loop.cycle()
    first.offer_resource(provider)
    job = first.offer_job(creator, module)
    pump = first.context.outbox.pump
    first.context.outbox.pump = lambda: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.loop.cycle()
    assert pump is not None and first.client(creator).offer(job.struct_hash).state == "opening"
    first.stop()
    second = start_solver("killed")
    assert second.wait(creator, job, "opened").deal_id is not None
    assert len(second.context.deals.of_job_offer(job.struct_hash)) == 1


def test_stop__asked_while_streams_are_open__ends_within_its_time(
    network: Network, tmp_path: Path, creator: LocalSigner
) -> None:
    """flt:F3"""
    solver = open_solver(network, tmp_path / "stop").start()
    stream = solver.client(creator).events()
    assert next(stream).type == "hello"
    started = time.monotonic()
    solver.stop()
    assert time.monotonic() - started < 8
    stream.close()


def test_chain_away__solver_is_not_ready_answers_busy_and_goes_on_later(
    own_network: Network, start_solver: Start
) -> None:
    """flt:F6 flt:F7 beh:J7 beh:L11"""
    network = own_network
    creator, provider = people(network, 1, 2)
    solver = start_solver(on=network)
    solver.offer_resource(provider)
    os.kill(network.chain.pid, signals.SIGSTOP)
    try:
        eventually(lambda: not solver.client(None).info().ready, 30)
        assert "chain" in solver.context.health.against()
    finally:
        os.kill(network.chain.pid, signals.SIGCONT)
    eventually(lambda: solver.client(None).info().ready, 15)
    job = solver.offer_job(creator)
    solver.wait(creator, job, "opened")


def test_two_copies__same_folder_or_key__second_refuses(network: Network, tmp_path: Path) -> None:
    """flt:F4"""
    first = open_solver(network, tmp_path / "one", state=tmp_path / "state")
    try:
        with pytest.raises(AlreadyRunning, match=r"folder"):
            open_solver(network, tmp_path / "one", state=tmp_path / "state")
        with pytest.raises(AlreadyRunning, match=r"key"):
            open_solver(network, tmp_path / "two", state=tmp_path / "state")
    finally:
        first.stop()
    assert signer(5).address == first.context.address
