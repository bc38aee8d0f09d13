"""Laying a parsed template out as text, for one choice of branches: every action is one character that no source holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lilypad_agents.execution.oldmodule.template import Action, Branch, Node, Text

FIRST_HOLE = 0xF0000  # supplementary private use; a source that holds such characters is refused


@dataclass(frozen=True)
class Layout:
    """Text with holes. `at[i]` is the place of character i in the source; `actions[k]` is what hole k stands for."""

    text: str
    at: Sequence[int]
    actions: Sequence[Action]


def holds_holes(source: str) -> bool:
    return any(ord(character) >= FIRST_HOLE for character in source)


def is_hole(character: str) -> bool:
    return ord(character) >= FIRST_HOLE


def lay_out(nodes: Sequence[Node], other: frozenset[int]) -> Layout:
    """The text in which the branches with a number in `other` take their `else`."""
    characters: list[str] = []
    at: list[int] = []
    actions: list[Action] = []

    def walk(items: Sequence[Node]) -> None:
        for item in items:
            if isinstance(item, Text):
                characters.append(item.text)
                at.extend(range(item.at, item.at + len(item.text)))
            elif isinstance(item, Action):
                characters.append(chr(FIRST_HOLE + len(actions)))
                at.append(item.at)
                actions.append(item)
            else:
                assert isinstance(item, Branch)
                walk(item.other if item.number in other else item.then)

    walk(nodes)
    return Layout("".join(characters), at, actions)
