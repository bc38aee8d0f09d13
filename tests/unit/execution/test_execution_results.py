"""What leaves a run: result directory, counted parts, receipt, comparison, metering, names and display."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

import pytest
from execution_support import LIMITS, document

from lilypad_agents.content.importer import tree_cid
from lilypad_agents.execution.compare import SUPPORTED_POLICIES, check_policy, same_result
from lilypad_agents.execution.display import printable
from lilypad_agents.execution.errors import NameRefused, PolicyUnsupported, ResultRefused, ScheduleUnsupported
from lilypad_agents.execution.job import ExitClass, RunResult
from lilypad_agents.execution.manifest import POLICIES, Compare, parse_manifest
from lilypad_agents.execution.metering import units
from lilypad_agents.execution.names import check_path, is_nfc
from lilypad_agents.execution.receipt import Receipt, parse_receipt, run_facts, sign_receipt, verify_receipt
from lilypad_agents.execution.result import (
    counted_parts,
    declared_output_problems,
    folders,
    parse_result_tree,
    result_tree,
)
from lilypad_agents.execution.schedule import ENGINE_ID, FUEL_SCHEDULE
from lilypad_agents.execution.strictjson import canonical


def result(**changes) -> RunResult:
    values = dict(
        exit_code=0,
        exit_class=ExitClass.OK,
        stdout=b"out",
        stderr=b"err",
        outputs={"a/b.txt": b"data"},
        fuel=12_345,
        peak_memory=65_536,
        wall_ms=5,
        cpu_ms=4,
        engine=ENGINE_ID,
        schedule=FUEL_SCHEDULE,
    )
    return RunResult(**(values | changes))


TREE = {"exitCode": b"0", "stdout": b"out", "stderr": b"err", "outputs/a/b.txt": b"data"}


def test_tree__of_a_result__has_the_four_names_and_comes_back():
    """beh:J23."""
    assert result_tree(result()) == TREE
    assert parse_result_tree(TREE, LIMITS).outputs == {"a/b.txt": b"data"}
    assert result_tree(result(outputs={}, exit_code=380)) == {"exitCode": b"380", "stdout": b"out", "stderr": b"err"}


@pytest.mark.parametrize(
    "change",
    [
        {"exitCode": b""},
        {"exitCode": b"00"},
        {"exitCode": b"-1"},
        {"exitCode": b"0\n"},
        {"exitCode": b"300"},
        {"exitCode": b"\xb2"},
        {"exitCode": b"9999"},
        {"exitCode": None},
        {"stdout": None},
        {"stderr": None},
        {"more": b""},
        {"outputs/../x": b""},
        {"outputs": b""},
        {"outputs/": b""},
        {"/etc/x": b""},
        {"outputs/a\n": b""},
        {"outputs/" + "/".join("d" * 32): b""},
        {"stdout": b"x" * 65_537},
        {"stderr": b"x" * 65_537},
        {"outputs/big": b"x" * 100_000},
        {f"outputs/{n}": b"" for n in range(10)},
    ],
    ids=range(21),
)
def test_tree__with_an_oddity__is_refused_with_a_reason(change):
    """flt:F31, flt:S8, flt:S9."""
    tree = {name: data for name, data in (TREE | change).items() if data is not None}
    with pytest.raises(ResultRefused) as refused:
        parse_result_tree(tree, LIMITS)
    assert refused.value.message


def test_folders__paths__become_nested_and_collisions_are_refused():
    assert folders({"a/b/c": b"1", "a/d": b"2", "e": b"3"}) == {"a": {"b": {"c": b"1"}, "d": b"2"}, "e": b"3"}
    for files in ({"a": b"", "a/b": b""}, {"a/b": b"", "a": b""}):
        with pytest.raises(ResultRefused):
            folders(files)


def test_data_id__of_a_run__is_the_unixfs_root_that_content_makes():
    """Protocol 5.2: the vector of the notes, through both packages."""
    tree = result_tree(result(stdout=b"hello\n", stderr=b"", outputs={}))
    assert str(tree_cid(folders(tree))) == "bafybeiegck5ddc55kuno7eigzpj5qpvjuntcosyjjkjzbjprrkegnvx3b4"


def test_names__that_a_job_may_write__are_names_that_content_takes():
    """No result can be made that cannot be stored: one full folder of the longest names, and the deepest path."""
    widest = {f"{number:04}" + "x" * 190: b"" for number in range(1000)}
    deepest = {"/".join("d" * 31): b""}
    for outputs in (widest, deepest):
        tree_cid(folders(result_tree(result(outputs=outputs))))


def root(files) -> bytes:
    return hashlib.sha256(repr(sorted(files.items())).encode()).digest()


def test_counted_parts__by_the_modules_choice__leave_out_the_rest():
    """beh:C3: nothing that differs between honest machines, absent parts count as absent."""

    def parts(counts, found):
        return counted_parts(parse_manifest(document("compare", {"policy": "exact", "counts": counts})), found, root)

    everything = parts(["exitCode", "stdout", "stderr", "outputs"], result())
    assert (everything.exit_code, everything.stdout, everything.stderr) == (0, b"out", b"err")
    assert everything.outputs_root == root({"a/b.txt": b"data"})
    only = parts(["stdout"], result())
    assert (only.exit_code, only.stdout, only.stderr, only.outputs_root) == (None, b"out", None, None)
    assert parts(["outputs"], result(outputs={})).outputs_root is None
    assert parts(["stdout"], parse_result_tree(TREE, LIMITS)) == only


def test_declared_outputs__missing_wrong_or_extra__are_told():
    """beh:K4: the declaration of outputs is checked."""
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}},
    }
    manifest = parse_manifest(
        document("outputs", {"files": [{"path": "a.json", "schema": schema}, {"path": "b", "required": False}]})
    )

    def problems(**outputs):
        return declared_output_problems(
            manifest, result(outputs={name.replace("_", "."): data for name, data in outputs.items()})
        )

    assert problems(a_json=b'{"n": 1}') == [] == problems(a_json=b"{}", b=b"x")
    assert problems() == ["outputs/a.json is missing"]
    assert "breaks maximum" in problems(a_json=b'{"n": 10}')[0] and "JSON" in problems(a_json=b"{")[0]
    assert problems(a_json=b"{}", c=b"") == ["outputs/c is not declared"]
    assert declared_output_problems(manifest, result(outputs={}, exit_code=1, exit_class=ExitClass.NONZERO)) == []


PROVIDER = "0x" + "Aa" * 20
RECEIPT = Receipt(
    deal="0x" + "01" * 32,
    provider=PROVIDER,
    module="0x" + "02" * 32,
    inputs="0x" + "03" * 32,
    result_digest="0x" + "04" * 32,
    data_id="bafybei" + "a" * 52,
    artefact="sha256:" + "05" * 32,
    isa="x86-64-v3",
    started_at=1_700_000_000,
    ended_at=1_700_000_001,
    units=12,
    **run_facts(result()),
)


def sign(message: bytes) -> bytes:
    return hmac.digest(b"secret", message, "sha256")


def recover(message: bytes, signature: bytes) -> str:
    return PROVIDER.lower() if hmac.compare_digest(signature, sign(message)) else "0x" + "00" * 20


EXPECTED = {
    "provider": PROVIDER,
    "deal": RECEIPT.deal,
    "result_digest": RECEIPT.result_digest,
    "data_id": RECEIPT.data_id,
}


def test_receipt__signed__verifies_offline_and_carries_class_and_schedule():
    """beh:J23, beh:K9, beh:K10: units, fuel, engine and exit class stand in a signed receipt."""
    raw = sign_receipt(RECEIPT, sign).to_bytes()
    found = verify_receipt(raw, recover, **EXPECTED)
    assert found == RECEIPT and (found.schedule, found.units, found.exit_class) == (FUEL_SCHEDULE, 12, ExitClass.OK)


@pytest.mark.parametrize("field", EXPECTED)
def test_receipt__about_another_thing__is_refused(field):
    """A receipt names digest and data id: it cannot be put to another result (protocol 5.4)."""
    raw = sign_receipt(RECEIPT, sign).to_bytes()
    other = {"provider": "0x" + "bb" * 20, "data_id": "bafybei" + "b" * 52}.get(field, "0x" + "ff" * 32)
    with pytest.raises(ResultRefused, match=field):
        verify_receipt(raw, recover, **(EXPECTED | {field: other}))


def test_receipt__every_changed_field__breaks_the_signature():
    raw = sign_receipt(RECEIPT, sign).to_bytes()
    signed = parse_receipt(raw)
    for name, value in signed.receipt.as_dict().items():
        if name == "schema":
            continue
        changed = signed.receipt.as_dict()
        changed[name] = value + 1 if isinstance(value, int) else value[:-1] + ("c" if value[-1] != "c" else "d")
        forged = canonical({"receipt": changed, "signature": "0x" + signed.signature.hex()})
        with pytest.raises(ResultRefused):
            verify_receipt(forged, recover, **EXPECTED)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b'{"receipt": {}, "signature": "0x00"}',
        sign_receipt(RECEIPT, sign).to_bytes() + b" ",
        sign_receipt(RECEIPT, sign).to_bytes().replace(b'"exitClass":"ok"', b'"exitClass":"fuel"'),
        b"x" * 100_000,
    ],
    ids=range(7),
)
def test_receipt__malformed__is_refused(raw):
    with pytest.raises(ResultRefused):
        verify_receipt(raw, recover, **EXPECTED)


def test_receipt__unreadable_signature__is_refused_without_the_librarys_text():
    def broken(message, signature):
        raise ValueError("secret internals")

    with pytest.raises(ResultRefused) as refused:
        verify_receipt(sign_receipt(RECEIPT, sign).to_bytes(), broken, **EXPECTED)
    assert "internals" not in refused.value.message


def test_receipt__numbers_above_2_53__are_decimal_strings_and_come_back():
    large = Receipt(**{**{name: getattr(RECEIPT, name) for name in RECEIPT.__slots__}, "fuel": (1 << 60) + 1})
    assert large.as_dict()["fuel"] == str((1 << 60) + 1)
    assert verify_receipt(sign_receipt(large, sign).to_bytes(), recover, **EXPECTED).fuel == (1 << 60) + 1


def test_compare__exact__is_equality_of_digests():
    """beh:K15."""
    exact = Compare("exact", ("stdout",), {})
    assert same_result(exact, b"a" * 32, b"a" * 32) and not same_result(exact, b"a" * 32, b"b" * 32)
    with pytest.raises(ValueError):
        same_result(exact, b"", b"")


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy not in SUPPORTED_POLICIES])
def test_compare__policy_of_a_later_layer__is_refused_by_name(policy):
    """beh:K15: never compared by another rule than the declared one."""
    with pytest.raises(PolicyUnsupported, match=policy):
        check_policy(Compare(policy, ("stdout",), {}))


@pytest.mark.parametrize(
    ("fuel", "per", "expected"),
    [(0, 1, 0), (999, 1000, 0), (1000, 1000, 1), (12_345, 100, 123), ((1 << 62), 1, 1 << 62)],
)
def test_units__are_fuel_over_per_rounded_down(fuel, per, expected):
    """beh:K10: measured, never a constant."""
    manifest = parse_manifest(document("metering", {"kind": "fuel", "per": per, "schedule": FUEL_SCHEDULE}))
    assert units(manifest, result(fuel=fuel)) == expected


def test_units__without_metering_or_under_another_schedule__are_zero_or_refused():
    assert units(parse_manifest(document()), result(fuel=10**9)) == 0
    manifest = parse_manifest(document("metering", {"kind": "fuel", "per": 1, "schedule": FUEL_SCHEDULE}))
    with pytest.raises(ScheduleUnsupported):
        units(manifest, result(schedule="wasmtime-46.0.0/lilypad-wasi-1"))


@pytest.mark.parametrize("path", ["a", "a/b", "é.txt", "日本/語", "a b", "-", "...", "x" * 255, "/".join("d" * 31)])
def test_path__ordinary__is_taken(path):
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/.",
        "a\0b",
        "a\nb",
        "\x7f",
        "e\u0301",
        "\u202e",
        "\ufeff",
        "\u00ad",
        "\u2028",
        "\ue000",
        "\U0001fae8",
        "\ud800",
        "x" * 256,
        "ü" * 128,
        "/".join("d" * 32),
        "/".join(["x" * 255] * 17),
        "\u0378",
    ],
    ids=range(25),
)
def test_path__that_escapes_hides_or_depends_on_the_machine__is_refused(path):
    """flt:S8, flt:S10."""
    with pytest.raises(NameRefused):
        check_path(path)


def test_path__rule__is_never_wider_than_the_content_stores():
    """What a job may write can always be stored: names accepted here are NFC by every newer Unicode too."""
    for code in range(0x110000):
        name = chr(code)
        try:
            check_path(name)
        except NameRefused:
            continue
        assert unicodedata.is_normalized("NFC", name) and unicodedata.category(name) not in ("Cc", "Cf", "Cs"), hex(
            code
        )


def test_nfc__characters_newer_than_unicode_3_2__are_inert():
    assert is_nfc("\U0001f404 moo") and is_nfc("é") and not is_nfc("e\u0301")


def test_printable__terminal_escapes__are_shown_not_obeyed():
    """flt:S19: titles, cursor moves, C1 controls and reversed text; the file itself is not changed."""
    hostile = b"\x1b]0;title\x07\x1b[2J\rok\n\ttab\x9b31m\xff\xe2\x80\xae"
    shown = printable(hostile)
    assert shown == "\\x1b]0;title\\x07\\x1b[2J\\x0dok\n\ttab\ufffd31m\ufffd\\u202e"
    assert printable("moo \U0001f404 é\x9b") == "moo \U0001f404 é\\x9b"
