"""Every step at its last second and one later, or one early and at its first: with the figures that the refusal names.

beh:C5 beh:C8 beh:D20 beh:E1 inv:I26 inv:T8

`test_life_cycle` walks the same borders for every caller and state; here each stands by itself.
"""

from __future__ import annotations

import pytest

from lilypad_agents.protocol.lifecycle import Status
from tests.support.deal_model import Seed
from tests.support.evm import expect_revert
from tests.support.scene import STAGES, Scene, Stage

# State, call, caller, and its last second, counted from the deal's deadline.
LAST = (
    ("agreed", "submitResult", "provider", "deadline"),
    ("agreed", "submitSigned", "stranger", "deadline"),
    ("agreed", "submitAndSettle", "provider", "deadline"),
    ("agreed", "decline", "provider", "quarter of the submit window"),
    ("agreed", "close", "stranger", "deadline"),
    ("submitted, pending", "challenge", "stranger", "deadline"),
    ("submitted, pending", "challengeDelivery", "creator", "deadline"),
    ("submitted, pending", "close", "stranger", "reveal window"),
    ("submitted, spared", "settle", "stranger", "reveal window"),
    ("submitted, pending", "settle waived", "stranger", "reveal window"),
    ("submitted, drawn", "audit", "stranger", "mediation limit"),
    ("submitted, lost", "audit", "stranger", "mediation limit"),
    ("challenged", "resolve Wrong", "strategy", "deadline"),
    ("audited", "resolve NoFault", "strategy", "deadline"),
)
# State, call, caller, and the last second at which it is refused with this error.
FIRST = (
    ("agreed", "timeoutSubmit", "stranger", "deadline", "DeadlineAhead"),
    ("submitted, spared", "settle", "stranger", "deadline", "AgreementMissing"),
    ("submitted, spared", "timeoutReveal", "stranger", "reveal window", "DeadlineAhead"),
    ("submitted, drawn", "timeoutMediation", "stranger", "mediation limit", "DeadlineAhead"),
    ("challenged", "timeoutMediation", "stranger", "deadline", "DeadlineAhead"),
)


def _moment(scene: Scene, name: str) -> int:
    """Unix seconds, from protocol section 4."""
    deadline, parameters = scene.state.deadline, scene.world.parameters
    return {
        "deadline": deadline,
        "quarter of the submit window": deadline - scene.deal.submit_window + scene.deal.submit_window // 4,
        "reveal window": deadline + parameters.reveal_window,
        "mediation limit": deadline + parameters.mediation_limit,
    }[name]


@pytest.mark.parametrize("state, call, actor, moment", LAST)
def test_step__at_its_last_second__is_taken_and_one_later_refused(stage: Stage, state: str, call: str, actor: str, moment: str) -> None:
    scene = STAGES[state](stage)
    last = _moment(scene, moment)
    checkpoint = scene.world.evm.checkpoint()
    scene.at(last + 1)
    with expect_revert("DeadlinePassed", dealId=scene.id, deadline=last, time=last + 1):
        scene.send(call, actor)
    scene.world.evm.rollback(checkpoint)
    scene.at(last).do(call, actor)


@pytest.mark.parametrize("state, call, actor, moment, error", FIRST)
def test_step__at_the_second_before_its_first__is_refused_and_then_taken(
    stage: Stage, state: str, call: str, actor: str, moment: str, error: str
) -> None:
    scene = STAGES[state](stage)
    before = _moment(scene, moment)
    scene.at(before)
    figures = {"deadline": before, "time": before} if error == "DeadlineAhead" else {"judgeDeadline": before}
    with expect_revert(error, dealId=scene.id, **figures):
        scene.send(call, actor)
    scene.at(before + 1).do(call, actor)


@pytest.mark.parametrize("state", ["agreed", "agreed, unverified"])
def test_submit_window__is_counted_from_the_opening__and_the_judge_window_from_the_result(stage: Stage, state: str) -> None:
    scene = STAGES[state](stage)
    assert scene.state.deadline == scene.now + scene.deal.submit_window
    scene.at(scene.now + 13).do("submitResult", "provider")
    assert (scene.state.status, scene.state.deadline) == (Status.RESULTS_SUBMITTED, scene.now + scene.deal.judge_window)


def test_timeout_reveal__while_the_seed_is_pending__waits_for_it(stage: Stage) -> None:
    """inv:I12: nobody may end a deal past the lottery, however late it is."""
    scene = STAGES["submitted, pending"](stage)
    scene.at(_moment(scene, "reveal window") + 1)
    with expect_revert("SeedPending", dealId=scene.id, period=scene.state.period + 1):
        scene.send("timeoutReveal", "stranger")
    scene.seed(Seed.SPARED).do("timeoutReveal")


@pytest.mark.parametrize("state, error", [("submitted, spared", "DealNotDrawn"), ("submitted, pending", "SeedPending")])
def test_timeout_mediation__of_a_deal_that_was_not_drawn__is_refused_however_late(stage: Stage, state: str, error: str) -> None:
    """beh:D20 inv:I12: without a draw there was no mediation to wait for."""
    scene = STAGES[state](stage)
    scene.at(_moment(scene, "mediation limit") + 1)
    with expect_revert(error, dealId=scene.id):
        scene.send("timeoutMediation", "stranger")
