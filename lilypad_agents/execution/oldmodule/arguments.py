"""Entrypoint and EnvironmentVariables of all variants as `args` and `env` of a manifest, with what the branches mean."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lilypad_agents.execution.arguments import MAX_TEMPLATES
from lilypad_agents.execution.oldmodule.jobs import Job
from lilypad_agents.execution.oldmodule.loosejson import Item
from lilypad_agents.execution.oldmodule.report import Report
from lilypad_agents.execution.oldmodule.substitution import InputUse, Substituter, join, literal_in_place

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SHELLS = ("sh", "bash", "ash", "dash", "zsh")


@dataclass(frozen=True)
class Argument:
    value: Any
    line: int


@dataclass(frozen=True)
class Arguments:
    """`args` in order, `env` by name; values are templates of a manifest."""

    args: tuple[Argument, ...]
    env: Mapping[str, Argument]


def arguments_of(job: Job, substituter: Substituter, report: Report) -> Arguments:
    """Of one variant."""
    path = job.engine_path
    args = []
    for name in ("Entrypoint", "Parameters"):
        for index, item in enumerate(_list(job.engine.get(name), f"{path}.{name}", report)):
            value = substituter.template(item, f"{path}.{name}[{index}]")
            if value is not None:
                args.append(Argument(value, item.line))
    env: dict[str, Argument] = {}
    for index, item in enumerate(_list(job.engine.get("EnvironmentVariables"), f"{path}.EnvironmentVariables", report)):
        place = f"{path}.EnvironmentVariables[{index}]"
        value = substituter.template(item, place)
        named = None if value is None else _variable(value)
        if named is None:
            report.add("value-in-structure" if item.has_holes else "shape", item.line, place, "names no variable before its `=`", "Write NAME=value with a fixed NAME.")
            continue
        name, rest = named
        if name in env:
            report.add("duplicate-key", item.line, place, f"the variable {name} is set twice", "Keep one of them.")
        env.setdefault(name, Argument(rest, item.line))
    return Arguments(tuple(args), env)


def _list(item: Item | None, path: str, report: Report) -> list[Item]:
    if item is None:
        return []
    if item.kind != "array":
        report.add("shape", item.line, path, "is no list", "Write a list of texts.")
        return []
    if len(item.items) > MAX_TEMPLATES // 2:
        report.add("too-large", item.line, path, f"has {len(item.items)} entries, {MAX_TEMPLATES // 2} are allowed")
    return item.items[: MAX_TEMPLATES // 2]


def _variable(value: Any) -> tuple[str, Any] | None:
    pieces = value["join"] if isinstance(value, dict) and "join" in value else [value]
    if not isinstance(pieces[0], str):
        return None
    name, equals, rest = pieces[0].partition("=")
    if not equals or _VARIABLE.fullmatch(name) is None:
        return None
    return name, join([rest, *pieces[1:]])


# ---- branches


def learn_from_branch(base: Arguments, other: Arguments, use: InputUse, line: int, report: Report) -> None:
    """What the text without the branch says about its input: optional, a default, or something that a manifest cannot say."""
    defaults: set[str] = set()
    use.optional = True
    _compare_lists(base.args, other.args, use.name, line, defaults, report)
    for name in base.env.keys() | other.env.keys():
        before, after = base.env.get(name), other.env.get(name)
        if before is not None and after is not None and before.value != after.value:
            _compare_values(before.value, after.value, use.name, line, f"the variable {name}", defaults, report)
    only_then = sorted(base.env.keys() - other.env.keys())
    only_else = sorted(other.env.keys() - base.env.keys())
    if only_else:
        shown = f"with {use.name} the variable {_list_of(only_then)} is set, without it {_list_of(only_else)}"
        report.add("branches-differ", line, "", f"{shown}: {_shown_env(base, only_then)} against {_shown_env(other, only_else)}", "Set one variable in both branches.")
    for name in only_then if not only_else else ():
        if use.name not in names_in(base.env[name].value):
            report.add("branches-differ", line, "", f"the variable {name} depends on whether {use.name} is given; it is always set now", "Let it hold the input itself.")
    if len(defaults) > 1:
        report.add("branches-differ", line, "", f"{use.name} has several values in its place: {', '.join(sorted(defaults))}", "Use one default.")
    elif defaults and use.default is None:
        use.default = defaults.pop()


def _compare_lists(base: Sequence[Argument], other: Sequence[Argument], name: str, line: int, defaults: set[str], report: Report) -> None:
    keys = [[json.dumps(item.value, sort_keys=True) for item in items] for items in (base, other)]
    matcher = difflib.SequenceMatcher(None, *keys, autojunk=False)
    for what, low, high, other_low, other_high in matcher.get_opcodes():
        if what == "replace" and high - low == other_high - other_low:
            for before, after in zip(base[low:high], other[other_low:other_high], strict=True):
                _compare_values(before.value, after.value, name, line, "an argument", defaults, report)
        elif what == "delete":
            for item in base[low:high]:
                if name not in names_in(item.value):
                    shown = json.dumps(item.value)[:80]
                    fix = f"Join them to one argument, such as --option={{{{.{name}}}}}."
                    report.add("unsupported-template", item.line, "", f"{shown} is there only with {name}; a manifest drops nothing but the input's own argument", fix)
        elif what != "equal":
            report.add("branches-differ", line, "", f"with and without {name} there are other arguments; those with it are taken", "Use the same arguments in both branches.")


def _compare_values(before: Any, after: Any, name: str, line: int, what: str, defaults: set[str], report: Report) -> None:
    literal = literal_in_place(before, after, name)
    if literal is not None:
        defaults.add(literal)
        return
    shown = f"{json.dumps(before)[:80]} against {json.dumps(after)[:80]}"
    report.add("branches-differ", line, "", f"{what} differs in more than {name}: {shown}", "Let both branches differ in the input alone.")


def names_in(value: Any) -> set[str]:
    """The inputs that a template names."""
    pieces = value["join"] if isinstance(value, dict) and "join" in value else [value]
    return {str(piece["input"]) for piece in pieces if isinstance(piece, dict) and "input" in piece}


def _list_of(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _shown_env(arguments: Arguments, names: list[str]) -> str:
    return "; ".join(f"{name}={json.dumps(arguments.env[name].value)[:60]}" for name in names) or "nothing"


def note_shell(found: Arguments, path: str, report: Report) -> None:
    """A value inside a script can act as the shell's own text."""
    words = [item.value if isinstance(item.value, str) else "" for item in found.args]
    shells = [index for index, word in enumerate(words) if word.rpartition("/")[2] in _SHELLS]
    for index in shells:
        if index + 1 < len(words) and re.fullmatch(r"-[a-z]*c", words[index + 1]):
            for item in found.args[index + 2 :]:
                script = item.value if isinstance(item.value, str) else ""
                unquoted = re.search(r'(?<!["\w])\$\{?[A-Za-z_]', script) is not None
                if names_in(item.value) or unquoted:
                    report.add("shell", item.line, path, "a shell reads this: a value can act as text of the script", 'Quote variables ("$NAME"), or run the program without a shell.')
