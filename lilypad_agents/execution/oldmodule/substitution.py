"""From a text with actions to an argument of a manifest v2, and from the difference of two branches to a default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lilypad_agents.execution.oldmodule.loosejson import Item
from lilypad_agents.execution.oldmodule.report import Report
from lilypad_agents.execution.oldmodule.template import Action, line_of

MOST_CHARACTERS = 32_768  # of an input: four bytes each are what Linux takes as one argument


@dataclass
class InputUse:
    """How an input is used: `optional` when it may be absent, `default` what then stands in its place."""

    name: str
    optional: bool = False
    default: str | None = None


@dataclass
class Substituter:
    """Turns strings into templates and notes every input that they name."""

    source: str
    report: Report
    inputs: dict[str, InputUse] = field(default_factory=dict)

    def template(self, item: Item, path: str) -> Any:
        """The argument that `item` stands for: text, or a reference; None when it cannot be one."""
        if item.kind == "string":
            pieces = [piece for part in item.parts for piece in self._pieces(part, path)]
        elif item.kind == "hole":
            pieces = self._whole(item.parts[0], path)
        else:
            self.report.add("not-json", item.line, path, "is no text", "Put it into double quotes.")
            return None
        return join(pieces)

    def _whole(self, action: str | Action, path: str) -> list[Any]:
        assert isinstance(action, Action)
        value = action.value
        if value is None:
            return []
        if value.mode != "plain":
            fix = f"Write {{{{.{value.inputs[0]}}}}} without a function."
            self.report.add("unsupported-template", self._line(action), path, f"`{{{{{action.source[:80]}}}}}` is no whole JSON value", fix)
            return []
        return [self._use(name, value.default) for name in value.inputs]

    def _pieces(self, part: str | Action, path: str) -> list[Any]:
        if isinstance(part, str):
            return [part]
        value = part.value
        if value is None:
            return []
        shown = f"`{{{{{part.source[:80]}}}}}`"
        if value.mode == "plain":
            fix = f'Write "V={{{{ subst \\"%s\\" .{value.inputs[0]} }}}}", or the input alone without quotes around it.'
            self.report.add("unsupported-template", self._line(part), path, f"{shown} inside quotes never worked: its value has quotes of its own", fix)
            return []
        if value.mode == "js":
            self.report.add(
                "quotes-in-value", self._line(part), path,
                f"{shown} put literal quotes around the value, and failed for an apostrophe; the program sees the plain value now",
            )  # fmt: skip
        else:
            self.report.add(
                "raw-substitution", self._line(part), path,
                f"{shown} put the value in as raw text: a value such as x\"],\"Image\":\"evil changed the job; it is a value now",
            )  # fmt: skip
        return [self._use(text, value.default) if kind == "input" else text for kind, text in value.pieces]

    def _use(self, name: str, default: str | None) -> Any:
        use = self.inputs.setdefault(name, InputUse(name))
        if default is not None:
            use.default = default
        return {"input": name}

    def _line(self, action: Action) -> int:
        return line_of(self.source, action.at)


def join(pieces: list[Any]) -> Any:
    """Pieces as one argument: a text, one reference, or a join of both."""
    joined: list[Any] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    if not joined:
        return ""
    return joined[0] if len(joined) == 1 else {"join": joined}


def literal_in_place(with_input: Any, without: Any, name: str) -> str | None:
    """The text that stands in an input's place when it is absent: `--n={input}` against `--n=20` gives 20; None if none does."""
    if not isinstance(without, str):
        return None
    pieces = with_input["join"] if isinstance(with_input, dict) and "join" in with_input else [with_input]
    if pieces.count({"input": name}) != 1 or any(not isinstance(piece, str) for piece in pieces if piece != {"input": name}):
        return None
    place = pieces.index({"input": name})
    before, after = "".join(pieces[:place]), "".join(pieces[place + 1 :])
    if without.startswith(before) and without.endswith(after) and len(without) >= len(before) + len(after):
        return without[len(before) : len(without) - len(after)]
    return None
