"""The published document is the one that is served, and says what the table of endpoints says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from lilypad_agents.agents.solver.endpoints import ENDPOINTS
from lilypad_agents.agents.solver.openapi import document, struct_schema
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from tests.support.chain import PROJECT
from tests.support.live_offers import job, resource


def test_document__committed_copy__is_equal() -> None:
    """Write it anew with `python -m lilypad_agents.agents.solver.openapi > docs/api/solver-openapi.json`. beh:I8"""
    committed = json.loads((PROJECT / "docs" / "api" / "solver-openapi.json").read_text(encoding="utf-8"))
    assert committed == json.loads(json.dumps(document()))


def test_document__every_reference__leads_somewhere() -> None:
    made = document()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                found: Any = made
                for part in value["$ref"].removeprefix("#/").split("/"):
                    found = found[part]
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(made)


def test_document__every_endpoint__is_in_it_with_its_rights() -> None:
    paths = document()["paths"]
    for endpoint in ENDPOINTS:
        operation = paths[endpoint.path][endpoint.method.lower()]
        assert bool(operation["security"]) == endpoint.signed
        assert ("401" in operation["responses"]) == endpoint.signed


def test_struct_schema__real_offers__are_valid_and_changed_ones_are_not() -> None:
    for kind, entry in ((JobOffer, job()), (ResourceOffer, resource())):
        schema, value = struct_schema(kind.TYPE), entry.offer.to_json()
        jsonschema.validate(value, schema)
        for wrong in ({**value, "nonce": -1}, {**value, "token": "0x12"}, {**value, "more": 1}, {**value, "price": 5}):
            if wrong != value and kind is ResourceOffer or "price" not in wrong:
                assert list(jsonschema.Draft202012Validator(schema).iter_errors(wrong))
