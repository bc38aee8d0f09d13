"""Checks what commands print against the schemas that ship with them."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator


def check_object(text: str) -> Any:
    """The one JSON object of a --json command, checked: form, data of its command, and that nothing else was printed."""
    found = json.loads(text)
    _validator("result").validate(found)
    if found["data"] is not None:
        _validator(found["command"].replace(" ", "-")).validate(found["data"])
    return found


def check_events(text: str) -> list[Any]:
    """The lines of a --jsonl command, checked; the last one is the end."""
    events = [json.loads(line) for line in text.splitlines()]
    for event in events:
        _validator("event").validate(event)
    if events and events[-1]["event"] == "end":
        last = {name: value for name, value in events[-1].items() if name not in ("time", "event")}
        check_object(json.dumps(last))
    return events


@cache
def _validator(name: str) -> Draft202012Validator:
    path = resources.files("lilypad_agents.cli.schemas") / f"{name}.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
