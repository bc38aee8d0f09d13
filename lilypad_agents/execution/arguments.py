"""Structural substitution into `args` and `env`, after parsing: a value never becomes text of the document.

A template is a literal text, or {"input": NAME}, {"file": NAME}, {"seed": true}, {"join": [templates]}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lilypad_agents.execution.errors import InputsInvalid, ManifestInvalid
from lilypad_agents.execution.strictjson import canonical

MAX_VALUE_BYTES = 128 * 1024  # what Linux takes as one argument
MAX_TOTAL_BYTES = 1024 * 1024
MAX_TEMPLATES = 256


@dataclass(frozen=True, slots=True)
class Template:
    """One argument or value of a variable. `kind` is literal, input, file, seed or join; `value` belongs to it."""

    kind: str
    value: str = ""
    parts: tuple[Template, ...] = ()

    def references(self) -> Iterator[tuple[str, str]]:
        """(kind, name) of every input, file or seed it names."""
        if self.kind in ("input", "file", "seed"):
            yield self.kind, self.value
        for part in self.parts:
            yield from part.references()


def read_template(value: Any, path: str, *, inside_join: bool = False) -> Template:
    """A template from JSON; raises ManifestInvalid. Joins do not nest."""
    if isinstance(value, str):
        _check_value(value, path, ManifestInvalid)
        return Template("literal", value)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, content),) = value.items()
        if kind in ("input", "file") and isinstance(content, str):
            return Template(kind, content)
        if kind == "seed" and content is True:
            return Template("seed")
        if kind == "join" and isinstance(content, list) and 0 < len(content) <= 64 and not inside_join:
            parts = (read_template(part, f"{path}.join[{i}]", inside_join=True) for i, part in enumerate(content))
            return Template("join", parts=tuple(parts))
    raise ManifestInvalid(path, 'must be a text, {"input": NAME}, {"file": NAME}, {"seed": true} or {"join": [...]}')


@dataclass(frozen=True, slots=True)
class Substitution:
    """What templates can refer to: typed values, names of the files given, and the seed as text (None: no seed)."""

    values: Mapping[str, Any]
    files: frozenset[str]
    seed: str | None

    def render(self, template: Template, path: str) -> str | None:
        """The text of a template, or None when it refers to an optional input or file that was not given.

        Raises InputsInvalid for NUL characters and values above 128 KiB.
        """
        text = self._text(template, path)
        if text is not None:
            _check_value(text, path, InputsInvalid)
        return text

    def _text(self, template: Template, path: str) -> str | None:
        if template.kind == "literal":
            return template.value
        if template.kind == "input":
            return text_of(self.values[template.value]) if template.value in self.values else None
        if template.kind == "file":
            return f"/inputs/{template.value}" if template.value in self.files else None
        if template.kind == "seed":
            if self.seed is None:
                raise InputsInvalid(path, "asks for a seed, but the module's seed policy is none")
            return self.seed
        parts = [self._text(part, path) for part in template.parts]
        return None if None in parts else "".join(parts)


def text_of(value: Any) -> str:
    """A typed value as the program gets it: text as it is, true/false, numbers shortest, the rest canonical JSON."""
    return value if isinstance(value, str) else canonical(value).decode("utf-8")


def check_total(args: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> None:
    """Raises InputsInvalid when arguments and environment together are over 1 MiB."""
    total = sum(len(arg.encode()) + 1 for arg in args) + sum(len(f"{key}={value}".encode()) + 1 for key, value in env)
    if total > MAX_TOTAL_BYTES:
        raise InputsInvalid("args", f"arguments and environment have {total} bytes, {MAX_TOTAL_BYTES} are allowed")


def _check_value(text: str, path: str, error: type[ManifestInvalid] | type[InputsInvalid]) -> None:
    if "\0" in text:
        raise error(path, "holds a NUL character")
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise error(path, "is not valid Unicode") from None
    if size > MAX_VALUE_BYTES:
        raise error(path, f"has {size} bytes, {MAX_VALUE_BYTES} are allowed")
