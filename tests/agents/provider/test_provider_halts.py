"""No block comes for a while, by censorship or a halt: what half a window costs, and what two windows do."""

from __future__ import annotations

import pytest

from lilypad_agents.protocol.lifecycle import Status
from lilypad_agents.protocol.price import keeper_bounty, locked_total, penalty
from tests.agents.provider.harness import Stage
from tests.support.network import TOKEN

SUBMIT, JUDGE = 120, 40  # seconds


def halt(stage: Stage, seconds: int) -> None:
    """The block after the present one comes so much later, and none before it."""
    rpc = stage.network.rpc
    rpc.request("evm_setAutomine", False)
    rpc.request("evm_setIntervalMining", 0)
    rpc.request("evm_increaseTime", hex(seconds))
    rpc.request("anvil_mine", "0x1")
    rpc.request("evm_setAutomine", True)
    rpc.request("evm_setIntervalMining", 1)


@pytest.mark.parametrize("submitted", [False, True], ids=["before the result", "before the settlement"])
def test_halt__for_half_a_window__nobody_loses(own_stage: Stage, submitted: bool) -> None:
    """inv:T47 Agents act by 80 % of a window, so half of one leaves them time."""
    stage = own_stage
    network, fee = stage.network, stage.network.parameters.protocol_fee_bps
    before = network.free(stage.provider.address), network.free(stage.creator.address)
    deal_id, deal = stage.deal(submit_window=SUBMIT, judge_window=JUDGE)
    life = stage.start()
    if submitted:
        life.until(lambda: stage.status(deal_id) is Status.RESULTS_SUBMITTED and bool(stage.relay.of_kind(deal_id, "result")))
        stage.accept(deal_id)
        halt(stage, JUDGE // 2)
    else:
        halt(stage, SUBMIT // 2)
        life.until(lambda: bool(stage.relay.of_kind(deal_id, "result")))
        stage.accept(deal_id)
    life.until(stage.is_in(deal_id, Status.ACCEPTED))
    assert network.free(stage.provider.address) == before[0] + TOKEN
    assert network.free(stage.creator.address) == before[1] - TOKEN
    assert locked_total(deal, fee) == TOKEN


def test_halt__for_two_windows_before_the_result__ends_as_a_missed_deadline_does(own_stage: Stage) -> None:
    """inv:T47 The normal ending: refund and penalty, the bounty for whoever claims it, nothing stuck."""
    stage = own_stage
    network = stage.network
    before = network.free(stage.provider.address), network.free(stage.creator.address)
    deal_id, deal = stage.deal(submit_window=SUBMIT, judge_window=JUDGE)
    halt(stage, 2 * SUBMIT)
    stage.start().until(stage.is_in(deal_id, Status.TIMED_OUT))
    bounty = keeper_bounty(deal)
    assert network.free(stage.provider.address) == before[0] - penalty(deal) + bounty
    assert network.free(stage.creator.address) == before[1] + penalty(deal) - bounty
    assert int(network.contracts.core.call("accountOf", network.token, stage.provider.address)[1]) == 0


def test_halt__for_two_windows_after_the_result__silence_pays_or_the_deal_times_out(own_stage: Stage) -> None:
    """inv:T47 Two judge windows lie within judge and reveal window together: the provider is still in time."""
    stage = own_stage
    network = stage.network
    deal_id, _ = stage.deal(submit_window=SUBMIT, judge_window=JUDGE // 2)
    before = network.free(stage.provider.address)
    life = stage.start()
    life.until(stage.is_in(deal_id, Status.RESULTS_SUBMITTED))
    life.until(lambda: life.agent.actor.is_idle)
    halt(stage, JUDGE)
    life.until(stage.is_in(deal_id, Status.ACCEPTED))
    assert network.free(stage.provider.address) == before + 2 * TOKEN  # its price, and the collateral of as much
