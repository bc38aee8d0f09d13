"""The example modules: examples hold, packing repeats, the committed wasm comes from the committed source."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from lilypad_agents.execution.compare import check_policy
from lilypad_agents.execution.errors import ContentMismatch, InputsInvalid, ManifestInvalid
from lilypad_agents.execution.inputs import check_values, make_inputs
from lilypad_agents.execution.job import ExitClass, RunResult
from lilypad_agents.execution.metering import units
from lilypad_agents.execution.pack import example_files, load_source, pack
from lilypad_agents.execution.prepare import raw_block_cid
from lilypad_agents.execution.result import declared_output_problems
from lilypad_agents.execution.wasm import run

MODULES = Path(__file__).resolve().parents[3] / "modules"
NAMES = ("cowsay", "primes", "wordcount")
PUBLISHER = "0x" + "12" * 20
VERSION_ID = "0x" + "ab" * 32


def run_module(name: str, values: dict, files: dict[str, bytes] | None = None) -> RunResult:
    packed = pack(MODULES / name, PUBLISHER)
    inputs = make_inputs(
        packed.manifest, VERSION_ID, values, {n: raw_block_cid(data) for n, data in (files or {}).items()}
    )
    return run(packed.manifest, packed.wasm, inputs, files=files)


def test_folder__holds_the_modules_that_are_tested():
    assert {path.parent.name for path in MODULES.glob("*/lilypad_module.json")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_examples__of_each_module__end_as_the_manifest_says(name):
    """beh:K11: the outputs stand in the manifest, byte for byte."""
    source = load_source(MODULES / name)
    check_policy(source.compare)
    assert source.examples
    for index, example in enumerate(source.examples):
        result = run_module(name, dict(example.inputs), example_files(MODULES / name, source, index))
        assert (result.exit_code, result.stdout.decode(), result.stderr) == (
            example.expect.exit_code,
            example.expect.stdout,
            b"",
        )
        assert declared_output_problems(source, result) == []


@pytest.mark.parametrize("name", NAMES)
def test_pack__twice_and_from_a_copy__gives_the_same_bytes(name, tmp_path):
    """beh:K14, flt:S14: publishing equal content again changes nothing."""
    copy = shutil.copytree(MODULES / name, tmp_path / "copy")
    first, second = pack(MODULES / name, PUBLISHER), pack(copy, PUBLISHER)
    assert first == second and first.manifest.wasm.module == raw_block_cid(first.wasm)
    assert first.contents[first.manifest.wasm.module] == first.wasm
    for example in first.manifest.examples:
        assert all(raw_block_cid(first.contents[cid]) == cid for cid in example.files.values())


def test_pack__other_version_or_publisher__changes_the_digest():
    digests = {
        pack(MODULES / "cowsay", *arguments).digest
        for arguments in ((PUBLISHER,), (PUBLISHER, "v9"), ("0x" + "34" * 20,))
    }
    assert len(digests) == 3


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(MODULES / "cowsay", tmp_path / "cowsay"))


def edit(folder: Path, **changes) -> None:
    path = folder / "lilypad_module.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_pack__missing_or_linked_files__are_refused(folder):
    (folder / "cowsay.wasm").rename(folder / "real.wasm")
    with pytest.raises(ManifestInvalid, match="wasm.module"):
        pack(folder, PUBLISHER)
    (folder / "cowsay.wasm").symlink_to(folder / "real.wasm")
    with pytest.raises(ManifestInvalid, match="wasm.module"):
        pack(folder, PUBLISHER)
    with pytest.raises(ManifestInvalid, match="manifest"):
        pack(folder / "nothing", PUBLISHER)


def test_pack__path_that_leads_out__is_refused(folder):
    """flt:S9: no file outside the module's folder is published."""
    (folder.parent / "secret").write_text("key")
    files = [{"name": "a", "maxBytes": 9}]
    edit(folder, files=files, examples=[{"files": {"a": "../secret"}, "expect": {}}])
    with pytest.raises(ManifestInvalid, match="leads out"):
        pack(folder, PUBLISHER)


def test_pack__another_publisher_than_the_source_names__is_refused(folder):
    edit(folder, publisher="0x" + "99" * 20)
    with pytest.raises(ManifestInvalid, match="publisher"):
        pack(folder, PUBLISHER)


def test_pack__artifact__must_have_the_cid_it_says(folder):
    """beh:K6: weights are pinned."""
    (folder / "w.bin").write_bytes(b"weights")
    edit(folder, artifacts=[{"path": "w.bin", "cid": raw_block_cid(b"weights"), "bytes": 7}])
    assert pack(folder, PUBLISHER).artifacts == {"w.bin": b"weights"}
    (folder / "w.bin").write_bytes(b"Weights")
    with pytest.raises(ContentMismatch):
        pack(folder, PUBLISHER)


def cow(message: str) -> list[str]:
    return run_module("cowsay", {"Message": message}).stdout.decode().splitlines()


COW = [
    "        \\   ^__^",
    "         \\  (oo)\\_______",
    "            (__)\\       )\\/\\",
    "                ||----w |",
    "                ||     ||",
]


def test_cowsay__one_word__is_the_classic_balloon():
    assert cow("moo") == [" _____ ", "< moo >", " ----- ", *COW]
    assert run_module("cowsay", {}).stdout.decode().splitlines()[1] == "< moo >"


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        ("", [""]),
        ("   ", [""]),
        ("a  b\tc\nd", ["a b c d"]),
        ("x" * 39, ["x" * 39]),
        ("x" * 40, ["x" * 39, "x"]),
        ("y " + "x" * 38, ["y", "x" * 38]),
        ("y " + "x" * 37, ["y " + "x" * 37]),
        ("y " + "x" * 39 + " z", ["y", "x" * 39, "z"]),
        ("one\n\ntwo", ["one", "", "two"]),
        ("one\n  two", ["one", "", "two"]),
        ("\n\none\n\n", ["one"]),
        ("é" * 40, ["é" * 39, "é"]),
        ("a" * 38 + " b", ["a" * 38, "b"]),
        ("%s%n \\ \"'", ["%s%n \\ \"'"]),
    ],
)
def test_cowsay__wrapping__is_at_40_columns_like_the_classic(message, lines):
    shown = cow(message)
    assert [line[2:-2].rstrip() for line in shown[1 : 1 + len(lines)]] == lines
    assert shown[1 + len(lines)].startswith(" --") and shown[-5:] == COW
    assert len({len(line) for line in shown[: len(lines) + 2]}) == 1
    edges = [line[0] + line[-1] for line in shown[1 : 1 + len(lines)]]
    assert edges == (["<>"] if len(lines) == 1 else ["/\\", *["||"] * (len(lines) - 2), "\\/"])


def test_cowsay__longest_message_of_any_characters__stays_within_its_fuel():
    for character in ("a", " ", "\n ", "\U0001f404", "x ", "\x01"):
        message = (character * 4096)[:4096]
        result = run_module("cowsay", {"Message": message})
        assert result.exit_class is ExitClass.OK, ascii(character)
        assert result.fuel < 25_000_000  # half of the limit


def test_cowsay__input_over_its_bounds__is_refused_before_the_run():
    """beh:K5."""
    with pytest.raises(InputsInvalid):
        check_values(load_source(MODULES / "cowsay"), {"Message": "x" * 4097})


def python_counts(data: bytes) -> tuple[int, int, int]:
    return data.count(b"\n"), len(data.split()), len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b" ",
        b"one",
        b"one\n",
        b"a b\tc\r\nd\x0be\x0cf",
        b"\xff\x00\xfe x",
        b"word " * 50_000,
        b"x" * 65_536 + b"y z",
    ],
    ids=range(9),
)
def test_wordcount__any_bytes__counts_like_python(data):
    result = run_module("wordcount", {}, {"text.txt": data})
    lines, words, size = python_counts(data)
    assert json.loads(result.outputs["counts.json"])["total"] == {"lines": lines, "words": words, "bytes": size}
    assert result.stdout.decode().splitlines()[-1].split() == [str(lines), str(words), str(size), "total"]


def test_wordcount__three_files__come_in_order_with_a_total():
    files = {"text3.txt": b"c\n", "text.txt": b"a b\n", "text2.txt": b""}
    found = json.loads(run_module("wordcount", {}, files).outputs["counts.json"])
    assert [entry["name"] for entry in found["files"]] == ["text.txt", "text2.txt", "text3.txt"]
    assert found["total"] == {"lines": 2, "words": 3, "bytes": 6}


def test_wordcount__required_file_absent__is_refused():
    with pytest.raises(InputsInvalid, match="text.txt"):
        run_module("wordcount", {}, {})


def python_primes(limit: int) -> list[int]:
    sieve = bytearray([1]) * (limit + 1)
    sieve[:2] = b"\0\0"
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(sieve[n * n :: n]))
    return [n for n in range(limit + 1) if sieve[n]]


@pytest.mark.parametrize("limit", [2, 3, 4, 100, 32_768, 32_769, 32_770, 65_537, 200_000])
def test_primes__limit__agrees_with_a_python_sieve(limit):
    primes = python_primes(limit)
    assert run_module("primes", {"Limit": limit}).stdout.decode() == (
        f"primes up to {limit}: {len(primes)}\nlargest: {primes[-1]}\nsum modulo 2^64: {sum(primes)}\n"
    )


def test_primes__more_work__is_more_units():
    """beh:K10: billed by what was done."""
    manifest = load_source(MODULES / "primes")
    few, many = (units(manifest, run_module("primes", {"Limit": limit})) for limit in (100, 20_000_000))
    assert few == 0 and many >= 5


def rebuild_script():
    spec = importlib.util.spec_from_file_location("modules_rebuild", MODULES / "rebuild.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="ziglang (extra `test`) is not installed")
def test_rebuild__from_source__gives_the_committed_bytes(tmp_path):
    """beh:K6, beh:K17: what runs is what the source says; the compiler is a pinned package."""
    script = rebuild_script()
    cache = script.ROOT / ".cache" / "zig"
    cache.mkdir(parents=True, exist_ok=True)
    assert set(script.SOURCES) >= {f"modules/{name}/{name}.wasm" for name in NAMES}
    for target, source in script.SOURCES.items():
        assert script.build(script.ROOT / source, cache) == (script.ROOT / target).read_bytes(), target


def test_rebuild__every_committed_wasm__has_a_source():
    script = rebuild_script()
    committed = {
        str(path.relative_to(script.ROOT))
        for folder in ("modules", "tests")
        for path in (script.ROOT / folder).rglob("*.wasm")
    }
    assert committed == set(script.SOURCES)
