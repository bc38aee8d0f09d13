"""`module import`: an old module's text in, a source manifest v2 and a report out. Same text, same bytes.

Caps: 64 KiB, 2,000 values, 32 levels, 24 branches; every step is linear in the text, so that the whole takes well under
a second. Nothing is executed, fetched or looked up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lilypad_agents.execution.oldmodule.jobs import Job, job_in
from lilypad_agents.execution.oldmodule.loosejson import Item, JsonReader
from lilypad_agents.execution.oldmodule.manifest import build_manifest
from lilypad_agents.execution.oldmodule.report import Report, Unreadable
from lilypad_agents.execution.oldmodule.substitution import Substituter
from lilypad_agents.execution.oldmodule.template import Action, Node, TemplateParser, line_of
from lilypad_agents.execution.oldmodule.variants import holds_holes, lay_out

MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Origin:
    """What the file does not say. `image_id` and `archive`: the container's content, where the user knows it."""

    name: str
    version: str = "v0.1.0"
    repository: str | None = None
    ref: str | None = None
    commit: str | None = None
    path: str = "lilypad_module.json.tmpl"
    image_id: str | None = None
    archive: str | None = None


@dataclass(frozen=True)
class Imported:
    """`manifest` is None when the text could not be read to its end."""

    manifest: dict[str, Any] | None
    report: Report

    def manifest_bytes(self) -> bytes:
        assert self.manifest is not None
        return (json.dumps(self.manifest, indent=2, ensure_ascii=False) + "\n").encode()


def import_module(raw: bytes, origin: Origin, *, repair: bool = False) -> Imported:
    """Never raises for what the text holds: the report says what is wrong, by line."""
    report = Report()
    try:
        source = _text(raw, report)
        nodes, parser = _parsed(source, report)
        variants = _variants(nodes, parser, source, report, repair)
        jobs = [job_in(variant, report) for variant in variants]
    except Unreadable:
        return Imported(None, report)
    substituter = Substituter(source, report)
    manifest = build_manifest(jobs, [branch.input for branch in parser.branches], substituter, origin, report)
    for job in jobs:
        _strangers(job, source, report)
    _mutable_ref(origin, report)
    manifest["importedFrom"]["flags"] = report.codes
    return Imported(manifest, report)


def _text(raw: bytes, report: Report) -> str:
    if len(raw) > MAX_BYTES:
        report.add("too-large", 0, "", f"has {len(raw)} bytes, {MAX_BYTES} are allowed")
        raise Unreadable
    try:
        source = raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        report.add("not-json", 0, "", "is not UTF-8")
        raise Unreadable from None
    if holds_holes(source):
        report.add("not-json", 0, "", "holds a private-use character")
        raise Unreadable
    return source


def _parsed(source: str, report: Report) -> tuple[list[Node], TemplateParser]:
    parser = TemplateParser(source, report)
    return parser.parse(), parser


def _variants(nodes: list[Node], parser: TemplateParser, source: str, report: Report, repair: bool) -> list[Item]:
    """The text with every branch taken, then once for each branch with its `else` instead."""
    found = []
    for other in (frozenset(), *(frozenset({branch.number}) for branch in parser.branches)):
        found.append(JsonReader(lay_out(nodes, other), source, report, repair=repair).read())
    return found


def _strangers(job: Job, source: str, report: Report) -> None:
    """Actions outside of arguments and variables: an input never chooses anything else."""
    for path, item in job.elsewhere():
        for part in item.parts:
            if isinstance(part, Action):
                shown = f"`{{{{{part.source[:80]}}}}}`"
                report.add(
                    "value-in-structure", line_of(source, part.at), path,
                    f"{shown} would let an input choose {path.rpartition('.')[2] or 'the job'}",
                    "Write the value out; inputs go into Entrypoint and EnvironmentVariables only.",
                )  # fmt: skip


def _mutable_ref(origin: Origin, report: Report) -> None:
    ref = origin.ref
    if ref is not None and not (len(ref) == 40 and all(c in "0123456789abcdef" for c in ref)):
        known = f"it was {origin.commit} when this was imported" if origin.commit else "its commit is not known"
        report.add("mutable-ref", 0, "", f"{ref[:100]} is a branch or tag that can move; {known}", "Name the commit, 40 hexadecimal digits.")
