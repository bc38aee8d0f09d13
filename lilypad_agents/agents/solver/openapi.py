"""The OpenAPI 3.1 document of the solver's API, made from the table of endpoints and the protocol's own struct types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lilypad_agents.agents.solver.endpoints import ENDPOINTS, MESSAGE_KINDS, Endpoint
from lilypad_agents.agents.solver.service import DOCUMENT_BYTES, MOST_PAGE, PAGE
from lilypad_agents.agents.solver.wire import (
    API_VERSION,
    MESSAGE_BYTES,
    MOST_LISTED,
    SIGNATURE_BYTES,
    ContentKind,
    OfferState,
)
from lilypad_agents.protocol.lifecycle import DisputeKind, Status
from lilypad_agents.protocol.offers import JobOffer, ResourceOffer
from lilypad_agents.protocol.structs import StructType
from lilypad_agents.protocol.terms import ModuleTerms, PoolTerms

Schema = dict[str, Any]
_SAFE_BITS = 53
_ADDRESS: Schema = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$", "description": "account, checksummed (EIP-55)"}
_WORD: Schema = {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$", "description": "32 bytes"}
_CID: Schema = {"type": "string", "pattern": "^b[a-z2-7]{58}$", "description": "CIDv1, sha2-256, raw or dag-pb"}
_TIME: Schema = {"type": "integer", "minimum": 0, "description": "unix seconds"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string"}
_REASON: Schema = {"type": ["object", "null"], "description": "code, message and figures; null while it is open"}
_STATUS_TEXT = {
    400: "Malformed", 401: "Not signed, or the signature does not count", 403: "Not yours", 404: "Unknown",
    405: "Another method is needed", 406: "No such format", 409: "The state does not allow it", 413: "Too large",
    415: "Wrong media type", 422: "Refused, with reasons", 426: "The client is outdated", 429: "Too much; see Retry-After",
    500: "The solver failed", 503: "Busy, starting or without a chain; see Retry-After", 507: "No space",
}  # fmt: skip
_ALWAYS = (400, 426, 429, 503)


def document() -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lilypad solver",
            "version": API_VERSION,
            "description": "Takes signed offers, matches them, opens deals, relays content and notes between the parties. "
            "Requests are signed by the account key (RFC 9421 message signatures, algorithm eip191-secp256k1).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "parameters": _parameters(),
            "responses": {str(status): _error_response(text) for status, text in _STATUS_TEXT.items()},
            "securitySchemes": {"signature": _security()},
        },
    }


# ---- paths


def _paths() -> Schema:
    paths: Schema = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    paths["/v1/events"] = {"get": _events_operation()}
    paths["/v1/content/{root}"] = {"put": _upload_operation()}
    paths["/ipfs/{cid}"] = {"get": _gateway_operation()}
    paths["/v1/openapi.json"] = {
        "get": {
            "operationId": "openapi",
            "summary": "This document",
            "security": [],
            "responses": {"200": _json_content({"type": "object"}, "This document"), **_refused(_ALWAYS)},
        }
    }
    return paths


def _operation(endpoint: Endpoint) -> Schema:
    made: Schema = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "security": [{"signature": []}] if endpoint.signed else [],
        "responses": {
            "200": _json_content({"$ref": f"#/components/schemas/{endpoint.answer}"}, "Done"),
            **_refused((*_ALWAYS, *([401] if endpoint.signed else ()), *endpoint.refusals)),
        },
    }
    in_path = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    references = [*in_path, *endpoint.query]
    if references:
        made["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in references]
    if endpoint.body:
        schema = {"$ref": f"#/components/schemas/{endpoint.body}"}
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return made


def _events_operation() -> Schema:
    return {
        "operationId": "events",
        "summary": "Hints that something of one's own changed, as server-sent events; never the truth",
        "security": [{"signature": []}],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in ("listeners", "hint")],
        "responses": {
            "200": {"description": "A stream", "content": {"text/event-stream": {"schema": _TEXT}}},
            **_refused((*_ALWAYS, 401, 403, 413)),
        },
    }


def _upload_operation() -> Schema:
    return {
        "operationId": "putContent",
        "summary": "Push a complete tree as a CAR; repeating it is harmless",
        "security": [{"signature": []}],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in ("root", "scope", "kind")],
        "requestBody": {
            "required": True,
            "content": {"application/vnd.ipld.car": {"schema": {"type": "string", "format": "binary"}}},
        },
        "responses": {
            "201": _json_content({"$ref": "#/components/schemas/Pushed"}, "Kept"),
            **_refused((*_ALWAYS, 401, 403, 404, 413, 415, 422, 507)),
        },
    }


def _gateway_operation() -> Schema:
    media = ("application/vnd.ipld.raw", "application/vnd.ipld.car")
    return {
        "operationId": "getContent",
        "summary": "A block or tree by CID (trustless gateway); signed for what is not public",
        "security": [{"signature": []}, {}],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in ("cid", "format", "tree")],
        "responses": {
            "200": {
                "description": "Bytes to be verified",
                "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in media},
            },
            "304": {"description": "Known already"},
            **_refused((*_ALWAYS, 401, 403, 404, 406, 413)),
        },
    }


def _refused(statuses: tuple[int, ...]) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(set(statuses))}


def _json_content(schema: Schema, text: str) -> Schema:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _error_response(text: str) -> Schema:
    return _json_content({"$ref": "#/components/schemas/Error"}, text)


def _security() -> Schema:
    return {
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": "RFC 9421, label `lilypad`: covers @method, @authority, @path, @query, content-digest and any "
        "lilypad-scope and lilypad-kind header; parameters created, nonce, keyid (account) and alg "
        '"eip191-secp256k1": EIP-191 personal_sign over the signature base. Comes with Signature-Input and '
        "Content-Digest (sha-256).",
    }


# ---- parameters


def _parameters() -> Schema:
    def query(name: str, schema: Schema, text: str, **more: Any) -> Schema:
        return {"name": name, "in": "query", "required": False, "schema": schema, "description": text, **more}

    def path(name: str, schema: Schema, text: str) -> Schema:
        return {"name": name, "in": "path", "required": True, "schema": schema, "description": text}

    number = {"type": "string", "pattern": "^[0-9]{1,15}$"}
    states = "|".join(Status.__members__)
    return {
        "offer": path("offer", _WORD, "id of an offer: its EIP-712 struct hash"),
        "deal": path("deal", _WORD, "id of a deal"),
        "root": path("root", _CID, "root of the tree"),
        "cid": path("cid", _CID, "what is wanted"),
        "kind": {
            "name": "Lilypad-Kind",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "enum": [str(kind) for kind in ContentKind]},
            "description": "what the tree is",
        },
        "scope": {
            "name": "Lilypad-Scope",
            "in": "header",
            "required": True,
            "schema": {"type": "string", "pattern": "^(public|(offer|deal) 0x[0-9a-fA-F]{64})$"},
            "description": "who may read it: everybody, or the parties of an offer or deal",
        },
        "kindQuery": query("kind", {"type": "string", "enum": ["job", "resource"]}, "only offers of this kind"),
        "party": query("party", _ADDRESS, "only those of this account"),
        "offerState": query("state", {"type": "string", "enum": [str(state) for state in OfferState]}, "only in this state"),
        "dealStates": query(
            "state", {"type": "string", "pattern": f"^({states})(,({states}))*$"}, "only in these states, by comma"
        ),
        "since": query("since", {"type": "integer", "minimum": 0, "maximum": 10**12}, "block time, unix s, from which on"),
        "cursor": query("cursor", number, "where the part before ended"),
        "after": query("after", {"type": "integer", "minimum": 0, "maximum": 10**12}, "only notes with a larger seq"),
        "limit": query("limit", {"type": "integer", "minimum": 1, "maximum": MOST_PAGE, "default": PAGE}, "most items"),
        "listeners": query(
            "party", {"type": "array", "items": _ADDRESS, "maxItems": 16}, "further accounts, for which one acts", explode=True
        ),
        "hint": query("since", _TEXT, "id of the last hint seen"),
        "format": query("format", {"type": "string", "enum": ["raw", "car"]}, "a block, or a tree"),
        "tree": query("root", _CID, "root of the tree in which the block is"),
    }


# ---- schemas


def _schemas() -> Schema:
    named = {
        "JobOffer": struct_schema(JobOffer.TYPE),
        "ResourceOffer": struct_schema(ResourceOffer.TYPE),
        "ModuleTerms": struct_schema(ModuleTerms.TYPE),
        "PoolTerms": struct_schema(PoolTerms.TYPE),
    }
    return {**named, **_posts(), **_answers()}


def struct_schema(kind: StructType) -> Schema:
    """The strict JSON form of an EIP-712 struct."""
    return _object({member.name: _member(member.type) for member in kind.members}, closed=True)


def _member(kind: str) -> Schema:
    if kind == "address":
        return _ADDRESS
    if kind == "bytes32":
        return _WORD
    if kind == "bool":
        return {"type": "boolean"}
    if kind == "string":
        return _TEXT
    bits = int(kind.removeprefix("uint"))
    if bits <= _SAFE_BITS:
        return {"type": "integer", "minimum": 0, "maximum": 2**bits - 1}
    return {"type": "string", "pattern": "^(0|[1-9][0-9]{0,28})$", "description": f"decimal, below 2^{bits}"}


def _posts() -> Schema:
    signature = _hex(SIGNATURE_BYTES, "signature argument of the core: kind byte first; empty: approved on chain")
    return {
        "JobOfferPost": _object(
            {
                "offer": _ref("JobOffer"),
                "signature": signature,
                "module": _ref("ModuleTerms"),
                "pool": {"anyOf": [_ref("PoolTerms"), {"type": "null"}], "description": "null: Unverified"},
                "inputs": {**_CID, "description": "the inputs document, as a check"},
                "document": _hex(DOCUMENT_BYTES, "the inputs document, where it was not pushed"),
            },
            required=("offer", "signature", "module"),
            closed=True,
        ),
        "ResourceOfferPost": _object(
            {
                "offer": _ref("ResourceOffer"),
                "signature": signature,
                "modules": {
                    "type": ["array", "null"],
                    "items": _WORD,
                    "maxItems": MOST_LISTED,
                    "description": "the versions behind the offer's Merkle root",
                },
            },
            required=("offer", "signature"),
            closed=True,
        ),
        "MessagePost": _object(
            {
                "kind": {"type": "string", "enum": list(MESSAGE_KINDS)},
                "body": {"description": f"any JSON of at most {MESSAGE_BYTES} bytes"},
            },
            closed=True,
        ),
    }


def _answers() -> Schema:
    offer = {
        "id": _WORD, "kind": {"type": "string", "enum": ["job", "resource"]},
        "state": {"type": "string", "enum": [str(state) for state in OfferState]}, "seq": _COUNT, "postedAt": _TIME,
        "expiry": _TIME, "account": _ADDRESS, "matching": {"type": "boolean"}, "dealId": _nullable(_WORD),
        "record": _nullable(_hex(384, "the deal's twelve words")), "reason": _REASON, "offer": {"type": ["object", "null"]},
    }  # fmt: skip
    deal = {
        "id": _WORD, "record": _hex(384, "twelve words"), "status": {"type": "string", "enum": list(Status.__members__)},
        "kind": {"type": "string", "enum": list(DisputeKind.__members__)}, "deliveryChallenged": {"type": "boolean"},
        "deadline": _TIME, "period": _COUNT, "commitment": _hex(22, "0 until a result is posted"), "ending": _TEXT,
        "seq": _COUNT, "openedBlock": _COUNT, "openedAt": _TIME, "changedAt": _TIME, "openedTransaction": _WORD,
        "job": {"type": ["object", "null"]}, "resource": {"type": ["object", "null"]},
        "module": {"type": ["object", "null"]}, "pool": {"type": ["object", "null"]},
    }  # fmt: skip
    message = {
        "seq": _COUNT, "dealId": _WORD, "kind": {"type": "string", "enum": list(MESSAGE_KINDS)}, "sender": _ADDRESS,
        "at": _TIME, "body": {},
    }  # fmt: skip
    why = {
        "counterpart": _WORD, "condition": {"type": ["string", "null"], "description": "null: nothing is in the way"},
        "found": {}, "needed": {}, "message": _TEXT, "figures": {"type": "object"},
    }  # fmt: skip
    match = {
        "seq": _COUNT, "batch": _TEXT, "job": _WORD, "resource": _WORD, "block": _COUNT, "at": _TIME,
        "outcome": {"type": ["string", "null"], "description": "null: under way; opened; or why not"},
    }  # fmt: skip
    pages = {
        f"{name}Page": _object({"items": {"type": "array", "items": _ref(name)}, "cursor": {"type": ["string", "null"]}})
        for name in ("Offer", "Deal", "Message", "Why", "Match")
    }
    return {
        "Info": _object(_info_fields()),
        "Offer": _object(offer),
        "Deal": _object(deal),
        "Message": _object(message),
        "Why": _object(why),
        "Match": _object(match),
        **pages,
        "Sequence": _object({"seq": _COUNT}),
        "Pushed": _object({"root": _CID, "bytes": _COUNT}),
        "Error": _object(
            {"error": _object({"code": _TEXT, "message": _TEXT, "hint": _TEXT, "figures": {"type": "object"}})}
        ),
    }


def _info_fields() -> Mapping[str, Schema]:
    return {
        "version": _TEXT, "chainId": _COUNT, "core": _ADDRESS, "address": _ADDRESS, "feeBps": _COUNT,
        "heartbeatSeconds": {"type": "number"}, "time": _TIME, "clock": _TIME, "block": _COUNT,
        "ready": {"type": "boolean"}, "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
    }  # fmt: skip


def _object(properties: Mapping[str, Schema], *, required: tuple[str, ...] | None = None, closed: bool = False) -> Schema:
    made: Schema = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties if required is None else required),
    }
    return {**made, "additionalProperties": False} if closed else made


def _hex(most: int, text: str) -> Schema:
    return {"type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$", "maxLength": 2 + 2 * most, "description": text}


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


if __name__ == "__main__":
    import json

    print(json.dumps(document(), indent=1))
