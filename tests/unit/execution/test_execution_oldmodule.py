"""Importing old modules: every idiom and hazard of notes/modules-and-api.md sections 1.2 and 2, attacks, caps, repeatability.

The shapes are those of modules in the wild, written anew.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from lilypad_agents.execution.arguments import Substitution
from lilypad_agents.execution.inputs import check_values
from lilypad_agents.execution.manifest import Manifest, parse_manifest
from lilypad_agents.execution.oldmodule.importer import MAX_BYTES, Imported, Origin, import_module
from lilypad_agents.execution.oldmodule.report import CODES, Severity

IMAGE_ID = "sha256:" + "ab" * 32
ARCHIVE = "bafkrei" + "a" * 52
ATTACKS = (
    'x"],"Image":"evil"},"zz":{"a":["',
    'x"},"machine":{"gpu":8},"y":{"a":"',
    '"], "Timeout": 999999, "x": ["',
    "it's",
    'say "moo"',
    "a<b & c",
    "line\nbreak\r\ttab",
    "back\\slash \\u0041 \\n",
    "{{.Other}} {{ subst \"%s\" .Other }} {{end}}",
    "%s%d%!s(MISSING)",
    "</script>\u2028\U0001f404",
    "$(reboot) `id` ; rm -rf /",
    "../../etc/passwd",
    "",
)  # fmt: skip


def job(
    entrypoint: str = '["run"]', environment: str = "[]", *, machine: str = "{}", spec: str = "", top: str = "", image: str = "example/x:v1"
) -> str:
    return f"""{{
  "machine": {machine},{top}
  "job": {{
    "APIVersion": "V1beta1",
    "Spec": {{
      "Engine": "Docker",
      "Docker": {{
        "Image": "{image}",
        "Entrypoint": {entrypoint},
        "EnvironmentVariables": {environment}
      }}{"," if spec else ""}
      {spec}
    }}
  }}
}}
"""


def imported(text: str, **options: Any) -> Imported:
    repair = options.pop("repair", False)
    return import_module(text.encode(), Origin(**({"name": "old", "image_id": IMAGE_ID, "archive": ARCHIVE} | options)), repair=repair)


def parsed(text: str, **options: Any) -> Manifest:
    """The manifest as a published one would be read: schema and rules hold."""
    found = imported(text, **options)
    assert found.manifest is not None, found.report.findings
    return parse_manifest({**found.manifest, "publisher": "0x" + "11" * 20})


def codes(text: str, **options: Any) -> list[str]:
    return imported(text, **options).report.codes


def rendered(manifest: Manifest, values: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """The arguments and variables that the program gets."""
    section = manifest.container or manifest.wasm
    assert section is not None
    substitution = Substitution(check_values(manifest, values), frozenset(), None)
    args = [text for template in section.args if (text := substitution.render(template, "args")) is not None]
    env = {name: text for name, template in section.env if (text := substitution.render(template, name)) is not None}
    return args, env


# ---- refusals first


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (job(machine='{"gpu": {{.Gpu}}}'), "value-in-structure", 2),
        (job(image="x:{{ subst \\\"%s\\\" .Tag }}").replace('\\"', '"'), "value-in-structure", 8),
        (job(spec='"Timeout": {{.Time}}'), "value-in-structure", 12),
        (job(spec='"Network": {"Type": {{.Net}}}'), "value-in-structure", 12),
        (job(spec='"Resources": {"GPU": {{.G}}}'), "value-in-structure", 12),
        (job(environment='["{{ subst "%s=1" .Name }}"]'), "value-in-structure", 10),
        (job(spec='"x{{ js .Key }}": 1'), "value-in-structure", 12),
        (job('["a"{{ range .X }}, "b"{{ end }}]'), "unsupported-template", 9),
        (job('[{{ with .X }}"b"{{ end }}]'), "unsupported-template", 9),
        (job('[{{ index .X 1 }}]'), "unsupported-template", 9),
        (job('[{{ $x := .X }}"a"]'), "unsupported-template", 9),
        (job('[{{ if eq .X "1" }}"a"{{ end }}]'), "unsupported-template", 9),
        (job('[{{ .X.Y }}]'), "unsupported-template", 9),
        (job('["V={{.X}}"]'), "unsupported-template", 9),
        (job('["{{ printf "%d" .X }}"]'), "unsupported-template", 9),
        (job('["{{ subst "%s %s" .X }}"]'), "unsupported-template", 9),
        (job('["{{ call .X }}"]'), "unsupported-template", 9),
        (job('[{{ js .X }}]'), "unsupported-template", 9),
        (job('["--n", {{if .N}}"--seed", {{.N}}{{else}}"--none"{{end}}]').replace('"--none"', ""), "not-json", 9),
        (job('["a",]'), "not-json", 9),
        (job('["a" "b"]'), "not-json", 9),
        (job('["a"] # why'), "not-json", 9),
        (job(spec='"Timeout": 1, "timeout": 2'), "duplicate-key", 12),
        (job('["a"').rstrip("}\n"), "not-json", 10),
        (job(spec='"Network": {"Type": "Full"}'), "network-asked", 12),
        (job(spec='"Network": {"Type": "HTTP", "Domains": ["x.org"]}'), "network-asked", 12),
        (job(top='"inputFiles": {"required": ["a.txt"], "optional": ["a.txt"]},'), "files", 2),
        (job(top='"inputFiles": {"required": ["../a.txt"], "optional": []},'), "files", 2),
        (job('[{{if .A}}"a"{{end}}'), "not-json", 10),
        (job('[{{if .A}}"a"]'), "unsupported-template", 9),
        (job('["a"{{end}}]'), "unsupported-template", 9),
        ("[]", "shape", 1),
        ('{"job": {}}', "shape", 1),
    ],
)  # fmt: skip
def test_import__hazard__is_an_error_with_its_line(text: str, code: str, line: int) -> None:
    """beh:K3"""
    found = imported(text).report
    lines = {finding.line for finding in found.errors if finding.code == code}
    assert line in lines, [finding.to_json() for finding in found.findings]
    assert all(finding.message and finding.severity is Severity.ERROR for finding in found.errors)


def test_import__image_by_tag__cannot_be_published_until_its_id_is_given() -> None:
    found = imported(job(image="example/x:latest"), image_id=None, archive=None)
    assert found.report.codes == ["image-by-tag"]
    assert found.manifest is not None and "imageId" not in found.manifest["container"]
    assert codes(job(image="example/x@sha256:" + "cd" * 32), image_id=None) == ["image-by-tag"], "a registry's digest is no image id"
    assert parsed(job(image="example/x:latest")).container.image_id == IMAGE_ID  # type: ignore[union-attr]


# ---- idioms


@pytest.mark.parametrize(
    ("entrypoint", "code"),
    [
        ("[{{.P}}]", None),
        ("[{{- .P -}}]", None),
        ('["V={{ js .P }}"]', "quotes-in-value"),
        ('["V={{ .P | js }}"]', "quotes-in-value"),
        ('["{{ subst "V=%s" .P }}"]', "raw-substitution"),
        ('["V={{ subst "%s" .P }}"]', "raw-substitution"),
        ('["{{ printf "V=%s" .P }}"]', "raw-substitution"),
        ('["{{ .P | subst "V=%s" }}"]', "raw-substitution"),
        ('["{{ printf "V=%s" (js .P) }}"]', "raw-substitution"),
        ("[{{/* a comment */}}{{.P}}]", None),
    ],
)
@pytest.mark.parametrize("attack", ATTACKS)
def test_import__each_idiom__gives_the_program_exactly_the_value_whatever_it_is(entrypoint: str, code: str | None, attack: str) -> None:
    """beh:K2 beh:K3 flt:S11: no value alters image, command, limits or network."""
    text = job(entrypoint, machine='{"cpu": 500}')
    found = imported(text)
    assert [finding.code for finding in found.report.findings] == ([code] if code else [])
    manifest = parsed(text)
    args, env = rendered(manifest, {"P": attack})
    assert args == [("V=" if "V=" in entrypoint else "") + attack]
    assert env == {}
    assert (manifest.container.image_id, manifest.resources.cpu_milli, manifest.network) == (IMAGE_ID, 500, "none")  # type: ignore[union-attr]


def test_import__if_without_else__makes_an_optional_input_and_else_a_default() -> None:
    environment = '[{{if .A}}"A={{ js .A }}",{{end}} "B={{if .B}}{{ subst "%s" .B }}{{else}}20{{end}}", "{{ subst "C=%s" .C }}"]'
    manifest = parsed(job('["x"]', environment))
    assert manifest.inputs["required"] == ["C"]
    assert manifest.inputs["properties"]["B"]["default"] == "20"
    assert rendered(manifest, {"C": "c"})[1] == {"B": "20", "C": "c"}
    assert rendered(manifest, {"A": "a", "B": "b", "C": "c"})[1] == {"A": "a", "B": "b", "C": "c"}


def test_import__or_with_a_text__gives_the_default() -> None:
    manifest = parsed(job('[{{ or .P "\\"moo\\"" }}]'))
    assert rendered(manifest, {})[0] == ["moo"]


def test_import__option_and_value_in_one_branch__are_refused_with_the_rewrite() -> None:
    """A manifest drops only the argument that names the input: the option would stay behind alone."""
    found = imported(job('["run"{{if .Seed}}, "--seed", {{.Seed}}{{end}}]')).report
    assert [finding.code for finding in found.errors] == ["unsupported-template"]
    assert "--option={{.Seed}}" in found.errors[0].fix


def test_import__branches_set_different_variables__shows_both() -> None:
    """lilysay: MESSAGE in one branch, Message in the other."""
    environment = '["{{if .Message}}{{ subst "MESSAGE=%s" .Message }}{{else}}Message=Hi{{end}}"]'
    (finding,) = [item for item in imported(job('["lilysay"]', environment)).report.findings if item.code == "branches-differ"]
    assert "MESSAGE" in finding.message and "Message" in finding.message


def test_import__presence_of_an_input_chooses_structure__is_an_error() -> None:
    found = imported(job(spec='"Timeout": {{if .Long}}9000{{else}}60{{end}}')).report
    assert "value-in-structure" in [finding.code for finding in found.errors]


# ---- amounts


@pytest.mark.parametrize(
    ("machine", "resources", "expected"),
    [
        ('{"cpu": 1000, "ram": 100, "disk": 5}', '{"CPU": "8", "Memory": "16Gb"}', (8_000, 16_384, 5, 0, 0)),
        ('{"cpu": 9000, "ram": 32000}', '{"CPU": "500m", "Memory": "24000MB"}', (9_000, 32_000, 0, 0, 0)),
        ('{"gpu": 1, "gpus": [{"vram": 24576}, {"vram": 8}]}', '{"GPU": "1"}', (1_000, 1_024, 0, 1, 24_576)),
    ],
)
def test_import__machine_and_resources__the_larger_one_counts(machine: str, resources: str, expected: tuple[int, ...]) -> None:
    found = parsed(job(machine=machine, spec=f'"Resources": {resources}')).resources
    assert (found.cpu_milli, found.ram_mib, found.disk_mib, found.gpu_count, found.vram_mib) == expected


@pytest.mark.parametrize(
    ("spec", "top"),
    [
        ('"Resources": {"Memory": "lots"}', ""),
        ('"Timeout": 1.5', ""),
        ('"Timeout": 100', '"executionTimeoutSeconds": 200,'),
        ("", '"gpus": [{"vram": 1}],'),
    ],
)
def test_import__amounts_that_differ_or_cannot_be_read__are_told(spec: str, top: str) -> None:
    assert "limits-differ" in codes(job(spec=spec, top=top))


@pytest.mark.parametrize(("top", "spec", "seconds"), [("", "", 900), ('"executionTimeoutSeconds": 200,', '"Timeout": 100', 200), ("", '"Timeout": 1800', 1_800)])
def test_import__time__is_the_larger_non_zero_one(top: str, spec: str, seconds: int) -> None:
    assert parsed(job(top=top, spec=spec)).limits.wall_seconds == seconds


# ---- what old runs ignored


@pytest.mark.parametrize(
    "spec",
    ['"NodeSelectors": []', '"Annotations": ["x"]', '"PublisherSpec": {"Type": "ipfs"}', '"Verifier": "Noop"', '"Deal": {"Concurrency": 1}', '"Nonsense": 1'],
)
def test_import__fields_that_nobody_honoured__are_told_and_left_out(spec: str) -> None:
    """beh:K4"""
    assert codes(job(spec=spec)) == ["never-honoured"]


def test_import__parameters_and_workdir__take_effect_now() -> None:
    text = job().replace('"Entrypoint": ["run"],', '"Entrypoint": ["run"], "Parameters": ["--fast", {{.P}}], "WorkingDirectory": "/app",')
    manifest = parsed(text)
    assert rendered(manifest, {"P": "p"})[0] == ["run", "--fast", "p"]
    assert manifest.container.workdir == "/app"  # type: ignore[union-attr]
    assert codes(text) == ["never-honoured"]


def test_import__shell_and_clock__are_noted() -> None:
    found = codes(job('["sh", "-c", "echo $MESSAGE"]', '["{{ subst "MESSAGE=%s" .M }}"]', machine='{"gpu": 1}'))
    assert {"shell", "output-varies"} <= set(found)


# ---- whole modules


def test_import__cowsay__slot_and_files() -> None:
    text = job('["/usr/games/cowsay", {{.Message}}]', top='"inputFiles": {"required": ["cat.jpg"], "optional": ["cat_facts.txt"]},')
    manifest = parsed(text)
    assert [(slot.name, slot.required) for slot in manifest.files] == [("cat.jpg", True), ("cat_facts.txt", False)]
    assert rendered(manifest, {"Message": "moo"})[0] == ["/usr/games/cowsay", "moo"]
    assert codes(text) == []


def test_import__sdxl_pipeline__seven_optional_inputs() -> None:
    names = ("Prompt", "Seed", "Steps", "Scheduler", "Size", "Batching", "Negative")
    branches = "".join(f'{{{{if .{name}}}}},"{name.upper()}={{{{ js .{name} }}}}"{{{{end}}}}' for name in names)
    text = job('["/bin/sh"]', '["HF_HUB_OFFLINE=1"' + branches + "]", machine='{"gpu": 1, "gpus": [{"vram": 20000}]}')
    manifest = parsed(text)
    assert "required" not in manifest.inputs and set(manifest.inputs["properties"]) == set(names)
    assert rendered(manifest, {})[1] == {"HF_HUB_OFFLINE": "1"}
    assert rendered(manifest, {"Prompt": "it's \"x\""})[1]["PROMPT"] == "it's \"x\""
    assert codes(text) == ["output-varies", "quotes-in-value"]


def test_import__sdv_pipeline__engine_spec_takes_effect() -> None:
    text = """{"machine": {"gpu": 1}, "job": {"Spec": {"EngineSpec": {"Type": "docker", "Params": {
      "Image": "x/sdv:v1", "Entrypoint": ["python"], "EnvironmentVariables": ["{{ subst "PROMPT=%s" .Prompt }}"]}}}}}"""
    manifest = parsed(text)
    assert rendered(manifest, {"Prompt": "p"}) == (["python"], {"PROMPT": "p"})
    assert "never-honoured" in codes(text)


def test_import__lora_training__bare_job_with_a_cid_and_comma_errors() -> None:
    text = """{
  "APIVersion": "V1beta1",
  "Spec": {
    "Docker": {"Image": "x/lora:v1", "Entrypoint": ["bash", "run.sh",],},
    "inputs": [{"StorageSource": "IPFS", "path": "/input", "CID": {{.ImagesCID}} }],
  }
}"""
    assert codes(text) == ["not-json"]
    found = imported(text, repair=True)
    assert found.report.codes == ["never-honoured", "repaired"]
    assert [slot.name for slot in parsed(text, repair=True).files] == ["input"]
    assert "ImagesCID" not in parsed(text, repair=True).inputs["properties"]


def test_import__deterministic_wasm_of_v1__becomes_a_wasm_module() -> None:
    text = '{"Spec": {"Engine": "Wasm", "Wasm": {"EntryPoint": "_start", "Parameters": ["--n", {{.N}}]}}}'
    found = imported(text).manifest
    assert found is not None
    manifest = parse_manifest(found, source=True)
    assert manifest.wasm is not None and (manifest.wasm.module, manifest.compare.policy) == ("main.wasm", "exact")
    assert rendered(manifest, {"N": "3"})[0] == ["--n", "3"]


def test_import__bare_spec_of_v0__is_read() -> None:
    manifest = parsed('{"Engine": "docker", "Docker": {"Image": "ubuntu", "Entrypoint": ["date"]}, "Timeout": 60}')
    assert (rendered(manifest, {})[0], manifest.limits.wall_seconds) == (["date"], 60)


# ---- caps, repeatability, and that nothing runs


def test_import__same_text__gives_the_same_bytes() -> None:
    text = job('[{{.A}}, "{{ subst "%s" .B }}"]', '["X={{ js .C }}"]', machine='{"cpu": 3}', spec='"Deal": {}')
    first, second = imported(text), imported(text)
    assert first.manifest_bytes() == second.manifest_bytes()
    assert [item.to_json() for item in first.report.findings] == [item.to_json() for item in second.report.findings]
    assert json.loads(first.manifest_bytes())["importedFrom"]["flags"] == first.report.codes


@pytest.mark.parametrize(
    "text",
    [
        " " * (MAX_BYTES + 1),
        "[" * 60_000,
        "{{" * 30_000,
        "{{if .A}}" * 7_000,
        "{{.A}}" * 10_000,
        job("[" + ",".join(['"a"'] * 3_000) + "]"),
        job("[" + ",".join('{{if .A%d}}"%d"{{end}}' % (i, i) for i in range(40)) + "]"),
        "{{((((" * 10_000,
        '{{"' + "\\" * 60_000,
        job('["\U000f0001"]'),
    ],
    ids=["size", "depth", "open actions", "open branches", "actions", "values", "branches", "parentheses", "escapes", "private use"],
)
def test_import__over_a_cap__ends_soon_with_an_error(text: str) -> None:
    """flt:S12"""
    began = time.process_time()
    found = imported(text)
    assert found.report.errors
    assert time.process_time() - began < 1.0


def test_import__ref_that_moves__is_told_and_a_commit_is_recorded() -> None:
    commit = "ab" * 20
    found = imported(job(), repository="https://example.org/x", ref="main", commit=commit)
    assert found.report.codes == ["mutable-ref"]
    assert found.manifest is not None and found.manifest["importedFrom"]["commit"] == commit
    pinned = imported(job(), ref=commit)
    assert pinned.report.codes == [] and pinned.manifest is not None and pinned.manifest["importedFrom"]["commit"] == commit


def test_codes__of_the_notes__are_all_there() -> None:
    wanted = "quotes-in-value raw-substitution value-in-structure unsupported-template not-json duplicate-key image-by-tag mutable-ref"
    wanted += " network-asked never-honoured limits-differ branches-differ files shell output-varies"
    assert set(wanted.split()) <= set(CODES)
