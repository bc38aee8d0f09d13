"""The subset of Go templates that old modules use, parsed by hand: `{{.X}}`, `js`, `subst` and `printf` with `%s`,
`if`/`else`/`end` over inputs, `or`, pipes, parentheses and trim marks. Everything else is reported with its position.
"""

from __future__ import annotations

import bisect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from lilypad_agents.execution.oldmodule.report import Report, Unreadable

MAX_ACTIONS = 500
MAX_BRANCHES = 24
MAX_DEPTH = 32
_TOKEN = re.compile(r'\s*(?:(?P<field>\.[A-Za-z_][A-Za-z0-9_]*(?![.\w]))|(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<word>[A-Za-z_]\w*)|(?P<mark>[|()]))')


@dataclass(frozen=True)
class Value:
    """What an action puts in, in order: pieces of text, and inputs. `raw`: without any quoting; `js`: with quotes.

    `default` is the text of `or .X "text"`, decoded; `plain`: nothing but `{{.X}}`, a whole JSON value.
    """

    pieces: tuple[tuple[str, str], ...]  # ("text", t) or ("input", name)
    mode: str  # plain, js, raw
    default: str | None = None

    @property
    def inputs(self) -> list[str]:
        return [value for kind, value in self.pieces if kind == "input"]


@dataclass
class Text:
    text: str
    at: int


@dataclass
class Action:
    """`value` None: not understood, and reported."""

    value: Value | None
    at: int
    source: str


@dataclass
class Branch:
    """`if .input`; `number` tells branches apart."""

    input: str
    number: int
    at: int
    then: list[Node] = field(default_factory=list)
    other: list[Node] = field(default_factory=list)
    has_else: bool = False


Node = Text | Action | Branch


@lru_cache(maxsize=4)
def _line_ends(source: str) -> list[int]:
    return [match.start() for match in re.finditer("\n", source)]


def line_of(source: str, at: int) -> int:
    """The line of a place in the source, from 1."""
    return bisect.bisect_left(_line_ends(source), at) + 1


class TemplateParser:
    """Parses one source. What is not of the subset goes into the report; Unreadable when no tree is left."""

    def __init__(self, source: str, report: Report) -> None:
        self._source, self._report = source, report
        self.branches: list[Branch] = []

    def parse(self) -> list[Node]:
        top: list[Node] = []
        stack: list[tuple[Branch, list[Node]]] = []
        current, actions = top, 0
        for kind, text, at in self._pieces():
            if kind == "text":
                current.append(Text(text, at))
                continue
            actions += 1
            if actions > MAX_ACTIONS:
                self._give_up("too-large", at, f"has more than {MAX_ACTIONS} actions")
            word, _, rest = text.partition(" ")
            if word == "if":
                branch = self._branch(rest, at)
                current.append(branch)
                stack.append((branch, current))
                if len(stack) > MAX_DEPTH:
                    self._give_up("too-large", at, f"nests more than {MAX_DEPTH} deep")
                current = branch.then
            elif word == "else":
                if not stack or stack[-1][0].has_else or rest.strip():
                    self._give_up("unsupported-template", at, f"`{{{{{text[:60]}}}}}` is not supported here", "Write one `else` for each `if`.")
                stack[-1][0].has_else = True
                current = stack[-1][0].other
            elif word == "end":
                if not stack:
                    self._give_up("unsupported-template", at, "an `end` without its `if`", "Take it out.")
                _, current = stack.pop()
            else:
                current.append(Action(self._action(text, at), at, text))
        if stack:
            self._give_up("unsupported-template", stack[-1][0].at, "an `if` without its `end`", "Add `{{end}}`.")
        return top

    def _give_up(self, code: str, at: int, message: str, fix: str = "") -> None:
        self._report.add(code, line_of(self._source, at), "", message, fix)
        raise Unreadable

    def _pieces(self) -> Iterator[tuple[str, str, int]]:
        """Text and actions in order; trim marks are applied, comments left out."""
        at, trim = 0, False
        source = self._source
        while True:
            start = source.find("{{", at)
            text = source[at:] if start < 0 else source[at:start]
            begin = at
            if trim:
                begin += len(text) - len(text.lstrip())
                text = text.lstrip()
            if start < 0:
                yield "text", text, begin
                return
            end = self._end_of(start)
            inner = source[start + 2 : end]
            if inner.startswith("-") and inner[1:2].isspace():
                inner, text = inner[1:], text.rstrip()
            trim = inner.endswith("-") and inner[-2:-1].isspace()
            inner = inner[:-1] if trim else inner
            if text:
                yield "text", text, begin
            if not (inner.lstrip().startswith("/*") and inner.rstrip().endswith("*/")):
                yield "action", inner.strip(), start
            at = end + 2

    def _end_of(self, start: int) -> int:
        """Where an action ends: `}}` outside of its texts."""
        at, source = start + 2, self._source
        while at < len(source):
            if source.startswith("}}", at):
                return at
            if source[at] in "\"`":
                quote, at = source[at], at + 1
                while at < len(source) and source[at] != quote:
                    at += 2 if quote == '"' and source[at] == "\\" else 1
            at += 1
        self._give_up("unsupported-template", start, "an action without its end", "Add `}}`.")
        raise AssertionError("unreachable")

    def _branch(self, condition: str, at: int) -> Branch:
        if len(self.branches) >= MAX_BRANCHES:
            self._give_up("too-large", at, f"has more than {MAX_BRANCHES} branches")
        match = re.fullmatch(r"\.([A-Za-z_]\w*)", condition.strip())
        if match is None:
            self._give_up(
                "unsupported-template", at, f"the condition {condition.strip()[:60]!r} is not an input alone", "Write `if .Input`."
            )
        assert match is not None
        branch = Branch(match[1], len(self.branches), at)
        self.branches.append(branch)
        return branch

    # ---- one action

    def _action(self, text: str, at: int) -> Value | None:
        tokens = self._tokens(text)
        value = None if tokens is None else _Pipeline(tokens).read()
        if value is None:
            fix = "Write `{{.Input}}` as a whole JSON value, without quotes around it."
            self._report.add("unsupported-template", line_of(self._source, at), "", f"`{{{{{text[:80]}}}}}` is not supported", fix)
        return value

    @staticmethod
    def _tokens(text: str) -> list[tuple[str, str]] | None:
        found, at = [], 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                return None
            kind = str(match.lastgroup)
            found.append((kind, match[kind]))
            at = match.end()
        return found


class _Pipeline:
    """Commands joined by pipes: the result of one is the last argument of the next. None: not of the subset."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0

    def read(self) -> Value | None:
        value = self._pipeline()
        return value if self._at == len(self._tokens) and isinstance(value, Value) else None

    def _pipeline(self) -> Value | str | None:
        value = self._command(None)
        while value is not None and self._peek() == ("mark", "|"):
            self._at += 1
            value = self._command(value)
        return value

    def _peek(self) -> tuple[str, str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _command(self, piped: Value | str | None) -> Value | str | None:
        token = self._peek()
        if token is None:
            return None
        name = ""
        if token[0] == "word":
            name, self._at = token[1], self._at + 1
        arguments: list[Value | str] = []
        while (token := self._peek()) is not None and token != ("mark", "|") and token != ("mark", ")"):
            argument = self._argument()
            if argument is None:
                return None
            arguments.append(argument)
        if piped is not None:
            arguments.append(piped)
        return _apply(name, arguments)

    def _argument(self) -> Value | str | None:
        token = self._peek()
        assert token is not None
        kind, text = token
        self._at += 1
        if kind == "field":
            return Value((("input", text[1:]),), "plain")
        if kind == "text":
            return _go_text(text)
        if token == ("mark", "(") and self._depth < MAX_DEPTH:
            self._depth += 1
            value = self._pipeline()
            self._depth -= 1
            if self._peek() == ("mark", ")"):
                self._at += 1
                return value
        return None


def _apply(name: str, arguments: list[Value | str]) -> Value | str | None:
    if name == "" and len(arguments) == 1:
        return arguments[0]
    if name == "js" and len(arguments) == 1 and isinstance(arguments[0], Value) and arguments[0].mode == "plain":
        return Value(arguments[0].pieces, "js", arguments[0].default)
    if name == "or" and len(arguments) == 2:
        first, second = arguments
        if isinstance(first, Value) and first.mode == "plain" and isinstance(second, str):
            return Value(first.pieces, "plain", _decoded(second))
        return None
    if name in ("subst", "printf") and arguments and isinstance(arguments[0], str):
        return _formatted(arguments[0], arguments[1:])
    return None


def _formatted(form: str, arguments: list[Value | str]) -> Value | None:
    """`%s` replaced in order; another verb, or another number of arguments, is not of the subset."""
    parts = re.split(r"(%.)", form)
    pieces: list[tuple[str, str]] = []
    left, default = list(arguments), None
    for part in parts:
        if part == "%%":
            pieces.append(("text", "%"))
        elif part == "%s" and left:
            argument = left.pop(0)
            if isinstance(argument, Value):
                pieces += argument.pieces
                default = argument.default if argument.default is not None else default
            else:
                pieces.append(("text", argument))
        elif part.startswith("%"):
            return None
        elif part:
            pieces.append(("text", part))
    if left or not any(kind == "input" for kind, _ in pieces):
        return None
    return Value(tuple(pieces), "raw", default)


def _go_text(text: str) -> str | None:
    """The value of a Go text; None for escapes that JSON does not share."""
    if text.startswith("`"):
        return text[1:-1]
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, str) else None


def _decoded(text: str) -> str:
    """A default stands in the place of a JSON value: `"\\"moo\\""` means moo."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, str) else text
