"""What the importer found: codes, lines and ways out. The table is in notes/modules-and-api.md section 2 and docs/modules.md."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """An error keeps the manifest from being used as it is; nothing else does."""

    ERROR = "error"
    WARN = "warn"
    NOTE = "note"


CODES: dict[str, Severity] = {
    "quotes-in-value": Severity.WARN,
    "raw-substitution": Severity.WARN,
    "value-in-structure": Severity.ERROR,
    "unsupported-template": Severity.ERROR,
    "not-json": Severity.ERROR,
    "duplicate-key": Severity.ERROR,
    "image-by-tag": Severity.ERROR,
    "mutable-ref": Severity.WARN,
    "network-asked": Severity.ERROR,
    "never-honoured": Severity.WARN,
    "limits-differ": Severity.WARN,
    "branches-differ": Severity.WARN,
    "files": Severity.ERROR,
    "shell": Severity.NOTE,
    "output-varies": Severity.NOTE,
    "repaired": Severity.NOTE,
    "too-large": Severity.ERROR,
    "shape": Severity.ERROR,
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing found. `line` counts from 1, 0: no line of its own; `path` is the place in the job, as `job.Spec.Docker.Image`."""

    line: int
    code: str
    path: str
    message: str
    fix: str = ""

    @property
    def severity(self) -> Severity:
        return CODES[self.code]

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "severity": str(self.severity), **{k: v for k, v in asdict(self).items() if k != "code"}}


class Report:
    """Findings as they come; read them in the order of the file."""

    def __init__(self) -> None:
        self._found: set[Finding] = set()

    def add(self, code: str, line: int, path: str, message: str, fix: str = "") -> None:
        assert code in CODES
        self._found.add(Finding(line, code, path, message, fix))

    @property
    def findings(self) -> list[Finding]:
        return sorted(self._found)

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity is Severity.ERROR]

    @property
    def codes(self) -> list[str]:
        return sorted({finding.code for finding in self._found})


class Unreadable(Exception):
    """The file cannot be read any further; the report says why."""
