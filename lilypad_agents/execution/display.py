"""Job output on a terminal: bytes of a stranger must not move the cursor, set titles or reverse text."""

from __future__ import annotations

import unicodedata

_KEPT = frozenset("\n\t")
_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(data: bytes | str) -> str:
    """Text that is safe to print: every control or invisible character but line break and tab is written as `\\xNN`.

    Bytes that are no UTF-8 become U+FFFD. Files keep the original bytes; only what is shown goes through here.
    """
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    return "".join(c if c in _KEPT or unicodedata.category(c) not in _CATEGORIES else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
