"""JSON with holes and with the place of every value. Strict; with `repair` also comments, and commas too many or too few.

The old decoder matched keys without regard to case and let a repeated key win: here a repeated key is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from lilypad_agents.execution.oldmodule.report import Report, Unreadable
from lilypad_agents.execution.oldmodule.template import Action, line_of
from lilypad_agents.execution.oldmodule.variants import FIRST_HOLE, Layout, is_hole

MAX_NODES = 2_000
MAX_DEPTH = 32
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SPACE = " \t\r\n"
_OF_STRINGS = re.compile(f'["\\\\\n{chr(FIRST_HOLE)}-\U0010ffff]')


@dataclass
class Item:
    """A value. `kind`: object, array, string, number, word (true, false, null) or hole.

    `parts` of a string or hole: texts and actions in order. Objects keep their keys as written, `get` ignores case.
    """

    kind: str
    line: int
    parts: list[str | Action] = field(default_factory=list)
    members: dict[str, Item] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    scalar: object = None

    @property
    def has_holes(self) -> bool:
        """Whether an action stands anywhere in it."""
        if any(isinstance(part, Action) for part in self.parts):
            return True
        return any(child.has_holes for child in (*self.members.values(), *self.items))

    @property
    def text(self) -> str | None:
        """The text of a string without holes."""
        return "".join(str(part) for part in self.parts) if self.kind == "string" and not self.has_holes else None

    def get(self, name: str) -> Item | None:
        """A member, whatever the case of its key; None for absent and null."""
        for key, item in self.members.items():
            if key.lower() == name.lower():
                return None if item.kind == "word" and item.scalar is None else item
        return None

    def shape(self) -> object:
        """For comparing two values: equal where these are."""
        if self.kind == "object":
            return {key.lower(): item.shape() for key, item in self.members.items()}
        if self.kind == "array":
            return [item.shape() for item in self.items]
        if self.kind in ("string", "hole"):
            return (self.kind, tuple(part if isinstance(part, str) else (part.at, part.source) for part in self.parts))
        return (self.kind, self.scalar)


class JsonReader:
    """Reads one layout. Raises Unreadable, with the place in the report, for what is not JSON."""

    def __init__(self, layout: Layout, source: str, report: Report, *, repair: bool) -> None:
        self._layout, self._source, self._report, self._repair = layout, source, report, repair
        self._text, self._at, self._nodes = layout.text, 0, 0

    def read(self) -> Item:
        item = self._value(0)
        self._space()
        if self._at < len(self._text):
            self._give_up("something follows after the end", "Take it out.")
        return item

    # ---- helpers

    @property
    def _line(self) -> int:
        places = self._layout.at
        place = places[self._at] if self._at < len(places) else len(self._source)
        return line_of(self._source, place)

    def _give_up(self, message: str, fix: str = "", code: str = "not-json") -> None:
        self._report.add(code, self._line, "", message, fix)
        raise Unreadable

    def _mend(self, what: str) -> None:
        """A comment or comma: an error, or with `repair` a change that is shown."""
        if not self._repair:
            self._give_up(what, "Correct it, or import with --repair.")
        self._report.add("repaired", self._line, "", f"{what}: taken out" if "missing" not in what else f"{what}: put in")

    def _space(self) -> None:
        while self._at < len(self._text):
            if self._text[self._at] in _SPACE:
                self._at += 1
            elif self._text[self._at] == "#" or self._text.startswith("//", self._at):
                self._mend("a comment is no JSON")
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                return

    def _next(self) -> str:
        self._space()
        if self._at >= len(self._text):
            self._give_up("the text ends too early", "Close what is open.")
        return self._text[self._at]

    # ---- values

    def _value(self, depth: int) -> Item:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._give_up(f"more than {MAX_NODES} values", code="too-large")
        if depth > MAX_DEPTH:
            self._give_up(f"nested more than {MAX_DEPTH} deep", code="too-large")
        character = self._next()
        line = self._line
        if character == "{":
            return self._object(depth, line)
        if character == "[":
            return self._array(depth, line)
        if character == '"':
            return Item("string", line, parts=self._string())
        if is_hole(character):
            self._at += 1
            return Item("hole", line, parts=[self._layout.actions[ord(character) - FIRST_HOLE]])
        for word, scalar in (("true", True), ("false", False), ("null", None)):
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return Item("word", line, scalar=scalar)
        number = _NUMBER.match(self._text, self._at)
        if number is None or len(number[0]) > 100:
            self._give_up(f"{self._text[self._at :][:20]!r} is no JSON value", "Put texts into double quotes.")
        assert number is not None
        self._at = number.end()
        return Item("number", line, scalar=number[0])

    def _object(self, depth: int, line: int) -> Item:
        item = Item("object", line)
        self._at += 1
        for _ in self._elements("}"):
            if self._next() != '"':
                if is_hole(self._text[self._at]):
                    self._give_up("an input stands in the place of a key", "Write the key out.", "value-in-structure")
                self._give_up("a key is missing here", "Keys stand in double quotes.")
            key_line, parts = self._line, self._string()
            if any(isinstance(part, Action) for part in parts):
                self._give_up("an input stands in a key", "Write the key out.", "value-in-structure")
            key = "".join(map(str, parts))
            if self._next() != ":":
                self._give_up("a colon is missing here")
            self._at += 1
            value = self._value(depth + 1)
            if any(key.lower() == other.lower() for other in item.members):
                self._report.add("duplicate-key", key_line, key[:100], f"the key {key[:100]!r} occurs twice", "Keep one of them.")
                continue
            item.members[key] = value
        return item

    def _array(self, depth: int, line: int) -> Item:
        item = Item("array", line)
        self._at += 1
        for _ in self._elements("]"):
            item.items.append(self._value(depth + 1))
        return item

    def _elements(self, end: str) -> Iterator[None]:
        """Once for each element up to the closing bracket, commas in between."""
        if self._next() == end:
            self._at += 1
            return
        while True:
            yield
            character = self._next()
            if character == ",":
                self._at += 1
                while self._next() == ",":
                    self._mend("a comma too many")
                    self._at += 1
                if self._next() == end:
                    self._mend("a comma before the closing bracket")
                    self._at += 1
                    return
            elif character == end:
                self._at += 1
                return
            elif character in '"{[' or is_hole(character):
                self._mend("a comma is missing here")
            else:
                self._give_up(f"{character!r} where a comma or {end!r} should be")

    def _string(self) -> list[str | Action]:
        self._at += 1
        parts: list[str | Action] = []
        start = self._at
        while True:
            found = _OF_STRINGS.search(self._text, self._at)
            if found is None or found[0] == "\n":
                self._give_up("a text without its closing quote", "Close it on the same line.")
            assert found is not None
            self._at = found.start()
            if found[0] == "\\":
                self._at += 2
                continue
            if self._at > start:
                parts.append(self._decoded(start))
            self._at += 1
            if found[0] == '"':
                return parts
            parts.append(self._layout.actions[ord(found[0]) - FIRST_HOLE])
            start = self._at

    def _decoded(self, start: int) -> str:
        try:
            return str(json.loads(f'"{self._text[start : self._at]}"'))
        except ValueError:
            self._give_up("a text with an escape or character that JSON does not know", "Write it as \\uXXXX.")
            raise AssertionError("unreachable") from None
