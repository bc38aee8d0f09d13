"""The parts of a soak that judge: what counts as a violation, as growth, as a failure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.soak.memory import WARM_UP_S, Sample, growth_per_hour
from bench.soak.report import failures
from bench.soak.watch import TARGETS, Books, moved
from lilypad_agents.devnet.agents import AgentSpec
from lilypad_agents.devnet.cheater import lies_about
from lilypad_agents.protocol.ids import DealId
from lilypad_agents.protocol.lifecycle import FINAL, Status

BOOKS = Books(owned=90, waiting=10, held=100, balance=100, staked=40, staking_credit=40)
GOOD: dict[str, Any] = {
    "long_enough": True,
    "violations": {"count": 0},
    "blocks": {"first": 5, "last": 9, "checked": 5},
    "deals": {"stuck": []},
    "left": {"locked": {}, "open_seats": 0, "orphans": []},
    "faults": {"restarts_failed": []},
    "creators": {"unexpected": []},
    "memory": {"solver": {"growth_percent_per_hour": 9.9, "judged": True}, "chain": {"growth_percent_per_hour": 80.0, "judged": False}},
}


def test_books__that_add_up__have_no_problem() -> None:
    """inv:I1"""
    assert BOOKS.problems() == []
    assert replace(BOOKS, balance=101).problems() == []  # a gift to the core is nobody's, and no violation


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"owned": 91}, "accounts 91 + waiting 10 != held 100"),
        ({"waiting": 9}, "accounts 90 + waiting 9 != held 100"),
        ({"balance": 99}, "held 100 > tokens of the core 99"),
        ({"staking_credit": 39}, "staked 40 > credit of the staking contract 39"),
    ],
)
def test_books__one_unit_off__are_a_violation(changes: dict[str, int], problem: str) -> None:
    assert replace(BOOKS, **changes).problems() == [problem]


def test_moved__along_the_table__is_legal_and_anything_out_of_a_final_state_is_not() -> None:
    """beh:L18 inv:I4"""
    assert moved(Status.NONE, "DealOpened") == (Status.AGREED, "")
    assert moved(Status.AGREED, "DealAccepted") == (Status.ACCEPTED, "")  # submitted and waived in one call
    assert moved(Status.IN_MEDIATION, "DeliveryConfirmed") == (Status.RESULTS_SUBMITTED, "")
    for status in FINAL:
        for event in TARGETS:
            assert moved(status, event)[1] == f"{event} of a deal that was {status.name}"
    assert moved(Status.NONE, "DealAccepted")[1] and moved(Status.AGREED, "DisputeOpened")[1]


def _line(pid: int, start: float, seconds: int, mib: float, per_hour: float) -> list[Sample]:
    return [Sample(start + at, pid, mib + per_hour * at / 3600) for at in range(0, seconds, 10)]


def test_growth__of_a_line__is_its_slope_over_its_mean() -> None:
    samples = _line(1, 0, 1800, 100, 20)
    assert growth_per_hour(samples, 900) == pytest.approx(100 * 20 / (100 + 20 * (900 + 1790) / 2 / 3600))
    assert growth_per_hour(_line(1, 0, 1800, 100, 0), 900) == 0


def test_growth__of_a_process_that_was_restarted__counts_neither_the_step_nor_its_warm_up() -> None:
    """A restart is no growth and hides none."""
    first = _line(1, 0, 1200, 100, 0)
    warm = [Sample(1200 + at, 2, 40 + at / 2) for at in range(0, int(WARM_UP_S), 10)]
    second = [Sample(1200 + WARM_UP_S + at, 2, 100.0) for at in range(0, 480, 10)]
    assert growth_per_hour([*first, *warm, *second], 900) == pytest.approx(0)
    growing = [Sample(sample.time, 2, 100 + (sample.time - 1320) / 36) for sample in second]
    found = growth_per_hour([*first, *warm, *growing], 900)
    assert found is not None and found > 50


def test_growth__with_too_few_samples__is_unknown() -> None:
    assert growth_per_hour(_line(1, 0, 1000, 100, 0), 900) is None
    assert growth_per_hour([], 0) is None


def test_failures__of_a_good_report__are_none() -> None:
    assert failures(GOOD) == []


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("violations", {"count": 1}),
        ("blocks", {"first": 5, "last": 9, "checked": 4}),
        ("deals", {"stuck": ["0x01 AGREED"]}),
        ("left", {"locked": {"creator": "1"}, "open_seats": 0, "orphans": []}),
        ("left", {"locked": {}, "open_seats": 1, "orphans": []}),
        ("left", {"locked": {}, "open_seats": 0, "orphans": ["a program"]}),
        ("faults", {"restarts_failed": ["solver"]}),
        ("creators", {"unexpected": ["KeyError"]}),
        ("memory", {"solver": {"growth_percent_per_hour": 10.1, "judged": True}}),
        ("memory", {"solver": {"growth_percent_per_hour": None, "judged": True}}),
    ],
)
def test_failures__each_kind__is_told(part: str, value: Any) -> None:
    assert len(failures({**GOOD, part: value})) == 1


def test_lies__about_some_deals__follow_from_their_ids_alone() -> None:
    deals = [DealId(number.to_bytes(32, "big")) for number in range(1_000)]
    assert sum(lies_about(deal, 30) for deal in deals) == 300
    assert not any(lies_about(deal, 0) for deal in deals) and all(lies_about(deal, 100) for deal in deals)


def test_spec__of_another_agent__passes_its_arguments_on() -> None:
    spec = AgentSpec("cheater", "provider", 6, {}, "lilypad_agents.devnet.cheater", ("30",))
    assert spec.command[-4:] == ["-m", "lilypad_agents.devnet.cheater", "settings.toml", "30"]
