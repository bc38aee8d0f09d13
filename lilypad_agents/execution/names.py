"""Which names files may have in inputs and results.

The rule must give the same answer on every machine for ever, since a result's digest depends on it. Python's Unicode
tables grow with each release, so the rule is stated on Unicode 3.2, the one older version that Python keeps frozen.
"""

from __future__ import annotations

import unicodedata

from lilypad_agents.execution.errors import NameRefused

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4096
MAX_DEPTH = 31  # content trees have at most 32 levels, and a result adds `outputs/`
_FROZEN = unicodedata.ucd_3_2_0
# Controls, formats (bidi overrides, zero-width), surrogates, private use, unassigned, line and paragraph separators.
# Invisible ones that Unicode 3.2 still counted among others: soft hyphen, Mongolian and other zero-width marks.
_REFUSED_CHARACTERS = frozenset("\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u200b\u3164\uffa0")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def is_nfc(text: str) -> bool:
    """Whether `text` is in normalisation form C, judged by Unicode 3.2; newer characters count as inert."""
    if text.isascii():
        return True
    inert = "".join(c if _FROZEN.category(c) != "Cn" else "\ufffd" for c in text)
    return _FROZEN.normalize("NFC", inert) == inert


def name_problem(name: str) -> str | None:
    """Why `name` cannot be one component of a path, or None when it can."""
    if name in ("", ".", ".."):
        return "is empty, `.` or `..`"
    if "/" in name:
        return "holds a slash"
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if len(encoded) > MAX_NAME_BYTES:
        return f"has {len(encoded)} bytes, {MAX_NAME_BYTES} are allowed"
    if name.isascii():
        return None if name.isprintable() else "holds a control character"
    if any(_FROZEN.category(c) in _REFUSED_CATEGORIES or c in _REFUSED_CHARACTERS for c in name):
        return "holds a control, invisible, private or unassigned (Unicode 3.2) character"
    return None if is_nfc(name) else "is not in Unicode normalisation form C"


def check_path(path: str, *, field: str = "path") -> str:
    """`path` itself if it is a safe relative path of ordinary names, at most 31 deep; raises NameRefused otherwise."""
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        raise NameRefused(f"{field}: {len(parts)} levels deep, {MAX_DEPTH} are allowed", depth=len(parts))
    for part in parts:
        problem = name_problem(part)
        if problem is not None:
            raise NameRefused(f"{field}: the name {ascii(part[:80])} {problem}", name=part[:80])
    if len(path.encode("utf-8")) > MAX_PATH_BYTES:
        raise NameRefused(f"{field}: longer than {MAX_PATH_BYTES} bytes")
    return path
