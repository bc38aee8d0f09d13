"""Regular expressions of input schemas, matched in time linear in the text.

A subset of ECMA-262 without look-around, back references and lazy or nested-count tricks, run as a set of states, so
no pattern of a publisher can stall a provider. `\\d`, `\\w` and `\\s` are ASCII; nothing depends on Python's tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

MAX_PATTERN_CHARACTERS = 500
MAX_STATES = 2_000
MAX_COUNT = 1_000

_CLASSES = {
    "d": (("0", "9"),),
    "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")),
    "s": (("\t", "\r"), (" ", " ")),
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_LITERAL_ESCAPES = frozenset("^$\\.*+?()[]{}|/-")


class PatternRefused(ValueError):
    """The pattern is not in the subset; the message says where and what to write instead."""


@dataclass(frozen=True, slots=True)
class Characters:
    """A set of characters as ranges, possibly complemented."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def holds(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) is not self.negated


# A parsed expression is a tuple: ("set", Characters), ("start",), ("end",), ("sequence", parts), ("choice", parts) or
# ("repeat", part, minimum, maximum or None).
_ANY = Characters((("\n", "\n"), ("\r", "\r"), ("\u2028", "\u2029")), negated=True)


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_PATTERN_CHARACTERS:
            raise PatternRefused(f"longer than {MAX_PATTERN_CHARACTERS} characters")
        self._text, self._at, self._depth = text, 0, 0

    def parse(self) -> tuple:
        tree = self._choice()
        if self._at < len(self._text):
            self._refuse("an unmatched )")
        return tree

    def _refuse(self, what: str) -> None:
        raise PatternRefused(f"{what} at position {self._at}")

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _take(self) -> str:
        character = self._peek()
        if not character:
            self._refuse("the pattern ends too early")
        self._at += 1
        return character

    def _choice(self) -> tuple:
        self._depth += 1
        if self._depth > 20:
            self._refuse("more than 20 nested groups")
        branches = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
        self._depth -= 1
        return branches[0] if len(branches) == 1 else ("choice", branches)

    def _sequence(self) -> tuple:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeat(self._atom()))
        return ("sequence", parts)

    def _atom(self) -> tuple:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return ("set", self._set())
        if character == "\\":
            return ("set", self._escape())
        if character in "^$":
            return ("start",) if character == "^" else ("end",)
        if character == ".":
            return ("set", _ANY)
        if character in "*+?{}]":
            self._at -= 1
            self._refuse(f"{character!r} has nothing to act on (write a backslash before it to mean the character)")
        return ("set", Characters(((character, character),)))

    def _group(self) -> tuple:
        if self._peek() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                self._refuse("only ( and (?: groups are allowed, no look-around, names or flags")
            self._at += 2
        tree = self._choice()
        if self._peek() != ")":
            self._refuse("a group is not closed")
        self._at += 1
        return tree

    def _escape(self) -> Characters:
        character = self._take()
        if character.lower() in _CLASSES:
            return Characters(_CLASSES[character.lower()], negated=character.isupper())
        literal = _CONTROLS.get(character, character if character in _LITERAL_ESCAPES else None)
        if literal is None:
            self._refuse(f"the escape \\{character} is not allowed")
        return Characters(((literal, literal),))

    def _set(self) -> Characters:
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[tuple[str, str]] = []
        while self._peek() != "]":
            low = self._set_item()
            if isinstance(low, Characters):
                ranges += low.ranges
            elif self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._set_item()
                if isinstance(high, Characters) or high < low:
                    self._refuse("a range in [ ] is not in order")
                ranges.append((low, high))
            else:
                ranges.append((low, low))
        self._at += 1
        if not ranges:
            self._refuse("an empty [ ]")
        return Characters(tuple(ranges), negated)

    def _set_item(self) -> str | Characters:
        character = self._take()
        if character != "\\":
            return character
        escaped = self._escape()
        if escaped.negated:
            self._refuse("a negated class inside [ ]")
        low, high = escaped.ranges[0]
        return low if len(escaped.ranges) == 1 and low == high else escaped

    def _repeat(self, atom: tuple) -> tuple:
        bounds = self._bounds()
        if bounds is None:
            return atom
        if atom[0] in ("start", "end"):
            self._refuse("an anchor cannot be repeated")
        if self._peek() and self._peek() in "?*+{":
            self._refuse("a repetition cannot follow a repetition")
        return ("repeat", atom, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        character = self._peek()
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(character) if character else None
        if simple is not None:
            self._at += 1
            return simple
        if character != "{":
            return None
        close = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : close if close > 0 else None].partition(",")
        numbers = [low] + ([high] if high else [])
        if close < 0 or not all(n.isascii() and n.isdigit() and len(n) <= 4 for n in numbers):
            self._refuse("a count is written {n}, {n,} or {n,m}")
        self._at = close + 1
        minimum, maximum = int(low), int(high) if high else (None if comma else int(low))
        if max(minimum, maximum or 0) > MAX_COUNT or maximum is not None and maximum < minimum:
            self._refuse(f"a count is at most {MAX_COUNT} and in order")
        return minimum, maximum


class Pattern:
    """A compiled pattern; `search(text)` tells whether it occurs anywhere in the text, as JSON Schema wants."""

    def __init__(self, text: str) -> None:
        self._sets: list[Characters] = []
        self._edges: list[list[int]] = []
        self._conditions: list[str] = []
        self._accept = self._state()
        self._start = self._build(_Parser(text).parse(), self._accept)

    @property
    def size(self) -> int:
        """Number of states: matching a text takes at most this many steps per character."""
        return len(self._edges)

    def search(self, text: str) -> bool:
        active: set[int] = set()
        for position in range(len(text) + 1):
            active.add(self._start)
            active = self._closure(active, position == 0, position == len(text))
            if self._accept in active:
                return True
            if position < len(text):
                character = text[position]
                active = {
                    self._edges[state][0]
                    for state in active
                    if self._conditions[state] == "set" and self._sets[state].holds(character)
                }
        return False

    def _state(self, condition: str = "free", edges: tuple[int, ...] = (), characters: Characters | None = None) -> int:
        if len(self._edges) >= MAX_STATES:
            raise PatternRefused(f"needs more than {MAX_STATES} states: use smaller counts")
        self._conditions.append(condition)
        self._edges.append(list(edges))
        self._sets.append(characters or _ANY)
        return len(self._edges) - 1

    def _build(self, tree: tuple, after: int) -> int:
        """The state from which `tree` leads to `after`."""
        kind = tree[0]
        if kind == "set":
            return self._state("set", (after,), tree[1])
        if kind in ("start", "end"):
            return self._state(kind, (after,))
        if kind == "sequence":
            for part in reversed(tree[1]):
                after = self._build(part, after)
            return after
        if kind == "choice":
            return self._state("free", tuple(self._build(part, after) for part in tree[1]))
        _, part, minimum, maximum = tree
        if maximum is None:
            loop = self._state("free", (after,))
            self._edges[loop].append(self._build(part, loop))
            after = loop
        else:
            end = after
            for _ in range(maximum - minimum):
                after = self._state("free", (end, self._build(part, after)))
        for _ in range(minimum):
            after = self._build(part, after)
        return after

    def _closure(self, active: set[int], at_start: bool, at_end: bool) -> set[int]:
        seen, waiting = set(active), list(active)
        passable = {"free": True, "start": at_start, "end": at_end}
        while waiting:
            state = waiting.pop()
            if passable.get(self._conditions[state], False):
                for target in self._edges[state]:
                    if target not in seen:
                        seen.add(target)
                        waiting.append(target)
        return seen


@lru_cache(maxsize=256)
def compile_pattern(text: str) -> Pattern:
    """The compiled pattern; raises PatternRefused."""
    return Pattern(text)
