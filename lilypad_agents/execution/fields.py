"""Reads a JSON object field by field: values are typed and bounded, unknown keys refused, errors name the field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lilypad_agents.execution.errors import ManifestInvalid, NameRefused
from lilypad_agents.execution.names import check_path, is_nfc
from lilypad_agents.execution.strictjson import SAFE_INTEGER

T = TypeVar("T")
_MISSING: Any = object()
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
UINT256 = (1 << 256) - 1


class Fields:
    """The fields of one object. Call `done` at the end: what was not asked for is an unknown key."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise ManifestInvalid(path, "must be an object")
        self._value, self._path, self._left = value, path, set(value)

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def refuse(self, name: str, problem: str) -> ManifestInvalid:
        return ManifestInvalid(self.path(name), problem)

    def has(self, name: str) -> bool:
        return name in self._value

    def raw(self, name: str, default: Any = _MISSING) -> Any:
        self._left.discard(name)
        if name not in self._value:
            if default is _MISSING:
                raise self.refuse(name, "is required")
            return default
        return self._value[name]

    def text(
        self, name: str, *, most: int = 1_000, default: Any = _MISSING, form: str | None = None, what: str = ""
    ) -> Any:
        """A text of 1 to `most` characters, NFC, no controls; `form` is a pattern for all of it, `what` its name."""
        value = self.raw(name, default)
        if not self.has(name):
            return value
        return check_text(value, self.path(name), most=most, form=form, what=what)

    def integer(self, name: str, low: int, high: int, default: Any = _MISSING) -> Any:
        """A whole number; above 2^53 - 1 it is written as a decimal string, below it never is."""
        value = self.raw(name, default)
        if not self.has(name):
            return value
        if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{15,77}", value) and int(value) > SAFE_INTEGER:
            value = int(value)
        if type(value) is not int:
            raise self.refuse(name, "must be a whole number (above 2^53 - 1: a decimal string)")
        if not low <= value <= high:
            raise self.refuse(name, f"is {value}, allowed are {low} to {high}")
        return value

    def boolean(self, name: str, default: Any = _MISSING) -> bool:
        value = self.raw(name, default)
        if not isinstance(value, bool):
            raise self.refuse(name, "must be true or false")
        return value

    def choice(self, name: str, choices: Sequence[str], default: Any = _MISSING) -> str:
        value = self.raw(name, default)
        if value not in choices or not isinstance(value, str):
            raise self.refuse(name, f"must be one of {', '.join(choices)}")
        return value

    def object(self, name: str) -> Fields:
        return Fields(self.raw(name), self.path(name))

    def section(self, name: str, read: Callable[[Fields], T], default: Any = _MISSING) -> Any:
        """An object read by `read`, which gets its fields; unknown keys in it are refused afterwards."""
        if not self.has(name) and default is not _MISSING:
            self._left.discard(name)
            return default
        return read_object(self.raw(name), self.path(name), read)

    def items(self, name: str, read: Callable[[Fields], T], *, most: int = 100, least: int = 0) -> tuple[T, ...]:
        """A list of objects, absent counts as empty."""
        values = self._list(name, most, least)
        return tuple(read_object(value, f"{self.path(name)}[{index}]", read) for index, value in enumerate(values))

    def texts(self, name: str, *, most: int = 100, **rules: Any) -> tuple[str, ...]:
        """A list of texts, absent counts as empty."""
        values = self._list(name, most, 0)
        return tuple(check_text(value, f"{self.path(name)}[{index}]", **rules) for index, value in enumerate(values))

    def file_path(self, name: str) -> str:
        value = self.text(name, most=4_096)
        try:
            return check_path(value)
        except NameRefused as failure:
            raise ManifestInvalid(self.path(name), failure.message.removeprefix("path: ")) from None

    def extensions(self) -> Mapping[str, Any]:
        """The keys that start with `x-`; they are carried and never interpreted."""
        found = {key: value for key, value in self._value.items() if key.startswith("x-")}
        self._left -= set(found)
        return found

    def done(self) -> None:
        self.extensions()
        if self._left:
            unknown = sorted(self._left)[0]
            raise self.refuse(unknown[:80], "is not a field of this place (own keys start with x-)")

    def _list(self, name: str, most: int, least: int) -> list[Any]:
        values = self.raw(name, [])
        if not isinstance(values, list) or not least <= len(values) <= most:
            raise self.refuse(name, f"must be a list of {least} to {most} entries")
        return values


def read_object(value: Any, path: str, read: Callable[[Fields], T]) -> T:
    fields = Fields(value, path)
    result = read(fields)
    fields.done()
    return result


def check_text(value: Any, path: str, *, most: int = 1_000, form: str | None = None, what: str = "") -> str:
    """`value` if it is a text of 1 to `most` characters, NFC and without control characters; else ManifestInvalid."""
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise ManifestInvalid(path, f"must be a text of 1 to {most} characters")
    if _CONTROLS.search(value) or not value.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise ManifestInvalid(path, "holds a control, direction or half character")
    if not is_nfc(value):
        raise ManifestInvalid(path, "is not in Unicode normalisation form C")
    if form is not None and not re.fullmatch(form, value):
        raise ManifestInvalid(path, f"is no {what or 'text of the right form'}")
    return value
