"""Manifest v2: every field is honoured or refused, one canonical form, the published schema agrees."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import jsonschema
import pytest
from execution_support import MANIFEST, document
from hypothesis import given, settings
from hypothesis import strategies as st

from lilypad_agents.execution import manifest as manifest_module
from lilypad_agents.execution.errors import ManifestInvalid
from lilypad_agents.execution.job import MIB
from lilypad_agents.execution.manifest import COUNTED_PARTS, parse_manifest, parse_published

SCHEMA = json.loads((Path(manifest_module.__file__).parent / "manifest.schema.json").read_text())
ACCOUNT = "0x" + "Ab" * 20
CID = MANIFEST["wasm"]["module"]
FULL = {
    "title": "Titel",
    "description": "Zwei\nZeilen",
    "authors": ["Ä"],
    "homepage": "https://example.org",
    "icon": CID,
    "tags": ["a-1"],
    "model": {"name": "n", "type": "t", "size": "s"},
    "licence": {"code": "MIT OR (Apache-2.0)", "weights": "NOASSERTION"},
    "source": {"repository": "r", "commit": "c", "recipe": "make"},
    "importedFrom": {"repository": "r", "commit": "c", "path": "p", "flags": ["shell"]},
    "files": [{"name": "cat.jpg", "required": False, "maxBytes": 10, "mediaType": "image/*"}],
    "artifacts": [{"path": "weights/a.bin", "cid": CID, "bytes": 7}],
    "wasm": {
        "module": CID,
        "entry": "main",
        "env": {"SEED": {"seed": True}},
        "args": [
            "{{literal}}",
            {"file": "cat.jpg"},
            {"file": "weights/a.bin"},
            {"join": ["--m=", {"input": "Message"}]},
        ],
    },
    "outputs": {
        "stdout": {"mediaType": "text/plain"},
        "files": [{"path": "a/b.json", "mediaType": "application/json", "required": False}],
    },
    "compare": {"policy": "exact", "counts": ["outputs", "exitCode"], "params": {}},
    "verification": {
        "strategy": ACCOUNT,
        "minAuditBps": 800,
        "minSeatFee": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
    },
    "deterministic": True,
    "metering": {"kind": "fuel", "per": 1000, "schedule": "wasmtime-50.0.1/lilypad-wasi-1"},
    "seed": {"policy": "deal"},
    "royaltyBps": 3000,
    "royaltyTo": ACCOUNT,
    "parent": None,
    "x-own": {"any": ["thing"]},
}


def full(**changes):
    return {**document(), **FULL, **changes}


def agrees_with_schema(value) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(value)


def test_parse__all_fields__are_read_with_their_types():
    """beh:K4, beh:K5."""
    found = parse_manifest(full())
    assert found.files[0].name == "cat.jpg" and not found.files[0].required and found.artifacts[0].size == 7
    assert found.compare.counts == ("exitCode", "outputs") and found.verification.min_seat_fee == (1 << 256) - 1
    assert found.royalty_bps == 3000 and found.metering.per == 1000 and found.wasm.entry == "main"
    assert agrees_with_schema(full())


def test_parse__defaults__are_those_of_the_notes():
    found = parse_manifest(document())
    assert found.wasm.entry == "_start" and found.deterministic and found.metering.kind == "none"
    assert found.compare.counts == COUNTED_PARTS and found.verification.strategy is None
    assert (found.royalty_bps, found.royalty_to, found.parent) == (0, None, None)
    assert agrees_with_schema(document())


def test_run_limits__come_from_limits_and_resources():
    found = parse_manifest(document()).run_limits()
    assert (found.memory_bytes, found.scratch_bytes, found.fuel, found.output_files) == (64 * MIB, MIB, 50_000_000, 10)


def test_digest__order_of_keys_and_spacing__do_not_matter():
    reordered = dict(reversed(list(document().items())))
    first, second = parse_manifest(json.dumps(document(), indent=3)), parse_manifest(reordered)
    assert first.canonical == second.canonical and first.digest == hashlib.sha256(first.canonical).digest()


def test_published__other_bytes_than_pinned__are_refused():
    """flt:S14, beh:K6: the digest is checked before anything is read."""
    good = parse_manifest(document())
    assert parse_published(good.canonical, good.digest).name == "cowsay"
    with pytest.raises(ManifestInvalid, match="digest"):
        parse_published(good.canonical + b" ", good.digest)
    loose = json.dumps(document()).encode()
    with pytest.raises(ManifestInvalid, match="canonical"):
        parse_published(loose, hashlib.sha256(loose).digest())


# (place, value): each must be refused, with the place (or its parent) in the message; the schema must refuse it too.
BAD = [
    ("schema", "lilypad/module@3"),
    ("schema", None),
    ("unknown", 1),
    ("wasm.unknown", 1),
    ("limits.gas", 1),
    ("resources.flags", ["X"]),
    ("publisher", "0x12"),
    ("publisher", "Upper"),
    ("publisher", 5),
    ("name", "Cow"),
    ("name", "-cow"),
    ("name", "c" * 64),
    ("name", ""),
    ("version", ""),
    ("version", ".1"),
    ("version", "v 1"),
    ("version", "v" * 65),
    ("title", "x" * 121),
    ("title", None),
    ("licence", {}),
    ("licence.code", "a\nb"),
    ("licence.extra", "MIT"),
    ("tags", ["A"]),
    ("tags", "a"),
    ("homepage", "ftp://x"),
    ("network", "http"),
    ("network", "full"),
    ("engine", "docker"),
    ("engine", None),
    ("container", {}),
    ("bacalhau", {}),
    ("wasm.module", "latest"),
    ("wasm.module", "bafkrei" + "A" * 52),
    ("wasm.module", CID + "a"),
    ("wasm.args", "x"),
    ("wasm.args", [5]),
    ("wasm.args", [{"inputs": "Message"}]),
    ("wasm.args", [{"input": "Message", "file": "x"}]),
    ("wasm.args", [{"seed": False}]),
    ("wasm.args", [{"join": []}]),
    ("wasm.args", [{"join": [{"join": ["a"]}]}]),
    ("wasm.args", ["a"] * 257),
    ("wasm.env", {"A-B": "x"}),
    ("wasm.env", {"1A": "x"}),
    ("wasm.env", {"A": 1}),
    ("wasm.env", []),
    ("files", [{"name": "a", "maxBytes": -1}]),
    ("files", [{"name": "a"}]),
    ("files", [{"name": "a/b", "maxBytes": 1}]),
    ("artifacts", [{"path": "a", "cid": "x", "bytes": 1}]),
    ("compare.policy", "equal"),
    ("compare", {}),
    ("compare.counts", []),
    ("compare.counts", ["stdout", "stdout"]),
    ("compare.counts", ["time"]),
    ("compare.policy", None),
    ("verification.minAuditBps", 10_001),
    ("verification.strategy", "x"),
    ("verification.minSeatFee", "007"),
    ("verification.minSeatFee", -1),
    ("deterministic", 1),
    ("deterministic", "true"),
    ("resources.ramMib", 0),
    ("resources.ramMib", 1.5),
    ("resources.ramMib", "64"),
    ("resources.ramMib", True),
    ("resources.cpuMilli", 0),
    ("limits.fuel", 0),
    ("limits.fuel", str(1 << 63)),
    ("limits.fuel", "100"),
    ("limits.wallSeconds", 0),
    ("limits.wallSeconds", 604_801),
    ("limits.outputFiles", 8_001),
    ("limits.stdoutBytes", 1 << 31),
    ("metering", {"kind": "seconds"}),
    ("metering", {}),
    ("seed", {}),
    ("seed", {"policy": "time"}),
    ("royaltyBps", 3001),
    ("royaltyBps", -1),
    ("royaltyTo", "x"),
    ("parent", "0x" + "A" * 64),
    ("examples", []),
    ("examples", [{}]),
    ("examples", [{"inputs": {}, "expect": {"exitCode": 512}}]),
    ("inputs", {"type": "string"}),
    ("inputs", []),
    ("outputs", {"files": [{"mediaType": "a/b"}]}),
    ("outputs", {"stdout": {"mediaType": "text"}}),
]


@pytest.mark.parametrize(("place", "value"), BAD, ids=lambda value: str(value)[:40])
def test_parse__one_field_wrong__is_refused_and_named(place, value):
    """beh:K4: nothing is silently ignored."""
    changed = document(place, value)
    with pytest.raises(ManifestInvalid) as refused:
        parse_manifest(changed)
    named = refused.value.figures["field"]
    assert named.split(".")[0].split("[")[0] == place.split(".")[0], named
    if value != str(1 << 63):  # the schema has no bound for numbers written as text
        assert not agrees_with_schema(changed)


# Rules between fields, which a JSON Schema cannot say.
CONTRADICTIONS = [
    ("wasm.args", [{"input": "Absent"}]),
    ("wasm.args", [{"file": "absent"}]),
    ("wasm.args", [{"seed": True}]),
    ("wasm.args", ["a\0b"]),
    ("wasm.args", ["x" * 131_073]),
    ("files", [{"name": "inputs.json", "maxBytes": 1}]),
    ("files", [{"name": "..", "maxBytes": 1}]),
    ("files", [{"name": "a", "maxBytes": 1}] * 2),
    ("artifacts", [{"path": "../a", "cid": CID, "bytes": 1}]),
    ("artifacts", [{"path": "inputs.json", "cid": CID, "bytes": 1}]),
    ("artifacts", [{"path": "a", "cid": CID, "bytes": 1}, {"path": "a/b", "cid": CID, "bytes": 1}]),
    ("deterministic", False),
    ("seed", {"policy": "input"}),
    ("seed", {"policy": "input", "input": "Message"}),
    ("seed", {"policy": "none", "input": "Message"}),
    ("resources.gpuCount", 1),
    ("resources.vramMib", 1),
    ("resources.ramMib", 4097),
    ("resources.diskMib", 4097),
    ("limits.processes", 2),
    ("limits.outputBytes", (1 << 30) + 1),
    ("metering", {"kind": "tokens", "per": 1, "schedule": "s"}),
    ("metering", {"kind": "none", "per": 1}),
    ("metering", {"kind": "fuel", "per": 1}),
    ("royaltyBps", 1),
    ("compare.params", {"atol": 1}),
    ("outputs", {"files": [{"path": "outputs/x"}]}),
    ("outputs", {"files": [{"path": "/x"}]}),
    ("examples", [{"inputs": {"Message": 5}, "expect": {}}]),
    ("examples", [{"inputs": {"Absent": 5}, "expect": {}}]),
    ("examples", [{"files": {"absent": "x"}, "expect": {}}]),
    ("title", "e\u0301"),
    ("title", "a\u202eb"),
    ("title", "a\x1b[2J"),
    ("inputs.properties.Message.default", 5),
    ("inputs.properties.Message.format", "uri"),
    ("inputs.properties.Message", {"type": "string"}),
]


@pytest.mark.parametrize(("place", "value"), CONTRADICTIONS, ids=lambda value: str(value)[:40])
def test_parse__fields_that_contradict_each_other__are_refused(place, value):
    """beh:K2, beh:K4, beh:K15, flt:S10."""
    with pytest.raises(ManifestInvalid):
        parse_manifest(document(place, value))


@pytest.mark.parametrize(
    "place",
    [
        "schema",
        "publisher",
        "name",
        "version",
        "licence",
        "engine",
        "wasm",
        "network",
        "seed",
        "inputs",
        "compare",
        "resources",
        "limits",
        "examples",
        "limits.fuel",
        "wasm.module",
    ],
)
def test_parse__required_field_absent__is_refused_by_parser_and_schema(place):
    changed = document(place, remove=True)
    with pytest.raises(ManifestInvalid):
        parse_manifest(changed)
    assert not agrees_with_schema(changed)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"nul",
        b"\xff",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b"[" * 100_000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'{"schema": "lilypad/module@2"} trailing',
        b'{"a": ' + b"9" * 10_000 + b"}",
        b"[" + b"1," * 10_001 + b"1]",
        b" " * 300_000,
        b'{"a": "\\ud800"}',
        b'{"a": 9007199254740993}',
    ],
    ids=range(16),
)
def test_parse__text_that_is_no_bounded_json__is_refused(text):
    """flt:S12: depth, nodes, size, duplicate keys, numbers without one meaning."""
    with pytest.raises(ManifestInvalid):
        parse_manifest(text)


def test_parse__source_manifest__may_lack_the_publisher_and_names_a_file():
    source = document("publisher", remove=True)
    source["wasm"]["module"] = "build/cow.wasm"
    assert parse_manifest(source, source=True).publisher is None
    with pytest.raises(ManifestInvalid, match="publisher"):
        parse_manifest(source)
    source["wasm"]["module"] = "../cow.wasm"
    with pytest.raises(ManifestInvalid):
        parse_manifest(source, source=True)


@pytest.mark.parametrize("field", ["fuel", "wallSeconds"])
def test_parse__integer_that_json_readers_would_round__is_refused_by_its_name(field):
    """The notes: fractions, and integers above 2^53, are decimal strings."""
    for value in ((1 << 53), -(1 << 60), 10**300):
        with pytest.raises(ManifestInvalid) as refused:
            parse_manifest(document(f"limits.{field}", value))
        assert refused.value.figures["field"] == f"limits.{field}" and "decimal string" in refused.value.message


def test_parse__path_trick__names_the_field_once():
    with pytest.raises(ManifestInvalid) as refused:
        parse_manifest(document("artifacts", [{"path": "../a", "cid": CID, "bytes": 1}]))
    assert refused.value.message.count("artifacts[0].path") == 1


def test_parse__source_whose_royalty_goes_to_nobody__is_refused():
    source = document("publisher", remove=True) | {"royaltyBps": 5, "royaltyTo": "0x" + "00" * 20}
    source["wasm"]["module"] = "cow.wasm"
    with pytest.raises(ManifestInvalid, match="royaltyTo: is nobody"):
        parse_manifest(source, source=True)


def container(**changes):
    found = document("wasm", remove=True)
    section = {
        "imageId": "sha256:" + "a" * 64,
        "archive": CID,
        "platform": "linux/amd64",
        "args": [{"input": "Message"}],
    }
    return {**found, "engine": "container", "container": section | changes}


def test_parse__container__takes_an_image_id_and_never_a_tag():
    """beh:K6, flt:S14."""
    assert parse_manifest(container()).compare.counts == ("exitCode", "stdout", "outputs")
    assert agrees_with_schema(container())
    for changes in (
        {"imageId": "ubuntu:latest"},
        {"platform": "windows"},
        {"privileged": True},
        {"workdir": "relative"},
    ):
        with pytest.raises(ManifestInvalid):
            parse_manifest(container(**changes))
        assert not agrees_with_schema(container(**changes))


def test_parse__bacalhau__has_the_fields_of_its_kind():
    docker = {**container()["container"], "kind": "docker"}
    found = {**document("wasm", remove=True), "engine": "bacalhau", "bacalhau": docker}
    assert parse_manifest(found).bacalhau["kind"] == "docker" and agrees_with_schema(found)
    found["bacalhau"] = {"kind": "wasm", "imageId": "sha256:" + "a" * 64}
    with pytest.raises(ManifestInvalid):
        parse_manifest(found)


def test_schema__names_exactly_the_fields_that_the_parser_knows():
    """Each property of the published schema is known to the parser; the full example uses all but other engines'."""
    used = set(full()) - {"x-own"}
    assert set(SCHEMA["properties"]) - used == {"container", "bacalhau"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 1 << 60)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "string", "object", "array", "#/$defs/a", "integer"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "maxItems",
                    "maxLength",
                    "$ref",
                    "$defs",
                    "enum",
                    "default",
                    "required",
                    "additionalProperties",
                    "minimum",
                    "maximum",
                    "pattern",
                    "uniqueItems",
                    "const",
                    "a",
                    "input",
                    "join",
                    "name",
                    "path",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def places(value, path=()):
    yield path
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(child, (*path, key))


def put(value, path, new):
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = put(copied[path[0]], path[1:], new)
    return copied


@settings(max_examples=600, deadline=None)
@given(st.sampled_from([path for path in places(full()) if path]), JSON)
def test_parse__any_place_replaced_by_any_json__is_taken_or_refused_and_nothing_else(path, value):
    """beh:K4, flt:S12: a hostile manifest ends in ManifestInvalid, never in another exception."""
    try:
        parsed = parse_manifest(put(full(), path, value))
    except ManifestInvalid:
        return
    assert parse_manifest(parsed.canonical).digest == parsed.digest


@settings(max_examples=600, deadline=None)
@given(JSON, JSON)
def test_parse__any_schema_of_inputs__is_taken_or_refused_and_nothing_else(child, definitions):
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"Message": child},
        "$defs": {"a": definitions},
    }
    try:
        parse_manifest(document("inputs", schema))
    except ManifestInvalid:
        pass
