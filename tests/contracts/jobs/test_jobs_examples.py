"""The example contracts against the real LilypadJobs and core: what they ask, take, refuse and give back. beh:F12"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from lilypad_agents.content.cid import Cid
from lilypad_agents.content.importer import put_tree
from lilypad_agents.protocol.ids import keccak256
from lilypad_agents.protocol.requests import JobOutcome, JobRequest
from tests.support.evm import Contract, expect_revert
from tests.support.outputs import Blocks, follow
from tests.support.requests import COIN, Requests, fund


def values(request: JobRequest) -> dict[str, Any]:
    document = json.loads(request.inputs)
    assert document["module"] == "0x" + request.terms.module.hex()
    return document["values"]


def give_tokens(desk: Requests, account: Any, spender: Contract, amount: int = 1_000 * COIN) -> None:
    desk.world.token.mint(account, amount)
    desk.world.token.approve(spender, amount, sender=account)


def failed(desk: Requests, request: JobRequest) -> None:
    desk.jobs.deliverFailure(desk.late(request).words)


# ---- a feed


@pytest.fixture
def feed(desk: Requests) -> Contract:
    feed = desk.world.evm.deploy("PriceFeed", desk.jobs, desk.terms(), 600)
    fund(desk.world, feed, 100_000 * COIN)
    return feed


def test_feed__takes_rounds_in_order_and_tells_their_age(desk: Requests, feed: Contract) -> None:
    world = desk.world
    first = desk.requested(feed.update())
    with expect_revert("TooEarly"):
        feed.update()
    world.pass_to(world.evm.timestamp + 600)
    second = desk.requested(feed.update(sender=world.keeper))
    assert (values(first), values(second)) == ({"round": 1}, {"round": 2})
    asked = world.evm.timestamp
    desk.deliver(*desk.paid(second, b"4200000000000000000\n"), b"4200000000000000000\n")
    assert feed.read() == (4_200_000_000_000_000_000, world.evm.timestamp - asked)


def test_feed__an_older_round_that_comes_later__changes_nothing(desk: Requests, feed: Contract) -> None:
    """The first round was paid for before the second, and is brought after it."""
    first = desk.paid(desk.requested(feed.update()), b"1")
    desk.world.pass_to(feed.nextAt())
    second = desk.paid(desk.requested(feed.update()), b"2")
    desk.deliver(*second, b"2")
    receipt = desk.deliver(*first, b"1")
    assert receipt.event("RoundAnswered") == {"round": 1, "value": 1} and feed.read()[0] == 2


def test_feed__a_round_that_nobody_served__fails_and_the_next_one_comes(desk: Requests, feed: Contract) -> None:
    before = desk.world.free(feed)
    failed(desk, desk.requested(feed.update()))
    assert desk.world.free(feed) > before
    desk.world.pass_to(max(feed.nextAt(), desk.world.evm.timestamp))
    desk.deliver(*desk.paid(desk.requested(feed.update()), b"7"), b"7")
    assert feed.read()[0] == 7


@pytest.mark.parametrize("text", [b"", b"\n", b"12a", b"-5", b"1 2", b"9" * 39, "٣".encode()])
def test_feed__output_that_is_no_number__fails_the_round_only(desk: Requests, feed: Contract, text: bytes) -> None:
    request = desk.requested(feed.update())
    receipt = desk.deliver(*desk.paid(request, text), text)
    assert receipt.value is True and receipt.event("RoundFailed") == {"round": 1} and feed.read()[0] == 0


# ---- a raffle


@pytest.fixture
def raffle(desk: Requests) -> Contract:
    world = desk.world
    raffle = world.evm.deploy("Raffle", desk.jobs, desk.terms(max_price=20 * COIN), COIN, world.evm.timestamp + 100)
    for person in (world.creator, world.solver, world.publisher):
        give_tokens(desk, person, raffle)
        raffle.buy(sender=person)
    give_tokens(desk, world.keeper, raffle, 40 * COIN)
    return raffle


def drawing(desk: Requests, raffle: Contract) -> JobRequest:
    world = desk.world
    world.pass_to(world.evm.timestamp + 101)
    raffle.close()
    with expect_revert("SeedPending"):
        raffle.draw(sender=world.keeper)
    world.evm.mine(6)
    return desk.requested(raffle.draw(sender=world.keeper))


def test_raffle__draws_by_the_verified_output_and_pays_the_winner(desk: Requests, raffle: Contract) -> None:
    world = desk.world
    with expect_revert("SaleRuns"):
        raffle.close()
    request = drawing(desk, raffle)
    with expect_revert("SaleOver"):
        raffle.buy(sender=world.creator)
    assert values(request) == {"seed": "0x" + world.evm.block_hash(raffle.seedBlock()).hex()}
    deal, parts = desk.paid(request, b"digest of the chain\n")
    before = world.free(world.keeper)
    desk.deliver(deal, parts, b"digest of the chain\n")
    tickets = [world.creator, world.solver, world.publisher]
    winner = tickets[int.from_bytes(keccak256(b"digest of the chain\n"), "big") % 3]
    assert raffle.winner() == winner.address
    cost = 20 * COIN - (world.free(world.keeper) - before)
    assert 0 < cost < 20 * COIN and world.free(raffle) == world.locked(raffle) == 0
    loser = next(person for person in tickets if person is not winner)
    with expect_revert("NotTheWinner"):
        raffle.claim(sender=loser)
    has = world.token.balanceOf(winner)
    raffle.claim(sender=winner)
    assert world.token.balanceOf(winner) == has + 3 * COIN
    with expect_revert("NotTheWinner"):
        raffle.claim(sender=winner)


def test_raffle__a_run_that_fails__is_no_second_chance(desk: Requests, raffle: Contract) -> None:
    """The same seed again, and the money of the failed run with its compensation is the payer's."""
    world = desk.world
    request = drawing(desk, raffle)
    with expect_revert("RunUnderWay"):
        raffle.draw(sender=world.keeper)
    before = world.free(world.keeper)
    failed(desk, request)
    assert world.free(world.keeper) > before + 20 * COIN and raffle.winner() == "0x" + "00" * 20
    with expect_revert("SeedFixed"):
        raffle.close()
    world.evm.mine(300)  # the hash is out of reach for the chain, the raffle has kept it
    again = desk.requested(raffle.draw(sender=world.keeper))
    assert values(again) == values(request)
    desk.deliver(*desk.paid(again, b"x", exit_code=1), b"x")
    assert raffle.winner() == "0x" + "00" * 20


# ---- metadata


@pytest.fixture
def nft(desk: Requests) -> Contract:
    nft = desk.world.evm.deploy("ModuleNft", desk.jobs, desk.terms(max_price=20 * COIN))
    give_tokens(desk, desk.world.creator, nft)
    return nft


def test_nft__shows_what_the_module_made_and_nothing_before(desk: Requests, nft: Contract) -> None:
    world, text = desk.world, 'a "quoted" cow\n'
    request = desk.requested(nft.mint(text, sender=world.creator))
    assert values(request) == {"message": text} and nft.tokenURI(1) == "" and nft.ownerOf(1) == world.creator.address
    root = put_tree(Blocks(), {"metadata.json": b"{}"})
    desk.deliver(*desk.paid(request, None, outputs=root.digest), b"")
    assert nft.tokenURI(1) == f"ipfs://{root}/metadata.json"
    assert world.free(nft) == world.locked(nft) == 0
    with expect_revert("GeneratedOrRunning"):
        nft.retry(1, sender=world.creator)


def test_nft__a_failed_run__may_be_repeated_at_the_callers_expense(desk: Requests, nft: Contract) -> None:
    request = desk.requested(nft.mint("moo", sender=desk.world.creator))
    with expect_revert("GeneratedOrRunning"):
        nft.retry(1, sender=desk.world.creator)
    failed(desk, request)
    again = desk.requested(nft.retry(1, sender=desk.world.creator))
    assert again.inputs == request.inputs and again.id != request.id


@pytest.mark.parametrize("digest", [bytes(31) + b"\x01", b"\xff" * 32, hashlib.sha256(b"x").digest()])
def test_cid_text__is_what_ipfs_writes(desk: Requests, nft: Contract, digest: bytes) -> None:
    request = desk.requested(nft.mint("moo", sender=desk.world.creator))
    desk.deliver(*desk.paid(request, None, outputs=digest), b"")
    assert nft.tokenURI(1) == f"ipfs://{Cid.dag_pb(digest)}/metadata.json"


# ---- an analysis


@pytest.fixture
def dao(desk: Requests) -> Contract:
    world = desk.world
    members = [world.creator.address, world.solver.address, world.publisher.address]
    dao = world.evm.deploy("AnalysisDao", desk.jobs, desk.terms(), members)
    give_tokens(desk, world.keeper, dao)
    dao.fund(1_000 * COIN, sender=world.keeper)
    return dao


CID = "bafkrei" + "a" * 52


def test_dao__pays_for_what_its_members_voted_for_and_takes_files_by_proof(desk: Requests, dao: Contract) -> None:
    world = desk.world
    with expect_revert("NotAMember"):
        dao.propose("how many?", CID, COIN, sender=world.keeper)
    dao.propose("how many?", CID, 20 * COIN, sender=world.creator)
    dao.vote(0, sender=world.creator)
    with expect_revert("VotedBefore"):
        dao.vote(0, sender=world.creator)
    with expect_revert("VotesMissing", votes=1, members=3):
        dao.start(0)
    dao.vote(0, sender=world.solver)
    request = desk.requested(dao.start(0, sender=world.keeper))
    assert json.loads(request.inputs)["files"] == {"data": CID} and request.terms.max_price == 20 * COIN
    blocks = Blocks()
    root = put_tree(blocks, {"answer.json": b'{"rows":3}', "more": {"plot.svg": b"<svg/>"}}).digest
    path = [b"answer.json"]
    proof, _ = follow(blocks, root, path)
    with expect_revert("WrongStage"):
        dao.prove(0, proof, path, b'{"rows":3}')
    desk.deliver(*desk.paid(request, None, outputs=root), b"")
    with expect_revert("ContentMismatch"):
        dao.prove(0, proof, path, b'{"rows":4}')
    dao.prove(0, proof, path, b'{"rows":3}', sender=world.challenger)
    assert dao.fileOf(0, path) == b'{"rows":3}' and dao.fileOf(0, [b"other"]) == b""


def test_dao__a_run_that_fails__leaves_the_money_in_the_treasury(desk: Requests, dao: Contract) -> None:
    world, before = desk.world, desk.world.free(dao)
    dao.propose("how many?", CID, 20 * COIN, sender=world.creator)
    for member in (world.creator, world.publisher):
        dao.vote(0, sender=member)
    failed(desk, desk.requested(dao.start(0)))
    assert dao.proposalOf(0)[3] == JobOutcome.LATE and world.free(dao) > before
    with expect_revert("WrongStage"):
        dao.start(0)
