"""An author's work on one machine: a new module, lint, examples, certificates, packs, forks."""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from lilypad_agents.agents.author.certify import EXACT, LEANING, MACHINE, OPT_LEVELS, VARIES, certify
from lilypad_agents.agents.author.errors import TargetTaken
from lilypad_agents.agents.author.forking import write_fork
from lilypad_agents.agents.author.importing import OLD_NAME, commit_of, module_name, read_old, refusal_of, write_imported
from lilypad_agents.agents.author.packing import write_pack
from lilypad_agents.agents.author.runs import example_spec, local_module, pack_source, run_all, run_examples
from lilypad_agents.agents.author.template import write_template
from lilypad_agents.agents.creator.terms import terms_of
from lilypad_agents.agents.provider.results import content_cid
from lilypad_agents.content.store import LocalStore
from lilypad_agents.content.transfer import import_car
from lilypad_agents.content.cid import Cid
from lilypad_agents.content.limits import Limits
from lilypad_agents.content.reader import read_tree
from lilypad_agents.errors import ConfigurationError, UsageError
from lilypad_agents.execution.errors import InputsInvalid, ManifestInvalid
from lilypad_agents.execution.job import JobSpec
from lilypad_agents.execution.job import Limits as RunLimits
from lilypad_agents.execution.lint import Severity, lint
from lilypad_agents.execution.manifest import parse_manifest
from lilypad_agents.execution.oldmodule.importer import Origin, import_module
from lilypad_agents.protocol.ids import hex_of

PROJECT = Path(__file__).resolve().parents[4]
PUBLISHER = "0x" + "12" * 20
REGISTRY = "0x" + "34" * 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_template(tmp_path / "hello", "hello")
    return tmp_path / "hello"


def edit(folder: Path, path: str, value: Any) -> None:
    """Changes one place of a folder's manifest; None takes it out."""
    file = folder / "lilypad_module.json"
    document = json.loads(file.read_text())
    *parents, last = path.split(".")
    target = document
    for part in parents:
        target = target[int(part)] if part.isdigit() else target.setdefault(part, {})
    if value is None:
        target.pop(last)
    else:
        target[last] = value
    file.write_text(json.dumps(document))


def errors(folder: Path) -> dict[str, str]:
    return {finding.field: finding.code for finding in lint(folder, content_cid=content_cid) if finding.severity is Severity.ERROR}


# ---- new


@pytest.mark.parametrize("name", ["", "Hello", "-x", "a b", "../x", "a" * 64, "x\n"])
def test_new__name_outside_the_grammar__is_refused_and_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        write_template(tmp_path / "m", name)
    assert not (tmp_path / "m").exists()


def test_new__folder_that_holds_something__is_refused(folder: Path) -> None:
    with pytest.raises(TargetTaken):
        write_template(folder, "hello")


def test_new__written__passes_lint_and_its_example_at_once(folder: Path) -> None:
    """beh:K12"""
    assert lint(folder, content_cid=content_cid) == []
    (run,) = run_examples(pack_source(folder))
    assert (run.problems, run.result.stdout) == ((), b"Hello, world!\n")


def test_new__with_a_program_of_ones_own__takes_it(tmp_path: Path) -> None:
    wasm = (PROJECT / "modules" / "cowsay" / "cowsay.wasm").read_bytes()
    write_template(tmp_path / "m", "mine", wasm=wasm)
    assert pack_source(tmp_path / "m").wasm == wasm


# ---- lint: every field honoured or refused


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("nonsense", 1, "nonsense"),
        ("limits.fuel", "many", "limits.fuel"),
        ("limits.fuel", 0, "limits.fuel"),
        ("resources.ramMib", -1, "resources.ramMib"),
        ("name", 'a"b', "name"),
        ("version", "v 1", "version"),
        ("title", "two\nlines\x07", "title"),
        ("description", "x" * 1_000_000, "manifest"),
        ("wasm.module", "../../etc/passwd", "wasm.module"),
        ("wasm.module", "/etc/passwd", "wasm.module"),
        ("wasm.module", "absent.wasm", "wasm.module"),
        ("wasm.args", ["{{.Name}}", {"input": "Other"}], "wasm.args[1]"),
        ("wasm.entry", "main", "wasm.entry"),
        ("compare.policy", "metric", "compare.policy"),
        ("metering", {"kind": "fuel", "per": 5, "schedule": "other-1"}, "metering.schedule"),
        ("metering", {"kind": "tokens", "per": 5, "schedule": "x"}, "metering.kind"),
        ("deterministic", False, "compare.policy"),
        ("network", "full", "network"),
        ("royaltyBps", 3_001, "royaltyBps"),
        ("royaltyTo", "somebody", "royaltyTo"),
        ("parent", "0x12", "parent"),
        ("seed", {"policy": "input", "input": "Name"}, "seed.input"),
        ("inputs.properties.Name.maxLength", 1_000_000, "inputs.properties.Name.maxLength"),
        ("inputs.properties.Name.maxLength", None, "inputs.properties.Name"),
        ("inputs.properties.Name.format", "uri", "inputs.properties.Name.format"),
        ("inputs.additionalProperties", True, "inputs.additionalProperties"),
        ("resources.ramMib", 0, "resources.ramMib"),
        ("examples", [], "examples"),
        ("engine", "container", "wasm"),
        ("importedFrom", {"flags": ["image-by-tag"]}, "importedFrom.flags"),
        ("licence", None, "licence"),
    ],
)  # fmt: skip
def test_lint__wrong_field__is_named(folder: Path, path: str, value: Any, field: str) -> None:
    """beh:K4 beh:K5"""
    edit(folder, path, value)
    assert field in (errors(folder) or {"": ""}), lint(folder, content_cid=content_cid)


def test_lint__program_that_needs_more_memory_or_unknown_calls__is_told(folder: Path) -> None:
    text = '(module (import "env" "secret" (func)) (memory (export "memory") 2000) (func (export "_start")))'
    (folder / "main.wat").write_text(text)
    assert errors(folder) == {"resources.ramMib": "memory-too-small", "wasm.module": "import-unknown"}
    (folder / "main.wat").write_text("(module (oops")
    assert errors(folder) == {"wasm.module": "manifest-invalid"}


def test_lint__artefact_over_the_size_limit__is_told(folder: Path) -> None:
    edit(folder, "wasm.module", "main.wasm")
    with (folder / "main.wasm").open("wb") as file:
        file.write(b"\0asm\x01\0\0\0")
        file.truncate(64 * 2**20 + 1)
    assert errors(folder) == {"wasm.module": "artefact-broken"}


def test_lint__warnings_and_notes__are_no_errors(folder: Path) -> None:
    edit(folder, "licence.code", "NOASSERTION")
    edit(folder, "royaltyBps", 500)
    edit(folder, "x-mine", {"any": "thing"})
    found = {finding.code: finding.severity for finding in lint(folder, content_cid=content_cid)}
    assert found == {"licence-missing": Severity.WARNING, "royalty-account": Severity.NOTE, "own-key": Severity.NOTE}


def test_lint__inputs_that_were_imported__should_get_their_own_types(folder: Path) -> None:
    edit(folder, "importedFrom", {"path": "lilypad_module.json.tmpl", "flags": ["raw-substitution"]})
    edit(folder, "inputs.properties.Name.maxLength", 32_768)
    assert [(item.code, item.field) for item in lint(folder, content_cid=content_cid)] == [("input-loose", "inputs.properties.Name")]


# ---- inputs reach the program as values


@pytest.mark.parametrize("value", ['"', "it's", "a\nb\r\t", "{{.Name}} {{ subst \"%s\" . }}", '{"input": "Name"}', "$(id) `id`", "../../x", "\U0001f404", ""])
def test_inputs__quotes_newlines_and_template_syntax__are_the_programs_own_bytes(folder: Path, value: str) -> None:
    """beh:K2 flt:S11"""
    packed = pack_source(folder)
    job = example_spec(local_module(packed), replace(packed.manifest.examples[0], inputs={"Name": value}), {})
    assert job.args == ("hello", value) and job.env == ()
    (result,) = run_all([job])
    assert result.stdout == b"Hello, " + value.encode() + b"!\n"


@pytest.mark.parametrize("value", ["x" * 1_000_000, "x" * 201, "a\0b", 5, None, ["x"], {"x": 1}, "\ud800"])
def test_inputs__too_long_or_of_another_type__are_refused_before_the_run(folder: Path, value: Any) -> None:
    """beh:K5"""
    packed = pack_source(folder)
    with pytest.raises(InputsInvalid, match="Name|inputs"):
        example_spec(local_module(packed), replace(packed.manifest.examples[0], inputs={"Name": value}), {})


# ---- examples


def test_examples__another_output_or_exit_code__is_told(folder: Path) -> None:
    edit(folder, "examples", [{"inputs": {"Name": "x"}, "expect": {"exitCode": 1, "stdout": "Hello, y!\n"}}])
    (run,) = run_examples(pack_source(folder))
    assert len(run.problems) == 2 and "expected 1" in run.problems[0] and "Hello, y!" in run.problems[1]


# ---- packing


def test_pack__twice__gives_the_same_car_and_everything_is_in_it(folder: Path, tmp_path: Path) -> None:
    """beh:K6 beh:K14"""
    packed = pack_source(folder, PUBLISHER)
    root, contents = write_pack(packed, tmp_path / "one")
    again, _ = write_pack(pack_source(folder, PUBLISHER), tmp_path / "two")
    assert root == again
    assert (tmp_path / "one" / "module.car").read_bytes() == (tmp_path / "two" / "module.car").read_bytes()
    store = LocalStore(tmp_path / "store", durable=False)
    import_car([(tmp_path / "one" / "module.car").read_bytes()], store, Cid.parse(str(root)), Limits())
    tree = read_tree(store, Cid.parse(str(root)), Limits())
    assert tree["lilypad_module.json"] == packed.manifest_bytes  # type: ignore[index]
    assert tree["content"] == {str(item.cid): item.data for item in contents[1:]}  # type: ignore[index]
    with pytest.raises(TargetTaken):
        write_pack(packed, tmp_path / "one")


def test_pack__royalty_without_an_account__goes_to_whom_the_caller_says(folder: Path) -> None:
    edit(folder, "royaltyBps", 700)
    assert pack_source(folder, PUBLISHER, royalty_to=REGISTRY).manifest.royalty_to == REGISTRY
    assert pack_source(folder, PUBLISHER).manifest.royalty_to == PUBLISHER
    document = json.loads((folder / "lilypad_module.json").read_text()) | {"publisher": PUBLISHER}
    document["wasm"]["module"] = "bafkrei" + "a" * 52
    with pytest.raises(ManifestInvalid, match="royaltyTo"):
        parse_manifest(document)


def test_pack__changed_artefact__is_another_version(folder: Path) -> None:
    """beh:K6: a version id covers every byte."""
    before = terms_of(pack_source(folder, PUBLISHER).manifest).id
    (folder / "main.wat").write_text((folder / "main.wat").read_text().replace("Hello, ", "Howdy, "))
    assert terms_of(pack_source(folder, PUBLISHER).manifest).id != before


# ---- forks


def test_fork__of_a_module_with_files__packs_to_the_same_program_with_its_parent(tmp_path: Path) -> None:
    source = Path(shutil.copytree(PROJECT / "modules" / "wordcount", tmp_path / "source"))
    parent = pack_source(source, PUBLISHER)
    parent_id = hex_of(terms_of(parent.manifest).id)
    files = {cid: parent.contents[cid] for example in parent.manifest.examples for cid in example.files.values()}
    write_fork(tmp_path / "fork", parent.manifest, parent_id, parent.wasm, parent.artifacts, files, name="mycount")
    fork = pack_source(tmp_path / "fork", "0x" + "56" * 20)
    assert (fork.manifest.parent, fork.manifest.name, fork.wasm) == (parent_id, "mycount", parent.wasm)
    assert [run.problems for run in run_examples(fork)] == [()] * len(parent.manifest.examples)
    assert terms_of(fork.manifest).parent == terms_of(parent.manifest).id
    with pytest.raises(TargetTaken):
        write_fork(tmp_path / "fork", parent.manifest, parent_id, parent.wasm, {}, files)


def test_fork__files_that_would_cover_each_other__are_kept_apart(tmp_path: Path) -> None:
    """A hostile parent: its own files named like those that a fork writes."""
    parent = pack_source(Path(shutil.copytree(PROJECT / "modules" / "wordcount", tmp_path / "source")), PUBLISHER)
    files = {cid: parent.contents[cid] for example in parent.manifest.examples for cid in example.files.values()}
    hostile = {"main.wasm": b"not it", "examples": b"a file", "_examples/0": b"another"}
    document = dict(parent.manifest.document) | {
        "artifacts": [{"path": path, "cid": content_cid(data), "bytes": len(data)} for path, data in hostile.items()]
    }
    manifest = parse_manifest(document)
    write_fork(tmp_path / "fork", manifest, "0x" + "22" * 32, parent.wasm, hostile, files)
    fork = pack_source(tmp_path / "fork", PUBLISHER)
    assert fork.wasm == parent.wasm and fork.artifacts == hostile
    with pytest.raises(UsageError, match="lilypad_module.json"):
        write_fork(tmp_path / "other", manifest, "0x" + "22" * 32, parent.wasm, {"lilypad_module.json": b"{}"}, files)
    assert not (tmp_path / "other").exists()


# ---- certificates

CLOCK = """(module (import "wasi_snapshot_preview1" "clock_time_get" (func $c (param i32 i64 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32))) (memory (export "memory") 1)
 (func (export "_start") (drop (call $c (i32.const 0) (i64.const 1) (i32.const 64)))
 (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 8))
 (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))"""
RANDOM = CLOCK.replace("clock_time_get", "random_get").replace("(param i32 i64 i32)", "(param i32 i32)").replace("(i32.const 0) (i64.const 1) (i32.const 64)", "(i32.const 64) (i32.const 8)")  # fmt: skip
LISTING = CLOCK.replace("clock_time_get", "fd_readdir").replace("(param i32 i64 i32)", "(param i32 i32 i32 i64 i32)").replace("(i32.const 0) (i64.const 1) (i32.const 64)", "(i32.const 3) (i32.const 64) (i32.const 200) (i64.const 0) (i32.const 32)").replace("(i32.const 8))\n", "(i32.const 200))\n")  # fmt: skip
VARIABLES = CLOCK.replace("clock_time_get", "environ_sizes_get").replace("(param i32 i64 i32)", "(param i32 i32)").replace("(i32.const 0) (i64.const 1) (i32.const 64)", "(i32.const 64) (i32.const 68)")  # fmt: skip
SPIN = '(module (memory (export "memory") 1) (func (export "_start") (loop $again (br $again))))'
DEEP = '(module (memory (export "memory") 1) (func $f (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1))) (func (export "_start") (drop (call $f (i32.const 0)))))'


def spec(text: str, **changes: Any) -> JobSpec:
    limits = RunLimits(50_000_000, 5, 64 * 2**20, 2**20, 65_536, 65_536, 0, 0)
    values = {"entry": "_start", "args": ("x",), "env": (), "files": {"a": b"1", "b": b"2", "inputs.json": b"{}"}, "seed": bytes(32)}
    return JobSpec(wasm=bytes(wasmtime.wat2wasm(text)), limits=limits, **(values | changes))


@pytest.mark.parametrize(
    ("text", "verdict", "leans"),
    [
        (CLOCK, LEANING, ("clock",)),
        (RANDOM, LEANING, ("randomness",)),
        (LISTING, LEANING, ("directory-order",)),
        (VARIABLES, LEANING, ("variables",)),
        (SPIN, EXACT, ()),  # ends by its fuel, which is the same everywhere
        (DEEP, MACHINE, ()),  # the depth of the native stack is the machine's own
    ],
    ids=["clock", "randomness", "listing", "variables", "fuel", "stack"],
)
def test_certify__what_a_program_leans_on__is_found(text: str, verdict: str, leans: tuple[str, ...]) -> None:
    """beh:K11 beh:K13"""
    found = certify([spec(text)], 3, shuffle=random.Random(7))
    assert (found.verdict, found.leans_on) == (verdict, leans)
    assert found.holds == (verdict != MACHINE)


def test_certify__runs__differ_in_everything_but_the_job(folder: Path) -> None:
    """beh:K13"""
    packed = pack_source(folder)
    module = local_module(packed)
    found = certify([example_spec(module, module.manifest.examples[0], packed.contents)], 6, shuffle=random.Random(1))
    repeats = [item for item in found.evidence if item.kind == "repeat"]
    assert found.verdict == EXACT and len(repeats) == 6
    assert len({item.fingerprint for item in repeats}) == 1
    assert {item.setting.opt_level for item in repeats} == set(OPT_LEVELS)
    assert len({json.dumps(dict(item.setting.environment), sort_keys=True) for item in repeats}) == 6
    if len(os.sched_getaffinity(0)) > 1:
        assert len({len(item.setting.cpus) for item in repeats}) > 1
    assert {item.kind for item in found.evidence} == {"repeat", "clock", "randomness", "directory-order", "variables"}


def test_certify__runs_that_disagree__are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge itself: should an engine ever let the machine through, the verdict turns."""
    from lilypad_agents.agents.author import certify as module

    real, count = module._Bench._result, iter(range(100))

    def drifting(self: Any, job: JobSpec, setting: Any) -> Any:
        return replace(real(self, job, setting), stdout=b"%d" % next(count))

    monkeypatch.setattr(module._Bench, "_result", drifting)
    assert certify([spec(CLOCK)], 2).verdict == VARIES


# ---- where an old module comes from


def test_commit__of_a_checkout__is_read_from_plain_files(tmp_path: Path) -> None:
    commit = "ab" * 20
    git = tmp_path / ".git"
    assert commit_of(tmp_path) == (None, None)
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert commit_of(tmp_path) == (None, None)
    (git / "refs" / "heads" / "main").write_text(commit + "\n")
    assert commit_of(tmp_path) == ("main", commit)
    (git / "refs" / "heads" / "main").unlink()
    (git / "packed-refs").write_text(f"# pack-refs\n{commit} refs/heads/main\n")
    assert commit_of(tmp_path) == ("main", commit)
    (git / "HEAD").write_text("ref: refs/../../../etc/passwd\n")
    assert commit_of(tmp_path) == (None, None)
    (git / "HEAD").write_text(commit)
    assert commit_of(tmp_path) == (None, commit)


OLD = '{"Docker": {"Image": "x", "Entrypoint": ["a"]}}'


def test_import__folder_of_a_stranger__links_and_pipes_reach_nothing(tmp_path: Path) -> None:
    """flt:S10: a cloned repository may hold links to anywhere."""
    folder, outside = tmp_path / "repo", tmp_path / "outside.json"
    folder.mkdir()
    (folder / OLD_NAME).write_text(OLD)
    raw, path = read_old(folder)
    imported = import_module(raw, Origin("x"))
    (folder / "lilypad_module.json").symlink_to(outside)
    with pytest.raises(TargetTaken):
        write_imported(imported, folder)
    assert not outside.exists()
    (folder / "lilypad_module.json").unlink()
    assert write_imported(imported, folder) == write_imported(imported, folder) == folder / "lilypad_module.json"
    (folder / "lilypad_module.json").write_text("{}")
    with pytest.raises(TargetTaken):
        write_imported(imported, folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match="no plain file"):
        read_old(folder)
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(ConfigurationError):
        read_old(folder)
    path.unlink()
    path.write_bytes(b" " * 65_537)
    with pytest.raises(ConfigurationError, match="65537 bytes"):
        read_old(folder)
    (folder / ".git").mkdir()
    os.mkfifo(folder / ".git" / "HEAD")
    assert commit_of(folder) == (None, None)


def test_import__image_by_tag_alone__still_gives_a_manifest_that_lint_refuses(tmp_path: Path) -> None:
    imported = import_module(OLD.encode(), Origin("x"))
    assert refusal_of(imported) is None
    write_imported(imported, tmp_path)
    assert errors(tmp_path) == {"container.imageId": "manifest-invalid"}
    worse = import_module(OLD.replace('"a"', '"{{.X}}"').encode(), Origin("x"))
    found = refusal_of(worse)
    assert found is not None and found.figures["errors"] == ["unsupported-template"]


def test_module_name__from_the_folder() -> None:
    assert module_name("lilypad-module-cowsay") == "cowsay"
    assert module_name("My Module_1") == "my-module-1"
