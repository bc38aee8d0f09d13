"""Ways in which a participant could lose a bond, or hang, though it did its part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lilypad_agents.agents.seeds.agent import key_of
from lilypad_agents.agents.seeds.decide import COMMIT_GAS, REVEAL_GAS, Action
from lilypad_agents.chain.clock import read_moment
from lilypad_agents.chain.deployer import Deployment, RpcSender
from lilypad_agents.chain.deployment_plan import overridden, preset
from lilypad_agents.chain.deployments import AddressBook
from lilypad_agents.chain.outbox import Failed, Mined
from lilypad_agents.protocol.units import Period
from tests.agents.seeds.circle import BOND, PARAMETERS, Circle, Participant
from tests.support.chain import CHAIN
from tests.support.faultproxy import FaultProxy
from tests.support.network import DEPLOYER, signer

WATCHED_BLOCKS = 64  # below which the outbox no longer looks for a receipt


@contextmanager
def standing_pool(circle: Circle) -> Iterator[None]:
    """Transactions wait; only the test makes blocks."""
    circle.network.rpc.request("evm_setAutomine", False)
    try:
        yield
    finally:
        circle.network.rpc.request("evm_setAutomine", True)


def status(member: Participant, action: Action, period: int) -> Any:
    return member.context.outbox.status(key_of(action, Period(period)))  # type: ignore[union-attr]


def no_logs(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    if request["method"] != "eth_getLogs":
        return answer
    return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32_000, "message": "logs are not available"}}


# ---- nodes


def test_reveal__node_serves_no_events__is_sent_all_the_same(circle: Circle) -> None:
    """flt:F24 What is open is asked of the contract; neither own events nor the core's may keep it from that."""
    ann = circle.participant(start=False)
    period = circle.period + 1
    with FaultProxy(circle.network.rpc.config.urls[0]) as proxy:
        circle.start(ann, rpc=(proxy.url,))
        circle.until(lambda: circle.committed(period, ann))
        proxy.rewrite = no_logs
        circle.to(circle.rounds.reveal_start(period))
        for _ in range(4):
            ann.loop.guarded_cycle()  # type: ignore[union-attr]
        assert circle.counts(period) == (1, 1)
        assert "logs are not available" in ann.context.health.against()["events"]  # type: ignore[union-attr]
        assert len(ann.lines.named("events_unreadable")) == 1
        proxy.rewrite = None
        circle.to(circle.network.now() + 1)
        circle.turn()
        assert "events" not in ann.context.health.against()  # type: ignore[union-attr]


def test_reclaim__node_hid_the_commitment__is_known_from_the_last_look(circle: Circle) -> None:
    """flt:F24 An event that was swallowed once is not asked for again."""
    ann = circle.participant(start=False)
    period = circle.period + 1
    with FaultProxy(circle.network.rpc.config.urls[0]) as proxy:
        proxy.hide_logs = True
        circle.start(ann, rpc=(proxy.url,))
        circle.until(lambda: circle.committed(period, ann))
        circle.to(circle.network.now() + 1)
        circle.turn()
        circle.to(circle.rounds.reveal_end(period + 1) + 1)
        circle.until(lambda: not circle.committed(period, ann))


# ---- the chain


def test_reveal__taken_back_by_a_reorganisation_deeper_than_is_watched__is_sent_again(circle: Circle) -> None:
    """flt:F15 The window is still open, and where blocks come many a second sixty-four of them are a moment."""
    ann = circle.participant()
    period, rpc = circle.period + 1, circle.network.rpc
    circle.until(lambda: circle.committed(period, ann))
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (1, 1))
    circle.turn(2)
    rpc.request("anvil_mine", hex(WATCHED_BLOCKS + 2))
    circle.turn(2)
    mined = status(ann, Action.REVEAL, period).receipt.block.number
    rpc.request("anvil_reorg", read_moment(rpc).number - mined + 1, [])
    assert circle.counts(period) == (1, 0)
    circle.until(lambda: circle.counts(period) == (1, 1))


# ---- coin and gas


def test_reveal__commitment_in_flight_holds_the_coin__takes_it_back_and_reveals(circle: Circle) -> None:
    """flt:F23 Coin left the account by hand. The commitment can wait until its period begins, which is after the reveals."""
    ann = circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann))
    with standing_pool(circle):
        circle.to(circle.rounds.start(period))
        circle.turn(2)
        assert len(status(ann, Action.COMMIT, period + 1).hashes) == 1, "it is sent"
        circle.network.rpc.request("anvil_setBalance", ann.account, hex(BOND // 2))
        for second in range(0, 50, 10):
            circle.to(circle.rounds.reveal_start(period) + second)
            circle.turn(2)
        assert circle.counts(period) == (1, 1)
    assert [line["key"] for line in ann.lines.named("outbox_cancelling")] == [key_of(Action.COMMIT, Period(period + 1))]
    circle.until(lambda: circle.committed(period + 1, ann))  # out of the bond that came back


def test_reveal__estimated_before_a_commitment_that_is_mined_first__has_gas_enough(circle: Circle) -> None:
    """flt:F22 Base fees rise while both wait; the commitment takes all of the free bond but a wei, and without any the reveal would be dearer."""
    ann = circle.participant()
    period, rpc = circle.period + 1, circle.network.rpc
    circle.network.sender(ann.index).send(circle.source.address, circle.source.encode("deposit"), 2 * BOND)
    circle.until(lambda: circle.committed(period, ann))
    with standing_pool(circle):
        circle.to(circle.rounds.start(period))
        circle.turn(2)
        rpc.request("anvil_setNextBlockBaseFeePerGas", hex(10**10))
        circle.to(circle.rounds.reveal_start(period))
        assert circle.free(ann) == BOND, "the commitment is in flight"
        circle.turn(2)
        circle.to(circle.rounds.reveal_start(period) + 1)
        circle.turn()
    assert isinstance(status(ann, Action.COMMIT, period + 1), Mined)
    assert isinstance(status(ann, Action.REVEAL, period), Mined)


def test_reveal__coin_for_the_fee_but_not_for_a_margin__leaves_before_the_window_ends(circle: Circle) -> None:
    """flt:F23 The outbox bids twice the base fee; with less than that the bond would be lost, with coin enough for the block."""
    ann = circle.participant()
    period, rpc = circle.period + 1, circle.network.rpc
    circle.until(lambda: circle.committed(period, ann))
    circle.to(circle.rounds.start(period))
    circle.turn(2)
    base_fee = 10**10
    for second in (circle.rounds.reveal_start(period), circle.rounds.reveal_end(period) - 30):
        rpc.request("anvil_setBalance", ann.account, hex(REVEAL_GAS * base_fee * 3 // 2))
        rpc.request("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
        circle.to(second)
        circle.turn(2)
    assert circle.counts(period) == (1, 1)


@pytest.mark.parametrize(("action", "planned"), [(Action.COMMIT, COMMIT_GAS), (Action.REVEAL, REVEAL_GAS)])
def test_gas__first_one_of_a_period__is_within_what_coin_is_kept_for(circle: Circle, action: Action, planned: int) -> None:
    ann = circle.participant()
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann))
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (1, 1))
    sql = "SELECT t.gas FROM outbox_attempt t JOIN outbox_action a ON t.action = a.id WHERE a.key = ?"
    (row,) = ann.context.database.query(sql, (key_of(action, Period(period)),))  # type: ignore[union-attr]
    assert planned * 95 // 100 <= row["gas"] <= planned


# ---- leaving


def test_leave__commitment_of_the_last_life_failed_and_the_chain_stands_still__ends(circle: Circle) -> None:
    """beh:J26 Nothing is open and nothing is tried again, so no pause has to end first."""
    ann = circle.participant(start=False)
    with standing_pool(circle):
        circle.start(ann)
        circle.turn(2)
        circle.to(circle.rounds.start(circle.period + 1))  # mined a period late
    ann.end()
    circle.start(ann, leave=True)
    circle.turn(3)
    assert isinstance(status(ann, Action.COMMIT, circle.period + 1), Failed)
    assert ann.loop.stopping  # type: ignore[union-attr]


def test_leave__commitment_in_flight__is_taken_back(circle: Circle) -> None:
    """beh:J26 Were it mined, it would have to be revealed a period later."""
    ann = circle.participant(start=False)
    with standing_pool(circle):
        circle.start(ann)
        circle.turn(2)
        ann.end()
        circle.start(ann, leave=True)
        circle.turn(2)
        circle.to(circle.network.now() + 1)
        circle.turn(2)
    assert not circle.committed(circle.period + 1, ann)
    assert ann.loop.stopping  # type: ignore[union-attr]


def test_leave__confirmations_are_set__waits_until_the_reveal_lies_as_deep(circle: Circle) -> None:
    """flt:F15 beh:J26 A reveal that is taken back after the participant has left would be nobody's to send again."""
    ann = circle.participant()
    period, rpc = circle.period + 1, circle.network.rpc
    circle.until(lambda: circle.committed(period, ann))
    ann.end()
    circle.start(ann, leave=True, confirmations=2)
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (1, 1))
    rpc.request("evm_mine")
    circle.turn(3)
    assert not ann.loop.stopping  # type: ignore[union-attr]
    rpc.request("evm_mine")
    circle.turn(3)
    assert ann.loop.stopping  # type: ignore[union-attr]


# ---- another deployment


def test_reveal__another_core_with_the_same_source__knows_its_commitments(circle: Circle) -> None:
    """flt:F28 Addresses follow code and parameters: deployments that differ in the core alone share their source."""
    network, folder = circle.network, circle.folder / "second"
    folder.mkdir()
    wanted = overridden(preset("devnet"), {**PARAMETERS, "protocolFeeBps": "200"})
    Deployment(network.rpc, RpcSender(network.rpc, signer(DEPLOYER), CHAIN), wanted, folder / "book.json").run()
    second = AddressBook.load(folder / "book.json")
    assert second.address("CommitRevealRandomness") == circle.source.address
    assert second.address("Lilypad") != network.book.address("Lilypad")
    ann = circle.participant()
    period = network.now() // circle.rounds.period_s + 1
    circle.until(lambda: circle.committed(period, ann))
    ann.end()
    circle.start(ann, address_book=folder / "book.json")
    circle.to(circle.rounds.reveal_start(period))
    circle.turn(2)
    assert circle.counts(period) == (1, 1)


def test_losses__as_many_as_it_may_have__commits_to_nothing_more_and_says_why(circle: Circle) -> None:
    """beh:J26 Also in its next life: the losses stand on the chain."""
    ann, ben = circle.participant(), circle.participant(most_lost=1)
    period = circle.period + 1
    circle.until(lambda: circle.committed(period, ann, ben))
    ben.end()
    circle.to(circle.rounds.reveal_start(period))
    circle.until(lambda: circle.counts(period) == (2, 1))
    circle.to(circle.rounds.reveal_end(period) + 1)
    for _ in range(2):
        circle.start(ben, most_lost=1)
        circle.until(lambda: "losses" in ben.context.health.against())  # type: ignore[union-attr]
        circle.until(lambda: circle.committed(period + 1, ann))
        assert not circle.committed(period + 1, ben)
        ben.end()
    circle.start(ben, most_lost=2)
    circle.until(lambda: circle.committed(period + 1, ben))
