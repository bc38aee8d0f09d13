"""docs/protocol.md against the code: life-cycle table, parameters, gas figures, sections."""

from __future__ import annotations

import json
import re

import pytest

from lilypad_agents.chain.deployment_plan import PRESETS
from lilypad_agents.protocol.lifecycle import FINAL, TRANSITIONS, Clock, Status, Transition
from tests.docs.markdown import DOCS, ROOT, abi_names, section, table

PROTOCOL = (DOCS / "protocol.md").read_text(encoding="utf-8")
ROWS = table(section(PROTOCOL, "## 4. Life of a deal"))
# What each clock is counted from; `judge deadline` includes its own fresh start after a found delivery.
EVENT_OF = {
    Status.AGREED: {"DealOpened"},
    Status.RESULTS_SUBMITTED: {"ResultSubmitted", "DeliveryConfirmed"},
    Status.IN_MEDIATION: {"DisputeOpened"},
    Status.ACCEPTED: {"DealAccepted"},
    Status.MEDIATION_ACCEPTED: {"DealMediationAccepted"},
    Status.MEDIATION_REJECTED: {"DealMediationRejected"},
    Status.NO_FAULT: {"DealNoFault"},
    Status.TIMED_OUT: {"DealTimedOut"},
    Status.DECLINED: {"DealDeclined"},
    Status.CLOSED_BY_AGREEMENT: {"DealClosed"},
}


def status_named(name: str) -> Status:
    """`ResultsSubmitted` as its status."""
    return Status[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()]


def clock(text: str) -> str:
    return "" if text == "-" else Clock(text).value


def row_of(row: dict[str, str]) -> tuple[str, ...]:
    lottery = "" if row["lottery"] == "-" else row["lottery"]
    return (
        status_named(row["from"]).name, row["call"], row["who"], clock(row["after"]), clock(row["until"]), lottery,
        status_named(row["to"]).name,
    )  # fmt: skip


def row_in_code(edge: Transition) -> tuple[str, ...]:
    after = edge.after.value if edge.after else ""
    until = edge.until.value if edge.until else ""
    return (edge.start.name, edge.call, edge.actor.value, after, until, edge.needs, edge.to.name)


def test_read_table__every_row__is_an_edge_of_the_code_with_caller_and_deadlines() -> None:
    """inv:I3"""
    assert {row_of(row) for row in ROWS} - {row_in_code(edge) for edge in TRANSITIONS} == set()


def test_read_code__every_edge__is_a_row_of_the_table() -> None:
    """inv:I3"""
    assert {row_in_code(edge) for edge in TRANSITIONS} - {row_of(row) for row in ROWS} == set()


def test_read_table__rows__are_not_doubled_and_none_leaves_a_final_state() -> None:
    assert len({row_of(row) for row in ROWS}) == len(ROWS) == len(TRANSITIONS)
    assert [row for row in ROWS if status_named(row["from"]) in FINAL] == []


def test_read_table__every_status__can_be_reached() -> None:
    assert {status_named(row["to"]) for row in ROWS} == set(Status) - {Status.NONE}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['from']}-{row['call']}")
def test_read_table__event_and_call__exist_in_the_contracts(row: dict[str, str]) -> None:
    core = ("Lilypad", "LilypadResolver")
    assert row["event"] in abi_names("event", *core)
    assert row["event"] in EVENT_OF[status_named(row["to"])]
    assert row["call"].split()[0] in abi_names("function", *core)
    assert row["money"]


def test_read_parameters__every_preset__is_as_in_the_deployment_plan() -> None:
    rows = {row["parameter"]: row for row in table(section(PROTOCOL, "## 15. Parameters"))}
    without_number = {"preset", "tokenRecipient", "salt"}
    for name, parameters in PRESETS.items():
        expected = {key: str(value).lower() for key, value in parameters.as_json().items() if key not in without_number}
        assert {key: row[name] for key, row in rows.items()} == expected


def test_read_gas_table__every_figure__is_within_one_per_cent_of_the_measured_one() -> None:
    """A number in the docs comes from a committed benchmark file."""
    figures = json.loads((ROOT / "bench" / "results" / "gas.json").read_text())
    rows = table(section(PROTOCOL, "## 14. Budget"))
    assert {row["key"] for row in rows} == set(figures["targets"])
    for row in rows:
        written, measured = int(row["measured"].replace(",", "")), figures[row["key"]]
        assert abs(written - measured) * 100 <= measured, f"{row['key']}: docs say {written}, measured is {measured}"
        assert int(row["target"].replace(",", "")) == figures["targets"][row["key"]]


@pytest.mark.parametrize("key", ["three_tx", "mediated_extra_panel3", "audit_extra"])
def test_readme__gas_above_target__is_told_in_thousands_as_measured(key: str) -> None:
    figures = json.loads((ROOT / "bench" / "results" / "gas.json").read_text())
    told = section((ROOT / "README.md").read_text(encoding="utf-8"), "## What does not work yet")
    assert f"{round(figures[key], -3):,}" in told
    assert f"{figures['targets'][key]:,}" in told


def test_read_sections__numbers__are_one_to_fifteen_in_order() -> None:
    """Docstrings and error messages point at them."""
    assert re.findall(r"^## (\d+)\. ", PROTOCOL, re.MULTILINE) == [str(number) for number in range(1, 16)]


def test_read_references__of_docstrings_to_sections__all_exist() -> None:
    numbers = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", PROTOCOL, re.MULTILINE))
    pattern = re.compile(r"[Pp]rotocol(?:\.md)?,? (?:sections? )?(\d+\.\d+|\d+)\b")
    wrong = []
    for path in (*ROOT.glob("lilypad_agents/**/*.py"), *ROOT.glob("contracts/**/*.sol")):
        if ".cache" in path.parts:
            continue
        for number in pattern.findall(path.read_text(encoding="utf-8")):
            if number not in numbers:
                wrong.append(f"{path.relative_to(ROOT)}: {number}")
    assert wrong == []
