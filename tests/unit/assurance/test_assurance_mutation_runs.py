"""The runner of mutants: forks answer or die, a switched mutant goes wrong, one that is asked for leaves a trace.

inv:T1 (rung "Mutation").
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyrevm import EVM

from tests.assurance.mutation.__main__ import place_of
from tests.assurance.mutation.build import compile_units, errors_of
from tests.assurance.mutation.forks import Say, in_forks
from tests.assurance.mutation.killer import Killer, Record
from tests.assurance.mutation.mutants import SWITCH_SOURCE, SWITCH_UNIT, Mutant, schema
from tests.assurance.mutation.switch import Switch
from tests.support.evm import Evm

SOURCE = """// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;
contract C {
    fallback(bytes calldata) external returns (bytes memory) {
        uint256 a = 3 + 4;
        if (a > 7) revert();
        return abi.encode(a, msg.data);
    }
}
"""


def mutant(text: str, wrong: str, file: str = "C.sol", place: str = "C.fallback") -> Mutant:
    start = SOURCE.index(text)
    return Mutant(file, place, 5, start, start + len(text), "operator", wrong, f"{text} -> {wrong}")


def compiled() -> bytes:
    """The contract with mutant 5 (a sum that is a product), and 6 and 7 around it (a condition that is true; is false)."""
    mutants = [(5, mutant("3 + 4", "uint256(3) * 4")), (6, mutant("a > 7", "true")), (7, mutant("a > 7", "false"))]
    texts = {"contracts/C.sol": schema(SOURCE, mutants), SWITCH_UNIT: SWITCH_SOURCE}
    answer = compile_units(texts, {"contracts/C.sol": {"C": ["evm.bytecode.object"]}})
    assert not errors_of(answer)
    return bytes.fromhex(answer["contracts"]["contracts/C.sol"]["C"]["evm"]["bytecode"]["object"])


def called(evm: EVM, address: str) -> int | None:
    """What the contract answers, or None where it reverts."""
    try:
        return int.from_bytes(evm.message_call("0x" + "01" * 20, address, b"")[:32], "big")
    except RuntimeError:
        return None


def test_switch__makes_one_mutant_wrong_and_traces_all_that_are_asked_for() -> None:
    def work(code: bytes, say: Say) -> list[Any]:
        # In a fork, since a switch changes the EVMs of its process.
        switch, chain = Switch(Path("none")), Evm()
        evm = chain._evm
        address = evm.deploy("0x" + "01" * 20, code)
        answers = [called(evm, address)]
        for number in (1, 5, 6, 7):
            switch.turn_on(number)
            answers.append(called(evm, address))
        switch.trace()
        before = switch.traces()
        checkpoint = evm.snapshot()
        right = called(evm, address)
        evm.revert(checkpoint)
        return [answers, before, right, switch.traces()]

    ((_, answer, _),) = in_forks([compiled()], work, 1)
    assert answer == [[7, 7, None, None, 7], [], 7, [5, 6, 7]]


def test_forks__answer_by_return_or_by_say_or_die_without_a_word() -> None:
    def work(task: str, say: Say) -> Any:
        if task == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "says":
            say({"said": task})
        if task == "fails":
            raise ValueError(task)
        return ["long"] * 100_000 if task == "long" else task

    found = {task: answer for task, answer, _ in in_forks(["dies", "says", "fails", "long", "short"], work, 2)}
    assert found == {"dies": None, "says": {"said": "says"}, "fails": None, "long": ["long"] * 100_000, "short": "short"}


def test_forks__are_as_many_at_a_time_as_asked_for_and_take_tasks_late() -> None:
    first, second = os.pipe(), os.pipe()  # the first two tasks wait for each other: one at a time they would not end

    def work(task: int, say: Say) -> int:
        if task < 2:
            signal.alarm(60)
            os.write((first, second)[task][1], b"here")
            os.read((second, first)[task][0], 4)
        return task

    ended: list[int] = []
    under_way: list[int] = []

    def tasks() -> Any:
        for task in range(6):
            under_way.append(task - len(ended))
            yield task

    for task, answer, _ in in_forks(tasks(), work, 2):
        assert answer == task
        ended.append(task)
    assert sorted(ended) == list(range(6))
    assert under_way[:2] == [0, 1] and all(others < 2 for others in under_way)
    for end in (*first, *second):
        os.close(end)


def killer(records: dict[str, Record], kinds: dict[str, frozenset[str]]) -> Killer:
    made = Killer(None, [], Path("none"), jobs=1, budget=60, tell=lambda mutant, answer: None)  # type: ignore[arg-type]
    made._records, made._kinds = records, kinds
    return made


def test_plan__has_tests_that_reach_a_mutant__short_and_narrow_ones_and_known_killers_first() -> None:
    records = {
        "slow": Record("", "", 3.0, [1]),
        "broad": Record("", "", 2.0, [1, 2, 3]),
        "fast": Record("", "", 1.0, [1]),
        "fails": Record("", "AssertionError", 0.1, [1]),
        "elsewhere": Record("", "", 0.1, [2]),
    }
    made = killer(records, {name: frozenset() for name in records})
    at = mutant("3 + 4", "3 - 4")
    assert made._plan(1, at) == (["fast", "slow", "broad"], [])
    made._kills[at.place]["slow"] += 1
    assert made._plan(1, at) == (["slow", "fast", "broad"], [])
    assert made._plan(4, at) == ([], [])


def test_plan__has_the_tests_of_a_world_that_reaches_a_mutant_when_it_is_built() -> None:
    records = {
        "looked at": Record("", "", 1.0, [], [9]),
        "other of its world": Record("", "", 0.5, []),
        "of no world": Record("", "", 0.1, [], []),
    }
    made = killer(records, {"looked at": frozenset({"_world"}), "other of its world": frozenset({"_world"}), "of no world": frozenset()})
    assert made._plan(9, mutant("3 + 4", "3 - 4")) == ([], [["looked at", "other of its world"]])


def test_place__counts_the_same_change_in_one_function() -> None:
    first, second = mutant("3 + 4", "3 - 4"), mutant("a > 7", "true")
    same = replace(second, change=first.change, wrong="false")
    assert place_of([same, first, second]) == {
        first.key: (first.file, first.place, first.change, 1),
        same.key: (first.file, first.place, first.change, 2),
        second.key: (second.file, second.place, second.change, 1),
    }
