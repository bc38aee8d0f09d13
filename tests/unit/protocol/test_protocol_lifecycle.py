"""The table of protocol section 4."""

from __future__ import annotations

import re
from pathlib import Path

from lilypad_agents.protocol.lifecycle import FINAL, LEGAL, PAID, REFUNDED, TRANSITIONS, Actor, Clock, Status
from lilypad_agents.protocol.lifecycle import Agreement, DisputeKind, Step, Term, Verdict

CONTRACTS = Path(__file__).resolve().parents[3] / "contracts"


def solidity_enum(file: str, name: str) -> list[str]:
    text = re.sub(r"//[^\n]*", "", (CONTRACTS / file).read_text(encoding="utf-8"))
    body = re.search(rf"enum {name} \{{(.*?)\}}", text, re.DOTALL)
    assert body is not None
    return [entry.strip() for entry in body[1].split(",")]


def test_enums__in_python__are_those_of_the_contracts() -> None:
    for file, python in (
        ("types/DealWord.sol", Status),
        ("types/DealWord.sol", DisputeKind),
        ("types/Calls.sol", Verdict),
        ("types/Calls.sol", Agreement),
        ("types/Calls.sol", Step),
        ("types/Calls.sol", Term),
    ):
        names = [member.name.replace("_", "").lower() for member in python]
        assert names == [name.lower() for name in solidity_enum(file, python.__name__)]
        assert [int(member) for member in python] == list(range(len(names)))


def test_final_statuses__have_no_way_out_and_all_others_have() -> None:
    """inv:I4 in the reference."""
    assert {status for status in Status if not LEGAL[status]} == FINAL
    assert PAID | REFUNDED | {Status.CLOSED_BY_AGREEMENT} == FINAL
    assert all(status.is_final == (status in FINAL) for status in Status)


def test_legal_transitions__in_python__are_those_of_the_contract() -> None:
    """The table that LilypadStorage checks every write against, read from its source."""
    source = (CONTRACTS / "core" / "LilypadStorage.sol").read_text(encoding="utf-8")
    rows = {"AGREED": Status.NONE, "FROM_AGREED": Status.AGREED, "FROM_SUBMITTED": Status.RESULTS_SUBMITTED,
            "FROM_MEDIATION": Status.IN_MEDIATION}  # fmt: skip
    names = {status.name.replace("_", "").lower(): status for status in Status}
    for row, start in rows.items():
        definition = re.search(rf"constant {row} =(.*?);", source, re.DOTALL)
        assert definition is not None
        targets = {names[name.lower()] for name in re.findall(r"1 << uint256\(Status\.(\w+)\)", definition[1])}
        assert targets == LEGAL[start], row


def test_every_state__has_a_way_out_that_anyone_can_take_after_its_deadlines() -> None:
    """inv:I5 in the reference: time alone plus one call by anybody ends every state that is not final."""
    for status in (Status.AGREED, Status.RESULTS_SUBMITTED, Status.IN_MEDIATION):
        alone = [t for t in TRANSITIONS if t.start == status and t.actor == Actor.ANYONE and t.until is None]
        assert alone and all(t.to in FINAL and t.after is not None for t in alone), status
    # A submitted deal may be drawn or spared: there is a way out for both.
    needs = {t.needs for t in TRANSITIONS if t.start == Status.RESULTS_SUBMITTED and t.until is None}
    assert needs == {"spared", "drawn"}


def test_actions_and_timeouts__of_one_clock__never_overlap() -> None:
    """beh:E1 in the reference: where an action counts until a deadline, its timeout counts only after it."""
    assert {t.call for t in TRANSITIONS if t.until is None and t.after is None} == {"open"}
    for clock in (Clock.SUBMIT, Clock.MEDIATION):
        until = {t.call for t in TRANSITIONS if t.until == clock}
        after = {t.call for t in TRANSITIONS if t.after == clock}
        assert until and after and not until & after
