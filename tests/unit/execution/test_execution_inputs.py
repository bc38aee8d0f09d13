"""Inputs: schema subset, patterns, typed values, the canonical document, structural substitution, pinned content."""

from __future__ import annotations

import hashlib
import json
import re
import time

import pytest
from execution_support import EMPTY_PROGRAM, VERSION_ID, document
from hypothesis import given, settings
from hypothesis import strategies as st

from lilypad_agents.execution.errors import (
    ContentMismatch,
    InputsInvalid,
    ManifestInvalid,
    ModuleBroken,
    ScheduleUnsupported,
)
from lilypad_agents.execution.inputs import check_files, check_values, make_inputs, parse_assignments, parse_inputs
from lilypad_agents.execution.manifest import parse_manifest
from lilypad_agents.execution.patterns import Pattern, PatternRefused
from lilypad_agents.execution.prepare import prepare, raw_block_cid
from lilypad_agents.execution.schema import SchemaRefused, ValueRefused, check_schema, check_value, fill_defaults

PROPERTIES = {
    "Text": {"type": "string", "maxLength": 20, "pattern": "^[^{}]*$"},
    "Count": {"type": "integer", "minimum": -5, "maximum": 1 << 40, "default": 3},
    "Rate": {"type": "number", "minimum": 0, "maximum": 1e300},
    "Flag": {"type": "boolean"},
    "Mode": {"type": "string", "enum": ["fast", "good"]},
    "List": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/small"}},
    "Nested": {
        "type": "object",
        "additionalProperties": False,
        "required": ["a"],
        "properties": {"a": {"$ref": "#/$defs/small"}, "b": {"type": "string", "maxLength": 5, "default": "bee"}},
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": PROPERTIES,
    "$defs": {"small": {"type": "integer", "minimum": 0, "maximum": 9}},
}


def module(**changes):
    """A manifest with all kinds of inputs, one argument per input, two files and a variable."""
    found = document("inputs", SCHEMA)
    found["wasm"]["args"] = ["prog", *({"join": [f"{name}=", {"input": name}]} for name in PROPERTIES)]
    found["wasm"]["env"] = {"PICTURE": {"file": "cat.jpg"}, "FIXED": "{{ .Text }}"}
    found["files"] = [{"name": "cat.jpg", "required": False, "maxBytes": 10}, {"name": "data.bin", "maxBytes": 10}]
    found["examples"] = [{"inputs": {}, "files": {"data.bin": "x"}, "expect": {}}]
    return parse_manifest({**found, **changes})


def run_args(values, files=None, **changes):
    files = {"data.bin": b"d"} if files is None else files
    manifest = module(**changes)
    inputs = make_inputs(manifest, VERSION_ID, values, {name: raw_block_cid(data) for name, data in files.items()})
    return prepare(manifest, EMPTY_PROGRAM, inputs, files=files)


HOSTILE = [
    '"',
    "'",
    "\\",
    "\n",
    "$(id)",
    "`id`",
    '"],"Image":"evil"',
    "--flag",
    "-",
    "%s%n",
    "ünïcödé",
    "\U0001f404",
    "\u202e",
    " ",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_substitution__hostile_text__is_one_argument_byte_for_byte(text):
    """beh:K2, flt:S11: values never become text of the document."""
    spec = run_args({"Text": text})
    assert spec.args == ("prog", f"Text={text}", "Count=3") and dict(spec.env) == {"FIXED": "{{ .Text }}"}
    assert spec.limits == module().run_limits() and spec.wasm == EMPTY_PROGRAM


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20).filter(lambda text: not set(text) & set("{}\0")))
def test_substitution__any_text__comes_out_as_it_went_in(text):
    """beh:K2, flt:S11."""
    try:
        spec = run_args({"Text": text})
    except InputsInvalid:
        assert any(0xD800 <= ord(character) <= 0xDFFF for character in text)
        return
    assert spec.args[1] == f"Text={text}" and len(spec.args) == 3


def test_substitution__typed_values__have_one_text_form():
    spec = run_args({"Rate": 0.1, "Flag": True, "Count": 7, "List": [1, 2], "Nested": {"a": 1}, "Mode": "good"})
    assert spec.args == (
        "prog",
        "Count=7",
        "Rate=0.1",
        "Flag=true",
        "Mode=good",
        "List=[1,2]",
        'Nested={"a":1,"b":"bee"}',
    )
    assert run_args({"Rate": 1.0}).args[2] == "Rate=1" and run_args({"Rate": 1e21}).args[2] == "Rate=1e+21"


def test_substitution__files__are_paths_and_absent_ones_drop_their_variable():
    with_cat = run_args({}, {"data.bin": b"d", "cat.jpg": b"c"})
    assert dict(with_cat.env)["PICTURE"] == "/inputs/cat.jpg" and with_cat.files["cat.jpg"] == b"c"
    assert "PICTURE" not in dict(run_args({}).env)


def test_document__is_canonical_holds_defaults_and_is_what_the_program_reads():
    """Protocol 5.1: inputs = sha256(document)."""
    manifest = module()
    inputs = make_inputs(manifest, VERSION_ID, {"Text": "é"}, {"data.bin": raw_block_cid(b"d")})
    expected = (
        f'{{"files":{{"data.bin":"{raw_block_cid(b"d")}"}},"module":"{VERSION_ID}","values":{{"Count":3,"Text":"é"}}}}'
    )
    assert inputs.document.decode() == expected and inputs.digest == hashlib.sha256(expected.encode()).digest()
    assert parse_inputs(manifest, inputs.document, module=VERSION_ID) == inputs
    assert prepare(manifest, EMPTY_PROGRAM, inputs, files={"data.bin": b"d"}).files["inputs.json"] == inputs.document


@pytest.mark.parametrize(
    "change",
    [
        lambda d: {**d, "extra": 1},
        lambda d: {k: v for k, v in d.items() if k != "files"},
        lambda d: {**d, "module": "0x12"},
        lambda d: {**d, "values": {}},
        lambda d: {**d, "values": {**d["values"], "Absent": 1}},
        lambda d: {**d, "files": {}},
        lambda d: {**d, "files": {"../../etc/passwd": raw_block_cid(b"")}},
        lambda d: {**d, "files": {"data.bin": "QmOld"}},
        lambda d: [d],
        lambda d: {**d, "values": []},
        lambda d: {**d, "module": "0x" + "cd" * 32},
    ],
    ids=range(11),
)
def test_document__of_the_other_side_with_a_fault__is_refused(change):
    """beh:K5: validated by both sides."""
    manifest = module()
    good = json.loads(make_inputs(manifest, VERSION_ID, {}, {"data.bin": raw_block_cid(b"d")}).document)
    raw = json.dumps(change(good), separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    with pytest.raises(InputsInvalid):
        parse_inputs(manifest, raw, module=VERSION_ID)


def test_document__not_canonical__is_refused():
    manifest = module()
    good = make_inputs(manifest, VERSION_ID, {}, {"data.bin": raw_block_cid(b"d")}).document
    with pytest.raises(InputsInvalid, match="canonical"):
        parse_inputs(manifest, good.replace(b",", b", ", 1))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"Text": 5}, "Text"),
        ({"Text": "x" * 21}, "Text"),
        ({"Text": "{x}"}, "Text"),
        ({"Text": "a\0b"}, "Text"),
        ({"Text": "\ud800"}, ""),
        ({"Count": 1.5}, "Count"),
        ({"Count": "1"}, "Count"),
        ({"Count": True}, "Count"),
        ({"Count": 1 << 60}, ""),
        ({"Count": -6}, "Count"),
        ({"Rate": float("nan")}, ""),
        ({"Rate": float("inf")}, ""),
        ({"Flag": 1}, "Flag"),
        ({"Mode": "slow"}, "Mode"),
        ({"List": [1, 2, 3, 4]}, "List"),
        ({"List": [10]}, "List[0]"),
        ({"Nested": {}}, "Nested"),
        ({"Nested": {"a": 1, "c": 1}}, "Nested"),
        ({"Nested": {"a": 1, "b": "\0"}}, "Nested"),
        ({"Absent": 1}, ""),
    ],
)
def test_values__that_do_not_fit__are_refused_by_name(values, field):
    """beh:K5, flt:S10: checked before any money is locked."""
    with pytest.raises(InputsInvalid) as refused:
        check_values(module(), values)
    assert refused.value.figures["field"] == field


def test_values__text_that_only_looks_like_an_escape__is_taken():
    assert check_values(module(), {"Text": "\\u0000"})["Text"] == "\\u0000"


@pytest.mark.parametrize(
    ("assignments", "values"),
    [
        (["Text=a=b, c"], {"Text": "a=b, c"}),
        (["Text="], {"Text": ""}),
        (["Count=-5"], {"Count": -5}),
        (["Rate=2.5e-3"], {"Rate": 0.0025}),
        (["Rate=2"], {"Rate": 2}),
        (["Flag=false"], {"Flag": False}),
        (["List=[1,2]"], {"List": [1, 2]}),
        (['Nested={"a": 1}'], {"Nested": {"a": 1}}),
        ([], {}),
        (['Text="q"'], {"Text": '"q"'}),
    ],
)
def test_assignments__key_and_text__become_typed_values(assignments, values):
    assert parse_assignments(module(), assignments) == values


@pytest.mark.parametrize(
    "assignment",
    [
        "Text",
        "=x",
        "text=x",
        "Count=1.0",
        "Count=0x1",
        "Count= 1",
        "Count=",
        "Count=1_000",
        "Count=\u0661",
        "Flag=True",
        "Rate=nan",
        "Rate=.5",
        "List=[1",
        "Nested=1e999",
        "List=" + "[" * 5000,
    ],
)
def test_assignments__of_the_wrong_form__are_refused(assignment):
    with pytest.raises(InputsInvalid):
        check_values(module(), parse_assignments(module(), [assignment]))


def test_assignments__wrong_name__suggests_the_nearest():
    with pytest.raises(InputsInvalid, match="did you mean Count"):
        parse_assignments(module(), ["Cuont=1"])


@pytest.mark.parametrize(
    "files", [{}, {"cat.jpg": 1}, {"data.bin": 11}, {"data.bin": 1, "../data.bin": 1}, {"data.bin": 1, "x": 1}]
)
def test_files__undeclared_missing_or_too_large__are_refused(files):
    """beh:K5."""
    with pytest.raises(InputsInvalid):
        check_files(module(), files)


def test_prepare__content_that_is_not_what_was_pinned__never_starts():
    """beh:K6, flt:S14: artefact, input file and weights are compared after loading."""
    found = document("artifacts", [{"path": "w/weights.bin", "cid": raw_block_cid(b"weights"), "bytes": 7}])
    found["files"] = [{"name": "data.bin", "maxBytes": 10}]
    found["examples"] = [{"files": {"data.bin": "x"}, "expect": {}}]
    manifest = parse_manifest(found)
    inputs = make_inputs(manifest, VERSION_ID, {}, {"data.bin": raw_block_cid(b"d")})
    good = {"files": {"data.bin": b"d"}, "artifacts": {"w/weights.bin": b"weights"}}
    assert set(prepare(manifest, EMPTY_PROGRAM, inputs, **good).files) == {"data.bin", "inputs.json", "w/weights.bin"}
    for wasm, changes in (
        (EMPTY_PROGRAM + b"\0", {}),
        (EMPTY_PROGRAM, {"files": {"data.bin": b"e"}}),
        (EMPTY_PROGRAM, {"artifacts": {"w/weights.bin": b"Weights"}}),
        (EMPTY_PROGRAM, {"artifacts": {"w/weights.bin": b"weight"}}),
    ):
        with pytest.raises(ContentMismatch):
            prepare(manifest, wasm, inputs, **(good | changes))
    with pytest.raises(ModuleBroken):
        prepare(manifest, EMPTY_PROGRAM, inputs, files=good["files"])
    for files in ({}, {"data.bin": b"d", "more": b""}):
        with pytest.raises(InputsInvalid):
            prepare(manifest, EMPTY_PROGRAM, inputs, files=files, artifacts=good["artifacts"])


def test_prepare__large_artefact__needs_a_unixfs_function():
    big = EMPTY_PROGRAM + b"\0" * (1 << 20)
    manifest = parse_manifest(document())
    inputs = make_inputs(manifest, VERSION_ID, {}, {})
    with pytest.raises(ContentMismatch, match="raw-block"):
        prepare(manifest, big, inputs)
    assert prepare(manifest, big, inputs, content_cid=lambda data: manifest.wasm.module).wasm == big


def test_prepare__another_fuel_schedule__is_refused():
    """beh:K10: provider and mediators must share who counts."""
    manifest = parse_manifest(
        document("metering", {"kind": "fuel", "per": 1, "schedule": "wasmtime-46.0.0/lilypad-wasi-1"})
    )
    with pytest.raises(ScheduleUnsupported, match="46"):
        prepare(manifest, EMPTY_PROGRAM, make_inputs(manifest, VERSION_ID, {}, {}))


def test_seed__by_policy__is_nothing_the_deal_or_an_input():
    def seeded(policy, **extra):
        found = document("seed", {"policy": policy, **extra})
        found["inputs"]["properties"]["Seed"] = {"type": "integer", "minimum": 0, "maximum": 99, "default": 5}
        found["wasm"]["args"] = [] if policy == "none" else [{"seed": True}]
        manifest = parse_manifest(found)
        return prepare(manifest, EMPTY_PROGRAM, make_inputs(manifest, VERSION_ID, {}, {}), deal_seed=b"\xff" * 32)

    assert (seeded("none").seed, seeded("none").args) == (bytes(32), ())
    assert (seeded("deal").seed, seeded("deal").args) == (b"\xff" * 32, (str((1 << 63) - 1),))
    by_input = seeded("input", input="Seed")
    assert by_input.args == ("5",) and by_input.seed not in (bytes(32), b"\xff" * 32)


def test_prepare__values_over_the_systems_bounds__are_refused():
    found = document("inputs.properties.Message.maxLength", 1 << 20)
    manifest = parse_manifest(found)
    with pytest.raises(InputsInvalid, match="131072"):
        prepare(manifest, EMPTY_PROGRAM, make_inputs(manifest, VERSION_ID, {"Message": "x" * 131_073}, {}))
    found["wasm"]["args"] = [{"input": "Message"}] * 10
    manifest = parse_manifest(found)
    with pytest.raises(InputsInvalid, match="1048576"):
        prepare(manifest, EMPTY_PROGRAM, make_inputs(manifest, VERSION_ID, {"Message": "x" * 131_000}, {}))


BAD_SCHEMAS = {
    "remote reference": {"$ref": "https://example.org/s.json"},
    "file reference": {"$ref": "file:///etc/passwd"},
    "unknown definition": {"$ref": "#/$defs/absent"},
    "pointer elsewhere": {"$ref": "#/properties/A"},
    "no type": {"maxLength": 5},
    "two types": {"type": ["string", "null"], "maxLength": 1},
    "no bound": {"type": "string"},
    "no upper bound": {"type": "integer", "minimum": 0},
    "unbounded array": {"type": "array", "items": {"type": "boolean"}},
    "no items": {"type": "array", "maxItems": 3},
    "open object": {"type": "object", "properties": {}},
    "format": {"type": "string", "maxLength": 3, "format": "date"},
    "anyOf": {"anyOf": []},
    "wrong keyword for type": {"type": "boolean", "maxLength": 3},
    "required unknown": {"type": "object", "additionalProperties": False, "properties": {}, "required": ["x"]},
    "look-ahead": {"type": "string", "maxLength": 9, "pattern": "(?=x)"},
    "negative length": {"type": "string", "maxLength": -1},
    "fraction in multipleOf": {"type": "integer", "minimum": 0, "maximum": 9, "multipleOf": 0.1},
    "boolean bound": {"type": "integer", "minimum": False, "maximum": 9},
    "empty enum": {"type": "string", "enum": []},
    "enum of other type": {"type": "string", "enum": [1]},
    "default of other type": {"type": "boolean", "default": 1},
    "pattern over long texts": {"type": "string", "maxLength": 1 << 20, "pattern": "^a{20}$"},
    "pattern no text": {"type": "string", "maxLength": 9, "pattern": 5},
    "pattern over many texts": {
        "type": "array",
        "maxItems": 1000,
        "items": {"type": "string", "maxLength": 1000, "pattern": "^a{20}$"},
    },
    "pattern without bound": {"type": "string", "enum": ["a"], "pattern": "a"},
    "no dictionary of items": {"type": "array", "maxItems": 2, "items": 5, "uniqueItems": True},
    "unique objects": {
        "type": "array",
        "maxItems": 9,
        "uniqueItems": True,
        "items": {"type": "object", "additionalProperties": False},
    },
    "odd property name": {"type": "object", "additionalProperties": False, "properties": {"a b": {"type": "boolean"}}},
    "true": True,
    "list": [],
}


@pytest.mark.parametrize("name", BAD_SCHEMAS)
def test_schema__outside_the_subset__is_refused(name):
    """flt:S12, flt:S13, beh:K4: nothing remote, nothing unbounded, nothing ignored."""
    with pytest.raises(SchemaRefused):
        check_schema(
            {"type": "object", "additionalProperties": False, "properties": {"A": BAD_SCHEMAS[name]}}, "inputs"
        )


def test_schema__circular_or_exploding_references__are_refused_at_once():
    """flt:S12."""

    def schema(definitions):
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {"A": {"$ref": "#/$defs/d0"}},
            "$defs": definitions,
        }

    loop = {"d0": {"$ref": "#/$defs/d1"}, "d1": {"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/d0"}}}
    bomb = {
        f"d{n}": {
            "type": "object",
            "additionalProperties": False,
            "properties": {k: {"$ref": f"#/$defs/d{n + 1}"} for k in "abcdefgh"},
        }
        for n in range(20)
    }
    bomb["d20"] = {"type": "boolean"}
    started = time.monotonic()
    for definitions in (loop, bomb):
        with pytest.raises(SchemaRefused):
            check_schema(schema(definitions), "inputs")
    assert time.monotonic() - started < 5


def test_defaults__are_filled_at_every_level_and_keep_what_is_given():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {"b": {"default": 1}}}, "c": {"default": 2}},
    }
    assert fill_defaults({"a": {}}, schema) == {"a": {"b": 1}, "c": 2}
    assert fill_defaults({"c": 3}, schema) == {"c": 3}


def test_value__message__is_short_and_says_the_bound():
    with pytest.raises(ValueRefused) as refused:
        check_value({"Text": "x" * 10_000}, SCHEMA, "")
    assert len(str(refused.value)) < 200 and "maxLength 20" in str(refused.value)


MATCHES = [
    ("^[a-z]+$", ["abc", "", "aB", "a\n"]),
    ("colou?r", ["the color red", "colour", "colr"]),
    ("^(a|b)*c$", ["ababc", "c", "ab"]),
    ("^(?:ab){2,3}$", ["ab", "abab", "ababab", "abababab"]),
    (r"^\d{4}-\d{2}$", ["2024-06", "24-06", "٢٠٢٤-٠٦"]),
    ("a.c", ["abc", "a\nc", "ac"]),
    (r"[^\w\s]", ["word", "wor-d", "a b"]),
    (r"^\.\*$", [".*", "aa"]),
    ("^$", ["", "x"]),
    ("", ["", "x"]),
    ("x{0}y", ["y", "xy"]),
    ("[]x-]|[a\\-z]", []),
    ("^[a-cx-z_-]+$", ["ax_-", "d"]),
    ("(^a|b$)", ["ax", "xb", "xax"]),
    ("^a{3,}$", ["aa", "aaa", "aaaaa"]),
    ("[\\]\\\\]", ["]", "\\", "x"]),
]


@pytest.mark.parametrize(("pattern", "texts"), MATCHES, ids=lambda value: str(value)[:30])
def test_pattern__search__agrees_with_python_in_ascii_mode(pattern, texts):
    if not texts:
        with pytest.raises(PatternRefused):
            Pattern(pattern)
        return
    reference = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    assert {text: Pattern(pattern).search(text) for text in texts} == {
        text: bool(reference.search(text)) for text in texts
    }


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\w", "^", "$"]),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map("".join),
            st.tuples(inner, inner).map(lambda p: f"(?:{p[0]}|{p[1]})"),
            st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}"])).map(lambda p: f"(?:{p[0]}){p[1]}"),
        ),
        max_leaves=6,
    ),
    st.text("ab-", max_size=6),
)
def test_pattern__any_expression__agrees_with_python(pattern, text):
    assert Pattern(pattern).search(text) == bool(re.search(pattern.replace("$", r"\Z"), text, re.ASCII)), pattern


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(a*)*b", "^(a?){25}a{25}$", "(x+x+)+y"])
def test_pattern__that_explodes_in_backtracking_engines__is_linear(pattern):
    """flt:S12: a publisher's pattern cannot stall a provider."""
    started = time.monotonic()
    Pattern(pattern).search("a" * 4096 + "!")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[",
        "[]",
        "[z-a]",
        "*",
        "a**",
        "a+?",
        "a{2}{3}",
        "a{3,2}",
        "a{1001}",
        "a{",
        "a{,3}",
        "{1}",
        r"\1",
        r"\b",
        r"\p{L}",
        "(?=a)",
        "(?i)a",
        "(?P<n>a)",
        "^*",
        "\\",
        "[\\D]",
        "(a{1000}){1000}",
        "x" * 501,
        "(" * 30 + ")" * 30,
    ],
)
def test_pattern__outside_the_subset__is_refused(pattern):
    with pytest.raises(PatternRefused):
        Pattern(pattern)


def test_manifest__schema_fault__names_its_place():
    with pytest.raises(ManifestInvalid) as refused:
        parse_manifest(document("inputs.properties.Message.pattern", "(?=x)"))
    assert refused.value.figures["field"] == "inputs.properties.Message.pattern"
